"""fsck of the claim index: claims stand where their last step put them, classes are those of the decisions.

A claim's steps are its receipts and the Issues that rest on it, all of them in append-only tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao_bridge.application.claim_aliases import united
from tanqiao_bridge.storage import aliases
from tanqiao_bridge.storage.claim_search import Filter, find_claims, steps_of

ROWS_PER_PAGE: Final = 1_000


def claim_faults(connection: sa.Connection) -> Iterator[str]:
    """Give one sentence for each claim that is not where its last step put it."""
    after = ""
    while page := find_claims(connection, Filter(), after=after, limit=ROWS_PER_PAGE):
        steps = steps_of(connection, [row.claim_id for row in page])
        for row in page:
            after = row.claim_id
            taken = steps.get(row.claim_id)
            if not taken:
                yield f"claim {row.claim_id} has no receipt"
            elif taken[-1].status != row.status:
                stands, put = (
                    claims_pb2.ClaimStatus.Name(number)  # type: ignore[arg-type]  # the table's numbers
                    for number in (row.status, taken[-1].status)
                )
                yield f"claim {row.claim_id} is {stands}, log {taken[-1].log_index} made it {put}"


def alias_faults(connection: sa.Connection) -> Iterator[str]:
    """Give one sentence for each key whose class is not that of the decisions."""
    pairs = aliases.all_pairs(connection)
    named = {key for first, second, _ in pairs for key in (first, second)}
    rebuilt = {key: min(members) for members in united(pairs, named) for key in members}
    stored = aliases.all_roots(connection)
    for key in sorted(rebuilt.keys() | stored.keys()):
        if rebuilt.get(key) != stored.get(key):
            yield f"{key} stands under {stored.get(key)}, the decisions give {rebuilt.get(key)}"
