"""A region of the simulation: holders' commands, the real machines, and a shell that keeps to R1."""

from __future__ import annotations

from random import Random
from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import destination, issuance, source
from tanqiao.protocol.effects import (
    CreateUnits,
    CreditBlocks,
    Effect,
    LockBlocks,
    MoveBlocksOut,
    OfferAgain,
    OfferKind,
    ReleaseBlocks,
    SendFinal,
    SendNack,
    SendStored,
    StoreEvidence,
    StoreReady,
    StoreRefuse,
    UseBlocks,
)
from tanqiao.protocol.numbering import (
    InboxState,
    OutboxState,
    next_numbers,
    on_acknowledge,
    on_hello,
    on_numbered,
)
from tanqiao.protocol.offers import offers_of
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    SINK,
    DecisionFacts,
    DestinationRecord,
    FinalFacts,
    IssueFacts,
    IssueReceiptFacts,
    IssueRecord,
    Kind,
    LockFacts,
    PrepareFacts,
    ReadyFacts,
    Reasons,
    RefuseFacts,
    SourceRecord,
    SourceState,
    TransferKey,
    WithdrawFacts,
    with_answer,
)
from tanqiao.testing.simulation.messages import Frame, Item, Message, compose, holder_of
from tanqiao.testing.simulation.node import Node, Place, Work, World, stored
from tanqiao.testing.simulation.orders import (
    FreezeOrder,
    Freezes,
    Order,
    OrderFacts,
    correct_books,
    give_up_released,
    keep_order,
)

BRIDGE: Final = "bridge"
INCARNATION: Final = 1
HELD: Final[Place] = ("HELD", "")
REFUSAL_RATE: Final = 0.08
_BUSY_DELAY_MS: Final = 700
_TRY_AGAIN_MS: Final = 500
_RECONNECT_MS: Final = (400, 3_000)
_IDLE_RECONNECT_RATE: Final = 0.3
_OFFER_TABLE: Final = {
    OfferKind.LOCK: "lock",
    OfferKind.USE: "lock",
    OfferKind.WITHDRAW: "withdraw",
    OfferKind.READY: "answer",
    OfferKind.REFUSE: "answer",
    OfferKind.ISSUE: "issue",
}


class RegionNode(Node):
    """One region; `random` decides what its holders do and what its checks refuse."""

    def __init__(self, name: str, world: World, series_id: str, random: Random) -> None:
        super().__init__(name, world)
        self.series_id = series_id
        self.random = random
        self.session = 0
        self.freezes = Freezes()

    # ------------------------------------------------------------------------------------------------
    # Commands of holders.

    def begin_transfer(self, transfer_id: bytes, kind: Kind, to: str, quantity_kg: int, tries: int) -> None:
        """Lock units that are held here; try again later if there are none or the process is down."""
        before = len(self.disk.table("source"))
        self.run(lambda work: self._begin_transfer(work, transfer_id, kind, to, quantity_kg))
        if tries and len(self.disk.table("source")) == before:
            arguments = (transfer_id, kind, to, quantity_kg, tries - 1)
            self.world.clock.after(_TRY_AGAIN_MS, self.begin_transfer, *arguments)

    def _begin_transfer(self, work: Work, transfer_id: bytes, kind: Kind, to: str, quantity_kg: int) -> None:
        blocks = self._pick(quantity_kg)
        if not blocks:
            return
        key = TransferKey(self.name, transfer_id)
        use = kind is not Kind.TRANSFER
        target = SINK if use else to
        if self.freezes.things(work).reasons(self.name, target, blocks, holder_of(self.name, transfer_id)):
            return
        message = compose(
            "use" if use else "lock", self.name, key, transfer_id.hex(), kind.name, target, *blocks
        )
        facts = LockFacts(key, message.message_hash, kind, target, blocks)
        message.facts = facts
        work.transaction.put("lock", key, message)
        transition = source.on_lock_requested(work.transaction.get("source", key), facts)
        self._apply_source(work, key, transition.record, transition.effects)

    def _pick(self, quantity_kg: int) -> tuple[UnitBlock, ...]:
        held = [row for rows in self.disk.table("rows").values() for row in rows if row.place == HELD]
        if not held:
            return ()
        row = self.random.choice(held)
        size = min(quantity_kg, row.end - row.start)
        start = self.random.randint(row.start, row.end - size)
        if size >= 4 and self.random.random() < 0.2:  # noqa: PLR2004 - two halves with a gap between them
            half = size // 2
            return (
                UnitBlock(row.series_id, start, start + half - 1),
                UnitBlock(row.series_id, start + half, start + size),
            )
        return (UnitBlock(row.series_id, start, start + size),)

    def withdraw(self) -> None:
        """Withdraw one of the transfers that wait."""
        waiting = [
            key for key, record in self.disk.table("source").items() if record.state is SourceState.LOCKED
        ]
        if waiting:
            key = self.random.choice(waiting)
            self.run(lambda work: self._withdraw(work, key))

    def _withdraw(self, work: Work, key: object) -> None:
        record: SourceRecord = work.transaction.get("source", key)
        if not record.withdrawn:
            message = compose("withdraw", self.name, key, record.key.transfer_id.hex())
            message.facts = WithdrawFacts(record.key, message.message_hash, record.lock_hash)
            work.transaction.put("withdraw", key, message)
        transition = source.on_withdraw_requested(record)
        self._apply_source(work, record.key, transition.record, transition.effects)

    def begin_issue(self, issue_id: bytes, quantity_kg: int) -> None:
        """Ask for the next serials of this region's own series."""
        self.run(lambda work: self._begin_issue(work, issue_id, quantity_kg))

    def _begin_issue(self, work: Work, issue_id: bytes, quantity_kg: int) -> None:
        start: int = work.transaction.get("meta", "next serial") or 0
        block = UnitBlock(self.series_id, start, start + quantity_kg)
        message = compose("issue", self.name, issue_id, issue_id.hex(), block)
        facts = IssueFacts(self.name, issue_id, message.message_hash, block)
        message.facts = facts
        work.transaction.put("issue message", issue_id, message)
        work.transaction.put("meta", "next serial", block.end)
        transition = issuance.on_issue_requested(None, facts)
        work.transaction.put("issue", issue_id, transition.record)
        work.send(BRIDGE, Item("offer", message))

    def ask_outcome(self) -> None:
        """Ask the bridge about something that waits, with or without evidence."""
        waiting = [key for key, record in self.disk.table("source").items() if not record.decision_hash]
        if not waiting:
            return
        key = self.random.choice(waiting)
        lock = self.disk.table("lock")[key] if self.random.random() < 0.8 else None  # noqa: PLR2004 - a rate
        self.run(lambda work: work.send(BRIDGE, Item("outcome", lock, about=key)))

    # ------------------------------------------------------------------------------------------------
    # Sessions.

    def connect(self) -> None:
        """Open a new session: the newest fences the older."""
        self.run(self._connect)

    def _connect(self, work: Work) -> None:
        number: int = (work.transaction.get("meta", "session") or 0) + 1
        work.transaction.put("meta", "session", number)
        self.session = number
        inbox = self._inbox(work)
        work.send(BRIDGE, Item("hello", number=inbox.received_number, incarnation=inbox.incarnation))

    def keep_connecting(self) -> None:
        """Reconnect from time to time: always while something waits, sometimes if nothing does."""
        if self.up and (self.waits() or self.random.random() < _IDLE_RECONNECT_RATE):
            self.connect()
        self.world.clock.after(self.random.randint(*_RECONNECT_MS), self.keep_connecting)

    def waits(self) -> bool:
        """Whether anything that this region began, promised or numbered is not at its end."""
        table = self.disk.table
        return (
            bool(table("outbox"))
            or any(source.is_undecided(record) for record in table("source").values())
            or any(destination.is_undecided(record) for record in table("destination").values())
            or any(issuance.is_undecided(record) for record in table("issue").values())
        )

    def session_with(self, party: str) -> int:
        """Give the number of the session with the bridge."""
        require(party == BRIDGE, "a region speaks to the bridge alone")
        return self.session

    def restarted(self) -> None:
        """Connect again; all else is on the disk."""
        self.connect()

    def receive(self, frame: Frame) -> None:
        """Take a frame of the current session in one transaction."""
        if frame.session == self.session:
            self.run(lambda work: self._receive(work, frame))

    def _receive(self, work: Work, frame: Frame) -> None:
        inbox_before = self._inbox(work)
        for item in frame.items:
            match item.word:
                case "hello":
                    self._on_hello(work, item)
                case "numbered":
                    self._on_numbered(work, item)
                case "offer":
                    self._on_prepare(work, stored(item.message))
                case "acknowledge":
                    self._on_acknowledge(work, item)
                case "need":
                    self._on_need(work, item.about)
                case "busy":
                    self.world.clock.after(_BUSY_DELAY_MS, self.connect)
                case _:
                    pass
        inbox = self._inbox(work)
        if inbox != inbox_before or any(item.word == "numbered" for item in frame.items):
            work.send(
                BRIDGE, Item("acknowledge", number=inbox.received_number, incarnation=inbox.incarnation)
            )

    def _inbox(self, work: Work) -> InboxState:
        found: InboxState | None = work.transaction.get("meta", "inbox")
        return found or InboxState()

    def _outbox(self, work: Work) -> OutboxState:
        found: OutboxState | None = work.transaction.get("meta", "outbox")
        return found or OutboxState(INCARNATION)

    def _on_hello(self, work: Work, item: Item) -> None:
        before = self._outbox(work)
        resumption = on_hello(before, item.incarnation, item.number)
        outbox = resumption.outbox
        self._prune(work, before, outbox)
        for number in range(resumption.send_from, outbox.last_number + 1):
            message: Message | None = work.transaction.get("outbox", number)
            if message is not None:
                work.send(BRIDGE, Item("numbered", message, number, INCARNATION))
        table = self.disk.table
        offers = offers_of(table("source").values(), table("destination").values(), table("issue").values())
        for offer in offers:
            name = _OFFER_TABLE[offer.kind]
            message = table("issue message" if name == "issue" else name)[offer.key or offer.issue_id]
            work.send(BRIDGE, Item("offer", message))

    def _on_acknowledge(self, work: Work, item: Item) -> None:
        before = self._outbox(work)
        self._prune(work, before, on_acknowledge(before, item.incarnation, item.number))

    def _prune(self, work: Work, before: OutboxState, after: OutboxState) -> None:
        if after is not before:
            work.transaction.put("meta", "outbox", after)
            for number in range(before.acknowledged_number + 1, after.acknowledged_number + 1):
                work.transaction.put("outbox", number, None)

    def _on_numbered(self, work: Work, item: Item) -> None:
        arrival = on_numbered(self._inbox(work), item.incarnation, item.number, 1)
        if arrival.refusal is not None or not arrival.fresh:
            return
        work.transaction.put("meta", "inbox", arrival.inbox)
        message = stored(item.message)
        facts = message.facts
        if isinstance(facts, DecisionFacts):
            self._on_decision(work, message, facts)
        elif isinstance(facts, OrderFacts):
            self._on_order(work, facts.order)
        elif isinstance(facts, IssueReceiptFacts):
            record: IssueRecord | None = work.transaction.get("issue", facts.issue_id)
            transition = issuance.on_receipt(record, facts)
            work.transaction.put("issue", facts.issue_id, transition.record)
            for effect in transition.effects:
                if isinstance(effect, CreateUnits):
                    failing = work.book(effect.block.series_id).register((effect.block,), HELD)
                    require(not failing, f"issued serials exist: {failing}")
                else:
                    self._apply_common(work, effect, message, facts.issue_id)

    def _on_order(self, work: Work, order: Order) -> None:
        if isinstance(order, FreezeOrder):
            keep_order(work, order)
        else:
            correct_books(work, self.name, order)

    # ------------------------------------------------------------------------------------------------
    # The machines.

    def _on_decision(self, work: Work, message: Message, facts: DecisionFacts) -> None:
        if facts.key.source == self.name:
            transition = source.on_decision(work.transaction.get("source", facts.key), facts)
            self._apply_source(work, facts.key, transition.record, transition.effects, message)
            return
        record: DestinationRecord | None = work.transaction.get("destination", facts.key)
        here: tuple[UnitBlock, ...] = ()
        if record is not None and record.blocks:
            here = work.book(record.blocks[0].series_id).occupied(record.blocks)
        answered = destination.on_decision(record, facts, already_here=here)
        self._apply_destination(work, facts.key, answered.record, answered.effects, message)

    def _on_prepare(self, work: Work, message: Message) -> None:
        facts = message.facts
        require(isinstance(facts, PrepareFacts), "a region is offered Prepares only")
        if not isinstance(facts, PrepareFacts):
            return
        record = work.transaction.get("destination", facts.key)
        reasons: Reasons = ()
        if self.random.random() < REFUSAL_RATE:
            reasons = (reason("ADDRESS_UNKNOWN", address=facts.key.transfer_id.hex()),)
        here = work.book(facts.lock.blocks[0].series_id).occupied(facts.lock.blocks)
        if here:  # what a correction has taken from this region and a transfer of it still binds
            reasons += (reason("LOCATION_CONFLICT", here),)
        transition = destination.on_prepare(record, facts, reasons)
        self._apply_destination(work, facts.key, transition.record, transition.effects, message)

    def _on_need(self, work: Work, about: object) -> None:
        answer: Message | None = work.transaction.get("answer", about)
        prepare: Message | None = work.transaction.get("prepare", about)
        if answer is not None and prepare is not None:
            work.send(BRIDGE, Item("returned", answer, about=prepare))

    def _apply_source(
        self,
        work: Work,
        key: TransferKey,
        record: SourceRecord | None,
        effects: tuple[Effect, ...],
        cause: Message | None = None,
    ) -> None:
        if record is not None and work.transaction.get("source", key) != record:
            work.transaction.put("source", key, record)
        tag = key.transfer_id.hex()
        for effect in effects:
            match effect:
                case LockBlocks(blocks, state):
                    _must_move(work, blocks, HELD, (state.name, tag))
                case ReleaseBlocks(blocks):
                    _must_move(work, blocks, self._locked(work, blocks), HELD)
                    give_up_released(work, blocks, HELD)
                case MoveBlocksOut(blocks):
                    failing = work.book(blocks[0].series_id).remove(blocks, self._locked(work, blocks))
                    require(not failing, f"locked units are gone: {failing}")
                case UseBlocks(blocks, state):
                    _must_move(work, blocks, self._locked(work, blocks), (state.name, ""))
                case SendFinal(state) if cause is not None and record is not None:
                    self._final(work, "source_final", key, record.decision_hash, state)
                case OfferAgain(offer):
                    message = work.transaction.get(_OFFER_TABLE[offer], key)
                    work.send(BRIDGE, Item("offer", message))
                case _:
                    self._apply_common(work, effect, cause, key)

    def _apply_destination(
        self,
        work: Work,
        key: TransferKey,
        record: DestinationRecord | None,
        effects: tuple[Effect, ...],
        cause: Message,
    ) -> None:
        for effect in effects:
            match effect:
                case StoreReady() | StoreRefuse() if record is not None:
                    reasons = effect.reasons if isinstance(effect, StoreRefuse) else None
                    answer = self._answer(record, reasons)
                    record = with_answer(record, answer.message_hash)
                    work.transaction.put("answer", key, answer)
                    work.transaction.put("prepare", key, cause)
                    work.send(BRIDGE, Item("offer", answer))
                case CreditBlocks(blocks):
                    failing = work.book(blocks[0].series_id).register(blocks, HELD)
                    require(not failing, f"credited units are here already: {failing}")
                case SendFinal(state) if record is not None:
                    self._final(work, "destination_final", key, record.decision_hash, state)
                case _:
                    self._apply_common(work, effect, cause, key)
        if record is not None and work.transaction.get("destination", key) != record:
            work.transaction.put("destination", key, record)

    def _apply_common(self, work: Work, effect: Effect, cause: Message | None, about: object) -> None:
        match effect:
            case StoreEvidence(kind, hashes):
                work.transaction.put("evidence", (kind.value, hashes), about)
            case SendNack() if cause is not None:
                self._number(work, compose("nack", self.name, about, cause.message_hash.hex()))
            case SendStored(answer) if answer.name == "ANSWER":
                work.send(BRIDGE, Item("offer", work.transaction.get("answer", about)))
            case _:
                pass

    def _answer(self, record: DestinationRecord, reasons: Reasons | None) -> Message:
        kind = "ready" if reasons is None else "refuse"
        names = [entry.symbol for entry in reasons or ()]
        message = compose(
            kind, self.name, record.key, record.key, record.prepare_hash.hex(), record.lock_hash.hex(), names
        )
        common = (record.key, message.message_hash, self.name, record.prepare_hash, record.lock_hash)
        message.facts = ReadyFacts(*common) if reasons is None else RefuseFacts(*common, reasons)
        return message

    def _final(self, work: Work, kind: str, key: TransferKey, decision_hash: bytes, state: object) -> None:
        name = getattr(state, "name", "")
        message = compose(kind, self.name, key, key, decision_hash.hex(), name)
        message.facts = FinalFacts(key, message.message_hash, self.name, decision_hash, state)  # type: ignore[arg-type]
        self._number(work, message)

    def _number(self, work: Work, message: Message) -> None:
        outbox, number = next_numbers(self._outbox(work), 1)
        work.transaction.put("meta", "outbox", outbox)
        work.transaction.put("outbox", number, message)
        work.send(BRIDGE, Item("numbered", message, number, INCARNATION))

    def _locked(self, work: Work, blocks: tuple[UnitBlock, ...]) -> Place:
        place = work.book(blocks[0].series_id).place_of(blocks[0].series_id, blocks[0].start)
        require(place is not None and place[0] in {"LOCKED", "RETIRING"}, "only what is locked is given up")
        return place or HELD


def _must_move(work: Work, blocks: tuple[UnitBlock, ...], from_place: Place, to_place: Place) -> None:
    failing = work.move(blocks, from_place, to_place)
    if failing:
        require(condition=False, message=f"not at {from_place}: {failing}")
