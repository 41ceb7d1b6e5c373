"""Leaves that are durable at the bridge and not sealed yet: opened before their checkpoint comes.

To open the messages of a leaf is most of what it costs a witness. Done ahead, it does not stand between a
decision and its finality. Nothing here is believed: what was opened is applied once its bytes are shown to be
part of a tree that the log signed; whatever does not fit is forgotten, fetched again and judged in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from tanqiao.signing.directory import KeyDirectory
from tanqiao.tlog.errors import TlogError
from tanqiao.witnessing.location_roots import until_location_root
from tanqiao.witnessing.replay import Replay, SeenLeaf, Stretch

AHEAD_LEAVES_MAX: Final = 4_000

Fetch = Callable[[int, int], Sequence[SeenLeaf]]
"""Gives leaves from an index on, at most so many, dense; `LOG_LEAVES_MISSING` where there is none."""


class Ahead:
    """The stretches behind what is replayed, in order and without a gap.

    Args:
        replay: opens leaves.
        fetch: gives them.
    """

    def __init__(self, replay: Replay, fetch: Fetch) -> None:
        self._replay = replay
        self._fetch = fetch
        self._stretches: deque[Stretch] = deque()

    def forget(self) -> None:
        """Forget everything: it is fetched again."""
        self._stretches.clear()

    def open_more(
        self, replayed: int, directory: KeyDirectory, settled: Collection[int], *, log_size: int, limit: int
    ) -> int:
        """Open the leaves behind those that are opened already; how many.

        Args:
            replayed: number of leaves replayed.
            directory: keys behind these.
            settled: as for `Replay.open`.
            log_size: number of durable leaves, as the bridge says.
            limit: most leaves at a time.
        """
        first = self._stretches[-1].end if self._stretches else replayed
        room = min(limit, log_size - first, replayed + AHEAD_LEAVES_MAX - first)
        if room <= 0:
            return 0
        before = self._stretches[-1].after if self._stretches else directory
        try:
            leaves = until_location_root(self._fetch(first, room))
            stretch = self._replay.open(leaves, before, settled)
        except TlogError:
            return 0  # judged when it is sealed
        self._stretches.append(stretch)
        return len(leaves)

    def take(self, first: int, limit: int, directory: KeyDirectory) -> Stretch | None:
        """Take what was opened from an index on, at most so many leaves; None if that is to be done yet."""
        if not self._stretches:
            return None
        stretch = self._stretches.popleft()
        is_whole = len(stretch.leaves) <= limit
        if (
            stretch.first != first
            or stretch.before is not directory
            or not (is_whole or stretch.after is stretch.before)
        ):
            self.forget()
            return None
        if is_whole:
            return stretch
        self._stretches.appendleft(stretch.between(first + limit, stretch.end))
        return stretch.between(first, first + limit)
