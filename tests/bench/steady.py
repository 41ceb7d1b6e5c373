"""What must hold as the federation runs on: answers in time, starts under load, books that grow.

Singles offered at a fixed rate whatever comes back (open loop: waiting behind others counts), memory of the
bridge against transfers that have finished, a transfer with few and with many journal entries behind it, and
starts with transfers in flight.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc
from tanqiao.api.region.v1 import journal_pb2, ledger_pb2
from tanqiao.cli.local.members import BRIDGE_MEMBER, SHANGHAI, SHENZHEN
from tests.bench.bench import Bench
from tests.bench.machine import resident_mb
from tests.bench.offered import latencies_ms
from tests.bench.processes import Federation
from tests.bench.results import Result
from tests.bench.units import POLL_SECONDS, WAIT_SECONDS, Ready, prepare

OFFERED_PER_SECOND: Final = 150
OFFERED_SECONDS: Final = 10
PERCENTILE: Final = 99
WAIT_MS: Final = 30_000
BATCH: Final = 1000
FINISHED: Final = 20_000
IN_FLIGHT: Final = 10_000
ENTRIES_FEW: Final = 1_000
ENTRIES_MANY: Final = 1_000_000
MEDIAN_OF: Final = 200
LOG_SECONDS_MAX: Final = 600.0

_numbers = itertools.count()


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure all four, the starts last: they leave transfers that were aborted."""
    federation = bench.federation(database)
    ready = prepare(federation)
    results = _growth(bench, database, federation, ready)
    results += _offered(bench, database, ready)
    results += _memory(bench, database, federation, ready)
    return results + _starts(bench, database, federation, ready)


# -- answers in time ---------------------------------------------------------------------------------------


def _offered(bench: Bench, database: str, ready: Ready) -> list[Result]:
    count = OFFERED_PER_SECOND * bench.scaled(OFFERED_SECONDS, 2)
    _latencies_ms(ready, OFFERED_PER_SECOND)
    rounds = [_latencies_ms(ready, count) for _ in range(bench.rounds)]
    title = f"across regions, single, offered at {OFFERED_PER_SECOND}/s"
    note = "open loop: from the moment at which the call was due to its answer, the transfer being final"
    worst = tuple(statistics.quantiles(one, n=100)[PERCENTILE - 1] for one in rounds)
    medians = tuple(statistics.median(one) for one in rounds)
    return [
        Result("steady", f"{title}: median", database, "ms", medians, note=note),
        Result("steady", f"{title}: p{PERCENTILE}", database, "ms", worst, note=note),
    ]


def _latencies_ms(ready: Ready, count: int) -> list[float]:
    """Offer so many single transfers at the rate; how long each took until it was final."""

    def fault(answer: ledger_pb2.CreateTransferResponse) -> str:
        state = answer.transfer.state
        return "" if state == ledger_pb2.TRANSFER_STATE_MOVED else ledger_pb2.TransferState.Name(state)

    def offer() -> Any:
        return ready.shanghai.transfers.CreateTransfer.future(_across(ready, wait_ms=WAIT_MS))

    return latencies_ms(offer, count, OFFERED_PER_SECOND, fault)


# -- memory ------------------------------------------------------------------------------------------------


def _memory(bench: Bench, database: str, federation: Federation, ready: Ready) -> list[Result]:
    """Measure the bridge's memory after some finished transfers, and after twice and thrice as many."""
    finished = bench.scaled(FINISHED, 2 * BATCH)
    pid = federation.pid(BRIDGE_MEMBER)
    _finish(ready, finished)
    sizes = [resident_mb(pid)]
    for _ in range(2):
        _finish(ready, finished)
        sizes.append(resident_mb(pid))
    grown = tuple((after - before) * 1e6 / finished for before, after in itertools.pairwise(sizes))
    note = "MB after each round of {}: {}".format(finished, ", ".join(f"{size:.0f}" for size in sizes))
    title = "bridge: memory for each transfer that has finished"
    return [Result("steady", title, database, "bytes", grown, note=f"{database}: {note}")]


def _finish(ready: Ready, count: int) -> None:
    for _ in range(count // BATCH):
        answer = ready.shanghai.transfers.BatchCreateTransfers(
            ledger_pb2.BatchCreateTransfersRequest(
                requests=[_across(ready) for _ in range(BATCH)], wait_ms=WAIT_MS
            )
        )
        unfinished = [one for one in answer.transfers if one.state != ledger_pb2.TRANSFER_STATE_MOVED]
        if unfinished:
            raise RuntimeError(f"{len(unfinished)} transfers have not moved: {unfinished[0]}")


# -- books that grow ---------------------------------------------------------------------------------------


def _growth(bench: Bench, database: str, federation: Federation, ready: Ready) -> list[Result]:
    """Measure single transfers with few journal entries behind them, and again with many.

    The region's log follows its journal, in the background; the many are behind it when the log has them.
    """
    many = bench.scaled(ENTRIES_MANY, 10 * ENTRIES_FEW)
    _fill(ready, ENTRIES_FEW)
    _median_ms(ready)  # the first calls of a process are slow
    begun = _journal_size(ready)
    before = [_median_ms(ready) for _ in range(bench.rounds)]
    _fill(ready, many)
    filled = time.perf_counter()
    _wait_until_log_is_up(federation, _journal_size(ready))
    log_seconds = time.perf_counter() - filled
    after = [_median_ms(ready) for _ in range(bench.rounds)]
    base = statistics.median(before)
    return [
        Result(
            "steady",
            f"inside a region, single: median with {many:,} journal entries behind it against {begun:,}",
            database,
            "ratio",
            tuple(one / base for one in after),
            note=f"{database}: {base:.2f} ms before, {statistics.median(after):.2f} ms after; "
            f"the log was up {log_seconds:.0f} s behind the last entry",
        )
    ]


def _median_ms(ready: Ready) -> float:
    took = []
    for _ in range(MEDIAN_OF):
        begun = time.perf_counter()
        ready.shanghai.ledger.TransferUnits(_inside(ready, back=False))
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def _fill(ready: Ready, entries: int) -> None:
    """Move units to and fro until the journal has so many entries."""
    back = True
    while _journal_size(ready) < entries:
        back = not back
        requests = [_inside(ready, back=back) for _ in range(BATCH)]
        answer = ready.shanghai.ledger.BatchTransferUnits(
            ledger_pb2.BatchTransferUnitsRequest(requests=requests)
        )
        refused = [status for status in answer.statuses if status.code]
        if refused:
            raise RuntimeError(f"{len(refused)} transfers were refused: {refused[0]}")


def _wait_until_log_is_up(federation: Federation, size: int) -> None:
    """Wait until the bridge has the checkpoint of Shanghai's log that covers so many entries."""
    stub = log_pb2_grpc.LogServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI.party))
    request = log_pb2.GetCheckpointRequest(log=SHANGHAI.party)
    _wait_until(lambda: stub.GetCheckpoint(request).size >= size, LOG_SECONDS_MAX)


def _journal_size(ready: Ready) -> int:
    status = ready.shanghai.node.GetNodeStatus(journal_pb2.GetNodeStatusRequest())
    return int(status.journal_size)


# -- starts with transfers in flight -----------------------------------------------------------------------


def _starts(bench: Bench, database: str, federation: Federation, ready: Ready) -> list[Result]:
    """Kill the bridge and the source while a destination that is down leaves transfers undecided."""
    in_flight = bench.scaled(IN_FLIGHT, BATCH)
    federation.kill(SHENZHEN)
    for _ in range(in_flight // BATCH):
        ready.shanghai.transfers.BatchCreateTransfers(
            ledger_pb2.BatchCreateTransfersRequest(requests=[_across(ready) for _ in range(BATCH)])
        )
    results = []
    for name, member in (("bridge", BRIDGE_MEMBER), ("source", SHANGHAI)):
        federation.kill(member)
        seconds = federation.start_seconds(member)
        title = f"{name}: start to serving with {in_flight:,} transfers in flight"
        results.append(Result("steady", title, database, "s", (seconds,)))
    begun = time.perf_counter()
    federation.start((SHENZHEN,))
    _wait_until(lambda: _undecided(ready) == 0)
    seconds = time.perf_counter() - begun
    title = f"start of the destination until all {in_flight:,} have ended"
    return [*results, Result("steady", title, database, "s", (seconds,))]


def _undecided(ready: Ready) -> int:
    status = ready.shanghai.node.GetNodeStatus(journal_pb2.GetNodeStatusRequest(), wait_for_ready=True)
    return int(status.transfers_open)


def _wait_until(condition: Callable[[], bool], seconds_max: float = WAIT_SECONDS) -> None:
    until = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"what the bench waits for did not come within {seconds_max:.0f} s")
        time.sleep(POLL_SECONDS)


# -- requests ----------------------------------------------------------------------------------------------


def _across(ready: Ready, *, wait_ms: int = 0) -> ledger_pb2.CreateTransferRequest:
    return ledger_pb2.CreateTransferRequest(
        request_id=f"steady-{next(_numbers)}",
        from_account_id=ready.seller,
        destination_region_code=SHENZHEN.code,
        receiving_address=ready.address,
        units=ledger_pb2.UnitSelection(series_id=ready.series_id, quantity_kg=1),
        wait_ms=wait_ms,
    )


def _inside(ready: Ready, *, back: bool) -> ledger_pb2.TransferUnitsRequest:
    first, second = (ready.other, ready.seller) if back else (ready.seller, ready.other)
    return ledger_pb2.TransferUnitsRequest(
        request_id=f"steady-{next(_numbers)}",
        from_account_id=first,
        to_account_id=second,
        units=ledger_pb2.UnitSelection(series_id=ready.series_id, quantity_kg=1),
    )


__all__ = ["measure"]
