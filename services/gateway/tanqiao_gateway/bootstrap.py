"""Where a gateway's concrete classes meet: database, servicer, server."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao.api.common.v1 import clock_pb2_grpc
from tanqiao.api.gateway.v1 import coordination_pb2_grpc, registry_pb2_grpc
from tanqiao.db.engine import Database
from tanqiao.db.migrations import open_migrated
from tanqiao.db.node_state import ClockOffsets, claim_database
from tanqiao.db.unit_of_work import UnitOfWork, run_in_transaction
from tanqiao.kernel.clock import Clock
from tanqiao.rpc.clock import ClockServicer, SystemClock, TestClock
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import Federation
from tanqiao.signing.keyring import Keyring
from tanqiao_gateway.application.orders import Orders
from tanqiao_gateway.application.signing import Signing
from tanqiao_gateway.server.callers import CALLERS
from tanqiao_gateway.server.order_servicer import RegistryOrderServicer
from tanqiao_gateway.server.registry_servicer import RegistryServicer
from tanqiao_gateway.settings import Settings
from tanqiao_gateway.storage.tables import SCHEMA, node_state


@dataclass(slots=True)
class Gateway:
    """A gateway that is built: `start`, then `stop`."""

    settings: Settings
    database: Database
    clock: Clock
    server: Server

    def start(self) -> None:
        """Serve."""
        self.server.start()

    def stop(self) -> None:
        """End the server, then the database."""
        self.server.stop()
        self.database.close()


def open_database(settings: Settings) -> Database:
    """Open the database as its one writer, migrated; on PostgreSQL the owner's role migrates."""
    return open_migrated(settings.database_url, settings.owner_database_url, SCHEMA)


def build(settings: Settings) -> Gateway:
    """Build a gateway from its settings; nothing is served yet.

    Raises:
        DomainError: one line that says what to do.
    """
    database = open_database(settings)
    try:
        return _build(settings, database)
    except BaseException:
        database.close()
        raise


def _build(settings: Settings, database: Database) -> Gateway:
    party = f"gateway/{settings.registry}"

    def claim(unit: UnitOfWork) -> None:
        claim_database(unit.connection, node_state, network_id=settings.network_id, party=party)
        unit.commit()

    run_in_transaction(database, claim)
    clock: Clock = SystemClock()
    if settings.test_clock_start is not None:
        offsets = ClockOffsets(database, node_state)
        clock = TestClock(settings.network_id, offsets, start=settings.test_clock_start)
    signing = Signing(
        settings.network_id,
        Keyring.open(settings.keys_directory).signer(KeyRole.MESSAGE),
        Federation.load(settings.federation_file).directory(),
    )
    orders = Orders(settings.registry, database, clock, signing)
    servicer = RegistryServicer(settings.registry, settings.network_id, database, clock)
    server = build_server(
        ServerOptions(settings.listen, TlsFiles.of(settings.tls_directory), settings.network_id, party),
        [
            Registration(
                clock_pb2_grpc.add_ClockServiceServicer_to_server, ClockServicer(clock, settings.network_id)
            ),
            Registration(registry_pb2_grpc.add_RegistryServiceServicer_to_server, servicer),
            Registration(
                coordination_pb2_grpc.add_RegistryOrderServiceServicer_to_server,
                RegistryOrderServicer(orders, signing),
            ),
        ],
        CALLERS,
        now=SystemClock().now(),
    )
    return Gateway(settings, database, clock, server)
