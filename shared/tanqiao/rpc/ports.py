"""Ports for listeners of this machine that are stopped and come back to the same port."""

from __future__ import annotations

import random
import socket
from typing import Final

from tanqiao.kernel.invariants import require

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(10_000, 32_000)
"""Below what systems hand to whoever connects somewhere (from 32768 on Linux, from 49152 elsewhere).

A port of theirs is free while its listener is away, and may be a stranger's when it comes back.
"""


def free_ports(count: int) -> list[int]:
    """Choose ports on which nobody listens; different callers choose different ones, most likely."""
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    require(len(found) == count, f"fewer than {count} ports are free")
    return found


def is_free(port: int) -> bool:
    """Whether a listener could take the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
