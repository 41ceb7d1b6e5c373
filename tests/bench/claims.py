"""Claim checks and declarations through gRPC, on an index that is not empty, with both gateways asked."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER
from tests.bench.bench import Bench, timed
from tests.bench.limits import CLAIM_CHECK, CLAIM_DECLARE
from tests.bench.lists import LISTED_FROM, filing_code, import_lists
from tests.bench.played import SHANGHAI, claim_of, statements
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Result

CALLERS: Final = 32
BATCH: Final = 1000
BATCHES: Final = 4
SINGLES: Final = 640
DECLARED: Final = 5
"""Batches in the index before anything is checked."""
LISTED_PLANTS: Final = 2_000
WAIT_SECONDS: Final = 120.0

_numbers = itertools.count()


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure single checks, batches of checks and batches of declarations."""
    federation = bench.federation(database)
    federation.start(BRIDGE_AND_GATEWAYS)
    import_lists(federation, bench.scaled(LISTED_PLANTS, 50))
    stub = claims_pb2_grpc.ClaimServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    declared = bench.scaled(DECLARED, 1)
    _declare(federation, stub, BATCH, declared)
    batches, singles = bench.scaled(BATCHES, 1), bench.scaled(SINGLES, 32)
    single_rates, batch_rates, declare_rates = [], [], []
    for _ in range(bench.rounds):
        requests = [claims_pb2.CheckClaimRequest(claim=_claim()) for _ in range(singles)]
        seconds, _ = timed(lambda requests=requests: _side_by_side(stub.CheckClaim, requests, CALLERS))  # type: ignore[misc]
        single_rates.append(singles / seconds)
        many = [
            claims_pb2.BatchCheckClaimsRequest(claims=[_claim() for _ in range(BATCH)])
            for _ in range(batches)
        ]
        seconds, _ = timed(lambda many=many: _side_by_side(stub.BatchCheckClaims, many, 1))  # type: ignore[misc]
        batch_rates.append(batches * BATCH / seconds)
        seconds, _ = timed(lambda: _declare(federation, stub, BATCH, batches))
        declare_rates.append(batches * BATCH / seconds)
    note = f"at first {declared * BATCH} claims in the index, two gateways asked"
    return [
        Result(
            "claims",
            f"claim checks, single, {CALLERS} callers",
            database,
            "checks/s",
            tuple(single_rates),
            bench.limit(CLAIM_CHECK, 1),
            CLAIM_CHECK.in_words(1),
            note,
        ),
        Result(
            "claims",
            f"claim checks, batches of {BATCH}",
            database,
            "checks/s",
            tuple(batch_rates),
            bench.limit(CLAIM_CHECK, BATCH),
            CLAIM_CHECK.in_words(BATCH),
        ),
        Result(
            "claims",
            f"claims declared, batches of {BATCH}",
            database,
            "claims/s",
            tuple(declare_rates),
            bench.limit(CLAIM_DECLARE, BATCH),
            CLAIM_DECLARE.in_words(BATCH),
        ),
    ]


def _claim() -> claims_pb2.Claim:
    """Give a claim to a plant of its own, that no list has."""
    number = next(_numbers)
    if number >= LISTED_FROM:
        raise RuntimeError("the bench ran out of plants")
    return claim_of(f"310000:project:B-{number}", filing_code(number), project=f"B-{number}")


def _declare(federation: Federation, stub: claims_pb2_grpc.ClaimServiceStub, size: int, batches: int) -> None:
    """Declare new claims, one batch after the other; each must get its place."""
    for _ in range(batches):
        batch = statements(federation, [_claim() for _ in range(size)])
        request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
        answer = stub.BatchDeclareClaims(request, timeout=WAIT_SECONDS)
        failed = [status for status in answer.statuses if status.code]
        if failed:
            raise RuntimeError(f"{len(failed)} claims were refused: {failed[0]}")


def _side_by_side(call: Callable[..., object], requests: list[object], callers: int) -> None:
    """Send the requests from so many threads; an error of any is raised."""
    waiting = iter(requests)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                request = next(waiting, None)
            if request is None:
                return
            call(request, timeout=WAIT_SECONDS)

    with ThreadPoolExecutor(callers) as pool:
        for future in [pool.submit(work) for _ in range(callers)]:
            future.result()
