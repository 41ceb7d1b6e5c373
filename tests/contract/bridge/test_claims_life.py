"""A claim's life and claims in batches, on both databases: every step, who may take it, what it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import (
    claims_pb2,
)
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN
from tests.contract.bridge.claims_office import (
    ALLOW,
    APPLIED,
    BLOCK,
    CANCELLED,
    DECLARED,
    FREE,
    HOLD,
    ISSUED,
    NOTICE,
    PROJECT,
    REGISTERED,
    REJECTED,
    SOLD,
    UNSOLD,
    WITHDRAWN_STATUS,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import (
    claim_of,
    declare,
)
from tests.contract.bridge.lists import ccer_project

__all__ = ["lists", "office"]


# -- a claim's life -----------------------------------------------------------------------------------------


def test_a_project_is_declared_noticed_registered_and_cancelled(office: Office) -> None:
    claim_id = "310000:project:1"
    assert office.declared(claim_of(claim_id, kind=PROJECT)).status == DECLARED
    for status in (NOTICE, REGISTERED, CANCELLED):
        receipt = office.move(claim_id, status)
        assert receipt.status == status
        assert office.status_of(claim_id) == status
        assert receipt.HasField("verdict") is (status != CANCELLED)
    office.require_clean()


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ([], DECLARED),
        ([], ISSUED),
        ([], CANCELLED),
        ([NOTICE], DECLARED),
        ([REGISTERED], NOTICE),
        ([REGISTERED], REGISTERED),
        ([REGISTERED], REJECTED),
        ([WITHDRAWN_STATUS], NOTICE),
        ([WITHDRAWN_STATUS], REGISTERED),
        ([WITHDRAWN_STATUS], WITHDRAWN_STATUS),
        ([REJECTED], REGISTERED),
        ([REGISTERED, CANCELLED], REGISTERED),
        ([REGISTERED, CANCELLED], WITHDRAWN_STATUS),
    ],
)
def test_a_step_that_a_claim_cannot_take_is_refused_with_where_it_stands(
    office: Office, path: list[int], step: int
) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    for status in path:
        office.move("310000:project:1", status)
    stands = office.status_of("310000:project:1")
    error = refusal(office.move, "310000:project:1", step)
    assert error.symbol == "CLAIM_STATE_WRONG"
    assert error.metadata["state"] == claims_pb2.ClaimStatus.Name(stands)  # type: ignore[arg-type]
    assert "needed" not in error.sentence("en")
    assert office.status_of("310000:project:1") == stands


def test_another_region_cannot_move_or_release_a_claim(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    for status in (NOTICE, REGISTERED, WITHDRAWN_STATUS, REJECTED):
        error = refusal(office.move, "310000:instalment:1", status, SHENZHEN)
        assert error.symbol == "REGION_SCOPE_MISMATCH"
    assert office.status_of("310000:instalment:1") == DECLARED
    foreign = claim_of("310000:instalment:2")
    error = refusal(declare, office.running, SHENZHEN, foreign)
    assert error.symbol == "REGION_SCOPE_MISMATCH"


def test_a_claim_that_nobody_declared_cannot_be_moved(office: Office) -> None:
    for status in (NOTICE, WITHDRAWN_STATUS):
        error = refusal(office.move, "310000:instalment:404", status)
        assert error.symbol == "CLAIM_UNKNOWN"


def test_released_intervals_are_free_again(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    blocked = office.declared(in_shenzhen("440300:instalment:1"))
    assert blocked.status == REJECTED
    office.move("310000:instalment:1", WITHDRAWN_STATUS)
    assert office.declared(in_shenzhen("440300:instalment:2")).status == DECLARED


def test_registering_is_judged_again_on_what_the_lists_say_now(office: Office) -> None:
    claim_id = "440300:project:1"
    assert office.declared(in_shenzhen(claim_id, kind=PROJECT)).status == DECLARED
    office.move(claim_id, NOTICE, SHENZHEN)
    office.lists["ccer"].load([ccer_project("CCER-99", FREE)], as_of=datetime(2026, 3, 1, tzinfo=UTC).date())
    error = refusal(office.move, claim_id, REGISTERED, SHENZHEN)
    assert error.symbol == "DUPLICATE_PROGRAMME_APPLIED"
    assert error.metadata["reference"] == "CCER-99"
    assert error.metadata["date"] == "2026-03-01"
    assert error.article
    assert office.status_of(claim_id) == NOTICE
    office.move(claim_id, WITHDRAWN_STATUS, SHENZHEN)
    office.require_clean()


def test_registering_waits_for_a_silent_registry_and_releasing_does_not(office: Office) -> None:
    office.declared(claim_of("310000:project:1", kind=PROJECT))
    office.lists["gec"].gateway.server.stop(0)
    error = refusal(office.move, "310000:project:1", NOTICE)
    assert error.symbol == "EXTERNAL_REGISTRY_SILENT"
    assert office.move("310000:project:1", WITHDRAWN_STATUS).status == WITHDRAWN_STATUS


# -- batches ------------------------------------------------------------------------------------------------


def test_a_batch_is_judged_in_order_and_each_item_is_answered_for_itself(office: Office) -> None:
    claims = [
        claim_of("310000:instalment:1"),
        claim_of("310000:instalment:2"),  # the same month again
        claim_of("310000:instalment:3", filing_code=SOLD),
        in_shenzhen("440300:instalment:1"),  # not Shanghai's to declare
        claim_of("310000:instalment:5", start="2026-02-01", end="2026-02-01"),
        claim_of("310000:instalment:6", start="2026-02-01", end="2026-03-01"),
        claim_of("310000:instalment:1", quantity_kg=1),  # an id used twice
    ]
    batch = office.network.batch([claims_pb2.DeclareStatement(claim=claim) for claim in claims], SHANGHAI)
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    response = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=60)
    assert [status.refusal.reason for status in response.statuses] == [
        "",
        "",
        "",
        "REGION_SCOPE_MISMATCH",
        "RANGE_REVERSED",
        "",
        "REQUEST_ID_REUSED",
    ]
    for status in response.statuses:
        assert bool(status.code) is bool(status.refusal.reason)
        assert bool(status.refusal.sentence_zh) is bool(status.code)
    opened = Verifier(office.network.network_id, SHANGHAI).open_batch(
        response.receipts,
        office.network.directory,
        allowed=allow(claims_pb2.ClaimReceipt, senders=(BRIDGE,)),
        peer=None,
        at_index=1_000_000,
    )
    receipts = [one.message for one in opened if isinstance(one, Opened)]
    assert [(receipt.claim_id, receipt.status) for receipt in receipts] == [
        ("310000:instalment:1", DECLARED),
        ("310000:instalment:2", REJECTED),
        ("310000:instalment:3", REJECTED),
        ("310000:instalment:6", DECLARED),
    ]
    assert receipts[1].verdict.refusal.reason == "CLAIM_OVERLAP"
    assert receipts[2].verdict.refusal.reason == "GREEN_POWER_PARTICIPATION"
    again = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=60)
    assert list(again.receipts.payloads) == list(response.receipts.payloads)
    office.require_clean()


def test_one_statement_twice_in_a_batch_is_one_claim_with_one_receipt(office: Office) -> None:
    statement = claims_pb2.DeclareStatement(claim=claim_of("310000:instalment:1"))
    batch = office.network.batch([statement], SHANGHAI)
    signer = office.network.signer(SHANGHAI)
    twice = sign_batch(signer, batch.payload_type, [batch.payloads[0], batch.payloads[0]])
    response = office.stub(SHANGHAI).BatchDeclareClaims(
        claims_pb2.BatchDeclareClaimsRequest(batch=twice), timeout=60
    )
    assert [status.code for status in response.statuses] == [0, 0]
    assert response.receipts.payloads[0] == response.receipts.payloads[1]


def test_a_batch_of_checks_gives_a_signed_verdict_for_each(office: Office) -> None:
    claims = [
        in_shenzhen("1:a", kind=PROJECT),
        in_shenzhen("1:b", kind=PROJECT, filing_code=APPLIED),
        in_shenzhen("1:c", kind=PROJECT, filing_code=UNSOLD),
    ]
    response = office.stub(SHENZHEN).BatchCheckClaims(
        claims_pb2.BatchCheckClaimsRequest(claims=claims), timeout=60
    )
    assert [verdict.verdict for verdict in response.verdicts] == [ALLOW, BLOCK, HOLD]
    opened = Verifier(office.network.network_id, SHENZHEN).open_batch(
        response.batch,
        office.network.directory,
        allowed=allow(claims_pb2.Verdict, senders=(BRIDGE,)),
        peer=None,
        at_index=1_000_000,
    )
    assert [one.message for one in opened if isinstance(one, Opened)] == list(response.verdicts)


def test_checking_stores_nothing(office: Office) -> None:
    for number in range(3):
        office.check(claim_of(f"310000:instalment:{number}"))
    listed = office.stub(YUNNAN).ListClaims(claims_pb2.ListClaimsRequest(), timeout=60)
    assert not listed.claims


def test_claims_are_listed_by_region_programme_and_reference(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    office.declared(in_shenzhen("440300:instalment:1", filing_code="99440300000000009"))
    stub = office.stub(YUNNAN)

    def ids(**query: Any) -> list[str]:
        response = stub.ListClaims(claims_pb2.ListClaimsRequest(**query), timeout=60)
        return [claim.claim_id for claim in response.claims]

    both = ["310000:instalment:1", "440300:instalment:1"]
    assert ids() == both
    assert ids(region=SHANGHAI) == both[:1]
    assert ids(programme=claims_pb2.PROGRAMME_SZ_PHCER) == both[1:]
    reference = claims_pb2.AssetReference(scheme="gec", value=" 9944-0300-0000-0000-9 ")
    assert ids(reference=reference) == both[1:]
    page = stub.ListClaims(claims_pb2.ListClaimsRequest(page_size=1), timeout=60)
    following = claims_pb2.ListClaimsRequest(page_size=1, page_token=page.next_page_token)
    assert [claim.claim_id for claim in stub.ListClaims(following, timeout=60).claims] == both[1:]
