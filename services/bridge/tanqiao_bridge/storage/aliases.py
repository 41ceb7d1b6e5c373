"""Alias classes of asset keys and the decisions behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import delete_by_key, insert_rows, rows_by_key
from tanqiao.kernel.record import record
from tanqiao_bridge.storage.claim_tables import alias_decision, alias_root

SAME: Final = 1
DIFFERENT: Final = 2


@record
class DecisionRow:
    """A reviewed pair of keys, the lesser first."""

    log_index: int
    first_key: str
    second_key: str
    relation: int
    envelope: bytes


_COLUMNS: Final = tuple(DecisionRow.__dataclass_fields__)


def roots_of(connection: sa.Connection, keys: Iterable[str]) -> dict[str, str]:
    """Give the root of each of these keys that a decision has named."""
    wanted = [(key,) for key in dict.fromkeys(keys)]
    return dict(rows_by_key(connection, alias_root, ("asset_key",), wanted, ("asset_key", "root_key")))


def members_of(connection: sa.Connection, roots: Iterable[str]) -> dict[str, list[str]]:
    """Give the keys of each class, in order."""
    wanted = [(root,) for root in dict.fromkeys(roots)]
    found: dict[str, list[str]] = {}
    for key, root in rows_by_key(connection, alias_root, ("root_key",), wanted, ("asset_key", "root_key")):
        found.setdefault(root, []).append(key)
    return {root: sorted(keys) for root, keys in found.items()}


def decisions_about(connection: sa.Connection, keys: Iterable[str]) -> list[DecisionRow]:
    """Give the latest decision of each pair that names one of these keys, oldest first."""
    wanted = [(key,) for key in dict.fromkeys(keys)]
    latest: dict[tuple[str, str], DecisionRow] = {}
    for column in ("first_key", "second_key"):
        for row in rows_by_key(connection, alias_decision, (column,), wanted, _COLUMNS):
            found = DecisionRow(row[0], row[1], row[2], row[3], bytes(row[4]))
            known = latest.get((found.first_key, found.second_key))
            if known is None or known.log_index < found.log_index:
                latest[found.first_key, found.second_key] = found
    return sorted(latest.values(), key=lambda row: row.log_index)


def all_pairs(connection: sa.Connection) -> list[tuple[str, str, int]]:
    """Give (first, second, relation) of the latest decision of every pair, in order of the log."""
    columns = alias_decision.c
    rows = connection.execute(
        sa.select(columns.first_key, columns.second_key, columns.relation).order_by(columns.log_index)
    )
    latest = {(row.first_key, row.second_key): int(row.relation) for row in rows}
    return [(first, second, relation) for (first, second), relation in latest.items()]


def insert_decision(connection: sa.Connection, row: DecisionRow) -> None:
    """Store a decision; the lesser key first."""
    values = tuple(getattr(row, name) for name in _COLUMNS)
    insert_rows(connection, alias_decision, [values], _COLUMNS)


def write_classes(connection: sa.Connection, keys: Iterable[str], classes: Iterable[Sequence[str]]) -> None:
    """Replace the rows of these keys by classes; the root is the least member."""
    delete_by_key(connection, alias_root, ("asset_key",), [(key,) for key in sorted(set(keys))])
    rows = [(key, min(members)) for members in classes for key in sorted(members)]
    insert_rows(connection, alias_root, rows, ("asset_key", "root_key"))


def all_roots(connection: sa.Connection) -> dict[str, str]:
    """Give every row of the classes."""
    return {
        row.asset_key: row.root_key
        for row in connection.execute(sa.select(alias_root.c.asset_key, alias_root.c.root_key))
    }
