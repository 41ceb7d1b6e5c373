"""Methodologies, norms, scenes and bodies over gRPC, each step by the certificate of the body that may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from tanqiao.api.region.v1 import dossiers_pb2, journal_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import By
from tanqiao_region.application.fsck import check_database
from tanqiao_region.application.group import Group
from tanqiao_region.domain.panel_draw import Candidate, drawn_again
from tanqiao_region.storage.dossiers import DossierRow, update_dossier
from tanqiao_region.storage.registers import end_methodology
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN
from tests.contract.region.served import full_network
from tests.contract.region_registers.office import Office, ask, request_id
from tests.contract.region_registers.wire import (
    BEHAVIOUR,
    METHODOLOGY,
    NORM,
    OPERATOR,
    PROVIDER,
    SCENE,
    THIRD_PARTY,
    Wire,
    committed,
)

NUMBER = "SZ-PHCER-2026-01"
FILE: dict[str, Any] = {
    "field": "energy",
    "authors": ["虚构研究院 invented institute"],
    "documents": [
        registers_pb2.ProjectDocument(kind=kind, name=kind)
        for kind in ("application_form", "methodology_text", "compilation_notes")
    ],
    "parts": [
        "baseline_scenario",
        "reduction_scenario",
        "computation",
        "applicability",
        "inclusiveness",
        "additionality",
    ],
    "methodology_kind": registers_pb2.METHODOLOGY_KIND_PROJECT,
    "quantification": "distributed_pv",
}
SHARES = {"sz.holder": b"applicant's share, 01", "sz.bureau": b"the bureau's share, 02"}
SH_NUMBER = "SHCER01010012024I"
SH_FILE: dict[str, Any] = {
    "parts": ["baseline", "additionality", "computation", "monitoring_plan"],
    "methodology_kind": registers_pb2.METHODOLOGY_KIND_PROJECT,
    "unit_class": "I",
    "quantification": "distributed_pv",
}

ServeRegion = Callable[[str], Wire]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def serve(network: NetworkOfTest, make_node: MakeNode) -> Iterator[ServeRegion]:
    """Serves a region's node without a bridge."""
    wires: list[Wire] = []

    def make(party: str) -> Wire:
        node = make_node(party)
        node.region.server.start()
        wires.append(Wire(network, node))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


def refused(symbol: str, call: Callable[..., Any], *positional: Any, **values: Any) -> DomainError:
    """Demand a refusal of this symbol."""
    with pytest.raises(DomainError) as caught:
        call(*positional, **values)
    assert caught.value.symbol == symbol, str(caught.value)
    return caught.value


def appoint(wire: Wire, *expert_ids: str, **values: Any) -> None:
    """Appoint experts for the field of energy."""
    for expert_id in expert_ids:
        fields = {
            "name": f"专家 {expert_id}",
            "fields": ["energy"],
            "employer": "虚构大学 invented university",
            "appoint_date": wire_date(date(2026, 1, 1)),
            **values,
        }
        wire.expert("sz.bureau", expert_id, **fields)


def drawn(wire: Wire) -> Any:
    """A methodology in Shenzhen up to its panel: the pool is frozen, then the shares are revealed."""
    appoint(wire, "E-1", "E-2", "E-3", "E-4", "E-5")
    appoint(wire, "E-6", employer=FILE["authors"][0])
    wire.open("sz.holder", METHODOLOGY, NUMBER, **FILE)
    wire.step("sz.holder", METHODOLOGY, NUMBER, "submit")
    for role, share in SHARES.items():
        wire.share(role, NUMBER, commitment=committed(share))
    for role, share in SHARES.items():
        wire.share(role, NUMBER, share=share)
    return wire.step("sz.bureau", METHODOLOGY, NUMBER, "draw_panel")


def held_again(panel: Any) -> tuple[str, ...]:
    """Hold the draw again, as anybody can who has the dossier; the panel that comes out."""
    candidates = [
        Candidate(one.expert_id, frozenset(one.fields), one.excluded_because) for one in panel.candidates
    ]
    eligible, members = drawn_again(candidates, panel.field, panel.seed, panel.wanted)
    assert eligible == sum(1 for one in panel.candidates if not one.excluded_because)
    return tuple(members)


def test_SZ_11_a_methodology_goes_from_its_draft_through_a_draw_to_the_register(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    dossier = drawn(wire)
    assert dossier.state == "UNDER_ASSESSMENT"
    panel = dossier.panel
    assert (len(panel.members), panel.wanted, len(panel.reserves)) == (3, 3, 2)
    assert held_again(panel) == tuple(panel.members)
    excluded = {one.expert_id: one.excluded_because for one in panel.candidates if one.excluded_because}
    assert excluded == {"E-6": "编制单位雇员 employed by the author"}
    refused("STATE_NOT_ALLOWED", wire.step, "sz.bureau", METHODOLOGY, NUMBER, "publish")
    wire.step("sz.expert", METHODOLOGY, NUMBER, "pass_assessment", assessors=list(panel.members))
    refused("ROLE_NOT_PERMITTED", wire.step, "sz.platform_operator", METHODOLOGY, NUMBER, "publish")
    published = wire.step("sz.bureau", METHODOLOGY, NUMBER, "publish")
    assert published.state == "PUBLISHED"
    listed = wire.role("reader/national").registers.ListMethodologies(
        registers_pb2.ListMethodologiesRequest()
    )
    assert [one.methodology_id for one in listed.methodologies] == [NUMBER]
    steps = wire.history("reader/national", METHODOLOGY, NUMBER)
    assert [step.event for step in steps] == ["open", "submit", "draw_panel", "pass_assessment", "publish"]
    assert "SZ-11b" in steps[-1].rule_ids
    shown = wire.role("reader/national").dossiers.GetDossier(
        dossiers_pb2.GetDossierRequest(kind=METHODOLOGY, dossier_id=NUMBER)
    )
    assert not shown.dossier.documents
    assert not shown.dossier.panel.members
    stopped = wire.step("sz.bureau", METHODOLOGY, NUMBER, "stop", reason="虚构 no longer sound")
    assert (stopped.state, stopped.state_reason) == ("STOPPED", "虚构 no longer sound")
    entries = wire.role("reader/national").journal.ListJournal(
        journal_pb2.ListJournalRequest(from_index=1, page_size=100)
    )
    events = [one.details["event"] for one in entries.entries if one.subject_id == f"methodology:{NUMBER}"]
    assert events == ["open", "submit", "draw_panel", "pass_assessment", "publish", "stop"]


def test_fsck_holds_every_draw_again_and_walks_every_history(
    serve: ServeRegion, network: NetworkOfTest
) -> None:
    wire = serve(SHENZHEN)
    message = drawn(wire)
    database, federation = wire.node.region.database, network.network.federation
    report = check_database(database, federation)
    assert (report.findings, report.checked["dossiers"]) == ([], 1)

    def change(*, members: list[str], state: str) -> list[str]:
        message.panel.members[:] = members
        message.state = state

        def work(group: Group) -> None:
            update_dossier(group.connection, DossierRow(message, "operator/440300/sz.holder", 3))

        wire.node.run(work)
        return check_database(database, federation).findings

    chosen = [*message.panel.members[1:], message.panel.reserves[0]]
    assert change(members=chosen, state="UNDER_ASSESSMENT") == [
        f"dossier {NUMBER}: its panel does not come out of its draw"
    ]
    assert f"dossier {NUMBER} is not in the state that its history gives" in change(
        members=chosen, state="ASSESSED_PASS"
    )


def test_SZ_11a_no_draw_before_both_shares_and_none_shrinks(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    appoint(wire, "E-1", "E-2")
    appoint(wire, "E-3", interests=FILE["authors"])
    appoint(wire, "E-4", suspended=True)
    appoint(wire, "E-5", end_date=wire_date(date(2026, 2, 1)))
    wire.open("sz.holder", METHODOLOGY, NUMBER, **FILE)
    refused("STATE_NOT_ALLOWED", wire.share, "sz.holder", NUMBER, commitment=bytes(32))
    wire.step("sz.holder", METHODOLOGY, NUMBER, "submit")
    refused("EXPERT_DRAW_MISSING", wire.step, "sz.bureau", METHODOLOGY, NUMBER, "draw_panel")
    wire.share("sz.holder", NUMBER, commitment=committed(SHARES["sz.holder"]))
    refused("FIELD_INVALID", wire.share, "sz.holder", NUMBER, share=SHARES["sz.holder"])
    refused("ALREADY_EXISTS", wire.share, "sz.holder", NUMBER, commitment=bytes(32))
    refused("ROLE_NOT_PERMITTED", wire.share, "sz.expert", NUMBER, commitment=bytes(32))
    frozen = wire.share("sz.bureau", NUMBER, commitment=committed(SHARES["sz.bureau"]))
    reasons = {one.expert_id: one.excluded_because for one in frozen.panel.candidates}
    assert reasons["E-3"].startswith("申报利益")
    assert reasons["E-4"] == reasons["E-5"] == "不在任期 not in office"
    refused("FIELD_INVALID", wire.share, "sz.bureau", NUMBER, share=b"another share entirely")
    for role, share in SHARES.items():
        wire.share(role, NUMBER, share=share)
    short = refused("EXPERT_DRAW_MISSING", wire.step, "sz.bureau", METHODOLOGY, NUMBER, "draw_panel")
    assert (short.metadata["n"], short.metadata["m"]) == ("3", "2")


def test_SZ_10b_an_incomplete_file_is_refused_with_its_article_in_both_languages(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    wire.open("sz.holder", METHODOLOGY, NUMBER, **{**FILE, "documents": FILE["documents"][:2]})
    refusal = refused("APPLICATION_INCOMPLETE", wire.step, "sz.holder", METHODOLOGY, NUMBER, "submit")
    assert "compilation_notes" in str(refusal.metadata)
    assert "第十条" in refusal.sentence_with_article("zh")
    assert "Art. 10" in refusal.sentence_with_article("en")
    refused("ROLE_NOT_PERMITTED", wire.step, "sz.sme", METHODOLOGY, NUMBER, "submit")


def test_SZ_13b_a_norm_is_registered_by_department_and_bureau_and_SZ_14b_labels_a_scene(
    serve: ServeRegion,
) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account().account_id
    wire.open("sz.counterpart_department", NORM, "NORM-1", field="catering")
    wire.step("sz.counterpart_department", NORM, "NORM-1", "assess", passed=True, assessors=["F-1"])
    alone = refused("SECOND_SIGNATURE_MISSING", wire.step, "sz.bureau", NORM, "NORM-1", "register")
    assert "counterpart department" in alone.sentence("en")
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sz.counterpart_department", NORM, "NORM-1", "register")
    appoint(wire, "E-1", "E-2")
    wire.open("sz.scene_unit", SCENE, "SCENE-1", account_id=owner, field="energy")
    refused(
        "NOT_FOUND",
        wire.step,
        "sz.counterpart_department",
        SCENE,
        "SCENE-1",
        "evaluate",
        norm_id="NORM-1",
        passed=True,
        assessors=["E-1"],
    )
    signed = wire.sign("sz.counterpart_department", NORM, "NORM-1", "register")
    assert list(signed.signed_by) == ["sz.counterpart_department"]
    # A changed file voids the signature (RULES section 7.3): a document that the department has not seen.
    late = registers_pb2.ProjectDocument(kind="annex", name="另附 annex")
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sz.bureau", NORM, "NORM-1", "register", documents=[late])
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sz.bureau", NORM, "NORM-1", "register")
    both = wire.sign("sz.bureau", NORM, "NORM-1", "register")
    assert list(both.signed_by) == ["sz.bureau", "sz.counterpart_department"]
    norm = wire.step("sz.bureau", NORM, "NORM-1", "register")
    assert norm.state == "PUBLISHED"
    assert list(wire.history("sz.bureau", NORM, "NORM-1")[-1].signed_by) == [
        "sz.bureau",
        "sz.counterpart_department",
    ]
    evaluation = {"norm_id": "NORM-1", "passed": True}
    by = "sz.counterpart_department"
    outside = refused(
        "ASSESSMENT_NOT_PASSED", wire.step, by, SCENE, "SCENE-1", "evaluate", assessors=["X-9"], **evaluation
    )
    assert "X-9" in str(outside.metadata)
    refused("STATE_NOT_ALLOWED", wire.step, "sz.bureau", SCENE, "SCENE-1", "label", label_number="L-1")
    wire.step(by, SCENE, "SCENE-1", "evaluate", assessors=["E-1", "E-2"], **evaluation)
    refused("ROLE_NOT_PERMITTED", wire.step, by, SCENE, "SCENE-1", "label", label_number="L-1")
    labelled = wire.step("sz.bureau", SCENE, "SCENE-1", "label", label_number="L-1")
    assert (labelled.state, labelled.norm_id, labelled.label_number) == ("ON_PLATFORM", "NORM-1", "L-1")
    for event, state in (("suspend", "SUSPENDED"), ("resume", "ON_PLATFORM"), ("delabel", "DELABELLED")):
        assert wire.step(by, SCENE, "SCENE-1", event, reason="虚构 review").state == state
    listed = wire.role("reader/national").dossiers.ListDossiers(dossiers_pb2.ListDossiersRequest(kind=SCENE))
    assert [(one.dossier_id, one.label_number, one.account_id) for one in listed.dossiers] == [
        ("SCENE-1", "L-1", "")
    ]


def test_SH_11_a_methodology_is_assessed_and_consulted_in_either_order(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    wire.open("sh.technical_body", METHODOLOGY, SH_NUMBER, **SH_FILE)
    hidden = dossiers_pb2.GetDossierRequest(kind=METHODOLOGY, dossier_id=SH_NUMBER)
    refused("NOT_FOUND", wire.role("reader/national").dossiers.GetDossier, hidden)
    running = registers_pb2.PublicConsultation(
        first_day=wire_date(date(2026, 2, 10)), last_day=wire_date(date(2026, 3, 20)), comments_answered=True
    )
    refused(
        "CONSULTATION_NOT_HELD",
        wire.step,
        "sh.centre",
        METHODOLOGY,
        SH_NUMBER,
        "close_consultation",
        consultation=running,
    )
    held = registers_pb2.PublicConsultation(
        first_day=wire_date(date(2026, 1, 12)), last_day=wire_date(date(2026, 2, 15)), comments_answered=True
    )
    wire.step("sh.centre", METHODOLOGY, SH_NUMBER, "close_consultation", consultation=held)
    wire.step("sh.centre", METHODOLOGY, SH_NUMBER, "pass_assessment", assessors=["E-1"])
    refused("ROLE_NOT_PERMITTED", wire.step, "sh.centre", METHODOLOGY, SH_NUMBER, "publish")
    assert wire.step("sh.bureau", METHODOLOGY, SH_NUMBER, "publish").state == "PUBLISHED"
    wire.step("sh.holder", METHODOLOGY, SH_NUMBER, "request_revision", reason="虚构 factor is old")
    wire.step("sh.bureau", METHODOLOGY, SH_NUMBER, "keep", reason="虚构 still sound")
    wire.step("sh.bureau", METHODOLOGY, SH_NUMBER, "review", reason="SH-8b")
    assert wire.step("sh.bureau", METHODOLOGY, SH_NUMBER, "revise", reason="虚构").state == "SUPERSEDED"
    listed = wire.role("sh.bureau").registers.ListMethodologies(registers_pb2.ListMethodologiesRequest())
    assert listed.methodologies[0].supersede_date == wire_date(date(2026, 3, 2))


def test_SH_5c_a_behaviour_scene_is_decided_by_two_and_SH_10_yields_experience_values_alone(
    serve: ServeRegion,
) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    wire.open("sh.scene_body", BEHAVIOUR, "WALK-1", account_id=owner)
    ruled = {"rule_text": "步行一千步记一分 1,000 steps, one value", "yields": "experience_value"}
    units = {**ruled, "yields": "units"}
    wrong = refused(
        "SECOND_SIGNATURE_MISSING", wire.sign, "sh.exchange", BEHAVIOUR, "WALK-1", "rule", **units
    )
    assert "SH-10:BEHAVIOUR_SCENE_ISSUES_NO_UNITS" in wrong.metadata["other_refusals"]
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sh.centre", BEHAVIOUR, "WALK-1", "rule", **ruled)
    wire.sign("sh.exchange", BEHAVIOUR, "WALK-1", "rule", **ruled)
    wire.sign("sh.centre", BEHAVIOUR, "WALK-1", "rule", **ruled)
    assert wire.step("sh.centre", BEHAVIOUR, "WALK-1", "rule", **ruled).state == "RULED"
    # The signature stood over that decision and over no other.
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sh.centre", BEHAVIOUR, "WALK-1", "activate")
    wire.sign("sh.centre", BEHAVIOUR, "WALK-1", "activate")
    refused("SECOND_SIGNATURE_MISSING", wire.step, "sh.exchange", BEHAVIOUR, "WALK-1", "activate")
    wire.sign("sh.exchange", BEHAVIOUR, "WALK-1", "activate")
    active = wire.step("sh.exchange", BEHAVIOUR, "WALK-1", "activate")
    assert (active.state, active.yields) == ("ACTIVE", "experience_value")
    refused("FIELD_INVALID", wire.sign, "sh.centre", BEHAVIOUR, "WALK-1", "review", reason="SH-8b")
    refused("ROLE_NOT_PERMITTED", wire.sign, "sh.bureau", BEHAVIOUR, "WALK-1", "end", reason="虚构")


def test_bodies_are_registered_suspended_and_leave(serve: ServeRegion) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=6).account_id
    wire.open("sz.data_operator", OPERATOR, "OP-1", account_id=owner)
    works = {"has_personal_accounts": True, "records_behaviour": True, "fields_of_work": ["travel"]}
    refused("DECLARATION_MISSING", wire.step, "sz.bureau", OPERATOR, "OP-1", "register", **works)
    declaration = registers_pb2.ProjectDocument(kind="no_profit_declaration", name="声明 declaration")
    works["documents"] = [declaration]
    assert wire.step("sz.bureau", OPERATOR, "OP-1", "register", **works).state == "REGISTERED"
    assert wire.step("sz.bureau", OPERATOR, "OP-1", "suspend", reason="虚构").state == "SUSPENDED"
    wire.open("sz.bureau", THIRD_PARTY, "V-1", title="虚构核查机构 invented verifier")
    wire.step("sz.bureau", THIRD_PARTY, "V-1", "suspend", reason="SZ-30")
    refused("ROLE_NOT_PERMITTED", wire.step, "sz.sme", THIRD_PARTY, "V-1", "resume", reason="x")
    assert wire.step("sz.bureau", THIRD_PARTY, "V-1", "resume", reason="虚构").state == "QUALIFIED"


def test_a_rights_provider_is_admitted_by_the_exchange_and_leaves_by_itself(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    wire.open("sh.rights_provider", PROVIDER, "P-1", account_id=owner)
    refused("ROLE_NOT_PERMITTED", wire.step, "sh.centre", PROVIDER, "P-1", "admit")
    assert wire.step("sh.exchange", PROVIDER, "P-1", "admit").state == "ADMITTED"
    refused("ROLE_NOT_PERMITTED", wire.step, "sh.exchange", PROVIDER, "P-1", "leave", reason="x")
    assert wire.step("sh.rights_provider", PROVIDER, "P-1", "leave", reason="虚构").state == "LEFT"


def test_nobody_applies_for_an_account_of_another(shanghai: Office) -> None:
    given = dossiers_pb2.Dossier(
        kind=PROVIDER, dossier_id="P-1", title="虚构 invented", account_id=shanghai.owner
    )
    request = dossiers_pb2.OpenDossierRequest(request_id=request_id(), dossier=given)
    stranger = By("holder/310000/sh.rights_provider/other", "sh.rights_provider")
    refused("ACCOUNT_OF_ANOTHER", shanghai.office.dossiers.open, ask(request, stranger), request)


def test_a_region_without_such_a_register_says_which_it_has(serve: ServeRegion) -> None:
    wire = serve(YUNNAN)
    refusal = refused("FIELD_INVALID", wire.open, "yn.epd", SCENE, "S-1")
    assert "methodology" in str(refusal.metadata)


def test_the_pool_is_public_where_the_text_publishes_it(serve: ServeRegion) -> None:
    shenzhen, shanghai = serve(SHENZHEN), serve(SHANGHAI)
    appoint(shenzhen, "E-1", interests=["虚构公司"])
    values = {"name": "专家", "fields": ["energy"], "appoint_date": wire_date(date(2026, 1, 1))}
    shanghai.expert("sh.bureau", "E-1", **values)
    refused("ROLE_NOT_PERMITTED", shanghai.expert, "sh.centre", "E-2", **values)
    asked = dossiers_pb2.ListExpertsRequest()
    shown = shenzhen.role("reader/national").dossiers.ListExperts(asked).experts
    assert [(one.expert_id, list(one.interests)) for one in shown] == [("E-1", [])]
    assert not shanghai.role("reader/national").dossiers.ListExperts(asked).experts
    assert len(shanghai.role("sh.bureau").dossiers.ListExperts(asked).experts) == 1


def test_a_superseded_methodology_takes_no_new_project_and_a_stopped_one_none(shanghai: Office) -> None:
    office = shanghai
    office.publish_methodology()
    office.submit()

    def end(*, running_projects_keep_it: bool) -> None:
        def work(group: Group) -> None:
            end_methodology(
                group.connection,
                SH_NUMBER,
                "2026-03-02",
                running_projects_keep_it=running_projects_keep_it,
            )

        office.node.run(work)

    end(running_projects_keep_it=True)
    refused("METHODOLOGY_NOT_PUBLISHED", office.submit, project_id="PV-INVENTED-2", code="PV0100310115002")
    assert office.assess().state == registers_pb2.PROJECT_STATE_ASSESSED
    end(running_projects_keep_it=False)
    refused("METHODOLOGY_NOT_PUBLISHED", office.submit, project_id="PV-INVENTED-3", code="PV0100310115003")
