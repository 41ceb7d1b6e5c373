"""Which claims are meant: the options of a filter of the national query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from tanqiao.api.bridge.v1 import claim_queries_pb2, claims_pb2
from tanqiao.cli.parse import parse_period, parse_references
from tanqiao.cli.session import require_region

F = TypeVar("F", bound=Callable[..., Any])


def enumeration(prefix: str, numbers: dict[str, int]) -> dict[str, int]:
    """Give the words of an enumeration of the wire with their numbers."""
    return {name.removeprefix(prefix).lower(): number for name, number in numbers.items() if number}


PROGRAMMES: Final = enumeration("PROGRAMME_", dict(claims_pb2.Programme.items()))
STATUSES: Final = enumeration("CLAIM_STATUS_", dict(claims_pb2.ClaimStatus.items()))
OPTIONS: Final = (
    click.option("--ref", "references", multiple=True, help="Claims on this asset: scheme=value."),
    click.option("--certificate", default="", help="Claims on the plant of this green certificate."),
    click.option("--project", "project_id", default="", help="Claims of this project."),
    click.option("--subject", "subject_uscc", default="", help="Claims of this credit code."),
    click.option("--series", "series_id", default="", help="Claims on which units of this series rest."),
    click.option("--region", default="", help="Claims of this region."),
    click.option("--programme", type=click.Choice(sorted(PROGRAMMES)), help="Claims of this programme."),
    click.option("--period", default="", help="Claims that meet it: 2026-01 or 2026-01-01..2027-01-01"),
)
STANDING: Final = (
    click.option("--methodology", "methodology_id", default="", help="Claims under this methodology."),
    click.option(
        "--status", "statuses", type=click.Choice(sorted(STATUSES)), multiple=True, help="Repeatable."
    ),
)


def with_standing(command: F) -> F:
    """Give a command the options of how a claim must stand."""
    for option in reversed(STANDING):
        command = option(command)
    return command


def with_filter(command: F) -> F:
    """Give a command the options of a filter, in their order."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def claim_filter(
    *,
    references: tuple[str, ...],
    certificate: str,
    project_id: str,
    subject_uscc: str,
    series_id: str,
    region: str,
    programme: str | None,
    period: str,
) -> claim_queries_pb2.ClaimFilter:
    """Read the options of `with_filter`."""
    wanted = claim_queries_pb2.ClaimFilter(
        certificate_code=certificate,
        project_id=project_id,
        subject_uscc=subject_uscc,
        series_id=series_id,
        region=require_region(region).party if region else "",
        programme=PROGRAMMES[programme] if programme else 0,  # type: ignore[arg-type]
    )
    for reference in parse_references(references[:1]):
        wanted.reference.CopyFrom(reference)
    if period:
        wanted.period.CopyFrom(parse_period(period))
    return wanted
