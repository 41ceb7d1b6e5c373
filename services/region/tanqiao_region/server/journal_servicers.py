"""JournalService and NodeService: they translate; the feed pushes what the journal holds, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import grpc

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import journal_pb2, journal_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.validation import page, require_count, require_text
from tanqiao_region.application.alarms import Alarm
from tanqiao_region.application.commands import By
from tanqiao_region.application.journal import entry_message
from tanqiao_region.application.notifier import Notifier
from tanqiao_region.application.queries import Queries
from tanqiao_region.application.views import STATE_NAMES
from tanqiao_region.server.wire import by_caller, holding_position, moment, wire_blocks

ENTRIES_PER_PUSH_MAX: Final = 500
ENTRIES_PER_PAGE_DEFAULT: Final = 100
BLOCKS_OF_A_SNAPSHOT_MAX: Final = 1_000_000
"""Who asks for no pages gets the books in one snapshot, up to so many blocks."""
ENTRIES_PER_PAGE_MAX: Final = 1_000
ACCOUNTS_PER_FILTER_MAX: Final = 1_000
WATCHERS_MAX: Final = 32
IDLE_SECONDS: Final = 5.0
"""A watcher that has nothing to hear is told how far the feed is complete, at least this often."""


class JournalServicer(journal_pb2_grpc.JournalServiceServicer):
    """The journal, by index and as a feed."""

    def __init__(self, queries: Queries, notifier: Notifier) -> None:
        self._queries = queries
        self._notifier = notifier
        self._room = threading.BoundedSemaphore(WATCHERS_MAX)

    def WatchJournal(
        self, request: journal_pb2.WatchJournalRequest, context: grpc.ServicerContext
    ) -> Iterator[journal_pb2.WatchJournalResponse]:
        """Push entries from an index on, then every new one; at least once, resumable at any index."""
        _check_filter(request.filter)
        by = by_caller()
        self._queries.require_journal_of(list(request.filter.account_ids), by)
        position = _first(request.from_index)
        if not self._room.acquire(blocking=False):
            raise DomainError("QUOTA_EXCEEDED", limit=f"{WATCHERS_MAX} watchers", retry_time="later")
        try:
            while context.is_active() and not self._notifier.closed:
                response, position, complete = self._next(request.filter, position, by)
                if response is not None:
                    yield response
                if complete:
                    self._notifier.wait_grown(position - 1, IDLE_SECONDS)
        finally:
            self._room.release()

    def _next(
        self, chosen: journal_pb2.JournalFilter, position: int, by: By
    ) -> tuple[journal_pb2.WatchJournalResponse | None, int, bool]:
        """Give the next push, where to go on, and whether the feed has come to the journal's end."""
        part = self._queries.journal(
            from_index=position,
            limit=ENTRIES_PER_PUSH_MAX,
            account_ids=list(chosen.account_ids),
            kinds=list(chosen.kinds),
            by=by,
        )
        rows, size = part.rows, part.size
        complete = len(rows) < ENTRIES_PER_PUSH_MAX
        up_to = max(size, position - 1) if complete else rows[-1].journal_index
        if not rows and up_to < position:
            return None, position, True
        response = journal_pb2.WatchJournalResponse(
            entries=[entry_message(row, part.seen) for row in rows], up_to_index=up_to
        )
        return response, up_to + 1, complete

    def ListJournal(
        self, request: journal_pb2.ListJournalRequest, context: grpc.ServicerContext
    ) -> journal_pb2.ListJournalResponse:
        """Give a page of entries from an index on."""
        _check_filter(request.filter)
        by = by_caller()
        self._queries.require_journal_of(list(request.filter.account_ids), by)
        if request.page_size < 0:
            raise DomainError("FIELD_INVALID", field="page_size", detail="negative")
        part = self._queries.journal(
            from_index=_first(request.from_index),
            limit=min(request.page_size or ENTRIES_PER_PAGE_DEFAULT, ENTRIES_PER_PAGE_MAX),
            account_ids=list(request.filter.account_ids),
            kinds=list(request.filter.kinds),
            by=by,
        )
        return journal_pb2.ListJournalResponse(
            entries=[entry_message(row, part.seen) for row in part.rows], journal_size=part.size
        )


def _first(from_index: int) -> int:
    if from_index < 0:
        raise DomainError("FIELD_INVALID", field="from_index", detail="negative")
    return max(1, from_index)


def _check_filter(chosen: journal_pb2.JournalFilter) -> None:
    if chosen.account_ids:
        require_count(chosen.account_ids, "filter.account_ids", limit=ACCOUNTS_PER_FILTER_MAX)
        for account_id in chosen.account_ids:
            require_text(account_id, "filter.account_ids", length_max=ACCOUNT_ID_LENGTH_MAX)
    if journal_pb2.JOURNAL_EVENT_KIND_UNSPECIFIED in chosen.kinds:
        raise DomainError("FIELD_MISSING", field="filter.kinds")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the node says of itself, besides what its books hold."""

    network_id: str
    region_code: str
    incarnation: Callable[[], int]
    recovering: Callable[[], bool]
    now: Callable[[], datetime]
    test_clock: bool
    connected: Callable[[], bool]
    rule_pack: Callable[[], tuple[str, str]]
    alarms: Callable[[], list[Alarm]]


class NodeServicer(journal_pb2_grpc.NodeServiceServicer):
    """How the node stands."""

    def __init__(self, queries: Queries, facts: NodeFacts) -> None:
        self._queries = queries
        self._facts = facts

    def GetNodeStatus(
        self, request: journal_pb2.GetNodeStatusRequest, context: grpc.ServicerContext
    ) -> journal_pb2.GetNodeStatusResponse:
        """Give how the node stands."""
        facts, status = self._facts, self._queries.status()
        pack_id, pack_version = facts.rule_pack()
        return journal_pb2.GetNodeStatusResponse(
            network_id=facts.network_id,
            region_code=facts.region_code,
            journal_size=status.journal_size,
            incarnation=facts.incarnation(),
            recovering=facts.recovering(),
            bridge_connected=facts.connected(),
            applied_log_index=status.applied_log_index,
            time=moment(facts.now()),
            test_clock=facts.test_clock,
            transfers_open=status.transfers_open,
            rule_pack_id=pack_id,
            rule_pack_version=pack_version,
            finality=self._queries.finality_status(),
            alarms=[
                journal_pb2.NodeAlarm(
                    refusal=to_refusal(one.refusal), count=one.count, last_at=moment(one.last_at)
                )
                for one in facts.alarms()
            ],
        )

    def ListSeriesTotals(
        self, request: journal_pb2.ListSeriesTotalsRequest, context: grpc.ServicerContext
    ) -> journal_pb2.ListSeriesTotalsResponse:
        """Give what the books hold per series and block by block (PROTOCOL section 7), or a page of it."""
        part = page(request.page_size, request.page_token)
        size = part.size if request.page_size else BLOCKS_OF_A_SNAPSHOT_MAX
        totals = self._queries.totals(part.read(holding_position, None), size)
        return journal_pb2.ListSeriesTotalsResponse(
            totals=[
                journal_pb2.SeriesTotal(
                    series_id=series_id,
                    **{f"{STATE_NAMES[state].lower()}_kg": quantity for state, quantity in states.items()},
                )
                for series_id, states in sorted(totals.by_series.items())
            ],
            as_of_index=totals.as_of_index,
            applied_log_index=totals.applied_log_index,
            in_flight=[
                journal_pb2.InFlight(transfer_id=transfer_id, blocks=wire_blocks(blocks), state=state)
                for transfer_id, state, blocks in totals.in_flight
            ],
            held_blocks=[
                journal_pb2.HeldBlock(
                    block=values_pb2.UnitBlock(
                        series_id=row.series_id, start_serial=row.start, end_serial=row.end
                    ),
                    state=STATE_NAMES[row.place[1]],
                )
                for row in totals.rows
            ],
            next_page_token="" if totals.ends is None else part.token(f"{totals.ends[0]}\n{totals.ends[1]}"),
        )
