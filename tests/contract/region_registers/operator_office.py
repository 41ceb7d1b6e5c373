"""A data-platform operator of Shenzhen with a project of its users' trips, and what the users gave it."""

from __future__ import annotations

from datetime import date
from typing import Any

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import consents_pb2, registers_pb2, scenes_pb2
from tanqiao.rpc.validation import wire_date
from tests.contract.region_registers.office import PROJECT, project_request, request_id
from tests.contract.region_registers.test_project_tracks import FORMS, REPORTS, VERIFIER, call, walked
from tests.contract.region_registers.test_refusals import sz_methodology
from tests.contract.region_registers.wire import OPERATOR, THIRD_PARTY, Wire

DECLARATION = registers_pb2.ProjectDocument(kind="no_profit_declaration", name="声明 declaration")
TRAVEL = "SZ-TRAVEL-01"
METERED = "SZ-PV-01"
ROLE = "sz.data_operator"
MANDATE, CONSENT = consents_pb2.CONSENT_KIND_MANDATE, consents_pb2.CONSENT_KIND_CONSENT
BEGIN = date(2026, 1, 1)


def travel_project(wire: Wire) -> str:
    """Walk a project of an operator's users' trips to the public list; the operator's account."""
    wire.role("sz.bureau").registers.PublishMethodology(
        sz_methodology(methodology_id=TRAVEL, quantification="travel")
    )
    return _walked(
        wire, methodology_id=TRAVEL, capacity_kw=0, attribute=claims_pb2.ATTRIBUTE_FUEL_SWITCH_TRANSPORT
    )


def metered_project(wire: Wire) -> str:
    """Walk a project of an operator's users' roofs to the public list; each meter is a user's."""
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    return _walked(wire, methodology_id=METERED)


def _walked(wire: Wire, *, attribute: Any = claims_pb2.ATTRIBUTE_RE_GEN, **fields: Any) -> str:
    owner: str = wire.node.open_account(kind=6).account_id
    wire.open("sz.data_operator", OPERATOR, "OP-1", account_id=owner, documents=[DECLARATION])
    wire.step(
        "sz.bureau",
        OPERATOR,
        "OP-1",
        "register",
        has_personal_accounts=True,
        records_behaviour=True,
        fields_of_work=["travel"],
    )
    wire.open("sz.bureau", THIRD_PARTY, "V-1", title="虚构核查 invented verifier")
    file = project_request(owner, place="440305", documents=[*FORMS, DECLARATION], **fields)
    file.project.attribute = attribute
    wire.role("sz.data_operator").registers.SubmitProject(file)
    call(wire, "sz.bureau", "AppointProjectVerifier", body="V-1", party=VERIFIER)
    call(wire, "sz.third_party", "FileProjectReports", documents=REPORTS)
    call(wire, "sz.expert", "AssessProject", passed=True)
    call(wire, "sz.bureau", "ReviewProject", passed=True, opinion="符合 conforms")
    published = call(wire, "sz.bureau", "PublishProject").project
    assert walked(published)[-1] == "PUBLISHED"
    return owner


def given(recipient: str, token: str, kind: Any = CONSENT, start: date = BEGIN, **fields: Any) -> Any:
    """One mandate or consent."""
    return consents_pb2.Consent(
        kind=kind,
        recipient_account_id=recipient,
        user_token=token,
        text_version="虚构协议 1.0",
        text_digest=bytes(range(32)),
        start_date=wire_date(start),
        **fields,
    )


def record(wire: Wire, *consents: Any, role: str = ROLE) -> Any:
    """Record what users gave."""
    request = consents_pb2.RecordConsentsRequest(request_id=request_id(), consents=consents)
    return wire.role(role).consents.RecordConsents(request)


def give(wire: Wire, recipient: str, *tokens: str, role: str = ROLE, **fields: Any) -> Any:
    """Record a mandate and a consent of each user."""
    both = [given(recipient, token, kind, **fields) for token in tokens for kind in (MANDATE, CONSENT)]
    return record(wire, *both, role=role)


def withdraw(wire: Wire, consent_id: str, role: str = ROLE) -> Any:
    """Take one back."""
    request = consents_pb2.WithdrawConsentRequest(request_id=request_id(), consent_id=consent_id)
    return wire.role(role).consents.WithdrawConsent(request).consent


def hand_in(wire: Wire, *trips: Any, role: str = ROLE) -> Any:
    """Hand trips of the project in."""
    request = scenes_pb2.SubmitTripsRequest(request_id=request_id(), project_id=PROJECT, trips=trips)
    return wire.role(role).scenes.SubmitTrips(request)


def meter(wire: Wire, *records: Any, role: str = ROLE) -> Any:
    """Hand metered activity of the project in."""
    request = registers_pb2.SubmitActivityRequest(
        request_id=request_id(), project_id=PROJECT, records=records
    )
    return wire.role(role).issuance.SubmitActivity(request)
