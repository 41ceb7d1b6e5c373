"""The check of conservation: what it accepts at any moment, and every breach that it must find."""

from __future__ import annotations

from dataclasses import replace

from tanqiao.client.conservation import (
    Act,
    BridgeSnapshot,
    LocationPage,
    Movement,
    RegionSnapshot,
    UnitState,
    check_conservation,
)
from tanqiao.kernel.units import UnitBlock

SERIES = "310000:SHCER:P1:2026:1"
SHANGHAI, SHENZHEN, YUNNAN = "region/310000", "region/440300", "region/530000"


def block(start: int, end: int) -> UnitBlock:
    return UnitBlock(SERIES, start, end)


def read_at(log_size: int, *pieces: tuple[UnitBlock, str, UnitState]) -> tuple[LocationPage, ...]:
    """Give the whole table of locations in one page."""
    return (LocationPage(log_size, None, pieces),)


ISSUE = Movement(5, Act.ISSUE, SHANGHAI, "", b"i", (block(0, 100),), committed=True)
MOVE = Movement(6, Act.TRANSFER, SHANGHAI, SHENZHEN, b"t1", (block(0, 40),), committed=True)
ABORTED = Movement(7, Act.TRANSFER, SHANGHAI, SHENZHEN, b"t2", (block(40, 60),), committed=False)
USE = Movement(8, Act.RETIRE, SHENZHEN, "", b"u1", (block(0, 10),), committed=True)
CANCEL = Movement(9, Act.CANCEL, SHANGHAI, "", b"u2", (block(90, 100),), committed=True)
BRIDGE = BridgeSnapshot(
    10,
    (ISSUE, MOVE, ABORTED, USE, CANCEL),
    read_at(
        10,
        (block(0, 10), SHENZHEN, UnitState.USED),
        (block(10, 40), SHENZHEN, UnitState.HELD),
        (block(40, 90), SHANGHAI, UnitState.HELD),
        (block(90, 100), SHANGHAI, UnitState.CANCELLED),
    ),
)
SHANGHAI_NOW = RegionSnapshot(
    SHANGHAI, 9, ((block(40, 90), UnitState.HELD), (block(90, 100), UnitState.CANCELLED))
)
SHENZHEN_NOW = RegionSnapshot(SHENZHEN, 8, ((block(0, 10), UnitState.USED), (block(10, 40), UnitState.HELD)))
YUNNAN_NOW = RegionSnapshot(YUNNAN, 0, ())


def test_a_quiet_federation_is_balanced_series_by_series() -> None:
    result = check_conservation(BRIDGE, [SHANGHAI_NOW, SHENZHEN_NOW, YUNNAN_NOW])
    assert result.findings == ()
    assert result.holds
    balance = result.series[SERIES]
    assert (balance.issued_kg, balance.held_kg, balance.in_flight_kg) == (100, 80, 0)
    assert (balance.used_kg, balance.cancelled_kg) == (10, 10)
    assert balance.held_by_region_kg == {SHANGHAI: 50, SHENZHEN: 30}


def test_units_whose_issue_the_region_has_not_applied_are_in_flight() -> None:
    early = BridgeSnapshot(6, (ISSUE,), read_at(6, (block(0, 100), SHANGHAI, UnitState.HELD)))
    result = check_conservation(early, [RegionSnapshot(SHANGHAI, 4, ())])
    assert result.holds
    assert result.series[SERIES].in_flight_kg == 100


def test_units_that_moved_and_are_not_credited_are_in_flight() -> None:
    early = BridgeSnapshot(
        7,
        (ISSUE, MOVE),
        read_at(7, (block(0, 40), SHENZHEN, UnitState.HELD), (block(40, 100), SHANGHAI, UnitState.HELD)),
    )
    shanghai = RegionSnapshot(
        SHANGHAI,
        5,
        (
            (block(0, 60), UnitState.LOCKED),
            (block(60, 90), UnitState.HELD),
            (block(90, 100), UnitState.RETIRING),
        ),
    )
    result = check_conservation(early, [shanghai, RegionSnapshot(SHENZHEN, 5, ())])
    assert result.findings == ()
    assert result.series[SERIES].in_flight_kg == 40 + 20 + 10
    assert result.series[SERIES].held_kg == 30


def test_a_use_that_is_decided_and_not_applied_is_replayed() -> None:
    shenzhen = RegionSnapshot(
        SHENZHEN, 6, ((block(0, 10), UnitState.RETIRING), (block(10, 40), UnitState.HELD))
    )
    result = check_conservation(BRIDGE, [SHANGHAI_NOW, shenzhen])
    assert result.findings == ()
    assert result.series[SERIES].used_kg == 10


def _findings(*regions: RegionSnapshot, bridge: BridgeSnapshot = BRIDGE) -> str:
    result = check_conservation(bridge, regions)
    assert not result.holds
    return "\n".join(result.findings)


def test_a_lost_serial_is_found() -> None:
    lost = replace(SHANGHAI_NOW, pieces=((block(41, 90), UnitState.HELD), SHANGHAI_NOW.pieces[1]))
    found = _findings(lost, SHENZHEN_NOW)
    assert f"{SHANGHAI} should have {block(40, 90)} HELD" in found
    assert "I1" in found


def test_a_serial_in_two_regions_is_found() -> None:
    ghost = replace(YUNNAN_NOW, pieces=((block(50, 51), UnitState.HELD),))
    assert f"{YUNNAN} should not have {block(50, 51)} HELD" in _findings(SHANGHAI_NOW, SHENZHEN_NOW, ghost)


def test_a_serial_twice_in_one_region_is_found() -> None:
    twice = replace(SHANGHAI_NOW, pieces=(*SHANGHAI_NOW.pieces, (block(45, 50), UnitState.HELD)))
    assert f"I2: {SHANGHAI} has {block(45, 50)} twice" in _findings(twice, SHENZHEN_NOW)


def test_a_used_unit_that_is_held_again_is_found() -> None:
    revived = replace(SHENZHEN_NOW, pieces=((block(0, 40), UnitState.HELD),))
    assert f"{SHENZHEN} should have {block(0, 10)} USED" in _findings(SHANGHAI_NOW, revived)


def test_a_credit_before_the_decision_was_applied_is_found() -> None:
    eager = RegionSnapshot(SHENZHEN, 5, SHENZHEN_NOW.pieces)
    assert f"I3: {SHENZHEN} has {block(0, 40)} before index 6" in _findings(SHANGHAI_NOW, eager)


def test_a_source_that_has_released_a_committed_transfer_is_found() -> None:
    released = replace(SHANGHAI_NOW, pieces=((block(0, 90), UnitState.HELD), *SHANGHAI_NOW.pieces[1:]))
    found = _findings(released, SHENZHEN_NOW)
    assert f"{SHANGHAI} should not have {block(0, 90)} HELD" in found


def test_a_source_that_lacks_what_is_being_decided_is_found() -> None:
    gone = RegionSnapshot(SHANGHAI, 5, ((block(30, 100), UnitState.HELD),))
    assert f"I3: {SHANGHAI}: {block(0, 40)} is not LOCKED" in _findings(gone, SHENZHEN_NOW)


def test_what_was_locked_and_decided_after_the_snapshot_is_no_finding() -> None:
    before = RegionSnapshot(SHANGHAI, 5, ((block(0, 100), UnitState.HELD),))
    result = check_conservation(BRIDGE, [before, RegionSnapshot(SHENZHEN, 5, ())])
    assert result.findings == ()


def test_what_an_abort_behind_the_snapshot_gives_back_may_be_used_before_it_is_read() -> None:
    aborted = Movement(6, Act.TRANSFER, SHANGHAI, SHENZHEN, b"t1", (block(0, 40),), committed=False)
    use = Movement(7, Act.RETIRE, SHANGHAI, "", b"u1", (block(10, 20),), committed=True)
    places = read_at(
        8,
        (block(0, 10), SHANGHAI, UnitState.HELD),
        (block(10, 20), SHANGHAI, UnitState.USED),
        (block(20, 100), SHANGHAI, UnitState.HELD),
    )
    late = BridgeSnapshot(8, (ISSUE, aborted, use), places)
    still_locked = RegionSnapshot(
        SHANGHAI, 5, ((block(0, 40), UnitState.LOCKED), (block(40, 100), UnitState.HELD))
    )
    result = check_conservation(late, [still_locked])
    assert result.findings == ()
    assert (result.series[SERIES].held_kg, result.series[SERIES].used_kg) == (90, 10)
    without_abort = BridgeSnapshot(8, (ISSUE, replace(use, log_index=6)), places)
    found = check_conservation(without_abort, [still_locked])
    assert any(f"{block(10, 20)} is not RETIRING" in one for one in found.findings)


def test_two_decisions_for_one_transfer_are_found() -> None:
    again = replace(MOVE, log_index=9, blocks=(block(40, 41),))
    assert "I4: 9: decided twice" in _findings(
        SHANGHAI_NOW, SHENZHEN_NOW, bridge=replace(BRIDGE, movements=(*BRIDGE.movements, again))
    )


def test_a_block_that_is_issued_twice_is_found() -> None:
    again = replace(ISSUE, log_index=9, identifier=b"j", blocks=(block(99, 120),))
    assert "I2: 9: issued twice" in _findings(
        SHANGHAI_NOW, SHENZHEN_NOW, bridge=replace(BRIDGE, movements=(*BRIDGE.movements, again))
    )


def test_a_move_of_units_that_are_elsewhere_is_found() -> None:
    again = replace(MOVE, log_index=9, identifier=b"t9")
    assert f"I2: 9: {block(0, 40)} was not held at {SHANGHAI}" in _findings(
        SHANGHAI_NOW, SHENZHEN_NOW, bridge=replace(BRIDGE, movements=(*BRIDGE.movements, again))
    )


def test_a_table_of_locations_that_the_log_does_not_rebuild_is_found() -> None:
    pieces = BRIDGE.locations[0].pieces
    moved = (*pieces[:2], (block(40, 90), YUNNAN, UnitState.HELD), pieces[3])
    found = _findings(SHANGHAI_NOW, SHENZHEN_NOW, bridge=replace(BRIDGE, locations=read_at(10, *moved)))
    assert f"I6: the table has {block(40, 90)}" in found
    assert f"I6: the log has {block(40, 90)}" in found


BEHIND = (block(40, 60), SHANGHAI, UnitState.HELD)
CANCELLED_NOW = (block(90, 100), SHANGHAI, UnitState.CANCELLED)


def test_pages_of_locations_may_stand_at_different_moments() -> None:
    # The first page was read when all was in Shanghai, the others after later leaves; the second one names a
    # block that begins before it, for the bridge has joined it to what the first page showed.
    first = LocationPage(6, (SERIES, 30), ((block(0, 30), SHANGHAI, UnitState.HELD),))
    second = LocationPage(7, (SERIES, 60), ((block(0, 40), SHENZHEN, UnitState.HELD), BEHIND))
    last = LocationPage(10, None, ((block(60, 90), SHANGHAI, UnitState.HELD), CANCELLED_NOW))
    pages = (first, second, last)
    assert check_conservation(replace(BRIDGE, locations=pages), [SHANGHAI_NOW, SHENZHEN_NOW]).holds
    for number, early in ((1, replace(second, log_size=6)), (2, replace(last, log_size=9))):
        wrong = replace(BRIDGE, locations=(*pages[:number], early, *pages[number + 1 :]))
        assert "I6: the table has" in _findings(SHANGHAI_NOW, SHENZHEN_NOW, bridge=wrong)
    short = replace(BRIDGE, locations=(first, last))
    assert f"I6: the log has {block(30, 40)}" in _findings(SHANGHAI_NOW, SHENZHEN_NOW, bridge=short)
    ahead = replace(BRIDGE, locations=(first, second, replace(last, log_size=11)))
    assert "I6: locations after 11 leaves" in _findings(SHANGHAI_NOW, SHENZHEN_NOW, bridge=ahead)


def test_a_region_that_is_ahead_of_the_log_is_found() -> None:
    assert "has applied index 12 of a log of 10" in _findings(replace(SHANGHAI_NOW, applied=12), SHENZHEN_NOW)


def test_what_is_locked_without_a_decision_is_in_flight_and_not_held() -> None:
    locked = replace(
        SHANGHAI_NOW,
        pieces=(
            (block(40, 50), UnitState.LOCKED),
            (block(50, 90), UnitState.HELD),
            SHANGHAI_NOW.pieces[1],
        ),
    )
    result = check_conservation(BRIDGE, [locked, SHENZHEN_NOW])
    assert result.holds
    assert result.series[SERIES].in_flight_kg == 10


def test_a_correction_moves_what_is_held_and_leaves_what_is_at_its_place() -> None:
    mended = Movement(10, Act.CORRECT, SHENZHEN, SHANGHAI, b"c1", (block(20, 60),), committed=True)
    after = BridgeSnapshot(
        11,
        (*BRIDGE.movements, mended),
        read_at(
            11,
            (block(0, 10), SHENZHEN, UnitState.USED),
            (block(10, 20), SHENZHEN, UnitState.HELD),
            (block(20, 90), SHANGHAI, UnitState.HELD),
            (block(90, 100), SHANGHAI, UnitState.CANCELLED),
        ),
    )
    behind = check_conservation(after, [SHANGHAI_NOW, SHENZHEN_NOW, YUNNAN_NOW])
    assert behind.findings == ()
    assert behind.series[SERIES].in_flight_kg == 20, "taken out at Shenzhen, not yet put in at Shanghai"
    shanghai = RegionSnapshot(
        SHANGHAI, 10, ((block(20, 90), UnitState.HELD), (block(90, 100), UnitState.CANCELLED))
    )
    shenzhen = RegionSnapshot(SHENZHEN, 10, ((block(0, 10), UnitState.USED), (block(10, 20), UnitState.HELD)))
    assert check_conservation(after, [shanghai, shenzhen, YUNNAN_NOW]).findings == ()
    assert check_conservation(after, [shanghai, replace(shenzhen, pieces=SHENZHEN_NOW.pieces)]).findings
    used = replace(mended, blocks=(block(0, 60),))
    wrong = replace(after, movements=(*BRIDGE.movements, used))
    assert any("neither region" in one for one in check_conservation(wrong, [shanghai, shenzhen]).findings), (
        "what was used cannot be corrected"
    )
