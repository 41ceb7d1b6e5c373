"""Nodes that look again at once: what is tested does not become truer by waiting for the next look.

Every pause is still there and still passed, only shorter; what a node does between two looks is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Final
from unittest.mock import patch

import pytest

from tanqiao.witnessing import follower
from tanqiao_bridge.application import sealing
from tanqiao_region.server import finality_line, log_uplink, sync_client

PAUSES: Final[tuple[tuple[ModuleType, str, float], ...]] = (
    (sealing, "SEAL_SECONDS", 0.15),
    (follower, "POLL_SECONDS", 0.05),
    (finality_line, "POLL_SECONDS", 0.05),
    (finality_line, "FIRST_GROUP_SECONDS", 0.5),
    (log_uplink, "UPLINK_SECONDS", 0.15),
    (sync_client, "BACKOFF_SECONDS_MIN", 0.05),
)


@contextmanager
def looking_again_at_once() -> Iterator[None]:
    """Shorten the pauses of nodes of this process."""
    with ExitStack() as stack:
        for module, name, seconds in PAUSES:
            assert getattr(module, name) > seconds, f"{name} is shorter already"
            stack.enter_context(patch.object(module, name, seconds))
        yield


@pytest.fixture(autouse=True)
def hasty_nodes() -> Iterator[None]:
    """Shorten the pauses for every test of a folder that takes this fixture over."""
    with looking_again_at_once():
        yield
