"""Users' mandates and consents (SZ-20c, d): recorded by whom they were given to, withdrawn at any time.

A record of behaviour is taken only under a mandate that covers its days and a consent that stands; a
withdrawal stops intake and use from that moment, and what was issued stays. A user is a token of the
recipient's: a trip names it, and of metered activity it is the meter. Nothing here leaves the region, and the
journal holds digests alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import consents_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX, ID_BYTES, parse_id_hex
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import (
    optional_text,
    parse_wire_date,
    require_bytes,
    require_count,
    require_enum,
    require_text,
)
from tanqiao_region.application import journal
from tanqiao_region.application.access import OFFICE, offices_of, require_acting_for
from tanqiao_region.application.accounts import is_identity_number
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once, require_id, require_owner
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import accounts as account_store
from tanqiao_region.storage import consents as store
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR, KIND_PERSON, AccountRow
from tanqiao_region.storage.consents import CONSENT, GIVEN, MANDATE, WITHDRAWN, ConsentRow

RECORDS_PER_CALL_MAX: Final = 1000
TOKEN_LENGTH_MAX: Final = 64
VERSION_LENGTH_MAX: Final = 64
DIGEST_BYTES: Final = 32
DAYS_KEPT_MAX: Final = 4096
SHOWN_MAX: Final = 20
"""Most records that a refusal names."""


class UserRecord(Protocol):
    """A record of a user's behaviour, as the intake has it."""

    @property
    def order_id(self) -> str:
        """Reference by which a refusal names it."""
        ...  # pragma: no cover - a protocol has no body

    @property
    def day(self) -> str:
        """Its first legal day, ISO."""
        ...  # pragma: no cover - a protocol has no body

    @property
    def last_day(self) -> str:
        """Its last legal day, ISO."""
        ...  # pragma: no cover - a protocol has no body

    @property
    def user_token(self) -> str:
        """What the recipient calls its user."""
        ...  # pragma: no cover - a protocol has no body


@dataclass(frozen=True, slots=True)
class Standing:
    """What speaks against records of users: as the facts of an intake have it."""

    outside_mandate: tuple[str, ...] = ()
    without_consent: int = 0
    withdrawn: int = 0


class Consents:
    """Records and withdraws, and shows what stands.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
    """

    def __init__(self, context: RegionContext, database: Database, submit: Submit) -> None:
        self._context = context
        self._database = database
        self._submit = submit

    def record(
        self, ask: Ask, request: consents_pb2.RecordConsentsRequest
    ) -> consents_pb2.RecordConsentsResponse:
        """Record mandates and consents, all or none; the same again changes nothing."""
        kept = self._submit(lambda group: once(group, ask, lambda: _record(group, ask.by, request)))
        return consents_pb2.RecordConsentsResponse.FromString(kept)

    def withdraw(
        self, ask: Ask, request: consents_pb2.WithdrawConsentRequest
    ) -> consents_pb2.WithdrawConsentResponse:
        """Take a mandate or a consent back."""
        kept = self._submit(lambda group: once(group, ask, lambda: _withdraw(group, ask.by, request)))
        return consents_pb2.WithdrawConsentResponse.FromString(kept)

    def page(
        self, recipient: str, token: str, by: By, after: tuple[int, bytes], limit: int
    ) -> list[consents_pb2.Consent]:
        """Give a page of what was given to an account, to its holder and to the offices that keep accounts.

        Raises:
            DomainError: ACCOUNT_UNKNOWN, ACCOUNT_OF_ANOTHER.
        """
        today = legal_date(self._context.now())
        with self._database.reading() as connection:
            account = account_store.load_accounts(connection, [recipient]).get(recipient)
            if account is None:
                raise DomainError("ACCOUNT_UNKNOWN", field="recipient_account_id", account_id=recipient[:32])
            keeps = by.party.startswith(OFFICE) and offices_of(self._context.pack(today)).keep(by)
            if not keeps and account.holder_party != by.party:
                raise DomainError("ACCOUNT_OF_ANOTHER", caller=by.party, action="ListConsents")
            rows = store.list_consents(connection, recipient, token, after=after, limit=limit)
        return [message_of(row, today.isoformat()) for row in rows]


def message_of(row: ConsentRow, today: str) -> consents_pb2.Consent:
    """Give a mandate or consent as it is shown on a day."""
    return consents_pb2.Consent(
        consent_id=row.consent_id.hex(),
        kind=row.kind,  # type: ignore[arg-type]  # numbers of the enumeration
        recipient_account_id=row.recipient_account_id,
        project_id=row.project_id,
        user_token=row.user_token,
        account_id=row.account_id,
        text_version=row.text_version,
        text_digest=row.text_digest,
        start_date=date_message(row.start_date),
        end_date=date_message(row.end_date) if row.end_date else None,
        state=row.state_on(today),  # type: ignore[arg-type]
        give_time=Timestamp(seconds=row.given_at),
        withdraw_date=date_message(row.withdraw_date) if row.withdraw_date else None,
        journal_index=row.journal_index,
        withdraw_journal_index=row.withdraw_journal_index or 0,
    )


@dataclass(frozen=True, slots=True)
class MeteredRecord:
    """Metered activity as a record of a user, who is named by the meter; `end_date` is the day after."""

    meter: str
    start_date: str
    end_date: str

    @property
    def order_id(self) -> str:
        """Meter and period."""
        return f"{self.meter} {self.start_date}/{self.end_date}"

    @property
    def day(self) -> str:
        """First day."""
        return self.start_date

    @property
    def last_day(self) -> str:
        """Last day."""
        return day_before(self.end_date)

    @property
    def user_token(self) -> str:
        """The meter."""
        return self.meter


@lru_cache(maxsize=DAYS_KEPT_MAX)
def day_before(day: str) -> str:
    """Give the day before, ISO; many records end on the same one."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def standing_of(
    group: Group, recipient: AccountRow, project_id: str, slices: Iterable[Sequence[UserRecord]]
) -> Standing:
    """Say what speaks against records that come in pieces; they are looked at only where users count."""
    asks_users = recipient.kind == KIND_DATA_OPERATOR
    if not (asks_users or store.has_consents(group.connection, recipient.account_id)):
        return Standing()
    found = Standing()
    for records in slices:
        one = standing(group, recipient, project_id, records)
        room = SHOWN_MAX + 1 - len(found.outside_mandate)
        found = Standing(
            found.outside_mandate + one.outside_mandate[: max(0, room)],
            found.without_consent + one.without_consent,
            found.withdrawn + one.withdrawn,
        )
    return found


def standing(group: Group, recipient: AccountRow, project_id: str, records: Sequence[UserRecord]) -> Standing:
    """Say what speaks against records that a recipient hands in today.

    Only a data-platform operator needs its users' mandate and consent (SZ-20); what a user has taken back
    counts against whoever hands in.
    """
    tokens = {record.user_token for record in records}
    given: dict[str, list[ConsentRow]] = {}
    for row in store.consents_of(group.connection, recipient.account_id, tokens):
        if row.covers(project_id):
            given.setdefault(row.user_token, []).append(row)
    today = group.legal_date_text
    outside = [one.order_id for one in records if not _covered(given.get(one.user_token, ()), one)]
    without = [one for one in records if not _consented(given.get(one.user_token, ()), today)]
    taken_back = {
        token
        for token, rows in given.items()
        if not _consented(rows, today) and any(row.kind == CONSENT and row.state == WITHDRAWN for row in rows)
    }
    withdrawn = sum(one.user_token in taken_back for one in records)
    if recipient.kind != KIND_DATA_OPERATOR:
        return Standing(withdrawn=withdrawn)
    shown = outside[:SHOWN_MAX] + (["…"] if len(outside) > SHOWN_MAX else [])
    return Standing(tuple(shown), len(without), withdrawn)


def _covered(rows: Iterable[ConsentRow], record: UserRecord) -> bool:
    """Whether one mandate covers all days of a record; one that was withdrawn covers the days before."""
    return any(
        row.kind == MANDATE
        and row.start_date <= record.day
        and not row.ended(record.last_day)
        and not (row.withdraw_date and row.withdraw_date <= record.last_day)
        for row in rows
    )


def _consented(rows: Iterable[ConsentRow], today: str) -> bool:
    return any(row.kind == CONSENT and row.state_on(today) == GIVEN for row in rows)


# -- one transaction each


def _record(
    group: Group, by: By, request: consents_pb2.RecordConsentsRequest
) -> consents_pb2.RecordConsentsResponse:
    require_count(request.consents, "consents", limit=RECORDS_PER_CALL_MAX)
    field = "consents[0].recipient_account_id"
    recipient = require_owner(group, optional_text(request.consents[0].recipient_account_id, field), field)
    verdict = _ask_rules(group, by, acts.RecordConsent, recipient)
    rows = [
        _checked(group, one, recipient, f"consents[{position}]")
        for position, one in enumerate(request.consents)
    ]
    _require_users(group, recipient, rows)
    known = {_key(row): row for row in _in_force(group, recipient, rows)}
    fresh: list[ConsentRow] = []
    ids: list[str] = []
    over: list[tuple[bytes, int, str, int | None]] = []
    seen: set[tuple[str, int, str]] = set()
    for position, row in enumerate(rows):
        key = _key(row)
        if key in seen:
            raise DomainError(
                "DUPLICATE_KEY",
                field=f"consents[{position}].user_token",
                key=row.user_token,
                where="consents",
            )
        seen.add(key)
        before = known.get(key)
        if before is not None and not before.ended(group.legal_date_text):
            if _content(before) != _content(row):
                raise DomainError(
                    "ALREADY_EXISTS",
                    field=f"consents[{position}].user_token",
                    what="consent",
                    id=before.consent_id.hex(),
                )
            ids.append(before.consent_id.hex())
            continue
        if before is not None:
            over.append((before.consent_id, store.EXPIRED, "", None))
        fresh.append(row)
        ids.append(row.consent_id.hex())
    _write(group, by, recipient, verdict, fresh, over)
    return consents_pb2.RecordConsentsResponse(
        recorded_count=len(fresh), unchanged_count=len(rows) - len(fresh), consent_ids=ids
    )


def _write(
    group: Group,
    by: By,
    recipient: AccountRow,
    verdict: Verdict,
    fresh: list[ConsentRow],
    over: list[tuple[bytes, int, str, int | None]],
) -> None:
    if not fresh:
        return
    index = group.journal.append(
        journal.CONSENTS_RECORDED,
        recipient.account_id,
        (journal.Effect(recipient.account_id),),
        applied=journal.Applied.of(verdict),
        details={"by": by.party, "records": str(len(fresh)), "digest": digest_of(fresh)},
    )
    store.set_states(group.connection, over)
    store.insert_consents(group.connection, [row._replace(journal_index=index) for row in fresh])


def _withdraw(
    group: Group, by: By, request: consents_pb2.WithdrawConsentRequest
) -> consents_pb2.WithdrawConsentResponse:
    consent_id = parse_id_hex(request.consent_id, field="consent_id")
    row = store.load_consent(group.connection, consent_id)
    if row is None:
        raise DomainError("NOT_FOUND", field="consent_id", what="consent", id=request.consent_id)
    recipient = group.load_accounts([row.recipient_account_id])[row.recipient_account_id]
    verdict = _ask_rules(group, by, acts.WithdrawConsent, recipient)
    if row.state == WITHDRAWN:  # what has run out is withdrawn too: records under it are used no more
        raise DomainError(
            "STATE_NOT_ALLOWED",
            what="授权 consent",
            id=request.consent_id,
            state="WITHDRAWN",
            needed=["GIVEN", "EXPIRED"],
        )
    withdrawn = end_consents(group, [row], by, verdict)[0]
    return consents_pb2.WithdrawConsentResponse(consent=message_of(withdrawn, group.legal_date_text))


def end_consents(
    group: Group, rows: Sequence[ConsentRow], by: By, verdict: Verdict | None
) -> list[ConsentRow]:
    """Withdraw mandates and consents that stand, each with its entry in the journal."""
    ended = []
    for row in rows:
        index = group.journal.append(
            journal.CONSENT_WITHDRAWN,
            row.consent_id.hex(),
            (journal.Effect(row.recipient_account_id),),
            applied=None if verdict is None else journal.Applied.of(verdict),
            details={"by": by.party},
        )
        ended.append(
            row._replace(state=WITHDRAWN, withdraw_date=group.legal_date_text, withdraw_journal_index=index)
        )
    store.set_states(
        group.connection,
        [(row.consent_id, row.state, row.withdraw_date, row.withdraw_journal_index) for row in ended],
    )
    return ended


def forget(group: Group, by: By, account_id: str) -> int:
    """Withdraw what the holder of an account gave, and forget that it was theirs; how many were withdrawn."""
    standing_rows = [row for row in store.of_account(group.connection, account_id) if row.state == GIVEN]
    end_consents(group, standing_rows, by, None)
    store.unlink(group.connection, account_id)
    return len(standing_rows)


def digest_of(rows: Iterable[ConsentRow]) -> str:
    """Give SHA-256, hexadecimal, over what was given, in the order of ids: what the journal knows of it."""
    digest = hashlib.sha256()
    for row in sorted(rows):
        for part in (row.consent_id, row.text_digest, "\t".join(map(str, _content(row))).encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


# -- what is given


def _ask_rules(
    group: Group, by: By, act: type[acts.RecordConsent | acts.WithdrawConsent], recipient: AccountRow
) -> Verdict:
    subject = subject_of(recipient, group.context.region_code)
    verdict = group.pack.require(act(**act_facts(group, by), recipient=subject))
    if not (act is acts.WithdrawConsent and offices_of(group.pack).keep(by)):
        require_acting_for(group, by, act.act(), recipient)
    return verdict


def _checked(group: Group, given: consents_pb2.Consent, recipient: AccountRow, at: str) -> ConsentRow:
    if given.recipient_account_id != recipient.account_id:
        detail = Bilingual("一次请求只能有一个接收方", "one request has one recipient")
        raise DomainError("FIELD_INVALID", field=f"{at}.recipient_account_id", detail=detail)
    token = require_text(given.user_token, f"{at}.user_token", length_max=TOKEN_LENGTH_MAX)
    if is_identity_number(token):
        detail = Bilingual("不得为证件号码", "no identity number")
        raise DomainError("FIELD_INVALID", field=f"{at}.user_token", detail=detail)
    start = parse_wire_date(given.start_date, f"{at}.start_date")
    end: values_pb2.Date | None = given.end_date if given.HasField("end_date") else None
    end_date = "" if end is None else parse_wire_date(end, f"{at}.end_date").isoformat()
    if end_date and end_date <= start.isoformat():
        raise DomainError("RANGE_REVERSED", field=f"{at}.end_date", start=start, end=end_date)
    return ConsentRow(
        group.context.random_bytes(ID_BYTES),
        int(require_enum(given.kind, f"{at}.kind", (MANDATE, CONSENT))),
        recipient.account_id,
        require_id(given.project_id, f"{at}.project_id") if given.project_id else "",
        token,
        optional_text(given.account_id, f"{at}.account_id", length_max=ACCOUNT_ID_LENGTH_MAX),
        require_text(given.text_version, f"{at}.text_version", length_max=VERSION_LENGTH_MAX),
        require_bytes(given.text_digest, DIGEST_BYTES, f"{at}.text_digest"),
        start.isoformat(),
        end_date,
        GIVEN,
        group.now,
        "",
        0,
    )


def _require_users(group: Group, recipient: AccountRow, rows: Sequence[ConsentRow]) -> None:
    """Refuse accounts that are not those of the recipient's own users."""
    named = {row.account_id for row in rows if row.account_id}
    found = group.load_accounts(sorted(named))
    for position, row in enumerate(rows):
        account = found.get(row.account_id)
        own = account is not None and account.kind == KIND_PERSON and account.is_open
        if row.account_id and not (own and account.operator_account_id == recipient.account_id):  # type: ignore[union-attr]
            field = f"consents[{position}].account_id"
            raise DomainError("ACCOUNT_UNKNOWN", field=field, account_id=row.account_id)


def _in_force(group: Group, recipient: AccountRow, rows: Sequence[ConsentRow]) -> list[ConsentRow]:
    found = store.consents_of(group.connection, recipient.account_id, {row.user_token for row in rows})
    return [row for row in found if row.state == GIVEN]


def _key(row: ConsentRow) -> tuple[str, int, str]:
    return row.project_id, row.kind, row.user_token


def _content(row: ConsentRow) -> tuple[object, ...]:
    return (*row[1:5], row.text_version, row.text_digest.hex(), row.start_date, row.end_date)
