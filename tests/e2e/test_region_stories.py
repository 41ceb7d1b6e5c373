"""Stories of RULES section 17 inside one region, and the one without an agreement: real nodes, all over gRPC.

Stories 2, 13 and 16 stand in `test_stories`; 4 and 9 are of points. Each is tried on both databases, at a
real bridge; what a story needs (accounts, units, days that pass) comes over the API too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, Final

import pytest
from click.testing import CliRunner

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import (
    accounts_pb2,
    disclosure_pb2,
    journal_pb2,
    ledger_pb2,
    parameters_pb2,
    registers_pb2,
    scenes_pb2,
)
from tanqiao.cli.local.members import MEMBERS
from tanqiao.cli.main import main
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import wire_date, wire_period
from tanqiao.signing.provision import build_recognition_record
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN
from tests.contract.region.served import full_network
from tests.contract.region_registers import scene_office as scene
from tests.contract.region_registers import test_dossiers as dossiers
from tests.contract.region_registers import test_scenes as scenes
from tests.contract.region_registers import test_whole_lives as lives
from tests.contract.region_registers.approvals import approve_issuance, approve_parameter
from tests.contract.region_registers.office import (
    PROJECT,
    methodology_request,
    month,
    project_request,
    request_id,
)
from tests.contract.region_registers.operator_office import give, travel_project
from tests.contract.region_registers.test_project_tracks import call, refused, turn_to
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, sz_methodology
from tests.contract.region_registers.wire import METHODOLOGY, Wire
from tests.e2e.remote import Remote, Served, served, until

pytestmark = pytest.mark.timeout(300)
KIND_PERSON, KIND_DATA_OPERATOR, KIND_COVERED_EMITTER = 5, 6, 8
EMITTER: Final = "sz.covered_emitter"
LAST_DAY: Final = timedelta(days=1)
UNIT: Final = 1000
"""Kilograms of a tonne."""


@pytest.fixture(  # type: ignore[no-redef]  # instead of the usual one
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.long])]
)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of database; the slower one beside the long tests."""
    return str(request.param)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def federation(network: NetworkOfTest, database_maker: DatabaseMaker, database_kind: str) -> Iterator[Served]:
    """A bridge, and regions as they are asked for."""
    with served(network, database_maker, database_kind) as made:
        yield made


def refusal_of(symbol: str, act: Callable[[], Any], article: str) -> DomainError:
    """Demand a refusal with its article in both languages."""
    with pytest.raises(DomainError) as caught:
        act()
    refusal = caught.value
    assert refusal.symbol == symbol, str(refusal)
    assert article in refusal.sentence_with_article("zh")
    assert "Art" in refusal.sentence_with_article("en")
    return refusal


def remote_of(wire: Wire) -> Remote:
    """The node behind the clients, as far as they know it."""
    found: Any = wire.node
    assert isinstance(found, Remote)
    return found


def listed(wire: Wire, slug: str) -> list[dict[str, str]]:
    """A public list, as anybody reads it."""
    request = disclosure_pb2.ReadDisclosureRequest(slug=slug)
    page = wire.role("reader/national").disclosure.ReadDisclosure(request)
    return [dict(zip(page.disclosure.fields, row.values, strict=True)) for row in page.rows]


def published_project(wire: Wire, owner: str) -> None:
    """Walk an invented plant of Shanghai through its notice."""
    wire.role("sh.bureau").registers.PublishMethodology(methodology_request())
    wire.role("sh.project_applicant").registers.SubmitProject(project_request(owner))
    call(wire, "sh.centre", "AssessProject", passed=True)
    last = call(wire, "sh.centre", "OpenProjectNotice").project.notice_last_day
    turn_to(wire, date(last.year, last.month, last.day) + LAST_DAY)
    call(wire, "sh.centre", "PublishProject")


def meter(wire: Wire, *records: Any) -> None:
    """Hand readings of the plant in."""
    request = registers_pb2.SubmitActivityRequest(
        request_id=request_id(), project_id=PROJECT, records=records
    )
    wire.role("sh.project_applicant").issuance.SubmitActivity(request)


def issue_request(wire: Wire, period: str, **values: Any) -> Any:
    """Ask the centre for units of the plant."""
    audited = wire_date(remote_of(wire).context.now().date())
    return registers_pb2.IssueUnitsRequest(
        request_id=request_id(),
        project_id=PROJECT,
        period=wire_period(Period.parse(period)),
        audit=registers_pb2.IssuanceAudit(passed=True, audit_date=audited, body="虚构"),
        **values,
    )


def settle(wire: Wire, exchange: str, giver: str, taker: str, *blocks: Any) -> None:
    """Let the exchange hand a trade in."""
    request = ledger_pb2.TransferUnitsRequest(
        request_id=request_id(),
        from_account_id=giver,
        to_account_id=taker,
        units=ledger_pb2.UnitSelection(blocks=blocks),
        settlement_reference="T-1",
    )
    wire.role(exchange).ledger.TransferUnits(request)


def publish_value(wire: Wire, role: str, key: str, value: str, day: date) -> None:
    """Publish what the law leaves open for this year."""
    request = parameters_pb2.SetParameterRequest(
        request_id=request_id(),
        key=key,
        value_json=value,
        start_date=wire_date(day),
        document_reference="虚构公告 1",
    )
    code = wire.node.party.removeprefix("region/")
    approve_parameter(wire.network, request, f"operator/{code}/{role}")
    wire.role(role).parameters.SetParameter(request)


# -- Shenzhen


def test_story_1_an_operators_project_becomes_units_in_its_account_and_public(federation: Served) -> None:
    wire = federation.region(SHENZHEN)
    owner = travel_project(wire)
    give(wire, owner, *(f"U-{number}" for number in range(7)))
    trips = [scene.trip(number, date(2026, 2, 1 + number), 50_000, person_count=10) for number in range(12)]
    wire.role("sz.data_operator").scenes.SubmitTrips(
        scenes_pb2.SubmitTripsRequest(request_id=request_id(), project_id=PROJECT, trips=trips)
    )
    # 6,000 person-km at 0.218 - 0.049 kg (demonstration) are 1,014 kg: a tonne is issued, 14 kg are carried.
    issued = wire.role("sz.bureau").issuance.IssueUnits(lives.issue_request()).issuance
    assert (issued.quantity_kg, issued.carried_out_g, issued.account_id) == (1000, 14_000, owner)
    until(lambda: remote_of(wire).held(owner) == [(0, 1000, 1)])
    (project,) = listed(wire, "projects")
    assert (project["number"], project["verifier"]) == (PROJECT, "V-1")
    assert [one["quantity_kg"] for one in listed(wire, "issue-and-use")] == ["1000"]
    assert listed(wire, "methodologies")


def test_story_3_a_person_who_applies_is_told_of_the_operators(federation: Served) -> None:
    wire = federation.region(SHENZHEN)
    operator = remote_of(wire).open_account("虚构出行平台 invented", KIND_DATA_OPERATOR)
    person = remote_of(wire).open_account(
        "",
        KIND_PERSON,
        uscc="",
        holder_party="",
        operator_account_id=operator.account_id,
        operator_reference="user-0817",
    )
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    file = project_request(
        person.account_id, place="440305", methodology_id="SZ-PV-01", documents=SZ_DOCUMENTS
    )
    refusal = refusal_of(
        "INDIVIDUAL_NEEDS_OPERATOR",
        lambda: wire.role("sz.person").registers.SubmitProject(file),
        "第二十条",
    )
    assert "虚构出行平台 invented" in refusal.sentence("zh")


def test_story_5_two_uses_at_the_same_time_never_pass_the_yearly_total_together(federation: Served) -> None:
    wire = federation.region(SHENZHEN)
    owner = travel_project(wire)
    give(wire, owner, *(f"U-{number}" for number in range(7)))
    trips = [scene.trip(number, date(2026, 2, 1 + number), 50_000, person_count=1000) for number in range(15)]
    wire.role("sz.data_operator").scenes.SubmitTrips(
        scenes_pb2.SubmitTripsRequest(request_id=request_id(), project_id=PROJECT, trips=trips)
    )
    issued = wire.role("sz.bureau").issuance.IssueUnits(lives.issue_request()).issuance
    assert issued.quantity_kg == 126 * UNIT  # 750,000 person-km at 0.169 kg
    emitter = remote_of(wire).open_account(
        "虚构控排企业 invented", KIND_COVERED_EMITTER, holder_party=f"operator/440300/{EMITTER}"
    )
    until(lambda: remote_of(wire).held(owner) == [(0, 126 * UNIT, 1)])
    settle(wire, "sz.platform_operator", owner, emitter.account_id, issued.block)
    value = f'{{"cap_kg": {100 * UNIT}, "vintages": [2026]}}'
    publish_value(wire, "sz.bureau", "sz.offset_notice[2026]", value, date(2026, 3, 2))

    def surrender(start: int) -> DomainError | None:
        block = values_pb2.UnitBlock(
            series_id=issued.block.series_id, start_serial=start, end_serial=start + 60 * UNIT
        )
        try:
            remote_of(wire).retire(
                emitter.account_id, block, role=EMITTER, purpose="compliance", compliance_year=2026
            )
        except DomainError as refusal:
            return refusal
        return None

    wire.role(EMITTER)  # both ask over one channel
    with ThreadPoolExecutor(2) as threads:
        refusals = [one for one in threads.map(surrender, (0, 60 * UNIT)) if one is not None]
    assert [(one.symbol, one.metadata["left"]) for one in refusals] == [("OFFSET_CAP_REACHED", "40")]
    assert "第二十五条" in refusals[0].sentence_with_article("zh")
    (notice,) = listed(wire, "offset-notice")
    assert notice["used_kg"] == str(60 * UNIT)


def test_story_15_an_authors_colleague_stands_aside_and_the_draw_can_be_held_again(
    federation: Served,
) -> None:
    wire = federation.region(SHENZHEN)
    dossier = dossiers.drawn(wire)
    excluded = {one.expert_id: one.excluded_because for one in dossier.panel.candidates}
    assert excluded.pop("E-6") == "编制单位雇员 employed by the author"
    assert set(excluded.values()) == {""}
    assert dossiers.held_again(dossier.panel) == tuple(dossier.panel.members)
    assert wire.history("sz.bureau", METHODOLOGY, dossiers.NUMBER)[-1].event == "draw_panel"


# -- Shanghai


def test_story_6_a_scene_waits_for_the_other_body_and_for_the_day_after_its_notice(
    federation: Served,
) -> None:
    wire = federation.region(SHANGHAI)
    scene.publish_methodology(wire)
    owner = remote_of(wire).open_account().account_id
    wire.role(scene.BODY).registers.SubmitProject(scene.submit_request(owner))
    refusal_of(
        "SECOND_SIGNATURE_MISSING",
        lambda: scene.call(wire, scene.CENTRE, "AssessProject", passed=True),
        "第十三条",
    )
    scene.sign(wire, scene.EXCHANGE, "ASSESS", passed=True)
    scene.call(wire, scene.CENTRE, "AssessProject", passed=True)
    last = scene.call(wire, scene.CENTRE, "OpenProjectNotice").notice_last_day
    assert (last.month, last.day) == (3, 9)  # five working days behind Monday 2026-03-02
    turn_to(wire, date(2026, 3, 9))
    refusal_of("NOTICE_PERIOD_RUNNING", lambda: scene.call(wire, scene.CENTRE, "PublishProject"), "第十三条")
    turn_to(wire, date(2026, 3, 10))
    refusal_of("SECOND_SIGNATURE_MISSING", lambda: scene.call(wire, scene.CENTRE, "PublishProject"), "第五条")
    assert scenes.walked(scene.call(wire, scene.EXCHANGE, "PublishProject"))[-2:] == ["NOTICE", "PUBLISHED"]
    (shown,) = listed(wire, "reduction-scenes")
    assert (shown["number"], shown["published_on"]) == (scene.SCENE, "2026-03-10")


def test_story_7_a_notice_before_a_holiday_counts_the_saturday_that_is_worked(federation: Served) -> None:
    wire = federation.region(SHANGHAI)
    owner = remote_of(wire).open_account().account_id
    wire.role("sh.bureau").registers.PublishMethodology(methodology_request())
    wire.role("sh.project_applicant").registers.SubmitProject(project_request(owner))
    call(wire, "sh.centre", "AssessProject", passed=True)
    turn_to(wire, date(2026, 4, 30))
    last = call(wire, "sh.centre", "OpenProjectNotice").project.notice_last_day
    assert (last.year, last.month, last.day) == (2026, 5, 11)  # DOMAIN section 10
    turn_to(wire, date(2026, 12, 28))
    other = project_request(owner, project_id="PV-INVENTED-2", code="PV0100310115002")
    wire.role("sh.project_applicant").registers.SubmitProject(other)
    call(wire, "sh.centre", "AssessProject", passed=True, project_id="PV-INVENTED-2")
    refusal = refused(
        "CALENDAR_NOT_LOADED", wire, "sh.centre", "OpenProjectNotice", project_id="PV-INVENTED-2"
    )
    assert refusal.metadata["year"] == "2027"


def test_story_8_class_II_is_named_by_range_and_class_I_alone_passes_under_the_years_rule(
    federation: Served,
) -> None:
    wire = federation.region(SHANGHAI)
    owner = remote_of(wire).open_account().account_id
    published_project(wire, owner)
    meter(wire, month("2026-01", 24_000_000))
    first = wire.role("sh.centre").issuance.IssueUnits(issue_request(wire, "2026-01")).issuance
    scene.connected(wire, owner)
    trips = [scene.trip(number, date(2026, 3, 2 + number), 50_000, person_count=1000) for number in range(2)]
    scene.hand_in(wire, *trips)
    second = scene.issue(wire, "2026-03", 9700)
    assert (first.quantity_kg, second.quantity_kg) == (10 * UNIT, 9700)
    until(lambda: len(remote_of(wire).held(owner)) == 2)
    five = values_pb2.UnitBlock(series_id=second.block.series_id, start_serial=0, end_serial=5 * UNIT)

    def comply(*blocks: Any) -> Any:
        return remote_of(wire).retire(owner, *blocks, purpose="compliance", compliance_year=2026)

    refusal_of("OFFSET_NOTICE_NOT_PUBLISHED", lambda: comply(first.block), "第十七条")
    value = f'{{"cap_kg": {100 * UNIT}, "vintages": [2026]}}'
    today = remote_of(wire).context.now().date()
    publish_value(wire, "sh.bureau", "sh.surrender_rule[2026]", value, today)
    refusal = refusal_of("CLASS_II_NOT_FOR_COMPLIANCE", lambda: comply(first.block, five), "第十七条")
    assert five.series_id in refusal.metadata["ranges"]
    assert first.block.series_id not in refusal.metadata["ranges"]
    assert comply(first.block).state == ledger_pb2.USE_STATE_USED
    used = {(row["purpose"], row["unit_class"]): row["quantity_kg"] for row in listed(wire, "uses")}
    assert used == {("compliance", "I"): str(10 * UNIT)}


def test_story_10_experience_values_become_neither_reductions_nor_points(federation: Served) -> None:
    scenes.test_SH_10_experience_values_grow_or_are_corrected_and_never_become_units_or_points(
        federation.region
    )


def test_story_11_a_second_issuance_in_a_year_needs_a_reason_and_another_approver_both_public(
    federation: Served,
) -> None:
    wire = federation.region(SHANGHAI)
    owner = remote_of(wire).open_account().account_id
    published_project(wire, owner)
    centre = wire.role("sh.centre").issuance
    meter(wire, month("2026-01", 10_000_000), month("2026-02", 10_000_000))
    assert centre.IssueUnits(issue_request(wire, "2026-01")).issuance.legal_date.month == 3
    turn_to(wire, date(2026, 10, 12))
    refusal_of("ISSUANCE_TOO_FREQUENT", lambda: centre.IssueUnits(issue_request(wire, "2026-02")), "第十五条")
    urgent = issue_request(wire, "2026-02", override_reason="急 urgent")
    approve_issuance(wire.network, urgent, ("operator/310000/sh.centre", 1), ("operator/310000/sh.bureau", 1))
    assert centre.IssueUnits(urgent).issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED
    shown = {row["issued_on"][:7]: (row["override"], row["approved_by"]) for row in listed(wire, "issuances")}
    bodies = "operator/310000/sh.bureau; operator/310000/sh.centre"
    assert shown == {"2026-03": ("", ""), "2026-10": ("急 urgent", bodies)}


def test_the_command_line_lists_what_a_project_was_issued(federation: Served) -> None:
    wire = federation.region(SHANGHAI)
    owner = remote_of(wire).open_account().account_id
    published_project(wire, owner)
    meter(wire, month("2026-01", 10_000_000))
    issued = wire.role("sh.centre").issuance.IssueUnits(issue_request(wire, "2026-01")).issuance
    home = federation.network.network.home
    port = int(remote_of(wire).address.rpartition(":")[2])
    ports = {member.name: port if member.party == SHANGHAI else 1 for member in MEMBERS}
    (home / "home.json").write_text(json.dumps({"databases": "sqlite", "ports": ports}), encoding="utf-8")
    line = ["project", "issuances", PROJECT, "--region", "shanghai", "--home", str(home)]
    shown = CliRunner().invoke(main, [*line, "--json"])
    assert shown.exit_code == 0, shown.output
    (one,) = json.loads(shown.stdout)["issuances"]
    assert (one["issuance_id"], one["quantity_kg"]) == (issued.issuance_id, "4000")
    assert "ISSUED" in CliRunner().invoke(main, line).output


# -- Yunnan


def test_story_12_a_yunnan_entry_is_published_and_nothing_is_issued_traded_or_used(
    federation: Served,
) -> None:
    lives.test_story_12_a_yunnan_entry_is_published_and_nothing_is_issued_traded_or_used(federation.region)
    wire = Wire(federation.network, federation.remotes[YUNNAN].wire.node)
    assert {row["number"] for row in listed(wire, "reserve")} == {"R-1", "S-1"}
    wire.close()


# -- without an agreement


def recognise(federation: Served, last_day: date) -> None:
    """Let both authorities sign an agreement that ends with a day, and wait until Shanghai has it."""
    record = messages_pb2.RecognitionRecord(
        agreement_id="A-STORY",
        from_region=SHANGHAI,
        to_region=SHENZHEN,
        programmes=["SHCER"],
        unit_classes=["I"],
        purposes=["voluntary"],
        period=values_pb2.Period(
            start_date=date_message("2026-01-01"), end_date=date_message(str(last_day + LAST_DAY))
        ),
        document="虚构 invented",
    )
    network = federation.network.network
    roots = [network.root(f"authority/{code}") for code in ("310000", "440300")]
    envelope = build_recognition_record(network.plan.network_id, record, roots)
    with open_channel(federation.bridge.address, network.tls(SHANGHAI)) as channel:
        answer = directory_pb2_grpc.RecognitionServiceStub(channel).SubmitRecognition(
            directory_pb2.SubmitRecognitionRequest(request_id="story", record=envelope), timeout=50
        )
    status = journal_pb2.GetNodeStatusRequest()
    node = federation.remotes[SHANGHAI].wire.role("reader/national").node
    until(lambda: node.GetNodeStatus(status).applied_log_index >= answer.log_index)


def test_story_14_without_an_agreement_or_after_it_ended_units_never_leave(federation: Served) -> None:
    home, away = federation.region(SHANGHAI), federation.region(SHENZHEN)
    owner = remote_of(home).open_account().account_id
    buyer = remote_of(away).open_account().account_id
    address = away.role("sz.platform_operator").accounts.CreateReceivingAddress(
        accounts_pb2.CreateReceivingAddressRequest(request_id=request_id(), account_id=buyer)
    )
    published_project(home, owner)
    meter(home, month("2026-01", 24_000_000))
    home.role("sh.centre").issuance.IssueUnits(issue_request(home, "2026-01"))
    until(lambda: remote_of(home).held(owner) == [(0, 10 * UNIT, 1)])

    def send(quantity_kg: int) -> Any:
        request = ledger_pb2.CreateTransferRequest(
            request_id=request_id(),
            from_account_id=owner,
            destination_region_code="440300",
            receiving_address=address.receiving_address,
            units=ledger_pb2.UnitSelection(quantity_kg=quantity_kg),
            purpose="voluntary",
            wait_ms=20_000,
        )
        return home.role("sh.holder").transfers.CreateTransfer(request).transfer

    with pytest.raises(DomainError, match="RECOGNITION_NOT_IN_FORCE"):
        send(10 * UNIT)
    last = remote_of(home).context.now().date() + LAST_DAY
    recognise(federation, last)
    assert send(UNIT).state == ledger_pb2.TRANSFER_STATE_MOVED
    turn_to(home, last + LAST_DAY)
    with pytest.raises(DomainError, match="RECOGNITION_NOT_IN_FORCE") as caught:
        send(9 * UNIT)
    assert caught.value.sentence("zh") != caught.value.sentence("en")
    assert remote_of(home).held(owner) == [(UNIT, 10 * UNIT, 1)]
