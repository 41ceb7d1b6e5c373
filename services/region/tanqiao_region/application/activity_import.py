"""Files of metered activity: streamed to disk, checked row by row in a spool, recorded all or not at all.

The file is never in memory: its bytes go to a temporary file, its rows to a temporary database beside it,
in which repeated and overlapping rows are found by sorting. Only then is the node's writer asked, once, for
one transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.errors import to_refusal
from tanqiao_region.application.activity import ask_rules, bounds_of, record_batch, unrecorded
from tanqiao_region.application.activity_checks import Digest, clash, recorded_or_clash
from tanqiao_region.application.activity_file import ReadRow, read_csv, read_json_lines, read_xlsx
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.consents import MeteredRecord
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import once, require_id, require_project
from tanqiao_region.storage import issuance as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.issuance import ActivityRow

CHUNK_BYTES_MAX: Final = 256 * 1024
FILE_BYTES_MAX: Final = 512 * 1024 * 1024
ROWS_MAX: Final = 2_000_000
ERRORS_SHOWN_MAX: Final = 1000
ROWS_PER_SLICE: Final = 5_000
_FORMATS: Final[dict[int, tuple[str, Callable[..., Iterator[ReadRow]]]]] = {
    registers_pb2.FILE_FORMAT_CSV: ("activity.csv", read_csv),
    registers_pb2.FILE_FORMAT_JSON_LINES: ("activity.jsonl", read_json_lines),
    registers_pb2.FILE_FORMAT_XLSX: ("activity.xlsx", read_xlsx),
}


class _Report:
    """What is wrong with a file: the first errors by line, and how many rows they reject."""

    def __init__(self) -> None:
        self.errors: list[registers_pb2.RowError] = []
        self.rejected = 0

    def add(self, line_number: int, column: str, refusal: DomainError) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_SHOWN_MAX:
            self.errors.append(
                registers_pb2.RowError(line_number=line_number, column=column, refusal=to_refusal(refusal))
            )

    def ordered(self) -> list[registers_pb2.RowError]:
        return sorted(self.errors, key=lambda error: error.line_number)


class _Spool:
    """Rows of one file in a temporary database."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE row"
            " (line INTEGER, meter TEXT, start TEXT, end TEXT, on_grid INTEGER, self_use INTEGER);"
            "BEGIN"
        )
        self.count = 0
        self._waiting: list[tuple[object, ...]] = []

    def add(self, line_number: int, row: ActivityRow) -> None:
        self._waiting.append(
            (line_number, row.meter, row.start_date, row.end_date, row.on_grid_wh, row.self_use_wh)
        )
        self.count += 1
        if len(self._waiting) >= ROWS_PER_SLICE:
            self._write()

    def _write(self) -> None:
        self._connection.executemany("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?)", self._waiting)
        self._waiting.clear()

    def seal(self) -> None:
        """End the writing; rows are read in the order of meter and time from now on."""
        self._write()
        self._connection.execute("CREATE INDEX by_time ON row (meter, start, line)")
        self._connection.execute("COMMIT")

    def rows(self) -> Iterator[tuple[int, ActivityRow]]:
        """Give line and row, by meter and time."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(
                "SELECT line, meter, start, end, on_grid, self_use FROM row ORDER BY meter, start, line"
            )
            while part := cursor.fetchmany(ROWS_PER_SLICE):
                for line, *values in part:
                    yield line, ActivityRow(*values)

    def slices(self) -> Iterator[list[tuple[int, ActivityRow]]]:
        """Give the rows in pieces."""
        piece: list[tuple[int, ActivityRow]] = []
        for item in self.rows():
            piece.append(item)
            if len(piece) >= ROWS_PER_SLICE:
                yield piece
                piece = []
        if piece:
            yield piece

    def hull(self) -> Period:
        """Give the period from the first to the last day of all rows."""
        start, end = self._connection.execute("SELECT min(start), max(end) FROM row").fetchone()
        return Period(date.fromisoformat(start), date.fromisoformat(end))

    def close(self) -> None:
        self._connection.close()


class ActivityImports:
    """Imports of files.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
        directory: where spools are made; the system's own if it is not given.
    """

    def __init__(
        self, context: RegionContext, database: Database, submit: Submit, *, directory: Path | None = None
    ) -> None:
        self._context = context
        self._database = database
        self._submit = submit
        self._directory = directory

    def run(
        self, by: By, start: registers_pb2.ImportActivityRequest.Start, chunks: Iterable[bytes]
    ) -> registers_pb2.ImportActivityResponse:
        """Import one file.

        Raises:
            DomainError: what concerns the whole file: FILE_EMPTY, FILE_NOT_UTF8, COLUMN_MISSING,
            FILE_TOO_LARGE, …
        """
        if start.format not in _FORMATS:
            raise DomainError(
                "FORMAT_UNKNOWN", field="start.format", file="activity", supported="CSV, JSON lines, XLSX"
            )
        _require_size(start.size_bytes, _FORMATS[start.format][0])
        with tempfile.TemporaryDirectory(prefix="activity-", dir=self._directory) as folder:
            path = Path(folder) / "file"
            digest = _receive(chunks, path, _FORMATS[start.format][0])
            received = path.stat().st_size
            if start.size_bytes and received != start.size_bytes:
                detail = f"{received} bytes came"
                raise DomainError("FIELD_INVALID", field="start.size_bytes", detail=detail)
            body = start.SerializeToString(deterministic=True) + digest
            ask = Ask(ClientRequest(by.party, start.request_id, hashlib.sha256(body).digest()), by, b"")
            spool = _Spool(Path(folder) / "rows")
            try:
                return self._import(ask, start, path, spool)
            finally:
                spool.close()

    def _import(
        self, ask: Ask, start: registers_pb2.ImportActivityRequest.Start, path: Path, spool: _Spool
    ) -> registers_pb2.ImportActivityResponse:
        report = _Report()
        row_count = self._check(start, path, spool, report)
        response = registers_pb2.ImportActivityResponse(row_count=row_count)
        if start.validate_only:
            # Who may not hand these in, for whom it is or whose they are, learns nothing of the past either.
            if spool.count:
                self._submit(lambda group: _allowed(group, ask.by, start.project_id, spool))
            with self._database.reading() as connection:
                _against_the_past(connection, start.project_id, spool, report)
            return _completed(response, report, committed=False)
        if report.rejected:
            return _completed(response, report, committed=False)
        kept = self._submit(
            lambda group: once(group, ask, lambda: _record(group, ask.by, start.project_id, spool, response))
        )
        return registers_pb2.ImportActivityResponse.FromString(kept)

    def _check(
        self,
        start: registers_pb2.ImportActivityRequest.Start,
        path: Path,
        spool: _Spool,
        report: _Report,
    ) -> int:
        """Read the file into the spool and find what is wrong with it alone; the number of its rows."""
        today = legal_date(self._context.now())
        with self._database.reading() as connection:
            project = register_store.load_project(
                connection, require_id(start.project_id, "start.project_id")
            )
        if project is None:
            raise DomainError("NOT_FOUND", field="start.project_id", what="project", id=start.project_id)
        name, read = _FORMATS[start.format]
        row_count = 0
        with path.open("rb") as file:
            for one in read(file, bounds_of(project, today), name):
                row_count += 1
                if row_count > ROWS_MAX:
                    raise DomainError("BATCH_TOO_LARGE", limit=ROWS_MAX, count=row_count)
                if one.refusal is not None:
                    report.add(one.line_number, one.column, one.refusal)
                elif one.row is not None:
                    spool.add(one.line_number, one.row)
        if row_count == 0:
            raise DomainError("FILE_EMPTY", file=name)
        spool.seal()
        _within_the_file(spool, report)
        return row_count


def _require_size(size_bytes: int, name: str) -> None:
    """Refuse a stated size that is none, or more than a file may have, before a byte of it comes."""
    if size_bytes < 0:
        raise DomainError("FIELD_INVALID", field="start.size_bytes", detail="negative")
    if size_bytes > FILE_BYTES_MAX:
        raise DomainError("FILE_TOO_LARGE", file=name, size=size_bytes, limit=FILE_BYTES_MAX)


def _receive(chunks: Iterable[bytes], path: Path, name: str) -> bytes:
    """Write the stream to disk; its SHA-256."""
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for chunk in chunks:
            if len(chunk) > CHUNK_BYTES_MAX:
                raise DomainError("MESSAGE_TOO_LARGE", size=len(chunk), limit=CHUNK_BYTES_MAX)
            size += len(chunk)
            if size > FILE_BYTES_MAX:
                raise DomainError("FILE_TOO_LARGE", file=name, size=size, limit=FILE_BYTES_MAX)
            digest.update(chunk)
            file.write(chunk)
    return digest.digest()


def _within_the_file(spool: _Spool, report: _Report) -> None:
    """Name every row that shares days with a row before it, of the same meter."""
    reaching: tuple[int, ActivityRow] | None = None
    for line, row in spool.rows():
        if reaching is not None and reaching[1].meter == row.meter and row.start_date < reaching[1].end_date:
            report.add(line, "start_date", clash(row, reaching[1], where=f"line {reaching[0]}"))
            if row.end_date <= reaching[1].end_date:
                continue
        reaching = (line, row)


def _beside(
    connection: sa.Connection, project_id: str, piece: list[tuple[int, ActivityRow]]
) -> dict[str, list[ActivityRow]]:
    found = store.activity_beside(connection, project_id, [row for _, row in piece])
    return {meter: sorted(rows, key=lambda one: one.start_date) for meter, rows in found.items()}


@dataclass(slots=True)
class _Comparison:
    """The rows of a file beside what is recorded.

    Args:
        fresh: how many are new.
        unchanged: how many are recorded as they are.
        digest: SHA-256 over the new ones, in the order of meter and time.
    """

    fresh: int = 0
    unchanged: int = 0
    digest: bytes = b""


def _against_the_past(
    connection: sa.Connection, project_id: str, spool: _Spool, report: _Report
) -> _Comparison:
    """Name every row that contradicts what is recorded, and count the others."""
    found = _Comparison()
    digest = Digest()
    has_past = store.has_activity(connection, project_id)
    for piece in spool.slices():
        beside = _beside(connection, project_id, piece) if has_past else {}
        for line, row in piece:
            try:
                known = recorded_or_clash(row, beside.get(row.meter, ()))
            except DomainError as refusal:
                report.add(line, "start_date", refusal)
                continue
            if known is None:
                found.fresh += 1
                digest.add(row)
            else:
                found.unchanged += 1
    found.digest = digest.value()
    return found


def _allowed(group: Group, by: By, project_id: str, spool: _Spool) -> None:
    ask_rules(
        group,
        by,
        require_project(group, project_id),
        spool.hull(),
        records=_new_records(group, project_id, spool),
    )


def _new_records(group: Group, project_id: str, spool: _Spool) -> Iterator[list[MeteredRecord]]:
    for piece in spool.slices():
        yield unrecorded(group.connection, project_id, [row for _, row in piece])


def _record(
    group: Group,
    by: By,
    project_id: str,
    spool: _Spool,
    response: registers_pb2.ImportActivityResponse,
) -> registers_pb2.ImportActivityResponse:
    """Record every row that is new, in the one transaction; nothing if one of them contradicts the past."""
    project = require_project(group, project_id)
    verdict = ask_rules(group, by, project, spool.hull(), records=_new_records(group, project_id, spool))
    report = _Report()
    found = _against_the_past(group.connection, project_id, spool, report)
    if report.rejected or found.fresh == 0:
        return _completed(response, report, committed=not report.rejected)
    batch_id = record_batch(group, by, project, verdict, digest=found.digest, row_count=found.fresh)
    for piece in spool.slices():
        rows = [row for _, row in piece]
        if found.unchanged:
            beside = _beside(group.connection, project_id, piece)
            rows = [row for row in rows if recorded_or_clash(row, beside.get(row.meter, ())) is None]
        store.insert_activity(group.connection, project_id, rows, batch_id=batch_id, recorded_at=group.now)
    return _completed(response, report, committed=True)


def _completed(
    response: registers_pb2.ImportActivityResponse, report: _Report, *, committed: bool
) -> registers_pb2.ImportActivityResponse:
    response.rejected_count = report.rejected
    response.accepted_count = response.row_count - report.rejected
    response.committed = committed
    response.errors.extend(report.ordered())
    return response
