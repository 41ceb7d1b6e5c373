"""A node of a network without witnesses learns of the first group at work (PROTOCOL section 8, R10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.federation import NO_WITNESSES, WitnessGroup
from tanqiao.signing.witness_groups import GroupChange, WitnessGroups
from tanqiao.tlog.errors import TlogError
from tanqiao.witnessing.groups import NOT_HANDED_OVER, KnownGroups
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.finality import make_final, renew_groups
from tanqiao_region.application.group import Group
from tanqiao_region.application.holdings import Holdings
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.storage.finality import all_pending
from tanqiao_region.storage.node import WITNESS_QUORUM, load_values
from tests.contract.region.fake_bridge import FakeBridge
from tests.contract.region.harness import SERIES, Node, block

FIRST = GroupChange(7, WitnessGroup(("witness/a", "witness/b", "witness/c"), 2), by_roots=True)


class Told(KnownGroups):
    """Believes at its first question the changes that a test names, and then fails if it shall."""

    def __init__(self, node: Node, *changes: GroupChange, fails: bool = False) -> None:
        super().__init__("test", NO_WITNESSES, lambda: node.context.directory, lambda _index: ())
        self._told = changes
        self._fails = fails

    def renew(self) -> WitnessGroups:
        self.groups = self.groups.with_changes(self._told)
        self._told = ()
        if self._fails:
            raise TlogError(NOT_HANDED_OVER, "leaf 9")
        return self.groups


class BusyOnce:
    """The node's writer, which has no room the first time."""

    def __init__(self, node: Node) -> None:
        self._real = node.orders
        self.refused = 0

    def run(self, work: Callable[[Group], Any]) -> Any:
        if not self.refused:
            self.refused += 1
            raise DomainError("BUSY", detail="full")
        return self._real.run(work)


def stored(node: Node) -> str | None:
    """The quorum with which the node would start again."""
    with node.region.database.reading() as connection:
        return load_values(connection, (WITNESS_QUORUM,)).get(WITNESS_QUORUM)


def test_the_first_group_counts_although_the_writer_was_busy_when_it_was_learned(node: Node) -> None:
    known, orders, pending = Told(node, FIRST), BusyOnce(node), node.context.pending
    assert pending.quorum == 0
    as_orders: Any = orders
    with pytest.raises(DomainError, match="BUSY"):
        renew_groups(known, 7, as_orders, pending)
    assert (pending.quorum, stored(node)) == (0, None), "what is not stored is not shown either"
    renew_groups(known, 7, as_orders, pending)
    assert (pending.quorum, stored(node), orders.refused) == (2, "2", 1)


def test_the_first_group_counts_although_the_change_behind_it_does_not_hold(node: Node) -> None:
    known, pending = Told(node, FIRST, fails=True), node.context.pending
    with pytest.raises(TlogError, match=NOT_HANDED_OVER):
        renew_groups(known, 9, node.orders, pending)
    assert (pending.quorum, stored(node)) == (2, "2")


@pytest.mark.parametrize("index", [0, 7])
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_bridge_that_hides_the_first_group_takes_it_from_no_node_that_knew_it(
    node: Node, index: int
) -> None:
    renew_groups(Told(node, FIRST), 7, node.orders, node.context.pending)
    # After a restart no change is known until the bridge shows it.
    renew_groups(Told(node), index, node.orders, node.context.pending)
    assert (node.context.pending.quorum, stored(node)) == (2, "2")


def test_units_credited_while_the_first_group_is_learned_are_free_and_await_nothing(
    pair: tuple[Node, Node], bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    shanghai, shenzhen = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    holder, buyer = shanghai.open_account("holder"), shenzhen.open_account("buyer")
    shanghai.give(holder.account_id, block(0, 100))
    address = shenzhen.address(buyer.account_id)
    really = Holdings.register

    def register(self: Holdings, *arguments: Any) -> Any:
        shenzhen.context.pending.quorum = 2  # as the thread of finality does, at whatever moment
        return really(self, *arguments)

    monkeypatch.setattr(Holdings, "register", register)
    for number in (1, 2):
        shanghai.transfer(holder.account_id, address, Selection(quantity_kg=10))
        bridge.wait_until(lambda ended=2 * number: len(bridge.finals) == ended)  # type: ignore[misc]
    with shenzhen.region.database.reading() as connection:
        waiting = all_pending(connection)
    assert [row.blocks for row in waiting] == [(block(10, 20),)]
    assert len(shenzhen.run(lambda group: make_final(group, [(row, b"") for row in waiting]))) == 1
