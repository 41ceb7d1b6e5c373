"""A whole campaign: the worlds one after the other, each on a fresh database, and what they covered."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import structlog

from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest, make_network
from tests.fuzz.bridge_world import BridgeWorld
from tests.fuzz.messages import Coverage
from tests.fuzz.region_world import RegionWorld
from tests.fuzz.world import CHECK_EVERY_DEFAULT, Databases, FaultFound, World

MESSAGES_DEFAULT: Final = 100_000
KEPT: Final = Path("fuzz-failures")


@dataclass(frozen=True)
class Part:
    """One world and its share of the messages."""

    name: str
    share: float
    make: Callable[..., World]


def _bridge(name: str, liar: str) -> Callable[..., World]:
    def make(
        network: NetworkOfTest, folder: Path, databases: Databases, seed: int, check_every: int
    ) -> World:
        return BridgeWorld(name, network, folder, databases, seed, check_every, liar=liar)

    return make


def _region(name: str, party: str) -> Callable[..., World]:
    def make(
        network: NetworkOfTest, folder: Path, databases: Databases, seed: int, check_every: int
    ) -> World:
        return RegionWorld(name, network, folder, databases, seed, check_every, party=party)

    return make


PARTS: Final = (
    Part("bridge lying source", 0.3, _bridge("bridge lying source", SHANGHAI)),
    Part("bridge lying destination", 0.2, _bridge("bridge lying destination", SHENZHEN)),
    Part("bridge stranger", 0.15, _bridge("bridge stranger", YUNNAN)),
    Part("region as destination", 0.2, _region("region as destination", SHENZHEN)),
    Part("region as source", 0.15, _region("region as source", SHANGHAI)),
)

NAMES: Final = tuple(one.name for one in PARTS)


@dataclass(frozen=True)
class Result:
    """What one world came to."""

    name: str
    coverage: Coverage
    resident_kib: tuple[int, ...]
    seconds: float

    def line(self) -> str:
        """One line for the report."""
        resident = ", ".join(str(kib // 1024) for kib in self.resident_kib)
        return (
            f"{self.name}: {self.coverage.total} messages in {self.seconds:.0f} s, "
            f"memory of the server after each quarter {resident} MiB"
        )


def run(
    seed: int,
    messages: int,
    names: Sequence[str] = NAMES,
    check_every: int = CHECK_EVERY_DEFAULT,
    workers: int = 1,
) -> list[Result]:
    """Run worlds side by side; raises FaultFound, with what failed kept in ``fuzz-failures``."""
    asked = [(name, seed, round(messages * _part(name).share), check_every) for name in names]
    if workers == 1:
        return [_announced(run_world(*one)) for one in asked]
    with ProcessPoolExecutor(workers, get_context("spawn"), be_quiet) as pool:
        begun = [pool.submit(run_world, *one) for one in asked]
        return [_announced(one.result()) for one in begun]


def be_quiet() -> None:
    """Let the nodes that are staged in this process say nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _announced(result: Result) -> Result:
    sys.stdout.write(result.line() + "\n")
    sys.stdout.flush()
    return result


def _part(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


def run_world(name: str, seed: int, messages: int, check_every: int = CHECK_EVERY_DEFAULT) -> Result:
    """Run one world on a database of its own; raises FaultFound."""
    folder = Path(tempfile.mkdtemp(prefix="tanqiao-fuzz-"))
    url = f"sqlite:///{folder / 'fuzz.db'}"
    started = time.monotonic()
    try:
        network = make_network(folder / "network")
        world = _part(name).make(network, folder, Databases(url, url), seed, check_every)
        try:
            world.run(messages)
        finally:
            world.close()
    except FaultFound as fault:
        KEPT.mkdir(exist_ok=True)
        for kept in [*folder.glob("failed-*.json"), *folder.glob("*.log")]:
            shutil.copy(kept, KEPT / kept.name)
        raise FaultFound(str(fault).replace(str(folder), str(KEPT))) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Result(name, world.coverage, tuple(world.resident_kib), time.monotonic() - started)


def report(results: Sequence[Result], seed: int) -> str:
    """Say what a campaign covered."""
    total = Coverage()
    for result in results:
        total.merge(result.coverage)
    states = {(name, state) for name, state, _ in total.sent}
    kinds = sum(len(found) for found in total.mutations.values())
    return (
        f"{total.table()}\n"
        f"fuzz: seed {seed}, {total.total} messages, {len(states)} pairs of message and state, "
        f"{kinds} different mutations, {len(total.codes)} codes, 0 faults"
    )
