"""Rows of a list.

Streamed from CSV or JSON, turned into records by a mapping, every fault with line and column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import IO, Any, Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.keys import Strength, asset_key, asset_ref, strength_of
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tanqiao_gateway.importers.cells import (
    CELL_CHARACTERS_MAX,
    OwnPeriods,
    SequenceRanges,
    check_position,
    read_cell,
)
from tanqiao_gateway.importers.encoding import UNREADABLE, decoded_lines
from tanqiao_gateway.importers.mapping import ListMapping

ROWS_MAX: Final = 2_000_000
COLUMNS_MAX: Final = 200
JSON_BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as read: its line in the file (1 is the first) and its cells as text."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot be taken."""

    line: int
    column: str
    refusal: DomainError


@dataclass(frozen=True, slots=True)
class Mapped:
    """A record, with the asset keys under which it is found."""

    line: int
    record: registry_pb2.RegistryRecord
    keys: tuple[str, ...]


def read_csv(file: IO[bytes], file_name: str, mapping: ListMapping) -> Iterator[SourceRow | Fault]:
    """Stream the rows of a CSV file: UTF-8 or GB18030, comma-separated, any line ends, a header row.

    A row with another number of cells than the header, a quote that does not end, and a row in another
    encoding than the file's are faults of that row.

    Raises:
        DomainError: FILE_EMPTY, FILE_NOT_UTF8 where the header cannot be read, COLUMN_MISSING, FILE_TOO_LARGE
        above `ROWS_MAX` rows.
    """
    lines = decoded_lines(file)
    csv.field_size_limit(CELL_CHARACTERS_MAX * 2)
    reader = csv.reader(lines, strict=True)
    names: list[str] = []
    count = 0
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            detail = str(error)
            cells = []
            found: SourceRow | Fault | None = Fault(
                reader.line_num,
                "",
                DomainError("ROW_INVALID", row=reader.line_num, file=file_name, detail=detail),
            )
        else:
            found = None
        if cells is None:
            break
        if not names:
            if found is not None or lines.unreadable:
                raise DomainError("FILE_NOT_UTF8", file=file_name, line=1)
            if not any(cell.strip() for cell in cells):
                raise DomainError("FILE_EMPTY", file=file_name)
            names = column_names(cells, file_name, mapping)
            continue
        if found is None and not any(cell.strip() for cell in cells):
            continue
        count += 1
        if count > ROWS_MAX:
            raise DomainError("FILE_TOO_LARGE", file=file_name, size=count, limit=ROWS_MAX)
        span = range(first_line, reader.line_num + 1)
        if found is None and not lines.unreadable.isdisjoint(span):
            found = _unreadable(reader.line_num, names, cells, file_name)
        yield found or _csv_row(reader.line_num, names, cells, file_name)
    if not names:
        raise DomainError("FILE_EMPTY", file=file_name)


def _unreadable(line: int, names: list[str], cells: list[str], file_name: str) -> Fault:
    """Name the first cell that another encoding has written; the row's if the whole line is."""
    bad = [name for name, cell in zip(names, cells, strict=False) if UNREADABLE in cell]
    column = bad[0] if len(bad) == 1 else ""
    return Fault(line, column, DomainError("FILE_NOT_UTF8", file=file_name, line=line))


def column_names(header: list[str], file_name: str, mapping: ListMapping) -> list[str]:
    """Give the names of a header's columns.

    Raises:
        DomainError: ROW_INVALID where names repeat or are too many, COLUMN_MISSING.
    """
    names = [cell.strip() for cell in header]
    if len(names) > COLUMNS_MAX or len(set(names)) != len(names):
        raise DomainError("ROW_INVALID", row=1, file=file_name, detail="column names repeat or are too many")
    missing = sorted(mapping.required_columns - set(names))
    if missing:
        raise DomainError("COLUMN_MISSING", file=file_name, columns=missing)
    return names


def _csv_row(line: int, names: list[str], cells: list[str], file_name: str) -> SourceRow | Fault:
    if len(cells) != len(names):
        detail = f"{len(cells)} cells, the header has {len(names)}"
        return Fault(line, "", DomainError("ROW_INVALID", row=line, file=file_name, detail=detail))
    return SourceRow(line, dict(zip(names, cells, strict=True)))


def read_json(file: IO[bytes], file_name: str, mapping: ListMapping) -> Iterator[SourceRow | Fault]:
    """Read the rows of a JSON file: an array of objects, or an object that holds one; rows count from 1.

    A JSON document is read whole and therefore bounded at `JSON_BYTES_MAX`.

    Raises:
        DomainError: FILE_EMPTY, FILE_NOT_UTF8, FILE_TOO_LARGE, ROW_INVALID where it is not JSON.
    """
    data = file.read(JSON_BYTES_MAX + 1)
    if len(data) > JSON_BYTES_MAX:
        raise DomainError("FILE_TOO_LARGE", file=file_name, size=len(data), limit=JSON_BYTES_MAX)
    if not data.strip():
        raise DomainError("FILE_EMPTY", file=file_name)
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_float=str, parse_constant=str)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DomainError("FILE_NOT_UTF8", file=file_name, line=line) from None
    except (ValueError, RecursionError) as error:
        raise DomainError("ROW_INVALID", row=1, file=file_name, detail=str(error)[:200]) from None
    rows = document.get(mapping.records) if isinstance(document, dict) and mapping.records else document
    if not isinstance(rows, list):
        raise DomainError("COLUMN_MISSING", file=file_name, columns=mapping.records or "[]")
    if not rows:
        raise DomainError("FILE_EMPTY", file=file_name)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            detail = "not an object"
            yield Fault(number, "", DomainError("ROW_INVALID", row=number, file=file_name, detail=detail))
        else:
            yield SourceRow(number, {str(key): _text(value) for key, value in row.items()})


def _text(value: Any) -> str:  # noqa: ANN401 - JSON gives any type
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return json.dumps(value, ensure_ascii=False)[:CELL_CHARACTERS_MAX]


class RowMapper:
    """Makes records of rows.

    Knows the keys that occurred, so that a row repeated within the file is found.
    """

    def __init__(self, mapping: ListMapping) -> None:
        self._mapping = mapping
        self._seen: dict[str, int] = {}
        self._ranges = SequenceRanges()
        self._periods = OwnPeriods()

    def map(self, row: SourceRow) -> Mapped | Fault:
        """Give the record of a row, or the first fault of it."""
        column = ""
        try:
            values: dict[str, Any] = dict(self._mapping.constants)
            for name, rule in self._mapping.fields.items():
                column = rule.column
                value = read_cell(row.cells.get(rule.column, ""), rule)
                if value is not None:
                    values[name] = value
            column = self._mapping.fields["reference"].column
            values["reference"] = reference = self._key(row, values["reference"])
            first = self._seen.setdefault(reference, row.line)
            if first != row.line:
                raise DomainError("DUPLICATE_KEY", key=reference, where=f"{first}, {row.line}")  # noqa: TRY301
            column = self._column_of("latitude")
            check_position(values.get("latitude"), values.get("longitude"), column)
            column = self._column_of("period_start")
            _require_period(values, column)
            column = "references"
            mapped = self._record(row, values)
            column = self._column_of("first_sequence")
            self._ranges.add(mapped.record, row.line)
            column = self._column_of("period_start")
            self._periods.add(mapped.record, row.line)
        except DomainError as refusal:
            return Fault(row.line, column, refusal)
        return mapped

    def _key(self, row: SourceRow, reference: str) -> str:
        if not self._mapping.key_columns:
            return reference
        return "/".join(row.cells.get(column, "").strip() for column in self._mapping.key_columns)

    def _column_of(self, field: str) -> str:
        rule = self._mapping.fields.get(field)
        return "" if rule is None else rule.column

    def _record(self, row: SourceRow, values: dict[str, Any]) -> Mapped:
        mapping = self._mapping
        references, keys = [], []
        for rule in mapping.references:
            text = row.cells.get(rule.column, "").strip()
            if not text:
                continue
            reference = asset_ref(rule.scheme, text)
            references.append(claims_pb2.AssetReference(scheme=reference.scheme, value=reference.value))
            if strength_of(reference.scheme) >= Strength.OTHER_REGISTRY:
                keys.append(asset_key(reference))
        record = registry_pb2.RegistryRecord(
            reference=values["reference"],
            title=values.get("title", ""),
            asset_references=references,
            programme=claims_pb2.Programme.Value(f"PROGRAMME_{mapping.programme}"),
            object=claims_pb2.ClaimObject.Value(f"CLAIM_OBJECT_{values.get('object', mapping.object)}"),
            status=claims_pb2.ClaimStatus.Value(f"CLAIM_STATUS_{values.get('status', 'DECLARED')}"),
            attribute=claims_pb2.Attribute.Value(
                f"ATTRIBUTE_{values.get('attribute', mapping.attribute) or 'UNSPECIFIED'}"
            ),
            grain=claims_pb2.Grain.Value(f"GRAIN_{values.get('grain', 'DAY')}"),
            subject_name=values.get("subject_name", ""),
            subject_uscc=values.get("subject_uscc", ""),
            activity_quantity=values.get("activity_quantity", 0),
            activity_unit=values.get("activity_unit", ""),
            quantity_kg=values.get("quantity_kg", 0),
            certificate_state=values.get("certificate_state", ""),
            tradable=values.get("tradable", False),
            self_use=values.get("self_use", False),
            methodology_id=values.get("methodology_id", ""),
            province_code=values.get("province_code", ""),
            asset_kind=values.get("asset_kind", ""),
            invented=values.get("invented", False),
            first_sequence=values.get("first_sequence", 0),
            last_sequence=values.get("last_sequence", 0),
            first_code=values.get("first_code", ""),
            last_code=values.get("last_code", ""),
        )
        start, end = values.get("period_start"), values.get("period_end")
        if start is not None and end is not None:
            record.period.CopyFrom(wire_period(Period(_as_date(start), _as_date(end))))
        return Mapped(row.line, record, tuple(dict.fromkeys(keys)))


def _as_date(value: str | date) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _require_period(values: Mapping[str, Any], column: str) -> None:
    start, end = values.get("period_start"), values.get("period_end")
    if start is not None and end is not None and _as_date(end) <= _as_date(start):
        raise DomainError("RANGE_REVERSED", field=column, start=start, end=end)
