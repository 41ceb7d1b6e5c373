"""One bad request: how it is made and how it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message

from tanqiao.testing.network import SHANGHAI
from tests.contract.bridge.unchanged import World

Build = Callable[[World], Message | bytes]


@dataclass(frozen=True)
class Case:
    """One way to be refused: method, what is wrong, the reason, the request."""

    method: str
    name: str
    symbol: str
    build: Build
    party: str = SHANGHAI
    field: str | None = None

    def __str__(self) -> str:
        return f"{self.method.rpartition('/')[2]}: {self.name}".replace(" ", "_")


def plain(message: Message | bytes) -> Build:
    """Give a request that does not depend on the world."""
    return lambda _world: message
