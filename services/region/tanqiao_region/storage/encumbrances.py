"""Encumbrances, the blocks under them now, and who signed their release."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao_region.storage.encumbrance_tables import (
    encumbered_block,
    encumbrance,
    encumbrance_signature,
    release_statement,
)
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks

IN_FORCE: Final = 1
RELEASED: Final = 2
HOLDER: Final = 1
CREDITOR: Final = 2


class EncumbranceRow(NamedTuple):
    """An encumbrance as stored; `release_date` is empty while it is in force."""

    encumbrance_id: bytes
    account_id: str
    creditor_account_id: str
    state: int
    blocks: tuple[UnitBlock, ...]
    document_reference: str
    document_digest: bytes
    begin_date: str
    release_date: str
    journal_index: int


class EncumberedBlock(NamedTuple):
    """Units that are encumbered now."""

    block: UnitBlock
    account_id: str
    encumbrance_id: bytes


class SignatureRow(NamedTuple):
    """One side's signature under a release."""

    encumbrance_id: bytes
    release_digest: bytes
    side: int
    party: str
    document_reference: str
    signed_at: int


class StatementRow(NamedTuple):
    """What one side signed; certificates as PEM, `judged_at` in seconds."""

    encumbrance_id: bytes
    release_digest: bytes
    side: int
    statement: bytes
    signature: bytes
    certificate: bytes
    authority_certificate: bytes
    judged_at: int


def insert_encumbrance(connection: sa.Connection, row: EncumbranceRow) -> None:
    """Put an encumbrance in force."""
    values = (*row[:4], pack_blocks(row.blocks), *row[5:8], row.release_date or None, row.journal_index)
    insert_rows(connection, encumbrance, [values])
    insert_rows(
        connection,
        encumbered_block,
        [(one.series_id, one.start, one.end, row.account_id, row.encumbrance_id) for one in row.blocks],
    )


def set_released(connection: sa.Connection, encumbrance_id: bytes, release_date: str) -> None:
    """End an encumbrance: its units are free."""
    connection.execute(
        sa.update(encumbrance)
        .where(encumbrance.c.encumbrance_id == encumbrance_id)
        .values(state=RELEASED, release_date=release_date)
    )
    connection.execute(sa.delete(encumbered_block).where(encumbered_block.c.encumbrance_id == encumbrance_id))


def take_out(connection: sa.Connection, blocks: Sequence[UnitBlock]) -> None:
    """Let units that have left this node's books be no longer encumbered here."""
    for block in blocks:
        columns = encumbered_block.c
        touched = sa.and_(
            columns.series_id == block.series_id,
            columns.start_serial < block.end,
            columns.end_serial > block.start,
        )
        found = [_block_row(row) for row in connection.execute(sa.select(encumbered_block).where(touched))]
        if found:
            connection.execute(sa.delete(encumbered_block).where(touched))
            insert_rows(
                connection,
                encumbered_block,
                [
                    (rest.series_id, rest.start, rest.end, one.account_id, one.encumbrance_id)
                    for one in found
                    for rest in subtract_blocks((one.block,), (block,))
                ],
            )


def load_encumbrance(connection: sa.Connection, encumbrance_id: bytes) -> EncumbranceRow | None:
    """Give an encumbrance, None if there is none."""
    row = connection.execute(
        sa.select(encumbrance).where(encumbrance.c.encumbrance_id == encumbrance_id)
    ).first()
    return None if row is None else _row(row)


def list_encumbrances(
    connection: sa.Connection, *, account_id: str, after: int, limit: int
) -> list[EncumbranceRow]:
    """Give a page in the order of their entries in the journal, those of an account or all of them."""
    columns = encumbrance.c
    found = sa.select(encumbrance).where(columns.journal_index > after)
    if account_id:
        found = found.where(
            sa.or_(columns.account_id == account_id, columns.creditor_account_id == account_id)
        )
    return [_row(row) for row in connection.execute(found.order_by(columns.journal_index).limit(limit))]


def load_encumbered(
    connection: sa.Connection, account_ids: Iterable[str]
) -> dict[str, list[EncumberedBlock]]:
    """Give what is encumbered now of some accounts, each account's in order of serials."""
    wanted = [(account_id,) for account_id in dict.fromkeys(account_ids)]
    found: dict[str, list[EncumberedBlock]] = {}
    for row in sorted(rows_by_key(connection, encumbered_block, ("account_id",), wanted)):
        one = EncumberedBlock(UnitBlock(row[0], row[1], row[2]), row[3], bytes(row[4]))
        found.setdefault(one.account_id, []).append(one)
    return found


def encumbered_kg(connection: sa.Connection, account_id: str) -> int:
    """Give how many kilograms of an account are encumbered."""
    columns = encumbered_block.c
    span = sa.func.sum(columns.end_serial - columns.start_serial)
    return int(connection.execute(sa.select(span).where(columns.account_id == account_id)).scalar() or 0)


def all_encumbered(connection: sa.Connection) -> list[EncumberedBlock]:
    """Give everything that is encumbered now: for fsck."""
    return [_block_row(row) for row in connection.execute(sa.select(encumbered_block))]


def insert_signature(connection: sa.Connection, row: SignatureRow) -> None:
    """Keep a signature under a release for ever."""
    insert_rows(connection, encumbrance_signature, [row])


def load_signatures(connection: sa.Connection, encumbrance_ids: Iterable[bytes]) -> list[SignatureRow]:
    """Give the signatures under the releases of some encumbrances, oldest first."""
    wanted = [(encumbrance_id,) for encumbrance_id in dict.fromkeys(encumbrance_ids)]
    rows = rows_by_key(connection, encumbrance_signature, ("encumbrance_id",), wanted)
    found = [SignatureRow(bytes(row[0]), bytes(row[1]), *row[2:]) for row in rows]
    return sorted(found, key=lambda row: (row.signed_at, row.side, row.release_digest))


def insert_statement(connection: sa.Connection, row: StatementRow) -> None:
    """Keep what a side has signed for ever."""
    insert_rows(connection, release_statement, [row])


def load_statements(
    connection: sa.Connection, encumbrance_ids: Iterable[bytes]
) -> dict[tuple[bytes, bytes, int], StatementRow]:
    """Give what was signed under the releases of some encumbrances, by encumbrance, release and side."""
    wanted = [(encumbrance_id,) for encumbrance_id in dict.fromkeys(encumbrance_ids)]
    rows = rows_by_key(connection, release_statement, ("encumbrance_id",), wanted)
    found = [
        StatementRow(
            bytes(row[0]),
            bytes(row[1]),
            row[2],
            bytes(row[3]),
            bytes(row[4]),
            bytes(row[5]),
            bytes(row[6]),
            row[7],
        )
        for row in rows
    ]
    return {one[:3]: one for one in found}


def _row(row: sa.Row[Any]) -> EncumbranceRow:
    return EncumbranceRow(
        bytes(row.encumbrance_id),
        row.account_id,
        row.creditor_account_id,
        row.state,
        unpack_blocks(bytes(row.blocks)),
        row.document_reference,
        bytes(row.document_digest),
        row.begin_date,
        row.release_date or "",
        row.journal_index,
    )


def _block_row(row: sa.Row[Any]) -> EncumberedBlock:
    block = UnitBlock(row.series_id, row.start_serial, row.end_serial)
    return EncumberedBlock(block, row.account_id, bytes(row.encumbrance_id))
