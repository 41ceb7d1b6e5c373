"""What a witness has opened ahead is applied at once when its checkpoint comes."""

from __future__ import annotations

from typing import Any

import pytest

from tanqiao.testing.network import YUNNAN
from tests.contract.bridge.harness import PlayedRegion, Running
from tests.contract.witness.harness import LyingSource, WitnessMaker, seals_by_hand, trade


class CountingSource(LyingSource):
    """Counts what is fetched while a checkpoint waits."""

    leaves_calls = consistency_calls = 0

    def leaves(self, from_index: int, limit: int) -> Any:
        self.leaves_calls += 1
        return super().leaves(from_index, limit)

    def consistency(self, old_size: int, size: int) -> Any:
        self.consistency_calls += 1
        return super().consistency(old_size, size)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_stretches_that_were_opened_ahead_are_written_together(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seal = seals_by_hand(running)
    seal()
    source = CountingSource(witnesses.remote(YUNNAN))
    follower = witnesses.make(YUNNAN, source)
    begun = follower.step()
    assert begun is not None
    trade(running, shanghai, 30)
    monkeypatch.setattr("tanqiao.witnessing.follower.LEAVES_PER_STRETCH_MAX", 7)
    assert follower.step() is None, "nothing is sealed yet"
    ahead = 0
    while opened := follower.look_ahead():
        ahead += opened
    assert ahead > 30
    written: list[int] = []
    persist = follower._store.persist

    def counted(*arguments: Any) -> None:
        written.append(len(arguments[2]))
        persist(*arguments)

    monkeypatch.setattr(follower._store, "persist", counted)
    size = seal()
    assert size == begun + ahead
    source.leaves_calls = source.consistency_calls = 0
    assert follower.step() == size
    assert written == [ahead], "one commit for all"
    assert (source.leaves_calls, source.consistency_calls) == (0, 1), "and the proof behind the last promise"
