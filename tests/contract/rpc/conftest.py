from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tanqiao.api.common.v1 import clock_pb2_grpc
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.server import Server
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest, make_network
from tests.contract.rpc.toys import Toy, new_toy, serve


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return make_network(tmp_path_factory.mktemp("network") / "home")


@pytest.fixture(scope="session")
def other_net(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return make_network(tmp_path_factory.mktemp("other") / "home", "test-other")


@pytest.fixture
def toy() -> Toy:
    return new_toy()


@pytest.fixture
def server(net: NetworkOfTest, toy: Toy) -> Iterator[Server]:
    built = serve(net, toy)
    built.start()
    yield built
    built.stop(0)


@pytest.fixture
def centre(net: NetworkOfTest, server: Server) -> Iterator[grpc.Channel]:
    """Give a channel of the Shanghai centre's operator."""
    with open_channel(server.address, net.network.tls(SHANGHAI_CENTRE)) as channel:
        yield channel


@pytest.fixture
def clock(centre: grpc.Channel) -> clock_pb2_grpc.ClockServiceStub:
    return clock_pb2_grpc.ClockServiceStub(centre)
