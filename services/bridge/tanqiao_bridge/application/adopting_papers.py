"""What a reported decision rests on: its lock, and the Ready that a COMMIT of a transfer names (R9).

A decision may have reached one of its parties alone. The other one is still waiting with its promise, and
reports that. Until both are here the decision is not taken back: its leaf would name what nobody can show,
and no witness would cosign it. What is never shown is settled by people, with a Correction of the transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.protocol.types import DecisionFacts, Kind, LockFacts, Outcome, TransferKey
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.reported import OpenedItem, Promise, ReportOpener
from tanqiao_bridge.storage import orders, recovery

LockPaper = tuple[LockFacts, Material]


@dataclass(frozen=True, slots=True)
class Rests:
    """The lock that a decision names, and the answer it rests on; None where it has none."""

    lock: LockPaper
    answer: Material | None


Promises = Mapping[TransferKey, Sequence[Promise]]


def load_promises(group: Group, opener: ReportOpener, items: Iterable[OpenedItem]) -> Promises:
    """Open what the regions reported undecided, as far as the reported decisions may rest on it."""
    keys = {item.decision.key for item in items if item.decision is not None}
    papers = recovery.load_papers(group.connection, group.context.epoch, keys)
    return {key: [opener.open_paper(one) for one in found] for key, found in papers.items()}


def rests_of(facts: DecisionFacts, same: Sequence[OpenedItem], promises: Promises) -> Rests | None:
    """Give what a decision rests on; None while something of it has not been reported."""
    others = promises.get(facts.key, ())
    locks = [item.lock for item in same] + [other.lock for other in others]
    lock = next((one for one in locks if one is not None and one[0].message_hash == facts.lock_hash), None)
    if lock is None:
        return None
    answers = [item.ready for item in same] + [other.ready for other in others]
    theirs = [one for one in answers if one is not None and one.opened.header.sender == lock[0].destination]
    if facts.outcome is not Outcome.COMMIT or lock[0].kind is not Kind.TRANSFER:
        return Rests(lock, theirs[0] if theirs else None)
    named = next((one for one in theirs if one.opened.message_hash == facts.ready_hash), None)
    return None if named is None else Rests(lock, named)


def is_settled(group: Group, facts: DecisionFacts, same: Sequence[OpenedItem]) -> bool:
    """Whether a Correction that names the transfer has said meanwhile where its units are (row 14)."""
    blocks = [block for item in same if item.lock is not None for block in item.lock[0].blocks]
    for block in blocks:
        for row in orders.corrections_touching(group.connection, block):
            header = messages_pb2.Correction.FromString(row.payload).header
            if TransferKey(header.source, header.transfer_id) == facts.key:
                return True
    return False
