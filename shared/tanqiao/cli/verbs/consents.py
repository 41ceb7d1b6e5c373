"""`tanqiao consent`: mandates and consents of users, recorded by whom they were given to (授权与同意)."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import consents_pb2
from tanqiao.cli.acting import acting, client_for, holder_client
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text, read_message, to_date
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.units import digest_of_file
from tanqiao.kernel.errors import DomainError

PAGE_SIZE: Final = 500
KINDS: Final = {
    "mandate": consents_pb2.CONSENT_KIND_MANDATE,
    "consent": consents_pb2.CONSENT_KIND_CONSENT,
}
FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.group()
def consent() -> None:
    """Mandates and consents of users: without them behaviour data are not taken."""


@consent.command("give", cls=Verb)
@acting
@click.option("--account", required=True, help="Account of the operator or scene body: the recipient.")
@click.option("--user", required=True, help="What the recipient calls its user; no identity number.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    required=True,
    help="A mandate to act, or a consent to the use of data.",
)
@click.option("--project", default="", help="Project or scene; empty: whatever the recipient does.")
@click.option("--person", default="", help="Account of the user at this node, if there is one.")
@click.option("--text-version", required=True, help="Which text the user agreed to.")
@click.option("--text-file", type=FILE, required=True, help="The text; its SHA-256 is sent.")
@click.option("--from", "start", required=True, help="First day, YYYY-MM-DD.")
@click.option("--until", "end", default="", help="Day after the last one.")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def give(session: Session, /, region_name: str, role: str | None, **values: Any) -> None:  # noqa: ANN401
    """Record what one user gave."""
    one = consents_pb2.Consent(
        kind=KINDS[values["kind"]],
        recipient_account_id=values["account"],
        project_id=values["project"],
        user_token=values["user"],
        account_id=values["person"],
        text_version=values["text_version"],
        text_digest=digest_of_file(values["text_file"]),
        start_date=_day(values["start"], "--from"),
        end_date=_day(values["end"], "--until") if values["end"] else None,
    )
    request = consents_pb2.RecordConsentsRequest(
        request_id=values["request_id"] or new_request_id(), consents=[one]
    )
    _record(session, region_name, role, request)


@consent.command("record", cls=Verb)
@acting
@click.argument("file", type=FILE)
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def record(session: Session, region_name: str, role: str | None, file: Path, request_id: str | None) -> None:
    """Record what many users gave: FILE is a RecordConsentsRequest in JSON, at most 1,000 of them."""
    request = read_message(file, consents_pb2.RecordConsentsRequest())
    request.request_id = request_id or new_request_id()
    if not request.consents:
        raise DomainError("FIELD_MISSING", field="consents")
    _record(session, region_name, role, request)


@consent.command("withdraw", cls=Verb)
@acting
@click.argument("consent_id")
@click.option("--request-id", help="Same id and same content: the first answer again.")
@click.pass_obj
def withdraw(
    session: Session, region_name: str, role: str | None, consent_id: str, request_id: str | None
) -> None:
    """Take a mandate or consent back; what was issued stays."""
    client = client_for(session, region_name, "accounts", role)
    request = consents_pb2.WithdrawConsentRequest(
        request_id=request_id or new_request_id(), consent_id=consent_id
    )
    session.output.message(client.consents.WithdrawConsent(request).consent)


@consent.command("list", cls=Verb)
@acting
@click.option("--account", required=True, help="Account that they were given to.")
@click.option("--user", default="", help="Only those of this user.")
@click.option("--page-token", default="", help="As the page before gave it.")
@click.pass_obj
def list_consents(
    session: Session, region_name: str, role: str | None, account: str, user: str, page_token: str
) -> None:
    """List a page of what was given to an account, oldest first, withdrawn ones too."""
    request = consents_pb2.ListConsentsRequest(
        recipient_account_id=account, user_token=user, page_size=PAGE_SIZE, page_token=page_token
    )
    answer = client_for(session, region_name, "accounts", role).consents.ListConsents(request)
    session.output.rows(
        ("编号 consent", "种类 kind", "状态 state", "用户 user", "文本 text", "自 from", "撤回 withdrawn"),
        [
            (
                one.consent_id,
                consents_pb2.ConsentKind.Name(one.kind).removeprefix("CONSENT_KIND_"),
                consents_pb2.ConsentState.Name(one.state).removeprefix("CONSENT_STATE_"),
                one.user_token,
                one.text_version,
                date_text(one.start_date),
                date_text(one.withdraw_date) if one.HasField("withdraw_date") else "–",
            )
            for one in answer.consents
        ],
        json_value=message_fields(answer),
    )


def _record(
    session: Session, region_name: str, role: str | None, request: consents_pb2.RecordConsentsRequest
) -> None:
    recipient = request.consents[0].recipient_account_id
    client = holder_client(session, region_name, "operate", role, recipient)
    session.output.message(client.consents.RecordConsents(request))


def _day(text: str, option: str) -> values_pb2.Date:
    try:
        return to_date(date.fromisoformat(text))
    except ValueError:
        raise DomainError("FIELD_INVALID", field=option, detail=text[:32]) from None
