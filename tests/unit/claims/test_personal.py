from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.claims.matrix import EDITIONS, bucket_grain
from tanqiao.claims.model import Attribute, Grain
from tanqiao.claims.personal import (
    BUCKETS_MAX,
    FAMILIES,
    PERSONAL_SCHEMES,
    buckets_of,
    canonical_identifier,
    private_input,
)
from tanqiao.kernel import DomainError
from tanqiao.kernel.periods import Period

DAYS = st.dates(date(2000, 1, 1), date(2029, 12, 31))


@pytest.mark.parametrize(
    ("scheme", "written", "canonical"),
    [
        ("resident_id", "99000019000101001 6", "990000190001010016"),
        ("resident_id", "11010519491231002x", "11010519491231002X"),
        ("phone", "+86 139-0000-0001", "13900000001"),
        ("phone", "008613900000001", "13900000001"),
        ("phone", "１３９０００００００１", "13900000001"),
        ("power_account", "sgcc:99100 00000701", "SGCC:9910000000701"),
        ("vin", "lzzzz4cb6p-0000001", "LZZZZ4CB6P0000001"),
    ],
)
def test_one_identifier_has_one_form(scheme: str, written: str, canonical: str) -> None:
    assert canonical_identifier(scheme, written) == canonical
    assert canonical_identifier(scheme, canonical) == canonical


@given(DAYS, DAYS)
def test_buckets_cover_the_period_without_gaps_and_each_meets_it(first: date, last: date) -> None:
    if first >= last:
        return
    period = Period(first, last)
    for grain in (Grain.MONTH, Grain.YEAR):
        buckets = buckets_of(period, grain)
        assert all(bucket.overlaps(period) for bucket in buckets)
        assert Period(buckets[0].start, buckets[-1].end).covers(period)
        assert all(one.end == after.start for one, after in pairwise(buckets))
        assert all(bucket.start.day == 1 for bucket in buckets)


def test_a_period_of_too_many_buckets_is_refused() -> None:
    longest = Period(date(2000, 1, 1), date(2030, 1, 1))
    assert len(buckets_of(longest, Grain.MONTH)) == BUCKETS_MAX
    with pytest.raises(DomainError) as refusal:
        buckets_of(Period(date(2000, 1, 1), date(2030, 1, 2)), Grain.MONTH)
    assert refusal.value.symbol == "FIELD_INVALID"


def test_every_attribute_has_a_family_and_every_edition_a_grain_for_it() -> None:
    assert set(FAMILIES) == set(Attribute)
    for edition in EDITIONS:
        assert set(FAMILIES.values()) <= set(edition.bucket_grains)
    assert bucket_grain(Attribute.CARBON_STOCK, date(2026, 1, 1)) is Grain.YEAR
    assert FAMILIES[Attribute.RE_GEN] == FAMILIES[Attribute.ELEC_SAVING]
    assert sorted(PERSONAL_SCHEMES) == ["phone", "power_account", "resident_id", "vin"]


def test_parts_of_an_input_do_not_run_into_each_other() -> None:
    january = Period.of_month(2026, 1)
    inputs = {
        private_input(bytes(32), "vin", "AB", "C", january),
        private_input(bytes(32), "vin", "A", "BC", january),
        private_input(bytes(32), "vinA", "B", "C", january),
        private_input(b"\x01" * 32, "vin", "AB", "C", january),
    }
    assert len(inputs) == 4
