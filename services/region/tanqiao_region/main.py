"""`tanqiao-region`: serve, migrate, fsck, backup, restore, mirror.

Exit codes: 0 done, 1 findings (fsck), 2 usage or settings, 3 something needed is not reachable, 4 a fault of
ours.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.db.backup import copy_database
from tanqiao.db.engine import open_engine
from tanqiao.kernel.errors import DomainError
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
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file.",
)
def backup(config: Path, target: Path) -> None:
    """Write one consistent copy of the SQLite database; the node may serve meanwhile."""
    with exit_on_refusal():
        database = open_engine(load_settings(config).database_url, role="reader")
        try:
            copy_database(database, target)
        finally:
            database.close()
        click.echo(f"backup written: {target} ({target.stat().st_size} bytes)")


@main.command()
@CONFIG
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A backup of the SQLite database; without it the database as it stands (restored by pg_restore).",
)
def restore(config: Path, source: Path | None) -> None:
    """Put an old backup in place and mark it as restored; the node recovers when it is started."""
    from tanqiao_region.bootstrap import restore_from  # noqa: PLC0415 - the other commands need no server

    with exit_on_refusal():
        settings = load_settings(config)
        incarnation = restore_from(settings, source)
        click.echo(f"restored: {settings.database_url.rpartition('@')[2]}")
        click.echo(f"incarnation {incarnation}; the node recovers: it serves reads only until it has from")
        click.echo(
            "the bridge everything that the bridge holds of it and its books are the same. Start it now."
        )


@main.command()
@CONFIG
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file.",
)
def mirror(config: Path, target: Path) -> None:
    """Write the witness's mirror of the bridge's log, to rebuild a bridge that was lost.

    The node may serve meanwhile. 导出碳桥日志的镜像。
    """
    from tanqiao.witnessing.mirror_file import write_mirror  # noqa: PLC0415 - as above

    with exit_on_refusal():
        settings = load_settings(config)
        if not settings.witness_database_url:
            detail = "it is empty: this region is no witness"
            raise DomainError("SETTING_INVALID", setting="witness_database_url", detail=detail)
        database = open_engine(settings.witness_database_url, role="reader")
        try:
            leaves = write_mirror(database, target)
        finally:
            database.close()
        click.echo(f"mirror written: {target} ({leaves} leaves)")


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
