"""What the bridge tells a region of its claims, and where the case of a refused order stands."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.signing.approvals import open_decision
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.application.lapsing import LapseClaims
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY, SHANGHAI_AUTHORITY
from tests.contract.bridge.case_office import (
    ALLOW,
    BLOCK,
    advance_days,
    cases_of,
    contest,
    decide,
    resolve,
    status_of,
)
from tests.contract.bridge.claims_office import (
    DECLARED,
    PROJECT,
    REJECTED,
    WITHDRAWN,
    Office,
    in_shenzhen,
    lists,
    office,
)
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, claim_of
from tests.contract.bridge.lists import certificates
from tests.contract.bridge.notice_office import (
    REFUSED,
    REGISTER,
    NoticeOffice,
    project,
)

__all__ = ["lists", "office"]

LAPSED = claims_pb2.CLAIM_STATUS_LAPSED
CASE_SECONDS = 30 * 86_400


def notices(region: PlayedRegion, count: int) -> list[cases_pb2.ClaimNotice]:
    """Wait for so many notices of a region's claims; they have come by number, in order."""

    def found() -> list[cases_pb2.ClaimNotice]:
        return [message for _, message in region.received if isinstance(message, cases_pb2.ClaimNotice)]

    region.wait(lambda: len(found()) >= count)
    return found()


def require_receipt(office: Office, notice: cases_pb2.ClaimNotice) -> claims_pb2.ClaimReceipt:
    """Demand that a notice goes with the bridge's receipt of the move, whose leaf is in the log."""
    receipt: claims_pb2.ClaimReceipt = office.verified(notice.receipt, SHANGHAI).message
    assert (receipt.claim_id, receipt.status, receipt.log_index) == (
        notice.claim_id,
        notice.status,
        notice.log_index,
    )
    office.require_leaf(notice.receipt, notice.log_index)
    return receipt


def test_a_region_is_told_of_a_lapse_also_where_it_was_not_on_the_line(office: Office) -> None:
    bridge = office.running.bridge
    claim = claim_of("310000:project:1", kind=PROJECT)
    assert office.declared(claim).status == DECLARED
    advance_days(office.running, bridge.settings.claim_lease_days + 1)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    shanghai = PlayedRegion(office.running, SHANGHAI).connect()
    try:
        (notice,) = notices(shanghai, 1)
        assert (notice.claim_id, notice.status, notice.case_id) == (claim.claim_id, LAPSED, 0)
        assert require_receipt(office, notice).bridge_reason == notice.reason
        assert notice.reason
    finally:
        shanghai.disconnect()
    office.require_clean()


def test_a_region_is_told_of_each_resolution_that_names_its_claim(office: Office) -> None:
    running = office.running
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    try:
        held = claim_of("310000:project:1", kind=PROJECT, filing_code=WITHDRAWN)
        held.programme = claims_pb2.PROGRAMME_SZ_PHCER
        assert office.declared(held).status == REJECTED
        (case,) = cases_of(running, state="open")
        index = resolve(running, case.case_id, ALLOW).log_index
        stood = claim_of("310000:project:2", kind=PROJECT, filing_code="99310000000000798")
        office.declared(stood)
        kept = contest(running, stood.claim_id)
        kept_index = resolve(running, kept, ALLOW).log_index
        ended = contest(running, stood.claim_id)
        resolve(running, ended, BLOCK)
        first, second, third = notices(shanghai, 3)
    finally:
        shanghai.disconnect()
    assert (first.claim_id, first.status, first.case_id) == (held.claim_id, DECLARED, case.case_id)
    require_receipt(office, first)
    # Nothing moved: the resolution itself is the evidence, at its own index.
    assert (second.status, second.case_id, second.log_index) == (DECLARED, kept, kept_index)
    assert not second.HasField("receipt")
    assert (third.claim_id, third.status, third.case_id) == (stood.claim_id, REJECTED, ended)
    require_receipt(office, third)
    for notice, resolution in ((first, ALLOW), (second, ALLOW), (third, BLOCK)):
        assert notice.resolution == resolution
        opened, bodies = open_decision(
            notice.record, office.network.network_id, office.network.directory, at_index=index
        )
        assert bodies == (SHANGHAI_AUTHORITY, BRIDGE_AUTHORITY)
        assert opened.message.case_id == notice.case_id
    office.require_clean()


def test_both_regions_of_an_alias_case_are_told(office: Office) -> None:
    running = office.running
    shanghai = PlayedRegion(running, SHANGHAI).connect()
    try:
        mine = office.declared(claim_of("310000:instalment:1"))
        other = in_shenzhen("440300:instalment:1")
        del other.asset.references[:]
        other.asset.references.add(scheme="cdm", value="1234")
        office.declared(other)
        decide(running, ("cdm", "1234"), ("gec_filing_code", "99310000000000701"))
        (case,) = cases_of(running)
        resolve(running, case.case_id, BLOCK, [other.claim_id])
        (notice,) = notices(shanghai, 1)
    finally:
        shanghai.disconnect()
    assert (notice.claim_id, notice.status, notice.resolution) == (mine.claim_id, DECLARED, BLOCK)
    assert status_of(running, other.claim_id) == REJECTED


def test_the_case_of_a_refused_order_stands_in_the_queue_of_the_national_authority(office: Office) -> None:
    farm = "99440300000000901"
    office.lists["gec"].load([certificates("FARM-01", farm, certificates="240")])
    notice = NoticeOffice(office)
    ordered = notice.step(REGISTER, project("ccer:farm", farm))
    notice.decide(ordered.order_id, refuse=True, reason="司法冻结（虚构）")
    notice.wait_for(ordered.order_id, "ccer:farm", REFUSED)
    (case,) = cases_of(office.running, body=BRIDGE_AUTHORITY, state="open")
    assert (case.kind, case.subject, list(case.claim_ids)) == ("coordination", "ccer:farm", ["ccer:farm"])
    assert "司法冻结" in case.details
    assert case.deadline_time.seconds == case.open_time.seconds + CASE_SECONDS
    resolve(office.running, case.case_id, BLOCK)
    assert status_of(office.running, "ccer:farm") == REJECTED
    assert cases_of(office.running, body=BRIDGE_AUTHORITY, state="open") == []
    office.require_clean()
