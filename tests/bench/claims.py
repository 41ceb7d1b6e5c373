"""Claim checks and declarations through gRPC, on an index that is not empty, with both gateways asked.

Each beside the bare indexed read or write of the same database, measured in the same run.
"""

from __future__ import annotations

import itertools
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER
from tanqiao.rpc.channel import open_channel
from tests.bench.bare_index import BareIndex, bare_index
from tests.bench.bench import LIMIT_SECONDS, LIMIT_SECONDS_QUICK, Bench, timed
from tests.bench.lists import LISTED_FROM, filing_code, import_lists
from tests.bench.machine import wait_idle
from tests.bench.offered import latencies_ms
from tests.bench.played import SHANGHAI, claim_of, statements
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Result

CALLERS: Final = 32
BATCH: Final = 1000
BATCHES: Final = 8
BATCHES_AT_ONCE: Final = 2
"""Batches under way: while one is judged, the other is on its way."""
SINGLES: Final = 640
DECLARED: Final = 20
"""Batches in the index before anything is checked."""
LISTED_PLANTS: Final = 2_000
OFFERED_PER_SECOND: Final = 200
OFFERED_SECONDS: Final = 10
PERCENTILE: Final = 99
CHECKS_WANTED: Final = 20_000
DECLARED_WANTED: Final = 5_000
P99_WANTED_MS: Final = 20
WAIT_SECONDS: Final = 120.0

_numbers = itertools.count()


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure single checks, batches of checks and batches of declarations."""
    federation = bench.federation(database)
    federation.start(BRIDGE_AND_GATEWAYS)
    import_lists(federation, bench.scaled(LISTED_PLANTS, 50))
    declared = bench.scaled(DECLARED, 1)
    stub = claims_pb2_grpc.ClaimServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    declare(federation, stub, declared)
    # The lists are new: the bridge compares what is declared with them, once.
    wait_idle([federation.pid(BRIDGE_MEMBER)])
    note = f"at first {declared * BATCH} claims in the index, two gateways asked"
    seconds = LIMIT_SECONDS_QUICK if bench.quick else LIMIT_SECONDS
    with bare_index(federation) as bare:
        results = _batches(bench, database, federation, stub, bare, seconds)
        results += _singles(bench, database, federation, bare, note)
    return results


def _batches(
    bench: Bench,
    database: str,
    federation: Federation,
    stub: claims_pb2_grpc.ClaimServiceStub,
    bare: BareIndex,
    seconds: float,
) -> list[Result]:
    batches = bench.scaled(BATCHES, 1)
    checked: list[float] = []
    declared: list[float] = []
    read: list[float] = []
    written: list[float] = []
    for _ in range(bench.rounds):
        many = [claims_pb2.BatchCheckClaimsRequest(claims=new_claims(BATCH)) for _ in range(batches)]
        took, _ = timed(lambda many=many: _side_by_side(stub.BatchCheckClaims, many, BATCHES_AT_ONCE))  # type: ignore[misc]
        checked.append(batches * BATCH / took)
        read += bare.rates(bare.read, BATCH, rounds=1, seconds=seconds)
        ready = [declaration(federation) for _ in range(batches)]
        took, _ = timed(lambda ready=ready: _side_by_side(stub.BatchDeclareClaims, ready, BATCHES_AT_ONCE))  # type: ignore[misc]
        declared.append(batches * BATCH / took)
        written += bare.rates(bare.write, BATCH, rounds=1, seconds=seconds)
    return [
        Result(
            "claims",
            f"claim checks, batches of {BATCH}",
            database,
            "checks/s",
            tuple(checked),
            tuple(read),
            f"rows read by key from a bare table, {BATCH} with a statement",
            f"wanted: {CHECKS_WANTED:,} a second",
        ),
        Result(
            "claims",
            f"claims declared, batches of {BATCH}",
            database,
            "claims/s",
            tuple(declared),
            tuple(written),
            f"rows written into a bare table with one index, {BATCH} with a statement and a commit",
            f"wanted: {DECLARED_WANTED:,} a second; signing by the region is not counted",
        ),
    ]


def _singles(bench: Bench, database: str, federation: Federation, bare: BareIndex, note: str) -> list[Result]:
    singles = bench.scaled(SINGLES, 32)
    count = OFFERED_PER_SECOND * bench.scaled(OFFERED_SECONDS, 1)
    rates, worst, medians, reads = [], [], [], []
    with connections(federation, CALLERS) as stubs:
        checks = itertools.cycle([stub.CheckClaim for stub in stubs])

        def any_connection(request: Any, timeout: float) -> Any:
            return next(checks)(request, timeout=timeout)

        latencies_ms(lambda: next(checks).future(_check()), CALLERS * 4, OFFERED_PER_SECOND, fault)
        for _ in range(bench.rounds):
            requests = [_check() for _ in range(singles)]
            took, _ = timed(lambda requests=requests: _side_by_side(any_connection, requests, CALLERS))  # type: ignore[misc]
            rates.append(singles / took)
            due = iter([_check() for _ in range(count)])
            one = latencies_ms(partial(_offer, checks, due), count, OFFERED_PER_SECOND, fault)
            worst.append(statistics.quantiles(one, n=100)[PERCENTILE - 1])
            medians.append(statistics.median(one))
            reads.append(statistics.median(bare.read_ms(singles)))
    title = f"claim checks, single, offered at {OFFERED_PER_SECOND}/s over {CALLERS} connections"
    bare_title = "one row read by key from a bare table, one after the other"
    return [
        Result(
            "claims",
            f"claim checks, single, {CALLERS} callers",
            database,
            "checks/s",
            tuple(rates),
            note=note,
        ),
        Result("claims", f"{title}: median", database, "ms", tuple(medians), tuple(reads), bare_title),
        Result(
            "claims",
            f"{title}: p{PERCENTILE}",
            database,
            "ms",
            tuple(worst),
            tuple(reads),
            bare_title,
            f"open loop: from the moment at which the call was due; wanted: below {P99_WANTED_MS} ms",
        ),
    ]


def _offer(checks: Iterator[Any], due: Iterator[claims_pb2.CheckClaimRequest]) -> Any:
    return next(checks).future(next(due))


# -- requests ----------------------------------------------------------------------------------------------


@contextmanager
def connections(federation: Federation, count: int) -> Iterator[list[claims_pb2_grpc.ClaimServiceStub]]:
    """Open so many connections of a region to the bridge, each with a handshake of its own."""
    address, tls = federation.home.address(BRIDGE_MEMBER), federation.network.tls(SHANGHAI)
    channels = [open_channel(address, tls) for _ in range(count)]
    try:
        for channel in channels:
            grpc.channel_ready_future(channel).result(timeout=WAIT_SECONDS)
        yield [claims_pb2_grpc.ClaimServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            channel.close()


def fault(answer: claims_pb2.CheckClaimResponse) -> str:
    """Say what is wrong with the verdict on a free plant."""
    kind = answer.verdict.verdict
    return "" if kind == claims_pb2.VERDICT_KIND_ALLOW else claims_pb2.VerdictKind.Name(kind)


def _check() -> claims_pb2.CheckClaimRequest:
    return claims_pb2.CheckClaimRequest(claim=new_claims(1)[0])


def new_claims(count: int) -> list[claims_pb2.Claim]:
    """Give claims, each to a plant of its own that no list has."""
    claims = []
    for _ in range(count):
        number = next(_numbers)
        if number >= LISTED_FROM:
            raise RuntimeError("the bench ran out of plants")
        claims.append(claim_of(f"310000:project:B-{number}", filing_code(number), project=f"B-{number}"))
    return claims


def declaration(federation: Federation) -> claims_pb2.BatchDeclareClaimsRequest:
    """Sign the declarations of a batch of new claims."""
    return claims_pb2.BatchDeclareClaimsRequest(batch=statements(federation, new_claims(BATCH)))


def declare(federation: Federation, stub: claims_pb2_grpc.ClaimServiceStub, batches: int) -> None:
    """Declare new claims, one batch after the other; each must get its place."""
    _side_by_side(stub.BatchDeclareClaims, (declaration(federation) for _ in range(batches)), 1)


def _side_by_side(call: Callable[..., Any], requests: Iterable[Any], callers: int) -> None:
    """Send the requests from so many threads; an error of any is raised, and so is a refusal of an item."""
    waiting = iter(requests)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            _require_taken(call(request, timeout=WAIT_SECONDS))

    with ThreadPoolExecutor(callers) as pool:
        for future in [pool.submit(work) for _ in range(callers)]:
            future.result()


def _require_taken(answer: Any) -> None:
    if isinstance(answer, claims_pb2.BatchDeclareClaimsResponse):
        failed: Sequence[Any] = [status for status in answer.statuses if status.code]
        if failed:
            raise RuntimeError(f"{len(failed)} claims were refused: {failed[0]}")
