"""fsck finds what was changed behind the journal's back, and nothing on a node that was left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tanqiao.signing.federation import Federation
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.fsck import Report, check_database
from tanqiao_region.application.issue_offers import series_message
from tests.contract.region.conftest import stop
from tests.contract.region.fake_bridge import LOCK, REFUSE, FakeBridge
from tests.contract.region.harness import SERIES, SHANGHAI, Node, block
from tests.contract.region.test_transfers import ended, ready_to_send

Pair = tuple[Node, Node]


@pytest.fixture
def lived(pair: Pair, bridge: FakeBridge) -> Pair:
    """Two nodes with a life behind them: moves inside, across the border, a use, a refused transfer."""
    bridge.series[SERIES.series_id] = series_message(SERIES)
    shanghai, shenzhen = pair
    holder, other = shanghai.open_account("holder"), shanghai.open_account("other")
    buyer = shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 1_000))
    shanghai.move(holder.account_id, other.account_id, Selection(quantity_kg=100))
    address = shenzhen.address(buyer.account_id)
    assert (
        ended(shanghai, shanghai.transfer(holder.account_id, address, Selection(quantity_kg=300))) == "MOVED"
    )
    assert ended(shanghai, shanghai.retire(holder.account_id, Selection(quantity_kg=50))) == "USED"
    bridge.wait_until(lambda: len(bridge.finals) == 3)
    return pair


def report_of(node: Node, network: NetworkOfTest) -> Report:
    federation: Federation = network.network.federation
    return check_database(node.region.database, federation)


def test_a_node_with_a_life_behind_it_is_clean(lived: Pair, network: NetworkOfTest) -> None:
    for node in lived:
        report = report_of(node, network)
        # The fixture gives units without the issuance that a real node rests them on.
        assert [finding for finding in report.findings if "journal" not in finding] == []
    assert report_of(lived[1], network).clean


def test_a_prepare_that_was_refused_behind_its_abort_is_clean(
    pair: Pair, bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, shenzhen = pair
    bridge.on_lock = bridge.hold
    holder, _, address = ready_to_send(pair)
    sent = shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: bool(bridge.seen_of(LOCK)))
    key, lock = (SHANGHAI, sent.transfer_id), bridge.seen_of(LOCK)[0]
    bridge.locks[key] = lock
    bridge.abort(key)
    bridge.wait_until(lambda: len(bridge.finals) == 2)
    bridge.on_answer = bridge.hold
    del bridge.decided[key]
    bridge.prepare([lock])
    bridge.wait_until(lambda: bool(bridge.seen_of(REFUSE)))
    assert report_of(shenzhen, network).findings == []


TAMPERINGS: dict[str, tuple[str, str]] = {
    "units that nobody credited": (
        "UPDATE holding SET end_serial = end_serial + 7 WHERE state = 1",
        "is not what the journal gives",
    ),
    "units that vanished": ("DELETE FROM holding WHERE state = 1", "of the journal is not stored"),
    "a transfer that was never dropped": (
        "UPDATE incoming_transfer SET state = 4",
        "is not in the state that the journal gives",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_changed_behind_the_journal_is_found(
    lived: Pair, network: NetworkOfTest, name: str, make_database: Callable[[], object]
) -> None:
    assert make_database is not None
    statement, finding = TAMPERINGS[name]
    shenzhen = lived[1]
    assert report_of(shenzhen, network).clean
    stop(shenzhen)
    assert shenzhen.under_test is not None
    database = shenzhen.under_test.open("writer", owner=True)
    with database.writing() as connection:
        assert connection.execute(sa.text(statement)).rowcount >= 1
        connection.commit()
    report = check_database(database, network.network.federation)
    assert not report.clean
    assert any(finding in found for found in report.findings), report.findings


def test_a_guard_that_was_dropped_is_named(lived: Pair, network: NetworkOfTest) -> None:
    shenzhen = lived[1]
    stop(shenzhen)
    assert shenzhen.under_test is not None
    database = shenzhen.under_test.open("writer", owner=True)
    with database.migrating() as connection:
        for name in _triggers(connection):
            connection.execute(sa.text(f'DROP TRIGGER "{name}"{_on(connection)}'))
        connection.commit()
    report = check_database(database, network.network.federation)
    assert any("journal_append_only" in found for found in report.findings), report.findings


def _triggers(connection: sa.Connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'journal'"
    else:
        query = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'journal'::regclass AND NOT tgisinternal"
    return [row[0] for row in connection.execute(sa.text(query))]


def _on(connection: sa.Connection) -> str:
    return "" if connection.dialect.name == "sqlite" else " ON journal"
