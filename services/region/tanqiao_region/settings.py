"""Settings of a region node: a TOML file, each value of which an environment variable may replace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tanqiao.rpc.settings import SettingsFile

ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_LISTEN": "listen",
    "TANQIAO_DATABASE_URL": "database_url",
    "TANQIAO_OWNER_DATABASE_URL": "owner_database_url",
    "TANQIAO_BRIDGE_ADDRESS": "bridge_address",
    "TANQIAO_WITNESS_DATABASE_URL": "witness_database_url",
    "TANQIAO_WITNESS_OWNER_DATABASE_URL": "witness_owner_database_url",
    "TANQIAO_RULE_PACK": "rule_pack",
    "TANQIAO_TEST_CLOCK_START": "test_clock_start",
    "TANQIAO_CALENDAR_DIRECTORY": "calendar_directory",
}
"""Environment variable → field."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a region node is started with.

    Args:
        network_id: name of the network; a test clock needs one that begins with ``test-``.
        region_code: GB/T 2260 code of the region.
        listen: ``host:port``.
        database_url: of the role that reads and writes rows.
        bridge_address: ``host:port`` of the bridge, which the node dials.
        tls_directory: ``ca.pem``, ``node.pem``, ``node.key``.
        keys_directory: the node's keyring, and its secret.
        federation_file: trust anchors and first key records.
        rule_pack: name of a pack that is shipped (``sh_draft``), or the path of a pack's directory.
        owner_database_url: of the role that owns the tables and migrates; empty: the same.
        witness_database_url: of this region's witness, which keeps its own database; empty: it is no witness.
        witness_owner_database_url: of the role that owns the witness's tables; empty: the same.
        evidence_directory: where the witness puts proofs of misbehaviour; None: nowhere.
        calendar_directory: ``<year>.toml`` with working-day notices of years that the library does not know.
        test_clock_start: moment at which a test clock begins; None: the machine's clock.
    """

    network_id: str
    region_code: str
    listen: str
    database_url: str
    bridge_address: str
    tls_directory: Path
    keys_directory: Path
    federation_file: Path
    rule_pack: str
    owner_database_url: str = ""
    test_clock_start: datetime | None = None
    calendar_directory: Path | None = None
    witness_database_url: str = ""
    witness_owner_database_url: str = ""
    evidence_directory: Path | None = None


def load_settings(path: Path) -> Settings:
    """Read the file; relative paths are relative to its directory.

    Raises:
        DomainError: FILE_MISSING, SETTING_INVALID with the setting's name.
    """
    file = SettingsFile.load(path, ENVIRONMENT)
    settings = Settings(
        network_id=file.text("network_id"),
        region_code=file.text("region_code"),
        listen=file.text("listen"),
        database_url=file.database_url("database_url"),
        owner_database_url=file.database_url("owner_database_url", default=""),
        bridge_address=file.text("bridge_address"),
        tls_directory=file.path("tls_directory", default="tls"),
        keys_directory=file.path("keys_directory", default="keys"),
        federation_file=file.path("federation_file", default="federation.json"),
        rule_pack=file.text("rule_pack"),
        witness_database_url=file.database_url("witness_database_url", default=""),
        witness_owner_database_url=file.database_url("witness_owner_database_url", default=""),
        evidence_directory=file.path("evidence_directory", default="evidence"),
        test_clock_start=file.moment("test_clock_start"),
        calendar_directory=file.path("calendar_directory")
        if file.text("calendar_directory", default="")
        else None,
    )
    file.require_all_known()
    return settings
