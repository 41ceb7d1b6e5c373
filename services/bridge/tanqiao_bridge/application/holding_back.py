"""What a bridge that recovers may not decide yet is answered BUSY, and offered again (PROTOCOL section 6)."""

from __future__ import annotations

from dataclasses import replace

from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import SINK
from tanqiao_bridge.application.commands import (
    Answer,
    AskOutcome,
    OfferAnswers,
    OfferIssues,
    OfferLocks,
    OfferWithdrawals,
    ReturnPrepare,
    TakeNumbered,
)
from tanqiao_bridge.application.context import BridgeContext, Group


def hold_back(context: BridgeContext, command: object) -> tuple[object, list[bytes]]:
    """Take out of a command what may not be decided yet; the rest of it, and the ids that wait.

    Raises:
        DomainError: REGION_RECOVERING for what cannot be offered again later: numbered traffic, a question.
    """
    recovery = context.recovery
    if recovery.is_over:
        return command, []
    match command:
        case OfferLocks(items=items):
            kept = tuple(
                (material, facts)
                for material, facts in items
                if recovery.may_decide({facts.key.source, facts.destination} - {SINK}, facts.blocks)
            )
            names = {facts.key.transfer_id for _, facts in items}
            left = names - {facts.key.transfer_id for _, facts in kept}
            return replace(command, items=kept), sorted(left)
        case OfferAnswers(items=items, party=party):
            answered = tuple(
                (material, facts)
                for material, facts in items
                if recovery.may_decide({facts.key.source, party}, ())
            )
            names = {facts.key.transfer_id for _, facts in items}
            left = names - {facts.key.transfer_id for _, facts in answered}
            return replace(command, items=answered), sorted(left)
        case ReturnPrepare(prepare_facts=facts, party=party):
            if recovery.may_decide({facts.key.source, party}, facts.lock.blocks):
                return command, []
            return None, [facts.key.transfer_id]
        case OfferIssues(items=issues, party=party):
            free = tuple(
                (material, facts)
                for material, facts in issues
                if recovery.may_decide({party}, (facts.block,))
            )
            ids = {facts.issue_id for _, facts in issues} - {facts.issue_id for _, facts in free}
            return replace(command, items=free), sorted(ids)
        case OfferWithdrawals(items=wishes, party=party) if party in recovery.missing:
            return None, [material.opened.header.transfer_id for material in wishes]
        case TakeNumbered(party=party) if not recovery.may_take_receipts(party):
            raise DomainError("REGION_RECOVERING", region=party)
        case AskOutcome(evidence=evidence) if evidence is not None:
            asked = evidence[1]
            if not recovery.may_decide({asked.key.source, asked.destination} - {SINK}, asked.blocks):
                raise DomainError("REGION_RECOVERING", region=asked.key.source)
    return command, []


def require_all_reported(group: Group) -> None:
    """Demand that no claim can be missing: any region may hold one that bars what is claimed now (CLAIMS 3).

    Raises:
        DomainError: REGION_RECOVERING, naming a region that has not reported.
    """
    for region in sorted(group.context.recovery.missing):
        raise DomainError("REGION_RECOVERING", region=region)


def busy(waiting: list[bytes]) -> Answer:
    """Answer a command of which nothing may be decided yet."""
    return Answer(busy=list(waiting))
