"""Where the bridge's concrete classes meet: database, writer, lines, servicers, server."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from tanqiao.api.bridge.v1 import (
    cases_pb2_grpc,
    claim_queries_pb2_grpc,
    claims_pb2_grpc,
    conflicts_pb2_grpc,
    coordination_pb2_grpc,
    directory_pb2_grpc,
    log_pb2_grpc,
    orders_pb2_grpc,
    reconcile_pb2_grpc,
    recovery_pb2_grpc,
    sync_pb2_grpc,
    tokens_pb2_grpc,
    witness_groups_pb2_grpc,
)
from tanqiao.api.common.v1 import clock_pb2_grpc
from tanqiao.db.backup import put_back
from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.migrations import open_migrated
from tanqiao.db.node_state import ClockOffsets
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.clock import ClockServicer, SystemClock, TestClock
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import Federation
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.note_keys import NoteKeys
from tanqiao.signing.own_keys import OwnKeys
from tanqiao.signing.recovery_key import PUBLIC_NAME, Sealer, load_recovery_public_key
from tanqiao.signing.token_keys import TokenKeys
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao_bridge.application import start
from tanqiao_bridge.application.adopting import TakeReport, load_state, take_report
from tanqiao_bridge.application.bundles import Bundles
from tanqiao_bridge.application.case_handlers import case_handlers
from tanqiao_bridge.application.case_queries import CaseQueries
from tanqiao_bridge.application.claim_search import ClaimSearch
from tanqiao_bridge.application.claim_tokens import TokenQueries, token_handlers
from tanqiao_bridge.application.claims import claim_handlers
from tanqiao_bridge.application.claims_for_issue import judge_and_record
from tanqiao_bridge.application.commands import PassDeadlines
from tanqiao_bridge.application.conflict_queries import ConflictQueries
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.coordination import coordination_handlers
from tanqiao_bridge.application.engine import BridgeEngine, OtherHandler
from tanqiao_bridge.application.lapsing import KEEP_SECONDS, LapseClaims, measure_downtime
from tanqiao_bridge.application.list_reviews import ReviewQueries, review_handlers
from tanqiao_bridge.application.location_proofs import LocationProofs
from tanqiao_bridge.application.location_roots import LocationRoots, WriteLocationRoot
from tanqiao_bridge.application.log_keeping import LogKeeper
from tanqiao_bridge.application.open_promises import ListOpen, list_open
from tanqiao_bridge.application.order_handlers import order_handlers
from tanqiao_bridge.application.order_queries import OrderQueries
from tanqiao_bridge.application.overdue import WatchFinals
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.reconciling import EndRun, Reconciler, end_run
from tanqiao_bridge.application.registry_order_queries import RegistryOrderQueries
from tanqiao_bridge.application.reported import ReportOpener
from tanqiao_bridge.application.restoring import Begun, begin_epoch
from tanqiao_bridge.application.retiring import RetireClaims
from tanqiao_bridge.application.sealing import Sealing
from tanqiao_bridge.remote.courier import OrderCourier
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.remote.list_watch import ListWatch
from tanqiao_bridge.server.callers import CALLERS
from tanqiao_bridge.server.case_servicer import CaseServicer
from tanqiao_bridge.server.claim_servicer import ClaimServicer
from tanqiao_bridge.server.conflict_servicer import ConflictServicer
from tanqiao_bridge.server.coordination_servicer import CoordinationServicer
from tanqiao_bridge.server.directory_servicers import (
    DecisionServicer,
    DirectoryServicer,
    LocationServicer,
    RecognitionServicer,
)
from tanqiao_bridge.server.lines import Lines
from tanqiao_bridge.server.log_files import LogFiles
from tanqiao_bridge.server.log_servicer import LogServicer
from tanqiao_bridge.server.opening import Opener
from tanqiao_bridge.server.order_servicer import OrderServicer
from tanqiao_bridge.server.query_servicer import ClaimQueryServicer
from tanqiao_bridge.server.reconcile_servicer import ReconcileServicer
from tanqiao_bridge.server.recovery_servicer import RecoveryServicer
from tanqiao_bridge.server.sync_servicer import SyncServicer
from tanqiao_bridge.server.token_servicer import TokenServicer
from tanqiao_bridge.server.witness_group_servicer import WitnessGroupServicer
from tanqiao_bridge.settings import Settings
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.schema import SCHEMA
from tanqiao_bridge.storage.tables import node_state
from tanqiao_bridge.storage.witness_groups import load_changes

WORKERS: Final = 128
"""One is held by the session of each region; threads are made when they are needed."""
DEADLINE_TICK_SECONDS: Final = 0.2
ANSWER_SECONDS_MAX: Final = 30.0
LINES_SECONDS_MAX: Final = 5.0
DAY_SECONDS: Final = 86_400

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs that the bridge keeps: sealing its own, reading all, and serving them as files."""

    keeper: LogKeeper
    sealing: Sealing | None
    files: LogFiles | None

    def start(self) -> None:
        """Seal and serve; a bridge without a checkpoint key does not seal."""
        if self.sealing is not None:
            self.sealing.start()
        else:
            _log.warning("the log is not sealed: the keyring has no checkpoint key")
        if self.files is not None:
            self.files.start()

    def stop(self) -> None:
        """End both."""
        if self.files is not None:
            self.files.stop()
        if self.sealing is not None:
            self.sealing.stop()


@dataclass(slots=True)
class Bridge:
    """A bridge that is built: `start`, then `wait`, then `stop`."""

    settings: Settings
    context: BridgeContext
    database: Database
    writer: GroupCommit[Any, Any]
    lines: Lines
    gateways: Gateways
    courier: OrderCourier
    lists: ListWatch
    logs: Logs
    location_roots: LocationRoots
    server: Server
    _stopping: threading.Event
    _ticker: threading.Thread | None = None

    def start(self) -> None:
        """Serve, and let time decide what has no answer in time (R2)."""
        self.server.start()
        self.logs.start()
        self.courier.start()
        self.lists.start()
        self.location_roots.start(self.writer)
        self._ticker = threading.Thread(target=self._tick, name="deadlines", daemon=True)
        self._ticker.start()

    def stop(self) -> None:
        """End the lines, the server, the writer and the database, in this order."""
        self._stopping.set()
        self.lines.close()
        self.server.stop()
        self.lines.wait_idle(LINES_SECONDS_MAX)
        if self._ticker is not None:
            self._ticker.join()
        self.courier.stop()
        self.lists.stop()
        self.location_roots.stop()
        self.writer.close()
        self.gateways.close()
        self.logs.stop()
        self.database.close()

    def _tick(self) -> None:
        kept_at = 0.0
        while not self._stopping.wait(DEADLINE_TICK_SECONDS):
            try:
                if len(self.context.transfers):
                    self.writer.submit(PassDeadlines(self.context.monotonic_ms())).result(ANSWER_SECONDS_MAX)
                now = self.context.clock.now().timestamp()
                if now - kept_at >= KEEP_SECONDS:
                    lapsed = self.writer.submit(LapseClaims()).result(ANSWER_SECONDS_MAX)
                    looked_at = self.writer.submit(WatchFinals()).result(ANSWER_SECONDS_MAX)
                    ahead = self.writer.submit(RetireClaims()).result(ANSWER_SECONDS_MAX)
                    # There may be more than one group takes.
                    kept_at = 0.0 if lapsed or looked_at or ahead else now
            except DomainError as refusal:
                _log.warning("deadlines wait", reason=refusal.symbol)
            except TimeoutError:
                _log.warning("deadlines wait", reason="BUSY")


def open_database(settings: Settings, *, migrating: bool = True) -> Database:
    """Open the database as its one writer, migrated; on PostgreSQL the owner's role migrates.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, DIRECTORY_MISSING, MIGRATION_PENDING, DATABASE_GUARD_MISSING, …
    """
    return open_migrated(settings.database_url, settings.owner_database_url, SCHEMA, migrating=migrating)


def restore_from(
    settings: Settings, source: Path | None, root: Path, passphrase: bytes | None, epoch: int | None
) -> Begun:
    """Put a backup in place, or take the database as it stands, and begin a new epoch on it.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, FILE_MISSING, SETTING_INVALID, KEY_FILE_INVALID,
            SENDER_MISMATCH, INCARNATION_STALE, …
    """
    root_signer = Keyring.open(root, passphrase).signer(KeyRole.ROOT)
    bridge_signer = Keyring.open(settings.keys_directory).signer(KeyRole.MESSAGE)

    def begin(unit: UnitOfWork) -> Begun:
        begun = begin_epoch(
            unit.connection,
            settings.network_id,
            root_signer,
            bridge_signer,
            epoch=epoch,
            now=int(time.time()),
        )
        unit.commit()
        return begun

    def run(at: Settings) -> Begun:
        database = open_database(at)
        try:
            return run_in_transaction(database, begin)
        finally:
            database.close()

    if source is None:
        return run(settings)
    with put_back(settings.database_url, source) as copy_url:
        return run(replace(settings, database_url=copy_url, owner_database_url=""))


def build(settings: Settings) -> Bridge:
    """Build a bridge from its settings; nothing is served yet.

    Raises:
        DomainError: one line that says what to do: a taken port, a missing directory, a wrong key, …
    """
    federation = Federation.load(settings.federation_file)
    if federation.network_id != settings.network_id:
        detail = f"{settings.federation_file} is of network {federation.network_id}"
        raise DomainError("SETTING_INVALID", setting="network_id", detail=detail)
    own_keys = OwnKeys(settings.keys_directory)
    database = open_database(settings)
    try:
        return _build(settings, federation, own_keys, database)
    except BaseException:
        database.close()
        raise


def _other_handlers(location_roots: LocationRoots) -> dict[type, OtherHandler]:
    own: dict[type, OtherHandler] = {
        TakeReport: take_report,
        ListOpen: list_open,
        EndRun: end_run,
        WriteLocationRoot: location_roots.handle,
    }
    return {
        **claim_handlers(),
        **case_handlers(),
        **order_handlers(),
        **coordination_handlers(),
        **review_handlers(),
        **token_handlers(),
        **own,
    }


def _build_logs(
    settings: Settings,
    context: BridgeContext,
    database: Database,
) -> Logs:
    recovery_key = load_recovery_public_key(settings.keys_directory / PUBLIC_NAME)
    sealer = None
    if recovery_key is not None:
        sealer = Sealer(recovery_key, settings.network_id, lambda: context.signer)
    elif context.witness_groups.newest.witnesses:
        _log.warning("mirrors can not rebuild this bridge: there is no recovery key", file=PUBLIC_NAME)
    keeper = LogKeeper(
        database,
        settings.network_id,
        lambda: context.directory,
        lambda: context.witness_groups,
        sealer=sealer,
    )
    if context.witness_groups.newest.witnesses:
        keeper.policy(context.log_size)  # too few keys are found out now, not when units wait for them
    seals = NoteKeys(
        settings.network_id,
        settings.keys_directory,
        KeyRole.CHECKPOINT,
        lambda: context.directory,
        lambda: context.log_size,
    )
    sealing = None if seals.is_empty else Sealing(database, seals.now, secrets.token_hex(16))
    tls = TlsFiles.of(settings.tls_directory)
    files = LogFiles(settings.log_listen, tls, keeper) if settings.log_listen else None
    return Logs(keeper, sealing, files)


def _build(
    settings: Settings,
    federation: Federation,
    own_keys: OwnKeys,
    database: Database,
) -> Bridge:
    clock: Clock = SystemClock()
    if settings.test_clock_start is not None:
        offsets = ClockOffsets(database, node_state)
        clock = TestClock(settings.network_id, offsets, start=settings.test_clock_start)
    now = int(clock.now().timestamp())

    def prepare(unit: UnitOfWork) -> tuple[int, int]:
        epoch = start.prepare(unit.connection, federation, now=now)
        down_seconds = measure_downtime(unit.connection, now)
        unit.commit()
        return epoch, down_seconds

    epoch, down_seconds = run_in_transaction(database, prepare)
    with database.reading() as connection:
        directory = start.load_directory(connection)
        log_size = log.log_size(connection)
        epoch_record = start.load_epoch_record(connection)
        changes = tuple(one.change for one in load_changes(connection))
    context = BridgeContext(
        network_id=settings.network_id,
        signer=own_keys.choose(directory, log_size),
        own_keys=own_keys,
        clock=clock,
        monotonic_ms=lambda: time.monotonic_ns() // 1_000_000,
        random_bytes=secrets.token_bytes,
        directory=directory,
        epoch=epoch,
        decide_by_ms=settings.decide_by_seconds * 1000,
        log_size=log_size,
        epoch_record=epoch_record,
        claim_lease_seconds=settings.claim_lease_days * DAY_SECONDS,
        down_seconds=down_seconds,
        witness_groups=WitnessGroups(federation.witness_group, changes),
        tokens_per_day=settings.tokens_per_day,
    )
    with database.reading() as connection:
        context.recovery = load_state(connection, epoch, ReportOpener(context))

    tls = TlsFiles.of(settings.tls_directory)
    queries = Queries(database)
    lines = Lines(context, queries)
    gateways = Gateways(settings.gateways, tls, lambda: context.log_size)
    roots = LocationRoots(database, context, settings.location_root_seconds)
    engine = BridgeEngine(context, judge_and_record, lines.send, _other_handlers(roots))
    writer: GroupCommit[Any, Any] = GroupCommit(
        database,
        engine.handle,
        name="bridge",
        after_commit=engine.after_commit,
        one_by_one_after_failure=True,
    )
    opener = Opener(context)
    courier = OrderCourier(context, database, writer, gateways)
    lists = ListWatch(ReviewQueries(database), writer, gateways)
    logs = _build_logs(settings, context, database)
    conflicts = ConflictServicer(context, database, writer, gateways)
    server = build_server(
        ServerOptions(settings.listen, tls, settings.network_id, BRIDGE, workers=WORKERS),
        [
            Registration(
                clock_pb2_grpc.add_ClockServiceServicer_to_server, ClockServicer(clock, settings.network_id)
            ),
            Registration(
                sync_pb2_grpc.add_SyncServiceServicer_to_server, SyncServicer(context, writer, lines, opener)
            ),
            Registration(
                reconcile_pb2_grpc.add_ReconcileServiceServicer_to_server,
                ReconcileServicer(context, queries, writer, lines, Reconciler(context, database)),
            ),
            Registration(
                recovery_pb2_grpc.add_RecoveryServiceServicer_to_server,
                RecoveryServicer(context, queries, writer),
            ),
            Registration(
                directory_pb2_grpc.add_DirectoryServiceServicer_to_server,
                DirectoryServicer(context, queries, writer, opener),
            ),
            Registration(
                directory_pb2_grpc.add_RecognitionServiceServicer_to_server,
                RecognitionServicer(context, queries, writer, opener),
            ),
            Registration(
                directory_pb2_grpc.add_DecisionServiceServicer_to_server,
                DecisionServicer(context, queries, writer, opener, logs.keeper.finality_of),
            ),
            Registration(
                directory_pb2_grpc.add_LocationServiceServicer_to_server,
                LocationServicer(context, queries),
            ),
            Registration(
                log_pb2_grpc.add_LogServiceServicer_to_server,
                LogServicer(
                    logs.keeper,
                    Bundles(database, lambda: logs.keeper.group.quorum),
                    LocationProofs(database, lambda: logs.keeper.group.quorum),
                ),
            ),
            Registration(
                witness_groups_pb2_grpc.add_WitnessGroupServiceServicer_to_server,
                WitnessGroupServicer(context, writer, logs.keeper),
            ),
            Registration(
                claims_pb2_grpc.add_ClaimServiceServicer_to_server,
                ClaimServicer(context, queries, writer, gateways),
            ),
            Registration(
                claim_queries_pb2_grpc.add_ClaimQueryServiceServicer_to_server,
                ClaimQueryServicer(context, ClaimSearch(database), writer),
            ),
            Registration(conflicts_pb2_grpc.add_ConflictServiceServicer_to_server, conflicts),
            Registration(
                cases_pb2_grpc.add_CaseServiceServicer_to_server,
                CaseServicer(context, CaseQueries(database), ConflictQueries(database), writer, gateways),
            ),
            Registration(
                coordination_pb2_grpc.add_CoordinationServiceServicer_to_server,
                CoordinationServicer(context, RegistryOrderQueries(database), writer, gateways, courier.wake),
            ),
            Registration(
                tokens_pb2_grpc.add_TokenServiceServicer_to_server,
                TokenServicer(context, TokenQueries(database), writer, TokenKeys(settings.keys_directory)),
            ),
            Registration(
                orders_pb2_grpc.add_OrderServiceServicer_to_server,
                OrderServicer(context, OrderQueries(database), writer),
            ),
        ],
        CALLERS,
        now=SystemClock().now(),
    )
    server.on_stop(conflicts.stop)
    return Bridge(
        settings,
        context,
        database,
        writer,
        lines,
        gateways,
        courier,
        lists,
        logs,
        roots,
        server,
        threading.Event(),
    )
