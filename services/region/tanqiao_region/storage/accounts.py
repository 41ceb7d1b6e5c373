"""Accounts, receiving addresses and the operators' references to persons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage.tables import account, person_data, receiving_address

OPEN: Final = 1
CLOSED: Final = 2

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

    @property
    def is_open(self) -> bool:
        """Whether it takes business."""
        return self.state == OPEN


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
            )
            for row in rows
        ],
    )


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
    opened_by: str | None,
    after: str,
    limit: int,
) -> list[AccountRow]:
    """Give a page of accounts in the order of their ids.

    Args:
        connection: inside a transaction.
        kind: only this kind; 0: all.
        operator_account_id: only persons of this operator; empty: all.
        opened_by: who may see the persons among them: those opened by this party, or every one for None.
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
    if opened_by is not None:
        statement = statement.where(sa.or_(account.c.kind != KIND_PERSON, account.c.opened_by == opened_by))
    return [_account(tuple(row)) for row in connection.execute(statement)]
