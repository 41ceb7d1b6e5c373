"""From recorded activity to what a period of a project yields; nothing is set aside or decided here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.periods import Period, coalesce_periods
from tanqiao_region.application.activity import hull_of
from tanqiao_region.application.claim_messages import WATT_HOURS
from tanqiao_region.application.project_acts import source_of
from tanqiao_region.application.register_facts import (
    template_of,
)
from tanqiao_region.application.trips import days_of
from tanqiao_region.domain.quantification import Parameters, Result, parameters_of
from tanqiao_region.domain.quantification.distributed_pv import DistributedPv, PvReading
from tanqiao_region.domain.quantification.travel import Travel, Trip
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage import issuance as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage import trips as trip_store
from tanqiao_region.storage.consents import withdrawn_tokens
from tanqiao_region.storage.issuance import ActivityRow
from tanqiao_region.storage.registers import ProjectRow
from tanqiao_region.storage.trips import TripRow

LINES_SHOWN_MAX: Final = 24
WATTS_PER_KILOWATT: Final = 1000


@dataclass(frozen=True, slots=True)
class Instalment:
    """What a period yields: metered rows or trips, the period that they cover, the computation."""

    rows: tuple[ActivityRow, ...]
    trips: tuple[TripRow, ...]
    period: Period
    result: Result
    factors: dict[str, str]
    methodology: registers_pb2.Methodology
    left_out: int = 0
    """Records whose users have taken their consent back: they are not used."""


def compute(
    connection: sa.Connection, pack: RulePack, on: date, row: ProjectRow, asked: Period
) -> Instalment:
    """Compute the units of all free activity, or of all free trips, within a period.

    Raises:
        DomainError: METERING_MISSING where nothing is recorded or days are missing in between, FIELD_INVALID
            for a period that cuts a metering period, PARAMETER_NOT_SET for an unknown formula or factor.
    """
    project = row.project
    methodology = register_store.load_methodology(connection, project.methodology_id)
    if methodology is None:
        raise DomainError("METHODOLOGY_NOT_PUBLISHED", number=project.methodology_id)
    template = template_of(pack, methodology)
    # The plug-ins of households, forests and the like have records of their own, which no intake takes yet.
    if template is None or template.plug_in not in (DistributedPv.name, Travel.name):
        raise DomainError("PARAMETER_NOT_SET", parameter=f"quantification.{methodology.quantification}")
    parameters = parameters_of(
        template,
        number=methodology.methodology_id,
        grain_kg=grain_kg(pack, on, source_of(project)),
        site={"capacity_w": project.asset.capacity_kw * WATTS_PER_KILOWATT},
        is_test_network=pack.parameters.is_test_network,
    )
    factors = dict(template.factors)
    if template.plug_in == Travel.name:
        return _compute_trips(connection, row, asked, parameters, factors, methodology, on)
    return _compute_readings(connection, row, asked, parameters, factors, methodology, on)


def _compute_trips(
    connection: sa.Connection,
    row: ProjectRow,
    asked: Period,
    parameters: Parameters,
    factors: dict[str, str],
    methodology: registers_pb2.Methodology,
    on: date,
) -> Instalment:
    project_id, recipient = row.project.project_id, row.project.owner_account_id
    free = trip_store.free_trips(connection, project_id, asked.start.isoformat(), asked.end.isoformat())
    withdrawn = withdrawn_tokens(connection, recipient, project_id, on.isoformat())
    found = [one for one in free if one.user_token not in withdrawn] if withdrawn else free
    if not found:
        raise DomainError("METERING_MISSING", field="period", missing=str(asked))
    records = [Trip(one.order_id, one.distance_m, one.person_count, one.inside_region) for one in found]
    result = Travel().quantify(records, parameters, row.carried_g)
    left_out = len(free) - len(found)
    return Instalment((), tuple(found), days_of(found), result, factors, methodology, left_out)


def _compute_readings(
    connection: sa.Connection,
    row: ProjectRow,
    asked: Period,
    parameters: Parameters,
    factors: dict[str, str],
    methodology: registers_pb2.Methodology,
    on: date,
) -> Instalment:
    project = row.project
    start, end = asked.start.isoformat(), asked.end.isoformat()
    cut = store.activity_cut_by(connection, project.project_id, start, end)
    if cut:
        detail = f"{cut[0].meter} {cut[0].start_date}/{cut[0].end_date}"
        raise DomainError(
            "FIELD_INVALID",
            field="period",
            detail=Bilingual(f"切断了计量期{detail}", f"it cuts the metering period {detail}"),
        )
    free = store.free_activity(connection, project.project_id, start, end)
    withdrawn = withdrawn_tokens(connection, project.owner_account_id, project.project_id, on.isoformat())
    rows = tuple(one for one in free if one.meter not in withdrawn)
    if not rows:
        raise DomainError("METERING_MISSING", field="period", missing=str(asked))
    _require_no_gap(rows)
    readings = [
        PvReading(
            one.meter,
            date.fromisoformat(one.start_date),
            date.fromisoformat(one.end_date),
            one.on_grid_wh,
            one.self_use_wh,
        )
        for one in rows
    ]
    result = DistributedPv().quantify(readings, parameters, row.carried_g)
    return Instalment(rows, (), hull_of(rows), result, factors, methodology, len(free) - len(rows))


def set_aside(connection: sa.Connection, project_id: str, instalment: Instalment, issuance_id: str) -> None:
    """Let an issuance rest on the records of an instalment.

    Raises:
        DomainError: CONCURRENT_CHANGE, if one of them is no longer there.
    """
    taken = (
        store.take_activity(connection, project_id, instalment.rows, issuance_id) if instalment.rows else 0
    )
    if instalment.trips:
        taken += trip_store.take_trips(connection, project_id, instalment.trips, issuance_id)
    if taken != len(instalment.rows) + len(instalment.trips):
        raise DomainError("CONCURRENT_CHANGE", what="activity", id=project_id)


def set_free(connection: sa.Connection, project_id: str, issuance_id: str) -> None:
    """Free the records of an issuance that came to nothing."""
    store.release_activity(connection, project_id, issuance_id)
    trip_store.release_trips(connection, project_id, issuance_id)


def grain_kg(pack: RulePack, on: date, source: acts.IssuanceSource) -> int:
    """Give the least quantity that this region issues to such a source."""
    if not pack.units.can_issue(source):
        raise DomainError("RULE_PACK_NOT_IN_FORCE", date=on.isoformat(), region=pack.region)
    return pack.units.grain_kg(source, pack.parameters.on(on))


def _require_no_gap(rows: tuple[ActivityRow, ...]) -> None:
    covered = coalesce_periods(
        Period(date.fromisoformat(row.start_date), date.fromisoformat(row.end_date)) for row in rows
    )
    if len(covered) > 1:
        gaps = [f"{one.end}/{other.start}" for one, other in pairwise(covered)]
        raise DomainError("METERING_MISSING", field="period", missing=gaps)


def quantified(instalment: Instalment) -> registers_pb2.QuantifyProjectResponse:
    """Give the computation as a message."""
    result = instalment.result
    return registers_pb2.QuantifyProjectResponse(
        activity_wh=result.activity if result.activity_unit == WATT_HOURS else 0,
        activity_quantity=result.activity,
        activity_unit=result.activity_unit,
        reduction_g=result.grams + result.carried_in_grams,
        carried_in_g=result.carried_in_grams,
        issuable_kg=result.units_kg,
        carried_out_g=result.carried_out_grams,
        methodology_id=instalment.methodology.methodology_id,
        working=_working(instalment),
    )


def _working(instalment: Instalment) -> list[str]:
    """Give the computation line by line; of very many readings the first, and how many more there are."""
    result = instalment.result
    lines = [
        f"{line.reference}: {line.activity} {result.activity_unit}" for line in result.lines[:LINES_SHOWN_MAX]
    ]
    if len(result.lines) > LINES_SHOWN_MAX:
        lines.append(f"… + {len(result.lines) - LINES_SHOWN_MAX}")
    if instalment.left_out:
        lines.append(f"授权已撤回 consent withdrawn: – {instalment.left_out}")
    factors = ", ".join(f"{name} = {value}" for name, value in sorted(instalment.factors.items()))
    return [
        *lines,
        f"{result.plug_in}: {result.activity} {result.activity_unit} ({factors}) = {result.grams} g",
        f"{result.grams + result.carried_in_grams} g = {result.units_kg} kg + {result.carried_out_grams} g",
    ]
