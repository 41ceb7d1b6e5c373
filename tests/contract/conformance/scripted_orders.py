"""The scripted region with what authorities order and record; and it asks for outcomes."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.approvals import CORRECTION_TYPE, FREEZE_TYPE, open_correction, open_freeze
from tanqiao.signing.batch import item_envelopes, sign_batch
from tests.contract.conformance.scripted import ScriptedRegion
from tests.contract.conformance.scripted_state import COMMIT

HOLDINGS_KG = 1_000_000
ASKS_AFTER_SECONDS = 0.05
ASKING = ("", "outcome-unknown")
"""Faults under which it asks: the right region, and the one that acts on the answer."""


class WholeRegion(ScriptedRegion):
    """A region that knows every row; `fault` names the requirement that it breaks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frozen: set[frozenset[str]] = set()
        self.records: dict[Any, bytes] = {}
        self.given_up_kg = 0

    def held_kg(self) -> int:
        return HOLDINGS_KG - self.given_up_kg

    def lock(self, receiving_address: str, destination: str) -> bytes:
        pair = frozenset((self.party, destination))
        if pair in self.frozen and not self.wrong("freeze"):
            raise DomainError("FROZEN", what=" – ".join(sorted(pair)), document="")
        transfer_id = super().lock(receiving_address, destination)
        if self.fault in ASKING:
            threading.Timer(ASKS_AFTER_SECONDS, self._ask, (transfer_id,)).start()
        return transfer_id

    def _ask(self, transfer_id: bytes) -> None:
        """Ask for the outcome, with the lock as evidence; UNKNOWN and PENDING change nothing."""
        known = self.outgoing[transfer_id]
        evidence = item_envelopes(sign_batch(self.signer, known.payload_type, [known.payload]))[0]
        request = directory_pb2.GetOutcomeRequest(
            source=self.party, transfer_id=transfer_id, evidence=evidence
        )
        with (
            suppress(grpc.RpcError),
            open_channel(self.bridge_address, self.network.tls(self.party)) as channel,
        ):
            directory_pb2_grpc.DecisionServiceStub(channel).GetOutcome(request, timeout=5)
            if self.wrong("outcome-unknown"):
                self._lose_patience(known)

    def _act(self, message: Any, its_hash: bytes) -> None:
        if isinstance(message, messages_pb2.RecordNotice):
            self._record(message)
        else:
            super()._act(message, its_hash)

    def _record(self, notice: messages_pb2.RecordNotice) -> None:
        record, network_id = notice.record, self.network.plan.network_id
        match record.payload_type:
            case payload_type if payload_type == FREEZE_TYPE:
                if not self.wrong("freeze-approvers"):
                    open_freeze(record, network_id, self.directory, at_index=0)
                self._freeze(messages_pb2.Freeze.FromString(record.payload), record.payload)
            case payload_type if payload_type == CORRECTION_TYPE:
                if not self.wrong("correction-approvers"):
                    open_correction(record, network_id, self.directory, at_index=0)
                order = messages_pb2.Correction.FromString(record.payload)
                if order.from_region == self.party and not self.wrong("correction"):
                    self.given_up_kg += sum(block.end_serial - block.start_serial for block in order.blocks)
            case _:
                if len(record.signatures) < 2 and not self.wrong("record"):
                    raise DomainError("SIGNATURE_MISSING", missing=["authority"], role="root")
                agreement = messages_pb2.RecognitionRecord.FromString(record.payload)
                self._once(agreement.agreement_id, record.payload, "record-once")

    def _freeze(self, order: messages_pb2.Freeze, payload: bytes) -> None:
        self._once(order.order_id, payload, "freeze-once")
        pair = frozenset((order.region, order.other_region))
        (self.frozen.discard if order.unfreeze else self.frozen.add)(pair)

    def _once(self, identity: Any, payload: bytes, fault: str) -> None:
        if self.records.setdefault(identity, payload) != payload and not self.wrong(fault):
            raise DomainError("EQUIVOCATION", sender="authority", id=str(identity))

    def _decide_arriving(
        self, key: tuple[str, bytes], decision: messages_pb2.Decision, its_hash: bytes
    ) -> None:
        frozen = frozenset((key[0], self.party)) in self.frozen
        if frozen and decision.outcome == COMMIT and self.wrong("freeze-delivered"):
            raise DomainError("FROZEN", what=key[0], document="")
        super()._decide_arriving(key, decision, its_hash)
