"""A region under fuzz, as a destination and as a source: its bridge lies.

The node is brought into every state of its side first, by an honest bridge. Then the bridge says everything
about each transfer, use and issue. What it may decide (an ABORT at any time, a COMMIT that names the right
promises) it is not made to decide, so that no unit may move.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.db.engine import open_engine
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.commitments import commitment
from tanqiao.signing.envelope import build_header
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import PAYLOAD_TYPES, payload_type_of
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao_region.application import issue_offers
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.application.opening import REPEATED
from tanqiao_region.storage.tables import metadata
from tests.contract.region.fake_bridge import FakeBridge, Seen
from tests.contract.region.harness import SERIES, Node, agreement, block, build_node, settings_of
from tests.contract.region.issues import order_of, put_project
from tests.fuzz.messages import NOT_SIGNED_AGAIN, Base, Shot, Spoiler, batch_of, damaged
from tests.fuzz.mutations import ALWAYS_REFUSED, sample
from tests.fuzz.oracle import Ledger, region_rules
from tests.fuzz.servers import serve
from tests.fuzz.world import WAIT_SECONDS, FaultFound, World

BATCH: Final = 40
DAMAGED: Final = 3
ZERO: Final = bytes(32)
VOIDING: Final = ("lock_hash", "header.source", "header.transfer_id", *ALWAYS_REFUSED)
"""What makes a COMMIT void: the promise that it names is none of this node's (R9)."""
OFFERED: Final = frozenset({"Prepare"})


@dataclass
class RegionWorld(World):
    """A region node and a lying bridge; `party` is the node: Shanghai as source, Shenzhen as destination."""

    party: str = SHENZHEN
    fake: FakeBridge = field(init=False)
    spoiler: Spoiler = field(init=False)
    bases: list[Base] = field(default_factory=list)
    address: str = ""
    _serial: int = 0
    _said: dict[bytes, str] = field(default_factory=dict)
    _heard: int = 0

    # -- staging -------------------------------------------------------------------------------------------

    def stage(self) -> None:
        self.fake = FakeBridge(self.network)
        self.fake.series[SERIES.series_id] = series_message(SERIES)
        dialled = self.fake.start()
        node = build_node(self.network, self.party, (self.databases.url, self.databases.owner_url), dialled)
        node.recognise(self.network)
        node.region.start()
        self.fake.wait_until(lambda: self.fake.peer(self.party).frames is not None, WAIT_SECONDS)
        (self._stage_source if self.party == SHANGHAI else self._stage_destination)(node)
        node.region.stop()
        self._others()
        settings = settings_of(
            self.network, self.party, self.databases.url, self.databases.owner_url, dialled
        )
        hellos = len(self.fake.peer(self.party).hellos)
        self.fake.keep_seen = False
        self.fake.on_lock = self.fake.on_answer = self.fake.on_use = self.fake.on_issue = self.fake.hold
        self.served = serve(settings, self.folder, self.name.replace(" ", "-"))
        self.fake.wait_until(lambda: len(self.fake.peer(self.party).hellos) > hellos, WAIT_SECONDS)
        self.spoiler = Spoiler(self.random, self.network.signer(BRIDGE), self.pool)
        self.database = open_engine(self.databases.url, role="reader")
        self._barrier()
        self.ledger = Ledger(self.database, metadata, region_rules())

    def _stage_source(self, node: Node) -> None:
        """Transfers LOCKED, MOVED and RELEASED, uses RETIRING, USED and RETURNED, issues in each state."""
        fake = self.fake
        holder = node.open_account("holder").account_id
        node.give(holder, block(0, 100_000))
        fake.on_lock = fake.hold
        self.address = _address_of(SHENZHEN)
        for at, state in enumerate(("LOCKED", "LOCKED and withdrawn", "MOVED", "RELEASED")):
            selection = Selection(blocks=(block(at * 100, at * 100 + 100),))
            answer = node.transfer(holder, self.address, selection)
            key = (self.party, answer.transfer_id)
            fake.wait_until(lambda key=key: any(_key(one) == key for one in fake.seen), WAIT_SECONDS)  # type: ignore[misc]
            seen = next(one for one in fake.seen if _key(one) == key)
            fake.locks[key] = seen
            if state == "MOVED":
                self._decide(node, seen, commit=True)
            elif state == "RELEASED":
                self._decide(node, seen, commit=False)
            self._note_source(state, seen, undecided=state.startswith("LOCKED"))
        for at, (state, act) in enumerate((("USED", True), ("RETURNED", False), ("RETIRING", None))):
            fake.on_use = fake.hold
            answer = node.retire(holder, Selection(blocks=(block(1_000 + at * 100, 1_100 + at * 100),)))
            key = (self.party, answer.transfer_id)
            fake.wait_until(lambda key=key: any(_key(one) == key for one in fake.seen), WAIT_SECONDS)  # type: ignore[misc]
            seen = next(one for one in fake.seen if _key(one) == key)
            if act is not None:
                self._decide(node, seen, commit=act)
            self._note_source(state, seen, undecided=act is None)
        self._stage_issues(node, holder)

    def _stage_issues(self, node: Node, holder: str) -> None:
        fake = self.fake
        node.run(lambda group: put_project(group, "PV-1", holder))
        for at, (state, act) in enumerate((("HELD", True), ("REFUSED", False), ("ISSUING", None))):
            fake.on_issue = fake.hold
            order = order_of(holder, node, 200_000 + at * 1_000, 201_000 + at * 1_000)
            node.run(lambda group, order=order: issue_offers.offer_issue(group, order))
            fake.wait_until(
                lambda order=order: any(_issue_id(one) == order.issue_id for one in fake.seen),  # type: ignore[misc]
                WAIT_SECONDS,
            )
            seen = next(one for one in fake.seen if _issue_id(one) == order.issue_id)
            if act is not None:
                before = len(fake.peer(self.party).numbered)
                (fake.accept_issues if act else fake.refuse_issues)([seen])
                fake.wait_until(lambda n=before: fake.peer(self.party).acknowledged > n, WAIT_SECONDS)  # type: ignore[misc]
            receipt = messages_pb2.IssueReceipt(
                header=fake.header((self.party,), prev_hash=seen.hash),
                issue_id=order.issue_id,
                issue_hash=seen.hash,
                accepted=True,
                log_index=3,
                legal_date=date_message("2026-03-02"),
            )
            self.pool.add(order.issue_id, seen.hash)
            # Of an Issue that waits, a receipt that names it is the bridge's right.
            paths = ("issue_hash", "issue_id", *ALWAYS_REFUSED) if act is None else ()
            self.bases.append(Base(f"Issue {state}", receipt, b"", paths, whole_bytes=not paths))

    def _stage_destination(self, node: Node) -> None:
        """Incoming transfers READY, CREDITED, REFUSED and DROPPED, with and without a Prepare before."""
        fake = self.fake
        fake.on_answer = fake.hold
        buyer = node.open_account("buyer").account_id
        self.address = node.address(buyer)
        for state in (
            "READY",
            "CREDITED",
            "READY then DROPPED",
            "REFUSED",
            "REFUSED then DROPPED",
            "DROPPED",
        ):
            address = self.address if "REFUSED" not in state else _address_of(SHENZHEN)
            item = self._lock(address)
            key = (SHANGHAI, item.message.header.transfer_id)
            fake.locks[key] = item
            payload = fake.prepare_payload(item, self.party)
            answer = None
            if state != "DROPPED":
                fake.offer(self.party, payload_type_of(messages_pb2.Prepare), [payload], [item.companion])
                fake.wait_until(
                    lambda key=key: any(_key(one) == key for one in fake.seen),  # type: ignore[misc]
                    WAIT_SECONDS,
                )
                answer = next(one for one in fake.seen if _key(one) == key)
            if state in ("CREDITED", "READY then DROPPED", "REFUSED then DROPPED", "DROPPED"):
                self._decide(node, item, commit=state == "CREDITED", answer=answer)
            self._note_destination(state, item, payload, answer)

    def _lock(self, address: str) -> Seen:
        """Make a LockAssertion of Shanghai, as its node would sign it."""
        self._serial += 10
        start = 500_000 + self._serial
        openings = messages_pb2.Openings(
            receiving_address=address,
            receiving_address_salt=secrets.token_bytes(16),
            owner_pseudonym=secrets.token_bytes(16),
            owner_salt=secrets.token_bytes(16),
        )
        signer = self.network.signer(SHANGHAI)
        lock = messages_pb2.LockAssertion(
            header=build_header(
                signer,
                network_id=self.network.network_id,
                audience=(BRIDGE,),
                message_id=secrets.token_bytes(16),
                source=SHANGHAI,
                transfer_id=secrets.token_bytes(16),
            ),
            destination=self.party,
            receiving_address_commitment=commitment(address.encode(), openings.receiving_address_salt),
            owner_commitment=commitment(openings.owner_pseudonym, openings.owner_salt),
            quantity_kg=10,
        )
        lock.blocks.add(series_id=SERIES.series_id, start_serial=start, end_serial=start + 10)
        kind = payload_type_of(lock)
        batch = sign_batch(signer, kind, [lock.SerializeToString()])
        self.pool.add(lock.header.transfer_id, lock.header.message_id)
        return Seen(SHANGHAI, kind, batch.payloads[0], openings.SerializeToString(), item_envelopes(batch)[0])

    def _decide(self, node: Node, lock: Seen, *, commit: bool, answer: Seen | None = None) -> None:
        key = (lock.party, lock.message.header.transfer_id)
        is_use = isinstance(lock.message, messages_pb2.Use)
        ready = ZERO if is_use or not commit else answer.hash if answer is not None else bytes(range(32))
        peer = self.fake.peer(node.party)
        before = len(peer.numbered)
        payload = self.fake.decision(
            key,
            (key[0], lock.message.destination if not is_use else key[0]),
            commit=commit,
            lock_hash=lock.hash,
            ready_hash=ready,
            reasons=[] if commit else [values_pb2.Refusal(reason="FROZEN")],
        )
        self.fake.number(node.party, [(payload_type_of(messages_pb2.Decision), payload)])
        self.fake.wait_until(lambda: peer.acknowledged > before, WAIT_SECONDS)

    # -- what can be said -----------------------------------------------------------------------------------

    def _decisions(self, state: str, lock: Seen, ready_hash: bytes, *, undecided: bool) -> None:
        key = (lock.party, lock.message.header.transfer_id)
        self.pool.add(key[1], lock.hash, ready_hash)
        for outcome in (messages_pb2.OUTCOME_COMMIT, messages_pb2.OUTCOME_ABORT):
            if state == "REFUSED" and outcome == messages_pb2.OUTCOME_ABORT:
                continue  # whatever it names, it is the bridge's right
            decision = messages_pb2.Decision(
                header=self.fake.header(
                    (self.party,), source=key[0], transfer_id=key[1], prev_hash=lock.hash
                ),
                outcome=outcome,
                lock_hash=lock.hash,
                ready_hash=ready_hash if outcome == messages_pb2.OUTCOME_COMMIT else ZERO,
                log_index=5,
                legal_date=date_message("2026-03-02"),
                bridge_epoch=1,
            )
            if outcome == messages_pb2.OUTCOME_ABORT:
                refusal = decision.reasons.add(reason="FROZEN", metadata={"scope": "x"})
                refusal.blocks.extend(lock.message.blocks)
            paths = VOIDING if undecided else ()
            self.bases.append(Base(state, decision, b"", paths, whole_bytes=not paths))

    def _note_source(self, state: str, lock: Seen, *, undecided: bool) -> None:
        is_use = isinstance(lock.message, messages_pb2.Use)
        self._decisions(state, lock, ZERO if is_use else bytes(range(32)), undecided=undecided)
        self.bases.append(Base(state, lock.message, lock.companion))
        self._notices(state, lock)

    def _note_destination(self, state: str, item: Seen, payload: bytes, answer: Seen | None) -> None:
        ready = answer.hash if answer is not None else bytes(range(32))
        self._decisions(state, item, ready, undecided=state in ("READY", "REFUSED"))
        self.bases.append(Base(state, messages_pb2.Prepare.FromString(payload), item.companion))
        self.pool.add(message_hash(payload_type_of(messages_pb2.Prepare), payload))
        if answer is not None:
            self.bases.append(Base(state, answer.message))
        self._notices(state, item)

    def _notices(self, state: str, lock: Seen) -> None:
        transfer_id = lock.message.header.transfer_id
        notice = messages_pb2.HomeNotice(
            header=self.fake.header((self.party,), source=SHANGHAI, transfer_id=transfer_id),
            blocks=lock.message.blocks,
            from_region=SHANGHAI,
            to_region=SHENZHEN,
            purpose="voluntary",
            log_index=4,
            decision_hash=lock.hash,
        )
        nack = messages_pb2.Nack(
            header=self.fake.header((self.party,), source=SHANGHAI, transfer_id=transfer_id),
            message_hash=lock.hash,
            reasons=[values_pb2.Refusal(reason="DECISION_VOID")],
        )
        freeze = messages_pb2.Freeze(
            header=self.fake.header((self.party,)),
            order_id=secrets.token_bytes(16),
            scope=messages_pb2.FREEZE_SCOPE_BLOCK,
            blocks=lock.message.blocks,
            region=SHANGHAI,
            other_region=SHENZHEN,
            reason="x",
            document="x",
        )
        correction = messages_pb2.Correction(
            header=self.fake.header((self.party,)),
            correction_id=secrets.token_bytes(16),
            blocks=lock.message.blocks,
            from_region=SHANGHAI,
            to_region=SHENZHEN,
            document="x",
        )
        self.bases += [Base(state, one) for one in (notice, nack, freeze, correction)]

    def _others(self) -> None:
        """Records, and a message of every type about nothing that is known."""
        record = messages_pb2.RecordNotice(
            header=self.fake.header((self.party,)), record=agreement(self.network), log_index=6
        )
        # The record as it is would be kept once more: only what is wrong with it is sent.
        spoilt = ("record", *ALWAYS_REFUSED)
        self.bases.append(Base("record", record, b"", spoilt, whole_bytes=False))
        for payload_type in sorted(PAYLOAD_TYPES):
            made = sample(PAYLOAD_TYPES[payload_type], self.random, self.pool)
            made.header.CopyFrom(
                self.fake.header((self.party,), source=SHANGHAI, transfer_id=self.random.randbytes(16))
            )
            self.bases.append(Base("UNKNOWN", made))

    def close(self) -> None:
        if hasattr(self, "served"):
            self.served.stop()
        self.fake.stop()
        if hasattr(self, "database"):
            self.database.close()

    # -- sending -------------------------------------------------------------------------------------------

    def rounds(self) -> Iterator[None]:
        while True:
            tasks: list[Callable[[], Iterator[None]]] = [partial(self._about, base) for base in self.bases]
            tasks += [self._about_new] * (BATCH // 4)
            tasks.append(self._frames)
            self.random.shuffle(tasks)
            for task in tasks:
                yield from task()

    def _about(self, base: Base) -> Iterator[None]:
        if base.type_name in OFFERED:
            self.offer([self.spoiler.spoil(base) for _ in range(BATCH)])
            self.offer([self.spoiler.verbatim(base)])
        else:
            self.number([self.spoiler.spoil(base) for _ in range(BATCH)])
        if not base.paths and base.type_name not in OFFERED:
            self.number([self.spoiler.verbatim(base)])
            self.number([self.spoiler.spoil(base) for _ in range(DAMAGED)], offered=True)
        for _ in range(DAMAGED):
            shots = [self.spoiler.spoil(base, NOT_SIGNED_AGAIN) for _ in range(2)]
            (self.offer if base.type_name in OFFERED else self.number)(shots, damage=True)
        yield

    def _about_new(self) -> Iterator[None]:
        """A Prepare for a transfer that is new: answered Ready or Refuse, and no unit is credited."""
        if self.party != SHENZHEN:
            return
        item = self._lock(self.address)
        self.fake.locks[SHANGHAI, item.message.header.transfer_id] = item
        payload = self.fake.prepare_payload(item, self.party)
        base = Base("UNKNOWN lock", messages_pb2.Prepare.FromString(payload), item.companion)
        self.offer([self.spoiler.spoil(base) for _ in range(4)])
        yield

    def offer(self, shots: Sequence[Shot], *, damage: bool = False) -> None:
        """Offer shots of one type; what is refused stands in the node's log."""
        batch = batch_of(self.network.signer(BRIDGE), list(shots))
        if damage:
            damaged(batch, self.random)
        self._put(sync_pb2.ConnectResponse(offered=batch))
        refused = self._barrier()
        for shot in shots:
            if not damage and shot.refused and not refused:
                raise FaultFound(f"nothing was refused: {shot.shown()}")
            self.sent(_quiet(shot), "")
        # Stored answers come by their number as well: as offers they are passed over, whoever signed them.
        if damage and not refused and batch.payload_type not in REPEATED:
            raise FaultFound(f"a batch whose signature does not hold was taken: {shots[0].shown()}")

    def number(self, shots: Sequence[Shot], *, damage: bool = False, offered: bool = False) -> None:
        """Send numbered shots and wait until they are durable; `offered`: as offers, which they are not."""
        if offered:
            self.offer([_quiet(shot) for shot in shots])
            return
        batch = batch_of(self.network.signer(BRIDGE), list(shots))
        if damage:
            damaged(batch, self.random)
        peer = self.fake.peer(self.party)
        with self.fake.changed:
            first = len(peer.numbered) + 1
            peer.numbered.extend((batch.payload_type, payload) for payload in batch.payloads)
            last = len(peer.numbered)
        numbered = sync_pb2.NumberedBatch(incarnation=self.fake.epoch, first_number=first, batch=batch)
        self._put(sync_pb2.ConnectResponse(numbered=numbered))
        self._wait(lambda: peer.acknowledged >= last)
        wanted = {shot.hash for shot in shots if shot.refused and shot.base.type_name != "Nack"}
        if not damage:
            self._wait(lambda: wanted <= self._nacked().keys())
        nacked = self._nacked()
        for shot in shots:
            known = nacked.get(shot.hash, "")
            # A Nack is never answered with another (section 3): it is kept.
            self.sent(shot if shot.base.type_name != "Nack" and not damage else _quiet(shot), known)

    def _nacked(self) -> dict[bytes, str]:
        with self.fake.changed:
            fresh = self.fake.nacks[self._heard :]
            self._heard += len(fresh)
        for seen in fresh:
            self._said[seen.message.message_hash] = seen.message.reasons[0].reason
        return self._said

    def _wait(self, holds: Callable[[], bool]) -> None:
        """Wait for the node; that it does not answer any more is a fault, and its log says which."""
        try:
            self.fake.wait_until(holds, WAIT_SECONDS)
        except AssertionError:
            raise FaultFound("\n".join(["the node does not answer", *self.served.faults()])) from None

    def _put(self, frame: sync_pb2.ConnectResponse) -> None:
        with self.fake.changed:
            frames = self.fake.peer(self.party).frames
        if frames is None:
            raise FaultFound("the node has left the line")
        frames.put(frame)

    def _barrier(self) -> int:
        """Send a numbered message that changes nothing and wait for it; how much the log refused before."""
        before = self.served.codes.total()
        nack = messages_pb2.Nack(header=self.fake.header((self.party,)), message_hash=ZERO)
        peer = self.fake.peer(self.party)
        self.fake.number(self.party, [(payload_type_of(nack), nack.SerializeToString())])
        last = len(peer.numbered)
        self._wait(lambda: peer.acknowledged >= last)
        faults = self.served.faults()
        if faults:
            raise FaultFound("\n".join(faults))
        return self.served.codes.total() - before

    def _frames(self) -> Iterator[None]:
        """Frames that carry no envelope, with ids of others and numbers of nobody."""
        ids = [self.random.randbytes(16), b"", b"x", *self.pool.values.get(16, [])[:20]]
        for source in (SHANGHAI, SHENZHEN, "", "region/999999"):
            need = sync_pb2.NeedPrepare(source=source, transfer_ids=ids)
            self._put(sync_pb2.ConnectResponse(need_prepare=need))
        for delay in (0, -1, 2**31 - 1):
            self._put(sync_pb2.ConnectResponse(busy=sync_pb2.Busy(transfer_ids=ids, retry_after_ms=delay)))
        self._put(
            sync_pb2.ConnectResponse(
                offer_refused=sync_pb2.OfferRefused(message_hash=b"x", transfer_id=b"", reasons=[])
            )
        )
        for incarnation, number in ((0, 1), (1, 0), (9, 2**63 - 1)):
            self._put(
                sync_pb2.ConnectResponse(
                    acknowledge=sync_pb2.Acknowledge(incarnation=incarnation, up_to_number=number)
                )
            )
        self._barrier()
        peer = self.fake.peer(self.party)
        hellos = len(peer.hellos)
        self.fake.cut(self.party)  # whatever was said, the node dials again
        self._wait(lambda: len(peer.hellos) > hellos)
        yield


def _quiet(shot: Shot) -> Shot:
    """A shot whose code stands in the log, not in an answer of its own."""
    return Shot(shot.base, shot.path, shot.change, shot.way, shot.payload, shot.companion, False)


def _key(seen: Seen) -> tuple[str, bytes]:
    header = seen.message.header
    return header.source, header.transfer_id


def _issue_id(seen: Seen) -> bytes:
    return getattr(seen.message, "issue_id", b"")


def _address_of(party: str) -> str:
    return make_address(RegionCode(party.removeprefix("region/")), bytes(range(10)))
