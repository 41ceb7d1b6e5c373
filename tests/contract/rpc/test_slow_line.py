"""A line that is far away, or a server that is busy: a connection takes its time and is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.server import Server
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest
from tests.chaos.wire import Wire

ONE_WAY_SECONDS = 0.15


@pytest.fixture
def far(server: Server) -> Iterator[Wire]:
    wire = Wire(server.address, Random(1), Counter())
    wire.lag(ONE_WAY_SECONDS)
    yield wire
    wire.close()


def test_the_first_attempt_over_a_slow_line_connects(net: NetworkOfTest, far: Wire) -> None:
    """One that dials anew for each attempt would otherwise never get through."""
    for _ in range(3):
        with open_channel(far.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
