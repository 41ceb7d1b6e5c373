"""Pytest fixtures of the contract suites: every test runs on SQLite and on a real PostgreSQL.

A conftest takes them over: ``from tanqiao.testing.databases import *  # noqa: F403``. Nothing here is ever
skipped: a machine on which no PostgreSQL can be brought up fails the suite. One server serves all tests of
a run; it is durable and small, and one left by a run that was killed is removed by the next run.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tanqiao.db import embedded_postgres
from tanqiao.db.embedded_postgres import EmbeddedPostgres
from tanqiao.db.engine import Database, Role, open_engine
from tanqiao.db.provision import PostgresUrls, copy_database, drop_postgres, provision_postgres

__all__ = [
    "DATABASE_KINDS",
    "DatabaseMaker",
    "DatabaseUnderTest",
    "database",
    "database_kind",
    "database_maker",
    "postgres_server",
    "shared_postgres",
]

DATABASE_KINDS: Final = ("sqlite", "postgresql")
SERVER_SETTINGS: Final = {"max_connections": "200", "shared_buffers": "64MB", "max_wal_size": "1GB"}

SERVER_ROOM_BYTES_MIN: Final = 4 * 2**30
"""Free room that a file system in memory must have before the server's files are put there."""


def folder_for_servers(memory: Path = Path("/dev/shm")) -> Path:  # noqa: S108 - shared by design, as /tmp is
    """Give where the servers of test runs keep their files: in memory where there is room.

    Making and dropping a database waits for the disk longer than most tests run.
    """
    if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK):
        room = os.statvfs(memory)
        if room.f_bavail * room.f_frsize >= SERVER_ROOM_BYTES_MIN:
            return memory
    return Path(tempfile.gettempdir())


_RUNS: Final = folder_for_servers() / f"tanqiao-tests-{os.getuid()}"
_numbers = itertools.count(1)

Prepare = Callable[[str], None]


@dataclass
class DatabaseUnderTest:
    """A fresh database of a test.

    Attributes:
        kind: `sqlite` or `postgresql`.
        url: for the node: on PostgreSQL of a role that owns nothing.
        owner_url: for migrations and for tests that make tables; the same file on SQLite.
        path: the file on SQLite.
    """

    kind: str
    url: str
    owner_url: str
    path: Path | None = None
    _opened: ExitStack = field(default_factory=ExitStack, repr=False)

    def open(self, role: Role = "writer", *, owner: bool = False, **options: float) -> Database:
        """Open it; it is closed at the end of the test."""
        url = self.owner_url if owner else self.url
        return self._opened.enter_context(open_engine(url, role=role, **options))  # type: ignore[arg-type]

    def close(self) -> None:
        """Close what was opened."""
        self._opened.close()


class DatabaseMaker:
    """Gives fresh databases, prepared once and then copied.

    Args:
        folder: for SQLite files.
        server: gives the PostgreSQL server, started when it is first needed.
    """

    def __init__(self, folder: Path, server: Callable[[], EmbeddedPostgres]) -> None:
        self._folder = folder
        self._server = server
        self._templates: dict[tuple[str, str], DatabaseUnderTest] = {}
        self._postgres_urls: dict[str, PostgresUrls] = {}

    def make(self, kind: str, prepare: Prepare | None = None, key: str = "empty") -> DatabaseUnderTest:
        """Give a fresh database.

        Args:
            kind: `sqlite` or `postgresql`.
            prepare: called once per kind and key with the owner's address, to migrate a template.
            key: names what `prepare` makes.
        """
        template = self._templates.get((kind, key))
        if template is None:
            template = self._templates[kind, key] = self._template(kind, key, prepare)
        number = next(_numbers)
        if kind == "sqlite":
            path = self._folder / f"{key}-{number}.db"
            if template.path is not None and template.path.exists():
                shutil.copyfile(template.path, path)
            return _sqlite(path)
        name = f"t{os.getpid()}_{number}"
        return _postgres(copy_database(self._server().admin_url, self._postgres_urls[key], name))

    def drop(self, database: DatabaseUnderTest) -> None:
        """Close a database and delete it."""
        database.close()
        if database.path is not None:
            for suffix in ("", "-wal", "-shm", ".writer-lock"):
                Path(f"{database.path}{suffix}").unlink(missing_ok=True)
        else:
            drop_postgres(self._server().admin_url, database.url.rpartition("/")[2], roles=False)

    def _template(self, kind: str, key: str, prepare: Prepare | None) -> DatabaseUnderTest:
        if kind == "sqlite":
            template = _sqlite(self._folder / f"template-{key}.db")
        else:
            name = f"template{os.getpid()}_{next(_numbers)}"
            self._postgres_urls[key] = provision_postgres(self._server().admin_url, name)
            template = _postgres(self._postgres_urls[key])
        if prepare is not None:
            prepare(template.owner_url)
        return template


def _sqlite(path: Path) -> DatabaseUnderTest:
    url = f"sqlite:///{path}"
    return DatabaseUnderTest("sqlite", url, url, path)


def _postgres(urls: PostgresUrls) -> DatabaseUnderTest:
    owner, service = urls.rendered()
    return DatabaseUnderTest("postgresql", service, owner)


class _SharedServer:
    """One server for all processes of a test run; the last of them removes it."""

    def __init__(self, run_id: str) -> None:
        _RUNS.mkdir(mode=0o711, exist_ok=True)
        self._directory = _RUNS / run_id
        with _locked_runs():
            _remove_abandoned()
            self._directory.mkdir(mode=0o711, exist_ok=True)
            self._users = _open_lock(self._directory / "users.lock")
            fcntl.flock(self._users, fcntl.LOCK_SH)
        self._started: EmbeddedPostgres | None = None

    def get(self) -> EmbeddedPostgres:
        if self._started is None:
            self._started = embedded_postgres.start(self._directory / "postgres", settings=SERVER_SETTINGS)
        return self._started

    def close(self) -> None:
        with _locked_runs():
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return  # another process of the run still uses it
            finally:
                os.close(self._users)
            _remove(self._directory)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _locked_runs() -> Iterator[None]:
    """Let one process at a time join, leave or clear away a run."""
    descriptor = _open_lock(_RUNS / "runs.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned() -> None:
    """Remove servers whose test run was killed: nobody holds their lock any more."""
    for directory in _RUNS.iterdir():
        try:
            users = os.open(directory / "users.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            _remove(directory)
        finally:
            os.close(users)


def _remove(directory: Path) -> None:
    if (directory / "postgres").exists():
        embedded_postgres.remove(directory / "postgres")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[_SharedServer]:
    """The server's directory; the server is started when it is first asked for."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    server = _SharedServer(run_id)
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_server(shared_postgres: _SharedServer) -> EmbeddedPostgres:
    """The PostgreSQL server of this test run."""
    return shared_postgres.get()


@pytest.fixture(scope="session")
def database_maker(tmp_path_factory: pytest.TempPathFactory, shared_postgres: _SharedServer) -> DatabaseMaker:
    """Gives fresh databases; the server is started when the first test needs it."""
    return DatabaseMaker(tmp_path_factory.mktemp("databases"), shared_postgres.get)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each of the two databases in turn."""
    return str(request.param)


@pytest.fixture
def database(database_kind: str, database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    """A fresh database without tables, on SQLite and on PostgreSQL."""
    made = database_maker.make(database_kind)
    yield made
    database_maker.drop(made)
