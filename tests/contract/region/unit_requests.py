"""Good requests about units that stay where they are, and about dated parameters."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import (
    certificates_pb2,
    clawbacks_pb2,
    consents_pb2,
    decisions_pb2,
    disclosure_pb2,
    encumbrances_pb2,
    ledger_pb2,
    parameters_pb2,
)
from tests.contract.region.harness import SERIES
from tests.contract.region.served import REGION
from tests.contract.region_registers.approvals import approve_parameter

ENCUMBRANCE: Final = f"{REGION}EncumbranceService/"
CERTIFICATE: Final = f"{REGION}CertificateService/"
CONSENT: Final = f"{REGION}ConsentService/"
CLAWBACK: Final = f"{REGION}ClawbackService/"
DISCLOSURE: Final = f"{REGION}DisclosureService/"
DECISION: Final = f"{REGION}BodyDecisionService/"
PARAMETER: Final = f"{REGION}ParameterService/"
NOBODYS: Final = "0123456789abcdef0123456789abcdef"


def _encumber(world: Any) -> Any:
    block = values_pb2.UnitBlock(series_id=SERIES.series_id, start_serial=900_000, end_serial=900_001)
    return encumbrances_pb2.EncumberUnitsRequest(
        request_id=secrets.token_hex(8),
        account_id=world.giver,
        creditor_account_id=world.taker,
        units=ledger_pb2.UnitSelection(blocks=[block]),
        document_reference="虚构质押合同 invented",
    )


def _record_consents(world: Any) -> Any:
    one = consents_pb2.Consent(
        kind=consents_pb2.CONSENT_KIND_CONSENT,
        recipient_account_id=world.giver,
        user_token="U-1",
        text_version="1.0",
        text_digest=bytes(32),
        start_date=values_pb2.Date(year=2026, month=1, day=1),
    )
    return consents_pb2.RecordConsentsRequest(request_id=secrets.token_hex(8), consents=[one])


def _parameter(world: Any) -> Any:
    request = parameters_pb2.SetParameterRequest(
        request_id=secrets.token_hex(8),
        key="sh.surrender_rule[2031]",
        value_json='{"cap_kg": 100}',
        start_date=values_pb2.Date(year=2031, month=1, day=1),
        document_reference="虚构公告 invented",
    )
    return approve_parameter(world.shanghai.network, request, "operator/310000/sh.bureau")


GOOD: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    ENCUMBRANCE + "EncumberUnits": ("sh.holder", _encumber),
    ENCUMBRANCE + "ReleaseEncumbrance": (
        "sh.holder",
        lambda _: encumbrances_pb2.ReleaseEncumbranceRequest(
            request_id=secrets.token_hex(8), encumbrance_id=NOBODYS, document_reference="虚构"
        ),
    ),
    ENCUMBRANCE + "GetEncumbrance": (
        "sh.holder",
        lambda _: encumbrances_pb2.GetEncumbranceRequest(encumbrance_id=NOBODYS),
    ),
    ENCUMBRANCE + "ListEncumbrances": (
        "sh.centre",
        lambda _: encumbrances_pb2.ListEncumbrancesRequest(page_size=1),
    ),
    CLAWBACK + "SubmitClawback": (
        "sh.centre",
        lambda _: clawbacks_pb2.SubmitClawbackRequest(request_id=secrets.token_hex(8)),
    ),
    CLAWBACK + "ReplaceClawedUnits": (
        "sh.holder",
        lambda _: clawbacks_pb2.ReplaceClawedUnitsRequest(
            request_id=secrets.token_hex(8),
            clawback_id=NOBODYS,
            units=ledger_pb2.UnitSelection(quantity_kg=1),
        ),
    ),
    CLAWBACK + "SettleClawback": (
        "sh.centre",
        lambda _: clawbacks_pb2.SettleClawbackRequest(request_id=secrets.token_hex(8), clawback_id=NOBODYS),
    ),
    CLAWBACK + "GetClawback": (
        "reader/national",
        lambda _: clawbacks_pb2.GetClawbackRequest(clawback_id=NOBODYS),
    ),
    CLAWBACK + "ListClawbacks": (
        "reader/national",
        lambda _: clawbacks_pb2.ListClawbacksRequest(page_size=1),
    ),
    CLAWBACK + "ListClawbackSteps": (
        "reader/national",
        lambda _: clawbacks_pb2.ListClawbackStepsRequest(clawback_id=NOBODYS),
    ),
    CONSENT + "RecordConsents": ("sh.scene_body", _record_consents),
    CONSENT + "WithdrawConsent": (
        "sh.scene_body",
        lambda _: consents_pb2.WithdrawConsentRequest(request_id=secrets.token_hex(8), consent_id=NOBODYS),
    ),
    CONSENT + "ListConsents": (
        "sh.centre",
        lambda world: consents_pb2.ListConsentsRequest(recipient_account_id=world.giver, page_size=1),
    ),
    CERTIFICATE + "RequestCertificate": (
        "sh.holder",
        lambda _: certificates_pb2.RequestCertificateRequest(
            request_id=secrets.token_hex(8), retirement_id=NOBODYS
        ),
    ),
    CERTIFICATE + "TakeCertificateStep": (
        "sh.holder",
        lambda _: certificates_pb2.TakeCertificateStepRequest(
            request_id=secrets.token_hex(8), number="310000-CN-2026-1", event="sign"
        ),
    ),
    CERTIFICATE + "GetCertificate": (
        "reader/national",
        lambda _: certificates_pb2.GetCertificateRequest(number="310000-CN-2026-1"),
    ),
    CERTIFICATE + "ListCertificates": (
        "reader/national",
        lambda _: certificates_pb2.ListCertificatesRequest(page_size=1),
    ),
    CERTIFICATE + "ListCertificateSteps": (
        "reader/national",
        lambda _: certificates_pb2.ListCertificateStepsRequest(number="310000-CN-2026-1"),
    ),
    DISCLOSURE + "ListDisclosures": (
        "reader/national",
        lambda _: disclosure_pb2.ListDisclosuresRequest(),
    ),
    DISCLOSURE + "ReadDisclosure": (
        "reader/national",
        lambda _: disclosure_pb2.ReadDisclosureRequest(slug="issuances", page_size=1),
    ),
    DECISION + "ListBodyDecisions": (
        "sh.centre",
        lambda _: decisions_pb2.ListBodyDecisionsRequest(object_id="sh.surrender_rule[2031]", page_size=1),
    ),
    PARAMETER + "SetParameter": ("sh.bureau", _parameter),
    PARAMETER + "ListParameters": (
        "reader/national",
        lambda _: parameters_pb2.ListParametersRequest(page_size=1),
    ),
}
