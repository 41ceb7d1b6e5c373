"""`tanqiao-bridge`: serve, migrate, fsck, backup, restore.

Exit codes: 0 done, 1 findings (fsck), 2 usage or settings, 3 something needed is not reachable, 4 a fault
of ours.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.db.backup import copy_database
from tanqiao.db.engine import open_engine
from tanqiao.rpc.process import announce_ready, exit_on_refusal, serve_until_stopped, set_up_logging
from tanqiao_bridge.application.fsck import check
from tanqiao_bridge.bootstrap import build, open_database, restore_from
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
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Keyring of the root of the bridge's authority; it signs the new epoch.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the passphrase of the root key, if it has one.",
)
@click.option("--epoch", type=int, help="Number of the new epoch, where one is lost with the database.")
def restore(
    config: Path, source: Path | None, root: Path, passphrase_file: Path | None, epoch: int | None
) -> None:
    """Put an old backup in place and begin a new epoch; the bridge recovers when it is started."""
    with exit_on_refusal():
        settings = load_settings(config)
        passphrase = passphrase_file.read_bytes().strip() if passphrase_file is not None else None
        begun = restore_from(settings, source, root, passphrase, epoch)
        click.echo(f"restored: {settings.database_url.rpartition('@')[2]}")
        click.echo(f"epoch {begun.epoch} continues from log index {begun.continues_from}, signed by the root")
        click.echo(f"waits for the reports of: {', '.join(begun.regions)}")
        click.echo("no transfer from or to a region is decided before it has reported. Start the bridge now.")


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
