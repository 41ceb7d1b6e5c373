"""An Issue rests on its claim, on both databases: what the claim does not bear never becomes units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    claims_pb2,
    messages_pb2,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao_bridge.application.retiring import REASON, RetireClaims
from tests.contract.bridge.claims_office import (
    BLOCK,
    CANCELLED,
    DECLARED,
    ISSUED,
    NOTICE,
    PROJECT,
    REGISTERED,
    REJECTED,
    SOLD,
    WITHDRAWN_STATUS,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    claim_of,
    declare,
    issue_message,
    locations,
)

__all__ = ["lists", "office"]

RETIRED = claims_pb2.CLAIM_STATUS_RETIRED


@dataclass
class Issuing:
    """A declared instalment of Shanghai, and a region on the line to issue on it."""

    office: Office
    region: PlayedRegion
    declared: claims_pb2.DeclareClaimResponse

    def message(self, **changes: Any) -> messages_pb2.Issue:
        issue = issue_message(self.region, self.declared, "310000:instalment:1", 0, 100_000)
        for name, value in changes.items():
            if isinstance(value, values_pb2.Period | values_pb2.UnitBlock | values_pb2.Series):
                getattr(issue, name).CopyFrom(value)
            else:
                setattr(issue, name, value)
        return issue

    def answer(self, issue: messages_pb2.Issue) -> messages_pb2.IssueReceipt:
        self.region.offer([issue])
        self.region.wait(lambda: issue.issue_id in self.region.receipts)
        return self.region.receipts[issue.issue_id]

    def refused(self, issue: messages_pb2.Issue) -> values_pb2.Refusal:
        before = locations(self.office.running)
        receipt = self.answer(issue)
        assert not receipt.accepted
        (told,) = receipt.reasons
        assert told.sentence_zh
        assert told.sentence_en
        assert locations(self.office.running) == before
        self.office.require_clean()
        return told


@pytest.fixture
def issuing(office: Office) -> Iterator[Issuing]:
    declared = declare(office.running, SHANGHAI, claim_of("310000:instalment:1"))
    region = PlayedRegion(office.running, SHANGHAI).connect()
    yield Issuing(office, region, declared)
    region.disconnect()


def period_of(start: tuple[int, int, int], end: tuple[int, int, int]) -> values_pb2.Period:
    return values_pb2.Period(
        start_date=values_pb2.Date(year=start[0], month=start[1], day=start[2]),
        end_date=values_pb2.Date(year=end[0], month=end[1], day=end[2]),
    )


@pytest.mark.parametrize(
    ("changes", "symbol", "at"),
    [
        ({"claim_receipt_hash": bytes(32)}, "FIELD_INVALID", "claim_receipt_hash"),
        ({"claim_id": "310000:instalment:404"}, "CLAIM_UNKNOWN", None),
        ({"period": period_of((2026, 1, 1), (2026, 3, 1))}, "PERIOD_OUTSIDE_CLAIM", "period"),
        ({"period": period_of((2026, 1, 2), (2026, 2, 1))}, "PERIOD_OUTSIDE_CLAIM", "period"),
        (
            {
                "quantity_kg": 101_000,
                "block": values_pb2.UnitBlock(
                    series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=0, end_serial=101_000
                ),
            },
            "INSTALMENT_EXCEEDS_CLAIM",
            "quantity_kg",
        ),
    ],
)
def test_an_issue_that_its_claim_does_not_bear_is_refused_and_its_units_never_exist(
    issuing: Issuing, changes: dict[str, Any], symbol: str, at: str | None
) -> None:
    issue = issuing.message(**changes)
    told = issuing.refused(issue)
    assert told.reason == symbol
    if at is not None:
        assert told.metadata["field"] == at
    assert issuing.office.status_of("310000:instalment:1") == DECLARED
    assert issuing.answer(issuing.message()).accepted
    later = issuing.message(issue_id=issue.issue_id)
    later.header.CopyFrom(issue.header)
    assert locations(issuing.office.running) == [(0, 100_000, SHANGHAI, 1)]


def test_an_issue_of_another_project_cannot_rest_on_the_claim(issuing: Issuing) -> None:
    issue = issuing.message()
    issue.series.source_id = "P-0002"
    issue.series.series_id = issue.block.series_id = "310000:SH_SHCER:P-0002:2026:1"
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "series.source_id")


def test_an_issue_of_another_programme_cannot_rest_on_the_claim(issuing: Issuing) -> None:
    issue = issuing.message()
    issue.series.programme = "SZ_PHCER"
    issue.series.series_id = issue.block.series_id = "310000:SZ_PHCER:P-0001:2026:1"
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "series.programme")


def test_a_claim_bears_one_issue(issuing: Issuing) -> None:
    assert issuing.answer(issuing.message()).accepted
    assert issuing.office.status_of("310000:instalment:1") == ISSUED
    block = values_pb2.UnitBlock(
        series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=100_000, end_serial=200_000
    )
    told = issuing.refused(issuing.message(block=block))
    assert told.reason == "CLAIM_STATE_WRONG"
    assert told.metadata["state"] == "CLAIM_STATUS_ISSUED"


def test_two_issues_on_one_claim_in_one_batch_create_units_once(issuing: Issuing) -> None:
    block = values_pb2.UnitBlock(
        series_id="310000:SH_SHCER:P-0001:2026:1", start_serial=100_000, end_serial=200_000
    )
    first, second = issuing.message(), issuing.message(block=block)
    issuing.region.offer([first, second])
    issuing.region.wait(lambda: {first.issue_id, second.issue_id} <= set(issuing.region.receipts))
    accepted = [issuing.region.receipts[one.issue_id].accepted for one in (first, second)]
    assert accepted == [True, False]
    assert locations(issuing.office.running) == [(0, 100_000, SHANGHAI, 1)]


def test_units_cannot_rest_on_a_claim_of_a_whole_project(issuing: Issuing) -> None:
    declared = declare(
        issuing.office.running,
        SHANGHAI,
        claim_of("310000:project:1", kind=PROJECT, start="2026-02-01", end="2026-03-01"),
    )
    issue = issue_message(
        issuing.region, declared, "310000:project:1", 0, 100_000, ("2026-02-01", "2026-03-01")
    )
    told = issuing.refused(issue)
    assert (told.reason, told.metadata["field"]) == ("FIELD_INVALID", "claim_id")


def test_units_cannot_rest_on_another_regions_claim(issuing: Issuing) -> None:
    foreign = in_shenzhen("440300:instalment:1", filing_code="99440300000000009")
    declared = declare(issuing.office.running, SHENZHEN, foreign)
    issue = issue_message(issuing.region, declared, "440300:instalment:1", 0, 100_000)
    told = issuing.refused(issue)
    assert told.reason == "REGION_SCOPE_MISMATCH"
    assert issuing.office.status_of("440300:instalment:1") == DECLARED


def test_units_cannot_rest_on_a_claim_that_was_refused_or_released(issuing: Issuing) -> None:
    refused = declare(issuing.office.running, SHANGHAI, claim_of("310000:instalment:2", filing_code=SOLD))
    told = issuing.refused(issue_message(issuing.region, refused, "310000:instalment:2", 0, 100_000))
    assert told.reason == "CLAIM_STATE_WRONG"
    issuing.office.move("310000:instalment:1", WITHDRAWN_STATUS)
    assert issuing.refused(issuing.message()).reason == "CLAIM_STATE_WRONG"


def test_an_issued_claim_stays_for_ever_and_bars_the_month(issuing: Issuing) -> None:
    assert issuing.answer(issuing.message()).accepted
    for status in (WITHDRAWN_STATUS, REJECTED, CANCELLED, NOTICE, REGISTERED):
        error = refusal(issuing.office.move, "310000:instalment:1", status)
        assert error.symbol == "CLAIM_STATE_WRONG"
    later = issuing.office.declared(in_shenzhen("440300:instalment:1"))
    assert later.verdict.refusal.reason == "CLAIM_OVERLAP"
    use = issuing.region.use(0, 100_000)
    issuing.region.offer([use])
    assert issuing.region.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
    retired = issuing.office.declared(in_shenzhen("440300:instalment:2"))
    assert retired.verdict.refusal.reason == "CLAIM_OVERLAP"
    issuing.office.require_clean()


def test_a_claim_whose_last_unit_was_cancelled_is_retired_if_others_were_used(issuing: Issuing) -> None:
    office, region = issuing.office, issuing.region
    assert issuing.answer(issuing.message()).accepted
    kinds = {(0, 60_000): messages_pb2.USE_KIND_RETIRE, (60_000, 100_000): messages_pb2.USE_KIND_CANCEL}
    for (start, end), kind in kinds.items():
        use = region.use(start, end)
        use.kind = kind
        region.offer([use])
        assert region.outcome(use.header.transfer_id).outcome == messages_pb2.OUTCOME_COMMIT
        office.running.bridge.writer.submit(RetireClaims()).result(WAIT_SECONDS)
    assert office.status_of("310000:instalment:1") == RETIRED
    office.require_clean()


def test_a_claim_whose_units_are_all_used_is_retired_and_stays_live(issuing: Issuing) -> None:
    office, region = issuing.office, issuing.region
    assert issuing.answer(issuing.message()).accepted

    def round_of_the_bridge() -> int:
        office.running.bridge.writer.submit(RetireClaims()).result(WAIT_SECONDS)
        return office.status_of("310000:instalment:1")

    def used(start: int, end: int) -> None:
        use = region.use(start, end)
        region.offer([use])
        region.outcome(use.header.transfer_id)

    used(0, 60_000)
    assert round_of_the_bridge() == ISSUED, "some of it is held"
    used(60_000, 100_000)
    assert round_of_the_bridge() == RETIRED
    assert round_of_the_bridge() == RETIRED

    def notices() -> list[cases_pb2.ClaimNotice]:
        return [message for _, message in region.received if isinstance(message, cases_pb2.ClaimNotice)]

    region.wait(lambda: bool(notices()))
    (notice,) = notices()
    assert (notice.claim_id, notice.status) == ("310000:instalment:1", RETIRED)
    receipt = office.verified(notice.receipt, SHANGHAI).message
    assert (receipt.status, receipt.bridge_reason) == (RETIRED, REASON)
    office.require_leaf(notice.receipt, receipt.log_index)
    # The reduction has been used: nobody claims it again, and nothing takes the claim's place.
    assert office.check(claim_of("310000:instalment:9")).verdict == BLOCK
    assert refusal(office.move, "310000:instalment:1", WITHDRAWN_STATUS).symbol == "CLAIM_STATE_WRONG"
    office.require_clean()
