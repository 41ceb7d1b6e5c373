"""Steps of objects that are no dossiers, by register and object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_region.storage.certificate_tables import register_step

INDEX_MAX: Final = 2**63 - 1
"""Beyond every index of a journal: its column has 64 bits."""


def insert_step(
    connection: sa.Connection, register: str, object_id: str, taken_by: str, step: dossiers_pb2.DossierStep
) -> None:
    """Note a step that was taken."""
    content = step.SerializeToString(deterministic=True)
    insert_rows(connection, register_step, [(register, object_id, step.step_number, taken_by, content)])


def list_steps(
    connection: sa.Connection, register: str, object_id: str, *, after: int, limit: int
) -> list[dossiers_pb2.DossierStep]:
    """Give a page of an object's steps, oldest first."""
    columns = register_step.c
    rows = connection.execute(
        sa.select(columns.content)
        .where(columns.register == register, columns.object_id == object_id, columns.step_number > after)
        .order_by(columns.step_number)
        .limit(limit)
    )
    return [dossiers_pb2.DossierStep.FromString(bytes(row.content)) for row in rows]


def last_steps(
    connection: sa.Connection, register: str, object_ids: Sequence[str], as_of_index: int = INDEX_MAX
) -> dict[str, dossiers_pb2.DossierStep]:
    """Give the last step of some objects, or the last at an index of the journal; none before the first."""
    rows = rows_by_key(
        connection,
        register_step,
        ("register", "object_id"),
        [(register, one) for one in object_ids],
        ("object_id", "content"),
    )
    last: dict[str, dossiers_pb2.DossierStep] = {}
    for object_id, content in rows:
        step = dossiers_pb2.DossierStep.FromString(bytes(content))
        known = last.get(object_id)
        if step.journal_index <= as_of_index and (known is None or known.step_number < step.step_number):
            last[object_id] = step
    return last


def all_steps(
    connection: sa.Connection, register: str
) -> Iterator[tuple[str, int, dossiers_pb2.DossierStep]]:
    """Walk over the steps of a register: (object, number, step), each object's in order."""
    columns = register_step.c
    rows = connection.execute(
        sa.select(columns.object_id, columns.step_number, columns.content)
        .where(columns.register == register)
        .order_by(columns.object_id, columns.step_number)
    )
    for row in rows:
        yield row.object_id, row.step_number, dossiers_pb2.DossierStep.FromString(bytes(row.content))
