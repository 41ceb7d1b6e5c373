"""A node's office for tests: requests of each role as sentences, on a node built like in production."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2, reserve_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_date, wire_period
from tanqiao_region.application.claim_steps import Ask
from tanqiao_region.application.commands import By
from tests.contract.region.harness import Node
from tests.contract.region_registers.approvals import approve_issuance

BUREAU = By("operator/310000/sh.bureau", "sh.bureau")
CENTRE = By("operator/310000/sh.centre", "sh.centre")
APPLICANT = By("operator/310000/sh.project_applicant", "sh.project_applicant")
EXCHANGE = By("operator/310000/sh.exchange", "sh.exchange")
SZ_BUREAU = By("operator/440300/sz.bureau", "sz.bureau")
SZ_SME = By("operator/440300/sz.sme", "sz.sme")
SZ_EXPERT = By("operator/440300/sz.expert", "sz.expert")
YN_EPD = By("operator/530000/yn.epd", "yn.epd")

METHODOLOGY = "SHCER01010012024I"
PROJECT = "PV-INVENTED-1"
CODE = "PV0100310115001"
CREDITING = Period(date(2025, 1, 1), date(2035, 1, 1))

_numbers = itertools.count(1)


def ask(request: Any, by: By) -> Ask:
    """The command behind a request, as the servicers make it."""
    body = request.SerializeToString(deterministic=True)
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode() + b"\0" + body).digest()
    return Ask(ClientRequest(by.party, request.request_id, digest), by, body)


def request_id() -> str:
    """A new request id."""
    return f"q{next(_numbers)}"


def methodology_request(**fields: Any) -> registers_pb2.PublishMethodologyRequest:
    """A Shanghai PV methodology with a complete file."""
    methodology = registers_pb2.Methodology(
        methodology_id=fields.pop("methodology_id", METHODOLOGY),
        kind=fields.pop("kind", registers_pb2.METHODOLOGY_KIND_PROJECT),
        unit_class=fields.pop("unit_class", "I"),
        title="分布式光伏（虚构 invented）",
        quantification=fields.pop("quantification", "distributed_pv"),
        invented=True,
    )
    values: dict[str, Any] = {
        "request_id": request_id(),
        "methodology": methodology,
        "parts": ["baseline", "additionality", "computation", "monitoring_plan"],
        "assessment": registers_pb2.TechnicalAssessment(
            passed=True, assess_date=wire_date(date(2026, 1, 10)), assessors=["E-1"]
        ),
        "consultation": registers_pb2.PublicConsultation(
            first_day=wire_date(date(2026, 1, 12)),
            last_day=wire_date(date(2026, 2, 15)),
            comments_answered=True,
        ),
        **fields,
    }
    return registers_pb2.PublishMethodologyRequest(**values)


def project_request(owner: str, **fields: Any) -> registers_pb2.SubmitProjectRequest:
    """An invented PV project of 800 kW with a complete file."""
    asset = claims_pb2.Asset(
        references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=fields.pop("code", CODE))],
        kind="solar",
        name="虚构屋顶光伏 invented rooftop",
        region_code=fields.pop("place", "310115"),
        capacity_kw=fields.pop("capacity_kw", 800),
    )
    values: dict[str, Any] = {
        "project_id": PROJECT,
        "title": "虚构屋顶光伏 invented rooftop",
        "owner_account_id": owner,
        "methodology_id": METHODOLOGY,
        "asset": asset,
        "attribute": claims_pb2.ATTRIBUTE_RE_GEN,
        "crediting_period": wire_period(CREDITING),
        "no_duplicate_commitment": True,
        "invented": True,
        "grid_connection_date": wire_date(date(2024, 6, 1)),
    }
    envelope = {name: fields.pop(name) for name in ("request_id", "validate_only") if name in fields}
    values.update(fields)
    return registers_pb2.SubmitProjectRequest(
        **{"request_id": request_id(), **envelope}, project=registers_pb2.Project(**values)
    )


def month(text: str, on_grid_wh: int = 0, self_use_wh: int = 0, meter: str = "M-1") -> Any:
    """One metered month."""
    return registers_pb2.ActivityRecord(
        period=wire_period(Period.parse(text)), on_grid_wh=on_grid_wh, self_use_wh=self_use_wh, meter=meter
    )


@dataclass
class Office:
    """What the offices and applicants of Shanghai do at a node."""

    node: Node
    owner: str = ""

    @property
    def office(self) -> Any:
        return self.node.region.office

    @property
    def today(self) -> date:
        return legal_date(self.node.context.now())

    def turn_to(self, day: date) -> None:
        """Turn the clock to nine o'clock, legal time, of a later day."""
        self.node.context.clock.advance_to(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))

    def publish_methodology(self, by: By = BUREAU, **fields: Any) -> Any:
        request = methodology_request(**fields)
        return self.office.methodologies.publish(ask(request, by), request).methodology

    def submit(self, by: By = APPLICANT, **fields: Any) -> Any:
        request = project_request(self.owner, **fields)
        return self.office.registers.submit_project(ask(request, by), request)

    def send_project(self, request: Any, by: By = APPLICANT) -> Any:
        return self.office.registers.submit_project(ask(request, by), request)

    def assess(self, by: By = CENTRE, **fields: Any) -> Any:
        values = {"request_id": request_id(), "project_id": PROJECT, "passed": True, **fields}
        request = registers_pb2.AssessProjectRequest(**values)
        return self.office.registers.assess_project(ask(request, by), request).project

    def open_notice(self, by: By = CENTRE, **fields: Any) -> Any:
        values = {"request_id": request_id(), "project_id": PROJECT, **fields}
        request = registers_pb2.OpenProjectNoticeRequest(**values)
        return self.office.registers.open_notice(ask(request, by)).project

    def publish(self, by: By = CENTRE, **fields: Any) -> Any:
        values = {"request_id": request_id(), "project_id": PROJECT, **fields}
        request = registers_pb2.PublishProjectRequest(**values)
        return self.office.registers.publish_project(ask(request, by)).project

    def withdraw(self, by: By = APPLICANT, **fields: Any) -> Any:
        values = {"request_id": request_id(), "project_id": PROJECT, "reason": "不再申请 no longer", **fields}
        request = registers_pb2.WithdrawProjectRequest(**values)
        return self.office.registers.withdraw_project(ask(request, by), request).project

    def meter(self, *records: Any, by: By = APPLICANT, **fields: Any) -> Any:
        values = {"request_id": request_id(), "project_id": PROJECT, "records": records, **fields}
        request = registers_pb2.SubmitActivityRequest(**values)
        return self.office.activity.submit_activity(ask(request, by), request)

    def quantify(self, period: str = "2026") -> Any:
        return self.office.issuances.quantify(
            registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=wire_period(Period.parse(period)))
        )

    def issue_request(self, period: str = "2026", **fields: Any) -> Any:
        values: dict[str, Any] = {
            "request_id": request_id(),
            "project_id": PROJECT,
            "period": wire_period(Period.parse(period)),
            "audit": registers_pb2.IssuanceAudit(passed=True, audit_date=wire_date(self.today), body="虚构"),
            **fields,
        }
        return registers_pb2.IssueUnitsRequest(**values)

    def issue(self, period: str = "2026", by: By = CENTRE, hands: Any = (), **fields: Any) -> Any:
        """Issue; with `hands`, officers approve it beside whoever asks."""
        request = self.issue_request(period, **fields)
        if hands:
            approve_issuance(self.node.network, request, *hands)
        return self.office.issuances.issue_units(ask(request, by), request)

    def project(self, project_id: str = PROJECT) -> Any:
        return self.office.reads.project(project_id)

    def published(self) -> Any:
        """Walk a project to the public list."""
        self.publish_methodology()
        self.submit()
        self.assess()
        notice = self.open_notice()
        last = notice.notice_last_day
        self.turn_to(date(last.year, last.month, last.day) + timedelta(days=1))
        return self.publish()

    def enter(self, by: By = YN_EPD, **fields: Any) -> Any:
        values: dict[str, Any] = {
            "entry_id": "R-1",
            "title": "虚构小水电 invented hydro",
            "resource_kind": "ccer",
            "owner_account_id": self.owner,
            "asset": claims_pb2.Asset(
                references=[claims_pb2.AssetReference(scheme="gec_filing_code", value="HY0100530100001")],
                kind="hydro",
                name="虚构小水电",
                region_code="532500",
            ),
            "potential_kg_per_year": 12_000_000,
            "project_type": "renewable_power",
            "potential_method": "满发小时数估算 full-load hours",
            "potential_date": wire_date(date(2026, 1, 1)),
            "invented": True,
        }
        envelope = {"request_id": fields.pop("request_id", request_id())}
        values.update(fields)
        request = reserve_pb2.EnterResourceRequest(**envelope, resource=reserve_pb2.CarbonResource(**values))
        return self.office.reserve.enter(ask(request, by))
