"""Leases: what must be single (sealing the log, a Sync session) holds one, which fences its predecessor.

Safety rests on the *epoch* alone: each new holder gets a larger one, and a transaction of the old holder is
refused once the epoch moved, whatever the clocks say. The expiry decides only when another may take over.
Times are microseconds since 1970-01-01 UTC and are given by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.db.engine import TransactionConflictError
from tanqiao.db.guards import Guard, never_decreases, undeletable
from tanqiao.kernel.errors import DomainError


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was held when it was given.

    Attributes:
        name: what is single.
        holder: random per process or session, so that a restarted process fences itself.
        epoch: grows with each change of holder.
        expires_at_us: when another one may take over.
    """

    name: str
    holder: str
    epoch: int
    expires_at_us: int


class Leases:
    """Table of leases, one row per name."""

    def __init__(self, metadata: sa.MetaData, name: str = "lease") -> None:
        self.rows: Final = sa.Table(
            name,
            metadata,
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("holder", sa.Text, nullable=False),
            sa.Column("epoch", sa.BigInteger, nullable=False),
            sa.Column("expires_at_us", sa.BigInteger, nullable=False),
            sa.CheckConstraint("epoch >= 1", name=f"{name}_epoch_is_positive"),
        )

    def guards(self) -> tuple[Guard, ...]:
        """Give the guards: an epoch never comes back."""
        return (undeletable(self.rows.name), never_decreases(self.rows.name, "epoch"))

    def acquire(
        self, connection: sa.Connection, name: str, holder: str, *, now_us: int, duration_us: int
    ) -> Lease | None:
        """Take the lease if it is free, expired or this holder's; None while another one holds it."""
        current = self._locked(connection, name)
        if current is not None and current.holder != holder and now_us < current.expires_at_us:
            return None
        return self._give(connection, current, Lease(name, holder, 0, now_us + duration_us))

    def take_over(
        self, connection: sa.Connection, name: str, holder: str, *, now_us: int, duration_us: int
    ) -> Lease:
        """Take the lease from whoever holds it: the newest session fences the older (PROTOCOL section 3)."""
        current = self._locked(connection, name)
        return self._give(connection, current, Lease(name, holder, 0, now_us + duration_us))

    def renew(self, connection: sa.Connection, lease: Lease, *, now_us: int, duration_us: int) -> Lease:
        """Hold it longer; LEASE_LOST once another one took it."""
        rows = self.rows.c
        renewed = connection.execute(
            sa.update(self.rows)
            .where(rows.name == lease.name, rows.epoch == lease.epoch, rows.holder == lease.holder)
            .values(expires_at_us=now_us + duration_us)
        )
        if renewed.rowcount != 1:
            raise DomainError("LEASE_LOST", lease=lease.name)
        return Lease(lease.name, lease.holder, lease.epoch, now_us + duration_us)

    def release(self, connection: sa.Connection, lease: Lease) -> None:
        """Let the next one take over at once; nothing when it was lost already."""
        rows = self.rows.c
        connection.execute(
            sa.update(self.rows)
            .where(rows.name == lease.name, rows.epoch == lease.epoch, rows.holder == lease.holder)
            .values(expires_at_us=0)
        )

    def require_held(self, connection: sa.Connection, lease: Lease) -> None:
        """Raise LEASE_LOST once another one took it; until this transaction ends nobody else can take it."""
        rows = self.rows.c
        epoch = connection.execute(
            sa.select(rows.epoch).where(rows.name == lease.name).with_for_update(read=True)
        ).scalar()
        if epoch != lease.epoch:
            raise DomainError("LEASE_LOST", lease=lease.name)

    def _locked(self, connection: sa.Connection, name: str) -> Lease | None:
        row = connection.execute(
            sa.select(self.rows).where(self.rows.c.name == name).with_for_update()
        ).first()
        return None if row is None else Lease(row.name, row.holder, row.epoch, row.expires_at_us)

    def _give(self, connection: sa.Connection, current: Lease | None, wanted: Lease) -> Lease:
        if current is None:
            lease = Lease(wanted.name, wanted.holder, 1, wanted.expires_at_us)
            try:
                connection.execute(sa.insert(self.rows).values(_values(lease)))
            except sa.exc.IntegrityError as error:
                # Two asked for a name that nobody had held before; there was no row to lock.
                raise TransactionConflictError.of(f"another one took {wanted.name} first") from error
            return lease
        epoch = current.epoch if current.holder == wanted.holder else current.epoch + 1
        lease = Lease(wanted.name, wanted.holder, epoch, wanted.expires_at_us)
        connection.execute(sa.update(self.rows).where(self.rows.c.name == lease.name).values(_values(lease)))
        return lease


def _values(lease: Lease) -> dict[str, str | int]:
    return {
        "name": lease.name,
        "holder": lease.holder,
        "epoch": lease.epoch,
        "expires_at_us": lease.expires_at_us,
    }
