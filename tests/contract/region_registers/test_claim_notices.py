"""A region that is told of its claims, and the ways on of a project that is held; on both databases."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.api.region.v1 import journal_pb2, registers_pb2
from tanqiao.signing.approvals import prepare
from tanqiao.signing.envelope import add_signature, sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tests.contract.region.harness import SHANGHAI
from tests.contract.region_registers.claim_bridge import ClaimBridge, allowed, barred
from tests.contract.region_registers.office import BUREAU, PROJECT, Office
from tests.contract.region_registers.test_refusals import refused

SUBMITTED = registers_pb2.PROJECT_STATE_SUBMITTED
HELD = registers_pb2.PROJECT_STATE_HELD_FOR_REVIEW
REJECTED = registers_pb2.PROJECT_STATE_REJECTED
NOTICE = registers_pb2.PROJECT_STATE_NOTICE
WITHDRAWN = registers_pb2.PROJECT_STATE_WITHDRAWN
ALLOW = cases_pb2.RESOLUTION_ALLOW
BLOCK = cases_pb2.RESOLUTION_BLOCK
LAPSED = claims_pb2.CLAIM_STATUS_LAPSED
DECLARED = claims_pb2.CLAIM_STATUS_DECLARED
BODIES = ("authority/bridge", "authority/310000")
HOLD = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="ccer:CCER-01-001")


def receipt_of(bridge: ClaimBridge, claim_id: str, status: int, log_index: int) -> Any:
    """The bridge's signed receipt of a move of its own."""
    receipt = claims_pb2.ClaimReceipt(
        header=bridge.header((SHANGHAI,), prev_hash=secrets.token_bytes(32)),
        claim_id=claim_id,
        status=status,  # type: ignore[arg-type]
        log_index=log_index,
        bridge_reason="test",
    )
    return sign_envelope(bridge.signer, payload_type_of(receipt), receipt.SerializeToString())


def resolution_of(
    bridge: ClaimBridge, case_id: int, resolution: int, bodies: tuple[str, ...] = BODIES
) -> Any:
    """A resolution that an approver of each body has signed."""
    order = cases_pb2.CaseResolution(
        case_id=case_id,
        resolution=resolution,  # type: ignore[arg-type]
        reason="虚构 invented",
        document="7",
    )
    network = bridge.network
    envelope = prepare(order, network.network_id, bodies[0], message_id=secrets.token_bytes(16))
    for body in bodies:
        envelope = add_signature(envelope, network.network.approvers(body)[0].signer)
    return envelope


def tell(
    bridge: ClaimBridge, claim_id: str, status: int, *, case: tuple[int, int] = (0, 0), **changes: Any
) -> None:
    """Number a notice for Shanghai: with the receipt, and of a case with the resolution."""
    case_id, resolution = case
    fields: dict[str, Any] = {
        "claim_id": claim_id,
        "status": status,
        "reason": "test",
        "log_index": 900,
        "receipt": receipt_of(bridge, claim_id, status, 900),
        **(
            {"case_id": case_id, "resolution": resolution, "record": resolution_of(bridge, *case)}
            if case_id
            else {}
        ),
        **changes,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    notice = cases_pb2.ClaimNotice(header=bridge.header((SHANGHAI,)), **given)
    bridge.number(SHANGHAI, [(payload_type_of(notice), notice.SerializeToString())])
    taken = len(bridge.peer(SHANGHAI).numbered)
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged >= taken)


def journalled(office: Office) -> list[dict[str, str]]:
    """What the journal says of notices."""
    kinds = [journal_pb2.JOURNAL_EVENT_KIND_CLAIM_NOTICED]
    part = office.node.queries.journal(from_index=1, limit=1_000, account_ids=(), kinds=kinds, by=BUREAU)
    entries = [journal_pb2.JournalEntry.FromString(row.entry) for row in part.rows]
    return [{"subject": entry.subject_id, **dict(entry.details)} for entry in entries]


def submitted(office: Office) -> Any:
    office.publish_methodology()
    return office.submit().project


def test_a_lapse_holds_the_project_which_is_then_declared_anew(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    first = submitted(on_the_line).claim_id
    on_the_line.assess()
    tell(bridge, first, LAPSED)
    held = on_the_line.project()
    assert (held.state, held.claim_status, held.state_reason) == (HELD, LAPSED, "test")
    assert held.later_claim_receipts
    (entry,) = journalled(on_the_line)
    assert (entry["subject"], entry["status"], entry["case_id"]) == (first, "LAPSED", "")
    refused("STATE_NOT_ALLOWED", on_the_line.open_notice)
    refused("ROLE_NOT_PERMITTED", lambda: on_the_line.submit(by=BUREAU))
    again = on_the_line.submit(title="重新申报 again").project
    assert (again.state, again.claim_status, again.title) == (SUBMITTED, DECLARED, "重新申报 again")
    assert again.claim_id not in ("", first)
    assert [one.state for one in again.history] == [
        SUBMITTED,
        registers_pb2.PROJECT_STATE_ASSESSED,
        HELD,
        SUBMITTED,
    ]
    refused("ALREADY_EXISTS", on_the_line.submit)
    tell(bridge, first, LAPSED)  # of a claim that is this project's no more
    assert on_the_line.project() == again


def test_a_lapsed_project_may_be_withdrawn_without_the_bridge(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    claim_id = submitted(on_the_line).claim_id
    tell(bridge, claim_id, LAPSED)
    assert on_the_line.withdraw().state == WITHDRAWN
    assert on_the_line.office.steps.resume() == 0
    assert bridge.claims.received == ["DeclareStatement"]


@pytest.mark.parametrize(
    ("resolution", "claim_status", "state"),
    [
        (ALLOW, DECLARED, SUBMITTED),
        (BLOCK, claims_pb2.CLAIM_STATUS_REJECTED, REJECTED),
    ],
)
def test_a_held_project_goes_on_or_ends_as_its_case_is_resolved(
    on_the_line: Office, bridge: ClaimBridge, resolution: int, claim_status: int, state: int
) -> None:
    bridge.claims.judge = HOLD
    held = submitted(on_the_line)
    assert (held.state, held.claim_status) == (HELD, claims_pb2.CLAIM_STATUS_REJECTED)
    moved = receipt_of(bridge, held.claim_id, claim_status, 900) if resolution == ALLOW else None
    tell(bridge, held.claim_id, claim_status, case=(7, resolution), receipt=moved)
    after = on_the_line.project()
    assert (after.state, after.claim_status) == (state, claim_status)
    assert "7" in after.state_reason
    (entry,) = journalled(on_the_line)
    assert (entry["case_id"], entry["resolution"]) == ("7", cases_pb2.Resolution.Name(resolution))  # type: ignore[arg-type]
    if resolution == ALLOW:
        assert on_the_line.assess().state == registers_pb2.PROJECT_STATE_ASSESSED
    else:
        refused("ALREADY_EXISTS", on_the_line.submit)


def test_a_project_held_at_its_declaration_is_judged_again_when_it_is_submitted_again(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    bridge.claims.judge = HOLD
    first = submitted(on_the_line)
    second = on_the_line.submit().project
    assert (first.state, second.state) == (HELD, HELD)
    assert len({first.claim_id, second.claim_id}) == 2
    bridge.claims.judge = allowed
    assert on_the_line.submit().project.state == SUBMITTED
    assert len(bridge.claims.claims) == 3


def test_a_bar_ends_a_published_project_and_a_resolution_that_moves_nothing_only_shows(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    claim_id = on_the_line.published().claim_id
    tell(bridge, claim_id, claims_pb2.CLAIM_STATUS_REGISTERED, case=(8, ALLOW), receipt=None)
    assert on_the_line.project().state == registers_pb2.PROJECT_STATE_PUBLISHED
    tell(bridge, claim_id, claims_pb2.CLAIM_STATUS_CANCELLED, case=(9, BLOCK))
    assert on_the_line.project().state == REJECTED
    tell(bridge, "310000:instalment:404", LAPSED)  # no project's: the journal alone
    assert [entry["case_id"] for entry in journalled(on_the_line)] == ["8", "9", ""]


def test_a_notice_that_waits_for_another_registry_is_opened_again(
    on_the_line: Office, bridge: ClaimBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(on_the_line)
    on_the_line.assess()
    waiting = claims_pb2.Verdict(verdict=claims_pb2.VERDICT_KIND_FREEZE_OTHER, matrix_version="test")
    waiting.colliding_claims.add(
        claim_id="gec:G-1", programme=claims_pb2.PROGRAMME_GEC, reference="G-1", status=DECLARED
    )
    with monkeypatch.context() as patch:
        patch.setattr("tests.contract.region_registers.claim_bridge.allowed", lambda _claim=None: waiting)
        refused("CLAIM_HOLD", on_the_line.open_notice)
    held = on_the_line.project()
    assert (held.state, held.claim_status) == (HELD, claims_pb2.CLAIM_STATUS_NOTICE)
    refused("ALREADY_EXISTS", on_the_line.submit)  # its claim stands
    opened = on_the_line.open_notice()
    assert (opened.state, opened.project_id) == (NOTICE, PROJECT)
    assert opened.notice_last_day.year


def test_a_notice_without_evidence_or_with_that_of_another_move_changes_nothing(
    on_the_line: Office, bridge: ClaimBridge
) -> None:
    claim_id = submitted(on_the_line).claim_id
    other = receipt_of(bridge, "310000:project:other", LAPSED, 900)
    earlier = receipt_of(bridge, claim_id, LAPSED, 899)
    of_one = resolution_of(bridge, 7, BLOCK, (BODIES[0], BODIES[0]))
    rejected = claims_pb2.CLAIM_STATUS_REJECTED
    tell(bridge, claim_id, LAPSED, receipt=None)
    tell(bridge, claim_id, LAPSED, receipt=other)
    tell(bridge, claim_id, LAPSED, receipt=earlier)
    tell(bridge, claim_id, rejected, case=(7, BLOCK), record=of_one)
    tell(bridge, claim_id, rejected, case=(7, BLOCK), record=resolution_of(bridge, 8, BLOCK))
    tell(bridge, claim_id, rejected, case=(7, BLOCK), record=resolution_of(bridge, 7, ALLOW))
    assert on_the_line.project().state == SUBMITTED
    assert journalled(on_the_line) == []
    bridge.wait_until(lambda: len(bridge.nacks) == 6)
