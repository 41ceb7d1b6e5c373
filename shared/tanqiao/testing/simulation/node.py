"""What the shells of region and bridge share: transactions, their edges, and frames sent after them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.testing.simulation.disk import Disk, Transaction
from tanqiao.testing.simulation.messages import Frame, Item, Message, Signatures
from tanqiao.testing.simulation.network import Clock, Network

if TYPE_CHECKING:
    from tanqiao.testing.simulation.auditor import Auditor

ITEMS_PER_FRAME_MAX: Final = 100
_DOWN_MS: Final = (20, 4_000)

Place = tuple[str, str]
"""Where units are: at a region (state, transfer), at the bridge (party, state)."""


class Died(Exception):  # noqa: N818 - not an error: a fault that was asked for
    """The process died at an edge of a transaction."""


@dataclass(slots=True)
class World:
    """What all nodes of a schedule share."""

    clock: Clock
    network: Network
    random: Random
    signatures: Signatures
    auditor: Auditor


class Work:
    """One transaction: what it reads and writes, and the items to be sent after it, by receiver."""

    __slots__ = ("_books", "outgoing", "transaction")

    def __init__(self, disk: Disk) -> None:
        self.transaction = Transaction(disk)
        self.outgoing: dict[str, list[Item]] = {}
        self._books: dict[str, LocationBook[Place]] = {}

    def send(self, receiver: str, item: Item) -> None:
        """Send an item once the transaction is durable."""
        self.outgoing.setdefault(receiver, []).append(item)

    def book(self, series_id: str) -> LocationBook[Place]:
        """Give the rows of a series as this transaction sees them."""
        found = self._books.get(series_id)
        if found is None:
            rows: tuple[LocationRow[Place], ...] = self.transaction.get("rows", series_id) or ()
            found = self._books[series_id] = LocationBook(rows)
        return found

    def move(
        self, blocks: tuple[UnitBlock, ...], from_place: Place, to_place: Place
    ) -> tuple[UnitBlock, ...]:
        """Move blocks of one series; gives what is elsewhere."""
        return self.book(blocks[0].series_id).move(blocks, from_place, to_place)

    def close(self) -> None:
        """Write the books back."""
        for series_id, book in self._books.items():
            difference = book.difference()
            if difference.deleted or difference.inserted:
                self.transaction.put("rows", series_id, book.rows())


class Node(ABC):
    """A process with a disk. What is not on the disk is lost when it dies."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.disk = Disk(name, world.auditor.on_commit)
        self.up = True
        self.life = 0
        world.network.deliver[name] = self._on_frame

    def run(self, handler: Callable[[Work], None]) -> None:
        """Run a handler in one transaction and send what it asked for, unless the process dies meanwhile."""
        if not self.up:
            return
        work = Work(self.disk)
        edge = self._edge()
        try:
            handler(work)
            self.finish(work, edge)
        except Died:
            self._die()

    def finish(self, work: Work, edge: str) -> None:
        """R1: commit, then send."""
        work.close()
        self.commit(work, edge)
        self.send_all(work, edge)

    def commit(self, work: Work, edge: str) -> None:
        """Make the transaction durable."""
        if edge == "crash_before_commit":
            raise Died
        work.transaction.commit()
        if edge == "crash_after_commit":
            raise Died

    def send_all(self, work: Work, edge: str) -> None:
        """Send every frame; or die after some of them."""
        for receiver, items in work.outgoing.items():
            for first in range(0, len(items), ITEMS_PER_FRAME_MAX):
                self._send(receiver, tuple(items[first : first + ITEMS_PER_FRAME_MAX]))
                if edge == "crash_between_sends":
                    raise Died

    @abstractmethod
    def session_with(self, party: str) -> int:
        """Give the number of the session in which frames go to a party."""

    def _send(self, receiver: str, items: tuple[Item, ...]) -> None:
        frame = Frame(self.name, receiver, self.session_with(receiver), items)
        frame.signature = self.world.signatures.sign(self.name, frame.statement())
        for item in items:
            if item.message is not None and item.message.sender == self.name:
                self.world.auditor.on_send(self.name, item.message)
        self.world.network.send(frame)

    def _on_frame(self, frame: Frame) -> None:
        if not self.up:
            return
        if not self.world.signatures.verify(frame.sender, frame.statement(), frame.signature):
            self.world.network.count("refused signature")
            return
        self.receive(frame)

    @abstractmethod
    def receive(self, frame: Frame) -> None:
        """Take a frame whose signature holds."""

    @abstractmethod
    def restarted(self) -> None:
        """Begin again from what is on the disk."""

    def _edge(self) -> str:
        network = self.world.network
        if network.healed or not network.rates.crash or self.world.random.random() >= network.rates.crash:
            return ""
        edge = self.world.random.choice(("crash_before_commit", "crash_after_commit", "crash_between_sends"))
        if edge in network.rates.without:
            return ""
        network.count(edge)
        return edge

    def _die(self) -> None:
        self.up = False
        self.life += 1
        self.world.clock.after(self.world.random.randint(*_DOWN_MS), self._start)

    def _start(self) -> None:
        if not self.up:
            self.up = True
            self.restarted()

    def revive(self) -> None:
        """Start the process now if it is down."""
        self._start()


def stored(message: Message | None) -> Message:
    """Give a message that must be on the disk."""
    if message is None:
        raise LookupError("a message that was promised is not on the disk")
    return message
