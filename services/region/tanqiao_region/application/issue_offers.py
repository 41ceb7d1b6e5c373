"""Issue on the line to the bridge: no receipt, no units (PROTOCOL row 9).

`offer_issue` is what the issuance register calls inside its command's transaction; `settle` is called by the
line with the receipt. Whoever must know how an issuance ended, in the same transaction, registers with
`IssueSettlement`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.db.signatures import store_batch
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import issuance
from tanqiao.protocol.effects import (
    CreateUnits,
    EvidenceKind,
    Ignore,
    OfferAgain,
    OpenCase,
    ReserveSerials,
    SendNack,
    SetIssueState,
    StoreEvidence,
)
from tanqiao.protocol.types import IssueFacts, IssueReceiptFacts, IssueState, TransferKey
from tanqiao.rpc.protocol_facts import block_message, date_message
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened
from tanqiao_region.application import cases, journal
from tanqiao_region.application.commands import Frame
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.decisions import open_or_suspense
from tanqiao_region.application.group import Ended, Group
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.honouring import honour_issue
from tanqiao_region.application.rules import reason_facts
from tanqiao_region.storage import issues
from tanqiao_region.storage.holdings import SeriesRow
from tanqiao_region.storage.issues import IssuanceRow, NewIssuance
from tanqiao_region.storage.tables import signature

ISSUE_TYPE: Final = payload_type_of(messages_pb2.Issue)

IssueSettlement = Callable[[Group, IssuanceRow, bool], None]
"""Told inside the transaction of the receipt: the issuance, and whether it was accepted."""


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """What is to be issued, as the register has decided it.

    Args:
        issue_id: 16 random bytes; the issuance's id is their hexadecimal form.
        project_id: project whose reductions they are.
        account_id: account that will be credited.
        start_date: first day of the period, ISO.
        end_date: day after the last, ISO.
        series: series that the serials belong to.
        block: serials that are reserved.
        claim_id: claim that was registered for the instalment.
        claim_receipt_hash: message hash of its receipt.
        activity_quantity: metered activity, in `activity_unit`.
        activity_unit: smallest unit named: Wh, g, m.
        carried_in_g: remainder that was taken in, grams.
        carried_out_g: remainder that is carried on, grams.
        applied: rules under which it was decided.
        named: details that the journal entry has besides.
    """

    issue_id: bytes
    project_id: str
    account_id: str
    start_date: str
    end_date: str
    series: SeriesRow
    block: UnitBlock
    claim_id: str
    claim_receipt_hash: bytes
    activity_quantity: int
    activity_unit: str
    carried_in_g: int
    carried_out_g: int
    applied: journal.Applied
    named: Mapping[str, str] = field(default_factory=dict)


def offer_issue(group: Group, order: IssueOrder) -> str:
    """Reserve the serials and promise the Issue; it is offered after the commit. Gives the issuance id."""
    payload = _payload(group, order)
    facts = IssueFacts(group.context.party, order.issue_id, message_hash(ISSUE_TYPE, payload), order.block)
    after = issuance.on_issue_requested(None, facts)
    for effect in after.effects:
        expected = isinstance(effect, SetIssueState | ReserveSerials | OfferAgain)
        require(expected, f"{effect} does not belong to a new Issue")
    batch = sign_batch(group.context.signer, ISSUE_TYPE, [payload])
    row = NewIssuance(
        issuance_id=order.issue_id.hex(),
        project_id=order.project_id,
        account_id=order.account_id,
        start_date=order.start_date,
        end_date=order.end_date,
        series_id=order.block.series_id,
        vintage_year=order.series.vintage_year,
        batch_number=order.series.batch_number,
        start_serial=order.block.start,
        end_serial=order.block.end,
        carried_in_g=order.carried_in_g,
        carried_out_g=order.carried_out_g,
        payload=payload,
        message_hash=facts.message_hash,
        signature_id=store_batch(group.connection, signature, batch),
        item_index=0,
        legal_date=group.legal_date_text,
        rule_pack_id=order.applied.pack.pack_id,
        rule_pack_version=order.applied.pack.version,
        created_at=group.now,
    )
    issues.insert_issuance(group.connection, row)
    group.aftermath.offered.append(batch)
    group.journal.append(
        journal.ISSUANCE_REQUESTED,
        row.issuance_id,
        (journal.Effect(order.account_id),),
        applied=order.applied,
        message_hash=facts.message_hash,
        details={
            "project_id": order.project_id,
            "block": str(order.block),
            "claim_id": order.claim_id,
            **order.named,
        },
    )
    return row.issuance_id


def _payload(group: Group, order: IssueOrder) -> bytes:
    return messages_pb2.Issue(
        header=group.context.header((BRIDGE,), rules_digest=bytes.fromhex(order.applied.pack.digest)),
        issue_id=order.issue_id,
        series=series_message(order.series),
        block=block_message(order.block),
        quantity_kg=order.block.quantity_kg,
        claim_id=order.claim_id,
        claim_receipt_hash=order.claim_receipt_hash,
        period=values_pb2.Period(
            start_date=date_message(order.start_date), end_date=date_message(order.end_date)
        ),
        activity_quantity=order.activity_quantity,
        activity_unit=order.activity_unit,
    ).SerializeToString()


def series_message(row: SeriesRow) -> values_pb2.Series:
    """Give the wire form of a series."""
    return values_pb2.Series(
        series_id=row.series_id,
        region_code=row.region_code,
        programme=row.programme,
        source_id=row.source_id,
        vintage_year=row.vintage_year,
        batch_number=row.batch_number,
        methodology_id=row.methodology_id,
        unit_class=row.unit_class,
    )


def series_row(message: values_pb2.Series) -> SeriesRow:
    """Give the stored form of a series."""
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


def settle(
    group: Group, frame: Frame, opened: Opened, facts: IssueReceiptFacts, row: IssuanceRow | None
) -> IssuanceRow | None:
    """Apply the bridge's receipt: create the units, or give the serials up for ever; the row afterwards."""
    papers = frame.papers.get(opened.envelope_index)
    own_issue = papers.issue[0] if papers is not None and papers.issue is not None and row is None else None
    after = issuance.on_receipt(row.record if row is not None else None, facts, own_issue)
    record = after.record
    for effect in after.effects:
        match effect:
            case ReserveSerials():
                row = honour_issue(group, papers)  # type: ignore[arg-type]  # it gave the Issue
            case CreateUnits(block=block):
                if not _create(group, _known(row), block, facts):
                    _keep_conflict(group, frame, opened, block)
                    return row
            case SetIssueState(state=IssueState.REFUSED):
                _journal_refusal(group, _known(row), facts)
            case StoreEvidence(kind=kind):
                came = cases.item_bytes(frame, opened.envelope_index)
                first = issues.load_receipt(group.connection, facts.issue_id)
                two = (first, came) if first and kind is EvidenceKind.RECEIPT_EQUIVOCATION else (came,)
                cases.keep(group, kind.value, BRIDGE, *two)
            case SendNack(reasons=reasons):
                cases.nack(group, facts.message_hash, reasons)
            case SetIssueState() | Ignore() | OpenCase():
                pass  # the row below is the state; evidence is the case
            case _:
                require(condition=False, message=f"{effect} does not belong to a receipt")
    if record is None or row is None or record == row.record:
        return row
    receipt = cases.item_bytes(frame, opened.envelope_index)
    refused = messages_pb2.Refuse(reasons=opened.message.reasons).SerializeToString()
    issues.settle_issuance(group.connection, record, receipt=receipt, reasons=refused)
    if own_issue is None:  # what was set aside for a forgotten Issue was forgotten with it
        for settlement in group.context.issue_settlements:
            settlement(group, row, facts.accepted)
    group.aftermath.ended.append(Ended(TransferKey(group.context.party, facts.issue_id), int(record.state)))
    return IssuanceRow(
        record,
        row.issuance_id,
        row.project_id,
        row.account_id,
        row.carried_in_g,
        row.carried_out_g,
        row.payload,
    )


def _known(row: IssuanceRow | None) -> IssuanceRow:
    require(row is not None, "only an issuance that is stored is settled")
    return row  # type: ignore[return-value]  # required above


def _create(group: Group, row: IssuanceRow, block: UnitBlock, facts: IssueReceiptFacts) -> bool:
    """Create the units in the account, or in suspense if it has closed; False if serials are here already."""
    if group.holdings.occupied((block,)):
        return False
    if block.series_id not in group.series:
        series = series_row(messages_pb2.Issue.FromString(row.payload).series)
        group.series[block.series_id] = series
        group.new_series.append(series)
    account = open_or_suspense(group, row.account_id)
    group.holdings.register((block,), held_by(account.account_id))
    group.journal.append(
        journal.UNITS_ISSUED,
        row.issuance_id,
        (journal.Effect(account.account_id, added=(block,)),),
        message_hash=facts.message_hash,
        details={"project_id": row.project_id, "log_index": str(facts.log_index)},
    )
    return True


def _journal_refusal(group: Group, row: IssuanceRow, facts: IssueReceiptFacts) -> None:
    group.journal.append(
        journal.ISSUANCE_REFUSED,
        row.issuance_id,
        (journal.Effect(row.account_id),),
        message_hash=facts.message_hash,
        details={
            "project_id": row.project_id,
            "reasons": ", ".join(one.symbol for one in facts.reasons),
            "log_index": str(facts.log_index),
        },
    )


def _keep_conflict(group: Group, frame: Frame, opened: Opened, block: UnitBlock) -> None:
    """A receipt for serials that are here already: only if the bridge lies."""
    cases.keep(
        group, "receipt conflicts with holdings", BRIDGE, cases.item_bytes(frame, opened.envelope_index)
    )
    cases.nack(group, opened.message_hash, (reason_facts("LOCATION_CONFLICT", ranges=[block]),))
