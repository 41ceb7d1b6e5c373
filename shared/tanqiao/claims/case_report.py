"""What is said about a judged case: as a JSON object, in a line, and against its expectation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tanqiao.claims.cases import CaseResult
from tanqiao.claims.model import Allowed, PeriodActivity, Verdict
from tanqiao.claims.moments import format_second

SUMMARY_KEYS: Final = ("case_id", "verdict", "level", "article", "colliding_claims")
"""Keys of one JSON line of `tanqiao claims judge --json`."""


def verdict_fields(verdict: Verdict) -> dict[str, object]:
    """Give a verdict in the words of the case schema's ``expected``."""
    return {
        "verdict": verdict.verdict.value,
        "level": None if verdict.level is None else verdict.level.value,
        "article": verdict.article,
        "also_cited": list(verdict.also_cited),
        "colliding_claims": list(verdict.colliding_claims),
        "flagged_claims": list(verdict.flagged_claims),
        "other_registry_actions": [
            {
                "claim_id": order.claim_id,
                "action": order.kind.value,
                "quantity": order.quantity,
                "unit": order.unit,
            }
            for order in verdict.other_registry_orders
        ],
        "allowed": None if verdict.allowed is None else _allowed(verdict.allowed),
    }


def _allowed(allowed: Allowed) -> dict[str, object]:
    activity = allowed.activity
    return {
        "activity": {"quantity": activity.quantity, "unit": activity.unit},
        "by_period": [_period(period) for period in allowed.by_period],
    }


def _period(period: PeriodActivity) -> dict[str, object]:
    return {
        "from": format_second(period.interval.start_second),
        "to": format_second(period.interval.end_second),
        "quantity": period.quantity,
        "unit": period.unit,
    }


def summary(result: CaseResult) -> dict[str, object] | None:
    """Give the JSON line of a case, or None for one that could not be read."""
    if result.verdict is None:
        return None
    fields = {"case_id": result.case_id, **verdict_fields(result.verdict)}
    return {key: fields[key] for key in SUMMARY_KEYS}


def differences(result: CaseResult) -> dict[str, tuple[object, object]]:
    """Give, for each field that the case expects otherwise, what was expected and what came out."""
    if result.verdict is None or result.expected is None:
        return {}
    found = verdict_fields(result.verdict)
    return {
        key: (result.expected[key], found[key])
        for key in found
        if key in result.expected and result.expected[key] != found[key]
    }


def expects_another_verdict(result: CaseResult) -> bool:
    """Whether the case carries another verdict than the engine gives."""
    return "verdict" in differences(result)


def line(result: CaseResult) -> str:
    """Give the case in one line for a reader."""
    fields: Mapping[str, object] | None = summary(result)
    if fields is None or result.verdict is None:
        return f"{result.case_id}: could not be read"
    level = fields["level"] or "-"
    colliding = ", ".join(result.verdict.colliding_claims) or "-"
    return f"{result.case_id}  {fields['verdict']}  {level}  {colliding}  {fields['article']}"
