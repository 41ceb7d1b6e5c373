"""Workbooks (XLSX): the first sheet, row by row; of a formula the saved value counts.

Read by hand from the zip and its XML, streamed and bounded; a document type is refused. A number of more than
fifteen digits was rounded by the spreadsheet: whoever reads ids must refuse it. Shared strings are held in
memory up to a bound; the rows are not.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import IO, Final, NamedTuple
from xml.etree import ElementTree as ET

from tanqiao.kernel.errors import DomainError

CELL_CHARACTERS_MAX: Final = 2_000
"""Longest text of a shared string that is kept; one more character shows that it was longer."""
MEMBER_BYTES_MAX: Final = 512 << 20
STRINGS_MAX: Final = 4_000_000
DIGITS_MAX: Final = 15
PROLOGUE_BYTES: Final = 4_096
COLUMN_LETTERS: Final = 26
EPOCH: Final = date(1899, 12, 30)
EPOCH_1904: Final = date(1904, 1, 1)
SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
DATE_FORMATS: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_DATE_WORDS: Final = re.compile(r"[ymd年月日]", re.IGNORECASE)
_LITERALS: Final = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_NAMESPACE: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class SheetRow(NamedTuple):
    """One row that is not empty.

    Args:
        line: its number in the sheet, from 1.
        cells: text by column, from 0; a date is ISO text.
        rounded: columns of numbers that the spreadsheet has rounded.
    """

    line: int
    cells: Mapping[int, str]
    rounded: tuple[int, ...]


def sheet_rows(file: IO[bytes], file_name: str) -> Iterator[SheetRow]:
    """Stream the rows of the first sheet that are not empty, the header too.

    Raises:
        DomainError: FILE_EMPTY, ROW_INVALID where it is no workbook, FILE_TOO_LARGE.
    """
    try:
        with zipfile.ZipFile(file) as book:
            yield from _rows(book, file_name)
    except (zipfile.BadZipFile, ET.ParseError, KeyError, ValueError, EOFError, OSError) as error:
        detail = f"not a workbook: {error}"[:200]
        raise DomainError("ROW_INVALID", row=1, file=file_name, detail=detail) from None


def _rows(book: zipfile.ZipFile, file_name: str) -> Iterator[SheetRow]:
    sheets = sorted(name for name in book.namelist() if SHEET.fullmatch(name))
    if not sheets:
        raise DomainError("FILE_EMPTY", file=file_name)
    strings = _strings(book, file_name)
    dates, epoch = _date_styles(book, file_name), _epoch(book, file_name)
    for line, cells in _cells(book, sheets[0], file_name):
        values = {place: _text(cell, strings, dates, epoch) for place, cell in cells.items()}
        if any(value.strip() for value in values.values()):
            yield SheetRow(line, values, tuple(place for place in cells if _is_rounded(cells[place])))


def _member(book: zipfile.ZipFile, name: str, file_name: str) -> IO[bytes]:
    """Open a part of the workbook: bounded, and without a document type that could swell."""
    size = book.getinfo(name).file_size
    if size > MEMBER_BYTES_MAX:
        raise DomainError("FILE_TOO_LARGE", file=file_name, size=size, limit=MEMBER_BYTES_MAX)
    with book.open(name) as start:
        if b"<!DOCTYPE" in start.read(PROLOGUE_BYTES).upper():
            raise ValueError("a document type")
    return book.open(name)


def _strings(book: zipfile.ZipFile, file_name: str) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    strings: list[str] = []
    with _member(book, "xl/sharedStrings.xml", file_name) as part:
        for _, element in ET.iterparse(part):  # noqa: S314 - a document type is refused before
            if element.tag == f"{_NAMESPACE}si":
                strings.append(_plain(element))
                element.clear()
                if len(strings) > STRINGS_MAX:
                    raise DomainError("FILE_TOO_LARGE", file=file_name, size=len(strings), limit=STRINGS_MAX)
    return strings


def _plain(element: ET.Element) -> str:
    """Give the text without the readings that Chinese and Japanese cells may carry."""
    text = "".join(
        part.text or ""
        for child in element
        if child.tag in (f"{_NAMESPACE}t", f"{_NAMESPACE}r")
        for part in child.iter(f"{_NAMESPACE}t")
    )
    return text[: CELL_CHARACTERS_MAX + 1]


def _date_styles(book: zipfile.ZipFile, file_name: str) -> frozenset[int]:
    """Give the cell styles that show a number as a date."""
    if "xl/styles.xml" not in book.namelist():
        return frozenset()
    with _member(book, "xl/styles.xml", file_name) as part:
        root = ET.parse(part).getroot()  # noqa: S314 - a document type is refused before
    formats = set(DATE_FORMATS)
    for one in root.iter(f"{_NAMESPACE}numFmt"):
        if _DATE_WORDS.search(_LITERALS.sub("", one.get("formatCode", ""))):
            formats.add(int(one.get("numFmtId", "0")))
    styles = root.find(f"{_NAMESPACE}cellXfs")
    found = [] if styles is None else list(styles)
    return frozenset(place for place, one in enumerate(found) if int(one.get("numFmtId", "0")) in formats)


def _epoch(book: zipfile.ZipFile, file_name: str) -> date:
    if "xl/workbook.xml" not in book.namelist():
        return EPOCH
    with _member(book, "xl/workbook.xml", file_name) as part:
        root = ET.parse(part).getroot()  # noqa: S314 - a document type is refused before
    properties = root.find(f"{_NAMESPACE}workbookPr")
    in_1904 = properties is not None and properties.get("date1904", "0") in ("1", "true")
    return EPOCH_1904 if in_1904 else EPOCH


def _cells(
    book: zipfile.ZipFile, name: str, file_name: str
) -> Iterator[tuple[int, Mapping[int, ET.Element]]]:
    line = 0
    above: list[ET.Element] = []
    with _member(book, name, file_name) as part:
        events = ET.iterparse(part, ("start", "end"))  # noqa: S314 - a document type is refused before
        for event, element in events:
            if event == "start":
                above.append(element)
                continue
            above.pop()
            if element.tag != f"{_NAMESPACE}row":
                continue
            line = int(element.get("r", line + 1))
            cells: dict[int, ET.Element] = {}
            for cell in element:
                place = _place(cell.get("r", "")) if cell.get("r") else len(cells)
                cells[place] = cell
            yield line, cells
            if above:
                above[-1].remove(element)  # else a million emptied rows would stay in the tree


def _place(reference: str) -> int:
    """Give the column of ``B3`` counted from zero."""
    place = 0
    for letter in reference:
        if not letter.isalpha():
            break
        place = place * COLUMN_LETTERS + ord(letter.upper()) - ord("A") + 1
    return place - 1


def _value(cell: ET.Element) -> str:
    return cell.findtext(f"{_NAMESPACE}v") or ""


def _is_rounded(cell: ET.Element) -> bool:
    if cell.get("t", "n") != "n":
        return False
    digits = re.sub(r"\D", "", re.split("[eE]", _value(cell))[0]).strip("0")
    return len(digits) > DIGITS_MAX or "E" in _value(cell).upper()


def _text(cell: ET.Element, strings: list[str], dates: frozenset[int], epoch: date) -> str:
    kind, value = cell.get("t", "n"), _value(cell)
    if kind == "s":
        return strings[int(value)] if value else ""
    if kind == "inlineStr":
        inline = cell.find(f"{_NAMESPACE}is")
        return "" if inline is None else _plain(inline)
    if kind == "b":
        return "true" if value == "1" else "false"
    if kind == "n" and value and int(cell.get("s", "0")) in dates:
        whole, _, rest = value.partition(".")
        if not rest.strip("0") and whole.isdigit() and len(whole) < DIGITS_MAX // 2:
            return (epoch + timedelta(days=int(whole))).isoformat()
    return value
