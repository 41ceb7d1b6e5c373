from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.kernel.units import SERIAL_MAX, UnitBlock
from tanqiao.rpc import validation as v

SERIES = "310000:SHCER:invented-1:2026:1"
Block = values_pb2.UnitBlock
Date = values_pb2.Date


def refused(check: Callable[[], object]) -> tuple[str, str | None]:
    with pytest.raises(DomainError) as refusal:
        check()
    for sentence in (refusal.value.sentence("zh"), refusal.value.sentence("en")):
        assert "{" not in sentence
    return refusal.value.symbol, refusal.value.field


def test_text_is_given_without_the_spaces_around_it() -> None:
    assert v.require_text("  上海 centre ", "name") == "上海 centre"
    assert v.optional_text("   ", "name") == ""
    assert v.require_text("x" * v.TEXT_LENGTH_MAX, "name")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("", "FIELD_MISSING"),
        (" \t ", "FIELD_MISSING"),
        ("x" * 257, "TEXT_TOO_LONG"),
        ("a\nb", "FIELD_INVALID"),
        ("a\x00b", "FIELD_INVALID"),
        ("a\u202eb", "FIELD_INVALID"),
    ],
)
def test_text_that_cannot_be_shown_is_refused(text: str, symbol: str) -> None:
    assert refused(lambda: v.require_text(text, "name")) == (symbol, "name")


@pytest.mark.parametrize("request_id", ["a", "A-1_b.c:9", "x" * 64])
def test_a_request_id_is_plain(request_id: str) -> None:
    assert v.require_request_id(request_id) == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 65, "a b", "请求", "a/b", "a\n", "é"])
def test_any_other_request_id_is_refused(request_id: str) -> None:
    assert refused(lambda: v.require_request_id(request_id)) == ("REQUEST_ID_INVALID", "request_id")


def test_bytes_have_their_length() -> None:
    assert v.require_bytes(b"x" * 16, 16, "id") == b"x" * 16
    assert v.optional_bytes(b"", 16, "id") == b""
    assert refused(lambda: v.require_bytes(b"", 16, "id")) == ("FIELD_MISSING", "id")
    assert refused(lambda: v.optional_bytes(b"x", 16, "id")) == ("FIELD_INVALID", "id")


def test_an_enum_value_is_set_and_allowed() -> None:
    assert v.require_enum(2, "kind") == 2
    assert v.require_enum(2, "kind", {1, 2}) == 2
    assert refused(lambda: v.require_enum(0, "kind")) == ("FIELD_MISSING", "kind")
    assert refused(lambda: v.require_enum(3, "kind", {1, 2})) == ("FIELD_INVALID", "kind")


@pytest.mark.parametrize("quantity", [0, -1, -(2**63)])
def test_a_quantity_is_positive(quantity: int) -> None:
    assert refused(lambda: v.require_quantity_kg(quantity)) == ("QUANTITY_NOT_POSITIVE", "quantity_kg")


def test_a_quantity_has_a_limit() -> None:
    assert v.require_quantity_kg(10, limit=10) == 10
    assert refused(lambda: v.require_quantity_kg(11, "q", limit=10)) == ("QUANTITY_TOO_LARGE", "q")


def test_a_batch_has_items_and_a_bound() -> None:
    assert v.require_count([1, 2], "items", limit=2) == [1, 2]
    assert refused(lambda: v.require_count([], "items")) == ("BATCH_EMPTY", "items")
    assert refused(lambda: v.require_count([1, 2, 3], "items", limit=2)) == ("BATCH_TOO_LARGE", "items")


def test_a_block_is_read_and_written() -> None:
    block = UnitBlock(SERIES, 0, 5)
    assert v.parse_block(v.wire_block(block)) == block


@pytest.mark.parametrize(
    ("block", "symbol", "field"),
    [
        (Block(), "FIELD_MISSING", "block.series_id"),
        (Block(series_id=SERIES), "RANGE_REVERSED", "block"),
        (Block(series_id=SERIES, start_serial=5, end_serial=5), "RANGE_REVERSED", "block"),
        (Block(series_id=SERIES, start_serial=6, end_serial=5), "RANGE_REVERSED", "block"),
        (Block(series_id=SERIES, start_serial=-1, end_serial=5), "FIELD_INVALID", "block"),
        (Block(series_id="a b", start_serial=0, end_serial=5), "FIELD_INVALID", "block"),
        (Block(series_id="x" * 200, start_serial=0, end_serial=5), "FIELD_INVALID", "block"),
    ],
)
def test_a_block_that_is_none_is_refused_with_its_path(
    block: values_pb2.UnitBlock, symbol: str, field: str
) -> None:
    assert refused(lambda: v.parse_block(block)) == (symbol, field)


def test_the_greatest_serial_is_read() -> None:
    block = Block(series_id=SERIES, start_serial=0, end_serial=SERIAL_MAX)
    assert v.parse_block(block).quantity_kg == SERIAL_MAX


def test_blocks_do_not_overlap() -> None:
    touching = [Block(series_id=SERIES, start_serial=n, end_serial=n + 1) for n in (1, 0, 2)]
    assert len(v.parse_blocks(touching)) == 3
    overlapping = [*touching, Block(series_id=SERIES, start_serial=2, end_serial=9)]
    assert refused(lambda: v.parse_blocks(overlapping)) == ("RANGE_OVERLAP", "blocks")
    assert refused(lambda: v.parse_blocks([])) == ("BATCH_EMPTY", "blocks")
    assert refused(lambda: v.parse_blocks([touching[0], Block()])) == ("FIELD_MISSING", "blocks[1].series_id")
    many = [Block(series_id=SERIES, start_serial=n, end_serial=n + 1) for n in range(v.BLOCKS_MAX + 1)]
    assert refused(lambda: v.parse_blocks(many)) == ("BATCH_TOO_LARGE", "blocks")


def test_a_date_is_read_and_written() -> None:
    day = date(2026, 2, 28)
    assert v.parse_wire_date(v.wire_date(day), "day") == day


@pytest.mark.parametrize(
    ("value", "symbol"),
    [
        (Date(), "FIELD_MISSING"),
        (Date(year=2026), "FIELD_INVALID"),
        (Date(year=2026, month=2, day=29), "FIELD_INVALID"),
        (Date(year=2026, month=13, day=1), "FIELD_INVALID"),
        (Date(year=2026, month=-1, day=1), "FIELD_INVALID"),
        (Date(year=26, month=1, day=1), "FIELD_INVALID"),
        (Date(year=3000, month=1, day=1), "FIELD_INVALID"),
        (Date(year=2**31 - 1, month=1, day=1), "FIELD_INVALID"),
    ],
)
def test_a_day_that_is_none_is_refused(value: values_pb2.Date, symbol: str) -> None:
    assert refused(lambda: v.parse_wire_date(value, "day")) == (symbol, "day")


def test_a_period_is_read_and_written() -> None:
    period = Period.of_month(2026, 12)
    assert v.parse_wire_period(v.wire_period(period)) == period


def test_a_period_starts_before_it_ends() -> None:
    day = v.wire_date(date(2026, 1, 1))
    period = values_pb2.Period(start_date=day, end_date=day)
    assert refused(lambda: v.parse_wire_period(period)) == ("RANGE_REVERSED", "period")
    half = values_pb2.Period(start_date=day)
    assert refused(lambda: v.parse_wire_period(half)) == ("FIELD_MISSING", "period.end_date")


def test_a_moment_is_read_and_written() -> None:
    moment = datetime(2026, 3, 2, 1, 2, 3, tzinfo=UTC)
    assert v.parse_timestamp(v.wire_timestamp(moment), "time") == moment


@pytest.mark.parametrize("seconds", [2**62, -(2**62), 253402300800, -62135596801, -(10**11)])
def test_a_moment_that_is_none_is_refused(seconds: int) -> None:
    assert refused(lambda: v.parse_timestamp(Timestamp(seconds=seconds), "time")) == ("FIELD_INVALID", "time")


def test_a_party_is_of_a_kind() -> None:
    assert v.require_party("region/310000", "to", ("region",)).code == "310000"
    assert refused(lambda: v.require_party("", "to")) == ("FIELD_MISSING", "to")
    assert refused(lambda: v.require_party("bridge", "to", ("region",))) == ("FIELD_INVALID", "to")
    assert refused(lambda: v.require_party("nobody", "to")) == ("FIELD_INVALID", "to")


def test_a_region_has_a_code_of_the_standard() -> None:
    assert v.require_region("region/440300", "to") == "region/440300"
    symbol, _ = refused(lambda: v.require_region("region/990000", "to"))
    assert symbol == "REGION_UNKNOWN"


# -- pages


def test_a_page_has_a_size_between_one_and_the_bound() -> None:
    assert v.page(0, "").size == v.PAGE_SIZE_DEFAULT
    assert v.page(1, "").size == 1
    assert v.page(10**9, "").size == v.PAGE_SIZE_MAX
    assert refused(lambda: v.page(-1, "")) == ("FIELD_INVALID", "page_size")


# A position never holds NUL: PostgreSQL's text cannot.
@given(
    last=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60),
    query=st.tuples(st.text(max_size=9), st.integers()),
)
def test_a_token_leads_behind_what_was_read(last: str, query: tuple[str, int]) -> None:
    token = v.page(5, "", *query).token(last)
    assert v.page(5, token, *query).after == last
    assert refused(lambda: v.page(5, token, *query, "more")) == ("PAGE_TOKEN_INVALID", "page_token")


@pytest.mark.parametrize(
    "token",
    ["x", "????", "页", "a" * 600, base64.urlsafe_b64encode(b"short").decode(), "A" * 40, "=" * 8],
)
def test_a_token_that_nobody_gave_is_refused(token: str) -> None:
    assert refused(lambda: v.page(5, token)) == ("PAGE_TOKEN_INVALID", "page_token")


def test_a_token_of_no_place_is_refused() -> None:
    assert refused(lambda: v.page(5, v.page(5, "").token(""))) == ("PAGE_TOKEN_INVALID", "page_token")


def test_a_token_whose_text_is_not_utf_8_is_refused() -> None:
    token = base64.urlsafe_b64encode(v.page(5, "").query + b"\xff").decode().rstrip("=")
    assert refused(lambda: v.page(5, token)) == ("PAGE_TOKEN_INVALID", "page_token")
