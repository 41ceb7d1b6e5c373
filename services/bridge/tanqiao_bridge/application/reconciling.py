"""Reconciliation at the bridge (PROTOCOL section 7): regions show fingerprints, it says what differs.

A run lives in memory and ends as a signed result with its leaf. It stops nobody: both sides read snapshots,
and what happened behind the region's applied index is taken back from the bridge's side. Bad blocks are
frozen, exactly those, and a case is open until a full run of the region is clean.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import reconcile_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.db.engine import Database
from tanqiao.db.signatures import store_envelope
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.reconciliation import (
    KEPT_BLOCKS_MAX,
    STATE_NAMES,
    Piece,
    SeriesBlocks,
    differences,
    root_of,
)
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import block_of
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.context import BRIDGE, BridgeContext, Group
from tanqiao_bridge.application.evidence import open_case_about
from tanqiao_bridge.application.freezes import freeze_blocks
from tanqiao_bridge.application.reconcile_cases import settle_cases
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.decisions import MessageRow
from tanqiao_bridge.storage.reconciling import (
    books_of,
    series_with_units,
    summaries_of,
    trail_of,
    unaccounted,
)
from tanqiao_bridge.storage.tables import reconciliation, signature

RESULT_TYPE: Final = payload_type_of(reconcile_pb2.ReconcileResult)
STATEMENT_TYPE: Final = payload_type_of(reconcile_pb2.ReconcileStatement)
CASE: Final = "reconciliation"
BAD_BLOCKS_MAX: Final = 1_000
"""Stretches that one run names; what lies behind them is found by the run after."""
BLOCKS_IN_LEAF_MAX: Final = 300
LIGHT: Final = reconcile_pb2.RECONCILE_DEPTH_LIGHT
FULL: Final = reconcile_pb2.RECONCILE_DEPTH_FULL
RUNNING: Final = reconcile_pb2.RECONCILE_STATE_RUNNING
CLEAN: Final = reconcile_pb2.RECONCILE_STATE_CLEAN
MISMATCH: Final = reconcile_pb2.RECONCILE_STATE_MISMATCH


@dataclass(slots=True)
class Run:
    """One run of one region."""

    region: str
    run_id: bytes
    depth: int
    applied_index: int
    statement: Opened
    envelope: envelope_pb2.Envelope
    started_at: int
    state: int = RUNNING
    ended_at: int = 0
    log_index: int = -1
    compared: int = 0
    seen: set[str] = field(default_factory=set)
    bad: dict[UnitBlock, reconcile_pb2.BadBlock] = field(default_factory=dict)
    result: envelope_pb2.Envelope | None = None
    books: dict[str, SeriesBlocks] = field(default_factory=dict)
    """Series that differ, so that they are read once; bounded in blocks."""

    def keep(self, series_id: str, blocks: SeriesBlocks) -> None:
        """Keep a series that is looked at; the ones before it go where there is no room."""
        if sum(len(one) for one in self.books.values()) + len(blocks) > KEPT_BLOCKS_MAX:
            self.books.clear()
        self.books[series_id] = blocks

    def end(self, ended: Ended) -> None:
        """Show the result; called when it is durable."""
        self.log_index, self.result, self.ended_at = ended.log_index, ended.result, ended.ended_at
        self.books.clear()
        self.state = ended.state


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended, as it was written."""

    state: int
    log_index: int
    result: envelope_pb2.Envelope
    ended_at: int


@dataclass(frozen=True, slots=True)
class EndRun:
    """Ends a full run, in the writer."""

    run: Run


class Reconciler:
    """The runs of all regions, one each; the newest replaces the older.

    Args:
        context: the node's own things.
        database: read in snapshots.
    """

    def __init__(self, context: BridgeContext, database: Database) -> None:
        self._context = context
        self._database = database
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def runs(self, region: str) -> list[Run]:
        """Give the latest run of a region, or of each."""
        with self._lock:
            return [run for name, run in sorted(self._runs.items()) if region in ("", name)]

    def begin(self, opened: Opened, envelope: envelope_pb2.Envelope) -> tuple[bool, int]:
        """Begin a run; whether the roots are the same, which ends it, and the size of the log.

        Raises:
            DomainError: REGION_RECOVERING while the region has not reported, SNAPSHOT_AHEAD.
        """
        statement = opened.message
        region, cut = opened.header.sender, int(statement.applied_index)
        if not self._context.recovery.may_reconcile(region):
            raise DomainError("REGION_RECOVERING", region=region)
        depth = int(statement.depth)
        run = Run(region, statement.run_id, depth, cut, opened, envelope, self._now())
        with self._database.reading() as connection:
            size = log.log_size(connection)
            if cut >= size:
                raise DomainError("SNAPSHOT_AHEAD", index=cut, size=size)
            with self._lock:
                self._runs[region] = run
            same = depth == LIGHT and root_of(summaries_of(connection, region, cut)) == statement.root
        if same:
            run.state, run.ended_at, run.compared = CLEAN, self._now(), int(statement.series_count)
        elif depth == LIGHT:
            run.depth = FULL  # the roots differ: it goes on down to the blocks
        return same, size

    def run_of(self, region: str, run_id: bytes) -> Run:
        """Give the region's run; MESSAGE_NOT_CURRENT for one that was replaced or has ended."""
        with self._lock:
            run = self._runs.get(region)
        if run is None or run.run_id != run_id or run.state != RUNNING:
            raise DomainError("MESSAGE_NOT_CURRENT", id=run_id.hex()[:64])
        return run

    def compare_series(
        self, run: Run, page: Sequence[reconcile_pb2.SeriesSummary], *, is_complete: bool
    ) -> list[tuple[str, int]]:
        """Name the series of a page that differ, with the end of their serials here."""
        stated = {one.series_id: one for one in page}
        run.seen.update(stated)
        differing: dict[str, int] = {}
        with self._database.reading() as connection:
            wanted = set(stated)
            if is_complete:
                wanted |= series_with_units(connection, run.region, run.applied_index) - run.seen
            missing = set(stated)
            for series_id, blocks in books_of(connection, run.region, run.applied_index, sorted(wanted)):
                if not len(blocks):
                    continue
                missing.discard(series_id)
                here, there = blocks.summary(series_id), stated.get(series_id)
                if there is None or not _is_same(here, there):
                    differing[series_id] = here.end
                    run.keep(series_id, blocks)
        differing |= dict.fromkeys(missing, 0)
        run.compared += len(stated)
        return sorted(differing.items())

    def compare_ranges(
        self, run: Run, series_id: str, ranges: Sequence[reconcile_pb2.RangeFingerprint]
    ) -> list[int]:
        """Give the positions of the ranges whose fingerprint differs."""
        blocks = self._book(run, series_id)
        return [
            position
            for position, one in enumerate(ranges)
            if blocks.fingerprint(one.start_serial, one.end_serial) != one.fingerprint
        ]

    def compare_blocks(
        self, run: Run, series_id: str, start: int, end: int, stated: Sequence[Piece]
    ) -> list[reconcile_pb2.BadBlock]:
        """Name the serials of a range that are not the same, with the leaves that moved them."""
        here = self._book(run, series_id).pieces(start, end)
        found = []
        with self._database.reading() as connection:
            for one in differences(here, stated):
                if len(run.bad) >= BAD_BLOCKS_MAX:
                    break
                bad = _bad_block(
                    connection, series_id, one.start, one.end, one.bridge_state, one.region_state
                )
                run.bad[block_of(bad.block)] = bad
                found.append(bad)
        return found

    def check_issued(self, run: Run) -> None:
        """I1 of the region's own series: every unit that was issued is somewhere, and no other is."""
        with self._database.reading() as connection:
            for series_id, start, end, state in unaccounted(connection, run.region)[:BAD_BLOCKS_MAX]:
                bad = _bad_block(connection, series_id, start, end, state, 0)
                run.bad.setdefault(block_of(bad.block), bad)

    def _book(self, run: Run, series_id: str) -> SeriesBlocks:
        known = run.books.get(series_id)
        if known is None:
            with self._database.reading() as connection:
                found = dict(books_of(connection, run.region, run.applied_index, [series_id]))
            known = found.get(series_id, SeriesBlocks(()))
            run.keep(series_id, known)
        return known

    def _now(self) -> int:
        return int(self._context.clock.now().timestamp())


def _is_same(here: object, there: reconcile_pb2.SeriesSummary) -> bool:
    names = ("held_kg", "used_kg", "cancelled_kg", "block_count", "fingerprint")
    return all(getattr(here, name) == getattr(there, name) for name in names)


def _bad_block(
    connection: sa.Connection, series_id: str, start: int, end: int, here: int, there: int
) -> reconcile_pb2.BadBlock:
    return reconcile_pb2.BadBlock(
        block=values_pb2.UnitBlock(series_id=series_id, start_serial=start, end_serial=end),
        bridge_state=STATE_NAMES[here],
        region_state=STATE_NAMES[there],
        log_indexes=trail_of(connection, series_id, start, end),
    )


def end_run(group: Group, command: object) -> Ended:
    """Write the result of a run with its leaf; freeze what is bad, or settle the case of the region.

    The run itself changes when this is durable (`Run.end`): who sees the result finds what it froze.
    """
    if not isinstance(command, EndRun):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="reconcile")
    run, context = command.run, group.context
    bad = [run.bad[block] for block in sorted(run.bad)]
    state = MISMATCH if bad else CLEAN
    log_index = log.reserve_indexes(group.connection, 1)
    statement = run.statement
    payload = reconcile_pb2.ReconcileResult(
        header=context.header((run.region,), source=run.region, prev_hash=statement.message_hash),
        run_id=run.run_id,
        state=state,
        depth=run.depth,  # type: ignore[arg-type]  # numbers of the enumeration
        applied_index=run.applied_index,
        log_index=log_index,
        root=statement.message.root,
        bad_blocks=bad,
    ).SerializeToString()
    result_hash = message_hash(RESULT_TYPE, payload)
    blocks = [block_of(one.block) for one in bad]
    leaf = make_leaf(
        "reconciliation",
        message_hashes=[statement.message_hash, result_hash],
        signer_key_ids=[statement.key_id, context.signer.key_id],
        public={
            "applied_index": str(run.applied_index).encode(),
            "blocks": "\n".join(map(str, blocks[:BLOCKS_IN_LEAF_MAX])).encode(),
            "region": run.region.encode(),
            "root": bytes(statement.message.root),
            "state": b"mismatch" if bad else b"clean",
        },
    )
    log.write_leaves(group.connection, log_index, [leaf], recorded_at=group.now)
    envelope = sign_envelope(context.signer, RESULT_TYPE, payload)
    for kind, sender, data, key_hash, signed in (
        (STATEMENT_TYPE, run.region, statement.payload, statement.message_hash, run.envelope),
        (RESULT_TYPE, BRIDGE, payload, result_hash, envelope),
    ):
        stored = store_envelope(group.connection, signature, signed)
        key = TransferKey(run.region, run.run_id)
        group.messages.append(MessageRow(key_hash, kind, sender, key, data, stored, 0, None))
    _store(group, run, state, log_index, envelope)
    if bad:
        freeze_blocks(
            group,
            blocks,
            reason=f"reconciliation with {run.region}",
            document=f"reconciliation {log_index}",
            hashes=[statement.message_hash, result_hash],
        )
        details = json.dumps({"run": run.run_id.hex(), "blocks": [str(block) for block in blocks]})
        open_case_about(group, CASE, run.region, run.region, details)
    else:
        settle_cases(group, CASE, run.region)
    return Ended(state, log_index, envelope, group.now)


def _store(group: Group, run: Run, state: int, log_index: int, result: envelope_pb2.Envelope) -> None:
    statement = run.statement.message
    insert_rows(
        group.connection,
        reconciliation,
        [
            (
                run.run_id,
                run.region,
                run.depth,
                state,
                run.started_at,
                group.now,
                run.applied_index,
                log_index,
                statement.series_count,
                statement.block_count,
                statement.quantity_kg,
                run.envelope.SerializeToString(),
                result.SerializeToString(),
            )
        ],
    )


def load_latest(connection: sa.Connection, region: str) -> list[reconcile_pb2.Reconciliation]:
    """Give the latest result of each region, or of one, as the tables have it."""
    table = reconciliation
    newest = (
        sa.select(table.c.region, sa.func.max(table.c.log_index).label("log_index"))
        .group_by(table.c.region)
        .subquery()
    )
    statement = sa.select(table).join(
        newest, sa.and_(newest.c.region == table.c.region, newest.c.log_index == table.c.log_index)
    )
    if region:
        statement = statement.where(table.c.region == region)
    found = []
    for row in connection.execute(statement.order_by(table.c.region)):
        result = envelope_pb2.Envelope.FromString(bytes(row.result))
        one = reconcile_pb2.Reconciliation(
            region=row.region,
            run_id=bytes(row.run_id),
            state=row.state,
            depth=row.depth,
            applied_index=row.applied_index,
            log_index=row.log_index,
            series_count=row.series_count,
            series_compared=row.series_count,
            block_count=row.block_count,
            quantity_kg=row.quantity_kg,
            bad_blocks=reconcile_pb2.ReconcileResult.FromString(result.payload).bad_blocks,
            result=result,
        )
        one.start_time.seconds, one.end_time.seconds = row.started_at, row.ended_at
        found.append(one)
    return found
