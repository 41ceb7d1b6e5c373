"""Bad luck that no fault of ours causes: clocks that jump, ids that collide, junk, questions without end.

Real nodes over TLS on SQLite; how much of each is tried stands in the test, for a machine that runs the suite
often. `JUNK`, `QUESTIONS` and `REPEATS` of the environment try more.
"""

from __future__ import annotations

import hashlib
import os
import resource
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2, sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.storage.tables import metadata
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.crash.acts import ACTS, CALL_SECONDS, persist
from tests.crash.cases import Bench, Case
from tests.crash.matrix import SQLITE
from tests.crash.ring import CASE_SECONDS_MAX, Ring

TRANSFER: Final = 0
JUNK: Final = int(os.environ.get("JUNK", "20000"))
QUESTIONS: Final = int(os.environ.get("QUESTIONS", "5000"))
REPEATS: Final = int(os.environ.get("REPEATS", "1000"))
JUNK_PER_CALL: Final = 500
CALLERS: Final = 8
PATIENT_SECONDS: Final = 120.0
"""How long one of a million calls may take on a machine that has other work; no figure is taken of it."""
STATM: Final = Path("/proc/self/statm")
GROWTH_MEBIBYTES_MAX: Final = 64
STEPS: Final = (timedelta(days=-400), timedelta(hours=-30), timedelta(hours=30), timedelta(days=20))

TIMEOUT_SECONDS: Final = 300 + (JUNK + QUESTIONS + REPEATS) // 100

pytestmark = [pytest.mark.timeout(TIMEOUT_SECONDS), pytest.mark.long]
SEALED_BY_TIME = frozenset(
    {"lease", "sealed_tree", "tree_tile", "tree_checkpoint", "tree_cosignature", "tree_cosigned"}
    | {"region_leaf"}
)
"""Tables of logs that are sealed each second and carried up in the background."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def ring(bench: Bench) -> Ring:
    """The three nodes, furnished; whatever a test does to them, their books are clean at its end."""
    return bench._ready(Case(SQLITE, TRANSFER))


class Stepped:
    """A clock that was set wrong."""

    def __init__(self, clock: Clock, step: timedelta) -> None:
        self._clock = clock
        self._step = step

    def now(self) -> datetime:
        return self._clock.now() + self._step


def a_transfer(ring: Ring, number: int) -> None:
    """Let one kilogram cross."""
    assert ACTS[TRANSFER].run(ring, number) == 1


def digest(database: Database) -> str:
    """Digest every row of every table of the bridge, but for the logs sealed by time."""
    found = hashlib.sha256()
    with database.reading() as connection:
        for table in metadata.sorted_tables:
            if table.name in SEALED_BY_TIME:
                continue
            rows = connection.execute(sa.select(table)).all()
            for row in sorted(repr(tuple(row)) for row in rows):
                found.update(f"{table.name} {row}".encode())
    return found.hexdigest()


def rest(ring: Ring) -> str:
    """Wait until the bridge has taken the last acknowledgements; what its tables are then."""
    ring.require_whole()
    last = [""]

    def rests() -> bool:
        before, last[0] = last[0], digest(ring.running["B"].database)
        return before == last[0] and ring.points.quiet_for(0.3)

    ring.market.wait(rests, "the bridge rests")
    return last[0]


@pytest.mark.parametrize("letter", ["S", "B", "D"])
def test_a_clock_that_jumps_at_any_party_strands_and_loses_nothing(bench: Bench, letter: str) -> None:
    """Back: an order may be refused by name, and what was begun ends. Forward: work goes on."""
    bench._discard()  # what a clock wrote stays: these nodes are for this test alone
    ring = bench._ready(Case(SQLITE, TRANSFER))
    market, context = ring.market, ring.running[letter].context
    right = context.clock
    a_transfer(ring, 1_001)
    moved = 1
    refused: list[tuple[str, bool, str]] = []
    for number, step in enumerate(STEPS):
        context.clock = Stepped(right, step)
        try:
            answer = market.transfers().CreateTransfer(market.order(2_000 + number), timeout=CALL_SECONDS * 4)
        except grpc.RpcError as error:
            refused.append((letter, step < timedelta(0), from_rpc_error(error).symbol))
            continue
        transfer_id = answer.transfer.transfer_id
        ended = market.wait_ended([transfer_id], CASE_SECONDS_MAX)[transfer_id]
        assert ended == ledger_pb2.TRANSFER_STATE_MOVED or step < timedelta(0), (step, ended)
        moved += ended == ledger_pb2.TRANSFER_STATE_MOVED
        ring.require_whole()
    assert market.balance(SHENZHEN, market.buyer).held_kg == moved
    assert set(refused) <= {("S", True, "CLOCK_SET_BACK")}
    assert moved > sum(step > timedelta(0) for step in STEPS)
    bench._discard()


def test_a_transfer_id_that_is_drawn_twice_is_refused_and_locks_nothing(ring: Ring) -> None:
    context = ring.running["S"].context
    drawn = context.random_bytes
    same = secrets.token_bytes(80)
    held = ring.market.balance(SHENZHEN, ring.market.buyer).held_kg
    try:
        context.random_bytes = lambda count: same[:count] if count == len(same) else drawn(count)
        a_transfer(ring, 2_001)
        with pytest.raises(grpc.RpcError) as caught:
            ring.market.transfers().CreateTransfer(ring.market.order(2_002), timeout=CALL_SECONDS)
        assert isinstance(from_rpc_error(caught.value), DomainError)
    finally:
        context.random_bytes = drawn
    ring.require_whole()
    a_transfer(ring, 2_002)
    assert ring.market.balance(SHENZHEN, ring.market.buyer).held_kg == held + 2
    ring.require_whole()


def junk() -> envelope_pb2.EnvelopeBatch:
    """Give a batch of what looks like locks and is none."""
    forged = envelope_pb2.Signature(key_id=secrets.token_bytes(16), signature=secrets.token_bytes(64))
    return envelope_pb2.EnvelopeBatch(
        payload_type=payload_type_of(messages_pb2.LockAssertion),
        payloads=[secrets.token_bytes(64) for _ in range(JUNK_PER_CALL)],
        signatures=[forged],
    )


def test_junk_from_a_valid_certificate_is_refused_and_leaves_no_trace(ring: Ring) -> None:
    before = rest(ring)
    memory = resident_mebibytes()
    tls = ring.market.network.tls(SHENZHEN)

    def send(_: int) -> int:
        with open_channel(ring.addresses["bridge"], tls) as channel:
            stub = sync_pb2_grpc.SyncServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.SubmitMessages(sync_pb2.SubmitMessagesRequest(batch=junk()), timeout=PATIENT_SECONDS)
        refusal = from_rpc_error(caught.value)
        assert refusal.symbol not in {"INTERNAL", "PEER_UNREACHABLE"}, refusal
        return JUNK_PER_CALL

    with ThreadPoolExecutor(CALLERS) as pool:
        sent = sum(pool.map(send, range(JUNK // JUNK_PER_CALL)))
    print(f"{sent} junk messages")
    assert rest(ring) == before
    a_transfer(ring, 3_001)
    assert resident_mebibytes() - memory < GROWTH_MEBIBYTES_MAX


def resident_mebibytes() -> float:
    """Give the memory of this process, in which all three nodes live."""
    if STATM.exists():
        pages = int(STATM.read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / (1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def test_questions_about_transfers_that_nobody_knows_write_nothing(ring: Ring) -> None:
    ring.running["B"].location_roots.stop()  # one is due every ten minutes: a million questions take longer
    a_transfer(ring, 4_001)
    before = rest(ring)
    ring.points.arm()
    local = threading.local()
    tls = ring.market.network.tls(SHANGHAI)
    channels: list[grpc.Channel] = []

    def ask(_: int) -> int:
        if not hasattr(local, "stub"):
            channels.append(open_channel(ring.addresses["bridge"], tls))
            local.stub = directory_pb2_grpc.DecisionServiceStub(channels[-1])
        request = directory_pb2.GetOutcomeRequest(source=SHANGHAI, transfer_id=secrets.token_bytes(16))
        return int(local.stub.GetOutcome(request, timeout=PATIENT_SECONDS).outcome)

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = set(pool.map(ask, range(QUESTIONS)))
    for channel in channels:
        channel.close()
    print(f"{QUESTIONS} questions")
    assert answers == {directory_pb2.TRANSFER_OUTCOME_UNKNOWN}
    written = [edge for edge in ring.points.met if edge.kind == "write" and "LogKeeper" not in edge.what]
    assert not written, written
    assert rest(ring) == before


def test_a_request_repeated_by_two_clients_across_restarts_has_one_effect_and_one_answer(ring: Ring) -> None:
    market = ring.market
    held = market.balance(SHENZHEN, market.buyer).held_kg
    order = market.order(5_001)
    role = "operator/310000/sh.holder"
    left = iter(range(REPEATS))
    lock = threading.Lock()

    def client(_: int) -> set[tuple[Any, ...]]:
        """One of two programs of the same holder; a channel of its own for each life of the node."""
        answers: set[tuple[Any, ...]] = set()
        channels: dict[str, grpc.Channel] = {}
        while True:
            with lock:
                if next(left, None) is None:
                    break

            def call() -> Any:
                address = ring.addresses[SHANGHAI]
                if address not in channels:
                    channels[address] = open_channel(address, market.network.tls(role))
                stub = channels[address].unary_unary(
                    "/tanqiao.api.region.v1.TransferService/CreateTransfer",
                    request_serializer=type(order).SerializeToString,
                    response_deserializer=ledger_pb2.CreateTransferResponse.FromString,
                )
                return stub(order, timeout=CALL_SECONDS)

            transfer = persist(call).transfer
            blocks = tuple((one.series_id, one.start_serial, one.end_serial) for one in transfer.blocks)
            answers.add((transfer.transfer_id, transfer.quantity_kg, blocks))
        for channel in channels.values():
            channel.close()
        return answers

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(client, number) for number in range(2)]
        for letter in ("S", "B", "S", "D", "S"):
            with ring.lock:
                ring.stop(letter)
                ring.start(letter)
        answers = clients[0].result() | clients[1].result()
    print(f"{REPEATS} repetitions")
    assert len(answers) == 1, answers
    ring.require_whole()
    assert market.balance(SHENZHEN, market.buyer).held_kg == held + 1
