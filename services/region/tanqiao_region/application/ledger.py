"""Moves inside the region: choose units, ask the rules, move them, and say so in the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock, coalesce, total_quantity_kg
from tanqiao_region.application import journal
from tanqiao_region.application.access import bar
from tanqiao_region.application.commands import LocalOrder, LocalTransfers, MovedLocally, Selection
from tanqiao_region.application.freezes import require_free
from tanqiao_region.application.group import Group, Needs
from tanqiao_region.application.holdings import held_by
from tanqiao_region.application.rules import actor_of, lots_of, subject_of
from tanqiao_region.domain.rules.facts import ConfirmedMandate, Facts, Subject, TransferLocal, UnitLot
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.accounts import KIND_SUSPENSE, AccountRow
from tanqiao_region.storage.packing import pack_blocks, unpack_blocks

INDEX_BYTES: Final = 8

LocalAnswer = MovedLocally | DomainError


def gather(command: LocalTransfers, needs: Needs) -> None:
    """Say what the orders look at."""
    for order in command.orders:
        needs.requests.append(order.request)
        needs.accounts.add(order.to_account_id)
        if order.agent_account_id:
            needs.accounts.add(order.agent_account_id)
            needs.agents.add((order.from_account_id, order.agent_account_id))
        needs.selection(order.from_account_id, order.selection)
        needs.joining.add(order.from_account_id)


def apply(group: Group, command: LocalTransfers) -> list[LocalAnswer]:
    """Carry the orders out, in order, each as if alone."""
    answers: list[LocalAnswer] = []
    for order in command.orders:
        try:
            answers.append(_apply(group, order))
        except DomainError as refusal:
            answers.append(refusal)
    return answers


def _apply(group: Group, order: LocalOrder) -> MovedLocally:
    stored = group.known_answer(order.request)
    if stored is not None:
        return MovedLocally(unpack_blocks(stored[INDEX_BYTES:]), int.from_bytes(stored[:INDEX_BYTES], "big"))
    group.require_clock()
    giver = require_account(group, order.from_account_id, "from_account_id")
    taker = require_account(group, order.to_account_id, "to_account_id")
    if giver.account_id == taker.account_id:
        raise DomainError("FIELD_INVALID", field="to_account_id", detail="the account that gives")
    _require_suspense_rule(giver, taker, order)
    agent, mandate = _agent(group, giver, order)

    def facts(lots: tuple[UnitLot, ...]) -> TransferLocal:
        return TransferLocal(
            on=group.legal_date,
            node_region=group.context.region_code,
            object_region=group.context.region_code,
            actor=actor_of(order.by),
            lots=lots,
            seller=subject_of(giver, group.context.region_code),
            buyer=subject_of(taker, group.context.region_code),
            agent=agent,
            mandate=mandate,
            trade=bool(order.settlement_reference),
        )

    question = (
        TransferLocal,
        order.by,
        giver.account_id,
        taker.account_id,
        order.agent_account_id,
        bool(order.settlement_reference),
    )
    barred = bar(group, order.by, TransferLocal.act(), giver)
    blocks, verdict = choose_lawfully(group, giver.account_id, order.selection, facts, question, barred)
    _require_mandate(group, order, mandate)
    require_free(group, giver, blocks)
    if order.validate_only:
        return MovedLocally(blocks, 0)
    failing = group.holdings.move(blocks, held_by(giver.account_id), held_by(taker.account_id))
    require(not failing, "chosen units are held")
    index = group.journal.append(
        journal.UNITS_TRANSFERRED,
        giver.account_id,
        (
            journal.Effect(giver.account_id, removed=blocks),
            journal.Effect(taker.account_id, added=blocks),
        ),
        applied=journal.Applied.of(verdict),
        details=_details(order),
    )
    group.note_answer(order.request, index.to_bytes(INDEX_BYTES, "big") + pack_blocks(blocks))
    return MovedLocally(blocks, index)


def _details(order: LocalOrder) -> dict[str, str]:
    details = {"settlement_reference": order.settlement_reference, "by": order.by.party}
    return details | {"agent": order.agent_account_id} if order.agent_account_id else details


def _agent(
    group: Group, giver: AccountRow, order: LocalOrder
) -> tuple[Subject | None, ConfirmedMandate | None]:
    """Give who instructs the trade for the giver, and under which mandate; nobody where the giver does.

    Raises:
        DomainError: FIELD_INVALID where no trade is settled; ACCOUNT_UNKNOWN, ACCOUNT_CLOSED.
    """
    if not order.agent_account_id:
        return None, None
    if not order.settlement_reference:
        raise DomainError("FIELD_INVALID", field="agent_account_id", detail="only where a trade is settled")
    account = require_account(group, order.agent_account_id, "agent_account_id")
    subject = subject_of(account, group.context.region_code)
    known_as = group.entrustable.get(account.account_id, frozenset())
    row = group.mandates.get((giver.account_id, account.account_id))
    mandate = (
        None
        if row is None
        else ConfirmedMandate(
            principal_id=row.principal_account_id,
            agent_id=row.agent_account_id,
            valid_from=date.fromisoformat(row.start_date),
            valid_to=date.fromisoformat(row.stop_date),
        )
    )
    return replace(subject, roles_held=subject.roles_held | known_as), mandate


def _require_mandate(group: Group, order: LocalOrder, mandate: ConfirmedMandate | None) -> None:
    """Refuse an agent without a mandate, also where the pack of the region knows no agents."""
    if order.agent_account_id and mandate is None:
        raise DomainError("MANDATE_NOT_IN_FORCE", who=order.agent_account_id, period=group.legal_date_text)


def require_account(group: Group, account_id: str, field: str) -> AccountRow:
    """Give an account that takes business.

    Raises:
        DomainError: ACCOUNT_UNKNOWN, ACCOUNT_CLOSED, with the field.
    """
    account = group.accounts.get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field=field, account_id=account_id[:ACCOUNT_SHOWN_MAX])
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field=field, account_id=account_id)
    return account


ACCOUNT_SHOWN_MAX: Final = 32


def _require_suspense_rule(giver: AccountRow, taker: AccountRow, order: LocalOrder) -> None:
    """R7: units in suspense move to an account of the same owner alone, and nothing is paid into suspense."""
    if taker.kind == KIND_SUSPENSE:
        raise DomainError(
            "ACCOUNT_KIND_NOT_ALLOWED", field="to_account_id", kind="SUSPENSE", action="TransferUnits"
        )
    if giver.kind == KIND_SUSPENSE and not giver.has_owner_of(taker):
        raise DomainError("SUSPENSE_OWNER_MISMATCH", ranges=list(order.selection.blocks) or giver.account_id)


def choose_lawfully(
    group: Group,
    account_id: str,
    selection: Selection,
    facts: Callable[[tuple[UnitLot, ...]], Facts],
    question: tuple[object, ...] = (),
    barred: DomainError | None = None,
) -> tuple[tuple[UnitBlock, ...], Verdict]:
    """Choose units and ask the rules about them.

    Where the units cannot be chosen the rules are asked all the same: who may not do this at all is told so,
    and not what an account holds.

    Args:
        group: the transaction.
        account_id: who holds them.
        selection: which.
        facts: gives the facts of the act for some lots.
        question: all that the facts are made of besides the lots. Within a group the same question about
            equal quantities of the same series has the same answer, for no rule looks at the numbers of
            serials.
        barred: why the caller may not act for this account, whatever it holds.

    Raises:
        DomainError: the rules' refusal, `barred`, or what `choose` raises.
    """
    if barred is not None:
        group.pack.require(facts(()))
        raise barred
    try:
        blocks = choose(group, account_id, selection)
        bound = [one.block for one in group.encumbered.get(account_id, ())]
        bound = [block for block in bound if any(block.overlaps(chosen) for chosen in blocks)]
        asked = (*question, *((block.series_id, block.end - block.start) for block in blocks))
        known = group.verdicts.get(asked) if question and not bound else None
        if known is not None:
            return blocks, known
        lots = lots_of(blocks, group.series, bound)
    except DomainError:
        group.pack.require(facts(()))
        raise
    verdict = group.pack.require(facts(lots))
    if bound:  # a pack that forgets them does not set them free
        raise DomainError("UNIT_ENCUMBERED", ranges=[str(lot) for lot in lots if lot.encumbered])
    if question:
        group.verdicts[asked] = verdict
    return blocks, verdict


def choose(group: Group, account_id: str, selection: Selection) -> tuple[UnitBlock, ...]:
    """Choose units that the account holds; adjacent blocks are joined, since they are one block.

    Raises:
        DomainError: UNITS_INSUFFICIENT, NOT_HELD, UNIT_LOCKED, UNIT_USED, UNIT_CANCELLED,
            QUANTITY_NOT_POSITIVE.
    """
    if not selection.blocks:
        if selection.quantity_kg <= 0:
            raise DomainError("QUANTITY_NOT_POSITIVE", field="units.quantity_kg", quantity_kg=0)
        return _take(group, account_id, selection)
    blocks = coalesce(selection.blocks)
    group.holdings.require_held(account_id, blocks)
    return blocks


def _take(group: Group, account_id: str, selection: Selection) -> tuple[UnitBlock, ...]:
    """Choose a quantity among what is free; what a creditor's right withholds is named where it is wanted."""
    try:
        return group.holdings.take(account_id, selection.series_id, selection.quantity_kg)
    except DomainError as short:
        bound = tuple(
            one.block
            for one in group.encumbered.get(account_id, ())
            if selection.series_id in ("", one.block.series_id)
        )
        if short.symbol != "UNITS_INSUFFICIENT" or not bound:
            raise
        missing_kg = selection.quantity_kg - int(short.metadata["available_kg"])
        if total_quantity_kg(bound) < missing_kg:
            raise
        return bound  # for the rules to refuse, with their article
