"""`tanqiao-region`: serve, migrate, fsck, backup, restore, mirror.

Exit codes: see `tanqiao.rpc.program`.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.db.engine import open_engine
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.process import exit_on_refusal
from tanqiao.rpc.program import CONFIG, NEW_FILE, Node, Report, add_backup, add_commands
from tanqiao_region.settings import load_settings


@click.group()
def main() -> None:
    """A region node: accounts, registers, ledger and journal of one jurisdiction."""


def _build(config: Path) -> tuple[str, Node]:
    from tanqiao_region.bootstrap import build  # noqa: PLC0415 - the other commands need no server

    return "region", build(load_settings(config))


def _migrate(config: Path) -> None:
    from tanqiao_region.bootstrap import open_database  # noqa: PLC0415 - as above

    open_database(load_settings(config)).close()


def _check(config: Path) -> Report:
    from tanqiao_region.application.fsck import check  # noqa: PLC0415 - as above

    settings = load_settings(config)
    return check(settings.database_url, settings.federation_file)


add_commands(
    main,
    build=_build,
    migrate=_migrate,
    check=_check,
    checks="Rebuild holdings and transfers from the journal and compare; verify signatures and guards.",
)
add_backup(main, lambda config: load_settings(config).database_url)


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
@NEW_FILE
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


if __name__ == "__main__":
    main()
