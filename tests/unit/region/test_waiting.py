"""What waits inside a node: calls for the end of a transfer, watchers of the journal, groups by weight."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import date
from typing import Any, cast

import pytest

from tanqiao.protocol.types import TransferKey
from tanqiao_region.application.commands import (
    By,
    CreateTransfers,
    LocalTransfers,
    Selection,
    TransferOrder,
    Work,
)
from tanqiao_region.application.group import Aftermath, Ended
from tanqiao_region.application.notifier import ENDED_KEPT_MAX, Notifier
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.queries import Queries
from tanqiao_region.application.secrets import POOL_BYTES, RandomPool
from tanqiao_region.application.uses import parse_document
from tanqiao_region.application.views import ClientRequest
from tanqiao_region.application.writer import weigh

WAIT_SECONDS = 50
ONE, TWO = TransferKey("region/310000", b"1" * 16), TransferKey("region/310000", b"2" * 16)


def ended(*keys: TransferKey) -> Aftermath:
    return Aftermath(ended=[Ended(key, 2) for key in keys])


def test_another_region_that_draws_the_same_id_wakes_nobody_who_waits_for_ours() -> None:
    notifier = Notifier()
    notifier.tell(ended(TransferKey("region/440300", ONE.transfer_id)))
    assert notifier.wait_ended(ONE, 0.01) is None
    assert notifier.wait_all_ended(ONE.source, [ONE.transfer_id], 0.01) == {}


def test_who_asks_too_late_is_told_at_once() -> None:
    notifier = Notifier()
    notifier.tell(ended(ONE))
    assert notifier.wait_ended(ONE, 5) == 2
    assert notifier.wait_ended(TWO, 0.01) is None


def test_all_who_wait_for_one_transfer_are_woken() -> None:
    notifier = Notifier()
    heard: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: heard.append(notifier.wait_ended(ONE, WAIT_SECONDS)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    notifier.tell(ended(TWO))
    notifier.tell(ended(ONE))
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert heard == [2] * 8


def test_what_is_remembered_is_bounded() -> None:
    notifier = Notifier()
    ids = [TransferKey("region/310000", number.to_bytes(16, "big")) for number in range(ENDED_KEPT_MAX + 10)]
    notifier.tell(ended(*ids))
    assert notifier.wait_ended(ids[0], 0) is None
    assert notifier.wait_ended(ids[-1], 0) == 2


def test_nobody_waits_for_a_node_that_stops() -> None:
    notifier = Notifier()
    threads = [
        threading.Thread(target=lambda: notifier.wait_ended(ONE, 2 * WAIT_SECONDS)),
        threading.Thread(target=lambda: notifier.wait_grown(0, 2 * WAIT_SECONDS)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    notifier.close()
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


class AnswersAtOnce:
    """A writer's queue that answers nothing to every order, and remembers who could wait."""

    def __init__(self) -> None:
        self.patient: list[bool] = []

    def submit(self, command: Any) -> Future[Any]:
        return self.submit_many([command])[0]

    def submit_many(self, commands: Sequence[Any], *, patient: bool = False) -> list[Future[Any]]:
        self.patient.append(patient)
        answered: list[Future[Any]] = [Future() for _ in commands]
        for one in answered:
            one.set_result([])
        return answered


def test_a_lock_waits_for_the_group_of_others_only_while_somebody_waits_for_a_decision() -> None:
    notifier, writer = Notifier(), AnswersAtOnce()
    orders = Orders(writer, notifier, cast("Queries", None), ONE.source)
    order = TransferOrder(
        ClientRequest("caller", "1", b""), By("caller", "role"), "A", "region/440300", "address", Selection()
    )
    orders.create_transfers([order])
    waiting = threading.Thread(target=lambda: notifier.wait_ended(ONE, 60))
    waiting.start()
    while not notifier.is_waited_for:
        time.sleep(0.001)
    orders.create_transfers([order])
    notifier.tell(ended(ONE))
    waiting.join(60)
    orders.create_transfers([order])
    assert writer.patient == [False, True, False]


def test_watchers_hear_of_growth_and_not_of_groups_without_entries() -> None:
    notifier = Notifier()
    notifier.tell(Aftermath(journal_index=5, has_entries=False))
    assert not notifier.wait_grown(4, 0.01)
    notifier.tell(Aftermath(journal_index=5, has_entries=True))
    assert notifier.wait_grown(4, 0.01)
    assert not notifier.wait_grown(5, 0.01)


def test_random_bytes_are_given_out_once_from_whatever_thread() -> None:
    numbers = itertools.count()
    pool = RandomPool(lambda count: b"".join(next(numbers).to_bytes(4, "big") for _ in range(count // 4)))
    taken: list[bytes] = []

    def draw() -> None:
        taken.extend([pool.take(16) for _ in range(500)])

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 4000
    assert len(pool.take(POOL_BYTES * 2)) == POOL_BYTES * 2


def test_a_command_weighs_what_it_carries() -> None:
    order = TransferOrder(ClientRequest("c", "r", b""), By("p", "r"), "A", "region/440300", "x", Selection())
    assert weigh(CreateTransfers((order,) * 7)) == 7
    assert weigh(LocalTransfers(())) == 0
    assert weigh(Work(lambda _group: None)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "上海某法院；(2026)沪民初1号；2026-02-01",
            ("上海某法院", "(2026)沪民初1号", date(2026, 2, 1), None),
        ),
        ("court; 1; 2026-02-01; 5000", ("court", "1", date(2026, 2, 1), 5000)),
        ("court; 1", None),
        ("court; 1; yesterday", None),
        ("court; ; 2026-02-01", None),
        ("court; 1; 2026-02-01; many", None),
        ("", None),
    ],
)
def test_a_courts_document_is_read_in_its_one_form(text: str, expected: object) -> None:
    document = parse_document(text)
    if expected is None:
        assert document is None
    else:
        assert document is not None
        assert (document.issuer, document.number, document.dated, document.ordered_kg) == expected
