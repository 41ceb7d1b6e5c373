"""The bridge restored from an old backup under load (PROTOCOL section 6).

It begins a new epoch, takes back from the regions what it forgot, decides nothing of a region that has not
reported, and then goes on; no unit is lost or doubled, and nothing is stuck.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    messages_pb2,
    orders_pb2,
    orders_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
)
from tanqiao.api.region.v1 import journal_pb2, ledger_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.storage.locations import load_touched
from tanqiao_bridge.storage.orders import load_frozen
from tanqiao_region.storage import tables as region_tables
from tests.contract.bridge.approvers import BLOCK, both, correction, pair_freeze, signed
from tests.contract.bridge.harness import claim_of
from tests.contract.recovery.old_copies import ON_SQLITE, OldCopies
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WAIT_SECONDS = 60.0


def require_no_claim_yet(copies: OldCopies, missing: str) -> None:
    """Shanghai declares a claim, and is told which region has to report first."""
    claim = claim_of("310000:instalment:after-the-backup", filing_code="99310000000000799")
    envelope = copies.network.envelope(claims_pb2.DeclareStatement(claim=claim), SHANGHAI)
    stub = claims_pb2_grpc.ClaimServiceStub(copies.market.channel("bridge", SHANGHAI))
    with pytest.raises(grpc.RpcError) as refused:
        stub.DeclareClaim(claims_pb2.DeclareClaimRequest(envelope=envelope), timeout=WAIT_SECONDS)
    error = from_rpc_error(refused.value)
    assert (error.symbol, error.metadata["region"]) == ("REGION_RECOVERING", missing)


def recovery(copies: OldCopies) -> Any:
    """What the bridge says of its recovery."""
    stub = recovery_pb2_grpc.RecoveryServiceStub(copies.market.channel("bridge", "reader/national"))
    return stub.GetRecoveryStatus(recovery_pb2.GetRecoveryStatusRequest(), timeout=60)


def wait_reported(copies: OldCopies, *parties: str) -> None:
    """Wait until the regions have reported."""
    copies.market.wait(
        lambda: not set(parties) & set(recovery(copies).missing_regions), "they report", WAIT_SECONDS
    )


def orders(copies: OldCopies, first: int, count: int) -> list[str]:
    return [copies.market.send(number) for number in range(first, first + count)]


def leaves(copies: OldCopies) -> list[Any]:
    stub = directory_pb2_grpc.DecisionServiceStub(copies.market.channel("bridge", "reader/national"))
    answer = stub.ListLogEntries(directory_pb2.ListLogEntriesRequest(page_size=1000), timeout=60)
    return [decode_leaf(entry.leaf) for entry in answer.entries]


def test_a_bridge_restored_under_load_loses_and_doubles_nothing(old_copies: OldCopies) -> None:
    copies = old_copies
    before = copies.market.conserved()
    early = orders(copies, 0, 6)
    sent: list[str] = []
    sender = threading.Thread(target=lambda: sent.extend(orders(copies, 100, 30)))
    sender.start()
    copy = copies.backup("bridge")
    sender.join()
    copies.market.wait_ended([*early, *sent], WAIT_SECONDS)

    copies.lose("bridge")
    begun = copies.restore("bridge", copy)
    copies.start("bridge")
    wait_reported(copies, SHANGHAI, SHENZHEN)

    assert begun.epoch == 2
    assert recovery(copies).missing_regions == [YUNNAN]  # it is not there, and holds nobody up
    assert recovery(copies).waiting_count == 0
    late = orders(copies, 200, 6)
    states = copies.market.wait_ended([*early, *sent, *late], WAIT_SECONDS)
    moved = sum(state == ledger_pb2.TRANSFER_STATE_MOVED for state in states.values())
    after = copies.market.conserved(WAIT_SECONDS)
    assert copies.market.balance(SHENZHEN, copies.market.buyer).held_kg == moved == len(states)
    series = copies.market.series_id
    assert after.series[series].issued_kg == before.series[series].issued_kg
    kinds = [leaf.kind for leaf in leaves(copies)]
    assert kinds[begun.continues_from] == "bridge_epoch"
    adopted = [leaf for leaf in leaves(copies) if leaf.get("adopted_index") is not None]
    assert adopted, "what was decided after the backup came back"
    assert [one for one in map(str, kinds) if one == "decision"] == ["decision"] * len(states)
    copies.three.require_clean()


def test_units_that_were_issued_after_the_backup_come_back_with_their_claim(old_copies: OldCopies) -> None:
    copies = old_copies
    bridge = copies.three.running["bridge"]
    copy = copies.empty
    sent = orders(copies, 0, 4)
    copies.market.wait_ended(sent, WAIT_SECONDS)
    size = bridge.context.log_size

    copies.lose("bridge")
    begun = copies.restore("bridge", copy)
    assert begun.continues_from < size
    copies.start("bridge")
    wait_reported(copies, SHANGHAI, SHENZHEN)

    assert recovery(copies).waiting_count == 0
    copies.market.wait_ended(orders(copies, 100, 3), WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


def order(copies: OldCopies, made: Any, *authorities: str) -> None:
    """Let both approvers of each authority sign an order, and bring it."""
    signers = [one for authority in authorities for one in both(authority)]
    envelope = signed(copies.network, made, authorities[0], signers)
    stub = orders_pb2_grpc.OrderServiceStub(copies.market.channel("bridge", "region/310000"))
    request_id = secrets.token_hex(8)
    if isinstance(made, messages_pb2.Correction):
        stub.SubmitCorrection(
            orders_pb2.SubmitCorrectionRequest(request_id=request_id, correction=envelope), timeout=60
        )
    else:
        stub.SubmitFreeze(orders_pb2.SubmitFreezeRequest(request_id=request_id, order=envelope), timeout=60)


def test_freezes_and_corrections_of_the_time_after_the_backup_come_back(old_copies: OldCopies) -> None:
    copies, bridge = old_copies, "authority/bridge"
    series = copies.market.series_id
    copies.market.wait_ended(orders(copies, 0, 4), WAIT_SECONDS)
    copy = copies.backup("bridge")
    (block,) = block_messages([UnitBlock(series, 50, 60)])
    named: dict[str, Any] = {"region": "", "other_region": "", "scope": BLOCK, "blocks": [block]}
    order(copies, pair_freeze(**named), bridge)
    (lifted,) = block_messages([UnitBlock(series, 50, 55)])
    order(copies, pair_freeze(**{**named, "blocks": [lifted], "unfreeze": True}), bridge)
    (moved,) = block_messages([UnitBlock(series, 70, 80)])
    order(copies, correction(0, 1, blocks=[moved]), "authority/310000", "authority/440300")
    held = copies.market.balance(SHENZHEN, copies.market.buyer).held_kg
    copies.market.wait_ended(orders(copies, 100, 2), WAIT_SECONDS)
    frozen_before = frozen_rows(copies)
    assert [(row.start, row.end) for row in frozen_before] == [(55, 60)]
    copies.market.wait(lambda: taken(copies) == 3, "the regions have taken them", WAIT_SECONDS)

    copies.lose("bridge")
    copies.restore("bridge", copy)
    copies.start("bridge")
    wait_reported(copies, SHANGHAI, SHENZHEN)

    assert frozen_rows(copies) == frozen_before
    kinds = [leaf.kind for leaf in leaves(copies)]
    behind = kinds[kinds.index("bridge_epoch") :]
    assert {"correction", "freeze", "unfreeze"} <= set(behind)
    with copies.three.running["bridge"].database.reading() as connection:
        (row,) = load_touched(connection, [UnitBlock(series, 71, 79)])
    assert row.region == SHENZHEN
    copies.market.wait_ended(orders(copies, 200, 2), WAIT_SECONDS)
    assert copies.market.balance(SHENZHEN, copies.market.buyer).held_kg == held + 4
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


def frozen_rows(copies: OldCopies) -> list[Any]:
    with copies.three.running["bridge"].database.reading() as connection:
        return load_frozen(connection)


def taken(copies: OldCopies) -> int:
    """How many freezes and corrections Shanghai has taken."""
    with copies.three.running[SHANGHAI].database.reading() as connection:
        return sum(
            int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0)
            for table in (region_tables.freeze_order, region_tables.correction)
        )


@ON_SQLITE
def test_nothing_of_a_region_that_has_not_reported_is_decided(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup("bridge")
    copies.market.wait_ended(orders(copies, 0, 4), WAIT_SECONDS)
    copies.lose("bridge")
    copies.three.stop(SHENZHEN)
    copies.restore("bridge", copy)
    copies.start("bridge")
    wait_reported(copies, SHANGHAI)

    waiting = orders(copies, 100, 3)
    # A use concerns nobody who is missing.
    used = copies.market.retire(5)
    assert used == ledger_pb2.USE_STATE_USED
    assert set(copies.market.states(waiting).values()) == {ledger_pb2.TRANSFER_STATE_LOCKED}
    assert len(copies.three.running["bridge"].context.transfers) == 0
    # What the others may have claimed is not known yet, so nobody claims anything.
    require_no_claim_yet(copies, SHENZHEN)
    copies.start(SHENZHEN)
    states = copies.market.wait_ended(waiting, WAIT_SECONDS)
    assert set(states.values()) == {ledger_pb2.TRANSFER_STATE_MOVED}
    require_no_claim_yet(copies, YUNNAN)  # which does not run here
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


@ON_SQLITE
def test_an_old_copy_without_a_new_epoch_is_refused_by_the_regions(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup("bridge")
    copies.market.wait_ended(orders(copies, 0, 4), WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    copies.lose("bridge")
    copies.put_back_raw("bridge", copy)
    copies.start("bridge")

    held = copies.market.send(100)
    status = copies.market.node(SHANGHAI).GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=60)
    assert not status.bridge_connected
    assert copies.market.states([held])[held] == ledger_pb2.TRANSFER_STATE_LOCKED
    copies.lose("bridge")
    copies.restore("bridge", copy)
    copies.start("bridge")
    copies.market.wait_ended([held], WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)


@ON_SQLITE
def test_only_the_root_of_the_bridges_authority_begins_an_epoch(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup("bridge")
    copies.lose("bridge")
    with pytest.raises(DomainError) as refused:
        copies.restore("bridge", copy, root=copies.authority("310000"))
    assert refused.value.symbol == "SENDER_MISMATCH"
    with pytest.raises(DomainError) as refused:
        copies.restore("bridge", copy, epoch=1)
    assert refused.value.symbol == "INCARNATION_STALE"
    copies.start("bridge")
    copies.market.wait_ended(orders(copies, 0, 1), WAIT_SECONDS)
