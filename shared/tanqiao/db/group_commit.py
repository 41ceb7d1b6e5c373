"""Group commit: many commands, one transaction, one forced write (ARCHITECTURE section 4, "batch first").

Callers hand commands in and wait for their own answer; one worker gathers what is waiting and runs one
set-based handler over the list. A command is answered only after the commit of its group (PROTOCOL R1).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from copy import copy
from typing import Final, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from tanqiao.db.engine import Database
from tanqiao.db.faults import BUSY
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

COMMANDS_PER_GROUP_MAX: Final = 1_024
COMMANDS_WAITING_MAX: Final = 8_192
GATHER_MS_MAX: Final = 1.5
PATIENCE_MS: Final = 20.0
"""How long a command that nobody waits for may wait for a group that comes anyway."""
CLOSE_SECONDS_MAX: Final = 30.0
SYSTEM_FAMILY: Final = 9

Command = TypeVar("Command")
Answer = TypeVar("Answer")
Handler = Callable[[sa.Connection, Sequence[Command]], Sequence[Answer | DomainError]]
AfterCommit = Callable[[Sequence[Command], Sequence[Answer | DomainError]], None]

_log = logging.getLogger(__name__)


class _Waiting(NamedTuple, Generic[Command, Answer]):
    command: Command
    future: Future[Answer]
    patient: bool


class GroupCommit(Generic[Command, Answer]):
    """A bounded queue of commands and the worker that commits them in groups.

    Args:
        database: where the handler writes.
        handler: decides the commands in order as if each were alone and gives one answer or refusal per
            command; it writes nothing for a command that it refuses. It may be run again with the same
            list after a conflict, and must have no effect outside the transaction.
        name: of the worker thread, and in refusals.
        after_commit: told each group and its answers once they are durable, before the callers are; errors
            in it are logged (PROTOCOL R6).
        one_by_one_after_failure: whether a group that failed as a whole with an error of the program, or with
            a refusal that no command was answered with, is run again command by command, so that one bad
            command does not fail its neighbours. Never done after a condition of the storage.
        commands_per_group_max: bound of one transaction.
        weigh: how much of a transaction a command takes; each counts for one where it is left out.
        weight_per_group_max: bound of the sum; a single command above it gets a group of its own.
        commands_waiting_max: bound of the queue; beyond it callers are refused with BUSY.
        gather_ms_max: how long the worker waits for as many commands as came before; only after a group
            of more than one.
        patience_ms: how long patient commands wait for others before they get a group of their own.
    """

    def __init__(  # noqa: PLR0913 - every bound is named where the queue is made
        self,
        database: Database,
        handler: Handler[Command, Answer],
        *,
        name: str,
        after_commit: AfterCommit[Command, Answer] | None = None,
        one_by_one_after_failure: bool = False,
        commands_per_group_max: int = COMMANDS_PER_GROUP_MAX,
        weigh: Callable[[Command], int] | None = None,
        weight_per_group_max: int = COMMANDS_PER_GROUP_MAX,
        commands_waiting_max: int = COMMANDS_WAITING_MAX,
        gather_ms_max: float = GATHER_MS_MAX,
        patience_ms: float = PATIENCE_MS,
    ) -> None:
        require(commands_per_group_max >= 1, "a group has room for a command")
        require(commands_waiting_max >= 1, "the queue has room for a command")
        self._database = database
        self._handler = handler
        self._after_commit = after_commit
        self._one_by_one = one_by_one_after_failure
        self._group_max = commands_per_group_max
        self._weigh = weigh
        self._weight_max = weight_per_group_max
        self._waiting_max = commands_waiting_max
        self._gather_seconds = gather_ms_max / 1000
        self._patience_seconds = patience_ms / 1000
        self._name = name
        self._waiting: deque[_Waiting[Command, Answer]] = deque()
        self._urgent = 0  # how many of those that wait are not patient
        self._due_at = 0.0  # when the oldest patient one has waited long enough
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._room = threading.Condition(lock)
        self._wanted = 1  # the worker sleeps until so many wait
        self._worker_sleeps = False
        self._expected = 1
        self._closing = False
        database.on_doubt(self._refuse_waiting)
        self._worker = threading.Thread(target=self._work, name=f"group-commit-{name}", daemon=True)
        self._worker.start()

    def submit(self, command: Command, *, patient: bool = False) -> Future[Answer]:
        """Queue one command; the future gives its answer after the commit, or raises its refusal.

        A patient command keeps its place in the order, but lets a short time pass before it is worth a
        forced write of its own: mostly it shares that of another.

        Raises:
            DomainError: BUSY when the queue is full, SERVER_STOPPING when it is closed,
                DATABASE_UNAVAILABLE when the storage failed, or while a commit is in doubt.
        """
        return self.submit_many((command,), patient=patient)[0]

    def submit_many(self, commands: Sequence[Command], *, patient: bool = False) -> list[Future[Answer]]:
        """Queue several commands together, all or none; they may still be split over groups."""
        futures: list[Future[Answer]] = [Future() for _ in commands]
        with self._changed:
            self._database.require_writable()
            if self._closing:
                raise DomainError("SERVER_STOPPING", what=self._name)
            if len(self._waiting) + len(futures) > self._waiting_max:
                raise DomainError(BUSY, detail=f"{len(self._waiting)} commands are waiting for {self._name}")
            first = not self._waiting
            self._waiting.extend(
                _Waiting(command, future, patient) for command, future in zip(commands, futures, strict=True)
            )
            if patient:
                if first:
                    self._due_at = time.monotonic() + self._patience_seconds
            else:
                self._urgent += len(futures)
            if self._worker_sleeps and (first or self._urgent >= self._wanted):
                self._changed.notify()
        return futures

    def submit_waiting(
        self, command: Command, *, seconds_max: float, patient: bool = False
    ) -> Future[Answer]:
        """As `submit`, but where the queue is full it waits for room: who sends is held up meanwhile.

        Raises:
            DomainError: as `submit`; BUSY when there was no room for so long.
        """
        until = time.monotonic() + seconds_max
        while True:
            try:
                return self.submit(command, patient=patient)
            except DomainError as refusal:
                left = until - time.monotonic()
                if refusal.symbol != BUSY or left <= 0:
                    raise
                with self._changed:
                    self._room.wait_for(self._has_room, left)

    def _has_room(self) -> bool:
        return self._closing or len(self._waiting) < self._waiting_max

    def execute(self, command: Command, timeout_seconds: float | None = None) -> Answer:
        """Queue one command and wait for its answer; TimeoutError leaves it queued, its outcome unknown."""
        return self.submit(command).result(timeout_seconds)

    @property
    def waiting(self) -> int:
        """How many commands no group has taken yet."""
        return len(self._waiting)

    def close(self, timeout_seconds: float = CLOSE_SECONDS_MAX) -> None:
        """Refuse new commands, finish those that wait, end the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._room.notify_all()
        self._database.end_doubts()
        self._worker.join(timeout_seconds)
        require(not self._worker.is_alive(), f"the group commit of {self._name} did not end in time")

    def _work(self) -> None:
        while True:
            group = self._take()
            if not group:
                return
            live = [one for one in group if one.future.set_running_or_notify_cancel()]
            if live:
                self._run([one.command for one in live], [one.future for one in live])

    def _take(self) -> list[_Waiting[Command, Answer]]:
        """Wait for commands; an empty list means closed and drained."""
        with self._changed:
            self._gather()
            while not self._waiting and not self._closing:
                self._gather()  # those that came were refused meanwhile: another commit is in doubt
            group = [self._waiting.popleft() for _ in range(self._group_size())]
            self._room.notify_all()
            urgent = sum(not one.patient for one in group)
            self._urgent -= urgent
            if urgent:
                self._expected = max(1, urgent, (self._expected + urgent) // 2)
            return group

    def _gather(self) -> None:
        """Sleep until there is a group to be made; what waits may be refused while it sleeps."""
        while not self._urgent and not self._closing:
            left = self._due_at - time.monotonic() if self._waiting else None
            if left is not None and left <= 0:
                break
            self._sleep(wanted=1, seconds=left)
        # Callers that were just answered come back within the window: without it the first of them
        # would get a group of its own and make all others wait for a whole forced write.
        if 0 < self._urgent < self._expected and not self._closing:
            until = time.monotonic() + self._gather_seconds
            while self._urgent < self._expected and not self._closing:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._sleep(wanted=min(self._expected, self._group_max), seconds=left)

    def _group_size(self) -> int:
        """Tell how many of the waiting commands the next group takes."""
        size = min(len(self._waiting), self._group_max)
        if self._weigh is None:
            return size
        weight = 0
        for position, one in zip(range(size), self._waiting, strict=False):
            weight += self._weigh(one.command)
            if weight > self._weight_max:
                return max(1, position)
        return size

    def _sleep(self, *, wanted: int, seconds: float | None) -> None:
        self._wanted = wanted
        self._worker_sleeps = True
        try:
            self._changed.wait(seconds)
        finally:
            self._worker_sleeps = False

    def _refuse_waiting(self, refusal: DomainError) -> None:
        """Let nobody wait behind a commit in doubt: nothing of these was begun."""
        with self._changed:
            refused = [*self._waiting]
            self._waiting.clear()
            self._urgent = 0
            self._room.notify_all()
        _fail([one.future for one in refused if one.future.set_running_or_notify_cancel()], refusal)

    def _run(self, commands: list[Command], futures: list[Future[Answer]]) -> None:
        try:
            answers = run_in_transaction(self._database, lambda unit: self._handle(unit, commands))
        except BaseException as error:  # noqa: BLE001 - handed to the callers, and the worker must live on
            if self._one_by_one and len(commands) > 1 and not _is_of_the_system(error):
                for command, future in zip(commands, futures, strict=True):
                    self._run([command], [future])
                return
            _fail(futures, error)
        else:
            if self._after_commit is not None:
                self._tell(self._after_commit, commands, answers)
            for future, answer in zip(futures, answers, strict=True):
                if isinstance(answer, DomainError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _handle(self, unit: UnitOfWork, commands: list[Command]) -> Sequence[Answer | DomainError]:
        answers = self._handler(unit.connection, commands)
        require(
            len(answers) == len(commands),
            f"{self._name} gave {len(answers)} answers to {len(commands)} commands",
        )
        unit.commit()
        return answers

    def _tell(
        self,
        listener: AfterCommit[Command, Answer],
        commands: Sequence[Command],
        answers: Sequence[Answer | DomainError],
    ) -> None:
        try:
            listener(commands, answers)
        except Exception:  # noqa: BLE001 - whatever a listener raises, the commit stands
            _log.exception("a listener of %s failed after its group was committed", self._name)


def _is_of_the_system(error: BaseException) -> bool:
    """Whether it is a condition of storage or process (family 9): every command would meet it."""
    return isinstance(error, DomainError) and error.reason.family == SYSTEM_FAMILY


def _fail(futures: Sequence[Future[Answer]], error: BaseException) -> None:
    for future in futures:
        # Each caller raises its own: one exception raised in many threads would collect all their frames.
        own = copy(error) if isinstance(error, DomainError) else error
        future.set_exception(own)
