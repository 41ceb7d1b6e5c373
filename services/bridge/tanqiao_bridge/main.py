"""`tanqiao-bridge`: serve, migrate, fsck, backup, restore, recovery-key.

Exit codes: see `tanqiao.rpc.program`.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.rpc.process import exit_on_refusal
from tanqiao.rpc.program import CONFIG, add_backup, add_commands
from tanqiao.signing.recovery_key import PUBLIC_NAME, create_recovery_key
from tanqiao_bridge.application.fsck import check
from tanqiao_bridge.bootstrap import build, open_database, restore_from
from tanqiao_bridge.rebuild import RootKeys, rebuild_from_mirrors
from tanqiao_bridge.settings import load_settings


@click.group()
def main() -> None:
    """The bridge of the federation: transfers, claims, locations, the log."""


add_commands(
    main,
    build=lambda config: ("bridge", build(load_settings(config))),
    migrate=lambda config: open_database(load_settings(config)).close(),
    check=lambda config: check(load_settings(config)),
    checks="Rebuild locations and counters from the log and compare; verify leaves, signatures and guards.",
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
@click.option(
    "--from-mirror",
    "mirrors",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A witness's mirror of the log, for an empty database; once for each mirror there is.",
)
@click.option(
    "--recovery-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --from-mirror: the private recovery key of the bridge's authority.",
)
@click.option(
    "--recovery-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the passphrase of the recovery key, if it has one.",
)
def restore(
    *,
    config: Path,
    source: Path | None,
    root: Path,
    passphrase_file: Path | None,
    epoch: int | None,
    mirrors: tuple[Path, ...],
    recovery_key: Path | None,
    recovery_passphrase_file: Path | None,
) -> None:
    """Put an old backup in place, or rebuild from mirrors of the log, and begin a new epoch.

    The bridge recovers when it is started. 恢复旧备份，或由日志镜像重建，并开始新纪元。
    """
    if mirrors and (source is not None or recovery_key is None):
        raise click.UsageError("--from-mirror needs --recovery-key and goes without --from")
    with exit_on_refusal():
        settings = load_settings(config)
        passphrase = _passphrase(passphrase_file)
        if recovery_key is not None and mirrors:
            keys = RootKeys(root, recovery_key, passphrase, _passphrase(recovery_passphrase_file))
            rebuilt = rebuild_from_mirrors(settings, mirrors, keys, epoch=epoch)
            begun = rebuilt.begun
            for refusal in rebuilt.refused:
                click.echo(f"not used: {refusal}", err=True)
            click.echo(f"rebuilt: {rebuilt.size} leaves from the mirrors of {', '.join(rebuilt.parties)}")
        else:
            begun = restore_from(settings, source, root, passphrase, epoch)
            click.echo(f"restored: {settings.database_url.rpartition('@')[2]}")
        click.echo(f"epoch {begun.epoch} continues from log index {begun.continues_from}, signed by the root")
        click.echo(f"waits for the reports of: {', '.join(begun.regions)}")
        click.echo("no transfer from or to a region is decided before it has reported. Start the bridge now.")


def _passphrase(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes().strip()


@main.command(name="recovery-key")
@CONFIG
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file for the private half; keep it where the root is kept.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the passphrase that shall encrypt it.",
)
def recovery_key_command(config: Path, target: Path, passphrase_file: Path | None) -> None:
    """Make the key to which mirrors keep what only the authority may read.

    The public half stays with the bridge's keys, the private one goes off line. 生成恢复密钥。
    """
    with exit_on_refusal():
        public = load_settings(config).keys_directory / PUBLIC_NAME
        create_recovery_key(target, public, _passphrase(passphrase_file))
        click.echo(f"public half: {public}. Start the bridge again: it seals what witnesses fetch then")


if __name__ == "__main__":
    main()
