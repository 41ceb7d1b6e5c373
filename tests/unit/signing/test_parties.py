from __future__ import annotations

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.parties import Party, parse_party, party_matches


@pytest.mark.parametrize(
    ("path", "kind", "code", "role", "region_code"),
    [
        ("bridge", "bridge", "", "", ""),
        ("region/310000", "region", "310000", "", "310000"),
        ("gateway/ccer", "gateway", "ccer", "", ""),
        ("authority/310000", "authority", "310000", "", "310000"),
        ("authority/bridge", "authority", "bridge", "", ""),
        ("operator/310000/sh.centre", "operator", "310000", "sh.centre", "310000"),
        ("reader/national", "reader", "national", "", ""),
        ("region/440306.L01", "region", "440306.L01", "", "440306.L01"),
    ],
)
def test_a_party_is_read_from_its_name(path: str, kind: str, code: str, role: str, region_code: str) -> None:
    party = parse_party(path)
    assert party == Party(path, kind, code, role)
    assert party.region_code == region_code


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "region",
        "region/",
        "/region/310000",
        "region/310000/",
        "region/310000/x",
        "region//310000",
        "bridge/1",
        "operator/310000",
        "operator/310000/a/b",
        "person/310000",
        "region/31 0000",
        "region/../bridge",
        "region/310000\n",
        "region/三一",
        "region/*",
        "region/" + "1" * 65,
        "a/" * 200,
    ],
)
def test_what_is_no_party_is_refused_with_its_field(path: str) -> None:
    with pytest.raises(DomainError) as refusal:
        parse_party(path, field="destination")
    assert refusal.value.symbol == "FIELD_INVALID"
    assert refusal.value.field == "destination"


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("bridge", "bridge", True),
        ("bridge", "bridge/x", False),
        ("region/*", "region/310000", True),
        ("region/*", "region", False),
        ("region/*", "region/310000/x", False),
        ("region/310000", "region/310000", True),
        ("region/310000", "region/3100001", False),
        ("operator/310000/*", "operator/310000/sh.centre", True),
        ("operator/310000/*", "operator/440300/sh.centre", False),
        ("operator/*/*", "operator/440300/sz.registry", True),
        ("operator/**", "operator/440300/sz.registry", True),
        ("operator/**", "operator", False),
        ("**", "bridge", True),
        ("**", "operator/440300/sz.registry", True),
        ("*", "bridge", True),
        ("*", "region/310000", False),
        ("reg*/310000", "region/310000", False),
        ("", "bridge", False),
    ],
)
def test_a_pattern_fits_whole_parts_only(pattern: str, path: str, fits: bool) -> None:
    assert party_matches(pattern, path) is fits
