"""One batch of transfers carried by hand from source to bridge to destination and back, in one thread.

Real nodes on real databases, with nobody between them but the test: what each step costs can be counted, and
is the same each time. Frames pass as bytes, as they do on the line.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import Any, Final
from unittest.mock import patch

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import NotaryState
from tanqiao.signing.batch import BATCH_ITEMS_MAX, sign_batch
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest
from tanqiao_bridge import bootstrap as bridge_bootstrap
from tanqiao_bridge.application.commands import TakeNumbered
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.engine import BridgeEngine
from tanqiao_bridge.server.opening import Opener
from tanqiao_bridge.storage.locations import HELD
from tanqiao_bridge.storage.tables import location, outbox, series
from tanqiao_region.application import opening as region_opening
from tanqiao_region.application.commands import CreateTransfers, Selection, TransferOrder
from tanqiao_region.application.group import Aftermath
from tanqiao_region.application.line import Line
from tanqiao_region.application.writer import Writer
from tests.contract.bridge.harness import Running, run_bridge
from tests.contract.region.harness import (
    HOLDER,
    SERIES,
    SHANGHAI,
    SHENZHEN,
    Node,
    block,
    build_node,
    request,
)

UNITS_KG: Final = 100_000
ATTEMPTS_MAX: Final = 20
NOTHING_BEFORE: Final = 0

Steps = dict[str, Counter[str]]
"""By step: how often each function written in C was called; `lines` counts functions of Python."""


class _HandRegion:
    """One region: its writer without a queue, and what its groups left."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.writer = Writer(node.context)
        self.opener = region_opening.Opener(node.context)
        self.line = Line(node.context, node.region.database, node.region.writer)
        self.left = Aftermath()
        self.writer.tell(self._take)
        self.numbered_after = NOTHING_BEFORE

    def _take(self, aftermath: Aftermath) -> None:
        self.left = aftermath

    def handle(self, command: Any) -> Any:
        return _committed(self.node.region.database, self.writer, command)

    def numbered(self) -> list[bytes]:
        """Give what it has numbered since the last time, as frames."""
        frames = self.line.numbered(self.numbered_after, UNITS_KG)
        self.numbered_after = frames[-1][1]
        return [frame.SerializeToString() for frame, _ in frames]


class ByHand:
    """The three, furnished.

    Args:
        network: certificates and keys of all.
        databases: of the bridge, of Shanghai and of Shenzhen, migrated.
    """

    def __init__(self, network: NetworkOfTest, databases: Sequence[DatabaseUnderTest]) -> None:
        made, *regions = databases
        # What is carried by hand has all the time it needs: no deadline passes beside it.
        self._stack = ExitStack()
        self._stack.enter_context(patch.object(bridge_bootstrap, "DEADLINE_TICK_SECONDS", 3_600.0))
        self.running: Running = run_bridge(network, made.url, made.owner_url)
        self._bridge = self.running.bridge
        self._groups: list[Group] = []
        self._engine = BridgeEngine(self._bridge.context, _no_issues, self._groups.append)
        self._opener = Opener(self._bridge.context)
        self.source, self.destination = (
            _HandRegion(build_node(network, party, (one.url, one.owner_url)))
            for party, one in zip((SHANGHAI, SHENZHEN), regions, strict=True)
        )
        self._sent = {SHANGHAI: NOTHING_BEFORE, SHENZHEN: NOTHING_BEFORE}
        self.steps: Steps = {}
        self._furnish()

    def _furnish(self) -> None:
        self.running.recognise(programmes=[SERIES.programme])
        for region, party in ((self.source, SHANGHAI), (self.destination, SHENZHEN)):
            for notice in self._numbered(party):  # the keys and the agreement
                self._take_numbered(region, notice)
        self.seller = self.source.node.open_account().account_id
        self.source.node.give(self.seller, block(0, UNITS_KG))
        self.buyer = self.destination.node.open_account().account_id
        self.address = self.destination.node.address(self.buyer)
        with self._bridge.database.writing() as connection:
            names = (SERIES.series_id, SHANGHAI, *_rest_of(SERIES), 0)
            insert_rows(connection, series, [names])
            insert_rows(connection, location, [(SERIES.series_id, 0, UNITS_KG, SHANGHAI, HELD, 0)])
            connection.commit()

    def close(self) -> None:
        """Stop the three."""
        self._stack.close()
        self.running.bridge.stop()
        for region in (self.source, self.destination):
            region.node.region.stop()

    # -- one batch -------------------------------------------------------------------------------------------

    def carry(self, count: int) -> int:
        """Carry so many transfers of one kilogram to their end; how many are at their end by now."""
        orders = tuple(self._order() for _ in range(count))
        with self._counted("lock"):
            self.source.handle(CreateTransfers(orders))
        for frame in _bytes_of(self.source.left.offered):
            with self._counted("prepare"):
                prepares = self._offered(frame, SHANGHAI)
            for one in prepares:
                self._answer(one)
        with self._counted("numbered"):
            decisions = {party: self._numbered(party) for party in self._sent}
        for region, party, step in (
            (self.source, SHANGHAI, "moved"),
            (self.destination, SHENZHEN, "credited"),
        ):
            with self._counted(step):
                for data in decisions[party]:
                    self._take_numbered(region, data)
            with self._counted("receipts"):
                self._receipts(region, party)
        return self.carried

    @property
    def carried(self) -> int:
        """How many transfers both regions have given their receipts for."""
        closed = {
            key
            for group in self._groups
            for key, one in group.decisions.items()
            if one.state is NotaryState.CLOSED
        }
        return len(closed)

    def _order(self) -> TransferOrder:
        wish = Selection(series_id=SERIES.series_id, quantity_kg=1)
        return TransferOrder(request(HOLDER), HOLDER, self.seller, SHENZHEN, self.address, wish)

    def _answer(self, prepare: bytes) -> None:
        with self._counted("ready"):
            batch = envelope_pb2.EnvelopeBatch.FromString(prepare)
            command, refused = self.destination.opener.offered(batch)
            assert not refused
            self.destination.handle(command)
            answers = _bytes_of(self.destination.left.offered)
        for answer in answers:
            with self._counted("decision"):
                self._offered(answer, SHENZHEN)

    def _handle(self, command: Any) -> Any:
        return _committed(self._bridge.database, self._engine, command)

    def _offered(self, frame: bytes, party: str) -> list[bytes]:
        """Hand the bridge a frame of offers; what it offers in turn."""
        batch = envelope_pb2.EnvelopeBatch.FromString(frame)
        self._handle(self._opener.offered(batch, party).command)
        return [
            sign_batch(
                self._bridge.context.signer, one.payload_type, one.payloads, one.companions
            ).SerializeToString()
            for one in self._groups[-1].outgoing
        ]

    def _numbered(self, party: str) -> list[bytes]:
        """Give what the bridge has numbered for a region since the last time, as frames."""
        context = self._bridge.context
        with self._bridge.database.reading() as connection:
            rows = outbox.pending(
                connection, party, context.epoch, after=self._sent[party], limit=BATCH_ITEMS_MAX
            )
        found = []
        for kind, same in groupby(rows, key=lambda row: row.kind):
            part = list(same)
            frame = sync_pb2.NumberedBatch(
                incarnation=context.epoch,
                first_number=part[0].number,
                batch=sign_batch(context.signer, kind, [row.payload for row in part]),
            )
            found.append(frame.SerializeToString())
            self._sent[party] = part[-1].number
        return found

    def _take_numbered(self, region: _HandRegion, data: bytes) -> None:
        region.handle(region.opener.numbered(sync_pb2.NumberedBatch.FromString(data)))

    def _receipts(self, region: _HandRegion, party: str) -> None:
        for data in region.numbered():
            frame = sync_pb2.ConnectRequest.FromString(data).numbered
            items = self._opener.numbered(frame.batch, party)
            self._handle(TakeNumbered(party, frame.incarnation, frame.first_number, items))

    @contextmanager
    def _counted(self, step: str) -> Iterator[None]:
        counts = self.steps.setdefault(step, Counter())
        sys.setprofile(_counting(counts))
        try:
            yield
        finally:
            sys.setprofile(None)


def _committed(database: Database, writer: Any, command: Any) -> Any:
    """Let a writer handle one command as a group; the node's own threads may hold the database meanwhile."""
    for _ in range(ATTEMPTS_MAX):
        try:
            with database.writing() as connection:
                answers = writer.handle(connection, [command])
                connection.commit()
        except DomainError as refusal:
            if refusal.symbol != "BUSY":
                raise
        else:
            writer.after_commit([command], answers)
            return answers[0]
    raise AssertionError("the database stays busy")


def _counting(counts: Counter[str]) -> Callable[[Any, str, Any], None]:
    def note(_frame: Any, event: str, called: Any) -> None:
        if event == "c_call":
            counts[called.__name__] += 1
        elif event == "call":
            counts["lines"] += 1

    return note


def _no_issues(*_: object) -> list[Any]:
    return []


def _bytes_of(batches: Sequence[envelope_pb2.EnvelopeBatch]) -> list[bytes]:
    return [batch.SerializeToString() for batch in batches]


def _rest_of(row: Any) -> tuple[Any, ...]:
    return (
        row.programme,
        row.source_id,
        row.vintage_year,
        row.batch_number,
        row.methodology_id,
        row.unit_class,
    )


__all__ = ["ByHand", "Steps"]
