"""Transfers that come in: a Prepare is answered with READY or REFUSED (PROTOCOL row 3, R5, R7).

REFUSED names every reason. READY is a promise: on COMMIT the units must be credited. The core
(`tanqiao.protocol.destination`) decides what a Prepare means; here are the checks whose outcome it is given,
and what it asks to be stored.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import total_quantity_kg
from tanqiao.protocol import destination
from tanqiao.protocol.effects import (
    FreezePair,
    OpenCase,
    SendNack,
    SendStored,
    SetDestinationState,
    StoreEvidence,
    StoreReady,
    StoreRefuse,
)
from tanqiao.protocol.types import DestinationRecord, Reasons, with_answer
from tanqiao.rpc.protocol_facts import date_message, reason_of_error, refusal_messages
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import parse_party
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import cases, journal
from tanqiao_region.application.commands import ApplyPrepares, By, Frame, PrepareItem
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.forms import ready_payload
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.rules import (
    actor_of,
    lots_of,
    reason_facts,
    reasons_of_verdict,
    subject_of,
)
from tanqiao_region.domain.rules.facts import ReceiveTransfer
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.accounts import KIND_SUSPENSE, AccountRow
from tanqiao_region.storage.holdings import SeriesRow
from tanqiao_region.storage.transfers import IncomingRow, NewIncoming

READY_TYPE: Final = payload_type_of(messages_pb2.Ready)
REFUSE_TYPE: Final = payload_type_of(messages_pb2.Refuse)
SERIES_KEPT_MAX: Final = 8_192
ARRIVAL: Final = By(BRIDGE, "node")
"""A transfer comes in by the bridge's hand, under no role of the pack."""


def gather(command: ApplyPrepares, needs: Needs) -> None:
    """Say what the Prepares look at."""
    for item in command.items:
        needs.incoming.add(item.facts.key)
        needs.touched.extend(item.facts.lock.blocks)
        needs.series.update(block.series_id for block in item.facts.lock.blocks)
        if item.receiving_address:
            needs.addresses.add(item.receiving_address)


def apply(group: Group, command: ApplyPrepares) -> None:
    """Answer the Prepares in order; what is answered already is answered with the stored bytes.

    A node that recovers answers none: it may have answered otherwise before. The bridge offers them again on
    the next session, or aborts in its time.
    """
    if group.recovering:
        return
    for item in command.items:
        _apply(group, command.frame, item)


def _apply(group: Group, frame: Frame, item: PrepareItem) -> None:
    key = item.facts.key
    known = group.incoming.get(key)
    reasons: Reasons = ()
    account: AccountRow | None = None
    verdict: Verdict | None = None
    if known is None:
        reasons, account, verdict = _checks(group, item)
    after = destination.on_prepare(known.record if known is not None else None, item.facts, reasons)
    record = after.record
    for effect in after.effects:
        match effect:
            case StoreReady():
                _store_ready(group, frame, item, _present(record), account, verdict)
            case StoreRefuse(reasons=stated):
                _store_refuse(group, frame, item, _present(record), stated, known)
            case SendStored():
                group.aftermath.stored.append(key)
            case StoreEvidence(kind=kind):
                cases.keep_two_locks(group, kind, item, known)
            case SendNack(reasons=stated):
                cases.nack(group, item.prepare.message_hash, stated, key)
            case SetDestinationState() | FreezePair() | OpenCase():
                pass  # the row is the state; the bridge freezes on the evidence; the evidence row is the case
            case _:
                require(condition=False, message=f"{effect} does not belong to a Prepare")


def _present(record: DestinationRecord | None) -> DestinationRecord:
    require(record is not None, "an answer leaves a record")
    return record  # type: ignore[return-value]  # required above


# -- checks --------------------------------------------------------------------------------------------------


def _checks(group: Group, item: PrepareItem) -> tuple[Reasons, AccountRow | None, Verdict | None]:
    """Run every check; all failures are returned, not the first (PROTOCOL section 9)."""
    found: list[Reasons] = []
    lock = item.facts.lock
    if lock.destination != group.context.party:
        found.append(
            (reason_facts("AUDIENCE_MISMATCH", audience=lock.destination, expected=group.context.party),)
        )
    account, failing = _receiver(group, item)
    found.append(failing)
    here = group.holdings.present(lock.blocks)
    if here:
        found.append((reason_facts("LOCATION_CONFLICT", ranges=list(here)),))
    series, failing = _series(group, item)
    found.append(failing)
    verdict: Verdict | None = None
    if account is not None and not failing:
        verdict = _ask_rules(group, item, account, series)
        found.append(reasons_of_verdict(verdict))
    return tuple(reason for part in found for reason in part), account, verdict


def _receiver(group: Group, item: PrepareItem) -> tuple[AccountRow | None, Reasons]:
    if item.opening_refusal is not None:
        return None, (reason_of_error(item.opening_refusal),)
    account = group.accounts.get(group.addresses.get(item.receiving_address, ""))
    if account is None:
        return None, (reason_facts("ADDRESS_UNKNOWN", address=item.receiving_address),)
    if not account.is_open:
        return account, (reason_facts("ACCOUNT_CLOSED", account_id=item.receiving_address),)
    if account.kind == KIND_SUSPENSE:
        return account, (reason_facts("ACCOUNT_KIND_NOT_ALLOWED", kind="SUSPENSE", action="ReceiveTransfer"),)
    return account, ()


def _series(group: Group, item: PrepareItem) -> tuple[dict[str, SeriesRow], Reasons]:
    """Give the series that the blocks name, from the node's own books or as the bridge states them."""
    stated = {
        message.series_id: _series_row(message.SerializeToString()) for message in item.prepare.message.series
    }
    series: dict[str, SeriesRow] = {}
    failing = []
    for series_id in {block.series_id for block in item.facts.lock.blocks}:
        known, new = group.series.get(series_id), stated.get(series_id)
        if known is None and new is None:
            failing.append(reason_facts("SERIES_UNKNOWN", series_id=series_id))
        elif known is not None and new is not None and known != new:
            failing.append(reason_facts("SERIES_MISMATCH", series_id=series_id, expected=str(known)))
        else:
            series[series_id] = known or new  # type: ignore[assignment]  # one of them is there
    return series, tuple(failing)


@lru_cache(maxsize=SERIES_KEPT_MAX)
def _series_row(data: bytes) -> SeriesRow:
    """Read a series as a Prepare states it; the Prepares of a batch mostly state the same one."""
    message = values_pb2.Series.FromString(data)
    return SeriesRow(
        message.series_id,
        message.region_code,
        message.programme,
        message.source_id,
        message.vintage_year,
        message.batch_number,
        message.methodology_id,
        message.unit_class,
    )


def _ask_rules(group: Group, item: PrepareItem, account: AccountRow, series: dict[str, SeriesRow]) -> Verdict:
    here = group.context.region_code
    source_region = parse_party(item.facts.key.source).code
    blocks = item.facts.lock.blocks
    question = (
        ReceiveTransfer,
        source_region,
        account.account_id,
        *((block.series_id, block.end - block.start) for block in blocks),
    )
    # As in `ledger.choose_lawfully`: the same question within a group has the same answer.
    known = group.verdicts.get(question)
    if known is not None:
        return known
    verdict = group.pack.evaluate(
        ReceiveTransfer(
            on=group.legal_date,
            node_region=here,
            object_region=here,
            actor=actor_of(ARRIVAL),
            lots=lots_of(blocks, series),
            receiver=subject_of(account, here),
            source_region=source_region,
            recognitions=group.context.recognitions.get((source_region, here), ()),
        )
    )
    if verdict.allowed:  # a refusal names its own serials
        group.verdicts[question] = verdict
    return verdict


# -- answers -------------------------------------------------------------------------------------------------


def _store_ready(
    group: Group,
    frame: Frame,
    item: PrepareItem,
    record: DestinationRecord,
    account: AccountRow | None,
    verdict: Verdict | None,
) -> None:
    require(account is not None and verdict is not None, "a Ready rests on an account and a verdict")
    if account is None or verdict is None:  # pragma: no cover - required above
        return
    payload = ready_payload(
        group.context,
        record.key,
        record.prepare_hash,
        record.lock_hash,
        legal_date=item.facts.legal_date,
        digest=verdict.pack.digest,
    )
    for series_id in {block.series_id for block in record.blocks}:
        if series_id not in group.series:
            row = next(
                _series_row(message.SerializeToString())
                for message in item.prepare.message.series
                if message.series_id == series_id
            )
            group.series[series_id] = row
            group.new_series.append(row)
    answer_hash = _store(group, frame, item, record, READY_TYPE, payload, account.account_id, None)
    group.journal.append(
        journal.TRANSFER_READY,
        record.key.transfer_id.hex(),
        (journal.Effect(account.account_id),),
        applied=journal.Applied.of(verdict),
        message_hash=answer_hash,
        shared={"source": record.key.source},
    )


def _store_refuse(
    group: Group,
    frame: Frame,
    item: PrepareItem,
    record: DestinationRecord,
    reasons: Reasons,
    known: IncomingRow | None,
) -> None:
    payload = messages_pb2.Refuse(
        header=group.context.header(
            (BRIDGE,),
            source=record.key.source,
            transfer_id=record.key.transfer_id,
            prev_hash=record.prepare_hash,
        ),
        lock_hash=record.lock_hash,
        reasons=refusal_messages(reasons),
    ).SerializeToString()
    account_id = known.account_id if known is not None else ""
    answer_hash = _store(group, frame, item, record, REFUSE_TYPE, payload, account_id, known)
    group.journal.append(
        journal.TRANSFER_REFUSED,
        record.key.transfer_id.hex(),
        (),
        message_hash=answer_hash,
        details={"source": record.key.source, "reasons": ", ".join(one.symbol for one in reasons)},
    )


def _store(
    group: Group,
    frame: Frame,
    item: PrepareItem,
    record: DestinationRecord,
    answer_type: str,
    payload: bytes,
    account_id: str,
    known: IncomingRow | None,
) -> bytes:
    """Note the answer for the flush; its message hash."""
    answered = with_answer(record, message_hash(answer_type, payload))
    row = NewIncoming(
        answered,
        account_id,
        item.receiving_address,
        total_quantity_kg(record.blocks),
        item.prepare.payload,
        item.companion,
        group.signature_of(frame),
        item.prepare.envelope_index,
        answer_type,
        payload,
        item.facts.legal_date,
        group.now,
    )
    target = group.new_incoming if known is None else group.answered_incoming
    target.setdefault(answer_type, []).append(row)
    group.incoming[record.key] = IncomingRow(answered, account_id, row.quantity_kg, group.now)
    return answered.answer_hash


def legal_date_message(text: str) -> values_pb2.Date:
    """Give a stored legal date as a message; an empty one is an empty message."""
    return date_message(text) if text else values_pb2.Date()
