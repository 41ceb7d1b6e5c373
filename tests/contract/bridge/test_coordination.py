"""The coordination notice of CCER and green certificates, over real gateways on both databases (虚构)."""

from __future__ import annotations

from datetime import date
from functools import partial

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.signing.pae import message_hash
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHENZHEN
from tanqiao_bridge.storage.tables import conflict_case
from tanqiao_gateway.application.fsck import check_database
from tests.contract.bridge.claims_office import (
    CANCELLED,
    FREEZE_OTHER,
    ISSUED,
    NOTICE,
    REGISTERED,
    WITHDRAWN_STATUS,
    Office,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import run_bridge
from tests.contract.bridge.lists import certificates
from tests.contract.bridge.notice_office import (
    ACKNOWLEDGED,
    CONFIRMED,
    ISSUE,
    PART_CONFIRMED,
    REFUSED,
    REGISTER,
    WITHDRAW,
    NoticeOffice,
    instalment,
    project,
    quantity,
)

__all__ = ["lists", "office"]

FARM = "99310000000000801"
SECOND = "99310000000000802"
THIRD = "99310000000000803"
JANUARY = ("2026-01-01", "2026-02-01")
FEBRUARY = ("2026-02-01", "2026-03-01")


@pytest.fixture
def notice(office: Office) -> NoticeOffice:
    """Three invented wind farms with unsold certificates of January 2026; one has sold 60 of 100."""
    office.lists["gec"].load(
        [
            certificates("FARM-01", FARM, certificates="240"),
            certificates("SECOND-01", SECOND, certificates="100"),
            certificates("THIRD-01", THIRD, certificates="40"),
            certificates("THIRD-01-SOLD", THIRD, certificates="60", state="TRANSFERRED"),
        ]
    )
    return NoticeOffice(office)


def _cases(notice: NoticeOffice) -> list[str]:
    with notice.office.running.bridge.database.reading() as connection:
        rows = connection.execute(sa.select(conflict_case.c.subject).order_by(conflict_case.c.subject))
        return list(rows.scalars())


def _issue(notice: NoticeOffice, claim_id: str, farm: str, mwh: int, metered: int = 300) -> object:
    return notice.step(
        ISSUE,
        instalment(claim_id, farm, mwh, *JANUARY),
        activity=[quantity(*JANUARY, mwh)],
        metering=[quantity(*JANUARY, metered)],
    )


def test_a_registration_freezes_and_an_issue_cancels_what_matches(notice: NoticeOffice) -> None:
    statement = notice.signed(REGISTER, project("ccer:farm", FARM))
    registered = notice.submit(statement)
    assert (registered.receipt.status, registered.receipt.verdict.verdict) == (NOTICE, FREEZE_OTHER)
    assert notice.submit(statement) == registered, "the same statement gets the stored receipt"
    notice.wait_for(registered.order_id, "ccer:farm", ACKNOWLEDGED)
    assert notice.certificates(FARM) == {"ISSUED": 240}, "nothing is frozen before it is confirmed"
    assert refusal(_issue, notice, "ccer:farm:1", FARM, 200).symbol == "CLAIM_STATE_WRONG"

    answer = notice.decide(registered.order_id)
    assert (answer.state, answer.asked_quantity_mwh, answer.confirmed_quantity_mwh) == (CONFIRMED, 240, 240)
    assert refusal(notice.decide, registered.order_id).symbol == "ORDER_REFUSED"
    notice.wait_for(registered.order_id, "ccer:farm", CONFIRMED)
    assert notice.office.status_of("ccer:farm") == REGISTERED
    assert notice.certificates(FARM) == {"FROZEN": 240}

    # A freeze is a standing order: what a newer list shows as issued for February is frozen on import.
    notice.office.lists["gec"].load(
        [
            certificates("FARM-01", FARM, certificates="240"),
            certificates(
                "FARM-02", FARM, certificates="70", period_start="2026-02-01", period_end="2026-03-01"
            ),
        ],
        as_of=date(2026, 3, 1),
    )
    assert notice.certificates(FARM) == {"FROZEN": 310}

    issued = _issue(notice, "ccer:farm:1", FARM, 200)
    assert issued.receipt.status == ISSUED  # type: ignore[attr-defined]
    order_id = issued.order_id  # type: ignore[attr-defined]
    assert notice.decide(order_id).confirmed_quantity_mwh == 200
    notice.wait_for(order_id, "ccer:farm", CONFIRMED)
    assert notice.certificates(FARM) == {"CANCELLED": 200, "FROZEN": 110}
    # The registry's own newer list shows what it has done: nothing is counted twice.
    notice.office.lists["gec"].load(
        [
            certificates("FARM-01-C", FARM, certificates="200", state="CANCELLED"),
            certificates("FARM-01-F", FARM, certificates="40", state="FROZEN"),
            certificates(
                "FARM-02", FARM, certificates="70", period_start="2026-02-01", period_end="2026-03-01"
            ),
        ],
        as_of=date(2026, 3, 2),
    )
    assert notice.certificates(FARM) == {"CANCELLED": 200, "FROZEN": 110}
    assert _cases(notice) == []

    # The project is given up: what is still frozen is released, and it is never registered again.
    gone = notice.step(WITHDRAW, claims_pb2.Claim(claim_id="ccer:farm"))
    assert gone.receipt.status == CANCELLED
    assert notice.decide(gone.order_id).confirmed_quantity_mwh == 110
    notice.wait_for(gone.order_id, "ccer:farm", CONFIRMED)
    assert notice.certificates(FARM) == {"CANCELLED": 200, "FROZEN": 40, "UNFROZEN": 70}
    again = project("ccer:farm:again", FARM, project_id="another")
    assert refusal(notice.step, REGISTER, again).symbol == "DUPLICATE_PROGRAMME_APPLIED"
    notice.office.require_clean()


def test_what_was_ordered_is_carried_on_by_the_bridge_that_follows(
    notice: NoticeOffice, bridge_database: DatabaseUnderTest
) -> None:
    office = notice.office
    gec = office.lists["gec"].gateway
    statement = notice.signed(REGISTER, project("ccer:farm", FARM))
    first = notice.submit(statement)
    notice.wait_for(first.order_id, "ccer:farm", ACKNOWLEDGED)
    office.close_channels()
    office.running.bridge.stop()
    # Decided while the bridge is away; the next bridge asks again and gets the stored answer.
    assert notice.decide(first.order_id).state == CONFIRMED
    addresses = {name: one.address for name, one in office.lists.items()}
    office.running = run_bridge(
        notice.network, bridge_database.url, bridge_database.owner_url, gateways=addresses
    )
    office.stub(SHENZHEN)
    notice.wait_for(first.order_id, "ccer:farm", CONFIRMED)
    assert office.status_of("ccer:farm") == REGISTERED
    assert notice.submit(statement) == first
    assert len(notice.orders("ccer:farm")) == len(notice.received()) == 1
    assert check_database(gec.database).clean
    office.require_clean()


def test_refusal_part_withdrawal_and_silence_leave_the_project_in_its_notice(notice: NoticeOffice) -> None:
    refused = notice.step(REGISTER, project("ccer:farm", FARM))
    part = notice.step(REGISTER, project("ccer:second", SECOND))
    waiting = notice.step(REGISTER, project("ccer:third", THIRD))
    without_reason = partial(notice.decide, refused.order_id, refuse=True)
    assert refusal(without_reason).symbol == "FIELD_MISSING"
    assert refusal(partial(notice.decide, part.order_id, quantity_mwh=30)).symbol == "FIELD_MISSING"
    assert refusal(partial(notice.decide, part.order_id, quantity_mwh=101)).symbol == "FIELD_INVALID"
    notice.decide(refused.order_id, refuse=True, reason="司法冻结（虚构）")
    notice.decide(part.order_id, quantity_mwh=30, reason="其余正在成交（虚构）")
    notice.wait_for(refused.order_id, "ccer:farm", REFUSED)
    notice.wait_for(part.order_id, "ccer:second", PART_CONFIRMED)
    assert notice.certificates(SECOND) == {"FROZEN": 30, "ISSUED": 70}
    assert _cases(notice) == ["ccer:farm", "ccer:second"]
    assert notice.office.status_of("ccer:second") == NOTICE
    # The rest is ordered again, confirmed, and judged again: now the project stands.
    rest = notice.step(REGISTER, project("ccer:second", SECOND))
    notice.decide(rest.order_id)
    notice.wait_for(rest.order_id, "ccer:second", CONFIRMED)
    assert notice.office.status_of("ccer:second") == REGISTERED
    assert notice.certificates(SECOND) == {"FROZEN": 100}

    # Withdrawn before anybody has decided: the freeze is refused by the release, whatever comes later.
    gone = notice.step(WITHDRAW, claims_pb2.Claim(claim_id="ccer:third"))
    assert gone.receipt.status == WITHDRAWN_STATUS
    notice.wait_for(waiting.order_id, "ccer:third", REFUSED)
    assert refusal(notice.decide, waiting.order_id).symbol == "ORDER_REFUSED"
    notice.decide(gone.order_id)
    assert notice.certificates(THIRD) == {"ISSUED": 40, "TRANSFERRED": 60}

    # Silence: nothing is registered while the certificates' registry cannot be asked.
    notice.office.lists["gec"].gateway.stop()
    silent = refusal(notice.step, REGISTER, project("ccer:farm", FARM))
    assert silent.symbol == "EXTERNAL_REGISTRY_SILENT"
    notice.office.require_clean()


def test_sold_electricity_splits_and_the_notice_ends(notice: NoticeOffice) -> None:
    third = notice.step(REGISTER, project("ccer:third", THIRD))
    notice.decide(third.order_id)
    notice.wait_for(third.order_id, "ccer:third", CONFIRMED)
    # 60 of 100 MWh were sold: only 40 are left. That is said and signed, and changes nothing.
    stated = partial(instalment, "ccer:third:1", THIRD, start=JANUARY[0], end=JANUARY[1])
    metering = [quantity(*JANUARY, 100)]
    envelope = notice.signed(ISSUE, stated(mwh=100), activity=[quantity(*JANUARY, 100)], metering=metering)
    told = notice.carried(envelope)
    assert not told.HasField("receipt")
    assert (told.split.verdict, told.split.claim_id) == (claims_pb2.VERDICT_KIND_SPLIT, "ccer:third:1")
    assert [(part.quantity, part.unit) for part in told.split.allowed] == [(40_000, "kWh")]
    assert "40000 kWh" in told.split.refusal.sentence_en
    assert refusal(notice.office.status_of, "ccer:third:1").symbol == "CLAIM_UNKNOWN"
    assert notice.certificates(THIRD) == {"FROZEN": 40, "TRANSFERRED": 60}

    # The smaller quantity comes with the verdict's hash and the verdict, and is judged again.
    verdict = told.split_envelope
    named = message_hash(verdict.payload_type, verdict.payload)
    less = {"activity": [quantity(*JANUARY, 30)], "metering": metering, "split_verdict_hash": named}
    smaller = notice.signed(ISSUE, stated(mwh=30), **less)
    assert refusal(notice.carried, smaller).symbol == "FIELD_MISSING"
    assert refusal(notice.carried, envelope, verdict).symbol == "FIELD_MISSING"
    more = {**less, "activity": [quantity(*JANUARY, 41)]}
    beyond = refusal(notice.carried, notice.signed(ISSUE, stated(mwh=41), **more), verdict)
    assert (beyond.symbol, beyond.field) == ("FIELD_INVALID", "activity.0.quantity")
    other = stated(mwh=30)
    other.claim_id = "ccer:third:2"
    of_another = refusal(notice.carried, notice.signed(ISSUE, other, **less), verdict)
    assert (of_another.symbol, of_another.field) == ("FIELD_INVALID", "split_verdict")
    wrong = {**less, "split_verdict_hash": bytes(32)}
    unknown = refusal(notice.carried, notice.signed(ISSUE, stated(mwh=30), **wrong), verdict)
    assert (unknown.symbol, unknown.field) == ("FIELD_INVALID", "split_verdict_hash")
    issued = notice.carried(smaller, verdict)
    assert issued.receipt.status == claims_pb2.CLAIM_STATUS_ISSUED
    assert issued.order_id
    assert notice.carried(smaller, verdict) == issued
    near = project("ccer:near", FARM)
    near.asset.offshore_distance_mm = 30_000_000
    assert refusal(notice.step, REGISTER, near).symbol == "GREEN_POWER_PARTICIPATION"

    waiting = notice.step(REGISTER, project("ccer:farm", FARM))
    notice.wait_for(waiting.order_id, "ccer:farm", ACKNOWLEDGED)
    notice.at("2026-10-01T09:00:00+08:00")
    # What is frozen stays frozen; what was not frozen before the end is not frozen any more.
    assert notice.decide(waiting.order_id).state == REFUSED
    notice.wait_for(waiting.order_id, "ccer:farm", REFUSED)
    assert notice.certificates(FARM) == {"ISSUED": 240}
    assert notice.certificates(THIRD) == {"FROZEN": 40, "TRANSFERRED": 60}
    notice.office.lists["gec"].load(
        [certificates("THIRD-01", THIRD, certificates="90")], as_of=date(2026, 9, 30)
    )
    assert notice.certificates(THIRD) == {"FROZEN": 40, "ISSUED": 50}
    late = refusal(notice.step, REGISTER, project("ccer:second", SECOND))
    assert (late.symbol, late.metadata["cases"]) == ("CLAIM_HOLD", "N124-END")
    notice.office.require_clean()
