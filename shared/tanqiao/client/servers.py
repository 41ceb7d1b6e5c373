"""One client for each kind of server: its typed stubs over one connection."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from types import TracebackType
from typing import Final, Self, TypeVar

from grpc_health.v1 import health, health_pb2

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
from tanqiao.api.gateway.v1 import coordination_pb2_grpc as registry_order_pb2_grpc
from tanqiao.api.gateway.v1 import registry_pb2_grpc
from tanqiao.api.region.v1 import (
    accounts_pb2_grpc,
    certificates_pb2_grpc,
    clawbacks_pb2_grpc,
    consents_pb2_grpc,
    decisions_pb2_grpc,
    disclosure_pb2_grpc,
    dossiers_pb2_grpc,
    encumbrances_pb2_grpc,
    journal_pb2_grpc,
    ledger_pb2_grpc,
    mandates_pb2_grpc,
    parameters_pb2_grpc,
    registers_pb2_grpc,
    reserve_pb2_grpc,
    scenes_pb2_grpc,
)
from tanqiao.api.region.v1 import orders_pb2_grpc as local_orders_pb2_grpc
from tanqiao.client.calls import CallPolicy, ClientChannel
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.parties import BRIDGE

HEALTH_SECONDS: Final = 2.0


class ServerClient:
    """A connection to one server, and the services that every server has.

    Args:
        party: who serves, for the sentences of refusals: ``region/310000``.
        address: ``host:port``.
        tls: files of the party that calls.
        policy: deadlines and retries.

    Raises:
        DomainError: what `open_channel` refuses. A server that cannot be reached is found by the first call.
    """

    def __init__(self, party: str, address: str, tls: TlsFiles, *, policy: CallPolicy | None = None) -> None:
        self.party = party
        self.address = address
        self.channel = ClientChannel(open_channel(address, tls), party, address, policy)
        self.clock = clock_pb2_grpc.ClockServiceStub(self.channel)
        self._health_check = self.channel.unary_unary(
            f"/{health.SERVICE_NAME}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    def is_serving(self, timeout_seconds: float = HEALTH_SECONDS) -> bool:
        """Whether the server answers and says that it serves; never raises for a server that is down."""
        try:
            answer = self._health_check(health_pb2.HealthCheckRequest(), timeout=timeout_seconds)
        except DomainError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """End the connection and every call on it."""
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RegionClient(ServerClient):
    """A region node."""

    def __init__(self, party: str, address: str, tls: TlsFiles, *, policy: CallPolicy | None = None) -> None:
        super().__init__(party, address, tls, policy=policy)
        self.accounts = accounts_pb2_grpc.AccountServiceStub(self.channel)
        self.registers = registers_pb2_grpc.RegisterServiceStub(self.channel)
        self.issuance = registers_pb2_grpc.IssuanceServiceStub(self.channel)
        self.reserve = reserve_pb2_grpc.ReserveServiceStub(self.channel)
        self.parameters = parameters_pb2_grpc.ParameterServiceStub(self.channel)
        self.body_decisions = decisions_pb2_grpc.BodyDecisionServiceStub(self.channel)
        self.disclosure = disclosure_pb2_grpc.DisclosureServiceStub(self.channel)
        self.clawbacks = clawbacks_pb2_grpc.ClawbackServiceStub(self.channel)
        self.consents = consents_pb2_grpc.ConsentServiceStub(self.channel)
        self.certificates = certificates_pb2_grpc.CertificateServiceStub(self.channel)
        self.encumbrances = encumbrances_pb2_grpc.EncumbranceServiceStub(self.channel)
        self.dossiers = dossiers_pb2_grpc.DossierServiceStub(self.channel)
        self.mandates = mandates_pb2_grpc.TradingMandateServiceStub(self.channel)
        self.scenes = scenes_pb2_grpc.SceneServiceStub(self.channel)
        self.experience = scenes_pb2_grpc.ExperienceServiceStub(self.channel)
        self.ledger = ledger_pb2_grpc.LedgerServiceStub(self.channel)
        self.transfers = ledger_pb2_grpc.TransferServiceStub(self.channel)
        self.retirements = ledger_pb2_grpc.RetirementServiceStub(self.channel)
        self.journal = journal_pb2_grpc.JournalServiceStub(self.channel)
        self.node = journal_pb2_grpc.NodeServiceStub(self.channel)
        self.local_orders = local_orders_pb2_grpc.LocalOrderServiceStub(self.channel)


class BridgeClient(ServerClient):
    """The bridge."""

    def __init__(self, party: str, address: str, tls: TlsFiles, *, policy: CallPolicy | None = None) -> None:
        super().__init__(party, address, tls, policy=policy)
        self.directory = directory_pb2_grpc.DirectoryServiceStub(self.channel)
        self.recognition = directory_pb2_grpc.RecognitionServiceStub(self.channel)
        self.decisions = directory_pb2_grpc.DecisionServiceStub(self.channel)
        self.locations = directory_pb2_grpc.LocationServiceStub(self.channel)
        self.log = log_pb2_grpc.LogServiceStub(self.channel)
        self.reconciliation = reconcile_pb2_grpc.ReconcileServiceStub(self.channel)
        self.recovery = recovery_pb2_grpc.RecoveryServiceStub(self.channel)
        self.claims = claims_pb2_grpc.ClaimServiceStub(self.channel)
        self.tokens = tokens_pb2_grpc.TokenServiceStub(self.channel)
        self.coordination = coordination_pb2_grpc.CoordinationServiceStub(self.channel)
        self.sync = sync_pb2_grpc.SyncServiceStub(self.channel)
        self.orders = orders_pb2_grpc.OrderServiceStub(self.channel)
        self.cases = cases_pb2_grpc.CaseServiceStub(self.channel)
        self.claim_queries = claim_queries_pb2_grpc.ClaimQueryServiceStub(self.channel)
        self.conflicts = conflicts_pb2_grpc.ConflictServiceStub(self.channel)
        self.witness_groups = witness_groups_pb2_grpc.WitnessGroupServiceStub(self.channel)


class GatewayClient(ServerClient):
    """A gateway to an outside registry."""

    def __init__(self, party: str, address: str, tls: TlsFiles, *, policy: CallPolicy | None = None) -> None:
        super().__init__(party, address, tls, policy=policy)
        self.registry = registry_pb2_grpc.RegistryServiceStub(self.channel)
        self.orders = registry_order_pb2_grpc.RegistryOrderServiceStub(self.channel)


C = TypeVar("C", bound=ServerClient)


class Federation:
    """Clients of a whole network for one caller, opened when they are first asked for.

    Args:
        addresses: party that serves → ``host:port``.
        tls: files of the party that calls.
        policy: deadlines and retries.
    """

    def __init__(
        self, addresses: Mapping[str, str], tls: TlsFiles, *, policy: CallPolicy | None = None
    ) -> None:
        self._addresses = dict(addresses)
        self._tls = tls
        self._policy = policy
        self._open: dict[str, ServerClient] = {}
        self._lock = Lock()

    @property
    def parties(self) -> tuple[str, ...]:
        """Parties whose address is known, in order."""
        return tuple(self._addresses)

    @property
    def bridge(self) -> BridgeClient:
        """The bridge."""
        return self._client(BRIDGE, BridgeClient)

    def region(self, code: str) -> RegionClient:
        """Give the client of a region by its GB/T 2260 code."""
        return self._client(f"region/{code}", RegionClient)

    def gateway(self, name: str) -> GatewayClient:
        """Give the client of a gateway by the registry's name: ``ccer``."""
        return self._client(f"gateway/{name}", GatewayClient)

    def server(self, party: str) -> ServerClient:
        """Give the client of any party that serves, by its name."""
        kind = party.partition("/")[0]
        if kind == "region":
            return self._client(party, RegionClient)
        return self._client(party, BridgeClient if kind == BRIDGE else GatewayClient)

    def close(self) -> None:
        """End every connection."""
        with self._lock:
            for client in self._open.values():
                client.close()
            self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _client(self, party: str, client_class: type[C]) -> C:
        with self._lock:
            client = self._open.get(party)
            if isinstance(client, client_class):
                return client
            address = self._addresses.get(party)
            if address is None:
                raise DomainError("NOT_FOUND", what="address", id=party)
            opened = client_class(party, address, self._tls, policy=self._policy)
            self._open[party] = opened
            return opened
