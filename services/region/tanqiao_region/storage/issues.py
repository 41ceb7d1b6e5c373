"""Issuances as the line to the bridge sees them: reserved and offered, then issued or refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import IssueRecord, IssueState
from tanqiao_region.storage.tables import issuance


@dataclass(frozen=True, slots=True)
class NewIssuance:
    """An issuance as it begins; `issuance_id` is the issue's id in hexadecimal."""

    issuance_id: str
    project_id: str
    account_id: str
    start_date: str
    end_date: str
    series_id: str
    vintage_year: int
    batch_number: int
    start_serial: int
    end_serial: int
    carried_in_g: int
    carried_out_g: int
    payload: bytes
    message_hash: bytes
    signature_id: int
    item_index: int
    legal_date: str
    rule_pack_id: str
    rule_pack_version: str
    created_at: int


@dataclass(frozen=True, slots=True)
class IssuanceRow:
    """An issuance as stored: what its settlement needs."""

    record: IssueRecord
    issuance_id: str
    project_id: str
    account_id: str
    carried_in_g: int
    carried_out_g: int
    payload: bytes


_COLUMNS: Final = (
    "issuance_id",
    "state",
    "message_hash",
    "series_id",
    "start_serial",
    "end_serial",
    "receipt_hash",
    "project_id",
    "account_id",
    "carried_in_g",
    "carried_out_g",
    "payload",
)


def insert_issuance(connection: sa.Connection, row: NewIssuance) -> None:
    """Keep a new issuance in state ISSUING."""
    names = (*NewIssuance.__dataclass_fields__, "state", "receipt_hash", "receipt", "reasons")
    values = [getattr(row, name) for name in NewIssuance.__dataclass_fields__]
    insert_rows(connection, issuance, [(*values, int(IssueState.ISSUING), b"", b"", b"")], names)


def load_issuances(connection: sa.Connection, issue_ids: Iterable[bytes]) -> dict[bytes, IssuanceRow]:
    """Give the issuances of these ids."""
    wanted = [(issue_id.hex(),) for issue_id in dict.fromkeys(issue_ids)]
    found = {}
    for row in rows_by_key(connection, issuance, ("issuance_id",), wanted, _COLUMNS):
        issue_id = bytes.fromhex(row[0])
        record = IssueRecord(
            issue_id, IssueState(row[1]), bytes(row[2]), UnitBlock(row[3], row[4], row[5]), bytes(row[6])
        )
        found[issue_id] = IssuanceRow(record, row[0], row[7], row[8], row[9], row[10], bytes(row[11]))
    return found


def load_receipt(connection: sa.Connection, issue_id: bytes) -> bytes:
    """Give the bridge's receipt as it is stored, an envelope's bytes; empty if there is none yet."""
    row = connection.execute(
        sa.select(issuance.c.receipt).where(issuance.c.issuance_id == issue_id.hex())
    ).first()
    return b"" if row is None else bytes(row.receipt)


def settle_issuance(
    connection: sa.Connection, record: IssueRecord, *, receipt: bytes, reasons: bytes
) -> None:
    """Note the bridge's receipt: its envelope, and its reasons if it refused."""
    update_by_key(
        connection,
        issuance,
        ("issuance_id",),
        ("state", "receipt_hash", "receipt", "reasons"),
        [(record.issue_id.hex(), int(record.state), record.receipt_hash, receipt, reasons)],
    )
