"""Who acts for an account and who sees it, cell by cell, on both databases (ADR 0019)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from tanqiao.api.region.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
)
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import Kind
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.provision import issue_holder
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.journal import entry_message
from tanqiao_region.storage import accounts as kinds
from tests.contract.region.harness import CENTRE, EXCHANGE, SHENZHEN, USCC, Node, block, request
from tests.contract.region.world import ELSEWHERE

ACME = By("holder/310000/sh.holder/acme", "sh.holder")
OTHER = By("holder/310000/sh.holder/other", "sh.holder")
PLATFORM = By("holder/310000/sh.scene_body/greenride", "sh.scene_body")
RIVAL = By("holder/310000/sh.scene_body/rival", "sh.scene_body")
SHARED = By("operator/310000/sh.holder", "sh.holder")
PRETENDER = By("holder/310000/sh.exchange/acme2", "sh.exchange")
BUREAU = By("operator/310000/sh.bureau", "sh.bureau")
DISTRICT = By("operator/310000/sh.district_bureau", "sh.district_bureau")
TECHNICAL = By("operator/310000/sh.technical_body", "sh.technical_body")
READER = By("reader/national", "")
EVERYBODY = {
    "acme": ACME,
    "other": OTHER,
    "platform": PLATFORM,
    "rival": RIVAL,
    "shared": SHARED,
    "pretender": PRETENDER,
    "centre": CENTRE,
    "exchange": EXCHANGE,
    "bureau": BUREAU,
    "district": DISTRICT,
    "technical": TECHNICAL,
    "reader": READER,
}
YES = "yes"
ONE = Selection(quantity_kg=1)


class Books:
    """An account of ACME, one of OTHER, a platform's own, its user and a small business of its."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.acme = node.open_account("acme", holder_party=ACME.party).account_id
        self.other = node.open_account("other", holder_party=OTHER.party).account_id
        self.platform = node.open_account(
            "platform", kinds.KIND_DATA_OPERATOR, holder_party=PLATFORM.party
        ).account_id
        self.rival = node.open_account("rival", kinds.KIND_DATA_OPERATOR, holder_party=RIVAL.party).account_id
        self.user = self.open_user(self.platform, EXCHANGE).account_id
        self.shop = node.open_account(
            "shop", kinds.KIND_SMALL_BUSINESS, operator_account_id=self.platform, holder_party=""
        ).account_id
        self.owners = {"acme": self.acme, "user": self.user, "shop": self.shop}
        for number, account_id in enumerate(self.owners.values()):
            node.give(account_id, block(1000 * number, 1000 * number + 500))

    def open_user(self, operator: str, by: By, reference: str = "u-1") -> Any:
        order = OpenOrder(
            request(by),
            by,
            kinds.KIND_PERSON,
            operator_account_id=operator,
            operator_reference=reference,
        )
        answer = self.node.orders.open_accounts([order])[0]
        if isinstance(answer, DomainError):
            raise answer
        return answer

    def table(self, does: Callable[[By, str], Any]) -> dict[str, dict[str, str]]:
        """Try for each of the three accounts as everybody; the outcomes by account and caller."""
        return {
            owner: {name: self.outcome(does, by, account_id) for name, by in EVERYBODY.items()}
            for owner, account_id in self.owners.items()
        }

    def outcome(self, does: Callable[..., Any], *given: Any) -> str:
        """Give the reason of a refusal, or YES."""
        try:
            answer = does(*given)
        except DomainError as refusal:
            return refusal.symbol
        return answer.symbol if isinstance(answer, DomainError) else YES


@pytest.fixture
def books(node: Node, network: NetworkOfTest) -> Books:
    node.recognise(network)
    return Books(node)


def row(default: str, **others: str) -> dict[str, str]:
    return {name: others.get(name, default) for name in EVERYBODY}


NO_ROLE = "ROLE_NOT_PERMITTED"
ANOTHER = "ACCOUNT_OF_ANOTHER"
UNKNOWN = "ACCOUNT_UNKNOWN"
NOT_BY_ROLE = {
    "centre": NO_ROLE,
    "bureau": NO_ROLE,
    "district": NO_ROLE,
    "technical": NO_ROLE,
    "reader": NO_ROLE,
}
SEEN_BY_OFFICES = {"centre": YES, "exchange": YES, "bureau": YES}

MOVES = {
    "acme": row(ANOTHER, acme=YES, exchange=YES, **NOT_BY_ROLE),
    "user": row(UNKNOWN, platform=YES, exchange=YES, **NOT_BY_ROLE),
    "shop": row(ANOTHER, platform=YES, exchange=YES, **NOT_BY_ROLE),
}
RETIRES = {
    "acme": row(ANOTHER, acme=YES, exchange=NO_ROLE, pretender=NO_ROLE, **NOT_BY_ROLE),
    "user": row(UNKNOWN, platform=YES, exchange=NO_ROLE, pretender=NO_ROLE, **NOT_BY_ROLE),
    "shop": row(ANOTHER, platform=YES, exchange=NO_ROLE, pretender=NO_ROLE, **NOT_BY_ROLE),
}
ADDRESSES = {
    "acme": row(ANOTHER, acme=YES, centre=YES, exchange=YES),
    "user": row(UNKNOWN, platform=YES, centre=YES, exchange=YES),
    "shop": row(ANOTHER, platform=YES, centre=YES, exchange=YES),
}
READS = {
    "acme": row(ANOTHER, acme=YES, **SEEN_BY_OFFICES),
    # The exchange opened it; no other office sees that there is such an account.
    "user": row(UNKNOWN, platform=YES, exchange=YES),
    "shop": row(ANOTHER, platform=YES, **SEEN_BY_OFFICES),
}


def test_units_are_moved_and_locked_by_the_holder_its_operator_and_the_settling_office(books: Books) -> None:
    node = books.node
    assert books.table(lambda by, account_id: node.move(account_id, books.other, ONE, by=by)) == MOVES
    assert books.table(lambda by, account_id: node.transfer(account_id, ELSEWHERE, ONE, by=by)) == MOVES


def test_units_are_retired_by_the_holder_and_its_operator_alone(books: Books) -> None:
    assert books.table(lambda by, account_id: books.node.retire(account_id, ONE, by=by)) == RETIRES


def test_units_are_cancelled_by_the_office_of_the_pack_alone(books: Books) -> None:
    order: dict[str, Any] = {
        "kind": Kind.CANCEL,
        "purpose_text": "虚构更正 invented",
        "document_reference": "X-1",
        "purpose": "",
    }
    approved = ((CENTRE.party, 1), (BUREAU.party, 1))
    found = books.table(
        lambda by, account_id: books.node.retire(account_id, ONE, by=by, hands=approved, **order)
    )
    assert found == dict.fromkeys(books.owners, row(NO_ROLE, centre=YES))


def test_addresses_are_made_by_the_holder_its_operator_and_the_keeping_offices(books: Books) -> None:
    orders = books.node.orders
    assert books.table(lambda by, one: orders.create_address(request(by), by, one)) == ADDRESSES


def test_an_account_and_its_balance_and_holdings_are_read_by_who_may_see_it(books: Books) -> None:
    queries = books.node.queries
    reads: list[Callable[[By, str], Any]] = [
        lambda by, one: queries.account(one, by),
        lambda by, one: queries.balance(one, by),
        lambda by, one: queries.holdings(account_id=one, series_id="", by=by, after=None, limit=10),
        lambda by, one: queries.retirements(account_id=one, by=by, after=b"", limit=10),
        lambda by, one: queries.require_seen(one, by, "ListTransfers"),
    ]
    for read in reads:
        assert books.table(read) == READS


def test_lists_hold_what_the_caller_may_see_and_no_more(books: Books) -> None:
    everything = {account_id: name for name, account_id in vars(books).items() if isinstance(account_id, str)}

    def listed(by: By) -> set[str]:
        views = books.node.queries.accounts(kind=0, operator_account_id="", by=by, after="", limit=100)
        return {everything[view.account.account_id] for view in views}

    def held(by: By) -> set[str]:
        rows, _ = books.node.queries.holdings(account_id="", series_id="", by=by, after=None, limit=100)
        return {everything[row.place[0]] for row in rows}

    organisations = {"acme", "other", "platform", "rival", "shop"}
    seen = {
        "acme": {"acme"},
        "other": {"other"},
        "platform": {"platform", "user", "shop"},
        "rival": {"rival"},
        "centre": organisations,
        "exchange": organisations | {"user"},
        "bureau": organisations,
    }
    for name, by in EVERYBODY.items():
        assert listed(by) == seen.get(name, set()), name
        assert held(by) == seen.get(name, set()) & {"acme", "user", "shop"}, name


def test_transfers_are_withdrawn_listed_and_shown_to_who_may_see_the_account(books: Books) -> None:
    node = books.node
    locked = {
        owner: node.transfer(account_id, ELSEWHERE, ONE, by=EXCHANGE).transfer_id
        for owner, account_id in books.owners.items()
    }
    unknown = {"user": "TRANSFER_UNKNOWN"}
    for owner, transfer_id in locked.items():
        for name, by in EVERYBODY.items():
            expected = READS[owner][name]
            if expected == UNKNOWN:
                expected = unknown[owner]
            assert books.outcome(node.queries.transfer, transfer_id, by) == expected, (
                owner,
                name,
            )
            page = node.queries.outgoing_page(state=0, account_id="", by=by, after=b"", limit=10)
            assert (transfer_id in {view.transfer_id for view in page}) == (expected == YES), (owner, name)
    for name, by in EVERYBODY.items():
        if MOVES["acme"][name] != YES:
            tried = books.outcome(node.orders.withdraw, request(by), by, locked["acme"])
            assert tried == MOVES["acme"][name], name
    assert books.outcome(lambda: node.orders.withdraw(request(ACME), ACME, locked["acme"])) == YES
    assert books.outcome(lambda: node.orders.withdraw(request(PLATFORM), PLATFORM, locked["user"])) == YES


def test_every_use_is_public_and_whose_it_is_is_not(books: Books) -> None:
    node = books.node
    for account_id, by in ((books.acme, ACME), (books.user, PLATFORM)):
        node.retire(account_id, ONE, by=by)
    whose = {"acme": {books.acme}, "platform": {books.user}, "exchange": {books.acme, books.user}}
    for name, by in EVERYBODY.items():
        found, _, seen = node.queries.retirements(account_id="", by=by, after=b"", limit=10)
        assert len(found) == 2
        assert seen == whose.get(name, {books.acme} if name in SEEN_BY_OFFICES else frozenset()), name


def test_the_journal_shows_each_its_own_entries_and_of_them_its_own_side(books: Books) -> None:
    node = books.node
    node.move(books.acme, books.user, ONE, by=ACME)

    def touched(by: By, **chosen: Any) -> tuple[set[str], int]:
        part = node.queries.journal(
            from_index=1, limit=100, account_ids=chosen.get("account_ids", []), kinds=[], by=by
        )
        entries = [entry_message(one, part.seen) for one in part.rows]
        return {effect.account_id for entry in entries for effect in entry.effects}, len(entries)

    everything = {books.acme, books.other, books.platform, books.rival, books.user, books.shop}
    for name in ("centre", "exchange", "bureau", "reader"):
        assert touched(EVERYBODY[name])[0] == everything, name
    assert touched(ACME) == ({books.acme}, 3)
    assert touched(PLATFORM) == ({books.platform, books.user, books.shop}, 6)
    assert touched(PLATFORM, account_ids=[books.user]) == ({books.user}, 3)
    for name in ("shared", "pretender", "district", "technical"):
        assert touched(EVERYBODY[name]) == (set(), 0), name
    assert books.outcome(lambda: node.queries.require_journal_of([books.acme, books.user], ACME)) == ANOTHER
    assert books.outcome(lambda: node.queries.require_journal_of([books.user, books.shop], PLATFORM)) == YES
    assert books.outcome(lambda: node.queries.require_journal_of([books.user], READER)) == YES


def test_the_office_changes_the_holder_and_the_journal_says_so(books: Books) -> None:
    node = books.node
    for name, by in EVERYBODY.items():
        if name in ("centre", "exchange"):
            continue
        tried = books.outcome(node.orders.set_holder, request(by), by, books.acme, OTHER.party)
        assert tried == (ANOTHER if name == "pretender" else NO_ROLE), name
    size = node.queries.status().journal_size
    same = request(CENTRE)
    for _ in range(2):
        changed = node.orders.set_holder(same, CENTRE, books.acme, OTHER.party)
        assert changed.holder_party == OTHER.party
    part = node.queries.journal(from_index=size + 1, limit=10, account_ids=[], kinds=[], by=CENTRE)
    assert [one.subject_id for one in part.rows] == [books.acme]
    assert books.outcome(lambda: node.move(books.acme, books.other, ONE, by=ACME)) == ANOTHER
    assert books.outcome(lambda: node.move(books.acme, books.other, ONE, by=OTHER)) == YES
    assert books.outcome(lambda: node.queries.account(books.acme, ACME)) == ANOTHER
    person = books.outcome(lambda: node.orders.set_holder(request(CENTRE), CENTRE, books.user, OTHER.party))
    assert person == "ACCOUNT_KIND_NOT_ALLOWED"
    node.orders.set_holder(request(CENTRE), CENTRE, books.platform, RIVAL.party)
    assert books.outcome(lambda: node.queries.account(books.user, PLATFORM)) == UNKNOWN
    assert books.outcome(lambda: node.retire(books.user, ONE, by=RIVAL)) == YES


def test_accounts_are_opened_and_closed_by_an_office_or_by_the_operator_for_its_users(
    make_node: Callable[..., Node],
) -> None:
    node = make_node(SHENZHEN)
    green = By("holder/440300/sz.data_operator/green", "sz.data_operator")
    rival = By("holder/440300/sz.data_operator/rival", "sz.data_operator")
    own = node.open_account("green", kinds.KIND_DATA_OPERATOR, holder_party=green.party)
    node.open_account("rival", kinds.KIND_DATA_OPERATOR, holder_party=rival.party)

    def tried(by: By, **fields: Any) -> Any:
        order = OpenOrder(request(by), by, **fields)
        answer = node.orders.open_accounts([order])[0]
        return answer.symbol if isinstance(answer, DomainError) else answer

    person: dict[str, Any] = {"kind": kinds.KIND_PERSON, "operator_account_id": own.account_id}
    shop: dict[str, Any] = {
        "kind": kinds.KIND_SMALL_BUSINESS,
        "operator_account_id": own.account_id,
        "display_name": "虚构小店",
        "uscc": USCC,
    }
    assert tried(rival, **person, operator_reference="u-1") == ANOTHER
    assert tried(green, kind=kinds.KIND_ENTERPRISE, display_name="x", uscc=USCC) == ANOTHER
    assert tried(green, **{**shop, "operator_account_id": ""}) == ANOTHER
    user, opened = tried(green, **person, operator_reference="u-1"), tried(green, **shop)
    batch = node.orders.open_accounts(
        [OpenOrder(request(green), green, **person, operator_reference=f"b-{n}") for n in range(300)]
    )
    assert not any(isinstance(one, DomainError) for one in batch)
    views = node.queries.accounts(
        kind=kinds.KIND_PERSON, operator_account_id=own.account_id, by=green, after="", limit=1000
    )
    assert {view.reference for view in views} == {"u-1", *(f"b-{n}" for n in range(300))}
    office = By("operator/440300/sz.platform_operator", "sz.platform_operator")
    assert (
        node.queries.accounts(kind=kinds.KIND_PERSON, operator_account_id="", by=office, after="", limit=9)
        == []
    )
    with pytest.raises(DomainError) as refusal:
        node.orders.close_account(request(rival), rival, user.account_id)
    assert refusal.value.symbol == UNKNOWN
    for account in (user, opened):
        assert not node.orders.close_account(request(green), green, account.account_id).is_open


def test_a_holders_certificate_is_enough_on_the_wire_and_streams_are_cut_to_its_accounts(
    books: Books, network: NetworkOfTest
) -> None:
    node = books.node
    node.region.server.start()
    files = issue_holder(network.network.home, network.network_id, PLATFORM.party, now=datetime.now(UTC))
    with open_channel(node.region.server.address, files) as channel:
        account = accounts_pb2_grpc.AccountServiceStub(channel)
        ledger = ledger_pb2_grpc.RetirementServiceStub(channel)
        journal = journal_pb2_grpc.JournalServiceStub(channel)
        assert account.GetBalance(accounts_pb2.GetBalanceRequest(account_id=books.user)).held_kg == 500
        with pytest.raises(grpc.RpcError) as refused:
            account.GetBalance(accounts_pb2.GetBalanceRequest(account_id=books.acme))
        assert from_rpc_error(refused.value).symbol == ANOTHER
        with pytest.raises(grpc.RpcError) as refused:
            ledger.CancelUnits(ledger_pb2.CancelUnitsRequest(request_id="c", account_id=books.user))
        assert from_rpc_error(refused.value).symbol == "CALLER_NOT_PERMITTED"
        size = node.queries.status().journal_size
        entries: list[Any] = []
        for part in journal.WatchJournal(journal_pb2.WatchJournalRequest(from_index=1), timeout=60):
            entries += part.entries
            if part.up_to_index >= size:
                break
        shown = {effect.account_id for entry in entries for effect in entry.effects}
        assert shown == {books.platform, books.user, books.shop}
        chosen = journal_pb2.JournalFilter(account_ids=[books.user, books.acme])
        for refusing in (
            lambda: next(iter(journal.WatchJournal(journal_pb2.WatchJournalRequest(filter=chosen)))),
            lambda: journal.ListJournal(journal_pb2.ListJournalRequest(filter=chosen)),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                refusing()
            assert from_rpc_error(refused.value).symbol == ANOTHER
