"""Two lists and a description of their columns become records that can be compared.

The description (TOML) names, for each side, the column of every feature; a new list needs a description
and no
code. Owner and commissioning year are not features: in the lists at hand they are empty exactly where a
pair is
known, so that their emptiness would be learnt instead of their content.
"""

from __future__ import annotations

import csv
import io
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tanqiao.matching.names import NameParts, parse_name, technology_of
from tanqiao.matching.positions import Position, nominations

FILE_BYTES_MAX: Final = 512 * 1024 * 1024
ROWS_MAX: Final = 1_000_000
ENCODINGS: Final = ("utf-8-sig", "gb18030")
WARNINGS_MAX: Final = 20
"""Warnings kept for one file; more are only counted."""
VOCABULARY_ROWS_MIN: Final = 1000
ROWS_OF_A_RARE_WORD: Final = 2

_FEATURES: Final = ("technology", "capacity_mw", "latitude", "longitude", "province")


class ScreeningError(ValueError):
    """A list or a description cannot be used; the message says which, where and why."""


@dataclass(frozen=True, slots=True)
class Side:
    """Columns of one list; None where the list has no such feature."""

    id: str
    name: tuple[str, ...]
    technology: str | None = None
    capacity_mw: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    province: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that must be there."""
        features = (getattr(self, feature) for feature in _FEATURES)
        return (self.id, *self.name, *(column for column in features if column is not None))


@dataclass(frozen=True, slots=True)
class Mapping:
    """What the description says: the columns of both sides, and whether candidates are one to one."""

    left: Side
    right: Side
    one_to_one: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One row, read: what is compared. Capacity in MW, positions in degrees."""

    id: str
    name: str
    parts: NameParts
    technology: str | None
    capacity_mw: float | None
    positions: tuple[Position, ...]
    provinces: frozenset[str]


@dataclass(slots=True)
class Records:
    """The records of one list, and what was odd about it."""

    rows: list[Record]
    warnings: list[str] = field(default_factory=list)
    warnings_count: int = 0

    def warn(self, sentence: str) -> None:
        """Keep a warning, or count it when there are too many."""
        self.warnings_count += 1
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(sentence)


def _side(document: dict[str, Any], which: str) -> Side:
    table = document.get(which)
    if not isinstance(table, dict):
        raise ScreeningError(f"mapping: the table [{which}] is missing")
    unknown = sorted(set(table) - {"id", "name", *_FEATURES})
    if unknown:
        raise ScreeningError(f"mapping: [{which}] names features that do not exist: {', '.join(unknown)}")
    name = table.get("name")
    names = [name] if isinstance(name, str) else name
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise ScreeningError(f"mapping: [{which}] needs `name`, a column or a list of columns")
    if not all(isinstance(value, str) for key, value in table.items() if key != "name") or "id" not in table:
        raise ScreeningError(f"mapping: [{which}] needs `id`, and each feature names one column")
    if ("latitude" in table) != ("longitude" in table):
        raise ScreeningError(f"mapping: [{which}] has one half of a position")
    return Side(name=tuple(names), **{key: value for key, value in table.items() if key != "name"})


def read_mapping(path: Path) -> Mapping:
    """Read a description of columns.

    Raises:
        ScreeningError: it is not TOML, or lacks or misnames a part.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScreeningError(f"{path}: cannot be read as a mapping: {error}") from error
    unknown = sorted(set(document) - {"left", "right", "assignment"})
    if unknown:
        raise ScreeningError(f"mapping: tables that do not exist: {', '.join(unknown)}")
    assignment = document.get("assignment", {})
    one_to_one = assignment.get("one_to_one", True) if isinstance(assignment, dict) else None
    if not isinstance(one_to_one, bool):
        raise ScreeningError("mapping: [assignment] one_to_one is true or false")
    return Mapping(_side(document, "left"), _side(document, "right"), one_to_one)


def read_text(path: Path) -> str:
    """Read a file in UTF-8, or else in GB18030.

    Raises:
        ScreeningError: it cannot be read, is too large, or is neither.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ScreeningError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise ScreeningError(f"{path}: {error.strerror or 'cannot be read'}") from error
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ScreeningError(f"{path}: is neither UTF-8 nor GB18030")


def read_records(path: Path, side: Side) -> Records:
    """Read a CSV list with a header row.

    A number that cannot be read is unknown, with a warning; rows that repeat another row are read once.

    Raises:
        ScreeningError: a column is missing, a row has another length than the header, an id is empty or
        stands
            for two different rows. The message gives file, line and column.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    records = Records([])
    try:
        header = next(reader, [])
        repeated = [name for name, count in Counter(header).items() if count > 1]
        missing = [column for column in side.columns if column not in header]
        if missing or repeated:
            fault = f"has no column {missing[0]!r}" if missing else f"has the column {repeated[0]!r} twice"
            raise ScreeningError(f"{path}: line 1: {fault}")
        _read_rows(path, side, header, reader, records)
    except csv.Error as error:
        raise ScreeningError(f"{path}: line {reader.line_num}: {error}") from error
    return records


def _read_rows(path: Path, side: Side, header: list[str], reader: Any, records: Records) -> None:  # noqa: ANN401 - csv's reader has no public type
    seen: dict[str, tuple[str, ...]] = {}
    for cells in reader:
        where = f"{path}: line {reader.line_num}"
        if not cells:
            continue
        if len(cells) != len(header):
            raise ScreeningError(f"{where}: has {len(cells)} cells, the header has {len(header)}")
        row = dict(zip(header, cells, strict=True))
        content = tuple(row[column].strip() for column in side.columns)
        if not content[0]:
            raise ScreeningError(f"{where}: column {side.id!r} is empty")
        if content[0] in seen:
            if seen[content[0]] != content:
                raise ScreeningError(
                    f"{where}: column {side.id!r}: {content[0]!r} stands for another row too"
                )
            records.warn(f"{where}: repeats the row {content[0]!r}")
            continue
        seen[content[0]] = content
        if len(seen) > ROWS_MAX:
            raise ScreeningError(f"{where}: more than {ROWS_MAX} rows")
        records.rows.append(_record(where, side, row, records))


def _number(where: str, row: dict[str, str], column: str | None, records: Records) -> float | None:
    text = row[column].strip() if column is not None else ""
    if not text:
        return None
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        records.warn(f"{where}: column {column!r}: {text[:40]!r} is no number; taken as unknown")
        return None
    return value


def _record(where: str, side: Side, row: dict[str, str], records: Records) -> Record:
    name = next((row[column].strip() for column in side.name if row[column].strip()), "")
    parts = parse_name(name)
    stated = row[side.technology].strip() if side.technology is not None else ""
    province = row[side.province].strip() if side.province is not None else ""
    capacity = _number(where, row, side.capacity_mw, records)
    return Record(
        id=row[side.id].strip(),
        name=name,
        parts=parts,
        technology=technology_of(stated) or parts.technology,
        capacity_mw=capacity if capacity is not None and capacity > 0 else None,
        positions=nominations(
            _number(where, row, side.latitude, records), _number(where, row, side.longitude, records)
        ),
        provinces=parts.provinces or frozenset({province[:2]} if province[:2].isdigit() else ()),
    )


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How often each word occurs in the lists at hand; nothing is known of a word beforehand."""

    rows: int
    frequency: ReadOnlyMapping[str, int]

    def weight(self, word: str) -> float:
        """Weigh a word by how rare it is: ln(1 + rows / rows with the word)."""
        return math.log1p(self.rows / self.frequency[word])

    @property
    def rare_line(self) -> float:
        """Weight from which on a word counts as rare: it stands in two rows at most, one on each side."""
        return math.log1p(self.rows / (ROWS_OF_A_RARE_WORD + 0.5))


def vocabulary_of(lists: Iterable[Sequence[Record]]) -> Vocabulary:
    """Count the words of both lists; short lists count as `VOCABULARY_ROWS_MIN` rows.

    In a handful of rows no word is known to be common.
    """
    rows = 0
    frequency: Counter[str] = Counter()
    for records in lists:
        rows += len(records)
        frequency.update(word for record in records for word in record.parts.words)
    return Vocabulary(max(rows, VOCABULARY_ROWS_MIN), frequency)
