"""The metrics of finality: what waits, since when, and how long it took."""

from __future__ import annotations

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import TransferKey
from tanqiao_region.application.pending import LAGS_KEPT, Lag, Pending
from tanqiao_region.storage.finality import PendingRow


def row(log_index: int, decided_at_ms: int, quantity_kg: int = 1) -> PendingRow:
    blocks = (UnitBlock("s", log_index * 10, log_index * 10 + quantity_kg),) if quantity_kg else ()
    key = TransferKey("region/310000", log_index.to_bytes(16, "big"))
    return PendingRow(key, log_index, bytes(32), "account", blocks, decided_at_ms)


def test_the_oldest_that_waits_and_its_units_are_told() -> None:
    pending = Pending(2)
    assert (pending.oldest_ms(), pending.pending_kg(), pending.lag()) == (None, 0, Lag(0, 0))
    pending.begin([row(7, 5_000, 3), row(5, 9_000, 4), row(6, 7_000, 0)])
    assert (pending.oldest_ms(), pending.pending_kg(), len(pending)) == (5_000, 7, 3)
    pending.end([7, 99], 5_250)
    assert (pending.oldest_ms(), pending.pending_kg(), pending.lag()) == (7_000, 4, Lag(250, 250))


def test_half_and_99_of_a_hundred_took_no_longer_than_is_told() -> None:
    pending = Pending(2)
    for at in range(100):
        pending.begin([row(at, 0)])
        pending.end([at], at + 1)
    assert pending.lag() == Lag(50, 99)
    # The last thousand count alone; a clock that was set back gives no negative time.
    for at in range(LAGS_KEPT):
        pending.begin([row(at, 10)])
        pending.end([at], 3)
    assert pending.lag() == Lag(0, 0)
