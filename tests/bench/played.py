"""Regions played against a bridge that is a process of its own: real signatures, real TLS, no database.

What a played region measures is the bridge alone. It answers each Prepare with Ready and each Decision with
its receipt, and does no more work than that, for it shares the machine with the bridge.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    messages_pb2,
    sync_pb2,
    sync_pb2_grpc,
)
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.cli.local.members import BRIDGE_MEMBER
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.batch import batch_hashes, sign_batch
from tanqiao.signing.commitments import commitment
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tests.bench.processes import Federation

SHANGHAI: Final = "region/310000"
SHENZHEN: Final = "region/440300"
SERIES: Final = "310000:SH_SHCER:P-BENCH:2026:1"
CLAIM_ID: Final = "310000:instalment:bench"
FILING_CODE: Final = "99310000000000701"
ADDRESS: Final = "TQ-440300-BENCH"
WAIT_SECONDS: Final = 120.0
QUANTITY_KG: Final = 10_000_000
ACTIVITY_WH_PER_KG: Final = 2_500
OWNER_PSEUDONYM: Final = hashlib.sha256(b"bench").digest()
READY_TYPE: Final = payload_type_of(messages_pb2.Ready)


class PlayedRegion:
    """One region's line to the bridge."""

    def __init__(self, federation: Federation, party: str) -> None:
        self._federation = federation
        self.party: Final = party
        self._signer = federation.signer(party)
        self._outgoing: SimpleQueue[sync_pb2.ConnectRequest | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._sent_number = 0
        self.committed = 0
        self.aborted = 0
        self.first_reason = ""
        self.issued: messages_pb2.IssueReceipt | None = None
        self._ready = False
        self._ended = ""
        hello = sync_pb2.Hello(
            header=self.header(), incarnation=1, session_number=time.time_ns(), message_versions=[1]
        )
        envelope = sign_envelope(self._signer, payload_type_of(hello), hello.SerializeToString())
        self._outgoing.put(sync_pb2.ConnectRequest(hello=envelope))
        stub = sync_pb2_grpc.SyncServiceStub(federation.channel(BRIDGE_MEMBER, party))
        self._call = stub.Connect(iter(self._outgoing.get, None))
        self._reader = threading.Thread(target=self._read, name=f"played-{party}", daemon=True)
        self._reader.start()
        self.wait(lambda: self._ready)

    def header(
        self, *, transfer_id: bytes = b"", source: str = "", prev_hash: bytes = b""
    ) -> envelope_pb2.Header:
        """Give a header to the bridge."""
        return build_header(
            self._signer,
            network_id=self._federation.home.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(16),
            source=source,
            transfer_id=transfer_id,
            prev_hash=prev_hash,
        )

    def lock(self, start: int, end: int) -> tuple[bytes, bytes]:
        """Give a LockAssertion to Shenzhen and the openings beside it, as bytes."""
        openings = messages_pb2.Openings(
            receiving_address=ADDRESS,
            receiving_address_salt=secrets.token_bytes(16),
            owner_pseudonym=OWNER_PSEUDONYM,
            owner_salt=secrets.token_bytes(16),
        )
        lock = messages_pb2.LockAssertion(
            header=self.header(transfer_id=secrets.token_bytes(16), source=self.party),
            destination=SHENZHEN,
            receiving_address_commitment=commitment(ADDRESS.encode(), openings.receiving_address_salt),
            owner_commitment=commitment(openings.owner_pseudonym, openings.owner_salt),
            quantity_kg=end - start,
            blocks=[values_pb2.UnitBlock(series_id=SERIES, start_serial=start, end_serial=end)],
        )
        return lock.SerializeToString(), openings.SerializeToString()

    def lock_frame(self, locks: Sequence[tuple[bytes, bytes]]) -> sync_pb2.ConnectRequest:
        """Sign locks as one batch; the frame that offers them."""
        batch = sign_batch(
            self._signer,
            payload_type_of(messages_pb2.LockAssertion),
            [lock for lock, _ in locks],
            [companion for _, companion in locks],
        )
        return sync_pb2.ConnectRequest(offered=batch)

    def offer(self, message: Any) -> None:
        """Offer one message."""
        batch = sign_batch(self._signer, payload_type_of(message), [message.SerializeToString()])
        self.send(sync_pb2.ConnectRequest(offered=batch))

    def send(self, frame: sync_pb2.ConnectRequest) -> None:
        """Send one frame."""
        self._outgoing.put(frame)

    def wait(self, condition: Any) -> None:
        """Wait until the condition holds."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or self._ended, WAIT_SECONDS):
                raise TimeoutError(f"{self.party} waited in vain")
        if self._ended and not condition():
            raise ConnectionError(f"{self.party}: {self._ended}")

    def wait_decided(self, count: int) -> None:
        """Wait until so many decisions have come."""
        self.wait(lambda: self.committed + self.aborted >= count)

    def close(self) -> None:
        """End the line."""
        self._outgoing.put(None)
        self._call.cancel()
        self._reader.join(WAIT_SECONDS)

    def _read(self) -> None:
        try:
            for frame in self._call:
                self._take(frame)
            self._note_end("the bridge ended the line")
        except grpc.RpcError as error:
            self._note_end(str(error.details()))

    def _note_end(self, reason: str) -> None:
        with self._changed:
            self._ended = reason
            self._changed.notify_all()

    def _take(self, frame: sync_pb2.ConnectResponse) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "hello":
            with self._changed:
                self._ready = True
                self._changed.notify_all()
        elif kind == "offered":
            self._answer(frame.offered)
        elif kind == "numbered":
            self._take_numbered(frame.numbered)
        elif kind in ("offer_refused", "busy"):
            self._note_end(str(frame))

    def _answer(self, batch: envelope_pb2.EnvelopeBatch) -> None:
        """Promise what every Prepare asks for, under one signature."""
        payloads = []
        for payload, prepare_hash in zip(batch.payloads, batch_hashes(batch), strict=True):
            prepare = messages_pb2.Prepare.FromString(payload)
            header = self.header(
                transfer_id=prepare.header.transfer_id, source=prepare.header.source, prev_hash=prepare_hash
            )
            lock_hash = message_hash(prepare.lock.payload_type, prepare.lock.payload)
            ready = messages_pb2.Ready(header=header, lock_hash=lock_hash, legal_date=prepare.legal_date)
            payloads.append(ready.SerializeToString())
        self.send(sync_pb2.ConnectRequest(offered=sign_batch(self._signer, READY_TYPE, payloads)))

    def _take_numbered(self, numbered: sync_pb2.NumberedBatch) -> None:
        batch = numbered.batch
        last = numbered.first_number + len(batch.payloads) - 1
        acknowledge = sync_pb2.Acknowledge(incarnation=numbered.incarnation, up_to_number=last)
        self.send(sync_pb2.ConnectRequest(acknowledge=acknowledge))
        message_class = PAYLOAD_TYPES[batch.payload_type]
        if message_class is messages_pb2.Decision:
            decisions = [messages_pb2.Decision.FromString(payload) for payload in batch.payloads]
            self._take_decisions(decisions, batch)
        elif message_class is messages_pb2.IssueReceipt:
            self._take_receipt(messages_pb2.IssueReceipt.FromString(batch.payloads[0]))

    def _take_receipt(self, receipt: messages_pb2.IssueReceipt) -> None:
        with self._changed:
            self.issued = receipt
            self._changed.notify_all()

    def _take_decisions(
        self, decisions: Sequence[messages_pb2.Decision], batch: envelope_pb2.EnvelopeBatch
    ) -> None:
        committed = [decision.outcome == messages_pb2.OUTCOME_COMMIT for decision in decisions]
        self._send_receipts(decisions, committed, batch_hashes(batch))
        with self._changed:
            self.committed += sum(committed)
            self.aborted += len(committed) - sum(committed)
            if not all(committed) and not self.first_reason:
                self.first_reason = str(decisions[committed.index(False)].reasons)
            self._changed.notify_all()

    def _send_receipts(
        self, decisions: Sequence[messages_pb2.Decision], committed: Sequence[bool], hashes: Sequence[bytes]
    ) -> None:
        payloads = []
        for decision, done, decision_hash in zip(decisions, committed, hashes, strict=True):
            header = self.header(
                transfer_id=decision.header.transfer_id,
                source=decision.header.source,
                prev_hash=decision_hash,
            )
            payloads.append(self._receipt(header, decision_hash, done=done).SerializeToString())
        kind = messages_pb2.SourceFinal if self.party == SHANGHAI else messages_pb2.DestFinal
        batch = sign_batch(self._signer, payload_type_of(kind), payloads)
        first = self._sent_number + 1
        self._sent_number += len(payloads)
        self.send(
            sync_pb2.ConnectRequest(
                numbered=sync_pb2.NumberedBatch(incarnation=1, first_number=first, batch=batch)
            )
        )

    def _receipt(self, header: envelope_pb2.Header, decision_hash: bytes, *, done: bool) -> Any:
        if self.party == SHANGHAI:
            source_state = messages_pb2.SOURCE_STATE_MOVED if done else messages_pb2.SOURCE_STATE_RELEASED
            return messages_pb2.SourceFinal(header=header, decision_hash=decision_hash, state=source_state)
        state = messages_pb2.DESTINATION_STATE_CREDITED if done else messages_pb2.DESTINATION_STATE_DROPPED
        return messages_pb2.DestFinal(header=header, decision_hash=decision_hash, state=state)


# -- what must be there before units can move ----------------------------------------------------------


def recognise(federation: Federation) -> int:
    """Put an agreement Shanghai → Shenzhen in force, signed by both roots; its index in the log."""
    record = messages_pb2.RecognitionRecord(
        agreement_id="BENCH-1",
        from_region=SHANGHAI,
        to_region=SHENZHEN,
        programmes=["SH_SHCER", "SHCER"],
        unit_classes=["I"],
        purposes=["voluntary", "event_neutrality"],
        period=values_pb2.Period(start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")),
        document="bench",
    )
    signers = [federation.network.root(name).signer for name in ("authority/310000", "authority/440300")]
    record.header.CopyFrom(
        build_header(
            signers[0],
            network_id=federation.home.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(16),
        )
    )
    envelope = sign_envelope(signers, payload_type_of(record), record.SerializeToString())
    stub = directory_pb2_grpc.RecognitionServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    request = directory_pb2.SubmitRecognitionRequest(request_id="bench-1", record=envelope)
    return int(stub.SubmitRecognition(request, timeout=WAIT_SECONDS).log_index)


def declare_instalment(federation: Federation) -> claims_pb2.DeclareClaimResponse:
    """Declare the claim on which the units of the bench rest: an invented plant."""
    claim = claim_of(CLAIM_ID, FILING_CODE, kind=claims_pb2.CLAIM_OBJECT_INSTALMENT)
    envelope = statement(federation, claim)
    stub = claims_pb2_grpc.ClaimServiceStub(federation.channel(BRIDGE_MEMBER, SHANGHAI))
    response: claims_pb2.DeclareClaimResponse = stub.DeclareClaim(
        claims_pb2.DeclareClaimRequest(envelope=envelope), timeout=WAIT_SECONDS
    )
    return response


def claim_of(
    claim_id: str, filing_code: str, *, kind: int = claims_pb2.CLAIM_OBJECT_PROJECT, project: str = "P-BENCH"
) -> claims_pb2.Claim:
    """Give a claim of Shanghai to the electricity of an invented plant."""
    return claims_pb2.Claim(
        claim_id=claim_id,
        object=kind,  # type: ignore[arg-type]  # the numbers of the enum
        project_id=project,
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=filing_code)],
            kind="pv",
            name="虚构 invented",
            region_code="310000",
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=values_pb2.Period(start_date=date_message("2026-01-01"), end_date=date_message("2026-02-01")),
        grain=claims_pb2.GRAIN_MONTH,
        programme=claims_pb2.PROGRAMME_SH_SHCER,
        region=SHANGHAI,
        activity_quantity=QUANTITY_KG * ACTIVITY_WH_PER_KG // 1_000_000,
        activity_unit="MWh",
        quantity_kg=QUANTITY_KG,
        no_duplicate_commitment=True,
    )


def statement(federation: Federation, claim: claims_pb2.Claim) -> envelope_pb2.Envelope:
    """Sign the declaration of a claim."""
    signer = federation.signer(SHANGHAI)
    return sign_envelope(
        signer, payload_type_of(claims_pb2.DeclareStatement), _declaration(federation, claim)
    )


def statements(federation: Federation, claims: Sequence[claims_pb2.Claim]) -> envelope_pb2.EnvelopeBatch:
    """Sign the declarations of many claims with one signature."""
    signer = federation.signer(SHANGHAI)
    payloads = [_declaration(federation, claim) for claim in claims]
    return sign_batch(signer, payload_type_of(claims_pb2.DeclareStatement), payloads)


def _declaration(federation: Federation, claim: claims_pb2.Claim) -> bytes:
    header = build_header(
        federation.signer(SHANGHAI),
        network_id=federation.home.network_id,
        audience=(BRIDGE,),
        message_id=secrets.token_bytes(16),
        source=SHANGHAI,
    )
    return claims_pb2.DeclareStatement(header=header, claim=claim).SerializeToString()


def issue_units(federation: Federation, region: PlayedRegion) -> None:
    """Bring the units of the bench into existence at the played region."""
    declared = declare_instalment(federation)
    issue = messages_pb2.Issue(
        header=region.header(source=region.party),
        issue_id=secrets.token_bytes(16),
        series=values_pb2.Series(
            series_id=SERIES,
            region_code="310000",
            programme="SH_SHCER",
            source_id="P-BENCH",
            vintage_year=2026,
            batch_number=1,
            methodology_id="SHCER01010012024I",
            unit_class="I",
        ),
        block=values_pb2.UnitBlock(series_id=SERIES, start_serial=0, end_serial=QUANTITY_KG),
        quantity_kg=QUANTITY_KG,
        claim_id=CLAIM_ID,
        claim_receipt_hash=message_hash(declared.envelope.payload_type, declared.envelope.payload),
        period=values_pb2.Period(start_date=date_message("2026-01-01"), end_date=date_message("2026-02-01")),
        activity_quantity=QUANTITY_KG * ACTIVITY_WH_PER_KG,
        activity_unit="Wh",
    )
    region.offer(issue)
    region.wait(lambda: region.issued is not None)
    if region.issued is None or not region.issued.accepted:
        raise RuntimeError(f"the units of the bench were refused: {region.issued}")
