"""What honest parties do in the model: each step is one durable transaction of the real machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeVar

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import destination, notary, source
from tanqiao.protocol.decision import DecisionChecks, decide, decided
from tanqiao.protocol.effects import (
    CreditBlocks,
    Decide,
    Effects,
    FreezePair,
    FreezeSender,
    LockBlocks,
    MoveBlocksOut,
    MoveLocation,
    OfferKind,
    ReleaseBlocks,
    SendPrepare,
    StoreEvidence,
    StoreReady,
    StoreRefuse,
    Transition,
    UseBlocks,
)
from tanqiao.protocol.notary import Admission
from tanqiao.protocol.offers import offers_of_destination, offers_of_source
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    DestinationRecord,
    LockFacts,
    PrepareFacts,
    ReadyFacts,
    Reasons,
    RefuseFacts,
    SourceRecord,
    SourceState,
    TransferView,
    WithdrawFacts,
    with_answer,
    with_prepare,
)
from tanqiao.testing.model.world import (
    ABSENT,
    HELD,
    LEGAL_DATE,
    OTHERS,
    PREPARE_NAMES,
    SERIES,
    TWICE,
    Bridge,
    Region,
    Scenario,
    Step,
    answer_hash,
    decision_hash,
    decision_of,
    digest,
    final_of,
    lock_of,
    prepare_hash,
    prepare_of,
)

RecordT = TypeVar("RecordT")

ADMISSION: Final = Admission(0, LEGAL_DATE)
LATE_MS: Final = 10**9
REFUSED: Final[Reasons] = (reason("ADDRESS_UNKNOWN", address="-"),)
FROZEN: Final[Reasons] = (reason("FROZEN", what="pair", document="-"),)


# ----------------------------------------------------------------------------------------------------
# Regions.


def region_commands(scenario: Scenario, region: Region) -> Iterator[Step]:
    """Holders begin transfers and Uses of what they hold, and withdraw."""
    for index, plan in enumerate(scenario.plans):
        if plan.source != region.name:
            continue
        record = region.sources[index]
        if record is None:
            if all(region.holdings[unit] == HELD for unit in plan.units):
                transition = source.on_lock_requested(None, lock_of(scenario, index))
                yield of_source(scenario, region, index, transition, fresh=False, label=f"lock {index}")
        elif record.state is SourceState.LOCKED and not record.withdrawn:
            transition = source.on_withdraw_requested(record)
            yield of_source(scenario, region, index, transition, fresh=False, label=f"withdraw {index}")


def decisions_to(scenario: Scenario, bridge: Bridge, region: Region) -> Iterator[Step]:
    """Numbered Decisions arrive, in the order of their numbers; on offer until their effect is durable."""
    for index, view in enumerate(bridge.views):
        if view.decision is None or _waits_for_earlier(scenario, bridge, region, view.decision.log_index):
            continue
        made = view.decision
        facts = decision_of(scenario, index, made.outcome, made.lock_hash, made.ready_hash)
        plan = scenario.plans[index]
        if plan.source == region.name:
            source_record = region.sources[index]
            transition = source.on_decision(source_record, facts)
            fresh = source_record is None or not source_record.decision_hash
            yield of_source(scenario, region, index, transition, fresh=fresh, label=f"decision {index} to S")
        if plan.destination == region.name:
            record = region.destinations[index]
            here = here_already(scenario, region, index)
            answered = destination.on_decision(record, facts, already_here=here)
            fresh = record is None or not record.decision_hash
            yield of_destination(region, index, answered, fresh=fresh, label=f"decision {index} to D")


def _waits_for_earlier(scenario: Scenario, bridge: Bridge, region: Region, log_index: int) -> bool:
    for index, view in enumerate(bridge.views):
        if view.decision is None or view.decision.log_index >= log_index:
            continue
        plan = scenario.plans[index]
        if plan.source == region.name:
            record: SourceRecord | DestinationRecord | None = region.sources[index]
        elif plan.destination == region.name:
            record = region.destinations[index]
        else:
            continue
        if record is None or not record.decision_hash:
            return True
    return False


def here_already(scenario: Scenario, region: Region, index: int) -> tuple[UnitBlock, ...]:
    """Name the plan's units that a region has, in any state but used up."""
    units = scenario.plans[index].units
    return tuple(
        UnitBlock(SERIES, unit, unit + 1)
        for unit in units
        if region.holdings[unit] == HELD or region.holdings[unit].startswith("LOCKED")
    )


def prepares_to(
    scenario: Scenario, region: Region, index: int, variant: str, bridge: Bridge | None
) -> Iterator[Step]:
    """Prepares of a signed lock arrive; the destination's checks hold or fail.

    On offer are those that the bridge holds open; without one, any that was sent before arrives.
    """
    record = region.destinations[index]
    for name in PREPARE_NAMES:
        facts = prepare_of(scenario, index, name, variant)
        fresh = bridge is not None and _offers(bridge, index, facts.message_hash)
        if (bridge is not None and not fresh) or (
            name == OTHERS and (record is None or not record.answer_hash)
        ):
            continue
        for reasons in ((), REFUSED):
            transition = destination.on_prepare(record, facts, reasons)
            yield of_destination(region, index, transition, fresh=fresh, label=f"prepare {index}.{name}")


def _offers(bridge: Bridge, index: int, message_hash: bytes) -> bool:
    opened = bridge.views[index].open
    return opened is not None and opened.prepare_hash == message_hash


def of_source(
    scenario: Scenario,
    region: Region,
    index: int,
    transition: Transition[SourceRecord | None],
    *,
    fresh: bool,
    label: str,
) -> Step:
    """Carry out a source's effects in one transaction."""
    holdings = list(region.holdings)
    units = scenario.plans[index].units
    for effect in transition.effects:
        match effect:
            case LockBlocks():
                _change(holdings, units, HELD, f"LOCKED{index}")
            case ReleaseBlocks():
                _change(holdings, units, f"LOCKED{index}", HELD)
            case MoveBlocksOut():
                _change(holdings, units, f"LOCKED{index}", ABSENT)
            case UseBlocks(_, state):
                _change(holdings, units, f"LOCKED{index}", state.name)
            case _:
                pass
    record = transition.record
    if record is not None and record.decision_hash and record.withdrawn:
        # A Withdraw can do nothing more once the decision is on record: forget that there was one.
        record = replace(record, withdrawn=False)
    sources = _with(region.sources, index, record)
    after = replace(region, holdings=tuple(holdings), sources=sources)
    return Step(after, fresh, label, evidence_of(transition.effects, index))


def of_destination(
    region: Region,
    index: int,
    transition: Transition[DestinationRecord | None],
    *,
    fresh: bool,
    label: str,
) -> Step:
    """Carry out a destination's effects in one transaction; the answer made is named by its Prepare."""
    holdings = list(region.holdings)
    record = transition.record
    for effect in transition.effects:
        match effect:
            case CreditBlocks(blocks):
                for block in blocks:
                    _change(holdings, range(block.start, block.end), ABSENT, HELD)
            case StoreReady() | StoreRefuse() if record is not None:
                ready = isinstance(effect, StoreReady)
                record = with_answer(record, answer_hash(record.prepare_hash, ready=ready))
            case _:
                pass
    destinations = _with(region.destinations, index, record)
    after = replace(region, holdings=tuple(holdings), destinations=destinations)
    return Step(after, fresh, label, evidence_of(transition.effects, index))


def evidence_of(effects: Effects, index: int) -> frozenset[str]:
    """Name the evidence that a step keeps."""
    return frozenset(
        f"{effect.kind.value} {index}" for effect in effects if isinstance(effect, StoreEvidence)
    )


def _change(holdings: list[str], units: range, before: str, after: str) -> None:
    for unit in units:
        holdings[unit] = after if holdings[unit] == before else TWICE


def _with(records: tuple[RecordT, ...], index: int, record: RecordT) -> tuple[RecordT, ...]:
    return (*records[:index], record, *records[index + 1 :])


# ----------------------------------------------------------------------------------------------------
# The bridge.


def bridge_alone(scenario: Scenario, bridge: Bridge) -> Iterator[Step]:
    """Deadlines pass, the process dies, orders to freeze and unfreeze come."""
    for index, view in enumerate(bridge.views):
        if view.open is not None:
            yield from after_notary(
                scenario, bridge, index, notary.on_deadline(view, LATE_MS), fresh=True, label="deadline"
            )
    if any(view.open is not None for view in bridge.views):
        yield Step(crashed(bridge), fresh=False, label="bridge dies")
    if scenario.freezes or bridge.frozen:
        after = replace(bridge, frozen=False) if bridge.frozen else _frozen(scenario, bridge)
        yield Step(after, fresh=False, label="freeze order")


def crashed(bridge: Bridge) -> Bridge:
    """Forget what is memory only."""
    views = tuple(TransferView(None, view.decision) for view in bridge.views)
    return replace(bridge, views=views)


def offers_to_bridge(scenario: Scenario, region: Region, bridge: Bridge) -> Iterator[Step]:
    """Everything that an honest region ever sent arrives; what it offers now is marked fresh."""
    for index in range(len(scenario.plans)):
        source_record = region.sources[index]
        if source_record is not None:
            yield from _from_source(scenario, bridge, index, source_record)
        record = region.destinations[index]
        if record is not None:
            yield from _from_destination(scenario, bridge, index, record, region.name)


def _from_source(scenario: Scenario, bridge: Bridge, index: int, record: SourceRecord) -> Iterator[Step]:
    offered = {offer.kind for offer in offers_of_source(record)}
    view = bridge.views[index]
    lock = lock_of(scenario, index)
    fresh = bool(offered & {OfferKind.LOCK, OfferKind.USE})
    yield from locked(scenario, bridge, index, lock, fresh=fresh)
    yield from asked(scenario, bridge, index, lock, fresh=fresh)
    if record.withdrawn:
        facts = WithdrawFacts(record.key, digest(f"withdraw{index}"), record.lock_hash)
        fresh = OfferKind.WITHDRAW in offered
        transition = notary.on_withdraw(view, facts)
        yield from after_notary(scenario, bridge, index, transition, fresh=fresh, label="withdraw")
    if record.decision_hash and scenario.finals:
        final = final_of(scenario, index, record.key.source, record)
        missing = view.decision is None or not view.decision.source_final_hash
        transition = notary.on_source_final(view, final)
        yield from after_notary(scenario, bridge, index, transition, fresh=missing, label="source final")


def _from_destination(
    scenario: Scenario, bridge: Bridge, index: int, record: DestinationRecord, name: str
) -> Iterator[Step]:
    view = bridge.views[index]
    offered = {offer.kind for offer in offers_of_destination(record)}
    fresh = bool(offered)
    if record.answer_hash:
        ready = record.answer_hash.startswith(b"ready")
        answer: ReadyFacts | RefuseFacts
        if ready:
            answer = ReadyFacts(record.key, record.answer_hash, name, record.prepare_hash, record.lock_hash)
        else:
            answer = RefuseFacts(
                record.key, record.answer_hash, name, record.prepare_hash, record.lock_hash, REFUSED
            )
        yield from answered(scenario, bridge, index, answer, fresh=fresh)
        # NEED_PREPARE was or will be sent: it promises nothing, and the answer to it may come at any time.
        prepare = next(
            prepare
            for prepare in (
                prepare_of(scenario, index, prepared, variant)
                for prepared in PREPARE_NAMES
                for variant in ("", "'")
            )
            if prepare.message_hash == record.prepare_hash
        )
        yield from returned(scenario, bridge, index, prepare, answer, fresh=fresh)
        yield from asked(scenario, bridge, index, prepare.lock, fresh=fresh)
    if record.decision_hash and scenario.finals:
        final = final_of(scenario, index, name, record)
        missing = view.decision is None or not view.decision.destination_final_hash
        transition = notary.on_destination_final(view, final)
        yield from after_notary(scenario, bridge, index, transition, fresh=missing, label="destination final")


def locked(scenario: Scenario, bridge: Bridge, index: int, lock: LockFacts, *, fresh: bool) -> Iterator[Step]:
    """A lock or Use arrives."""
    transition = notary.on_lock(bridge.views[index], lock, ADMISSION)
    yield from after_notary(scenario, bridge, index, transition, fresh=fresh, label=f"lock {index}")


def asked(scenario: Scenario, bridge: Bridge, index: int, lock: LockFacts, *, fresh: bool) -> Iterator[Step]:
    """A GetOutcome with evidence arrives."""
    transition = notary.on_get_outcome(bridge.views[index], lock, ADMISSION)
    yield from after_notary(scenario, bridge, index, transition, fresh=fresh, label=f"outcome {index}?")


def answered(
    scenario: Scenario, bridge: Bridge, index: int, answer: ReadyFacts | RefuseFacts, *, fresh: bool
) -> Iterator[Step]:
    """A Ready or Refuse arrives."""
    view = bridge.views[index]
    if isinstance(answer, ReadyFacts):
        transition = notary.on_ready(view, answer)
    else:
        transition = notary.on_refuse(view, answer)
    yield from after_notary(scenario, bridge, index, transition, fresh=fresh, label=f"answer {index}")


def returned(
    scenario: Scenario,
    bridge: Bridge,
    index: int,
    prepare: PrepareFacts,
    answer: ReadyFacts | RefuseFacts,
    *,
    fresh: bool,
) -> Iterator[Step]:
    """A Prepare returned beside its answer arrives."""
    transition = notary.on_returned_prepare(bridge.views[index], prepare, answer, ADMISSION)
    yield from after_notary(scenario, bridge, index, transition, fresh=fresh, label=f"returned {index}")


def after_notary(
    scenario: Scenario,
    bridge: Bridge,
    index: int,
    transition: Transition[TransferView],
    *,
    fresh: bool,
    label: str,
) -> Iterator[Step]:
    """Carry out the notary's effects in one transaction; a new Prepare may have any name."""
    makes_prepare = (
        any(isinstance(effect, SendPrepare) for effect in transition.effects)
        and transition.record.open is not None
        and not transition.record.open.prepare_hash
    )
    for name in PREPARE_NAMES if makes_prepare else (None,):
        view = transition.record
        if name is not None and view.open is not None:
            made = prepare_hash(index, name, view.open.lock_hash)
            view = TransferView(with_prepare(view.open, made))
        after = replace(bridge, views=_with(bridge.views, index, view))
        for effect in transition.effects:
            if isinstance(effect, Decide):
                after = decided_now(scenario, after, index, effect)
            elif isinstance(effect, FreezePair | FreezeSender):
                after = _frozen(scenario, after, but=index)
        yield Step(after, fresh, label, evidence_of(transition.effects, index))


def decided_now(scenario: Scenario, bridge: Bridge, index: int, wish: Decide) -> Bridge:
    """Decide in one transaction with the location move."""
    view = bridge.views[index]
    plan = scenario.plans[index]
    opened = view.open
    if opened is None:
        return bridge
    location = list(bridge.location)
    elsewhere = () if all(location[unit] == plan.source for unit in plan.units) else opened.blocks
    checks = DecisionChecks(not_at_source=elsewhere, frozen=FROZEN if bridge.frozen else ())
    result = decide(view, wish, checks)
    for effect in result.effects:
        if isinstance(effect, MoveLocation):
            for unit in plan.units:
                location[unit] = effect.to_party
    made = decision_hash(index, result.outcome, result.lock_hash, result.ready_hash)
    after = decided(view, result, made, sum(each.decision is not None for each in bridge.views))
    return replace(bridge, views=_with(bridge.views, index, after), location=tuple(location))


def _frozen(scenario: Scenario, bridge: Bridge, but: int | None = None) -> Bridge:
    """Row 10: undecided transfers that the freeze touches are aborted in its transaction."""
    bridge = replace(bridge, frozen=True)
    for index, view in enumerate(bridge.views):
        if index != but and view.open is not None:
            for effect in notary.on_frozen(view, FROZEN).effects:
                if isinstance(effect, Decide):
                    bridge = decided_now(scenario, bridge, index, effect)
    return bridge
