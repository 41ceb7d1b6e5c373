"""Importing a list: read once to find every fault, then written in one transaction, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import IO, Final

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock, legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao_gateway.application.orders import apply_standing
from tanqiao_gateway.importers.mapping import ListMapping
from tanqiao_gateway.importers.rows import Fault, Mapped, RowMapper, SourceRow, read_csv, read_json
from tanqiao_gateway.importers.xlsx import read_xlsx
from tanqiao_gateway.storage import records
from tanqiao_gateway.storage.tables import request_ids

ERRORS_SHOWN_MAX: Final = 1_000
ROWS_PER_SLICE: Final = 5_000
DIGEST_CHUNK_BYTES: Final = 1 << 20
MICROSECONDS: Final = 1_000_000

Reader = Callable[[IO[bytes], str, ListMapping], Iterator[SourceRow | Fault]]
READERS: Final[dict[str, Reader]] = {"csv": read_csv, "json": read_json, "xlsx": read_xlsx}


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """A list to be imported; `file` is a spooled file that can be read twice."""

    file: IO[bytes]
    file_name: str
    file_format: str
    mapping: ListMapping
    source: str
    as_of: date
    caller: str
    validate_only: bool
    request_id: str
    start_digest: bytes
    """SHA-256 of everything that was said before the file: with the file's own it is the request's body."""

    def request(self, file_digest: bytes) -> ClientRequest:
        """Give what makes a call the same one: the caller's id, and all that was sent under it."""
        body = hashlib.sha256(self.start_digest + file_digest).digest()
        return ClientRequest(self.caller, self.request_id, body)


@dataclass(slots=True)
class ImportReport:
    """What came of it: counts, the first faults, and the import if it was written."""

    row_count: int = 0
    rejected_count: int = 0
    faults: list[Fault] = field(default_factory=list)
    digest: bytes = b""
    written: records.ImportRow | None = None

    @property
    def accepted_count(self) -> int:
        """Rows without a fault."""
        return self.row_count - self.rejected_count


def import_list(database: Database, clock: Clock, order: ImportOrder) -> ImportReport:
    """Import a list, all or nothing; the same request and the very same file again give the first import.

    Raises:
        DomainError: what concerns the file as a whole: FILE_EMPTY, FILE_NOT_UTF8, COLUMN_MISSING, …;
            REQUEST_ID_REUSED for an id under which something else was imported; what the storage refuses.
    """
    report = ImportReport(digest=_digest(order.file))
    request = order.request(report.digest)
    moment = clock.now()
    now, today = int(moment.timestamp()), legal_date(moment).isoformat()
    with database.reading() as connection:
        report.written = _answered(connection, request)
        known = report.written or records.find_import(
            connection, report.digest, order.as_of, order.mapping.name
        )
    if known is not None:
        if report.written is None and not order.validate_only:
            run_in_transaction(database, lambda unit: _remember(unit, request, known, now))
        report.written, report.row_count = known, known.row_count
        return report
    for item in _mapped(order):
        report.row_count += 1
        if isinstance(item, Fault):
            report.rejected_count += 1
            if len(report.faults) < ERRORS_SHOWN_MAX:
                report.faults.append(item)
    if report.row_count == 0:
        raise DomainError("FILE_EMPTY", file=order.file_name)
    if report.rejected_count or order.validate_only:
        return report
    report.written = run_in_transaction(database, lambda unit: _write(unit, order, report, now, today))
    return report


def _answered(connection: sa.Connection, request: ClientRequest) -> records.ImportRow | None:
    """Give the import that was made under a request's id; REQUEST_ID_REUSED if that was another body."""
    answer = request_ids.answers(connection, [request])[0]
    if isinstance(answer, DomainError):
        raise answer
    return None if answer is None else records.load_import(connection, int(answer))


def _remember(unit: UnitOfWork, request: ClientRequest, written: records.ImportRow, now: int) -> None:
    """Keep the first answer of a request, unless the same one has been answered meanwhile."""
    if _answered(unit.connection, request) is None:
        answer = str(written.import_number).encode()
        request_ids.store(unit.connection, [(request, answer)], created_at_us=now * MICROSECONDS)
        unit.commit()


def _digest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(DIGEST_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()


def _mapped(order: ImportOrder) -> Iterator[Mapped | Fault]:
    order.file.seek(0)
    mapper = RowMapper(order.mapping)
    for row in READERS[order.file_format](order.file, order.file_name, order.mapping):
        yield mapper.map(row) if isinstance(row, SourceRow) else row


def _write(
    unit: UnitOfWork, order: ImportOrder, report: ImportReport, now: int, today: str
) -> records.ImportRow:
    connection = unit.connection
    answered = _answered(connection, order.request(report.digest))
    if answered is not None:
        return answered
    number = records.next_import_number(connection)
    row = records.ImportRow(
        number,
        order.source,
        order.as_of.isoformat(),
        order.file_name,
        order.mapping.name,
        report.row_count,
        report.digest,
        now,
        order.caller,
    )
    records.insert_import(connection, row)
    part: list[records.RecordRow] = []
    for item in _mapped(order):
        if isinstance(item, Fault):  # the file was read without one before
            raise DomainError("ROW_INVALID", row=item.line, file=order.file_name, detail=item.refusal.symbol)
        part.append(
            records.RecordRow(
                item.line,
                item.record.reference,
                item.record.title,
                item.record.subject_uscc,
                item.record.SerializeToString(),
                item.record.invented,
                item.keys,
            )
        )
        if len(part) == ROWS_PER_SLICE:
            records.insert_records(connection, number, part)
            part = []
    records.insert_records(connection, number, part)
    apply_standing(connection, today, now)
    answer = (order.request(report.digest), str(number).encode())
    request_ids.store(connection, [answer], created_at_us=now * MICROSECONDS)
    unit.commit()
    return row
