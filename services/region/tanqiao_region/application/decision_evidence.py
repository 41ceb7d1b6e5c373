"""What bodies have signed, given back as it was: who checks it needs keys and no node (RULES section 7.3)."""

from __future__ import annotations

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import require_enum
from tanqiao.signing.body_decisions import CONTENT, DECISION_TYPE
from tanqiao_region.application.access import OFFICE, offices_of
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.storage import body_decisions as store
from tanqiao_region.storage.body_decisions import SignatureRow, StatementRow

OBJECT_ID_LENGTH_MAX: Final = 128


class DecisionEvidence:
    """Reads what was signed.

    Args:
        context: the node's own things.
        database: for reading.
    """

    def __init__(self, context: RegionContext, database: Database) -> None:
        self._context = context
        self._database = database

    def page(
        self, object_id: str, kind: int, by: By, after: tuple[int, bytes], limit: int
    ) -> list[decisions_pb2.KeptDecision]:
        """Give a page of the decisions about an object, of one kind or of all, oldest first.

        Raises:
            DomainError: ROLE_NOT_PERMITTED for who neither keeps nor looks at the accounts; ENUM_UNKNOWN.
        """
        offices = offices_of(self._context.pack(legal_date(self._context.now())))
        if not (by.party.startswith(OFFICE) and (offices.keep(by) or offices.look(by))):
            body = ", ".join(sorted(offices.keeping | offices.looking))
            raise DomainError("ROLE_NOT_PERMITTED", role=by.role, action="ListBodyDecisions", body=body)
        if kind:
            require_enum(kind, "kind", tuple(CONTENT))
        with self._database.reading() as connection:
            rows = store.list_statements(connection, object_id, kind, after=after, limit=limit)
        return [message_of(statement, signatures) for statement, signatures in rows]


def message_of(statement: StatementRow, signatures: list[SignatureRow]) -> decisions_pb2.KeptDecision:
    """Give a decision with every signature under it, the one of its sender first."""
    sender = decisions_pb2.BodyDecision.FromString(statement.payload).header.sender
    ordered = sorted(signatures, key=lambda one: (one.party != sender, one.key_id))
    return decisions_pb2.KeptDecision(
        statement=envelope_pb2.Envelope(
            payload=statement.payload,
            payload_type=DECISION_TYPE,
            signatures=[
                envelope_pb2.Signature(key_id=one.key_id, signature=one.signature) for one in ordered
            ],
        ),
        message_hash=statement.message_hash,
        log_index=statement.log_index,
        take_time=Timestamp(seconds=statement.taken_at),
    )
