"""Orders to this node alone, and what is frozen here: commands and reads for the public service."""

from __future__ import annotations

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.approvals import open_freeze
from tanqiao.signing.pae import message_hash
from tanqiao_region.application import freezes
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.orders import Orders
from tanqiao_region.storage import orders as order_store
from tanqiao_region.storage.orders import FreezeInForce

__all__ = ["FreezeInForce", "LocalOrders"]


class LocalOrders:
    """Freezes of this node.

    Args:
        context: the node's own things.
        orders: the writer's queue.
        database: read for what is frozen.
    """

    def __init__(self, context: RegionContext, orders: Orders, database: Database) -> None:
        self._context = context
        self._orders = orders
        self._database = database

    def submit(self, caller: str, request_id: str, envelope: envelope_pb2.Envelope) -> tuple[bytes, int]:
        """Verify an order and put it in force: (order id, index of its journal entry).

        Raises:
            DomainError: what `approvals.open_freeze`, `freezes.check_local` and `freezes.submit_local` raise.
        """
        context = self._context
        opened = open_freeze(
            envelope,
            context.network_id,
            context.directory,
            at_index=max(0, context.applied_log_index),
            audience=context.party,
        )
        freezes.check_local(opened.message)
        body = message_hash(envelope.payload_type, envelope.payload)
        request = ClientRequest(caller, request_id, body)

        def work(group: Group) -> tuple[bytes, int] | DomainError:
            return freezes.submit_local(group, request, opened, envelope)

        answer = self._orders.run(work)
        if isinstance(answer, DomainError):
            raise answer
        return answer

    def in_force(self, after: int, limit: int) -> list[FreezeInForce]:
        """Give what is frozen here now behind a row."""
        with self._database.reading() as connection:
            return order_store.list_in_force(connection, after=after, limit=limit)
