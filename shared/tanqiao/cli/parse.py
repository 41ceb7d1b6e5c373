"""Reads what people type: dates, months, periods, blocks, references."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import parse_date
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_message

INVENTED_MARK: Final = "（虚构 invented）"
PERIOD_SEPARATOR: Final = ".."
FILE_BYTES_MAX: Final = 1 << 20
MONTHS: Final = 12
_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")

M = TypeVar("M", bound=Message)


def to_date(day: date) -> values_pb2.Date:
    """Give a date as the wire has it."""
    return values_pb2.Date(year=day.year, month=day.month, day=day.day)


def date_text(message: values_pb2.Date) -> str:
    """Give a date of the wire as text; empty when it is not set."""
    return f"{message.year:04d}-{message.month:02d}-{message.day:02d}" if message.year else ""


def parse_period(text: str) -> values_pb2.Period:
    """Read ``2026-01`` (a month) or ``2026-01-01..2026-03-01``, the end not included.

    Raises:
        DomainError: FIELD_INVALID, RANGE_REVERSED.
    """
    month = _MONTH.fullmatch(text.strip())
    if month is not None:
        year, number = int(month.group(1)), int(month.group(2))
        if not 1 <= number <= MONTHS or year < 1:
            raise DomainError("FIELD_INVALID", field="period", detail=text)
        first = date(year, number, 1)
        return make_period(first, date(year + number // MONTHS, number % MONTHS + 1, 1))
    start, separator, end = text.partition(PERIOD_SEPARATOR)
    if not separator:
        raise DomainError("FIELD_INVALID", field="period", detail="2026-01, 2026-01-01..2026-03-01")
    return make_period(parse_date(start.strip()), parse_date(end.strip()))


def make_period(start: date, end: date) -> values_pb2.Period:
    """Give a half-open period."""
    if start >= end:
        raise DomainError("RANGE_REVERSED", field="period", start=start, end=end)
    return values_pb2.Period(start_date=to_date(start), end_date=to_date(end))


def period_text(period: values_pb2.Period) -> str:
    """Give a period as it is typed."""
    return f"{date_text(period.start_date)}{PERIOD_SEPARATOR}{date_text(period.end_date)}"


def selection(kg: int | None, series: str, blocks: tuple[str, ...]) -> ledger_pb2.UnitSelection:
    """Give what to move: a quantity in kg, or exact blocks ``series[start,end)``.

    Raises:
        DomainError: FIELD_MISSING when neither or both are given.
    """
    if (kg is None) == (not blocks):
        raise DomainError("FIELD_MISSING", field="--kg | --block")
    if kg is not None:
        return ledger_pb2.UnitSelection(series_id=series, quantity_kg=kg)
    return ledger_pb2.UnitSelection(blocks=[block_message(UnitBlock.parse(text)) for text in blocks])


def blocks_text(blocks: list[values_pb2.UnitBlock]) -> str:
    """Give blocks as they are typed, one a line."""
    return "\n".join(f"{block.series_id}[{block.start_serial},{block.end_serial})" for block in blocks)


def shown_name(name: str, *, invented: bool) -> str:
    """Give a name as it is shown: what is invented is marked, once."""
    return f"{name}{INVENTED_MARK}" if invented and not name.endswith(INVENTED_MARK) else name


def parse_references(texts: tuple[str, ...]) -> list[claims_pb2.AssetReference]:
    """Read ``scheme=value``, for instance ``gec_filing_code=…``."""
    references = []
    for text in texts:
        scheme, separator, value = text.partition("=")
        if not separator or not scheme or not value:
            raise DomainError("FIELD_INVALID", field="--ref", detail=f"scheme=value: {text}")
        references.append(claims_pb2.AssetReference(scheme=scheme.strip(), value=value.strip()))
    return references


def read_message(path: Path, message: M) -> M:
    """Read a message from a file in protobuf's JSON form; a field that is not known is refused.

    Raises:
        DomainError: FILE_MISSING, FILE_TOO_LARGE, MESSAGE_MALFORMED.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=path, size=path.stat().st_size, limit=FILE_BYTES_MAX)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except UnicodeDecodeError as error:
        raise DomainError("FILE_NOT_UTF8", file=path, line=error.start) from error
    try:
        return json_format.Parse(text, message)
    except json_format.ParseError as error:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{path}: {error}") from error
