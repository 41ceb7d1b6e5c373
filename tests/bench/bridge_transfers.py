"""Transfers through the real bridge between two played regions: what the bridge alone can carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.cli.local.members import BRIDGE_MEMBER
from tests.bench.bench import Bench, timed
from tests.bench.limits import BRIDGE_ONLY
from tests.bench.lists import import_lists
from tests.bench.machine import cpu_seconds
from tests.bench.played import SHANGHAI, SHENZHEN, PlayedRegion, issue_units, recognise
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Result

BATCH: Final = 1000
BATCHES_PER_ROUND: Final = 10
CALLERS: Final = 32
SINGLES_PER_ROUND: Final = 960
QUANTITY_KG: Final = 1
LISTED_PLANTS: Final = 100
WINDOW: Final = 4
"""Batches under way at one time: the source does not wait for a Decision before it offers the next batch."""


class Played:
    """Two played regions and the serials that have not moved yet."""

    def __init__(self, federation: Federation) -> None:
        self.source = PlayedRegion(federation, SHANGHAI)
        self.destination = PlayedRegion(federation, SHENZHEN)
        self.next_serial = 0

    def batches(self, count: int, size: int) -> list[list[tuple[bytes, bytes]]]:
        made = []
        for _ in range(count):
            starts = range(self.next_serial, self.next_serial + size * QUANTITY_KG, QUANTITY_KG)
            made.append([self.source.lock(start, start + QUANTITY_KG) for start in starts])
            self.next_serial = starts.stop
        return made

    def close(self) -> None:
        self.source.close()
        self.destination.close()


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure batches of 1000 and single messages, and the processor time of the bridge for each transfer."""
    federation = bench.federation(database)
    federation.start(BRIDGE_AND_GATEWAYS)
    import_lists(federation, LISTED_PLANTS)
    recognise(federation)
    played = Played(federation)
    try:
        issue_units(federation, played.source)
        pid = federation.pid(BRIDGE_MEMBER)
        batches = bench.scaled(BATCHES_PER_ROUND, 2)
        run_batches(played, played.batches(2, BATCH))
        rates, costs = [], []
        for _ in range(bench.rounds):
            work = played.batches(batches, BATCH)
            before = cpu_seconds(pid)
            seconds, _ = timed(lambda work=work: run_batches(played, work))  # type: ignore[misc]
            rates.append(batches * BATCH / seconds)
            costs.append((cpu_seconds(pid) - before) * 1e6 / (batches * BATCH))
        singles = bench.scaled(SINGLES_PER_ROUND, 64)
        single_rates = []
        for _ in range(bench.rounds):
            work = played.batches(singles, 1)
            seconds, _ = timed(lambda work=work: run_batches(played, work, CALLERS))  # type: ignore[misc]
            single_rates.append(singles / seconds)
        _require_all_committed(played)
    finally:
        played.close()
    return [
        Result(
            "bridge",
            "bridge alone, batches of 1000",
            database,
            "transfers/s",
            tuple(rates),
            bench.limit(BRIDGE_ONLY, BATCH),
            BRIDGE_ONLY.in_words(BATCH),
            "two played regions; decision and both receipts durable at the bridge",
        ),
        Result("bridge", "bridge alone, processor time", database, "µs/transfer", tuple(costs)),
        Result(
            "bridge",
            f"bridge alone, single messages, {CALLERS} under way",
            database,
            "transfers/s",
            tuple(single_rates),
            bench.limit(BRIDGE_ONLY, CALLERS),
            BRIDGE_ONLY.in_words(CALLERS),
        ),
    ]


def run_batches(played: Played, batches: Sequence[list[tuple[bytes, bytes]]], window: int = WINDOW) -> None:
    """Offer batches, some at a time, until all are decided at both regions."""
    source = played.source
    start = source.committed + source.aborted
    done = start
    for number, batch in enumerate(batches):
        if number >= window:
            source.wait_decided(start + sum(map(len, batches[: number - window + 1])))
        source.send(source.lock_frame(batch))
        done += len(batch)
    source.wait_decided(done)
    played.destination.wait_decided(done)


def _require_all_committed(played: Played) -> None:
    if played.source.aborted:
        raise RuntimeError(f"{played.source.aborted} transfers were aborted: {played.source.first_reason}")
    if played.source.committed != played.destination.committed:
        raise RuntimeError("the regions saw different decisions")


__all__ = ["Played", "measure", "run_batches"]
