"""One command, one unit of work, one database transaction (ARCHITECTURE section 2, rule 2).

Rollback unless `commit()` was reached. Hooks run after the commit and after the connection is given back
(PROTOCOL R6), so that a hook may begin a unit of its own; a hook that fails is logged and changes nothing,
for the state is already durable.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Self, TypeVar

import sqlalchemy as sa

from tanqiao.db.engine import Database, TransactionConflictError
from tanqiao.db.faults import DATABASE_UNAVAILABLE
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

ATTEMPTS_MAX: Final = 5
# The pause before attempt n is random below this times 2**n: two that met do not meet again.
PAUSE_MS: Final = 4

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class UnitOfWork:
    """A write transaction as a context manager; used once.

    Raises:
        DomainError: BUSY, DISK_FULL, DATABASE_READ_ONLY, DATABASE_UNAVAILABLE, from any statement or commit.
        TransactionConflictError: another transaction won; nothing is written, the whole may be run again,
            which `run_in_transaction` does.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._transaction: AbstractContextManager[sa.Connection] | None = None
        self._connection: sa.Connection | None = None
        self._hooks: list[Callable[[], None]] = []
        self._committed = False

    @property
    def connection(self) -> sa.Connection:
        """The connection inside the transaction; using it before or after breaks an invariant."""
        connection = self._connection
        require(
            connection is not None and not self._committed, "a unit of work was used outside its transaction"
        )
        return connection  # type: ignore[return-value]  # require() does not narrow

    @property
    def committed(self) -> bool:
        """Whether everything written is durable."""
        return self._committed

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Run the hook once everything is durable; never when the unit is rolled back."""
        require(self._connection is not None and not self._committed, "a hook is added before the commit")
        self._hooks.append(hook)

    def commit(self) -> None:
        """Make everything durable; when it raises, nothing is, or the database writes nothing more.

        Where PostgreSQL goes away during the COMMIT it is asked afterwards what became of it.
        """
        connection = self.connection
        mark = self._database.mark_of(connection)
        try:
            connection.commit()
        except DomainError as refusal:
            if not mark or refusal.symbol != DATABASE_UNAVAILABLE:
                raise
            if not self._database.was_committed(mark):
                raise
        self._committed = True

    def __enter__(self) -> Self:
        require(self._transaction is None, "a unit of work is used once")
        self._transaction = self._database.writing()
        self._connection = self._transaction.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection = None
        transaction = self._transaction
        require(transaction is not None, "a unit of work was left before it was entered")
        transaction.__exit__(kind, error, trace)  # type: ignore[union-attr]  # require() does not narrow
        if self._committed:
            for hook in self._hooks:
                _run_hook(hook)


def _run_hook(hook: Callable[[], None]) -> None:
    try:
        hook()
    except Exception:  # noqa: BLE001 - whatever a hook raises, the commit stands
        _log.exception("a hook failed after its transaction was committed")


def run_in_transaction(
    database: Database, work: Callable[[UnitOfWork], Result], *, attempts: int = ATTEMPTS_MAX
) -> Result:
    """Run the whole of `work` in a unit of work, again after a conflict with another transaction.

    `work` calls `commit()` itself and must have no effect outside the transaction but hooks. A lost
    connection is never tried again: the first attempt may have been committed.

    Raises:
        DomainError: BUSY when every attempt met a conflict; any other refusal at once.
    """
    require(attempts >= 1, "a transaction is tried at least once")
    for attempt in range(1, attempts + 1):
        unit = UnitOfWork(database)
        try:
            with unit:
                return work(unit)
        except TransactionConflictError:
            require(not unit.committed, "a conflict cannot follow a commit")
            if attempt == attempts:
                raise
            time.sleep(secrets.randbelow(PAUSE_MS * 2**attempt) / 1000)
    raise DomainError("BUSY", detail="no attempt was left")
