"""Certificates of a list as they stand after the orders of the coordination notice.

A list says what the registry had issued on its day; what was frozen, cancelled or released since stands in
effects of orders, per asset, month and claim. Laid over the rows, they split a row into parts, each with one
state. A row that the registry itself already shows as frozen or cancelled takes its share of the effects
first, so that a newer list and the orders that it carries out are not counted twice (CLAIMS section 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.keys import Strength, asset_key, asset_ref, strength_of
from tanqiao_gateway.storage.orders import Held, Lot

ISSUED: Final = "ISSUED"
LISTED: Final = "LISTED"
UNFROZEN: Final = "UNFROZEN"
FROZEN: Final = "FROZEN"
CANCELLED: Final = "CANCELLED"
UNSOLD: Final = frozenset({ISSUED, LISTED, UNFROZEN})

Record = registry_pb2.RegistryRecord


def lot_of(record: Record) -> Lot | None:
    """Give the lot of a row of certificates; None where it has no asset key or no period."""
    if not record.certificate_state or not record.HasField("period"):
        return None
    for reference in record.asset_references:
        if strength_of(reference.scheme) >= Strength.OTHER_REGISTRY:
            key = asset_key(asset_ref(reference.scheme, reference.value))
            period = record.period
            return key, _day(period.start_date), _day(period.end_date)
    return None


def overlay(rows: Mapping[int, Record], held: Mapping[Lot, Sequence[Held]]) -> dict[int, list[Record]]:
    """Give each row as the parts that it stands in now; rows without effects are given as they are.

    Args:
        rows: every row of the lots concerned, by row number.
        held: effects by lot and claim.
    """
    lots: dict[Lot, list[int]] = {}
    for number in sorted(rows):
        lot = lot_of(rows[number])
        if lot is not None and lot in held:
            lots.setdefault(lot, []).append(number)
    result = {number: [record] for number, record in rows.items()}
    for lot, numbers in lots.items():
        budgets = [
            Held(one.claim_id, one.frozen_mwh, one.cancelled_mwh, one.unfrozen_mwh) for one in held[lot]
        ]
        for number in numbers:
            _name_shown(rows[number], budgets, result, number)
        for number in numbers:
            if rows[number].tradable and rows[number].certificate_state in UNSOLD:
                result[number] = _split(rows[number], budgets)
    return result


def _name_shown(record: Record, budgets: list[Held], result: dict[int, list[Record]], number: int) -> None:
    """A row that the list shows as frozen or cancelled belongs to the claims that had it done."""
    if record.certificate_state not in (FROZEN, CANCELLED):
        return
    left = record.activity_quantity
    parts: list[tuple[int, str, str]] = []
    for one in budgets:
        have = one.frozen_mwh if record.certificate_state == FROZEN else one.cancelled_mwh
        taken = min(left, have)
        if taken:
            if record.certificate_state == FROZEN:
                one.frozen_mwh -= taken
            else:
                one.cancelled_mwh -= taken
            parts.append((taken, record.certificate_state, one.claim_id))
            left -= taken
    result[number] = _parts(record, [*parts, (left, record.certificate_state, "")])


def _split(record: Record, budgets: list[Held]) -> list[Record]:
    left = record.activity_quantity
    parts: list[tuple[int, str, str]] = []
    # What was released may have been frozen for another claim since: what stands frozen comes first.
    for state in (CANCELLED, FROZEN, UNFROZEN):
        for one in budgets:
            name = f"{state.lower()}_mwh"
            taken = min(left, getattr(one, name))
            if taken:
                setattr(one, name, getattr(one, name) - taken)
                parts.append((taken, state, "" if state == UNFROZEN else one.claim_id))
                left -= taken
    return _parts(record, [*parts, (left, record.certificate_state, "")])


def _parts(record: Record, parts: Sequence[tuple[int, str, str]]) -> list[Record]:
    """Give a copy for each part that is not empty; a row that was not cut keeps its reference."""
    filled = [part for part in parts if part[0]] or [parts[-1]]
    made = []
    for place, (quantity, state, claim_id) in enumerate(filled, start=1):
        copy = Record()
        copy.CopyFrom(record)
        copy.activity_quantity, copy.certificate_state, copy.frozen_for = quantity, state, claim_id
        if len(filled) > 1:
            copy.reference = f"{record.reference}#{place}"
        made.append(copy)
    return made


def _day(value: object) -> str:
    return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"  # type: ignore[attr-defined]  # a wire date
