"""Taking an import back: one row that names it; the list before it is current again."""

from __future__ import annotations

from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError
from tanqiao_gateway.application.orders import MICROSECONDS, answer_of
from tanqiao_gateway.storage import orders, records
from tanqiao_gateway.storage.records import ImportRow
from tanqiao_gateway.storage.tables import request_ids


def undo_import(
    database: Database, clock: Clock, import_number: int, reason: str, request: ClientRequest
) -> ImportRow | None:
    """Undo an import as one step; the list that is current then, None if none is left.

    Nothing of it is removed. What orders did to certificates since stays done. The same request again
    changes nothing.

    Raises:
        DomainError: NOT_FOUND; ALREADY_EXISTS where it was undone before; REQUEST_ID_REUSED.
    """
    now = int(clock.now().timestamp())

    def work(unit: UnitOfWork) -> ImportRow | None:
        connection = unit.connection
        if answer_of(connection, request) is not None:
            return records.current_import(connection)
        orders.take_turn(connection)
        if records.load_import(connection, import_number) is None:
            raise DomainError("NOT_FOUND", what="import", id=str(import_number))
        if records.undone(connection, [import_number]):
            raise DomainError("ALREADY_EXISTS", what="undo", id=str(import_number))
        records.insert_undo(connection, import_number, reason=reason, now=now, by=request.caller)
        stored = (request, str(import_number).encode())
        request_ids.store(connection, [stored], created_at_us=now * MICROSECONDS)
        current = records.current_import(connection)
        unit.commit()
        return current

    return run_in_transaction(database, work)
