"""Entries of the reserve as they stand: what was entered, the state by their steps, their link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import reserve_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao_region.storage import register_history, registers
from tanqiao_region.storage.certificate_tables import register_step
from tanqiao_region.storage.reserve_tables import resource_link

ENTRY: Final = "reserve_entry"
PROOF: Final = "proof_of_filing"
PROOF_MARK: Final = ".P"
ENTERED: Final = "ENTERED"
"""State of an entry that no step is known of: it was entered before steps were kept."""


def load_entry(connection: sa.Connection, entry_id: str) -> reserve_pb2.CarbonResource | None:
    """Give an entry as it stands, or None."""
    found = registers.load_resource(connection, entry_id)
    return None if found is None else as_they_stand(connection, [found])[0]


def list_entries(
    connection: sa.Connection, *, after: tuple[bool, str] | None, limit: int
) -> Sequence[reserve_pb2.CarbonResource]:
    """Give a page of entries as they stand, in the order of `registers.list_resources`."""
    return as_they_stand(connection, registers.list_resources(connection, after=after, limit=limit))


def as_they_stand(
    connection: sa.Connection, found: Sequence[reserve_pb2.CarbonResource]
) -> Sequence[reserve_pb2.CarbonResource]:
    """Give entries their state and their link."""
    _link(connection, found)
    steps = register_history.last_steps(connection, ENTRY, [one.entry_id for one in found])
    for one in found:
        one.state = steps[one.entry_id].to_state if one.entry_id in steps else ENTERED
    return found


def as_they_stood(
    connection: sa.Connection, found: Sequence[reserve_pb2.CarbonResource], index: int
) -> Sequence[reserve_pb2.CarbonResource]:
    """Give those that had been entered at an index of the journal, with the state that they had then."""
    ids = [one.entry_id for one in found]
    known = register_history.last_steps(connection, ENTRY, ids)
    then = register_history.last_steps(connection, ENTRY, ids, index)
    shown = [one for one in found if one.entry_id in then or one.entry_id not in known]
    for one in shown:
        one.state = then[one.entry_id].to_state if one.entry_id in then else ENTERED
    return shown


def _link(connection: sa.Connection, found: Sequence[reserve_pb2.CarbonResource]) -> None:
    keys = [(one.entry_id,) for one in found]
    links = rows_by_key(connection, resource_link, ("entry_id",), keys, ("entry_id", "content"))
    linked = {entry_id: reserve_pb2.ResourceLink.FromString(bytes(content)) for entry_id, content in links}
    for one in found:
        if one.entry_id in linked:
            one.link.CopyFrom(linked[one.entry_id])


def insert_link(connection: sa.Connection, entry_id: str, link: reserve_pb2.ResourceLink) -> None:
    """Note to which application an entry was handed over."""
    insert_rows(connection, resource_link, [(entry_id, link.SerializeToString(deterministic=True))])


def count_steps(connection: sa.Connection, entry_id: str) -> int:
    """Give how many steps of an entry are known."""
    columns = register_step.c
    statement = sa.select(sa.func.count()).where(columns.register == ENTRY, columns.object_id == entry_id)
    return connection.execute(statement).scalar_one()


def count_proofs(connection: sa.Connection, entry_id: str) -> int:
    """Give how many proofs of filing an entry has; another entry's whose id begins alike do not count."""
    columns = register_step.c
    begins = f"{entry_id}{PROOF_MARK}"
    found = connection.execute(
        sa.select(columns.object_id).where(
            columns.register == PROOF,
            columns.step_number == 1,
            columns.object_id.startswith(begins, autoescape=True),
        )
    )
    return sum(row.object_id.removeprefix(begins).isdecimal() for row in found)
