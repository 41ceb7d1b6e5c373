"""Claim checks and declarations through gRPC, on an index that is not empty, with the lists of both gateways.

Each beside the bare indexed read or write of the same database, measured in the same run. What a client does
before it sends and after it was answered is not measured: requests of batches are bytes before the clock
starts, and their answers are read, and every item looked at, after it has stopped. The generator is a process
of its own, on the same cores as the nodes.
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
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER
from tanqiao.rpc.channel import open_channel
from tests.bench.bare_index import BareIndex, bare_index
from tests.bench.bench import LIMIT_SECONDS, LIMIT_SECONDS_QUICK, Bench, timed
from tests.bench.lists import LISTED_FROM, filing_code, import_lists
from tests.bench.machine import cpu_seconds, wait_idle
from tests.bench.offered import latencies_ms
from tests.bench.played import SHANGHAI, claim_of, statements
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Result

CALLERS: Final = 32
BATCH: Final = 1000
BATCHES: Final = 16
BATCHES_AT_ONCE: Final = 3
"""Batches under way: while one is judged, another is on its way and one is written."""
SINGLES: Final = 640
LISTED_PER_BATCH: Final = 10
"""Plants of a mixed batch that both lists hold: the gateways are asked about these."""
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
CHECKS: Final = "checks"
MIXED: Final = "checks, some on listed plants"
DECLARATIONS: Final = "declarations"
METHODS: Final = {CHECKS: "BatchCheckClaims", MIXED: "BatchCheckClaims", DECLARATIONS: "BatchDeclareClaims"}

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
    note = f"at first {declared * BATCH} claims in the index; plants that neither of two lists holds"
    seconds = LIMIT_SECONDS_QUICK if bench.quick else LIMIT_SECONDS
    with bare_index(federation) as bare:
        results = _batches(bench, database, federation, bare, seconds, note)
        results += _singles(bench, database, federation, bare, note)
    return results


def _batches(
    bench: Bench, database: str, federation: Federation, bare: BareIndex, seconds: float, note: str
) -> list[Result]:
    batches = bench.scaled(BATCHES, 1)
    rates: dict[str, list[float]] = {CHECKS: [], MIXED: [], DECLARATIONS: []}
    costs: dict[str, list[float]] = {CHECKS: [], MIXED: [], DECLARATIONS: []}
    read: list[float] = []
    written: list[float] = []
    for what, request in ((CHECKS, _batch_of_checks()), (DECLARATIONS, declaration(federation))):
        _send_batches(
            federation, METHODS[what], [request] * BATCHES_AT_ONCE
        )  # threads and connections are made
    for _ in range(bench.rounds):
        many = [_batch_of_checks() for _ in range(batches)]
        _measure_batches(federation, CHECKS, many, rates, costs)
        many = [_batch_of_checks(LISTED_PER_BATCH) for _ in range(batches)]
        _measure_batches(federation, MIXED, many, rates, costs)
        read += bare.rates(bare.read, BATCH, rounds=1, seconds=seconds)
        ready = [declaration(federation) for _ in range(batches)]
        _measure_batches(federation, DECLARATIONS, ready, rates, costs)
        written += bare.rates(bare.write, BATCH, rounds=1, seconds=seconds)
        wait_idle([federation.pid(BRIDGE_MEMBER)])  # the log is sealed: that is no part of what follows
    checks, declarations = f"claim checks, batches of {BATCH}", f"claims declared, batches of {BATCH}"
    return [
        Result(
            "claims",
            checks,
            database,
            "checks/s",
            tuple(rates[CHECKS]),
            tuple(read),
            f"rows read by key from a bare table, {BATCH} with a statement",
            f"wanted: {CHECKS_WANTED:,} a second; {note}",
        ),
        _cost(f"{checks}: the bridge's processor for one", database, costs[CHECKS]),
        Result(
            "claims",
            f"{checks}, {LISTED_PER_BATCH} of them on plants of both lists",
            database,
            "checks/s",
            tuple(rates[MIXED]),
            tuple(read),
            f"rows read by key from a bare table, {BATCH} with a statement",
            "both gateways are asked about the listed ones",
        ),
        Result(
            "claims",
            declarations,
            database,
            "claims/s",
            tuple(rates[DECLARATIONS]),
            tuple(written),
            f"rows written into a bare table with one index, {BATCH} with a statement and a commit",
            f"wanted: {DECLARED_WANTED:,} a second; signing by the region is not counted",
        ),
        _cost(f"{declarations}: the bridge's processor for one", database, costs[DECLARATIONS]),
    ]


def _cost(title: str, database: str, microseconds: Sequence[float]) -> Result:
    return Result("claims", title, database, "µs", tuple(microseconds))


def _measure_batches(
    federation: Federation,
    what: str,
    requests: Sequence[Message],
    rates: dict[str, list[float]],
    costs: dict[str, list[float]],
) -> None:
    """Note the rate, and the bridge's processor for an item in microseconds."""
    bridge = federation.pid(BRIDGE_MEMBER)
    before = cpu_seconds(bridge)
    took, answers = _send_batches(federation, METHODS[what], requests)
    items = len(requests) * BATCH
    costs[what].append((cpu_seconds(bridge) - before) / items * 1_000_000)
    rates[what].append(items / took)
    wrong = next(filter(None, map(_FAULTS[what], answers)), "")
    if wrong:
        raise RuntimeError(wrong)


def _send_batches(
    federation: Federation, method: str, requests: Sequence[Message]
) -> tuple[float, list[bytes]]:
    """Send requests that are bytes already; the seconds until all were answered, and the answers."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = federation.channel(
        BRIDGE_MEMBER, SHANGHAI
    ).unary_unary(f"/tanqiao.api.bridge.v1.ClaimService/{method}")
    data = [request.SerializeToString() for request in requests]
    return timed(lambda: _side_by_side(call, data, BATCHES_AT_ONCE))


def _batch_of_checks(listed: int = 0) -> claims_pb2.BatchCheckClaimsRequest:
    """Give the checks of new claims, the first of them on plants that both lists hold."""
    claims = new_claims(BATCH)
    for number, claim in enumerate(claims[:listed]):
        claim.asset.references[0].value = filing_code(LISTED_FROM + number)
    return claims_pb2.BatchCheckClaimsRequest(claims=claims)


def _verdict_fault(data: bytes, listed: int = 0) -> str:
    answer = claims_pb2.BatchCheckClaimsResponse.FromString(data)
    if len(answer.verdicts) != BATCH or not answer.HasField("batch"):
        return f"{len(answer.verdicts)} verdicts for {BATCH} claims"
    if not all(map(_kind_fault, answer.verdicts[:listed])):
        return "a claim on a listed plant passed"
    return next(filter(None, map(_kind_fault, answer.verdicts[listed:])), "")


def _declared_fault(data: bytes) -> str:
    answer = claims_pb2.BatchDeclareClaimsResponse.FromString(data)
    failed = [status for status in answer.statuses if status.code]
    if failed or len(answer.statuses) != BATCH:
        return f"{len(failed)} of {len(answer.statuses)} claims were refused: {failed[:1]}"
    return ""


_FAULTS: Final[dict[str, Callable[[bytes], str]]] = {
    CHECKS: _verdict_fault,
    MIXED: partial(_verdict_fault, listed=LISTED_PER_BATCH),
    DECLARATIONS: _declared_fault,
}


def _singles(bench: Bench, database: str, federation: Federation, bare: BareIndex, note: str) -> list[Result]:
    singles = bench.scaled(SINGLES, 32)
    count = OFFERED_PER_SECOND * bench.scaled(OFFERED_SECONDS, 1)
    rates, worst, medians, reads = [], [], [], []
    late_ms: list[float] = []
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
            one = latencies_ms(partial(_offer, checks, due), count, OFFERED_PER_SECOND, fault, late_ms)
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
            f"open loop: from the moment at which the call was due; wanted: below {P99_WANTED_MS} ms; the "
            f"generator's own lateness, which counts: median {statistics.median(late_ms):.1f} ms, at most "
            f"{max(late_ms):.1f} ms",
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
    return _kind_fault(answer.verdict)


def _kind_fault(verdict: claims_pb2.Verdict) -> str:
    kind = verdict.verdict
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
    requests = (declaration(federation) for _ in range(batches))
    for answer in _side_by_side(stub.BatchDeclareClaims, requests, 1):
        wrong = _declared_fault(answer.SerializeToString())
        if wrong:
            raise RuntimeError(wrong)


def _side_by_side(call: Callable[..., Any], requests: Iterable[Any], callers: int) -> list[Any]:
    """Send the requests from so many threads; the answers in any order, an error of any is raised."""
    waiting = iter(requests)
    lock = threading.Lock()
    answers = []

    def work() -> None:
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            answers.append(call(request, timeout=WAIT_SECONDS))

    with ThreadPoolExecutor(callers) as pool:
        for future in [pool.submit(work) for _ in range(callers)]:
            future.result()
    return answers
