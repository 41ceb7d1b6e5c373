"""What this node has locked or promised and is not decided, as its tables hold it: no decision looks it up.

Bounded; what is missing is read. It changes after a commit only, by the writer's thread, and is forgotten as
soon as the journal is not where the writer left it: whoever wrote meanwhile may have settled something.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, TypeVar

from tanqiao.protocol.types import TransferKey
from tanqiao_region.storage.transfers import IncomingRow, OutgoingRow

UNDECIDED_KEPT_MAX: Final = 16_384
"""Most rows of each direction that are remembered: a few hundred bytes each."""

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")


class Undecided:
    """Rows of transfers and uses that await their decision."""

    def __init__(self) -> None:
        self._outgoing: OrderedDict[bytes, OutgoingRow] = OrderedDict()
        self._incoming: OrderedDict[TransferKey, IncomingRow] = OrderedDict()
        self._journal_index = 0

    def __len__(self) -> int:
        return len(self._outgoing) + len(self._incoming)

    def begin(self, journal_index: int) -> None:
        """A group begins at this index of the journal; what another writer may have changed is forgotten."""
        if journal_index != self._journal_index:
            self.forget()
            self._journal_index = journal_index

    def forget(self) -> None:
        """Forget everything: whether a group was committed is not known."""
        self._outgoing.clear()
        self._incoming.clear()

    def outgoing(self, transfer_ids: Iterable[bytes]) -> dict[bytes, OutgoingRow]:
        """Give those of the node's own transfers and uses that are remembered."""
        return _known(self._outgoing, transfer_ids)

    def incoming(self, keys: Iterable[TransferKey]) -> dict[TransferKey, IncomingRow]:
        """Give those of the transfers to this node that are remembered."""
        return _known(self._incoming, keys)

    def note(
        self,
        journal_index: int,
        promised: tuple[Iterable[OutgoingRow], Iterable[IncomingRow]],
        settled: tuple[Iterable[bytes], Iterable[TransferKey]],
    ) -> None:
        """Take what a committed group left: its promises, then what it settled or changed."""
        self._journal_index = journal_index
        for out in promised[0]:
            self._outgoing[out.record.key.transfer_id] = out
        for one in promised[1]:
            self._incoming[one.record.key] = one
        for transfer_id in settled[0]:
            self._outgoing.pop(transfer_id, None)
        for key in settled[1]:
            self._incoming.pop(key, None)
        for rows in (self._outgoing, self._incoming):
            while len(rows) > UNDECIDED_KEPT_MAX:
                rows.popitem(last=False)


def _known(rows: Mapping[Key, Row], wanted: Iterable[Key]) -> dict[Key, Row]:
    return {key: row for key in wanted if (row := rows.get(key)) is not None} if rows else {}
