"""Cells of a list: how each kind is read, and what must hold between the cells of a row."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import date, timedelta
from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_uscc
from tanqiao.kernel.quantities import parse_decimal
from tanqiao_gateway.importers.mapping import FieldRule

CELL_CHARACTERS_MAX: Final = 2_000
INTEGER_MAX: Final = 2**62
FILING_CODE_LENGTH: Final = 17
CERTIFICATE_CODE_LENGTH: Final = 32
MICRODEGREES: Final = 6
# Mainland China and its seas; outside it a position of these lists is a mistake.
LATITUDES: Final = (3_000_000, 54_000_000)
LONGITUDES: Final = (73_000_000, 136_000_000)
DECEMBER: Final = 12

_DATE_FORMS: Final = (
    re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII),
    re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日", re.ASCII),
)
_MONTH_FORMS: Final = (
    re.compile(r"(\d{4})[-/.](\d{1,2})", re.ASCII),
    re.compile(r"(\d{4})(\d{2})", re.ASCII),
    re.compile(r"(\d{4})年(\d{1,2})月", re.ASCII),
)
_CODE: Final = re.compile(r"[0-9A-Z]+", re.ASCII)
_FLAGS: Final = {
    "true": True, "1": True, "yes": True, "是": True, "可交易": True,
    "false": False, "0": False, "no": False, "否": False, "不可交易": False,
}  # fmt: skip


def read_cell(text: str, rule: FieldRule) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - one branch a kind
    """Read one cell; None where it is empty and may be.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, TEXT_TOO_LONG, ENUM_UNKNOWN, IDENTITY_CODE_INVALID, …
    """
    value = text.strip()
    if len(value) > CELL_CHARACTERS_MAX:
        raise DomainError("TEXT_TOO_LONG", field=rule.column, limit=CELL_CHARACTERS_MAX)
    if not value:
        if rule.required:
            raise DomainError("FIELD_MISSING", field=rule.column)
        return None
    match rule.kind:
        case "integer":
            return _bounded(parse_decimal(value, 0, field=rule.column), rule)
        case "decimal":
            return _bounded(parse_decimal(value, rule.decimals, field=rule.column), rule)
        case "date":
            return parse_any_date(value, rule.column)
        case "last_day":
            return parse_any_date(value, rule.column) + timedelta(days=1)
        case "month" | "month_end":
            return parse_month(value, rule.column, next_one=rule.kind == "month_end")
        case "flag":
            if value.lower() not in _FLAGS:
                raise DomainError("FIELD_INVALID", field=rule.column, detail=value[:64])
            return _FLAGS[value.lower()]
        case "value":
            if value not in rule.values:
                if rule.otherwise is not None:
                    return rule.otherwise
                raise DomainError("ENUM_UNKNOWN", field=rule.column, value=value[:64])
            return rule.values[value]
        case "uscc":
            return check_uscc(value)
        case "filing_code":
            return _code(value, FILING_CODE_LENGTH, rule)
        case "certificate_code":
            return _code(value, CERTIFICATE_CODE_LENGTH, rule)
        case "degrees":
            return _degrees(value, rule)
        case _:
            if not value.isprintable():
                raise DomainError("FIELD_INVALID", field=rule.column, detail="control characters")
            return value


def _bounded(value: int, rule: FieldRule) -> int:
    if value > INTEGER_MAX:
        raise DomainError("FIELD_INVALID", field=rule.column, detail=str(value)[:64])
    return value


def _code(value: str, length: int, rule: FieldRule) -> str:
    """Length and alphabet alone are known of these codes (DOMAIN section 9.4)."""
    if len(value) != length or _CODE.fullmatch(value) is None:
        detail = f"{value[:40]}: {length} digits and capital letters are wanted"
        raise DomainError("FIELD_INVALID", field=rule.column, detail=detail)
    return value


def _degrees(value: str, rule: FieldRule) -> int:
    number = value.removeprefix("-")
    degrees = parse_decimal(
        number[: number.find(".") + 1 + MICRODEGREES] if "." in number else number,
        MICRODEGREES,
        field=rule.column,
    )
    return -degrees if value.startswith("-") else degrees


def check_position(latitude: int | None, longitude: int | None, field: str) -> None:
    """Refuse a position that no plant of China can have; says so where the two were swapped.

    Args:
        latitude: microdegrees; None: not stated.
        longitude: microdegrees; None: not stated.
        field: column of the latitude.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if latitude is None and longitude is None:
        return
    if latitude is None or longitude is None:
        raise DomainError("FIELD_INVALID", field=field, detail="half a position")
    if _within(latitude, LATITUDES) and _within(longitude, LONGITUDES):
        return
    swapped = _within(longitude, LATITUDES) and _within(latitude, LONGITUDES)
    detail = f"{latitude / 1e6:.4f}, {longitude / 1e6:.4f}: " + (
        "latitude and longitude are swapped" if swapped else "outside of China"
    )
    raise DomainError("FIELD_INVALID", field=field, detail=detail)


def _within(value: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def parse_any_date(text: str, field: str) -> date:
    """Read a date in one of five notations; the order is always year, month, day, so that none is ambiguous.

    Raises:
        DomainError: FIELD_INVALID with the field.
    """
    for form in _DATE_FORMS:
        match = form.fullmatch(text)
        if match is not None:
            try:
                return date(int(match.group(1)), int(match.group(2)), int(match.group(3)))
            except ValueError:
                break
    raise DomainError("FIELD_INVALID", field=field, detail=text[:64])


def parse_month(text: str, field: str, *, next_one: bool) -> date:
    """Give the first day of a month, or of the month after it.

    Raises:
        DomainError: FIELD_INVALID with the field.
    """
    for form in _MONTH_FORMS:
        match = form.fullmatch(text)
        if match is not None and 1 <= int(match.group(2)) <= DECEMBER and match.group(1) != "0000":
            year, month = int(match.group(1)), int(match.group(2))
            if next_one:
                year, month = (year + 1, 1) if month == DECEMBER else (year, month + 1)
            return date(year, month, 1)
    raise DomainError("FIELD_INVALID", field=field, detail=text[:64])


class SequenceRanges:
    """Ranges of certificates of one list: as many as the row says, under its filing code, and never twice."""

    def __init__(self) -> None:
        self._by_lot: dict[tuple[str, bytes], list[tuple[int, int, int]]] = {}

    def add(self, record: registry_pb2.RegistryRecord, line: int) -> None:
        """Take a row's range.

        Raises:
            DomainError: RANGE_REVERSED, FIELD_INVALID for another count or another filing code,
                RANGE_OVERLAP with the lines.
        """
        codes = [one.value for one in record.asset_references if one.scheme == "gec_filing_code"]
        for code in (record.first_code, record.last_code):
            if code and codes and code[:FILING_CODE_LENGTH] != codes[0]:
                raise DomainError("FIELD_INVALID", field="filing_code", detail=f"{code} is not of {codes[0]}")
        first, last = record.first_sequence, record.last_sequence
        if not first and not last:
            return
        if last < first:
            raise DomainError("RANGE_REVERSED", field="first_sequence", start=first, end=last)
        if last - first + 1 != record.activity_quantity:
            detail = f"{first}-{last} are not {record.activity_quantity}"
            raise DomainError("FIELD_INVALID", field="last_sequence", detail=detail)
        lot = self._by_lot.setdefault(
            (codes[0] if codes else "", record.period.SerializeToString(deterministic=True)), []
        )
        place = bisect_left(lot, (first, last, line))
        for neighbour in lot[max(0, place - 1) : place + 1]:
            if neighbour[0] <= last and first <= neighbour[1]:
                raise _overlap(
                    "first_sequence",
                    f"{neighbour[0]}-{neighbour[1]} ({neighbour[2]})",
                    f"{first}-{last} ({line})",
                )
        lot.insert(place, (first, last, line))


_GIVEN_UP: Final = frozenset(
    {
        claims_pb2.CLAIM_STATUS_WITHDRAWN,
        claims_pb2.CLAIM_STATUS_REJECTED,
        claims_pb2.CLAIM_STATUS_CANCELLED,
    }
)


class OwnPeriods:
    """Periods of the instalments of one list: what it lists for one thing does not overlap.

    Certificates of one plant may stand for the same period in several classes and states, and then for
    exactly the same one; reductions of one project never. What was withdrawn, rejected or cancelled is not
    counted.
    """

    def __init__(self) -> None:
        # Of most things a list names one period: a packed number each keeps a million of them small.
        self._by_thing: dict[str, int | list[int]] = {}

    def add(self, record: registry_pb2.RegistryRecord, line: int) -> None:
        """Take a row's period.

        Raises:
            DomainError: RANGE_OVERLAP with both periods and lines.
        """
        instalment = record.object == claims_pb2.CLAIM_OBJECT_INSTALMENT
        if not instalment or not record.HasField("period") or record.status in _GIVEN_UP:
            return
        codes = [one.value for one in record.asset_references if one.scheme == "gec_filing_code"]
        if not codes:
            return
        certificates = bool(record.certificate_state)
        title = "" if certificates else f"/{record.attribute}/{record.title}"
        start, end = _ordinal(record.period.start_date), _ordinal(record.period.end_date)
        self._take("/".join(codes) + title, _packed(start, end, line), equal_allowed=certificates)

    def _take(self, thing: str, packed: int, *, equal_allowed: bool) -> None:
        known = self._by_thing.get(thing)
        if known is None:
            self._by_thing[thing] = packed
            return
        periods = [known] if isinstance(known, int) else known
        start, end, _ = _unpacked(packed)
        place = bisect_left(periods, _packed(start, end, 0))
        for other in periods[max(0, place - 1) : place + 1]:
            other_start, other_end, _ = _unpacked(other)
            if equal_allowed and (other_start, other_end) == (start, end):
                return
            if other_start < end and start < other_end:
                raise _overlap("period", _shown(other), _shown(packed))
        periods.insert(place, packed)
        self._by_thing[thing] = periods


_LINE_BITS: Final = 32
_DAY_BITS: Final = 22


def _packed(start: int, end: int, line: int) -> int:
    """Give one number for a period and its line that sorts as they do."""
    return (start << _DAY_BITS | end) << _LINE_BITS | line


def _unpacked(packed: int) -> tuple[int, int, int]:
    days, line = packed >> _LINE_BITS, packed & ((1 << _LINE_BITS) - 1)
    return days >> _DAY_BITS, days & ((1 << _DAY_BITS) - 1), line


def _shown(packed: int) -> str:
    start, end, line = _unpacked(packed)
    return f"{date.fromordinal(start)}/{date.fromordinal(end)} ({line})"


def _ordinal(day: values_pb2.Date) -> int:
    return date(day.year, day.month, day.day).toordinal()


def _overlap(field: str, first: str, second: str) -> DomainError:
    """Give the refusal of a range; each with its line, both in the sentence."""
    return DomainError("RANGE_OVERLAP", field=field, ranges=[first, second], first=first, second=second)
