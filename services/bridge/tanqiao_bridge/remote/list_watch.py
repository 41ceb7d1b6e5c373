"""Watches the lists of the gateways: what changed between the list seen last and the one in force.

An import and its undoing are alike: another list is in force. The claims that the change concerns are judged
again before the list counts as seen, so that a bridge that dies in between begins again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.application.list_reviews import (
    CLAIMS_PER_REVIEW_MAX,
    NoteList,
    ReviewClaims,
    ReviewQueries,
)
from tanqiao_bridge.remote.gateways import Gateways

WATCH_SECONDS: Final = 5.0
ANSWER_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 10.0
PAGES_MAX: Final = 100_000

Change = tuple[str, str, str]
"""A registry, the import seen last (empty: none), the import in force."""

_log = structlog.get_logger(__name__)


class ListWatch:
    """One thread that asks every gateway which list is in force."""

    def __init__(self, queries: ReviewQueries, writer: GroupCommit[Any, Any], gateways: Gateways) -> None:
        self._queries = queries
        self._writer = writer
        self._gateways = gateways
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._reached: dict[str, tuple[Change, str]] = {}
        """By registry, how far its review has come: a writer that is full for a while begins none again."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="lists", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was not looked at is looked at by the next one."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            for registry in self._gateways.names:
                try:
                    self.look(registry)
                except DomainError as refusal:
                    _log.warning("a list is not looked at", registry=registry, reason=refusal.symbol)
                except TimeoutError:
                    _log.warning("a list is not looked at", registry=registry, reason="BUSY")
                except Exception:  # noqa: BLE001 - whatever it was, the next look begins again from the tables
                    _log.exception("a list is not looked at", registry=registry)

    def look(self, registry: str) -> int:
        """Look at one registry now; the number of claims that its changes called into question.

        Raises:
            DomainError: what the writer refuses; TimeoutError where it does not answer.
        """
        with self._turn:
            current = self._gateways.list_in_force(registry)
            if current is None or self._stopping.is_set():
                return 0
            seen = self._queries.seen(registry)
            if seen == current:
                return 0
            found = self._look_at(registry, seen, current)
            if found is None:
                return 0
            self._writer.submit(NoteList(registry, current)).result(ANSWER_SECONDS_MAX)
            self._reached.pop(registry, None)
            return found

    def _look_at(self, registry: str, seen: str | None, current: str) -> int | None:
        if not current:
            return 0  # its claims wait for it: a registry without a list is silent
        change = registry, seen or "", current
        if self._reached.get(registry, (None,))[0] != change:
            self._reached[registry] = change, ""
        return self._review(change) if seen else self._review_all(change)

    def _review_all(self, change: Change) -> int | None:
        """Review every live claim: those declared before a registry's first list was seen rest on none."""
        found, after = 0, self._reached[change[0]][1]
        while not self._stopping.is_set():
            claims = self._queries.live_claims(after, CLAIMS_PER_REVIEW_MAX)
            if not claims:
                return found
            found += self._review_claims(claims)
            after = claims[-1].claim_id
            self._reached[change[0]] = change, after
        return None

    def _review(self, change: Change) -> int | None:
        """Review page by page; None where the gateway fell silent: it goes on from that page later."""
        registry, seen, current = change
        found, token = 0, self._reached[registry][1]
        for _ in range(PAGES_MAX):
            page = self._gateways.changes(registry, seen, current, token)
            if page is None or self._stopping.is_set():
                return None
            found += self._review_page(page)
            token = page.next_page_token
            if not token:
                return found
            self._reached[registry] = change, token
        return found

    def _review_page(self, page: registry_pb2.ListChangesResponse) -> int:
        claims = self._queries.concerned(page.changes)
        return sum(
            self._review_claims(claims[at : at + CLAIMS_PER_REVIEW_MAX])
            for at in range(0, len(claims), CLAIMS_PER_REVIEW_MAX)
        )

    def _review_claims(self, claims: Sequence[claims_pb2.Claim]) -> int:
        """Have claims judged again, and then leave the bridge to its callers for as long as it took."""
        begun = time.monotonic()
        answers = self._gateways.look_up(claims)
        command = ReviewClaims(tuple(claim.claim_id for claim in claims), answers)
        waiting = self._writer.submit_waiting(command, seconds_max=ANSWER_SECONDS_MAX)
        found: int = waiting.result(ANSWER_SECONDS_MAX)
        self._stopping.wait(time.monotonic() - begun)
        return found
