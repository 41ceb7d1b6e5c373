"""Random operations through projects, scenes and issuance: no state outside the published machines.

Most of the operations are drawn from what the machine opens next, by a body that may; the others are anything
by anybody. The bridge lets every claim pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from inspect import signature
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.api.region.v1 import consents_pb2, registers_pb2, scenes_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_date, wire_period
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.claim_steps import submit_to
from tanqiao_region.application.commands import By
from tanqiao_region.application.consents import Consents
from tanqiao_region.application.register_checks import MACHINE_STATES, machine_of
from tanqiao_region.domain.rules.lifecycles import BEFORE, Lifecycle
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR, load_accounts
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN
from tests.contract.region_registers import scene_office
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import BUREAU, SZ_BUREAU, Office, ask, month, project_request
from tests.contract.region_registers.operator_office import CONSENT, MANDATE
from tests.contract.region_registers.operator_office import given as given_by
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, sz_methodology

EXPECTED: Final = {
    "ALREADY_EXISTS",
    "APPLICATION_INCOMPLETE",
    "AUDIT_NOT_PASSED",
    "COMPUTATION_DIFFERS",
    "CONCURRENT_CHANGE",
    "DECLARATION_MISSING",
    "DUPLICATE_KEY",
    "FIELD_INVALID",
    "FIELD_MISSING",
    "GRAIN_NOT_MET",
    "ISSUANCE_TOO_FREQUENT",
    "METERING_MISSING",
    "METHODOLOGY_KIND_MISMATCH",
    "METHODOLOGY_NOT_PUBLISHED",
    "METHODOLOGY_NOT_SHENZHEN",
    "ASSESSMENT_NOT_PASSED",
    "NOTICE_PERIOD_RUNNING",
    "NOT_FOUND",
    "OPERATOR_NOT_REGISTERED",
    "PARAMETER_NOT_SET",
    "PARTICIPANT_TYPE_NOT_ALLOWED",
    "ROLE_NOT_PERMITTED",
    "RULE_PACK_NOT_IN_FORCE",
    "SCENE_DATA_NOT_VALIDATED",
    "SCENE_NOT_AUTHORISED",
    "SECOND_SIGNATURE_MISSING",
    "SELF_APPROVAL_FORBIDDEN",
    "STATE_NOT_ALLOWED",
    "VERIFICATION_REPORT_MISSING",
    "VERIFIER_NOT_APPOINTED_BY_BUREAU",
}
"""Reasons that a step may be refused with; anything else is a fault."""
REPORTS: Final = [
    registers_pb2.ProjectDocument(kind=kind, name=kind)
    for kind in ("validation_report", "verification_report")
]
DECLARATION: Final = registers_pb2.ProjectDocument(kind="no_profit_declaration", name="声明 declaration")
SCENE_OFFICERS: Final = (("operator/310000/sh.centre", 1), ("operator/310000/sh.exchange", 2))
LAST_DAY: Final = date(2026, 11, 1)
"""The clock stays within the year whose holidays are known."""
YEAR: Final = wire_period(Period.parse("2026"))
_numbers = itertools.count(1)


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machines know nothing of it."""
    return "sqlite"


def fresh() -> str:
    return f"random-{next(_numbers)}"


@dataclass
class Player:
    """Tries operations on one project or scene."""

    office: Office
    region: str
    origin: int
    project_id: str
    network: NetworkOfTest
    bodies: dict[str, str]
    """Who may take an event, by event; anybody else is tried as well."""
    unexpected: set[str] = field(default_factory=set)

    def attempt(self, call: Callable[..., Any], request: Any, role: str) -> Any:
        """Try one operation."""
        by = By(f"operator/{self.region}/{role}", role)
        asked = ask(request, by)
        takes_request = len(signature(call).parameters) > 1
        try:
            return call(asked, request) if takes_request else call(asked)
        except DomainError as refusal:
            self.unexpected.update({refusal.symbol} - EXPECTED)
            return None

    def take(self, event: str, role: str, *, good: bool) -> Any:
        """Try one event; that a file is turned down is said by who decides about it otherwise."""
        if event == "data":
            return self.data(role)
        if event == "reject":
            decided = "answer_objection" if self.state() == "OBJECTED" else "assess"
            return self.take(decided, self.bodies.get(decided, role), good=False)
        if event not in STEPS:
            return self.decide(event, role)
        if event == "publish" and good and self.office.today < LAST_DAY:
            self.office.turn_to(self.office.today + timedelta(days=9))
        path, kind, fields = STEPS[event]
        if kind is registers_pb2.SubmitProjectRequest:
            request: Any = self.file(good=good)
        else:
            request = kind(request_id=fresh(), project_id=self.project_id, **fields(self, good))
        return self.attempt(attrgetter(path)(self.office.office), request, role)

    def data(self, role: str) -> Any:
        """Hand data in: a reading for a project, a trip for a scene."""
        services = self.office.office
        plant: dict[str, Any] = {"request_id": fresh(), "project_id": self.project_id}
        if self.origin == registers_pb2.PROJECT_ORIGIN_PROJECT:
            request: Any = registers_pb2.SubmitActivityRequest(
                **plant, records=[month("2026-02", 40_000_000)]
            )
            return self.attempt(services.activity.submit_activity, request, role)
        yesterday = self.office.today - timedelta(days=1)
        request = scenes_pb2.SubmitTripsRequest(
            **plant, trips=[scene_office.trip(next(_numbers), yesterday, 12_000)]
        )
        return self.attempt(services.scene_office.trips.submit_trips, request, role)

    def decide(self, event: str, role: str) -> Any:
        """Decide about a scene, or sign a decision: ``sign:publish``."""
        word = event.removeprefix("sign:")
        decision = scenes_pb2.SceneDecision(
            project_id=self.project_id,
            kind=scenes_pb2.SceneDecisionKind.Value(f"SCENE_DECISION_KIND_{word.upper()}"),
            passed=True,
            period=YEAR,
            reason="虚构",
        )
        services = self.office.office
        if event.startswith("sign:"):
            asking = scenes_pb2.SignSceneDecisionRequest(
                request_id=fresh(), decision=decision, validate_only=True
            )
            found = self.attempt(services.scene_office.scenes.sign, asking, role)
            if found is None:
                return None
            # Both sign the same bytes: one envelope with two signatures.
            statement = self.network.decision(found.to_sign, *SCENE_OFFICERS)
            signing = scenes_pb2.SignSceneDecisionRequest(
                request_id=fresh(), decision=decision, statement=statement
            )
            return self.attempt(services.scene_office.scenes.sign, signing, role)
        deciding = scenes_pb2.DecideSceneRequest(request_id=fresh(), decision=decision)
        return self.attempt(services.scene_office.scenes.decide, deciding, role)

    def file(self, *, good: bool) -> Any:
        """A complete file of the region, or one without its documents."""
        if self.origin == registers_pb2.PROJECT_ORIGIN_REDUCTION_SCENE:
            return scene_office.submit_request(self.office.owner, project_id=self.project_id)
        values: dict[str, Any] = {"project_id": self.project_id}
        if self.region == "440300":
            values |= {
                "methodology_id": "SZ-PV-01",
                "place": "440305",
                "documents": [*SZ_DOCUMENTS, DECLARATION] if good else [],
            }
        request = project_request(self.office.owner, **values)
        request.request_id = fresh()
        return request

    def play(self, moves: list[tuple[bool, int, int, int]], roles: list[str], machine: Any) -> None:
        """Take a good path through the machine with detours; the moves are drawn before."""
        for detour, first, second, luck in moves:
            if detour:
                self.take(WORDS[first % len(WORDS)], roles[second % len(roles)], good=luck > 0)
                continue
            state = self.state()
            opened = sorted({edge.event for edge in machine.transitions if edge.state == state} - BY_BRIDGE)
            onward = [event for event in opened if event not in LEAVING]
            choices = [*onward * 3, *opened, *EXTRA]
            event = choices[first % len(choices)]
            if f"sign:{event}" in WORDS and self.origin != registers_pb2.PROJECT_ORIGIN_PROJECT:
                self.take(f"sign:{event}", "sh.exchange", good=True)
            self.take(event, self.bodies.get(event, roles[0]), good=luck > 0)

    def state(self) -> str:
        """The state by the machine's name."""
        with self.office.node.region.database.reading() as connection:
            row = store.load_project(connection, self.project_id)
        return BEFORE if row is None else machine_name(self.region, row.project.state)


def _nothing(_player: Player, _good: bool) -> dict[str, Any]:
    return {}


def _verifier(player: Player, _good: bool) -> dict[str, Any]:
    return {"body": "V-1", "party": f"operator/{player.region}/sz.third_party"}


def _issue(player: Player, good: bool) -> dict[str, Any]:
    audit = registers_pb2.IssuanceAudit(passed=good, audit_date=wire_date(player.office.today))
    return {"period": YEAR, "stated_kg": 1, "audit": audit}


Fields = Callable[[Player, bool], dict[str, Any]]
STEPS: Final[dict[str, tuple[str, Any, Fields]]] = {
    "submit": ("registers.submit_project", registers_pb2.SubmitProjectRequest, _nothing),
    "assess": (
        "registers.assess_project",
        registers_pb2.AssessProjectRequest,
        lambda _, good: {"passed": good},
    ),
    "open_notice": ("registers.open_notice", registers_pb2.OpenProjectNoticeRequest, _nothing),
    "publish": ("registers.publish_project", registers_pb2.PublishProjectRequest, _nothing),
    "withdraw": (
        "registers.withdraw_project",
        registers_pb2.WithdrawProjectRequest,
        lambda _, __: {"reason": "虚构"},
    ),
    "appoint_verifier": ("project_steps.appoint", registers_pb2.AppointProjectVerifierRequest, _verifier),
    "file_reports": (
        "project_steps.file_reports",
        registers_pb2.FileProjectReportsRequest,
        lambda _, good: {"documents": REPORTS if good else []},
    ),
    "review": ("project_steps.review", registers_pb2.ReviewProjectRequest, lambda _, good: {"passed": good}),
    "object": (
        "project_steps.object_to",
        registers_pb2.ObjectToProjectRequest,
        lambda _, __: {"text": "虚构"},
    ),
    "answer_objection": (
        "project_steps.answer",
        registers_pb2.AnswerProjectObjectionRequest,
        lambda _, good: {"number": 1, "answer": "虚构", "upheld": not good},
    ),
    "validate_data": (
        "scene_office.scenes.validate_data",
        scenes_pb2.ValidateSceneDataRequest,
        lambda _, __: {"test_record": scene_office.TEST_RECORD},
    ),
    "connect": (
        "scene_office.scenes.connect",
        scenes_pb2.ConnectSceneRequest,
        lambda _, good: {"information_system": "x" if good else ""},
    ),
    "issue": ("issuances.issue_units", registers_pb2.IssueUnitsRequest, _issue),
}
"""Events that one request takes: of which service, and what the request says."""
WORDS: Final = sorted(
    {
        *STEPS,
        *("data", "authorise", "suspend", "resume", "end"),
        *(f"sign:{word}" for word in ("assess", "publish", "authorise", "suspend", "resume", "end")),
    }
)
LONG_SECONDS_MAX: Final = 900
STEPS_OF_WALK: Final = 16
MOVES: Final = st.tuples(
    st.integers(0, 3).map(lambda drawn: drawn == 3), st.integers(0, 99), st.integers(0, 99), st.integers(0, 3)
)
"""Whether it is a detour, which operation, by whom, and how good its file is."""
EXTRA: Final = ("data", "issue", "authorise")
"""Operations that are no event of the machine."""
LEAVING: Final = ("withdraw", "reject", "end")
"""Events after which little can follow: they are tried less often."""
BY_BRIDGE: Final = {"hold"}
"""Events that no request takes: the bridge leaves a claim to a person."""


def machine_name(region: str, state: int) -> str:
    """The name that the pack's machine has for a state of the wire."""
    name = registers_pb2.ProjectState.Name(state).removeprefix("PROJECT_STATE_")  # type: ignore[arg-type]
    if region != "440300":
        return name
    return {wire: machine for machine, wire in MACHINE_STATES.items()}.get(name, name)


SH: Final = {
    "submit": "sh.project_applicant",
    "withdraw": "sh.project_applicant",
    "data": "sh.project_applicant",
    **dict.fromkeys(("assess", "open_notice", "publish", "object", "answer_objection", "issue"), "sh.centre"),
    **dict.fromkeys(("validate_data", "connect", "authorise", "suspend", "resume", "end"), "sh.centre"),
}
SCENE: Final = {**SH, **dict.fromkeys(("submit", "withdraw", "data"), "sh.scene_body")}
SZ: Final = {
    **dict.fromkeys(("submit", "withdraw", "data"), "sz.sme"),
    **dict.fromkeys(("appoint_verifier", "review", "publish", "issue"), "sz.bureau"),
    "assess": "sz.expert",
    "file_reports": "sz.third_party",
}
PROJECT: Final = registers_pb2.PROJECT_ORIGIN_PROJECT
CASES: Final = {
    "SH_project": (SHANGHAI, PROJECT, 3, SH),
    "SH_scene": (SHANGHAI, registers_pb2.PROJECT_ORIGIN_REDUCTION_SCENE, 3, SCENE),
    "SZ_small_enterprise": (SHENZHEN, PROJECT, 4, SZ),
    "SZ_operator": (SHENZHEN, PROJECT, 6, {**SZ, "submit": "sz.data_operator"}),
    "YN": (YUNNAN, PROJECT, 3, {}),
}


@dataclass
class Ground:
    """A node of a region with its methodologies published, and the machine that its pack has."""

    office: Office
    network: NetworkOfTest
    pack: RulePack
    machine: Lifecycle | None
    origin: int
    bodies: dict[str, str]
    reached: set[str] = field(default_factory=set)

    def walk(self, moves: list[tuple[bool, int, int, int]]) -> None:
        """Take one project or scene through the moves; its history must be a way of the machine."""
        player = Player(
            self.office, self.pack.region, self.origin, f"P-{next(_numbers)}", self.network, self.bodies
        )
        roles = sorted(self.pack.data.roles.roles)
        if self.machine is None:  # no machine for projects: none can come to be
            for word in WORDS:
                player.take(word, roles[moves[0][2] % len(roles)], good=True)
            assert player.state() == BEFORE
            return
        player.play(moves, roles, self.machine)
        assert not player.unexpected, player.unexpected
        with self.office.node.region.database.reading() as connection:
            row = store.load_project(connection, player.project_id)
        if row is None:
            return
        walked = [BEFORE, *(machine_name(self.pack.region, one.state) for one in row.project.history)]
        edges = {(edge.state, edge.to) for edge in self.machine.transitions}
        strange = [
            step
            for step in pairwise(walked)
            if step not in edges and (step[0] != step[1] or self.origin == PROJECT)
        ]
        assert not strange, walked
        assert walked[-1] == machine_name(self.pack.region, row.project.state)
        self.reached.update(walked)


@pytest.fixture
def ground(case: str, make_node: MakeNode, bridge: ClaimBridge, network: NetworkOfTest) -> Ground:
    """The region of the case."""
    party, origin, account_kind, bodies = CASES[case]
    assert bridge.server is not None
    node = make_node(party, bridge.server.address)
    office = Office(node, node.open_account(kind=account_kind).account_id)
    office.office.issuances._receipt_seconds = 0.0
    pack = node.context.pack(office.today)
    if party == SHANGHAI:
        office.publish_methodology(BUREAU)
        office.publish_methodology(
            BUREAU,
            methodology_id=scene_office.METRO,
            kind=registers_pb2.METHODOLOGY_KIND_SCENE,
            unit_class="II",
            quantification="travel",
        )
    elif party == SHENZHEN:
        request = sz_methodology()
        office.office.methodologies.publish(ask(request, SZ_BUREAU), request)
    if account_kind == KIND_DATA_OPERATOR:
        consents = Consents(node.context, node.region.database, submit_to(node.region.writer))
        given_to = [given_by(office.owner, "M-1", kind) for kind in (MANDATE, CONSENT)]
        told = consents_pb2.RecordConsentsRequest(request_id=fresh(), consents=given_to)
        consents.record(ask(told, By("operator/440300/sz.data_operator", "sz.data_operator")), told)
    with node.region.database.reading() as connection:
        account = load_accounts(connection, [office.owner])[office.owner]
    return Ground(office, network, pack, machine_of(pack, account, origin), origin, bodies)


def wander(ground: Ground, walks: int, *, derandomize: bool) -> None:
    """Take so many walks. They share a node: a failing one is not made smaller, it would not fail again."""

    @settings(
        max_examples=walks,
        deadline=None,
        derandomize=derandomize,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(moves=st.lists(MOVES, min_size=STEPS_OF_WALK, max_size=STEPS_OF_WALK))
    def drive(moves: list[tuple[bool, int, int, int]]) -> None:
        ground.walk(moves)

    drive()


@pytest.mark.timeout(LONG_SECONDS_MAX)
@pytest.mark.parametrize("case", sorted(CASES))
def test_no_operation_leaves_the_machine_of_projects_and_scenes(ground: Ground) -> None:
    wander(ground, 5, derandomize=True)
    assert ground.machine is None or "SUBMITTED" in ground.reached


@pytest.mark.long
@pytest.mark.timeout(LONG_SECONDS_MAX)
@pytest.mark.parametrize("case", sorted(CASES))
def test_no_random_walk_leaves_the_machine_either(ground: Ground) -> None:
    wander(ground, 40, derandomize=False)
    assert ground.machine is None or "SUBMITTED" in ground.reached
