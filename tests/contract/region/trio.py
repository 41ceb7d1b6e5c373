"""A bridge and two regions in this process.

Real throughout, each of which a test can stop and start again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.rpc.ports import free_ports
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.schema import SCHEMA as BRIDGE_SCHEMA
from tests.contract.bridge.harness import run_bridge
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import SHANGHAI, SHENZHEN, build_node
from tests.contract.region.market import Market

PARTIES: Final = ("bridge", SHANGHAI, SHENZHEN)


def _migrated_bridge(url: str) -> None:
    database = open_engine(url, role="writer")
    try:
        migrate(database, BRIDGE_SCHEMA)
    finally:
        database.close()


class Trio:
    """The three nodes and the market on them."""

    def __init__(self, network: NetworkOfTest, maker: DatabaseMaker, kind: str) -> None:
        self.network = network
        self._maker = maker
        self._databases: dict[str, DatabaseUnderTest] = {
            party: maker.make(
                kind,
                _migrated_bridge if party == "bridge" else _migrated,
                "bridge" if party == "bridge" else "region",
            )
            for party in PARTIES
        }
        self._bridge_address = f"127.0.0.1:{free_ports(1)[0]}"
        self.running: dict[str, Any] = {}
        self.addresses: dict[str, str] = {}
        self.market = Market(network.network, lambda: self.addresses)
        for party in PARTIES:
            self.start(party)

    def start(self, party: str) -> None:
        """Build and start a node on its database."""
        made = self._databases[party]
        if party == "bridge":
            bridge = run_bridge(self.network, made.url, made.owner_url, listen=self._bridge_address).bridge
            self.running[party], self.addresses[party] = bridge, bridge.server.address
            return
        region = build_node(self.network, party, (made.url, made.owner_url), self._bridge_address).region
        region.start()
        self.running[party], self.addresses[party] = region, region.server.address

    def stop(self, party: str) -> None:
        """Stop a node; what is under way stays in its database."""
        self.running.pop(party).stop()

    def restart(self, party: str) -> None:
        """Stop a node and start it again."""
        self.stop(party)
        self.start(party)

    def close(self) -> None:
        """Stop everything."""
        self.market.close()
        for party in list(self.running):
            self.stop(party)
        for made in self._databases.values():
            self._maker.drop(made)

    def require_clean(self) -> None:
        """Demand that every node's books are what its journal or log says."""
        report: Any = check_database(self.running["bridge"].database)
        assert report.clean, report.as_text()
        for party in (SHANGHAI, SHENZHEN):
            self.require_clean_at(party)

    def require_clean_at(self, party: str) -> None:
        """Demand that a region's books are what its journal says."""
        from tanqiao_region.application import fsck  # noqa: PLC0415 - loads the whole check

        settings = self.running[party].settings
        report: Any = fsck.check(settings.database_url, settings.federation_file)
        assert report.clean, (party, report.as_text())


@contextmanager
def trio(network: NetworkOfTest, maker: DatabaseMaker, kind: str) -> Iterator[Trio]:
    """Start the three, furnished; stop them at the end."""
    made = Trio(network, maker, kind)
    try:
        made.market.furnish()
        yield made
    finally:
        made.close()
