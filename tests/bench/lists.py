"""Lists for the gateways of the bench: invented plants, so that a look-up has something to look at."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.cli.local.members import CCER, GEC, Member
from tests.bench.processes import Federation

OPERATOR: Final = "operator/310000/sh.centre"
CHUNK_BYTES: Final = 256 * 1024
WAIT_SECONDS: Final = 120.0
LISTED_FROM: Final = 5_000_000
"""Filing codes of listed plants begin here; those of the bench's own claims lie below and are not listed."""


def filing_code(number: int) -> str:
    """Give the filing code of an invented plant."""
    return f"993100{number:011d}"


def import_lists(federation: Federation, rows: int) -> None:
    """Import a list of so many invented plants into each gateway."""
    gec = [
        f"GEC-{number},{filing_code(LISTED_FROM + number)},虚构电站{number}号,虚构公司,,2026-01-01,"
        "2026-02-01,240,ISSUED,true,,1"
        for number in range(rows)
    ]
    header = (
        "reference,filing_code,plant_name,owner_name,owner_uscc,period_start,period_end,certificates,state,"
        "tradable,self_use,invented"
    )
    _send(federation, GEC, [header, *gec])
    ccer = [
        f"CCER-{number},{filing_code(LISTED_FROM + number)},虚构项目{number}号,虚构公司,project,registered,"
        "2025-01-01,2035-01-01,1"
        for number in range(rows)
    ]
    header = (
        "reference,filing_code,project_name,owner_name,object,stage,crediting_start,crediting_end,invented"
    )
    _send(federation, CCER, [header, *ccer])


def _send(federation: Federation, gateway: Member, lines: list[str]) -> None:
    data = "\n".join([*lines, ""]).encode()
    start = registry_pb2.ImportListRequest.Start(
        request_id=secrets.token_hex(8),
        format=registry_pb2.LIST_FORMAT_CSV,
        source="bench, invented",
        as_of_date=values_pb2.Date(year=2026, month=3, day=1),
        file_name="bench.csv",
    )

    def parts() -> Iterator[registry_pb2.ImportListRequest]:
        yield registry_pb2.ImportListRequest(start=start)
        for at in range(0, len(data), CHUNK_BYTES):
            yield registry_pb2.ImportListRequest(chunk=data[at : at + CHUNK_BYTES])

    stub = registry_pb2_grpc.RegistryServiceStub(federation.channel(gateway, OPERATOR))
    answer = stub.ImportList(parts(), timeout=WAIT_SECONDS)
    if not answer.committed:
        raise RuntimeError(f"{gateway.name} refused the list: {answer.errors[:1]}")
