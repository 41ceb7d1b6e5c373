"""The small world: parties with their durable states, and the messages that these states imply.

What was ever sent follows from what the parties keep: no promise leaves before it is durable (R1), and
nothing durable is forgotten. So the network needs no state of its own: every message ever sent may arrive at
any time, any number of times, or never. Messages that are offered *now* by the rules of section 3 are told
apart from older ones, because the way to a good end must not hang on a message that was lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import (
    NOTHING_KNOWN,
    SINK,
    ZERO_HASH,
    DecisionFacts,
    DestinationRecord,
    FinalFacts,
    Kind,
    LockFacts,
    Outcome,
    PrepareFacts,
    SourceRecord,
    TransferKey,
    TransferView,
)

SERIES: Final = "310000:P:model:2025:1"
SOURCE: Final = "region/S"
DESTINATION: Final = "region/D"
REGIONS: Final = (SOURCE, DESTINATION)
BRIDGE: Final = "bridge"
ANSWERED: Final = 0
OTHERS: Final = 1
PREPARE_NAMES: Final = (ANSWERED, OTHERS)
"""Names of Prepares: the one that D answers first, and all others. The bridge gives either name to a new one,
so that every history of any number of Prepares is covered; D has no first answer to one of the others."""
LEGAL_DATE: Final = "2026-03-02"

ABSENT: Final = ""
HELD: Final = "HELD"
TWICE: Final = "TWICE"
"""A unit that arrived where it was already: always a violation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A transfer or Use that its source may begin, of units [start, end)."""

    source: str
    kind: Kind
    destination: str
    start: int
    end: int

    @property
    def units(self) -> range:
        """Serials of the plan."""
        return range(self.start, self.end)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world to explore.

    `unit_count` units begin at S. `liar` is the party that lies, or empty. With `freezes`, orders to freeze
    and unfreeze the pair come at any time. With `finals`, receipts are sent.
    """

    name: str
    plans: tuple[Plan, ...]
    unit_count: int
    liar: str = ""
    freezes: bool = False
    finals: bool = True


@dataclass(frozen=True, slots=True)
class Region:
    """Durable state of a region: a place for each unit, a record for each plan."""

    name: str
    holdings: tuple[str, ...]
    sources: tuple[SourceRecord | None, ...]
    destinations: tuple[DestinationRecord | None, ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """State of the bridge: location of each unit, a view of each plan; the open part of a view is memory.

    `promised` is what a lying bridge has seen promised.
    """

    location: tuple[str, ...]
    views: tuple[TransferView, ...]
    frozen: bool = False
    promised: frozenset[tuple[int, str, bytes]] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """A party's new state, whether the message was on offer now, what to call the step, evidence kept."""

    after: Region | Bridge
    fresh: bool
    label: str
    evidence: frozenset[str] = frozenset()


@dataclass(slots=True)
class Violations:
    """What was found to be wrong: the first few sentences of each kind, and how many."""

    found: dict[str, int] = field(default_factory=dict)

    def add(self, sentence: str) -> None:
        """Count one violation."""
        self.found[sentence] = self.found.get(sentence, 0) + 1


def initial_region(scenario: Scenario, name: str) -> Region:
    """Give a region before anything has happened: S holds all units."""
    place = HELD if name == SOURCE else ABSENT
    nothing = (None,) * len(scenario.plans)
    return Region(name, (place,) * scenario.unit_count, nothing, nothing)


def initial_bridge(scenario: Scenario) -> Bridge:
    """Give the bridge before anything has happened: all units are located at S."""
    return Bridge(
        (SOURCE,) * scenario.unit_count,
        (NOTHING_KNOWN,) * len(scenario.plans),
    )


def digest(text: str) -> bytes:
    """Give bytes that stand for the hash of the message so described: what it says is its name."""
    return text.encode()


def key_of(scenario: Scenario, index: int) -> TransferKey:
    """Name the plan's transfer."""
    return TransferKey(scenario.plans[index].source, bytes([index]) * 16)


def lock_of(scenario: Scenario, index: int, variant: str = "") -> LockFacts:
    """Give the plan's lock or Use as its source signs it; another variant is another promise.

    The variant ``use`` is a Use of the same units under the same id.
    """
    plan = scenario.plans[index]
    use = variant == "use"
    return LockFacts(
        key_of(scenario, index),
        digest(f"lock{index}{variant}"),
        Kind.RETIRE if use else plan.kind,
        SINK if use else plan.destination,
        (UnitBlock(SERIES, plan.start, plan.end),),
    )


def prepare_hash(index: int, name: int, lock_hash: bytes) -> bytes:
    """Name a Prepare by its plan, its own name and the lock inside."""
    return digest(f"prepare{index}.{name}.{lock_hash.decode()}")


def prepare_of(scenario: Scenario, index: int, name: int, variant: str = "") -> PrepareFacts:
    """Give a Prepare that the bridge made for that variant of the plan's lock."""
    lock = lock_of(scenario, index, variant)
    return PrepareFacts(lock.key, prepare_hash(index, name, lock.message_hash), lock, LEGAL_DATE)


def answer_hash(answered_prepare: bytes, *, ready: bool, variant: str = "") -> bytes:
    """Name a Ready or Refuse by the Prepare that it answers."""
    return digest(f"{'ready' if ready else 'refuse'}{variant}.{answered_prepare.decode()}")


def decision_hash(index: int, outcome: Outcome, lock_hash: bytes, ready_hash: bytes) -> bytes:
    """Name a Decision by all that it says."""
    ready = "0" if ready_hash == ZERO_HASH else ready_hash.decode()
    return digest(f"{outcome.name}{index}.{lock_hash.decode()}.{ready}")


def decision_of(
    scenario: Scenario, index: int, outcome: Outcome, lock_hash: bytes, ready_hash: bytes
) -> DecisionFacts:
    """Give a Decision with its hash."""
    made = decision_hash(index, outcome, lock_hash, ready_hash)
    return DecisionFacts(key_of(scenario, index), made, outcome, lock_hash, ready_hash, index)


def final_of(
    scenario: Scenario, index: int, sender: str, record: SourceRecord | DestinationRecord
) -> FinalFacts:
    """Give the receipt of a record that is decided."""
    made = digest(f"final{index}{sender}{record.state.name}")
    return FinalFacts(key_of(scenario, index), made, sender, record.decision_hash, record.state)
