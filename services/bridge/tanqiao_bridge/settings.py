"""Settings of a bridge: a TOML file, each value of which an environment variable may replace."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from tanqiao.rpc.settings import SettingsFile

ENVIRONMENT: Final[dict[str, str]] = {
    "TANQIAO_LISTEN": "listen",
    "TANQIAO_LOG_LISTEN": "log_listen",
    "TANQIAO_DATABASE_URL": "database_url",
    "TANQIAO_OWNER_DATABASE_URL": "owner_database_url",
    "TANQIAO_TEST_CLOCK_START": "test_clock_start",
    "TANQIAO_LOCATION_ROOT_SECONDS": "location_root_seconds",
}
"""Environment variable → field."""
DECIDE_BY_SECONDS_DEFAULT: Final = 30
CLAIM_LEASE_DAYS_DEFAULT: Final = 180
LOCATION_ROOT_SECONDS_DEFAULT: Final = 600
TOKENS_PER_DAY_DEFAULT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What a bridge is started with.

    Args:
        network_id: name of the network; a test clock needs one that begins with ``test-``.
        listen: ``host:port``.
        database_url: of the role that reads and writes rows.
        owner_database_url: of the role that owns the tables and migrates; empty: the same.
        tls_directory: ``ca.pem``, ``node.pem``, ``node.key``.
        keys_directory: the node's keyring.
        federation_file: trust anchors and first key records.
        gateways: address of each outside registry's gateway, by name (``ccer``, ``gec``).
        test_clock_start: moment at which a test clock begins; None: the machine's clock.
        decide_by_seconds: time for a destination's answer.
        claim_lease_days: days after which a declared claim lapses whose notice has not opened; 0: never.
        location_root_seconds: time between two leaves with the root of the location map; 0: none is written.
        tokens_per_day: blinded elements that are evaluated for one region on one day.
        log_listen: ``host:port`` at which the logs are served as files over HTTPS; empty: they are not.
    """

    network_id: str
    listen: str
    database_url: str
    tls_directory: Path
    keys_directory: Path
    federation_file: Path
    owner_database_url: str = ""
    gateways: dict[str, str] = field(default_factory=dict)
    test_clock_start: datetime | None = None
    decide_by_seconds: int = DECIDE_BY_SECONDS_DEFAULT
    log_listen: str = ""
    claim_lease_days: int = CLAIM_LEASE_DAYS_DEFAULT
    location_root_seconds: int = LOCATION_ROOT_SECONDS_DEFAULT
    tokens_per_day: int = TOKENS_PER_DAY_DEFAULT


def load_settings(path: Path) -> Settings:
    """Read the file; relative paths are relative to its directory.

    Raises:
        DomainError: FILE_MISSING, SETTING_INVALID with the setting's name.
    """
    file = SettingsFile.load(path, ENVIRONMENT)
    settings = Settings(
        network_id=file.text("network_id"),
        listen=file.text("listen"),
        database_url=file.database_url("database_url"),
        owner_database_url=file.database_url("owner_database_url", default=""),
        tls_directory=file.path("tls_directory", default="tls"),
        keys_directory=file.path("keys_directory", default="keys"),
        federation_file=file.path("federation_file", default="federation.json"),
        gateways=file.texts("gateways"),
        test_clock_start=file.moment("test_clock_start"),
        decide_by_seconds=file.integer("decide_by_seconds", default=DECIDE_BY_SECONDS_DEFAULT),
        log_listen=file.text("log_listen", default=""),
        claim_lease_days=file.integer("claim_lease_days", default=CLAIM_LEASE_DAYS_DEFAULT),
        location_root_seconds=file.integer("location_root_seconds", default=LOCATION_ROOT_SECONDS_DEFAULT),
        tokens_per_day=file.integer("tokens_per_day", default=TOKENS_PER_DAY_DEFAULT),
    )
    file.require_all_known()
    return settings
