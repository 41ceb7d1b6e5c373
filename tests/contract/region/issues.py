"""Issues that a node has promised, of a project that is there for them alone."""

from __future__ import annotations

import sqlalchemy as sa

from tanqiao_region.application import journal
from tanqiao_region.application.group import Group
from tanqiao_region.application.issue_offers import IssueOrder
from tanqiao_region.storage.tables import methodology, project
from tests.contract.region.harness import SERIES, Node, block


def order_of(account_id: str, node: Node, start: int = 0, end: int = 1000) -> IssueOrder:
    return IssueOrder(
        issue_id=node.context.random_bytes(16),
        project_id="PV-1",
        account_id=account_id,
        start_date="2026-01-01",
        end_date="2026-02-01",
        series=SERIES,
        block=block(start, end),
        claim_id="C-1",
        claim_receipt_hash=b"h" * 32,
        activity_quantity=1,
        activity_unit="Wh",
        carried_in_g=0,
        carried_out_g=0,
        applied=journal.Applied(node.context.pack(None).identity, ("SH-15b",)),
    )


def put_project(group: Group, project_id: str, owner: str) -> None:
    """Put a project and its methodology there, with nothing in them but what the keys need."""
    named = {"project_id": project_id, "methodology_id": "M-1", "owner_account_id": owner}
    for table in (methodology, project):
        values = {}
        for column in table.columns:
            kind = column.type.python_type
            values[column.name] = named.get(column.name, kind() if kind is not int else 1)
        group.connection.execute(sa.insert(table).values(**values))
