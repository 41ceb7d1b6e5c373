"""Settings of a gateway: a TOML file, each value of which an environment variable may replace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.settings import SettingsFile

REGISTRIES: Final = ("ccer", "gec", "cdm", "vcs", "gs")
ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_LISTEN": "listen",
    "TANQIAO_DATABASE_URL": "database_url",
    "TANQIAO_OWNER_DATABASE_URL": "owner_database_url",
    "TANQIAO_TEST_CLOCK_START": "test_clock_start",
}
"""Environment variable → field."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a gateway is started with.

    Args:
        network_id: name of the network; a test clock needs one that begins with ``test-``.
        registry: the outside registry whose list it keeps: ``ccer``, ``gec``, ``cdm``, ``vcs``, ``gs``.
        listen: ``host:port``.
        database_url: of the role that reads and writes rows.
        tls_directory: ``ca.pem``, ``node.pem``, ``node.key``.
        keys_directory: the gateway's keyring: it signs the answers to orders.
        federation_file: trust anchors and first key records: whose orders it takes.
        owner_database_url: of the role that owns the tables and migrates; empty: the same.
        test_clock_start: moment at which a test clock begins; None: the machine's clock.
    """

    network_id: str
    registry: str
    listen: str
    database_url: str
    tls_directory: Path
    keys_directory: Path
    federation_file: Path
    owner_database_url: str = ""
    test_clock_start: datetime | None = None


def load_settings(path: Path) -> Settings:
    """Read the file; relative paths are relative to its directory.

    Raises:
        DomainError: FILE_MISSING, SETTING_INVALID with the setting's name.
    """
    file = SettingsFile.load(path, ENVIRONMENT)
    settings = Settings(
        network_id=file.text("network_id"),
        registry=file.text("registry"),
        listen=file.text("listen"),
        database_url=file.database_url("database_url"),
        owner_database_url=file.database_url("owner_database_url", default=""),
        tls_directory=file.path("tls_directory", default="tls"),
        keys_directory=file.path("keys_directory", default="keys"),
        federation_file=file.path("federation_file", default="federation.json"),
        test_clock_start=file.moment("test_clock_start"),
    )
    file.require_all_known()
    if settings.registry not in REGISTRIES:
        raise DomainError(
            "SETTING_INVALID",
            setting="registry",
            detail=f"{settings.registry} is none of {', '.join(REGISTRIES)}",
        )
    return settings
