"""Numbered traffic of the regions: receipts, taken once and in order, in the transaction of their effect."""

from __future__ import annotations

import json

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, recovery_pb2
from tanqiao.db.direct import Prepared
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.errors import DomainError, require
from tanqiao.protocol import notary
from tanqiao.protocol.effects import (
    FreezePair,
    FreezeSender,
    Ignore,
    OpenCase,
    SendNack,
    StoreEvidence,
    StoreFinal,
)
from tanqiao.protocol.numbering import InboxState, on_numbered
from tanqiao.protocol.types import FinalFacts, Reasons, SourceState, TransferKey, TransferView
from tanqiao.rpc.protocol_facts import final_facts, reason_of_error, refusal_messages
from tanqiao.signing.batch import item_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application import contradictions, evidence
from tanqiao_bridge.application.commands import (
    Answer,
    Material,
    TakeAcknowledgement,
    TakeNumbered,
    Unacceptable,
)
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.transfers import load_views
from tanqiao_bridge.storage import recovery
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE, insert_finals
from tanqiao_bridge.storage.tables import inbox, outbox, region

FinalRow = tuple[TransferKey, int, bytes, int, int]

NACK_TYPE = payload_type_of(messages_pb2.Nack)
FINAL_CLASSES = (messages_pb2.SourceFinal, messages_pb2.DestFinal)
# Made once: making a statement costs more than running it.
_INCARNATION = Prepared(sa.select(region.c.incarnation).where(region.c.region == sa.bindparam("party")))


def take_numbered(group: Group, command: TakeNumbered) -> Answer:
    """Take what is new of a numbered batch; the answer says how far the stream is durable now."""
    answer = Answer()
    connection = group.connection
    _require_current(group, command)
    mark = inbox.received(connection, command.party, command.incarnation)
    arrival = on_numbered(
        InboxState(command.incarnation, mark), command.incarnation, command.first_number, len(command.items)
    )
    answer.received_number = mark
    if arrival.refusal is not None:
        raise DomainError(arrival.refusal.symbol, **dict(arrival.refusal.metadata))
    fresh = command.items[arrival.known :]
    if not fresh:
        return answer
    for item in fresh:
        if isinstance(item, Unacceptable):
            _keep_unacceptable(group, command.party, item)
    materials = [item for item in fresh if isinstance(item, Material)]
    take_finals(group, _not_awaited(group, command.party, materials))
    for material in materials:
        if isinstance(material.opened.message, messages_pb2.Nack):
            _keep_nack(group, command.party, material)
    answer.received_number = inbox.advance(
        connection,
        command.party,
        command.incarnation,
        command.first_number,
        command.first_number + len(command.items) - 1,
        mark=mark,
    )
    return answer


def _require_current(group: Group, command: TakeNumbered) -> None:
    """Refuse what an incarnation sends whose region has begun another one: it was restored meanwhile."""
    known = _INCARNATION.rows(group.connection, party=command.party)
    if known and command.incarnation < known[0][0]:
        raise DomainError("INCARNATION_STALE", incarnation=command.incarnation, expected=known[0][0])


def _not_awaited(group: Group, party: str, items: list[Material]) -> list[Material]:
    """Put receipts of decisions that a bridge which recovers has not adopted yet by, until it does."""
    awaited = (group.recovery or group.context.recovery).awaited
    if not awaited:
        return items
    kept, papers = [], []
    for material in items:
        header = material.opened.header
        if TransferKey(header.source, header.transfer_id) not in awaited or material.batch is None:
            kept.append(material)
            continue
        final = item_envelope(material.batch, material.opened.envelope_index)
        paper = recovery_pb2.Papers(final=final).SerializeToString()
        papers.append(
            recovery.Paper(header.source, header.transfer_id, material.opened.message_hash, party, paper)
        )
    recovery.insert_papers(group.connection, group.context.epoch, papers)
    return kept


def take_finals(group: Group, items: list[Material]) -> None:
    """Take receipts of regions, each for the decision that it answers (row 5)."""
    receipts: list[tuple[Material, FinalFacts]] = []
    for material in items:
        if not isinstance(material.opened.message, FINAL_CLASSES):
            continue
        try:
            receipts.append((material, final_facts(material.opened)))
        except DomainError as refusal:
            if material.batch is not None:
                envelope = item_envelope(material.batch, material.opened.envelope_index)
                party = material.opened.header.sender
                _keep_unacceptable(
                    group, party, Unacceptable(envelope, material.opened.message_hash, refusal)
                )
    load_views(group, [facts.key for _, facts in receipts])
    insert_finals(
        group.connection,
        [
            row
            for material, facts in receipts
            if (row := _take_final(group, facts.sender, material, facts)) is not None
        ],
    )


def _take_final(group: Group, party: str, material: Material, facts: FinalFacts) -> FinalRow | None:
    """Hand one receipt to the core; the row to be stored if it is the first of its side."""
    refusal = _key_refusal(group, material, facts)
    if refusal is not None:
        _nack(group, party, material.opened.message_hash, (reason_of_error(refusal),))
        return None
    view = TransferView(None, group.decisions.get(facts.key))
    source_side = isinstance(facts.state, SourceState)
    after = notary.on_source_final(view, facts) if source_side else notary.on_destination_final(view, facts)
    if after.record.decision is not None:
        group.decisions[facts.key] = after.record.decision
    row: FinalRow | None = None
    for effect in after.effects:
        match effect:
            case StoreFinal():
                side = SOURCE_SIDE if source_side else DESTINATION_SIDE
                journal_index = material.opened.message.journal_index
                row = (facts.key, side, facts.message_hash, int(facts.state), journal_index)
                group.keep_message(material, facts.key)
            case SendNack(reasons=reasons):
                _nack(group, party, material.opened.message_hash, reasons)
            case StoreEvidence() | FreezePair() | FreezeSender() | OpenCase():
                contradictions.carry_out(group, effect, party, facts.key, material)
            case _:
                require(isinstance(effect, Ignore), f"{type(effect).__name__} is no effect of a receipt")
    return row


def _key_refusal(group: Group, material: Material, facts: FinalFacts) -> DomainError | None:
    """Judge the key of a receipt: at the index of the decision that it answers, never by when it arrives."""
    opened = material.opened
    if opened.key_revoked:
        return DomainError("KEY_REVOKED", key_id=opened.key_id)
    if not opened.key_ended:
        return None
    entry, decision = group.context.directory.get(opened.key_id), group.decisions.get(facts.key)
    if entry is not None and decision is not None and entry.valid_at(decision.log_index):
        return None
    return DomainError("KEY_NOT_VALID_AT_INDEX", key_id=opened.key_id, index=group.context.log_size)


def _keep_unacceptable(group: Group, party: str, item: Unacceptable) -> None:
    """Keep what a region signed and nobody can accept, open a case, and say so; the stream goes on."""
    evidence.keep_unacceptable(group, party, item.envelope, item.message_hash)
    _nack(group, party, item.message_hash, (reason_of_error(item.refusal),))


def _keep_nack(group: Group, party: str, material: Material) -> None:
    """Keep that a region could not accept what it was sent, and open a case: people settle it."""
    if material.batch is None:
        return
    opened = material.opened
    envelope = item_envelope(material.batch, opened.envelope_index)
    evidence.keep_two(group, evidence.NACK_RECEIVED, party, envelope.SerializeToString(), b"")
    details = {"party": party, "reasons": [one.reason for one in opened.message.reasons]}
    if opened.header.transfer_id:
        details["transfer"] = evidence.case_subject(
            TransferKey(opened.header.source, opened.header.transfer_id)
        )
    subject = f"{party}:{opened.message.message_hash.hex()}"
    evidence.open_case_about(group, evidence.NACK_RECEIVED, party, subject, json.dumps(details))


def _nack(group: Group, party: str, refused_hash: bytes, reasons: Reasons) -> None:
    """Answer a numbered message that cannot be accepted; the stream goes on."""
    payload = messages_pb2.Nack(
        header=group.context.header((party,), prev_hash=refused_hash),
        message_hash=refused_hash,
        reasons=refusal_messages(reasons),
    ).SerializeToString()
    group.numbered.append(OutboxMessage(party, NACK_TYPE, payload))
    group.wake.add(party)


def take_acknowledgement(group: Group, command: TakeAcknowledgement) -> Answer:
    """Note how far a region has made the bridge's numbered traffic durable."""
    answer = Answer()
    answer.received_number = outbox.acknowledge(
        group.connection, command.party, command.incarnation, command.up_to_number
    )
    return answer
