from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import Retry
from tanqiao_region.application import claim_steps
from tests.contract.region.conftest import MakeNode, stop
from tests.contract.region.harness import SHANGHAI
from tests.contract.region_registers.claim_bridge import ClaimBridge, barred
from tests.contract.region_registers.office import CENTRE, PROJECT, Office, ask, month, project_request
from tests.contract.region_registers.test_refusals import journal_size, refused


class KilledError(Exception):
    """The process ends here, in a test."""


def restarted(office: Office, make_node: MakeNode, bridge: ClaimBridge) -> Office:
    """The same node after a restart on the same database."""
    stop(office.node)
    assert bridge.server is not None
    node = make_node(SHANGHAI, bridge.server.address, office.node.under_test)
    return Office(node, office.owner)


def kill(*_: Any) -> Any:
    raise KilledError


def test_a_crash_before_the_statement_was_sent_is_made_good_at_the_next_start(
    shanghai: Office, bridge: ClaimBridge, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.publish_methodology()
    request = project_request(shanghai.owner)
    with monkeypatch.context() as patch:
        patch.setattr(shanghai.office.steps._claims, "send", kill)
        with pytest.raises(KilledError):
            shanghai.send_project(request)
    assert bridge.claims.received == []
    assert shanghai.office.reads.projects(0, "", 10) == []
    again = restarted(shanghai, make_node, bridge)
    assert again.office.steps.resume() == 1
    assert again.project().state == registers_pb2.PROJECT_STATE_SUBMITTED
    # The caller asks again: the answer is the one that the resumed step gave.
    assert again.send_project(request).project.claim_id == again.project().claim_id
    assert bridge.claims.received == ["DeclareStatement"]


def test_a_crash_after_the_receipt_came_is_made_good_by_the_same_request(
    shanghai: Office, bridge: ClaimBridge, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.publish_methodology()
    request = project_request(shanghai.owner)
    with monkeypatch.context() as patch:
        patch.setattr(claim_steps.ClaimSteps, "_finish", kill)
        with pytest.raises(KilledError):
            shanghai.send_project(request)
    assert bridge.claims.received == ["DeclareStatement"]
    again = restarted(shanghai, make_node, bridge)
    response = again.send_project(request)
    assert response.project.state == registers_pb2.PROJECT_STATE_SUBMITTED
    assert bridge.claims.received == ["DeclareStatement"] * 2
    assert len(bridge.claims.claims) == 1
    assert again.office.steps.resume() == 0


def test_a_lost_answer_of_the_bridge_leaves_a_refusal_that_may_pass_and_nothing_that_others_see(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    shanghai.publish_methodology()
    before = journal_size(shanghai.node)
    bridge.claims.lose_answers = 1
    request = project_request(shanghai.owner)
    error = refused("BUSY", lambda: shanghai.send_project(request))
    assert error.reason.retry in (Retry.SAME_BYTES, Retry.WAIT)
    assert journal_size(shanghai.node) == before
    refused("NOT_FOUND", shanghai.project)
    other = project_request(shanghai.owner, title="另一份 another")
    refused("CONCURRENT_CHANGE", lambda: shanghai.send_project(other))
    assert shanghai.send_project(request).project.state == registers_pb2.PROJECT_STATE_SUBMITTED
    assert len(bridge.claims.claims) == 1


def test_a_receipt_that_the_bridge_did_not_sign_does_not_count(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    bridge.claims.forge_answers = 1
    request = project_request(shanghai.owner)
    refused("SIGNATURE_INVALID", lambda: shanghai.send_project(request))
    refused("NOT_FOUND", shanghai.project)
    assert shanghai.send_project(request).project.state == registers_pb2.PROJECT_STATE_SUBMITTED


def test_a_bridge_that_is_down_is_refused_with_wait_and_nothing_is_written(
    shanghai: Office, bridge: ClaimBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanqiao_region.server.claims_line.CONNECT_SECONDS", 0.3)
    shanghai.publish_methodology()
    bridge.stop()
    before = journal_size(shanghai.node)
    request = project_request(shanghai.owner)
    error = refused("PEER_UNREACHABLE", lambda: shanghai.send_project(request))
    assert error.reason.retry is Retry.WAIT
    assert journal_size(shanghai.node) == before
    assert shanghai.office.steps.resume() == 0
    refused("NOT_FOUND", shanghai.project)


def test_while_the_bridge_is_down_intake_and_reads_go_on(
    shanghai: Office, bridge: ClaimBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.published()
    monkeypatch.setattr("tanqiao_region.server.claims_line.CONNECT_SECONDS", 0.3)
    bridge.stop()
    assert shanghai.meter(month("2026-01", 10_000_000)).accepted_count == 1
    assert shanghai.quantify().issuable_kg == 4000
    refused("PEER_UNREACHABLE", shanghai.issue)
    assert shanghai.quantify().issuable_kg == 4000
    assert shanghai.project().state == registers_pb2.PROJECT_STATE_PUBLISHED


def test_a_crash_between_declaration_and_issue_issues_once(
    shanghai: Office, bridge: ClaimBridge, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    request = shanghai.issue_request()
    with monkeypatch.context() as patch:
        patch.setattr(claim_steps.ClaimSteps, "_finish", kill)
        with pytest.raises(KilledError):
            shanghai.office.issuances.issue_units(ask(request, CENTRE), request)
    # The activity is set aside: a second issuance cannot take it.
    refused("METERING_MISSING", shanghai.issue)
    again = restarted(shanghai, make_node, bridge)
    again.node.region.start()
    issuance = again.office.issuances.issue_units(ask(request, CENTRE), request)
    assert issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED
    assert again.node.held(again.owner) == [(0, 4000, 1)]
    instalments = [claim for claim in bridge.claims.claims if ":instalment:" in claim]
    assert len(instalments) == 1


def test_an_issue_that_has_ended_is_answered_after_a_restart_without_waiting(
    shanghai: Office, bridge: ClaimBridge, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    shanghai.node.region.start()
    request = shanghai.issue_request()
    first = shanghai.office.issuances.issue_units(ask(request, CENTRE), request)
    assert first.state == registers_pb2.ISSUANCE_STATE_ISSUED
    again = restarted(shanghai, make_node, bridge)
    monkeypatch.setattr(again.office.issuances, "_wait", kill)
    assert again.office.issuances.issue_units(ask(request, CENTRE), request) == first


def test_an_issuance_that_the_bridge_refuses_after_a_crash_frees_its_activity(
    shanghai: Office, bridge: ClaimBridge, make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    with monkeypatch.context() as patch:
        patch.setattr(shanghai.office.steps._claims, "send", kill)
        with pytest.raises(KilledError):
            shanghai.issue()
    bridge.claims.judge = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="x")
    again = restarted(shanghai, make_node, bridge)
    again.office.steps.resume()
    assert again.quantify().issuable_kg == 4000
    assert again.office.steps.resume() == 0


def test_the_same_request_gets_its_first_answer_and_another_body_is_refused(
    shanghai: Office, bridge: ClaimBridge
) -> None:
    first = shanghai.publish_methodology(request_id="m-1")
    assert shanghai.publish_methodology(request_id="m-1") == first
    refused("REQUEST_ID_REUSED", lambda: shanghai.publish_methodology(request_id="m-1", unit_class="II"))
    request = project_request(shanghai.owner, request_id="p-1")
    submitted = shanghai.send_project(request)
    assert shanghai.send_project(request) == submitted
    other = project_request(shanghai.owner, request_id="p-1", title="另一 other")
    refused("REQUEST_ID_REUSED", lambda: shanghai.send_project(other))
    assert shanghai.assess(request_id="a-1") == shanghai.assess(request_id="a-1")
    refused("REQUEST_ID_REUSED", lambda: shanghai.assess(request_id="a-1", opinion="x"))
    assert shanghai.open_notice(request_id="n-1") == shanghai.open_notice(request_id="n-1")
    refused("REQUEST_ID_REUSED", lambda: shanghai.open_notice(request_id="n-1", project_id="X"))
    rows = month("2026-01", 5_000_000)
    assert shanghai.meter(rows, request_id="e-1") == shanghai.meter(rows, request_id="e-1")
    refused("REQUEST_ID_REUSED", lambda: shanghai.meter(month("2026-01", 1), request_id="e-1"))
    assert shanghai.withdraw(request_id="w-1") == shanghai.withdraw(request_id="w-1")
    refused("REQUEST_ID_REUSED", lambda: shanghai.withdraw(request_id="w-1", reason="另一 other"))
    statements = ["DeclareStatement", "ClaimStatement", "ClaimStatement"]
    assert bridge.claims.received == statements


def test_a_refusal_that_may_pass_is_not_kept_under_the_request(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.assess()
    bridge.claims.refuse_moves = DomainError("EXTERNAL_REGISTRY_SILENT", registry="ccer", as_of="–")
    refused("EXTERNAL_REGISTRY_SILENT", lambda: shanghai.open_notice(request_id="n-1"))
    bridge.claims.refuse_moves = None
    assert shanghai.open_notice(request_id="n-1").state == registers_pb2.PROJECT_STATE_NOTICE


def test_many_at_once_submit_one_project(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()

    def attempt(number: int) -> str:
        try:
            return str(shanghai.submit(title=f"第{number}份").project.title)
        except DomainError as refusal:
            return refusal.symbol

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(16)))
    done = [outcome for outcome in outcomes if outcome.startswith("第")]
    assert len(done) == 1, outcomes
    assert set(outcomes) - set(done) <= {"CONCURRENT_CHANGE", "ALREADY_EXISTS"}
    assert len(bridge.claims.claims) == 1
    assert shanghai.project(PROJECT).title == done[0]
