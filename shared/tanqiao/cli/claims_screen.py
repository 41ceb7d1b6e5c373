"""`tanqiao claims screen`: which rows of two lists may be one asset though no id connects them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from tanqiao.matching.screening import Candidate

EXIT_UNREADABLE: Final = 2
HEADER: Final = ("left_id", "right_id", "probability")
DIGITS: Final = 6
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command("screen")
@click.option("--left", type=_FILE, required=True, help="First list, CSV with a header row.")
@click.option("--right", type=_FILE, required=True, help="Second list, CSV with a header row.")
@click.option(
    "--mapping", type=_FILE, required=True, help="TOML: which column of each list holds which feature."
)
@click.option("--out", type=_FILE, required=True, help="CSV to write: left_id, right_id, probability.")
@click.option(
    "--min-probability",
    type=click.FloatRange(0.0, 1.0),
    help="Candidates from this probability on, instead of the shipped threshold.",
)
@click.option(
    "--explain", is_flag=True, help="Say for each candidate what each feature added (log2 of the odds)."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a candidate, with its explanation."
)
def screen_command(
    left: Path,
    right: Path,
    mapping: Path,
    out: Path,
    min_probability: float | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Nominate pairs of rows that may be one asset; a candidate is for a person to review and blocks nothing.

    Exits with 2 where a file cannot be read; OUT is then not written. Progress goes to standard error.
    """
    from tanqiao.matching.model import shipped_parameters
    from tanqiao.matching.records import ScreeningError, read_mapping, read_records
    from tanqiao.matching.screening import screen

    try:
        description = read_mapping(mapping)
        sides = []
        for path, side in ((left, description.left), (right, description.right)):
            _progress(f"reading {path}")
            records = read_records(path, side)
            for warning in records.warnings:
                _progress(warning)
            if records.warnings_count > len(records.warnings):
                _progress(f"{path}: {records.warnings_count - len(records.warnings)} more warnings")
            sides.append(records.rows)
        parameters = shipped_parameters()
        found = screen(
            sides[0],
            sides[1],
            parameters,
            assign_one_to_one=description.one_to_one,
            probability_min=min_probability,
            progress=_progress,
        )
        _write(out, found)
    except ScreeningError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(EXIT_UNREADABLE) from error
    except OSError as error:
        click.echo(f"{out}: {error.strerror or 'cannot be written'}", err=True)
        raise click.exceptions.Exit(EXIT_UNREADABLE) from error
    for candidate in found:
        if as_json:
            click.echo(json.dumps(_fields(candidate), ensure_ascii=False))
        elif explain:
            click.echo(_line(candidate))
    _progress(f"{len(found)} candidates in {out}")


def _progress(sentence: str) -> None:
    click.echo(sentence, err=True)


def _write(out: Path, found: list[Candidate]) -> None:
    """Write the whole file or none of it."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for one in found:
                writer.writerow((one.left_id, one.right_id, f"{one.probability:.{DIGITS}f}"))
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _fields(one: Candidate) -> dict[str, Any]:
    return {
        "left_id": one.left_id,
        "right_id": one.right_id,
        "probability": round(one.probability, DIGITS),
        "explanation": [
            {"feature": part.feature, "level": part.level, "weight": round(part.weight, 2)}
            for part in one.explanation
        ],
    }


def _line(one: Candidate) -> str:
    parts = "; ".join(f"{part.feature} {part.weight:+.1f} ({part.level})" for part in one.explanation)
    return f"{one.left_id} {one.right_id} {one.probability:.{DIGITS}f}: {parts}"
