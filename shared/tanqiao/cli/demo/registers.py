"""Methodologies, accounts and projects of the story; files that the rule packs ask for are invented 虚构."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import accounts_pb2, registers_pb2
from tanqiao.cli.demo.cast import (
    CAPACITY_KW,
    CONNECTED,
    CREDITING_END,
    INVENTED,
    METHODOLOGY_SHANGHAI,
    METHODOLOGY_SHENZHEN,
    PERIOD_START,
    QUANTIFICATION,
    Plant,
)
from tanqiao.cli.demo.story import Story
from tanqiao.cli.local.members import SHANGHAI, SHENZHEN
from tanqiao.cli.parse import make_period, to_date
from tanqiao.client import RegionClient

CONSULTATION_DAYS: Final = 31
EXPERTS_WANTED: Final = 3
EXPERTS: Final = tuple(f"虚构专家-{number}" for number in range(1, 10))
SEED: Final = hashlib.sha256("演示抽取 demonstration draw".encode()).digest()
FIELD: Final = "energy"
BODY: Final = f"演示技术服务机构{INVENTED}"
SHENZHEN_DOCUMENTS: Final = (
    ("project_registration_form", "项目登记表"),
    ("reductions_registration_form", "减排量登记表"),
    ("small_micro_proof", "小微企业证明"),
    ("validation_report", "审定报告"),
    ("verification_report", "核证报告"),
)


def ensure_methodologies(story: Story) -> None:
    """Publish the methodologies of both cities unless an earlier run has."""
    for region, role, request in (
        (SHANGHAI, "sh.bureau", _shanghai_methodology(story.today())),
        (SHENZHEN, "sz.bureau", _shenzhen_methodology(story.today())),
    ):
        client = story.operator(region, role)
        number = request.methodology.methodology_id
        if number not in _published(client):
            client.registers.PublishMethodology(request)
        story.check(
            f"{region.title} 方法学已公布 methodology published",
            number in _published(story.reader.region(region.code)),
            f"{number} {request.methodology.title}",
        )


def _published(client: RegionClient) -> set[str]:
    answer = client.registers.ListMethodologies(registers_pb2.ListMethodologiesRequest())
    return {one.methodology_id for one in answer.methodologies}


def _shanghai_methodology(today: date) -> registers_pb2.PublishMethodologyRequest:
    """A public number and factor; the file of its procedure is invented."""
    return registers_pb2.PublishMethodologyRequest(
        request_id=f"demo-methodology-{METHODOLOGY_SHANGHAI}",
        methodology=registers_pb2.Methodology(
            methodology_id=METHODOLOGY_SHANGHAI,
            kind=registers_pb2.METHODOLOGY_KIND_PROJECT,
            unit_class="I",
            title="分布式光伏（程序文件虚构 file of the procedure invented）",
            quantification=QUANTIFICATION,
            document="0.42 t/MWh: 沪环气〔2022〕34号",
        ),
        parts=["baseline", "additionality", "computation", "monitoring_plan"],
        documents=[registers_pb2.ProjectDocument(kind="application", name=f"申请表{INVENTED}")],
        assessment=registers_pb2.TechnicalAssessment(
            passed=True,
            assess_date=to_date(today - timedelta(days=CONSULTATION_DAYS + 7)),
            assessors=["市减污降碳中心（演示 demonstration）"],
            opinion="通过 passed（虚构 invented）",
        ),
        consultation=registers_pb2.PublicConsultation(
            first_day=to_date(today - timedelta(days=CONSULTATION_DAYS)),
            last_day=to_date(today - timedelta(days=1)),
            comments_answered=True,
        ),
    )


def _shenzhen_methodology(today: date) -> registers_pb2.PublishMethodologyRequest:
    drawn = sorted(EXPERTS, key=lambda expert: (hashlib.sha256(SEED + expert.encode()).digest(), expert))
    return registers_pb2.PublishMethodologyRequest(
        request_id=f"demo-methodology-{METHODOLOGY_SHENZHEN}",
        methodology=registers_pb2.Methodology(
            methodology_id=METHODOLOGY_SHENZHEN,
            kind=registers_pb2.METHODOLOGY_KIND_PROJECT,
            title=f"分布式光伏发电系统{INVENTED}",
            quantification=QUANTIFICATION,
            invented=True,
        ),
        parts=[
            "baseline_scenario",
            "reduction_scenario",
            "computation",
            "applicability",
            "inclusiveness",
            "additionality",
        ],
        documents=[
            registers_pb2.ProjectDocument(kind=kind, name=f"{kind}{INVENTED}")
            for kind in ("application_form", "methodology_text", "compilation_notes")
        ],
        assessment=registers_pb2.TechnicalAssessment(
            passed=True,
            assess_date=to_date(today - timedelta(days=10)),
            assessors=drawn[:EXPERTS_WANTED],
            opinion="通过 passed（虚构 invented）",
        ),
        panel=registers_pb2.ExpertPanel(
            candidates=[registers_pb2.PanelCandidate(expert_id=expert, fields=[FIELD]) for expert in EXPERTS],
            field=FIELD,
            seed=SEED,
            wanted=EXPERTS_WANTED,
            members=drawn[:EXPERTS_WANTED],
        ),
    )


def open_account(
    story: Story, client: RegionClient, name: str, kind: int, uscc: str, step: str, *, holder: str = ""
) -> str:
    """Open an account of an invented organisation for which `holder` acts; gives its number."""
    request = accounts_pb2.OpenAccountRequest(
        request_id=story.cast.request_id(step),
        kind=kind,  # type: ignore[arg-type]  # a number of the enumeration
        display_name=name,
        uscc=uscc,
        invented=True,
        holder_party=holder,
    )
    return str(client.accounts.OpenAccount(request).account.account_id)


def project_of(
    plant: Plant, *, project_id: str, account_id: str, methodology_id: str, end: date = CREDITING_END
) -> registers_pb2.Project:
    """Give the file of an invented project on an invented plant."""
    return registers_pb2.Project(
        project_id=project_id,
        title=f"{plant.name}",
        owner_account_id=account_id,
        methodology_id=methodology_id,
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=plant.filing_code)],
            kind="distributed_pv",
            name=plant.name,
            region_code=plant.region_code,
            capacity_kw=CAPACITY_KW,
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        crediting_period=make_period(PERIOD_START, end),
        no_duplicate_commitment=True,
        gec_freeze_consent=True,
        grid_connection_date=to_date(CONNECTED),
        invented=True,
    )


def shenzhen_documents() -> list[registers_pb2.ProjectDocument]:
    """Give the file that a small enterprise of Shenzhen brings, invented."""
    return [
        registers_pb2.ProjectDocument(
            kind=kind, name=f"{name}{INVENTED}", body=BODY if kind.endswith("_report") else ""
        )
        for kind, name in SHENZHEN_DOCUMENTS
    ]
