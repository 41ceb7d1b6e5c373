"""Who has forgotten something, and what may be decided while a bridge recovers."""

from __future__ import annotations

import pytest

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.recovery import (
    FIRST_EPOCH,
    EpochStart,
    RecoveringBridge,
    RegionMarks,
    has_forgotten,
    is_superseded,
    next_life,
)
from tanqiao.protocol.types import ZERO_HASH, DecisionFacts, Outcome, TransferKey

OWN = RegionMarks(2, 10, 100, 50)


@pytest.mark.parametrize(
    ("seen", "forgotten"),
    [
        (RegionMarks(2, 10, 100, 50), False),
        (RegionMarks(2, 9, 90, 40), False),
        (RegionMarks(1, 99, 999, 999), False),
        (RegionMarks(3, 0), True),
        (RegionMarks(2, 11), True),
        (RegionMarks(2, 0, 101), True),
        (RegionMarks(2, 0, 0, 51), True),
    ],
)
def test_a_region_was_restored_if_the_bridge_has_seen_more_of_it(seen: RegionMarks, forgotten: bool) -> None:
    assert has_forgotten(OWN, seen) is forgotten


def test_a_new_life_has_an_incarnation_that_was_never_used() -> None:
    assert next_life(OWN, RegionMarks(7, 3)) == RegionMarks(8, 10)
    assert next_life(OWN, RegionMarks(1, 30)) == RegionMarks(3, 30)


def decided(log_index: int) -> DecisionFacts:
    key = TransferKey("region/310000", bytes(16))
    return DecisionFacts(key, ZERO_HASH, Outcome.COMMIT, ZERO_HASH, ZERO_HASH, log_index)


@pytest.mark.parametrize(
    ("start", "epoch", "index", "void"),
    [
        (EpochStart(2, 100), 1, 100, True),
        (EpochStart(2, 100), 1, 99, False),
        (EpochStart(2, 100), 2, 100, False),
        (FIRST_EPOCH, 1, 5, False),
    ],
)
def test_what_an_older_epoch_signed_beyond_the_index_is_void(
    start: EpochStart,
    epoch: int,
    index: int,
    void: bool,
) -> None:
    assert is_superseded(start, epoch, decided(index)) is void


def test_nothing_of_a_region_that_has_not_reported_is_decided() -> None:
    waiting = UnitBlock("s", 10, 20)
    bridge = RecoveringBridge(frozenset({"c"}), (waiting,), frozenset({"a"}))
    assert bridge.may_decide({"a", "b"}, [UnitBlock("s", 0, 10)])
    assert not bridge.may_decide({"a", "c"}, [UnitBlock("s", 0, 10)])
    assert not bridge.may_decide({"a", "b"}, [UnitBlock("s", 19, 21)])
    assert bridge.may_take_receipts("b")
    assert bridge.may_take_receipts("a"), "those of what waits are kept until it is adopted"
    assert not bridge.may_take_receipts("c")
    assert bridge.may_reconcile("b")
    assert not bridge.may_reconcile("a")
    assert not bridge.may_reconcile("c")
    assert RecoveringBridge(frozenset(), (waiting,), frozenset({"a"})).may_reconcile("a")
