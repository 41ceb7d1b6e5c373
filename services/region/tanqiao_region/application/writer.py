"""The node's one writer: a group of commands becomes one transaction.

Stretches of hot commands are loaded together, applied in order and written together; a `Work` stands alone
between them, under a savepoint of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao_region.application import arriving, ledger, numbered, offering, uses
from tanqiao_region.application.commands import (
    ApplyPrepares,
    Command,
    CreateTransfers,
    CreateUses,
    LocalTransfers,
    TakeNumbered,
    Work,
)
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Aftermath, Group, Needs

ITEMS_PER_GROUP_MAX: Final = 4_000
"""About how many orders and messages one transaction holds: beyond it the others wait too long."""

Answers = list[Any]


class Writer:
    """Handles groups; hands what a committed group leaves to those who send and tell.

    Args:
        context: the node's own things.
    """

    def __init__(self, context: RegionContext) -> None:
        self._context = context
        self._aftermath: Aftermath | None = None
        self._under_way = False
        self._listeners: list[Callable[[Aftermath], None]] = []

    def tell(self, listener: Callable[[Aftermath], None]) -> None:
        """Call this after every commit, in the writer's thread: it must neither wait nor write."""
        self._listeners.append(listener)

    def handle(self, connection: sa.Connection, commands: Sequence[Command]) -> list[Any]:
        """Decide the commands in order, each as if alone; nothing outside of the transaction changes."""
        if self._under_way:  # whether the group before was committed is not known
            self._context.undecided.forget()
        self._under_way = True
        group = Group(self._context, connection)
        answers: Answers = []
        for is_work, stretch in groupby(commands, key=lambda command: isinstance(command, Work)):
            if is_work:
                answers.extend(_work(group, command) for command in stretch)
            else:
                answers.extend(_hot(group, list(stretch)))
        self._aftermath = group.aftermath
        return answers

    def after_commit(self, _commands: Sequence[Command], _answers: Sequence[Any]) -> None:
        """Make what the group decided visible, then tell the listeners (R6)."""
        aftermath, self._aftermath = self._aftermath, None
        self._under_way = False
        if aftermath is None:
            return
        self._note_undecided(aftermath)
        if aftermath.directory is not None:
            self._context.directory = aftermath.directory
        self._context.renew_signer(directory_changed=aftermath.directory is not None)
        if aftermath.recognitions is not None:
            self._context.recognitions = aftermath.recognitions
        self._context.pending.begin(aftermath.pending)
        self._context.pending.end(aftermath.final_indexes, int(self._context.now().timestamp() * 1000))
        if aftermath.epoch_start is not None:
            # The restored bridge's log may be shorter than what was applied of the one before.
            self._context.epoch_start = aftermath.epoch_start
            self._context.applied_log_index = aftermath.applied_log_index
        self._context.applied_log_index = max(self._context.applied_log_index, aftermath.applied_log_index)
        if aftermath.parameters is not None:
            self._context.pack = self._context.pack.with_rows(aftermath.parameters)
        if aftermath.life is not None:
            self._context.incarnation, self._context.recovering = aftermath.life
        for listener in self._listeners:
            listener(aftermath)

    def _note_undecided(self, aftermath: Aftermath) -> None:
        if not aftermath.journal_index:
            return  # nothing was written
        party = self._context.party
        own = [key.transfer_id for key in aftermath.settled if key.source == party]
        others = [key for key in aftermath.settled if key.source != party]
        self._context.undecided.note(
            aftermath.journal_index,
            (aftermath.promised, aftermath.answered),
            ([*own, *aftermath.withdrawals], others),
        )


def weigh(command: Command) -> int:
    """Give about how much of a transaction a command takes."""
    match command:
        case LocalTransfers(orders=orders) | CreateTransfers(orders=orders) | CreateUses(orders=orders):
            return len(orders)
        case ApplyPrepares(items=items) | TakeNumbered(items=items):
            return len(items)
        case _:
            return 1


def _work(group: Group, command: Any) -> Any:  # noqa: ANN401 - a work answers as it likes
    index, aftermath = group.journal.last_index, group.aftermath.mark()
    savepoint = group.connection.begin_nested()
    try:
        answer = command.run(group)
        group.flush()
    except DomainError as refusal:
        savepoint.rollback()
        group.discard(index, aftermath)
        return refusal
    savepoint.commit()
    return answer


def _hot(group: Group, commands: list[Any]) -> Iterator[Any]:
    needs = Needs()
    for command in commands:
        match command:
            case LocalTransfers():
                ledger.gather(command, needs)
            case CreateTransfers():
                offering.gather(command, needs)
            case CreateUses():
                uses.gather(group, command, needs)
            case ApplyPrepares():
                arriving.gather(command, needs)
            case TakeNumbered(items=items, frame=frame):
                numbered.gather(group, frame, items, needs)
    group.load(needs)
    answers = [_apply(group, command) for command in commands]
    group.flush()
    yield from answers


def _apply(group: Group, command: Any) -> Any:  # noqa: ANN401 - one of the hot commands
    match command:
        case LocalTransfers():
            return ledger.apply(group, command)
        case CreateTransfers():
            return offering.apply(group, command)
        case CreateUses():
            return uses.apply(group, command)
        case ApplyPrepares():
            arriving.apply(group, command)
            return None
        case _:
            return numbered.apply(group, command)
