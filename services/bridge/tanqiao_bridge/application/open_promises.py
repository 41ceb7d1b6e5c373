"""Locks of a region that are undecided: what it has to honour after a restore (PROTOCOL section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group


@dataclass(frozen=True, slots=True)
class ListOpen:
    """Asked in the writer's queue: behind everything that the region's older sessions have sent."""

    party: str


def list_open(group: Group, command: object) -> list[Material]:
    """Give the locks of a region that are open, as they were received."""
    if not isinstance(command, ListOpen):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="open")
    return [entry.lock for key, entry in group.overlay.all() if key.source == command.party]
