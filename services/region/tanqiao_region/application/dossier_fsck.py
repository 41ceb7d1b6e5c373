"""What fsck demands of dossiers: a history without a gap that ends in their state, draws that come out."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao_region.application.experts import seed_of
from tanqiao_region.domain.panel_draw import Candidate, drawn_again
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tanqiao_region.storage.dossier_tables import dossier, dossier_step


def check_dossiers(connection: sa.Connection, note: Callable[[str], None]) -> int:
    """Look at every dossier; gives how many there are."""
    ends: dict[tuple[int, str], tuple[int, str]] = {}
    ordered = (dossier_step.c.kind, dossier_step.c.dossier_id, dossier_step.c.step_number)
    for row in connection.execute(sa.select(*ordered, dossier_step.c.content).order_by(*ordered)):
        key = (row.kind, row.dossier_id)
        number, state = ends.get(key, (0, BEFORE))
        step = dossiers_pb2.DossierStep.FromString(bytes(row.content))
        if (step.step_number, step.from_state) != (number + 1, state) or row.step_number != step.step_number:
            note(f"dossier {row.dossier_id}: step {row.step_number} does not follow from the one before")
        ends[key] = (row.step_number, step.to_state)
    count = 0
    columns = dossier.c
    for kind, dossier_id, state, steps, content in connection.execute(
        sa.select(columns.kind, columns.dossier_id, columns.state, columns.steps, columns.content)
    ):
        count += 1
        message = dossiers_pb2.Dossier.FromString(bytes(content))
        if ends.get((kind, dossier_id)) != (steps, state) or message.state != state:
            note(f"dossier {dossier_id} is not in the state that its history gives")
        if message.panel.members and not _drawn(message):
            note(f"dossier {dossier_id}: its panel does not come out of its draw")
    return count


def _drawn(message: dossiers_pb2.Dossier) -> bool:
    panel = message.panel
    candidates = [
        Candidate(one.expert_id, frozenset(one.fields), one.excluded_because) for one in panel.candidates
    ]
    size = panel.wanted + len(panel.reserves)
    _, again = drawn_again(candidates, panel.field, panel.seed, size)
    return panel.seed == seed_of(message) and again == (*panel.members, *panel.reserves)
