"""Checks of requests that every service shares: shape alone, each refusal with the field's path.

Nothing here looks at state. What a field means is for the application to judge.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import SERIAL_MAX, UnitBlock, find_overlap
from tanqiao.signing.parties import Party, parse_party

REQUEST_ID_LENGTH_MAX: Final = 64
TEXT_LENGTH_MAX: Final = 256
PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1000
PAGE_TOKEN_LENGTH_MAX: Final = 512
PAGE_CHECK_BYTES: Final = 8
BATCH_ITEMS_MAX: Final = 1000
BLOCKS_MAX: Final = 1000
QUANTITY_KG_MAX: Final = SERIAL_MAX
REGIONS_KEPT_MAX: Final = 1_024
"""Names of regions whose check is remembered: every item of a batch names one."""
YEARS: Final = range(1949, 3000)

_REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{REQUEST_ID_LENGTH_MAX}}}", re.ASCII)
T = TypeVar("T")


def require_text(value: str, field: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Give a text without the spaces around it.

    Raises:
        DomainError: FIELD_MISSING if nothing is left, TEXT_TOO_LONG, FIELD_INVALID for control characters.
    """
    text = optional_text(value, field, length_max=length_max)
    if not text:
        raise DomainError("FIELD_MISSING", field=field)
    return text


def optional_text(value: str, field: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Give a text that may be empty; otherwise as `require_text`."""
    text = value.strip()
    if len(text) > length_max:
        raise DomainError("TEXT_TOO_LONG", field=field, limit=length_max)
    if not text.isprintable():
        raise DomainError("FIELD_INVALID", field=field, detail="control characters")
    return text


def require_request_id(value: str) -> str:
    """Give a request id: 1 to 64 of letters, digits and ``. _ : -``; else REQUEST_ID_INVALID."""
    if _REQUEST_ID.fullmatch(value) is None:
        raise DomainError("REQUEST_ID_INVALID", field="request_id", limit=REQUEST_ID_LENGTH_MAX)
    return value


def require_bytes(value: bytes, length: int, field: str) -> bytes:
    """Give bytes of exactly this length; FIELD_MISSING if there are none, else FIELD_INVALID."""
    if not value:
        raise DomainError("FIELD_MISSING", field=field)
    if len(value) != length:
        raise DomainError("FIELD_INVALID", field=field, detail=f"{length} bytes are wanted")
    return value


def optional_bytes(value: bytes, length: int, field: str) -> bytes:
    """Give bytes of exactly this length, or none."""
    return require_bytes(value, length, field) if value else b""


def require_enum(value: int, field: str, allowed: Collection[int] | None = None) -> int:
    """Give an enum value that is set; zero is FIELD_MISSING, one not allowed here FIELD_INVALID."""
    if value == 0:
        raise DomainError("FIELD_MISSING", field=field)
    if allowed is not None and value not in allowed:
        raise DomainError("FIELD_INVALID", field=field, detail="not allowed here")
    return value


def require_quantity_kg(value: int, field: str = "quantity_kg", *, limit: int = QUANTITY_KG_MAX) -> int:
    """Give a quantity in kilograms of CO2e: QUANTITY_NOT_POSITIVE or QUANTITY_TOO_LARGE otherwise."""
    if value <= 0:
        raise DomainError("QUANTITY_NOT_POSITIVE", field=field, quantity_kg=value)
    if value > limit:
        raise DomainError("QUANTITY_TOO_LARGE", field=field, quantity_kg=value, limit=limit)
    return value


def require_count(items: Sequence[T], field: str, *, limit: int = BATCH_ITEMS_MAX) -> Sequence[T]:
    """Give the items of a batch: BATCH_EMPTY or BATCH_TOO_LARGE otherwise."""
    if not items:
        raise DomainError("BATCH_EMPTY", field=field)
    if len(items) > limit:
        raise DomainError("BATCH_TOO_LARGE", field=field, limit=limit, count=len(items))
    return items


def parse_block(block: values_pb2.UnitBlock, field: str = "block") -> UnitBlock:
    """Give the block of a message.

    Raises:
        DomainError: FIELD_MISSING without a series, RANGE_REVERSED, FIELD_INVALID with the field's path.
    """
    if not block.series_id:
        raise DomainError("FIELD_MISSING", field=f"{field}.series_id")
    try:
        return UnitBlock(block.series_id, block.start_serial, block.end_serial)
    except DomainError as refusal:
        raise _within(refusal, field) from refusal


def parse_blocks(blocks: Iterable[values_pb2.UnitBlock], field: str = "blocks") -> tuple[UnitBlock, ...]:
    """Give 1 to `BLOCKS_MAX` blocks that do not overlap; RANGE_OVERLAP names two that do."""
    given = require_count(list(blocks), field, limit=BLOCKS_MAX)
    parsed = tuple(parse_block(block, f"{field}[{position}]") for position, block in enumerate(given))
    overlap = find_overlap(parsed)
    if overlap is not None:
        raise DomainError("RANGE_OVERLAP", field=field, ranges=[str(block) for block in overlap])
    return parsed


def parse_wire_date(value: values_pb2.Date, field: str) -> date:
    """Give a date; FIELD_MISSING if it is all zero, FIELD_INVALID if there is no such day."""
    year, month, day = value.year, value.month, value.day
    if year not in YEARS:
        if not (year or month or day):
            raise DomainError("FIELD_MISSING", field=field)
        raise DomainError("FIELD_INVALID", field=field, detail="no such year")
    try:
        return date(year, month, day)
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field=field, detail="no such day") from error


def parse_wire_period(value: values_pb2.Period, field: str = "period") -> Period:
    """Give a half-open period of dates; RANGE_REVERSED unless it starts before it ends."""
    start = parse_wire_date(value.start_date, f"{field}.start_date")
    end = parse_wire_date(value.end_date, f"{field}.end_date")
    try:
        return Period(start, end)
    except DomainError as refusal:
        raise _within(refusal, field) from refusal


def parse_timestamp(value: Timestamp, field: str) -> datetime:
    """Give a moment in UTC; FIELD_INVALID for what is none or lies beyond the years of the registry."""
    try:
        moment = value.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise DomainError("FIELD_INVALID", field=field, detail="not a moment") from error
    if moment.year not in YEARS:
        raise DomainError("FIELD_INVALID", field=field, detail="no such year")
    return moment


def require_party(value: str, field: str, kinds: Collection[str] = ()) -> Party:
    """Give a party, of one of the kinds if any are named."""
    if not value:
        raise DomainError("FIELD_MISSING", field=field)
    party = parse_party(value, field=field)
    if kinds and party.kind not in kinds:
        raise DomainError("FIELD_INVALID", field=field, detail=f"one of {', '.join(sorted(kinds))} is wanted")
    return party


@lru_cache(maxsize=REGIONS_KEPT_MAX)
def require_region(value: str, field: str) -> str:
    """Give a region's party name, ``region/310000``, with a code that GB/T 2260 knows."""
    party = require_party(value, field, ("region",))
    RegionCode(party.code)
    return party.path


def wire_date(day: date) -> values_pb2.Date:
    """Give a date as a message."""
    return values_pb2.Date(year=day.year, month=day.month, day=day.day)


def wire_period(period: Period) -> values_pb2.Period:
    """Give a period as a message."""
    return values_pb2.Period(start_date=wire_date(period.start), end_date=wire_date(period.end))


def wire_block(block: UnitBlock) -> values_pb2.UnitBlock:
    """Give a block as a message."""
    return values_pb2.UnitBlock(series_id=block.series_id, start_serial=block.start, end_serial=block.end)


def wire_timestamp(moment: datetime) -> Timestamp:
    """Give a moment as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Args:
        size: most entries of the page.
        after: position behind which it begins, as the service wrote it into `token`; empty: the first page.
        query: digest of the query that the tokens belong to.
    """

    size: int
    after: str
    query: bytes

    def token(self, last: str) -> str:
        """Give the token of the next page, which begins behind this position."""
        return base64.urlsafe_b64encode(self.query + last.encode()).decode().rstrip("=")

    def read(self, parse: Callable[[str], T], first: T) -> T:
        """Give the position as the service needs it: `first` for the first page.

        A token is not signed: whoever forges one may ask for any position, but not for one that is none.

        Raises:
            DomainError: PAGE_TOKEN_INVALID where `parse` raises ValueError.
        """
        if not self.after:
            return first
        try:
            return parse(self.after)
        except ValueError as error:
            raise DomainError("PAGE_TOKEN_INVALID", field="page_token") from error


def page(page_size: int, page_token: str, *query: object) -> Page:
    """Read the page that a request asks for.

    Args:
        page_size: 0 for the default; more than `PAGE_SIZE_MAX` is that.
        page_token: as a response gave it, or empty.
        query: every other field that selects; a token of another query is refused.

    Raises:
        DomainError: FIELD_INVALID for a negative size, PAGE_TOKEN_INVALID.
    """
    if page_size < 0:
        raise DomainError("FIELD_INVALID", field="page_size", detail="negative")
    size = min(page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    digest = hashlib.sha256(repr(query).encode()).digest()[:PAGE_CHECK_BYTES]
    if not page_token:
        return Page(size, "", digest)
    invalid = DomainError("PAGE_TOKEN_INVALID", field="page_token")
    if len(page_token) > PAGE_TOKEN_LENGTH_MAX or not page_token.isascii():
        raise invalid
    try:
        raw = base64.urlsafe_b64decode(page_token + "=" * (-len(page_token) % 4))
        after = raw[PAGE_CHECK_BYTES:].decode()
    except (binascii.Error, ValueError) as error:
        raise invalid from error
    if raw[:PAGE_CHECK_BYTES] != digest or not after or "\0" in after:
        raise invalid
    return Page(size, after, digest)


def parse_serial(text: str) -> int:
    """Give a number of a page's position that a 64-bit column can hold; ValueError otherwise."""
    number = int(text)
    if not 0 <= number <= SERIAL_MAX:
        raise ValueError(text)
    return number


def _within(refusal: DomainError, field: str) -> DomainError:
    """Give the refusal with its field's path below the message that holds it."""
    metadata = {key: value for key, value in refusal.metadata.items() if key != "field"}
    outer = DomainError(refusal.symbol, field=field, article=refusal.article)
    outer.metadata.update(metadata)
    return outer
