"""Transfers and uses at the bridge.

Each offered message becomes facts, meets the notary's core, and its effects are
carried out in the group's transaction.

The core (`tanqiao.protocol.notary`) alone decides what an event means; here records are loaded for the
whole group, effects are gathered, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.kernel.errors import require
from tanqiao.protocol import notary
from tanqiao.protocol.effects import (
    Answer as StoredAnswer,
)
from tanqiao.protocol.effects import (
    Decide,
    Effects,
    FreezePair,
    FreezeSender,
    Ignore,
    NeedPrepare,
    OpenCase,
    SendBusy,
    SendNack,
    SendPending,
    SendPrepare,
    SendStored,
    SendUnknown,
    StoreAnswerHash,
    StoreEvidence,
)
from tanqiao.protocol.frozen import FrozenThings
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    Kind,
    LockFacts,
    ReadyFacts,
    Reasons,
    TransferKey,
    TransferView,
    with_prepare,
)
from tanqiao.rpc.protocol_facts import refusal_messages, withdraw_facts
from tanqiao.signing.batch import item_envelope_bytes
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application import contradictions
from tanqiao_bridge.application.commands import (
    Answer,
    AskOutcome,
    Material,
    OfferAnswers,
    OfferLocks,
    OfferWithdrawals,
    Outgoing,
    PassDeadlines,
    ReturnPrepare,
)
from tanqiao_bridge.application.context import Group, PendingDecision
from tanqiao_bridge.application.forms import prepare_payload
from tanqiao_bridge.application.memory import OpenEntry
from tanqiao_bridge.storage import policy
from tanqiao_bridge.storage.decisions import insert_late_answers, load_decisions

PREPARE_TYPE = payload_type_of(messages_pb2.Prepare)
DUE_PER_GROUP_MAX = 2_000
RECHECK_MS = 1_000


def load_views(group: Group, keys: Iterable[TransferKey]) -> None:
    """Load the decisions of the keys that this group has not seen yet."""
    missing = []
    for key in keys:
        if key in group.decisions or key in group.undecided or group.overlay.get(key) is not None:
            continue
        recent = group.context.recent.get(key)
        if recent is None:
            missing.append(key)
        else:
            group.decisions[key] = recent
    if missing:
        group.decisions.update(load_decisions(group.connection, missing))
        group.undecided.update(missing)


def view_of(group: Group, key: TransferKey) -> TransferView:
    """Give what the bridge knows of a transfer, as this group sees it."""
    decision = group.decisions.get(key)
    if decision is not None:
        return TransferView(None, decision)
    entry = group.overlay.get(key)
    return TransferView(entry.transfer if entry is not None else None)


def admission(group: Group, early: Reasons) -> notary.Admission:
    """Give what the core wants to know when a lock arrives."""
    return notary.Admission(
        now_ms=group.context.monotonic_ms(),
        legal_date=group.legal_date,
        decide_by_ms=group.context.decide_by_ms,
        room=group.overlay.room,
        reasons=early,
    )


# -- row 1 and row 8: locks and uses --------------------------------------------------------------------


def offer_locks(group: Group, command: OfferLocks) -> Answer:
    """Open what is new, answer what is known; Uses are decided in this group."""
    answer = Answer()
    load_views(group, [facts.key for _, facts in command.items])
    early = _early_reasons(group, command.items)
    for (material, facts), reasons in zip(command.items, early, strict=True):
        view = view_of(group, facts.key)
        gone = key_gone(group, material)
        after = notary.on_lock(view, facts, admission(group, (*gone, *reasons)))
        _carry_out(group, answer, facts.key, after.record, after.effects, command.party, lock=material)
    return answer


def key_gone(group: Group, material: Material) -> Reasons:
    """Say why the key of a verified promise counts no more, for its ABORT; nothing where it counts."""
    opened = material.opened
    if opened.key_revoked:
        return (reason("KEY_REVOKED", key_id=opened.key_id.hex()),)
    if opened.key_ended:
        index = str(group.context.log_size)
        return (reason("KEY_NOT_VALID_AT_INDEX", key_id=opened.key_id.hex(), index=index),)
    return ()


def _early_reasons(group: Group, items: Sequence[tuple[Material, LockFacts]]) -> list[Reasons]:
    """Checks of section 5 that fail whatever a destination answers: unknown party, no agreement, frozen."""
    pairs = {(facts.key.source, facts.destination) for _, facts in items if facts.kind is Kind.TRANSFER}
    frozen = group.frozen_things()
    known = group.known_regions()
    with_agreement = {
        pair
        for pair, rows in group.agreements_of(pairs).items()
        if any(row.start_date <= group.legal_date < row.end_date for row in rows)
    }
    early: list[Reasons] = []
    for material, facts in items:
        pair = (facts.key.source, facts.destination)
        reasons = _frozen_reasons(frozen, material, facts) if frozen else ()
        if reasons:
            early.append(reasons)
        elif facts.kind is not Kind.TRANSFER:
            early.append(())
        elif facts.destination not in known:
            early.append((reason("REGION_UNKNOWN", region=facts.destination),))
        elif pair not in with_agreement:
            early.append((reason("RECOGNITION_NOT_IN_FORCE", a=pair[0], b=pair[1]),))
        else:
            early.append(())
    return early


def _frozen_reasons(frozen: FrozenThings, material: Material, facts: LockFacts) -> Reasons:
    pseudonym = b""
    if frozen.has_pseudonyms and material.companion:
        pseudonym = messages_pb2.Openings.FromString(material.companion).owner_pseudonym
    return frozen.reasons(facts.key.source, facts.destination, facts.blocks, pseudonym)


# -- row 3: answers -------------------------------------------------------------------------------------


def offer_answers(group: Group, command: OfferAnswers) -> Answer:
    """Take the destination's promises and refusals."""
    answer = Answer()
    load_views(group, [facts.key for _, facts in command.items])
    for material, facts in command.items:
        view = view_of(group, facts.key)
        if view.state is None and facts.key.source not in group.known_regions():
            # Nobody's transfer: kept, two such answers would freeze a pair that no order can name again.
            unknown = (reason("REGION_UNKNOWN", region=facts.key.source),)
            answer.refused.append(_offer_refused(facts.key, material, unknown))
            continue
        after = (
            notary.on_ready(view, facts) if isinstance(facts, ReadyFacts) else notary.on_refuse(view, facts)
        )
        _carry_out(group, answer, facts.key, after.record, after.effects, command.party, answered=material)
    return answer


def return_prepare(group: Group, command: ReturnPrepare) -> Answer:
    """Open again what a crash forgot, with the Prepare that the destination kept."""
    answer = Answer()
    facts = command.prepare_facts
    load_views(group, [facts.lock.key])
    view = view_of(group, facts.lock.key)
    after = notary.on_returned_prepare(view, facts, command.answer_facts, admission(group, ()))
    _carry_out(
        group,
        answer,
        facts.lock.key,
        after.record,
        after.effects,
        command.party,
        lock=command.lock,
        answered=command.answer,
    )
    return answer


def offer_withdrawals(group: Group, command: OfferWithdrawals) -> Answer:
    """Abort at the holder's wish, unless decided (row 13)."""
    answer = Answer()
    items = [(material, withdraw_facts(material.opened)) for material in command.items]
    load_views(group, [facts.key for _, facts in items])
    for material, facts in items:
        after = notary.on_withdraw(view_of(group, facts.key), facts)
        _carry_out(group, answer, facts.key, after.record, after.effects, command.party, other=material)
    return answer


def pass_deadlines(group: Group, command: PassDeadlines) -> Answer:
    """Abort what has no answer in time (R2)."""
    answer = Answer()
    for key in group.context.transfers.due(command.now_ms, DUE_PER_GROUP_MAX):
        # Looked at again later in any case: if this group is rolled back the deadline must not be lost.
        group.context.transfers.postpone(key, command.now_ms + RECHECK_MS)
        after = notary.on_deadline(view_of(group, key), command.now_ms)
        _carry_out(group, answer, key, after.record, after.effects, "")
    return answer


def ask_outcome(group: Group, command: AskOutcome) -> Answer:
    """Answer GetOutcome (row 7); without evidence nothing is ever written."""
    answer = Answer()
    key = TransferKey(command.source, command.transfer_id)
    load_views(group, [key])
    view = view_of(group, key)
    if command.evidence is None:
        after = notary.on_get_outcome(view, None, notary.Admission(0, group.legal_date))
        _carry_out(group, answer, key, after.record, after.effects, command.source)
    else:
        material, facts = command.evidence
        early = _early_reasons(group, [command.evidence])[0]
        after = notary.on_get_outcome(view, facts, admission(group, early))
        _carry_out(group, answer, key, after.record, after.effects, command.source, lock=material)
    decision = group.decisions.get(key)
    if decision is not None:
        answer.finals = (bool(decision.source_final_hash), bool(decision.destination_final_hash))
    return answer


# -- effects --------------------------------------------------------------------------------------------


def _carry_out(  # noqa: C901, PLR0912, PLR0913 - one branch for each effect of the closed set
    group: Group,
    answer: Answer,
    key: TransferKey,
    record: TransferView,
    effects: Effects,
    party: str,
    *,
    lock: Material | None = None,
    answered: Material | None = None,
    other: Material | None = None,
) -> None:
    if record.open is not None:
        _note_open(group, key, record, lock, answered)
    elif record.decision is not None:
        group.decisions[key] = record.decision
    material = answered or lock or other
    for effect in effects:
        match effect:
            case Decide():
                if key not in group.pending:
                    group.pending[key] = PendingDecision(key, effect)
            case SendPrepare():
                group.prepares.append(key)
            case SendStored(answer=StoredAnswer.DECISION):
                group.stored_decisions.append((answer, party, key))
            case NeedPrepare():
                answer.need_prepare.setdefault(key.source, []).append(key.transfer_id)
            case SendBusy():
                answer.busy.append(key.transfer_id)
            case SendPending():
                answer.outcome = "PENDING"
            case SendUnknown():
                answer.outcome = "UNKNOWN"
            case SendNack(reasons=reasons):
                answer.refused.append(_offer_refused(key, material, reasons))
            case StoreAnswerHash(message_hash=late_hash):
                insert_late_answers(group.connection, [(key, late_hash)])
                if answered is not None:
                    group.keep_message(answered, key)
            case StoreEvidence() | FreezePair() | FreezeSender() | OpenCase():
                contradictions.carry_out(group, effect, party, key, material)
            case Ignore():
                pass
            case _:
                require(False, f"{type(effect).__name__} is no effect of the notary")  # noqa: FBT003


def _offer_refused(key: TransferKey, material: Material | None, reasons: Reasons) -> sync_pb2.OfferRefused:
    return sync_pb2.OfferRefused(
        message_hash=material.opened.message_hash if material is not None else b"",
        transfer_id=key.transfer_id,
        reasons=refusal_messages(reasons),
    )


def _note_open(
    group: Group, key: TransferKey, record: TransferView, lock: Material | None, answered: Material | None
) -> None:
    transfer = record.open
    entry = group.overlay.get(key)
    if transfer is None:
        return
    if entry is None:
        require(lock is not None, "a transfer is opened by its lock")
        if lock is not None:
            group.overlay.put(key, OpenEntry(transfer, lock, b"", answered))
    elif entry.transfer is not transfer or answered is not None:
        kept = answered if transfer.answer_hash and entry.answer is None else entry.answer
        group.overlay.put(key, OpenEntry(transfer, entry.lock, entry.prepare_payload, kept))


# -- Prepares, made for many at once --------------------------------------------------------------------


def make_prepares(group: Group) -> None:
    """Make the Prepares that the group's effects ask for, by destination, and note their hashes."""
    wanted = [key for key in dict.fromkeys(group.prepares) if key not in group.pending]
    group.prepares.clear()
    entries = [(key, entry) for key in wanted if (entry := group.overlay.get(key)) is not None]
    fresh = [(key, entry) for key, entry in entries if not entry.prepare_payload]
    envelopes = _lock_envelopes([entry.lock for _, entry in fresh])
    series = {
        series_id: policy.series_message(row).SerializeToString()
        for series_id, row in group.series_of(
            {block.series_id for _, entry in fresh for block in entry.transfer.blocks}
        ).items()
    }
    made: dict[TransferKey, OpenEntry] = {}
    for (key, entry), envelope in zip(fresh, envelopes, strict=True):
        transfer = entry.transfer
        named = dict.fromkeys([block.series_id for block in transfer.blocks])
        known = [series[series_id] for series_id in named if series_id in series]
        payload = prepare_payload(group.context, transfer, envelope, known)
        noted = with_prepare(transfer, message_hash(PREPARE_TYPE, payload))
        made[key] = OpenEntry(noted, entry.lock, payload, entry.answer)
        group.overlay.put(key, made[key])
    by_destination: dict[str, Outgoing] = {}
    for key, entry in entries:
        entry = made.get(key, entry)  # noqa: PLW2901 - the one with its Prepare
        outgoing = by_destination.setdefault(
            entry.transfer.destination, Outgoing(entry.transfer.destination, PREPARE_TYPE)
        )
        outgoing.payloads.append(entry.prepare_payload)
        outgoing.companions.append(entry.lock.companion)
    group.outgoing.extend(by_destination.values())


def _lock_envelopes(locks: Sequence[Material]) -> list[bytes]:
    """Give the envelope of each lock as received, with its own path, serialised."""
    by_batch: dict[int, list[int]] = {}
    for position, lock in enumerate(locks):
        if lock.batch is not None:
            by_batch.setdefault(id(lock.batch), []).append(position)
    envelopes = [b"" if lock.envelope is None else lock.envelope.SerializeToString() for lock in locks]
    for positions in by_batch.values():
        first = locks[positions[0]]
        if first.batch is None:
            continue
        indexes = [locks[position].opened.envelope_index for position in positions]
        found = item_envelope_bytes(first.batch, indexes, first.opened.tree.levels)
        for position, envelope in zip(positions, found, strict=True):
            envelopes[position] = envelope
    return envelopes
