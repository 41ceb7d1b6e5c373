"""Candidate search over two large lists of invented plants (虚构): seconds, and the peak of its memory."""

from __future__ import annotations

import csv
import random
import resource
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Final

from tests.bench.results import Result

SECONDS_WANTED: Final = 300
MEMORY_WANTED_GB: Final = 4
SEARCH_SECONDS_MAX: Final = 3_600
SEED: Final = 20_260_301
HEADER: Final = ("name", "capacity_mw", "lat", "lon", "province_code")
_SYLLABLES: Final = tuple(
    first + last
    for first in ("b", "ch", "d", "f", "g", "h", "j", "l", "m", "n", "q", "sh", "t", "w", "x", "y", "zh")
    for last in ("a", "ai", "an", "ang", "e", "en", "eng", "i", "ian", "ing", "ong", "u", "ui", "un", "uo")
)
_KINDS: Final = (
    ("Wind Farm", "wind"),
    ("Hydropower Station", "hydro"),
    ("Solar PV Plant", "solar"),
    ("Biomass Power", "biomass"),
)
_PROVINCES: Final = tuple(
    f"{code}0000" for code in (11, 13, 14, 15, 21, 23, 31, 32, 33, 35, 37, 42, 44, 45, 50, 51, 53, 62, 65)
)
_PHASES: Final = ("", "", "", " Phase I", " Phase II", " II", " III")


def write_lists(folder: Path, records: int) -> tuple[Path, Path]:
    """Write both lists: half of the plants are in both, written otherwise in the second."""
    chance = random.Random(SEED)
    left, right = folder / "left.csv", folder / "right.csv"
    plants = [_plant(chance) for _ in range(records + records // 2)]
    _write(
        left, "plant_id", "fuel", ((f"L{number}", *plant) for number, plant in enumerate(plants[:records]))
    )
    second = [_otherwise(plant, chance) for plant in plants[records // 2 :]]
    chance.shuffle(second)
    _write(right, "cdm_ref", "type", ((f"R{number}", *plant) for number, plant in enumerate(second)))
    return left, right


Plant = tuple[str, str, str, str, str, str]


def _plant(chance: random.Random) -> Plant:
    county = "".join(chance.choices(_SYLLABLES, k=2)).capitalize()
    place = "".join(chance.choices(_SYLLABLES, k=chance.choice((2, 2, 3)))).capitalize()
    words, kind = chance.choice(_KINDS)
    capacity = chance.choice((0.8, 1.6, 6.4, 12, 24, 30, 49.5, 49.5, 50, 100, 150, 300))
    position = (f"{chance.uniform(21, 48):.4f}", f"{chance.uniform(80, 125):.4f}")
    name = f"{county} {place}{chance.choice(_PHASES)} {words}"
    return name, kind, f"{capacity}", *position, chance.choice(_PROVINCES)


def _otherwise(plant: Plant, chance: random.Random) -> Plant:
    """Write a plant as another list would: words around the name, rounding, another position or none."""
    name, kind, capacity, latitude, longitude, province = plant
    other = f"{capacity} MW {name} Project" if chance.random() < 0.5 else f"{name} in China"
    if chance.random() < 0.3:
        return other, kind, f"{int(float(capacity))}", "", "", province
    return (
        other,
        kind,
        capacity,
        f"{float(latitude) + chance.uniform(-0.01, 0.01):.4f}",
        f"{float(longitude) + chance.uniform(-0.01, 0.01):.4f}",
        province,
    )


def _write(path: Path, key: str, technology: str, rows: object) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((key, HEADER[0], technology, *HEADER[1:]))
        writer.writerows(rows)  # type: ignore[arg-type]  # of texts


def measure(folder: Path, records: int) -> list[Result]:
    """Search one list against the other as a command does; seconds, and the peak of its memory.

    Raises:
        RuntimeError: the search failed.
    """
    left, right = write_lists(folder, records)
    mapping = resources.files("tanqiao.matching") / "mappings" / "plants_cdm.toml"
    out = folder / "pairs.csv"
    program = str(Path(sys.executable).with_name("tanqiao"))
    command = [program, "claims", "screen", "--left", str(left), "--right", str(right)]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--mapping", str(mapping), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=SEARCH_SECONDS_MAX,
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"the search failed: {done.stderr.strip().splitlines()[-1:]}")
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    with out.open(encoding="utf-8") as file:
        found = sum(1 for _ in file) - 1
    title = f"candidate search, {records:,} × {records:,} records"
    wanted = f"wanted: {SECONDS_WANTED} s within {MEMORY_WANTED_GB} GB"
    note = f"{found:,} candidates; half of the plants are in both lists; {wanted}"
    return [
        Result("search", title, "", "s", (seconds,), note=note),
        Result("search", f"{title}: most memory", "", "GiB", (peak_gb,), note="of any process of the bench"),
    ]
