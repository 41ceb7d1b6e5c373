"""What people type: read strictly, refused by the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.cli.parse import (
    parse_period,
    parse_references,
    period_text,
    read_message,
    selection,
    shown_name,
)
from tanqiao.kernel.errors import DomainError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-01", "2026-01-01..2026-02-01"),
        ("2026-12", "2026-12-01..2027-01-01"),
        ("2026-01-01..2026-03-01", "2026-01-01..2026-03-01"),
    ],
)
def test_a_period_is_a_month_or_two_days(text: str, shown: str) -> None:
    assert period_text(parse_period(text)) == shown


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("2026-13", "FIELD_INVALID"),
        ("2026", "FIELD_INVALID"),
        ("2026-02-30..2026-03-01", "FIELD_INVALID"),
        ("2026-03-01..2026-03-01", "RANGE_REVERSED"),
    ],
)
def test_what_is_no_period_is_refused(text: str, symbol: str) -> None:
    with pytest.raises(DomainError) as caught:
        parse_period(text)
    assert caught.value.symbol == symbol


def test_units_are_a_quantity_or_blocks_and_never_both() -> None:
    assert selection(5, "s", ()).quantity_kg == 5
    assert selection(None, "", ("s[0,5)",)).blocks[0].end_serial == 5
    for kg, blocks in ((None, ()), (5, ("s[0,5)",))):
        with pytest.raises(DomainError) as caught:
            selection(kg, "", blocks)
        assert caught.value.symbol == "FIELD_MISSING"


def test_a_reference_has_a_scheme_and_a_value() -> None:
    assert parse_references(("gec_filing_code=X1",))[0].scheme == "gec_filing_code"
    with pytest.raises(DomainError) as caught:
        parse_references(("X1",))
    assert caught.value.field == "--ref"


@pytest.mark.parametrize(
    ("content", "symbol"),
    [
        (b'{"title": "x"}', None),
        (b"\xef\xbb\xbf{}", None),
        (b'{"tittle": "x"}', "MESSAGE_MALFORMED"),
        (b"{", "MESSAGE_MALFORMED"),
        (b"\xff\xfe", "FILE_NOT_UTF8"),
        (b" " * (1 << 21), "FILE_TOO_LARGE"),
    ],
)
def test_a_message_file_is_read_strictly(tmp_path: Path, content: bytes, symbol: str | None) -> None:
    file = tmp_path / "project.json"
    file.write_bytes(content)
    if symbol is None:
        read_message(file, registers_pb2.Project())
        return
    with pytest.raises(DomainError) as caught:
        read_message(file, registers_pb2.Project())
    assert caught.value.symbol == symbol


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DomainError) as caught:
        read_message(tmp_path / "none.json", registers_pb2.Project())
    assert caught.value.symbol == "FILE_MISSING"


@pytest.mark.parametrize(
    ("name", "invented", "shown"),
    [
        ("甲", True, "甲（虚构 invented）"),
        ("甲（虚构 invented）", True, "甲（虚构 invented）"),
        ("甲", False, "甲"),
        ("", True, "（虚构 invented）"),
    ],
)
def test_what_is_invented_is_marked_once(name: str, invented: bool, shown: str) -> None:
    assert shown_name(name, invented=invented) == shown
