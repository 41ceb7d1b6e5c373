"""A PostgreSQL that is away: at a start it is waited for, and a commit whose answer was lost is asked about.

Where the connection breaks during a COMMIT, the transaction may have been committed. Who does not know must
neither promise nor take back: memory would differ from the tables until a restart. The server remembers each
transaction by its number (`pg_xact_status`, https://www.postgresql.org/docs/current/functions-info.html), so
it is asked as soon as it is there again.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

import psycopg
import sqlalchemy as sa

from tanqiao.db.direct import fetch
from tanqiao.db.faults import DATABASE_UNAVAILABLE
from tanqiao.kernel.errors import DomainError

DOUBT_SECONDS_MAX: Final = 300.0
"""So long a commit is asked about; then nothing more is written before a restart, which reads the tables."""
START_SECONDS_MAX: Final = 120.0
PAUSE_SECONDS: Final = 0.5
TOLD_EACH_SECONDS: Final = 10.0
COMMITTED: Final = "committed"
ENDED: Final = frozenset({COMMITTED, "aborted"})
AWAY: Final = "away"

_SERVER: Final = re.compile(r"[^/]+:\d+/.*")
"""How `Database.place` names a server; a file has a directory there."""
_MARK: Final = "SELECT pg_current_xact_id_if_assigned()::text"
_STATUS: Final = sa.text("SELECT pg_xact_status(CAST(:mark AS xid8))")

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Readable(Protocol):
    """What is asked."""

    @property
    def place(self) -> str:
        """Where an operator looks."""

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Give a connection of its own."""


def mark_of(connection: sa.Connection) -> str:
    """Give the number under which the server remembers a transaction; empty where it wrote nothing.

    On SQLite, too: there a commit fails by an I/O error alone, after which nothing is written.

    Raises:
        DomainError: as from any statement; nothing is committed then.
    """
    if connection.dialect.name != "postgresql":
        return ""
    return str(fetch(connection, _MARK, ())[0][0] or "")


def was_committed(
    database: Readable,
    mark: str,
    given_up: threading.Event,
    *,
    seconds_max: float = DOUBT_SECONDS_MAX,
) -> bool | None:
    """Ask what became of a transaction until the server says it; None where it cannot.

    Args:
        database: on which it was committed, or not.
        mark: of the transaction.
        given_up: set when nobody waits any longer.
        seconds_max: how long it is asked.
    """
    _log.error("commit_in_doubt: %s is away, transaction %s is asked about", database.place, mark)
    until = time.monotonic() + seconds_max
    while True:
        status = _status(database, mark)
        if status in ENDED:
            _log.error("commit_found: transaction %s was %s", mark, status)
            return status == COMMITTED
        if not status or time.monotonic() > until or given_up.wait(PAUSE_SECONDS):
            _log.error("commit_unknown: transaction %s; restart the node", mark)
            return None


def _status(database: Readable, mark: str) -> str:
    """Give the transaction's state; `AWAY` while nobody answers, empty for one that is not remembered."""
    try:
        with database.reading() as connection:
            return str(connection.execute(_STATUS, {"mark": mark}).scalar() or "")
    except sa.exc.DataError:  # another server: this number it has not given yet
        return ""
    except (DomainError, sa.exc.SQLAlchemyError, psycopg.Error):
        return AWAY


def is_away(refusal: DomainError) -> bool:
    """Whether a refusal says that a PostgreSQL server cannot be reached, and not that a file is broken."""
    place = refusal.metadata.get("directory", "")
    return refusal.symbol == DATABASE_UNAVAILABLE and _SERVER.fullmatch(place) is not None


def when_there(
    begin: Callable[[], Result],
    *,
    seconds_max: float = START_SECONDS_MAX,
    pause_seconds: float = PAUSE_SECONDS,
) -> Result:
    """Do what needs the database, again and again while it is away.

    Raises:
        DomainError: what `begin` raises: at once where the database is not away, else when the time is over.
    """
    until = time.monotonic() + seconds_max
    told = -TOLD_EACH_SECONDS
    while True:
        try:
            return begin()
        except DomainError as refusal:
            now = time.monotonic()
            if not is_away(refusal) or now > until:
                raise
            if now - told >= TOLD_EACH_SECONDS:
                told = now
                _log.warning("database_awaited: %s · %s", refusal.sentence("en"), refusal.unsaid)
            time.sleep(pause_seconds)
