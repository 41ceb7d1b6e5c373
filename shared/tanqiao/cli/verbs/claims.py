"""`tanqiao claims`: is this reduction claimed twice?"""

from __future__ import annotations

from typing import Final

import click

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.cli.claims_conflicts import COMMANDS
from tanqiao.cli.claims_find import find_command, show_command
from tanqiao.cli.claims_judge import judge_command
from tanqiao.cli.claims_nominate import nominate_command
from tanqiao.cli.claims_overlaps import overlaps_command
from tanqiao.cli.claims_screen import screen_command
from tanqiao.cli.output import EXIT_REFUSED, message_fields
from tanqiao.cli.parse import date_text, parse_period, parse_references, period_text
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb

PROGRAMMES: Final = {
    name.removeprefix("PROGRAMME_").lower(): name for name, number in claims_pb2.Programme.items() if number
}
ATTRIBUTES: Final = {
    name.removeprefix("ATTRIBUTE_").lower(): name for name, number in claims_pb2.Attribute.items() if number
}
PAGE_SIZE: Final = 200
QUESTION_ID: Final = "question"
"""What a claim is called that is only asked about; the ids of declared claims begin with a region's code."""


@click.group()
def claims() -> None:
    """The national claim index: one reduction, one claim."""


@claims.command("check", cls=Verb)
@click.option(
    "--ref",
    "references",
    multiple=True,
    required=True,
    help="scheme=value, for instance gec_filing_code=…, meter=…; repeatable.",
)
@click.option("--programme", type=click.Choice(sorted(PROGRAMMES)), required=True, help="Who would claim.")
@click.option(
    "--attribute",
    type=click.Choice(sorted(ATTRIBUTES)),
    default="re_gen",
    show_default=True,
    help="What is claimed of the asset.",
)
@click.option("--period", required=True, help="2026-01 or 2026-01-01..2027-01-01")
@click.option("--kind", default="", help="What the asset is, in the words of the claim index.")
@click.option("--region", default="", help="Region that would claim: 310000 …")
@click.option("--commitment/--no-commitment", default=True, help="Promise not to take part elsewhere.")
@click.pass_obj
def check(
    session: Session,
    references: tuple[str, ...],
    programme: str,
    attribute: str,
    period: str,
    kind: str,
    region: str,
    commitment: bool,
) -> None:
    """Ask whether a claim would collide; declares nothing. Exits with 1 unless the verdict is ALLOW."""
    from tanqiao.cli.session import require_region

    question = claims_pb2.Claim(
        claim_id=QUESTION_ID,
        object=claims_pb2.CLAIM_OBJECT_PROJECT,
        asset=claims_pb2.Asset(references=parse_references(references), kind=kind),
        attribute=claims_pb2.Attribute.Value(ATTRIBUTES[attribute]),
        period=parse_period(period),
        grain=claims_pb2.GRAIN_DAY,
        programme=claims_pb2.Programme.Value(PROGRAMMES[programme]),
        region=require_region(region).party if region else "",
        no_duplicate_commitment=commitment,
    )
    answer = session.bridge.claims.CheckClaim(claims_pb2.CheckClaimRequest(claim=question))
    show_verdict(session, answer.verdict)
    if answer.verdict.verdict != claims_pb2.VERDICT_KIND_ALLOW:
        raise click.exceptions.Exit(EXIT_REFUSED)


def show_verdict(session: Session, verdict: claims_pb2.Verdict) -> None:
    """Print a verdict: what, at which level, by which article, against whom."""
    colliding = [
        f"{one.claim_id} ({_programme(one.programme)} {one.reference})" for one in verdict.colliding_claims
    ]
    session.output.message(
        verdict,
        {
            "结论 verdict": claims_pb2.VerdictKind.Name(verdict.verdict).removeprefix("VERDICT_KIND_"),
            "层级 level": verdict.level or "–",
            "条款 article": verdict.article or "–",
            "冲突 colliding": "\n".join(colliding) or "–",
            "说明 sentence": verdict.refusal.sentence_zh or "–",
            "": verdict.refusal.sentence_en or "–",
            "已查询 registries": ", ".join(
                f"{one.registry} {'✓ 截至 as of ' + date_text(one.as_of_date) if one.answered else '✗'}"
                for one in verdict.registries
            ),
            "矩阵 matrix": verdict.matrix_version,
        },
    )


def _programme(number: claims_pb2.Programme.ValueType) -> str:
    return claims_pb2.Programme.Name(number).removeprefix("PROGRAMME_")


@claims.command("list", cls=Verb)
@click.option("--region", default="", help="Only claims of this region.")
@click.option("--ref", "references", multiple=True, help="Only claims on this asset: scheme=value.")
@click.pass_obj
def list_claims(session: Session, region: str, references: tuple[str, ...]) -> None:
    """List a page of the claim index."""
    from tanqiao.cli.session import require_region

    request = claims_pb2.ListClaimsRequest(
        region=require_region(region).party if region else "", page_size=PAGE_SIZE
    )
    for reference in parse_references(references[:1]):
        request.reference.CopyFrom(reference)
    answer = session.bridge.claims.ListClaims(request)
    session.output.rows(
        ("声明 claim", "机制 programme", "地区 region", "状态 status", "期间 period", "资产 asset"),
        [
            (
                claim.claim_id,
                _programme(claim.programme),
                claim.region or "–",
                claims_pb2.ClaimStatus.Name(claim.status).removeprefix("CLAIM_STATUS_"),
                period_text(claim.period),
                claim.asset.name or ", ".join(one.value for one in claim.asset.references),
            )
            for claim in answer.claims
        ],
        json_value=message_fields(answer),
    )


for command in COMMANDS:
    claims.add_command(command)
claims.add_command(find_command)
claims.add_command(show_command)
claims.add_command(judge_command)
claims.add_command(nominate_command)
claims.add_command(screen_command)
claims.add_command(overlaps_command)
