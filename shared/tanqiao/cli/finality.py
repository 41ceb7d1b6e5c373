"""How a region stands, as `tanqiao status` shows it: what is not final yet (PROTOCOL R10), and its alarms."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.cli.session import Session
from tanqiao.kernel.errors import DomainError

ASK_SECONDS: Final = 5.0


class Standing(NamedTuple):
    """What a region says of itself.

    Attributes:
        finality: quorum, cosigned_size (leaves), transfers_pending, pending_kg, oldest_pending_seconds,
            lag_p50_ms and lag_p99_ms (decision to finality of the last that became final).
        alarms: what needs a person since the node started, by reason: reason, count, last_at, sentence.
    """

    finality: dict[str, int]
    alarms: list[dict[str, Any]]


def standing_of(session: Session, code: str) -> Standing | None:
    """Ask a region; None where it does not answer in time."""
    node = session.reader().region(code).node
    try:
        status = node.GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=ASK_SECONDS)
    except DomainError:
        return None
    finality = status.finality
    return Standing(
        {field.name: int(getattr(finality, field.name)) for field in finality.DESCRIPTOR.fields},
        [
            {
                "reason": one.refusal.reason,
                "count": int(one.count),
                "last_at": one.last_at.ToJsonString(),
                "sentence": one.refusal.sentence_en,
            }
            for one in status.alarms
        ],
    )


def standing_shown(standing: Standing | None) -> str:
    """Say it in a cell of a table; a dash where there is nothing to say."""
    if standing is None:
        return "–"
    alarms = "".join(f" ⚠ {one['reason']} ×{one['count']}" for one in standing.alarms)
    return f"{_finality_shown(standing.finality)}{alarms}"


def _finality_shown(finality: dict[str, int]) -> str:
    if not finality["quorum"]:
        return "–"
    lag = f"p50 {finality['lag_p50_ms']} ms, p99 {finality['lag_p99_ms']} ms"
    if not finality["transfers_pending"]:
        return f"0 ({lag})"
    return f"{finality['transfers_pending']}, {finality['oldest_pending_seconds']} s ({lag})"
