"""What the bridge keeps in memory only: transfers that are open. A crash loses it; the offers make it again.

The writer's thread is the only one that changes it, and only after a commit; a group works on an overlay.
"""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from tanqiao.offline.location_map import PageKey
from tanqiao.protocol.types import DecisionRecord, NotaryState, OpenTransfer, TransferKey
from tanqiao_bridge.application.commands import Material

OPEN_TRANSFERS_MAX: Final = 200_000
"""Most transfers that may be open at one time; beyond it offers are answered BUSY."""


RECENT_DECISIONS_MAX: Final = 16_384
"""Most decisions that are remembered for their receipts: a few hundred bytes each."""


@dataclass(slots=True)
class OpenEntry:
    """An open transfer with the messages it rests on and the Prepare made for it."""

    transfer: OpenTransfer
    lock: Material
    prepare_payload: bytes = b""
    answer: Material | None = None


class ChangedPages:
    """Pages of the location map in which a commit wrote; bounded by the pages that there are.

    The writer notes them after each commit, the thread that keeps the map's root takes them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: set[PageKey] = set()

    def note(self, keys: Iterable[PageKey]) -> None:
        """Add pages."""
        with self._lock:
            self._keys.update(keys)

    def take(self) -> set[PageKey]:
        """Give the pages and forget them."""
        with self._lock:
            keys, self._keys = self._keys, set()
            return keys


class RecentDecisions:
    """Decisions whose receipts are not all in, as the tables hold them: a receipt costs no look-up.

    Bounded; what is missing is read. Like the open transfers it changes after a commit only, by the writer's
    thread, which is the only one that writes decisions.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[TransferKey, DecisionRecord] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: TransferKey) -> DecisionRecord | None:
        """Give the decision of a key, if it is remembered."""
        return self._records.get(key)

    def note(self, records: Mapping[TransferKey, DecisionRecord]) -> None:
        """Remember what a group leaves; what is closed is forgotten."""
        for key, record in records.items():
            if record.state is NotaryState.CLOSED:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        while len(self._records) > RECENT_DECISIONS_MAX:
            self._records.popitem(last=False)


class OpenTransfers:
    """Open transfers by key, by destination, and by deadline."""

    def __init__(self) -> None:
        self._entries: dict[TransferKey, OpenEntry] = {}
        self._by_destination: dict[str, set[TransferKey]] = {}
        self._deadlines: list[tuple[int, str, bytes]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: TransferKey) -> OpenEntry | None:
        """Give the entry of a key."""
        return self._entries.get(key)

    def put(self, key: TransferKey, entry: OpenEntry) -> None:
        """Keep an entry; its deadline is noted when it is new."""
        if key not in self._entries:
            heapq.heappush(self._deadlines, (entry.transfer.deadline_ms, key.source, key.transfer_id))
        self._entries[key] = entry
        self._by_destination.setdefault(entry.transfer.destination, set()).add(key)

    def remove(self, key: TransferKey) -> None:
        """Forget an entry: it is decided."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            keys = self._by_destination.get(entry.transfer.destination)
            if keys is not None:
                keys.discard(key)

    def towards(self, destination: str) -> Iterator[tuple[TransferKey, OpenEntry]]:
        """Give what waits for a destination's answer, oldest deadline first."""
        keys = self._by_destination.get(destination, set())
        entries = [(key, self._entries[key]) for key in keys]
        entries.sort(key=lambda item: (item[1].transfer.deadline_ms, item[0].transfer_id))
        yield from entries

    def all(self) -> list[tuple[TransferKey, OpenEntry]]:
        """Give every open transfer."""
        return list(self._entries.items())

    def due(self, now_ms: int, limit: int) -> list[TransferKey]:
        """Give up to `limit` keys whose deadline has passed; they stay until decided."""
        found: list[TransferKey] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms and len(found) < limit:
            _, source, transfer_id = heapq.heappop(self._deadlines)
            key = TransferKey(source, transfer_id)
            if key in self._entries:
                found.append(key)
        return found

    def postpone(self, key: TransferKey, until_ms: int) -> None:
        """Look at a key again later: its group was rolled back or it has its answer already."""
        if key in self._entries:
            heapq.heappush(self._deadlines, (until_ms, key.source, key.transfer_id))


_UNCHANGED: Final = object()


@dataclass(slots=True)
class Overlay:
    """Changes of one group to the open transfers; None means decided. Merged after the commit."""

    base: OpenTransfers
    changes: dict[TransferKey, OpenEntry | None] = field(default_factory=dict)
    added: int = 0

    def get(self, key: TransferKey) -> OpenEntry | None:
        """Give the entry as this group sees it."""
        entry = self.changes.get(key, _UNCHANGED)
        return self.base.get(key) if entry is _UNCHANGED else cast("OpenEntry | None", entry)

    def put(self, key: TransferKey, entry: OpenEntry) -> None:
        """Note a new or changed entry."""
        if self.get(key) is None:
            self.added += 1
        self.changes[key] = entry

    def remove(self, key: TransferKey) -> None:
        """Note that the transfer is decided."""
        self.changes[key] = None

    def all(self) -> list[tuple[TransferKey, OpenEntry]]:
        """Give every open transfer as this group sees it."""
        seen = {key: entry for key, entry in self.base.all() if key not in self.changes}
        return [*seen.items(), *((key, entry) for key, entry in self.changes.items() if entry is not None)]

    @property
    def room(self) -> bool:
        """Whether one more transfer may be open."""
        return len(self.base) + self.added < OPEN_TRANSFERS_MAX

    def merge(self) -> None:
        """Make the changes, after the commit."""
        for key, entry in self.changes.items():
            if entry is None:
                self.base.remove(key)
            else:
                self.base.put(key, entry)
