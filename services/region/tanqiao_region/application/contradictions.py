"""Contradictory messages that this node has met, as pairs that prove it to a stranger (PROTOCOL R4, R9).

What is kept as evidence is what arrived; a decision that this node never promised anything for is paired with
this node's own signed denial.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tanqiao.api.bridge.v1 import log_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.effects import EvidenceKind
from tanqiao.protocol.refusals import decision_void
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import reason_of_error, refusal_messages
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of, type_name
from tanqiao_region.application import cases
from tanqiao_region.application.context import BRIDGE, RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.storage.evidence import EvidenceRow, list_evidence

ROWS_PER_READ_MAX: Final = 100
DECISION_TYPE: Final = payload_type_of(messages_pb2.Decision)
BUNDLE_TYPE: Final = type_name(log_pb2.FinalityBundle.DESCRIPTOR.name)
UNPROVEN: Final = "finality bundle not proven"
_TWICE: Final = frozenset(
    {
        EvidenceKind.DECISION_EQUIVOCATION.value,
        EvidenceKind.LOCK_EQUIVOCATION.value,
        EvidenceKind.ANSWER_EQUIVOCATION.value,
    }
)

Pair = tuple[envelope_pb2.Envelope, envelope_pb2.Envelope]


def keep_other_decision(group: Group, key: TransferKey, envelopes: Iterable[envelope_pb2.Envelope]) -> bool:
    """Keep a decision of the log beside the one that this node was sent; whether it is another one.

    Args:
        group: of the writer.
        key: the transfer.
        envelopes: the messages that its leaf names.
    """
    own = cases.stored_decision(group, key)
    named = next((one for one in envelopes if one.payload_type == DECISION_TYPE), None)
    if not own or named is None or envelope_pb2.Envelope.FromString(own).payload == named.payload:
        return False
    cases.keep(group, EvidenceKind.DECISION_EQUIVOCATION.value, BRIDGE, named.SerializeToString(), own)
    return True


def keep_unproven(group: Group, key: TransferKey, bundle: bytes, refusal: DomainError) -> None:
    """Keep a FinalityBundle that proves nothing and tell the bridge, whose people settle it.

    Args:
        group: of the writer.
        key: the transfer that it was to make final, which stays pending.
        bundle: serialised, as it came.
        refusal: what does not hold.
    """
    cases.keep(group, UNPROVEN, BRIDGE, cases.envelope_of(BUNDLE_TYPE, bundle))
    cases.nack(group, message_hash(BUNDLE_TYPE, bundle), (reason_of_error(refusal),), key)


class Contradictions:
    """Gives what was kept as evidence since it was asked before, as pairs of envelopes.

    Args:
        context: of the node; signs denials.
        database: of the node.
    """

    def __init__(self, context: RegionContext, database: Database) -> None:
        self._context = context
        self._database = database
        self._after = 0

    def fresh(self) -> list[Pair]:
        """Give the pairs of evidence that was not given before; all of it after a start."""
        with self._database.reading() as connection:
            rows = list_evidence(connection, after=self._after, limit=ROWS_PER_READ_MAX)
        pairs = []
        for row in rows:
            self._after = row.evidence_id
            pair = self._pair(row)
            if pair is not None:
                pairs.append(pair)
        return pairs

    def _pair(self, row: EvidenceRow) -> Pair | None:
        first = envelope_pb2.Envelope.FromString(row.first_envelope)
        if row.second_envelope and (row.kind in _TWICE or row.kind == EvidenceKind.DECISION_VOID.value):
            return first, envelope_pb2.Envelope.FromString(row.second_envelope)
        if row.kind == EvidenceKind.DECISION_VOID.value and first.payload_type == DECISION_TYPE:
            return first, self._denial(first)
        return None

    def _denial(self, decision: envelope_pb2.Envelope) -> envelope_pb2.Envelope:
        """Say under this node's signature that it signed nothing which the decision may rest on (R9)."""
        header = messages_pb2.Decision.FromString(decision.payload).header
        key = TransferKey(header.source, header.transfer_id)
        refused = message_hash(decision.payload_type, decision.payload)
        denial = messages_pb2.Nack(
            header=self._context.header(
                (BRIDGE,), source=key.source, transfer_id=key.transfer_id, prev_hash=refused
            ),
            message_hash=refused,
            reasons=refusal_messages(decision_void(key)),
        )
        return sign_envelope(self._context.signer, cases.NACK_TYPE, denial.SerializeToString())
