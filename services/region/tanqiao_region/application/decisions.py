"""Decisions take effect: S extinguishes or releases, D credits or drops (PROTOCOL row 4; R3, R7, R9).

The cores of source and destination say what a decision means for what is stored; here their effects are
carried out in the transaction of the group, and the receipts (row 5) are numbered with it.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import destination, source
from tanqiao.protocol.effects import (
    CreditBlocks,
    DropReady,
    Effects,
    LockBlocks,
    MoveBlocksOut,
    OpenCase,
    ReleaseBlocks,
    SendFinal,
    SendNack,
    SendStored,
    SetDestinationState,
    SetSourceState,
    StoreEvidence,
    UseBlocks,
)
from tanqiao.protocol.types import (
    DecisionFacts,
    DestinationRecord,
    DestinationState,
    Kind,
    Outcome,
    SourceRecord,
    SourceState,
    TransferKey,
)
from tanqiao.rpc.protocol_facts import date_of
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import cases, corrections, journal
from tanqiao_region.application.commands import DecisionItem, Frame
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.forms import final_payload
from tanqiao_region.application.group import Ended, Group, Needs
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.honouring import can_lock, honour_lock, honour_ready
from tanqiao_region.application.papers import receiving_address, touched
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.finality import PendingRow
from tanqiao_region.storage.holdings import CANCELLED, HELD, LOCKED, RETIRING, USED, Place
from tanqiao_region.storage.transfers import (
    DecisionUpdate,
    IncomingRow,
    NewIncoming,
    OutgoingRow,
)

SOURCE_FINAL_TYPE: Final = payload_type_of(messages_pb2.SourceFinal)
DEST_FINAL_TYPE: Final = payload_type_of(messages_pb2.DestFinal)
USED_STATES: Final = {SourceState.USED: USED, SourceState.CANCELLED: CANCELLED}
SOURCE_EVENTS: Final = {
    SourceState.MOVED: journal.UNITS_MOVED,
    SourceState.USED: journal.UNITS_RETIRED,
    SourceState.CANCELLED: journal.UNITS_CANCELLED,
}


def gather(group: Group, frame: Frame, item: DecisionItem, needs: Needs) -> None:
    """Say what the decision looks at."""
    papers = frame.papers.get(item.opened.envelope_index)
    if papers is not None:
        needs.touched.extend(touched(papers))
        address = receiving_address(papers)
        if address:
            needs.addresses.add(address)
    key = item.facts.key
    if key.source == group.context.party:
        needs.outgoing.add(key.transfer_id)
        if item.facts.outcome is Outcome.ABORT:
            needs.released.add(key.transfer_id)
    else:
        needs.incoming.add(key)


def apply(group: Group, frame: Frame, item: DecisionItem) -> None:
    """Let one decision take effect; one that was seen before, or is void, changes nothing."""
    if item.facts.key.source == group.context.party:
        effects = _at_source(group, frame, item)
    else:
        effects = _at_destination(group, frame, item)
    # What is void is evidence: it does not say how far the log was applied here.
    if not any(isinstance(effect, StoreEvidence) for effect in effects):
        group.applied_log_index = max(group.applied_log_index, item.facts.log_index)


# -- source --------------------------------------------------------------------------------------------------


def _at_source(group: Group, frame: Frame, item: DecisionItem) -> Effects:
    facts = item.facts
    row = group.outgoing.get(facts.key.transfer_id)
    papers = frame.papers.get(item.opened.envelope_index)
    own_lock = papers.own_lock(group.context.party) if papers is not None and row is None else None
    if own_lock is not None and not can_lock(group, own_lock):
        own_lock = None  # its units are not here to be honoured: the decision is kept as evidence
    before = row.record if row is not None else None
    after = source.on_decision(before, facts, own_lock, _not_here(group, row))
    record = after.record
    for effect in after.effects:
        match effect:
            case LockBlocks(state=state):
                row = honour_lock(group, papers, state)  # type: ignore[arg-type]  # it gave the lock
            case MoveBlocksOut(blocks=blocks):
                failing = group.holdings.remove(blocks, _place(_known(row)))
                require(not failing, f"locked units are not where they were locked: {failing}")
            case ReleaseBlocks(blocks=blocks):
                _release(group, _known(row), blocks)
            case UseBlocks(blocks=blocks, state=state):
                known = _known(row)
                place = (known.account_id, USED_STATES[state], facts.key.transfer_id)
                failing = group.holdings.move(blocks, _place(known), place)
                require(not failing, f"retiring units are not where they were: {failing}")
            case SendFinal():
                _end_outgoing(group, frame, item, _known(row), record)
            case _:
                _common(group, frame, item, effect)
    return after.effects


def _not_here(group: Group, row: OutgoingRow | None) -> tuple[UnitBlock, ...]:
    """Name the parts of an undecided lock or Use that are not where it put them: broken books."""
    if row is None or row.record.decision_hash:
        return ()
    return group.holdings.elsewhere(row.record.blocks, _place(row))


def _known(row: OutgoingRow | None) -> OutgoingRow:
    require(row is not None, "only a transfer that is stored moves units")
    return row  # type: ignore[return-value]  # required above


def _place(row: OutgoingRow) -> Place:
    state = LOCKED if row.record.kind is Kind.TRANSFER else RETIRING
    return (row.account_id, state, row.record.key.transfer_id)


def _release(group: Group, row: OutgoingRow, blocks: tuple[UnitBlock, ...]) -> None:
    """Back to the account, or to suspense if it was closed by law meanwhile (R7)."""
    account = open_or_suspense(group, row.account_id)
    failing = group.holdings.move(blocks, _place(row), held_by(account.account_id))
    require(not failing, f"locked units are not where they were locked: {failing}")
    corrections.note_released(group, account.account_id, blocks)


def open_or_suspense(group: Group, account_id: str) -> AccountRow:
    """Give the account, or the suspense account of its owner if it is closed."""
    account = group.accounts[account_id]
    return account if account.is_open else group.suspense_account(account)


def _credited(group: Group, account_id: str, key: TransferKey) -> Place:
    """R10: with witnesses, credited units are marked by their transfer until a quorum has cosigned it."""
    return (account_id, HELD, key.transfer_id) if group.quorum else held_by(account_id)


def _await_quorum(
    group: Group, facts: DecisionFacts, account_id: str, blocks: tuple[UnitBlock, ...] = ()
) -> None:
    """Note a decision that is not final yet, with the units that it credited here.

    An ABORT waits too: a bridge that logs COMMIT and tells one side ABORT is found out here.
    """
    if group.quorum:
        decided_at_ms = int(group.context.now().timestamp() * _MILLISECONDS)
        group.new_pending.append(
            PendingRow(facts.key, facts.log_index, facts.message_hash, account_id, blocks, decided_at_ms)
        )


_MILLISECONDS: Final = 1_000


def _end_outgoing(
    group: Group, frame: Frame, item: DecisionItem, row: OutgoingRow, record: SourceRecord | None
) -> None:
    require(record is not None, "a decision leaves a record")
    if record is None:  # pragma: no cover - required above
        return
    key = record.key
    index = _journal_source(group, item.facts, row, record)
    group.ended_outgoing.append(
        DecisionUpdate(
            record, item.opened.payload, group.signature_of(frame), item.opened.envelope_index, group.now
        )
    )
    if record.kind is not Kind.TRANSFER:
        decided_on = date_of(item.opened.message.legal_date, "legal_date").isoformat()
        group.decision_dates.append((key.transfer_id, decided_on))
    if not _has_final(frame, item):
        final = final_payload(
            group.context, messages_pb2.SourceFinal, key, item.facts.message_hash, record.state, index
        )
        group.send_numbered(SOURCE_FINAL_TYPE, final)
    _await_quorum(group, item.facts, row.account_id)
    group.outgoing[key.transfer_id] = OutgoingRow(record, row.account_id, row.quantity_kg, row.created_at)
    group.aftermath.ended.append(Ended(key, int(record.state)))


def _has_final(frame: Frame, item: DecisionItem) -> bool:
    """R4: a receipt that the bridge has from before a restore is the only one."""
    papers = frame.papers.get(item.opened.envelope_index)
    return papers is not None and papers.has_final


def _journal_source(group: Group, facts: DecisionFacts, row: OutgoingRow, record: SourceRecord) -> int:
    effect = journal.Effect(row.account_id)
    kind = SOURCE_EVENTS.get(record.state)
    details = {"log_index": str(facts.log_index)}
    if kind is None:
        account = open_or_suspense(group, row.account_id)
        effect = journal.Effect(account.account_id, added=record.blocks)
        kind = journal.UNITS_RELEASED if record.kind is Kind.TRANSFER else journal.USE_RETURNED
        details["reasons"] = ", ".join(one.symbol for one in facts.reasons)
    return group.journal.append(
        kind, record.key.transfer_id.hex(), (effect,), message_hash=facts.message_hash, details=details
    )


# -- destination ---------------------------------------------------------------------------------------------


def _at_destination(group: Group, frame: Frame, item: DecisionItem) -> Effects:
    facts = item.facts
    row = group.incoming.get(facts.key)
    papers = frame.papers.get(item.opened.envelope_index)
    forgotten = papers.own_ready() if papers is not None and row is None else None
    own_ready, own_prepare = forgotten if forgotten is not None else (None, None)
    after = destination.on_decision(
        row.record if row is not None else None,
        facts,
        own_ready,
        own_prepare,
        already_here=_already_here(group, facts, row.record if row is not None else None)
        if forgotten is None
        else group.holdings.occupied(forgotten[1].lock.blocks if facts.outcome is Outcome.COMMIT else ()),
    )
    record = after.record
    for effect in after.effects:
        if row is None and forgotten is not None and isinstance(effect, CreditBlocks | DropReady):
            row = honour_ready(group, papers)  # type: ignore[arg-type]  # it gave the Ready
        match effect:
            case CreditBlocks(blocks=blocks):
                account = open_or_suspense(group, _promised(row).account_id)
                failing = group.holdings.register(blocks, _credited(group, account.account_id, facts.key))
                require(not failing, "the credit was looked at before")
            case DropReady():
                pass  # a Ready reserves nothing but the account, which it does not bind
            case SendFinal():
                _end_incoming(group, frame, item, row, record)
            case _:
                _common(group, frame, item, effect)
    return after.effects


def _already_here(
    group: Group, facts: DecisionFacts, record: DestinationRecord | None
) -> tuple[UnitBlock, ...]:
    """Name the parts of a COMMIT's blocks that are in the books: only if the bridge or the source lies."""
    if record is None or facts.outcome is not Outcome.COMMIT or record.state is not DestinationState.READY:
        return ()
    return group.holdings.occupied(record.blocks)


def _promised(row: IncomingRow | None) -> IncomingRow:
    require(row is not None, "only what was promised is credited")
    return row  # type: ignore[return-value]  # required above


def _end_incoming(
    group: Group,
    frame: Frame,
    item: DecisionItem,
    row: IncomingRow | None,
    record: DestinationRecord | None,
) -> None:
    require(record is not None, "a decision leaves a record")
    if record is None:  # pragma: no cover - required above
        return
    key = record.key
    index = _journal_destination(group, item.facts, row, record)
    signature_id = group.signature_of(frame)
    if row is None:
        group.dropped_incoming.append(_dropped(group, item, record, signature_id))
    else:
        group.ended_incoming.append(
            DecisionUpdate(record, item.opened.payload, signature_id, item.opened.envelope_index, group.now)
        )
    if not _has_final(frame, item):
        final = final_payload(
            group.context, messages_pb2.DestFinal, key, item.facts.message_hash, record.state, index
        )
        group.send_numbered(DEST_FINAL_TYPE, final)
    account_id, quantity_kg = ("", 0) if row is None else (row.account_id, row.quantity_kg)
    group.incoming[key] = IncomingRow(record, account_id, quantity_kg, group.now)
    group.aftermath.ended.append(Ended(key, int(record.state)))


def _dropped(group: Group, item: DecisionItem, record: DestinationRecord, signature_id: int) -> NewIncoming:
    """R9: an ABORT of a transfer that this node never heard of; a later Prepare is refused."""
    return NewIncoming(
        record=record,
        account_id="",
        receiving_address="",
        quantity_kg=0,
        prepare_payload=b"",
        prepare_companion=b"",
        prepare_signature_id=None,
        prepare_item_index=None,
        answer_type="",
        answer_payload=b"",
        legal_date="",
        created_at=group.now,
        decision_payload=item.opened.payload,
        decision_signature_id=signature_id,
        decision_item_index=item.opened.envelope_index,
        ended_at=group.now,
    )


def _journal_destination(
    group: Group, facts: DecisionFacts, row: IncomingRow | None, record: DestinationRecord
) -> int:
    effects: tuple[journal.Effect, ...] = ()
    shared = {"source": record.key.source}
    details = {"log_index": str(facts.log_index)}
    kind = journal.TRANSFER_DROPPED
    if record.state is DestinationState.CREDITED:
        account = open_or_suspense(group, _promised(row).account_id)
        effects = (journal.Effect(account.account_id, added=record.blocks),)
        kind = journal.UNITS_CREDITED
        if group.quorum:
            shared["pending"] = "1"
            _await_quorum(group, facts, account.account_id, record.blocks)
    elif row is not None and row.account_id:
        effects = (journal.Effect(row.account_id),)
        _await_quorum(group, facts, row.account_id)
    return group.journal.append(
        kind,
        record.key.transfer_id.hex(),
        effects,
        message_hash=facts.message_hash,
        details=details,
        shared=shared,
    )


# -- both ----------------------------------------------------------------------------------------------------


def _common(group: Group, frame: Frame, item: DecisionItem, effect: object) -> None:
    match effect:
        case StoreEvidence(kind=kind):
            second = _decision_before(group, item.facts.key)
            cases.keep(group, kind.value, BRIDGE, cases.item_bytes(frame, item.opened.envelope_index), second)
        case SendNack(reasons=reasons):
            cases.nack(group, item.facts.message_hash, reasons, item.facts.key)
        case SetSourceState() | SetDestinationState() | OpenCase() | SendStored():
            pass  # the row is the state; evidence is the case; a numbered receipt is sent by number
        case _:
            require(condition=False, message=f"{effect} does not belong to a decision")


def _decision_before(group: Group, key: TransferKey) -> bytes:
    """Give the decision that is stored for a transfer, if one is, as an envelope's bytes."""
    return cases.stored_decision(group, key)
