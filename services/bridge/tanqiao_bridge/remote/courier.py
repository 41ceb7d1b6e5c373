"""Carries orders to other registries until they are decided, in the order in which they were given.

An order is sent again until its registry's operator has decided: sending is idempotent, and the newest answer
comes back. What is sent and what is answered stands in the tables, so that a bridge that died goes on where
it was. A registry that is silent is asked again, ever more rarely; nothing else waits for it.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import sqlalchemy as sa
import structlog

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.verify import Verifier, allow
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.coordination import TakeOrderAnswer
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import registry_orders
from tanqiao_bridge.storage.registry_orders import OrderRow

TICK_SECONDS: Final = 0.5
PAUSE_SECONDS_MAX: Final = 30.0
ORDERS_PER_ROUND_MAX: Final = 100
ANSWER_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 10.0
ANSWERS: Final = allow(
    coordination_pb2.RegistryOrderAnswer, senders=("gateway/*",), revoked_allowed=False, ended_allowed=True
)

_log = structlog.get_logger(__name__)


class OrderCourier:
    """One thread that sends what is not decided."""

    def __init__(
        self,
        context: BridgeContext,
        database: Database,
        writer: GroupCommit[Any, Any],
        gateways: Gateways,
    ) -> None:
        self._context = context
        self._database = database
        self._writer = writer
        self._gateways = gateways
        self._verifier = Verifier(context.network_id, BRIDGE)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._pauses: dict[bytes, tuple[float, float]] = {}
        """By order that is not decided: when it is sent again, and the pause after that."""
        self._asked_to: dict[str, tuple[int, bytes]] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it was sending is sent again by the next one."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def wake(self) -> None:
        """Look at once: an order was given."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._round()
            except DomainError as refusal:
                _log.warning("orders wait", reason=refusal.symbol)
            except TimeoutError:
                _log.warning("orders wait", reason="BUSY")
            except Exception:  # noqa: BLE001 - whatever it was, the next round begins again from the tables
                _log.exception("orders wait")
            self._wake.wait(TICK_SECONDS)
            self._wake.clear()

    def _round(self) -> None:
        with self._database.reading() as connection:
            rows = [row for registry in self._gateways.names for row in self._due_from(connection, registry)]
            records = registry_orders.key_records_of(connection, BRIDGE) if rows else []
        key_records = [envelope_pb2.Envelope.FromString(record) for record in records]
        silent: set[str] = set()
        sending: set[tuple[str, str]] = set()
        for row in rows:
            if self._stopping.is_set():
                return
            if row.acknowledged_answer is None:
                # No order overtakes one of the same claim: a release before its cancellation frees too much.
                if (row.registry, row.claim_id) in sending:
                    continue
                sending.add((row.registry, row.claim_id))
            due, pause = self._pauses.get(row.order_id, (0.0, TICK_SECONDS))
            if row.registry in silent or time.monotonic() < due:
                continue
            self._pauses[row.order_id] = (time.monotonic() + pause, min(pause * 2, PAUSE_SECONDS_MAX))
            answer = self._gateways.place_order(
                row.registry, envelope_pb2.Envelope.FromString(row.envelope), key_records
            )
            if answer is None:
                silent.add(row.registry)
            else:
                self._take(row, answer)

    def _due_from(self, connection: sa.Connection, registry: str) -> list[OrderRow]:
        """Give the oldest orders that a registry does not have yet, and the next of those it thinks about.

        Of what it has acknowledged, each round takes the next page: many that wait for a person hold up none.
        """
        unsent = registry_orders.open_orders(connection, registry, ORDERS_PER_ROUND_MAX, acknowledged=False)
        after = self._asked_to.get(registry, (-1, b""))
        asked = registry_orders.open_orders(
            connection, registry, ORDERS_PER_ROUND_MAX, acknowledged=True, after=after
        )
        is_last = len(asked) < ORDERS_PER_ROUND_MAX
        self._asked_to[registry] = (-1, b"") if is_last else (asked[-1].log_index, asked[-1].order_id)
        return [*unsent, *asked]

    def _take(self, row: OrderRow, envelope: envelope_pb2.Envelope) -> None:
        try:
            opened = self._verifier.open_envelope(
                envelope,
                self._context.directory,
                allowed=ANSWERS,
                peer=f"gateway/{row.registry}",
                at_index=self._context.log_size,
            )
            acknowledged = opened.message.state == coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
            if acknowledged and row.acknowledged_answer is not None:
                return
            answers = Answers() if acknowledged else self._gateways.look_up([self._claim(row.claim_id)])
            self._writer.submit(TakeOrderAnswer(opened, envelope, answers)).result(ANSWER_SECONDS_MAX)
            if not acknowledged:
                self._pauses.pop(row.order_id, None)
        except DomainError as refusal:
            # It is asked again: what cannot be taken now may be taken later, and the claim waits meanwhile.
            _log.warning("an answer is not taken", order_id=row.order_id.hex(), reason=refusal.symbol)

    def _claim(self, claim_id: str) -> claims_pb2.Claim:
        with self._database.reading() as connection:
            row = claim_rows.load_claims(connection, [claim_id])[claim_id]
        return claims_pb2.Claim.FromString(row.content)
