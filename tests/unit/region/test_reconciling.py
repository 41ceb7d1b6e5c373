"""What a bridge may make a region do by what it says differs."""

from __future__ import annotations

from typing import Any

import pytest

from tanqiao.api.bridge.v1 import reconcile_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.reconciliation import LEAF_BLOCKS_MAX, SeriesBlocks
from tanqiao_region.application import reconciling
from tanqiao_region.application.reconciling import Reconciliation


class LyingBridge:
    """Says that everything differs, again and again, and what it was not asked about too."""

    def __init__(self, series: list[str], ends: list[int]) -> None:
        self._series, self._ends = series, ends
        self.shown = 0
        self.asked = 0

    def series(self, _request: Any) -> reconcile_pb2.CompareSeriesResponse:
        return reconcile_pb2.CompareSeriesResponse(differing_series_ids=self._series, end_serials=self._ends)

    def ranges(self, request: reconcile_pb2.CompareRangesRequest) -> reconcile_pb2.CompareRangesResponse:
        self.asked += len(request.ranges)
        named = [*range(len(request.ranges)), 10**6, -1]
        return reconcile_pb2.CompareRangesResponse(differing=named * 50)

    def blocks(self, _request: Any) -> reconcile_pb2.CompareBlocksResponse:
        self.shown += 1
        return reconcile_pb2.CompareBlocksResponse()


def differing(bridge: Any) -> list[tuple[str, int]]:
    run = Reconciliation.__new__(Reconciliation)
    return list(run._differing(bridge, b"r" * 16, []))


def test_what_a_bridge_names_as_differing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert differing(LyingBridge(["a", "a", "b"], [1, 2, 3])) == [("a", 2), ("b", 3)]
    for series, ends in ((["a", "b"], [1]), (["a"], [])):
        with pytest.raises(DomainError) as caught:
            differing(LyingBridge(series, ends))
        assert caught.value.symbol == "FIELD_INVALID"
    monkeypatch.setattr(reconciling, "DIFFERING_MAX", 2)
    with pytest.raises(DomainError):
        differing(LyingBridge(["a", "b", "c"], [1, 2, 3]))
    # However often it names a range, as many are asked about as the region's own books hold.
    pieces = LEAF_BLOCKS_MAX * 4
    blocks = SeriesBlocks((at * 10, at * 10 + 1, 1) for at in range(pieces))
    bridge = LyingBridge([], [])
    run = Reconciliation.__new__(Reconciliation)
    remote: Any = bridge
    run._descend(remote, b"r" * 16, "s", blocks, 10**15)
    assert bridge.shown <= 16 * (pieces // LEAF_BLOCKS_MAX) * 16
    assert bridge.asked <= 16 * 16 * pieces
