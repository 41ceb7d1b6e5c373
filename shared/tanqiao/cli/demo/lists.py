"""The lists of the outside registries: real public records beside invented ones, each marked as what it is.

From `TANQIAO_DATA` (by default ``../shared/data`` where it exists) the CCER records and the Chinese plants;
otherwise a small table of public facts that comes with the program (`facts.json`, with its sources). Of a
real plant only names, fuels and places are facts: its certificates are invented, and the row says so.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tanqiao.cli.demo.cast import CERTIFICATES_MWH, Cast, Plant
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.quantities import parse_decimal

DATA_VARIABLE: Final = "TANQIAO_DATA"
DATA_DEFAULT: Final = Path("../shared/data")
CCER_FILE: Final = "ccer_records.json"
PLANTS_FILE: Final = "plants_cn.csv"
CERTIFICATES_INVENTED: Final = "（绿证数据虚构 certificates invented）"
FUELS: Final = ("Wind", "Solar", "Hydro", "Geothermal")
"""What a green certificate can be issued for."""
CERTIFICATES_PER_MW: Final = 100
RUNS_LISTED_MAX: Final = 500
CREDITS: Final = (
    (
        "Plants: Global Power Plant Database, World Resources Institute, Global Energy Observatory, Google, "
        "KTH Royal Institute of Technology in Stockholm and Enipedia (CC BY 4.0), selected and changed: "
        "columns removed, ids replaced, provinces computed."
    ),
    "CCER: public records of the national registry as quoted in public repositories; a sample, no list.",
    "Working days: notices of the State Council, through chinesecalendar (MIT).",
)

CCER_COLUMNS: Final = (
    "reference",
    "project_name",
    "owner_name",
    "owner_uscc",
    "filing_code",
    "object",
    "stage",
    "attribute",
    "crediting_start",
    "crediting_end",
    "methodology",
    "province_code",
    "asset_kind",
    "certified_t_co2e",
    "invented",
)
GEC_COLUMNS: Final = (
    "reference",
    "filing_code",
    "plant_id",
    "plant_name",
    "owner_name",
    "owner_uscc",
    "period_start",
    "period_end",
    "certificates",
    "state",
    "tradable",
    "self_use",
    "province_code",
    "asset_kind",
    "invented",
)

Row = dict[str, str]
_OBJECTS: Final = {"reduction": "reduction"}
_STAGES: Final = {"notice": "notice", "issued": "issued"}
_SINKS: Final = frozenset({"forest", "mangrove"})


@dataclass(frozen=True, slots=True)
class Sources:
    """Real records, and where they come from in words."""

    ccer: tuple[dict[str, Any], ...]
    plants: tuple[Row, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Built:
    """A list that was written: its file, and how many rows of each kind it has."""

    path: Path
    real_rows: int
    invented_rows: int


def load_sources() -> Sources:
    """Read the real records.

    Raises:
        DomainError: DIRECTORY_MISSING or FILE_MISSING where TANQIAO_DATA names a place that is not there.
    """
    named = os.environ.get(DATA_VARIABLE)
    directory = Path(named) if named else DATA_DEFAULT
    if named and not directory.is_dir():
        raise DomainError("DIRECTORY_MISSING", directory=directory)
    if not directory.is_dir():
        facts = json.loads((files("tanqiao.cli.demo") / "facts.json").read_text(encoding="utf-8"))
        return Sources(
            tuple(facts["ccer"]), tuple(facts["plants"]), "内置公开事实 built-in table of public facts"
        )
    for name in (CCER_FILE, PLANTS_FILE):
        if not (directory / name).is_file():
            raise DomainError("FILE_MISSING", file=directory / name)
    records = json.loads((directory / CCER_FILE).read_text(encoding="utf-8"))["records"]
    with (directory / PLANTS_FILE).open(encoding="utf-8", newline="") as file:
        plants = tuple(row for row in csv.DictReader(file) if row["fuel"] in FUELS)
    return Sources(tuple(records), plants, str(directory))


def write_lists(sources: Sources, directory: Path, run: int) -> tuple[Built, Built]:
    """Write the CCER and the GEC list of a run: the real records, and what all runs up to it invented."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    runs = range(max(1, run - RUNS_LISTED_MAX + 1), run + 1)
    ccer = _write(
        directory / f"ccer-{run:06d}.csv",
        CCER_COLUMNS,
        [_ccer_row(record) for record in sources.ccer],
        [_invented_application(Cast(number)) for number in runs],
    )
    gec = _write(
        directory / f"gec-{run:06d}.csv",
        GEC_COLUMNS,
        [_plant_row(plant) for plant in sources.plants],
        [row for number in runs for row in _invented_certificates(Cast(number))],
    )
    return ccer, gec


def _write(path: Path, columns: tuple[str, ...], real: list[Row], invented: list[Row]) -> Built:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_plain([*real, *invented]))
    return Built(path, len(real), len(invented))


def _plain(rows: Iterable[Row]) -> Iterator[Row]:
    """Give rows without line ends in their cells."""
    for row in rows:
        yield {name: " ".join(str(value).split()) for name, value in row.items()}


def _ccer_row(record: dict[str, Any]) -> Row:
    names = record.get("project_names_en") or []
    title = record.get("project_name") or (", ".join(names) if isinstance(names, list) else str(names))
    kind = record.get("asset_kind") or ""
    certified = record.get("certified_t_co2e")
    return {
        "reference": record.get("apply_id") or record["record_id"],
        "project_name": title or record["record_id"],
        "owner_name": record.get("owner") or "",
        "object": _OBJECTS.get(record.get("object") or "", "project"),
        "stage": _STAGES.get(record.get("stage") or "", "registered"),
        "attribute": "CARBON_STOCK" if kind in _SINKS else "RE_GEN",
        "methodology": record.get("methodology_implied_by_type") or "",
        "province_code": record.get("province_code") or "",
        "asset_kind": kind,
        "certified_t_co2e": "" if certified is None else str(certified),
        "invented": "false",
    }


def _invented_application(cast: Cast) -> Row:
    plant = cast.applied_elsewhere
    return {
        "reference": f"XUGOU-CCER-{cast.run:06d}",
        "project_name": plant.name,
        "owner_name": plant.owner,
        "owner_uscc": plant.uscc,
        "filing_code": plant.filing_code,
        "object": "project",
        "stage": "notice",
        "attribute": "RE_GEN",
        "crediting_start": "2026-01-01",
        "crediting_end": "2036-01-01",
        "province_code": "440000",
        "asset_kind": "distributed_pv",
        "invented": "true",
    }


def _plant_row(plant: Row) -> Row:
    capacity_kw = parse_decimal(plant.get("capacity_mw") or "0", 3, field="capacity_mw")
    return {
        "reference": f"XUGOU-GEC-{plant['plant_id']}",
        "plant_id": plant["plant_id"],
        "plant_name": f"{plant['name']}{CERTIFICATES_INVENTED}",
        "owner_name": plant.get("owner") or "",
        "period_start": "2026-01-01",
        "period_end": "2026-02-01",
        "certificates": str(capacity_kw * CERTIFICATES_PER_MW // 1000),
        "state": "ISSUED",
        # 存量常规水电: certificates of conventional hydropower are issued and not tradable.
        "tradable": "false" if plant["fuel"] == "Hydro" else "true",
        "self_use": "false",
        "province_code": plant.get("province_code") or "",
        "asset_kind": plant["fuel"].lower(),
        "invented": "true",
    }


def _invented_certificates(cast: Cast) -> list[Row]:
    sold, unsold = cast.certificates_sold, cast.offshore_wind
    return [
        *_months(cast, sold, "GEC", "TRANSFERRED", "310000", "distributed_pv"),
        *_months(cast, unsold, "WIND", "ISSUED", "440000", "offshore_wind"),
    ]


def _months(cast: Cast, plant: Plant, name: str, state: str, province: str, kind: str) -> list[Row]:
    return [
        {
            "reference": f"XUGOU-{name}-{cast.run:06d}-{month}",
            "filing_code": plant.filing_code,
            "plant_name": plant.name,
            "owner_name": plant.owner,
            "owner_uscc": plant.uscc,
            "period_start": start,
            "period_end": end,
            "certificates": str(CERTIFICATES_MWH),
            "state": state,
            "tradable": "true",
            "self_use": "false",
            "province_code": province,
            "asset_kind": kind,
            "invented": "true",
        }
        for month, start, end in (("01", "2026-01-01", "2026-02-01"), ("02", "2026-02-01", "2026-03-01"))
    ]
