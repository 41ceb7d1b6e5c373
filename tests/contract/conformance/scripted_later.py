"""The scripted region with records of keys, finality under witnesses, and epochs of the bridge."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import (
    log_pb2,
    log_pb2_grpc,
    messages_pb2,
    reconcile_pb2,
    reconcile_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
    sync_pb2,
)
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.federation import open_key_record
from tanqiao.signing.logs import witness_policy
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import allow
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.policy import verify_checkpoint
from tanqiao.tlog.proof import parse_proof, verify_proof
from tests.contract.conformance.scripted_orders import HOLDINGS_KG, WholeRegion
from tests.contract.conformance.scripted_state import BRIDGE, FROM_BRIDGE

KEY_RECORD = payload_type_of(messages_pb2.KeyRecord)
DECISION = payload_type_of(messages_pb2.Decision)
EPOCH = allow(recovery_pb2.EpochRecord, senders=("authority/bridge",), role=KeyRole.ROOT, audience=BRIDGE)
ADOPTED = allow(messages_pb2.Decision, senders=FROM_BRIDGE)
ASKS_EACH_SECONDS = 0.05
CALL_SECONDS = 5


class LaterRegion(WholeRegion):
    """A region that knows every row and every epoch; `fault` names the requirement that it breaks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epoch = (1, 0)
        self.deaf = False
        self.taken: list[tuple[int, bytes]] = []
        self.final: set[tuple[str, bytes]] = set()

    def start(self) -> None:
        super().start()
        if self.fault in ("", "finality-quorum", "finality-leaf"):
            threading.Thread(target=self._ask_each, args=(self.stopping,), daemon=True).start()

    # -- records of keys -----------------------------------------------------------------------------------

    def _record(self, notice: messages_pb2.RecordNotice) -> None:
        if notice.record.payload_type != KEY_RECORD:
            super()._record(notice)
        elif not self.wrong("key-record"):
            self._keep_key(notice.record)

    def _keep_key(self, envelope: envelope_pb2.Envelope) -> None:
        if self.wrong("key-record-root"):
            record = messages_pb2.KeyRecord.FromString(envelope.payload)
        else:
            record = open_key_record(self.verifier, envelope, self.directory, at_index=0)
        if self.wrong("key-revoked"):
            record.revoked = False
        entry = KeyEntry.of_record(record)
        if self.wrong("key-revoked-stays"):
            others = [one for one in self.directory if one.key_id != entry.key_id]
            self.directory = KeyDirectory.of([*others, entry])
        else:
            self.directory = self.directory.with_entries([entry])

    # -- finality ------------------------------------------------------------------------------------------

    def finality(self, transfer_id: bytes) -> str:
        if self.wrong("finality-pending"):
            return "COMMIT"
        with self.lock_:
            return "QUORUM" if any(key[1] == transfer_id for key in self.final) else "PENDING"

    def use_of(self, receiving_address: str) -> None:
        with self.lock_:
            pending = any(
                known.address == receiving_address and known.state == "CREDITED" and key not in self.final
                for key, known in self.arriving.items()
            )
        if pending and not self.wrong("finality-pending"):
            raise DomainError("UNIT_PENDING", ranges=["what came in"])

    def lock_of(self, receiving_address: str, to_address: str, destination: str) -> None:
        del to_address, destination
        self.use_of(receiving_address)

    def _ask_each(self, stopping: threading.Event) -> None:
        with open_channel(self.bridge_address, self.network.tls(self.party)) as channel:
            stub = log_pb2_grpc.LogServiceStub(channel)
            while not stopping.wait(ASKS_EACH_SECONDS):
                with suppress(grpc.RpcError, TlogError):
                    self._make_final(stub)

    def _make_final(self, stub: Any) -> None:
        with self.lock_:
            waiting = {
                key: known.decision_hash
                for key, known in self.arriving.items()
                if known.state == "CREDITED" and key not in self.final
            }
        if not waiting:
            return
        note = stub.GetCheckpoint(log_pb2.GetCheckpointRequest(), timeout=CALL_SECONDS).cosigned_checkpoint
        policy = witness_policy(
            self.network.plan.network_id, self.directory, self.network.federation.witness_group
        )
        if not note:
            return
        counts = not self.wrong("finality-quorum")
        if counts:
            verify_checkpoint(note, policy)
        names = [log_pb2.TransferName(source=key[0], transfer_id=key[1]) for key in waiting]
        request = log_pb2.BatchGetFinalityBundlesRequest(transfers=names)
        for bundle in stub.BatchGetFinalityBundles(request, timeout=CALL_SECONDS).bundles:
            key = (bundle.source, bundle.transfer_id)
            if counts:
                verify_proof(bundle.proof, bundle.leaf, policy)
            parse_proof(bundle.proof)
            proven = decode_leaf(bundle.leaf).message_hashes[-1] == waiting.get(key)
            if proven or self.wrong("finality-leaf"):
                with self.lock_:
                    self.final.add(key)

    # -- epochs of the bridge ------------------------------------------------------------------------------

    def _opened(self, hello: sync_pb2.Hello) -> None:
        self.deaf = not self._follows(hello)
        if self.deaf:
            self.call.cancel()
            return
        if hello.received_number > len(self.outbox) and not self.wrong("restored"):
            self.incarnation, self.recovering, self.outbox = self.incarnation + 1, True, []
            self.call.cancel()
            return
        if self.recovering:
            self._recover()
            return
        if hello.recovering and not self.wrong("epoch-report"):
            self._report()
        super()._opened(hello)

    def _follows(self, hello: sync_pb2.Hello) -> bool:
        """Whether the bridge may speak in this epoch; a new one is kept."""
        if hello.incarnation < self.epoch[0]:
            return self.wrong("epoch-stale")
        if hello.incarnation == self.epoch[0] or self.wrong("epoch-record"):
            return True
        try:
            opened = self.verifier.open_envelope(
                hello.epoch_record, self.directory, allowed=EPOCH, peer=None, at_index=0
            )
        except DomainError:
            return False
        self.epoch = (opened.message.bridge_epoch, opened.message.continues_from_index)
        return True

    def lock(self, receiving_address: str, destination: str) -> bytes:
        if self.recovering:
            raise DomainError("REGION_RECOVERING", region=self.party)
        return super().lock(receiving_address, destination)

    def _recover(self) -> None:
        """Open when the books are the same, with a session of a node that takes orders."""
        with suppress(grpc.RpcError):
            self.recovering = not self._state_books()
        self.call.cancel()

    def _state_books(self) -> bool:
        statement = reconcile_pb2.ReconcileStatement(
            header=self.header(source=self.party),
            run_id=bytes(16),
            depth=reconcile_pb2.RECONCILE_DEPTH_FULL,
            root=bytes(32),
            quantity_kg=HOLDINGS_KG,
        )
        signed = sign_envelope(self.signer, payload_type_of(statement), statement.SerializeToString())
        request = reconcile_pb2.BeginReconciliationRequest(statement=signed)
        with open_channel(self.bridge_address, self.network.tls(self.party)) as channel:
            stub = reconcile_pb2_grpc.ReconcileServiceStub(channel)
            return bool(stub.BeginReconciliation(request, timeout=CALL_SECONDS).same)

    def _take(self, response: sync_pb2.ConnectResponse) -> None:
        if response.WhichOneof("frame") != "reconcile_now":
            super()._take(response)
        elif not self.wrong("reconcile-asked"):
            self._state_books()

    def _report(self) -> None:
        items = [
            recovery_pb2.ReportItem(message=envelope_pb2.Envelope(payload_type=DECISION, payload=payload))
            for index, payload in self.taken
            if index >= self.epoch[1]
        ]
        page = recovery_pb2.SubmitReportRequest(bridge_epoch=self.epoch[0], items=items, complete=True)
        with open_channel(self.bridge_address, self.network.tls(self.party)) as channel:
            recovery_pb2_grpc.RecoveryServiceStub(channel).SubmitReport(page, timeout=CALL_SECONDS)

    def _numbered(self, frame: sync_pb2.NumberedBatch) -> None:
        if not self.deaf:
            super()._numbered(frame)

    def _apply(self, payload_type: str, payload: bytes, item: Any) -> bool:
        taken = super()._apply(payload_type, payload, item)
        if taken and payload_type == DECISION:
            self.taken.append((item.log_index, payload))
        return taken

    def _act(self, message: Any, its_hash: bytes) -> None:
        match message:
            case messages_pb2.Decision() if self._is_void(message):
                raise DomainError("BRIDGE_EPOCH_SUPERSEDED", epoch=message.bridge_epoch, index=self.epoch[1])
            case recovery_pb2.AdoptedNotice():
                self._adopt(message.message)
            case _:
                super()._act(message, its_hash)

    def _is_void(self, decision: messages_pb2.Decision) -> bool:
        older = decision.bridge_epoch < self.epoch[0] and decision.log_index >= self.epoch[1]
        return older and not self.wrong("epoch-older-void")

    def _adopt(self, envelope: envelope_pb2.Envelope) -> None:
        opened = self.verifier.open_envelope(envelope, self.directory, allowed=ADOPTED, peer=None, at_index=0)
        if not self.wrong("epoch-adopted"):
            super()._act(opened.message, message_hash(envelope.payload_type, envelope.payload))
