"""How far what was decided is final at a region (PROTOCOL R10), as `tanqiao status` shows it."""

from __future__ import annotations

from typing import Final

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.cli.session import Session
from tanqiao.kernel.errors import DomainError

ASK_SECONDS: Final = 5.0


def finality_of(session: Session, code: str) -> dict[str, int] | None:
    """Ask a region; None where it does not answer in time.

    Returns:
        quorum, cosigned_size (leaves), transfers_pending, pending_kg, oldest_pending_seconds, lag_p50_ms and
        lag_p99_ms (decision to finality of the last that became final).
    """
    node = session.reader().region(code).node
    try:
        status = node.GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=ASK_SECONDS)
    except DomainError:
        return None
    finality = status.finality
    return {field.name: int(getattr(finality, field.name)) for field in finality.DESCRIPTOR.fields}


def finality_shown(finality: dict[str, int] | None) -> str:
    """Say it in a cell of a table; a dash where there is nothing to say."""
    if finality is None or not finality["quorum"]:
        return "–"
    lag = f"p50 {finality['lag_p50_ms']} ms, p99 {finality['lag_p99_ms']} ms"
    if not finality["transfers_pending"]:
        return f"0 ({lag})"
    return f"{finality['transfers_pending']}, {finality['oldest_pending_seconds']} s ({lag})"
