"""Units of a closed account wait in suspense: for a new account of their owner, or for the way back (R7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import journal
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.fsck import check_database
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.storage import accounts as kinds
from tests.contract.region.fake_bridge import READY, FakeBridge
from tests.contract.region.harness import (
    OPENERS,
    SERIES,
    SHANGHAI,
    SHENZHEN,
    USCC,
    Node,
    block,
    request,
)

Pair = tuple[Node, Node]
OFFICE = OPENERS[SHENZHEN]
GREEN = By("holder/440300/sz.data_operator/green", "sz.data_operator")
BUYER = By("holder/440300/sz.holder/lyon", "sz.holder")
TEN = Selection(quantity_kg=10)


@dataclass
class Owner:
    """An owner whose account closes while units are on their way."""

    by: By
    fields: dict[str, Any]
    closed: str = ""
    suspense: str = ""

    def open(self, node: Node, **more: Any) -> Any:
        answer = node.orders.open_accounts([OpenOrder(request(self.by), self.by, **(self.fields | more))])[0]
        if isinstance(answer, DomainError):
            raise answer
        return answer


def symbol(answer: object) -> str:
    assert isinstance(answer, DomainError), answer
    return answer.symbol


@pytest.fixture
def owners(pair: Pair, bridge: FakeBridge) -> dict[str, Owner]:
    """A firm with a credit code, a buyer abroad without one, and an operator's user, each in suspense."""
    shanghai, shenzhen = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    green = shenzhen.open_account("green", kinds.KIND_DATA_OPERATOR, holder_party=GREEN.party)
    found = {
        "firm": Owner(
            OFFICE, {"kind": kinds.KIND_ENTERPRISE, "display_name": "虚构公司", "uscc": "91310000MA1FL00157"}
        ),
        "abroad": Owner(
            OFFICE,
            {
                "kind": kinds.KIND_EXTERNAL_BUYER,
                "display_name": "Invented SA",
                "seat": "FR",
                "holder_party": BUYER.party,
            },
        ),
        "user": Owner(
            GREEN,
            {
                "kind": kinds.KIND_PERSON,
                "operator_account_id": green.account_id,
                "operator_reference": "u-1",
            },
        ),
    }
    giver = shanghai.open_account("giver").account_id
    shanghai.give(giver, block(0, 1000))
    bridge.on_answer = bridge.hold
    for owner in found.values():
        owner.closed = owner.open(shenzhen).account_id
        address = shenzhen.orders.create_address(request(owner.by), owner.by, owner.closed)
        shanghai.transfer(giver, address, TEN)
    bridge.wait_until(lambda: len(bridge.seen_of(READY)) == len(found))
    for owner in found.values():
        shenzhen.orders.close_account(request(owner.by), owner.by, owner.closed)
    bridge.commit(bridge.seen_of(READY))
    bridge.wait_until(lambda: len(bridge.finals) == 2 * len(found))
    with shenzhen.region.database.reading() as connection:
        kept = kinds.load_suspense_accounts(connection, [owner.closed for owner in found.values()])
    for owner in found.values():
        owner.suspense = kept[owner.closed].account_id
    return found


def test_every_kind_of_owner_gets_its_units_out_of_suspense_and_nobody_else(
    pair: Pair, owners: dict[str, Owner], network: NetworkOfTest
) -> None:
    _, shenzhen = pair
    stranger = shenzhen.open_account("stranger", uscc=USCC).account_id
    firm, abroad, user = owners.values()
    for owner in owners.values():
        for other in (stranger, *(one.suspense for one in owners.values() if one is not owner)):
            refused = shenzhen.move(owner.suspense, other, TEN, by=OFFICE)
            assert symbol(refused) in {"SUSPENSE_OWNER_MISMATCH", "ACCOUNT_KIND_NOT_ALLOWED"}
        by = GREEN if owner is user else BUYER
        assert symbol(shenzhen.retire(owner.suspense, TEN, by=by)) == "ACCOUNT_KIND_NOT_ALLOWED"
    with pytest.raises(DomainError) as refusal:
        firm.open(shenzhen, owner_account_id=user.closed)
    assert refusal.value.symbol == "FIELD_INVALID"
    with pytest.raises(DomainError) as refusal:
        abroad.open(shenzhen, owner_account_id="A" + "2" * 16)
    assert refusal.value.symbol == "ACCOUNT_UNKNOWN"
    unvouched = abroad.open(shenzhen).account_id
    assert symbol(shenzhen.move(abroad.suspense, unvouched, TEN, by=BUYER)) == "SUSPENSE_OWNER_MISMATCH"
    again = {
        "firm": firm.open(shenzhen).account_id,
        "abroad": abroad.open(shenzhen, owner_account_id=abroad.closed).account_id,
        "user": user.open(shenzhen).account_id,
    }
    with pytest.raises(DomainError) as refusal:
        user.open(shenzhen)
    assert refusal.value.symbol == "ALREADY_EXISTS"
    assert shenzhen.queries.account(again["user"], GREEN).reference == "u-1"
    for name, by in (("firm", OFFICE), ("abroad", BUYER), ("user", GREEN)):
        moved = shenzhen.move(owners[name].suspense, again[name], TEN, by=by)
        assert [one.end - one.start for one in moved.blocks] == [10], name
    assert check_database(shenzhen.region.database, network.network.federation).clean


def test_a_suspense_account_has_its_entry_and_is_seen_as_its_owners_was(
    pair: Pair, owners: dict[str, Owner]
) -> None:
    _, shenzhen = pair
    part = shenzhen.queries.journal(
        from_index=1, limit=100, account_ids=[], kinds=[journal.ACCOUNT_OPENED], by=OFFICE
    )
    entries = {row.subject_id: journal.entry_message(row) for row in part.rows}
    for owner in owners.values():
        details = entries[owner.suspense].details
        assert (details["kind"], details["suspense_of"]) == (str(kinds.KIND_SUSPENSE), owner.closed)
    assert shenzhen.queries.balance(owners["firm"].suspense, OFFICE).held_kg == 10
    assert shenzhen.queries.balance(owners["abroad"].suspense, BUYER).held_kg == 10
    assert shenzhen.queries.balance(owners["user"].suspense, GREEN).held_kg == 10
    with pytest.raises(DomainError) as refusal:
        shenzhen.queries.balance(owners["user"].suspense, OFFICE)
    assert refusal.value.symbol == "ACCOUNT_UNKNOWN"


def test_units_in_suspense_go_back_by_a_new_transfer_to_the_region_that_sent_them(
    pair: Pair, owners: dict[str, Owner], bridge: FakeBridge, network: NetworkOfTest
) -> None:
    shanghai, shenzhen = pair
    for number, to_region in enumerate((SHANGHAI, "region/530000"), 2):
        for node in pair:
            node.recognise(network, agreement_id=f"A-{number}", from_region=SHENZHEN, to_region=to_region)
    bridge.on_answer = bridge.commit
    back = shanghai.open_account("back").account_id
    address = shanghai.address(back)
    elsewhere = make_address(RegionCode("530000"), bytes(range(10)))
    for name, by in (("firm", OFFICE), ("abroad", BUYER), ("user", GREEN)):
        suspense = owners[name].suspense
        refused = shenzhen.transfer(suspense, elsewhere, TEN, by=by, destination="region/530000")
        assert symbol(refused) == "SUSPENSE_OWNER_MISMATCH", name
        answer = shenzhen.transfer(suspense, address, TEN, by=by, destination=SHANGHAI)
        assert not isinstance(answer, DomainError), answer
        assert shenzhen.orders.wait_ended([answer], 30.0), name
    bridge.wait_until(lambda: shanghai.queries.balance(back, OPENERS[SHANGHAI]).held_kg == 30)
