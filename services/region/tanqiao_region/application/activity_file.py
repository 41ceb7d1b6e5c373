"""Reading a file of metered activity line by line, whatever its size; a bad row is named with its reason.

CSV has a header with the columns ``period`` (``2026-01`` or ``2026-01-01/2026-02-01``) or ``start_date``
and ``end_date``, then ``on_grid_wh``, and ``self_use_wh`` and ``meter`` where there are any; JSON lines are
objects with the same names; of a workbook (XLSX) the first sheet counts, with the same header, dates as text
or as dates of the spreadsheet. Text is UTF-8 with or without a byte order mark; lines end with LF or CRLF.
Energy is in whole watt-hours: a column in another unit is not known and refuses the file.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import BinaryIO, Final, NamedTuple

from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.periods import Period, parse_date
from tanqiao.sheets.xlsx import DIGITS_MAX, sheet_rows
from tanqiao_region.application.activity_checks import PERIODS_KEPT_MAX, Bounds, checked_row
from tanqiao_region.storage.issuance import ActivityRow

LINE_BYTES_MAX: Final = 64 * 1024
SHOWN_MAX: Final = 64
COLUMNS: Final = frozenset({"period", "start_date", "end_date", "on_grid_wh", "self_use_wh", "meter"})
_WHOLE_NUMBER: Final = re.compile(r"-?[0-9]{1,24}", re.ASCII)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ReadRow(NamedTuple):
    """One line of the file: a row, or why it is none."""

    line_number: int
    row: ActivityRow | None
    refusal: DomainError | None
    column: str = ""


def read_csv(file: BinaryIO, bounds: Bounds, name: str) -> Iterator[ReadRow]:
    """Read rows of a CSV file.

    Raises:
        DomainError: FILE_EMPTY, FILE_NOT_UTF8, COLUMN_MISSING, FIELD_INVALID for a header that cannot be
        used.
    """
    lines = _Lines(file, name)
    reader = csv.reader(lines, strict=True)
    header = _header(reader, name)
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield ReadRow(lines.number, None, _invalid(name, lines.number, str(error)))
            continue
        if values is None:
            return
        if not values or (len(values) == 1 and not values[0].strip()):
            continue
        if len(values) != len(header):
            detail = Bilingual(
                f"应有{len(header)}列，实有{len(values)}列", f"{len(header)} columns are wanted"
            )
            yield ReadRow(lines.number, None, _invalid(name, lines.number, detail))
            continue
        cells: dict[str, object] = dict(zip(header, (value.strip() for value in values), strict=True))
        yield _read(cells, bounds, lines.number)


def read_xlsx(file: BinaryIO, bounds: Bounds, name: str) -> Iterator[ReadRow]:
    """Read rows of the first sheet of a workbook; empty rows are passed over.

    Raises:
        DomainError: FILE_EMPTY, FILE_TOO_LARGE, ROW_INVALID where it is no workbook, COLUMN_MISSING,
        FIELD_INVALID for a header that cannot be used.
    """
    header: list[str] = []
    for line, cells, rounded in sheet_rows(file, name):
        if not header:
            given = [cells.get(place, "") for place in range(max(cells) + 1)]
            while given and not given[-1].strip():
                given.pop()
            header = _checked_header(given, name)
            continue
        beyond = [place for place, text in cells.items() if place >= len(header) and text.strip()]
        if beyond:
            detail = Bilingual(f"应有{len(header)}列", f"{len(header)} columns are wanted")
            yield ReadRow(line, None, _invalid(name, line, detail))
            continue
        spoilt = [header[place] for place in rounded if place < len(header)]
        if spoilt:
            detail = Bilingual(
                f"超过{DIGITS_MAX}位的数字已被表格舍入",
                f"a number of more than {DIGITS_MAX} digits was rounded",
            )
            refusal = DomainError("FIELD_INVALID", field=spoilt[0], detail=detail)
            yield ReadRow(line, None, refusal, spoilt[0])
            continue
        yield _read({column: cells.get(at, "").strip() for at, column in enumerate(header)}, bounds, line)
    if not header:
        raise DomainError("FILE_EMPTY", file=name)


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        given = next(reader, [])
    except csv.Error as error:
        raise DomainError("FIELD_INVALID", field="header", detail=str(error)) from error
    return _checked_header(given, name)


def _checked_header(given: Sequence[str], name: str) -> list[str]:
    header = [column.strip().lower() for column in given]
    if not any(header):
        raise DomainError("FILE_EMPTY", file=name)
    unknown = [column for column in header if column not in COLUMNS]
    if len(set(header)) != len(header) or unknown:
        shown = ", ".join(unknown or header)[:SHOWN_MAX]
        raise DomainError(
            "FIELD_INVALID",
            field="header",
            detail=Bilingual(
                f"列名无法识别或重复：{shown}", f"columns that are not known or occur twice: {shown}"
            ),
        )
    missing = _missing(frozenset(header))
    if missing:
        raise DomainError("COLUMN_MISSING", file=name, columns=missing)
    return header


def _missing(columns: frozenset[str]) -> list[str]:
    missing = [] if "on_grid_wh" in columns else ["on_grid_wh"]
    if "period" in columns:
        return missing
    return missing + [column for column in ("start_date", "end_date") if column not in columns]


def read_json_lines(file: BinaryIO, bounds: Bounds, name: str) -> Iterator[ReadRow]:
    """Read rows of JSON lines; blank lines are passed over.

    Raises:
        DomainError: FILE_EMPTY, FILE_NOT_UTF8.
    """
    lines = _Lines(file, name)
    for text in lines:
        if not text.strip():
            continue
        try:
            cells = json.loads(text, parse_float=_no_number, parse_constant=_no_number)
        except ValueError as error:
            yield ReadRow(lines.number, None, _invalid(name, lines.number, str(error)[:SHOWN_MAX]))
            continue
        if not isinstance(cells, dict):
            detail = Bilingual("应为对象", "an object is wanted")
            yield ReadRow(lines.number, None, _invalid(name, lines.number, detail))
            continue
        unknown = sorted(set(cells) - COLUMNS)
        missing = _missing(frozenset(cells))
        if unknown or missing:
            column = (unknown or missing)[0][:SHOWN_MAX]
            symbol = "FIELD_INVALID" if unknown else "FIELD_MISSING"
            detail = Bilingual("列名无法识别", "this name is not known")
            refusal = DomainError(symbol, field=column, detail=detail)
            yield ReadRow(lines.number, None, refusal, column)
            continue
        yield _read(cells, bounds, lines.number)


def _no_number(text: str) -> int:
    raise ValueError(f"{text[:SHOWN_MAX]}: whole numbers are wanted")


class _Lines:
    """The lines of a file as text, counted, each below a bound."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LINE_BYTES_MAX + 1)
        if not line:
            if self.number == 0:
                raise DomainError("FILE_EMPTY", file=self._name)
            raise StopIteration
        self.number += 1
        if len(line) > LINE_BYTES_MAX:
            raise _invalid(self._name, self.number, f"> {LINE_BYTES_MAX} bytes")
        if self.number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DomainError("FILE_NOT_UTF8", file=self._name, line=self.number) from error


def _invalid(name: str, line_number: int, detail: object) -> DomainError:
    return DomainError("ROW_INVALID", file=name, row=line_number, detail=detail)


def _read(cells: Mapping[str, object], bounds: Bounds, line_number: int) -> ReadRow:
    try:
        row = checked_row(
            bounds,
            _period(cells),
            _whole_number(cells.get("on_grid_wh"), "on_grid_wh"),
            _whole_number(cells.get("self_use_wh", "0"), "self_use_wh"),
            _text(cells.get("meter", ""), "meter"),
        )
    except DomainError as refusal:
        column = _column_of(refusal.field or "", cells)
        return ReadRow(line_number, None, refusal, column)
    return ReadRow(line_number, row, None)


def _column_of(field: str, cells: Mapping[str, object]) -> str:
    if field == "period" and "period" not in cells:
        return "start_date"
    return field


def _period(cells: Mapping[str, object]) -> Period:
    if "period" in cells:
        return _in_field("period", _text(cells["period"], "period"))
    start = _date(_text(cells.get("start_date", ""), "start_date"), "start_date")
    end = _date(_text(cells.get("end_date", ""), "end_date"), "end_date")
    if start >= end:
        raise DomainError("RANGE_REVERSED", field="end_date", start=start, end=end)
    return Period(start, end)


_parse: Final = lru_cache(maxsize=PERIODS_KEPT_MAX)(Period.parse)
"""Months repeat from row to row; a refusal is not kept."""


def _in_field(field: str, text: str) -> Period:
    try:
        return _parse(text)
    except DomainError as refusal:
        refusal.field = field
        raise


def _date(text: str, field: str) -> date:
    try:
        return parse_date(text)
    except DomainError as refusal:
        refusal.field = field
        raise


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise DomainError("FIELD_INVALID", field=field, detail=Bilingual("应为文本", "a text is wanted"))
    return value


def _whole_number(value: object, field: str) -> int:
    """Read whole watt-hours; a sign is read so that a negative value gets its own sentence."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if value in (None, ""):
        raise DomainError("FIELD_MISSING", field=field)
    shown = str(value)[:SHOWN_MAX]
    raise DomainError(
        "FIELD_INVALID",
        field=field,
        detail=Bilingual(f"“{shown}”不是整数瓦时", f"“{shown}” is no whole number of watt-hours"),
    )
