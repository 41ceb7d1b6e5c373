"""What a decision is checked against: agreements and their counters, freezes, series, blocking cases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.common.v1 import values_pb2
from tanqiao.db.bulk import rows_by_key
from tanqiao.db.direct import Prepared
from tanqiao_bridge.storage.tables import agreement, agreement_use, conflict_case, region, series


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """A recognition record in one direction; an empty set of purposes means any, a cap of 0 none."""

    agreement_id: str
    from_region: str
    to_region: str
    programmes: frozenset[str]
    unit_classes: frozenset[str]
    purposes: frozenset[str]
    quantity_cap_kg: int
    start_date: str
    end_date: str
    used_kg: int


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A registered series; `region` is the party that issued it."""

    series_id: str
    region: str
    programme: str
    source_id: str
    vintage_year: int
    batch_number: int
    methodology_id: str
    unit_class: str


# Statements of every group are made once: making one costs more than running it.
_AGREEMENT_COLUMNS: Final = tuple(name for name in AgreementRow.__dataclass_fields__ if name != "used_kg")
_AGREEMENTS: Final = Prepared(
    sa.select(*(agreement.c[name] for name in _AGREEMENT_COLUMNS), agreement_use.c.used_kg)
    .join(agreement_use, agreement_use.c.agreement_id == agreement.c.agreement_id)
    .where(
        agreement.c.from_region == sa.bindparam("source"),
        agreement.c.to_region == sa.bindparam("destination"),
    )
    .order_by(agreement.c.log_index)
)
_USE: Final = Prepared(
    sa.update(agreement_use)
    .where(agreement_use.c.agreement_id == sa.bindparam("of_agreement"))
    .values(used_kg=agreement_use.c.used_kg + sa.bindparam("more_kg"))
)
_REGIONS: Final = Prepared(sa.select(region.c.region))


def load_agreements(connection: sa.Connection, pairs: Iterable[tuple[str, str]]) -> list[AgreementRow]:
    """Give the agreements of these directions, oldest first."""
    wanted = sorted(set(pairs))
    if not wanted:
        return []
    rows = [
        row
        for first, second in wanted
        for row in _AGREEMENTS.rows(connection, source=first, destination=second)
    ]
    return [
        AgreementRow(*row[:3], *(frozenset(json.loads(names)) for names in row[3:6]), *row[6:])
        for row in rows
    ]


def add_agreement_use(connection: sa.Connection, increments: Mapping[str, int]) -> None:
    """Move the counters of agreements on, in kilograms."""
    for agreement_id in sorted(increments):
        _USE.write(connection, of_agreement=agreement_id, more_kg=increments[agreement_id])


def load_series(connection: sa.Connection, series_ids: Iterable[str]) -> dict[str, SeriesRow]:
    """Give the registered ones of these series."""
    names = tuple(SeriesRow.__dataclass_fields__)
    found = rows_by_key(
        connection, series, ("series_id",), [(name,) for name in sorted(set(series_ids))], names
    )
    return {row[0]: SeriesRow(*row) for row in found}


def load_blocked_series(connection: sa.Connection, series_ids: Iterable[str]) -> dict[str, int]:
    """Give the series of these that an open blocking case names, with the case's number."""
    wanted = sorted(set(series_ids))
    if not wanted:
        return {}
    found = rows_by_key(
        connection,
        conflict_case,
        ("subject", "state"),
        [(subject, "open") for subject in wanted],
        ("subject", "case_id", "blocking"),
    )
    return {subject: case_id for subject, case_id, blocking in sorted(found) if blocking}


def known_regions(connection: sa.Connection) -> frozenset[str]:
    """Give the parties that are regions of the federation."""
    return frozenset(row[0] for row in _REGIONS.rows(connection))


def series_message(row: SeriesRow) -> values_pb2.Series:
    """Give the wire form of a series."""
    return values_pb2.Series(
        series_id=row.series_id,
        region_code=row.region.removeprefix("region/"),
        programme=row.programme,
        source_id=row.source_id,
        vintage_year=row.vintage_year,
        batch_number=row.batch_number,
        methodology_id=row.methodology_id,
        unit_class=row.unit_class,
    )
