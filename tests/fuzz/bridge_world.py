"""The bridge under fuzz: a lying source, a lying destination, a stranger to the transfer.

Transfers are brought into every state of the notary by honest regions first. The liar then says everything
about each of them. He holds no units that are free, so that nothing he says may end in a COMMIT.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
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
from tanqiao.db.engine import open_engine
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE
from tanqiao_bridge.storage.tables import metadata
from tests.contract.bridge.approvers import PAIR, REGION, frozen_now, pair_freeze, submit_freeze
from tests.contract.bridge.harness import (
    PlayedRegion,
    Running,
    claim_of,
    declare,
    issue_message,
    issue_units,
    settings_of,
)
from tests.fuzz.messages import NOT_SIGNED_AGAIN, Base, Shot, Spoiler, batch_of, damaged
from tests.fuzz.mutations import ALWAYS_REFUSED, sample
from tests.fuzz.oracle import Ledger, bridge_rules
from tests.fuzz.servers import serve
from tests.fuzz.world import WAIT_SECONDS, FaultFound, World

DECIDE_BY_SECONDS: Final = 86_400
"""No transfer is aborted by time while its state is being tried."""
BATCH: Final = 40
WHOLE_BATCHES: Final = 3
OPEN_STEP: Final = 10
OPENED_PER_ROUND: Final = 4
OFFERED: Final = frozenset({"LockAssertion", "Use", "Ready", "Refuse", "Withdraw", "Issue"})
NUMBERED: Final = frozenset({"SourceFinal", "DestFinal", "Nack"})
VOIDING: Final = ("lock_hash", "header.prev_hash", "header.source", "header.transfer_id", *ALWAYS_REFUSED)
"""What makes a Ready void; any other Ready for an open transfer is a promise that its signer may make."""
HELLO_PATHS: Final = ("header", "received", "log", "message_versions")


@dataclass
class BridgeWorld(World):
    """The bridge and one liar: ``region/…`` of his role."""

    liar: str = SHANGHAI
    running: Running = field(init=False)
    shanghai: PlayedRegion = field(init=False)
    shenzhen: PlayedRegion = field(init=False)
    line: PlayedRegion = field(init=False)
    spoiler: Spoiler = field(init=False)
    bases: list[Base] = field(default_factory=list)
    _opened: int = 0

    # -- staging -------------------------------------------------------------------------------------------

    def stage(self) -> None:
        settings = settings_of(
            self.network,
            self.databases.url,
            self.databases.owner_url,
            decide_by_seconds=DECIDE_BY_SECONDS,
        )
        self.served = serve(settings, self.folder, self.name.replace(" ", "-"))
        address = SimpleNamespace(server=SimpleNamespace(address=self.served.address))
        self.running = Running(self.network, address)  # type: ignore[arg-type] # its address is what is asked for
        self.shanghai = PlayedRegion(self.running, SHANGHAI).connect()
        self.shenzhen = PlayedRegion(self.running, SHENZHEN).connect()
        self.running.recognise()
        assert issue_units(self.running, self.shanghai).accepted
        self._stage_transfers()
        self._stage_issues()
        for region in (self.shanghai, self.shenzhen):
            region.disconnect()
        known = {SHANGHAI: self.shanghai, SHENZHEN: self.shenzhen}
        self.line = known.get(self.liar, PlayedRegion(self.running, self.liar))
        self.line.answers = lambda _: None
        self.line.connect()
        self.spoiler = Spoiler(self.random, self.network.signer(self.liar), self.pool)
        self.bases += [self._stranger(name) for name in sorted(PAYLOAD_TYPES)]
        self.database = open_engine(self.databases.url, role="reader")
        side = DESTINATION_SIDE if self.liar == SHENZHEN else SOURCE_SIDE
        self.ledger = Ledger(self.database, metadata, bridge_rules([self.liar], side))

    def _stage_transfers(self) -> None:
        sh, sz = self.shanghai, self.shenzhen
        for at, state in enumerate(("COMMITTED", "COMMITTED with S_FINAL", "CLOSED")):
            lock = sh.lock(at * 1_000, at * 1_000 + 1_000)
            (transfer_id,) = sh.offer_locks([lock])
            decision = sh.outcome(transfer_id)
            sz.outcome(transfer_id)
            if at:
                self._final(sh, decision, messages_pb2.SourceFinal, messages_pb2.SOURCE_STATE_MOVED)
            if at == 2:
                self._final(sz, decision, messages_pb2.DestFinal, messages_pb2.DESTINATION_STATE_CREDITED)
            self._note(state, lock, decision)
        sz.answers = lambda _: "ADDRESS_UNKNOWN"
        lock = sh.lock(3_000, 4_000)
        (transfer_id,) = sh.offer_locks([lock])
        self._note("ABORTED", lock, sh.outcome(transfer_id))
        sz.answers = lambda _: "ready"
        used, refused = sh.use(4_000, 5_000), sh.use(900_000, 901_000)
        for use, state in ((used, "Use COMMITTED"), (refused, "Use ABORTED")):
            sh.offer([use])
            self._note(state, (use, b""), sh.outcome(use.header.transfer_id))
        if self.liar == SHANGHAI:  # all he had is elsewhere
            (transfer_id,) = sh.offer_locks([sh.lock(5_000, 100_000), sh.lock(3_000, 4_000)])[:1]
            sh.outcome(transfer_id)
        else:  # all that Shenzhen got is used
            use = sz.use(0, 3_000)
            sz.offer([use])
            sz.outcome(use.header.transfer_id)

    def _stage_issues(self) -> None:
        sh = self.shanghai
        later = claim_of("310000:instalment:2", start="2026-02-01", end="2026-03-01")
        declared = declare(self.running, SHANGHAI, later)
        months = ("2026-02-01", "2026-03-01")
        refused = issue_message(sh, declared, "310000:instalment:2", 200_000, 100_000, months)
        refused.claim_receipt_hash = bytes(32)
        sh.offer([refused])
        sh.wait(lambda: refused.issue_id in sh.receipts)
        accepted = next(iter(sh.receipts.values()))
        again = issue_message(sh, declared, "310000:instalment:2", 0, 100_000, months)
        again.issue_id = accepted.issue_id
        fresh = issue_message(sh, declared, "310000:instalment:1", 0, 100_000, months)
        self.pool.add(refused.issue_id, accepted.issue_id, accepted.issue_hash)
        for state, issue in (("accepted", again), ("refused", refused), ("unknown", fresh)):
            self.bases.append(self._as_liar(f"Issue {state}", issue))
        for receipt in sh.receipts.values():
            self.bases.append(self._as_liar("Issue accepted", receipt))

    def _final(self, region: PlayedRegion, decision: Any, cls: Any, state: int) -> None:
        header = region.header(transfer_id=decision.header.transfer_id, source=decision.header.source)
        decision_hash = message_hash(payload_type_of(decision), decision.SerializeToString())
        region.number([cls(header=header, decision_hash=decision_hash, state=state, journal_index=7)])
        number = region.sent_number
        region.wait(
            lambda: any(frame.acknowledge.up_to_number >= number for frame in region.frames),
        )

    def _note(self, state: str, lock: tuple[Any, bytes], decision: messages_pb2.Decision) -> None:
        """Make the messages that one transfer can be told about, all in the liar's name."""
        message, companion = lock
        transfer_id = message.header.transfer_id
        lock_hash = message_hash(payload_type_of(message), message.SerializeToString())
        decision_hash = message_hash(payload_type_of(decision), decision.SerializeToString())
        self.pool.add(transfer_id, lock_hash, decision_hash, decision.ready_hash, message.header.message_id)
        self._note_offers(state, message, companion, lock_hash)
        about = {"transfer_id": transfer_id, "source": SHANGHAI, "prev_hash": decision_hash}
        finals = [
            messages_pb2.SourceFinal(decision_hash=decision_hash, state=s, journal_index=7)
            for s in (messages_pb2.SOURCE_STATE_MOVED, messages_pb2.SOURCE_STATE_RELEASED)
        ] + [
            messages_pb2.DestFinal(decision_hash=decision_hash, state=d, journal_index=7)
            for d in (messages_pb2.DESTINATION_STATE_CREDITED, messages_pb2.DESTINATION_STATE_DROPPED)
        ]
        for final in finals:
            final.header.CopyFrom(self.shanghai.header(**about))
            self.bases.append(self._as_liar(state, final))
        nack = messages_pb2.Nack(
            header=self.shanghai.header(**about),
            message_hash=decision_hash,
            reasons=[values_pb2.Refusal(reason="DECISION_VOID")],
        )
        self.bases += [self._as_liar(state, nack), self._as_liar(state, decision)]

    def _note_offers(self, state: str, lock: Any, companion: bytes, lock_hash: bytes) -> None:
        transfer_id = lock.header.transfer_id
        prepare = self.shenzhen.prepares.get(transfer_id)
        prepare_hash = bytes(range(32))
        if prepare is not None:
            prepare_hash = message_hash(prepare[0].payload_type, prepare[0].payload)
            self.pool.add(prepare_hash)
        header = self.shanghai.header(transfer_id=transfer_id, source=SHANGHAI, prev_hash=prepare_hash)
        day = date_message("2026-03-02")
        open_by_destination = state == "OPEN" and self.liar == SHENZHEN
        ready = messages_pb2.Ready(header=header, lock_hash=lock_hash, legal_date=day)
        stored = self.shenzhen.ready_payloads.get(transfer_id)
        if stored is not None and self.liar == SHENZHEN and not open_by_destination:
            ready = messages_pb2.Ready.FromString(stored)
        reasons = [values_pb2.Refusal(reason="ADDRESS_UNKNOWN", metadata={"address": "x"})]
        reasons[0].blocks.extend(lock.blocks)
        refuse = messages_pb2.Refuse(header=header, lock_hash=lock_hash, reasons=reasons)
        withdraw = messages_pb2.Withdraw(header=header, lock_hash=lock_hash)
        voiding = VOIDING if open_by_destination else ()
        self.bases += [
            self._as_liar(state, lock, companion),
            self._as_liar(state, ready, paths=voiding),
            self._as_liar(state, refuse),
            self._as_liar(state, withdraw),
        ]
        if prepare is not None:
            opened = PAYLOAD_TYPES[prepare[0].payload_type].FromString(prepare[0].payload)
            self.bases.append(self._as_liar(state, opened))

    def _as_liar(self, state: str, message: Any, companion: bytes = b"", paths: tuple[str, ...] = ()) -> Base:
        """Give the message in the liar's name, so that it passes the signature and meets the machine."""
        copy = type(message)()
        copy.CopyFrom(message)
        signer = self.network.signer(self.liar)
        copy.header.sender = self.liar
        copy.header.key_epoch = signer.key_epoch
        del copy.header.audience[:]
        copy.header.audience.append(BRIDGE)
        return Base(state, copy, companion, paths, whole_bytes=not paths)

    def _stranger(self, payload_type: str) -> Base:
        """Give a message of a type with something in every field, about nothing that is known."""
        made = sample(PAYLOAD_TYPES[payload_type], self.random, self.pool)
        made.header.CopyFrom(self.line.header(transfer_id=self.random.randbytes(16), source=self.liar))
        return self._as_liar("UNKNOWN", made)

    def close(self) -> None:
        for region in (self.shanghai, self.shenzhen, self.line):
            region.disconnect()
        self.served.stop()
        self.database.close()

    # -- sending -------------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[None]:
        while True:
            tasks: list[Callable[[], Iterator[None]]] = [
                partial(self._about, base) for base in [*self.bases, *self._fresh()]
            ]
            tasks += [self._opened_again] * OPENED_PER_ROUND
            if self.liar == YUNNAN:
                tasks += [self._calls, self._hellos]
            self.random.shuffle(tasks)
            for task in tasks:
                yield from task()
                self._forget()

    def _about(self, base: Base) -> Iterator[None]:
        if base.type_name in NUMBERED:
            shots = [self.spoiler.spoil(base) for _ in range(BATCH)]
            self.number(shots)
            self.number([self.spoiler.verbatim(base)])
            yield
        elif base.type_name in OFFERED:
            self.offer([self.spoiler.spoil(base) for _ in range(BATCH)])
            if not base.paths:  # as it is, such a Ready is a promise that the liar may make
                self.offer([self.spoiler.verbatim(base)])
            yield
        else:  # a type that no region may offer: the batch is refused as a whole
            self.offer([self.spoiler.spoil(base) for _ in range(WHOLE_BATCHES)])
        for _ in range(WHOLE_BATCHES):
            self.offer_damaged([self.spoiler.spoil(base, NOT_SIGNED_AGAIN) for _ in range(2)])
        self.offer_anothers(base)
        yield

    def _fresh(self) -> list[Base]:
        """Locks and Uses under ids that were never seen; the liar has no such units."""
        here = (50_000, 50_010)
        lock, companion = self.line.lock(*here, destination=SHENZHEN if self.liar != SHENZHEN else SHANGHAI)
        return [
            self._as_liar("UNKNOWN", lock, companion),
            self._as_liar("UNKNOWN", self.line.use(*here)),
        ]

    def _opened_again(self) -> Iterator[None]:
        """A transfer is open, and the liar says everything about it; it is opened anew for each message."""
        kept, self.bases = self.bases, []
        lock = self._open()
        lock_hash = message_hash(payload_type_of(lock[0]), lock[0].SerializeToString())
        self._note_offers("OPEN", *lock, lock_hash)
        opened, self.bases = self.bases, kept
        returned = self._returned(lock[0]) if self.liar == SHENZHEN else None
        self.random.shuffle(opened)
        for base in opened:
            yield from self._about(base)
        if returned is not None:
            yield from self._return(returned)

    def _thaw(self) -> None:
        """Lift what froze the liar, once it is judged: else no transfer could be opened any more."""
        frozen = {(scope, what) for scope, what, _, _ in frozen_now(self.running) if scope in (REGION, PAIR)}
        if not frozen:
            return
        self.look()
        for scope, what in sorted(frozen):
            region, _, other = what.partition(" ")
            order = pair_freeze(scope=scope, region=region, other_region=other, unfreeze=True)
            submit_freeze(self.running, order)
        self.ledger.changes()  # these are the approvers'

    def _open(self) -> tuple[Any, bytes]:
        """Let Shanghai open a transfer."""
        self._thaw()
        start = 60_000 + self._opened % 3_000 * OPEN_STEP
        self._opened += 1
        lock = self.shanghai.lock(start, start + OPEN_STEP)
        batch = sign_batch(
            self.network.signer(SHANGHAI),
            payload_type_of(lock[0]),
            [lock[0].SerializeToString()],
            [lock[1]],
        )
        self._submit(batch, SHANGHAI)
        transfer_id = lock[0].header.transfer_id
        self.pool.add(transfer_id)
        if self.liar == SHENZHEN:
            self.line.wait(lambda: transfer_id in self.line.prepares)
            self.shenzhen.prepares[transfer_id] = self.line.prepares[transfer_id]
        return lock

    def offer(self, shots: Sequence[Shot]) -> None:
        """Offer signed shots of one type in one call."""
        self._offered(shots, batch_of(self.network.signer(self.liar), list(shots)), self.liar)

    def offer_damaged(self, shots: Sequence[Shot]) -> None:
        """Offer a batch that was changed after it was signed."""
        batch = batch_of(self.network.signer(self.liar), list(shots))
        damaged(batch, self.random)
        refusal, _ = self._submit(batch, self.liar)
        for shot in shots:
            self.sent(shot, refusal)
        if not refusal:
            raise FaultFound(f"a batch whose signature does not hold was taken: {shots[0].shown()}")

    def offer_anothers(self, base: Base) -> None:
        """Send an honest message as its sender signed it over the liar's line."""
        other = SHENZHEN if self.liar == SHANGHAI else SHANGHAI
        message = type(base.message)()
        message.CopyFrom(base.message)
        message.header.sender = other
        shot = self.spoiler.verbatim(Base(base.state, message, base.companion), NOT_SIGNED_AGAIN)
        refusal, refused = self._submit(batch_of(self.network.signer(other), [shot]), self.liar)
        answer = refusal or refused.get(shot.hash, "")
        self.sent(shot, answer)
        if not answer:
            raise FaultFound(f"another's message was taken from the liar: {shot.shown()}")

    def _offered(self, shots: Sequence[Shot], batch: envelope_pb2.EnvelopeBatch, peer: str) -> None:
        refusal, refused = self._submit(batch, peer)
        for shot in shots:
            self.sent(shot, refusal or refused.get(shot.hash, ""))

    def _submit(self, batch: envelope_pb2.EnvelopeBatch, peer: str) -> tuple[str, dict[bytes, str]]:
        """Offer in one call; the refusal of the whole, or those of its items by hash."""
        stub = sync_pb2_grpc.SyncServiceStub(self._channel(peer))
        try:
            request = sync_pb2.SubmitMessagesRequest(batch=batch)
            response = stub.SubmitMessages(request, timeout=WAIT_SECONDS)
        except grpc.RpcError as error:
            return from_rpc_error(error).symbol, {}
        return "", {one.message_hash: one.reasons[0].reason for one in response.refused}

    def number(self, shots: Sequence[Shot]) -> None:
        """Send numbered shots; wait until they are durable and what must be answered is."""
        line = self.line
        if line.ended:
            self._dial_again()
        frames = len(line.frames)
        line.sent_number += len(shots)
        batch = batch_of(self.network.signer(self.liar), list(shots))
        line.send(
            numbered=sync_pb2.NumberedBatch(
                incarnation=line.incarnation, first_number=line.sent_number - len(shots) + 1, batch=batch
            )
        )
        number = line.sent_number
        wanted = {shot.hash for shot in shots if shot.refused}

        def taken() -> bool:
            if line.ended:
                return True
            acknowledged = any(
                frame.HasField("acknowledge") and frame.acknowledge.up_to_number >= number
                for frame in line.frames[frames:]
            )
            return acknowledged and wanted <= self._nacked().keys()

        line.wait(taken, WAIT_SECONDS)
        nacked = self._nacked()
        ended = self._end() if line.ended else ""
        for shot in shots:
            self.sent(shot, ended or nacked.get(shot.hash, ""))

    def _nacked(self) -> dict[bytes, str]:
        return {
            message.message_hash: message.reasons[0].reason
            for _, message in list(self.line.received)
            if isinstance(message, messages_pb2.Nack)
        }

    def _end(self) -> str:
        errors = [error for kind, error in self.line.received if kind == "error"]
        return from_rpc_error(errors[-1]).symbol if errors else "CALL_CANCELLED"

    def _dial_again(self) -> None:
        self.line.disconnect()
        self.line.received.clear()
        self.line.connect()
        hello = next(frame.hello for frame in self.line.frames if frame.HasField("hello"))
        self.line.sent_number = sync_pb2.Hello.FromString(hello.payload).received_number

    def _forget(self) -> None:
        """Drop what the liar's line has collected: memory of this process is not what is measured."""
        self.line.received.clear()
        self.line.frames[:] = [frame for frame in self.line.frames if frame.HasField("hello")]
        self.line.refused.clear()

    # -- Prepares that come back -----------------------------------------------------------------------------

    def _returned(self, lock: Any) -> Base:
        envelope, companion = self.line.prepares[lock.header.transfer_id]
        prepare = messages_pb2.Prepare.FromString(envelope.payload)
        prepare_hash = message_hash(envelope.payload_type, envelope.payload)
        answer = self.line.answer(prepare, prepare_hash, "ADDRESS_UNKNOWN")
        signer = self.network.signer(self.liar)
        frame = sync_pb2.ReturnedPrepare(
            prepare=envelope,
            answer=sign_envelope(signer, payload_type_of(answer), answer.SerializeToString()),
            openings=messages_pb2.Openings.FromString(companion),
        )
        return Base("OPEN", frame)

    def _return(self, base: Base) -> Iterator[None]:
        for _ in range(BATCH):
            shot = self.spoiler.spoil(base)
            try:
                frame = sync_pb2.ReturnedPrepare.FromString(shot.payload)
            except Exception:  # noqa: BLE001, S112 - bytes that are no frame cannot be put into one
                continue
            refused = len(self.line.refused)
            self.line.send(returned_prepare=frame)
            self.line.send(acknowledge=sync_pb2.Acknowledge(incarnation=77, up_to_number=10**9))
            self.line.wait(lambda n=refused: self._barrier(n) or self.line.ended, WAIT_SECONDS)  # type: ignore[misc]
            if self.line.ended:
                self.sent(_unsigned(shot), self._end())
                self._dial_again()
                continue
            found = [one.reasons[0].reason for one in self.line.refused[refused:]]
            self.sent(_unsigned(shot), next((one for one in found if one != "SEQUENCE_GAP"), ""))
        self._forget()
        yield

    def _barrier(self, since: int) -> bool:
        """Commands are taken in order: a false acknowledgement is refused after the frame before it."""
        return any(one.reasons[0].reason == "SEQUENCE_GAP" for one in self.line.refused[since:])

    # -- calls that carry envelopes --------------------------------------------------------------------------

    def _calls(self) -> Iterator[None]:
        claims = claims_pb2_grpc.ClaimServiceStub(self._channel(self.liar))
        directory = directory_pb2_grpc.DirectoryServiceStub(self._channel(self.liar))
        recognition = directory_pb2_grpc.RecognitionServiceStub(self._channel(self.liar))
        outcomes = directory_pb2_grpc.DecisionServiceStub(self._channel(self.liar))
        statement = claims_pb2.DeclareStatement(
            header=self.line.header(), claim=claim_of("310000:instalment:1")
        )
        release = claims_pb2.ClaimStatement(header=self.line.header(), claim_id="310000:instalment:1")
        lock = self.line.lock(50_000, 50_010)[0]
        record = sample(messages_pb2.KeyRecord, self.random, self.pool)
        agreement = sample(messages_pb2.RecognitionRecord, self.random, self.pool)
        calls: list[tuple[Any, Callable[[envelope_pb2.Envelope], object]]] = [
            (
                statement,
                lambda e: claims.DeclareClaim(claims_pb2.DeclareClaimRequest(envelope=e), timeout=20),
            ),
            (
                release,
                lambda e: claims.RegisterClaim(claims_pb2.RegisterClaimRequest(envelope=e), timeout=20),
            ),
            (release, lambda e: claims.ReleaseClaim(claims_pb2.ReleaseClaimRequest(envelope=e), timeout=20)),
            (
                record,
                lambda e: directory.SubmitKeyRecord(
                    directory_pb2.SubmitKeyRecordRequest(request_id=secrets.token_hex(8), record=e),
                    timeout=20,
                ),
            ),
            (
                agreement,
                lambda e: recognition.SubmitRecognition(
                    directory_pb2.SubmitRecognitionRequest(request_id=secrets.token_hex(8), record=e),
                    timeout=20,
                ),
            ),
            (
                lock,
                lambda e: outcomes.GetOutcome(
                    directory_pb2.GetOutcomeRequest(
                        source=self.liar, transfer_id=lock.header.transfer_id, evidence=e
                    ),
                    timeout=20,
                ),
            ),
        ]
        for message, call in calls:
            base = self._as_liar("call", message)
            for _ in range(BATCH):
                shot = self.spoiler.spoil(base)
                signer = self.network.signer(self.liar)
                envelope = sign_envelope(signer, shot.payload_type, shot.payload)
                if self.random.random() < 0.2:
                    envelope.payload += b"\0"
                    shot = Shot(base, shot.path, shot.change, NOT_SIGNED_AGAIN, shot.payload, b"", False)
                try:
                    call(envelope)
                    answer = ""
                except grpc.RpcError as error:
                    answer = from_rpc_error(error).symbol
                # Row 7: evidence that does not verify is no evidence, and the answer is UNKNOWN.
                self.sent(shot if message is not lock else _unsigned(shot), answer or "OK")
            yield

    def _hellos(self) -> Iterator[None]:
        """Sessions that begin with a Hello that was spoilt."""
        stub = sync_pb2_grpc.SyncServiceStub(self._channel(self.liar))
        for _ in range(BATCH):
            self.line.session_number += 1
            hello = sync_pb2.Hello(
                header=self.line.header(),
                incarnation=1,
                session_number=self.line.session_number,
                message_versions=[1],
                log_root=bytes(32),
            )
            # A greater number of session or incarnation is the liar's own loss: he could not dial again.
            base = self._as_liar("session", hello, paths=HELLO_PATHS)
            shot = self.spoiler.spoil(base)
            envelope = sign_envelope(self.network.signer(self.liar), shot.payload_type, shot.payload)
            call = stub.Connect(iter([sync_pb2.ConnectRequest(hello=envelope)]), timeout=WAIT_SECONDS)
            try:
                answer = "OK" if next(iter(call), None) is not None else "CALL_CANCELLED"
            except grpc.RpcError as error:
                answer = from_rpc_error(error).symbol
            call.cancel()
            if shot.refused and answer == "OK":
                raise FaultFound(f"a session was opened: {shot.shown()}")
            self.sent(shot, answer)
        yield

    def _channel(self, party: str) -> grpc.Channel:
        if party not in self._channels:
            self._channels[party] = self.running.channel(party)
        return self._channels[party]

    _channels: dict[str, grpc.Channel] = field(default_factory=dict)


def _unsigned(shot: Shot) -> Shot:
    """A shot whose silence is no fault: what it answers stands elsewhere."""
    return Shot(shot.base, shot.path, shot.change, shot.way, shot.payload, shot.companion, False)
