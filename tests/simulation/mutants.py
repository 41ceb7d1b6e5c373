"""One-line faults of the protocol, made by patching, and which check catches each (PROTOCOL section 10.6).

``python -m tests.simulation.mutants`` prints the table. None of this can be switched on in shipped code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import corrections, decision, destination, frozen, notary, offers, source
from tanqiao.protocol.effects import (
    DropReady,
    ReleaseBlocks,
    SendFinal,
    SetDestinationState,
    SetSourceState,
    StoreReady,
    Transition,
)
from tanqiao.protocol.types import DestinationState, Outcome, SourceState
from tanqiao.testing.model import honest
from tanqiao.testing.model.explore import Explorer
from tanqiao.testing.model.scenarios import all_scenarios
from tanqiao.testing.model.world import Region, Scenario, Step
from tanqiao.testing.network import make_network
from tanqiao.testing.simulation.bridge import BridgeNode
from tanqiao.testing.simulation.messages import StandInSignatures
from tanqiao.testing.simulation.node import Died, Node, Work
from tanqiao.testing.simulation.region import RegionNode
from tanqiao.testing.simulation.schedule import Options, run_schedule
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import make_leaf
from tanqiao.witnessing import replay

SCHEDULES_MAX = 80
"""Schedules after which a mutant counts as not caught."""
IMPATIENT_MS = 1_500
"""Time after which the mutants of S and D act without a decision."""
STALE_MS = 2_500
"""Age of the replica from which a mutant reads its checks."""

Patch = Callable[[ExitStack], None]


@dataclass(frozen=True)
class Mutant:
    """A fault, and the checks in whose reach it lies: ``simulation``, ``model``, ``witness``."""

    name: str
    apply: Patch
    reach: tuple[str, ...] = ("simulation",)


# ----------------------------------------------------------------------------------------------------
# S releases, D drops, on a time-out of its own.


def _release_by_time(record: Any) -> Transition[Any]:
    after = replace(record, state=SourceState.RELEASED, decision_hash=b"none")
    effects = (SetSourceState(after.state), ReleaseBlocks(record.blocks), SendFinal(after.state))
    return Transition(after, effects)


def _drop_by_time(record: Any) -> Transition[Any]:
    after = replace(record, state=DestinationState.DROPPED, decision_hash=b"none")
    return Transition(after, (SetDestinationState(after.state), DropReady(), SendFinal(after.state)))


def _give_up_source(node: RegionNode, record: Any, work: Work) -> None:
    late = _release_by_time(record)
    node._apply_source(work, record.key, late.record, late.effects)


def _give_up_destination(node: RegionNode, record: Any, work: Work) -> None:
    late = _drop_by_time(record)
    cause = node.disk.table("prepare")[record.key]
    node._apply_destination(work, record.key, late.record, late.effects, cause)


def _source_times_out(stack: ExitStack) -> None:
    before = RegionNode.keep_connecting
    commands = honest.region_commands

    def keep_connecting(self: RegionNode) -> None:
        for record in list(self.disk.table("source").values()):
            if record.state is SourceState.LOCKED and self.world.clock.now_ms > IMPATIENT_MS:
                self.run(partial(_give_up_source, self, record))
        before(self)

    def region_commands(scenario: Scenario, region: Region) -> Iterator[Step]:
        yield from commands(scenario, region)
        for index, record in enumerate(region.sources):
            if record is not None and record.state is SourceState.LOCKED:
                late = _release_by_time(record)
                yield honest.of_source(scenario, region, index, late, fresh=False, label="time-out")

    stack.enter_context(patch.object(RegionNode, "keep_connecting", keep_connecting))
    stack.enter_context(patch.object(honest, "region_commands", region_commands))


def _destination_times_out(stack: ExitStack) -> None:
    before = RegionNode.keep_connecting
    commands = honest.region_commands

    def keep_connecting(self: RegionNode) -> None:
        for record in list(self.disk.table("destination").values()):
            if record.state is DestinationState.READY and self.world.clock.now_ms > IMPATIENT_MS:
                self.run(partial(_give_up_destination, self, record))
        before(self)

    def region_commands(scenario: Scenario, region: Region) -> Iterator[Step]:
        yield from commands(scenario, region)
        for index, record in enumerate(region.destinations):
            if record is not None and record.state is DestinationState.READY:
                late = _drop_by_time(record)
                yield honest.of_destination(region, index, late, fresh=False, label="time-out")

    stack.enter_context(patch.object(RegionNode, "keep_connecting", keep_connecting))
    stack.enter_context(patch.object(honest, "region_commands", region_commands))


# ----------------------------------------------------------------------------------------------------
# Sending and committing in the wrong order.


def _sends_first(kind: type[Node]) -> Patch:
    def finish(self: Node, work: Work, edge: str) -> None:
        work.close()
        self.send_all(work, edge)
        self.commit(work, edge)

    def apply(stack: ExitStack) -> None:
        stack.enter_context(patch.object(kind, "finish", finish))

    return apply


def _write_not_awaited(stack: ExitStack) -> None:
    def commit(self: Node, work: Work, edge: str) -> None:
        if edge == "crash_before_commit":
            raise Died
        life = self.life

        def later() -> None:
            if self.life == life:
                work.transaction.commit()

        self.world.clock.after(1, later)

    stack.enter_context(patch.object(BridgeNode, "commit", commit))


def _aborts_without_a_row(stack: ExitStack) -> None:
    before = BridgeNode._decide

    def decide(self: BridgeNode, work: Work, view: Any, wish: Any) -> Any:
        if wish.outcome is not Outcome.ABORT:
            return before(self, work, view, wish)
        probe = Work(self.disk)
        before(self, probe, view, wish)
        for receiver, items in probe.outgoing.items():
            for item in items:
                work.send(receiver, item)
        return replace(view, open=None)

    stack.enter_context(patch.object(BridgeNode, "_decide", decide))


# ----------------------------------------------------------------------------------------------------
# Checks that are not made, or made on something else than what is written.


def _without_compare_and_set(stack: ExitStack) -> None:
    checks = decision.failing_checks

    def failing_checks(transfer: Any, given: Any) -> Any:
        return checks(transfer, replace(given, not_at_source=()))

    stack.enter_context(patch.object(decision, "failing_checks", failing_checks))


def _batch_checked_before_it_moves(stack: ExitStack) -> None:
    def agreement(self: BridgeNode, work: Work, direction: tuple[str, str], asked_kg: int) -> Any:
        # Reads what was there before the batch began, not what its earlier items left.
        return before(self, Work(self.disk), direction, asked_kg)

    before = BridgeNode._agreement_reasons
    stack.enter_context(patch.object(BridgeNode, "_agreement_reasons", agreement))


def _check_from_a_replica(stack: ExitStack) -> None:
    def checks(self: BridgeNode, work: Work, transfer: Any) -> Any:
        now_ms = self.world.clock.now_ms
        history: dict[int, Any] = self.__dict__.setdefault("replica", {})
        history[now_ms] = self.disk.table("meta").get("orders"), dict(self.disk.table("agreement"))
        old = [taken_ms for taken_ms in history if taken_ms <= now_ms - STALE_MS]
        orders, used = history[max(old)] if old else (None, {})
        stale = Work(self.disk)
        stale.transaction.put("meta", "orders", orders)
        for direction in self.disk.table("agreement"):
            stale.transaction.put("agreement", direction, used.get(direction))
        return before(self, stale, transfer)

    before = BridgeNode._checks
    stack.enter_context(patch.object(BridgeNode, "_checks", checks))


def _verifier_skipped(stack: ExitStack) -> None:
    stack.enter_context(patch.object(StandInSignatures, "verify", lambda *_: True))


# ----------------------------------------------------------------------------------------------------
# Repetition and offers.


def _destination_not_idempotent(stack: ExitStack) -> None:
    on_prepare, on_decision = destination.on_prepare, destination.on_decision

    def prepare_again(record: Any, facts: Any, reasons: Any) -> Any:
        undecided = record is not None and not record.decision_hash
        return on_prepare(None if undecided else record, facts, reasons)

    def decision_again(record: Any, facts: Any, *rest: Any, **more: Any) -> Any:
        if record is not None and record.decision_hash == facts.message_hash:
            state = DestinationState.READY
            record = replace(record, decision_hash=b"", state=state)
        return on_decision(record, facts, *rest, **more)

    stack.enter_context(patch.object(destination, "on_prepare", prepare_again))
    stack.enter_context(patch.object(destination, "on_decision", decision_again))


def _offered_once(stack: ExitStack) -> None:
    before = offers.offers_of

    def offers_of(sources: Any, destinations: Any, issues: Any) -> Any:
        # A lock counts as acknowledged once it was offered, and is not offered at the next session.
        return tuple(
            offer
            for offer in before(sources, destinations, issues)
            if offer.kind.value not in {"lock", "use"}
        )

    stack.enter_context(patch("tanqiao.testing.simulation.region.offers_of", offers_of))
    stack.enter_context(patch.object(honest, "offers_of_source", lambda _: ()))


def _acts_on_any_decision(stack: ExitStack) -> None:
    on_decision = source.on_decision

    def trusting(record: Any, facts: Any, own_lock: Any = None) -> Any:
        if record is not None:
            facts = replace(facts, lock_hash=record.lock_hash)
        return on_decision(record, facts, own_lock)

    stack.enter_context(patch.object(source, "on_decision", trusting))


def _second_decision_followed(stack: ExitStack) -> None:
    on_decision = destination.on_decision

    def forgetful(record: Any, facts: Any, *rest: Any, **more: Any) -> Any:
        if record is not None and record.answer_hash and record.state is DestinationState.DROPPED:
            record = replace(record, decision_hash=b"", state=DestinationState.READY)
        return on_decision(record, facts, *rest, **more)

    stack.enter_context(patch.object(destination, "on_decision", forgetful))


def _equivocation_overlooked(stack: ExitStack) -> None:
    stack.enter_context(
        patch.object(notary, "_equivocation", lambda view, *_: Transition(view, (StoreReady(),)))
    )


def _frozen_blocks_overlooked(stack: ExitStack) -> None:
    stack.enter_context(patch.object(frozen.FrozenThings, "_of_blocks", lambda *_: []))


def _anybody_lifts(stack: ExitStack) -> None:
    stack.enter_context(patch.object(frozen, "lifts", lambda *_: True))


def _correction_forgets_what_is_locked(stack: ExitStack) -> None:
    stack.enter_context(patch.object(corrections, "taken_after_abort", lambda *_: {}))


def _correction_copies(stack: ExitStack) -> None:
    # The second region is credited, and the first one goes on holding.
    stack.enter_context(patch("tanqiao.testing.simulation.orders._take_out", lambda *_: None))


def _correction_from_anywhere(stack: ExitStack) -> None:
    def move_to(book: Any, blocks: Any, _origin: Any, target: Any) -> tuple[()]:
        for row in book.rows():
            for block in blocks:
                common = block.intersection(UnitBlock(row.series_id, row.start, row.end))
                if common is not None and row.place != target:
                    book.move((common,), row.place, target)
        return ()

    stack.enter_context(patch.object(corrections, "move_to", move_to))


def _cosigns_hashes_alone(stack: ExitStack) -> None:
    def open_nothing(_self: replay.Replay, leaves: Any, directory: Any, _settled: Any = ()) -> Any:
        return replay.Stretch(leaves, [], replay.Touched(), directory, directory)

    stack.enter_context(patch.object(replay.Replay, "open", open_nothing))


MUTANTS = (
    Mutant("S releases on its own time-out", _source_times_out, ("simulation", "model")),
    Mutant("D drops on its own time-out", _destination_times_out, ("simulation", "model")),
    Mutant("B sends before its commit", _sends_first(BridgeNode)),
    Mutant("B answers aborted without a durable row", _aborts_without_a_row),
    Mutant("D not idempotent", _destination_not_idempotent, ("simulation", "model")),
    Mutant("S sends before its commit", _sends_first(RegionNode)),
    Mutant("no location compare-and-set", _without_compare_and_set, ("model",)),
    Mutant("a log write that is not awaited", _write_not_awaited),
    Mutant("a verifier that is skipped", _verifier_skipped),
    Mutant("a check read from a replica", _check_from_a_replica),
    Mutant("a batch that checks all items before it moves any", _batch_checked_before_it_moves),
    Mutant("an acknowledged offer that is not offered again", _offered_once, ("simulation", "model")),
    Mutant("a witness that cosigns hashes alone", _cosigns_hashes_alone, ("witness",)),
    Mutant("S acts on a decision of another lock", _acts_on_any_decision, ("model",)),
    Mutant("D follows a second decision", _second_decision_followed, ("model",)),
    Mutant("a frozen block is overlooked", _frozen_blocks_overlooked),
    Mutant("an authority lifts the freeze of another", _anybody_lifts),
    Mutant("a correction forgets what is locked", _correction_forgets_what_is_locked),
    Mutant("a correction leaves the units with both", _correction_copies),
    Mutant("a correction takes units from anywhere", _correction_from_anywhere),
    Mutant("B overlooks a second promise", _equivocation_overlooked, ("model",)),
)


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Patch the fault in, and out again."""
    with ExitStack() as stack:
        mutant.apply(stack)
        yield


def caught_by_simulation(mutant: Mutant) -> str:
    """Run schedules until one fails; empty if none does."""
    with applied(mutant):
        for seed in range(1, SCHEDULES_MAX + 1):
            result = run_schedule(Options(seed))
            if result.violations:
                return f"schedule {seed}: {result.violations[0]}"
    return ""


def caught_by_model(mutant: Mutant) -> str:
    """Explore worlds until one shows a violation or a state that is stuck; empty if none does."""
    with applied(mutant):
        for scenario in all_scenarios():
            result = Explorer(scenario).run(stops_at_first=True)
            if result.violations:
                return f"{scenario.name}: {next(iter(result.violations))}"
            if result.stuck:
                return f"{scenario.name}: {result.stuck} states cannot reach a good end"
    return ""


def caught_by_witness(mutant: Mutant) -> str:
    """Show a witness leaves that name messages which nobody has; empty if it takes none of them."""
    with applied(mutant), TemporaryDirectory() as folder:
        network = make_network(Path(folder) / "network", quorum=2)
        witness = replay.Replay(network.network.federation)
        for hashes in ((bytes(32), bytes(32)), (bytes(32), bytes(32), bytes(32)), ()):
            leaf = make_leaf("decision", message_hashes=hashes, public={"outcome": b"COMMIT"})
            try:
                stretch = witness.open([replay.SeenLeaf(0, leaf.encode())], network.directory)
                witness.apply(stretch.opened, replay.empty_known(network.directory))
            except TlogError:
                continue
            return f"a leaf that names {len(hashes)} made-up messages was taken"
    return ""


CHECKS: dict[str, Callable[[Mutant], str]] = {
    "simulation": caught_by_simulation,
    "model": caught_by_model,
    "witness": caught_by_witness,
}


def main() -> int:
    """Print which check caught which; 1 if any survived."""
    survivors = 0
    for mutant in MUTANTS:
        for check in mutant.reach:
            found = CHECKS[check](mutant)
            survivors += not found
            sys.stdout.write(f"{mutant.name}: {check}: {found or 'NOT CAUGHT'}\n")
            sys.stdout.flush()
    sys.stdout.write(f"mutants: {len(MUTANTS)} of PROTOCOL section 10.6 and beyond, {survivors} not caught\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
