"""A real PostgreSQL in a directory: for the tests, and for a federation on one machine.

The server is durable (fsync and full page writes on), listens on the loopback address and a socket in its own
folder, and asks for a SCRAM password that lies in a file only its owner may read. It outlives the process
that started it; a second `start` in the same directory finds it running. It is no replacement for a
database that is backed up and looked after.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy.engine import URL

from tanqiao.db.faults import DATABASE_UNAVAILABLE, one_line
from tanqiao.db.postgres_binaries import (
    Binaries,
    RunAs,
    can_write,
    choose_user,
    find_binaries,
    run,
    shared_folders,
)
from tanqiao.kernel.errors import DomainError

ADMIN: Final = "tanqiao_admin"
HOST: Final = "127.0.0.1"
# A disk that is busy with what others wrote before lets a start wait for its first fsyncs.
START_SECONDS_MAX: Final = 180
STOP_SECONDS_MAX: Final = 60
PORTS_TRIED_MAX: Final = 5
INIT_SECONDS_MAX: Final = 300
# A path of a Unix socket has at most 107 bytes on Linux, 103 on macOS; the name in it takes 20.
SOCKET_FOLDER_BYTES_MAX: Final = 80
LOG_BYTES_MAX: Final = 16 * 1024 * 1024

_OWNER_ONLY: Final = 0o700
_FILE_OWNER_ONLY: Final = 0o600
_SETTINGS_FILE: Final = "tanqiao.conf"
# Larger than any number that Linux or macOS gives to a process.
_NO_PROCESS: Final = 2_147_483_647
_SESSIONS_LEFT: Final = "pre-existing shared memory block"
_SESSIONS_LEFT_SECONDS_MAX: Final = 15

# What makes it durable is said on the command line, which neither a file nor ALTER SYSTEM can weaken.
_DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "data_sync_retry": "off",
    "wal_level": "replica",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_SMALL: Final = {
    "shared_buffers": "64MB",
    "max_connections": "120",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a statement's values may be personal
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A running server.

    Attributes:
        directory: as given to `start`.
        admin_url: address of its superuser, with the password; never to be given to a node.
        port: on the loopback address.
        pid: of the postmaster.
        binaries: folder of psql, pgbench and the other programs.
    """

    directory: Path
    admin_url: URL
    port: int
    pid: int
    binaries: Path

    def stop(self) -> None:
        """Stop it cleanly: sessions are ended, everything is written."""
        stop(self.directory)


def start(
    directory: Path | str, port: int = 0, *, settings: Mapping[str, str] | None = None
) -> EmbeddedPostgres:
    """Start the server of a directory, making it first if there is none; the running one if it runs.

    Args:
        directory: made if it does not exist. Where the server's user cannot reach it (root's home), the data
            lie in a folder of the machine that the file `location` names.
        port: 0 keeps the last one, or takes a free one.
        settings: for a server that is started now; durability cannot be turned off.

    Raises:
        DomainError: PORT_TAKEN, SETTING_INVALID (no binaries, no user), DATABASE_UNAVAILABLE with the last
            line of the server's log.
    """
    directory = Path(directory).absolute()
    directory.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    with _only_one(directory):
        run_as = choose_user()
        root = _place_for_data(directory, run_as)
        if not _password_file(directory).exists():
            _set_aside(root, run_as)
        running = _running(directory, root, run_as)
        if running is not None:
            return running
        binaries = find_binaries(run_as, _major_version(root))
        if not (root / "data" / "PG_VERSION").exists():
            _make_cluster(directory, root, binaries, run_as)
        return _start_on_a_port(directory, root, binaries, run_as, port, settings or {})


def stop(directory: Path | str) -> bool:
    """Stop the server of a directory; False when none ran."""
    directory = Path(directory).absolute()
    if not directory.is_dir():
        return False
    with _only_one(directory):
        root = _known_place(directory)
        if root is None or _postmaster(root) is None:
            return False
        _stop_postmaster(root, choose_user())
        return True


def remove(directory: Path | str) -> None:
    """Stop the server and delete its data and its directory, for good; used by tests."""
    directory = Path(directory).absolute()
    stop(directory)
    root = _known_place(directory)
    if root is not None:
        shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def _stop_postmaster(root: Path, run_as: RunAs) -> None:
    binaries = find_binaries(run_as, _major_version(root))
    command = (binaries.program("pg_ctl"), "stop", "-D", str(root / "data"), "-m", "fast")
    answer = run(
        (*command, "-w", "-t", str(STOP_SECONDS_MAX)), run_as, cwd=root, seconds_max=STOP_SECONDS_MAX + 10
    )
    if answer.returncode != 0 and _postmaster(root) is not None:
        raise DomainError(
            DATABASE_UNAVAILABLE, directory=root, detail=one_line(answer.stderr or answer.stdout)
        )


def _set_aside(root: Path, run_as: RunAs) -> None:
    """Put away, unharmed, the data of a directory that was deleted and made again: their password is gone."""
    data = root / "data"
    if not data.exists():
        return
    if _postmaster(root) is not None:
        _stop_postmaster(root, run_as)
    number = 1 + max((int(path.suffix[1:]) for path in root.glob("data-set-aside.*")), default=0)
    data.rename(root / f"data-set-aside.{number}")


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Let one process at a time start or stop the server of a directory."""
    descriptor = os.open(directory / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _known_place(directory: Path) -> Path | None:
    try:
        return Path((directory / "location").read_text("utf-8").strip())
    except FileNotFoundError:
        return None


def _place_for_data(directory: Path, run_as: RunAs) -> Path:
    """Give the folder of the data, made on first use and owned by the server's user."""
    known = _known_place(directory)
    if known is not None:
        return known
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    for root in (directory / "cluster", *(folder / f"cluster-{name}" for folder in shared_folders())):
        root.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        run_as.own(root)
        if run_as.uid is not None and root.parent == directory:
            # The user passes through, and reads nothing here.
            directory.chmod(directory.stat().st_mode | 0o011)
        if can_write(root, run_as):
            (directory / "location").write_text(f"{root}\n", "utf-8")
            return root
        with suppress(OSError):
            root.rmdir()  # not empty: it is not ours to clear away
    raise DomainError(
        DATABASE_UNAVAILABLE,
        directory=directory,
        detail="the user as whom PostgreSQL runs can reach no folder for its data",
    )


def _major_version(root: Path) -> int | None:
    try:
        return int((root / "data" / "PG_VERSION").read_text("ascii").strip())
    except FileNotFoundError:
        return None


def _make_cluster(directory: Path, root: Path, binaries: Binaries, run_as: RunAs) -> None:
    """Run initdb; a cluster that was left half-made is thrown away first."""
    draft = root / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    for path, owner in ((_password_file(directory), None), (root / "initial-password", run_as)):
        path.unlink(missing_ok=True)
        path.touch(_FILE_OWNER_ONLY, exist_ok=False)
        path.write_text(f"{password}\n", "ascii")
        if owner is not None:
            owner.own(path)
    command = [binaries.program("initdb"), "--pgdata", str(draft), "--username", ADMIN]
    command += ["--pwfile", str(root / "initial-password"), "--auth", "scram-sha-256"]
    # Bytewise order of text, as SQLite's: a query gives its rows in one order on both.
    command += ["--encoding", "UTF8", "--locale", "C", "--data-checksums"]
    answer = run(command, run_as, cwd=root, seconds_max=INIT_SECONDS_MAX)
    (root / "initial-password").unlink()
    if answer.returncode != 0:
        raise DomainError(
            DATABASE_UNAVAILABLE,
            directory=directory,
            detail=f"initdb: {one_line(answer.stderr or answer.stdout)}",
        )
    with (draft / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(f"\ninclude '{_SETTINGS_FILE}'\n")
    draft.rename(root / "data")


def _start_on_a_port(
    directory: Path,
    root: Path,
    binaries: Binaries,
    run_as: RunAs,
    port: int,
    settings: Mapping[str, str],
) -> EmbeddedPostgres:
    for attempt in range(1, PORTS_TRIED_MAX + 1):
        chosen = _choose_port(directory, port)
        _write_settings(root, run_as, chosen, settings)
        failure = _start_once_sessions_are_gone(root, binaries, run_as)
        if failure is None:
            (directory / "port").write_text(f"{chosen}\n", "ascii")
            running = _running(directory, root, run_as)
            if running is not None:
                return running
            failure = "the server started and does not answer"
        if port == 0 and attempt < PORTS_TRIED_MAX and not _is_free(chosen):
            continue  # another process took the port between our look and the start
        raise DomainError(DATABASE_UNAVAILABLE, directory=directory, detail=failure)
    raise DomainError(DATABASE_UNAVAILABLE, directory=directory, detail="found no free port")


def _choose_port(directory: Path, port: int) -> int:
    if port != 0:
        if not _is_free(port):
            raise DomainError("PORT_TAKEN", address=f"{HOST}:{port}")
        return port
    try:
        last = int((directory / "port").read_text("ascii"))
    except (FileNotFoundError, ValueError):
        last = 0
    if last and _is_free(last):
        return last
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _write_settings(root: Path, run_as: RunAs, port: int, settings: Mapping[str, str]) -> None:
    sockets = root / "socket"
    sockets.mkdir(mode=_OWNER_ONLY, exist_ok=True)
    run_as.own(sockets)
    reachable = len(os.fsencode(sockets)) <= SOCKET_FOLDER_BYTES_MAX
    chosen = {
        **_SMALL,
        **settings,
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": str(sockets) if reachable else "",
    }
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in chosen.items()]
    path = root / "data" / _SETTINGS_FILE
    path.write_text("# Written at each start.\n" + "".join(lines), "utf-8")
    run_as.own(path)
    log = root / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.rename(root / "server.log.1")


def _start_once_sessions_are_gone(root: Path, binaries: Binaries, run_as: RunAs) -> str | None:
    """Start the server; the sessions of a killed one notice its death in a moment and are waited for."""
    until = time.monotonic() + _SESSIONS_LEFT_SECONDS_MAX
    while True:
        failure = _try_to_start(root, binaries, run_as)
        if failure is None or _SESSIONS_LEFT not in failure or time.monotonic() > until:
            return failure
        time.sleep(0.1)


def _try_to_start(root: Path, binaries: Binaries, run_as: RunAs) -> str | None:
    """Start the server and wait until it accepts connections; the reason when it does not."""
    _disarm_stale_locks(root)
    log = root / "server.log"
    said_before = log.stat().st_size if log.exists() else 0
    options = " ".join(f"-c {name}={value}" for name, value in _DURABLE.items())
    command = (binaries.program("pg_ctl"), "start", "-D", str(root / "data"), "-l", str(log), "-o", options)
    answer = run(
        (*command, "-w", "-s", "-t", str(START_SECONDS_MAX)),
        run_as,
        cwd=root,
        seconds_max=START_SECONDS_MAX + 10,
    )
    if answer.returncode == 0:
        return None
    lines = log.read_bytes()[said_before:].decode("utf-8", "replace").splitlines() if log.exists() else []
    said = [line for line in lines if re.search(r"(FATAL|PANIC):", line)] or [line for line in lines if line]
    return one_line(said[-1] if said else answer.stderr)


def _postmaster(root: Path) -> int | None:
    """Give the pid of the running postmaster of a cluster."""
    try:
        pid = int((root / "data" / "postmaster.pid").read_text("utf-8").splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return pid if _is_postgres(pid) else None


def _is_postgres(pid: int) -> bool:
    """Tell whether the process lives and is a postgres; a number may have gone to another process."""
    status = Path(f"/proc/{pid}/status")
    if Path("/proc/self/status").exists():
        try:
            text = status.read_text("utf-8", "replace")
        except OSError:
            return False
        return text.startswith("Name:\tpostgres\n") and "\nState:\tZ" not in text
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _disarm_stale_locks(root: Path) -> None:
    """Let a start pass the lock files of a killed server whose number is a zombie's or somebody else's now.

    The rest of postmaster.pid stays: by the shared memory it names PostgreSQL finds out whether a session of
    the killed server still lives, and then refuses to start beside it.
    """
    if _postmaster(root) is not None:
        return
    for lock in (root / "socket").glob(".s.PGSQL.*"):
        lock.unlink()
    path = root / "data" / "postmaster.pid"
    with suppress(FileNotFoundError):
        lines = path.read_text("utf-8").splitlines()
        path.write_text("\n".join([str(_NO_PROCESS), *lines[1:]]) + "\n", "utf-8")


def _running(directory: Path, root: Path, run_as: RunAs) -> EmbeddedPostgres | None:
    """Give the running server once it accepts a session of the administrator."""
    until = time.monotonic() + START_SECONDS_MAX
    while (pid := _postmaster(root)) is not None:
        try:
            port = int((root / "data" / "postmaster.pid").read_text("utf-8").splitlines()[3])
            url = _admin_url(directory, port)
            address = url.set(drivername="postgresql").render_as_string(hide_password=False)
            psycopg.connect(address, connect_timeout=START_SECONDS_MAX).close()
        except (OSError, ValueError, IndexError, psycopg.OperationalError) as error:
            if time.monotonic() > until:
                raise DomainError(
                    DATABASE_UNAVAILABLE, directory=directory, detail=one_line(error)
                ) from error
            time.sleep(0.05)
        else:
            return EmbeddedPostgres(
                directory, url, port, pid, find_binaries(run_as, _major_version(root)).folder
            )
    return None


def _password_file(directory: Path) -> Path:
    return directory / "admin-password"


def _admin_url(directory: Path, port: int) -> URL:
    password = _password_file(directory).read_text("ascii").strip()
    return URL.create("postgresql+psycopg", ADMIN, password, HOST, port, "postgres")
