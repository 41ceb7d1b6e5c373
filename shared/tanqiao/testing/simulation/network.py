"""Virtual time and a network that does what networks do, all from one seeded generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass, replace
from hashlib import sha256
from heapq import heappop, heappush
from random import Random
from typing import Final

from tanqiao.testing.simulation.messages import Frame, Message

EVENTS_MAX: Final = 200_000
"""Events of one schedule; more means that it does not end."""
FAULTS: Final = (
    "drop",
    "duplicate",
    "delay",
    "corrupt",
    "partition",
    "skew",
    "crash_before_commit",
    "crash_after_commit",
    "crash_between_sends",
)
"""Every kind of fault; each can be left out to find which one matters."""

_DELAY_MS: Final = (1, 25)
_LONG_DELAY_MS: Final = (300, 6_000)


class Clock:
    """Virtual time in milliseconds and the events that are due."""

    __slots__ = ("_count", "_queue", "now_ms")

    def __init__(self) -> None:
        self.now_ms = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._count = 0

    def after(self, delay_ms: int, run: Callable[..., None], *arguments: object) -> None:
        """Run something later; of two at one moment the one asked for first runs first."""
        self._count += 1
        heappush(self._queue, (self.now_ms + delay_ms, self._count, run, arguments))

    def run_until(self, end_ms: int) -> None:
        """Let time pass."""
        queue = self._queue
        while queue and queue[0][0] <= end_ms:
            if self._count > EVENTS_MAX:
                raise RuntimeError("the schedule does not come to an end")
            self.now_ms, _, run, arguments = heappop(queue)
            run(*arguments)
        self.now_ms = end_ms


@dataclass(slots=True)
class Rates:
    """How often each fault happens, drawn for each schedule."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    corrupt: float = 0.0
    crash: float = 0.0
    without: frozenset[str] = frozenset()

    @staticmethod
    def draw(random: Random, without: frozenset[str]) -> Rates:
        """Some schedules are rough, some are calm, some have one fault only."""
        scale = random.choice((0.0, 0.3, 1.0, 1.0, 2.5))
        return Rates(
            drop=random.uniform(0.0, 0.10) * scale,
            duplicate=random.uniform(0.0, 0.15) * scale,
            delay=random.uniform(0.0, 0.15) * scale,
            corrupt=random.uniform(0.0, 0.03) * scale,
            crash=random.choice((0.0, 0.005, 0.02, 0.05)) * scale,
            without=without,
        )


@dataclass(slots=True)
class Network:
    """Carries frames; `cut` holds the regions that are partitioned off now."""

    clock: Clock
    random: Random
    rates: Rates
    deliver: dict[str, Callable[[Frame], None]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    healed: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def send(self, frame: Frame) -> None:
        """Put a frame on the line; it arrives never, once or twice, soon or late."""
        if self.healed:
            self.clock.after(self.random.randint(*_DELAY_MS), self._arrive, frame)
            return
        if self._happens("drop", self.rates.drop):
            return
        copies = 2 if self._happens("duplicate", self.rates.duplicate) else 1
        for _ in range(copies):
            late = self._happens("delay", self.rates.delay)
            delay_ms = self.random.randint(*(_LONG_DELAY_MS if late else _DELAY_MS))
            broken = _corrupted(frame, self.random) if self._happens("corrupt", self.rates.corrupt) else frame
            self.clock.after(delay_ms, self._arrive, broken)

    def count(self, fault: str) -> None:
        """Count a fault that happened."""
        self.counts[fault] = self.counts.get(fault, 0) + 1

    def _happens(self, fault: str, rate: float) -> bool:
        if rate == 0.0 or self.random.random() >= rate or fault in self.rates.without:
            return False
        self.count(fault)
        return True

    def _arrive(self, frame: Frame) -> None:
        if frame.sender in self.cut or frame.receiver in self.cut:
            return
        self.deliver[frame.receiver](frame)


def _corrupted(frame: Frame, random: Random) -> Frame:
    """Change one byte of one payload and what a reader would make of it; the signature stays."""
    items = list(frame.items)
    places = [place for place, item in enumerate(items) if item.message is not None]
    if not places:
        return frame
    place = random.choice(places)
    whole = items[place].message
    if whole is None:
        return frame
    payload = bytearray(whole.payload)
    payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)
    broken = Message(whole.kind, whole.sender, whole.about, bytes(payload), sha256(payload).digest())
    facts = whole.facts
    if is_dataclass(facts) and not isinstance(facts, type):
        broken.facts = replace(facts, message_hash=broken.message_hash)
    items[place] = replace(items[place], message=broken)
    return replace(frame, items=tuple(items))
