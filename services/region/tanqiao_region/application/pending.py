"""Which decisions of this node are not final yet (PROTOCOL R10), in memory; the table is the truth."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.api.common.v1 import values_pb2
from tanqiao.protocol.types import TransferKey
from tanqiao_region.storage.finality import PendingRow

__all__ = ["Lag", "Pending", "PendingRow"]

LAGS_KEPT: Final = 1_000
"""Of so many transfers the time from decision to finality is remembered, for p50 and p99."""


@dataclass(frozen=True, slots=True)
class Lag:
    """From when a decision took effect here to its finality here, milliseconds; zeros before the first."""

    p50_ms: int
    p99_ms: int


class Pending:
    """Which decisions of this node are not final yet, in memory; the table is the truth.

    Args:
        quorum: smallest number of witnesses that makes a decision final; 0: the network has none.
    """

    def __init__(self, quorum: int) -> None:
        self.quorum = quorum
        self._lock = threading.Lock()
        self._rows: dict[int, PendingRow] = {}
        self._lags: deque[int] = deque(maxlen=LAGS_KEPT)
        self.cosigned_size = 0
        """Largest size of the bridge's log with a quorum that this process has verified."""

    def begin(self, rows: Iterable[PendingRow]) -> None:
        """Take what the table says when the node starts, or what a commit has added."""
        with self._lock:
            self._rows.update((row.log_index, row) for row in rows)

    def end(self, log_indexes: Iterable[int], now_ms: int) -> None:
        """Note what a commit has made final."""
        with self._lock:
            for log_index in log_indexes:
                row = self._rows.pop(log_index, None)
                if row is not None:
                    self._lags.append(max(0, now_ms - row.decided_at_ms))

    def waiting(self, below: int, limit: int, without: Collection[TransferKey] = ()) -> list[PendingRow]:
        """Give rows whose leaf is below a size of the log, oldest first, without those of some transfers."""
        with self._lock:
            found = [row for index, row in self._rows.items() if index < below]
        if without:
            found = [row for row in found if row.key not in without]
        return sorted(found, key=lambda row: row.log_index)[:limit]

    def of(self, log_index: int) -> values_pb2.Finality.ValueType:
        """Say how final a decision at this index of the log is here."""
        if self.quorum == 0:
            return values_pb2.FINALITY_COMMIT
        with self._lock:
            pending = log_index in self._rows or log_index >= self.cosigned_size
        return values_pb2.FINALITY_PENDING if pending else values_pb2.FINALITY_QUORUM

    def __len__(self) -> int:
        return len(self._rows)

    def oldest_ms(self) -> int | None:
        """Give when the oldest pending decision was made, None where none is pending."""
        with self._lock:
            return min((row.decided_at_ms for row in self._rows.values()), default=None)

    def pending_kg(self) -> int:
        """Give the units credited here that are not final yet."""
        with self._lock:
            return sum(block.quantity_kg for row in self._rows.values() for block in row.blocks)

    def lag(self) -> Lag:
        """Give the lag of what became final last."""
        with self._lock:
            lags = sorted(self._lags)
        return Lag(_percentile(lags, 50), _percentile(lags, 99))


def _percentile(ordered: Sequence[int], percent: int) -> int:
    """Give the least value that so many per cent do not exceed (nearest rank); 0 of nothing."""
    rank = (len(ordered) * percent + 99) // 100
    return ordered[rank - 1] if ordered else 0
