"""Step b: a plant of at most 1 MW becomes a registered project, and its generation becomes units."""

from __future__ import annotations

from datetime import date, timedelta

from tanqiao.api.bridge.v1 import claims_pb2, directory_pb2
from tanqiao.api.region.v1 import accounts_pb2, registers_pb2
from tanqiao.cli.demo.cast import CAPACITY_KW, METHODOLOGY_SHANGHAI, MONTHS, PERIOD_END, PERIOD_START
from tanqiao.cli.demo.registers import BODY, ensure_methodologies, open_account, project_of
from tanqiao.cli.demo.story import Story
from tanqiao.cli.local.members import SHANGHAI
from tanqiao.cli.parse import blocks_text, date_text, make_period, parse_period, to_date

GRAMS_PER_WH_TIMES_1000 = 420
"""0.42 t/MWh is 0.42 g/Wh; kept in thousandths, so that the check below has integers only."""


def register_and_issue(story: Story) -> None:
    """Register the project after claim check and notice, then issue what two metered months yield."""
    story.begin("b", "登记与签发", "A Shanghai distributed-PV project is registered and issued")
    ensure_methodologies(story)
    _register(story)
    _issue(story)


def _register(story: Story) -> None:
    cast, plant = story.cast, story.cast.rooftop
    centre = story.operator(SHANGHAI, "sh.centre")
    story.found.seller = open_account(
        story,
        centre,
        plant.owner,
        accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        plant.uscc,
        "seller",
        holder=story.holder_party(SHANGHAI, "seller"),
    )
    project = project_of(
        plant,
        project_id=cast.project_id,
        account_id=story.found.seller,
        methodology_id=METHODOLOGY_SHANGHAI,
    )
    submitted = story.operator(SHANGHAI, "sh.project_applicant").registers.SubmitProject(
        registers_pb2.SubmitProjectRequest(request_id=cast.request_id("submit"), project=project)
    )
    story.found.project_id = submitted.project.project_id
    story.require(
        "声明核查通过 claim check clears it",
        submitted.project.state == registers_pb2.PROJECT_STATE_SUBMITTED,
        f"{plant.name}, {CAPACITY_KW} kW, {plant.filing_code}",
    )
    centre.registers.AssessProject(
        registers_pb2.AssessProjectRequest(
            request_id=cast.request_id("assess"),
            project_id=story.found.project_id,
            passed=True,
            opinion="通过 passed（虚构 invented）",
        )
    )
    notice = centre.registers.OpenProjectNotice(
        registers_pb2.OpenProjectNoticeRequest(
            request_id=cast.request_id("notice"), project_id=story.found.project_id
        )
    ).project
    last_day = date(notice.notice_last_day.year, notice.notice_last_day.month, notice.notice_last_day.day)
    story.note(
        f"公示 notice {date_text(notice.notice_first_day)} – {last_day} "
        f"({notice.notice_working_days} 个工作日 working days)"
    )
    with story.refused() as early:
        centre.registers.PublishProject(
            registers_pb2.PublishProjectRequest(
                request_id=cast.request_id("too-early"), project_id=story.found.project_id
            )
        )
    story.check(
        "公示期内不得公布 no publication while the notice runs",
        [refusal.symbol for refusal in early] == ["NOTICE_PERIOD_RUNNING"],
        early[0].article if early else "",
    )
    story.advance_to(last_day + timedelta(days=1))
    centre.registers.PublishProject(
        registers_pb2.PublishProjectRequest(
            request_id=cast.request_id("publish"), project_id=story.found.project_id
        )
    )
    _read_project(story)


def _read_project(story: Story) -> None:
    project = (
        story.reader.region(SHANGHAI.code)
        .registers.GetProject(registers_pb2.GetProjectRequest(project_id=story.found.project_id))
        .project
    )
    claim = story.reader.bridge.claims.GetClaim(claims_pb2.GetClaimRequest(claim_id=project.claim_id)).claim
    story.require(
        "项目已公布、声明已登记 project published, claim registered",
        project.state == registers_pb2.PROJECT_STATE_PUBLISHED
        and claim.status == claims_pb2.CLAIM_STATUS_REGISTERED,
        f"{project.project_id}, {project.claim_id}",
    )


def _issue(story: Story) -> None:
    cast, applicant = story.cast, story.operator(SHANGHAI, "sh.project_applicant")
    applicant.issuance.SubmitActivity(
        registers_pb2.SubmitActivityRequest(
            request_id=cast.request_id("activity"),
            project_id=story.found.project_id,
            records=[
                registers_pb2.ActivityRecord(
                    period=parse_period(month), on_grid_wh=on_grid_wh, self_use_wh=self_use_wh, meter="M1"
                )
                for month, on_grid_wh, self_use_wh in MONTHS
            ],
        )
    )
    period = make_period(PERIOD_START, PERIOD_END)
    computed = applicant.issuance.QuantifyProject(
        registers_pb2.QuantifyProjectRequest(project_id=story.found.project_id, period=period)
    )
    for line in computed.working:
        story.note(line)
    expected_g = computed.activity_wh * GRAMS_PER_WH_TIMES_1000 // 1000
    story.check(
        "0.42 t/MWh，余数结转 the remainder is carried",
        computed.reduction_g == expected_g
        and computed.issuable_kg * 1000 + computed.carried_out_g == computed.reduction_g,
        f"{computed.activity_wh} Wh → {computed.issuable_kg} kg + {computed.carried_out_g} g",
    )
    issuance = (
        story.operator(SHANGHAI, "sh.centre")
        .issuance.IssueUnits(
            registers_pb2.IssueUnitsRequest(
                request_id=cast.request_id("issue"),
                project_id=story.found.project_id,
                period=period,
                audit=registers_pb2.IssuanceAudit(
                    passed=True, audit_date=to_date(story.today()), body=BODY, reference="虚构 invented"
                ),
            )
        )
        .issuance
    )
    story.require(
        "已签发 units issued",
        issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED
        and issuance.quantity_kg == computed.issuable_kg,
        ", ".join([blocks_text([issuance.block]), *(reason.sentence_en for reason in issuance.reasons)]),
    )
    story.found.series_id = issuance.block.series_id
    entries = story.reader.bridge.locations.ListLocations(
        directory_pb2.ListLocationsRequest(series_id=story.found.series_id)
    ).locations
    story.check(
        "碳桥所见 the bridge has them at Shanghai",
        [(one.region, one.block.end_serial - one.block.start_serial) for one in entries]
        == [(SHANGHAI.party, issuance.quantity_kg)],
        f"{issuance.quantity_kg} kg",
    )
