"""Which kinds of leaf may be written: those that every witness reads (PROTOCOL section 8).

The kinds of the first version are read by whoever is a witness. A later one is written only after every
witness of the group has announced it, which it does beside its cosignatures: a witness refuses a leaf that it
cannot judge, and a quorum that refuses stops all finality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.storage.tables import known_leaf_kind

FIRST_KINDS: Final = frozenset(
    {
        "bridge_epoch",
        "claim",
        "correction",
        "decision",
        "freeze",
        "issue",
        "key_record",
        "recognition",
        "reconciliation",
        "trust_anchor",
        "unfreeze",
    }
)


def announced_by_all(connection: sa.Connection, witnesses: Sequence[str]) -> frozenset[str]:
    """Give the kinds that every witness has announced; none where there are no witnesses."""
    kinds: dict[str, set[str]] = {witness: set() for witness in witnesses}
    for row in connection.execute(sa.select(known_leaf_kind.c.witness, known_leaf_kind.c.kind)):
        if row.witness in kinds:
            kinds[row.witness].add(row.kind)
    return frozenset(set.intersection(*kinds.values())) if kinds else frozenset()


def require_announced(connection: sa.Connection, witnesses: Sequence[str], kind: str) -> str:
    """Give back a kind that came after the first version, if it may be written now.

    Raises:
        DomainError: LEAF_KIND_NOT_ANNOUNCED with the witnesses that are not known to read it.
    """
    columns = known_leaf_kind.c
    ready = set(connection.execute(sa.select(columns.witness).where(columns.kind == kind)).scalars())
    missing = [witness for witness in witnesses if witness not in ready]
    if missing:
        raise DomainError("LEAF_KIND_NOT_ANNOUNCED", kind=kind, witnesses=", ".join(missing))
    return kind
