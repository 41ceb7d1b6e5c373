from __future__ import annotations

import pytest

from tanqiao.testing.network import NetworkOfTest, make_network


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return make_network(tmp_path_factory.mktemp("network") / "home")


@pytest.fixture(scope="session")
def other_net(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return make_network(tmp_path_factory.mktemp("other") / "home", "test-other")
