"""Location roots: a leaf with the root of the location map, at its own index (PROTOCOL section 8).

The pages of the map are kept in memory as hashes. A thread of its own reads the pages that changed, from a
snapshot and beside the writer; the leaf itself is a command of the writer, which reads again only what
changed in between, so that the root is that of the map before the very index that the leaf takes. Without a
change there is no new leaf. The kind is written once every witness of the group has announced it.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunningError
from typing import Any, Final, Protocol

import sqlalchemy as sa
import structlog

from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.offline.location_map import (
    LOCATION_ROOT_KIND,
    LocationMap,
    MapPage,
    PageKey,
    location_root_leaf,
)
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import BridgeContext, Group
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.leaf_kinds import announced_by_all
from tanqiao_bridge.storage.location_pages import PAGES, insert_versions, newest_root_index, pages_at

LOOK_SECONDS: Final = 1.0
PASSES_MAX: Final = 8
PAGES_LEFT: Final = 64
"""Changed pages are read beside the writer until a pass has found so few, or so often; it reads the rest."""
PAUSE_SECONDS: Final = 0.01
"""Between two slices of rows while the whole map is read: transfers go on meanwhile."""

_log = structlog.get_logger(__name__)


class WriteLocationRoot:
    """Asks the writer for a leaf with the root of the map as it is then."""


class Writer(Protocol):
    """Port: the bridge's one writer."""

    def submit(self, command: Any, *, patient: bool = False) -> Future[Any]:  # noqa: ANN401 - any command
        """Queue a command."""
        ...


class LocationRoots:
    """Keeps the pages of the location map, and writes its root.

    Args:
        database: of the bridge.
        context: whose writer notes the pages that change; each of its witnesses must have announced the kind.
        every_seconds: time between two leaves; 0: none is written.
    """

    def __init__(self, database: Database, context: BridgeContext, every_seconds: int) -> None:
        self._database = database
        self._context = context
        self._every_seconds = every_seconds
        self._map: LocationMap | None = None
        self._unwritten: dict[PageKey, MapPage | None] = {}
        self._in_flight: set[PageKey] = set()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, writer: Writer) -> None:
        """Write roots in a thread of its own until `stop`."""
        if self._every_seconds:
            self._thread = threading.Thread(
                target=self._run, args=(writer,), name="location-roots", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread; the writer still runs."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def write_root(self, writer: Writer) -> int | None:
        """Write a root if the map changed since the last one; its index, or None.

        Nothing else may read or write the pages meanwhile: the thread waits for its own command.
        """
        if not self._is_announced():
            return None
        self._read_changes()
        if not self._unwritten:
            return None
        future = writer.submit(WriteLocationRoot(), patient=True)
        while True:
            try:
                answer: Answer = future.result(LOOK_SECONDS)
            except StillRunningError:
                continue
            except BaseException:
                self._context.changed_pages.note(self._in_flight)
                self._in_flight.clear()
                raise
            self._unwritten.clear()
            self._in_flight.clear()
            return answer.log_index

    def handle(self, group: Group, command: object) -> Answer:
        """Write the leaf and the pages that changed, in the transaction of the group."""
        located = self._map
        if not isinstance(command, WriteLocationRoot) or located is None:  # pragma: no cover - asked before
            raise DomainError("INTERNAL", correlation_id="location root")
        # What another try of this transaction read may be wrong now: it is read again.
        self._in_flight |= self._context.changed_pages.take() | group.touched_pages
        fresh = PAGES.pages_of(group.connection, self._in_flight)
        located.put(fresh)
        self._unwritten.update(fresh)
        log_index = log.log_size(group.connection)
        leaf = location_root_leaf(located.size, located.root, log_index)
        announced = group.announced(LOCATION_ROOT_KIND)
        written = log.append_leaves(group.connection, [leaf], recorded_at=group.now, announced=announced)
        require(written == log_index, "the root is that of the map before its own index")
        insert_versions(group.connection, log_index, self._unwritten.items())
        return Answer(log_index=log_index)

    def _run(self, writer: Writer) -> None:
        due = time.monotonic() + self._every_seconds
        while not self._stopping.wait(LOOK_SECONDS):
            if time.monotonic() < due:
                continue
            try:
                log_index = self.write_root(writer)
            except DomainError as refusal:
                _log.warning("the location root waits", reason=refusal.symbol)
                continue
            except Exception:  # noqa: BLE001 - whatever it was, the next one is tried
                _log.exception("the location root waits")
                self._map = None
                continue
            if log_index is not None:
                due = time.monotonic() + self._every_seconds
                _log.info("location_root", log_index=log_index)

    def _is_announced(self) -> bool:
        witnesses = self._context.witness_groups.newest.witnesses
        if not witnesses:
            return True
        with self._database.reading() as connection:
            return LOCATION_ROOT_KIND in announced_by_all(connection, witnesses)

    def _read_changes(self) -> None:
        """Read the pages that changed, or at first the whole map, from a snapshot."""
        for _ in range(PASSES_MAX):
            changed = self._context.changed_pages.take()
            try:
                with self._database.reading() as connection:
                    if self._map is None:
                        self._map, self._unwritten = self._read_all(connection)
                    fresh = PAGES.pages_of(connection, changed)
            except BaseException:
                self._context.changed_pages.note(changed)
                raise
            self._map.put(fresh)
            self._unwritten.update(fresh)
            if len(changed) <= PAGES_LEFT:
                break

    def _read_all(self, connection: sa.Connection) -> tuple[LocationMap, dict[PageKey, MapPage | None]]:
        """Give the whole map, and what of it the last root did not have."""
        pages = PAGES.read_all(connection, lambda: self._stopping.wait(PAUSE_SECONDS))
        located = LocationMap()
        located.put(pages)
        unwritten: dict[PageKey, MapPage | None] = dict(pages)
        last = newest_root_index(connection, log.log_size(connection))
        for page in [] if last is None else pages_at(connection, last):
            if unwritten.get(page.key) == page:
                del unwritten[page.key]
            elif page.key not in pages:
                unwritten[page.key] = None
        return located, unwritten
