"""Freezes at a real bridge on both databases (PROTOCOL row 10): who orders, who lifts, what stops."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2, orders_pb2
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import add_signature
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.provision import build_key_record
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application import freezes
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.memory import Overlay
from tanqiao_bridge.storage import log
from tests.contract.bridge.approvers import (
    BLOCK,
    BRIDGE_AUTHORITY,
    PAIR,
    PSEUDONYM,
    REGION,
    SHANGHAI_AUTHORITY,
    SHENZHEN_AUTHORITY,
    block_freeze,
    both,
    frozen_now,
    pair_freeze,
    signed,
    stub_of,
    submit_freeze,
)
from tests.contract.bridge.harness import (
    SERIES,
    WAIT_SECONDS,
    PlayedRegion,
    Running,
    issue_units,
    locations,
    run_bridge,
)

COMMIT = messages_pb2.OUTCOME_COMMIT
ABORT = messages_pb2.OUTCOME_ABORT
SHANGHAI_HOLDER = hashlib.sha256(SHANGHAI.encode()).digest()


def symbols(decision: messages_pb2.Decision) -> list[str]:
    return [reason.reason for reason in decision.reasons]


def refusal_of(call: Callable[[], Any]) -> DomainError:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return from_rpc_error(refused.value)


def require_clean(running: Running) -> None:
    report = check_database(running.bridge.database)
    assert report.clean, report.as_text()


def notices_of(region: PlayedRegion) -> list[messages_pb2.Freeze]:
    return [
        messages_pb2.Freeze.FromString(message.record.payload)
        for _, message in region.received
        if isinstance(message, messages_pb2.RecordNotice)
        and message.record.payload_type.endswith("freeze.v1+protobuf")
    ]


def _was_told(region: PlayedRegion) -> bool:
    return bool(notices_of(region))


def kinds_of_log(running: Running) -> list[str]:
    with running.bridge.database.reading() as connection:
        return [leaf.kind for leaf in log.read_leaves(connection, 0, 1_000)]


ORDERS = [
    pytest.param(pair_freeze(), SHANGHAI_AUTHORITY, id="pair"),
    pytest.param(pair_freeze(scope=REGION, region=SHENZHEN, other_region=""), BRIDGE_AUTHORITY, id="region"),
    pytest.param(
        pair_freeze(scope=PSEUDONYM, pseudonym=SHANGHAI_HOLDER, other_region=""),
        SHANGHAI_AUTHORITY,
        id="pseudonym",
    ),
    pytest.param(block_freeze(500, 600), SHANGHAI_AUTHORITY, id="block"),
]


@pytest.mark.parametrize(("order", "authority"), ORDERS)
def test_a_freeze_aborts_what_is_undecided_stops_what_is_new_and_is_lifted_by_who_ordered_it(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    order: messages_pb2.Freeze,
    authority: str,
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: None
    (undecided,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    shenzhen.wait(lambda: undecided in shenzhen.prepares)

    answer = submit_freeze(running, order, authority)
    aborted = shanghai.outcome(undecided)
    assert (aborted.outcome, symbols(aborted)) == (ABORT, ["FROZEN"])
    assert aborted.log_index > answer.log_index
    assert aborted.reasons[0].metadata["document"] == "order 1"
    if order.scope == BLOCK:
        assert aborted.reasons[0].blocks[0].end_serial == 1_000
    shanghai.wait(lambda: order.order_id in [one.order_id for one in notices_of(shanghai)])

    shenzhen.answers = lambda _prepare: "ready"
    (refused,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert symbols(shanghai.outcome(refused)) == ["FROZEN"]
    assert refused not in shenzhen.prepares  # nobody is asked for a promise that cannot be used
    assert len(frozen_now(running)) == 1
    require_clean(running)

    lifting = messages_pb2.Freeze()
    lifting.CopyFrom(order)
    lifting.unfreeze, lifting.order_id = True, secrets.token_bytes(16)
    submit_freeze(running, lifting, authority)
    assert frozen_now(running) == []
    (moved,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert shanghai.outcome(moved).outcome == COMMIT
    assert kinds_of_log(running).count("freeze") == kinds_of_log(running).count("unfreeze") == 1
    require_clean(running)


def test_a_frozen_region_neither_issues_nor_retires(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    submit_freeze(running, pair_freeze(scope=REGION, other_region=""), SHANGHAI_AUTHORITY)
    use = shanghai.use(0, 1_000)
    shanghai.offer([use])
    assert symbols(shanghai.outcome(use.header.transfer_id)) == ["FROZEN"]
    refused = issue_units(
        running,
        shanghai,
        start=100_000,
        claim_id="310000:instalment:2",
        period=("2026-02-01", "2026-03-01"),
    )
    assert not refused.accepted
    assert [reason.reason for reason in refused.reasons] == ["FROZEN"]
    assert locations(running) == [(0, 100_000, SHANGHAI, 1)]


def test_what_was_committed_before_a_freeze_is_delivered_and_its_region_told(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (moved,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert shenzhen.outcome(moved).outcome == COMMIT
    order = block_freeze(200, 300)
    submit_freeze(running, order, SHANGHAI_AUTHORITY)  # issued there: the home authority may
    shenzhen.wait(lambda: order.order_id in [one.order_id for one in notices_of(shenzhen)])
    use = shenzhen.use(250, 260)
    shenzhen.offer([use])
    assert symbols(shenzhen.outcome(use.header.transfer_id)) == ["FROZEN"]
    beside = shenzhen.use(300, 400)
    shenzhen.offer([beside])
    assert shenzhen.outcome(beside.header.transfer_id).outcome == COMMIT
    require_clean(running)


def test_a_part_of_the_blocks_is_lifted_and_the_rest_stays(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    submit_freeze(running, block_freeze(100, 400), SHANGHAI_AUTHORITY)
    submit_freeze(running, block_freeze(200, 250, unfreeze=True), SHANGHAI_AUTHORITY)
    assert [what for _, what, _, _ in frozen_now(running)] == ["100-200", "250-400"]
    require_clean(running)


WRONG_SIGNERS = [
    pytest.param(SHANGHAI_AUTHORITY, ((SHANGHAI_AUTHORITY, 0),), "APPROVERS_MISSING", id="one alone"),
    pytest.param(
        SHANGHAI_AUTHORITY,
        ((SHANGHAI_AUTHORITY, 0), (SHANGHAI_AUTHORITY, 0)),
        "MESSAGE_MALFORMED",
        id="one key twice",
    ),
    pytest.param(
        SHANGHAI_AUTHORITY,
        ((SHANGHAI_AUTHORITY, 0), (SHENZHEN_AUTHORITY, 0)),
        "APPROVERS_MISSING",
        id="of two authorities",
    ),
    pytest.param(
        SHANGHAI_AUTHORITY,
        ((SHENZHEN_AUTHORITY, 0), (SHENZHEN_AUTHORITY, 1)),
        "SENDER_MISMATCH",
        id="not the sender's",
    ),
    pytest.param("authority/530000", both("authority/530000"), "ORDER_NOT_COMPETENT", id="a third region's"),
    pytest.param(
        SHANGHAI_AUTHORITY,
        (*both(SHANGHAI_AUTHORITY), (SHENZHEN_AUTHORITY, 0)),
        "MESSAGE_MALFORMED",
        id="one too many",
    ),
]


@pytest.mark.parametrize(("authority", "signers", "symbol"), WRONG_SIGNERS)
def test_an_order_that_two_approvers_of_a_competent_authority_have_not_signed_changes_nothing(
    running: Running, authority: str, signers: tuple[tuple[str, int], ...], symbol: str
) -> None:
    before = kinds_of_log(running)
    refusal = refusal_of(lambda: submit_freeze(running, pair_freeze(), authority, signers))
    assert refusal.symbol == symbol
    assert refusal.sentence("zh")
    assert kinds_of_log(running) == before
    assert frozen_now(running) == []


def test_two_keys_in_one_hand_are_one_approver(
    running: Running, network: NetworkOfTest, tmp_path: Path
) -> None:
    Keyring.create(tmp_path / "second", SHANGHAI_AUTHORITY)
    second = Keyring.add_key(tmp_path / "second", KeyRole.APPROVER)
    record = build_key_record(
        network.network_id, network.network.root(SHANGHAI_AUTHORITY), second, holder="approver-1"
    )
    directory_pb2_grpc.DirectoryServiceStub(running.channel(SHANGHAI)).SubmitKeyRecord(
        directory_pb2.SubmitKeyRecordRequest(request_id="second-key", record=record),
        timeout=WAIT_SECONDS,
        wait_for_ready=True,
    )
    once = signed(network, pair_freeze(), SHANGHAI_AUTHORITY, ((SHANGHAI_AUTHORITY, 0),))
    same_hand = orders_pb2.SubmitFreezeRequest(
        request_id="same-hand", order=add_signature(once, second.signer)
    )
    refusal = refusal_of(
        lambda: stub_of(running).SubmitFreeze(same_hand, timeout=WAIT_SECONDS, wait_for_ready=True)
    )
    assert refusal.symbol == "APPROVERS_MISSING"
    assert refusal.metadata["have"] == "1"
    other_hand = orders_pb2.SubmitFreezeRequest(
        request_id="other-hand",
        order=add_signature(once, network.network.approvers(SHANGHAI_AUTHORITY)[1].signer),
    )
    assert stub_of(running).SubmitFreeze(other_hand, timeout=WAIT_SECONDS, wait_for_ready=True).log_index > 0


def test_nobody_lifts_what_another_authority_froze(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    submit_freeze(running, pair_freeze(), SHANGHAI_AUTHORITY)
    for authority in (SHENZHEN_AUTHORITY, BRIDGE_AUTHORITY):
        refusal = refusal_of(partial(submit_freeze, running, pair_freeze(unfreeze=True), authority))
        assert refusal.symbol == "NOT_FROZEN"
    assert len(frozen_now(running)) == 1
    require_clean(running)


def test_an_authority_orders_about_foreign_units_only_where_they_are_its_own(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    refusal = refusal_of(lambda: submit_freeze(running, block_freeze(0, 10), SHENZHEN_AUTHORITY))
    assert refusal.symbol == "ORDER_NOT_COMPETENT"
    (moved,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert shenzhen.outcome(moved).outcome == COMMIT
    submit_freeze(running, block_freeze(0, 10), SHENZHEN_AUTHORITY)
    refusal = refusal_of(lambda: submit_freeze(running, block_freeze(990, 1_010), SHENZHEN_AUTHORITY))
    assert refusal.symbol == "ORDER_NOT_COMPETENT"


def test_the_same_order_again_has_one_effect_and_another_under_its_id_freezes_the_sender(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    order = pair_freeze()
    envelope = signed(running.network, order, SHANGHAI_AUTHORITY, both(SHANGHAI_AUTHORITY))
    stub = stub_of(running)
    answers = [
        stub.SubmitFreeze(
            orders_pb2.SubmitFreezeRequest(request_id=request_id, order=envelope),
            timeout=WAIT_SECONDS,
            wait_for_ready=True,
        )
        for request_id in ("first", "first", "second")
    ]
    assert len({answer.log_index for answer in answers}) == 1
    assert len(frozen_now(running)) == 1
    order.document = "another"
    refusal = refusal_of(lambda: submit_freeze(running, order, SHANGHAI_AUTHORITY))
    assert refusal.symbol == "EQUIVOCATION"
    assert (REGION, SHANGHAI, "bridge") in [(scope, what, by) for scope, what, by, _ in frozen_now(running)]
    require_clean(running)


def test_an_equivocating_region_is_frozen_with_its_pair_until_two_approvers_lift_it(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: None
    transfer_id, other = secrets.token_bytes(16), secrets.token_bytes(16)
    shanghai.offer_locks(
        [shanghai.lock(0, 1_000, transfer_id=transfer_id), shanghai.lock(5_000, 6_000, transfer_id=other)]
    )
    shenzhen.wait(lambda: other in shenzhen.prepares)
    shanghai.offer_locks([shanghai.lock(2_000, 3_000, transfer_id=transfer_id)])
    assert symbols(shanghai.outcome(transfer_id)) == ["EQUIVOCATION"]
    assert symbols(shanghai.outcome(other)) == ["FROZEN"]
    for region in (shanghai, shenzhen):
        region.wait(partial(_was_told, region))
    order = notices_of(shanghai)[0]
    assert (order.scope, order.reason, len(order.evidence_hashes)) == (PAIR, "lock equivocation", 2)
    with running.bridge.database.reading() as connection:
        leaves = [decode_leaf(one.leaf) for one in log.read_leaves(connection, 0, 1_000)]
    (leaf,) = [one for one in leaves if one.kind == "freeze"]
    assert set(order.evidence_hashes) <= set(leaf.message_hashes)

    lifting = pair_freeze(unfreeze=True)
    for authority in (SHANGHAI_AUTHORITY, SHENZHEN_AUTHORITY):
        refusal = refusal_of(partial(submit_freeze, running, lifting, authority))
        assert refusal.symbol == "NOT_FROZEN"
    submit_freeze(running, lifting, BRIDGE_AUTHORITY)
    shenzhen.answers = lambda _prepare: "ready"
    (later,) = shanghai.offer_locks([shanghai.lock(7_000, 8_000)])
    assert shanghai.outcome(later).outcome == COMMIT
    require_clean(running)


def test_what_an_equivocation_about_an_unknown_region_froze_can_be_lifted(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    nobody, transfer_id = "region/999999", secrets.token_bytes(16)
    for start in (0, 2_000):
        lock = shanghai.lock(start, start + 1_000, transfer_id=transfer_id, destination=nobody)
        shanghai.offer_locks([lock])
        shanghai.outcome(transfer_id)
    shanghai.wait(lambda: bool(shanghai.refused))
    assert [what for _, what, _, _ in frozen_now(running)] == [f"{SHANGHAI} {nobody}"]
    refusal = refusal_of(partial(submit_freeze, running, pair_freeze(other_region=nobody)))
    assert refusal.symbol == "REGION_UNKNOWN"
    submit_freeze(running, pair_freeze(other_region=nobody, unfreeze=True))
    assert frozen_now(running) == []
    require_clean(running)


def test_two_uses_under_one_id_freeze_the_sender(running: Running, shanghai: PlayedRegion) -> None:
    assert issue_units(running, shanghai).accepted
    use = shanghai.use(0, 1_000)
    shanghai.offer([use])
    assert shanghai.outcome(use.header.transfer_id).outcome == COMMIT
    second = shanghai.use(2_000, 3_000)
    second.header.transfer_id = use.header.transfer_id
    shanghai.offer([second])
    shanghai.wait(lambda: bool(shanghai.refused))
    assert shanghai.refused[0].reasons[0].reason == "EQUIVOCATION"
    assert [(scope, what, by) for scope, what, by, _ in frozen_now(running)] == [(REGION, SHANGHAI, "bridge")]
    require_clean(running)


def test_a_bridge_that_stops_between_the_signatures_and_the_order_or_behind_it_loses_nothing(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest
) -> None:
    first = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    first.recognise()
    order = pair_freeze()
    envelope = signed(network, order, SHANGHAI_AUTHORITY, both(SHANGHAI_AUTHORITY))
    first.bridge.stop()
    second = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    request = orders_pb2.SubmitFreezeRequest(request_id="after", order=envelope)
    index = stub_of(second).SubmitFreeze(request, timeout=WAIT_SECONDS, wait_for_ready=True).log_index
    second.bridge.stop()
    third = run_bridge(network, bridge_database.url, bridge_database.owner_url)
    shanghai = PlayedRegion(third, SHANGHAI).connect()
    try:
        assert (
            stub_of(third).SubmitFreeze(request, timeout=WAIT_SECONDS, wait_for_ready=True).log_index == index
        )
        assert issue_units(third, shanghai).accepted
        (refused,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
        assert symbols(shanghai.outcome(refused)) == ["FROZEN"]
        shanghai.wait(lambda: [one.order_id for one in notices_of(shanghai)] == [order.order_id])
        shown = stub_of(third, YUNNAN).GetFreezeOrder(
            orders_pb2.GetFreezeOrderRequest(order_id=order.order_id),
            timeout=WAIT_SECONDS,
            wait_for_ready=True,
        )
        assert (shown.order, shown.log_index, len(shown.in_force)) == (envelope, index, 1)
        require_clean(third)
    finally:
        shanghai.disconnect()
        third.bridge.stop()


def test_the_bridge_freezes_exactly_the_blocks_of_a_finding_and_each_once(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted

    def freeze(*blocks: UnitBlock) -> int:
        """Freeze as reconciliation does, in a transaction of its own; the number of orders made."""

        def work(unit: UnitOfWork) -> int:
            context = running.bridge.context
            group = Group(context, unit.connection, 1_772_000_000, "2026-03-02", Overlay(context.transfers))
            made = freezes.freeze_blocks(group, blocks, reason="reconciliation", document="case 7")
            unit.commit()
            return len(made)

        return run_in_transaction(running.bridge.database, work)

    assert freeze(UnitBlock(SERIES, 10, 20), UnitBlock(SERIES, 15, 30)) == 1
    assert freeze(UnitBlock(SERIES, 12, 28)) == 0
    assert freeze(UnitBlock(SERIES, 25, 40)) == 1
    assert [what for _, what, _, _ in frozen_now(running)] == ["10-30", "30-40"]
    (refused,) = shanghai.offer_locks([shanghai.lock(39, 41)])
    running.recognise()
    assert "FROZEN" in symbols(shanghai.outcome(refused))
    require_clean(running)
