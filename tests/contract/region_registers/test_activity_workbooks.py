"""Workbooks of metered activity: the same rows as in a CSV file, and what a spreadsheet spoils."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.periods import Period
from tanqiao_region.application.activity_checks import Bounds
from tanqiao_region.application.activity_file import read_xlsx
from tests.contract.region_registers.office import Office
from tests.contract.region_registers.test_activity import import_file, recorded
from tests.contract.region_registers.test_refusals import journal_size, refused

XLSX = registers_pb2.FILE_FORMAT_XLSX
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = "worksheet"
HEADER = ("period", "on_grid_wh", "self_use_wh", "meter")
STYLES = f'<styleSheet xmlns="{MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'


@pytest.fixture
def database_kind() -> str:
    """One kind of database: what is read from a file is tried on both elsewhere."""
    return "sqlite"


@pytest.fixture
def office(shanghai: Office) -> Office:
    """A submitted project of 800 kW, credited from 2025 on; today is 2026-03-02."""
    shanghai.publish_methodology()
    shanghai.submit()
    return shanghai


def cell(value: str | int | date) -> str:
    """A cell: a number, a text, or a day as spreadsheets keep it."""
    if isinstance(value, date):
        return f'<c s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'


def sheet(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The sheet, row by row."""
    yield f'<{SHEET} xmlns="{MAIN}"><sheetData>'
    for row in rows:
        yield f"<row>{''.join(cell(value) for value in row)}</row>"
    yield f"</sheetData></{SHEET}>"


def workbook(rows: Iterable[Iterable[Any]], into: Path | None = None) -> bytes:
    """A workbook; in a file where one is given."""
    target: Path | io.BytesIO = into or io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/styles.xml", STYLES)
        with book.open("xl/worksheets/sheet1.xml", "w") as part:
            for piece in sheet(rows):
                part.write(piece.encode())
    return target.getvalue() if isinstance(target, io.BytesIO) else b""


def test_a_workbook_is_previewed_recorded_and_sent_again_without_change(office: Office) -> None:
    data = workbook([HEADER, ("2025-11", 1000, 0, "M-1"), ("2025-12", 2000, 5, "M-1"), ()])
    before = journal_size(office.node)
    preview = import_file(office, data, XLSX, validate_only=True)
    assert (preview.row_count, preview.accepted_count, preview.committed) == (2, 2, False)
    assert journal_size(office.node) == before
    assert import_file(office, data, XLSX).committed
    assert recorded(office) == 3005
    after = journal_size(office.node)
    assert import_file(office, data, XLSX).committed
    assert (journal_size(office.node), recorded(office)) == (after, 3005)


def test_days_of_a_spreadsheet_are_dates(office: Office) -> None:
    rows = [("start_date", "end_date", "on_grid_wh"), (date(2025, 12, 1), date(2026, 1, 1), 7)]
    assert import_file(office, workbook(rows), XLSX).committed
    assert recorded(office) == 7


def test_each_bad_row_is_named_by_its_line_and_nothing_is_recorded(office: Office) -> None:
    rows: list[tuple[Any, ...]] = [
        HEADER,
        ("2025-11", 1000, 0, "M-1"),
        ("2025-12", -1, 0, "M-1"),
        ("2025-13", 1, 0, "M-1"),
        ("2025-10", "1 kWh", 0, "M-1"),
        ("2025-11", 1000, 0, "M-1", "beyond"),
        ("2025-11", 1234567890123456789, 0, "M-2"),
        ("2025-11", 1000, 0, "M-1"),
        ("2024-11", 1000, 0, "M-1"),
    ]
    response = import_file(office, workbook(rows), XLSX)
    found = [(error.line_number, error.refusal.reason) for error in response.errors]
    assert found == [
        (3, "FIELD_INVALID"),
        (4, "FIELD_INVALID"),
        (5, "FIELD_INVALID"),
        (6, "ROW_INVALID"),
        (7, "FIELD_INVALID"),
        (8, "DUPLICATE_KEY"),
        (9, "PERIOD_OUTSIDE_CLAIM"),
    ]
    assert all(error.refusal.sentence_zh and error.refusal.sentence_en for error in response.errors)
    assert not response.committed


@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (b"", "ROW_INVALID"),
        (b"period,on_grid_wh\n2025-12,1\n", "ROW_INVALID"),
        (workbook([]), "FILE_EMPTY"),
        (workbook([HEADER]), "FILE_EMPTY"),
        (workbook([("period", "on_grid_kwh"), ("2025-12", 1)]), "FIELD_INVALID"),
        (workbook([("period", "meter"), ("2025-12", "M-1")]), "COLUMN_MISSING"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_refused_as_a_whole(
    office: Office, data: bytes, symbol: str
) -> None:
    before = journal_size(office.node)
    refused(symbol, lambda: import_file(office, data, XLSX))
    assert journal_size(office.node) == before


def rows_of(count: int) -> Iterator[tuple[str | int, ...]]:
    """A header and so many rows."""
    yield HEADER
    for number in range(count):
        yield ("2025-12", number, 0, f"M-{number}")


def peak_of(path: Path, count: int) -> int:
    """Bytes that reading so many rows holds at most."""
    workbook(rows_of(count), into=path)
    bounds = Bounds(Period.parse("2025"), "claim", date(2026, 3, 2), 0)
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            assert sum(1 for row in read_xlsx(file, bounds, "activity.xlsx") if row.row) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_workbook(tmp_path: Path) -> None:
    small, large = peak_of(tmp_path / "small.xlsx", 100), peak_of(tmp_path / "large.xlsx", 1000)
    assert large < small * 1.5 + 100_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_rows_of_a_workbook_stream_through(tmp_path: Path) -> None:
    path = tmp_path / "million.xlsx"
    workbook(rows_of(1_000_000), into=path)
    bounds = Bounds(Period.parse("2025"), "claim", date(2026, 3, 2), 0)
    with path.open("rb") as file:
        assert sum(1 for row in read_xlsx(file, bounds, "activity.xlsx") if row.row) == 1_000_000
