"""What a lying party may send: everything that its own key can sign, in every state, again and again.

It cannot sign for others: a lying bridge has only the locks and Readys that regions gave it, a lying region
only the Prepares that the bridge sent. What such a message must leave behind, where it contradicts what an
honest party knows, is said here in words of its own and compared with what the machines keep as evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Final

from tanqiao.protocol import destination, notary, source
from tanqiao.protocol.types import (
    ZERO_HASH,
    DestinationState,
    FinalFacts,
    Outcome,
    ReadyFacts,
    RefuseFacts,
    SourceState,
    WithdrawFacts,
)
from tanqiao.testing.model.honest import (
    REFUSED,
    after_notary,
    answered,
    asked,
    here_already,
    locked,
    of_destination,
    of_source,
    prepares_to,
    returned,
)
from tanqiao.testing.model.world import (
    PREPARE_NAMES,
    Bridge,
    Region,
    Scenario,
    Step,
    Violations,
    answer_hash,
    decision_of,
    digest,
    key_of,
    lock_of,
    prepare_hash,
    prepare_of,
)

FOREIGN: Final = digest("foreign")
"""A hash of nothing that anybody signed."""
LOCK_VARIANTS: Final = ("", "'", "use")
_FINAL_STATES: Final = (SourceState.MOVED, SourceState.RELEASED, SourceState.USED)
_DESTINATION_FINAL_STATES: Final = (DestinationState.CREDITED, DestinationState.DROPPED)


def lies_of_source(scenario: Scenario, name: str, bridge: Bridge, violations: Violations) -> Iterator[Step]:
    """All that a lying region can send to an honest bridge as source of its plans."""
    for index, plan in enumerate(scenario.plans):
        if plan.source == name:
            yield from _as_source(scenario, bridge, index, violations)


def lies_of_destination(
    scenario: Scenario, name: str, other: Region, bridge: Bridge, violations: Violations
) -> Iterator[Step]:
    """All that a lying region can send to an honest bridge as destination of what the other has locked."""
    for index, plan in enumerate(scenario.plans):
        if plan.destination == name:
            signed = other.sources[index] is not None
            yield from _as_destination(scenario, name, bridge, index, violations, prepared=signed)


def _as_source(scenario: Scenario, bridge: Bridge, index: int, violations: Violations) -> Iterator[Step]:
    known = bridge.views[index].decision or bridge.views[index].open
    for variant in LOCK_VARIANTS:
        lock = lock_of(scenario, index, variant)
        contradicts = known is not None and known.lock_hash != lock.message_hash
        for run in (locked, asked):
            for step in run(scenario, bridge, index, lock, fresh=False):
                if contradicts:
                    _must_keep(step, f"lock equivocation {index}", violations)
                yield step
        facts = WithdrawFacts(lock.key, digest(f"withdraw{index}{variant}"), lock.message_hash)
        transition = notary.on_withdraw(bridge.views[index], facts)
        yield from after_notary(scenario, bridge, index, transition, fresh=False, label="withdraw")
    if not scenario.finals:
        return
    sender = scenario.plans[index].source
    for state, decision in product(_FINAL_STATES, _decision_names(bridge, index)):
        made = digest(f"final{index}{sender}{state.name}{decision.decode()}")
        final = FinalFacts(key_of(scenario, index), made, sender, decision, state)
        transition = notary.on_source_final(bridge.views[index], final)
        yield from after_notary(scenario, bridge, index, transition, fresh=False, label="source final")


def _as_destination(
    scenario: Scenario, name: str, bridge: Bridge, index: int, violations: Violations, *, prepared: bool
) -> Iterator[Step]:
    view = bridge.views[index]
    known = view.decision or view.open
    key = key_of(scenario, index)
    lock_hash = lock_of(scenario, index).message_hash
    answers: list[ReadyFacts | RefuseFacts] = []
    for named in (prepare_hash(index, each, lock_hash) for each in PREPARE_NAMES):
        for variant in ("", "'"):
            made = answer_hash(named, ready=True, variant=variant)
            answers.append(ReadyFacts(key, made, name, named, lock_hash))
        answers.append(RefuseFacts(key, answer_hash(named, ready=False), name, named, lock_hash, REFUSED))
        answers.append(ReadyFacts(key, answer_hash(named, ready=True, variant="?"), name, named, FOREIGN))
    for answer in answers:
        steps = list(answered(scenario, bridge, index, answer, fresh=False))
        if prepared and answer.lock_hash == lock_hash:
            for each in PREPARE_NAMES:
                prepare = prepare_of(scenario, index, each)
                if prepare.message_hash == answer.prepare_hash:
                    steps += returned(scenario, bridge, index, prepare, answer, fresh=False)
        contradicts = known is not None and known.answer_hash not in {b"", answer.message_hash}
        for step in steps:
            if contradicts:
                _must_keep(step, f"answer equivocation {index}", violations)
            yield step
    if not scenario.finals:
        return
    for state, decision in product(_DESTINATION_FINAL_STATES, _decision_names(bridge, index)):
        made = digest(f"final{index}{name}{state.name}{decision.decode()}")
        final = FinalFacts(key, made, name, decision, state)
        transition = notary.on_destination_final(view, final)
        yield from after_notary(scenario, bridge, index, transition, fresh=False, label="destination final")


def _must_keep(step: Step, evidence: str, violations: Violations) -> None:
    if evidence not in step.evidence:
        violations.add(f"undetected: {evidence} after {step.label}")


def _decision_names(bridge: Bridge, index: int) -> tuple[bytes, ...]:
    decision = bridge.views[index].decision
    return (FOREIGN,) if decision is None else (FOREIGN, decision.decision_hash)


def overheard(scenario: Scenario, region: Region, bridge: Bridge) -> Iterator[Step]:
    """A lying bridge takes what an honest region signs."""
    for index in range(len(scenario.plans)):
        signed: set[tuple[int, str, bytes]] = set()
        source_record, record = region.sources[index], region.destinations[index]
        if source_record is not None:
            signed.add((index, "lock", source_record.lock_hash))
        if record is not None and record.answer_hash:
            signed.add((index, "answer", record.answer_hash))
        if not signed <= bridge.promised:
            yield Step(replace(bridge, promised=bridge.promised | signed), fresh=False, label="overheard")


def lies_of_bridge(
    scenario: Scenario, bridge: Bridge, region: Region, violations: Violations
) -> Iterator[Step]:
    """All that a lying bridge can send to an honest region: any Decision, any Prepare of a real lock."""
    for index, plan in enumerate(scenario.plans):
        locks = [FOREIGN, *_promised(bridge, index, "lock")]
        answers = [ZERO_HASH, FOREIGN, *_promised(bridge, index, "answer")]
        for outcome, lock_hash, ready_hash in product(Outcome, locks, answers):
            facts = decision_of(scenario, index, outcome, lock_hash, ready_hash)
            if plan.source == region.name:
                record = region.sources[index]
                transition = source.on_decision(record, facts)
                step = of_source(
                    scenario, region, index, transition, fresh=False, label=f"decision {index} to S"
                )
                fits = record is not None and record.lock_hash == lock_hash
                _must_be_evident(step, index, facts.message_hash, record, fits=fits, violations=violations)
                yield step
            if plan.destination == region.name:
                before = region.destinations[index]
                here = here_already(scenario, region, index)
                dropped = destination.on_decision(before, facts, already_here=here)
                step = of_destination(region, index, dropped, fresh=False, label=f"decision {index} to D")
                fits = outcome is Outcome.ABORT or (before is not None and before.answer_hash == ready_hash)
                _must_be_evident(step, index, facts.message_hash, before, fits=fits, violations=violations)
                yield step
        if plan.destination == region.name and _promised(bridge, index, "lock"):
            yield from prepares_to(scenario, region, index, "", None)


def _must_be_evident(
    step: Step,
    index: int,
    made: bytes,
    record: object,
    *,
    fits: bool,
    violations: Violations,
) -> None:
    """R9, I4: what an honest region does not act on, and a second decision, are kept as evidence."""
    stored = getattr(record, "decision_hash", b"")
    if stored and stored != made:
        _must_keep(step, f"decision equivocation {index}", violations)
    elif not stored and not fits:
        _must_keep(step, f"decision void {index}", violations)


def _promised(bridge: Bridge, index: int, word: str) -> list[bytes]:
    return sorted(made for plan, said, made in bridge.promised if (plan, said) == (index, word))
