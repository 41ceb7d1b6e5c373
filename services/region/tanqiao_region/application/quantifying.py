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
from tanqiao_region.application.register_facts import (
    template_of,
)
from tanqiao_region.domain.quantification import Result, parameters_of, plug_in_of
from tanqiao_region.domain.quantification.distributed_pv import DistributedPv, PvReading
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage import issuance as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.issuance import ActivityRow
from tanqiao_region.storage.registers import ProjectRow

LINES_SHOWN_MAX: Final = 24
WATTS_PER_KILOWATT: Final = 1000
SOURCE: Final = acts.IssuanceSource.PROJECT


@dataclass(frozen=True, slots=True)
class Instalment:
    """What a period of a project yields: the rows, the period that they cover, the computation."""

    rows: tuple[ActivityRow, ...]
    period: Period
    result: Result
    factors: dict[str, str]
    methodology: registers_pb2.Methodology


def compute(
    connection: sa.Connection, pack: RulePack, on: date, row: ProjectRow, asked: Period
) -> Instalment:
    """Compute the units of all free activity within a period.

    Raises:
        DomainError: METERING_MISSING where nothing is recorded or days are missing in between, FIELD_INVALID
            for a period that cuts a metering period, PARAMETER_NOT_SET for an unknown formula or factor.
    """
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
    rows = tuple(store.free_activity(connection, project.project_id, start, end))
    if not rows:
        raise DomainError("METERING_MISSING", field="period", missing=str(asked))
    _require_no_gap(rows)
    methodology = register_store.load_methodology(connection, project.methodology_id)
    if methodology is None:
        raise DomainError("METHODOLOGY_NOT_PUBLISHED", number=project.methodology_id)
    template = template_of(pack, methodology)
    # Rows are readings of generation; the plug-ins of travel, forests and the like have records of their own.
    if template is None or template.plug_in != DistributedPv.name:
        raise DomainError("PARAMETER_NOT_SET", parameter=f"quantification.{methodology.quantification}")
    parameters = parameters_of(
        template,
        number=methodology.methodology_id,
        grain_kg=grain_kg(pack, on),
        site={"capacity_w": project.asset.capacity_kw * WATTS_PER_KILOWATT},
        is_test_network=pack.parameters.is_test_network,
    )
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
    result = plug_in_of(template.plug_in).quantify(readings, parameters, row.carried_g)
    return Instalment(rows, hull_of(rows), result, dict(template.factors), methodology)


def grain_kg(pack: RulePack, on: date) -> int:
    """Give the least quantity that this region issues to a project."""
    if not pack.units.can_issue(SOURCE):
        raise DomainError("RULE_PACK_NOT_IN_FORCE", date=on.isoformat(), region=pack.region)
    return pack.units.grain_kg(SOURCE, pack.parameters.on(on))


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
        activity_wh=result.activity,
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
    factors = ", ".join(f"{name} = {value}" for name, value in sorted(instalment.factors.items()))
    return [
        *lines,
        f"{result.plug_in}: {result.activity} {result.activity_unit} ({factors}) = {result.grams} g",
        f"{result.grams + result.carried_in_grams} g = {result.units_kg} kg + {result.carried_out_grams} g",
    ]
