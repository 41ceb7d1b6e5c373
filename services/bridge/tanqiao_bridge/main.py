"""`tanqiao-bridge`: serve, migrate, fsck.

Exit codes: 0 done, 1 findings (fsck), 2 usage or settings, 3 something needed is not reachable, 4 a fault
of ours.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.rpc.process import announce_ready, exit_on_refusal, serve_until_stopped, set_up_logging
from tanqiao_bridge.application.fsck import check
from tanqiao_bridge.bootstrap import build, open_database
from tanqiao_bridge.settings import load_settings

CONFIG = click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node's config.toml.",
)


@click.group()
def main() -> None:
    """The bridge of the federation: transfers, claims, locations, the log."""


@main.command()
@CONFIG
def serve(config: Path) -> None:
    """Serve until SIGTERM or SIGINT; prints one JSON line when it is ready."""
    set_up_logging()
    with exit_on_refusal():
        bridge = build(load_settings(config))
        try:
            bridge.start()
            announce_ready("bridge", bridge.server.address)
            serve_until_stopped()
        finally:
            bridge.stop()


@main.command(name="migrate")
@CONFIG
def migrate_command(config: Path) -> None:
    """Bring the database to this program's schema."""
    with exit_on_refusal():
        open_database(load_settings(config)).close()
        click.echo("the schema is current")


@main.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def fsck(config: Path, *, as_json: bool) -> None:
    """Rebuild locations and counters from the log and compare; verify leaves, signatures and guards."""
    with exit_on_refusal():
        report = check(load_settings(config))
        click.echo(report.as_json() if as_json else report.as_text())
        raise SystemExit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
