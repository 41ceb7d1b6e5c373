"""A whole project in each region over gRPC, by the certificates of the bodies that may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import (
    METHODOLOGY,
    PROJECT,
    Office,
    methodology_request,
    month,
    project_request,
    request_id,
)
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, sz_methodology
from tests.contract.region_registers.wire import OPERATOR, THIRD_PARTY, Wire

VERIFIER = "operator/440300/sz.third_party"
FORMS = [one for one in SZ_DOCUMENTS if not one.kind.endswith("_report")]
REPORTS = [
    registers_pb2.ProjectDocument(kind=kind, name=kind)
    for kind in ("validation_report", "verification_report")
]
State = registers_pb2.ProjectState

ServeRegion = Callable[[str], Wire]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def serve(network: NetworkOfTest, make_node: MakeNode, bridge: ClaimBridge) -> Iterator[ServeRegion]:
    """Serves a region's node on the line of a bridge that answers claims and issues."""
    wires: list[Wire] = []

    def make(party: str) -> Wire:
        assert bridge.server is not None
        node = make_node(party, bridge.server.address)
        node.region.start()
        bridge.wait_until(lambda: bridge.peer(party).frames is not None)
        wires.append(Wire(network, node))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


def call(wire: Wire, role: str, name: str, **values: Any) -> Any:
    """A request about the project."""
    values = {"request_id": request_id(), "project_id": PROJECT, **values}
    request = getattr(registers_pb2, f"{name}Request")(**values)
    return getattr(wire.role(role).registers, name)(request)


def refused(symbol: str, *positional: Any, **values: Any) -> DomainError:
    """Demand a refusal of this symbol."""
    with pytest.raises(DomainError) as caught:
        call(*positional, **values)
    assert caught.value.symbol == symbol, str(caught.value)
    return caught.value


def turn_to(wire: Wire, day: date) -> None:
    """Turn the clock to nine o'clock, legal time, of a later day."""
    wire.node.context.clock.advance_to(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))


def submit(wire: Wire, role: str, owner: str, **values: Any) -> Any:
    """Submit a project in Shenzhen."""
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    request = project_request(owner, methodology_id="SZ-PV-01", place="440305", **values)
    return wire.role(role).registers.SubmitProject(request).project


def walked(project: Any) -> list[str]:
    """The states that a project went through."""
    return [State.Name(one.state).removeprefix("PROJECT_STATE_") for one in project.history]


def test_SZ_21a_the_bureau_appoints_the_verifier_of_an_operators_project(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=6).account_id
    declaration = registers_pb2.ProjectDocument(kind="no_profit_declaration", name="声明 declaration")
    works = {"has_personal_accounts": True, "records_behaviour": True, "fields_of_work": ["travel"]}
    wire.open("sz.data_operator", OPERATOR, "OP-1", account_id=owner, documents=[declaration])
    wire.open("sz.bureau", THIRD_PARTY, "V-1", title="虚构核查 invented verifier")
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    file = project_request(owner, methodology_id="SZ-PV-01", place="440305", documents=[*FORMS, declaration])
    with pytest.raises(DomainError) as caught:
        wire.role("sz.data_operator").registers.SubmitProject(file)
    assert caught.value.symbol == "OPERATOR_NOT_REGISTERED"
    assert "第二十条" in caught.value.sentence_with_article("zh")
    wire.step("sz.bureau", OPERATOR, "OP-1", "register", **works)
    file.request_id = request_id()
    wire.role("sz.data_operator").registers.SubmitProject(file)
    refused("STATE_NOT_ALLOWED", wire, "sz.expert", "AssessProject", passed=True)
    appointing = {"body": "V-1", "party": VERIFIER}
    refused(
        "VERIFIER_NOT_APPOINTED_BY_BUREAU", wire, "sz.data_operator", "AppointProjectVerifier", **appointing
    )
    unknown = {"body": "无名 nobody", "party": VERIFIER}
    call(wire, "sz.bureau", "AppointProjectVerifier", **appointing)
    refused("STATE_NOT_ALLOWED", wire, "sz.bureau", "AppointProjectVerifier", **unknown)
    refused("ROLE_NOT_PERMITTED", wire, "sz.sme", "FileProjectReports", documents=REPORTS)
    refused(
        "VERIFICATION_REPORT_MISSING", wire, "sz.third_party", "FileProjectReports", documents=REPORTS[:1]
    )
    other = [registers_pb2.ProjectDocument(kind=one.kind, name=one.name, body="V-2") for one in REPORTS]
    refused("VERIFIER_NOT_QUALIFIED", wire, "sz.third_party", "FileProjectReports", documents=other)
    call(wire, "sz.third_party", "FileProjectReports", documents=REPORTS)
    call(wire, "sz.expert", "AssessProject", passed=True)
    refused("SELF_APPROVAL_FORBIDDEN", wire, "sz.expert", "ReviewProject", passed=True)
    refused("ROLE_NOT_PERMITTED", wire, "sz.platform_operator", "ReviewProject", passed=True)
    call(wire, "sz.bureau", "ReviewProject", passed=True, opinion="符合 conforms")
    published = call(wire, "sz.bureau", "PublishProject").project
    assert walked(published) == [
        "SUBMITTED",
        "VERIFIER_APPOINTED",
        "VERIFIED",
        "ASSESSED",
        "REVIEWED",
        "PUBLISHED",
    ]
    shown = call_public(wire)
    assert (shown.verifier.body, shown.verifier.party, len(shown.documents)) == ("V-1", "", 0)


def call_public(wire: Wire) -> Any:
    """The project as anybody sees it."""
    request = registers_pb2.GetProjectRequest(project_id=PROJECT)
    return wire.role("reader/national").registers.GetProject(request).project


def test_SZ_21b_a_small_enterprise_brings_reports_of_listed_bodies_and_SZ_30_none_of_a_suspended_one(
    serve: ServeRegion,
) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=4).account_id
    body = next(one.body for one in SZ_DOCUMENTS if one.kind == "validation_report")
    wire.open("sz.bureau", THIRD_PARTY, "V-1", title="别家 another")
    with pytest.raises(DomainError) as caught:
        submit(wire, "sz.sme", owner, documents=SZ_DOCUMENTS)
    assert caught.value.symbol == "VERIFIER_NOT_QUALIFIED"
    wire.open("sz.bureau", THIRD_PARTY, "V-2", title=body)
    file = project_request(owner, methodology_id="SZ-PV-01", place="440305", documents=SZ_DOCUMENTS)
    assert wire.role("sz.sme").registers.SubmitProject(file).project.state == State.PROJECT_STATE_SUBMITTED
    refused("STATE_NOT_ALLOWED", wire, "sz.bureau", "AppointProjectVerifier", body="V-1", party=VERIFIER)
    call(wire, "sz.expert", "AssessProject", passed=True)
    wire.step("sz.bureau", THIRD_PARTY, "V-2", "suspend", reason="虚构 false report")
    refused("VERIFIER_SUSPENDED", wire, "sz.bureau", "PublishProject")
    wire.step("sz.bureau", THIRD_PARTY, "V-2", "resume", reason="虚构")
    # Who publishes without a review of its own has reviewed: both states stand in the history.
    published = call(wire, "sz.bureau", "PublishProject").project
    assert walked(published) == ["SUBMITTED", "ASSESSED", "REVIEWED", "PUBLISHED"]


def test_SZ_21c_a_review_that_is_not_passed_ends_the_project_and_lets_its_claim_go(
    serve: ServeRegion, bridge: ClaimBridge
) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=4).account_id
    project = submit(wire, "sz.sme", owner, documents=SZ_DOCUMENTS)
    call(wire, "sz.expert", "AssessProject", passed=True)
    ended = call(wire, "sz.bureau", "ReviewProject", passed=False, opinion="不符合 does not conform").project
    assert (ended.state, ended.state_reason) == (State.PROJECT_STATE_REJECTED, "不符合 does not conform")
    wire.node.region.office.steps.resume()
    assert bridge.claims.status[project.claim_id] == claims_pb2.CLAIM_STATUS_REJECTED


def test_SH_12_objections_are_answered_before_publication_and_units_are_issued(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    wire.role("sh.bureau").registers.PublishMethodology(methodology_request())
    wire.role("sh.project_applicant").registers.SubmitProject(project_request(owner))
    refused("STATE_NOT_ALLOWED", wire, "reader/national", "ObjectToProject", text="虚构 too early")
    call(wire, "sh.centre", "AssessProject", passed=True)
    notice = call(wire, "sh.centre", "OpenProjectNotice").project
    for text in ("虚构：屋顶已拆 the roof is gone", "虚构：重复 it is counted twice"):
        call(wire, "reader/national", "ObjectToProject", text=text)
    last = notice.notice_last_day
    turn_to(wire, date(last.year, last.month, last.day) + timedelta(days=1))
    refused("STATE_NOT_ALLOWED", wire, "sh.centre", "PublishProject")
    refused("ROLE_NOT_PERMITTED", wire, "sh.exchange", "AnswerProjectObjection", number=1, answer="虚构")
    refused("NOT_FOUND", wire, "sh.centre", "AnswerProjectObjection", number=3, answer="虚构")
    call(wire, "sh.centre", "AnswerProjectObjection", number=1, answer="现场核实 seen on the site")
    refused("ALREADY_EXISTS", wire, "sh.centre", "AnswerProjectObjection", number=1, answer="虚构")
    call(wire, "sh.centre", "AnswerProjectObjection", number=2, answer="已核对 checked")
    published = call(wire, "sh.centre", "PublishProject").project
    assert walked(published) == ["SUBMITTED", "ASSESSED", "NOTICE", "OBJECTED", "NOTICE", "PUBLISHED"]
    assert [one.answer for one in call_public(wire).objections] == [
        "现场核实 seen on the site",
        "已核对 checked",
    ]
    wire.role("sh.project_applicant").issuance.SubmitActivity(
        registers_pb2.SubmitActivityRequest(
            request_id=request_id(), project_id=PROJECT, records=[month("2026-01", 10_000_000)]
        )
    )
    issuance = wire.role("sh.centre").issuance.IssueUnits(Office(wire.node, owner).issue_request()).issuance
    assert (issuance.state, issuance.quantity_kg) == (registers_pb2.ISSUANCE_STATE_ISSUED, 4000)
    assert published.methodology_id == METHODOLOGY


def test_SH_12_an_objection_that_is_upheld_ends_the_project(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    wire.role("sh.bureau").registers.PublishMethodology(methodology_request())
    wire.role("sh.project_applicant").registers.SubmitProject(project_request(owner))
    call(wire, "sh.centre", "AssessProject", passed=True)
    call(wire, "sh.centre", "OpenProjectNotice")
    call(wire, "reader/national", "ObjectToProject", text="虚构 invented")
    ended = call(
        wire, "sh.centre", "AnswerProjectObjection", number=1, answer="属实 it is so", upheld=True
    ).project
    assert ended.state == State.PROJECT_STATE_REJECTED
    assert ended.objections[0].upheld
    assert ended.objections[0].answer_date == wire_date(date(2026, 3, 2))
