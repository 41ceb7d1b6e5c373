"""Codes by which bodies, persons, vehicles, certificates and land are known, and their checks.

Each check gives the code back or refuses it with IDENTITY_CODE_INVALID. A refusal says what is wrong and
never repeats the code, for some are personal and every refusal is logged. What a standard does not state is
not checked (DOMAIN section 9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.invariants import require

USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""GB 32100-2015: digits and capital letters without I, O, S, V and Z."""
USCC_LENGTH: Final = 18
ORGANISATION_CODE_LENGTH: Final = 9
RESIDENT_ID_LENGTH: Final = 18
GEC_FILING_CODE_LENGTH: Final = 17
GEC_CERTIFICATE_CODE_LENGTH: Final = 32
VIN_LENGTH: Final = 17
REAL_ESTATE_UNIT_CODE_LENGTH: Final = 28
REAL_ESTATE_PARCEL_LENGTH: Final = 19
CCER_ID_LENGTH: Final = 19
MASKED_TAIL_LENGTH: Final = 4
MASK_CHARACTER: Final = "*"

_USCC: Final = re.compile(f"[{USCC_ALPHABET}]{{{USCC_LENGTH}}}")
_ORGANISATION_CODE: Final = re.compile(r"[0-9A-Z]{8}[0-9X]", re.ASCII)
_RESIDENT_ID: Final = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
_GEC_FILING_CODE: Final = re.compile(r"[0-9A-Z]{17}", re.ASCII)
_GEC_CERTIFICATE_CODE: Final = re.compile(r"[0-9A-Z]{32}", re.ASCII)
_VIN: Final = re.compile(r"[0-9A-HJ-NPR-Z]{17}", re.ASCII)
_REAL_ESTATE_UNIT_CODE: Final = re.compile(r"[0-9]{12}[A-Z]{2}[0-9]{5}[A-Z][0-9]{8}", re.ASCII)
_CCER_ID: Final = re.compile(r"[0-9]{19}", re.ASCII)

_USCC_WEIGHTS: Final = tuple(pow(3, position, 31) for position in range(USCC_LENGTH - 1))
_USCC_MODULUS: Final = 31
_ORGANISATION_CODE_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_CODE_CHECKS: Final = "0X987654321"
_RESIDENT_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_ID_CHECKS: Final = "10X98765432"
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_CHECKS: Final = "0123456789X"
_VIN_CHECK_POSITION: Final = 8
_VIN_VALUES: Final = dict(
    zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True)
)
_MODULUS_ELEVEN: Final = 11
_NO_FIXTURE_FEATURE: Final = "W"
_NO_FIXTURE: Final = "W00000000"

_USCC_KIND: Final = Bilingual("统一社会信用代码", "unified social credit code")
_ORGANISATION_CODE_KIND: Final = Bilingual("组织机构代码", "organisation code")
_RESIDENT_ID_KIND: Final = Bilingual("公民身份号码", "resident identity number")
_GEC_FILING_KIND: Final = Bilingual("建档立卡编码", "GEC filing code")
_GEC_CERTIFICATE_KIND: Final = Bilingual("绿证编码", "GEC certificate code")
_VIN_KIND: Final = Bilingual("车辆识别代号", "vehicle identification number")
_REAL_ESTATE_KIND: Final = Bilingual("不动产单元代码", "real-estate unit code")
_CCER_ID_KIND: Final = Bilingual("CCER编号", "CCER id")

_CHECK_WRONG: Final = Bilingual("校验字符不符", "its check character does not fit")
_INNER_CHECK_WRONG: Final = Bilingual(
    "第9至17位主体标识码的校验字符不符",
    "the check character of the organisation code in it, at place 17, does not fit",
)
_ALPHABET_WRONG: Final = Bilingual("含有不允许的字符", "it has a character that is not allowed at its place")
_BIRTH_DATE_WRONG: Final = Bilingual("出生日期不是有效日期", "the date of birth in it is no date")
_FIXTURE_WRONG: Final = Bilingual(
    "无定着物时后九位须为W00000000", "without a fixture it must end in W00000000"
)


@dataclass(frozen=True, slots=True)
class UnifiedSocialCreditCode:
    """A checked code, taken apart as in GB 32100-2015."""

    code: str
    authority: str
    type_code: str
    division: str
    organisation_code: str


@dataclass(frozen=True, slots=True)
class GecCertificateCode:
    """A certificate code taken apart as far as its structure is public: filing code and certificate part."""

    code: str
    filing_code: str
    certificate_part: str


@dataclass(frozen=True, slots=True)
class RealEstateUnitCode:
    """A unit code taken apart as in GB/T 37346-2019: parcel (19) and fixture (9)."""

    code: str
    division: str
    parcel: str
    fixture: str

    @property
    def has_fixture(self) -> bool:
        """Whether something stands on the parcel."""
        return self.fixture != _NO_FIXTURE


def parse_uscc(text: str) -> UnifiedSocialCreditCode:
    """Check a unified social credit code, outer and inner check (GB 32100-2015, GB 11714)."""
    _check_form(text, USCC_LENGTH, _USCC, _USCC_KIND)
    if uscc_check_character(text[:-1]) != text[-1]:
        raise _refusal(_USCC_KIND, _CHECK_WRONG)
    organisation_code = text[8:17]
    if organisation_code_check_character(organisation_code[:-1]) != organisation_code[-1]:
        raise _refusal(_USCC_KIND, _INNER_CHECK_WRONG)
    return UnifiedSocialCreditCode(text, text[0], text[1], text[2:8], organisation_code)


def check_uscc(text: str) -> str:
    """Give the code back if both its checks fit."""
    return parse_uscc(text).code


def uscc_check_character(first_seventeen: str) -> str:
    """Give place 18 for the seventeen before it (GB 32100-2015, after GB/T 17710)."""
    require(len(first_seventeen) == USCC_LENGTH - 1, "the check is made over 17 characters")
    total = sum(
        USCC_ALPHABET.index(character) * weight
        for character, weight in zip(first_seventeen, _USCC_WEIGHTS, strict=True)
    )
    return USCC_ALPHABET[-total % _USCC_MODULUS]


def check_organisation_code(text: str) -> str:
    """Give a nine-character organisation code (GB 11714, without hyphen) back if its check fits."""
    _check_form(text, ORGANISATION_CODE_LENGTH, _ORGANISATION_CODE, _ORGANISATION_CODE_KIND)
    if organisation_code_check_character(text[:-1]) != text[-1]:
        raise _refusal(_ORGANISATION_CODE_KIND, _CHECK_WRONG)
    return text


def organisation_code_check_character(first_eight: str) -> str:
    """Give place 9 of an organisation code for the eight before it (GB 11714): A is 10, Z is 35."""
    total = sum(
        int(character, 36) * weight
        for character, weight in zip(first_eight, _ORGANISATION_CODE_WEIGHTS, strict=True)
    )
    return _ORGANISATION_CODE_CHECKS[total % _MODULUS_ELEVEN]


def check_resident_id(text: str) -> str:
    """Give a resident identity number back if its date of birth is a date and its check fits (GB 11643-1999).

    The division is not looked up: codes of dissolved divisions stay in force, and tests use none that exists.
    """
    resident_id_birth_date(text)
    return text


def resident_id_birth_date(text: str) -> date:
    """Give the date of birth in a resident identity number, after the number was checked."""
    _check_form(text, RESIDENT_ID_LENGTH, _RESIDENT_ID, _RESIDENT_ID_KIND)
    if resident_id_check_character(text[:-1]) != text[-1]:
        raise _refusal(_RESIDENT_ID_KIND, _CHECK_WRONG)
    birth_date = _date_of(text[6:14])
    if birth_date is None:
        raise _refusal(_RESIDENT_ID_KIND, _BIRTH_DATE_WRONG)
    return birth_date


def resident_id_check_character(first_seventeen: str) -> str:
    """Give place 18 for the seventeen digits before it (GB 11643-1999, ISO 7064 MOD 11-2)."""
    total = sum(
        int(digit) * weight for digit, weight in zip(first_seventeen, _RESIDENT_ID_WEIGHTS, strict=True)
    )
    return _RESIDENT_ID_CHECKS[total % _MODULUS_ELEVEN]


def check_gec_filing_code(text: str) -> str:
    """Give a filing code (建档立卡编码) back; its check rule is not public, so length and alphabet only."""
    _check_form(text, GEC_FILING_CODE_LENGTH, _GEC_FILING_CODE, _GEC_FILING_KIND)
    return text


def parse_gec_certificate_code(text: str) -> GecCertificateCode:
    """Take a certificate code of 32 characters apart as 17 + 15; length and alphabet only."""
    _check_form(text, GEC_CERTIFICATE_CODE_LENGTH, _GEC_CERTIFICATE_CODE, _GEC_CERTIFICATE_KIND)
    return GecCertificateCode(text, text[:GEC_FILING_CODE_LENGTH], text[GEC_FILING_CODE_LENGTH:])


def check_gec_certificate_code(text: str) -> str:
    """Give a certificate code back if its length and alphabet fit."""
    return parse_gec_certificate_code(text).code


def check_vin(text: str) -> str:
    """Give a vehicle identification number back if its place 9 fits (GB 16735, ISO 3779)."""
    _check_form(text, VIN_LENGTH, _VIN, _VIN_KIND)
    if vin_check_character(text) != text[_VIN_CHECK_POSITION]:
        raise _refusal(_VIN_KIND, _CHECK_WRONG)
    return text


def vin_check_character(text: str) -> str:
    """Give the right place 9 for the other sixteen; what stands there now has weight zero."""
    total = sum(_VIN_VALUES[character] * weight for character, weight in zip(text, _VIN_WEIGHTS, strict=True))
    return _VIN_CHECKS[total % _MODULUS_ELEVEN]


def parse_real_estate_unit_code(text: str) -> RealEstateUnitCode:
    """Take a real-estate unit code apart (GB/T 37346-2019); it has no check character."""
    _check_form(text, REAL_ESTATE_UNIT_CODE_LENGTH, _REAL_ESTATE_UNIT_CODE, _REAL_ESTATE_KIND)
    parcel, fixture = text[:REAL_ESTATE_PARCEL_LENGTH], text[REAL_ESTATE_PARCEL_LENGTH:]
    if fixture.startswith(_NO_FIXTURE_FEATURE) and fixture != _NO_FIXTURE:
        raise _refusal(_REAL_ESTATE_KIND, _FIXTURE_WRONG)
    return RealEstateUnitCode(text, text[:6], parcel, fixture)


def check_real_estate_unit_code(text: str) -> str:
    """Give a real-estate unit code back if its form fits."""
    return parse_real_estate_unit_code(text).code


def check_ccer_id(text: str) -> str:
    """Give an id of the CCER register back: 19 digits, kept as text, for JSON readers would round them."""
    _check_form(text, CCER_ID_LENGTH, _CCER_ID, _CCER_ID_KIND)
    return text


def mask(text: str) -> str:
    """Show the last four characters of a code and no others; of a code of up to eight, none.

    The result has the length of the code, so that a reader sees which code is meant and nothing else.
    """
    shown = MASKED_TAIL_LENGTH if len(text) > 2 * MASKED_TAIL_LENGTH else 0
    return MASK_CHARACTER * (len(text) - shown) + text[len(text) - shown :]


def _check_form(text: str, length: int, pattern: re.Pattern[str], kind: Bilingual) -> None:
    if len(text) != length:
        raise _refusal(
            kind,
            Bilingual(
                f"应为{length}位，收到{len(text)}位", f"it has {len(text)} characters instead of {length}"
            ),
        )
    if pattern.fullmatch(text) is None:
        raise _refusal(kind, _ALPHABET_WRONG)


def _date_of(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _refusal(kind: Bilingual, detail: Bilingual) -> DomainError:
    return DomainError("IDENTITY_CODE_INVALID", kind=kind, detail=detail)
