"""The limit: bare programs that do the same signatures and the same forced writes, and nothing else.

A *group* is what travels under one signature and is committed with one forced write. A limit is as fast as
the machine allows a program that keeps every promise in the same number of messages; what a result lacks to
it is spent on parsing, on looking up, on rules, on the database and on the language.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

STATEMENT_BYTES: Final = 128
"""A batch statement with its pre-authentication encoding."""
WRITE_BYTES: Final = 4096
"""One page: a forced write needs something to write."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the protocol asks for each group: signatures made, signatures checked, forced writes."""

    signatures: int
    checks: int
    forced_writes: int

    def in_words(self, group_size: int) -> str:
        """Say it."""
        return (
            f"{self.signatures} Ed25519 signatures, {self.checks} checks and {self.forced_writes} fsyncs "
            f"per group of {group_size}, one after the other"
        )


CROSS_REGION: Final = Work(signatures=8, checks=8, forced_writes=7)
"""A transfer from its request to both receipts.

Signatures: lock, Prepare, Ready, Decision as kept, Decision to each region, a receipt of each. Checks: lock
at the bridge, Prepare and the lock in it at the destination, Ready, two Decisions, two receipts. Forced
writes: lock, Ready, Decision, its effect at each region, two receipts at the bridge.
"""
BRIDGE_ONLY: Final = Work(signatures=8, checks=4, forced_writes=3)
"""As above with played regions: they write nothing and check nothing."""
LOCAL_TRANSFER: Final = Work(signatures=0, checks=0, forced_writes=1)
"""Nothing crosses a border: one forced write."""


def items_per_second(work: Work, group_size: int, folder: Path, *, seconds: float) -> float:
    """Do the work of one group after the other for some seconds; how many items went through a second."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    statement = bytes(STATEMENT_BYTES)
    signature = key.sign(statement)
    page = bytes(WRITE_BYTES)
    path = folder / "limit.bin"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        groups = 0
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for _ in range(work.signatures):
                signature = key.sign(statement)
            for _ in range(work.checks):
                public.verify(signature, statement)
            for _ in range(work.forced_writes):
                os.write(descriptor, page)
                os.fsync(descriptor)
            groups += 1
        return groups * group_size / elapsed
    finally:
        os.close(descriptor)
        path.unlink()


def rounds(work: Work, group_size: int, folder: Path, *, count: int, seconds: float) -> tuple[float, ...]:
    """Measure a limit several times."""
    return tuple(items_per_second(work, group_size, folder, seconds=seconds) for _ in range(count))
