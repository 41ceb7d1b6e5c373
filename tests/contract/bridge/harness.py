"""A bridge in this process and regions played against it over loopback TLS: real signatures, real storage."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
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
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.batch import batch_hashes, item_envelopes, sign_batch
from tanqiao.signing.commitments import commitment
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, NetworkOfTest
from tanqiao_bridge.bootstrap import Bridge, build
from tanqiao_bridge.settings import Settings

START: Final = "2026-03-02T09:00:00+08:00"
WAIT_SECONDS: Final = 50.0
PREPARE_TYPE: Final = payload_type_of(messages_pb2.Prepare)
SERIES: Final = "310000:SH_SHCER:P-0001:2026:1"
ADDRESS: Final = "TQ-440300-TEST"


def settings_of(network: NetworkOfTest, url: str, owner_url: str, **changes: Any) -> Settings:
    """Give the settings of a bridge of the test network on a database."""
    node = network.network.node(BRIDGE)
    values: dict[str, Any] = {
        "network_id": network.network_id,
        "listen": "127.0.0.1:0",
        "database_url": url,
        "owner_database_url": owner_url if owner_url != url else "",
        "tls_directory": node / "tls",
        "keys_directory": node / "keys",
        "federation_file": node / "federation.json",
        "test_clock_start": datetime.fromisoformat(START).astimezone(UTC),
    }
    return Settings(**{**values, **changes})


@dataclass
class Running:
    """A bridge that serves, and its database as it stands."""

    network: NetworkOfTest
    bridge: Bridge

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.bridge.server.address

    def channel(self, party: str) -> grpc.Channel:
        """Open a channel as a party of the network."""
        return open_channel(self.address, self.network.network.tls(party))

    def recognise(self, agreement_id: str = "A-1", **changes: Any) -> int:
        """Put an agreement Shanghai → Shenzhen in force; its log index."""
        record = messages_pb2.RecognitionRecord(
            agreement_id=agreement_id,
            from_region=SHANGHAI,
            to_region=SHENZHEN,
            programmes=["SH_SHCER"],
            unit_classes=["I"],
            purposes=["voluntary", "event_neutrality"],
            period=values_pb2.Period(
                start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")
            ),
            document="test",
        )
        for name, value in changes.items():
            if isinstance(value, list):
                del getattr(record, name)[:]
                getattr(record, name).extend(value)
            else:
                setattr(record, name, value)
        envelope = self.signed_by_roots(record, ("authority/310000", "authority/440300"))
        stub = directory_pb2_grpc.RecognitionServiceStub(self.channel(SHANGHAI))
        request = directory_pb2.SubmitRecognitionRequest(request_id=agreement_id, record=envelope)
        return int(stub.SubmitRecognition(request, timeout=WAIT_SECONDS).log_index)

    def signed_by_roots(self, record: Any, authorities: Sequence[str]) -> envelope_pb2.Envelope:
        """Sign a record with the roots of authorities; the first is its sender."""
        signers = [self.network.network.root(name).signer for name in authorities]
        header = build_header(
            signers[0],
            network_id=self.network.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(16),
        )
        record.header.CopyFrom(header)
        return sign_envelope(signers, payload_type_of(record), record.SerializeToString())


def run_bridge(network: NetworkOfTest, url: str, owner_url: str, **changes: Any) -> Running:
    """Start a bridge in this process."""
    bridge = build(settings_of(network, url, owner_url, **changes))
    bridge.start()
    return Running(network, bridge)


@dataclass
class PlayedRegion:
    """A region that signs with its real key and does as it is told.

    `answers` decides what a Prepare is answered with; None leaves it without an answer.
    """

    running: Running
    party: str
    answers: Callable[[messages_pb2.Prepare], str | None] = lambda _prepare: "ready"
    incarnation: int = 1
    session_number: int = 0
    decisions: dict[bytes, messages_pb2.Decision] = field(default_factory=dict)
    receipts: dict[bytes, messages_pb2.IssueReceipt] = field(default_factory=dict)
    received: list[tuple[str, Any]] = field(default_factory=list)
    refused: list[sync_pb2.OfferRefused] = field(default_factory=list)
    frames: list[sync_pb2.ConnectResponse] = field(default_factory=list)
    received_number: int = 0
    received_incarnation: int = 0
    sent_number: int = 0
    prepares: dict[bytes, tuple[envelope_pb2.Envelope, bytes]] = field(default_factory=dict)
    _outgoing: Queue[sync_pb2.ConnectRequest | None] = field(default_factory=Queue)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _call: Any = None
    _reader: threading.Thread | None = None
    _channel: Any = None
    ended: bool = False
    ready_payloads: dict[bytes, bytes] = field(default_factory=dict)

    # -- signing -----------------------------------------------------------------------------------------

    def header(
        self, *, transfer_id: bytes = b"", source: str = "", prev_hash: bytes = b""
    ) -> envelope_pb2.Header:
        """Give a header to the bridge."""
        return build_header(
            self.running.network.signer(self.party),
            network_id=self.running.network.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(16),
            source=source,
            transfer_id=transfer_id,
            prev_hash=prev_hash,
        )

    def batch(self, messages: Sequence[Any], companions: Sequence[bytes] = ()) -> envelope_pb2.EnvelopeBatch:
        """Sign messages of one type as a batch."""
        payloads = [message.SerializeToString() for message in messages]
        return sign_batch(
            self.running.network.signer(self.party), payload_type_of(messages[0]), payloads, companions
        )

    def lock(
        self,
        start: int,
        end: int,
        *,
        destination: str = SHENZHEN,
        transfer_id: bytes | None = None,
        series_id: str = SERIES,
        purpose: str = "",
    ) -> tuple[messages_pb2.LockAssertion, bytes]:
        """Make a LockAssertion and the openings beside it."""
        openings = messages_pb2.Openings(
            receiving_address=ADDRESS,
            receiving_address_salt=secrets.token_bytes(16),
            owner_pseudonym=hashlib.sha256(self.party.encode()).digest(),
            owner_salt=secrets.token_bytes(16),
        )
        lock = messages_pb2.LockAssertion(
            header=self.header(transfer_id=transfer_id or secrets.token_bytes(16), source=self.party),
            destination=destination,
            receiving_address_commitment=commitment(ADDRESS.encode(), openings.receiving_address_salt),
            owner_commitment=commitment(openings.owner_pseudonym, openings.owner_salt),
            purpose=purpose,
            quantity_kg=end - start,
        )
        lock.blocks.add(series_id=series_id, start_serial=start, end_serial=end)
        return lock, openings.SerializeToString()

    def use(self, start: int, end: int, *, series_id: str = SERIES) -> messages_pb2.Use:
        """Make a Use that retires serials."""
        use = messages_pb2.Use(
            header=self.header(transfer_id=secrets.token_bytes(16), source=self.party),
            kind=messages_pb2.USE_KIND_RETIRE,
            purpose="event_neutrality",
            beneficiary_commitment=secrets.token_bytes(32),
            owner_commitment=secrets.token_bytes(32),
            quantity_kg=end - start,
            retiring_date=date_message("2026-03-02"),
        )
        use.blocks.add(series_id=series_id, start_serial=start, end_serial=end)
        return use

    # -- the line ------------------------------------------------------------------------------------------

    def connect(self) -> PlayedRegion:
        """Open a new session."""
        self.session_number += 1
        self._outgoing = Queue()
        self.ended = False
        hello = sync_pb2.Hello(
            header=self.header(),
            incarnation=self.incarnation,
            session_number=self.session_number,
            received_number=self.received_number,
            received_incarnation=self.received_incarnation,
            message_versions=[1],
        )
        signer = self.running.network.signer(self.party)
        envelope = sign_envelope(signer, payload_type_of(hello), hello.SerializeToString())
        self._outgoing.put(sync_pb2.ConnectRequest(hello=envelope))
        self._channel = self.running.channel(self.party)
        self._call = sync_pb2_grpc.SyncServiceStub(self._channel).Connect(self._requests(self._outgoing))
        self._reader = threading.Thread(target=self._read, args=(self._call,), daemon=True)
        self._reader.start()
        self.wait(lambda: any(frame.HasField("hello") for frame in self.frames) or self.ended)
        return self

    def disconnect(self) -> None:
        """Cut the line."""
        self._outgoing.put(None)
        if self._call is not None:
            self._call.cancel()
        if self._reader is not None:
            self._reader.join(WAIT_SECONDS)
        self.frames.clear()
        if self._channel is not None:
            self._channel.close()

    def send(self, **frame: Any) -> None:
        """Send one frame."""
        self._outgoing.put(sync_pb2.ConnectRequest(**frame))

    def offer(self, messages: Sequence[Any], companions: Sequence[bytes] = ()) -> None:
        """Offer messages as one batch."""
        self.send(offered=self.batch(messages, companions))

    def offer_locks(self, locks: Sequence[tuple[messages_pb2.LockAssertion, bytes]]) -> list[bytes]:
        """Offer locks with their openings; their transfer ids."""
        self.offer([lock for lock, _ in locks], [companion for _, companion in locks])
        return [lock.header.transfer_id for lock, _ in locks]

    def number(self, messages: Sequence[Any]) -> None:
        """Send numbered messages."""
        first = self.sent_number + 1
        self.sent_number += len(messages)
        self.send(
            numbered=sync_pb2.NumberedBatch(
                incarnation=self.incarnation, first_number=first, batch=self.batch(messages)
            )
        )

    def wait(self, condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
        """Wait until the condition holds; fail the test if it does not in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    kinds = [frame.WhichOneof("frame") for frame in self.frames[-5:]]
                    raise AssertionError(f"{self.party} waited in vain; last frames {kinds}")
                self._changed.wait(min(left, 0.2))

    def outcome(self, transfer_id: bytes) -> messages_pb2.Decision:
        """Wait for the decision of a transfer."""
        self.wait(lambda: transfer_id in self.decisions)
        return self.decisions[transfer_id]

    def _requests(self, queue: Queue[sync_pb2.ConnectRequest | None]) -> Iterator[sync_pb2.ConnectRequest]:
        while True:
            try:
                frame = queue.get(timeout=0.2)
            except Empty:
                if self.ended:
                    return
                continue
            if frame is None:
                return
            yield frame

    def _read(self, call: Any) -> None:
        try:
            for frame in call:
                with self._changed:
                    self._take(frame)
                    self._changed.notify_all()
        except grpc.RpcError as error:
            self.received.append(("error", error))
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _take(self, frame: sync_pb2.ConnectResponse) -> None:
        self.frames.append(frame)
        kind = frame.WhichOneof("frame")
        if kind == "offered":
            self._take_batch(frame.offered)
        elif kind == "numbered":
            numbered = frame.numbered
            self._take_batch(numbered.batch)
            self.received_incarnation = numbered.incarnation
            self.received_number = max(
                self.received_number, numbered.first_number + len(numbered.batch.payloads) - 1
            )
            self.send(
                acknowledge=sync_pb2.Acknowledge(
                    incarnation=numbered.incarnation, up_to_number=self.received_number
                )
            )
        elif kind == "offer_refused":
            self.refused.append(frame.offer_refused)

    def _take_batch(self, batch: envelope_pb2.EnvelopeBatch) -> None:
        hashes = batch_hashes(batch)
        envelopes = item_envelopes(batch) if batch.payload_type == PREPARE_TYPE else []
        readies, refuses = [], []
        for index, payload in enumerate(batch.payloads):
            message = PAYLOAD_TYPES[batch.payload_type].FromString(payload)
            self.received.append((batch.payload_type, message))
            if isinstance(message, messages_pb2.Decision):
                self.decisions[message.header.transfer_id] = message
            elif isinstance(message, messages_pb2.IssueReceipt):
                self.receipts[message.issue_id] = message
            elif isinstance(message, messages_pb2.Prepare):
                companion = batch.companions[index] if batch.companions else b""
                self.prepares[message.header.transfer_id] = (envelopes[index], companion)
                answer = self.answers(message)
                made = self.answer(message, hashes[index], answer) if answer else None
                if isinstance(made, messages_pb2.Ready):
                    readies.append(made)
                elif made is not None:
                    refuses.append(made)
        if readies:
            self.offer(readies)
        if refuses:
            self.offer(refuses)

    def answer(self, prepare: messages_pb2.Prepare, prepare_hash: bytes, answer: str) -> Any:
        """Make a Ready, or a Refuse for the reason named."""
        header = self.header(
            transfer_id=prepare.header.transfer_id, source=prepare.header.source, prev_hash=prepare_hash
        )
        lock_hash = message_hash(prepare.lock.payload_type, prepare.lock.payload)
        if answer == "ready":
            ready = messages_pb2.Ready(header=header, lock_hash=lock_hash, legal_date=prepare.legal_date)
            self.ready_payloads[prepare.header.transfer_id] = ready.SerializeToString()
            return ready
        return messages_pb2.Refuse(
            header=header, lock_hash=lock_hash, reasons=[values_pb2.Refusal(reason=answer)]
        )


def declare(running: Running, region: str, claim: claims_pb2.Claim) -> claims_pb2.DeclareClaimResponse:
    """Declare a claim as a region."""
    envelope = running.network.envelope(claims_pb2.DeclareStatement(claim=claim), region)
    stub = claims_pb2_grpc.ClaimServiceStub(running.channel(region))
    response: claims_pb2.DeclareClaimResponse = stub.DeclareClaim(
        claims_pb2.DeclareClaimRequest(envelope=envelope), timeout=WAIT_SECONDS
    )
    return response


def claim_of(
    claim_id: str,
    *,
    region: str = SHANGHAI,
    filing_code: str = "99310000000000701",
    kind: int = claims_pb2.CLAIM_OBJECT_INSTALMENT,
    start: str = "2026-01-01",
    end: str = "2026-02-01",
    quantity_kg: int = 100_000,
    project_id: str = "P-0001",
) -> claims_pb2.Claim:
    """Give an invented claim to the electricity of an invented plant."""
    programme = claims_pb2.PROGRAMME_SH_SHCER if region == SHANGHAI else claims_pb2.PROGRAMME_SZ_PHCER
    return claims_pb2.Claim(
        claim_id=claim_id,
        object=kind,  # type: ignore[arg-type]
        project_id=project_id,
        asset=claims_pb2.Asset(
            references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=filing_code)],
            kind="pv",
            name="虚构 invented",
            region_code=region.removeprefix("region/"),
        ),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=values_pb2.Period(start_date=date_message(start), end_date=date_message(end)),
        grain=claims_pb2.GRAIN_MONTH,
        programme=programme,
        region=region,
        activity_quantity=240,
        activity_unit="MWh",
        quantity_kg=quantity_kg,
        no_duplicate_commitment=True,
    )


def issue_units(
    running: Running,
    region: PlayedRegion,
    *,
    quantity_kg: int = 100_000,
    start: int = 0,
    claim_id: str = "310000:instalment:1",
    filing_code: str = "99310000000000701",
    period: tuple[str, str] = ("2026-01-01", "2026-02-01"),
) -> messages_pb2.IssueReceipt:
    """Declare an instalment and issue its units; the bridge's receipt."""
    declared = declare(
        running,
        region.party,
        claim_of(claim_id, filing_code=filing_code, start=period[0], end=period[1], quantity_kg=quantity_kg),
    )
    issue = issue_message(region, declared, claim_id, start, quantity_kg, period)
    region.offer([issue])
    region.wait(lambda: issue.issue_id in region.receipts)
    return region.receipts[issue.issue_id]


def issue_message(
    region: PlayedRegion,
    declared: claims_pb2.DeclareClaimResponse,
    claim_id: str,
    start: int,
    quantity_kg: int,
    period: tuple[str, str] = ("2026-01-01", "2026-02-01"),
) -> messages_pb2.Issue:
    """Make an Issue that rests on a declared instalment."""
    return messages_pb2.Issue(
        header=region.header(source=region.party),
        issue_id=secrets.token_bytes(16),
        series=values_pb2.Series(
            series_id=SERIES,
            region_code="310000",
            programme="SH_SHCER",
            source_id="P-0001",
            vintage_year=2026,
            batch_number=1,
            methodology_id="SHCER01010012024I",
            unit_class="I",
        ),
        block=values_pb2.UnitBlock(series_id=SERIES, start_serial=start, end_serial=start + quantity_kg),
        quantity_kg=quantity_kg,
        claim_id=claim_id,
        claim_receipt_hash=message_hash(declared.envelope.payload_type, declared.envelope.payload),
        period=values_pb2.Period(start_date=date_message(period[0]), end_date=date_message(period[1])),
        activity_quantity=240_000_000,
        activity_unit="Wh",
    )


def locations(running: Running) -> list[tuple[int, int, str, int]]:
    """Give the location rows of the test series as the service shows them."""
    stub = directory_pb2_grpc.LocationServiceStub(running.channel(SHENZHEN))
    response = stub.ListLocations(
        directory_pb2.ListLocationsRequest(series_id=SERIES, page_size=1000), timeout=WAIT_SECONDS
    )
    return [
        (row.block.start_serial, row.block.end_serial, row.region, row.state) for row in response.locations
    ]


__all__ = ["KeyRole", "Path", "PlayedRegion", "Running", "run_bridge"]
