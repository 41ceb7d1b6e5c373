"""One schedule: a world from a seed, its workload, its faults, and the time to heal."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.protocol.types import Kind
from tanqiao.testing.simulation.auditor import Auditor
from tanqiao.testing.simulation.authorities import Authorities
from tanqiao.testing.simulation.bridge import DECIDE_BY_MS, BridgeNode
from tanqiao.testing.simulation.messages import Ed25519Signatures, Signatures, StandInSignatures
from tanqiao.testing.simulation.network import Clock, Network, Rates
from tanqiao.testing.simulation.node import World
from tanqiao.testing.simulation.region import BRIDGE, HELD, RegionNode

TRANSFERS_DEFAULT: Final = 60
REGIONS_MIN: Final = 3
REGIONS_MAX: Final = 4
UNITS_AT_START: Final = 200
WORK_MS: Final = 12_000
HEAL_MS: Final = 26_000
"""End of the time in which faults happen."""
TRIES_MAX: Final = 20
"""Times that a holder whose region is down or holds nothing tries again."""
ROUNDS_MAX: Final = 40
ROUND_MS: Final = 1_000
_CUTS: Final = 5
_NAMES: Final = ("region/310000", "region/440300", "region/530000", "region/510000")


@dataclass(frozen=True, slots=True)
class Options:
    """How a schedule is run; all but the seed have defaults."""

    seed: int
    transfers: int = TRANSFERS_DEFAULT
    without: frozenset[str] = frozenset()
    real_signatures: bool = False


@dataclass(slots=True)
class Result:
    """What a schedule did and what was wrong with it."""

    options: Options
    violations: tuple[str, ...]
    transfers: int
    commits: int
    cuts: int
    faults: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)


class Schedule:
    """A world made from a seed. Each source of chance has its own generator, so that one can be left out."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.plan = self._random("plan")
        self.clock = Clock()
        names = _NAMES[: self.plan.randint(REGIONS_MIN, REGIONS_MAX)]
        caps = self._draw_caps(names)
        self.auditor = Auditor(lambda: self.clock.now_ms, caps, DECIDE_BY_MS)
        rates = Rates.draw(self.plan, options.without)
        signatures: Signatures = Ed25519Signatures() if options.real_signatures else StandInSignatures()
        network = Network(self.clock, self._random("network"), rates)
        self.world = World(self.clock, network, self._random("crashes"), signatures, self.auditor)
        self.bridge = BridgeNode(BRIDGE, self.world, self._random("bridge"), caps, names)
        self.regions = [
            RegionNode(name, self.world, f"{name[-6:]}:P:own:2025:1", self._random(name)) for name in names
        ]
        self._endow()

    def run(self) -> Result:
        """Run it to its end and look at what is left."""
        try:
            self._begin()
            self.clock.run_until(HEAL_MS)
            self._heal()
            disks = {region.name: region.disk for region in self.regions}
            self.auditor.end(disks, self.bridge.disk, len(self.bridge.memory.open))
        except (InvariantBroken, LookupError, RuntimeError) as failure:
            self.auditor.found(f"{type(failure).__name__}: {failure}")
        begun = sum(len(region.disk.table("source")) for region in self.regions)
        return Result(
            self.options,
            tuple(self.auditor.violations),
            begun,
            self.auditor.commits,
            self.auditor.cuts,
            self.world.network.counts,
            self.auditor.outcomes,
            self.auditor.orders,
        )

    def _random(self, purpose: str) -> Random:
        return Random(f"{self.options.seed}/{purpose}")  # noqa: S311 - a seeded generator is wanted

    def _draw_caps(self, names: tuple[str, ...]) -> dict[tuple[str, str], int]:
        caps = {}
        for origin in names:
            for target in names:
                if origin != target and self.plan.random() >= 0.07:  # noqa: PLR2004 - some lack an agreement
                    caps[origin, target] = self.plan.choice((0, 0, 60, 150))
        return caps

    def _endow(self) -> None:
        for region in self.regions:
            block = UnitBlock(region.series_id, 0, UNITS_AT_START)
            for node, place in ((region, HELD), (self.bridge, (region.name, "HELD"))):
                book = LocationBook([LocationRow(block.series_id, block.start, block.end, place)])
                node.disk.table("rows")[block.series_id] = book.rows()
            region.disk.table("meta")["next serial"] = block.end
            self.auditor.begin(block.series_id, region.name, UNITS_AT_START)

    def _begin(self) -> None:
        plan, after = self.plan, self.clock.after
        for region in self.regions:
            region.connect()
            after(plan.randint(400, 3_000), region.keep_connecting)
        for number in range(self.options.transfers):
            region = plan.choice(self.regions)
            other = plan.choice([each for each in self.regions if each is not region])
            kind = plan.choices(tuple(Kind), (8, 1, 1))[0]
            quantity_kg = plan.choice((1, 2, 5, 10, 30, 60))
            when = plan.randint(0, WORK_MS)
            transfer_id = number.to_bytes(16, "big")
            after(when, region.begin_transfer, transfer_id, kind, other.name, quantity_kg, TRIES_MAX)
        for number in range(plan.randint(2, 8)):
            region = plan.choice(self.regions)
            after(
                plan.randint(0, WORK_MS), region.begin_issue, number.to_bytes(16, "big"), plan.randint(1, 50)
            )
        for _ in range(plan.randint(0, 8)):
            after(plan.randint(0, HEAL_MS), plan.choice(self.regions).withdraw)
        for _ in range(plan.randint(0, 6)):
            after(plan.randint(0, HEAL_MS), plan.choice(self.regions).ask_outcome)
        for _ in range(_CUTS):
            after(plan.randint(0, HEAL_MS), self._cut)
        series_ids = {region.name: region.series_id for region in self.regions}
        Authorities(self.clock, self.bridge, self._random("orders"), UNITS_AT_START).plan(series_ids, WORK_MS)
        self._plan_faults()

    def _plan_faults(self) -> None:
        network, plan = self.world.network, self.plan
        for _ in range(plan.randint(0, 4)):
            region, begin, length = (
                plan.choice(self.regions),
                plan.randint(0, HEAL_MS),
                plan.randint(200, 8_000),
            )
            if "partition" not in self.options.without:
                self.clock.after(begin, self._partition, region.name)
                self.clock.after(begin + length, network.cut.discard, region.name)
        for _ in range(plan.randint(0, 3)):
            when, skew_ms = plan.randint(0, HEAL_MS), plan.randint(-60_000, 60_000)
            if "skew" not in self.options.without:
                self.clock.after(when, self._skew, skew_ms)

    def _partition(self, region: str) -> None:
        if not self.world.network.healed:
            self.world.network.count("partition")
            self.world.network.cut.add(region)

    def _skew(self, skew_ms: int) -> None:
        self.world.network.count("skew")
        self.bridge.skew_ms = skew_ms

    def _cut(self) -> None:
        self.auditor.cut({region.name: region.disk for region in self.regions})

    def _heal(self) -> None:
        """No more faults; every process is up; sessions come and go until nobody waits."""
        network = self.world.network
        network.healed = True
        network.cut.clear()
        self.bridge.revive()
        for region in self.regions:
            region.revive()
        for _ in range(ROUNDS_MAX):
            for region in self.regions:
                region.connect()
            self.clock.run_until(self.clock.now_ms + ROUND_MS)
            if not self._anything_waits():
                return

    def _anything_waits(self) -> bool:
        bridge = self.bridge.disk
        return (
            any(region.waits() for region in self.regions)
            or bool(self.bridge.memory.open)
            or bool(bridge.table("outbox"))
            or any(record.state.name != "CLOSED" for record in bridge.table("decision").values())
        )


def run_schedule(options: Options) -> Result:
    """Run one schedule."""
    return Schedule(options).run()
