"""Users' mandates and consents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.consent_tables import consent

MANDATE: Final = 1
CONSENT: Final = 2
GIVEN: Final = 1
WITHDRAWN: Final = 2
EXPIRED: Final = 3


class ConsentRow(NamedTuple):
    """A mandate or consent as stored; an open end and a day on which nothing was withdrawn are empty."""

    consent_id: bytes
    kind: int
    recipient_account_id: str
    project_id: str
    user_token: str
    account_id: str
    text_version: str
    text_digest: bytes
    start_date: str
    end_date: str
    state: int
    given_at: int
    withdraw_date: str
    journal_index: int
    withdraw_journal_index: int | None = None

    def ended(self, today: str) -> bool:
        """Whether its last day is over."""
        return bool(self.end_date) and self.end_date <= today

    def state_on(self, today: str) -> int:
        """Give the state in which it is shown."""
        return EXPIRED if self.state == GIVEN and self.ended(today) else self.state

    def covers(self, project_id: str) -> bool:
        """Whether it is for this project or for whatever the recipient does."""
        return self.project_id in ("", project_id)


def _row(values: Sequence[Any]) -> ConsentRow:
    row = ConsentRow(*values)
    return row._replace(consent_id=bytes(row.consent_id), text_digest=bytes(row.text_digest))


def insert_consents(connection: sa.Connection, rows: Sequence[ConsentRow]) -> None:
    """Record what was given."""
    insert_rows(connection, consent, rows)


def load_consent(connection: sa.Connection, consent_id: bytes) -> ConsentRow | None:
    """Give one, or None."""
    rows = rows_by_key(connection, consent, ("consent_id",), [(consent_id,)])
    return _row(rows[0]) if rows else None


def consents_of(connection: sa.Connection, recipient: str, tokens: Iterable[str]) -> list[ConsentRow]:
    """Give everything that these users gave a recipient, withdrawn ones too."""
    keys = [(recipient, token) for token in dict.fromkeys(tokens)]
    return [
        _row(row) for row in rows_by_key(connection, consent, ("recipient_account_id", "user_token"), keys)
    ]


def has_consents(connection: sa.Connection, recipient: str) -> bool:
    """Whether anybody ever gave a recipient anything."""
    columns = consent.c
    asked = sa.select(columns.consent_id).where(columns.recipient_account_id == recipient).limit(1)
    return connection.execute(asked).first() is not None


def withdrawn_tokens(connection: sa.Connection, recipient: str, project_id: str, today: str) -> set[str]:
    """Give the users who have taken back what they gave for a project and have not given it again."""
    columns = consent.c
    of_project = (
        columns.recipient_account_id == recipient,
        columns.project_id.in_(("", project_id)),
        columns.kind == CONSENT,
    )
    still = (columns.state == GIVEN) & sa.or_(columns.end_date == "", columns.end_date > today)
    rows = connection.execute(
        sa.select(columns.user_token)
        .where(*of_project)
        .group_by(columns.user_token)
        .having(sa.func.max(sa.case((still, 1), else_=0)) == 0)
        .having(sa.func.max(sa.case((columns.state == WITHDRAWN, 1), else_=0)) == 1)
    )
    return {row.user_token for row in rows}


def set_states(connection: sa.Connection, rows: Sequence[tuple[bytes, int, str, int | None]]) -> None:
    """Note (id, state, day of the withdrawal, index of its journal entry)."""
    update_by_key(
        connection,
        consent,
        ("consent_id",),
        ("state", "withdraw_date", "withdraw_journal_index"),
        rows,
    )


def of_account(connection: sa.Connection, account_id: str) -> list[ConsentRow]:
    """Give what the holder of an account gave."""
    return [_row(row) for row in rows_by_key(connection, consent, ("account_id",), [(account_id,)])]


def unlink(connection: sa.Connection, account_id: str) -> None:
    """Forget whose mandates and consents these were."""
    connection.execute(sa.update(consent).where(consent.c.account_id == account_id).values(account_id=""))


def list_consents(
    connection: sa.Connection, recipient: str, token: str, *, after: tuple[int, bytes], limit: int
) -> list[ConsentRow]:
    """Give a page of what was given to a recipient, in the order of journal entry and id."""
    columns = consent.c
    statement = (
        sa.select(consent)
        .where(
            columns.recipient_account_id == recipient,
            sa.or_(
                columns.journal_index > after[0],
                sa.and_(columns.journal_index == after[0], columns.consent_id > after[1]),
            ),
        )
        .order_by(columns.journal_index, columns.consent_id)
        .limit(limit)
    )
    if token:
        statement = statement.where(columns.user_token == token)
    return [_row(tuple(row)) for row in connection.execute(statement)]


def all_consents(connection: sa.Connection) -> Iterator[ConsentRow]:
    """Walk over everything that was given, in the order of its journal entries."""
    for row in connection.execute(sa.select(consent).order_by(consent.c.journal_index)):
        yield _row(tuple(row))
