"""Transfers across two regions from end to end, and transfers inside one region, through the public API.

A cross-region transfer counts when the buyer's balance shows it: lock, Ready, Decision and both effects are
durable by then.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.cli.local.members import BRIDGE_MEMBER, SHANGHAI, SHENZHEN
from tests.bench.bench import Bench
from tests.bench.limits import CROSS_REGION, LOCAL_TRANSFER
from tests.bench.machine import cpu_seconds
from tests.bench.pgbench import transactions_per_second
from tests.bench.processes import Federation
from tests.bench.results import Result
from tests.bench.units import POLL_SECONDS, WAIT_SECONDS, Ready, prepare

CALLERS: Final = 32
BATCH_CALLERS: Final = 2
WAIT_MS: Final = 30_000
SINGLES: Final = 320
LOCAL_SINGLES: Final = 1_600
BATCHES: Final = {100: 10, 1000: 4}
"""Size of a batch → batches for each round."""
LOCAL_BATCH: Final = 1000
LOCAL_BATCHES: Final = 4
PROCESSES: Final = {"bridge": BRIDGE_MEMBER, "source": SHANGHAI, "destination": SHENZHEN}

_numbers = itertools.count()


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure everything that needs two region nodes."""
    federation = bench.federation(database)
    ready = prepare(federation)
    results = [_singles(bench, database, ready)]
    for size, batches in BATCHES.items():
        results += _batches(bench, database, federation, ready, size, bench.scaled(batches, 1))
    return results + _local(bench, database, federation, ready)


# -- across regions ----------------------------------------------------------------------------------------


def _singles(bench: Bench, database: str, ready: Ready) -> Result:
    count = bench.scaled(SINGLES, 32)

    def one(_number: int) -> None:
        answer = ready.shanghai.transfers.CreateTransfer(_request(ready, wait_ms=WAIT_MS))
        _require_moved([answer.transfer])

    rates = tuple(_cross(ready, count, lambda: _spread(one, count, CALLERS)) for _ in range(bench.rounds))
    return Result(
        "regions",
        f"across regions, single, {CALLERS} callers",
        database,
        "transfers/s",
        rates,
        bench.limit(CROSS_REGION, CALLERS),
        CROSS_REGION.in_words(CALLERS),
        "counted when the buyer's balance shows them",
    )


def _batches(
    bench: Bench, database: str, federation: Federation, ready: Ready, size: int, batches: int
) -> list[Result]:
    def one(_number: int) -> None:
        requests = [_request(ready) for _ in range(size)]
        answer = ready.shanghai.transfers.BatchCreateTransfers(
            ledger_pb2.BatchCreateTransfersRequest(requests=requests, wait_ms=WAIT_MS)
        )
        _require_moved(answer.transfers)

    pids = {name: federation.pid(member) for name, member in PROCESSES.items()}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    count = size * batches
    rates = tuple(
        _cross(ready, count, lambda: _spread(one, batches, BATCH_CALLERS)) for _ in range(bench.rounds)
    )
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    costs = [f"{name} {seconds * 1e6 / (count * bench.rounds):.0f}" for name, seconds in spent.items()]
    return [
        Result(
            "regions",
            f"across regions, batches of {size}, {BATCH_CALLERS} callers",
            database,
            "transfers/s",
            rates,
            bench.limit(CROSS_REGION, size),
            CROSS_REGION.in_words(size),
            f"on {database} processor time for each transfer, µs: " + ", ".join(costs),
        )
    ]


def _request(ready: Ready, *, wait_ms: int = 0) -> ledger_pb2.CreateTransferRequest:
    return ledger_pb2.CreateTransferRequest(
        request_id=f"bench-{next(_numbers)}",
        from_account_id=ready.seller,
        destination_region_code=SHENZHEN.code,
        receiving_address=ready.address,
        units=ledger_pb2.UnitSelection(series_id=ready.series_id, quantity_kg=1),
        wait_ms=wait_ms,
    )


def _require_moved(transfers: Sequence[ledger_pb2.Transfer]) -> None:
    for transfer in transfers:
        if transfer.state != ledger_pb2.TRANSFER_STATE_MOVED:
            state = ledger_pb2.TransferState.Name(transfer.state)
            raise RuntimeError(f"a transfer is {state}: {list(transfer.reasons)[:1]}")


def _cross(ready: Ready, count: int, work: Callable[[], None]) -> float:
    """Do the work and wait for the buyer's balance; transfers a second."""
    target = ready.held_kg(ready.shenzhen, ready.buyer) + count
    start = time.perf_counter()
    work()
    while ready.held_kg(ready.shenzhen, ready.buyer) < target:
        if time.perf_counter() - start > WAIT_SECONDS * 2:
            raise TimeoutError("what was decided was not credited")
        time.sleep(POLL_SECONDS)
    return count / (time.perf_counter() - start)


# -- inside a region ---------------------------------------------------------------------------------------


def _local(bench: Bench, database: str, federation: Federation, ready: Ready) -> list[Result]:
    count = bench.scaled(LOCAL_SINGLES, 32)
    batches = bench.scaled(LOCAL_BATCHES, 1)

    def one(_number: int) -> None:
        ready.shanghai.ledger.TransferUnits(_local_request(ready))

    def batch(_number: int) -> None:
        requests = [_local_request(ready) for _ in range(LOCAL_BATCH)]
        answer = ready.shanghai.ledger.BatchTransferUnits(
            ledger_pb2.BatchTransferUnitsRequest(requests=requests)
        )
        failed = [status for status in answer.statuses if status.code]
        if failed:
            raise RuntimeError(f"{len(failed)} transfers were refused: {failed[0]}")

    singles = tuple(_rate(count, lambda: _spread(one, count, CALLERS)) for _ in range(bench.rounds))
    many = tuple(
        _rate(batches * LOCAL_BATCH, lambda: _spread(batch, batches, BATCH_CALLERS))
        for _ in range(bench.rounds)
    )
    titles = (f"inside a region, single, {CALLERS} callers", f"inside a region, batches of {LOCAL_BATCH}")
    results = []
    for title, values, size in ((titles[0], singles, CALLERS), (titles[1], many, LOCAL_BATCH)):
        limit = bench.limit(LOCAL_TRANSFER, size)
        words = LOCAL_TRANSFER.in_words(size)
        results.append(Result("regions", title, database, "transfers/s", values, limit, words))
    if database == "postgres":
        results += _against_pgbench(bench, federation, (titles, (singles, many)))
    return results


def _against_pgbench(
    bench: Bench, federation: Federation, measured: tuple[Sequence[str], Sequence[tuple[float, ...]]]
) -> list[Result]:
    """Put the same values beside what the same server does of pgbench's transactions."""
    seconds = bench.scaled(5, 1)
    rates = transactions_per_second(federation.postgres, CALLERS, seconds=seconds, rounds=bench.rounds)
    words = f"pgbench TPC-B-like, scale 10, {CALLERS} clients, on the same PostgreSQL"
    return [
        Result("regions", f"{title}, against pgbench", "postgres", "transfers/s", values, rates, words)
        for title, values in zip(*measured, strict=True)
    ]


def _local_request(ready: Ready) -> ledger_pb2.TransferUnitsRequest:
    return ledger_pb2.TransferUnitsRequest(
        request_id=f"bench-{next(_numbers)}",
        from_account_id=ready.seller,
        to_account_id=ready.other,
        units=ledger_pb2.UnitSelection(series_id=ready.series_id, quantity_kg=1),
    )


# -- callers -----------------------------------------------------------------------------------------------


def _rate(count: int, work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def _spread(work: Callable[[int], None], count: int, callers: int) -> None:
    """Do the work so many times from so many threads, each beginning again as soon as it is answered."""
    waiting = iter(range(count))
    lock = threading.Lock()

    def call() -> None:
        while True:
            with lock:
                number = next(waiting, None)
            if number is None:
                return
            work(number)

    with ThreadPoolExecutor(callers) as pool:
        for future in [pool.submit(call) for _ in range(callers)]:
            future.result()
