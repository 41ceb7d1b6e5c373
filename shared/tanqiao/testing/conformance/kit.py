"""The kit: a line, orders, a partner region that exists on paper, and the steps that checks are made of."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.ids import ADDRESS_RANDOM_BYTES, make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.signing.batch import item_envelope, sign_batch
from tanqiao.signing.commitments import commitment
from tanqiao.signing.envelope import Signer, build_header
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.conformance.authorities import Authorities
from tanqiao.testing.conformance.line import BRIDGE, Came, Line
from tanqiao.testing.conformance.orders import Orders

ZERO_HASH: Final = bytes(32)
SERIALS_BEGIN: Final = 1_000_000
POLL_SECONDS: Final = 0.1
COMMIT: Final = messages_pb2.OUTCOME_COMMIT
ABORT: Final = messages_pb2.OUTCOME_ABORT


Agreements = Callable[[bool], envelope_pb2.Envelope]


class FailedError(Exception):
    """The region does not do what the requirement demands; the text says what it did."""


class NotRunError(Exception):
    """The check cannot be made here; the text says what is missing."""


@dataclass(frozen=True)
class Incoming:
    """A transfer to the region under test: the partner's lock, and the Prepare made of it."""

    transfer_id: bytes
    lock_hash: bytes
    lock: envelope_pb2.Envelope
    companion: bytes
    prepare: messages_pb2.Prepare

    @property
    def prepare_hash(self) -> bytes:
        """Message hash of the Prepare."""
        return hash_of(self.prepare)


@dataclass
class Kit:
    """What checks use.

    Args:
        line: to the region.
        orders: to its people.
        partner: the other region's party; the kit holds its keys.
        partner_signer: its message key.
        series: of the units that the partner sends.
        quantity_kg: units of one incoming transfer.
        legal_date: the day that Prepares and Decisions state.
        wait_seconds: how long an answer may take.
        patience_seconds: how long the kit says nothing, to see whether the region acts by itself.
    """

    line: Line
    orders: Orders
    partner: str
    partner_signer: Signer
    series: values_pb2.Series
    quantity_kg: int
    legal_date: values_pb2.Date
    wait_seconds: float = 20.0
    patience_seconds: float = 3.0
    agreements: Agreements | None = None
    authorities: Authorities | None = None
    _serial: int = SERIALS_BEGIN
    _log_index: int = 100

    def agreement(self, *, complete: bool) -> envelope_pb2.Envelope:
        """Give the agreement from the partner to the region, signed by both roots or by one alone."""
        if self.agreements is None:
            raise NotRunError("the kit holds no roots")
        return self.agreements(complete)

    @property
    def roots(self) -> Authorities:
        """Who signs what only authorities can: orders, records of keys, epochs of the bridge."""
        if self.authorities is None:
            raise NotRunError("the kit holds no keys of authorities")
        return self.authorities

    @property
    def log_index(self) -> int:
        """Index in the bridge's log that was used last."""
        return self._log_index

    @property
    def party(self) -> str:
        """The region under test."""
        return self.line.party

    # -- waiting and demanding -----------------------------------------------------------------------------

    def demand(self, condition: object, text: str) -> None:
        """Fail the check with a sentence, unless the condition holds."""
        if not condition:
            raise FailedError(text)

    def wait(self, holds: Callable[[], bool], text: str) -> None:
        """Wait until something holds, or fail with the sentence."""
        self.demand(self.line.wait(holds, self.wait_seconds), text)

    def poll(self, holds: Callable[[], bool], text: str) -> None:
        """Wait until something holds of which the line does not tell, or fail with the sentence."""
        until = time.monotonic() + self.wait_seconds
        while not holds():
            self.demand(time.monotonic() < until, text)
            self.line.wait(lambda: False, POLL_SECONDS)

    def connected(self) -> None:
        """Wait for the region on the line."""
        self.wait(lambda: self.line.connected, "the region does not dial in")

    def cut_and_wait(self) -> sync_pb2.Hello:
        """Cut the line and wait for the next session; its Hello."""
        self.connected()
        before = len(self.line.hellos)
        self.line.cut()
        self.wait(lambda: len(self.line.hellos) > before, "the region does not dial again after a cut")
        return self.line.hellos[-1]

    def settled(self) -> None:
        """Wait until everything numbered so far is acknowledged: what was sent before has been taken."""
        self.connected()
        nack = messages_pb2.Nack(
            header=self.line.header(),
            message_hash=secrets.token_bytes(32),
            reasons=[values_pb2.Refusal(reason="MESSAGE_NOT_CURRENT")],
        )
        number = self.line.number([nack])
        self.acknowledged(number)

    def acknowledged(self, number: int) -> None:
        """Wait until a number is acknowledged."""
        self.wait(
            lambda: self.line.acknowledged >= number,
            f"number {number} is not acknowledged, {self.line.acknowledged} is the last",
        )

    # -- what the region said ------------------------------------------------------------------------------

    def said(self, kind: type[Message], transfer_id: bytes | None = None, session: int = 0) -> list[Came]:
        """Give what came of a type, about a transfer, from a session on."""
        with self.line.changed:
            return [
                one
                for one in self.line.came
                if isinstance(one.message, kind)
                and (transfer_id is None or one.transfer_id == transfer_id)
                and one.session >= session
            ]

    def first(self, kind: type[Message], transfer_id: bytes, session: int = 0) -> Came:
        """Wait for a message of a type about a transfer."""
        name = kind.DESCRIPTOR.name
        self.wait(
            lambda: bool(self.said(kind, transfer_id, session)),
            f"no {name} came for transfer {transfer_id.hex()}",
        )
        return self.said(kind, transfer_id, session)[0]

    def answer(self, transfer_id: bytes) -> Came:
        """Wait for a Ready or a Refuse."""
        self.wait(
            lambda: bool(
                self.said(messages_pb2.Ready, transfer_id) or self.said(messages_pb2.Refuse, transfer_id)
            ),
            f"neither Ready nor Refuse came for transfer {transfer_id.hex()}",
        )
        return [*self.said(messages_pb2.Ready, transfer_id), *self.said(messages_pb2.Refuse, transfer_id)][0]

    def nack(self, refused_hash: bytes) -> Came:
        """Wait for the Nack of a message."""

        def found() -> list[Came]:
            return [one for one in self.said(messages_pb2.Nack) if one.message.message_hash == refused_hash]

        self.wait(lambda: bool(found()), "no Nack came for a message that cannot be accepted")
        return found()[0]

    # -- incoming transfers --------------------------------------------------------------------------------

    def incoming(
        self,
        address: str | None = None,
        transfer_id: bytes | None = None,
        *,
        series: values_pb2.Series | None = None,
        stated: Sequence[values_pb2.Series] | None = None,
    ) -> Incoming:
        """Make a transfer of the partner to the region under test; `stated` are the series of the Prepare."""
        address = address if address is not None else self.orders.address()
        openings = messages_pb2.Openings(
            receiving_address=address,
            receiving_address_salt=secrets.token_bytes(16),
            owner_pseudonym=secrets.token_bytes(16),
            owner_salt=secrets.token_bytes(16),
        )
        start, self._serial = self._serial, self._serial + self.quantity_kg
        series = series if series is not None else self.series
        lock = messages_pb2.LockAssertion(
            header=build_header(
                self.partner_signer,
                network_id=self.line.network_id,
                audience=(BRIDGE,),
                message_id=secrets.token_bytes(16),
                source=self.partner,
                transfer_id=transfer_id or secrets.token_bytes(16),
            ),
            destination=self.party,
            receiving_address_commitment=commitment(address.encode(), openings.receiving_address_salt),
            owner_commitment=commitment(openings.owner_pseudonym, openings.owner_salt),
            quantity_kg=self.quantity_kg,
        )
        lock.blocks.add(series_id=series.series_id, start_serial=start, end_serial=start + self.quantity_kg)
        batch = sign_batch(self.partner_signer, payload_type_of(lock), [lock.SerializeToString()])
        return self.prepared(
            lock,
            item_envelope(batch, 0),
            openings.SerializeToString(),
            stated if stated is not None else (series,),
        )

    def prepared(
        self,
        lock: messages_pb2.LockAssertion,
        envelope: envelope_pb2.Envelope,
        companion: bytes,
        stated: Sequence[values_pb2.Series],
    ) -> Incoming:
        """Make the Prepare of a lock."""
        lock_hash = message_hash(envelope.payload_type, envelope.payload)
        prepare = messages_pb2.Prepare(
            header=self.line.header(
                source=self.partner, transfer_id=lock.header.transfer_id, prev_hash=lock_hash
            ),
            legal_date=self.legal_date,
            lock=envelope,
            series=stated,
        )
        return Incoming(lock.header.transfer_id, lock_hash, envelope, companion, prepare)

    def offer(self, *transfers: Incoming) -> None:
        """Offer Prepares."""
        self.connected()
        self.line.offer([one.prepare for one in transfers], [one.companion for one in transfers])

    def ready(self, address: str | None = None) -> tuple[Incoming, Came]:
        """Bring an incoming transfer to READY."""
        transfer = self.incoming(address)
        self.offer(transfer)
        answer = self.answer(transfer.transfer_id)
        self.demand(
            isinstance(answer.message, messages_pb2.Ready),
            "a transfer that should be received is refused: "
            + ", ".join(one.reason for one in getattr(answer.message, "reasons", ())),
        )
        return transfer, answer

    def own_address(self) -> str:
        """Make an address of the region under test that belongs to nobody."""
        return make_address(
            RegionCode(self.party.removeprefix("region/")), secrets.token_bytes(ADDRESS_RANDOM_BYTES)
        )

    # -- outgoing transfers --------------------------------------------------------------------------------

    def partner_address(self) -> str:
        """Make an address as the partner would."""
        code = RegionCode(self.partner.removeprefix("region/"))
        return make_address(code, secrets.token_bytes(ADDRESS_RANDOM_BYTES))

    def locked(self) -> Came:
        """Bring an outgoing transfer to LOCKED; its lock as it came."""
        self.connected()
        transfer_id = self.orders.lock(self.partner_address(), self.partner)
        return self.first(messages_pb2.LockAssertion, transfer_id)

    def retiring(self) -> Came:
        """Bring a use to RETIRING; the Use as it came."""
        self.connected()
        return self.first(messages_pb2.Use, self.orders.use())

    # -- decisions -----------------------------------------------------------------------------------------

    def decision(
        self,
        source: str,
        transfer_id: bytes,
        outcome: messages_pb2.Outcome.ValueType,
        lock_hash: bytes,
        ready_hash: bytes = ZERO_HASH,
    ) -> messages_pb2.Decision:
        """Make a Decision; to the region under test and, if it is another, the source."""
        self._log_index += 1
        audience = tuple(dict.fromkeys((source, self.party)))
        made = messages_pb2.Decision(
            header=self.line.header(audience, source=source, transfer_id=transfer_id, prev_hash=lock_hash),
            outcome=outcome,
            lock_hash=lock_hash,
            ready_hash=ready_hash,
            log_index=self._log_index,
            legal_date=self.legal_date,
            bridge_epoch=self.line.epoch,
        )
        if outcome == ABORT:
            made.reasons.add(reason="FROZEN", sentence_zh="已冻结", sentence_en="frozen")
        return made

    def decide(self, decision: messages_pb2.Decision) -> bytes:
        """Number a Decision and wait for its acknowledgement; its hash."""
        self.connected()
        self.acknowledged(self.line.number([decision]))
        return hash_of(decision)

    def commit(self, transfer: Incoming, answer: Came) -> messages_pb2.Decision:
        """The COMMIT that an incoming transfer calls for."""
        return self.decision(
            self.partner, transfer.transfer_id, COMMIT, transfer.lock_hash, answer.opened.message_hash
        )

    def decision_on(
        self, lock: Came, outcome: messages_pb2.Outcome.ValueType, ready_hash: bytes | None = None
    ) -> messages_pb2.Decision:
        """Decide an outgoing transfer or a use."""
        is_use = isinstance(lock.message, messages_pb2.Use)
        if ready_hash is None:
            ready_hash = ZERO_HASH if is_use or outcome == ABORT else secrets.token_bytes(32)
        return self.decision(self.party, lock.transfer_id, outcome, lock.opened.message_hash, ready_hash)

    # -- what must not happen ------------------------------------------------------------------------------

    def demand_state(self, transfer_id: bytes, expected: str, text: str) -> None:
        """Demand the state of a transfer as the region shows it."""
        state = self.orders.state(transfer_id)
        self.demand(state == expected, f"{text}: it is {state or 'unknown'}, not {expected}")

    def demand_unmoved(self, transfer_id: bytes, state: str, after: str) -> None:
        """Demand that nothing was concluded: the state as it was, and no receipt."""
        self.settled()
        self.demand_state(transfer_id, state, f"after {after}")
        finals = self.said(messages_pb2.SourceFinal, transfer_id) + self.said(
            messages_pb2.DestFinal, transfer_id
        )
        self.demand(not finals, f"after {after} a receipt was sent")

    def be_silent(self) -> None:
        """Say nothing for a while, to see whether the region acts by itself."""
        until = time.monotonic() + self.patience_seconds
        self.line.wait(lambda: time.monotonic() >= until, self.patience_seconds)


def hash_of(message: Message) -> bytes:
    """Give the message hash of a message as it is sent."""
    return message_hash(payload_type_of(message), message.SerializeToString())
