"""`tanqiao claims nominate`: an office brings pairs of `claims screen` to the bridge, a case for each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.bridge import CLOCK_OPERATOR
from tanqiao.kernel.errors import DomainError

PAIRS_PER_CALL: Final = 100
PAIRS_MAX: Final = 100_000
MILLION: Final = 1_000_000
_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("nominate", cls=Verb)
@click.argument("pairs", type=_FILE)
@click.option("--left", type=_FILE, required=True, help="First list of the screening, CSV.")
@click.option("--right", type=_FILE, required=True, help="Second list of the screening, CSV.")
@click.option("--mapping", type=_FILE, required=True, help="TOML of the screening: columns of both lists.")
@click.option("--left-scheme", required=True, help="What the ids of the first list are: gec_filing_code …")
@click.option("--right-scheme", required=True, help="What the ids of the second list are: cdm …")
@click.option("--as", "party", default=CLOCK_OPERATOR, show_default=True, help="Office that nominates.")
@click.pass_obj
def nominate_command(
    session: Session,
    pairs: Path,
    left: Path,
    right: Path,
    mapping: Path,
    left_scheme: str,
    right_scheme: str,
    party: str,
) -> None:
    """Open a case for each pair in PAIRS, the lines of `claims screen --json`, with both rows as evidence.

    Nothing is joined: approvers of two bodies decide with `cases alias`. A pair that was decided opens none.
    """
    from tanqiao.matching.records import read_mapping

    description = read_mapping(mapping)
    found = list(_lines(pairs))
    rows = (
        _rows_of(left, description.left.id, {one["left_id"] for one in found}),
        _rows_of(right, description.right.id, {one["right_id"] for one in found}),
    )
    nominated = [
        cases_pb2.NominatedPair(
            first=claims_pb2.AssetReference(scheme=left_scheme, value=one["left_id"]),
            second=claims_pb2.AssetReference(scheme=right_scheme, value=one["right_id"]),
            probability_ppm=max(1, round(one["probability"] * MILLION)),
            explanation=_explained(one),
            first_row=rows[0][one["left_id"]],
            second_row=rows[1][one["right_id"]],
        )
        for one in found
    ]
    stub = session.as_party(party).bridge.cases
    answers: list[cases_pb2.NominatedCase] = []
    for at in range(0, len(nominated), PAIRS_PER_CALL):
        part = nominated[at : at + PAIRS_PER_CALL]
        answers += stub.NominatePairs(cases_pb2.NominatePairsRequest(pairs=part)).cases
    session.output.rows(
        ("左 left", "右 right", "概率 probability", "案件 case", "已决定 decided"),
        [
            (
                one["left_id"],
                one["right_id"],
                f"{one['probability']:.6f}",
                str(answer.case_id or "–"),
                cases_pb2.AliasRelation.Name(answer.relation).removeprefix("ALIAS_RELATION_")
                if answer.relation
                else "–",
            )
            for one, answer in zip(found, answers, strict=True)
        ],
        json_value=message_fields(cases_pb2.NominatePairsResponse(cases=answers)),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Give the pairs of a screening, one JSON object a line; FIELD_INVALID names a bad line."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if number > PAIRS_MAX:
                raise DomainError("BATCH_TOO_LARGE", field="PAIRS", limit=PAIRS_MAX, count=number)
            try:
                one = json.loads(line)
                known = isinstance(one["left_id"], str) and isinstance(one["right_id"], str)
                known = known and 0 < float(one["probability"]) <= 1 and isinstance(one["explanation"], list)
            except (ValueError, KeyError, TypeError):
                known = False
            if not known:
                detail = f"line {number}: no line of `claims screen --json`"
                raise DomainError("FIELD_INVALID", field="PAIRS", detail=detail)
            yield one


def _explained(one: dict[str, Any]) -> str:
    parts = (f"{part['feature']} {part['weight']:+.1f} ({part['level']})" for part in one["explanation"])
    return "; ".join(parts) or "–"


def _rows_of(path: Path, column: str, ids: set[str]) -> dict[str, str]:
    """Give the rows of these ids as JSON; FIELD_INVALID for an id that the list does not have."""
    from tanqiao.matching.records import read_text

    rows = {
        row[column].strip(): json.dumps(
            {key: value for key, value in row.items() if value}, ensure_ascii=False
        )
        for row in csv.DictReader(io.StringIO(read_text(path), newline=""))
        if (row.get(column) or "").strip() in ids
    }
    missing = sorted(ids - rows.keys())
    if missing:
        detail = f"{path.name} has no row {missing[0]!r} in column {column!r}"
        raise DomainError("FIELD_INVALID", field="PAIRS", detail=detail)
    return rows
