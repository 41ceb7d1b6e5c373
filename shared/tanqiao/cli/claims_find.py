"""`tanqiao claims find` and `show`: the national query, and a table of what it finds (CLAIMS section 7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from tanqiao.api.bridge.v1 import claim_queries_pb2, claims_pb2
from tanqiao.cli.claims_filter import STATUSES, claim_filter, with_filter, with_standing
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import period_text
from tanqiao.cli.session import Session
from tanqiao.cli.signed_answers import SignedAnswers, with_signed
from tanqiao.cli.tables import Row, require_format, write_rows
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


@click.command("find", cls=Verb)
@with_filter
@with_standing
@click.option("--as-of", "as_of_index", type=click.IntRange(min=0), default=0, help="As of this log index.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all to FILE: .csv .json .parquet"
)
@with_signed
@click.pass_obj
def find_command(
    session: Session,
    /,
    methodology_id: str,
    statuses: tuple[str, ...],
    as_of_index: int,
    out: Path | None,
    signed: Path | None,
    **chosen: Any,  # noqa: ANN401 - the options of the filter
) -> None:
    """Find claims: who claims this asset, project, period, certificate, now or as of an earlier index.

    Whose a claim is and how much it claims is shown to the national office, and to a region of its own.
    """
    require_format(out)
    wanted = claim_filter(**chosen)
    wanted.methodology_id = methodology_id
    wanted.statuses.extend(STATUSES[status] for status in statuses)  # type: ignore[misc]
    with SignedAnswers(signed) as answers:
        lists = _pages(session, wanted, as_of_index, answers)
        if out is None:
            _show(session, next(lists))
            return
        rows = [row for page in lists for row in _rows(page)]
    write_table(out, rows)
    session.output.answer({"文件 file": str(out), "条数 rows": str(len(rows))})


def _pages(
    session: Session, wanted: claim_queries_pb2.ClaimFilter, as_of_index: int, answers: SignedAnswers
) -> Iterator[claim_queries_pb2.ClaimList]:
    """Give page after page, all as of the index of the first."""
    token, count = "", 0
    while True:
        response = session.bridge.claim_queries.SearchClaims(
            claim_queries_pb2.SearchClaimsRequest(
                filter=wanted, as_of_index=as_of_index, page_size=PAGE_SIZE, page_token=token
            )
        )
        answers.keep(response.envelope)
        answer = response.list
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
    """Write what was found as the name of the file says."""
    write_rows(path, rows, COLUMNS, WHOLE_NUMBERS)


def _show(session: Session, page: claim_queries_pb2.ClaimList) -> None:
    session.output.rows(
        ("声明 claim", "机制 programme", "地区 region", "状态 status", "期间 period", "资产 asset"),
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
@with_signed
@click.pass_obj
def show_command(session: Session, claim_id: str, signed: Path | None) -> None:
    """Show every step of one claim, the units that rest on it and the cases that name it."""
    answer = session.bridge.claim_queries.GetClaimHistory(
        claim_queries_pb2.GetClaimHistoryRequest(claim_id=claim_id)
    )
    with SignedAnswers(signed) as answers:
        answers.keep(answer.envelope)
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
