"""The log sealed and cosigned by three witnesses, each a process with a database of its own."""

from __future__ import annotations

import bisect
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc
from tanqiao.cli.local.members import BRIDGE_MEMBER, NETWORK_ID, REGIONS
from tests.bench.bench import Bench
from tests.bench.bridge_transfers import BATCH, Played, run_batches
from tests.bench.lists import import_lists
from tests.bench.played import issue_units, recognise
from tests.bench.processes import BRIDGE_AND_GATEWAYS, Federation
from tests.bench.results import Result

BACKLOG: Final = 20_000
RATE: Final = 1_000
"""Transfers a second while the lag is measured."""
PACED_SECONDS: Final = 20
BATCHES_A_SECOND: Final = 5
LISTED_PLANTS: Final = 100
WAIT_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.1
"""A lag is measured this much too long at most; asked more often, the bridge would be busy answering."""
_CALL: Final = "from tanqiao.cli.main import main; main()"


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure leaves a second from durable to cosigned, and the lag from decision to quorum."""
    federation = bench.witnessed_federation(database)
    federation.start(BRIDGE_AND_GATEWAYS)
    import_lists(federation, LISTED_PLANTS)
    recognise(federation)
    played = Played(federation)
    log = _Log(federation)
    try:
        issue_units(federation, played.source)
        run_batches(played, played.batches(bench.scaled(BACKLOG, 2_000) // BATCH, BATCH))
        backlog = log.size()
        with _witnesses(federation):
            start = time.perf_counter()
            log.wait_cosigned(backlog)
            rate = backlog / (time.perf_counter() - start)
            lags = _lags(played, log, bench.scaled(PACED_SECONDS, 2))
    finally:
        played.close()
    note = "three `tanqiao witness` processes, quorum of two; each replays every leaf and checks it"
    return [
        Result("witnesses", "sealed and cosigned", database, "leaves/s", (rate,), note=note),
        Result("witnesses", f"lag of finality at {RATE} transfers/s, p50", database, "ms", (lags[0],)),
        Result("witnesses", f"lag of finality at {RATE} transfers/s, p99", database, "ms", (lags[1],)),
    ]


class _Log:
    """The bridge's log as anybody reads it."""

    def __init__(self, federation: Federation) -> None:
        self._stub = log_pb2_grpc.LogServiceStub(federation.channel(BRIDGE_MEMBER, "reader/national"))

    def size(self) -> int:
        """Give the number of durable leaves."""
        return int(self._stub.ListLeaves(log_pb2.ListLeavesRequest(page_size=1)).log_size)

    def cosigned(self) -> int:
        """Give the size with a quorum."""
        return int(self._stub.GetCheckpoint(log_pb2.GetCheckpointRequest()).cosigned_size)

    def wait_cosigned(self, size: int) -> None:
        """Wait until so many leaves are final."""
        end = time.monotonic() + WAIT_SECONDS
        while self.cosigned() < size:
            if time.monotonic() > end:
                raise TimeoutError(f"{size} leaves are not cosigned")
            time.sleep(POLL_SECONDS)


def _lags(played: Played, log: _Log, seconds: int) -> tuple[float, float]:
    """Offer batches at the rate; give p50 and p99 of the time from a decision to its quorum, milliseconds."""
    decided: list[tuple[float, int]] = []
    final: list[tuple[int, float]] = []
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(POLL_SECONDS):
            size = log.cosigned()
            if not final or size > final[-1][0]:
                final.append((size, time.perf_counter()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    count = RATE // BATCHES_A_SECOND
    start = time.perf_counter()
    for number, batch in enumerate(played.batches(seconds * BATCHES_A_SECOND, count)):
        time.sleep(max(0.0, start + number / BATCHES_A_SECOND - time.perf_counter()))
        run_batches(played, [batch])
        # The batch's decisions are the last leaves of the log now.
        decided.append((time.perf_counter(), log.size()))
    log.wait_cosigned(decided[-1][1])
    time.sleep(5 * POLL_SECONDS)
    stopping.set()
    watcher.join()
    sizes = [size for size, _ in final]
    lags = sorted((final[bisect.bisect_left(sizes, size)][1] - at) * 1000 for at, size in decided)
    return lags[len(lags) // 2], lags[min(len(lags) - 1, len(lags) * 99 // 100)]


@contextmanager
def _witnesses(federation: Federation) -> Iterator[None]:
    """Run the witnesses of the three regions; the regions themselves do not run."""
    running: list[subprocess.Popen[Any]] = []
    address = federation.home.address(BRIDGE_MEMBER)
    try:
        for region in REGIONS:
            folder = federation.home.node(region)
            values = {
                "network_id": NETWORK_ID,
                "bridge_address": address,
                "database_url": "sqlite:///data/witness.sqlite",
            }
            config = folder / "witness.toml"
            config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
            command = [sys.executable, "-c", _CALL, "witness", "--config", str(config)]
            with (folder / "log" / "witness.log").open("wb") as output:
                running.append(subprocess.Popen(command, stdout=output, stderr=output, cwd=folder))
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(WAIT_SECONDS)


__all__ = ["measure"]
