"""Real gateways beside a bridge under test, with small invented lists (虚构)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest
from tanqiao_gateway.bootstrap import Gateway, build
from tanqiao_gateway.settings import Settings
from tanqiao_gateway.storage.tables import SCHEMA
from tests.contract.bridge.harness import START, WAIT_SECONDS

AS_OF: Final = date(2026, 2, 28)
GEC_COLUMNS: Final = (
    "reference,filing_code,plant_name,owner_name,owner_uscc,period_start,period_end,"
    "certificates,state,tradable,self_use,invented"
)
CCER_COLUMNS: Final = (
    "reference,filing_code,project_name,owner_name,owner_uscc,object,stage,attribute,"
    "crediting_start,crediting_end,methodology,invented"
)


def migrated_gateway(url: str) -> None:
    """Bring a database to the gateway's schema."""
    database = open_engine(url, role="writer")
    try:
        migrate(database, SCHEMA)
    finally:
        database.close()


_numbers = itertools.count(1)


@dataclass
class RunningList:
    """A gateway that serves one list, or none yet."""

    network: NetworkOfTest
    registry: str
    gateway: Gateway

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.gateway.server.address

    def load(self, rows: Sequence[str], as_of: date = AS_OF, columns: str = "") -> None:
        """Import rows in the gateway's own layout, or in another one with these columns."""
        columns = columns or (GEC_COLUMNS if self.registry == "gec" else CCER_COLUMNS)
        data = "\n".join([columns, *rows, ""]).encode()
        start = registry_pb2.ImportListRequest.Start(
            request_id=f"import-{self.registry}-{next(_numbers)}",
            format=registry_pb2.LIST_FORMAT_CSV,
            source="虚构 invented",
            as_of_date=date_message(as_of),
            file_name="list.csv",
        )

        def parts() -> Iterator[registry_pb2.ImportListRequest]:
            yield registry_pb2.ImportListRequest(start=start)
            yield registry_pb2.ImportListRequest(chunk=data)

        with open_channel(self.address, self.network.network.tls(SHANGHAI_CENTRE)) as channel:
            response = registry_pb2_grpc.RegistryServiceStub(channel).ImportList(
                parts(), timeout=WAIT_SECONDS
            )
        assert response.committed, response


def run_list(
    network: NetworkOfTest, registry: str, maker: DatabaseMaker, kind: str
) -> tuple[RunningList, DatabaseUnderTest]:
    """Start a gateway in this process; it has no list yet."""
    made = maker.make(kind, migrated_gateway, "gateway")
    gateway = build(
        Settings(
            network_id=network.network_id,
            registry=registry,
            listen="127.0.0.1:0",
            database_url=made.url,
            tls_directory=network.network.node(f"gateway/{registry}") / "tls",
            keys_directory=network.network.node(f"gateway/{registry}") / "keys",
            federation_file=network.network.node(f"gateway/{registry}") / "federation.json",
            owner_database_url=made.owner_url if made.owner_url != made.url else "",
            test_clock_start=datetime.fromisoformat(START).astimezone(UTC),
        )
    )
    gateway.start()
    return RunningList(network, registry, gateway), made


def certificates(reference: str, filing_code: str, **changes: Any) -> str:
    """Give a row of the green-certificate list: January 2026 of an invented plant."""
    cells = {
        "reference": reference,
        "filing_code": filing_code,
        "plant_name": "虚构电站",
        "owner_name": "虚构公司",
        "owner_uscc": "",
        "period_start": "2026-01-01",
        "period_end": "2026-02-01",
        "certificates": "240",
        "state": "ISSUED",
        "tradable": "true",
        "self_use": "",
        "invented": "1",
    }
    return ",".join({**cells, **changes}.values())


def ccer_project(reference: str, filing_code: str, **changes: Any) -> str:
    """Give a row of the CCER list: an invented project in its notice."""
    cells = {
        "reference": reference,
        "filing_code": filing_code,
        "project_name": "虚构光伏项目",
        "owner_name": "虚构公司",
        "owner_uscc": "",
        "object": "project",
        "stage": "notice",
        "attribute": "RE_GEN",
        "crediting_start": "2025-01-01",
        "crediting_end": "2035-01-01",
        "methodology": "CCER-01-002-V01",
        "invented": "1",
    }
    return ",".join({**cells, **changes}.values())
