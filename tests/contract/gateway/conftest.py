"""Fixtures of the gateway's contract suite: a real gateway on loopback TLS, on each of the two databases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc
import pytest

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest, make_network
from tanqiao_gateway.bootstrap import Gateway, build
from tanqiao_gateway.settings import Settings
from tanqiao_gateway.storage.tables import SCHEMA

WAIT_SECONDS: Final = 60.0
START: Final = "2026-03-02T09:00:00+08:00"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """One network for the suite."""
    return make_network(tmp_path_factory.mktemp("network"))


def _migrated(url: str) -> None:
    database = open_engine(url, role="writer")
    try:
        migrate(database, SCHEMA)
    finally:
        database.close()


@dataclass
class RunningGateway:
    """A gateway that serves, and calls to it."""

    network: NetworkOfTest
    gateway: Gateway

    def stub(self, party: str = SHANGHAI_CENTRE) -> registry_pb2_grpc.RegistryServiceStub:
        """Give a stub as a party."""
        channel = open_channel(self.gateway.server.address, self.network.network.tls(party))
        return registry_pb2_grpc.RegistryServiceStub(channel)

    def send(
        self,
        data: bytes,
        file_name: str = "list.csv",
        *,
        mapping: str = "",
        party: str = SHANGHAI_CENTRE,
        timeout_seconds: float = WAIT_SECONDS,
        **start: Any,
    ) -> registry_pb2.ImportListResponse:
        """Send a file as a list; raises the refusal as a DomainError."""
        kind = registry_pb2.LIST_FORMAT_JSON if file_name.endswith(".json") else registry_pb2.LIST_FORMAT_CSV
        values: dict[str, Any] = {
            "request_id": f"import-of-test-{next(_numbers)}",
            "format": kind,
            "source": "test",
            "as_of_date": values_pb2.Date(year=2026, month=3, day=1),
            "file_name": file_name,
            "mapping": mapping,
        }

        def parts() -> Iterator[registry_pb2.ImportListRequest]:
            yield registry_pb2.ImportListRequest(
                start=registry_pb2.ImportListRequest.Start(**{**values, **start})
            )
            for at in range(0, len(data), 200_000):
                yield registry_pb2.ImportListRequest(chunk=data[at : at + 200_000])

        response: registry_pb2.ImportListResponse = self.call(
            lambda: self.stub(party).ImportList(parts(), timeout=timeout_seconds)
        )
        return response

    @staticmethod
    def call(work: Callable[[], Any]) -> Any:
        """Call, and turn a refusal back into what the server raised."""
        try:
            return work()
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def count(self) -> int:
        """Give the number of records of the current list."""
        status = self.stub().GetRegistryStatus(registry_pb2.GetRegistryStatusRequest(), timeout=WAIT_SECONDS)
        return int(status.record_count)


@pytest.fixture(params=["gec"])
def registry(request: pytest.FixtureRequest) -> str:
    """Name of the registry whose list is kept."""
    return str(request.param)


@pytest.fixture
def gateway_database(database_kind: str, database_maker: DatabaseMaker) -> Iterator[DatabaseUnderTest]:
    """A migrated database."""
    made = database_maker.make(database_kind, _migrated, "gateway")
    yield made
    database_maker.drop(made)


@pytest.fixture
def running(
    network: NetworkOfTest, gateway_database: DatabaseUnderTest, registry: str
) -> Iterator[RunningGateway]:
    """A gateway that serves."""
    url, owner = gateway_database.url, gateway_database.owner_url
    gateway = build(
        Settings(
            network_id=network.network_id,
            registry=registry,
            listen="127.0.0.1:0",
            database_url=url,
            tls_directory=network.network.node(f"gateway/{registry}") / "tls",
            keys_directory=network.network.node(f"gateway/{registry}") / "keys",
            federation_file=network.network.node(f"gateway/{registry}") / "federation.json",
            owner_database_url=owner if owner != url else "",
            test_clock_start=datetime.fromisoformat(START).astimezone(UTC),
        )
    )
    gateway.start()
    yield RunningGateway(network, gateway)
    gateway.stop()
