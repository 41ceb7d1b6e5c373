"""`tanqiao claims overlaps`: which parcels of two files have area in common."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tanqiao.claims.matrix import edition_in_force
from tanqiao.kernel.errors import DomainError

if TYPE_CHECKING:
    from tanqiao.matching.parcels import CommonArea, Parcel

EXIT_UNREADABLE: Final = 2
HEADER: Final = ("left_id", "right_id", "common_m2", "left_m2", "right_m2")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command("overlaps")
@click.option("--left", type=_FILE, required=True, help="First file: GeoJSON, or the .shp of a Shapefile.")
@click.option("--right", type=_FILE, required=True, help="Second file, likewise.")
@click.option("--left-id", required=True, help="Property of the first file that names a parcel.")
@click.option("--right-id", required=True, help="Property of the second file that names a parcel.")
@click.option("--out", type=_FILE, required=True, help="CSV that is written: " + ", ".join(HEADER) + ".")
@click.option(
    "--tolerance-m2",
    type=click.IntRange(0),
    help="Pairs with more common area than this many square metres, instead of the matrix's tolerance.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pair.")
def overlaps_command(
    left: Path,
    right: Path,
    left_id: str,
    right_id: str,
    out: Path,
    tolerance_m2: int | None,
    as_json: bool,
) -> None:
    """Measure what parcels of two files have in common, in degrees of CGCS2000 or WGS 84.

    Exits with 2 where a file or a feature of it cannot be used: each is named with number, column and reason,
    and OUT is not written.
    """
    from tanqiao.matching.parcels import common_areas

    if tolerance_m2 is None:
        tolerance_m2 = edition_in_force(datetime.now(UTC).date()).parameters.polygon_overlap_tolerance_m2
    first, second = _read(left, left_id), _read(right, right_id)
    found = list(common_areas(first, second, tolerance_m2))
    try:
        _write(out, found)
    except OSError as error:
        click.echo(f"{out}: {error.strerror or 'cannot be written'}", err=True)
        raise click.exceptions.Exit(EXIT_UNREADABLE) from error
    for one in found:
        click.echo(json.dumps(asdict(one), ensure_ascii=False) if as_json else _line(one))
    click.echo(f"{len(found)} pairs in {out}", err=True)


def _read(path: Path, id_column: str) -> list[Parcel]:
    from tanqiao.matching.parcels import read_parcels

    click.echo(f"reading {path}", err=True)
    try:
        found = read_parcels(path, id_column)
    except DomainError as refusal:
        click.echo(f"{path}: {refusal.symbol}: {refusal.sentence('zh')} {refusal.sentence('en')}", err=True)
        raise click.exceptions.Exit(EXIT_UNREADABLE) from refusal
    if found.faults_count:
        for fault in found.faults:
            why = f"{fault.refusal.symbol}: {fault.refusal.sentence('zh')} {fault.refusal.sentence('en')}"
            click.echo(f"{path}, feature {fault.number}, {fault.column}: {why}", err=True)
        click.echo(f"{found.faults_count} features of {path} cannot be used; nothing was written", err=True)
        raise click.exceptions.Exit(EXIT_UNREADABLE)
    return found.rows


def _write(out: Path, found: list[CommonArea]) -> None:
    """Write the whole file or none of it."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows([getattr(one, name) for name in HEADER] for one in found)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _line(one: CommonArea) -> str:
    return f"{one.left_id} {one.right_id}: {one.common_m2} m² (of {one.left_m2} and {one.right_m2})"
