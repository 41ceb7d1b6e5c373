"""The filter of a list: its "no" is certain, its "yes" seldom wrong, its bytes are what the docs say."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.key_filter import (
    BYTES_MAX,
    BYTES_MIN,
    DIGEST_BYTES,
    FORM_BYTES,
    KEY_FORM,
    KEYS_MAX,
    PROBES,
    KeyFilter,
    bits_of,
    is_of_known_form,
    is_size,
    place_of,
    size_bytes,
    version_of,
)
from tanqiao.claims.keys import asset_key, asset_ref, subject_key
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


WRITTEN = {
    ("gec_filing_code", "9931-0000 0000００001"): "asset:gec_filing_code:99310000000000001",
    ("gec", "abc"): "asset:gec_filing_code:ABC",
    ("vin", "lvz 00000"): "asset:vin:LVZ00000",
    ("real_estate_unit", "310000-a/1"): "asset:parcel_code:310000A1",
    ("power_account", "sgcc:001 2"): "asset:power_account:SGCC:0012",
    ("pseudonym", "ab-c"): "asset:pseudonym:AB-C",
    ("cdm", "CDM0064"): "asset:cdm:64",
    ("verra", "VCS-0001"): "asset:vcs:1",
    ("gold_standard", "GS 7"): "asset:gs:7",
    ("ccer", "ccer-01 002"): "asset:ccer:CCER-01002",
    ("plant_id", "p 1"): "asset:plant_id:P1",
    ("name", "虚构 电站"): "asset:name:虚构电站",
    ("of_another_registry", "x-1"): "asset:of_another_registry:X-1",
}
FORMS = {1: "4c2018f7edb00718e1552ef43852683e2f70b4d6775151b8419ece0f4970d828"}
"""Digests of what `WRITTEN` becomes under each form: never changed, only added to."""


def test_whoever_writes_keys_or_filters_in_another_way_gives_the_form_another_number() -> None:
    keys = [asset_key(asset_ref(scheme, value)) for scheme, value in WRITTEN]
    assert keys == list(WRITTEN.values()), "raise KEY_FORM, and make the keys of stored lists anew"
    keys.append(subject_key("91440300708461136T"))
    written = "\n".join(keys).encode() + bits_of(keys, len(keys))
    assert hashlib.sha256(written).hexdigest() == FORMS[KEY_FORM]


def test_a_version_tells_the_form_of_its_keys() -> None:
    digest = bytes(range(DIGEST_BYTES))
    version = version_of(digest)
    assert version == KEY_FORM.to_bytes(FORM_BYTES, "big") + digest
    assert is_of_known_form(version)
    others = (b"", digest, version + b"\0", version[:-1], (KEY_FORM + 1).to_bytes(FORM_BYTES, "big") + digest)
    assert not any(map(is_of_known_form, others))
    with pytest.raises(InvariantBroken):
        version_of(digest[:-1])


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
