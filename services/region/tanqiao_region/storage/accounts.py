"""Accounts, receiving addresses and the operators' references to persons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.tables import account, person_data, receiving_address

OPEN: Final = 1
CLOSED: Final = 2
OPERATORS_SHOWN_MAX: Final = 20

KIND_AUTHORITY: Final = 1
KIND_EXCHANGE: Final = 2
KIND_ENTERPRISE: Final = 3
KIND_SMALL_BUSINESS: Final = 4
KIND_PERSON: Final = 5
KIND_DATA_OPERATOR: Final = 6
KIND_EXTERNAL_BUYER: Final = 7
KIND_COVERED_EMITTER: Final = 8
KIND_SUSPENSE: Final = 9


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as stored; kinds and states are those of the wire contract."""

    account_id: str
    kind: int
    state: int
    display_name: str
    uscc: str
    operator_account_id: str | None
    seat: str
    invented: bool
    pseudonym: bytes
    opened_at: int
    opened_by: str
    suspense_of: str = ""
    holder_party: str = ""
    owner_id: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it takes business."""
        return self.state == OPEN

    def has_owner_of(self, other: AccountRow) -> bool:
        """Whether both are one owner's: by what was found at opening, or by the credit code."""
        return self.owner_id == other.owner_id or bool(self.uscc and self.uscc == other.uscc)

    @property
    def is_personal(self) -> bool:
        """Whether a natural person stands behind it, also where it keeps their units in suspense."""
        keeps_a_persons = self.kind == KIND_SUSPENSE and bool(self.operator_account_id) and not self.uscc
        return self.kind == KIND_PERSON or keeps_a_persons


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads accounts, and how far.

    Args:
        party: sees the accounts whose `holder_party` it is, and those of that account's users.
        organisations: an office that the law lets look: sees the account of every organisation.
        opened: an office that keeps accounts: sees the personal accounts that it opened itself as well.
    """

    party: str
    organisations: bool = False
    opened: bool = False


@dataclass(frozen=True, slots=True)
class PersonRow:
    """What an operator calls one of its users, sealed."""

    account_id: str
    operator_account_id: str
    reference_index: bytes
    operator_reference: bytes
    wrapped_key: bytes


_COLUMNS: Final = tuple(account.columns.keys())


def load_accounts(connection: sa.Connection, account_ids: Iterable[str]) -> dict[str, AccountRow]:
    """Give the accounts that exist, by id."""
    wanted = [(account_id,) for account_id in dict.fromkeys(account_ids)]
    rows = rows_by_key(connection, account, ("account_id",), wanted, _COLUMNS)
    return {row[0]: _account(row) for row in rows}


def load_suspense_accounts(connection: sa.Connection, account_ids: Iterable[str]) -> dict[str, AccountRow]:
    """Give the suspense accounts of closed accounts, by the id of the closed one."""
    wanted = [(account_id,) for account_id in dict.fromkeys(account_ids)]
    rows = rows_by_key(connection, account, ("suspense_of",), wanted, _COLUMNS)
    return {row[11]: _account(row) for row in rows}


def find_by_pseudonym(connection: sa.Connection, pseudonym: bytes) -> str | None:
    """Give the account of an organisation's pseudonym; asked in a recovery alone, there is no index."""
    found = connection.execute(
        sa.select(account.c.account_id).where(account.c.pseudonym == pseudonym)
    ).first()
    return None if found is None else str(found.account_id)


def _account(row: Sequence[Any]) -> AccountRow:
    account_id, kind, state, name, uscc, operator, seat, invented, pseudonym, *rest = row
    return AccountRow(
        account_id, kind, state, name, uscc, operator, seat, bool(invented), bytes(pseudonym), *rest
    )


def insert_accounts(connection: sa.Connection, rows: Sequence[AccountRow]) -> None:
    """Open accounts."""
    insert_rows(
        connection,
        account,
        [
            (
                row.account_id,
                row.kind,
                row.state,
                row.display_name,
                row.uscc,
                row.operator_account_id,
                row.seat,
                row.invented,
                row.pseudonym,
                row.opened_at,
                row.opened_by,
                row.suspense_of,
                row.holder_party,
                row.owner_id or row.account_id,
            )
            for row in rows
        ],
    )


def open_operators(connection: sa.Connection) -> list[str]:
    """Give the names of data-platform operators with an open account, at most `OPERATORS_SHOWN_MAX`."""
    columns = account.c
    statement = (
        sa.select(columns.display_name)
        .where(columns.kind == KIND_DATA_OPERATOR, columns.state == OPEN)
        .order_by(columns.account_id)
        .limit(OPERATORS_SHOWN_MAX)
    )
    return list(connection.execute(statement).scalars())


def set_holder_party(connection: sa.Connection, account_id: str, party: str) -> None:
    """Say whose certificate acts for an account; empty: nobody's."""
    update_by_key(connection, account, ("account_id",), ("holder_party",), [(account_id, party)])


def set_closed(connection: sa.Connection, account_id: str) -> None:
    """Close an account."""
    update_by_key(connection, account, ("account_id",), ("state",), [(account_id, CLOSED)])


def insert_persons(connection: sa.Connection, rows: Sequence[PersonRow]) -> None:
    """Keep the sealed references of persons."""
    insert_rows(
        connection,
        person_data,
        [
            (
                row.account_id,
                row.operator_account_id,
                row.reference_index,
                row.operator_reference,
                row.wrapped_key,
            )
            for row in rows
        ],
    )


def delete_persons(connection: sa.Connection, account_ids: Iterable[str]) -> None:
    """Forget what the operators call the persons behind these accounts, with the keys that read it."""
    delete_by_key(connection, person_data, ("account_id",), [(one,) for one in account_ids])


def known_references(
    connection: sa.Connection, keys: Iterable[tuple[str, bytes]]
) -> dict[tuple[str, bytes], str]:
    """Give the accounts that exist for (operator account, reference index)."""
    rows = rows_by_key(
        connection,
        person_data,
        ("operator_account_id", "reference_index"),
        list(dict.fromkeys(keys)),
        ("operator_account_id", "reference_index", "account_id"),
    )
    return {(row[0], bytes(row[1])): row[2] for row in rows}


def load_persons(connection: sa.Connection, account_ids: Iterable[str]) -> dict[str, PersonRow]:
    """Give the sealed references of these accounts."""
    wanted = [(account_id,) for account_id in dict.fromkeys(account_ids)]
    rows = rows_by_key(connection, person_data, ("account_id",), wanted)
    return {row[0]: PersonRow(row[0], row[1], bytes(row[2]), bytes(row[3]), bytes(row[4])) for row in rows}


def insert_address(connection: sa.Connection, address: str, account_id: str, created_at: int) -> None:
    """Keep a new receiving address."""
    insert_rows(connection, receiving_address, [(address, account_id, created_at)])


def load_addresses(connection: sa.Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Give the account behind each address that exists."""
    wanted = [(address,) for address in dict.fromkeys(addresses)]
    rows = rows_by_key(
        connection,
        receiving_address,
        ("receiving_address",),
        wanted,
        ("receiving_address", "account_id"),
    )
    return {row[0]: row[1] for row in rows}


def list_accounts(
    connection: sa.Connection,
    *,
    kind: int,
    operator_account_id: str,
    viewer: Viewer | None,
    after: str,
    limit: int,
) -> list[AccountRow]:
    """Give a page of accounts in the order of their ids.

    Args:
        connection: inside a transaction.
        kind: only this kind; 0: all.
        operator_account_id: only users of this operator; empty: all.
        viewer: only what this one may see; None: everything.
        after: id behind which the page begins.
        limit: most rows.
    """
    statement = (
        sa.select(account).where(account.c.account_id > after).order_by(account.c.account_id).limit(limit)
    )
    if kind:
        statement = statement.where(account.c.kind == kind)
    if operator_account_id:
        statement = statement.where(account.c.operator_account_id == operator_account_id)
    if viewer is not None:
        statement = statement.where(_seen_by(viewer))
    return [_account(tuple(row)) for row in connection.execute(statement)]


# -- who sees what -------------------------------------------------------------------------------------------

_PERSONAL: Final = sa.or_(
    account.c.kind == KIND_PERSON,
    sa.and_(
        account.c.kind == KIND_SUSPENSE, account.c.operator_account_id.is_not(None), account.c.uscc == ""
    ),
)
"""The same as `AccountRow.is_personal`."""


def _own(viewer: Viewer) -> sa.ColumnElement[bool]:
    operator = account.alias("operator")
    its_users = sa.select(operator.c.account_id).where(operator.c.holder_party == viewer.party)
    own = [account.c.holder_party == viewer.party, account.c.operator_account_id.in_(its_users)]
    if viewer.opened:
        own.append(account.c.opened_by == viewer.party)
    return sa.or_(*own)


def _seen_by(viewer: Viewer) -> sa.ColumnElement[bool]:
    return sa.or_(~_PERSONAL, _own(viewer)) if viewer.organisations else _own(viewer)


def seen_among(column: sa.ColumnElement[str], viewer: Viewer) -> sa.ColumnElement[bool]:
    """Give the condition that the account named in a column is one that the viewer may see.

    An empty name is no account: an office sees such a row, nobody else does.
    """
    if viewer.organisations:
        hidden = sa.select(account.c.account_id).where(_PERSONAL, ~_own(viewer))
        return column.not_in(hidden)
    return column.in_(sa.select(account.c.account_id).where(_own(viewer)))


def seen_of(connection: sa.Connection, account_ids: Iterable[str], viewer: Viewer) -> frozenset[str]:
    """Give those of the accounts that the viewer may see."""
    wanted = sorted(set(account_ids))
    statement = sa.select(account.c.account_id).where(account.c.account_id.in_(wanted), _seen_by(viewer))
    return frozenset(connection.execute(statement).scalars()) if wanted else frozenset()


def see(connection: sa.Connection, account_id: str, viewer: Viewer) -> tuple[AccountRow | None, bool]:
    """Give an account, and whether the viewer may see it; None and False where there is none."""
    row = connection.execute(
        _account_and_seen(viewer.organisations, viewer.opened),
        {"of_account": account_id, "party": viewer.party},
    ).first()
    return (None, False) if row is None else (_account(tuple(row)[:-1]), bool(row[-1]))


@cache
def _account_and_seen(organisations: bool, opened: bool) -> sa.Select[Any]:  # noqa: FBT001 - fields of a Viewer
    """Give the statement of `see`, made once: making it costs many times what it takes to run."""
    party = sa.bindparam("party", type_=account.c.holder_party.type)
    seen = _seen_by(Viewer(party, organisations, opened))  # type: ignore[arg-type]  # stands for every party
    return sa.select(*account.c, sa.case((seen, 1), else_=0).label("seen")).where(
        account.c.account_id == sa.bindparam("of_account")
    )
