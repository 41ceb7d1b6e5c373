"""Real faults of storage for a child process: the kernel itself refuses, nothing of ours is replaced.

A seccomp filter makes chosen system calls of this process fail with an error number, from now on and for
good (https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html), as a broken disk would:
`fsync` with EIO, `pwrite64` with ENOSPC. It needs Linux on x86-64 or ARM64 and no privilege. It cannot be
taken back, so that it belongs into a process made for the test.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import struct
import sys
from collections.abc import Mapping
from typing import Final

from tanqiao.kernel.invariants import require

# (audit architecture, number of the seccomp call, numbers of the calls that can be refused)
_MACHINES: Final[dict[str, tuple[int, int, dict[str, int]]]] = {
    "x86_64": (
        0xC000003E,
        317,
        {"pwrite64": 18, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "fallocate": 285},
    ),
    "aarch64": (
        0xC00000B7,
        277,
        {"pwrite64": 68, "fsync": 82, "fdatasync": 83, "ftruncate": 46, "fallocate": 47},
    ),
}
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_ALL_THREADS: Final = 1
_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
_NUMBER_OFFSET: Final = 0
_ARCHITECTURE_OFFSET: Final = 4


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def can_refuse_system_calls() -> bool:
    """Tell whether this machine can do it; a test says so when it skips."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def refuse_system_calls(calls: Mapping[str, int], *, this_thread_only: bool = False) -> None:
    """Make the named system calls of all threads of this process fail with the given error numbers.

    Or those of the calling thread and of threads that it starts later.
    """
    require(can_refuse_system_calls(), "system calls can be refused on Linux only")
    architecture, seccomp, numbers = _MACHINES[platform.machine()]
    program = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD_WORD, 0, 0, _NUMBER_OFFSET),
    ]
    for name, number in calls.items():
        program += [(_JUMP_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _REFUSE | number)]
    program.append((_RETURN, 0, 0, _ALLOW))
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter_program = _Program(len(program), ctypes.cast(packed, ctypes.c_void_p))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    threads = 0 if this_thread_only else _ALL_THREADS
    if library.syscall(seccomp, _SECCOMP_SET_MODE_FILTER, threads, ctypes.byref(filter_program)) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def break_forced_writes(*, this_thread_only: bool = False) -> None:
    """Let every fsync fail with an I/O error."""
    refuse_system_calls({"fsync": errno.EIO, "fdatasync": errno.EIO}, this_thread_only=this_thread_only)


def fill_disk() -> None:
    """Let every write to a position of a file fail as on a full disk; SQLite writes in no other way."""
    refuse_system_calls({"pwrite64": errno.ENOSPC, "fallocate": errno.ENOSPC})


def break_writes() -> None:
    """Let every write to a position of a file fail with an I/O error."""
    refuse_system_calls({"pwrite64": errno.EIO})


def limit_file_size(bytes_max: int | None) -> None:
    """Let writes beyond a size fail, as a quota does; None lifts the limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if bytes_max is None else bytes_max, hard))
