"""Facts of a carbon-resource reserve, which holds prospects and no units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.claims import ClaimAnswer
from tanqiao_region.domain.rules.facts.parties import Subject


class ReserveKind(StrEnum):
    """What a carbon resource may become."""

    ALLOWANCE = "allowance"
    CCER = "ccer"
    CARBON_FINANCE = "carbon_finance"
    INCLUSION = "inclusion"
    CARBON_CREDIT_UNIT = "carbon_credit_unit"


class ReserveScope(StrEnum):
    """On what ground an entry is kept."""

    FTZ = "ftz"
    PROVINCE_BY_REFERENCE = "province_by_reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterReserve(Facts):
    """A carbon resource is entered into the reserve.

    Args:
        entry_id: its number.
        kind: what it may become.
        scope: inside the pilot zone, or elsewhere by reference.
        area: code of the zone's area, inside the zone.
        place_region: division code of where it lies.
        project_type: such as ``renewable_power``.
        owner: whose it is.
        potential_kg_per_year: estimated potential, kgCO2e per year.
        potential_method: how it was estimated.
        potential_dated: date of the estimate.
        asset_keys: keys of the asset, ``scheme:value``.
        same_asset_entries: numbers of entries with one of these keys.
        claim: answer of the claim check, if it was asked.
    """

    entry_id: str
    kind: ReserveKind
    scope: ReserveScope
    place_region: str
    project_type: str
    owner: Subject | None
    area: str | None = None
    potential_kg_per_year: int | None = None
    potential_method: str = ""
    potential_dated: date | None = None
    asset_keys: frozenset[str] = frozenset()
    same_asset_entries: tuple[str, ...] = ()
    claim: ClaimAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReserveEntry(Facts):
    """An entry is linked to an application in a national or other programme.

    Args:
        programme: symbol of the programme.
        outside_reference: number there.
        state_from_import: whether the outside state shown is the imported one; a state set by hand is not.
        area: code of the zone's area that the entry lies in; empty outside the zone.
    """

    entry_id: str
    programme: str
    outside_reference: str
    state_from_import: bool
    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReserveEntry(Facts):
    """An entry is developed, or leaves the reserve.

    Args:
        entry_id: its number.
        event: of its machine.
        area: as above.
    """

    entry_id: str
    event: str
    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueFilingProof(Facts):
    """A proof that an entry stands in the reserve, and of its link, is signed.

    Args:
        entry_id: its number.
    """

    entry_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReserve(Facts):
    """Information on reserve work is published.

    Args:
        fields: fields that the list shows.
    """

    fields: frozenset[str]
