"""Tokens of claims by key epoch, and how many a region had made on a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from tanqiao.db.bulk import insert_missing, insert_rows, rows_by_key
from tanqiao_bridge.storage.claim_tables import claim_token, token_use
from tanqiao_bridge.storage.claims import COLUMNS, ClaimRow, claim_of_columns
from tanqiao_bridge.storage.tables import claim, claim_key

_LIVE_FIRST: Final = 2
_LIVE_LAST: Final = 6
# DECLARED to RETIRED, as the wire numbers them.


def insert_tokens(connection: sa.Connection, rows: Sequence[tuple[str, int, bytes]]) -> None:
    """Store (claim id, key epoch, serialised tokens)."""
    insert_rows(connection, claim_token, rows, ("claim_id", "key_epoch", "content"))


def add_keys(connection: sa.Connection, rows: Sequence[tuple[str, str]]) -> None:
    """Find claims under more keys: (key, claim id); those that are there stay."""
    insert_missing(connection, claim_key, rows)


def tokens_of(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, dict[int, bytes]]:
    """Give the stored tokens of claims by key epoch."""
    wanted = [(claim_id,) for claim_id in dict.fromkeys(claim_ids)]
    found: dict[str, dict[int, bytes]] = {}
    columns = ("claim_id", "key_epoch", "content")
    for claim_id, key_epoch, content in rows_by_key(connection, claim_token, ("claim_id",), wanted, columns):
        found.setdefault(claim_id, {})[key_epoch] = bytes(content)
    return found


def _resting(key_epoch: int) -> sa.ColumnElement[bool]:
    """Live claims with tokens under the epoch and none under a newer one."""
    newer = claim_token.alias("newer")
    renewed = sa.exists().where(newer.c.claim_id == claim_token.c.claim_id, newer.c.key_epoch > key_epoch)
    return sa.and_(
        claim_token.c.key_epoch == key_epoch,
        claim.c.status.between(_LIVE_FIRST, _LIVE_LAST),
        ~renewed,
    )


def resting_claims(connection: sa.Connection, key_epoch: int) -> int:
    """Count the live claims whose newest tokens are of this epoch."""
    joined = claim_token.join(claim, claim.c.claim_id == claim_token.c.claim_id)
    statement = sa.select(sa.func.count()).select_from(joined).where(_resting(key_epoch))
    return int(connection.execute(statement).scalar_one())


def stale_claims(
    connection: sa.Connection, region: str, newest: int, *, after: str, limit: int
) -> list[ClaimRow]:
    """Give a region's live claims that have tokens, but none under the newest epoch, in order of id."""
    has = sa.exists().where(claim_token.c.claim_id == claim.c.claim_id)
    under_newest = sa.exists().where(
        claim_token.c.claim_id == claim.c.claim_id, claim_token.c.key_epoch == newest
    )
    statement = (
        sa.select(*(claim.c[name] for name in COLUMNS))
        .where(
            claim.c.region == region,
            claim.c.claim_id > after,
            claim.c.status.between(_LIVE_FIRST, _LIVE_LAST),
            has,
            ~under_newest,
        )
        .order_by(claim.c.claim_id)
        .limit(limit)
    )
    return [claim_of_columns(row) for row in connection.execute(statement)]


def used(connection: sa.Connection, region: str, day: str) -> int:
    """Give how many elements were evaluated for a region on a day."""
    statement = sa.select(token_use.c.elements).where(token_use.c.region == region, token_use.c.day == day)
    return connection.execute(statement).scalar() or 0


def count_use(connection: sa.Connection, region: str, day: str, elements: int) -> None:
    """Count a call and its elements."""
    insert_missing(connection, token_use, [(region, day, 0, 0)])
    connection.execute(
        sa.update(token_use)
        .where(token_use.c.region == region, token_use.c.day == day)
        .values(calls=token_use.c.calls + 1, elements=token_use.c.elements + elements)
    )
