"""A region reports the bridge's receipts with statements and Issues that they do not answer (虚构)."""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2, recovery_pb2, recovery_pb2_grpc
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.storage.tables import claim, location
from tests.contract.bridge.claims_office import NOTICE, REGISTERED, lists, office
from tests.contract.bridge.conftest import _migrated
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.bridge.test_orders_after_a_backup import MONTH, _Kept, _restored_from_the_first_day
from tests.contract.bridge.test_regional_freezes import PLANT, Desk, desk, instalment
from tests.contract.bridge.test_regional_freezes import project as regional_project

__all__ = ["desk", "lists", "office"]


def _put_in_place(desk: Desk, kept: _Kept) -> None:
    """Report the notice with the declaration of another claim, and the Issue with one of fifty times more."""
    other = claims_pb2.DeclareStatement(claim=instalment(7))
    kept.items[1].statement.CopyFrom(desk.office.network.envelope(other, SHANGHAI))
    papers = kept.items[-1].papers
    more = messages_pb2.Issue.FromString(papers.issue.payload)
    more.block.end_serial += 5_000_000
    more.quantity_kg += 5_000_000
    signer = desk.office.network.signer(SHANGHAI)
    papers.issue.CopyFrom(sign_envelope(signer, payload_type_of(more), more.SerializeToString()))


def test_a_receipt_counts_for_what_it_answers_alone(
    desk: Desk, database_kind: str, database_maker: DatabaseMaker
) -> None:
    kept = _Kept(desk)
    kept.declared(regional_project())
    kept.moved(PLANT, NOTICE)
    desk.confirmed()
    kept.moved(PLANT, NOTICE)
    kept.moved(PLANT, REGISTERED)
    kept.issued(kept.declared(instalment(1)))
    _put_in_place(desk, kept)

    desk.region.disconnect()
    backup = database_maker.make(database_kind, _migrated, "bridge")
    _restored_from_the_first_day(desk.notice, backup.url, backup.owner_url, kept.items)
    with desk.office.running.bridge.database.reading() as connection:
        assert set(connection.execute(sa.select(claim.c.claim_id)).scalars()) == {PLANT, MONTH}
        assert connection.execute(sa.select(location)).all() == []
    with desk.office.running.channel(SHANGHAI) as channel:
        stub = recovery_pb2_grpc.RecoveryServiceStub(channel)
        status = stub.GetRecoveryStatus(recovery_pb2.GetRecoveryStatusRequest(), timeout=WAIT_SECONDS)
    assert (status.recovering, status.adopted_count, status.waiting_count) == (False, 4, 2)
    desk.office.require_clean()
