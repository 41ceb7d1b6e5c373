"""Canonical references and the keys under which claims are found and locked (CLAIMS sections 1 and 3).

Two references are equal iff scheme and value are equal in canonical form. The forms below only remove what
carries no meaning (blanks, full-width letters, a programme's own prefix); nothing is guessed or repaired.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from tanqiao.claims.model import Asset, AssetRef, Bounds, Claim, Part, Programme
from tanqiao.kernel.errors import DomainError, require

VALUE_LENGTH_MAX: Final = 128
"""Longest canonical value of a reference, in characters."""

SCHEMES_KEPT_MAX: Final = 1_024
"""Names of schemes whose canonical name is remembered."""

CELL_MICRODEGREES: Final = 50_000
"""Edge of the fixed grid whose cells a polygon locks: 0.05 degrees."""

CELLS_MAX: Final = 10_000
"""Most grid cells that one asset may lock; a box of 5 by 5 degrees is no parcel."""

SUBJECT_PROGRAMMES: Final = frozenset(
    {
        Programme.SH_SHCER,
        Programme.CCER,
        Programme.VCS,
        Programme.GS,
        Programme.CDM,
        Programme.GREEN_POWER,
        Programme.GEC,
    }
)
"""Programmes on either side of the only row that looks at the subject (SH-14)."""

_BLANKS: Final = re.compile(r"[\s\u200b\ufeff]+")
_SEPARATORS: Final = re.compile(r"[-_./]")
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_ALPHANUMERIC: Final = re.compile(r"[0-9A-Z]+", re.ASCII)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


class Strength(IntEnum):
    """How much an equal reference proves (CLAIMS section 1)."""

    DESCRIPTOR = 0
    GEOMETRY = 1
    OTHER_REGISTRY = 2
    LEGAL_ID = 3


@dataclass(frozen=True, slots=True)
class _Scheme:
    strength: Strength
    canonical: Callable[[str], str]


def _plain(value: str) -> str:
    return value


def _alphanumeric(value: str) -> str:
    if value.isascii() and value.isalnum():  # as most are; letters are upper case already
        return value
    text = _SEPARATORS.sub("", value)
    if not _ALPHANUMERIC.fullmatch(text):
        raise ValueError("only digits and letters are allowed")
    return text


def _digits(value: str) -> str:
    text = _SEPARATORS.sub("", value)
    if not _DIGITS.fullmatch(text):
        raise ValueError("only digits are allowed")
    return text


def _number_after(prefix: str) -> Callable[[str], str]:
    def canonical(value: str) -> str:
        text = _digits(value.removeprefix(prefix))
        return text.lstrip("0") or "0"

    return canonical


_SCHEMES: Final[Mapping[str, _Scheme]] = MappingProxyType(
    {
        "gec_filing_code": _Scheme(Strength.LEGAL_ID, _alphanumeric),
        "vin": _Scheme(Strength.LEGAL_ID, _alphanumeric),
        # The digits of an account are opaque; a grid company may stand before them as a namespace.
        "power_account": _Scheme(Strength.LEGAL_ID, _plain),
        "parcel_code": _Scheme(Strength.LEGAL_ID, _alphanumeric),
        # A token of an identifier that stays in its region (`tanqiao.claims.personal`).
        "pseudonym": _Scheme(Strength.LEGAL_ID, _plain),
        "cdm": _Scheme(Strength.OTHER_REGISTRY, _number_after("CDM")),
        "vcs": _Scheme(Strength.OTHER_REGISTRY, _number_after("VCS")),
        "gs": _Scheme(Strength.OTHER_REGISTRY, _number_after("GS")),
        "ccer": _Scheme(Strength.OTHER_REGISTRY, _plain),
        "plant_id": _Scheme(Strength.OTHER_REGISTRY, _plain),
        "name": _Scheme(Strength.DESCRIPTOR, _plain),
        "owner": _Scheme(Strength.DESCRIPTOR, _plain),
        "address": _Scheme(Strength.DESCRIPTOR, _plain),
        "coordinates": _Scheme(Strength.DESCRIPTOR, _plain),
    }
)
_AS_IT_IS: Final = frozenset(
    name for name, scheme in _SCHEMES.items() if scheme.canonical in (_plain, _alphanumeric)
)
"""Schemes of which digits and letters of ASCII are canonical once they are upper case."""
SUBJECT_PREFIX: Final = "subject:"
_OTHER_SCHEME: Final = _Scheme(Strength.OTHER_REGISTRY, _plain)
_SCHEME_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"real_estate_unit": "parcel_code", "gec": "gec_filing_code", "verra": "vcs", "gold_standard": "gs"}
)


def strength_of(scheme: str) -> Strength:
    """Give what an equal value proves; a scheme of an unknown registry counts as another registry's id."""
    return _SCHEMES.get(scheme, _OTHER_SCHEME).strength


@lru_cache(maxsize=SCHEMES_KEPT_MAX)
def canonical_scheme(scheme: str) -> str:
    """Give the one name of a scheme.

    Raises:
        DomainError: FIELD_INVALID, if it is not a snake_case name of at most 32 characters.
    """
    name = scheme.strip().lower()
    name = _SCHEME_ALIASES.get(name, name)
    if not _SCHEME.fullmatch(name):
        raise DomainError("FIELD_INVALID", field="scheme", detail="not the name of a reference scheme")
    return name


def canonical_value(scheme: str, value: str) -> str:
    """Give the canonical form: NFKC, upper case, no blanks, and the form of the scheme.

    Raises:
        DomainError: FIELD_INVALID with the scheme as its field. The value is not repeated, for an account
            or a vehicle number is personal.
    """
    text = _without_blanks(scheme, value)
    try:
        return _SCHEMES.get(scheme, _OTHER_SCHEME).canonical(text)
    except ValueError as error:
        raise DomainError("FIELD_INVALID", field=scheme, detail=str(error)) from error


def _without_blanks(scheme: str, value: str) -> str:
    if value.isascii() and value.isalnum():  # as most are: nothing to normalise, no blanks
        text = value.upper()
    else:
        text = _BLANKS.sub("", unicodedata.normalize("NFKC", value)).upper()
    if not text or len(text) > VALUE_LENGTH_MAX:
        raise DomainError("FIELD_INVALID", field=scheme, detail=f"1 to {VALUE_LENGTH_MAX} characters")
    return text


def asset_ref_as_written(scheme: str, value: str) -> AssetRef:
    """Make a reference of a value that may not be of its scheme's form, as invented cases have them.

    A value of the form becomes canonical; any other keeps its letters, upper case and without blanks.

    Raises:
        DomainError: FIELD_INVALID, if the value is empty or too long, or the scheme is no name.
    """
    name = canonical_scheme(scheme)
    text = _without_blanks(name, value)
    try:
        text = _SCHEMES.get(name, _OTHER_SCHEME).canonical(text)
    except ValueError:
        return AssetRef(name, text)
    return AssetRef(name, text)


def asset_ref(scheme: str, value: str, part: Part | None = None) -> AssetRef:
    """Make a reference in canonical form.

    Raises:
        DomainError: FIELD_INVALID.
    """
    if scheme in _AS_IT_IS and len(value) <= VALUE_LENGTH_MAX and value.isascii() and value.isalnum():
        return AssetRef(scheme, value.upper(), part)  # as most are: nothing is left to be done
    name = canonical_scheme(scheme)
    return AssetRef(name, canonical_value(name, value), part)


def asset_key(reference: AssetRef) -> str:
    """Give the text under which a reference is indexed and locked: ``asset:<scheme>:<value>``.

    The part is left out: parts of one asset exclude each other only sometimes, but are checked together.
    """
    return f"asset:{reference.scheme}:{reference.value}"


def subject_key(uscc: str) -> str:
    """Give the text under which a subject is indexed and locked."""
    return f"{SUBJECT_PREFIX}{uscc}"


def grid_keys(bounds: Bounds) -> Iterator[str]:
    """Give the key of every cell of the fixed 0.05 degree grid that the box touches.

    Two polygons with a common area have a common cell, so that both lock at least one key in common.

    Raises:
        DomainError: FIELD_INVALID, if the box is larger than `CELLS_MAX` cells.
    """
    west = bounds.west_microdegrees // CELL_MICRODEGREES
    east = bounds.east_microdegrees // CELL_MICRODEGREES
    south = bounds.south_microdegrees // CELL_MICRODEGREES
    north = bounds.north_microdegrees // CELL_MICRODEGREES
    if (east - west + 1) * (north - south + 1) > CELLS_MAX:
        raise DomainError("FIELD_INVALID", field="polygon", detail=f"more than {CELLS_MAX} grid cells")
    for row in range(south, north + 1):
        for column in range(west, east + 1):
            yield f"cell:{row}:{column}"


def lock_keys(claim: Claim, assets: Mapping[str, Asset]) -> tuple[str, ...]:
    """Give the sorted keys that a declaration of the claim must hold while it is checked and stored.

    They are: each S3 and S2 reference of the claimed asset, the subject where a row of the matrix looks at
    it, and the grid cells of the asset's polygon. The caller replaces an asset key by the root of its alias
    class. Every other claim that could collide shares at least one key, so that two racing declarations
    wait for each other; sorting keeps them from waiting crosswise.

    Raises:
        DomainError: FIELD_INVALID, if the polygon spans too many cells.
    """
    require(claim.asset_id in assets, "the claimed asset is among the facts")
    asset = assets[claim.asset_id]
    keys = {*keys_of_references(asset.references)}
    if claim.programme in SUBJECT_PROGRAMMES and claim.subject.uscc is not None:
        keys.add(subject_key(claim.subject.uscc))
    if asset.bounds is not None:
        keys.update(grid_keys(asset.bounds))
    return tuple(sorted(keys))


def keys_of_references(references: Iterable[AssetRef]) -> Iterator[str]:
    """Give the key of each reference that proves identity: legal ids and other registries' (S3, S2)."""
    for reference in references:
        known = _SCHEMES.get(reference.scheme)
        if known is None or known.strength >= Strength.OTHER_REGISTRY:
            yield f"asset:{reference.scheme}:{reference.value}"
