"""What a difference between two books leads to: exactly those blocks are frozen, and a case is open."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.tables import conflict_case, frozen

OPEN = "open"
SETTLED = "settled"


def freeze_blocks(
    group: Group, blocks: Sequence[UnitBlock], *, reason: str, document: str, hashes: Sequence[bytes]
) -> None:
    """Freeze blocks that are not frozen as such yet, with a leaf that names the evidence."""
    table = frozen.c
    for block in blocks:
        known = group.connection.execute(
            sa.select(table.frozen_id).where(
                table.scope == messages_pb2.FREEZE_SCOPE_BLOCK,
                table.series_id == block.series_id,
                table.start_serial == block.start,
                table.end_serial == block.end,
            )
        ).first()
        if known is not None:
            continue
        order_id = group.context.random_bytes(16)
        group.connection.execute(
            sa.insert(frozen).values(
                order_id=order_id,
                scope=messages_pb2.FREEZE_SCOPE_BLOCK,
                series_id=block.series_id,
                start_serial=block.start,
                end_serial=block.end,
                pseudonym=b"",
                region="",
                other_region="",
                document=document,
            )
        )
        leaf = make_leaf(
            "freeze",
            message_hashes=hashes,
            signer_key_ids=[group.context.signer.key_id],
            public={"block": str(block).encode(), "order_id": order_id, "reason": reason.encode()},
        )
        log.append_leaves(group.connection, [leaf], recorded_at=group.now)


def open_case_about(group: Group, kind: str, party: str, subject: str, details: str) -> None:
    """Open a case about a region; one while it is open."""
    table = conflict_case.c
    known = group.connection.execute(
        sa.select(table.case_id).where(table.kind == kind, table.subject == subject, table.state == OPEN)
    ).first()
    if known is None:
        group.connection.execute(
            sa.insert(conflict_case).values(
                kind=kind,
                state=OPEN,
                subject=subject,
                blocking=False,
                details=details or party,
                opened_at=group.now,
            )
        )


def settle_cases(group: Group, kind: str, subject: str) -> None:
    """Settle the open cases of a kind about a subject: it was run again, and was clean."""
    table = conflict_case.c
    group.connection.execute(
        sa.update(conflict_case)
        .where(table.kind == kind, table.subject == subject, table.state == OPEN)
        .values(state=SETTLED)
    )
