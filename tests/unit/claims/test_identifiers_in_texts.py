"""Identifiers of persons, households and vehicles are found in a text; numbers of assets are none (虚构)."""

from __future__ import annotations

import pytest

from tanqiao.kernel import DomainError
from tanqiao_bridge.domain.identifiers import require_no_identifier_in, require_no_personal_column


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("resident_id", "990000190001010016"),
        ("resident_id", "业主11010519491231002x，虚构"),
        ("resident_id", "110105 19491231 002X"),
        ("phone", "tel. 13900000001."),
        ("phone", "(+86 139-0000-0001)"),
        ("phone", "008613900000001"),
        ("phone", "１３９０００００００１"),
        ("phone", "No.13900000001"),
        ("power_account", "户号 SGCC:9910000000701"),
        ("vin", "vehicle lzzzz4cb6p0000001, blue"),
    ],
)
def test_an_identifier_is_named_by_its_field_and_never_repeated(scheme: str, text: str) -> None:
    with pytest.raises(DomainError) as refused:
        require_no_identifier_in(text, "explanation")
    assert refused.value.symbol == "PERSONAL_IDENTIFIER_SENT"
    assert (refused.value.field, refused.value.metadata) == (f"explanation.{scheme}", {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name +9.1 (equal); capacity +2.0 (equal)",
        "99310000000000701",  # a filing code, of which one in eleven passes the check of a vehicle's number
        "11111111111111111",
        "99310000000000701202601000000001",
        "990000190001010017",  # the check character is another
        "91110000600037341L",
        "GEC:99310000000000701",
        "asset:cdm:12345678",
        "121.13900000001",
        "13900000001.5",
        "X13900000001",
        "1390000000123",
        "12900000001",
    ],
)
def test_a_number_of_an_asset_passes(text: str) -> None:
    require_no_identifier_in(text, "explanation")


def test_a_column_of_identifiers_is_refused_by_its_name() -> None:
    for column in ("vin", " Phone ", "RESIDENT_ID", "power_account"):
        with pytest.raises(DomainError) as refused:
            require_no_personal_column(column, "first_row")
        assert (refused.value.field, refused.value.metadata) == (f"first_row.{column.strip().lower()}", {})
    require_no_personal_column("name", "first_row")
