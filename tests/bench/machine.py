"""Facts of the machine without which no number means anything."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
IDLE_WAIT_SECONDS_MAX: Final = 120.0
IDLE_SHARE_MAX: Final = 0.1
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def machine_facts(folder: Path) -> dict[str, str]:
    """Give cores, memory, Python and the file system that is written to."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
        "filesystem": _filesystem(folder),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _filesystem(folder: Path) -> str:
    """Give the type of the file system that holds the folder, by the longest mount point above it."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    path = str(folder.resolve())
    above = [(mount[1], mount[2]) for mount in mounts if path.startswith(mount[1].rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else "unknown"


def cpu_seconds(pid: int) -> float:
    """Give the processor time that a process and its threads have used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def wait_idle(pids: Sequence[int]) -> None:
    """Wait until processes do nothing to speak of: what they had to catch up with is over.

    Raises:
        TimeoutError: they go on and on.
    """
    until = time.monotonic() + IDLE_WAIT_SECONDS_MAX
    while time.monotonic() < until:
        before = sum(map(cpu_seconds, pids))
        time.sleep(1.0)
        if sum(map(cpu_seconds, pids)) - before < IDLE_SHARE_MAX:
            return
    raise TimeoutError("the processes do not come to rest")


def resident_mb(pid: int) -> float:
    """Give the memory that a process holds, in millions of bytes."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()
    return int(fields[1]) * _PAGE_BYTES / 1e6
