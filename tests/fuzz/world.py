"""One server under fuzz: what every world has, and the loop that sends, looks, and stops at a fault."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc

from tanqiao.db.engine import Database
from tanqiao.testing.network import NetworkOfTest
from tests.fuzz.messages import Coverage, Shot
from tests.fuzz.mutations import Pool
from tests.fuzz.oracle import Ledger
from tests.fuzz.servers import Served

CHECK_EVERY_DEFAULT: Final = 1_000
QUARTERS: Final = 4
GROWTH_KIB_MAX: Final = 48 * 1024
"""Resident memory that a server may gain between a quarter of the messages and the last; the figures of the
runs stand in docs/protocol.md. It holds pages of the database, kept batches and open transfers."""
WAIT_SECONDS: Final = 30.0


class FaultFound(Exception):  # noqa: N818 - what the campaign looks for
    """Something happened that must not."""


@dataclass(frozen=True)
class Databases:
    """Addresses of a database: of the service's role and of its owner."""

    url: str
    owner_url: str


@dataclass
class World(ABC):
    """A server, what is staged in it, and a liar.

    Args:
        name: as in the report and in ``--world``.
        network: keys and certificates.
        folder: for settings, logs and what failed.
        databases: fresh and migrated.
        seed: decides every choice.
        check_every: messages between two looks at the tables.
    """

    name: str
    network: NetworkOfTest
    folder: Path
    databases: Databases
    seed: int
    check_every: int = CHECK_EVERY_DEFAULT
    coverage: Coverage = field(default_factory=Coverage)
    pool: Pool = field(default_factory=Pool)
    resident_kib: list[int] = field(default_factory=list)

    served: Served = field(init=False)
    ledger: Ledger = field(init=False)
    database: Database = field(init=False)
    random: Random = field(init=False)
    _since: deque[tuple[Shot, str]] = field(default_factory=deque)
    _next_check: int = 0

    @abstractmethod
    def stage(self) -> None:
        """Start the server and bring it into the states that messages meet."""

    @abstractmethod
    def rounds(self) -> Iterator[None]:
        """Send messages for ever; a step is a batch."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything."""

    def run(self, messages: int) -> None:
        """Send at least so many messages; raises FaultFound."""
        self.random = Random(f"{self.seed}/{self.name}")
        self.stage()
        self.served.faults()
        self._next_check = self.check_every
        rounds = self.rounds()
        try:
            while self.coverage.total < messages:
                next(rounds)
                if self.coverage.total >= self._next_check:
                    self.look()
                if self.coverage.total * QUARTERS >= messages * (len(self.resident_kib) + 1):
                    self.resident_kib.append(self.served.resident_kib())
            self.look()
        except (
            FaultFound,
            AssertionError,
            grpc.RpcError,
        ) as fault:  # the played regions are answered, or assert
            raise FaultFound(self._report(str(fault), messages)) from None
        finally:
            self.coverage.codes.update(self.served.codes)
        grown = self.resident_kib[-1] - self.resident_kib[0]
        if grown > GROWTH_KIB_MAX:
            raise FaultFound(f"{self.name}: memory grew by {grown} KiB, at most {GROWTH_KIB_MAX} are allowed")

    def sent(self, shot: Shot, answer: str) -> None:
        """Note a message and what came back; an answer that says INTERNAL is a fault."""
        self.coverage.note(shot)
        self._since.append((shot, answer))
        if answer:
            self.coverage.codes[answer] += 1
        else:
            self.coverage.silent[shot.base.type_name, shot.base.state] += 1
        if answer == "INTERNAL":
            raise FaultFound(f"INTERNAL: {shot.shown()}")
        if shot.refused and not answer:
            raise FaultFound(f"no reason was given: {shot.shown()}")

    def look(self) -> None:
        """Compare the tables with what they were and read the server's log."""
        self._next_check = self.coverage.total + self.check_every
        found = [*self.ledger.changes(), *self.served.faults()]
        if found:
            raise FaultFound("\n".join(found))
        self._since.clear()

    def _report(self, fault: str, messages: int) -> str:
        kept = self.folder / f"failed-{self.seed}-{self.name.replace(' ', '-')}.json"
        rows: list[dict[str, Any]] = [
            {
                "message": shot.shown(),
                "type": shot.base.type_name,
                "payload": shot.payload.hex(),
                "companion": shot.companion.hex(),
                "answer": answer,
            }
            for shot, answer in self._since
        ]
        kept.write_text(json.dumps({"fault": fault, "since_the_last_look": rows}, indent=1))
        last = self._since[-1][0].shown() if self._since else "nothing sent"
        return (
            f"{self.name}, after {self.coverage.total} messages: {fault}\n"
            f"    last: {last}\n    kept: {kept}\n"
            f"    again, message by message: make fuzz SEED={self.seed} MESSAGES={messages} "
            f"FUZZ_ARGS='--world \"{self.name}\" --alone --check-every 1'"
        )
