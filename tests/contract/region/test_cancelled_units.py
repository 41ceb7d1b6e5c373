"""Units that were cancelled are refused to everybody, with their own reason."""

from __future__ import annotations

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import Kind
from tanqiao_region.application.commands import Selection
from tests.contract.region.fake_bridge import FakeBridge
from tests.contract.region.harness import CENTRE, Node, block

Pair = tuple[Node, Node]


def test_cancelled_units_move_no_more(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    holder, other = shanghai.open_account("holder"), shanghai.open_account("other")
    shanghai.give(holder.account_id, block(0, 100))
    cancelled = shanghai.retire(
        holder.account_id,
        Selection(blocks=(block(0, 10),)),
        kind=Kind.CANCEL,
        by=CENTRE,
        purpose="",
        purpose_text="虚构更正 invented correction",
        document_reference="X-1",
    )
    assert not isinstance(cancelled, DomainError), cancelled
    bridge.wait_until(lambda: len(bridge.finals) == 1, 30.0)
    answer = shanghai.move(holder.account_id, other.account_id, Selection(blocks=(block(5, 15),)))
    assert isinstance(answer, DomainError)
    assert answer.symbol == "UNIT_CANCELLED"
    assert answer.sentence("zh")
