"""Nodes of regions on the line of a real bridge, of which a test has the addresses and nothing else.

`Remote` stands where the helpers of the registers expect a node: what they ask of it goes over gRPC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final, cast

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import clock_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2
from tanqiao.client.servers import BridgeClient
from tanqiao.signing.certificates import TlsFiles
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.bridge.harness import run_bridge
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import HOLDERS, OPENERS, USCC, Node, build_node
from tests.contract.region.trio import _migrated_bridge
from tests.contract.region_registers.office import request_id
from tests.contract.region_registers.wire import Wire

ServeRegion = Callable[[str], Wire]
WAIT_MS: Final = 20_000
SECONDS_MAX: Final = 60.0


@dataclass
class Remote:
    """A region's node as its callers know it: party and address."""

    party: str
    address: str
    turn: Callable[[datetime], None]
    wire: Wire = field(init=False)

    @property
    def region(self) -> Any:
        """What `Wire` asks for the address."""
        return SimpleNamespace(server=SimpleNamespace(address=self.address))

    @property
    def context(self) -> Any:
        """The node's clock."""
        return SimpleNamespace(clock=SimpleNamespace(advance_to=self.turn), now=self._now)

    def _now(self) -> datetime:
        told = self._office().clock.GetClock(clock_pb2.GetClockRequest())
        return cast("datetime", told.time.ToDatetime())

    def _office(self) -> Any:
        return self.wire.role(OPENERS[self.party].role)

    def open_account(self, name: str = "虚构公司 invented", kind: int = 2, **fields: Any) -> Any:
        """Open an account by the office that may."""
        fields.setdefault("holder_party", HOLDERS[self.party].party)
        fields.setdefault("uscc", USCC)
        request = accounts_pb2.OpenAccountRequest(
            request_id=request_id(),
            kind=kind,  # type: ignore[arg-type]  # numbers of the enumeration
            display_name=name,
            invented=True,
            **fields,
        )
        return self._office().accounts.OpenAccount(request).account

    def held(self, account_id: str) -> list[tuple[int, int, int]]:
        """(start, end, state) of an account's units of any state that is not final."""
        request = accounts_pb2.ListHoldingsRequest(account_id=account_id, page_size=1000)
        shown = self._office().accounts.ListHoldings(request).holdings
        return [(one.block.start_serial, one.block.end_serial, one.state) for one in shown]

    def blocks(self, account_id: str) -> list[Any]:
        """An account's blocks."""
        request = accounts_pb2.ListHoldingsRequest(account_id=account_id, page_size=1000)
        return [one.block for one in self._office().accounts.ListHoldings(request).holdings]

    def retire(self, account_id: str, *blocks: Any, role: str = "", **values: Any) -> Any:
        """Use units; waits for the bridge."""
        request = ledger_pb2.RetireUnitsRequest(
            request_id=request_id(),
            account_id=account_id,
            units=ledger_pb2.UnitSelection(blocks=blocks),
            wait_ms=WAIT_MS,
            **values,
        )
        holder = role or HOLDERS[self.party].role
        return self.wire.role(holder).retirements.RetireUnits(request).retirement

    def connected(self) -> bool:
        """Whether the node has its line to the bridge."""
        return bool(self._office().node.GetNodeStatus(journal_pb2.GetNodeStatusRequest()).bridge_connected)


@dataclass
class Served:
    """A bridge and the regions that a test has asked for."""

    network: NetworkOfTest
    maker: DatabaseMaker
    kind: str
    open_things: ExitStack
    bridge: Any = None
    remotes: dict[str, Remote] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bridge = run_bridge(self.network, *self._database("bridge", _migrated_bridge))
        self.open_things.callback(self.bridge.bridge.stop)

    def _database(self, kind: str, prepare: Callable[[str], None]) -> tuple[str, str]:
        made = self.maker.make(self.kind, prepare, kind)
        self.open_things.callback(self.maker.drop, made)
        return made.url, made.owner_url

    def region(self, party: str) -> Wire:
        """Serve a region on the line of the bridge; its clients."""
        node = build_node(self.network, party, self._database("region", _migrated), self.bridge.address)
        node.region.start()
        self.open_things.callback(node.region.stop)
        remote = Remote(party, node.region.server.address, self.turn)
        remote.wire = Wire(self.network, cast("Node", remote))
        self.open_things.callback(remote.wire.close)
        self.remotes[party] = remote
        until(remote.connected)
        return remote.wire

    def turn(self, moment: datetime) -> None:
        """Turn the clocks of the bridge and of every region."""
        to_time = Timestamp()
        to_time.FromDatetime(moment)
        request = clock_pb2.AdvanceTestClockRequest(to_time=to_time)
        tls = TlsFiles.of(self.network.network.home / "operators/310000/sh.centre/tls")
        bridge = BridgeClient("bridge", self.bridge.address, tls)
        bridge.clock.AdvanceTestClock(request)
        bridge.close()
        for remote in self.remotes.values():
            remote._office().clock.AdvanceTestClock(request)


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)


@contextmanager
def served(network: NetworkOfTest, maker: DatabaseMaker, kind: str) -> Iterator[Served]:
    """Start a bridge; everything stops at the end."""
    with ExitStack() as open_things:
        yield Served(network, maker, kind, open_things)
