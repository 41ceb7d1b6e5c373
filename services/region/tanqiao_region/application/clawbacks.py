"""Clawback (RULES section 6): units that were wrongly issued are cancelled, or replaced where they are gone.

Two approvers of the region's authority sign an order; whoever brings it only carries it. From then on the
units move no more at this node: what is held is cancelled through the bridge, and what comes back too.
For the rest the one to whom they were issued hands in as many units within the term. The obligation is a
quantity: everything wrongly issued is either cancelled, or replaced by other units that are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import clawbacks_pb2, dossiers_pb2
from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.ids import ID_BYTES, parse_id_hex
from tanqiao.kernel.units import UnitBlock, coalesce, subtract_blocks, total_quantity_kg
from tanqiao.kernel.working_days import Calendar
from tanqiao.protocol.types import Kind, SourceState
from tanqiao.rpc.protocol_facts import BLOCKS_PER_MESSAGE_MAX, block_messages, blocks_of, date_message
from tanqiao.rpc.validation import require_bytes, require_text
from tanqiao.signing.approvals import APPROVERS, open_clawback
from tanqiao.signing.verify import Opened
from tanqiao_region.application import journal
from tanqiao_region.application.access import OFFICE, bar, offices_of
from tanqiao_region.application.certificates import may_see
from tanqiao_region.application.claim_steps import Ask, Submit, release_later
from tanqiao_region.application.commands import By, Selection, UseOrder
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.ledger import choose_lawfully, require_account
from tanqiao_region.application.register_checks import act_facts, once
from tanqiao_region.application.register_history import note_step
from tanqiao_region.application.rules import lots_of, subject_of
from tanqiao_region.application.uses import begin_use
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.facts import UnitLot
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import certificates as certificate_store
from tanqiao_region.storage import clawbacks as store
from tanqiao_region.storage import register_history
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.clawbacks import ClawbackRow
from tanqiao_region.storage.encumbrances import load_encumbered
from tanqiao_region.storage.holdings import CANCELLED, HELD, USED, load_series, load_touched
from tanqiao_region.storage.issuance import ShownIssuance, load_issuance
from tanqiao_region.storage.transfers import load_outgoing

REGISTER: Final = "clawback"
ISSUED: Final = 2
TERM: Final = "clawback_term_working_days"
"""Parameter of a pack, behind its prefix: working days within which replacements are handed in."""
TEXT_LENGTH_MAX: Final = 500
Pieces = Sequence[tuple[UnitBlock, tuple[str, int, bytes]]]


@dataclass(frozen=True, slots=True)
class Balance:
    """What has become of wrongly issued units, in kilograms."""

    total: int
    cancelled: int
    replaced: int
    pending: int

    @property
    def outstanding(self) -> int:
        """What is neither cancelled nor replaced."""
        return max(0, self.total - self.cancelled - self.replaced)


class Clawbacks:
    """Takes orders, replacements and settlements, and shows what is left.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
        calendar: working days.
    """

    def __init__(
        self, context: RegionContext, database: Database, submit: Submit, calendar: Callable[[], Calendar]
    ) -> None:
        self._context = context
        self._database = database
        self._submit = submit
        self._calendar = calendar

    def submit(self, ask: Ask, envelope: envelope_pb2.Envelope) -> clawbacks_pb2.SubmitClawbackResponse:
        """Verify an order and put it in force.

        Raises:
            DomainError: what `open_clawback` raises, NOT_FOUND, STATE_NOT_ALLOWED, FIELD_INVALID, FROZEN for
                units that another clawback stops, EQUIVOCATION, PARAMETER_NOT_SET, CALENDAR_NOT_LOADED.
        """
        context = self._context
        opened = open_clawback(
            envelope,
            context.network_id,
            context.directory,
            at_index=max(0, context.applied_log_index),
            audience=context.party,
        )

        def decide(group: Group) -> clawbacks_pb2.SubmitClawbackResponse:
            return clawbacks_pb2.SubmitClawbackResponse(
                clawback=_decide(group, ask.by, opened, envelope, self._calendar())
            )

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return clawbacks_pb2.SubmitClawbackResponse.FromString(kept)

    def replace(
        self, ask: Ask, clawback_id: str, selection: Selection
    ) -> clawbacks_pb2.ReplaceClawedUnitsResponse:
        """Cancel units of the debtor's in the place of those that were wrongly issued."""

        def decide(group: Group) -> clawbacks_pb2.ReplaceClawedUnitsResponse:
            return clawbacks_pb2.ReplaceClawedUnitsResponse(
                clawback=_replace(group, ask.by, clawback_id, selection)
            )

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return clawbacks_pb2.ReplaceClawedUnitsResponse.FromString(kept)

    def settle(self, ask: Ask, clawback_id: str) -> clawbacks_pb2.SettleClawbackResponse:
        """Cancel what has come back, and note what has become of the obligation."""

        def decide(group: Group) -> clawbacks_pb2.SettleClawbackResponse:
            return clawbacks_pb2.SettleClawbackResponse(clawback=_settle(group, ask.by, clawback_id))

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return clawbacks_pb2.SettleClawbackResponse.FromString(kept)

    def find(self, clawback_id: str, by: By) -> clawbacks_pb2.Clawback:
        """Give a clawback; NOT_FOUND if there is none."""
        wanted = parse_id_hex(clawback_id, field="clawback_id")
        with self._database.reading() as connection:
            row = store.load_clawback(connection, wanted)
            if row is None:
                raise _not_found(clawback_id)
            return _shown(connection, row, by, is_office=self._is_office(by))

    def page(self, by: By, after: bytes, limit: int) -> list[clawbacks_pb2.Clawback]:
        """Give a page of clawbacks."""
        office = self._is_office(by)
        with self._database.reading() as connection:
            rows = store.list_clawbacks(connection, after=after, limit=limit)
            return [_shown(connection, row, by, is_office=office) for row in rows]

    def steps(self, clawback_id: str, by: By, after: int, limit: int) -> list[dossiers_pb2.DossierStep]:
        """Give a page of a clawback's history; NOT_FOUND as `find`."""
        self.find(clawback_id, by)
        with self._database.reading() as connection:
            return register_history.list_steps(connection, REGISTER, clawback_id, after=after, limit=limit)

    def _is_office(self, by: By) -> bool:
        return _is_office(self._context.pack(legal_date(self._context.now())), by)


# -- one transaction each


def _decide(
    group: Group, by: By, opened: Opened, envelope: envelope_pb2.Envelope, calendar: Calendar
) -> clawbacks_pb2.Clawback:
    order: clawbacks_pb2.ClawbackOrder = opened.message
    authority = f"authority/{group.context.region_code}"
    if opened.header.sender != authority:
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=0, missing=[authority] * APPROVERS)
    clawback_id = require_bytes(order.clawback_id, ID_BYTES, "order.clawback_id")
    reason = require_text(order.reason, "order.reason", length_max=TEXT_LENGTH_MAX)
    document = require_text(order.document, "order.document", length_max=TEXT_LENGTH_MAX)
    known = store.load_clawback(group.connection, clawback_id)
    if known is not None:
        if known.payload != opened.payload:
            raise DomainError("EQUIVOCATION", peer=authority, id=clawback_id.hex())
        return _answer(group, by, known)
    issuance, blocks = _wrong_units(group, order)
    debtor, pieces = _load(group, issuance.account_id, blocks)
    free = _free(group, pieces, clawback_id)
    gone = [piece for piece, place in pieces if place[1] == CANCELLED]
    stopped = subtract_blocks(blocks, gone)
    to_replace_kg = total_quantity_kg(stopped) - total_quantity_kg([one for _, one in free])
    lots = lots_of(blocks, load_series(group.connection, [issuance.series_id]))
    verdict = group.pack.require(
        acts.ClawBack(
            **act_facts(group, by),
            lots=lots,
            debtor=subject_of(debtor, group.context.region_code),
            reason=reason,
            document=document,
            to_replace_kg=to_replace_kg,
        )
    )
    due = _due_date(group, calendar) if to_replace_kg else ""
    row = ClawbackRow(
        clawback_id,
        issuance.issuance_id,
        issuance.account_id,
        blocks,
        BEFORE,
        due,
        calendar.version if due else "",
        0,
        opened.payload,
        envelope.SerializeToString(),
    )
    store.insert_clawback(group.connection, row)
    store.stop_blocks(group.connection, clawback_id, document, stopped)
    group.frozen = None
    row = _step(group, by, row, "decide", verdict, reason=reason)
    _cancel(group, by, row, free, verdict)
    return _answer(group, by, row)


def _wrong_units(
    group: Group, order: clawbacks_pb2.ClawbackOrder
) -> tuple[ShownIssuance, tuple[UnitBlock, ...]]:
    """Give the issuance and the units of it that the order names; refuse what another clawback stops."""
    issuance_id = parse_id_hex(order.issuance_id, field="order.issuance_id").hex()
    issuance = load_issuance(group.connection, issuance_id)
    if issuance is None:
        raise DomainError("NOT_FOUND", field="order.issuance_id", what="issuance", id=issuance_id)
    if issuance.state != ISSUED:
        raise DomainError(
            "STATE_NOT_ALLOWED",
            what="签发 issuance",
            id=issuance_id,
            state=str(issuance.state),
            needed="ISSUED",
        )
    whole = UnitBlock(issuance.series_id, issuance.start_serial, issuance.end_serial)
    blocks = tuple(coalesce(blocks_of(order.blocks))) if order.blocks else (whole,)
    if subtract_blocks(blocks, [whole]):
        detail = Bilingual(f"不在该次签发{whole}之内", f"outside of {whole}")
        raise DomainError("FIELD_INVALID", field="order.blocks", detail=detail)
    for other, by_whom in store.stopped_blocks(group.connection, issuance.series_id):
        if any(other.overlaps(block) for block in blocks):
            raise DomainError("FROZEN", what=str(other), document=f"clawback {by_whom.hex()}")
    return issuance, blocks


def _due_date(group: Group, calendar: Calendar) -> str:
    prefix = group.pack.identity.pack_id.partition("-")[0]
    days = group.pack.parameters.on(group.legal_date).integer(f"{prefix}.{TERM}")
    return calendar.last_day(group.legal_date, days, first_day_counts=False).isoformat()


def _replace(group: Group, by: By, clawback_id: str, selection: Selection) -> clawbacks_pb2.Clawback:
    row = _require(group, clawback_id)
    needs = Needs()
    needs.selection(row.account_id, selection)
    group.load(needs)
    holder = require_account(group, row.account_id, "clawback_id")
    region = group.context.region_code
    programme = load_series(group.connection, [row.blocks[0].series_id])[row.blocks[0].series_id].programme

    def facts(lots: tuple[UnitLot, ...]) -> acts.ReplaceClawedUnits:
        subject = subject_of(holder, region)
        return acts.ReplaceClawedUnits(**act_facts(group, by), lots=lots, holder=subject, programme=programme)

    barred = bar(group, by, acts.ReplaceClawedUnits.act(), holder)
    blocks, verdict = choose_lawfully(group, holder.account_id, selection, facts, barred=barred)
    group.pack.data.lifecycles[REGISTER].step(row.state, "replace", object_id=clawback_id)
    require_free(group, holder, blocks)
    balance = balance_of(group.connection, row)
    left = balance.outstanding - balance.pending
    if total_quantity_kg(blocks) > left:
        detail = Bilingual(f"尚需补足{left}千克", f"{left} kg are left to be replaced")
        raise DomainError("FIELD_INVALID", field="units.quantity_kg", detail=detail)
    _begin(group, by, row, holder.account_id, blocks, verdict, is_replacement=True)
    return _answer(group, by, _step(group, by, row, "replace", verdict))


def _settle(group: Group, by: By, clawback_id: str) -> clawbacks_pb2.Clawback:
    row = _require(group, clawback_id)
    verdict = group.pack.require_duty(acts.Facts(**act_facts(group, by)), (acts.ClawBack.act(),))
    machine = group.pack.data.lifecycles[REGISTER]
    machine.step(row.state, "complete", object_id=clawback_id)
    _, pieces = _load(group, row.account_id, row.blocks)
    balance = balance_of(group.connection, row)
    document = clawbacks_pb2.ClawbackOrder.FromString(row.payload).document
    if balance.outstanding == 0:
        store.stop_blocks(group.connection, row.clawback_id, document, ())
        group.frozen = None
        superseded = _supersede(group, row)
        return _answer(
            group, by, _step(group, by, row, "complete", verdict, claim="superseded" if superseded else "")
        )
    gone = [piece for piece, place in pieces if place[1] == CANCELLED]
    store.stop_blocks(group.connection, row.clawback_id, document, subtract_blocks(row.blocks, gone))
    group.frozen = None
    # What is being handed in for them counts already: nobody loses units beside a replacement.
    owed = balance.outstanding - balance.pending
    free = _no_more_than(owed, _free(group, pieces, row.clawback_id))
    if free:
        _cancel(group, by, row, free, verdict)
        row = _step(group, by, row, "cancel", verdict)
    if row.state == "OPEN" and row.due_date and date.fromisoformat(row.due_date) < group.legal_date:
        row = _step(group, by, row, "fall_due", verdict)
    return _answer(group, by, row)


def _supersede(group: Group, row: ClawbackRow) -> bool:
    """Let the claim go if nothing of what was issued on it is left; what was used stays claimed."""
    issuance = load_issuance(group.connection, row.issuance_id)
    if issuance is None:  # pragma: no cover - a clawback names an issuance that is there
        return False
    whole = UnitBlock(issuance.series_id, issuance.start_serial, issuance.end_serial)
    cancelled = [
        common
        for one in load_touched(group.connection, (whole,))
        if one.place[1] == CANCELLED
        and (common := UnitBlock(one.series_id, one.start, one.end).intersection(whole))
    ]
    if subtract_blocks((whole,), cancelled):
        return False
    reason = clawbacks_pb2.ClawbackOrder.FromString(row.payload).reason
    release_later(group, _claim_of(issuance), claims_pb2.CLAIM_STATUS_SUPERSEDED, reason)
    return True


# -- what is where


def _load(group: Group, account_id: str, blocks: Sequence[UnitBlock]) -> tuple[AccountRow, Pieces]:
    """Load the units where they are, and everybody who has some of them."""
    group.load(Needs(accounts={account_id}, touched=list(blocks)))
    pieces = group.holdings.pieces(blocks)
    group.accounts |= group.load_accounts(sorted({place[0] for _, place in pieces} - group.accounts.keys()))
    return group.accounts[account_id], pieces


def _free(group: Group, pieces: Pieces, clawback_id: bytes) -> list[tuple[str, UnitBlock]]:
    """Give what can be cancelled now: held, final, in no creditor's favour and frozen by nobody else."""
    held = [(place[0], piece) for piece, place in pieces if place[1] == HELD and not place[2]]
    pledged = load_encumbered(group.connection, {account_id for account_id, _ in held})
    bound = [one.block for listed in pledged.values() for one in listed]
    bound += [
        UnitBlock(row.series_id, row.start, row.end)
        for row in store.load_stopped(group.connection)
        if row.series_id and row.order_id != clawback_id
    ]
    return [(account_id, rest) for account_id, piece in held for rest in subtract_blocks((piece,), bound)]


def _no_more_than(quantity_kg: int, free: Sequence[tuple[str, UnitBlock]]) -> list[tuple[str, UnitBlock]]:
    """Give of these units as many as are owed, in their order."""
    taken, left = [], quantity_kg
    for account_id, block in free:
        if left <= 0:
            break
        part = UnitBlock(block.series_id, block.start, min(block.end, block.start + left))
        taken.append((account_id, part))
        left -= part.end - part.start
    return taken


def _cancel(
    group: Group, by: By, row: ClawbackRow, free: Sequence[tuple[str, UnitBlock]], verdict: Verdict
) -> None:
    by_account: dict[str, list[UnitBlock]] = {}
    for account_id, block in free:
        by_account.setdefault(account_id, []).append(block)
    for account_id, blocks in sorted(by_account.items()):
        for at in range(0, len(blocks), BLOCKS_PER_MESSAGE_MAX):
            part = tuple(blocks[at : at + BLOCKS_PER_MESSAGE_MAX])
            _begin(group, by, row, account_id, part, verdict, is_replacement=False)


def _begin(
    group: Group,
    by: By,
    row: ClawbackRow,
    account_id: str,
    blocks: tuple[UnitBlock, ...],
    verdict: Verdict,
    *,
    is_replacement: bool,
) -> None:
    """Begin a cancellation that belongs to a clawback."""
    told = clawbacks_pb2.ClawbackOrder.FromString(row.payload)
    fresh = group.context.random_bytes(ID_BYTES).hex()
    order = UseOrder(
        request=ClientRequest(group.context.party, f"clawback-{fresh}", b""),
        by=by,
        kind=Kind.CANCEL,
        account_id=account_id,
        selection=Selection(blocks=blocks),
        purpose_text=told.reason,
        document_reference=told.document,
    )
    begun = begin_use(group, order, group.accounts[account_id], blocks, verdict)
    store.insert_use(group.connection, row.clawback_id, begun.transfer_id, is_replacement=is_replacement)


def balance_of(connection: sa.Connection, row: ClawbackRow) -> Balance:
    """Say what has become of the units, from the books as they are."""
    cancelled = [
        common
        for one in load_touched(connection, row.blocks)
        if one.place[1] == CANCELLED
        for block in row.blocks
        if (common := UnitBlock(one.series_id, one.start, one.end).intersection(block)) is not None
    ]
    uses = store.uses_of(connection, row.clawback_id)
    known = load_outgoing(connection, "", uses)
    replaced = pending = 0
    for transfer_id, is_replacement in uses.items():
        out = known.get(transfer_id)
        if out is None:  # begun in this transaction and not written yet
            continue
        if out.record.state is SourceState.RETIRING:
            pending += out.quantity_kg
        elif is_replacement and out.record.state is SourceState.CANCELLED:
            replaced += out.quantity_kg
    return Balance(total_quantity_kg(row.blocks), total_quantity_kg(cancelled), replaced, pending)


def _step(
    group: Group, by: By, row: ClawbackRow, event: str, verdict: Verdict, *, reason: str = "", claim: str = ""
) -> ClawbackRow:
    edge = group.pack.data.lifecycles[REGISTER].step(row.state, event, object_id=row.clawback_id.hex())
    moved = row._replace(state=edge.to, steps=row.steps + 1)
    store.set_state(group.connection, moved)
    note_step(
        group,
        journal.CLAWBACK_CHANGED,
        REGISTER,
        row.clawback_id.hex(),
        edge,
        by=by,
        verdict=verdict,
        number=moved.steps,
        account_ids=(row.account_id,),
        reason=reason,
        details={"issuance_id": row.issuance_id, **({"claim": claim} if claim else {})},
    )
    return moved


def _require(group: Group, clawback_id: str) -> ClawbackRow:
    row = store.load_clawback(group.connection, parse_id_hex(clawback_id, field="clawback_id"))
    if row is None:
        raise _not_found(clawback_id)
    return row


def _answer(group: Group, by: By, row: ClawbackRow) -> clawbacks_pb2.Clawback:
    return _shown(group.connection, row, by, is_office=_is_office(group.pack, by), knows_account=True)


def _is_office(pack: RulePack, by: By) -> bool:
    offices = offices_of(pack)
    return by.party.startswith(OFFICE) and (offices.keep(by) or offices.look(by))


def _shown(
    connection: sa.Connection, row: ClawbackRow, by: By, *, is_office: bool, knows_account: bool = False
) -> clawbacks_pb2.Clawback:
    """Give a clawback without what this caller may not see: the account, certificates on their way."""
    order = clawbacks_pb2.ClawbackOrder.FromString(row.payload)
    balance = balance_of(connection, row)
    issuance = load_issuance(connection, row.issuance_id)
    used = {one.place[2] for one in load_touched(connection, row.blocks) if one.place[1] == USED}
    living = [certificate_store.live_certificate(connection, transfer_id) for transfer_id in sorted(used)]
    return clawbacks_pb2.Clawback(
        clawback_id=row.clawback_id.hex(),
        issuance_id=row.issuance_id,
        account_id=row.account_id if is_office or knows_account else "",
        blocks=block_messages(row.blocks),
        quantity_kg=balance.total,
        state=row.state,
        reason=order.reason,
        document=order.document,
        due_date=date_message(row.due_date) if row.due_date else None,
        cancelled_kg=balance.cancelled,
        replaced_kg=balance.replaced,
        pending_kg=balance.pending,
        outstanding_kg=balance.outstanding,
        certificate_numbers=[
            one.message.number for one in living if one is not None and may_see(one, by, is_office=is_office)
        ],
        claim_id="" if issuance is None else _claim_of(issuance),
    )


def _claim_of(issuance: ShownIssuance) -> str:
    return messages_pb2.Issue.FromString(issuance.payload).claim_id


def _not_found(clawback_id: str) -> DomainError:
    return DomainError("NOT_FOUND", field="clawback_id", what="clawback", id=clawback_id[:32])
