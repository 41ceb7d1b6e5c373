"""Transfers to other regions: lock, sign, offer; withdraw (PROTOCOL rows 1 and 13).

The core (`tanqiao.protocol.source`) says what happens; here units are chosen, the rules asked, the promise
made and stored with its signature in the transaction of the lock (R1). It is offered after the commit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ID_BYTES, parse_address
from tanqiao.kernel.invariants import require
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import UnitBlock, coalesce, subtract_blocks, total_quantity_kg
from tanqiao.protocol import source
from tanqiao.protocol.effects import Effects, LockBlocks, OfferAgain, RefuseCommand, SetSourceState
from tanqiao.protocol.types import Kind, LockFacts, Reasons, SourceRecord, SourceState, TransferKey
from tanqiao.rpc.protocol_facts import BLOCKS_PER_MESSAGE_MAX
from tanqiao.signing.commitments import SALT_LENGTH, commitment
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.access import bar, offices_of, refusal
from tanqiao_region.application.accounts import require_permitted
from tanqiao_region.application.commands import By, CreateTransfers, Locked, TransferOrder
from tanqiao_region.application.context import BRIDGE
from tanqiao_region.application.forms import lock_payload
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.ledger import choose_lawfully, require_account
from tanqiao_region.application.rules import actor_of, subject_of
from tanqiao_region.domain.rules.facts import TransferOut, UnitLot
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import transfers as transfer_store
from tanqiao_region.storage.accounts import KIND_SUSPENSE, AccountRow
from tanqiao_region.storage.holdings import LOCKED, RETIRING
from tanqiao_region.storage.transfers import NewOutgoing

LOCK_TYPE: Final = payload_type_of(messages_pb2.LockAssertion)

ADDRESSES_KEPT_MAX: Final = 16_384

LockAnswer = Locked | DomainError


def gather(command: CreateTransfers, needs: Needs) -> None:
    """Say what the orders look at."""
    for order in command.orders:
        needs.requests.append(order.request)
        needs.selection(order.from_account_id, order.selection)


def apply(group: Group, command: CreateTransfers) -> list[LockAnswer]:
    """Lock for every order, in order, each as if alone."""
    answers: list[LockAnswer] = []
    for order in command.orders:
        try:
            answers.append(_apply(group, order))
        except DomainError as refusal:
            answers.append(refusal)
    return answers


def _apply(group: Group, order: TransferOrder) -> Locked:
    stored = group.known_answer(order.request)
    if stored is not None:
        return Locked(stored, (), 0)
    group.require_clock()
    destination = _require_destination(group, order)
    holder = require_account(group, order.from_account_id, "from_account_id")

    def facts(lots: tuple[UnitLot, ...]) -> TransferOut:
        return TransferOut(
            on=group.legal_date,
            node_region=group.context.region_code,
            object_region=group.context.region_code,
            actor=actor_of(order.by),
            lots=lots,
            holder=subject_of(holder, group.context.region_code),
            destination_region=destination,
            recognitions=group.context.recognitions.get((group.context.region_code, destination), ()),
        )

    question = (TransferOut, order.by, holder.account_id, destination)
    barred = bar(group, order.by, TransferOut.act(), holder)
    blocks, verdict = choose_lawfully(group, holder.account_id, order.selection, facts, question, barred)
    require_free(group, holder, blocks, source=group.context.party, destination=order.destination)
    if len(blocks) > BLOCKS_PER_MESSAGE_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="units", limit=BLOCKS_PER_MESSAGE_MAX, count=len(blocks))
    if holder.kind == KIND_SUSPENSE:
        _require_way_back(group, holder, order.destination, blocks)
    if order.validate_only:
        return Locked(b"", blocks, group.now)
    return _lock(group, order, holder, blocks, verdict)


def _require_way_back(
    group: Group, holder: AccountRow, destination: str, blocks: tuple[UnitBlock, ...]
) -> None:
    """R7: units in suspense leave for the region alone from which they were sent to their owner."""
    arrived = transfer_store.blocks_credited_from(
        group.connection, (holder.suspense_of, holder.account_id), destination
    )
    elsewhere = subtract_blocks(blocks, coalesce(arrived))
    if elsewhere:
        raise DomainError("SUSPENSE_OWNER_MISMATCH", field="destination_region_code", ranges=elsewhere)


def _require_destination(group: Group, order: TransferOrder) -> str:
    """Check the region and the form of the address; whether it exists is for the other region to know."""
    code = order.destination.removeprefix("region/")
    if code == group.context.region_code:
        raise DomainError("DESTINATION_IS_SOURCE", field="destination_region_code", region=code)
    if check_address(order.receiving_address) != code:
        raise DomainError(
            "ADDRESS_INVALID", field="receiving_address", address=order.receiving_address, region=code
        )
    return code


@lru_cache(maxsize=ADDRESSES_KEPT_MAX)
def check_address(address: str) -> RegionCode:
    """Give the region of a receiving address; ADDRESS_INVALID if its check characters do not fit."""
    return parse_address(address).region


def _lock(
    group: Group, order: TransferOrder, holder: AccountRow, blocks: tuple[UnitBlock, ...], verdict: Verdict
) -> Locked:
    context = group.context
    # One call for all random bytes of a transfer: its id, the message id, two salts, a person's pseudonym.
    drawn = context.random_bytes(5 * ID_BYTES)
    transfer_id, message_id, address_salt, owner_salt, fresh = (
        drawn[at : at + ID_BYTES] for at in range(0, 5 * ID_BYTES, ID_BYTES)
    )
    require(len(owner_salt) == SALT_LENGTH, "a salt has the length of an id")
    pseudonym = fresh if holder.is_personal else holder.pseudonym
    payload = lock_payload(
        context,
        (message_id, transfer_id),
        blocks,
        order.destination,
        (commitment(order.receiving_address.encode(), address_salt), commitment(pseudonym, owner_salt)),
        purpose=order.purpose,
        digest=verdict.pack.digest,
    )
    companion = messages_pb2.Openings(
        receiving_address=order.receiving_address,
        receiving_address_salt=address_salt,
        owner_pseudonym=pseudonym,
        owner_salt=owner_salt,
    ).SerializeToString()
    lock = LockFacts(
        TransferKey(context.party, transfer_id),
        message_hash(LOCK_TYPE, payload),
        Kind.TRANSFER,
        order.destination,
        blocks,
        order.purpose,
    )
    promise(group, holder.account_id, lock, LOCK_TYPE, payload, companion)
    group.journal.append(
        journal.UNITS_LOCKED,
        transfer_id.hex(),
        (journal.Effect(holder.account_id, removed=blocks),),
        applied=journal.Applied.of(verdict),
        message_hash=lock.message_hash,
        shared={"destination": order.destination, "purpose": order.purpose, "by": order.by.party},
    )
    group.note_answer(order.request, transfer_id)
    return Locked(transfer_id, blocks, group.now)


def promise(
    group: Group, account_id: str, lock: LockFacts, payload_type: str, payload: bytes, companion: bytes
) -> SourceRecord:
    """Let the core lock the units of a new LockAssertion or Use; note what it asks to be stored."""
    after = source.on_lock_requested(None, lock)
    record = after.record
    require(record is not None, "a new promise leaves a record")
    for effect in after.effects:
        match effect:
            case LockBlocks(blocks=blocks, state=state):
                place = (account_id, HOLDING_STATES[state], lock.key.transfer_id)
                failing = group.holdings.move(blocks, held_by(account_id), place)
                require(not failing, "chosen units are held")
            case SetSourceState() | OfferAgain():
                pass  # the row below is the state, and the flush offers its batch
            case _:
                require(condition=False, message=f"{effect} does not belong to a new promise")
    if record is None:  # pragma: no cover - required above
        raise DomainError("INTERNAL", correlation_id=lock.key.transfer_id.hex())
    row = NewOutgoing(
        record,
        account_id,
        total_quantity_kg(lock.blocks),
        payload,
        companion,
        group.now,
    )
    group.new_outgoing.setdefault(payload_type, []).append(row)
    return record


HOLDING_STATES: Final = {SourceState.LOCKED: LOCKED, SourceState.RETIRING: RETIRING}


def withdraw(group: Group, transfer_id: bytes, by: By) -> None:
    """Note the holder's wish to have a transfer back; only the bridge's ABORT releases the units (R3).

    Raises:
        DomainError: TRANSFER_UNKNOWN, ACCOUNT_OF_ANOTHER, WITHDRAW_NOT_POSSIBLE, ALREADY_DECIDED, or the
            refusal of the rules.
    """
    row = transfer_store.load_outgoing(group.connection, group.context.party, (transfer_id,)).get(transfer_id)
    if row is None:
        raise DomainError("TRANSFER_UNKNOWN", transfer_id=transfer_id.hex())
    # Who may lock units for a transfer may take the wish back.
    require_permitted(group, by, TransferOut.act(), "WithdrawTransfer")
    accounts = group.load_accounts((row.account_id,))
    barred = refusal(by, TransferOut.act(), accounts[row.account_id], accounts, offices_of(group.pack))
    if barred is not None:
        raise barred
    after = source.on_withdraw_requested(row.record)
    _refuse_if_asked(after.effects)
    if any(isinstance(effect, SetSourceState) for effect in after.effects):
        payload = messages_pb2.Withdraw(
            header=group.context.header(
                (BRIDGE,),
                source=group.context.party,
                transfer_id=transfer_id,
                prev_hash=row.record.lock_hash,
            ),
            lock_hash=row.record.lock_hash,
        ).SerializeToString()
        transfer_store.store_withdraw(group.connection, transfer_id, payload)
    group.aftermath.withdrawals.append(transfer_id)


def _refuse_if_asked(effects: Effects) -> None:
    for effect in effects:
        if isinstance(effect, RefuseCommand):
            raise _error_of(effect.reasons)


def _error_of(reasons: Reasons) -> DomainError:
    first = reasons[0]
    return DomainError(first.symbol, **dict(first.metadata))
