"""`tanqiao witness --config FILE`: a witness for a third party: a regulator, a university.

Its directory holds ``config.toml``, ``tls/``, ``keys/`` with a key of role WITNESS, and ``federation.json``.
It dials the bridge, replays and validates every leaf, and cosigns; it opens no port.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_DATABASE_URL": "database_url",
    "TANQIAO_OWNER_DATABASE_URL": "owner_database_url",
    "TANQIAO_BRIDGE_ADDRESS": "bridge_address",
}
"""Environment variable → field."""


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """What a witness is started with.

    Args:
        network_id: name of the network.
        bridge_address: ``host:port`` of the bridge, which the witness dials.
        database_url: of the role that reads and writes rows.
        tls_directory: ``ca.pem``, ``node.pem``, ``node.key``.
        keys_directory: keyring with the witness key.
        federation_file: trust anchors, first key records, the group of witnesses.
        owner_database_url: of the role that owns the tables and migrates; empty: the same.
        evidence_directory: where proofs of misbehaviour are put, for `tanqiao verify`.
    """

    network_id: str
    bridge_address: str
    database_url: str
    tls_directory: Path
    keys_directory: Path
    federation_file: Path
    evidence_directory: Path
    owner_database_url: str = ""


def load_settings(path: Path) -> WitnessSettings:
    """Read the file; relative paths are relative to its directory.

    Raises:
        DomainError: FILE_MISSING, SETTING_INVALID with the setting's name.
    """
    from tanqiao.rpc.settings import SettingsFile

    file = SettingsFile.load(path, ENVIRONMENT)
    settings = WitnessSettings(
        network_id=file.text("network_id"),
        bridge_address=file.text("bridge_address"),
        database_url=file.database_url("database_url"),
        tls_directory=file.path("tls_directory", default="tls"),
        keys_directory=file.path("keys_directory", default="keys"),
        federation_file=file.path("federation_file", default="federation.json"),
        evidence_directory=file.path("evidence_directory", default="evidence"),
        owner_database_url=file.database_url("owner_database_url", default=""),
    )
    file.require_all_known()
    return settings


@click.command("witness")
@click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The witness's config.toml.",
)
def witness_command(config: Path) -> None:
    """Replay, validate and cosign the bridge's log until SIGTERM or SIGINT.

    Prints one JSON line when it follows. 重放、核验并会签碳桥日志。
    """
    from tanqiao.kernel.errors import DomainError
    from tanqiao.rpc.channel import open_channel
    from tanqiao.rpc.process import announce_ready, exit_on_refusal, serve_until_stopped, set_up_logging
    from tanqiao.signing.certificates import TlsFiles
    from tanqiao.signing.directory import KeyRole
    from tanqiao.signing.federation import Federation
    from tanqiao.signing.keyring import Keyring
    from tanqiao.signing.note_keys import RingKeys
    from tanqiao.witnessing.remote import RemoteLog
    from tanqiao.witnessing.running import build_follower, open_witness_database

    set_up_logging()
    with exit_on_refusal():
        settings = load_settings(config)
        federation = Federation.load(settings.federation_file)
        if federation.network_id != settings.network_id:
            detail = f"{settings.federation_file} is of network {federation.network_id}"
            raise DomainError("SETTING_INVALID", setting="network_id", detail=detail)
        keyring = Keyring.open(settings.keys_directory)
        signs = RingKeys(settings.network_id, settings.keys_directory, KeyRole.WITNESS)
        if signs.is_empty:
            raise DomainError("NOT_FOUND", what="key", id=f"{keyring.owner} witness")
        address = settings.bridge_address
        with (
            open_witness_database(settings.database_url, settings.owner_database_url) as database,
            open_channel(address, TlsFiles.of(settings.tls_directory)) as channel,
        ):
            follower = build_follower(
                federation,
                keyring.owner,
                signs.at,
                database,
                RemoteLog(channel, address),
                evidence=settings.evidence_directory,
            )
            follower.start()
            try:
                announce_ready(keyring.owner, address)
                serve_until_stopped()
            finally:
                follower.stop()


@click.command("mirror")
@click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The witness's config.toml.",
)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def mirror_command(config: Path, target: Path, *, as_json: bool) -> None:
    """Write a witness's mirror of the bridge's log, to rebuild a bridge that was lost.

    The witness may work meanwhile. 导出碳桥日志的镜像。
    """
    from tanqiao.db.engine import open_engine
    from tanqiao.rpc.process import exit_on_refusal
    from tanqiao.witnessing.mirror_file import write_mirror

    with exit_on_refusal():
        database = open_engine(load_settings(config).database_url, role="reader")
        try:
            leaves = write_mirror(database, target)
        finally:
            database.close()
    if as_json:
        click.echo(json.dumps({"file": str(target), "leaves": leaves}))
    else:
        click.echo(f"mirror written: {target} ({leaves} leaves)")
