"""Orders of the coordination notice as received, and their effects on certificates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_gateway.storage.tables import certificate_effect, node_state, registry_order

COLUMNS: Final = (
    "order_id",
    "kind",
    "claim_id",
    "order_hash",
    "payload",
    "envelope",
    "standing_until",
    "received_answer",
    "received_at",
    "decision",
    "decided_answer",
    "decided_at",
    "decided_by",
)
EFFECT_COLUMNS: Final = (
    "effect_number",
    "order_id",
    "claim_id",
    "asset_key",
    "start_date",
    "end_date",
    "frozen_mwh",
    "cancelled_mwh",
    "unfrozen_mwh",
    "import_number",
    "recorded_at",
)


Lot = tuple[str, str, str]
"""Asset key, first day and day after the last: certificates of one plant and one period."""


@dataclass(slots=True)
class Held:
    """What of one lot stands frozen, cancelled and released for one claim; in MWh, one to a certificate."""

    claim_id: str
    frozen_mwh: int = 0
    cancelled_mwh: int = 0
    unfrozen_mwh: int = 0


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One order; `decision` is None until an operator of the registry has decided."""

    order_id: bytes
    kind: int
    claim_id: str
    order_hash: bytes
    payload: bytes
    envelope: bytes
    standing_until: str
    received_answer: bytes
    received_at: int
    decision: int | None = None
    decided_answer: bytes | None = None
    decided_at: int | None = None
    decided_by: str | None = None

    @property
    def answer(self) -> bytes:
        """The newest answer, a serialised envelope."""
        return self.received_answer if self.decided_answer is None else self.decided_answer


@dataclass(frozen=True, slots=True)
class Effect:
    """A change of what stands frozen, cancelled or released of one lot, in MWh."""

    lot: Lot
    frozen_mwh: int = 0
    cancelled_mwh: int = 0
    unfrozen_mwh: int = 0


def take_turn(connection: sa.Connection) -> None:
    """Let one transaction at a time change what is held; on SQLite it is the only writer already."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(node_state.c.name).order_by(node_state.c.name).with_for_update()).all()


def load_order(connection: sa.Connection, order_id: bytes) -> OrderRow | None:
    """Give an order by its id."""
    row = connection.execute(
        sa.select(*(registry_order.c[name] for name in COLUMNS)).where(registry_order.c.order_id == order_id)
    ).first()
    return None if row is None else _row(row)


def orders_of(connection: sa.Connection, claim_id: str) -> list[OrderRow]:
    """Give the orders of a claim, oldest first."""
    rows = connection.execute(
        sa.select(*(registry_order.c[name] for name in COLUMNS))
        .where(registry_order.c.claim_id == claim_id)
        .order_by(registry_order.c.received_at, registry_order.c.order_id)
    )
    return [_row(row) for row in rows]


def orders_decided_as(connection: sa.Connection, kind: int, decision: int) -> list[OrderRow]:
    """Give the orders of a kind that were decided so."""
    rows = connection.execute(
        sa.select(*(registry_order.c[name] for name in COLUMNS))
        .where(registry_order.c.kind == kind, registry_order.c.decision == decision)
        .order_by(registry_order.c.received_at, registry_order.c.order_id)
    )
    return [_row(row) for row in rows]


def list_orders(connection: sa.Connection, *, undecided: bool, skip: int, limit: int) -> list[OrderRow]:
    """Give orders, newest first."""
    statement = sa.select(*(registry_order.c[name] for name in COLUMNS))
    if undecided:
        statement = statement.where(registry_order.c.decision.is_(None))
    columns = registry_order.c
    rows = connection.execute(
        statement.order_by(columns.received_at.desc(), columns.order_id.desc()).offset(skip).limit(limit)
    )
    return [_row(row) for row in rows]


def _row(row: Sequence[object]) -> OrderRow:
    values = dict(zip(COLUMNS, row, strict=True))
    for name in ("order_id", "order_hash", "payload", "envelope", "received_answer", "decided_answer"):
        if values[name] is not None:
            values[name] = bytes(values[name])  # type: ignore[call-overload]  # a driver's own bytes
    return OrderRow(**values)  # type: ignore[arg-type]


def insert_order(connection: sa.Connection, row: OrderRow) -> None:
    """Store an order with its acknowledgement."""
    insert_rows(connection, registry_order, [tuple(getattr(row, name) for name in COLUMNS)], COLUMNS)


def decide(
    connection: sa.Connection, order_id: bytes, *, decision: int, answer: bytes, now: int, by: str
) -> None:
    """Note what was decided; the database refuses a second time."""
    connection.execute(
        sa.update(registry_order)
        .where(registry_order.c.order_id == order_id)
        .values(decision=decision, decided_answer=answer, decided_at=now, decided_by=by)
    )


def add_effects(
    connection: sa.Connection, order: OrderRow, effects: Sequence[Effect], *, import_number: int, now: int
) -> None:
    """Append what an order did to lots."""
    last = connection.execute(sa.select(sa.func.max(certificate_effect.c.effect_number))).scalar() or 0
    insert_rows(
        connection,
        certificate_effect,
        [
            (
                last + place,
                order.order_id,
                order.claim_id,
                *effect.lot,
                effect.frozen_mwh,
                effect.cancelled_mwh,
                effect.unfrozen_mwh,
                import_number,
                now,
            )
            for place, effect in enumerate(effects, start=1)
        ],
        EFFECT_COLUMNS,
    )


def has_effects(connection: sa.Connection) -> bool:
    """Whether any order was ever carried out here; most gateways never see one."""
    return connection.execute(sa.select(certificate_effect.c.effect_number).limit(1)).first() is not None


def held_of(connection: sa.Connection, asset_keys: Iterable[str]) -> dict[Lot, list[Held]]:
    """Give what stands of each lot of these assets, by claim in the order of ids."""
    wanted = [(key,) for key in dict.fromkeys(asset_keys)]
    if not wanted:
        return {}
    rows = rows_by_key(
        connection,
        certificate_effect,
        ("asset_key",),
        wanted,
        ("asset_key", "start_date", "end_date", "claim_id", "frozen_mwh", "cancelled_mwh", "unfrozen_mwh"),
    )
    found: dict[Lot, dict[str, Held]] = {}
    for key, start, end, claim_id, frozen, cancelled, unfrozen in rows:
        held = found.setdefault((key, start, end), {}).setdefault(claim_id, Held(claim_id))
        held.frozen_mwh += frozen
        held.cancelled_mwh += cancelled
        held.unfrozen_mwh += unfrozen
    return {lot: [claims[name] for name in sorted(claims)] for lot, claims in found.items()}


def keys_of_claim(connection: sa.Connection, claim_id: str) -> list[str]:
    """Give the assets of which something was held for a claim."""
    rows = connection.execute(
        sa.select(certificate_effect.c.asset_key)
        .where(certificate_effect.c.claim_id == claim_id)
        .distinct()
        .order_by(certificate_effect.c.asset_key)
    )
    return list(rows.scalars())
