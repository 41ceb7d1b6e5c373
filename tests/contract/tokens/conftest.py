from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import make_network
from tests.contract.tokens.federation import Federation


@pytest.fixture
def federation(tmp_path: Path, database_kind: str, database_maker: DatabaseMaker) -> Iterator[Federation]:
    """A bridge with a token key, regions with a pepper; the network is the test's own, for keys change."""
    with Federation(make_network(tmp_path / "network", tokens=True), database_maker, database_kind) as made:
        yield made
