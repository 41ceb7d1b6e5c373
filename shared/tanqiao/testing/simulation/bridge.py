"""The bridge of the simulation: the real notary, group commit, and memory that a crash loses."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.protocol import corrections, issuance, notary
from tanqiao.protocol.decision import DecisionChecks, decide, decided
from tanqiao.protocol.effects import (
    Decide,
    Effect,
    FreezePair,
    FreezeSender,
    MoveLocation,
    NeedPrepare,
    RegisterLocation,
    SendBusy,
    SendNack,
    SendPrepare,
    SendStored,
    StoreDecision,
    StoreEvidence,
    StoreReceipt,
)
from tanqiao.protocol.frozen import FrozenThings
from tanqiao.protocol.notary import Admission
from tanqiao.protocol.numbering import (
    InboxState,
    OutboxState,
    check_session,
    next_numbers,
    on_acknowledge,
    on_hello,
    on_numbered,
)
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    SINK,
    DecisionFacts,
    FinalFacts,
    IssueFacts,
    IssueReceiptFacts,
    Kind,
    LockFacts,
    OpenTransfer,
    PrepareFacts,
    ReadyFacts,
    Reasons,
    RefuseFacts,
    TransferKey,
    TransferView,
    WithdrawFacts,
    with_prepare,
    with_receipt,
)
from tanqiao.testing.simulation.messages import Frame, Item, Message, compose, holder_of
from tanqiao.testing.simulation.node import Node, Place, Work, World, stored
from tanqiao.testing.simulation.orders import (
    HELD,
    CorrectionOrder,
    FreezeOrder,
    Freezes,
    Order,
    frozen_by,
    keep_order,
    notice_of,
    orders_of,
)

EPOCH: Final = 1
DECIDE_BY_MS: Final = 3_000
OPEN_MAX: Final = 24
CLAIM_REFUSAL_RATE: Final = 0.1
_TICK_MS: Final = 500
_DAY_MS: Final = 20_000
"""A legal day of the simulation, so that transfers see more than one."""


@dataclass(slots=True)
class Memory:
    """What dies with the process."""

    open: dict[TransferKey, OpenTransfer] = field(default_factory=dict)
    locks: dict[TransferKey, LockFacts] = field(default_factory=dict)
    prepares: dict[TransferKey, Message] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    prepared: int = 0


class BridgeNode(Node):
    """The bridge; `caps` holds the cap of each direction in kilograms, 0 for none; absent: no agreement."""

    def __init__(
        self,
        name: str,
        world: World,
        random: Random,
        caps: dict[tuple[str, str], int],
        regions: tuple[str, ...],
    ) -> None:
        super().__init__(name, world)
        self.random = random
        self.caps = caps
        self.regions = regions
        self.freezes = Freezes()
        self.skew_ms = 0
        self.memory = Memory()
        world.clock.after(_TICK_MS, self._tick)

    def restarted(self) -> None:
        """Begin with an empty memory; regions connect again by themselves."""
        self.memory = Memory()
        self.world.auditor.bridge_started_ms = self.world.clock.now_ms

    def session_with(self, party: str) -> int:
        """Give the region's session."""
        return self.memory.live.get(party, 0)

    # ------------------------------------------------------------------------------------------------
    # Orders and time.

    def submit(self, order: Order) -> None:
        """Carry out an order that approvers have signed; the same again changes nothing (R4)."""
        self.run(lambda work: self._submit(work, order))

    def knows(self, order_id: bytes) -> bool:
        """Whether an order is durable."""
        return order_id in self.disk.table("order") or order_id in self.disk.table("correction")

    def _submit(self, work: Work, order: Order) -> None:
        if self.knows(order.order_id):
            return
        if isinstance(order, CorrectionOrder):
            self._correct(work, order)
        else:
            self._freeze(work, order)

    def _freeze(self, work: Work, order: FreezeOrder) -> None:
        before = orders_of(work)
        if order.unfreeze and frozen_by((*before, order)) == frozen_by(before):
            return  # NOT_FROZEN: not by this authority
        keep_order(work, order)
        self._tell(work, order)
        if order.unfreeze:
            return
        things = FrozenThings(order.rows)
        for transfer in list(self.memory.open.values()):
            transition = notary.on_frozen(TransferView(transfer), _frozen_reasons(things, transfer))
            self._apply(work, transfer.key, transition.record, transition.effects, "")

    def _correct(self, work: Work, order: CorrectionOrder) -> None:
        origin, target = (order.from_region, HELD), (order.to_region, HELD)
        if corrections.move_to(work.book(order.blocks[0].series_id), order.blocks, origin, target):
            return  # CORRECTION_NOT_POSSIBLE: some of it is at neither by now
        work.transaction.put("correction", order.order_id, order)
        self._tell(work, order)

    def _tell(self, work: Work, order: Order) -> None:
        message = notice_of(self.name, order)
        work.transaction.put("notice", order.order_id, message)
        for region in self.regions:
            self._number(work, region, message)

    def _tick(self) -> None:
        self.world.clock.after(_TICK_MS, self._tick)
        if not self.up:
            return
        keys = notary.due(self.memory.open.values(), self.world.clock.now_ms)
        if keys:
            self.run(lambda work: self._on_deadlines(work, keys))

    def _on_deadlines(self, work: Work, keys: tuple[TransferKey, ...]) -> None:
        for key in keys:
            transition = notary.on_deadline(self._view(work, key), self.world.clock.now_ms)
            self._apply(work, key, transition.record, transition.effects, "")

    def legal_date(self) -> str:
        """Give the day of the bridge's wall clock, which may be wrong."""
        return f"day {(self.world.clock.now_ms + self.skew_ms) // _DAY_MS}"

    # ------------------------------------------------------------------------------------------------
    # Frames.

    def receive(self, frame: Frame) -> None:
        """Take a frame in one transaction; one of a session that is not the newest is fenced."""
        hello = any(item.word == "hello" for item in frame.items)
        if hello or self.memory.live.get(frame.sender) == frame.session:
            self.run(lambda work: self._receive(work, frame))

    def _receive(self, work: Work, frame: Frame) -> None:
        sender = frame.sender
        numbered = False
        for item in frame.items:
            match item.word:
                case "hello":
                    self._on_hello(work, sender, frame.session, item)
                case "numbered":
                    numbered = True
                    self._on_numbered(work, sender, item)
                case "offer":
                    self._on_offer(work, sender, stored(item.message))
                case "returned":
                    self._on_returned(work, sender, item)
                case "outcome":
                    self._on_outcome(work, sender, item)
                case "acknowledge":
                    self._on_acknowledge(work, sender, item)
                case _:
                    pass
        if numbered:
            inbox = self._inbox(work, sender)
            work.send(
                sender, Item("acknowledge", number=inbox.received_number, incarnation=inbox.incarnation)
            )

    def _on_hello(self, work: Work, sender: str, session: int, item: Item) -> None:
        current: int = work.transaction.get("session", sender) or 0
        if check_session(current, session) is not None:
            return
        work.transaction.put("session", sender, session)
        self.memory.live[sender] = session
        inbox = self._inbox(work, sender)
        work.send(sender, Item("hello", number=inbox.received_number, incarnation=inbox.incarnation))
        before = self._outbox(work, sender)
        resumption = on_hello(before, item.incarnation, item.number)
        self._prune(work, sender, before, resumption.outbox)
        self._resend(work, sender, resumption.send_from)
        for transfer in list(self.memory.open.values()):
            transition = notary.on_session_opened(TransferView(transfer), sender)
            self._apply(work, transfer.key, transition.record, transition.effects, sender)

    def _inbox(self, work: Work, sender: str) -> InboxState:
        found: InboxState | None = work.transaction.get("inbox", sender)
        return found or InboxState()

    def _outbox(self, work: Work, region: str) -> OutboxState:
        found: OutboxState | None = work.transaction.get("outbox state", region)
        return found or OutboxState(EPOCH)

    def _resend(self, work: Work, region: str, send_from: int) -> None:
        outbox = self._outbox(work, region)
        for number in range(max(send_from, outbox.acknowledged_number + 1), outbox.last_number + 1):
            work.send(
                region, Item("numbered", work.transaction.get("outbox", (region, number)), number, EPOCH)
            )

    def _on_acknowledge(self, work: Work, sender: str, item: Item) -> None:
        before = self._outbox(work, sender)
        self._prune(work, sender, before, on_acknowledge(before, item.incarnation, item.number))

    def _prune(self, work: Work, region: str, before: OutboxState, after: OutboxState) -> None:
        if after is not before:
            work.transaction.put("outbox state", region, after)
            for number in range(before.acknowledged_number + 1, after.acknowledged_number + 1):
                work.transaction.put("outbox", (region, number), None)

    def _on_numbered(self, work: Work, sender: str, item: Item) -> None:
        arrival = on_numbered(self._inbox(work, sender), item.incarnation, item.number, 1)
        if arrival.refusal is not None or not arrival.fresh:
            return
        work.transaction.put("inbox", sender, arrival.inbox)
        message = stored(item.message)
        facts = message.facts
        if isinstance(facts, FinalFacts):
            view = self._view(work, facts.key)
            run = notary.on_source_final if message.kind == "source_final" else notary.on_destination_final
            transition = run(view, facts)
            self._apply(work, facts.key, transition.record, transition.effects, sender)
        else:
            work.transaction.put("nack", (sender, item.number), message)

    def _on_offer(self, work: Work, sender: str, message: Message) -> None:
        facts = message.facts
        if isinstance(facts, IssueFacts):
            self._on_issue(work, sender, facts)
            return
        if isinstance(facts, LockFacts):
            view = self._view(work, facts.key)
            self.memory.locks.setdefault(facts.key, facts)
            transition = notary.on_lock(view, facts, self._admission())
        elif isinstance(facts, ReadyFacts):
            transition = notary.on_ready(self._view(work, facts.key), facts)
        elif isinstance(facts, RefuseFacts):
            transition = notary.on_refuse(self._view(work, facts.key), facts)
        elif isinstance(facts, WithdrawFacts):
            transition = notary.on_withdraw(self._view(work, facts.key), facts)
        else:
            return
        self._apply(work, facts.key, transition.record, transition.effects, sender)

    def _on_returned(self, work: Work, sender: str, item: Item) -> None:
        answer = stored(item.message)
        prepare = item.about
        if not isinstance(prepare, Message) or prepare.sender != self.name:
            return
        facts, returned = prepare.facts, answer.facts
        if isinstance(facts, PrepareFacts) and isinstance(returned, ReadyFacts | RefuseFacts):
            view = self._view(work, facts.key)
            self.memory.locks.setdefault(facts.key, facts.lock)
            self.memory.prepares[facts.key] = prepare
            transition = notary.on_returned_prepare(view, facts, returned, self._admission())
            self._apply(work, facts.key, transition.record, transition.effects, sender)

    def _on_outcome(self, work: Work, sender: str, item: Item) -> None:
        key = item.about
        evidence = None if item.message is None else item.message.facts
        if isinstance(key, TransferKey) and (evidence is None or isinstance(evidence, LockFacts)):
            if evidence is not None:
                self.memory.locks.setdefault(key, evidence)
            transition = notary.on_get_outcome(self._view(work, key), evidence, self._admission())
            self._apply(work, key, transition.record, transition.effects, sender)

    def _admission(self) -> Admission:
        room = len(self.memory.open) < OPEN_MAX
        return Admission(self.world.clock.now_ms, self.legal_date(), DECIDE_BY_MS, room)

    # ------------------------------------------------------------------------------------------------
    # The machines.

    def _view(self, work: Work, key: TransferKey) -> TransferView:
        return TransferView(self.memory.open.get(key), work.transaction.get("decision", key))

    def _apply(
        self, work: Work, key: TransferKey, view: TransferView, effects: tuple[Effect, ...], sender: str
    ) -> None:
        for effect in effects:
            match effect:
                case SendPrepare():
                    view = self._prepare(work, view)
                case Decide():
                    view = self._decide(work, view, effect)
                case SendStored(answer) if sender and answer.name == "DECISION":
                    # Decisions are taken in the order of their numbers only, so all that wait are sent again.
                    self._resend(work, sender, 1)
                case NeedPrepare():
                    work.send(sender, Item("need", about=key))
                case SendBusy():
                    work.send(sender, Item("busy", about=key))
                case StoreEvidence(kind, hashes):
                    work.transaction.put("evidence", (kind.value, hashes), key)
                case FreezePair() | FreezeSender():
                    work.transaction.put("evidence", "freeze of the bridge's own", key)
                case SendNack() if sender:
                    self._number(work, sender, compose("nack", self.name, key, key, len(effects)))
                case _:
                    pass
        self._keep(work, key, view)

    def _keep(self, work: Work, key: TransferKey, view: TransferView) -> None:
        if view.open is not None:
            self.memory.open[key] = view.open
        else:
            self.memory.open.pop(key, None)
            self.memory.prepares.pop(key, None)
            self.memory.locks.pop(key, None)
        if view.decision is not None and view.decision != work.transaction.get("decision", key):
            work.transaction.put("decision", key, view.decision)

    def _prepare(self, work: Work, view: TransferView) -> TransferView:
        transfer = view.open
        if transfer is None:
            return view
        message = self.memory.prepares.get(transfer.key)
        if message is None:
            self.memory.prepared += 1
            lock = self.memory.locks[transfer.key]
            message = compose(
                "prepare",
                self.name,
                transfer.key,
                transfer.key,
                transfer.legal_date,
                self.life,
                self.memory.prepared,
            )
            message.facts = PrepareFacts(transfer.key, message.message_hash, lock, transfer.legal_date)
            self.memory.prepares[transfer.key] = message
            view = TransferView(with_prepare(transfer, message.message_hash))
        work.send(transfer.destination, Item("offer", message))
        return view

    def _checks(self, work: Work, transfer: OpenTransfer) -> DecisionChecks:
        origin = transfer.key.source
        held = (origin, "HELD")
        elsewhere = work.book(transfer.blocks[0].series_id).elsewhere(transfer.blocks, held)
        frozen = _frozen_reasons(self.freezes.things(work), transfer)
        if transfer.kind is not Kind.TRANSFER:
            return DecisionChecks(not_at_source=elsewhere, frozen=frozen)
        direction = (origin, transfer.destination)
        return DecisionChecks(
            not_at_source=elsewhere,
            frozen=frozen,
            agreement=self._agreement_reasons(work, direction, _quantity(transfer)),
        )

    def _agreement_reasons(self, work: Work, direction: tuple[str, str], asked_kg: int) -> Reasons:
        cap_kg = self.caps.get(direction)
        if cap_kg is None:
            return (reason("RECOGNITION_NOT_IN_FORCE", a=direction[0], b=direction[1]),)
        used_kg: int = work.transaction.get("agreement", direction) or 0
        if cap_kg and used_kg + asked_kg > cap_kg:
            left_kg = cap_kg - used_kg
            return (reason("CAP_REACHED", cap="agreement", left_kg=str(left_kg), asked_kg=str(asked_kg)),)
        return ()

    def _decide(self, work: Work, view: TransferView, wish: Decide) -> TransferView:
        transfer = view.open
        require(transfer is not None, "only what is open is decided")
        if transfer is None:
            return view
        result = decide(view, wish, self._checks(work, transfer))
        index: int = (work.transaction.get("meta", "log") or 0) + 1
        work.transaction.put("meta", "log", index)
        key = transfer.key
        message = compose(
            "decision",
            self.name,
            key,
            key,
            result.outcome.name,
            result.lock_hash.hex(),
            result.ready_hash.hex(),
            index,
            transfer.legal_date,
        )
        message.facts = DecisionFacts(
            key,
            message.message_hash,
            result.outcome,
            result.lock_hash,
            result.ready_hash,
            index,
            result.reasons,
        )
        work.transaction.put("decision message", key, message)
        for effect in result.effects:
            if isinstance(effect, MoveLocation):
                to_place: Place = (effect.to_party, "HELD")
                if effect.to_party == SINK:
                    to_place = (key.source, "USED" if transfer.kind is Kind.RETIRE else "CANCELLED")
                else:
                    direction = (key.source, effect.to_party)
                    used_kg: int = work.transaction.get("agreement", direction) or 0
                    work.transaction.put("agreement", direction, used_kg + _quantity(transfer))
                failing = work.move(effect.blocks, (effect.from_party, "HELD"), to_place)
                require(not failing, f"not at the source: {failing}")
            elif isinstance(effect, StoreDecision):
                for party in effect.parties:
                    self._number(work, party, message)
        return decided(view, result, message.message_hash, index)

    def _number(self, work: Work, region: str, message: Message) -> None:
        outbox, number = next_numbers(self._outbox(work, region), 1)
        work.transaction.put("outbox state", region, outbox)
        work.transaction.put("outbox", (region, number), message)
        work.send(region, Item("numbered", message, number, EPOCH))

    def _on_issue(self, work: Work, sender: str, facts: IssueFacts) -> None:
        record = work.transaction.get("issue", (sender, facts.issue_id))
        reasons: Reasons = ()
        if work.book(facts.block.series_id).occupied((facts.block,)):
            reasons = (reason("SERIAL_ALREADY_ISSUED", (facts.block,)),)
        elif self.random.random() < CLAIM_REFUSAL_RATE:
            reasons = (reason("CLAIM_OVERLAP", claims="-", overlap="-"),)
        reasons += self.freezes.things(work).reasons_of_issue(sender, facts.block)
        transition = issuance.on_issue(record, facts, reasons)
        after = transition.record
        for effect in transition.effects:
            match effect:
                case RegisterLocation(block, region):
                    failing = work.book(block.series_id).register((block,), (region, "HELD"))
                    require(not failing, f"registered before: {failing}")
                case StoreReceipt(accepted, given):
                    message = compose(
                        "receipt",
                        self.name,
                        facts.issue_id,
                        facts.issue_id.hex(),
                        accepted,
                        facts.message_hash.hex(),
                    )
                    message.facts = IssueReceiptFacts(
                        facts.issue_id, message.message_hash, facts.message_hash, accepted, 0, given
                    )
                    after = with_receipt(after, message.message_hash)
                    self._number(work, sender, message)
                case SendStored():
                    self._resend(work, sender, 1)
                case StoreEvidence(kind, hashes):
                    work.transaction.put("evidence", (kind.value, hashes), facts.issue_id)
                case _:
                    pass
        if after != record:
            work.transaction.put("issue", (sender, facts.issue_id), after)


def _quantity(transfer: OpenTransfer) -> int:
    return sum(block.quantity_kg for block in transfer.blocks)


def _frozen_reasons(things: FrozenThings, transfer: OpenTransfer) -> Reasons:
    holder = holder_of(transfer.key.source, transfer.key.transfer_id)
    return things.reasons(transfer.key.source, transfer.destination, transfer.blocks, holder)
