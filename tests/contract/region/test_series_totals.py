"""What the books hold, page by page: each block once, each series with its whole total, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.server.journal_servicers import NodeFacts, NodeServicer
from tests.contract.region.fake_bridge import LOCK, FakeBridge
from tests.contract.region.harness import SERIES, Node, block
from tests.contract.region.test_transfers import ready_to_send

OTHER = "310000:SHCER:PV-2:2026:1"


def pages(node: Node, size: int) -> list[journal_pb2.ListSeriesTotalsResponse]:
    servicer = NodeServicer(node.queries, cast("NodeFacts", None))
    found: list[journal_pb2.ListSeriesTotalsResponse] = []
    token = ""
    while not found or token:
        request = journal_pb2.ListSeriesTotalsRequest(page_size=size, page_token=token)
        found.append(servicer.ListSeriesTotals(request, cast("Any", None)))
        token = found[-1].next_page_token
    return found


def everything(parts: list[journal_pb2.ListSeriesTotalsResponse]) -> tuple[list[str], ...]:
    return tuple(
        [str(one) for part in parts for one in getattr(part, name)]
        for name in ("totals", "in_flight", "held_blocks")
    )


def test_pages_of_any_size_give_every_block_series_and_transfer_once(
    pair: tuple[Node, Node], bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    for start in range(100, 500, 100):
        shanghai.transfer(holder, address, Selection(blocks=(block(start, start + 10),)))
    shanghai.give(holder, block(0, 50, OTHER), series=replace(SERIES, series_id=OTHER, source_id="PV-2"))
    bridge.wait_until(lambda: len(bridge.seen_of(LOCK)) == 4)
    (whole,) = pages(shanghai, 0)
    assert [one.series_id for one in whole.totals] == sorted([OTHER, SERIES.series_id])
    assert sum(one.held_kg + one.locked_kg for one in whole.totals) == 1_050
    assert sum(one.locked_kg for one in whole.totals) == 40
    assert len(whole.in_flight) == 4
    assert whole.next_page_token == ""
    for size in (1, 3, len(whole.held_blocks) - 1, len(whole.held_blocks)):
        parts = pages(shanghai, size)
        assert all(len(part.held_blocks) <= size for part in parts)
        assert everything(parts) == everything([whole])
        assert {part.as_of_index for part in parts} == {whole.as_of_index}
    with pytest.raises(DomainError) as caught:
        pages(shanghai, -1)
    assert caught.value.symbol == "FIELD_INVALID"


def test_who_asks_for_no_pages_gets_more_blocks_than_a_page_has(
    pair: tuple[Node, Node], bridge: FakeBridge
) -> None:
    shanghai, _ = pair
    holder, _, _ = ready_to_send(pair)
    before = len(pages(shanghai, 0)[0].held_blocks)
    shanghai.give(
        holder,
        *(block(start, start + 1, OTHER) for start in range(0, 500, 2)),
        series=replace(SERIES, series_id=OTHER, source_id="PV-2"),
    )
    (whole,) = pages(shanghai, 0)
    assert len(whole.held_blocks) == before + 250
