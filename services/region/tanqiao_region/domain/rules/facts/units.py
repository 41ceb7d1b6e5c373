"""Facts of units: settlement, crossing a border, use, correction, conversion."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.parties import ConfirmedMandate, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLot:
    """A range of serials of one series with what the rules look at.

    Args:
        series_id: name of the series.
        programme: symbol of the programme.
        origin_region: division code of the region of origin; it never changes.
        start: first serial.
        end: serial after the last; one serial is 1 kgCO2e.
        vintage: calendar year of the reductions.
        unit_class: class given by the methodology; empty where the region knows none.
        origin: ``project`` or ``reduction_scene``.
        must_be_consumed: whether it was converted back from points.
        encumbered: whether a creditor has a right in it.
    """

    series_id: str
    programme: str
    origin_region: str
    start: int
    end: int
    vintage: int
    unit_class: str = ""
    origin: str = "project"
    must_be_consumed: bool = False
    encumbered: bool = False

    @property
    def quantity_kg(self) -> int:
        """Number of units."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.series_id}[{self.start},{self.end})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """A recognition record for one direction, as the node holds it.

    Args:
        agreement_id: its id.
        from_region: region whose units are recognised.
        to_region: region that recognises them.
        signed_by: division codes of the authorities that signed.
        valid_from: first day.
        valid_to: day after the last day; None = open.
        programmes: programmes covered.
        unit_classes: classes covered; empty = all.
        purposes: purposes of use allowed in the recognising region.
        suspended: whether it is suspended.
    """

    agreement_id: str
    from_region: str
    to_region: str
    signed_by: frozenset[str]
    valid_from: date
    programmes: frozenset[str]
    valid_to: date | None = None
    unit_classes: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    suspended: bool = False

    def in_force(self, on: date) -> bool:
        """Whether both authorities signed and the legal date lies in its term."""
        both = {self.from_region, self.to_region} <= self.signed_by
        term = self.valid_from <= on and (self.valid_to is None or on < self.valid_to)
        return both and term and not self.suspended

    def covers(self, lot: UnitLot, *, from_region: str, to_region: str, on: date) -> bool:
        """Whether units of the lot may pass in this direction on the legal date."""
        direction = self.from_region == from_region and self.to_region == to_region
        classes = not self.unit_classes or lot.unit_class in self.unit_classes
        return self.in_force(on) and direction and lot.programme in self.programmes and classes


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalDocument:
    """A document of a court or procuratorate.

    Args:
        issuer: court or procuratorate.
        number: number of the document.
        dated: its date.
        ordered_kg: quantity that it orders, if it names one.
    """

    issuer: str
    number: str
    dated: date | None
    ordered_kg: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLocal(Facts):
    """A settled trade or a gift moves units between two accounts of the node.

    Args:
        lots: what moves.
        seller: who gives.
        buyer: who receives.
        agent: representative who instructs for the seller, if one does.
        mandate: the agent's mandate, if one is on record.
        trade: whether a trade is settled; else it is a gift or a move between own accounts.
        reserve_entry: number of a reserve entry, when somebody tries to move one.
    """

    lots: tuple[UnitLot, ...]
    seller: Subject
    buyer: Subject
    agent: Subject | None = None
    mandate: ConfirmedMandate | None = None
    trade: bool = True
    reserve_entry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferOut(Facts):
    """Units leave for another region.

    Args:
        lots: what leaves.
        holder: who holds them.
        destination_region: division code of the other region.
        recognitions: recognition records of the pair known to the node.
    """

    lots: tuple[UnitLot, ...]
    holder: Subject
    destination_region: str
    recognitions: tuple[Recognition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveTransfer(Facts):
    """Units of another region arrive.

    Args:
        lots: what arrives.
        receiver: who receives.
        source_region: division code of the region they come from.
        recognitions: recognition records of the pair known to the node.
    """

    lots: tuple[UnitLot, ...]
    receiver: Subject
    source_region: str
    recognitions: tuple[Recognition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(Facts):
    """Units are used for a purpose; final.

    Args:
        lots: what is used.
        holder: who holds it.
        beneficiary_id: for whom it is used.
        purpose: purpose of use, a name of the pack's table.
        purpose_text: for what in words, such as the name of the event.
        year: year of compliance.
        document: document of a court or procuratorate.
        recognitions: recognition records for units of other regions.
        used_in_year_kg: units already used for compliance in that year at this node, read in the
            transaction of the act.
        used_by_holder_in_year_kg: the holder's own part of them.
        holder_duty_kg: emissions that the holder has to surrender for in that year, where the rule has a
            share of it.
        reserve_entry: number of a reserve entry, when somebody tries to use one.
        registered_operators: ids of the operators through whom an individual could act.
    """

    lots: tuple[UnitLot, ...]
    holder: Subject
    beneficiary_id: str
    purpose: str
    purpose_text: str = ""
    year: int | None = None
    document: LegalDocument | None = None
    recognitions: tuple[Recognition, ...] = ()
    used_in_year_kg: int = 0
    used_by_holder_in_year_kg: int = 0
    holder_duty_kg: int | None = None
    reserve_entry: str | None = None
    registered_operators: tuple[str, ...] = ()

    @property
    def quantity_kg(self) -> int:
        """Units used in all."""
        return sum(lot.quantity_kg for lot in self.lots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Facts):
    """Units are taken out without use: a correction or a replacement.

    Args:
        lots: what is taken out.
        reason: why, in words.
        document: reference of the document that orders it.
        second_approver_id: the other person who approved.
    """

    lots: tuple[UnitLot, ...]
    reason: str
    document: str
    second_approver_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encumber(Facts):
    """Units are encumbered in favour of a creditor; they stay where they are.

    Args:
        lots: what is encumbered.
        holder: who holds it.
        creditor: who has a right in it.
        document: reference of the contract.
    """

    lots: tuple[UnitLot, ...]
    holder: Subject
    creditor: Subject
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEncumbrance(Facts):
    """A side of an encumbrance signs its release.

    Args:
        encumbrance_id: which.
        document: reference of the deed of release.
    """

    encumbrance_id: str
    document: str


class HoldingKind(StrEnum):
    """What somebody asks to convert."""

    UNIT = "unit"
    POINTS = "points"
    EXPERIENCE_VALUE = "experience_value"
    BEHAVIOUR_ESTIMATE = "behaviour_estimate"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertHolding(Facts):
    """Somebody asks to turn one thing into another: a foreign unit into a local one, values into units.

    Args:
        holding: what is to be converted.
        target: ``unit`` or ``points``.
        lots: the units, where units are to be converted.
        holder: who holds it.
    """

    holding: HoldingKind
    target: str
    holder: Subject
    lots: tuple[UnitLot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileHolding(Facts):
    """Another system shows another holding than the node's journal does.

    Args:
        journal_kg: balance of the account by the journal.
        outside_kg: balance that the other system shows.
        outside_system: which system it is.
        correct_node: whether the node's balance would be corrected by what the other system shows.
    """

    journal_kg: int
    outside_kg: int
    outside_system: str
    correct_node: bool
