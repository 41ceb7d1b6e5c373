"""How `tanqiao status` shows what a region says of itself."""

from __future__ import annotations

from tanqiao.cli.finality import Standing, standing_shown

FINAL = {
    "quorum": 2,
    "transfers_pending": 0,
    "oldest_pending_seconds": 0,
    "lag_p50_ms": 300,
    "lag_p99_ms": 900,
}


def test_what_waits_and_every_alarm_stand_in_the_cell() -> None:
    alarms = [{"reason": "PROOF_INVALID", "count": 3}, {"reason": "WISHES_EXCEEDED", "count": 1}]
    assert standing_shown(None) == "–"
    assert standing_shown(Standing({"quorum": 0}, [])) == "–"
    assert standing_shown(Standing(FINAL, [])) == "0 (p50 300 ms, p99 900 ms)"
    shown = standing_shown(Standing({**FINAL, "transfers_pending": 4, "oldest_pending_seconds": 70}, alarms))
    assert shown == "4, 70 s (p50 300 ms, p99 900 ms) ⚠ PROOF_INVALID ×3 ⚠ WISHES_EXCEEDED ×1"
