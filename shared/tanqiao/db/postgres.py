"""PostgreSQL as a durable store: what the server must promise, asked of it on every new connection."""

from __future__ import annotations

import select
import time
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from tanqiao.db.faults import setting_invalid
from tanqiao.db.sessions import doubt_with_the_driver
from tanqiao.kernel.errors import DomainError

CONNECT_TIMEOUT_SECONDS: Final = 20
PING_SECONDS: Final = 5
RESTED_SECONDS: Final = 1.0
"""Time without use after which a connection is asked whether it still lives."""
STATEMENT_TIMEOUT_MS: Final = 30_000
LOCK_TIMEOUT_MS: Final = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 60_000
SERVER_VERSION_MIN: Final = 140_000

# setting → values that keep the promise of ARCHITECTURE section 4
_REQUIRED: Final[dict[str, frozenset[str]]] = {
    "fsync": frozenset({"on"}),
    "full_page_writes": frozenset({"on"}),
    "synchronous_commit": frozenset({"on", "remote_apply"}),
    # off: after a failed fsync the server crashes and recovers from its log instead of trying again
    "data_sync_retry": frozenset({"off"}),
    "default_transaction_isolation": frozenset({"read committed"}),
    "TimeZone": frozenset({"UTC", "Etc/UTC"}),
    "server_encoding": frozenset({"UTF8"}),
    "client_encoding": frozenset({"UTF8"}),
    "standard_conforming_strings": frozenset({"on"}),
}
_NO_PLACE: Final = ("too many clients", "too many connections", "connection slots are reserved")
"""What a server says in English that has no place left; in another language it is told at once."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_ASK: Final = (
    "SELECT "
    + ", ".join(f"current_setting('{name}')" for name in _REQUIRED)
    + ", current_setting('server_version_num')::int"
)


def writer_engine(url: URL, **pool: Any) -> sa.Engine:  # noqa: ANN401 - handed on to SQLAlchemy
    """Make an engine whose transactions are READ COMMITTED, as the overlap guard demands.

    What a writer asks is asked by key, and its sessions keep their plans: one that was made while a table was
    small, or before the server has counted it, would read the whole of it for as long as it is kept.
    """
    return _engine(url, {"enable_seqscan": "off"}, **pool)


def reader_engine(url: URL, **pool: Any) -> sa.Engine:  # noqa: ANN401 - handed on to SQLAlchemy
    """Make an engine that only reads, and whose transactions see one snapshot."""
    engine = _engine(url, {"default_transaction_read_only": "on"}, **pool)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _engine(url: URL, settings: Mapping[str, str] = _NONE, **pool: Any) -> sa.Engine:  # noqa: ANN401 - as above
    options = {
        **settings,
        "jit": "off",  # to compile a statement takes longer than to run it
        "timezone": "UTC",
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    }
    engine = sa.create_engine(
        url,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "client_encoding": "utf8",
            "application_name": "tanqiao",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
        pool_pre_ping=True,
        pool_use_lifo=True,  # the session that has just worked has its statements prepared
        use_native_hstore=False,  # no column is one: the server need not be asked at each start
        hide_parameters=True,  # an error is logged, and a value in it may be personal
        **pool,
    )

    @sa.event.listens_for(engine, "connect")
    def check_settings(connection: psycopg.Connection[Any], _record: object) -> None:
        try:
            row = connection.execute(_ASK).fetchone()
            connection.rollback()
            _require_settings(row)
        except BaseException:
            connection.close()
            raise

    _ping_in_doubt(engine)
    doubt_with_the_driver(engine)
    return engine


def _ping_in_doubt(engine: sa.Engine) -> None:
    """Ask a connection of the pool whether it still lives only where that is in doubt.

    A server that went away has closed the connection, or has something to say: its socket can be read. What
    has rested for `RESTED_SECONDS` may have been cut without a word. Of any other, asking would double what a
    short read costs.
    """
    ping = engine.dialect.do_ping

    def ping_in_doubt(connection: Any) -> bool:  # noqa: ANN401 - the driver's, as SQLAlchemy gives it
        rested = time.monotonic() - given_back.get(connection, 0.0)
        if rested < RESTED_SECONDS and not _is_readable(connection):
            return True
        return ping(connection)

    given_back: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()
    engine.dialect.do_ping = ping_in_doubt  # type: ignore[method-assign, assignment] # of this one

    @sa.event.listens_for(engine, "checkin")
    def note(connection: psycopg.Connection[Any] | None, _record: object) -> None:
        if connection is not None:
            given_back[connection] = time.monotonic()


def _is_readable(connection: psycopg.Connection[Any]) -> bool:
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def _require_settings(row: tuple[Any, ...] | None) -> None:
    if row is None:
        raise setting_invalid("the server did not tell its settings")
    for (name, accepted), found in zip(_REQUIRED.items(), row, strict=False):
        if found not in accepted:
            raise setting_invalid(
                f"the server runs with {name} = {found}; it must be {' or '.join(sorted(accepted))}"
            )
    if row[-1] < SERVER_VERSION_MIN:
        raise setting_invalid(f"PostgreSQL {row[-1] // 10_000} is too old, 14 is the least")


def is_serving(url: URL) -> bool:
    """Whether the server lets sessions begin, whoever asks: it is neither away nor starting nor stopping.

    libpq tells no SQLSTATE of a session that could not begin, and a server's sentences may be in any
    language: its ping alone says whether anybody is there.
    """
    parts = url.set(password=None).translate_connect_args(username="user", database="dbname")
    given = {name: value for name, value in url.query.items() if isinstance(value, str)}
    address = make_conninfo("", **given, **parts, connect_timeout=PING_SECONDS)
    return psycopg.pq.PGconn.ping(address.encode()) == psycopg.pq.Ping.OK


def is_full(refusal: DomainError) -> bool:
    """Whether a server refused a session only because others have taken all places."""
    detail = str(refusal.metadata.get("detail", ""))
    return any(words in detail for words in _NO_PLACE)


def login_refused(refusal: DomainError) -> DomainError:
    """Give the refusal of a user, password or database by a server that is there; waiting mends nothing."""
    place, detail = refusal.metadata.get("directory", ""), str(refusal.metadata.get("detail", ""))
    said = detail.rpartition(" failed: ")[2]
    return setting_invalid(
        f"{place} is there and refuses this session ({said}); set user, password and database of the "
        "address right, or make them on the server, then start again"
    )


def session_setting(connection: sa.Connection, name: str, value: str) -> None:
    """Set a run-time parameter for the rest of the transaction."""
    connection.execute(sa.select(sa.func.set_config(name, value, sa.true())))
