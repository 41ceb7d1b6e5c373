"""`tanqiao claims find` and `show`: the national query, and a table of what it finds (CLAIMS section 7)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from tanqiao.api.bridge.v1 import claim_queries_pb2, claims_pb2
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import parse_period, parse_references, period_text
from tanqiao.cli.session import Session, require_region
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError

PAGE_SIZE: Final = 500
ROWS_MAX: Final = 1_000_000
"""Most rows of one export; narrow the filter beyond."""
COLUMNS: Final = (
    "claim_id",
    "programme",
    "region",
    "status",
    "object",
    "project_id",
    "attribute",
    "start_date",
    "end_date",
    "references",
    "subject_uscc",
    "methodology_id",
    "activity_quantity",
    "activity_unit",
    "quantity_kg",
    "declared_index",
    "status_index",
    "as_of_index",
)
WHOLE_NUMBERS: Final = frozenset(
    {"activity_quantity", "quantity_kg", "declared_index", "status_index", "as_of_index"}
)
FORMATS: Final = (".csv", ".json", ".parquet")
Row = dict[str, str | int]


def _enumeration(prefix: str, numbers: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix(prefix).lower(): number for name, number in numbers.items() if number}


PROGRAMMES: Final = _enumeration("PROGRAMME_", dict(claims_pb2.Programme.items()))
STATUSES: Final = _enumeration("CLAIM_STATUS_", dict(claims_pb2.ClaimStatus.items()))


@click.command("find", cls=Verb)
@click.option("--ref", "references", multiple=True, help="Claims on this asset: scheme=value.")
@click.option("--certificate", default="", help="Claims on the plant of a green certificate: 32 characters.")
@click.option("--project", "project_id", default="", help="Claims of this project.")
@click.option("--subject", "subject_uscc", default="", help="Claims of this credit code.")
@click.option("--series", "series_id", default="", help="Claims on which units of this series rest.")
@click.option("--region", default="", help="Claims of this region.")
@click.option("--programme", type=click.Choice(sorted(PROGRAMMES)), help="Claims of this programme.")
@click.option("--methodology", "methodology_id", default="", help="Claims under this methodology.")
@click.option("--period", default="", help="Claims that meet it: 2026-01 or 2026-01-01..2027-01-01")
@click.option("--status", "statuses", type=click.Choice(sorted(STATUSES)), multiple=True, help="Repeatable.")
@click.option("--as-of", "as_of_index", type=click.IntRange(min=0), default=0, help="As of this log index.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all to FILE: .csv .json .parquet"
)
@click.pass_obj
def find_command(  # noqa: PLR0913, PLR0917 - an option each
    session: Session,
    references: tuple[str, ...],
    certificate: str,
    project_id: str,
    subject_uscc: str,
    series_id: str,
    region: str,
    programme: str | None,
    methodology_id: str,
    period: str,
    statuses: tuple[str, ...],
    as_of_index: int,
    out: Path | None,
) -> None:
    """Find claims: who claims this asset, project, period, certificate, now or as of an earlier index."""
    if out is not None and out.suffix not in FORMATS:
        raise DomainError("FIELD_INVALID", field="--out", detail=", ".join(FORMATS))
    wanted = claim_queries_pb2.ClaimFilter(
        certificate_code=certificate,
        project_id=project_id,
        subject_uscc=subject_uscc,
        series_id=series_id,
        region=require_region(region).party if region else "",
        programme=PROGRAMMES[programme] if programme else 0,  # type: ignore[arg-type]
        methodology_id=methodology_id,
        statuses=[STATUSES[status] for status in statuses],  # type: ignore[misc]
    )
    for reference in parse_references(references[:1]):
        wanted.reference.CopyFrom(reference)
    if period:
        wanted.period.CopyFrom(parse_period(period))
    lists = _pages(session, wanted, as_of_index)
    if out is None:
        _show(session, next(lists))
        return
    rows = [row for page in lists for row in _rows(page)]
    write_table(out, rows)
    session.output.answer({"文件 file": str(out), "条数 rows": str(len(rows))})


def _pages(
    session: Session, wanted: claim_queries_pb2.ClaimFilter, as_of_index: int
) -> Iterator[claim_queries_pb2.ClaimList]:
    """Give page after page, all as of the index of the first."""
    token, count = "", 0
    while True:
        answer = session.bridge.claim_queries.SearchClaims(
            claim_queries_pb2.SearchClaimsRequest(
                filter=wanted, as_of_index=as_of_index, page_size=PAGE_SIZE, page_token=token
            )
        ).list
        yield answer
        count += len(answer.entries)
        token, as_of_index = answer.next_page_token, answer.as_of_index
        if not token:
            return
        if count >= ROWS_MAX:
            raise DomainError("BATCH_TOO_LARGE", limit=ROWS_MAX, count=count)


def _rows(page: claim_queries_pb2.ClaimList) -> Iterator[Row]:
    for entry in page.entries:
        claim = entry.claim
        start, end = period_text(claim.period).split("..")
        yield {
            "claim_id": claim.claim_id,
            "programme": claims_pb2.Programme.Name(claim.programme).removeprefix("PROGRAMME_"),
            "region": claim.region,
            "status": claims_pb2.ClaimStatus.Name(claim.status).removeprefix("CLAIM_STATUS_"),
            "object": claims_pb2.ClaimObject.Name(claim.object).removeprefix("CLAIM_OBJECT_"),
            "project_id": claim.project_id,
            "attribute": claims_pb2.Attribute.Name(claim.attribute).removeprefix("ATTRIBUTE_"),
            "start_date": start,
            "end_date": end,
            "references": " ".join(f"{one.scheme}={one.value}" for one in claim.asset.references),
            "subject_uscc": claim.subject_uscc,
            "methodology_id": claim.methodology_id,
            "activity_quantity": claim.activity_quantity,
            "activity_unit": claim.activity_unit,
            "quantity_kg": claim.quantity_kg,
            "declared_index": entry.declared_index,
            "status_index": entry.status_index,
            "as_of_index": page.as_of_index,
        }


def write_table(path: Path, rows: list[Row]) -> None:
    """Write rows as CSV (UTF-8 with a byte order mark, as spreadsheets want it), JSON or Parquet."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        _write_parquet(path, rows)


def _write_parquet(path: Path, rows: list[Row]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DomainError(
            "FIELD_INVALID", field="--out", detail="Parquet needs: pip install 'tanqiao[matching]'"
        ) from error
    schema = pa.schema([(name, pa.int64() if name in WHOLE_NUMBERS else pa.string()) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _show(session: Session, page: claim_queries_pb2.ClaimList) -> None:
    session.output.rows(
        ("声明 claim", "项目 programme", "地区 region", "状态 status", "期间 period", "资产 asset"),
        [
            (
                str(row["claim_id"]),
                str(row["programme"]),
                str(row["region"]) or "–",
                str(row["status"]),
                f"{row['start_date']}..{row['end_date']}",
                str(row["references"]),
            )
            for row in _rows(page)
        ],
        json_value=message_fields(page),
    )


@click.command("show", cls=Verb)
@click.argument("claim_id")
@click.pass_obj
def show_command(session: Session, claim_id: str) -> None:
    """Show every step of one claim, the units that rest on it and the cases that name it."""
    answer = session.bridge.claim_queries.GetClaimHistory(
        claim_queries_pb2.GetClaimHistoryRequest(claim_id=claim_id)
    )
    session.output.message(
        answer,
        {
            "声明 claim": answer.claim.claim_id,
            "地区 region": answer.claim.region or "–",
            "期间 period": period_text(answer.claim.period),
            "经过 history": "\n".join(
                f"{step.log_index} {claims_pb2.ClaimStatus.Name(step.status).removeprefix('CLAIM_STATUS_')} "
                f"{step.bridge_reason}".rstrip()
                for step in answer.steps
            ),
            "减排量 units": "\n".join(
                f"{one.series_id}[{one.start_serial},{one.end_serial})" for one in answer.issued_blocks
            )
            or "–",
            "案件 cases": ", ".join(map(str, answer.case_ids)) or "–",
        },
    )
