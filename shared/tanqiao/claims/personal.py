"""Identifiers of persons, households and vehicles: what never leaves a region, and what is made of it.

A claim names them by tokens, one for each bucket of time that its period meets (CLAIMS section 6). Here is
what all regions must do alike: the canonical form of each identifier, the family of an attribute and the
grain of its buckets, and the message that goes into the oblivious function. `tanqiao.claims.matrix` dates
the grains.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from tanqiao.claims.model import Attribute, Grain
from tanqiao.kernel.errors import DomainError, require
from tanqiao.kernel.identity import check_resident_id, check_vin
from tanqiao.kernel.periods import Period

PSEUDONYM: Final = "pseudonym"
"""Scheme of a token as a reference of the engine; its value is ``<key epoch>:<hexadecimal>``."""
TOKEN_LENGTH: Final = 32
BUCKETS_MAX: Final = 360
"""Most buckets that a period may meet: thirty years of months."""
IDENTIFIER_LENGTH_MAX: Final = 64

_NOT_WRITTEN: Final = re.compile(r"[\s\u200b\ufeff\-]+")
_PHONE: Final = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9]{9})", re.ASCII)
_ACCOUNT: Final = re.compile(r"[A-Z]{2,12}:[0-9]{8,20}", re.ASCII)


def _phone(text: str) -> str:
    found = _PHONE.fullmatch(text)
    if found is None:
        raise DomainError("FIELD_INVALID", field="phone", detail="a mobile number of eleven digits is wanted")
    return found.group(1)


def _account(text: str) -> str:
    if _ACCOUNT.fullmatch(text) is None:
        detail = "the grid company in letters, a colon, and the account in digits are wanted: SGCC:3101234567"
        raise DomainError("FIELD_INVALID", field="power_account", detail=detail)
    return text


_CANONICAL: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType(
    {"resident_id": check_resident_id, "phone": _phone, "power_account": _account, "vin": check_vin}
)
PERSONAL_SCHEMES: Final = frozenset(_CANONICAL)
"""Schemes of references that never leave a region (CLAIMS section 6, DOMAIN section 9)."""

FAMILIES: Final[Mapping[Attribute, str]] = MappingProxyType(
    {
        # What is generated and what is saved at one account compete (SH-14), so that they are one family.
        Attribute.RE_GEN: "electricity",
        Attribute.ELEC_SAVING: "electricity",
        Attribute.FUEL_SWITCH_TRANSPORT: "transport",
        Attribute.CARBON_STOCK: "carbon_stock",
        Attribute.CH4_DESTRUCTION: "methane",
        Attribute.OTHER: "other",
    }
)
"""Attributes whose claims are compared share a family, and so their tokens."""
BUCKET_GRAINS: Final[Mapping[str, Grain]] = MappingProxyType(
    {
        "electricity": Grain.MONTH,
        "transport": Grain.MONTH,
        "carbon_stock": Grain.YEAR,
        "methane": Grain.MONTH,
        "other": Grain.MONTH,
    }
)


def canonical_identifier(scheme: str, text: str) -> str:
    """Give the one form of an identifier: NFKC, capitals, no blanks or hyphens, and its check.

    Raises:
        DomainError: IDENTITY_CODE_INVALID, FIELD_INVALID with the scheme as its field. The value is not
            repeated.
    """
    require(scheme in PERSONAL_SCHEMES, "only identifiers of persons, households and vehicles become tokens")
    written = _NOT_WRITTEN.sub("", unicodedata.normalize("NFKC", text)).upper()
    if not 0 < len(written) <= IDENTIFIER_LENGTH_MAX:
        raise DomainError("FIELD_INVALID", field=scheme, detail=f"1 to {IDENTIFIER_LENGTH_MAX} characters")
    return _CANONICAL[scheme](written)


def buckets_of(period: Period, grain: Grain) -> tuple[Period, ...]:
    """Give the buckets that a period meets, oldest first.

    Raises:
        DomainError: FIELD_INVALID, if there are more than `BUCKETS_MAX`.
    """
    require(grain in (Grain.MONTH, Grain.YEAR), "a bucket is a month or a year")
    months = 12 if grain is Grain.YEAR else 1
    first = (period.start.year * 12 + period.start.month - 1) // months
    last = (period.last_day.year * 12 + period.last_day.month - 1) // months
    if last - first >= BUCKETS_MAX:
        raise DomainError("FIELD_INVALID", field="claim.period", detail=f"more than {BUCKETS_MAX} buckets")
    starts = [date(index * months // 12, index * months % 12 + 1, 1) for index in range(first, last + 2)]
    return tuple(Period(start, end) for start, end in pairwise(starts))


def private_input(pepper: bytes, scheme: str, canonical: str, family: str, bucket: Period) -> bytes:
    """Give what goes blinded into the oblivious function: 32 bytes under the regions' pepper.

    Each part stands behind its length, so that no two lists of parts read alike.
    """
    parts = (scheme, canonical, family, bucket.start.isoformat(), bucket.end.isoformat())
    message = b"".join(len(part.encode()).to_bytes(2, "big") + part.encode() for part in parts)
    return hmac.new(pepper, message, hashlib.sha256).digest()


def token_of(output: bytes) -> bytes:
    """Give the token of an output: its first 32 bytes."""
    return output[:TOKEN_LENGTH]
