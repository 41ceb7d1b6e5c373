"""A small region in memory that does what the protocol demands, but for one fault if it is given one.

It shares signatures and facts of the wire with our nodes and nothing of how they decide: a second opinion on
the conformance kit, and the wrong region that each requirement needs. A fault has the name of the requirement
that must find it.
"""

from __future__ import annotations

import queue
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.protocol_facts import blocks_of, date_message
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.commitments import commitment, open_lock
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.signing.provision import Network
from tanqiao.signing.verify import Verifier
from tests.contract.conformance.scripted_state import (
    BRIDGE,
    COMMIT,
    IMPATIENCE_SECONDS,
    LOCK,
    NACK,
    NUMBERED,
    OFFERED,
    OWN_SERIES,
    PASSED_OVER,
    QUANTITY_KG,
    STATES,
    Arriving,
    Outgoing,
    void,
)


@dataclass
class ScriptedRegion:
    """A region; `fault` names the requirement that it breaks."""

    network: Network
    party: str
    bridge_address: str
    fault: str = ""
    accounts: dict[str, bool] = field(default_factory=dict)
    outgoing: dict[bytes, Outgoing] = field(default_factory=dict)
    arriving: dict[tuple[str, bytes], Arriving] = field(default_factory=dict)
    outbox: list[tuple[str, bytes]] = field(default_factory=list)
    received_number: int = 0
    received_epoch: int = 0
    session_number: int = 0
    next_serial: int = 0
    incarnation: int = 1
    recovering: bool = False

    def __post_init__(self) -> None:
        self.signer = Keyring.open(self.network.node(self.party) / "keys").signer(KeyRole.MESSAGE)
        self.directory = self.network.federation.directory()
        self.verifier = Verifier(self.network.plan.network_id, self.party)
        self.lock_ = threading.RLock()
        self.frames: queue.Queue[sync_pb2.ConnectRequest | None] = queue.Queue()
        self.stopping = threading.Event()
        self.call: Any = None
        self.thread: threading.Thread | None = None

    def wrong(self, name: str) -> bool:
        """Whether this is the fault that it has."""
        return self.fault == name

    # -- the line ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(self.stopping,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.frames.put(None)
        if self.call is not None:
            self.call.cancel()
        if self.thread is not None:
            self.thread.join(10)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            with (
                suppress(grpc.RpcError),
                open_channel(self.bridge_address, self.network.tls(self.party)) as channel,
            ):
                self._session(channel, stopping)
            stopping.wait(0.05)

    def _session(self, channel: grpc.Channel, stopping: threading.Event) -> None:
        with self.lock_:
            self.frames = queue.Queue()
            self._say_hello()
            frames = self.frames
        self.call = sync_pb2_grpc.SyncServiceStub(channel).Connect(self._outgoing(frames))
        try:
            for response in self.call:
                with self.lock_:
                    if stopping.is_set():
                        return
                    self._take(response)
        finally:
            frames.put(None)

    def _outgoing(self, frames: queue.Queue[Any]) -> Iterator[sync_pb2.ConnectRequest]:
        while (frame := frames.get()) is not None:
            yield frame

    def put(self, **frame: Any) -> None:
        self.frames.put(sync_pb2.ConnectRequest(**frame))

    def _say_hello(self) -> None:
        if not self.wrong("session-grows") or not self.session_number:
            self.session_number += 1
        forgets = self.wrong("hello-received")
        hello = sync_pb2.Hello(
            header=self.header(),
            incarnation=self.incarnation,
            session_number=self.session_number,
            received_number=0 if forgets else self.received_number,
            received_incarnation=self.received_epoch,
            message_versions=[7] if self.wrong("hello") else [1],
            recovering=self.recovering,
        )
        self.put(hello=sign_envelope(self.signer, payload_type_of(hello), hello.SerializeToString()))

    def header(self, **fields: Any) -> envelope_pb2.Header:
        return build_header(
            self.signer,
            network_id=self.network.plan.network_id,
            audience=(BRIDGE,),
            message_id=secrets.token_bytes(16),
            **fields,
        )

    def offer(self, payload_type: str, payload: bytes, companion: bytes = b"") -> None:
        companions = [companion] if companion else ()
        self.put(offered=sign_batch(self.signer, payload_type, [payload], companions))

    def number(self, message: Any) -> None:
        """Put a message into the outbox and send it."""
        self.outbox.append((payload_type_of(message), message.SerializeToString()))
        self.send_number(len(self.outbox))

    def send_number(self, number: int) -> None:
        payload_type, payload = self.outbox[number - 1]
        batch = sign_batch(self.signer, payload_type, [payload])
        shown = number * 2 if self.wrong("numbers-dense") else number
        self.put(
            numbered=sync_pb2.NumberedBatch(incarnation=self.incarnation, first_number=shown, batch=batch)
        )

    # -- what comes ----------------------------------------------------------------------------------------

    def _take(self, response: sync_pb2.ConnectResponse) -> None:
        match response.WhichOneof("frame"):
            case "hello":
                self._opened(sync_pb2.Hello.FromString(response.hello.payload))
            case "numbered":
                self._numbered(response.numbered)
            case "offered":
                self._offered(response.offered)
            case "need_prepare":
                self._give_back(response.need_prepare)
            case "busy":
                for transfer_id in response.busy.transfer_ids:
                    known = self.outgoing.get(transfer_id)
                    if known is not None and not self.wrong("busy"):
                        self.offer(known.payload_type, known.payload, known.companion)
            case _:
                pass

    def _opened(self, hello: sync_pb2.Hello) -> None:
        if not self.wrong("numbered-again"):
            for number in range(hello.received_number + 1, len(self.outbox) + 1):
                self.send_number(number)
        for known in self.outgoing.values():
            if known.state in ("LOCKED", "RETIRING"):
                self._offer_again(known)
        for arriving in self.arriving.values():
            if arriving.state == "READY" and not self.wrong("answers-again"):
                self.offer(arriving.answer_type, arriving.answer)

    def _offer_again(self, known: Outgoing) -> None:
        is_lock = known.state == "LOCKED"
        if self.wrong("offers-again" if is_lock else "offers-again-use"):
            return
        withdraw = payload_type_of(messages_pb2.Withdraw)
        if known.withdraw and self.wrong("withdraw-behind"):
            self.offer(withdraw, known.withdraw)
        self.offer(known.payload_type, known.payload, known.companion)
        if known.withdraw and not self.wrong("withdraw-behind"):
            self.offer(withdraw, known.withdraw)

    def _numbered(self, frame: sync_pb2.NumberedBatch) -> None:
        if frame.incarnation != self.received_epoch:
            self.received_epoch, self.received_number = frame.incarnation, 0
        if frame.first_number > self.received_number + 1 and not self.wrong("numbered-gap"):
            return
        for at, item in enumerate(self._open(frame.batch)):
            number = frame.first_number + at
            if number > self.received_number or self.wrong("numbered-once"):
                taken = self._apply(frame.batch.payload_type, frame.batch.payloads[at], item)
                self.received_number = max(self.received_number, number)
                if not taken and self.wrong("batch-items"):
                    self.received_number = frame.first_number + len(frame.batch.payloads) - 1
                    break
        if not self.wrong("acknowledges"):
            self.put(
                acknowledge=sync_pb2.Acknowledge(
                    incarnation=frame.incarnation, up_to_number=self.received_number
                )
            )

    def _open(self, batch: envelope_pb2.EnvelopeBatch) -> list[Any]:
        """Open a batch; each item a message, or why it is refused."""
        passed = PASSED_OVER.get(self.fault, "")
        try:
            opened = self.verifier.open_batch(
                batch, self.directory, allowed=NUMBERED, peer=BRIDGE, at_index=0
            )
        except DomainError as refusal:
            opened = [refusal] * len(batch.payloads)
        items: list[Any] = []
        for payload, item in zip(batch.payloads, opened, strict=True):
            if not isinstance(item, DomainError):
                items.append(item.message)
            elif item.symbol == passed:
                items.append(PAYLOAD_TYPES[batch.payload_type].FromString(payload))
            else:
                items.append(item)
        return items

    def _apply(self, payload_type: str, payload: bytes, item: Any) -> bool:
        """Let a message take effect, or say why not; whether it was taken."""
        refused_hash = message_hash(payload_type, payload)
        if isinstance(item, DomainError):
            ignored = {"malformed": "MESSAGE_MALFORMED", "type": "PAYLOAD_TYPE_NOT_ALLOWED"}
            if ignored.get(self.fault) != item.symbol:
                self._nack(payload_type, refused_hash, item)
            return False
        try:
            self._act(item, refused_hash)
        except DomainError as refusal:
            self._nack(payload_type, refused_hash, refusal)
            return False
        return True

    def _nack(self, payload_type: str, refused_hash: bytes, refusal: DomainError) -> None:
        if self.wrong("nack") or (payload_type == NACK and not self.wrong("nack-ends")):
            return
        nack = messages_pb2.Nack(
            header=self.header(prev_hash=refused_hash),
            message_hash=refused_hash,
            reasons=[to_refusal(refusal)],
        )
        self.number(nack)
        if self.wrong("nack-goes-on"):
            self.call.cancel()

    def _act(self, message: Any, its_hash: bytes) -> None:
        match message:
            case messages_pb2.Decision():
                self._decide(message, its_hash)
            case messages_pb2.HomeNotice():
                if self.wrong("home-notice"):
                    raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=BRIDGE, payload_type="home")
                blocks_of(message.blocks)
            case messages_pb2.IssueReceipt():
                if not self.wrong("issue-receipt"):
                    raise DomainError("MESSAGE_NOT_CURRENT", id=message.issue_id.hex())
            case _:
                pass

    # -- decisions -----------------------------------------------------------------------------------------

    def _decide(self, decision: messages_pb2.Decision, its_hash: bytes) -> None:
        header = decision.header
        if header.source == self.party:
            self._decide_outgoing(header.transfer_id, decision, its_hash)
        else:
            self._decide_arriving((header.source, header.transfer_id), decision, its_hash)

    def _decide_outgoing(self, transfer_id: bytes, decision: messages_pb2.Decision, its_hash: bytes) -> None:
        known = self.outgoing.get(transfer_id)
        commits = decision.outcome == COMMIT
        if known is None:
            raise void(transfer_id)
        if known.decision_hash and not self.wrong("one-decision-source"):
            if known.decision_hash != its_hash:
                raise DomainError("EQUIVOCATION", sender=BRIDGE, id=transfer_id.hex())
            return
        if decision.lock_hash != known.hash and not self.wrong("r9-source-lock"):
            raise void(transfer_id)
        is_use = known.payload_type == payload_type_of(messages_pb2.Use)
        if commits and not is_use and decision.ready_hash == bytes(32) and not self.wrong("r9-source-zero"):
            raise void(transfer_id)
        ended = ("USED" if is_use else "MOVED") if commits else "RELEASED"
        for fault, instead in (
            ("source-commit", "RELEASED"),
            ("source-abort", "MOVED"),
            ("use-commit", "RELEASED"),
            ("use-abort", "USED"),
        ):
            if (
                self.wrong(fault)
                and fault.startswith("use") == is_use
                and fault.endswith("commit") == commits
            ):
                ended = instead
        known.decision_hash = its_hash
        self._final(messages_pb2.SourceFinal, self.party, transfer_id, its_hash, ended)
        if not self.wrong("r6-state-first"):
            known.state = ended

    def _decide_arriving(  # noqa: C901, PLR0912 - one branch for each fault that it may have
        self, key: tuple[str, bytes], decision: messages_pb2.Decision, its_hash: bytes
    ) -> None:
        known = self.arriving.get(key)
        commits = decision.outcome == COMMIT or decision.outcome not in (1, 2)
        if known is None:
            if commits and not self.wrong("r9-commit-unheard"):
                raise void(key[1])
            known = self.arriving[key] = Arriving("")
        if known.decision_hash and not self.wrong("one-decision-destination"):
            if known.decision_hash != its_hash:
                raise DomainError("EQUIVOCATION", sender=BRIDGE, id=key[1].hex())
            if self.wrong("numbered-once"):
                self._final(messages_pb2.DestFinal, key[0], key[1], its_hash, known.state)
            return
        ready = known.state == "READY"
        lenient = bool(PASSED_OVER.get(self.fault))
        if (
            ready
            and decision.lock_hash != known.lock_hash
            and not self.wrong("r9-ready-lock")
            and not lenient
        ):
            raise void(key[1])
        if commits and ready and decision.ready_hash != known.hash:
            if not self.wrong("r9-ready") and not lenient and not self.wrong("r9-ready-lock"):
                raise void(key[1])
        elif commits and not ready and not self.wrong("r9-commit-unheard"):
            raise void(key[1])
        ended = "CREDITED" if commits else "DROPPED"
        if commits and not self.accounts.get(known.address, False) and self.wrong("r7-credit-when-closed"):
            ended = "DROPPED"
        if self.wrong("destination-commit") and commits:
            ended = "DROPPED"
        if self.wrong("destination-abort") and not commits and ready:
            ended = "CREDITED"
        if self.wrong("refused-abort") and known.state == "REFUSED":
            return
        if self.wrong("r9-abort-unheard") and not known.state:
            del self.arriving[key]
            self._final(messages_pb2.DestFinal, key[0], key[1], its_hash, ended)
            return
        known.state, known.decision_hash = ended, its_hash
        self._final(messages_pb2.DestFinal, key[0], key[1], its_hash, ended)

    def _final(self, kind: Any, source: str, transfer_id: bytes, decided: bytes, state: str) -> None:
        self.number(
            kind(
                header=self.header(source=source, transfer_id=transfer_id, prev_hash=decided),
                decision_hash=decided,
                state=STATES[state],
                journal_index=len(self.outbox),
            )
        )

    # -- arriving transfers --------------------------------------------------------------------------------

    def _offered(self, batch: envelope_pb2.EnvelopeBatch) -> None:
        try:
            opened = self.verifier.open_batch(batch, self.directory, allowed=OFFERED, peer=BRIDGE, at_index=0)
        except DomainError:
            return
        envelopes = item_envelopes(batch)
        for at, item in enumerate(opened):
            if self.wrong("burst") and at > 10:
                return
            if not isinstance(item, DomainError):
                with suppress(DomainError):
                    self._prepare(item.message, item.message_hash, envelopes[at], batch.companions[at])

    def _prepare(
        self, prepare: Any, prepare_hash: bytes, envelope: envelope_pb2.Envelope, companion: bytes
    ) -> None:
        if not self.wrong("embedded-lock"):
            opened = self.verifier.open_envelope(
                prepare.lock, self.directory, allowed=LOCK, peer=None, at_index=0
            )
            if opened.header.transfer_id != prepare.header.transfer_id:
                raise DomainError("MESSAGE_MALFORMED", detail="the lock is of another transfer")
        lock = messages_pb2.LockAssertion.FromString(prepare.lock.payload)
        lock_hash = message_hash(prepare.lock.payload_type, prepare.lock.payload)
        key = (prepare.header.source, prepare.header.transfer_id)
        known = self.arriving.get(key)
        if known is not None and known.answer:
            self._prepare_again(key, known, lock_hash, prepare, prepare_hash)
            return
        reasons = self._reasons(lock, companion, prepare)
        if known is not None:
            reasons = [DomainError("TRANSFER_DROPPED", transfer_id=key[1].hex(), source=key[0])]
        message = self._answer(prepare, prepare_hash, lock_hash, reasons)
        kept = known if known is not None else Arriving("REFUSED" if reasons else "READY")
        kept.lock_hash, kept.prepare, kept.companion = lock_hash, envelope, companion
        kept.answer_type, kept.answer = payload_type_of(message), message.SerializeToString()
        with suppress(DomainError):
            kept.address = messages_pb2.Openings.FromString(companion).receiving_address
        forgets = self.wrong("r5-refused-stays") and reasons
        if not forgets:
            self.arriving[key] = kept
        self.offer(kept.answer_type, kept.answer)
        if self.wrong("r2-destination-waits") and kept.state == "READY":
            threading.Timer(IMPATIENCE_SECONDS, self._lose_patience, (kept,)).start()

    def _prepare_again(
        self, key: tuple[str, bytes], known: Arriving, lock_hash: bytes, prepare: Any, prepare_hash: bytes
    ) -> None:
        if known.lock_hash != lock_hash and not self.wrong("r4-two-locks"):
            refusal = DomainError("EQUIVOCATION", sender=key[0], id=key[1].hex())
            self._nack("", prepare_hash, refusal)
            return
        anew = self.wrong("r4-stored-answer") or (
            self.wrong("r4-prepare-again")
            and prepare_hash != message_hash(known.prepare.payload_type, known.prepare.payload)
        )
        if anew or known.lock_hash != lock_hash:
            message = self._answer(prepare, prepare_hash, lock_hash, [])
            self.offer(payload_type_of(message), message.SerializeToString())
            return
        self.offer(known.answer_type, known.answer)

    def _reasons(self, lock: Any, companion: bytes, prepare: Any) -> list[DomainError]:
        reasons = []
        address = open_lock(lock, companion).receiving_address
        if not self.accounts.get(address, False):
            reasons.append(DomainError("ADDRESS_UNKNOWN", address=address))
        stated = {series.series_id for series in prepare.series}
        reasons += [
            DomainError("SERIES_UNKNOWN", series_id=block.series_id)
            for block in lock.blocks
            if block.series_id not in stated
        ]
        return reasons[:1] if self.wrong("refuse-all") else reasons

    def _answer(self, prepare: Any, prepare_hash: bytes, lock_hash: bytes, reasons: list[DomainError]) -> Any:
        header = self.header(
            source=prepare.header.source, transfer_id=prepare.header.transfer_id, prev_hash=prepare_hash
        )
        if reasons:
            named = [] if self.wrong("refuse-reasons") else [to_refusal(one) for one in reasons]
            return messages_pb2.Refuse(header=header, lock_hash=lock_hash, reasons=named)
        day = (
            values_pb2.Date(year=1999, month=1, day=1) if self.wrong("ready-content") else prepare.legal_date
        )
        return messages_pb2.Ready(header=header, lock_hash=lock_hash, legal_date=day)

    def _give_back(self, asked: sync_pb2.NeedPrepare) -> None:
        for transfer_id in asked.transfer_ids:
            known = self.arriving.get((asked.source, transfer_id))
            if known is None or self.wrong("need-prepare"):
                continue
            batch = sign_batch(self.signer, known.answer_type, [known.answer])
            self.put(
                returned_prepare=sync_pb2.ReturnedPrepare(
                    prepare=known.prepare,
                    answer=item_envelopes(batch)[0],
                    openings=messages_pb2.Openings.FromString(known.companion),
                )
            )

    def _lose_patience(self, known: Any) -> None:
        with self.lock_:
            known.state = "RELEASED" if isinstance(known, Outgoing) else "DROPPED"

    # -- orders --------------------------------------------------------------------------------------------

    def address(self) -> str:
        made = make_address(RegionCode(self.party.removeprefix("region/")), secrets.token_bytes(10))
        self.accounts[made] = True
        return made

    def lock(self, receiving_address: str, destination: str) -> bytes:
        with self.lock_:
            transfer_id, start = secrets.token_bytes(16), self.next_serial
            if not self.wrong("lock-once"):
                self.next_serial += QUANTITY_KG
            openings = messages_pb2.Openings(
                receiving_address=receiving_address,
                receiving_address_salt=secrets.token_bytes(16),
                owner_pseudonym=secrets.token_bytes(16),
                owner_salt=secrets.token_bytes(16),
            )
            lock = messages_pb2.LockAssertion(
                header=self.header(source=self.party, transfer_id=transfer_id),
                destination=destination,
                receiving_address_commitment=commitment(
                    receiving_address.encode(), openings.receiving_address_salt
                ),
                owner_commitment=commitment(openings.owner_pseudonym, openings.owner_salt),
                quantity_kg=QUANTITY_KG + (1 if self.wrong("lock-content") else 0),
            )
            if self.wrong("all-signed"):
                lock.header.network_id = "test-another"
            lock.blocks.add(series_id=OWN_SERIES, start_serial=start, end_serial=start + QUANTITY_KG)
            self._promise(transfer_id, lock, openings.SerializeToString(), "LOCKED")
            if self.wrong("r2-source-waits"):
                known = self.outgoing[transfer_id]
                threading.Timer(IMPATIENCE_SECONDS, self._lose_patience, (known,)).start()
            return transfer_id

    def use(self) -> bytes:
        with self.lock_:
            transfer_id, start = secrets.token_bytes(16), self.next_serial
            self.next_serial += QUANTITY_KG
            use = messages_pb2.Use(
                header=self.header(source=self.party, transfer_id=transfer_id),
                kind=messages_pb2.USE_KIND_RETIRE,
                purpose="" if self.wrong("use-content") else "voluntary",
                beneficiary_commitment=bytes(32),
                owner_commitment=bytes(32),
                quantity_kg=QUANTITY_KG,
                retiring_date=date_message("2026-03-02"),
            )
            use.blocks.add(series_id=OWN_SERIES, start_serial=start, end_serial=start + QUANTITY_KG)
            self._promise(transfer_id, use, b"", "RETIRING")
            return transfer_id

    def _promise(self, transfer_id: bytes, message: Any, companion: bytes, state: str) -> None:
        known = Outgoing(payload_type_of(message), message.SerializeToString(), companion, state)
        self.outgoing[transfer_id] = known
        self.offer(known.payload_type, known.payload, companion)

    def withdraw(self, transfer_id: bytes) -> None:
        with self.lock_:
            known = self.outgoing[transfer_id]
            if known.state != "LOCKED" and not self.wrong("use-no-withdraw"):
                raise DomainError("WITHDRAW_NOT_POSSIBLE", transfer_id=transfer_id.hex(), source=self.party)
            message = messages_pb2.Withdraw(
                header=self.header(source=self.party, transfer_id=transfer_id, prev_hash=known.hash),
                lock_hash=bytes(32) if self.wrong("withdraw-content") else known.hash,
            )
            known.withdraw = message.SerializeToString()
            self.offer(payload_type_of(message), known.withdraw)
            if self.wrong("r3-withdraw-waits"):
                known.state = "RELEASED"

    def state(self, transfer_id: bytes) -> str:
        with self.lock_:
            if transfer_id in self.outgoing:
                return self.outgoing[transfer_id].state
            found = [one.state for key, one in self.arriving.items() if key[1] == transfer_id]
            return found[0] if found else ""

    def use_state(self, transfer_id: bytes) -> str:
        return self.state(transfer_id)

    def close(self, receiving_address: str) -> None:
        self.accounts[receiving_address] = False

    def close_holder(self) -> None:
        if not self.wrong("r7-locked-account"):
            raise DomainError("ACCOUNT_HAS_LOCKED_UNITS", account_id="A1", transfers="one")

    def restart(self) -> bool:
        self.stop()
        if self.wrong("r1-restart"):
            self.arriving.clear()
            self.outgoing.clear()
        time.sleep(0.01)
        self.start()
        return True
