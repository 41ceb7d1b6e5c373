"""What a region reports to a bridge that was restored: the promises of which it has seen no decision."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import recovery_pb2
from tanqiao.signing.pae import message_hash
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.application.recovery import Recovery
from tests.contract.region.fake_bridge import LOCK, READY, FakeBridge
from tests.contract.region.harness import SERIES, SHANGHAI, Node, block

Pair = tuple[Node, Node]


class Bridge:
    """Keeps what is handed in."""

    def __init__(self) -> None:
        self.pages: list[recovery_pb2.SubmitReportRequest] = []

    def submit(self, request: recovery_pb2.SubmitReportRequest) -> None:
        self.pages.append(request)

    def open_promises(self) -> list[recovery_pb2.Papers]:
        return []


def reported(node: Node) -> list[recovery_pb2.Papers]:
    """Let a node report; the promises in it, all of them before the last page."""
    bridge = Bridge()
    recovery = Recovery(node.context, node.region.database, node.region.writer)
    recovery.report(bridge)
    assert [page.complete for page in bridge.pages] == [False] * (len(bridge.pages) - 1) + [True]
    assert not bridge.pages[-1].undecided
    return [papers for page in bridge.pages for papers in page.undecided]


def test_locks_and_readys_without_a_decision_are_reported_as_they_were_signed(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 100))
    address = shenzhen.address(buyer.account_id)
    ended = shanghai.transfer(holder.account_id, address, Selection(quantity_kg=5))
    bridge.wait_until(lambda: (SHANGHAI, ended.transfer_id) in bridge.decided)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    assert reported(shanghai) == reported(shenzhen) == []
    bridge.on_answer = bridge.hold
    order = shanghai.transfer(holder.account_id, address, Selection(quantity_kg=10))

    def seen(payload_type: str) -> list[bytes]:
        return [
            one.hash
            for one in bridge.seen_of(payload_type)
            if one.message.header.transfer_id == order.transfer_id
        ]

    bridge.wait_until(lambda: bool(seen(READY)))
    (locked,), (ready,) = reported(shanghai), reported(shenzhen)
    assert message_hash(locked.lock.payload_type, locked.lock.payload) == seen(LOCK)[0]
    assert locked.openings.receiving_address == address
    assert message_hash(ready.ready.payload_type, ready.ready.payload) == seen(READY)[0]
    assert not ready.HasField("lock")
