"""Promises that a restore forgot are made good in the books (PROTOCOL R9, section 6).

What comes from the bridge are the papers alone. Which account a promise was about follows from them where it
can: the owner's pseudonym of an organisation, the receiving address; otherwise from who holds the units now.
Units whose account is not known any more go to a suspense account of the node, for people to settle. A local
transfer that was lost between is made again where a lock proves it: the units were the other account's.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.db.signatures import store_envelope
from tanqiao.kernel.units import total_quantity_kg
from tanqiao.protocol.types import (
    DestinationRecord,
    DestinationState,
    IssueRecord,
    IssueState,
    Kind,
    LockFacts,
    SourceRecord,
    SourceState,
)
from tanqiao.rpc.protocol_facts import date_of
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.group import Group, RestoredIncoming, RestoredOutgoing
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.papers import OwnPapers, receiving_address
from tanqiao_region.storage import accounts as account_store
from tanqiao_region.storage import issues, registers
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.holdings import LOCKED, RETIRING, SeriesRow
from tanqiao_region.storage.issues import IssuanceRow, NewIssuance
from tanqiao_region.storage.tables import signature
from tanqiao_region.storage.transfers import IncomingRow, NewIncoming, NewOutgoing, OutgoingRow, RetirementRow

READY_TYPE: Final = payload_type_of(messages_pb2.Ready)
LOST: Final = "RECOVERED"
"""Stands as the closed account of the suspense account for units whose account nobody knows any more."""
RESTORED: Final = {"recovered": "1"}
HOLDING_STATES: Final = {SourceState.LOCKED: LOCKED, SourceState.RETIRING: RETIRING}


def can_lock(group: Group, lock: LockFacts) -> bool:
    """Whether every unit of a forgotten lock is held here, by whomever."""
    return group.holdings.holders(lock.blocks) is not None


def honour_lock(group: Group, papers: OwnPapers, state: SourceState) -> OutgoingRow:
    """Lock the units of a forgotten lock or Use again; `can_lock` has been asked."""
    lock, opened, envelope = papers.lock  # type: ignore[misc]  # the core has seen it
    holders = group.holdings.holders(lock.blocks) or []
    account_id = _account_of(group, papers, holders[0][1])
    for piece, holder in holders:
        if holder != account_id:
            group.holdings.move((piece,), held_by(holder), held_by(account_id))
            group.journal.append(
                journal.UNITS_TRANSFERRED,
                lock.key.transfer_id.hex(),
                (journal.Effect(holder, removed=(piece,)), journal.Effect(account_id, added=(piece,))),
                details=RESTORED,
            )
    place = (account_id, HOLDING_STATES[state], lock.key.transfer_id)
    group.holdings.move(lock.blocks, held_by(account_id), place)
    record = SourceRecord(lock.key, lock.kind, state, lock.message_hash, lock.destination, lock.blocks)
    quantity_kg = total_quantity_kg(lock.blocks)
    is_transfer = lock.kind is Kind.TRANSFER
    row = NewOutgoing(
        record,
        account_id,
        quantity_kg,
        opened.payload,
        papers.openings if is_transfer else b"",
        group.now,
    )
    group.restored_outgoing.append(
        RestoredOutgoing(row, store_envelope(group.connection, signature, envelope))
    )
    group.journal.append(
        journal.UNITS_LOCKED if is_transfer else journal.UNITS_RETIRING,
        lock.key.transfer_id.hex(),
        (journal.Effect(account_id, removed=lock.blocks),),
        message_hash=lock.message_hash,
        details=RESTORED,
    )
    if not is_transfer:
        group.new_retirements.append(_retirement(lock, opened.message))
    known = OutgoingRow(record, account_id, quantity_kg, group.now)
    group.outgoing[lock.key.transfer_id] = known
    return known


def _retirement(lock: LockFacts, use: messages_pb2.Use) -> RetirementRow:
    """Give what the signed Use says of its purpose; the beneficiary behind the commitment is not known."""
    return RetirementRow(
        lock.key.transfer_id,
        int(lock.kind),
        use.purpose,
        "",
        "",
        "",
        True,  # noqa: FBT003 - by position: a row
        b"",
        "",
        "",
        0,
        date_of(use.retiring_date, "retiring_date").isoformat(),
        "",
        "",
        "",
        "",
    )


def honour_ready(group: Group, papers: OwnPapers) -> IncomingRow:
    """Keep a forgotten Ready again; the units are credited by the decision that comes with it."""
    facts, opened, envelope = papers.ready  # type: ignore[misc]  # the core has seen it
    lock = papers.lock[0]  # type: ignore[index]  # as above
    address = receiving_address(papers)
    account_id = group.addresses.get(address, "") if address else ""
    account = _account(group, account_id) if account_id else None
    if account is None:
        account = suspense(group)
    _note_series(group, papers.series)
    record = DestinationRecord(
        facts.key,
        DestinationState.READY,
        lock.message_hash,
        facts.prepare_hash,
        lock.blocks,
        facts.message_hash,
    )
    row = NewIncoming(
        record,
        account.account_id,
        address,
        total_quantity_kg(lock.blocks),
        b"",
        papers.openings,
        None,
        None,
        READY_TYPE,
        opened.payload,
        date_of(opened.message.legal_date, "legal_date").isoformat(),
        group.now,
    )
    group.restored_incoming.append(
        RestoredIncoming(row, store_envelope(group.connection, signature, envelope))
    )
    group.journal.append(
        journal.TRANSFER_READY,
        facts.key.transfer_id.hex(),
        (journal.Effect(account.account_id),),
        message_hash=facts.message_hash,
        details=RESTORED,
        shared={"source": facts.key.source},
    )
    known = IncomingRow(record, account.account_id, row.quantity_kg, group.now)
    group.incoming[facts.key] = known
    return known


def honour_issue(group: Group, papers: OwnPapers) -> IssuanceRow:
    """Keep a forgotten Issue again: for its project's owner, or for suspense where the project was lost."""
    facts, opened, envelope = papers.issue  # type: ignore[misc]  # the core has seen it
    message: messages_pb2.Issue = opened.message
    project = registers.load_project(group.connection, message.series.source_id)
    record = IssueRecord(facts.issue_id, IssueState.ISSUING, facts.message_hash, facts.block)
    if project is None:
        account_id = suspense(group).account_id
    else:
        account_id = project.project.owner_account_id
        _account(group, account_id)
        day = date_of(message.period.start_date, "period").isoformat()
        issues.insert_issuance(
            group.connection,
            NewIssuance(
                issuance_id=facts.issue_id.hex(),
                project_id=message.series.source_id,
                account_id=account_id,
                start_date=day,
                end_date=date_of(message.period.end_date, "period").isoformat(),
                series_id=facts.block.series_id,
                vintage_year=message.series.vintage_year,
                batch_number=message.series.batch_number,
                start_serial=facts.block.start,
                end_serial=facts.block.end,
                carried_in_g=0,
                carried_out_g=0,
                payload=opened.payload,
                message_hash=facts.message_hash,
                signature_id=store_envelope(group.connection, signature, envelope),
                item_index=0,
                legal_date=group.legal_date_text,
                rule_pack_id="",
                rule_pack_version="",
                created_at=group.now,
            ),
        )
    group.journal.append(
        journal.ISSUANCE_REQUESTED,
        facts.issue_id.hex(),
        (journal.Effect(account_id),),
        message_hash=facts.message_hash,
        details={**RESTORED, "block": str(facts.block), "claim_id": message.claim_id},
    )
    return IssuanceRow(
        record, facts.issue_id.hex(), message.series.source_id, account_id, 0, 0, opened.payload
    )


def suspense(group: Group) -> AccountRow:
    """Give the node's account for units whose account nobody knows any more; made when first needed."""
    lost = AccountRow(
        LOST,
        account_store.KIND_SUSPENSE,
        account_store.CLOSED,
        "",
        "",
        None,
        "",
        False,  # noqa: FBT003 - by position: a row
        b"",
        group.now,
        group.context.party,
    )
    return group.suspense_account(lost)


def _account_of(group: Group, papers: OwnPapers, holder: str) -> str:
    """Give the account that promised: by its pseudonym, else the one that holds the units now."""
    pseudonym = messages_pb2.Openings.FromString(papers.openings).owner_pseudonym
    found = account_store.find_by_pseudonym(group.connection, pseudonym) if pseudonym else None
    account_id = found or holder
    _account(group, account_id)
    return account_id


def _account(group: Group, account_id: str) -> AccountRow | None:
    if account_id not in group.accounts:
        group.accounts.update(group.load_accounts([account_id]))
    return group.accounts.get(account_id)


def _note_series(group: Group, rows: tuple[SeriesRow, ...]) -> None:
    for row in rows:
        if row.series_id not in group.series:
            group.series[row.series_id] = row
            group.new_series.append(row)
