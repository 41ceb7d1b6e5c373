"""What fsck demands of versions: the newest of every object is what its register holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlalchemy as sa

from tanqiao_region.storage import registers, versions
from tanqiao_region.storage.dossier_tables import dossier, expert
from tanqiao_region.storage.tables import methodology, project, recognition

Named = tuple[str, str]


def check_versions(connection: sa.Connection, note: Callable[[str], None]) -> int:
    """Look at every object of the registers that public lists show; gives how many there are."""
    held = dict(_held(connection))
    count = len(held)
    for register, object_id, content in versions.newest_versions(connection):
        stands = held.pop((register, object_id), None)
        if stands is None:
            note(f"{register} {object_id} has versions and is in no register")
        elif stands != content:
            note(f"{register} {object_id} is not what its newest version says")
    for register, object_id in sorted(held):
        note(f"{register} {object_id} has no version")
    return count


def _held(connection: sa.Connection) -> Iterator[tuple[Named, bytes]]:
    for register, object_id, content in (
        (versions.PROJECT, project.c.project_id, project.c.content),
        (versions.EXPERT, expert.c.expert_id, expert.c.content),
        (versions.AGREEMENT, recognition.c.agreement_id, recognition.c.payload),
    ):
        for row in connection.execute(sa.select(object_id, content)):
            yield (register, row[0]), bytes(row[1])
    files = sa.select(dossier.c.kind, dossier.c.dossier_id, dossier.c.content)
    for file in connection.execute(files):
        yield (versions.register_of_dossiers(file.kind), file.dossier_id), bytes(file.content)
    for found in connection.execute(sa.select(methodology)):
        message = registers.methodology_message(found)
        yield (
            (versions.METHODOLOGY, message.methodology_id),
            message.SerializeToString(deterministic=True),
        )
