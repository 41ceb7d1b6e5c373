"""Identifiers of persons, households and vehicles in rows and texts: they stay in their region (CLAIMS 6)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tanqiao.claims.model import Programme
from tanqiao.claims.personal import PERSONAL_SCHEMES, canonical_identifier
from tanqiao.kernel.errors import DomainError

_BEFORE: Final = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
_BEHIND: Final = r"(?![0-9A-Za-z]|\.[0-9])"
_WRITTEN: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        scheme: re.compile(f"{_BEFORE}(?:{written}){_BEHIND}", re.ASCII)
        for scheme, written in (
            ("resident_id", r"[0-9]{6}[ -]?(?:18|19|20)[0-9]{6}[ -]?[0-9]{3}[ -]?[0-9Xx]"),
            ("phone", r"(?:(?:\+?86|0086)[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"),
            # A filing code has 17 digits too; a vehicle's number has letters.
            ("vin", r"(?![0-9]{17})[0-9A-HJ-NPR-Za-hj-npr-z]{17}"),
            # A key of the index has its scheme between colons.
            ("power_account", r"(?<!:)[A-Z]{2,12}:[0-9]{8,20}"),
        )
    }
)
"""How an identifier stands in a text, as a word of its own; what is found must pass its check as well."""


def require_no_personal_column(column: str, field: str) -> None:
    """Refuse a column of a list that is named as a scheme that never leaves a region.

    Raises:
        DomainError: PERSONAL_IDENTIFIER_SENT.
    """
    scheme = column.strip().lower()
    if scheme in PERSONAL_SCHEMES:
        raise DomainError("PERSONAL_IDENTIFIER_SENT", field=f"{field}.{scheme}")


def require_no_identifier_in(text: str, field: str) -> None:
    """Refuse a text in which an identifier stands whose form, and check character if it has one, hold.

    Raises:
        DomainError: PERSONAL_IDENTIFIER_SENT with the field and never the value.
    """
    normal = unicodedata.normalize("NFKC", text)
    for scheme, written in _WRITTEN.items():
        if any(_is_one(scheme, found.group()) for found in written.finditer(normal)):
            raise DomainError("PERSONAL_IDENTIFIER_SENT", field=f"{field}.{scheme}")


def _is_one(scheme: str, text: str) -> bool:
    if text.partition(":")[0] in Programme.__members__:  # the number in a registry, written like an account
        return False
    try:
        canonical_identifier(scheme, text)
    except DomainError:
        return False
    return True
