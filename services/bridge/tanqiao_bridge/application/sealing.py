"""The bridge's log is sealed: each second when it has grown, by the one process that holds the lease.

The order is that of PROTOCOL section 8 (`tanqiao.tlog.sealing`): leaves durable, root recomputed from stored
bytes, size and root persisted, signed, published. The lease fences a predecessor in the transactions of both
writes; whoever takes over resumes at the tree that was persisted last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
import structlog

from tanqiao.db.engine import Database
from tanqiao.db.leases import Lease
from tanqiao.db.sealed_logs import DatabaseLogStore
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.parties import BRIDGE
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.sealing import Sealed, Sealer, SignersNow
from tanqiao_bridge.storage.tables import leases, sealed_logs
from tanqiao_bridge.storage.witness_groups import leaves_to_seal

SEAL_SECONDS: Final = 1.0
LEASE_SECONDS: Final = 10
STOP_SECONDS_MAX: Final = 10.0
SEALS_PER_TURN_MAX: Final = 64
LEASE_NAME: Final = "seal"
_MICROSECONDS: Final = 1_000_000

_log = structlog.get_logger(__name__)


class Sealing:
    """Seals the bridge's log while it holds the lease.

    Args:
        database: where the log is.
        signer: the checkpoint key, or what gives those that sign now; their name is the origin of the log.
        holder: random name of this process.
        now_ms: wall clock, milliseconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        signer: NoteSigner | SignersNow,
        holder: str,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._holder = holder
        self._now_ms = now_ms
        self._lease: Lease | None = None
        store = DatabaseLogStore(database, sealed_logs, BRIDGE, leaves_to_seal, now_ms, self._require_lease)
        self._sealer = Sealer(store, signer)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Seal in a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and let another process take over at once."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                with self._database.writing() as connection:
                    leases.release(connection, lease)
                    connection.commit()
            except DomainError:
                _log.info("the lease of sealing runs out by itself")

    def seal(self) -> Sealed | None:
        """Seal what is durable now; None when nothing is new or another process seals.

        Raises:
            TlogError: the log is not what was sealed before: it must be looked at, and nothing is signed.
            DomainError: the database is busy or another process has taken over.
        """
        if not self._hold():
            return None
        sealed = newest = self._sealer.seal()
        for _ in range(SEALS_PER_TURN_MAX):
            if sealed is None or not sealed.more:
                break
            sealed = self._sealer.seal()
            newest = sealed or newest
        return newest

    def _run(self) -> None:
        due = time.monotonic() + SEAL_SECONDS
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            # From beginning to beginning: what sealing takes does not stretch the second.
            due = time.monotonic() + SEAL_SECONDS
            try:
                self.seal()
            except DomainError as refusal:
                _log.warning("sealing waits", reason=refusal.symbol)
            except TlogError as error:
                # Nothing is signed: an operator has to find out why the stored log changed.
                _log.error("the log is not sealed", reason=error.reason, detail=error.detail)
            except Exception:  # noqa: BLE001 - whatever it was, the next second tries again
                _log.exception("sealing failed")

    def _hold(self) -> bool:
        """Take or renew the lease; only a third of its time is used before it is renewed."""
        now_us = self._now_ms() * 1000
        lease = self._lease
        if lease is not None and lease.expires_at_us - now_us > LEASE_SECONDS * _MICROSECONDS * 2 // 3:
            return True
        with self._database.writing() as connection:
            self._lease = leases.acquire(
                connection, LEASE_NAME, self._holder, now_us=now_us, duration_us=LEASE_SECONDS * _MICROSECONDS
            )
            connection.commit()
        return self._lease is not None

    def _require_lease(self, connection: sa.Connection) -> None:
        if self._lease is None:
            raise DomainError("LEASE_LOST", lease=LEASE_NAME)
        leases.require_held(connection, self._lease)
