"""What an older epoch of the bridge signed beyond the index of the present one has no effect (PROTOCOL 6)."""

from __future__ import annotations

from tanqiao.protocol.recovery import EpochStart
from tanqiao_region.application.commands import Selection
from tests.contract.region.fake_bridge import LOCK, FakeBridge
from tests.contract.region.harness import SHANGHAI, Node, block

Pair = tuple[Node, Node]


def test_a_decision_of_an_older_epoch_is_answered_with_its_reason_and_releases_nothing(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.hold
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 100))
    answer = shanghai.transfer(
        holder.account_id, shenzhen.address(buyer.account_id), Selection(quantity_kg=10)
    )
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)), 30.0)
    bridge.locks[SHANGHAI, answer.transfer_id] = bridge.seen_of(LOCK)[0]
    shanghai.context.epoch_start = EpochStart(3, 0)
    bridge.abort((SHANGHAI, answer.transfer_id))
    bridge.wait_until(lambda: bool(bridge.nacks), 30.0)
    (reason,) = bridge.nacks[0].message.reasons
    assert reason.reason == "BRIDGE_EPOCH_SUPERSEDED"
    assert reason.sentence_zh
    assert reason.sentence_en
    assert shanghai.held(holder.account_id)[0] == (0, 10, 2)
