"""Random operations through each pack: whatever is tried, every dossier stands in a published state."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossier_acts import KINDS_OF_DOSSIER
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tanqiao_region.storage import dossiers as store
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN, Node
from tests.contract.region_registers.office import ask, request_id

EXPECTED = {
    "STATE_NOT_ALLOWED",
    "ROLE_NOT_PERMITTED",
    "SELF_APPROVAL_FORBIDDEN",
    "SECOND_SIGNATURE_MISSING",
    "FIELD_INVALID",
    "FIELD_MISSING",
    "NOT_FOUND",
    "APPLICATION_INCOMPLETE",
    "ASSESSMENT_NOT_PASSED",
    "BEHAVIOUR_SCENE_ISSUES_NO_UNITS",
    "CONSULTATION_NOT_HELD",
    "DECLARATION_MISSING",
    "EXPERT_DRAW_MISSING",
    "PARTICIPANT_TYPE_NOT_ALLOWED",
}
"""Reasons that a step may be refused with; anything else is a fault."""
EVENTS = sorted({event for kind in KINDS_OF_DOSSIER.values() for event in kind.events})
_numbers = itertools.count(1)


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machines know nothing of it."""
    return "sqlite"


def evidence(node: Node, *, good: bool) -> dossiers_pb2.StepEvidence:
    """What a step could bring: everything, or nothing but a reason."""
    if not good:
        return dossiers_pb2.StepEvidence(reason="虚构 invented")
    today = node.context.now().date()
    return dossiers_pb2.StepEvidence(
        passed=True,
        assessors=["E-1"],
        reason="虚构 invented",
        consultation=registers_pb2.PublicConsultation(
            first_day=wire_date(today.replace(month=1, day=5)),
            last_day=wire_date(today.replace(month=2, day=20)),
            comments_answered=True,
        ),
        norm_id="NORM-1",
        label_number="L-1",
        rule_text="步数 steps",
        yields="experience_value",
        has_personal_accounts=True,
        records_behaviour=True,
        fields_of_work=["travel"],
        documents=[registers_pb2.ProjectDocument(kind="no_profit_declaration", name="声明")],
    )


def dossier(kind: int, dossier_id: str, account_id: str) -> dossiers_pb2.Dossier:
    """A complete file for every region."""
    return dossiers_pb2.Dossier(
        kind=kind,  # type: ignore[arg-type]  # numbers of the enumeration
        dossier_id=dossier_id,
        title="虚构 invented",
        account_id=account_id,
        field="energy",
        documents=[
            registers_pb2.ProjectDocument(kind=one, name=one)
            for one in ("application_form", "methodology_text", "compilation_notes")
        ],
        parts=[
            *("baseline", "baseline_scenario", "reduction_scenario", "computation"),
            *("applicability", "inclusiveness", "additionality", "monitoring_plan"),
        ],
        methodology_kind=registers_pb2.METHODOLOGY_KIND_PROJECT,
        unit_class="I" if dossier_id.endswith("I") else "",
        quantification="distributed_pv",
        invented=True,
    )


def sign(
    network: NetworkOfTest,
    node: Node,
    attempt: Callable[[Any, Any, str], bool],
    values: dict[str, Any],
    role: str,
) -> None:
    """Sign with the body's own key, as far as it has one and the rules would let it decide."""
    code = node.party.removeprefix("region/")
    dossiers: Any = node.region.office.dossiers
    by = By(f"operator/{code}/{role}", role)
    asking = dossiers_pb2.SignStepRequest(request_id=request_id(), validate_only=True, **values)
    region = next(one for one in network.network.plan.regions if one.code == code)
    if not attempt(dossiers.sign_step, asking, role) or role not in region.signing_roles:
        return
    to_sign = dossiers.sign_step(ask(asking, by), asking).to_sign
    statement = network.decision(to_sign, (by.party, 1))
    signed = dossiers_pb2.SignStepRequest(request_id=request_id(), statement=statement, **values)
    assert role in dossiers.sign_step(ask(signed, by), signed).signed_by


@pytest.mark.parametrize("party", [SHANGHAI, SHENZHEN, YUNNAN])
def test_no_operation_leaves_the_published_state_machines(
    party: str, make_node: MakeNode, network: NetworkOfTest
) -> None:
    node = make_node(party)
    account_id = node.open_account().account_id
    pack = node.context.pack(node.context.now().date())
    roles = sorted(pack.data.roles.roles)
    machines = {
        kind: pack.data.lifecycles[one.machine]
        for kind, one in KINDS_OF_DOSSIER.items()
        if one.machine in pack.data.lifecycles
    }
    dossiers: Any = node.region.office.dossiers
    unexpected: set[str] = set()

    def attempt(call: Any, request: Any, role: str) -> bool:
        by = By(f"operator/{pack.region}/{role}", role)
        try:
            call(ask(request, by), request)
        except DomainError as refusal:
            unexpected.update({refusal.symbol} - EXPECTED)
            return False
        return True

    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def drive(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(sorted(machines)))
        machine = machines[kind]
        dossier_id = f"SHCER0101001202{next(_numbers)}I"
        state, steps = BEFORE, 0
        for role in data.draw(st.permutations(roles)):
            request = dossiers_pb2.OpenDossierRequest(
                request_id=request_id(), dossier=dossier(kind, dossier_id, account_id)
            )
            if attempt(dossiers.open, request, role):
                state, steps = next(edge.to for edge in machine.transitions if edge.state == BEFORE), 1
                break
        operations = st.tuples(
            st.sampled_from(EVENTS) | st.sampled_from(sorted(machine.events)),
            st.sampled_from(roles),
            st.booleans(),
            st.booleans(),
        )
        for event, role, good, signing in data.draw(st.lists(operations, max_size=24)) if steps else []:
            values: dict[str, Any] = {
                "kind": kind,
                "dossier_id": dossier_id,
                "event": event,
                "evidence": evidence(node, good=good),
            }
            if signing:
                sign(network, node, attempt, values, role)
            step: Any = dossiers_pb2.TakeStepRequest(request_id=request_id(), **values)
            taken = not signing and attempt(dossiers.take_step, step, role)
            if taken:
                state, steps = machine.step(state, event).to, steps + 1
        with node.region.database.reading() as connection:
            row = store.load_dossier(connection, kind, dossier_id)
            history = store.list_steps(connection, kind, dossier_id, after=0, limit=100)
        if not steps:
            assert row is None
            return
        assert row is not None
        assert row.message.state == state
        assert state in machine.states
        assert [one.step_number for one in history] == list(range(1, steps + 1))
        walked = BEFORE
        for one in history:
            assert one.from_state == walked
            walked = machine.step(walked, one.event).to
            assert one.to_state == walked

    drive()
    assert not unexpected
