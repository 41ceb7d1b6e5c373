"""What a region remembers of its promises: what is undecided, bounded, while nobody else has written."""

from __future__ import annotations

import pytest

from tanqiao.protocol.types import (
    DestinationRecord,
    DestinationState,
    Kind,
    SourceRecord,
    SourceState,
    TransferKey,
)
from tanqiao_region.application import undecided
from tanqiao_region.application.undecided import Undecided
from tanqiao_region.storage.transfers import IncomingRow, OutgoingRow


def key(number: int) -> TransferKey:
    return TransferKey("region/310000", number.to_bytes(16, "big"))


def locked(number: int) -> OutgoingRow:
    record = SourceRecord(key(number), Kind.TRANSFER, SourceState.LOCKED, b"l" * 32, "region/440300", ())
    return OutgoingRow(record, "A", 1, 0)


def answered(number: int) -> IncomingRow:
    record = DestinationRecord(key(number), DestinationState.READY, b"l" * 32, b"p" * 32, (), b"r" * 32)
    return IncomingRow(record, "B", 1, 0)


def ids(*numbers: int) -> list[bytes]:
    return [key(number).transfer_id for number in numbers]


def test_promises_are_remembered_until_they_are_settled() -> None:
    memory = Undecided()
    memory.begin(4)
    memory.note(6, ([locked(1), locked(2)], [answered(3)]), ([], []))
    memory.begin(6)
    assert memory.outgoing(ids(1, 2, 9)) == {ids(1)[0]: locked(1), ids(2)[0]: locked(2)}
    assert memory.incoming([key(3), key(9)]) == {key(3): answered(3)}
    memory.note(8, ([], []), (ids(1), [key(3)]))
    memory.begin(8)
    assert memory.outgoing(ids(1, 2)) == {ids(2)[0]: locked(2)}
    assert memory.incoming([key(3)]) == {}


def test_what_is_promised_and_settled_in_one_group_is_not_remembered() -> None:
    memory = Undecided()
    memory.note(1, ([locked(1)], [answered(2)]), (ids(1), [key(2)]))
    assert len(memory) == 0


def test_when_the_journal_is_elsewhere_another_writer_was_there_and_nothing_is_remembered() -> None:
    memory = Undecided()
    memory.note(6, ([locked(1)], [answered(2)]), ([], []))
    memory.begin(7)
    assert len(memory) == 0


def test_nothing_is_remembered_of_a_group_whose_end_is_not_known() -> None:
    memory = Undecided()
    memory.note(6, ([locked(1)], [answered(2)]), ([], []))
    memory.forget()
    memory.begin(6)
    assert len(memory) == 0


def test_the_oldest_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "UNDECIDED_KEPT_MAX", 2)
    memory = Undecided()
    memory.note(1, ([locked(number) for number in range(3)], [answered(7)]), ([], []))
    assert list(memory.outgoing(ids(0, 1, 2))) == ids(1, 2)
    assert len(memory) == 3
