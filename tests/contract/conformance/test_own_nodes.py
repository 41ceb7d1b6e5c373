"""Our own region nodes meet every requirement of the conformance kit, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao.testing.conformance.checks import all_requirements
from tanqiao.testing.conformance.requirements import Verdict, run
from tanqiao.testing.conformance.subject import Subject, announce, build_kit, provision
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.storage.holdings import SeriesRow
from tanqiao_region.storage.schema import SCHEMA
from tests.contract.region.harness import Node, block, build_node

SHANGHAI = Subject(
    region_code="310000",
    partner_code="440300",
    api="",
    holder_role="sh.holder",
    opener_role="sh.centre",
    account_id="",
    purpose="event_neutrality",
    purpose_text="虚构马拉松 invented marathon",
    programme="SZ_PHCER",
    outgoing_programmes=("SHCER",),
    outgoing_classes=("I",),
    legal_date="2026-03-02",
)
SHENZHEN = Subject(
    region_code="440300",
    partner_code="310000",
    api="",
    holder_role="sz.holder",
    opener_role="sz.platform_operator",
    account_id="",
    purpose="event_neutrality",
    purpose_text="虚构马拉松 invented marathon",
    programme="SHCER",
    unit_class="I",
    outgoing_programmes=("SZ_PHCER",),
    outgoing_classes=("",),
    legal_date="2026-03-02",
)
SERIES = {
    "310000": SeriesRow(
        "310000:SHCER:PV-1:2026:1", "310000", "SHCER", "PV-1", 2026, 1, "SHCER01010012024I", "I"
    ),
    "440300": SeriesRow("440300:SZ_PHCER:S-1:2026:1", "440300", "SZ_PHCER", "S-1", 2026, 1, "SZ-1", ""),
}


def _migrated(url: str) -> None:
    with open_engine(url, role="writer") as database:
        migrate(database, SCHEMA)


@pytest.fixture
def make(database_kind: str, database_maker: DatabaseMaker) -> Iterator[Callable[[], tuple[str, str]]]:
    """Makes a database for a node."""
    made = []

    def one() -> tuple[str, str]:
        made.append(database_maker.make(database_kind, _migrated, "region"))
        return made[-1].url, made[-1].owner_url

    yield one
    for database in made:
        database_maker.drop(database)


@pytest.mark.long
@pytest.mark.timeout(480)
@pytest.mark.parametrize("subject", [SHANGHAI, SHENZHEN], ids=["shanghai", "shenzhen"])
def test_our_own_node_meets_every_requirement(
    make: Callable[[], tuple[str, str]], tmp_path: Path, subject: Subject
) -> None:
    network = provision(tmp_path / "network", subject, datetime.now(UTC))
    kit = build_kit(network, subject)
    address = kit.line.start("127.0.0.1:0")
    urls = make()
    nodes: list[Node] = []

    def start() -> None:
        if nodes:
            nodes.pop().region.stop()
        of_test = NetworkOfTest(network, network.federation.directory())
        nodes.append(build_node(of_test, subject.party, urls, address))
        nodes[-1].region.start()
        kit.orders.address_of_api = nodes[-1].region.server.address  # type: ignore[attr-defined]

    start()
    try:
        holder = nodes[0].open_account("holder").account_id
        nodes[0].give(
            holder,
            block(0, 1_000_000, SERIES[subject.region_code].series_id),
            series=SERIES[subject.region_code],
        )
        kit.orders.account_id = holder  # type: ignore[attr-defined]
        kit.orders.restarter = start  # type: ignore[attr-defined]
        kit.patience_seconds = 1.0
        announce(kit, network, subject)
        outcomes = run(kit, all_requirements())
    finally:
        nodes[-1].region.stop()
        kit.line.stop()
    assert {one.requirement.name: one.reason for one in outcomes if one.verdict is not Verdict.PASSED} == {}
