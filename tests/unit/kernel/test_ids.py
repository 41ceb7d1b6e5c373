from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError, InvariantBroken, RegionCode
from tanqiao.kernel.ids import (
    check_characters,
    check_id,
    check_request_id,
    id_hex,
    make_address,
    parse_address,
    parse_id_hex,
)
from tanqiao.kernel.regions import SHANGHAI

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
REGIONS = st.sampled_from(["310000", "440300", "530000", "440300.L01"]).map(RegionCode)
RANDOM_BYTES = st.one_of(st.binary(min_size=10, max_size=10), st.binary(min_size=16, max_size=16))


def refused(text: str) -> bool:
    try:
        parse_address(text)
    except DomainError as refusal:
        assert refusal.symbol == "ADDRESS_INVALID"  # noqa: PT017 - the answer is used as a truth value
        return True
    return False


@given(st.binary(min_size=16, max_size=16))
def test_an_id_is_read_as_it_was_written(identifier: bytes) -> None:
    assert parse_id_hex(id_hex(identifier)) == identifier


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "G" * 32, "ABCDEF" + "0" * 26, "0" * 32 + "\n"])
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        parse_id_hex(text, field="transfer_id")
    assert (refusal.value.symbol, refusal.value.field) == ("FIELD_INVALID", "transfer_id")


def test_an_id_of_another_length_or_of_zeros_is_refused() -> None:
    assert check_id(b"\x01" * 16) == b"\x01" * 16
    for identifier in (b"", b"\x01" * 15, b"\x01" * 17, bytes(16)):
        with pytest.raises(DomainError) as refusal:
            check_id(identifier, field="message_id")
        assert refusal.value.symbol == "FIELD_INVALID"
    with pytest.raises(InvariantBroken):
        id_hex(b"short")


@pytest.mark.parametrize("text", ["a", "A" * 64, "order.2026-01_7:retry-2"])
def test_a_request_id_of_the_allowed_characters_is_accepted(text: str) -> None:
    assert check_request_id(text) == text


@pytest.mark.parametrize("text", ["A" * 65, "two words", "é", "a/b", "a\n", "编号", "a\x00"])
def test_another_request_id_is_refused(text: str) -> None:
    with pytest.raises(DomainError) as refusal:
        check_request_id(text)
    assert (refusal.value.symbol, refusal.value.field) == ("REQUEST_ID_INVALID", "request_id")


def test_an_empty_request_id_is_a_missing_field() -> None:
    with pytest.raises(DomainError) as refusal:
        check_request_id("")
    assert refusal.value.symbol == "FIELD_MISSING"


def test_the_check_characters_are_those_of_the_example_in_the_standard() -> None:
    """ISO/IEC 7064:2003, 8.2: ISO79 takes 3W under MOD 1271-36."""
    assert check_characters("ISO79") == "3W"


@given(st.text(CHARACTERS, min_size=1, max_size=40))
def test_a_text_with_its_check_characters_is_congruent_to_one(text: str) -> None:
    assert int(text + check_characters(text), 36) % 1271 == 1


def test_the_check_reaches_no_other_characters() -> None:
    with pytest.raises(InvariantBroken):
        check_characters("TQ-1")


def test_an_address_has_its_form() -> None:
    address = make_address(SHANGHAI, bytes(range(10)))
    assert address.startswith("TQ-310000-000G40R40M30E209-")
    assert len(address) == 29


@given(REGIONS, RANDOM_BYTES)
def test_an_address_is_read_as_it_was_made(region: RegionCode, random_bytes: bytes) -> None:
    address = parse_address(make_address(region, random_bytes))
    assert (address.region, address.random_bytes) == (region, random_bytes)
    assert str(address) == make_address(region, random_bytes)


@pytest.mark.parametrize("length", [0, 9, 11, 15, 17])
def test_a_number_of_random_bytes_that_neither_form_has_breaks_an_invariant(length: int) -> None:
    with pytest.raises(InvariantBroken):
        make_address(SHANGHAI, bytes(length))


@given(REGIONS, RANDOM_BYTES, st.data())
def test_every_single_substitution_is_found(
    region: RegionCode, random_bytes: bytes, data: st.DataObject
) -> None:
    address = make_address(region, random_bytes)
    position = data.draw(st.integers(0, len(address) - 1))
    for character in (CHARACTERS + "-.").replace(address[position], ""):
        assert refused(address[:position] + character + address[position + 1 :])


@given(REGIONS, RANDOM_BYTES)
def test_every_adjacent_transposition_is_found(region: RegionCode, random_bytes: bytes) -> None:
    address = make_address(region, random_bytes)
    for position in range(len(address) - 1):
        swapped = address[:position] + address[position + 1] + address[position] + address[position + 2 :]
        assert swapped == address or refused(swapped)


@given(REGIONS, RANDOM_BYTES)
def test_a_lost_or_doubled_character_is_found(region: RegionCode, random_bytes: bytes) -> None:
    address = make_address(region, random_bytes)
    for position in range(len(address)):
        assert refused(address[:position] + address[position + 1 :])
        assert refused(address[: position + 1] + address[position:])


@pytest.mark.parametrize(
    "text", ["", "TQ-", "tq-310000-000g40r40m30e209-q6", " TQ-310000-000G40R40M30E209-Q6", "x" * 500]
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    assert refused(text)


def test_the_address_shown_is_read_and_one_of_an_unknown_province_is_not() -> None:
    assert not refused("TQ-310000-000G40R40M30E209-Q6")
    body = "000G40R40M30E209"
    assert refused(f"TQ-990000-{body}-{check_characters('990000' + body)}")


def test_padding_bits_that_no_bytes_have_are_refused() -> None:
    body = "0" * 25 + "1"
    assert refused(f"TQ-310000-{body}-{check_characters('310000' + body)}")
