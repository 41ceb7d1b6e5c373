"""fsck of encumbrances: what is encumbered now follows from the journal, and is held where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.locations import LocationBook
from tanqiao.rpc.protocol_facts import block_of
from tanqiao_region.application import journal
from tanqiao_region.application.encumbrances import content_sha256
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.release_statements import check_release
from tanqiao_region.storage import encumbrances as store
from tanqiao_region.storage.encumbrances import EncumbranceRow
from tanqiao_region.storage.holdings import Place
from tanqiao_region.storage.packing import unpack_blocks
from tanqiao_region.storage.tables import journal as journal_table

ROWS_PER_PAGE: Final = 500

Encumbered = dict[str, tuple[str, tuple[UnitBlock, ...]]]
"""Encumbrance id in hexadecimal → who holds the units, and which."""


def check_encumbrances(
    connection: sa.Connection, holdings: LocationBook[Place], note: Callable[[str], None]
) -> int:
    """Compare what is encumbered with what the journal gives; the number of encumbrances.

    Args:
        connection: a snapshot.
        holdings: the books as the journal gives them.
        note: takes a finding.
    """
    rebuilt = _rebuilt(connection)
    stored = {
        (one.encumbrance_id.hex(), one.account_id, str(one.block)) for one in store.all_encumbered(connection)
    }
    expected = {
        (encumbrance_id, account_id, str(block))
        for encumbrance_id, (account_id, blocks) in rebuilt.items()
        for block in blocks
    }
    for encumbrance_id, account_id, block in sorted(stored - expected):
        note(f"{block} of {account_id} is encumbered by {encumbrance_id} against the journal")
    for encumbrance_id, account_id, block in sorted(expected - stored):
        note(f"{block} of {account_id} is encumbered by {encumbrance_id} in the journal alone")
    for encumbrance_id, (account_id, blocks) in rebuilt.items():
        for missing in holdings.elsewhere(blocks, held_by(account_id)):
            note(f"encumbrance {encumbrance_id}: {missing} is not held by {account_id}")
    return _check_rows(connection, rebuilt, note)


def _rebuilt(connection: sa.Connection) -> Encumbered:
    found: Encumbered = {}
    for entry in _entries(connection):
        if entry.kind == journal.UNITS_ENCUMBERED:
            blocks = unpack_blocks(entry.details["blocks"].encode())
            found[entry.subject_id] = (entry.effects[0].account_id, blocks)
        elif entry.kind == journal.ENCUMBRANCE_RELEASED:
            found.pop(entry.subject_id, None)
        else:
            gone = [block_of(block) for effect in entry.effects for block in effect.removed]
            for encumbrance_id, (account_id, blocks) in found.items():
                found[encumbrance_id] = (account_id, subtract_blocks(blocks, gone))
    return found


def _entries(connection: sa.Connection) -> Iterator[journal_pb2.JournalEntry]:
    columns = journal_table.c
    kinds = (journal.UNITS_ENCUMBERED, journal.ENCUMBRANCE_RELEASED, journal.UNITS_CORRECTED)
    rows = connection.execute(
        sa.select(columns.entry).where(columns.kind.in_(kinds)).order_by(columns.journal_index)
    )
    for row in rows:
        yield journal_pb2.JournalEntry.FromString(bytes(row.entry))


def _check_rows(connection: sa.Connection, rebuilt: Encumbered, note: Callable[[str], None]) -> int:
    count, after = 0, 0
    while rows := store.list_encumbrances(connection, account_id="", after=after, limit=ROWS_PER_PAGE):
        entries = _contents(connection, rows)
        ids = [row.encumbrance_id for row in rows]
        signatures, statements = (
            store.load_signatures(connection, ids),
            store.load_statements(connection, ids),
        )
        for row in rows:
            shown = row.encumbrance_id.hex()
            own = [one for one in signatures if one.encumbrance_id == row.encumbrance_id]
            check_release(row, bytes.fromhex(content_sha256(row)), own, statements, note)
            if entries.get(row.journal_index) != content_sha256(row):
                note(f"encumbrance {shown} is not what its journal entry says")
            if (row.state == store.IN_FORCE) != (shown in rebuilt):
                note(f"encumbrance {shown} is not in the state that the journal gives")
        count += len(rows)
        after = rows[-1].journal_index
    return count


def _contents(connection: sa.Connection, rows: list[EncumbranceRow]) -> dict[int, str]:
    columns = journal_table.c
    indexes = [row.journal_index for row in rows]
    found = connection.execute(
        sa.select(columns.journal_index, columns.entry).where(columns.journal_index.in_(indexes))
    )
    return {
        row.journal_index: journal_pb2.JournalEntry.FromString(bytes(row.entry)).details["content_sha256"]
        for row in found
    }
