"""What the bridge remembers of decisions: bounded, and never what is closed; a receipt costs no look-up."""

from __future__ import annotations

import pytest

from tanqiao.protocol.types import DecisionRecord, Kind, Outcome, TransferKey
from tanqiao_bridge.application import memory
from tanqiao_bridge.application.memory import RecentDecisions


def record_of(number: int, source_final: bytes = b"", destination_final: bytes = b"") -> DecisionRecord:
    return DecisionRecord(
        TransferKey("region/310000", number.to_bytes(16, "big")),
        Kind.TRANSFER,
        "region/440300",
        Outcome.COMMIT,
        b"l" * 32,
        b"r" * 32,
        b"d" * 32,
        number,
        b"r" * 32,
        source_final,
        destination_final,
    )


def test_a_decision_is_remembered_until_both_receipts_are_in() -> None:
    recent = RecentDecisions()
    made = record_of(1)
    recent.note({made.key: made})
    assert recent.get(made.key) == made
    half = record_of(1, b"s" * 32)
    recent.note({half.key: half})
    assert recent.get(half.key) == half
    closed = record_of(1, b"s" * 32, b"t" * 32)
    recent.note({closed.key: closed})
    assert recent.get(closed.key) is None
    assert len(recent) == 0


def test_the_oldest_is_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RECENT_DECISIONS_MAX", 2)
    recent = RecentDecisions()
    records = [record_of(number) for number in range(3)]
    for one in records:
        recent.note({one.key: one})
    assert [recent.get(one.key) for one in records] == [None, *records[1:]]
