"""`tanqiao-region`: serve, migrate, fsck.

Exit codes: 0 done, 1 findings (fsck), 2 usage or settings, 3 something needed is not reachable, 4 a fault of
ours.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.rpc.process import announce_ready, exit_on_refusal, serve_until_stopped, set_up_logging
from tanqiao_region.settings import load_settings

CONFIG = click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node's config.toml.",
)


@click.group()
def main() -> None:
    """A region node: accounts, registers, ledger and journal of one jurisdiction."""


@main.command()
@CONFIG
def serve(config: Path) -> None:
    """Serve until SIGTERM or SIGINT; prints one JSON line when it is ready."""
    from tanqiao_region.bootstrap import build  # noqa: PLC0415 - the other commands need no server

    set_up_logging()
    with exit_on_refusal():
        region = build(load_settings(config))
        try:
            region.start()
            announce_ready("region", region.server.address)
            serve_until_stopped()
        finally:
            region.stop()


@main.command(name="migrate")
@CONFIG
def migrate_command(config: Path) -> None:
    """Bring the database to this program's schema."""
    from tanqiao_region.bootstrap import open_database  # noqa: PLC0415 - as above

    with exit_on_refusal():
        open_database(load_settings(config)).close()
        click.echo("the schema is current")


@main.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def fsck(config: Path, *, as_json: bool) -> None:
    """Rebuild holdings and transfers from the journal and compare; verify signatures and guards."""
    from tanqiao_region.application.fsck import check  # noqa: PLC0415 - as above

    with exit_on_refusal():
        report = check(load_settings(config).database_url, load_settings(config).federation_file)
        click.echo(report.as_json() if as_json else report.as_text())
        raise SystemExit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
