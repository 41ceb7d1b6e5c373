"""What ends a case of reconciliation; `freezes` and `evidence` begin it."""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.evidence import OPEN, SETTLED
from tanqiao_bridge.storage.tables import conflict_case


def settle_cases(group: Group, kind: str, subject: str) -> None:
    """Settle the open cases of a kind about a subject: it was run again, and was clean."""
    table = conflict_case.c
    group.connection.execute(
        sa.update(conflict_case)
        .where(table.kind == kind, table.subject == subject, table.state == OPEN)
        .values(state=SETTLED)
    )
