"""Opens what regions send and makes commands of it: verification first, then facts, nothing decided.

An item that does not verify is refused for itself; a batch whose signature does not hold is refused as a
whole. What is refused changes no state (PROTOCOL section 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.numbering import check_versions
from tanqiao.protocol.types import HASH_LENGTH, IssueFacts, LockFacts, ReadyFacts, RefuseFacts
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.protocol_facts import (
    issue_facts,
    lock_facts,
    prepare_facts,
    ready_facts,
    refuse_facts,
    withdraw_facts,
)
from tanqiao.rpc.validation import (
    optional_bytes,
    optional_text,
    parse_wire_date,
    parse_wire_period,
    require_bytes,
    require_party,
    require_text,
)
from tanqiao.signing.batch import item_envelope
from tanqiao.signing.commitments import open_lock
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import AllowedMessage, Opened, Verifier, allow
from tanqiao_bridge.application.commands import (
    Material,
    OfferAnswers,
    OfferIssues,
    OfferLocks,
    OfferWithdrawals,
    ReturnPrepare,
    Unacceptable,
)
from tanqiao_bridge.application.context import BRIDGE, BridgeContext

REGIONS: Final = ("region/*",)
NACK_BYTES_MAX: Final = 16_384
OFFERED: Final = {
    # What was promised under a key that is gone is answered, with ABORT or a refusal: it must not hang.
    **allow(
        messages_pb2.LockAssertion,
        messages_pb2.Use,
        messages_pb2.Issue,
        senders=REGIONS,
        revoked_allowed=True,
        ended_allowed=True,
    ),
    **allow(messages_pb2.Ready, messages_pb2.Refuse, messages_pb2.Withdraw, senders=REGIONS),
}
NUMBERED: Final = allow(
    messages_pb2.SourceFinal,
    messages_pb2.DestFinal,
    messages_pb2.Nack,
    senders=REGIONS,
    revoked_allowed=True,
    ended_allowed=True,
)
"""A stream goes on under a revoked key: the writer keeps such a receipt for what it is and refuses it."""
HELLO: Final = allow(sync_pb2.Hello, senders=REGIONS)
OWN_PREPARE: Final = allow(messages_pb2.Prepare, senders=(BRIDGE,))
PURPOSE_LENGTH_MAX: Final = 64
CLAIM_ID_LENGTH_MAX: Final = 96
PROGRAMME_LENGTH_MAX: Final = 32
SOURCE_ID_LENGTH_MAX: Final = 64
METHODOLOGY_ID_LENGTH_MAX: Final = 64
UNIT_CLASS_LENGTH_MAX: Final = 8
ACTIVITY_UNIT_LENGTH_MAX: Final = 32
LOCK_TYPE: Final = payload_type_of(messages_pb2.LockAssertion)

OfferCommand = OfferLocks | OfferAnswers | OfferWithdrawals | OfferIssues


@dataclass(slots=True)
class Offers:
    """What an offered batch asks for: at most one command, and the items that were refused before it."""

    command: OfferCommand | None = None
    refused: list[sync_pb2.OfferRefused] = field(default_factory=list)


class Opener:
    """Verifies for the bridge; holds no state but the verifier's cache of batch roots."""

    def __init__(self, context: BridgeContext) -> None:
        self._context = context
        self._verifier = Verifier(context.network_id, BRIDGE)

    def hello(self, envelope: envelope_pb2.Envelope, peer: str) -> sync_pb2.Hello:
        """Open a region's Hello."""
        opened = self._open(envelope, HELLO, peer)
        message = opened.message
        if not isinstance(message, sync_pb2.Hello):  # pragma: no cover - the table allows nothing else
            raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=peer, payload_type=opened.payload_type)
        refusal = check_versions(message.message_versions)
        if refusal is not None:
            raise DomainError(refusal.symbol, **dict(refusal.metadata))
        return message

    def offered(self, batch: envelope_pb2.EnvelopeBatch, peer: str) -> Offers:
        """Open a batch of offers; DomainError concerns the whole batch."""
        opened = self._verifier.open_batch(
            batch,
            self._context.directory,
            allowed=OFFERED,
            peer=peer,
            at_index=self._context.log_size,
        )
        return self._offers(batch, opened, peer)

    def numbered(self, batch: envelope_pb2.EnvelopeBatch, peer: str) -> tuple[Material | Unacceptable, ...]:
        """Open a numbered batch; an item that does not verify is handed on as such: the stream goes on."""
        opened = self._verifier.open_batch(
            batch,
            self._context.directory,
            allowed=NUMBERED,
            peer=peer,
            at_index=self._context.log_size,
        )
        signer = self._context.directory.get(batch.signatures[0].key_id)
        if signer is None or signer.owner != peer:  # a stranger's words are not the region's to number
            raise DomainError("PEER_NOT_SENDER", sender="" if signer is None else signer.owner, peer=peer)
        return tuple(
            Material(item, batch, None)
            if isinstance(item, Opened)
            else Unacceptable(
                item_envelope(batch, index), message_hash(batch.payload_type, batch.payloads[index]), item
            )
            for index, item in enumerate(map(_within_bounds, opened))
        )

    def evidence(
        self, envelope: envelope_pb2.Envelope, openings: messages_pb2.Openings
    ) -> tuple[Material, LockFacts]:
        """Open the lock that somebody shows with a question (row 7).

        Embedded, so the line does not matter.
        """
        opened = self._open(envelope, OFFERED, None)
        facts = self._facts_of_lock(opened, openings.SerializeToString())
        return Material(opened, None, envelope, openings.SerializeToString()), facts

    def returned_prepare(self, frame: sync_pb2.ReturnedPrepare, peer: str) -> ReturnPrepare:
        """Open a Prepare that its destination returned: the bridge's own, the lock in it, and the answer."""
        own = self._open(frame.prepare, OWN_PREPARE, None, audience=peer)
        lock_envelope = own.message.lock
        opened_lock = self._open(lock_envelope, OFFERED, None)
        openings = frame.openings.SerializeToString()
        lock = self._facts_of_lock(opened_lock, openings)
        opened_answer = self._open(frame.answer, OFFERED, peer)
        facts = prepare_facts(own, lock)
        answer = self._facts_of_answer(opened_answer)
        # The answer is applied to the lock's transfer: one that names another would stand in its decision.
        if answer.prepare_hash != facts.message_hash or answer.key != lock.key:
            raise DomainError("MESSAGE_NOT_CURRENT", id=answer.message_hash.hex())
        return ReturnPrepare(
            peer,
            Material(own, None, frame.prepare),
            Material(opened_lock, None, lock_envelope, openings),
            Material(opened_answer, None, frame.answer),
            facts,
            answer,
        )

    def _open(
        self,
        envelope: envelope_pb2.Envelope,
        allowed: dict[str, AllowedMessage],
        peer: str | None,
        audience: str | None = None,
    ) -> Opened:
        verifier = self._verifier if audience is None else Verifier(self._context.network_id, audience)
        return verifier.open_envelope(
            envelope,
            self._context.directory,
            allowed=allowed,
            peer=peer,
            at_index=self._context.log_size,
        )

    def _offers(
        self, batch: envelope_pb2.EnvelopeBatch, items: list[Opened | DomainError], peer: str
    ) -> Offers:
        offers = Offers()
        locks: list[tuple[Material, LockFacts]] = []
        answers: list[tuple[Material, ReadyFacts | RefuseFacts]] = []
        withdrawals: list[Material] = []
        issues: list[tuple[Material, IssueFacts]] = []
        for index, item in enumerate(items):
            companion = batch.companions[index] if batch.companions else b""
            try:
                if isinstance(item, DomainError):
                    raise item
                material = Material(item, batch, None, companion)
                match item.message:
                    case messages_pb2.LockAssertion() | messages_pb2.Use():
                        locks.append((material, self._facts_of_lock(item, companion)))
                    case messages_pb2.Ready() | messages_pb2.Refuse():
                        answers.append((material, self._facts_of_answer(item)))
                    case messages_pb2.Withdraw():
                        withdraw_facts(item)  # its shape is checked here, its meaning in the writer
                        withdrawals.append(material)
                    case _:
                        _require_issue_shape(item.message)
                        issues.append((material, issue_facts(item)))
            except DomainError as refusal:
                offers.refused.append(self._refused(batch, index, item, refusal))
        if locks:
            offers.command = OfferLocks(peer, tuple(locks))
        elif answers:
            offers.command = OfferAnswers(peer, tuple(answers))
        elif withdrawals:
            offers.command = OfferWithdrawals(peer, tuple(withdrawals))
        elif issues:
            offers.command = OfferIssues(peer, tuple(issues))
        return offers

    def _refused(
        self,
        batch: envelope_pb2.EnvelopeBatch,
        index: int,
        item: Opened | DomainError,
        refusal: DomainError,
    ) -> sync_pb2.OfferRefused:
        return sync_pb2.OfferRefused(
            message_hash=message_hash(batch.payload_type, batch.payloads[index]),
            transfer_id=item.header.transfer_id if isinstance(item, Opened) else b"",
            reasons=[to_refusal(refusal)],
        )

    def _facts_of_lock(self, opened: Opened, companion: bytes) -> LockFacts:
        facts = lock_facts(opened)
        optional_text(opened.message.purpose, "purpose", length_max=PURPOSE_LENGTH_MAX)
        if opened.payload_type == LOCK_TYPE:
            require_party(opened.message.destination, "destination", ("region",))
            open_lock(opened.message, companion)
        else:
            _require_use_shape(opened.message)
        return facts

    def _facts_of_answer(self, opened: Opened) -> ReadyFacts | RefuseFacts:
        if isinstance(opened.message, messages_pb2.Ready):
            return ready_facts(opened)
        return refuse_facts(opened)


def ids_of(command: OfferCommand) -> list[bytes]:
    """Give what a frame of offers is about: ids of transfers and uses; of Issues their own."""
    match command:
        case OfferIssues(items=issues):
            return [facts.issue_id for _, facts in issues]
        case OfferWithdrawals(items=wishes):
            return [material.opened.header.transfer_id for material in wishes]
        case OfferLocks(items=locks):
            return [facts.key.transfer_id for _, facts in locks]
        case OfferAnswers(items=answers):
            return [facts.key.transfer_id for _, facts in answers]


def _require_use_shape(use: messages_pb2.Use) -> None:
    """Check what the core does not look at but the bridge stores and shows."""
    optional_bytes(use.beneficiary_commitment, HASH_LENGTH, "beneficiary_commitment")
    optional_bytes(use.document_digest, HASH_LENGTH, "document_digest")
    if use.kind == messages_pb2.USE_KIND_RETIRE:
        require_text(use.purpose, "purpose", length_max=PURPOSE_LENGTH_MAX)
    parse_wire_date(use.retiring_date, "retiring_date")


def _require_issue_shape(issue: messages_pb2.Issue) -> None:
    """As above: the texts and dates of an Issue, before the claim checks read them."""
    require_text(issue.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
    require_bytes(issue.claim_receipt_hash, HASH_LENGTH, "claim_receipt_hash")
    parse_wire_period(issue.period, "period")
    if issue.activity_quantity < 0:
        raise DomainError(
            "QUANTITY_NOT_POSITIVE", field="activity_quantity", quantity_kg=issue.activity_quantity
        )
    optional_text(issue.activity_unit, "activity_unit", length_max=ACTIVITY_UNIT_LENGTH_MAX)
    stated = issue.series
    require_text(stated.programme, "series.programme", length_max=PROGRAMME_LENGTH_MAX)
    require_text(stated.source_id, "series.source_id", length_max=SOURCE_ID_LENGTH_MAX)
    optional_text(stated.methodology_id, "series.methodology_id", length_max=METHODOLOGY_ID_LENGTH_MAX)
    optional_text(stated.unit_class, "series.unit_class", length_max=UNIT_CLASS_LENGTH_MAX)


def _within_bounds(item: Opened | DomainError) -> Opened | DomainError:
    """Refuse a Nack that is kept for ever and says more than what was refused and why."""
    if isinstance(item, DomainError) or not isinstance(item.message, messages_pb2.Nack):
        return item
    nack = item.message
    if len(nack.message_hash) != HASH_LENGTH:
        return DomainError("FIELD_INVALID", field="message_hash", detail=f"not {HASH_LENGTH} bytes")
    if len(item.payload) > NACK_BYTES_MAX:
        return DomainError("FIELD_INVALID", field="reasons", detail=f"more than {NACK_BYTES_MAX} bytes")
    return item
