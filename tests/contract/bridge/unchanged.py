"""A bridge for all that is to be refused: what it holds, and a digest that shows whether it changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import DATABASE_KINDS, DatabaseMaker
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest
from tanqiao_bridge.application.commands import PassDeadlines
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.lapsing import LapseClaims
from tanqiao_bridge.application.overdue import WatchFinals
from tanqiao_bridge.application.retiring import RetireClaims
from tanqiao_bridge.storage.tables import metadata
from tests.contract.bridge.conftest import _migrated
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_units,
    run_bridge,
)
from tests.contract.digests import digest_of_rows
from tests.contract.refusing import Refusals, refusals

API: Final = "/tanqiao.api.bridge.v1."
STREAMS: Final = frozenset(
    {
        f"{API}SyncService/Connect",
        f"{API}ConflictService/CheckClaims",
        f"{API}ConflictService/WatchConflicts",
    }
)
"""Methods that answer with a stream; one request is a stream of one."""
CLOCK: Final = "/tanqiao.api.common.v1.ClockService/"
READER: Final = "reader/national"
UNKNOWN_FIELD: Final = b"\xf8\x3f\x01"
BIG: Final = 2**63 - 1
KEPT: Final = frozenset(
    {
        "evidence",
        "conflict_case",
        "frozen",
        "freeze_order",
        "log_leaf",
        "counter",
        "outbox",
        "outbox_stream",
    }
)
"""What evidence may touch: R4 keeps it, freezes on it, names the freeze in a leaf and tells the regions."""


SEALING: Final = frozenset({"sealed_tree", "tree_tile", "tree_checkpoint", "lease", "bridge_time"})
"""What sealing and the bridge's own time write, each second in which the log has grown, each minute."""


LOOK_SECONDS: Final = 0.03
LOOKS_THE_SAME: Final = 3
LOOKS_MAX: Final = 300


def digest(database: Database, leaving_out: frozenset[str] = frozenset()) -> str:
    """Digest every row of every table but those of sealing."""
    return digest_of_rows(database, metadata, leaving_out | SEALING)


def row(world: World) -> AbstractContextManager[Refusals]:
    """Give a row of refusals at the bridge."""
    return refusals(lambda: digest(world.database), world.database.dialect)


def settled(running: Running) -> str:
    """Wait until nothing changes any more: the last acknowledgements have been taken.

    Each look waits until the writer has done what was in its queue, so that a slow machine waits longer. It
    does what the bridge does of its own accord once a minute, which then finds nothing while a test looks.
    """
    bridge = running.bridge
    before, same = "", 0
    for _ in range(LOOKS_MAX):
        for command in (
            PassDeadlines(bridge.context.monotonic_ms()),
            LapseClaims(),
            WatchFinals(),
            RetireClaims(),
        ):
            bridge.writer.execute(command, WAIT_SECONDS)
        now = digest(bridge.database)
        before, same = now, same + 1 if now == before else 0
        if same == LOOKS_THE_SAME:
            return now
        time.sleep(LOOK_SECONDS)
    raise AssertionError("the database does not come to rest")


@dataclass
class World:
    """A bridge with an agreement, units, a decided transfer and claims; regions that speak when asked."""

    running: Running
    shanghai: PlayedRegion
    shenzhen: PlayedRegion
    declared: claims_pb2.DeclareClaimResponse
    decision: messages_pb2.Decision
    lock: messages_pb2.LockAssertion
    record: envelope_pb2.Envelope
    channels: dict[str, grpc.Channel] = field(default_factory=dict)

    @property
    def network(self) -> NetworkOfTest:
        return self.running.network

    @property
    def database(self) -> Database:
        return self.running.bridge.database

    def channel(self, party: str) -> grpc.Channel:
        if party not in self.channels:
            self.channels[party] = self.running.channel(party)
        return self.channels[party]

    def send(self, method: str, data: bytes, party: str) -> bytes:
        """Send bytes as a request; the refusal as the server raised it."""
        if method in STREAMS:
            stream: grpc.StreamStreamMultiCallable[bytes, bytes] = self.channel(party).stream_stream(method)
            try:
                return b"".join(stream(iter([data]), timeout=WAIT_SECONDS))
            except grpc.RpcError as error:
                raise from_rpc_error(error) from None
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel(party).unary_unary(method)
        try:
            return call(data, timeout=WAIT_SECONDS)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def world(
    request: pytest.FixtureRequest, network: NetworkOfTest, database_maker: DatabaseMaker
) -> Iterator[World]:
    """One bridge for all cases of a database: what is refused changes nothing, so that they share it."""
    assert request.param in DATABASE_KINDS
    made = database_maker.make(request.param, _migrated, "bridge")
    running = run_bridge(network, made.url, made.owner_url)
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    shenzhen = PlayedRegion(running, SHENZHEN).connect()
    running.recognise()
    assert issue_units(running, shanghai).accepted
    lock = shanghai.lock(0, 1_000)
    (transfer_id,) = shanghai.offer_locks([lock])
    decision = shanghai.outcome(transfer_id)
    shenzhen.outcome(transfer_id)
    later = claim_of("310000:instalment:2", start="2026-02-01", end="2026-03-01")
    declared = declare(running, SHANGHAI, later)
    for region in (shanghai, shenzhen):
        region.wait(lambda region=region: region.received_number >= 2)  # type: ignore[misc] # bound now
        region.disconnect()
    assert running.bridge.lines.wait_idle(WAIT_SECONDS)
    settled(running)
    record = running.signed_by_roots(recognition("A-9"), ("authority/310000", "authority/440300"))
    yield World(running, shanghai, shenzhen, declared, decision, lock[0], record)
    report = check_database(running.bridge.database)
    running.bridge.stop()
    database_maker.drop(made)
    assert report.clean, report.as_text()


def recognition(agreement_id: str, **changes: Any) -> messages_pb2.RecognitionRecord:
    values: dict[str, Any] = {
        "agreement_id": agreement_id,
        "from_region": SHANGHAI,
        "to_region": SHENZHEN,
        "programmes": ["SH_SHCER"],
        "unit_classes": ["I"],
        "purposes": ["voluntary"],
        "period": period((2026, 1, 1), (2027, 1, 1)),
    }
    return messages_pb2.RecognitionRecord(**{**values, **changes})


def period(start: tuple[int, int, int], end: tuple[int, int, int]) -> values_pb2.Period:
    return values_pb2.Period(
        start_date=values_pb2.Date(year=start[0], month=start[1], day=start[2]),
        end_date=values_pb2.Date(year=end[0], month=end[1], day=end[2]),
    )


def refused(work: Callable[..., Any], *arguments: object) -> DomainError:
    with pytest.raises(DomainError) as caught:
        work(*arguments)
    assert caught.value.symbol != "INTERNAL"
    for language in ("zh", "en"):
        assert caught.value.sentence(language)
    return caught.value


def spoil(message: Any, **changes: Any) -> Any:
    """Change fields of a message."""
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = message
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        if value is None:
            target.ClearField(last)
        elif isinstance(value, Message):
            getattr(target, last).CopyFrom(value)
        elif isinstance(value, list):
            target.ClearField(last)
            getattr(target, last).extend(value)
        else:
            setattr(target, last, value)
    return message
