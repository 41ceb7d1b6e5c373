"""Where the node's concrete classes meet: database, writer, line, servicers, server."""

from __future__ import annotations

import secrets as random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import grpc

from tanqiao.api.common.v1 import clock_pb2_grpc
from tanqiao.api.region.v1 import (
    accounts_pb2_grpc,
    dossiers_pb2_grpc,
    journal_pb2_grpc,
    ledger_pb2_grpc,
    orders_pb2_grpc,
    registers_pb2_grpc,
    reserve_pb2_grpc,
)
from tanqiao.db.backup import put_back
from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.migrations import open_migrated
from tanqiao.db.node_state import ClockOffsets
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock, legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.regions import RegionCode
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.clock import ClockServicer, SystemClock, TestClock
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import Federation
from tanqiao.signing.logs import witness_policy
from tanqiao.signing.note_keys import NoteKeys, RingKeys
from tanqiao.signing.own_keys import OwnKeys
from tanqiao.signing.pepper import PEPPER_NAME, read_pepper
from tanqiao.signing.verify import Verifier
from tanqiao.witnessing.follower import Follower
from tanqiao.witnessing.groups import KnownGroups
from tanqiao.witnessing.remote import RemoteLog
from tanqiao.witnessing.running import build_follower, open_witness_database
from tanqiao_region.application import start
from tanqiao_region.application.activity import Activity
from tanqiao_region.application.activity_import import ActivityImports
from tanqiao_region.application.claim_steps import IMPORT_SECONDS_MAX, ClaimSteps, submit_to
from tanqiao_region.application.claims_client import BridgeClaims
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.contradictions import Contradictions
from tanqiao_region.application.dossiers import DossierReads, Dossiers
from tanqiao_region.application.experts import Experts
from tanqiao_region.application.finality import renew_groups
from tanqiao_region.application.issuance import Issuances
from tanqiao_region.application.line import Line
from tanqiao_region.application.local_orders import LocalOrders
from tanqiao_region.application.methodologies import Methodologies
from tanqiao_region.application.notifier import Notifier
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.own_log import OwnLog
from tanqiao_region.application.pending import Pending
from tanqiao_region.application.project_steps import ProjectSteps
from tanqiao_region.application.published_pack import PublishedPack
from tanqiao_region.application.queries import Queries
from tanqiao_region.application.reconciling import Reconciliation, Schedule
from tanqiao_region.application.recovery import mark_restored
from tanqiao_region.application.register_reads import RegisterReads
from tanqiao_region.application.registers import Registers
from tanqiao_region.application.reserve import Reserve
from tanqiao_region.application.reserve_steps import ReserveSteps
from tanqiao_region.application.rule_parameters import with_published
from tanqiao_region.application.secrets import NodeSecrets, RandomPool
from tanqiao_region.application.token_renewal import TokenRenewal
from tanqiao_region.application.tokens import TokenBook
from tanqiao_region.application.working_calendar import load_calendar
from tanqiao_region.application.writer import ITEMS_PER_GROUP_MAX, Writer, weigh
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.node_secret import open_secret
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack, pack_digest
from tanqiao_region.scene_office import SceneOffice, build_scene_office
from tanqiao_region.server.account_servicer import AccountServicer
from tanqiao_region.server.callers import callers
from tanqiao_region.server.claims_line import GrpcBridgeClaims
from tanqiao_region.server.dossier_servicer import DossierServicer
from tanqiao_region.server.finality_line import FinalityLine
from tanqiao_region.server.issuance_servicer import IssuanceServicer
from tanqiao_region.server.journal_servicers import JournalServicer, NodeFacts, NodeServicer
from tanqiao_region.server.ledger_servicers import LedgerServicer, RetirementServicer, TransferServicer
from tanqiao_region.server.local_order_servicer import LocalOrderServicer
from tanqiao_region.server.log_uplink import LogUplink
from tanqiao_region.server.reconcile_line import GrpcReconcile
from tanqiao_region.server.recovery_line import GrpcRecovery
from tanqiao_region.server.register_servicer import RegisterServicer
from tanqiao_region.server.reserve_servicer import ReserveServicer
from tanqiao_region.server.sync_client import SyncClient
from tanqiao_region.server.tokens_line import GrpcBridgeTokens
from tanqiao_region.settings import Settings
from tanqiao_region.storage.finality import all_pending
from tanqiao_region.storage.node import WITNESS_QUORUM, load_values
from tanqiao_region.storage.parameter_tables import load_parameters
from tanqiao_region.storage.schema import SCHEMA
from tanqiao_region.storage.tables import node_state
from tanqiao_region.unit_office import unit_services

PACKS_KEPT_MAX: Final = 16
POOL_LIST: Final = "expert-pool"
"""Where a text publishes the pool, its pack has this list."""
WORKERS: Final = 96
"""Threads that serve calls: some wait for the end of transfers, each watcher holds one."""


@dataclass(frozen=True, slots=True)
class Office:
    """Registers, activity, issuance and reserve: what stands on claims at the bridge."""

    steps: ClaimSteps
    methodologies: Methodologies
    registers: Registers
    project_steps: ProjectSteps
    reads: RegisterReads
    activity: Activity
    imports: ActivityImports
    issuances: Issuances
    reserve: Reserve
    reserve_steps: ReserveSteps
    dossiers: Dossiers
    dossier_reads: DossierReads
    experts: Experts
    scene_office: SceneOffice
    pool_is_public: bool

    def registrations(self, region_code: str) -> list[Registration]:
        """Give the services."""
        return [
            Registration(
                registers_pb2_grpc.add_RegisterServiceServicer_to_server,
                RegisterServicer(
                    self.methodologies, self.registers, self.project_steps, self.reads, region_code
                ),
            ),
            Registration(
                registers_pb2_grpc.add_IssuanceServiceServicer_to_server,
                IssuanceServicer(self.activity, self.imports, self.issuances, region_code),
            ),
            Registration(
                reserve_pb2_grpc.add_ReserveServiceServicer_to_server,
                ReserveServicer(self.reserve, self.reserve_steps, region_code),
            ),
            *self.scene_office.registrations(),
            Registration(
                dossiers_pb2_grpc.add_DossierServiceServicer_to_server,
                DossierServicer(
                    self.dossiers,
                    self.dossier_reads,
                    self.experts,
                    region_code,
                    public_pool=self.pool_is_public,
                ),
            ),
        ]


@dataclass(frozen=True, slots=True)
class Logs:
    """The node's own log, its witness of the bridge's, and what makes decisions final."""

    finality: FinalityLine
    uplink: LogUplink | None
    witness: Follower | None
    witness_database: Database | None
    channel: grpc.Channel

    def start(self) -> None:
        """Begin: each in a thread of its own."""
        self.finality.start()
        for part in (self.uplink, self.witness):
            if part is not None:
                part.start()

    def stop(self) -> None:
        """End the threads and the line."""
        self.finality.stop()
        for part in (self.uplink, self.witness):
            if part is not None:
                part.stop()
        self.channel.close()
        if self.witness_database is not None:
            self.witness_database.close()


@dataclass(slots=True)
class Region:
    """A node that is built: `start`, then `stop`."""

    settings: Settings
    context: RegionContext
    database: Database
    writer: GroupCommit[Any, Any]
    notifier: Notifier
    orders: Orders
    queries: Queries
    office: Office
    logs: Logs
    sync: SyncClient
    server: Server
    renewal: TokenRenewal

    def start(self) -> None:
        """Serve, and dial the bridge."""
        self.server.start()
        self.sync.start()
        self.office.steps.start()
        self.renewal.start()
        self.logs.start()

    def stop(self) -> None:
        """End the line, the waiting calls, the server, the writer and the database, in this order."""
        self.office.steps.stop()
        self.renewal.stop()
        self.logs.stop()
        self.sync.stop()
        self.notifier.close()
        self.server.stop()
        self.writer.close()
        self.database.close()


def open_database(settings: Settings, *, migrating: bool = True) -> Database:
    """Open the database as its one writer, migrated; on PostgreSQL the owner's role migrates.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, DIRECTORY_MISSING, MIGRATION_PENDING, DATABASE_GUARD_MISSING, …
    """
    return open_migrated(settings.database_url, settings.owner_database_url, SCHEMA, migrating=migrating)


def restore_from(settings: Settings, source: Path | None) -> int:
    """Put a backup in place, or take the database as it stands, and mark it as restored; its incarnation.

    Raises:
        DomainError: WRITER_ALREADY_RUNNING, FILE_MISSING, SETTING_INVALID, …
    """

    def mark(unit: UnitOfWork) -> int:
        incarnation = mark_restored(unit.connection)
        unit.commit()
        return incarnation

    def run(at: Settings) -> int:
        database = open_database(at)
        try:
            return run_in_transaction(database, mark)
        finally:
            database.close()

    if source is None:
        return run(settings)
    with put_back(settings.database_url, source) as copy_url:
        return run(replace(settings, database_url=copy_url, owner_database_url=""))


@lru_cache(maxsize=PACKS_KEPT_MAX)
def _loaded_pack(directory: Path, digest: str, network_id: str) -> RulePack:
    """Load a pack once for each content of its files: many nodes may be built in one process."""
    pack = load_pack(directory, network_id=network_id)
    require(pack.identity.digest == digest, f"the files of {directory} changed while they were read")
    return pack


def rule_pack_of(settings: Settings) -> RulePack:
    """Load the rule pack of the settings; SETTING_INVALID if it is none, or another region's."""
    directory = SHIPPED_PACKS / settings.rule_pack
    if not directory.is_dir():
        directory = Path(settings.rule_pack)
    if not directory.is_dir():
        raise DomainError("SETTING_INVALID", setting="rule_pack", detail=f"no pack {settings.rule_pack}")
    pack = _loaded_pack(directory, pack_digest(directory), settings.network_id)
    if pack.region != settings.region_code:
        detail = f"{settings.rule_pack} is the pack of {pack.region}"
        raise DomainError("SETTING_INVALID", setting="rule_pack", detail=detail)
    return pack


def build(settings: Settings) -> Region:
    """Build a node from its settings; nothing is served yet.

    Raises:
        DomainError: one line that says what to do: a taken port, a missing directory, a wrong key, …
    """
    RegionCode(settings.region_code)
    federation = Federation.load(settings.federation_file)
    if federation.network_id != settings.network_id:
        detail = f"{settings.federation_file} is of network {federation.network_id}"
        raise DomainError("SETTING_INVALID", setting="network_id", detail=detail)
    own_keys = OwnKeys(settings.keys_directory)
    if own_keys.owner != f"region/{settings.region_code}":
        detail = f"{settings.keys_directory} holds the keys of {own_keys.owner}"
        raise DomainError("SETTING_INVALID", setting="region_code", detail=detail)
    pack = rule_pack_of(settings)
    secrets = NodeSecrets(open_secret(settings.keys_directory), random.token_bytes)
    database = open_database(settings)
    try:
        return _build(settings, federation, own_keys, pack, secrets, database)
    except BaseException:
        database.close()
        raise


def build_context(
    settings: Settings,
    federation: Federation,
    own_keys: OwnKeys,
    pack: Callable[[date], RulePack],
    secrets: NodeSecrets,
    database: Database,
) -> RegionContext:
    """Take the database over and give the node's own things."""
    clock: Clock = SystemClock()
    if settings.test_clock_start is not None:
        offsets = ClockOffsets(database, node_state)
        clock = TestClock(settings.network_id, offsets, start=settings.test_clock_start)
    verifier = Verifier(settings.network_id, own_keys.owner)

    def prepare(unit: UnitOfWork) -> None:
        start.prepare(unit.connection, federation, own_keys.owner, secrets)
        unit.commit()

    run_in_transaction(database, prepare)
    with database.reading() as connection:
        begun = start.begin(connection, federation, verifier)
        waiting = all_pending(connection)
        published = load_parameters(connection)
        quorum = load_values(connection, (WITNESS_QUORUM,)).get(WITNESS_QUORUM)
    pending = Pending(int(quorum or federation.witness_group.quorum))
    pending.begin(waiting)
    return RegionContext(
        network_id=settings.network_id,
        region_code=settings.region_code,
        signer=own_keys.choose(begun.directory, begun.applied_log_index + 1),
        own_keys=own_keys,
        clock=clock,
        random_bytes=RandomPool(random.token_bytes).take,
        secrets=secrets,
        pack=PublishedPack(pack, published, with_published),
        incarnation=begun.incarnation,
        directory=begun.directory,
        verifier=verifier,
        recognitions=begun.recognitions,
        applied_log_index=begun.applied_log_index,
        recovering=begun.recovering,
        epoch_start=begun.epoch_start,
        pending=pending,
    )


def build_writer(context: RegionContext, database: Database) -> tuple[Writer, GroupCommit[Any, Any]]:
    """Give the node's one writer and its queue."""
    writer = Writer(context)
    queue: GroupCommit[Any, Any] = GroupCommit(
        database,
        writer.handle,
        name=context.party,
        after_commit=writer.after_commit,
        one_by_one_after_failure=True,
        weigh=weigh,
        weight_per_group_max=ITEMS_PER_GROUP_MAX,
    )
    return writer, queue


def build_office(
    context: RegionContext,
    database: Database,
    queue: GroupCommit[Any, Any],
    notifier: Notifier,
    claims: BridgeClaims,
    calendar_directory: Path | None = None,
) -> Office:
    """Give what stands on claims at the bridge.

    Raises:
        DomainError: SETTING_INVALID, for a file of the calendar's directory that is no notice.
    """
    calendar = load_calendar(calendar_directory)
    submit = submit_to(queue)
    steps = ClaimSteps(context, database, submit, claims)

    def wait(issuance_id: str, seconds: float) -> None:
        notifier.wait_ended(TransferKey(context.party, bytes.fromhex(issuance_id)), seconds)

    methodologies = Methodologies(submit, lambda: calendar)
    lists = {shown.slug for shown in context.pack(legal_date(context.now())).data.disclosures}
    return Office(
        steps,
        methodologies,
        Registers(submit, steps, claims, lambda: calendar),
        ProjectSteps(submit),
        RegisterReads(database),
        Activity(submit),
        ActivityImports(context, database, submit_to(queue, IMPORT_SECONDS_MAX)),
        Issuances(context, database, submit, steps, claims, wait=wait),
        Reserve(database, steps),
        ReserveSteps(database, submit),
        Dossiers(submit, methodologies),
        DossierReads(database),
        Experts(submit),
        build_scene_office(database, submit),
        pool_is_public=POOL_LIST in lists,
    )


def _build_logs(
    settings: Settings,
    federation: Federation,
    context: RegionContext,
    database: Database,
    orders: Orders,
) -> Logs:
    """Give the node's own log and its witness.

    Raises:
        DomainError: what opening the witness's database is refused with.
    """
    network_id, address = settings.network_id, settings.bridge_address
    channel = open_channel(address, TlsFiles.of(settings.tls_directory))
    remote = RemoteLog(channel, address)
    group = federation.witness_group
    seals = NoteKeys(
        network_id,
        settings.keys_directory,
        KeyRole.CHECKPOINT,
        lambda: context.directory,
        lambda: context.known_index,
    )
    uplink = None
    if not seals.is_empty:
        own_log = OwnLog(database, seals.now, context.party, context.secrets.log_salt)
        uplink = LogUplink(own_log, remote)
    witness = witness_database = None
    cosigns = RingKeys(network_id, settings.keys_directory, KeyRole.WITNESS)
    if settings.witness_database_url and not cosigns.is_empty:
        witness_database = open_witness_database(
            settings.witness_database_url, settings.witness_owner_database_url
        )
        witness = build_follower(
            federation,
            context.party,
            cosigns.at,
            witness_database,
            remote,
            evidence=settings.evidence_directory,
            suspicions=Contradictions(context, database).fresh,
        )
    roots = federation.directory()
    known = KnownGroups(
        network_id, group, lambda: roots.with_entries(context.directory), remote.group_changes
    )

    finality = FinalityLine(
        context.pending,
        orders,
        remote,
        lambda size: witness_policy(network_id, context.directory, known.groups.at(size), size=size),
        watch=None if witness is None else witness.watch,
        renew=lambda index: renew_groups(known, index, orders, context.pending),
        alarm=context.alarm,
    )
    return Logs(finality, uplink, witness, witness_database, channel)


def _build_tokens(
    settings: Settings, context: RegionContext, database: Database, bridge: GrpcBridgeTokens
) -> TokenRenewal:
    """Give the node what makes tokens of persons and vehicles, and what renews them under a new key."""
    path = settings.keys_directory / PEPPER_NAME
    if path.exists():
        read_pepper(path)  # one that others may read stops the start, as every key does
    context.tokens = TokenBook(
        cache(lambda: read_pepper(path)),
        lambda: context.directory,
        bridge,
    )
    return TokenRenewal(database, context.tokens, bridge)


def _build(
    settings: Settings,
    federation: Federation,
    own_keys: OwnKeys,
    pack: RulePack,
    secrets: NodeSecrets,
    database: Database,
) -> Region:
    context = build_context(settings, federation, own_keys, lambda _day: pack, secrets, database)
    writer, queue = build_writer(context, database)
    notifier = Notifier()
    tls = TlsFiles.of(settings.tls_directory)
    line = Line(context, database, queue)
    sync = SyncClient(
        line,
        lambda: open_channel(settings.bridge_address, tls),
        settings.bridge_address,
        GrpcRecovery,
        GrpcReconcile,
        Schedule(Reconciliation(context, database), context),
    )
    writer.tell(sync.tell)
    writer.tell(notifier.tell)
    queries = Queries(context, database)
    orders = Orders(queue, notifier, queries, context.party)
    channel = open_channel(settings.bridge_address, tls)
    claims = GrpcBridgeClaims(context, channel, settings.bridge_address)
    renewal = _build_tokens(settings, context, database, GrpcBridgeTokens(channel, settings.bridge_address))
    office = build_office(context, database, queue, notifier, claims, settings.calendar_directory)
    logs = _build_logs(settings, federation, context, database, orders)
    facts = NodeFacts(
        network_id=settings.network_id,
        region_code=settings.region_code,
        incarnation=lambda: context.incarnation,
        recovering=lambda: context.recovering,
        now=context.now,
        test_clock=isinstance(context.clock, TestClock),
        connected=lambda: sync.connected,
        rule_pack=lambda: _pack_in_force(context),
        alarms=context.alarms.all,
    )
    server = build_server(
        ServerOptions(settings.listen, tls, settings.network_id, own_keys.owner, workers=WORKERS),
        [
            Registration(
                clock_pb2_grpc.add_ClockServiceServicer_to_server,
                ClockServicer(context.clock, settings.network_id),
            ),
            Registration(
                accounts_pb2_grpc.add_AccountServiceServicer_to_server, AccountServicer(orders, queries)
            ),
            Registration(ledger_pb2_grpc.add_LedgerServiceServicer_to_server, LedgerServicer(orders)),
            Registration(
                ledger_pb2_grpc.add_TransferServiceServicer_to_server,
                TransferServicer(orders, queries, notifier, own_keys.owner),
            ),
            Registration(
                ledger_pb2_grpc.add_RetirementServiceServicer_to_server,
                RetirementServicer(orders, queries),
            ),
            Registration(
                journal_pb2_grpc.add_JournalServiceServicer_to_server, JournalServicer(queries, notifier)
            ),
            Registration(journal_pb2_grpc.add_NodeServiceServicer_to_server, NodeServicer(queries, facts)),
            Registration(
                orders_pb2_grpc.add_LocalOrderServiceServicer_to_server,
                LocalOrderServicer(LocalOrders(context, orders, database)),
            ),
            *unit_services(
                context, database, submit_to(queue), load_calendar(settings.calendar_directory), tls
            ),
            *office.registrations(settings.region_code),
        ],
        callers(settings.region_code),
        now=SystemClock().now(),
    )
    return Region(
        settings, context, database, queue, notifier, orders, queries, office, logs, sync, server, renewal
    )


def _pack_in_force(context: RegionContext) -> tuple[str, str]:
    identity = context.pack(legal_date(context.now())).identity
    return identity.pack_id, identity.version
