"""Decides the transfers of a group.

Checks of PROTOCOL section 5, location, counters, leaves, outbox, one signature.

Everything is loaded set-based, decided item by item in order as if alone, and written set-based, in the
transaction of the group (R1, section 4 row 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.db.signatures import store_batch
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.errors import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.decision import ALL_CHECKS_HOLD, DecisionChecks, DecisionResult, decide, decided
from tanqiao.protocol.effects import MoveLocation
from tanqiao.protocol.frozen import FrozenThings
from tanqiao.protocol.locations import LocationBook, LocationRow
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    SINK,
    Kind,
    OpenTransfer,
    Outcome,
    Reasons,
    TransferKey,
    TransferView,
)
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.signing.batch import BATCH_ITEMS_MAX, sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.decision_leaves import DECISION_KIND, decision_leaf
from tanqiao_bridge.application.forms import decision_payload
from tanqiao_bridge.application.freezes import pseudonym_of
from tanqiao_bridge.application.memory import OpenEntry
from tanqiao_bridge.storage import locations, log, policy
from tanqiao_bridge.storage.decisions import DecisionRow, MessageRow, insert_decisions
from tanqiao_bridge.storage.tables import signature

DECISION_TYPE = payload_type_of(messages_pb2.Decision)
HOME_NOTICE_TYPE = payload_type_of(messages_pb2.HomeNotice)

Place = tuple[str, int]

_USED_PLACE = {Kind.RETIRE: locations.USED, Kind.CANCEL: locations.CANCELLED}


@dataclass(slots=True)
class _Loaded:
    """Facts of section 5 for all transfers of the group."""

    book: LocationBook[Place]
    rows: dict[tuple[str, int], locations.LocationRow]
    series: dict[str, policy.SeriesRow]
    agreements: dict[tuple[str, str], list[policy.AgreementRow]]
    frozen: FrozenThings
    blocked: dict[str, int]
    used_kg: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Made:
    """One decision on its way into the tables."""

    key: TransferKey
    entry: OpenEntry
    view: TransferView
    result: DecisionResult
    log_index: int = -1
    payload: bytes = b""
    decision_hash: bytes = b""


def decide_pending(group: Group) -> None:
    """Decide what the group's commands asked for.

    Writes everything but the outbox, which the group writes last.
    """
    if not group.pending:
        return
    asked: list[tuple[TransferKey, OpenEntry]] = []
    for key in group.pending:
        entry = group.overlay.get(key)
        require(entry is not None, "what is decided is open")
        if entry is not None:
            asked.append((key, entry))
    loaded = _load(group, [entry.transfer for _, entry in asked])
    first_index = log.reserve_indexes(group.connection, len(asked))
    group.log_size = first_index + len(asked)  # nobody adds a leaf before this transaction has ended
    made = [
        _decide_one(group, loaded, key, entry, first_index + position)
        for position, (key, entry) in enumerate(asked)
    ]
    _write(group, loaded, made, first_index)


def _load(group: Group, transfers: Sequence[OpenTransfer]) -> _Loaded:
    connection = group.connection
    blocks = [block for transfer in transfers for block in transfer.blocks]
    rows = locations.load_touched(connection, blocks)
    book: LocationBook[Place] = LocationBook(
        LocationRow(row.block.series_id, row.block.start, row.block.end, (row.region, row.state))
        for row in rows
    )
    series_ids = {block.series_id for block in blocks}
    pairs = {(t.key.source, t.destination) for t in transfers if t.kind is Kind.TRANSFER}
    return _Loaded(
        book,
        {(row.block.series_id, row.block.start): row for row in rows},
        group.series_of(series_ids),
        group.agreements_of(pairs),
        group.frozen_things(),
        policy.load_blocked_series(connection, series_ids),
    )


def _decide_one(group: Group, loaded: _Loaded, key: TransferKey, entry: OpenEntry, log_index: int) -> _Made:
    transfer = entry.transfer
    wish = group.pending[key].wish
    view = TransferView(transfer)
    checks = ALL_CHECKS_HOLD
    agreement_id = ""
    if wish.outcome is Outcome.COMMIT:
        checks, agreement_id = _checks(group, loaded, transfer, entry, log_index)
    result = decide(view, wish, checks)
    for effect in result.effects:
        if isinstance(effect, MoveLocation):
            target: Place = (
                (effect.to_party, locations.HELD)
                if effect.to_party != SINK
                else (effect.from_party, _USED_PLACE[transfer.kind])
            )
            loaded.book.stamp = log_index
            failing = loaded.book.move(effect.blocks, (effect.from_party, locations.HELD), target)
            require(not failing, "the compare-and-set was checked before")
            if agreement_id:
                quantity_kg = sum(block.end - block.start for block in effect.blocks)
                loaded.used_kg[agreement_id] = loaded.used_kg.get(agreement_id, 0) + quantity_kg
    return _Made(key, entry, view, result)


# -- the checks of section 5 ----------------------------------------------------------------------------


def _checks(
    group: Group, loaded: _Loaded, transfer: OpenTransfer, entry: OpenEntry, log_index: int
) -> tuple[DecisionChecks, str]:
    """Run all checks; the facts, and the agreement whose counter moves if they hold."""
    not_at_source = loaded.book.elsewhere(transfer.blocks, (transfer.key.source, locations.HELD))
    frozen: Reasons = ()
    if loaded.frozen:
        pseudonym = pseudonym_of(entry) if loaded.frozen.has_pseudonyms else b""
        frozen = loaded.frozen.reasons(transfer.key.source, transfer.destination, transfer.blocks, pseudonym)
    unknown = tuple(
        sorted({block.series_id for block in transfer.blocks if block.series_id not in loaded.series})
    )
    cases: Reasons = ()
    if loaded.blocked:
        named = {block.series_id for block in transfer.blocks if block.series_id in loaded.blocked}
        cases = tuple(
            reason(
                "CASE_BLOCKING",
                tuple(block for block in transfer.blocks if block.series_id == series_id),
                cases=str(loaded.blocked[series_id]),
            )
            for series_id in sorted(named)
        )
    agreement: Reasons = ()
    agreement_id = ""
    if transfer.kind is Kind.TRANSFER:
        agreement, agreement_id = check_agreement(loaded.agreements, loaded.series, loaded.used_kg, transfer)
    revoked, ended = _gone_keys(group, transfer, log_index)
    frozen = (*frozen, *ended)
    if not (not_at_source or frozen or unknown or cases or agreement or revoked):
        return ALL_CHECKS_HOLD, agreement_id
    return DecisionChecks(not_at_source, frozen, unknown, cases, agreement, revoked), agreement_id


def _gone_keys(group: Group, transfer: OpenTransfer, log_index: int) -> tuple[tuple[bytes, ...], Reasons]:
    """Both signatures valid at this index: revoked keys, and reasons for those whose time is over."""
    directory = group.directory or group.context.directory
    revoked: list[bytes] = []
    ended: list[Reasons] = []
    for key_id in (transfer.lock_key_id, transfer.ready_key_id):
        if key_id:
            entry = directory.get(key_id)
            if entry is None or entry.revoked:
                revoked.append(key_id)
            elif not entry.valid_at(log_index):
                index = str(log_index)
                ended.append((reason("KEY_NOT_VALID_AT_INDEX", key_id=key_id.hex(), index=index),))
    return tuple(revoked), tuple(one for reasons in ended for one in reasons)


def check_agreement(
    agreements: dict[tuple[str, str], list[policy.AgreementRow]],
    series: dict[str, policy.SeriesRow],
    used_kg: dict[str, int],
    transfer: OpenTransfer,
) -> tuple[Reasons, str]:
    """Find the agreement that covers a transfer; its id, or why none does.

    An agreement covers direction, legal date, programme and class of every series, the purpose if one is
    named, and the quantity under its cap, with what this group has taken already.
    """
    source, destination = transfer.key.source, transfer.destination
    rows = agreements.get((source, destination), [])
    in_force = [row for row in rows if row.start_date <= transfer.legal_date < row.end_date]
    if not in_force:
        return (reason("RECOGNITION_NOT_IN_FORCE", a=source, b=destination),), ""
    reasons: list[Reasons] = []
    quantity_kg = sum(block.end - block.start for block in transfer.blocks)
    for row in in_force:
        failing = _agreement_failures(row, series, transfer, quantity_kg, used_kg.get(row.agreement_id, 0))
        if not failing:
            return (), row.agreement_id
        reasons.append(failing)
    return reasons[0], ""


def _agreement_failures(
    row: policy.AgreementRow,
    series: dict[str, policy.SeriesRow],
    transfer: OpenTransfer,
    quantity_kg: int,
    taken_kg: int,
) -> Reasons:
    failing = []
    for series_id in sorted({block.series_id for block in transfer.blocks}):
        known = series.get(series_id)
        if known is None:
            continue
        if known.programme not in row.programmes or known.unit_class not in row.unit_classes:
            failing.append(
                reason(
                    "CLASS_NOT_RECOGNISED",
                    agreement=row.agreement_id,
                    programme=known.programme,
                    unit_class=known.unit_class,
                    region=transfer.destination,
                    ranges=series_id,
                )
            )
    if transfer.purpose and row.purposes and transfer.purpose not in row.purposes:
        failing.append(
            reason(
                "PURPOSE_NOT_RECOGNISED",
                agreement=row.agreement_id,
                purpose=transfer.purpose,
                region=transfer.destination,
            )
        )
    if row.quantity_cap_kg and row.used_kg + taken_kg + quantity_kg > row.quantity_cap_kg:
        left_kg = max(0, row.quantity_cap_kg - row.used_kg - taken_kg)
        failing.append(
            reason("CAP_REACHED", cap=row.agreement_id, left_kg=str(left_kg), asked_kg=str(quantity_kg))
        )
    return tuple(failing)


# -- writing --------------------------------------------------------------------------------------------


def _write(group: Group, loaded: _Loaded, made: Sequence[_Made], first_index: int) -> None:
    connection = group.connection
    leaves: list[bytes] = []
    for position, item in enumerate(made):
        item.log_index = first_index + position
        item.payload = _decision_payload(group, item)
        item.decision_hash = message_hash(DECISION_TYPE, item.payload)
        leaves.append(_leaf(group, item))
    log.write_encoded(connection, first_index, DECISION_KIND, leaves, recorded_at=group.now)
    _store_decisions(group, made)
    _store_locations(group, loaded)
    policy.add_agreement_use(connection, loaded.used_kg)
    for item in made:
        _after_decision(group, loaded, item)


def _decision_payload(group: Group, item: _Made) -> bytes:
    transfer, result = item.entry.transfer, item.result
    parties = (
        (item.key.source, transfer.destination) if transfer.kind is Kind.TRANSFER else (item.key.source,)
    )
    return decision_payload(
        group.context,
        transfer,
        result,
        parties,
        log_index=item.log_index,
        legal_date=transfer.legal_date or group.legal_date,
        decided_at=group.now,
    )


def _leaf(group: Group, item: _Made) -> bytes:
    transfer, result = item.entry.transfer, item.result
    hashes = [result.lock_hash]
    signers = [transfer.lock_key_id]
    if transfer.ready:
        hashes.append(result.ready_hash)
        signers.append(transfer.ready_key_id)
    return decision_leaf(
        transfer,
        result.outcome,
        transfer.legal_date or group.legal_date,
        (*hashes, item.decision_hash),
        (*signers, group.context.signer.key_id),
    )


def _store_decisions(group: Group, made: Sequence[_Made]) -> None:
    connection = group.connection
    for at in range(0, len(made), BATCH_ITEMS_MAX):
        part = made[at : at + BATCH_ITEMS_MAX]
        hashes = [item.decision_hash for item in part]
        batch = sign_batch(
            group.context.signer, DECISION_TYPE, [item.payload for item in part], hashes=hashes
        )
        signature_id = store_batch(connection, signature, batch, hashes)
        group.messages.extend(
            MessageRow(
                item.decision_hash,
                DECISION_TYPE,
                "bridge",
                item.key,
                item.payload,
                signature_id,
                index,
                None,
            )
            for index, item in enumerate(part)
        )
    rows = [
        DecisionRow(
            item.key,
            item.entry.transfer.kind,
            item.entry.transfer.destination,
            item.result.outcome,
            item.result.lock_hash,
            item.result.ready_hash,
            item.entry.transfer.answer_hash,
            item.log_index,
            item.entry.transfer.legal_date or group.legal_date,
            group.now,
            item.payload,
            item.decision_hash,
            item.entry.transfer.purpose,
            item.entry.transfer.blocks,
        )
        for item in made
    ]
    insert_decisions(connection, rows)
    for item in made:
        group.keep_message(item.entry.lock, item.key)
        if item.entry.answer is not None:
            group.keep_message(item.entry.answer, item.key)


def _store_locations(group: Group, loaded: _Loaded) -> None:
    difference = loaded.book.difference()
    group.write_locations(
        [loaded.rows[row.series_id, row.start] for row in difference.deleted],
        [
            locations.LocationRow(
                UnitBlock(row.series_id, row.start, row.end), *row.place, loaded.book.stamp_of(row)
            )
            for row in difference.inserted
        ],
    )


def _after_decision(group: Group, loaded: _Loaded, item: _Made) -> None:
    """Number the Decision for its parties and the notice for the home region; forget what was open."""
    transfer = item.entry.transfer
    after = decided(item.view, item.result, item.decision_hash, item.log_index)
    require(after.decision is not None, "a decision was made")
    if after.decision is not None:
        group.decisions[item.key] = after.decision
    parties = [item.key.source] + ([transfer.destination] if transfer.kind is Kind.TRANSFER else [])
    for party in parties:
        group.numbered.append(OutboxMessage(party, DECISION_TYPE, item.payload))
        group.wake.add(party)
    if item.result.outcome is Outcome.COMMIT:
        _notify_home(group, loaded, item, parties)
    group.overlay.remove(item.key)
    del group.pending[item.key]


def _notify_home(group: Group, loaded: _Loaded, item: _Made, parties: Sequence[str]) -> None:
    """Row 15: each move and each use of a series away from home."""
    away: dict[str, list[UnitBlock]] = {}
    for block in item.entry.transfer.blocks:
        known = loaded.series.get(block.series_id)
        if known is not None and known.region not in parties:
            away.setdefault(known.region, []).append(block)
    transfer = item.entry.transfer
    for home, blocks in away.items():
        notice = messages_pb2.HomeNotice(
            header=group.context.header((home,), source=item.key.source, transfer_id=item.key.transfer_id),
            blocks=block_messages(blocks),
            from_region=item.key.source,
            to_region=transfer.destination if transfer.kind is Kind.TRANSFER else "",
            use_kind=_USE_KINDS[transfer.kind],
            purpose=transfer.purpose,
            log_index=item.log_index,
            decision_hash=item.decision_hash,
        )
        group.numbered.append(OutboxMessage(home, HOME_NOTICE_TYPE, notice.SerializeToString()))
        group.wake.add(home)


_USE_KINDS = {
    Kind.TRANSFER: messages_pb2.USE_KIND_UNSPECIFIED,
    Kind.RETIRE: messages_pb2.USE_KIND_RETIRE,
    Kind.CANCEL: messages_pb2.USE_KIND_CANCEL,
}
