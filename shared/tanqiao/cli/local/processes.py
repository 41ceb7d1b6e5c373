"""Processes that this program started, known by their number and the moment at which they began.

A number alone is not enough: after a crash or a restart of the machine it may belong to somebody else. What
is kept beside it changes with every process: the machine's boot and the tick at which the process began.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STOP_SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 0.05
_STAT: Final = "/proc/{pid}/stat"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_STATE_FIELD: Final = 0
_THREADS_FIELD: Final = 17
_START_FIELD: Final = 19


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done: between a start and its record nothing may come.

    Signals are not blocked but noted, since what is blocked would stay so in a process that is started here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        raise KeyboardInterrupt


def start_mark(pid: int) -> str | None:
    """Give what tells this process from any other that had or will have its number; None when none runs."""
    if _BOOT.exists():
        return _linux_mark(pid)
    return _portable_mark(pid)


def _linux_mark(pid: int) -> str | None:
    try:
        text = Path(_STAT.format(pid=pid)).read_text(encoding="utf-8", errors="replace")
        boot = _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything, brackets included.
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[_STATE_FIELD] == "X":
        return None
    # After SIGKILL the first thread ends before the others, which still hold the ports and the database:
    # until the last of them is gone, the process is not.
    if fields[_STATE_FIELD] == "Z" and fields[_THREADS_FIELD] == "1":
        return None
    return f"{boot}/{fields[_START_FIELD]}"


def _portable_mark(pid: int) -> str | None:
    answer = subprocess.run(  # noqa: S603 - a fixed program
        ["/bin/ps", "-o", "lstart=,stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    began, _, state = answer.stdout.strip().rpartition(" ")
    return None if not began or state.startswith("Z") else began.strip()


def is_running(pid: int, mark: str) -> bool:
    """Whether the process with this number is still the one that was started."""
    return start_mark(pid) == mark


def stop(pid: int, mark: str, *, seconds_max: float = STOP_SECONDS_MAX) -> bool:
    """Ask the process to end, and end it when it does not; True when it ended by itself.

    A number that belongs to another process by now is left alone.
    """
    if not _send(pid, mark, signal.SIGTERM):
        return True
    if wait_until_gone(pid, mark, seconds_max=seconds_max):
        return True
    _send(pid, mark, signal.SIGKILL)
    wait_until_gone(pid, mark, seconds_max=seconds_max)
    return False


def stop_all(started: Iterable[tuple[int, str]], *, seconds_max: float = STOP_SECONDS_MAX) -> list[bool]:
    """Ask all to end at once, then wait for each as `stop` does."""
    processes = list(started)
    for pid, mark in processes:
        _send(pid, mark, signal.SIGTERM)
    return [stop(pid, mark, seconds_max=seconds_max) for pid, mark in processes]


def kill(pid: int, mark: str) -> bool:
    """End the process at once, as a crash would; False when it does not run."""
    return _send(pid, mark, signal.SIGKILL) and wait_until_gone(pid, mark)


def wait_until_gone(pid: int, mark: str, *, seconds_max: float = STOP_SECONDS_MAX) -> bool:
    """Wait until the process has ended."""
    end = time.monotonic() + seconds_max
    while is_running(pid, mark):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _send(pid: int, mark: str, number: signal.Signals) -> bool:
    if not is_running(pid, mark):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
