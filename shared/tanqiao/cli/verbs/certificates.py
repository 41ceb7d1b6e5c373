"""`tanqiao certificate`: certificates of carbon neutrality over retired units, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.region.v1 import certificates_pb2, ledger_pb2
from tanqiao.cli.acting import acting, client_for, holder_client, party_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import blocks_text, date_text
from tanqiao.cli.session import Session, new_request_id, require_region
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.decisions import approval_options, is_only_prepared
from tanqiao.cli.verbs.dossiers import show_steps
from tanqiao.cli.verbs.proving import not_proven, out_option, policy_of
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import CERTIFICATE

PAGE_SIZE: Final = 500


@click.group()
def certificate() -> None:
    """Certificates of carbon neutrality: asked for, recognised, signed, checked offline (碳中和电子证书)."""


@certificate.command("request", cls=Verb)
@acting
@click.argument("retirement_id")
@click.option("--occasion", default="", help="Event or activity that was made neutral; of nobody in person.")
@click.option("--name-beneficiary", is_flag=True, help="The beneficiary, an organisation, agrees to it.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def request_certificate(
    session: Session,
    /,
    region_name: str,
    role: str | None,
    retirement_id: str,
    **values: Any,  # noqa: ANN401
) -> None:
    """Ask for a certificate over a retirement that is final."""
    if role is None:
        office = client_for(session, region_name, "accounts", None)
        found = office.retirements.GetRetirement(
            ledger_pb2.GetRetirementRequest(retirement_id=retirement_id)
        ).retirement
        client = holder_client(session, region_name, "retire", None, found.account_id)
    else:
        client = client_for(session, region_name, "retire", role)
    request = certificates_pb2.RequestCertificateRequest(
        request_id=values["request_id"] or new_request_id(),
        retirement_id=retirement_id,
        occasion=values["occasion"],
        name_beneficiary=values["name_beneficiary"],
    )
    _show(session, client.certificates.RequestCertificate(request).certificate)


@certificate.command("step", cls=Verb)
@acting
@click.argument("number")
@click.argument("event", type=click.Choice(["recognise", "refuse", "sign", "revoke", "withdraw"]))
@click.option("--reason", default="", help="Why it is refused, revoked or withdrawn.")
@click.option("--document", default="", help="Of a revocation: what shows that its base was wrong.")
@approval_options
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def step(session: Session, /, region_name: str, role: str | None, number: str, **values: Any) -> None:  # noqa: ANN401
    """Recognise, refuse, sign, revoke or withdraw a certificate."""
    act = {"sign": "accounts", "withdraw": "retire"}.get(values["event"], "dossier")
    request = certificates_pb2.TakeCertificateStepRequest(
        request_id=values["request_id"] or new_request_id(),
        number=number,
        event=values["event"],
        reason=values["reason"],
        document_reference=values["document"],
    )
    first = party_for(region_name, act, role)
    if is_only_prepared(session, request, CERTIFICATE, number, first, values):
        return
    client = client_for(session, region_name, act, role)
    _show(session, client.certificates.TakeCertificateStep(request).certificate)


@certificate.command("show", cls=Verb)
@acting
@click.argument("number")
@click.pass_obj
def show(session: Session, region_name: str, role: str | None, number: str) -> None:
    """Show a certificate by its number."""
    _show(session, _find(session, region_name, role, number))


@certificate.command("list", cls=Verb)
@acting
@click.option("--state", default="", help="Only those in this state.")
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_certificates(
    session: Session, region_name: str, role: str | None, state: str, page_token: str
) -> None:
    """List a page of certificates in the order of their numbers."""
    request = certificates_pb2.ListCertificatesRequest(
        state=state, page_size=PAGE_SIZE, page_token=page_token
    )
    answer = client_for(session, region_name, "read", role).certificates.ListCertificates(request)
    session.output.rows(
        ("证书 certificate", "状态 state", "受益人 beneficiary", "kg", "签发日 signed"),
        [
            (one.number, one.state, one.beneficiary_name or "–", one.quantity_kg, date_text(one.sign_date))
            for one in answer.certificates
        ],
        json_value=message_fields(answer),
    )


@certificate.command("history", cls=Verb)
@acting
@click.argument("number")
@click.pass_obj
def history(session: Session, region_name: str, role: str | None, number: str) -> None:
    """List every step of a certificate, oldest first, with the rules that were asked."""
    request = certificates_pb2.ListCertificateStepsRequest(number=number, page_size=PAGE_SIZE)
    answer = client_for(session, region_name, "read", role).certificates.ListCertificateSteps(request)
    show_steps(session, answer)


@certificate.command("file", cls=Verb)
@acting
@click.argument("number")
@out_option
@click.pass_obj
def write_file(
    session: Session, region_name: str, role: str | None, number: str, out: Path, policy_file: Path | None
) -> None:
    """Write the file of a signed certificate that `tanqiao verify` checks offline."""
    from tanqiao.client.proofs import ServedLog
    from tanqiao.offline.make import Openings, make_decision_proof
    from tanqiao.tlog.errors import TlogError

    found = _find(session, region_name, role, number)
    if not found.HasField("envelope"):
        raise DomainError(
            "STATE_NOT_ALLOWED", what="证书 certificate", id=number, state=found.state, needed="CERTIFIED"
        )
    log = ServedLog(session.bridge)
    served, _ = log.decision(require_region(region_name).party, bytes.fromhex(found.retirement_id))
    try:
        data, report = make_decision_proof(
            log,
            "certificate",
            served,
            policy_of(session, policy_file),
            openings=Openings(beneficiary=found.beneficiary_opening),
            certificate=found.envelope,
        )
    except TlogError as refusal:
        raise not_proven(refusal) from None
    out.write_bytes(data)
    english, chinese = report.statement or ("", "")
    session.output.answer(
        {"file": str(out), "bytes": len(data), "statement_zh": chinese, "statement_en": english}
    )


def _find(session: Session, region_name: str, role: str | None, number: str) -> certificates_pb2.Certificate:
    request = certificates_pb2.GetCertificateRequest(number=number)
    return client_for(session, region_name, "read", role).certificates.GetCertificate(request).certificate


def _show(session: Session, one: certificates_pb2.Certificate) -> None:
    session.output.message(
        one,
        {
            "证书 certificate": one.number,
            "状态 state": one.state,
            "注销 retirement": one.retirement_id,
            "用途 purpose": one.purpose,
            "数量 kg": one.quantity_kg,
            "区块 blocks": blocks_text(list(one.blocks)),
            "受益人 beneficiary": one.beneficiary_name or "–",
            "事项 occasion": one.occasion or "–",
            "认定 recognised by": one.recognised_by_role or "–",
            "依据 article": one.article,
            "理由 reason": one.state_reason or "–",
        },
    )
