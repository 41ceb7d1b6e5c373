"""The filter of a list: its "no" is certain, its "yes" seldom wrong, its bytes are what the docs say."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.key_filter import (
    BYTES_MAX,
    BYTES_MIN,
    KEYS_MAX,
    PROBES,
    KeyFilter,
    bits_of,
    is_size,
    place_of,
    size_bytes,
)
from tanqiao.kernel.errors import InvariantBroken

ABSENT = 20_000


@given(st.sets(st.text(max_size=40), max_size=200))
def test_what_a_list_holds_is_never_ruled_out(keys: set[str]) -> None:
    made = KeyFilter(bits_of(keys, len(keys)))
    assert all(made.may_hold(place_of(key)) for key in keys)
    assert made.may_hold_any([place_of("absent"), *map(place_of, keys)]) is (bool(keys) or False)


def test_one_absent_key_in_thousands_is_asked_about_in_vain() -> None:
    held = [f"asset:gec_filing_code:{number:017}" for number in range(5_000)]
    made = KeyFilter(bits_of(held, len(held)))
    found = sum(
        made.may_hold(place_of(f"asset:gec_filing_code:{number:017}"))
        for number in range(len(held), len(held) + ABSENT)
    )
    assert found <= ABSENT // 2_000


def test_an_empty_list_rules_out_everything() -> None:
    made = KeyFilter(bits_of([], 0))
    assert not made.may_hold(place_of(""))
    assert not made.may_hold_any([])


def test_the_bits_of_a_key_are_where_the_published_form_says() -> None:
    key = "subject:91440300708461136T"
    digest = hashlib.sha256(key.encode()).digest()
    first, step = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big") | 1
    wanted = bytearray(BYTES_MIN)
    for number in range(PROBES):
        bit = (first + number * step) % (BYTES_MIN * 8)
        wanted[bit // 8] |= 1 << bit % 8
    assert bits_of([key, key], 1) == bytes(wanted)


def test_sizes_are_powers_of_two_within_their_bounds() -> None:
    assert (size_bytes(0), size_bytes(100), size_bytes(KEYS_MAX)) == (BYTES_MIN, 512, BYTES_MAX)
    assert is_size(BYTES_MIN)
    assert is_size(BYTES_MAX)
    assert not any(map(is_size, (0, -128, BYTES_MIN // 2, BYTES_MIN + 1, BYTES_MAX * 2)))
    for wrong in (b"", bytes(BYTES_MIN - 1), bytes(3 * BYTES_MIN)):
        with pytest.raises(InvariantBroken):
            KeyFilter(wrong)
    with pytest.raises(InvariantBroken):
        size_bytes(KEYS_MAX + 1)
