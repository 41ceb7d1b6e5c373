"""XLSX lists: the rows of the first sheet under the columns of a mapping; ids must stand as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from tanqiao.kernel.errors import DomainError
from tanqiao.sheets.xlsx import DIGITS_MAX, sheet_rows
from tanqiao_gateway.importers.mapping import ListMapping
from tanqiao_gateway.importers.rows import ROWS_MAX, Fault, SourceRow, column_names


def read_xlsx(file: IO[bytes], file_name: str, mapping: ListMapping) -> Iterator[SourceRow | Fault]:
    """Stream the rows of the first sheet; the first row that is not empty is the header.

    Raises:
        DomainError: FILE_EMPTY, ROW_INVALID where it is no workbook, FILE_TOO_LARGE, COLUMN_MISSING.
    """
    names: dict[int, str] = {}
    count = 0
    for line, values, rounded in sheet_rows(file, file_name):
        if not names:
            header = [values.get(place, "") for place in range(max(values) + 1)]
            while header and not header[-1].strip():
                header.pop()
            names = dict(enumerate(column_names(header, file_name, mapping)))
            continue
        count += 1
        if count > ROWS_MAX:
            raise DomainError("FILE_TOO_LARGE", file=file_name, size=count, limit=ROWS_MAX)
        beyond = [place for place, value in values.items() if place not in names and value.strip()]
        spoilt = [place for place in rounded if place in names]
        if beyond:
            detail = f"a cell in column {beyond[0] + 1}, the header has {len(names)}"
            yield Fault(line, "", DomainError("ROW_INVALID", row=line, file=file_name, detail=detail))
        elif spoilt:
            column = names[spoilt[0]]
            detail = f"{values[spoilt[0]][:32]}: more than {DIGITS_MAX} digits, store it as text"
            yield Fault(line, column, DomainError("FIELD_INVALID", field=column, detail=detail))
        else:
            yield SourceRow(line, {name: values.get(place, "") for place, name in names.items()})
    if not names:
        raise DomainError("FILE_EMPTY", file=file_name)
