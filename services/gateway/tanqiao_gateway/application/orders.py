"""Orders of the coordination notice at the registry of green certificates (CLAIMS section 4).

An order is stored with its acknowledgement before it is answered; the registry's operator decides it once,
and what it does to certificates is appended in the same transaction as the signed decision. A freeze that was
confirmed wholly is a standing order: what a later list shows as newly issued is frozen when it is imported,
until the day on which the notice ends. What is frozen stays frozen until it is cancelled or released.

A release ends what the bridge ordered for the claim before it, by its epoch and the index of its log,
whichever comes here first. What it orders afterwards, for a claim that stands again, is a freeze like any
other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import coordination_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.db.engine import Database
from tanqiao.db.streams import ClientRequest
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock, legal_date
from tanqiao.kernel.errors import DomainError, require
from tanqiao.rpc.validation import parse_wire_date
from tanqiao.signing.verify import Opened
from tanqiao_gateway.application.holdings import FROZEN, UNSOLD, Record, lot_of, overlay
from tanqiao_gateway.application.signing import Signing
from tanqiao_gateway.storage import orders, records
from tanqiao_gateway.storage.orders import Effect, Held, Lot, OrderRow
from tanqiao_gateway.storage.tables import request_ids

FREEZE: Final = coordination_pb2.REGISTRY_ORDER_KIND_FREEZE
CANCEL: Final = coordination_pb2.REGISTRY_ORDER_KIND_CANCEL
RELEASE: Final = coordination_pb2.REGISTRY_ORDER_KIND_RELEASE
ACKNOWLEDGED: Final = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
PART_CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_PART_CONFIRMED
REFUSED: Final = coordination_pb2.REGISTRY_ORDER_STATE_REFUSED
MICROSECONDS: Final = 1_000_000
BY_BRIDGE: Final = "bridge"
WITHDRAWN_REASON: Final = "项目已撤回 the project was withdrawn"
_DECIDED_BEFORE: Final[Mapping[int, int]] = {RELEASE: CANCEL, FREEZE: RELEASE}
"""What is decided first, if it is open for the same claim."""
_NAMES: Final[Mapping[int, str]] = {
    CANCEL: "注销 to be decided first: CANCEL",
    RELEASE: "解冻 to be decided first: RELEASE",
}
ENDED_REASON: Final = "通知已失效 the coordination notice has ended"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator says to an order; `quantity_mwh` 0: all that it means."""

    order_id: bytes
    refuse: bool
    quantity_mwh: int
    reason: str
    request: ClientRequest


class Orders:
    """Statements and orders of one gateway; each method is one unit of work."""

    def __init__(self, registry: str, database: Database, clock: Clock, signing: Signing) -> None:
        self._registry = registry
        self._database = database
        self._clock = clock
        self._signing = signing

    def sign_step(
        self, statement: coordination_pb2.CoordinationStatement, request: ClientRequest
    ) -> envelope_pb2.Envelope:
        """Sign a step of a CCER project; the same request gets the same envelope.

        Raises:
            DomainError: REQUEST_ID_REUSED; METHOD_UNKNOWN at another registry than CCER's.
        """
        if self._registry != "ccer":
            raise DomainError("METHOD_UNKNOWN", method="SignStep")
        now = int(self._clock.now().timestamp())

        def work(unit: UnitOfWork) -> bytes:
            known = answer_of(unit.connection, request)
            if known is not None:
                return known
            statement.header.CopyFrom(self._signing.header())
            signed = self._signing.sign(statement)
            request_ids.store(unit.connection, [(request, signed)], created_at_us=now * MICROSECONDS)
            unit.commit()
            return signed

        return envelope_pb2.Envelope.FromString(run_in_transaction(self._database, work))

    def place(self, opened: Opened, envelope: envelope_pb2.Envelope) -> envelope_pb2.Envelope:
        """Store an order of the bridge and acknowledge it; the same order again gets the newest answer.

        So does one that the bridge gave again, for the same statement, after it was restored from before it
        had given the first: what was done for that one is not done twice.

        Raises:
            DomainError: REQUEST_ID_REUSED where another order has the id; METHOD_UNKNOWN at another registry.
        """
        if self._registry != "gec":
            raise DomainError("METHOD_UNKNOWN", method="PlaceOrder")
        now = int(self._clock.now().timestamp())

        def work(unit: UnitOfWork) -> bytes:
            order: coordination_pb2.RegistryOrder = opened.message
            known = orders.load_order(unit.connection, order.order_id)
            if known is not None:
                if known.order_hash != opened.message_hash:
                    return self._answer_again(known, order, opened.message_hash)
                return known.answer
            orders.take_turn(unit.connection)
            asked = sum(part for _, part in _meant(unit.connection, order))
            row = OrderRow(
                order.order_id,
                order.kind,
                order.claim_id,
                opened.message_hash,
                opened.payload,
                envelope.SerializeToString(),
                _standing_until(order),
                self._answer(order, opened.message_hash, ACKNOWLEDGED, asked, 0, "", now),
                now,
            )
            earlier = orders.orders_of(unit.connection, order.claim_id)
            orders.insert_order(unit.connection, row)
            answer = self._settle_withdrawal(unit.connection, row, earlier, now)
            unit.commit()
            return answer

        return envelope_pb2.Envelope.FromString(run_in_transaction(self._database, work))

    def _answer_again(
        self, known: OrderRow, order: coordination_pb2.RegistryOrder, order_hash: bytes
    ) -> bytes:
        """Say of an order of a later epoch of the bridge what was said of the one that it forgot."""
        first = coordination_pb2.RegistryOrder.FromString(known.payload)
        is_same = (order.kind, order.claim_id) == (first.kind, first.claim_id)
        if order.bridge_epoch <= first.bridge_epoch or not is_same:
            raise DomainError("REQUEST_ID_REUSED", request_id=order.order_id.hex())
        said = coordination_pb2.RegistryOrderAnswer.FromString(
            envelope_pb2.Envelope.FromString(known.answer).payload
        )
        return self._answer(
            order,
            order_hash,
            said.state,
            said.asked_quantity_mwh,
            said.confirmed_quantity_mwh,
            said.reason,
            said.answer_time.seconds,
        )

    def _settle_withdrawal(
        self, connection: sa.Connection, row: OrderRow, earlier: Sequence[OrderRow], now: int
    ) -> bytes:
        """Refuse what nobody may do any more, whichever of the two orders came first; the answer to `row`.

        That is the freeze. What was issued stays issued: its certificates are cancelled whatever follows.
        """
        if row.kind == RELEASE:
            for one in earlier:
                if one.decision is None and one.kind == FREEZE and _is_released(one, [row]):
                    self._decide(connection, one, REFUSED, 0, 0, WITHDRAWN_REASON, now, BY_BRIDGE)
        elif row.kind == FREEZE and _is_released(row, earlier):
            return self._decide(connection, row, REFUSED, 0, 0, WITHDRAWN_REASON, now, BY_BRIDGE)
        return row.received_answer

    def decide(self, decision: Decision) -> envelope_pb2.Envelope:
        """Confirm an order wholly or in part, or refuse it; the same decision again gets the stored answer.

        Raises:
            DomainError: NOT_FOUND; ORDER_REFUSED once decided; FIELD_INVALID above what the order means;
                FIELD_MISSING for a refusal or a part without a reason.
        """
        moment = self._clock.now()
        now, today = int(moment.timestamp()), legal_date(moment).isoformat()

        def work(unit: UnitOfWork) -> bytes:
            connection = unit.connection
            known = answer_of(connection, decision.request)
            if known is not None:
                return known
            orders.take_turn(connection)
            row = orders.load_order(connection, decision.order_id)
            if row is None:
                raise DomainError("NOT_FOUND", what="order", id=decision.order_id.hex())
            if row.decision is not None:
                state = coordination_pb2.RegistryOrderState.Name(row.decision)  # type: ignore[arg-type]
                detail = f"已决定 already decided: {state.removeprefix('REGISTRY_ORDER_STATE_')}"
                raise DomainError(
                    "ORDER_REFUSED", registry=self._registry, order_id=row.order_id.hex(), detail=detail
                )
            if not decision.refuse:
                self._require_turn(connection, row)
            answer = self._carry_out(connection, row, decision, today, now)
            stored = (decision.request, answer)
            request_ids.store(connection, [stored], created_at_us=now * MICROSECONDS)
            unit.commit()
            return answer

        return envelope_pb2.Envelope.FromString(run_in_transaction(self._database, work))

    def _require_turn(self, connection: sa.Connection, row: OrderRow) -> None:
        """Refuse to release certificates of which some are to be cancelled: they might be sold meanwhile.

        And to freeze for a claim while an earlier release for it is open, which would undo it.
        """
        first = _DECIDED_BEFORE.get(row.kind)
        for one in orders.orders_of(connection, row.claim_id):
            if one.kind == first and one.decision is None:
                name = _NAMES[one.kind]
                detail = f"先决定{name} {one.order_id.hex()}"
                raise DomainError(
                    "ORDER_REFUSED", registry=self._registry, order_id=row.order_id.hex(), detail=detail
                )

    def _carry_out(
        self, connection: sa.Connection, row: OrderRow, decision: Decision, today: str, now: int
    ) -> bytes:
        order = coordination_pb2.RegistryOrder.FromString(row.payload)
        meant = _meant(connection, order)
        asked = sum(part for _, part in meant)
        if order.kind == CANCEL:
            asked = sum(one.quantity for one in order.quantities)
        by = decision.request.caller
        if decision.refuse:
            _require_reason(decision.reason)
            return self._decide(connection, row, REFUSED, asked, 0, decision.reason, now, by)
        if row.kind == FREEZE and today >= row.standing_until:
            return self._decide(connection, row, REFUSED, asked, 0, ENDED_REASON, now, by)
        available = sum(part for _, part in meant)
        wanted = decision.quantity_mwh or min(asked, available)
        if wanted > min(asked, available):
            detail = f"{wanted} MWh, {min(asked, available)} at most"
            raise DomainError("FIELD_INVALID", field="quantity_mwh", detail=detail)
        state = CONFIRMED if wanted == asked else PART_CONFIRMED
        if state == PART_CONFIRMED:
            _require_reason(decision.reason)
        current = records.current_import(connection)
        orders.add_effects(
            connection,
            row,
            _effects(order.kind, _share(meant, wanted), connection, order.claim_id),
            import_number=0 if current is None else current.import_number,
            now=now,
        )
        return self._decide(connection, row, state, asked, wanted, decision.reason, now, by)

    def _decide(
        self,
        connection: sa.Connection,
        row: OrderRow,
        state: int,
        asked: int,
        confirmed: int,
        reason: str,
        now: int,
        by: str,
    ) -> bytes:
        order = coordination_pb2.RegistryOrder.FromString(row.payload)
        answer = self._answer(order, row.order_hash, state, asked, confirmed, reason, now)
        orders.decide(connection, row.order_id, decision=state, answer=answer, now=now, by=by)
        return answer

    def _answer(
        self,
        order: coordination_pb2.RegistryOrder,
        order_hash: bytes,
        state: int,
        asked: int,
        confirmed: int,
        reason: str,
        now: int,
    ) -> bytes:
        return self._signing.sign(
            coordination_pb2.RegistryOrderAnswer(
                header=self._signing.header(order_hash),
                order_id=order.order_id,
                order_hash=order_hash,
                state=state,  # type: ignore[arg-type]  # the table's numbers are the wire's
                asked_quantity_mwh=asked,
                confirmed_quantity_mwh=confirmed,
                reason=reason,
                answer_time=Timestamp(seconds=now),
            )
        )

    def received(self, *, undecided: bool, skip: int, limit: int) -> list[gateway_pb2.ReceivedOrder]:
        """Give orders with their newest answers, newest first."""
        with self._database.reading() as connection:
            rows = orders.list_orders(connection, undecided=undecided, skip=skip, limit=limit)
            return [
                gateway_pb2.ReceivedOrder(
                    order=coordination_pb2.RegistryOrder.FromString(row.payload),
                    answer=coordination_pb2.RegistryOrderAnswer.FromString(
                        envelope_pb2.Envelope.FromString(row.answer).payload
                    ),
                    frozen_quantity_mwh=sum(
                        held.frozen_mwh for _, held in _held_for(connection, row.claim_id)
                    ),
                )
                for row in rows
            ]


def apply_standing(connection: sa.Connection, today: str, now: int) -> None:
    """Freeze what a list that was just imported shows as newly issued (a freeze is a standing order)."""
    current = records.current_import(connection)
    standing = [
        row for row in orders.orders_decided_as(connection, FREEZE, CONFIRMED) if today < row.standing_until
    ]
    if current is None or not standing:
        return
    orders.take_turn(connection)
    for row in standing:
        if _is_released(row, orders.orders_of(connection, row.claim_id)):
            continue
        order = coordination_pb2.RegistryOrder.FromString(row.payload)
        effects = [Effect(lot, frozen_mwh=part) for lot, part in _meant(connection, order)]
        orders.add_effects(connection, row, effects, import_number=current.import_number, now=now)


def rows_as_they_stand(
    connection: sa.Connection, import_number: int, rows: dict[int, Record]
) -> dict[int, list[Record]]:
    """Give rows of a list in the parts in which they stand now.

    The lots of which something is held are read whole: which of their rows are frozen depends on all.
    """
    if not orders.has_effects(connection):
        return {number: [row] for number, row in rows.items()}
    keys = {lot[0] for lot in map(lot_of, rows.values()) if lot is not None}
    held = orders.held_of(connection, keys)
    if not held:
        return {number: [row] for number, row in rows.items()}
    found = records.rows_of_keys(connection, import_number, {lot[0] for lot in held})
    numbers = {number for one in found.values() for number in one}
    parts = overlay({**records.load_records(connection, import_number, numbers), **rows}, held)
    return {number: parts[number] for number in rows}


def answer_of(connection: sa.Connection, request: ClientRequest) -> bytes | None:
    """Give the stored answer of a request, None for a new one; REQUEST_ID_REUSED for another body."""
    answer = request_ids.answers(connection, [request])[0]
    if isinstance(answer, DomainError):
        raise answer
    return answer


def _is_released(freeze: OrderRow, known: Sequence[OrderRow]) -> bool:
    """Whether one of these orders releases what a freeze means: the bridge ordered it later."""
    at = _place(freeze)
    return any(one.kind == RELEASE and _place(one) >= at for one in known)


def _place(row: OrderRow) -> tuple[int, int]:
    """Give where an order stands among the bridge's: its epoch, and the index of the log."""
    order = coordination_pb2.RegistryOrder.FromString(row.payload)
    return order.bridge_epoch, order.log_index


def _require_reason(reason: str) -> None:
    if not reason:
        raise DomainError("FIELD_MISSING", field="reason")


def _standing_until(order: coordination_pb2.RegistryOrder) -> str:
    if order.kind != FREEZE:
        return ""
    return parse_wire_date(order.standing_until_date, "standing_until_date").isoformat()


def _meant(connection: sa.Connection, order: coordination_pb2.RegistryOrder) -> list[tuple[Lot, int]]:
    """Give the lots that an order can be carried out on now, with the MWh that it can take of each."""
    if order.kind == RELEASE:
        return [(lot, held.frozen_mwh) for lot, held in _held_for(connection, order.claim_id)]
    current = records.current_import(connection)
    if current is None:
        return []
    keys = [asset_key(asset_ref(one.scheme, one.value)) for one in order.references]
    found = records.rows_of_keys(connection, current.import_number, keys)
    numbers = {number for one in found.values() for number in one}
    rows = records.load_records(connection, current.import_number, numbers)
    standing = rows_as_they_stand(connection, current.import_number, rows)
    free: dict[Lot, int] = {}
    for number in sorted(standing):
        for part in standing[number]:
            lot = lot_of(part)
            own = part.certificate_state == FROZEN and part.frozen_for == order.claim_id
            unsold = part.certificate_state in UNSOLD
            if lot is not None and part.tradable and (unsold or (own and order.kind == CANCEL)):
                free[lot] = free.get(lot, 0) + part.activity_quantity
    if order.kind == FREEZE:
        start, end = _dates(order.period)
        return sorted((lot, part) for lot, part in free.items() if lot[1] < end and start < lot[2])
    meant = []
    for one in order.quantities:
        left = one.quantity
        start, end = _dates(one.period)
        for lot in sorted(free):
            taken = min(left, free[lot]) if lot[1] < end and start < lot[2] else 0
            if taken:
                meant.append((lot, taken))
                free[lot] -= taken
                left -= taken
    return meant


def _dates(period: values_pb2.Period) -> tuple[str, str]:
    start = parse_wire_date(period.start_date, "period.start_date")
    return start.isoformat(), parse_wire_date(period.end_date, "period.end_date").isoformat()


def _share(meant: Sequence[tuple[Lot, int]], wanted: int) -> list[tuple[Lot, int]]:
    """Take the wanted quantity from the first lots on."""
    shares, left = [], wanted
    for lot, part in meant:
        taken = min(part, left)
        if taken:
            shares.append((lot, taken))
            left -= taken
    require(left == 0, "no more is confirmed than the order can be carried out on")
    return shares


def _effects(
    kind: int, shares: Sequence[tuple[Lot, int]], connection: sa.Connection, claim_id: str
) -> list[Effect]:
    if kind == FREEZE:
        return [Effect(lot, frozen_mwh=part) for lot, part in shares]
    if kind == RELEASE:
        return [Effect(lot, frozen_mwh=-part, unfrozen_mwh=part) for lot, part in shares]
    frozen = {lot: held.frozen_mwh for lot, held in _held_for(connection, claim_id)}
    effects = []
    for lot, part in shares:
        from_frozen = min(part, frozen.get(lot, 0))
        frozen[lot] = frozen.get(lot, 0) - from_frozen
        effects.append(Effect(lot, frozen_mwh=-from_frozen, cancelled_mwh=part))
    return effects


def _held_for(connection: sa.Connection, claim_id: str) -> list[tuple[Lot, Held]]:
    """Give what stands for one claim, by lot in order."""
    held = orders.held_of(connection, orders.keys_of_claim(connection, claim_id))
    return [(lot, one) for lot in sorted(held) for one in held[lot] if one.claim_id == claim_id]


def order_request(caller: str, request_id: str, body: bytes) -> ClientRequest:
    """Give what makes a call the same one."""
    return ClientRequest(caller, request_id, hashlib.sha256(body).digest())
