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
from tanqiao.witnessing.location_roots import is_location_root, until_location_root
from tanqiao.witnessing.replay import Replay, SeenLeaf, Stretch, Touched

AHEAD_LEAVES_MAX: Final = 4_000
TAKEN_LEAVES_MAX: Final = 2_000
"""Most leaves that are applied and written at once."""

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
        """Take what was opened from an index on as one stretch, at most so many leaves.

        They are checked against what is stored, and written, all at once: each time costs a commit, and for
        all but the last a proof from the bridge.

        Returns:
            None if that is to be opened yet.
        """
        if not self._stretches:
            return None
        stretch = self._stretches.popleft()
        limit = min(limit, TAKEN_LEAVES_MAX)
        is_whole = len(stretch.leaves) <= limit
        if (
            stretch.first != first
            or stretch.before is not directory
            or not (is_whole or stretch.after is stretch.before)
        ):
            self.forget()
            return None
        if not is_whole:
            self._stretches.appendleft(stretch.between(first + limit, stretch.end))
            return stretch.between(first, first + limit)
        taken = [stretch]
        while self._stretches and self._may_join(taken, first + limit):
            taken.append(self._stretches.popleft())
        return joined(taken)

    def _may_join(self, taken: Sequence[Stretch], end: int) -> bool:
        follower = self._stretches[0]
        return (
            follower.end <= end
            and follower.before is taken[-1].after
            and not is_location_root(follower.leaves[0])  # it is compared with what is stored
        )


def joined(stretches: Sequence[Stretch]) -> Stretch:
    """Give stretches that follow each other as one."""
    if len(stretches) == 1:
        return stretches[0]
    touched = Touched()
    for one in stretches:
        touched.transfers |= one.touched.transfers
        touched.issues |= one.touched.issues
        touched.receipts |= one.touched.receipts
        touched.blocks += one.touched.blocks
    return Stretch(
        [leaf for one in stretches for leaf in one.leaves],
        [opened for one in stretches for opened in one.opened],
        touched,
        stretches[0].before,
        stretches[-1].after,
    )
