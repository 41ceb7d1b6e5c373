"""An auditor that shares no code with the machines: it watches disks and lines and says what may happen.

It keeps its own picture, serial by serial, of where every unit is, from the decisions that become durable. It
knows of records only their public fields and the names of their states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from tanqiao.testing.simulation.auditor_orders import Corrected, Frozen, Serial
from tanqiao.testing.simulation.messages import PROMISES, Message, holder_of

VIOLATIONS_MAX: Final = 20
"""Sentences kept of one schedule; one is enough to fail."""

_PROMISE_CLASS: Final = {"use": "lock", "refuse": "answer", "ready": "answer"}
_SOURCE_END: Final = {"MOVED": "COMMIT", "USED": "COMMIT", "CANCELLED": "COMMIT", "RELEASED": "ABORT"}
_DESTINATION_END: Final = {"CREDITED": "COMMIT", "DROPPED": "ABORT"}
_SOURCE_STEPS: Final = {
    (None, "LOCKED"),
    (None, "RETIRING"),
    ("LOCKED", "LOCKED"),
    ("LOCKED", "MOVED"),
    ("LOCKED", "RELEASED"),
    ("RETIRING", "USED"),
    ("RETIRING", "CANCELLED"),
    ("RETIRING", "RELEASED"),
}
_DESTINATION_STEPS: Final = {
    (None, "READY"),
    (None, "REFUSED"),
    (None, "DROPPED"),
    ("READY", "CREDITED"),
    ("READY", "DROPPED"),
    ("REFUSED", "DROPPED"),
    ("DROPPED", "DROPPED"),
}
_ISSUE_STEPS: Final = {(None, "ISSUING"), ("ISSUING", "HELD"), ("ISSUING", "REFUSED")}


class Auditor:
    """Watches one schedule.

    Args:
        now_ms: gives the virtual time.
        caps: cap in kilograms of each direction with an agreement, 0 for none.
        decide_by_ms: time that a destination has at least.
    """

    def __init__(
        self, now_ms: Callable[[], int], caps: dict[tuple[str, str], int], decide_by_ms: int
    ) -> None:
        self.violations: list[str] = []
        self.bridge_started_ms = 0
        self.commits = 0
        self.cuts = 0
        self.outcomes: dict[str, int] = {}
        self._now_ms = now_ms
        self._caps = caps
        self._decide_by_ms = decide_by_ms
        self._used_kg: dict[tuple[str, str], int] = {}
        self._truth: dict[str, list[str]] = {}
        self._durable: dict[str, set[bytes]] = {}
        self._promised: dict[tuple[str, str, object], bytes] = {}
        self._decisions: dict[Any, Any] = {}
        self._locks: dict[Any, Any] = {}
        self._locked_ms: dict[Any, int] = {}
        self._withdrawn: set[Any] = set()
        self._frozen: dict[str, Frozen] = {}
        self._corrected = Corrected()
        self._outcome_of: dict[tuple[str, str], str] = {}
        self.orders: dict[str, int] = {}
        self._refused: dict[Any, set[str]] = {}
        self._log_index = 0

    def found(self, sentence: str) -> None:
        """Note a violation."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{self._now_ms()} ms: {sentence}")

    # ------------------------------------------------------------------------------------------------
    # What units exist, before anything happens.

    def begin(self, series_id: str, region: str, quantity: int) -> None:
        """Note units that a region holds at the start."""
        self._truth[series_id] = [region] * quantity

    # ------------------------------------------------------------------------------------------------
    # Messages on the line.

    def on_send(self, sender: str, message: Message) -> None:
        """R1: what a promise says is durable before it leaves. R4: it is made once."""
        kind = message.kind
        if kind not in PROMISES:
            if kind == "withdraw":
                self._withdrawn.add(message.about)
            return
        if message.message_hash not in self._durable.get(sender, ()):
            self.found(f"R1: {sender} sends a {kind} that is not durable")
        key = (sender, _PROMISE_CLASS.get(kind, kind), message.about)
        first = self._promised.setdefault(key, message.message_hash)
        if first != message.message_hash:
            self.found(f"R4: {sender} makes a second {kind} about {message.about}")
        if kind in {"lock", "use"}:
            self._locked_ms.setdefault(message.about, self._now_ms())

    # ------------------------------------------------------------------------------------------------
    # Transactions.

    def on_commit(self, owner: str, writes: dict[tuple[str, object], Any], disk: Any) -> None:  # noqa: ANN401
        """Look at everything that becomes durable together."""
        self.commits += 1
        durable = self._durable.setdefault(owner, set())
        for (table, key), value in writes.items():
            if isinstance(value, Message):
                durable.add(value.message_hash)
                self._note_message(value)
            elif table == "order":
                self._frozen.setdefault(owner, Frozen()).take(value)
            elif table == "correction" and owner != "bridge":
                self._corrected.at_region(owner, key)
            elif table == "source":
                self._on_source(owner, key, disk.table(table).get(key), value)
            elif table == "destination":
                self._on_destination(owner, key, disk.table(table).get(key), value)
            elif table == "issue" and owner != "bridge":
                self._on_region_issue(key, disk.table(table).get(key), value)
            elif table == "evidence":
                self.found(f"{owner} keeps evidence of {key} against the honest")
        if owner == "bridge":
            self._on_bridge(writes, disk)

    def _note_message(self, message: Message) -> None:
        facts: Any = message.facts
        if message.kind in {"lock", "use"}:
            self._locks.setdefault(message.about, facts)
        elif message.kind == "refuse":
            names = {entry.symbol for entry in facts.reasons}
            self._refused.setdefault(message.about, set()).update(names)
        elif message.kind == "receipt" and any(entry.symbol == "FROZEN" for entry in facts.reasons):
            self._refused.setdefault(message.about, set()).add("FROZEN")

    def _on_source(self, owner: str, key: Any, before: Any, after: Any) -> None:  # noqa: ANN401
        step = (None if before is None else before.state.name, after.state.name)
        if step not in _SOURCE_STEPS:
            self.found(f"{owner}: source goes from {step[0]} to {step[1]}")
        if before is None and self._is_frozen(owner, key, after):
            self.found(f"{owner} binds units in spite of a freeze that it knows")
        wanted = _SOURCE_END.get(after.state.name)
        if wanted is not None:
            self._must_follow(owner, key, wanted, after)
        elif after.decision_hash:
            self.found(f"{owner}: a decision is noted and not followed")

    def _on_destination(self, owner: str, key: Any, before: Any, after: Any) -> None:  # noqa: ANN401
        step = (None if before is None else before.state.name, after.state.name)
        if step not in _DESTINATION_STEPS:
            self.found(f"{owner}: destination goes from {step[0]} to {step[1]}")
        wanted = _DESTINATION_END.get(after.state.name)
        if wanted is not None:
            decision = self._must_follow(owner, key, wanted, after)
            if wanted == "COMMIT" and decision is not None and decision.ready_hash != after.answer_hash:
                self.found(f"{owner}: R9: credited on the Ready of another")

    def _must_follow(self, owner: str, key: Any, outcome: str, record: Any) -> Any:  # noqa: ANN401
        """R3, R9: a state that ends something follows from the decision on record."""
        decision = self._decisions.get(key)
        if decision is None:
            self.found(f"{owner}: R3: {record.state.name} without a decision")
            return None
        if decision.outcome.name != outcome:
            self.found(f"{owner}: R3: {record.state.name} after {decision.outcome.name}")
        if decision.lock_hash != self._locks[key].message_hash:
            self.found(f"{owner}: R9: the decision names another lock")
        return decision

    def _on_region_issue(self, key: object, before: Any, after: Any) -> None:  # noqa: ANN401
        step = (None if before is None else before.state.name, after.state.name)
        if step not in _ISSUE_STEPS:
            self.found(f"issue {key!r} goes from {step[0]} to {step[1]}")

    def _on_bridge(self, writes: dict[tuple[str, object], Any], disk: Any) -> None:  # noqa: ANN401
        decided = []
        for (table, key), value in writes.items():
            if table == "decision":
                before = disk.table(table).get(key)
                if before is not None or key in self._decisions:
                    self._same_decision(key, self._decisions.get(key), value)
                else:
                    decided.append((value.log_index, key, value))
            elif table == "issue" and disk.table(table).get(key) is None:
                self._on_bridge_issue(value)
            elif table == "order":
                self._count_order(("lift " if value.unfreeze else "freeze ") + value.rows[0].scope.name)
            elif table == "correction":
                self._correct(key, value)
        # Within one transaction the order is that of the log.
        for _, key, record in sorted(decided, key=lambda entry: entry[0]):
            self._decide(key, record, writes["decision message", key].facts)

    def _count_order(self, name: str) -> None:
        self.orders[name] = self.orders.get(name, 0) + 1

    def _correct(self, key: object, order: Any) -> None:  # noqa: ANN401
        """Row 14: a correction conserves blocks, and takes none from a third place."""
        self._count_order("correction")
        owners = self._truth.get(order.blocks[0].series_id, [])
        astray = self._corrected.at_bridge(key, order, owners)
        if astray:
            self.found(f"I1: a correction moves units that are at neither of its regions: {astray[:5]}")

    def _is_frozen(self, node: str, key: Any, holder: Any) -> bool:  # noqa: ANN401
        known = self._frozen.get(node)
        pseudonym = holder_of(key.source, key.transfer_id)
        return known is not None and known.touches(key.source, holder.destination, holder.blocks, pseudonym)

    def _on_bridge_issue(self, record: Any) -> None:  # noqa: ANN401
        known = self._frozen.get("bridge")
        frozen = known is not None and known.touches_issue(record.region, record.block)
        if record.accepted:
            self._register(record)
            if frozen:
                self.found(f"an Issue of {record.region} is accepted in spite of a freeze")
        elif "FROZEN" in self._refused.get(record.issue_id, ()) and not frozen:
            self.found(f"an Issue of {record.region} is refused for a freeze that there is not")

    def _same_decision(self, key: object, first: Any, second: Any) -> None:  # noqa: ANN401
        """I4: at most one decision, and nothing of it ever changes."""
        fields = ("outcome", "lock_hash", "ready_hash", "decision_hash", "log_index", "destination", "kind")
        if first is None or any(getattr(first, name) != getattr(second, name) for name in fields):
            self.found(f"I4: a second decision about {key}")

    def _register(self, record: Any) -> None:  # noqa: ANN401
        block = record.block
        owners = self._truth.setdefault(block.series_id, [])
        if len(owners) < block.end:
            owners.extend([""] * (block.end - len(owners)))
        if any(owners[block.start : block.end]):
            self.found(f"I1: serials of {block} are issued twice")
        owners[block.start : block.end] = [record.region] * (block.end - block.start)

    def _decide(self, key: Any, record: Any, facts: Any) -> None:  # noqa: ANN401
        """Say whether this decision is one that an honest bridge may make now."""
        self._decisions[key] = record
        self._outcome_of[key.source, key.transfer_id.hex()] = record.outcome.name
        if record.log_index != self._log_index + 1:
            self.found("the decision log is not dense")
        self._log_index = record.log_index
        lock = self._locks.get(key)
        if lock is None or lock.message_hash != record.lock_hash:
            self.found(f"R9: decided without the lock of {key}")
            return
        if record.outcome.name == "COMMIT":
            self.outcomes["COMMIT"] = self.outcomes.get("COMMIT", 0) + 1
            self._may_commit(key, record, lock)
            return
        for entry in facts.reasons:
            self.outcomes[entry.symbol] = self.outcomes.get(entry.symbol, 0) + 1
        if not facts.reasons or not all(self._explains(entry.symbol, key, lock) for entry in facts.reasons):
            self.found(f"ABORT without a cause: {[entry.symbol for entry in facts.reasons]}")

    def _may_commit(self, key: Any, record: Any, lock: Any) -> None:  # noqa: ANN401
        origin, target, transfer = key.source, lock.destination, lock.kind.name == "TRANSFER"
        if self._elsewhere(lock, origin):
            self.found(f"I2: COMMIT of units that are not at {origin}")
        if self._is_frozen("bridge", key, lock):
            self.found("COMMIT of what is frozen")
        if transfer:
            self._may_cross(key, record, (origin, target), _quantity(lock))
        elif any(record.ready_hash):
            self.found("R9: the COMMIT of a Use names a Ready")
        place = target if transfer else "used"
        for block in lock.blocks:
            self._truth[block.series_id][block.start : block.end] = [place] * (block.end - block.start)

    def _may_cross(self, key: Any, record: Any, direction: tuple[str, str], quantity_kg: int) -> None:  # noqa: ANN401
        if self._promised.get((direction[1], "answer", key)) != record.ready_hash:
            self.found("R9: COMMIT on a Ready that was not given")
        used_kg = self._used_kg.get(direction, 0) + quantity_kg
        self._used_kg[direction] = used_kg
        if direction not in self._caps or 0 < self._caps[direction] < used_kg:
            self.found("COMMIT that no agreement covers")

    def _explains(self, symbol: str, key: Any, lock: Any) -> bool:  # noqa: ANN401
        direction = (key.source, lock.destination)
        match symbol:
            case "DECIDE_BY_PASSED":
                heard_ms = max(self.bridge_started_ms, self._locked_ms.get(key, 0))
                return self._now_ms() - heard_ms >= self._decide_by_ms
            case "WITHDRAWN":
                return key in self._withdrawn
            case "UNIT_NOT_AT_SOURCE":
                return self._elsewhere(lock, key.source)
            case "FROZEN":
                return self._is_frozen("bridge", key, lock)
            case "RECOGNITION_NOT_IN_FORCE":
                return direction not in self._caps
            case "CAP_REACHED":
                cap_kg = self._caps.get(direction, 0)
                return 0 < cap_kg < self._used_kg.get(direction, 0) + _quantity(lock)
            case _:
                return symbol in self._refused.get(key, ())

    def _elsewhere(self, lock: Any, origin: str) -> bool:  # noqa: ANN401
        return any(
            self._truth.get(block.series_id, [])[block.start : block.end]
            != [origin] * (block.end - block.start)
            for block in lock.blocks
        )

    # ------------------------------------------------------------------------------------------------
    # Cuts: the rule of section 7, at any moment.

    def cut(self, disks: dict[str, Any]) -> None:
        """Compare every region with the decisions so far: nothing is lost, doubled or a ghost."""
        self.cuts += 1
        counted = sum(self._count_region(name, disk) for name, disk in disks.items())
        counted += self._corrected.uncounted({name: _waits(disk) for name, disk in disks.items()})
        issued = sum(sum(1 for owner in owners if owner) for owners in self._truth.values())
        for name, disk in disks.items():
            for key, record in disk.table("source").items():
                if record.state.name == "MOVED" and not self._is_credited(disks, key, record):
                    counted += _quantity(record)
                elif record.state.name == "LOCKED" and self._is_credited(disks, key, record):
                    counted -= _quantity(record)  # credited there, not yet heard of here
            for record in disk.table("issue").values():
                owners = self._truth.get(record.block.series_id, [])
                if record.state.name == "ISSUING" and owners[
                    record.block.start : record.block.start + 1
                ] not in (
                    [],
                    [""],
                ):
                    counted += record.block.end - record.block.start
            del name
        if counted != issued:
            self.found(f"I1: {issued} units are issued, {counted} are found")

    def _count_region(self, region: str, disk: Any) -> int:  # noqa: ANN401
        counted = 0
        waits = _waits(disk)
        for rows in disk.table("rows").values():
            for row in rows:
                quantity = row.end - row.start
                counted += quantity
                owners = self._truth.get(row.series_id, [])[row.start : row.end]
                state = row.place[0]
                if state in {"USED", "CANCELLED"}:
                    if owners != ["used"] * quantity:
                        self.found(f"I2: {region} used {row}, which was not decided")
                elif owners != [region] * quantity:
                    self._astray(region, row, owners, waits)
        return counted

    def _astray(self, region: str, row: Any, owners: list[str], waits: set[Serial]) -> None:  # noqa: ANN401
        """Units that are elsewhere by the bridge's log: who has not heard of it yet may still have them."""
        state, tag = row.place
        if state != "HELD" and self._outcome_of.get((region, tag)) == "COMMIT":
            return
        for serial, owner in enumerate(owners, row.start):
            here = (row.series_id, serial)
            known = self._corrected.may_be_at(region, here) or (state != "HELD" and here in waits)
            if owner != region and not known:
                self.found(f"I2: {region} has {row}, which is at {owner or 'no place'}")
                return

    def _is_credited(self, disks: dict[str, Any], key: object, record: Any) -> bool:  # noqa: ANN401
        there = disks.get(record.destination)
        answered = None if there is None else there.table("destination").get(key)
        return answered is not None and answered.state.name == "CREDITED"

    # ------------------------------------------------------------------------------------------------
    # The end.

    def end(self, disks: dict[str, Any], bridge: Any, still_open: int) -> None:  # noqa: ANN401
        """After the faults have ended everything is decided, known to all, and in its place."""
        self.cut(disks)
        if still_open:
            self.found(f"stuck: {still_open} transfers are open at the bridge")
        for key in self._locks:
            if self._decisions.get(key) is None:
                self.found(f"stuck: {key} has no decision")
        for name, disk in disks.items():
            self._ended(name, "source", disk.table("source").values(), ("LOCKED", "RETIRING"))
            self._ended(name, "destination", disk.table("destination").values(), ("READY", "REFUSED"))
            self._ended(name, "issue", disk.table("issue").values(), ("ISSUING",))
            if disk.table("outbox"):
                self.found(f"stuck: {name} has numbered messages that nobody acknowledged")
            if _waits(disk):
                self.found(f"stuck: {name} has not given up what a correction took")
            for order_id in self._corrected.orders:
                if not self._corrected.followed(name, order_id):
                    self.found(f"stuck: {name} has not heard of a correction")
        self._located(bridge)
        if bridge.table("outbox"):
            self.found("stuck: the bridge has numbered messages that nobody acknowledged")
        for key, record in bridge.table("decision").items():
            if record.state.name != "CLOSED":
                self.found(f"stuck: {key} is {record.state.name} and not closed")

    def _located(self, bridge: Any) -> None:  # noqa: ANN401
        """The bridge's own table of locations says what its decisions, receipts and corrections add up to."""
        for rows in bridge.table("rows").values():
            for row in rows:
                party, state = row.place
                place = party if state == "HELD" else "used"
                if self._truth[row.series_id][row.start : row.end] != [place] * (row.end - row.start):
                    self.found(f"I6: the bridge has {row}, which its log does not say")

    def _ended(self, name: str, what: str, records: Iterable[Any], waiting: tuple[str, ...]) -> None:
        for record in records:
            if record.state.name in waiting:
                self.found(f"stuck: a {what} of {name} is still {record.state.name}")


def _quantity(holder: Any) -> int:  # noqa: ANN401
    return sum(block.end - block.start for block in holder.blocks)


def _waits(disk: Any) -> set[Serial]:  # noqa: ANN401
    """Serials that a region says it will give up after an ABORT."""
    waits = disk.table("meta").get("waits") or ()
    return {(block.series_id, serial) for block, _ in waits for serial in range(block.start, block.end)}
