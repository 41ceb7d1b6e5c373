"""Faults of the real services, made by patching, that only a death shows: the crash matrix must catch each.

Each mutant does its act as it should as long as nobody dies, and breaks one rule of PROTOCOL section 2. None
of this can be switched on in shipped code.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

import sqlalchemy as sa

from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao_bridge.application import engine
from tanqiao_bridge.storage.tables import decision
from tanqiao_region.application.commands import CreateTransfers
from tanqiao_region.application.line import Line
from tanqiao_region.application.writer import Writer
from tanqiao_region.storage import holdings
from tanqiao_region.storage.tables import request_ids
from tests.crash.failpoints import Failpoints

SENT_SECONDS_MAX: Final = 60
LOOK_SECONDS: Final = 0.01

Write = Callable[[sa.Connection], object]


@dataclass(frozen=True)
class Mutant:
    """A fault, and a death at which it shows.

    Args:
        name: what is done wrong.
        apply: patches it in; the failpoints are those of the bench.
        point: where a node dies.
    """

    name: str
    apply: Callable[[ExitStack, Failpoints], None]
    point: str


def _sends_before_it_commits(stack: ExitStack, points: Failpoints) -> None:
    """R1: a lock goes out, and is decided, before the source has it on its disk."""
    handle = Writer.handle

    def hasty(writer: Writer, connection: sa.Connection, commands: Sequence[Any]) -> list[Any]:
        answers = handle(writer, connection, commands)
        aftermath = writer._aftermath
        orders = any(isinstance(command, CreateTransfers) for command in commands)
        died = any(armed.fired.is_set() for armed in points._armed)
        # An order given again offers nothing; in the next life there may be no line yet to offer on.
        if orders and aftermath is not None and aftermath.offered and not died:
            known = _decided(points)
            for listener in writer._listeners:
                listener(aftermath)
            until = time.monotonic() + SENT_SECONDS_MAX
            while _decided(points) == known and time.monotonic() < until:
                time.sleep(LOOK_SECONDS)
        return answers

    stack.enter_context(patch.object(Writer, "handle", hasty))


def _decided(points: Failpoints) -> int:
    """How many transfers the bridge has decided; a decision sent again is none."""
    database = points.lives["B"].database
    if database is None:
        return 0
    with database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(decision)) or 0)


class _Later(threading.local):
    """What a group writes in a second transaction, behind its own: two commits where there must be one."""

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def installed(self, stack: ExitStack) -> None:
        """Write before anybody is told: without a death nobody sees a difference."""
        tell = GroupCommit._tell

        def told(group_commit: Any, *what: Any) -> None:
            writes, self.writes = self.writes, []

            def work(unit: UnitOfWork) -> None:
                for write in writes:
                    write(unit.connection)
                unit.commit()

            if writes:
                run_in_transaction(group_commit._database, work)
            tell(group_commit, *what)

        stack.enter_context(patch.object(GroupCommit, "_tell", told))


def _ends_before_it_unlocks(stack: ExitStack, _points: Failpoints) -> None:
    """R3: the source stores the decision, and takes its units out by a transaction of their own."""
    later, write_difference = _Later(), holdings.write_difference

    def written(connection: sa.Connection, deleted: Sequence[Any], inserted: Sequence[Any]) -> int:
        if not deleted or inserted:
            return write_difference(connection, deleted, inserted)
        later.writes.append(lambda second: write_difference(second, deleted, inserted))
        return len(deleted)

    stack.enter_context(patch.object(holdings, "write_difference", written))
    later.installed(stack)


def _decides_before_it_numbers(stack: ExitStack, _points: Failpoints) -> None:
    """R1: the bridge stores the decision, and what it owes both sides by a transaction of its own."""
    later, number = _Later(), engine._number

    def numbered(group: Any) -> None:
        if group.numbered:
            later.writes.append(lambda second: number(_on(group, second)))

    stack.enter_context(patch.object(engine, "_number", numbered))
    later.installed(stack)


def _on(group: Any, connection: sa.Connection) -> Any:
    group.connection = connection
    return group


def _answers_before_it_notes_it(stack: ExitStack, _points: Failpoints) -> None:
    """R4: the source stores what was ordered, and which request it was by a transaction of its own."""
    later, store = _Later(), request_ids.store

    def stored(_connection: sa.Connection, answers: Sequence[Any], *, created_at_us: int) -> None:
        if answers:
            kept = list(answers)
            later.writes.append(lambda second: store(second, kept, created_at_us=created_at_us))

    stack.enter_context(patch.object(request_ids, "store", stored))
    later.installed(stack)


def _offers_once(stack: ExitStack, _points: Failpoints) -> None:
    """R5: what was offered to a session that ended is not offered to the next one."""
    stack.enter_context(patch.object(Line, "all_offers", lambda *_: iter(())))


MUTANTS: Final = (
    Mutant("S sends before its commit", _sends_before_it_commits, "S before write CreateTransfers #1"),
    Mutant(
        "S stores the decision and unlocks later",
        _ends_before_it_unlocks,
        "S after write TakeNumbered Decision #1",
    ),
    Mutant(
        "B stores the decision and numbers it later",
        _decides_before_it_numbers,
        "B after write OfferAnswers Ready #1",
    ),
    Mutant(
        "S stores the lock and its request later",
        _answers_before_it_notes_it,
        "S after write CreateTransfers #1",
    ),
    Mutant("S does not offer again", _offers_once, "S after write CreateTransfers #1"),
)


@contextmanager
def applied(mutant: Mutant, points: Failpoints) -> Iterator[None]:
    """Patch the fault in, and out again."""
    with ExitStack() as stack:
        mutant.apply(stack, points)
        yield
