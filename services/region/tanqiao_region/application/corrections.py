"""Corrections (PROTOCOL row 14): two approvers of each authority have said where units are.

What is held here and belongs to the other region leaves the books; what belongs here and is missing is
credited to the account that the correction names, or kept in suspense. Units that are locked are taken when
the ABORT of their transfer gives them back: the bridge decides it so, for they are no longer here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import corrections as rules
from tanqiao.protocol.corrections import Wait
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.signing.approvals import CORRECTION_TYPE, open_correction
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.verify import Opened
from tanqiao_region.application import cases, finality, journal
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.holdings import held_by
from tanqiao_region.storage import encumbrances, orders
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.holdings import CANCELLED, HELD, USED, SeriesRow

NOBODY: Final = "correction"
"""In the place of the closed account: the suspense account of corrections whose address is not known here."""


def gather(notice: messages_pb2.RecordNotice, needs: Needs) -> None:
    """Say what a correction looks at; one that cannot be read is refused when it is taken."""
    if notice.record.payload_type != CORRECTION_TYPE:
        return
    try:
        correction = messages_pb2.Correction.FromString(notice.record.payload)
        needs.touched.extend(blocks_of(correction.blocks))
    except (ValueError, DomainError):
        return
    needs.addresses.add(correction.receiving_address)


def take_correction(group: Group, notice: messages_pb2.RecordNotice, directory: KeyDirectory) -> None:
    """Bring the books in line with a correction; taken once.

    Raises:
        DomainError: what is wrong with its signatures; EQUIVOCATION for another one under its id;
            LOCATION_CONFLICT for units that are used up here.
    """
    opened = open_correction(
        notice.record, group.context.network_id, directory, at_index=max(0, notice.log_index)
    )
    correction: messages_pb2.Correction = opened.message
    known = orders.find_correction(group.connection, correction.correction_id)
    if known is not None:
        payload, first = known
        if payload != opened.payload:
            second = notice.record.SerializeToString()
            raise cases.second_record(group, opened.header.sender, correction.correction_id, first, second)
        return
    blocks = blocks_of(correction.blocks)
    pieces = group.holdings.pieces(blocks)
    used = [piece for piece, place in pieces if place[1] in (USED, CANCELLED)]
    if used:
        raise DomainError("LOCATION_CONFLICT", ranges=used)
    if group.context.party == correction.to_region:
        _know_series(group, notice, blocks)
    orders.insert_correction(
        group.connection,
        correction.correction_id,
        opened.payload,
        notice.record.SerializeToString(),
        notice.log_index,
    )
    effects: list[journal.Effect] = []
    if group.context.party == correction.from_region:
        effects = _take_out(group, correction.correction_id, pieces)
    elif group.context.party == correction.to_region:
        effects = _put_in(group, correction, blocks)
    _journal(group, opened, correction, effects, notice.log_index)
    finality.settle(group, TransferKey(opened.header.source, opened.header.transfer_id), blocks)


def _take_out(
    group: Group, correction_id: bytes, pieces: Sequence[tuple[UnitBlock, tuple[str, int, bytes]]]
) -> list[journal.Effect]:
    removed: dict[str, list[UnitBlock]] = {}
    waiting: list[UnitBlock] = []
    for piece, place in pieces:
        account_id, state, _ = place
        if state == HELD:  # units that wait for their quorum of witnesses (R10) too
            failing = group.holdings.remove((piece,), place)
            require(not failing, "the piece was cut along the rows")
            removed.setdefault(account_id, []).append(piece)
            encumbrances.take_out(group.connection, (piece,))
        else:
            waiting.append(piece)
    if waiting:
        _set_waits(group, rules.waiting(_waits(group), waiting, correction_id))
    return [journal.Effect(account_id, removed=gone) for account_id, gone in sorted(removed.items())]


def _put_in(
    group: Group, correction: messages_pb2.Correction, blocks: tuple[UnitBlock, ...]
) -> list[journal.Effect]:
    if _waits(group):  # what an earlier correction would take belongs here again
        _set_waits(group, rules.waits_without(_waits(group), blocks))
    missing = rules.missing(blocks, [piece for piece, _ in group.holdings.pieces(blocks)])
    if not missing:
        return []
    account = _account(group, correction.receiving_address)
    failing = group.holdings.register(missing, held_by(account.account_id))
    require(not failing, "what is missing is not here")
    return [journal.Effect(account.account_id, added=missing)]


def _know_series(group: Group, notice: messages_pb2.RecordNotice, blocks: Iterable[UnitBlock]) -> None:
    for series_id in dict.fromkeys(block.series_id for block in blocks):
        if series_id in group.series:
            continue
        stated = next((one for one in notice.series if one.series_id == series_id), None)
        if stated is None:
            raise DomainError("SERIES_UNKNOWN", series_id=series_id)
        row = SeriesRow(
            series_id,
            stated.region_code,
            stated.programme,
            stated.source_id,
            stated.vintage_year,
            stated.batch_number,
            stated.methodology_id,
            stated.unit_class,
        )
        group.series[series_id] = row
        group.new_series.append(row)


def _account(group: Group, address: str) -> AccountRow:
    """Give the account of an address, its owner's suspense if it is closed, or the one of nobody."""
    account = group.accounts.get(group.addresses.get(address, ""))
    if account is None:
        return group.suspense_account(
            AccountRow(NOBODY, 0, 0, "", "", None, "", False, b"", group.now, group.context.party)  # noqa: FBT003 - a row
        )
    return account if account.is_open else group.suspense_account(account)


def note_released(group: Group, account_id: str, blocks: Sequence[UnitBlock]) -> None:
    """Take what a correction waits for out of units that an ABORT has just given back."""
    waits = _waits(group)
    if not waits:
        return
    taken = rules.taken_after_abort(waits, blocks)
    for correction_id, gone in taken.items():
        failing = group.holdings.remove(gone, held_by(account_id))
        require(not failing, "what was released is held")
        group.journal.append(
            journal.UNITS_CORRECTED,
            correction_id.hex(),
            (journal.Effect(account_id, removed=gone),),
            details={"after_abort": "true"},
        )
    if taken:
        given_up = [block for gone in taken.values() for block in gone]
        _set_waits(group, rules.waits_without(waits, given_up))


def _waits(group: Group) -> Sequence[Wait]:
    """Give what corrections wait for; read once for the group, for every ABORT asks."""
    if group.correction_waits is None:
        group.correction_waits = orders.load_waits(group.connection)
    return group.correction_waits


def _set_waits(group: Group, waits: Sequence[Wait]) -> None:
    orders.store_waits(group.connection, waits)
    group.correction_waits = list(waits)


def _journal(
    group: Group,
    opened: Opened,
    correction: messages_pb2.Correction,
    effects: Sequence[journal.Effect],
    log_index: int,
) -> None:
    group.journal.append(
        journal.UNITS_CORRECTED,
        correction.correction_id.hex(),
        effects,
        message_hash=opened.message_hash,
        details={
            "from_region": correction.from_region,
            "to_region": correction.to_region,
            "document": correction.document,
            "reason": correction.reason,
            "log_index": str(log_index),
        },
    )
