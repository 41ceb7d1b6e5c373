"""What the outside lists and the other regions say to a claim, on both databases; everything is invented."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tanqiao.api.bridge.v1 import (
    claims_pb2,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tests.contract.bridge.claims_office import (
    ALLOW,
    APPLIED,
    BLOCK,
    CCER,
    DECLARED,
    FREEZE_OTHER,
    HOLD,
    NOTICE,
    OWNER,
    PROJECT,
    REJECTED,
    SOLD,
    UNSOLD,
    WITHDRAWN,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import (
    claim_of,
    declare,
    run_bridge,
)
from tests.contract.bridge.lists import certificates, run_list

__all__ = ["lists", "office"]


# -- what the lists say -------------------------------------------------------------------------------------


def test_a_plant_that_nobody_lists_is_allowed_and_the_verdict_says_who_was_asked(office: Office) -> None:
    verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT))
    assert verdict.verdict == ALLOW
    assert not verdict.HasField("refusal")
    assert [(one.registry, one.answered, one.as_of_date.day) for one in verdict.registries] == [
        ("ccer", True, 28),
        ("gec", True, 28),
    ]
    assert verdict.matrix_version
    assert verdict.as_of_index > 0


def test_a_shenzhen_project_applied_for_under_ccer_is_blocked_with_programme_reference_date_and_article(
    office: Office,
) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=APPLIED)
    for verdict in (office.check(claim), office.declared(claim).verdict):
        assert verdict.verdict == BLOCK
        assert verdict.level == "project"
        told = verdict.refusal
        assert told.reason == "DUPLICATE_PROGRAMME_APPLIED"
        assert told.metadata["programme"] == "CCER"
        assert told.metadata["reference"] == "CCER-77"
        assert told.metadata["date"] == "2026-02-28"
        for sentence in (told.sentence_zh, told.sentence_en):
            assert "CCER-77" in sentence
            assert "2026-02-28" in sentence
        assert told.article
        assert "22" in verdict.article
        (named,) = verdict.colliding_claims
        assert (named.claim_id, named.programme, named.status) == (
            "ccer:CCER-77",
            claims_pb2.PROGRAMME_CCER,
            NOTICE,
        )
    assert office.status_of("440300:project:1") == REJECTED
    office.require_clean()


def test_an_application_elsewhere_that_was_withdrawn_holds_in_shenzhen_and_passes_in_shanghai(
    office: Office,
) -> None:
    held = office.check(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=WITHDRAWN))
    assert held.verdict == HOLD
    assert held.refusal.reason == "CLAIM_HOLD"
    assert "CCER-78" in held.refusal.sentence_zh
    assert office.check(claim_of("310000:project:1", kind=PROJECT, filing_code=WITHDRAWN)).verdict == ALLOW


@pytest.mark.parametrize("region", [SHANGHAI, SHENZHEN])
@pytest.mark.parametrize("kind", [PROJECT, claims_pb2.CLAIM_OBJECT_INSTALMENT])
def test_sold_certificates_block(office: Office, region: str, kind: int) -> None:
    verdict = office.check(claim_of("1:sold", region=region, kind=kind, filing_code=SOLD))
    assert verdict.verdict == BLOCK
    assert verdict.refusal.reason == "GREEN_POWER_PARTICIPATION"
    assert "GEC-SOLD" in verdict.refusal.sentence_zh
    assert "GEC-SOLD" in verdict.refusal.sentence_en
    assert verdict.refusal.article


def test_unsold_tradable_certificates_ask_for_the_owners_consent(office: Office) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=UNSOLD)
    held = office.check(claim)
    assert held.verdict == HOLD
    assert held.refusal.reason == "CLAIM_HOLD"
    claim.gec_freeze_consent = True
    frozen = office.check(claim)
    assert frozen.verdict == FREEZE_OTHER
    assert not frozen.HasField("refusal")
    assert [one.claim_id for one in frozen.colliding_claims] == ["gec:GEC-UNSOLD"]


def test_a_month_before_the_certificates_is_free(office: Office) -> None:
    claim = in_shenzhen("440300:instalment:1", filing_code=UNSOLD, start="2025-12-01", end="2026-01-01")
    assert office.check(claim).verdict == ALLOW


def test_shanghai_looks_at_the_same_subject_with_another_plant(office: Office) -> None:
    claim = claim_of("310000:project:1", kind=PROJECT)
    claim.subject_uscc = OWNER
    verdict = office.check(claim)
    assert verdict.verdict == HOLD
    assert verdict.level == "subject"
    assert office.check(in_shenzhen("440300:project:1", kind=PROJECT)).verdict == ALLOW


def test_a_registry_whose_gateway_is_stopped_holds_every_claim(office: Office) -> None:
    office.lists["ccer"].gateway.server.stop(0)
    claim = in_shenzhen("440300:project:1", kind=PROJECT)
    for verdict in (office.check(claim), office.declared(claim).verdict):
        assert verdict.verdict == HOLD
        assert verdict.level == "policy"
        assert verdict.refusal.reason == "EXTERNAL_REGISTRY_SILENT"
        assert "ccer" in verdict.refusal.sentence_zh
        assert {one.registry: one.answered for one in verdict.registries} == {"ccer": False, "gec": True}
    assert office.status_of("440300:project:1") == REJECTED


def test_what_is_blocked_anyway_is_not_held_for_a_silent_registry(office: Office) -> None:
    office.lists["ccer"].gateway.server.stop(0)
    verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD))
    assert verdict.verdict == BLOCK


def test_a_gateway_without_a_list_has_said_nothing(
    network: NetworkOfTest,
    bridge_database: DatabaseUnderTest,
    database_kind: str,
    database_maker: DatabaseMaker,
) -> None:
    empty, made = run_list(network, "ccer", database_maker, database_kind)
    running = run_bridge(
        network, bridge_database.url, bridge_database.owner_url, gateways={"ccer": empty.address}
    )
    try:
        office = Office(running, {"ccer": empty}, network)
        verdict = office.check(in_shenzhen("440300:project:1", kind=PROJECT))
        assert verdict.verdict == HOLD
        assert verdict.refusal.reason == "EXTERNAL_REGISTRY_SILENT"
        empty.load(CCER)
        assert office.check(in_shenzhen("440300:project:1", kind=PROJECT)).verdict == ALLOW
    finally:
        running.bridge.stop()
        empty.gateway.stop()
        database_maker.drop(made)


# -- against each other -------------------------------------------------------------------------------------


def test_a_month_that_shanghai_claimed_is_refused_to_shenzhen_with_the_claim_and_the_overlap(
    office: Office,
) -> None:
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    receipt = office.declared(in_shenzhen("440300:instalment:1", start="2026-01-15", end="2026-02-15"))
    assert receipt.status == REJECTED
    told = receipt.verdict.refusal
    assert told.reason == "CLAIM_OVERLAP"
    assert receipt.verdict.level == "interval"
    assert told.metadata["claims"] == "310000:instalment:1"
    assert told.metadata["overlap"] == "2026-01-15/2026-02-01"
    for sentence in (told.sentence_zh, told.sentence_en):
        assert "310000:instalment:1" in sentence
        assert "2026-01-15/2026-02-01" in sentence
    (named,) = receipt.verdict.colliding_claims
    assert named.region == SHANGHAI
    assert named.overlap == values_pb2.Period(
        start_date=values_pb2.Date(year=2026, month=1, day=15),
        end_date=values_pb2.Date(year=2026, month=2, day=1),
    )
    office.require_clean()


def test_months_that_only_touch_pass(office: Office) -> None:
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    for claim in (
        in_shenzhen("440300:instalment:1", start="2026-02-01", end="2026-03-01"),
        in_shenzhen("440300:instalment:2", start="2025-12-01", end="2026-01-01"),
    ):
        receipt = office.declared(claim)
        assert (receipt.status, receipt.verdict.verdict) == (DECLARED, ALLOW)


def test_a_claim_that_was_refused_bars_nobody(office: Office) -> None:
    assert office.declared(in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD)).status == REJECTED
    office.lists["gec"].load(
        [certificates("GEC-OTHER", UNSOLD)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date()
    )
    assert office.declared(claim_of("310000:project:1", kind=PROJECT, filing_code=SOLD)).status == DECLARED


def test_a_claim_in_parts_of_one_plant_is_seen_under_every_reference(office: Office) -> None:
    first = claim_of("310000:instalment:1")
    first.asset.references.add(scheme="vcs", value="VCS 0042")
    assert office.declared(first).status == DECLARED
    second = in_shenzhen("440300:instalment:1", filing_code="99440300000000009")
    second.asset.references.add(scheme="verra", value="42")
    assert office.declared(second).verdict.refusal.reason == "CLAIM_OVERLAP"


def test_a_claim_id_may_be_one_character(office: Office) -> None:
    receipt = office.declared(claim_of("7"))
    assert (receipt.claim_id, receipt.status) == ("7", DECLARED)
    office.require_clean()


# -- the same again -----------------------------------------------------------------------------------------


def test_the_same_statement_again_gets_the_same_receipt_bytes(office: Office) -> None:
    statement = claims_pb2.DeclareStatement(claim=claim_of("310000:instalment:1"))
    request = claims_pb2.DeclareClaimRequest(envelope=office.network.envelope(statement, SHANGHAI))
    answers = [office.stub(SHANGHAI).DeclareClaim(request, timeout=60) for _ in range(3)]
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    moved = office.network.envelope(
        claims_pb2.ClaimStatement(claim_id="310000:instalment:1", status=NOTICE), SHANGHAI
    )
    registrations = [
        office.stub(SHANGHAI).RegisterClaim(claims_pb2.RegisterClaimRequest(envelope=moved), timeout=60)
        for _ in range(3)
    ]
    assert len({answer.envelope.SerializeToString() for answer in registrations}) == 1
    stored = office.stub(YUNNAN).GetClaim(
        claims_pb2.GetClaimRequest(claim_id="310000:instalment:1"), timeout=60
    )
    assert list(stored.receipts) == [answers[0].envelope, registrations[0].envelope]


def test_another_content_under_a_known_claim_id_is_refused(office: Office) -> None:
    claim = claim_of("310000:instalment:1")
    office.declared(claim)
    for change in (
        {"quantity_kg": 99_000},
        {"project_id": "P-0002"},
        {"filing_code": APPLIED},
    ):
        error = refusal(declare, office.running, SHANGHAI, claim_of("310000:instalment:1", **change))
        assert error.symbol == "REQUEST_ID_REUSED"
    taken = in_shenzhen("310000:instalment:1", filing_code="99440300000000009")
    assert refusal(declare, office.running, SHENZHEN, taken).symbol == "REQUEST_ID_REUSED"


def test_a_refused_claim_id_stays_refused_when_the_list_has_changed(office: Office) -> None:
    claim = in_shenzhen("440300:project:1", kind=PROJECT, filing_code=SOLD)
    statement = office.network.envelope(claims_pb2.DeclareStatement(claim=claim), SHENZHEN)
    request = claims_pb2.DeclareClaimRequest(envelope=statement)
    first = office.stub(SHENZHEN).DeclareClaim(request, timeout=60)
    assert first.receipt.status == REJECTED
    office.lists["gec"].load([certificates("GEC-X", UNSOLD)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date())
    assert office.stub(SHENZHEN).DeclareClaim(request, timeout=60) == first
