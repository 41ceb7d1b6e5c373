"""A bridge for tests of a region node: real certificates and signatures, and no judgement of its own.

It commits what it is asked to commit, in memory, and can be told to hold back, to abort, to repeat or to lie.
What it sends and receives is kept for the test to look at.
"""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.testing.network import BRIDGE, NetworkOfTest

CALLERS = {
    "/tanqiao.api.bridge.v1.SyncService/Connect": ("region/*",),
    "/tanqiao.api.bridge.v1.SyncService/SubmitMessages": ("region/*",),
}
ZERO_HASH = bytes(32)
BATCH_MAX = 1000


def type_of(message: Any) -> str:
    return payload_type_of(message)


LOCK = type_of(messages_pb2.LockAssertion)
USE = type_of(messages_pb2.Use)
ISSUE = type_of(messages_pb2.Issue)
WITHDRAW = type_of(messages_pb2.Withdraw)
READY = type_of(messages_pb2.Ready)
REFUSE = type_of(messages_pb2.Refuse)
PREPARE = type_of(messages_pb2.Prepare)
DECISION = type_of(messages_pb2.Decision)
RECEIPT = type_of(messages_pb2.IssueReceipt)


@dataclass
class Seen:
    """A message as it came from a region."""

    party: str
    payload_type: str
    payload: bytes
    companion: bytes
    envelope: envelope_pb2.Envelope | None = None

    @property
    def message(self) -> Any:
        return PAYLOAD_TYPES[self.payload_type].FromString(self.payload)

    @property
    def hash(self) -> bytes:
        return message_hash(self.payload_type, self.payload)


@dataclass
class Peer:
    """One region as the fake bridge sees it: its session, and what is numbered for it."""

    frames: queue.Queue[sync_pb2.ConnectResponse | None] | None = None
    numbered: list[tuple[str, bytes]] = field(default_factory=list)
    received_number: int = 0
    received_incarnation: int = 0
    acknowledged: int = 0
    hellos: list[Any] = field(default_factory=list)


class FakeBridge(sync_pb2_grpc.SyncServiceServicer):
    """See the module's text.

    `on_lock`, `on_answer`, `on_use` and `on_issue` are what it does with offers; a test replaces them.
    """

    def __init__(self, network: NetworkOfTest, legal_date: date = date(2026, 3, 2)) -> None:
        self.network = network
        self.signer = network.signer(BRIDGE)
        self.legal_date = legal_date
        self.epoch = 1
        self.peers: dict[str, Peer] = {}
        self.seen: list[Seen] = []
        self.locks: dict[tuple[str, bytes], Seen] = {}
        self.prepares: dict[tuple[str, bytes], bytes] = {}
        self.decided: dict[tuple[str, bytes], bytes] = {}
        self.finals: list[Seen] = []
        self.nacks: list[Seen] = []
        self.busy: list[sync_pb2.Busy] = []
        self.message_versions = [1]
        self.series: dict[str, values_pb2.Series] = {}
        self.changed = threading.Condition(threading.RLock())
        self._log_index = itertools.count()
        self.keep_seen = True
        self.on_lock: Callable[[list[Seen]], None] = self.prepare
        self.on_answer: Callable[[list[Seen]], None] = self.commit
        self.on_use: Callable[[list[Seen]], None] = self.commit_uses
        self.on_issue: Callable[[list[Seen]], None] = self.accept_issues
        self.server: Server | None = None

    # -- serving ---------------------------------------------------------------------------------------

    def start(self, address: str = "127.0.0.1:0") -> str:
        tls = TlsFiles.of(self.network.network.node(BRIDGE) / "tls")
        registration = Registration(sync_pb2_grpc.add_SyncServiceServicer_to_server, self)
        self.server = build_server(
            ServerOptions(address, tls, self.network.network_id, BRIDGE),
            [registration],
            CALLERS,
            now=datetime.now(UTC),
        )
        self.server.start()
        return self.server.address

    def stop(self) -> None:
        with self.changed:
            for peer in self.peers.values():
                if peer.frames is not None:
                    peer.frames.put(None)
        if self.server is not None:
            self.server.stop(0.2)

    def peer(self, party: str) -> Peer:
        with self.changed:
            return self.peers.setdefault(party, Peer())

    def Connect(self, request_iterator: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        party = current_caller().party
        hello = sync_pb2.Hello.FromString(next(request_iterator).hello.payload)
        peer = self.peer(party)
        frames: queue.Queue[sync_pb2.ConnectResponse | None] = queue.Queue()
        with self.changed:
            if peer.frames is not None:
                peer.frames.put(None)
            peer.frames = frames
            peer.hellos.append(hello)
            known = peer.received_number if peer.received_incarnation == hello.incarnation else 0
            answer = sync_pb2.Hello(
                header=self.header((party,)),
                incarnation=self.epoch,
                session_number=hello.session_number,
                received_number=known,
                received_incarnation=hello.incarnation,
                message_versions=self.message_versions,
            )
            envelope = sign_envelope(self.signer, type_of(answer), answer.SerializeToString())
            frames.put(sync_pb2.ConnectResponse(hello=envelope))
            after = hello.received_number if hello.received_incarnation == self.epoch else 0
            self._send_numbered(peer, after)
            self.changed.notify_all()
        reader = threading.Thread(
            target=self._read, args=(request_iterator, party, peer, frames), daemon=True
        )
        reader.start()
        while (frame := frames.get()) is not None:
            yield frame

    def SubmitMessages(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise AssertionError("a node uses its stream")

    def cut(self, party: str) -> None:
        """End the session of a region."""
        with self.changed:
            frames, self.peer(party).frames = self.peer(party).frames, None
            if frames is not None:
                frames.put(None)

    def _read(self, frames: Iterator[Any], party: str, peer: Peer, session: Any) -> None:
        try:
            for frame in frames:
                self._take(frame, party, peer)
        except grpc.RpcError:
            pass
        finally:
            session.put(None)

    def _take(self, frame: sync_pb2.ConnectRequest, party: str, peer: Peer) -> None:
        kind = frame.WhichOneof("frame")
        with self.changed:
            if kind == "offered":
                self._offered(party, frame.offered)
            elif kind == "numbered":
                self._numbered(party, peer, frame.numbered)
            elif kind == "acknowledge":
                peer.acknowledged = max(peer.acknowledged, frame.acknowledge.up_to_number)
            elif kind == "busy":
                self.busy.append(frame.busy)
            elif kind == "returned_prepare":
                returned = frame.returned_prepare
                self.seen.append(
                    Seen(
                        party,
                        PREPARE,
                        returned.prepare.payload,
                        returned.openings.SerializeToString(),
                        returned.answer,
                    )
                )
            self.changed.notify_all()

    def _offered(self, party: str, batch: envelope_pb2.EnvelopeBatch) -> None:
        beside = list(batch.companions) or [b""] * len(batch.payloads)
        items = [
            Seen(party, batch.payload_type, payload, companion)
            for payload, companion in zip(batch.payloads, beside, strict=True)
        ]
        if self.keep_seen:
            self.seen.extend(items)
        if batch.payload_type == LOCK:
            for item, envelope in zip(items, item_envelopes(batch), strict=True):
                item.envelope = envelope
            self.on_lock(items)
        elif batch.payload_type in (READY, REFUSE):
            self.on_answer(items)
        elif batch.payload_type == USE:
            self.on_use(items)
        elif batch.payload_type == ISSUE:
            self.on_issue(items)

    def _numbered(self, party: str, peer: Peer, frame: sync_pb2.NumberedBatch) -> None:
        assert frame.first_number <= peer.received_number + 1
        for position, payload in enumerate(frame.batch.payloads):
            number = frame.first_number + position
            if number <= peer.received_number and peer.received_incarnation == frame.incarnation:
                continue
            seen = Seen(party, frame.batch.payload_type, payload, b"")
            (self.nacks if "nack" in frame.batch.payload_type else self.finals).append(seen)
            peer.received_number, peer.received_incarnation = number, frame.incarnation
        acknowledge = sync_pb2.Acknowledge(incarnation=frame.incarnation, up_to_number=peer.received_number)
        if peer.frames is not None:
            peer.frames.put(sync_pb2.ConnectResponse(acknowledge=acknowledge))

    # -- sending -----------------------------------------------------------------------------------------

    def header(self, audience: tuple[str, ...], **fields: Any) -> envelope_pb2.Header:
        return build_header(
            self.signer,
            network_id=self.network.network_id,
            audience=audience,
            message_id=secrets.token_bytes(16),
            **fields,
        )

    def number(self, party: str, messages: Sequence[tuple[str, bytes]]) -> None:
        """Number messages of one type for a region and send them."""
        with self.changed:
            peer = self.peer(party)
            first = len(peer.numbered)
            peer.numbered.extend(messages)
            self._send_numbered(peer, first)

    def _send_numbered(self, peer: Peer, after: int) -> None:
        if peer.frames is None:
            return
        rows = peer.numbered[after:]
        number = after + 1
        for payload_type, group in itertools.groupby(rows, key=lambda row: row[0]):
            payloads = [payload for _, payload in group]
            for at in range(0, len(payloads), BATCH_MAX):
                part = payloads[at : at + BATCH_MAX]
                numbered = sync_pb2.NumberedBatch(
                    incarnation=self.epoch,
                    first_number=number,
                    batch=sign_batch(self.signer, payload_type, part),
                )
                peer.frames.put(sync_pb2.ConnectResponse(numbered=numbered))
                number += len(part)

    def offer(
        self, party: str, payload_type: str, payloads: Sequence[bytes], companions: Sequence[bytes] = ()
    ) -> None:
        """Send offers to a region."""
        with self.changed:
            frames = self.peer(party).frames
            if frames is None:
                return
            for at in range(0, len(payloads), BATCH_MAX):
                batch = sign_batch(
                    self.signer,
                    payload_type,
                    payloads[at : at + BATCH_MAX],
                    companions[at : at + BATCH_MAX],
                )
                frames.put(sync_pb2.ConnectResponse(offered=batch))

    # -- what it does with offers ------------------------------------------------------------------------

    def hold(self, items: list[Seen]) -> None:
        """Do nothing."""

    def prepare(self, items: list[Seen]) -> None:
        """Send a Prepare for each lock to its destination."""
        by_destination: dict[str, list[Seen]] = {}
        for item in items:
            lock = item.message
            key = (item.party, lock.header.transfer_id)
            self.locks.setdefault(key, item)
            if key in self.decided:
                self.offer(item.party, DECISION, [self.decided[key]])
            else:
                by_destination.setdefault(lock.destination, []).append(item)
        for destination, locks in by_destination.items():
            payloads = [self.prepare_payload(item, destination) for item in locks]
            self.offer(destination, PREPARE, payloads, [item.companion for item in locks])

    def prepare_payload(self, item: Seen, destination: str) -> bytes:
        lock = item.message
        key = (item.party, lock.header.transfer_id)
        if key not in self.prepares:
            named = {block.series_id for block in lock.blocks}
            self.prepares[key] = messages_pb2.Prepare(
                header=self.header(
                    (destination,),
                    source=item.party,
                    transfer_id=lock.header.transfer_id,
                    prev_hash=item.hash,
                ),
                legal_date=date_message(self.legal_date),
                lock=item.envelope,
                series=[self.series[series_id] for series_id in sorted(named) if series_id in self.series],
            ).SerializeToString()
        return self.prepares[key]

    def commit(self, items: list[Seen]) -> None:
        """Commit on every Ready, abort on every Refuse, for both sides."""
        made: dict[str, list[tuple[str, bytes]]] = {}
        for item in items:
            answer = item.message
            key = (answer.header.source, answer.header.transfer_id)
            if key in self.decided:
                continue
            ready = item.payload_type == READY
            lock = self.locks[key].message
            payload = self.decision(
                key,
                (key[0], lock.destination),
                commit=ready,
                lock_hash=answer.lock_hash,
                ready_hash=item.hash if ready else ZERO_HASH,
                reasons=[] if ready else list(answer.reasons),
            )
            for party in (key[0], lock.destination):
                made.setdefault(party, []).append((DECISION, payload))
        for party, messages in made.items():
            self.number(party, messages)

    def commit_uses(self, items: list[Seen]) -> None:
        """Commit every Use."""
        self._decide_uses(items, commit=True, reasons=[])

    def abort_uses(self, items: list[Seen], symbol: str = "FROZEN") -> None:
        """Abort every Use."""
        self._decide_uses(items, commit=False, reasons=[values_pb2.Refusal(reason=symbol)])

    def _decide_uses(self, items: list[Seen], *, commit: bool, reasons: list[Any]) -> None:
        for item in items:
            key = (item.party, item.message.header.transfer_id)
            self.locks.setdefault(key, item)
            if key not in self.decided:
                payload = self.decision(
                    key,
                    (item.party,),
                    commit=commit,
                    lock_hash=item.hash,
                    ready_hash=ZERO_HASH,
                    reasons=reasons,
                )
                self.number(item.party, [(DECISION, payload)])

    def abort(self, key: tuple[str, bytes], symbol: str = "DECIDE_BY_PASSED") -> bytes:
        """Decide ABORT for a lock, for both sides."""
        with self.changed:
            lock = self.locks[key]
            destination = lock.message.destination
            payload = self.decision(
                key,
                (key[0], destination),
                commit=False,
                lock_hash=lock.hash,
                ready_hash=ZERO_HASH,
                reasons=[values_pb2.Refusal(reason=symbol)],
            )
            for party in (key[0], destination):
                self.number(party, [(DECISION, payload)])
            return payload

    def decision(
        self,
        key: tuple[str, bytes],
        audience: tuple[str, ...],
        *,
        commit: bool,
        lock_hash: bytes,
        ready_hash: bytes,
        reasons: list[Any],
    ) -> bytes:
        payload = messages_pb2.Decision(
            header=self.header(audience, source=key[0], transfer_id=key[1], prev_hash=lock_hash),
            outcome=messages_pb2.OUTCOME_COMMIT if commit else messages_pb2.OUTCOME_ABORT,
            lock_hash=lock_hash,
            ready_hash=ready_hash,
            log_index=next(self._log_index),
            reasons=reasons,
            legal_date=date_message(self.legal_date),
            bridge_epoch=self.epoch,
        ).SerializeToString()
        self.decided[key] = payload
        return payload

    def accept_issues(self, items: list[Seen]) -> None:
        """Accept every Issue."""
        self._answer_issues(items, accepted=True)

    def refuse_issues(self, items: list[Seen]) -> None:
        """Refuse every Issue."""
        self._answer_issues(items, accepted=False)

    def _answer_issues(self, items: list[Seen], *, accepted: bool) -> None:
        for item in items:
            issue = item.message
            self.series[issue.series.series_id] = issue.series
            receipt = messages_pb2.IssueReceipt(
                header=self.header((item.party,), prev_hash=item.hash),
                issue_id=issue.issue_id,
                issue_hash=item.hash,
                accepted=accepted,
                reasons=[] if accepted else [values_pb2.Refusal(reason="CLAIM_OVERLAP")],
                log_index=next(self._log_index),
                legal_date=date_message(self.legal_date),
            ).SerializeToString()
            self.number(item.party, [(RECEIPT, receipt)])

    def announce(self, party: str, record: envelope_pb2.Envelope) -> None:
        """Send a record of the authorities to a region."""
        notice = messages_pb2.RecordNotice(
            header=self.header((party,)),
            record=record,
            log_index=next(self._log_index),
            series=self.series.values(),
        )
        self.number(party, [(type_of(notice), notice.SerializeToString())])

    # -- waiting -----------------------------------------------------------------------------------------

    def wait_until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something holds; fails the test otherwise."""
        with self.changed:
            assert self.changed.wait_for(holds, seconds), "it did not happen in time"

    def seen_of(self, payload_type: str) -> list[Seen]:
        """Give what came of one type."""
        with self.changed:
            return [item for item in self.seen if item.payload_type == payload_type]
