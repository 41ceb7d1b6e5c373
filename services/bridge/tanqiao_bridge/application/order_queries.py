"""Reads of freezes and corrections for the public service, each in one snapshot."""

from __future__ import annotations

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.storage import log, orders
from tanqiao_bridge.storage.orders import CorrectionRow, FreezeInForce, OrderRow

__all__ = ["CorrectionRow", "FreezeInForce", "OrderQueries", "OrderRow"]

IN_FORCE_PER_ORDER_MAX = 2_000


class OrderQueries:
    """Reads of one bridge's orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def freezes(self, *, scope: int, after: int, limit: int) -> tuple[list[FreezeInForce], int]:
        """Give what is frozen now behind a row, and the size of the log it stands at."""
        with self._database.reading() as connection:
            rows = orders.list_in_force(connection, scope=scope, order_id=b"", after=after, limit=limit)
            return rows, log.log_size(connection)

    def order(self, order_id: bytes) -> tuple[OrderRow, list[FreezeInForce]]:
        """Give an order and what of it is in force; NOT_FOUND if there is none."""
        with self._database.reading() as connection:
            row = orders.find_order(connection, order_id)
            if row is None:
                raise DomainError("NOT_FOUND", what="order", id=order_id.hex())
            in_force = orders.list_in_force(
                connection, scope=0, order_id=order_id, after=-1, limit=IN_FORCE_PER_ORDER_MAX
            )
            return row, in_force

    def corrections(self, *, series_id: str, after: int, limit: int) -> list[CorrectionRow]:
        """Give corrections behind a log index, oldest first."""
        with self._database.reading() as connection:
            return orders.list_corrections(connection, series_id=series_id, after=after, limit=limit)
