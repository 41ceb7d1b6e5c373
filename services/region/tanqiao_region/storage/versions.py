"""Versions of objects of registers: written with every change, read as of an index of the journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from tanqiao.db.bulk import insert_rows
from tanqiao_region.storage.journal import journal_head
from tanqiao_region.storage.version_tables import register_version

METHODOLOGY: Final = "methodology"
PROJECT: Final = "project"
EXPERT: Final = "expert"
AGREEMENT: Final = "recognition"
KEPT_FROM: Final = "kept-from"
"""Register of one row, if the table was made beside a journal: its index is the first that can be given."""

_COLUMNS: Final = ("register", "object_id", "first_index", "content")


class Version(NamedTuple):
    """An object as it stood."""

    object_id: str
    content: bytes


def register_of_dossiers(kind: int) -> str:
    """Give under which name the versions of a kind of dossier stand."""
    return f"dossier-{kind}"


def keep_version(connection: sa.Connection, register: str, object_id: str, content: bytes) -> None:
    """Note what stands from the next entry of the journal on: the one that this change is written with."""
    keep_version_from(connection, register, object_id, content, journal_head(connection)[0] + 1)


def keep_version_from(
    connection: sa.Connection, register: str, object_id: str, content: bytes, first_index: int
) -> None:
    """Note what stands from an entry on, where others of the same transaction are not written yet."""
    insert_rows(connection, register_version, [(register, object_id, first_index, content)], _COLUMNS)


def kept_from(connection: sa.Connection) -> int:
    """Give the first index of the journal as of which lists can be given."""
    columns = register_version.c
    first = connection.execute(
        sa.select(sa.func.max(columns.first_index)).where(columns.register == KEPT_FROM)
    ).scalar()
    return 1 if first is None else int(first)


def versions_as_of(
    connection: sa.Connection, register: str, index: int, *, after: str, limit: int
) -> list[Version]:
    """Give a page of a register as it stood when an entry was the last one, in the order of ids."""
    columns = register_version.c
    last = (
        sa.select(sa.func.max(columns.version_id))
        .where(columns.register == register, columns.object_id > after, columns.first_index <= index)
        .group_by(columns.object_id)
        .order_by(columns.object_id)
        .limit(limit)
    )
    rows = connection.execute(
        sa.select(columns.object_id, columns.content)
        .where(columns.version_id.in_(last))
        .order_by(columns.object_id)
    )
    return [Version(row.object_id, bytes(row.content)) for row in rows]


def version_as_of(connection: sa.Connection, register: str, object_id: str, index: int) -> bytes | None:
    """Give one object as it stood, None if it was not there."""
    columns = register_version.c
    found = connection.execute(
        sa.select(columns.content)
        .where(columns.register == register, columns.object_id == object_id, columns.first_index <= index)
        .order_by(columns.version_id.desc())
        .limit(1)
    ).scalar()
    return None if found is None else bytes(found)


def newest_versions(connection: sa.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Walk over the newest version of every object: (register, object, content)."""
    columns = register_version.c
    newest = (
        sa.select(sa.func.max(columns.version_id))
        .where(columns.register != KEPT_FROM)
        .group_by(columns.register, columns.object_id)
    )
    for row in connection.execute(
        sa.select(columns.register, columns.object_id, columns.content).where(columns.version_id.in_(newest))
    ):
        yield row.register, row.object_id, bytes(row.content)
