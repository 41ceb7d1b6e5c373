"""Dossiers, their steps, and the expert pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage import versions
from tanqiao_region.storage.dossier_tables import dossier, dossier_step, expert

POOL_MAX: Final = 1000
"""Most experts that a pool holds; a draw looks at all of them."""


@dataclass(frozen=True, slots=True)
class DossierRow:
    """A dossier as it stands: what is shown, and what only the node knows."""

    message: dossiers_pb2.Dossier
    submitted_by: str
    steps: int


def _values(row: DossierRow) -> tuple[object, ...]:
    message = row.message
    return (
        int(message.kind),
        message.dossier_id,
        message.state,
        message.account_id,
        row.submitted_by,
        row.steps,
        message.SerializeToString(deterministic=True),
    )


def insert_dossier(connection: sa.Connection, row: DossierRow) -> None:
    """Open a dossier."""
    insert_rows(connection, dossier, [_values(row)])
    _keep(connection, row.message)


def _keep(connection: sa.Connection, message: dossiers_pb2.Dossier) -> None:
    content = message.SerializeToString(deterministic=True)
    register = versions.register_of_dossiers(int(message.kind))
    versions.keep_version(connection, register, message.dossier_id, content)


def update_dossier(connection: sa.Connection, row: DossierRow) -> None:
    """Write a dossier as it stands now."""
    kind, dossier_id, state, _, _, steps, content = _values(row)
    update_by_key(
        connection,
        dossier,
        ("kind", "dossier_id"),
        ("state", "steps", "content"),
        [(kind, dossier_id, state, steps, content)],
    )
    _keep(connection, row.message)


def load_dossier(connection: sa.Connection, kind: int, dossier_id: str) -> DossierRow | None:
    """Give a dossier, or None."""
    rows = rows_by_key(
        connection,
        dossier,
        ("kind", "dossier_id"),
        [(kind, dossier_id)],
        ("content", "submitted_by", "steps"),
    )
    for content, submitted_by, steps in rows:
        return DossierRow(dossiers_pb2.Dossier.FromString(bytes(content)), submitted_by, steps)
    return None


def dossier_of_account(connection: sa.Connection, kind: int, account_id: str) -> dossiers_pb2.Dossier | None:
    """Give the dossier of this kind that an account applied with last, or None."""
    columns = dossier.c
    found = connection.execute(
        sa.select(columns.content)
        .where(columns.account_id == account_id, columns.kind == kind)
        .order_by(columns.dossier_id.desc())
        .limit(1)
    ).first()
    return None if found is None else dossiers_pb2.Dossier.FromString(bytes(found.content))


def list_dossiers(
    connection: sa.Connection, kind: int, states: Sequence[str], *, after: str, limit: int
) -> list[DossierRow]:
    """Give a page of dossiers of a kind in the order of their ids, of these states or of any."""
    columns = dossier.c
    statement = (
        sa.select(columns.content, columns.submitted_by, columns.steps)
        .where(columns.kind == kind, columns.dossier_id > after)
        .order_by(columns.dossier_id)
        .limit(limit)
    )
    if states:
        statement = statement.where(columns.state.in_(states))
    return [
        DossierRow(dossiers_pb2.Dossier.FromString(bytes(row.content)), row.submitted_by, row.steps)
        for row in connection.execute(statement)
    ]


def insert_step(
    connection: sa.Connection, row: DossierRow, taken_by: str, step: dossiers_pb2.DossierStep, evidence: bytes
) -> None:
    """Note a step that was taken."""
    insert_rows(
        connection,
        dossier_step,
        [
            (
                int(row.message.kind),
                row.message.dossier_id,
                step.step_number,
                taken_by,
                step.SerializeToString(deterministic=True),
                evidence,
            )
        ],
    )


def list_steps(
    connection: sa.Connection, kind: int, dossier_id: str, *, after: int, limit: int
) -> list[dossiers_pb2.DossierStep]:
    """Give a page of a dossier's steps, oldest first."""
    columns = dossier_step.c
    rows = connection.execute(
        sa.select(columns.content)
        .where(columns.kind == kind, columns.dossier_id == dossier_id, columns.step_number > after)
        .order_by(columns.step_number)
        .limit(limit)
    )
    return [dossiers_pb2.DossierStep.FromString(bytes(row.content)) for row in rows]


# -- experts


def store_expert(connection: sa.Connection, message: dossiers_pb2.Expert, *, known: bool) -> None:
    """Appoint an expert, or write what stands in the pool now."""
    content = message.SerializeToString(deterministic=True)
    if known:
        update_by_key(connection, expert, ("expert_id",), ("content",), [(message.expert_id, content)])
    else:
        insert_rows(connection, expert, [(message.expert_id, content)])
    versions.keep_version(connection, versions.EXPERT, message.expert_id, content)


def load_experts(connection: sa.Connection, expert_ids: Iterable[str]) -> dict[str, dossiers_pb2.Expert]:
    """Give experts by id; one that the pool does not know is missing."""
    wanted = [(expert_id,) for expert_id in dict.fromkeys(expert_ids)]
    rows = rows_by_key(connection, expert, ("expert_id",), wanted, ("expert_id", "content"))
    return {row[0]: dossiers_pb2.Expert.FromString(bytes(row[1])) for row in rows}


def list_experts(connection: sa.Connection, *, after: str, limit: int) -> list[dossiers_pb2.Expert]:
    """Give a page of the pool in the order of ids."""
    columns = expert.c
    rows = connection.execute(
        sa.select(columns.content).where(columns.expert_id > after).order_by(columns.expert_id).limit(limit)
    )
    return [dossiers_pb2.Expert.FromString(bytes(row.content)) for row in rows]
