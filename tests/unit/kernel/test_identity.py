"""Vectors: GB 11643-1999 (its sample number), public company codes, ISO 3779 samples, and synthetic ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel import DomainError
from tanqiao.kernel.identity import (
    USCC_ALPHABET,
    check_ccer_id,
    check_gec_certificate_code,
    check_gec_filing_code,
    check_organisation_code,
    check_real_estate_unit_code,
    check_resident_id,
    check_uscc,
    check_vin,
    mask,
    organisation_code_check_character,
    parse_gec_certificate_code,
    parse_real_estate_unit_code,
    parse_uscc,
    resident_id_birth_date,
    resident_id_check_character,
    uscc_check_character,
    vin_check_character,
)

DIGITS = "0123456789"
VIN_ALPHABET = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
USCC_TEXT = st.text(USCC_ALPHABET, min_size=8, max_size=8)
BIRTH_DATES = st.dates(date(1900, 1, 1), date(2025, 12, 31))


def refusal_of(check: Callable[[str], object], text: str) -> DomainError:
    with pytest.raises(DomainError) as caught:
        check(text)
    assert caught.value.symbol == "IDENTITY_CODE_INVALID"
    return caught.value


def is_refused(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except DomainError:
        return True
    return False


@pytest.mark.parametrize(
    "code",
    ["91110000600037341L", "9144030071526726XG", "91440300708461136T", "919999000000000190",
     "91999900000000027T", "93999900MA0000015G"],
)  # fmt: skip
def test_a_sound_credit_code_is_accepted(code: str) -> None:
    assert check_uscc(code) == code


def test_a_credit_code_is_taken_apart() -> None:
    parsed = parse_uscc("9144030071526726XG")
    assert (parsed.authority, parsed.type_code, parsed.division) == ("9", "1", "440300")
    assert parsed.organisation_code == "71526726X"
    assert check_organisation_code(parsed.organisation_code) == "71526726X"


@pytest.mark.parametrize(
    ("code", "part_of_sentence"),
    [
        ("91110000600037341M", "its check character does not fit"),
        ("91999900000000028X", "organisation code in it"),
        ("91110000600037341l", "not allowed"),
        ("9111000060003734IL", "not allowed"),
        ("911100006O0037341L", "not allowed"),
        ("9111000060003734１L", "not allowed"),
        ("91110000600037341", "17 characters instead of 18"),
        ("", "0 characters instead of 18"),
    ],
)
def test_an_unsound_credit_code_is_refused_with_what_is_wrong(code: str, part_of_sentence: str) -> None:
    assert part_of_sentence in refusal_of(check_uscc, code).sentence("en")


@given(st.text(USCC_ALPHABET, min_size=8, max_size=8), USCC_TEXT, st.data())
def test_every_single_substitution_in_a_credit_code_is_found(
    head: str, organisation: str, data: st.DataObject
) -> None:
    """GB 32100: modulus 31 is prime and the weights are not multiples of it."""
    body = head + organisation + organisation_code_check_character(organisation)
    code = body + uscc_check_character(body)
    assert check_uscc(code) == code
    position = data.draw(st.integers(0, len(code) - 1))
    for character in USCC_ALPHABET.replace(code[position], ""):
        assert is_refused(check_uscc, code[:position] + character + code[position + 1 :])


@given(st.text(USCC_ALPHABET, min_size=8, max_size=8), USCC_TEXT)
def test_every_adjacent_transposition_in_a_credit_code_is_found(head: str, organisation: str) -> None:
    body = head + organisation + organisation_code_check_character(organisation)
    code = body + uscc_check_character(body)
    for position in range(len(code) - 2):
        swapped = code[:position] + code[position + 1] + code[position] + code[position + 2 :]
        assert swapped == code or is_refused(check_uscc, swapped)


@pytest.mark.parametrize("text", ["71526726Y", "7152672-X", "71526726", "715267261"])
def test_an_unsound_organisation_code_is_refused(text: str) -> None:
    refusal_of(check_organisation_code, text)


@pytest.mark.parametrize(
    "number", ["11010519491231002X", "990000190001010016", "990000190001010024", "990000190001010032"]
)
def test_a_sound_resident_number_is_accepted(number: str) -> None:
    assert check_resident_id(number) == number


def test_the_date_of_birth_is_read_from_the_sample_of_the_standard() -> None:
    assert resident_id_birth_date("11010519491231002X") == date(1949, 12, 31)


@pytest.mark.parametrize(
    "number",
    [
        "110105194912310021",
        "11010519491231002x",
        "1101051949123100",
        "11010519491231002XX",
        "A10105194912310026",
    ],
)
def test_an_unsound_resident_number_is_refused(number: str) -> None:
    refusal_of(check_resident_id, number)


def test_a_resident_number_whose_date_of_birth_is_no_date_is_refused_though_its_check_fits() -> None:
    body = "99000019000230001"
    refusal = refusal_of(check_resident_id, body + resident_id_check_character(body))
    assert "date of birth" in refusal.sentence("en")


def resident_number(born: date, sequence: int) -> str:
    body = f"990000{born:%Y%m%d}{sequence:03d}"
    return body + resident_id_check_character(body)


@given(BIRTH_DATES, st.integers(0, 999), st.data())
def test_every_single_substitution_in_a_resident_number_is_found(
    born: date, sequence: int, data: st.DataObject
) -> None:
    """GB 11643: modulus 11 is prime and no weight is a multiple of it."""
    number = resident_number(born, sequence)
    position = data.draw(st.integers(0, 17))
    for character in (DIGITS + "X").replace(number[position], ""):
        assert is_refused(check_resident_id, number[:position] + character + number[position + 1 :])


@given(BIRTH_DATES, st.integers(0, 999), st.sampled_from(["check", "date", "length", "alphabet"]))
def test_no_refusal_repeats_a_personal_number(born: date, sequence: int, fault: str) -> None:
    number = resident_number(born, sequence)
    faulty = {
        "check": number[:-1] + ("0" if number[-1] != "0" else "1"),
        "date": number[:10]
        + "13"
        + number[12:17]
        + resident_id_check_character(number[:10] + "13" + number[12:17]),
        "length": number + "0",
        "alphabet": number[:-1] + "Y",
    }[fault]
    refusal = refusal_of(check_resident_id, faulty)
    shown = " ".join(
        [
            str(refusal),
            repr(refusal),
            refusal.sentence("zh"),
            *refusal.metadata.values(),
            *map(str, refusal.args),
        ]
    )
    for length in (6, len(faulty)):
        assert not any(faulty[start : start + length] in shown for start in range(len(faulty) - length + 1))


@pytest.mark.parametrize(
    "number",
    ["1M8GDM9AXKP042788", "5GZCZ43D13S812715", "11111111111111111", "LZZZZ4CB6P0000001", "LZZZZ4CB8P0000002"],
)
def test_a_sound_vehicle_number_is_accepted(number: str) -> None:
    assert check_vin(number) == number


@pytest.mark.parametrize(
    "number",
    ["LZZZZ4CB5P0000001", "IM8GDM9AXKP042788", "1M8GDM9AXKP04278", "1m8gdm9axkp042788", "1M8GDM9AXKP04278Q"],
)
def test_an_unsound_vehicle_number_is_refused(number: str) -> None:
    refusal_of(check_vin, number)


@given(st.text(VIN_ALPHABET, min_size=17, max_size=17), st.data())
def test_a_substituted_digit_in_a_vehicle_number_is_found(text: str, data: st.DataObject) -> None:
    """ISO 3779 guarantees it for digits only: some letters share one value, A and J for instance."""
    number = text[:8] + vin_check_character(text) + text[9:]
    assert check_vin(number) == number
    digits = [position for position in range(17) if number[position] in DIGITS and position != 8]
    if digits:
        position = data.draw(st.sampled_from(digits))
        for character in DIGITS.replace(number[position], ""):
            assert is_refused(check_vin, number[:position] + character + number[position + 1 :])
    for character in (DIGITS + "X").replace(number[8], ""):
        assert is_refused(check_vin, number[:8] + character + number[9:])


def test_certificate_codes_are_checked_for_length_and_alphabet_only() -> None:
    filing = "PV1D3101042024001"
    certificate = filing + "202601000000012"
    assert check_gec_filing_code(filing) == filing
    parsed = parse_gec_certificate_code(certificate)
    assert (parsed.filing_code, parsed.certificate_part) == (filing, "202601000000012")
    assert check_gec_certificate_code(certificate) == certificate
    for check, text in (
        (check_gec_filing_code, filing[:-1]),
        (check_gec_filing_code, filing.lower()),
        (check_gec_certificate_code, filing),
        (check_gec_certificate_code, certificate[:-1] + "-"),
    ):
        refusal_of(check, text)


def test_a_real_estate_unit_code_is_taken_apart() -> None:
    parsed = parse_real_estate_unit_code("440305001002GB00003F00010001")
    assert (parsed.division, parsed.parcel, parsed.fixture) == ("440305", "440305001002GB00003", "F00010001")
    assert parsed.has_fixture
    bare = parse_real_estate_unit_code("440305001002GB00003W00000000")
    assert not bare.has_fixture
    assert check_real_estate_unit_code(bare.code) == bare.code


@pytest.mark.parametrize(
    "code",
    ["440305001002GB00003W00000001", "440305001002GB00003F0001000", "440305001002gb00003F00010001",
     "440305001002GB0000AF00010001", "440305001002GB00003100010001"],
)  # fmt: skip
def test_an_unsound_real_estate_unit_code_is_refused(code: str) -> None:
    refusal_of(check_real_estate_unit_code, code)


def test_an_id_of_the_ccer_register_is_nineteen_digits() -> None:
    assert check_ccer_id("1234567890123456789") == "1234567890123456789"
    for text in ("123456789012345678", "12345678901234567890", "123456789012345678X", "１234567890123456789"):
        refusal_of(check_ccer_id, text)


def test_a_mask_shows_the_last_four_and_hides_short_codes_whole() -> None:
    assert mask("11010519491231002X") == "**************002X"
    assert mask("123456789") == "*****6789"
    assert mask("12345678") == "********"
    assert mask("") == ""


@given(st.text(max_size=40))
def test_a_mask_keeps_the_length_and_never_shows_more_than_four(text: str) -> None:
    masked = mask(text)
    assert len(masked) == len(text)
    assert set(masked[:-4]) <= {"*"}
