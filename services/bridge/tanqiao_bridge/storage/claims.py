"""The claim index: keys, locks, claims, receipts; reads and writes for many claims at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_missing, insert_rows, rows_by_key, update_by_key
from tanqiao.db.direct import fetch
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao_bridge.storage import locations
from tanqiao_bridge.storage.tables import claim, claim_key, claim_lock, claim_receipt, issue

CLAIMS_PER_KEY_MAX: Final = 10_000
_DECLARED: Final = 2
_RETIRED: Final = 6
_PROJECT: Final = 1
_INSTALMENT: Final = 2
# Numbers of the wire, as they stand in the table.
_INSERT_LOCKS: Final = (
    "INSERT INTO claim_lock (lock_key) SELECT * FROM unnest(%b::varchar[]) "
    "ON CONFLICT DO NOTHING RETURNING lock_key"
)
_LOCK_ROWS: Final = (
    "SELECT 1 FROM claim_lock WHERE lock_key = ANY (%b::varchar[]) ORDER BY lock_key FOR UPDATE"
)

# All in one statement: the answer is of one snapshot without a transaction around it.
_SIZE_IF_FREE: Final = (
    "SELECT value FROM counter WHERE name = 'log_size'"
    " AND NOT EXISTS (SELECT FROM alias_root WHERE asset_key = ANY (%b::varchar[]))"
    " AND NOT EXISTS (SELECT FROM claim_key WHERE asset_key = ANY (%b::varchar[]))"
    " AND NOT EXISTS (SELECT FROM claim WHERE subject_uscc = ANY (%b::varchar[]))"
)


@record
class ClaimRow:
    """One claim as stored; `content` is the serialised claim as its region stated it."""

    claim_id: str
    region: str
    programme: int
    programme_code: str
    object: int
    project_id: str
    status: int
    attribute: int
    start_date: str
    end_date: str
    subject_uscc: str
    content: bytes
    content_digest: bytes
    declared_index: int
    declared_at: int
    lapses_at: int = 0


@record
class ReceiptRow:
    """One receipt of a claim: the stored answer to a statement."""

    claim_id: str
    log_index: int
    statement_hash: bytes
    status: int
    payload: bytes
    receipt_hash: bytes
    envelope: bytes


COLUMNS: Final = tuple(ClaimRow.__dataclass_fields__)
RECEIPT_COLUMNS: Final = tuple(ReceiptRow.__dataclass_fields__)
_VALUES: Final[Callable[[ClaimRow], tuple[Any, ...]]] = attrgetter(*COLUMNS)
_RECEIPT_VALUES: Final[Callable[[ReceiptRow], tuple[Any, ...]]] = attrgetter(*RECEIPT_COLUMNS)


def lock_rows(connection: sa.Connection, keys: Iterable[str]) -> None:
    """Lock a sorted set of rows; a key seen for the first time gets its row first (CLAIMS section 3).

    On SQLite the transaction is the only writer already. On PostgreSQL a row that this transaction inserted
    is its own until it commits: whoever inserts the same key waits. So only the others are locked.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return
    if connection.dialect.name == "sqlite":
        insert_missing(connection, claim_lock, [(key,) for key in wanted])
        return
    own = {row[0] for row in fetch(connection, _INSERT_LOCKS, (wanted,))}
    others = [key for key in wanted if key not in own]
    if others:
        fetch(connection, _LOCK_ROWS, (others,))


def claim_of_columns(values: Sequence[Any]) -> ClaimRow:
    """Give a row of the values of `COLUMNS`."""
    row = list(values)
    row[11], row[12] = bytes(row[11]), bytes(row[12])
    return ClaimRow(*row)


def load_claims(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, ClaimRow]:
    """Give the claims of these ids that are stored."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    rows = [claim_of_columns(row) for row in rows_by_key(connection, claim, ("claim_id",), wanted, COLUMNS)]
    return {row.claim_id: row for row in rows}


def claims_by_key(connection: sa.Connection, keys: Iterable[str]) -> dict[str, list[str]]:
    """Give the ids of the claims found under each key, in order."""
    wanted = [(key,) for key in dict.fromkeys(keys)]
    found: dict[str, list[str]] = {}
    for row in rows_by_key(connection, claim_key, ("asset_key",), wanted, ("asset_key", "claim_id")):
        found.setdefault(row[0], []).append(row[1])
    for ids in found.values():
        ids.sort()
    return found


def size_if_free(connection: sa.Connection, keys: Iterable[str], credit_codes: Iterable[str]) -> int | None:
    """Give the size of the log where nothing in the index has a key or subject of these, and no alias does.

    On PostgreSQL. None: something was found, or the log is empty.
    """
    wanted = list(keys)
    found = fetch(connection, _SIZE_IF_FREE, (wanted, wanted, list(credit_codes)))
    return int(found[0][0]) if found else None


def claims_of_subjects(connection: sa.Connection, credit_codes: Iterable[str]) -> dict[str, list[str]]:
    """Give the ids of the claims of each subject."""
    wanted = [(code,) for code in dict.fromkeys(credit_codes)]
    found: dict[str, list[str]] = {}
    for row in rows_by_key(connection, claim, ("subject_uscc",), wanted, ("subject_uscc", "claim_id")):
        found.setdefault(row[0], []).append(row[1])
    return found


def insert_claims(connection: sa.Connection, rows: Sequence[tuple[ClaimRow, Sequence[str]]]) -> None:
    """Store claims with the keys under which they are found."""
    insert_rows(connection, claim, [_VALUES(row) for row, _ in rows], COLUMNS)
    insert_rows(
        connection,
        claim_key,
        [(key, row.claim_id) for row, keys in rows for key in keys],
        ("asset_key", "claim_id"),
    )


def last_receipts(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, ReceiptRow]:
    """Give the latest receipt of each claim."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    found: dict[str, ReceiptRow] = {}
    for row in rows_by_key(connection, claim_receipt, ("claim_id",), wanted, RECEIPT_COLUMNS):
        known = found.get(row[0])
        if known is None or row[1] > known.log_index:
            found[row[0]] = receipt_of_columns(row)
    return found


def lapsing(connection: sa.Connection, running_seconds: int, *, limit: int) -> list[ClaimRow]:
    """Give declared claims whose lease is over, the longest first."""
    statement = (
        sa.select(*(claim.c[name] for name in COLUMNS))
        .where(
            sa.text("status = 2 AND lapses_at > 0"),  # as the partial index says
            claim.c.lapses_at <= running_seconds,
        )
        .order_by(claim.c.lapses_at)
        .limit(limit)
    )
    return [claim_of_columns(row) for row in connection.execute(statement)]


def live_claims(connection: sa.Connection, *, after: str, limit: int) -> list[ClaimRow]:
    """Give live claims in order of id behind one."""
    statement = (
        sa.select(*(claim.c[name] for name in COLUMNS))
        .where(claim.c.claim_id > after, claim.c.status.between(_DECLARED, _RETIRED))
        .order_by(claim.c.claim_id)
        .limit(limit)
    )
    return [claim_of_columns(row) for row in connection.execute(statement)]


def live_projects(connection: sa.Connection, wanted: Sequence[tuple[str, str]]) -> list[ClaimRow]:
    """Give the live claims of projects by region and project id, in order of claim id."""
    keys = [(region, project_id, _PROJECT) for region, project_id in wanted]
    found = rows_by_key(connection, claim, ("region", "project_id", "object"), keys, COLUMNS)
    rows = [claim_of_columns(values) for values in found]
    return sorted((row for row in rows if _DECLARED <= row.status <= _RETIRED), key=attrgetter("claim_id"))


def projects_of(connection: sa.Connection, region: str, project_id: str) -> list[str]:
    """Give the ids of all claims of a project itself, whether they stand or have ended."""
    keys = ("region", "project_id", "object")
    found = rows_by_key(connection, claim, keys, [(region, project_id, _PROJECT)], ("claim_id",))
    return sorted(row[0] for row in found)


def live_instalments(connection: sa.Connection, region: str, project_id: str, *, limit: int) -> list[str]:
    """Give the ids of the live instalments of a project, in order."""
    statement = (
        sa.select(claim.c.claim_id)
        .where(
            claim.c.region == region,
            claim.c.project_id == project_id,
            claim.c.object == _INSTALMENT,
            claim.c.status.between(_DECLARED, _RETIRED),
        )
        .order_by(claim.c.claim_id)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def units_left(connection: sa.Connection, claim_id: str) -> list[UnitBlock]:
    """Give the units that were issued on a claim and are not cancelled."""
    statement = sa.select(issue.c.series_id, issue.c.start_serial, issue.c.end_serial).where(
        issue.c.claim_id == claim_id, issue.c.accepted
    )
    blocks = [UnitBlock(*row) for row in connection.execute(statement)]
    return [
        common
        for row in locations.load_touched(connection, blocks)
        if row.state != locations.CANCELLED
        for block in blocks
        if (common := row.block.intersection(block)) is not None
    ]


def series_of(connection: sa.Connection, claim_id: str) -> list[str]:
    """Give the series of the units that were issued on a claim."""
    statement = sa.select(issue.c.series_id).where(issue.c.claim_id == claim_id, issue.c.accepted).distinct()
    return sorted(connection.execute(statement).scalars())


def set_status(connection: sa.Connection, statuses: Sequence[tuple[str, int]]) -> None:
    """Set the status of claims by id."""
    update_by_key(connection, claim, ("claim_id",), ("status",), statuses)


def set_place(connection: sa.Connection, claim_id: str, declared_index: int, lapses_at: int) -> None:
    """Give a claim that stands again its place in the queue and its lease."""
    values = [(claim_id, declared_index, lapses_at)]
    update_by_key(connection, claim, ("claim_id",), ("declared_index", "lapses_at"), values)


def receipts_by_statement(connection: sa.Connection, hashes: Iterable[bytes]) -> dict[bytes, ReceiptRow]:
    """Give the receipts that answered these statements."""
    wanted = [(value,) for value in dict.fromkeys(hashes)]
    rows = rows_by_key(connection, claim_receipt, ("statement_hash",), wanted, RECEIPT_COLUMNS)
    return {bytes(row[2]): receipt_of_columns(row) for row in rows}


def receipts_of(connection: sa.Connection, claim_id: str) -> list[ReceiptRow]:
    """Give the receipts of a claim, oldest first."""
    rows = connection.execute(
        sa.select(*(claim_receipt.c[name] for name in RECEIPT_COLUMNS))
        .where(claim_receipt.c.claim_id == claim_id)
        .order_by(claim_receipt.c.log_index)
    )
    return [receipt_of_columns(row) for row in rows]


def receipt_of_columns(row: Sequence[Any]) -> ReceiptRow:
    """Give a receipt of the values of `RECEIPT_COLUMNS`."""
    return ReceiptRow(row[0], row[1], bytes(row[2]), row[3], bytes(row[4]), bytes(row[5]), bytes(row[6]))


def insert_receipts(connection: sa.Connection, rows: Sequence[ReceiptRow]) -> None:
    """Store receipts."""
    insert_rows(
        connection,
        claim_receipt,
        [_RECEIPT_VALUES(row) for row in rows],
        RECEIPT_COLUMNS,
    )


def list_claims(
    connection: sa.Connection, *, region: str, programme: int, asset_key: str, after: str, limit: int
) -> list[ClaimRow]:
    """Give claims in order of id, filtered, behind an id."""
    statement = sa.select(*(claim.c[name] for name in COLUMNS)).where(claim.c.claim_id > after)
    if region:
        statement = statement.where(claim.c.region == region)
    if programme:
        statement = statement.where(claim.c.programme == programme)
    if asset_key:
        keyed = sa.select(claim_key.c.claim_id).where(claim_key.c.asset_key == asset_key)
        statement = statement.where(claim.c.claim_id.in_(keyed))
    rows = connection.execute(statement.order_by(claim.c.claim_id).limit(limit))
    return [claim_of_columns(row) for row in rows]
