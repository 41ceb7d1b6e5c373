"""Histories of objects that are no dossiers: one step for each change, in table and journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.rpc.validation import wire_date
from tanqiao_region.application import journal
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.domain.rules.lifecycles import BEFORE, Transition
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import register_history as store


def note_step(  # noqa: PLR0913 - a step is what it is
    group: Group,
    kind: int,
    register: str,
    object_id: str,
    edge: Transition,
    *,
    by: By,
    verdict: Verdict,
    number: int,
    account_ids: Sequence[str] = (),
    reason: str = "",
    details: Mapping[str, str] | None = None,
) -> int:
    """Write a step into the journal and into the object's history.

    Args:
        group: the transaction.
        kind: of the journal entry.
        register: name of the machine.
        object_id: the object; of the journal entry it is the subject.
        edge: what the machine allowed.
        by: who took the step.
        verdict: of the rules.
        number: of the step, from 1.
        account_ids: accounts that are concerned.
        reason: in words, where one was given; it stands in the history and not in the journal.
        details: of the journal entry beside event, states and role.

    Returns:
        The index of the journal entry.
    """
    index = group.journal.append(
        kind,
        object_id,
        tuple(journal.Effect(account_id) for account_id in dict.fromkeys(account_ids)),
        applied=journal.Applied.of(verdict),
        details={
            "event": edge.event,
            "from": edge.state,
            "to": edge.to,
            "role": by.role,
            **(details or {}),
        },
    )
    step = dossiers_pb2.DossierStep(
        step_number=number,
        event=edge.event,
        from_state=edge.state,
        to_state=edge.to,
        role=by.role,
        legal_date=wire_date(group.legal_date),
        reason=reason,
        rule_ids=verdict.rules_applied,
        journal_index=index,
    )
    store.insert_step(group.connection, register, object_id, by.party, step)
    return index


def check_history(
    connection: sa.Connection,
    register: str,
    states: Mapping[str, tuple[int, str]],
    note: Callable[[str], None],
) -> None:
    """Demand of every object of a register a history without a gap that ends in its state.

    Args:
        connection: a snapshot.
        register: name of the machine.
        states: object → number of its steps, and the state it is in.
        note: takes a finding.
    """
    ends: dict[str, tuple[int, str]] = {}
    for object_id, number, step in store.all_steps(connection, register):
        before = ends.get(object_id, (0, BEFORE))
        if (step.step_number, step.from_state) != (before[0] + 1, before[1]) or number != step.step_number:
            note(f"{register} {object_id}: step {number} does not follow from the one before")
        ends[object_id] = (number, step.to_state)
    for object_id in sorted(states.keys() | ends.keys()):
        if states.get(object_id) != ends.get(object_id):
            note(f"{register} {object_id} is not in the state that its history gives")
