"""Numbered traffic of the bridge takes effect: each number once and in order.

What cannot be accepted is stored, answered with a Nack, and the stream goes on (PROTOCOL section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2, messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.numbering import on_numbered
from tanqiao.protocol.types import IssueReceiptFacts
from tanqiao.rpc.protocol_facts import blocks_of, log_index_of, reason_of_error, receipt_facts
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened
from tanqiao_region.application import (
    cases,
    claim_notices,
    corrections,
    decisions,
    issue_offers,
    journal,
    records,
)
from tanqiao_region.application.commands import (
    AdoptedItem,
    DecisionItem,
    Frame,
    NumberedItem,
    Received,
    TakeNumbered,
    Unacceptable,
)
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.papers import touched
from tanqiao_region.storage import issues, node
from tanqiao_region.storage.tables import inbox

RECEIPT_TYPE: Final = payload_type_of(messages_pb2.IssueReceipt)


def gather(group: Group, frame: Frame, items: Sequence[NumberedItem], needs: Needs) -> None:
    """Say what the messages of a frame look at."""
    issue_ids = []
    for item in items:
        if isinstance(item, DecisionItem):
            decisions.gather(group, frame, item, needs)
        elif isinstance(item, AdoptedItem):
            decisions.gather(group, item.frame, item.decision, needs)
        elif isinstance(item, Opened) and item.payload_type == RECEIPT_TYPE:
            issue_ids.append(item.message.issue_id)
            needs.touched.extend(touched(frame.papers.get(item.envelope_index)))
        elif isinstance(item, Opened) and isinstance(item.message, messages_pb2.RecordNotice):
            corrections.gather(item.message, needs)
    if issue_ids:
        for issue_id, row in issues.load_issuances(group.connection, issue_ids).items():
            group.issuances[issue_id] = row
            needs.touched.append(row.record.block)
            needs.accounts.add(row.account_id)


def apply(group: Group, command: TakeNumbered) -> Received | DomainError:
    """Let what is new in the frame take effect; what was taken before is skipped."""
    if group.bridge_stream is None:
        group.bridge_stream = node.bridge_stream(group.connection)
    stream = group.bridge_stream
    arrival = on_numbered(stream, command.incarnation, command.first_number, len(command.items))
    if arrival.refusal is not None:
        return DomainError(arrival.refusal.symbol, **dict(arrival.refusal.metadata))
    for item in command.items[arrival.known :]:
        _take(group, command.frame, item)
    if arrival.fresh:
        inbox.advance(
            group.connection,
            BRIDGE,
            command.incarnation,
            command.first_number + arrival.known,
            arrival.inbox.received_number,
            mark=stream.received_number if stream.incarnation == command.incarnation else None,
        )
    group.bridge_stream = arrival.inbox
    return Received(arrival.inbox.incarnation, arrival.inbox.received_number)


def _take(group: Group, frame: Frame, item: NumberedItem) -> None:
    match item:
        case DecisionItem():
            decisions.apply(group, frame, item)
        case AdoptedItem(decision=decision, frame=own):
            decisions.apply(group, own, decision)
        case Unacceptable():
            _refuse(group, frame, item)
        case Opened():
            try:
                _take_other(group, frame, item)
            except DomainError as refusal:
                _refuse(group, frame, Unacceptable(item.message_hash, item.payload, refusal))


def _refuse(group: Group, frame: Frame, item: Unacceptable) -> None:
    envelope = cases.envelope_of(frame.batch.payload_type, item.payload)
    cases.keep(group, cases.UNACCEPTABLE, BRIDGE, envelope)
    if frame.batch.payload_type == cases.NACK_TYPE:
        return  # a Nack is never answered with another: two nodes would go on for ever
    cases.nack(group, item.message_hash, (reason_of_error(item.refusal),))


def _take_other(group: Group, frame: Frame, opened: Opened) -> None:
    match opened.message:
        case messages_pb2.IssueReceipt():
            _take_receipt(group, frame, opened, receipt_facts(opened))
        case messages_pb2.RecordNotice() as notice:
            records.take_record(group, notice)
        case messages_pb2.HomeNotice() as notice:
            _note_home(group, opened, notice)
        case cases_pb2.ClaimNotice():
            claim_notices.take_notice(group, opened)
        case messages_pb2.Nack():
            # The bridge could not accept what this node sent: people settle it.
            cases.keep(group, cases.NACK_RECEIVED, BRIDGE, cases.item_bytes(frame, opened.envelope_index))
        case _:
            raise DomainError("PAYLOAD_TYPE_NOT_ALLOWED", sender=BRIDGE, payload_type=opened.payload_type)


def _take_receipt(group: Group, frame: Frame, opened: Opened, facts: IssueReceiptFacts) -> None:
    row = group.issuances.get(facts.issue_id)
    settled = issue_offers.settle(group, frame, opened, facts, row)
    if settled is not None:
        group.issuances[facts.issue_id] = settled
        group.applied_log_index = max(group.applied_log_index, facts.log_index)


def _note_home(group: Group, opened: Opened, notice: messages_pb2.HomeNotice) -> None:
    """Row 15: a unit of this region moved or was used elsewhere."""
    blocks, log_index = blocks_of(notice.blocks), log_index_of(notice.log_index)
    group.journal.append(
        journal.HOME_NOTICE,
        opened.header.transfer_id.hex(),
        (),
        message_hash=opened.message_hash,
        details={
            "blocks": ", ".join(str(block) for block in blocks),
            "from_region": notice.from_region,
            "to_region": notice.to_region,
            "purpose": notice.purpose,
            "use": messages_pb2.UseKind.Name(notice.use_kind).removeprefix("USE_KIND_")
            if notice.use_kind
            else "",
            "log_index": str(log_index),
        },
    )
    group.applied_log_index = max(group.applied_log_index, log_index)
