"""Reads of the orders to other registries for the public service, each in one snapshot."""

from __future__ import annotations

from tanqiao.db.engine import Database
from tanqiao_bridge.storage import registry_orders
from tanqiao_bridge.storage.registry_orders import OrderRow

__all__ = ["OrderRow", "RegistryOrderQueries"]


class RegistryOrderQueries:
    """Reads of one bridge's orders to other registries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def orders(self, *, claim_id: str, before: int, limit: int) -> list[OrderRow]:
        """Give orders before a log index (0: from the newest), newest first."""
        with self._database.reading() as connection:
            return registry_orders.list_orders(connection, claim_id=claim_id, before=before, limit=limit)
