"""XLSX lists: text, numbers and dates of the first sheet, and what a spreadsheet spoils."""

from __future__ import annotations

import io
import zipfile

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao_gateway.importers.mapping import load_mapping
from tanqiao_gateway.importers.rows import Fault, SourceRow
from tanqiao_gateway.importers.xlsx import read_xlsx

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET = "worksheet"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts>'
    '<numFmt numFmtId="164" formatCode="yyyy&quot;年&quot;m&quot;月&quot;"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/></cellXfs></styleSheet>'
)
STRINGS = (
    f'<sst xmlns="{MAIN}"><si><t>cdm_ref</t></si><si><t>name</t></si>'
    "<si><r><t>虚构</t></r><r><t>电站</t></r><rPh><t>xugou</t></rPh></si></sst>"
)
HEADER = (
    '<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c>'
    '<c r="D2" t="str"><v>day</v></c></row>'
)


def book(rows: str, **parts: str) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(
            "xl/worksheets/sheet1.xml",
            f'<{SHEET} xmlns="{MAIN}"><sheetData><row r="1"/>{rows}</sheetData></{SHEET}>',
        )
        made.writestr("xl/sharedStrings.xml", parts.get("strings", STRINGS))
        made.writestr("xl/styles.xml", STYLES)
    file.seek(0)
    return file


def read(file: io.BytesIO) -> list[SourceRow | Fault]:
    return list(read_xlsx(file, "list.xlsx", load_mapping("cdm")))


def test_text_numbers_and_dates_are_read_from_the_first_sheet() -> None:
    header = HEADER.replace('<c r="D2"', '<c r="C2" t="inlineStr"><is><t>capacity</t></is></c><c r="D2"')
    rows = (
        '<row r="3"><c r="A3"><v>64</v></c><c r="B3" t="s"><v>2</v></c><c r="C3"><v>49.5</v></c>'
        '<c r="D3" s="1"><v>46082</v></c></row>'
        '<row r="5"><c r="A5" t="inlineStr"><is><t>1526163848812433408</t></is></c>'
        '<c r="B5" t="b"><v>1</v></c>'
        '<c r="D5" s="2"><v>46054</v></c></row>'
    )
    found = read(book(header + rows))
    assert found == [
        SourceRow(3, {"cdm_ref": "64", "name": "虚构电站", "capacity": "49.5", "day": "2026-03-01"}),
        SourceRow(5, {"cdm_ref": "1526163848812433408", "name": "true", "capacity": "", "day": "2026-02-01"}),
    ]


def test_what_a_spreadsheet_spoils_is_named() -> None:
    header = HEADER.replace("D2", "C2")
    rows = (
        '<row r="3"><c r="A3"><v>1.5261638488124334E18</v></c><c r="B3" t="s"><v>2</v></c></row>'
        '<row r="4"><c r="A4"><v>7</v></c><c r="B4" t="s"><v>2</v></c><c r="F4"><v>8</v></c></row>'
    )
    faults = [one for one in read(book(header + rows)) if isinstance(one, Fault)]
    assert [(one.line, one.column, one.refusal.symbol) for one in faults] == [
        (3, "cdm_ref", "FIELD_INVALID"),
        (4, "", "ROW_INVALID"),
    ]


@pytest.mark.parametrize(
    ("file", "symbol"),
    [
        (io.BytesIO(b"no zip"), "ROW_INVALID"),
        (book(""), "FILE_EMPTY"),
        (book('<row r="2"><c r="A2" t="str"><v>other</v></c></row>'), "COLUMN_MISSING"),
        (book(HEADER, strings=f'<!DOCTYPE a [<!ENTITY b "c">]><sst xmlns="{MAIN}"/>'), "ROW_INVALID"),
        (book("<row>"), "ROW_INVALID"),
    ],
    ids=["no workbook", "no rows", "other columns", "a document type", "broken XML"],
)
def test_a_workbook_that_cannot_be_read_is_refused(file: io.BytesIO, symbol: str) -> None:
    with pytest.raises(DomainError) as caught:
        read(file)
    assert caught.value.symbol == symbol
