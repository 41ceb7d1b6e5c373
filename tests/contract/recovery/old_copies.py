"""Backups of the nodes of a trio, as an operator makes and restores them: real files, real dumps."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy.engine import make_url

from tanqiao.db.backup import copy_database
from tanqiao.db.engine import open_engine
from tanqiao.testing.databases import DatabaseMaker
from tanqiao_bridge import bootstrap as bridge_bootstrap
from tanqiao_region import bootstrap as region_bootstrap
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio

DUMP_SECONDS_MAX: Final = 120


class OldCopies:
    """The trio, and how its databases are copied while it works and put back when a node is dead."""

    def __init__(self, three: Trio, network: Any, folder: Path, binaries: Callable[[], Path]) -> None:
        self._binaries = binaries
        self.three = three
        self.network = network
        self._folder = folder
        self._settings: dict[str, Any] = {}
        self.empty = folder
        """The bridge's database from before the first agreement, claim and Issue."""

    @property
    def market(self) -> Any:
        """Buyers and sellers."""
        return self.three.market

    def backup(self, party: str, name: str = "old") -> Path:
        """Copy a node's database while it serves."""
        settings = self.three.running[party].settings
        target = self._folder / f"{party.replace('/', '-')}-{name}"
        if settings.database_url.startswith("sqlite"):
            database = open_engine(settings.database_url, role="reader")
            try:
                copy_database(database, target)
            finally:
                database.close()
        else:
            self._client("pg_dump", "--format=custom", f"--file={target}", url=self._owner(settings))
        return target

    def authority(self, code: str) -> Path:
        """Give the keyring of an authority's root."""
        return Path(self.network.network.home / "authorities" / code / "root")

    def lose(self, party: str) -> None:
        """Stop a node for good: its database is gone."""
        self._settings[party] = self.three.running[party].settings
        self.three.stop(party)

    def restore(self, party: str, copy: Path, **options: Any) -> Any:
        """Put a copy in place as the verb `restore` does."""
        settings = self._settings[party]
        source: Path | None = copy
        if not settings.database_url.startswith("sqlite"):
            self._client(
                "pg_restore", "--clean", "--if-exists", str(copy), url=self._owner(settings), into=True
            )
            source = None
        if party == "bridge":
            return bridge_bootstrap.restore_from(
                settings, source, options.get("root", self.authority("bridge")), None, options.get("epoch")
            )
        return region_bootstrap.restore_from(settings, source)

    def put_back_raw(self, party: str, copy: Path) -> None:
        """Copy the file over the node's, as somebody does who knows of no verb."""
        settings = self._settings[party]
        if settings.database_url.startswith("sqlite"):
            path = Path(str(make_url(settings.database_url).database))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.write_bytes(copy.read_bytes())
        else:
            self._client(
                "pg_restore", "--clean", "--if-exists", str(copy), url=self._owner(settings), into=True
            )

    def start(self, party: str) -> None:
        """Start a node on its database as it is now."""
        self.three.start(party)

    @staticmethod
    def _owner(settings: Any) -> str:
        return str(settings.owner_database_url or settings.database_url)

    def _client(self, program: str, *arguments: str, url: str, into: bool = False) -> None:
        made = make_url(url)
        address = made.set(drivername="postgresql").render_as_string(hide_password=False)
        place = [f"--dbname={address}"]
        command = [str(self._binaries() / program), *place, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DUMP_SECONDS_MAX, check=False)
        assert done.returncode == 0, (into, done.stderr)


ON_SQLITE: Final = pytest.mark.parametrize("old_copies", ["sqlite"], indirect=True)
"""For what does not depend on the database: bringing up three nodes takes its time."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def old_copies(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    database_maker: DatabaseMaker,
) -> Iterator[OldCopies]:
    """A bridge and two regions with units to move, on each database."""
    network = full_network(tmp_path_factory.mktemp("full-network"))
    three = Trio(network, database_maker, request.param)
    try:
        copies = OldCopies(
            three, network, tmp_path, lambda: request.getfixturevalue("postgres_server").binaries
        )
        copies.empty = copies.backup("bridge", "empty")
        three.market.furnish()
        yield copies
    finally:
        three.close()
