"""Starts and stops the processes of a local federation.

`up` makes what is missing, starts what does not run, and waits until every node answers its health check.
What runs is left as it is, so that `up` twice is one federation. If it fails or is interrupted, it stops what
it started in this call. `run.json` is written before a process is waited for: nothing is ever forgotten.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from tanqiao.cli.local import processes
from tanqiao.cli.local.home import (
    DATABASES,
    DIRECTORY_MODE,
    HOST,
    Choice,
    Home,
    read_json,
    write_private,
)
from tanqiao.cli.local.members import LOG_FILES, LOG_FILES_PORT, MEMBERS, READER, Member, network_plan
from tanqiao.cli.local.settings import write_settings
from tanqiao.client import CallPolicy, ServerClient
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.ports import free_ports, is_free
from tanqiao.signing.provision import provision_network

START_SECONDS_MAX: Final = 120.0
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
LINE_CHARACTERS_MAX: Final = 400
PORTS: Final = ("default", "free")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Started:
    """A process of the federation."""

    name: str
    pid: int
    mark: str
    address: str

    @property
    def running(self) -> bool:
        """Whether it is still the process that was started."""
        return processes.is_running(self.pid, self.mark)


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of a node: whether its process runs, and whether it answers."""

    member: Member
    address: str
    pid: int | None
    serving: bool


class LocalFederation:
    """The processes of one home directory."""

    def __init__(self, home: Home) -> None:
        self.home = home

    # What is known -----------------------------------------------------------------------------------------

    def started(self) -> dict[str, Started]:
        """Give the processes of `run.json` that still run, by name."""
        value = read_json(self.home.run_file) or {}
        found: dict[str, Started] = {}
        for name, entry in dict(value.get("nodes", {})).items():
            try:
                process = Started(name, int(entry["pid"]), str(entry["mark"]), str(entry["address"]))
            except (KeyError, TypeError, ValueError) as error:
                raise DomainError(
                    "SETTING_INVALID", setting="run.json", detail=f"{self.home.run_file}: {name}"
                ) from error
            if process.running:
                found[name] = process
        return found

    def states(self) -> list[NodeState]:
        """Give the state of every node; asks each one that runs."""
        choice = self.home.require_made()
        started = self.started()
        return [
            NodeState(
                member,
                f"{HOST}:{choice.ports[member.name]}",
                started[member.name].pid if member.name in started else None,
                member.name in started and self._answers(member, f"{HOST}:{choice.ports[member.name]}"),
            )
            for member in MEMBERS
        ]

    # Starting ----------------------------------------------------------------------------------------------

    def up(self, *, databases: str | None, ports: str, report: Report) -> list[NodeState]:
        """Make, start and wait; give the state of every node.

        Args:
            databases: ``sqlite`` or ``postgres``; None: what the home uses, else SQLite.
            ports: ``default`` or ``free``; counts at the first start only.
            report: told each step in words.

        Raises:
            DomainError: PORT_TAKEN, SETTING_INVALID, KEY_FILE_PERMISSIONS; PEER_UNREACHABLE with the last
                line that the node wrote.
        """
        with self._only_one():
            choice = self._choose(databases, ports)
            report("证书与密钥 / certificates and keys")
            provision_network(self.home.path, network_plan(), now=datetime.now(UTC))
            if choice.databases == "postgres":
                report("PostgreSQL")
            write_settings(self.home, choice)
            self.start_missing(MEMBERS, report=report)
            return self.states()

    def start_missing(self, members: Iterable[Member], *, report: Report) -> None:
        """Start those that do not run, and wait until each answers; stops what it started if one fails."""
        choice = self.home.require_made()
        running = self.started()
        missing = [member for member in members if member.name not in running]
        for member in missing:
            _require_free(choice.ports[member.name])
        fresh: list[tuple[Member, Started, subprocess.Popen[bytes], int]] = []
        try:
            for member in missing:
                with processes.uninterrupted():
                    process, log_start = self._spawn(member)
                    mark = processes.start_mark(process.pid) or ""
                    started = Started(member.name, process.pid, mark, f"{HOST}:{choice.ports[member.name]}")
                    running[member.name] = started
                    fresh.append((member, started, process, log_start))
                    self._write(running)
            for member, started, process, log_start in fresh:
                self._wait_for(member, started, process, log_start)
                report(f"{member.title} · {started.address}")
        except BaseException:
            processes.stop_all((started.pid, started.mark) for _, started, _, _ in fresh)
            for _, started, process, _ in fresh:
                process.poll()
                running.pop(started.name, None)
            self._write(running)
            raise

    def kill(self, member: Member) -> bool:
        """End a node at once, as a crash would (SIGKILL); False when it does not run."""
        started = self.started().get(member.name)
        return started is not None and processes.kill(started.pid, started.mark)

    # Stopping ----------------------------------------------------------------------------------------------

    def down(self, *, report: Report) -> list[str]:
        """Stop what was started here, the database server last; give the names of what ran."""
        if not self.home.path.is_dir():
            return []
        with self._only_one():
            running = self.started()
            # All at once: whatever is under way is offered again at the next start.
            ended = processes.stop_all((one.pid, one.mark) for one in running.values())
            for name, clean in zip(running, ended, strict=True):
                report(f"{name} ✓" if clean else f"{name} ✓ (SIGKILL)")
            stopped = list(running)
            if self.home.postgres.is_dir():
                from tanqiao.db import embedded_postgres

                if embedded_postgres.stop(self.home.postgres):
                    stopped.append("postgresql")
                    report("postgresql ✓")
            self.home.run_file.unlink(missing_ok=True)
            return stopped

    # Parts -------------------------------------------------------------------------------------------------

    def _choose(self, databases: str | None, ports: str) -> Choice:
        known = self.home.choice()
        if known is not None:
            if databases not in (None, known.databases):
                detail = (
                    f"{self.home.path} was made for {known.databases}; use another --home for {databases}"
                )
                raise DomainError("SETTING_INVALID", setting="databases", detail=detail)
            return known
        kind = databases or DATABASES[0]
        numbers = {member.name: member.port for member in MEMBERS} | {LOG_FILES: LOG_FILES_PORT}
        if ports == "free":
            numbers = dict(zip(numbers, free_ports(len(numbers)), strict=True))
        choice = Choice(kind, numbers)
        for port in numbers.values():
            _require_free(port)
        write_private(self.home.choice_file, json.dumps(asdict(choice), indent=1))
        return choice

    def _spawn(self, member: Member) -> tuple[subprocess.Popen[bytes], int]:
        log = self.home.log(member)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        command = [sys.executable, "-m", member.module, "serve", "--config", str(self.home.config(member))]
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own programs, without a shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.home.node(member),
                # Ctrl-C at the terminal is for the one who asked, not for the nodes.
                start_new_session=True,
            )
            return process, output.tell()

    def _wait_for(
        self, member: Member, started: Started, process: subprocess.Popen[bytes], log_start: int
    ) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while not self._answers(member, started.address):
            if process.poll() is not None:
                raise self._failure(member, started, log_start)
            if time.monotonic() > end:
                detail = f"no answer within {START_SECONDS_MAX:.0f} s; see {self.home.log(member)}"
                raise DomainError(
                    "PEER_UNREACHABLE", peer=member.name, address=started.address, detail=detail
                )
            time.sleep(processes.POLL_SECONDS)

    def _failure(self, member: Member, started: Started, log_start: int) -> DomainError:
        """Give the node's own last line as the reason."""
        with self.home.log(member).open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        last = lines[-1][:LINE_CHARACTERS_MAX] if lines else f"it ended; see {self.home.log(member)}"
        return DomainError("PEER_UNREACHABLE", peer=member.name, address=started.address, detail=last)

    def _answers(self, member: Member, address: str) -> bool:
        tls = self.home.caller_tls(READER)
        with ServerClient(member.party, address, tls, policy=CallPolicy(attempts_max=1)) as client:
            return client.is_serving()

    def _write(self, running: dict[str, Started]) -> None:
        nodes = {name: asdict(started) for name, started in running.items()}
        write_private(self.home.run_file, json.dumps({"nodes": nodes}, indent=1))

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Let one `up` or `down` work at a time."""
        try:
            self.home.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            descriptor = os.open(self.home.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            detail = f"{self.home.path}: {error.strerror}"
            raise DomainError("SETTING_INVALID", setting="home", detail=detail) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _require_free(port: int) -> None:
    if not is_free(port):
        raise DomainError("PORT_TAKEN", address=f"{HOST}:{port}")
