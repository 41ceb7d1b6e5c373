from __future__ import annotations

from datetime import date

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tests.contract.region.harness import SHANGHAI
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import BUREAU, CENTRE, Office, month


def test_a_project_goes_from_its_methodology_to_units_in_the_owners_account(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    office = on_the_line
    project = office.published()
    assert project.state == registers_pb2.PROJECT_STATE_PUBLISHED
    # 2026-03-02 is a Monday; five working days that do not count it end on the next Monday (DOMAIN 10).
    assert (project.notice_last_day.month, project.notice_last_day.day) == (3, 9)
    claim_id = f"310000:project:{project.project_id}"
    assert bridge.claims.status[claim_id] == claims_pb2.CLAIM_STATUS_REGISTERED
    # 0.42 kg per kWh (沪环气〔2022〕34号): 101,234,567 Wh give 42,518,518 g, of which 42 t are issued.
    office.meter(month("2026-01", 60_000_000, 1_234_567), month("2026-02", 40_000_000))
    issuance = office.issue()
    assert issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED, issuance
    assert issuance.quantity_kg == 42_000
    assert issuance.carried_out_g == 101_234_567 * 42 // 100 - 42_000_000
    assert issuance.series.series_id == "310000:SHCER:PV-INVENTED-1:2026:1"
    assert (issuance.period.start_date.month, issuance.period.end_date.month) == (1, 3)
    assert office.node.held(office.owner) == [(0, 42_000, 1)]
    issue = bridge.seen_of("application/vnd.tanqiao.issue.v1+protobuf")[0].message
    claim = bridge.claims.claims[issue.claim_id]
    assert claim.object == claims_pb2.CLAIM_OBJECT_INSTALMENT
    assert (claim.quantity_kg, claim.activity_quantity, claim.activity_unit) == (42_000, 101_234_567, "Wh")
    assert claim.period == issue.period


BOTH = ((CENTRE.party, 1), (BUREAU.party, 1))


def test_the_remainder_goes_into_the_next_period(on_the_line: Office) -> None:
    office = on_the_line
    office.published()
    office.meter(month("2026-01", 3_000_000), month("2026-02", 1_000_000))
    # 3 MWh × 0.42 = 1,260 kg: a tonne is issued, 260 kg are carried; with 420 kg more no tonne is whole.
    first = office.issue("2026-01")
    assert (first.quantity_kg, first.carried_out_g) == (1000, 260_000)
    assert office.quantify("2026-02").carried_in_g == 260_000
    assert office.quantify("2026-02").issuable_kg == 0
    with pytest.raises(DomainError) as caught:
        office.issue("2026-02", override_reason="x", hands=BOTH)
    assert caught.value.symbol == "GRAIN_NOT_MET"
    office.turn_to(date(2026, 4, 1))
    office.meter(month("2026-03", 1_000_000))
    second = office.issue("2026-02-01/2026-04-01", override_reason="试点 pilot", hands=BOTH)
    assert (second.quantity_kg, second.carried_out_g) == (1000, 100_000)
    assert second.series.batch_number == 2
    assert second.state == registers_pb2.ISSUANCE_STATE_ISSUED


def test_without_a_receipt_the_issuance_is_issuing_and_ends_when_it_comes(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    office = shanghai
    office.published()
    office.office.issuances._receipt_seconds = 0.05
    office.meter(month("2026-01", 10_000_000))
    issuance = office.issue()
    assert issuance.state == registers_pb2.ISSUANCE_STATE_ISSUING
    assert office.node.held(office.owner) == []
    office.node.region.start()
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged > 0)
    assert office.office.issuances.get(issuance.issuance_id).state == registers_pb2.ISSUANCE_STATE_ISSUED
    assert office.node.held(office.owner) == [(0, 4000, 1)]


def test_a_refused_issue_frees_the_activity_and_its_serials_are_never_used_again(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    office = on_the_line
    office.published()
    office.meter(month("2026-01", 10_000_000))
    bridge.on_issue = bridge.refuse_issues
    refused = office.issue()
    assert refused.state == registers_pb2.ISSUANCE_STATE_REFUSED
    assert refused.reasons[0].reason == "CLAIM_OVERLAP"
    assert office.node.held(office.owner) == []
    assert office.quantify().issuable_kg == 4000
    office.office.steps.resume()
    claim_id = f"310000:instalment:{refused.issuance_id}"
    assert bridge.claims.status[claim_id] == claims_pb2.CLAIM_STATUS_WITHDRAWN
    bridge.on_issue = bridge.accept_issues
    accepted = office.issue()
    assert accepted.state == registers_pb2.ISSUANCE_STATE_ISSUED
    assert accepted.series.batch_number == 2
    assert accepted.carried_out_g == 200_000
