"""Trades that the exchange hands in, by the giver's own word or an agent's, over gRPC (SH-5d, SH-18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.api.region.v1 import journal_pb2, ledger_pb2, mandates_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import journal
from tanqiao_region.application.fsck import check_database
from tanqiao_region.application.group import Group
from tanqiao_region.application.mandate_fsck import check_mandates
from tanqiao_region.storage.trading_mandates import MandateRow, end_mandate, insert_mandate
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN, Node, block
from tests.contract.region.served import full_network
from tests.contract.region_registers.office import request_id
from tests.contract.region_registers.wire import PROVIDER, Wire

YEAR = Period(date(2026, 1, 1), date(2027, 1, 1))
NEXT_YEAR = Period(date(2027, 1, 1), date(2028, 1, 1))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@dataclass
class Market:
    """A giver with five tonnes, a taker, somebody who would be an agent."""

    wire: Wire
    exchange: str = "sh.exchange"
    holder: str = "sh.holder"
    accounts: dict[str, str] = field(default_factory=dict)

    def open(self, *, agent_role: str = "sh.rights_provider") -> Market:
        node = self.wire.node
        code = node.party.removeprefix("region/")
        for name, role in (("giver", self.holder), ("taker", self.holder), ("agent", agent_role)):
            self.accounts[name] = node.open_account(holder_party=f"operator/{code}/{role}").account_id
        return self

    def settle(self, quantity_kg: int = 1000, role: str = "", **values: Any) -> Any:
        request = ledger_pb2.TransferUnitsRequest(
            request_id=request_id(),
            from_account_id=self.accounts["giver"],
            to_account_id=self.accounts["taker"],
            units=ledger_pb2.UnitSelection(quantity_kg=quantity_kg),
            **{"settlement_reference": "T-1", **values},
        )
        return self.wire.role(role or self.exchange).ledger.TransferUnits(request)

    def by_agent(self, **values: Any) -> Any:
        return self.settle(agent_account_id=self.accounts["agent"], **values)

    def entrust(self, period: Period = YEAR, role: str = "") -> Any:
        request = mandates_pb2.GiveTradingMandateRequest(
            request_id=request_id(),
            principal_account_id=self.accounts["giver"],
            agent_account_id=self.accounts["agent"],
            period=wire_period(period),
        )
        return self.wire.role(role or self.holder).mandates.GiveTradingMandate(request).mandate

    def end(self, mandate_id: str, role: str) -> Any:
        request = mandates_pb2.EndTradingMandateRequest(request_id=request_id(), mandate_id=mandate_id)
        return self.wire.role(role).mandates.EndTradingMandate(request).mandate

    def listed(self, role: str) -> list[Any]:
        request = mandates_pb2.ListTradingMandatesRequest(account_id=self.accounts["agent"])
        return list(self.wire.role(role).mandates.ListTradingMandates(request).mandates)

    def taken_kg(self) -> int:
        return sum(end - start for start, end, _ in self.wire.node.held(self.accounts["taker"]))


@pytest.fixture
def market(network: NetworkOfTest, make_node: MakeNode) -> Iterator[Market]:
    """Shanghai's, served without a bridge."""
    node = make_node(SHANGHAI)
    node.region.server.start()
    found = Market(Wire(network, node)).open()
    node.give(found.accounts["giver"], block(0, 5000))
    yield found
    found.wire.close()


def refused(symbol: str, act: Callable[[], Any], article: str = "") -> None:
    """Demand a refusal, with its article in both languages where one is given."""
    with pytest.raises(DomainError) as caught:
        act()
    assert caught.value.symbol == symbol, str(caught.value)
    if article:
        assert article in caught.value.sentence_with_article("zh")
        assert "Art" in caught.value.sentence_with_article("en")


def test_SH_5d_trades_are_handed_in_by_the_exchange_alone(market: Market) -> None:
    market.settle()
    refused("ROLE_NOT_PERMITTED", lambda: market.settle(role="sh.holder"), "第五条")
    refused("ROLE_NOT_PERMITTED", lambda: market.settle(role="sh.centre"), "第")
    refused("UNITS_INSUFFICIENT", lambda: market.settle(9000))
    assert market.taken_kg() == 1000


def test_SH_18_the_exchange_settles_what_an_entrusted_agent_instructs(market: Market) -> None:
    wire = market.wire
    agent = market.accounts["agent"]
    refused("TRADING_SUBJECT_NOT_QUALIFIED", market.by_agent, "第十八条")
    # Only the applicant of a project or a rights provider may be entrusted.
    wire.open("sh.rights_provider", PROVIDER, "RP-1", account_id=agent)
    refused("TRADING_SUBJECT_NOT_QUALIFIED", market.by_agent, "第十八条")
    wire.step("sh.exchange", PROVIDER, "RP-1", "admit")
    refused("MANDATE_NOT_IN_FORCE", market.by_agent, "第十八条")
    refused("ACCOUNT_OF_ANOTHER", lambda: market.entrust(role="sh.rights_provider"))
    market.entrust(NEXT_YEAR)
    refused("MANDATE_NOT_IN_FORCE", market.by_agent, "第十八条")
    mandate = market.entrust()
    answer = market.by_agent()
    refused("FIELD_INVALID", lambda: market.by_agent(settlement_reference=""))
    refused("ALREADY_EXISTS", market.entrust)
    listed = market.listed("sh.rights_provider")
    assert mandate.mandate_id in {one.mandate_id for one in listed}
    assert len(listed) == 2
    assert market.listed("sh.centre") == listed
    refused("ACCOUNT_OF_ANOTHER", lambda: market.listed("sh.project_applicant"))
    ended = market.end(mandate.mandate_id, "sh.rights_provider")
    assert ended.HasField("end_date")
    refused("MANDATE_NOT_IN_FORCE", market.by_agent, "第十八条")
    refused("STATE_NOT_ALLOWED", lambda: market.end(mandate.mandate_id, "sh.holder"))
    refused("NOT_FOUND", lambda: market.end(mandate.mandate_id, "sh.project_applicant"))
    market.entrust()
    market.by_agent()
    assert market.taken_kg() == 2000
    request = journal_pb2.ListJournalRequest(
        from_index=1,
        page_size=100,
        filter=journal_pb2.JournalFilter(account_ids=[market.accounts["giver"]]),
    )
    entries = wire.role("sh.holder").journal.ListJournal(request).entries
    kinds = [one.kind for one in entries]
    assert kinds.count(journal_pb2.JOURNAL_EVENT_KIND_MANDATE_CHANGED) == 4
    trade = next(one for one in entries if one.journal_index == answer.journal_index)
    assert trade.details["agent"] == agent
    assert mandate_findings(wire.node) == []
    wire.node.run(lambda group: end_mandate(group.connection, listed[0].mandate_id, "2026-03-03"))
    assert any(listed[0].mandate_id in finding for finding in mandate_findings(wire.node))


def mandate_findings(node: Node) -> list[str]:
    findings: list[str] = []
    with node.region.database.reading() as connection:
        assert check_mandates(connection, findings.append) >= 2
    return findings


def test_fsck_finds_mandates_that_the_journal_does_not_give(market: Market) -> None:
    node = market.wire.node
    given = market.entrust()
    sides = (market.accounts["giver"], market.accounts["agent"])
    made_up = MandateRow("f" * 32, *sides, "2026-01-01", "2027-01-01", "", "operator/310000/sh.holder", 0)

    def work(group: Group) -> None:
        insert_mandate(group.connection, made_up)
        effects = [journal.Effect(one) for one in sides]
        for details in ({"by": "x", "ended": "2026-03-02"}, {"by": "x", "period": "2026-01-01/2027-01-01"}):
            group.journal.append(journal.MANDATE_CHANGED, "e" * 32, effects, details=details)

    node.run(work)
    findings = mandate_findings(node)
    assert [given.mandate_id in one for one in findings] == [False, False, False]
    assert [one.partition(" ")[0] for one in findings] == ["journal", "mandate", "mandate"]
    assert "cannot be given or ended" in findings[0]
    assert findings[1:] == [
        f"mandate {'f' * 32} is not what the journal gives",
        f"mandate {'e' * 32} of the journal is not on record",
    ]


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_SZ_24_an_agent_needs_a_mandate_also_where_the_text_names_none(
    network: NetworkOfTest, make_node: MakeNode
) -> None:
    node = make_node(SHENZHEN)
    node.region.server.start()
    market = Market(Wire(network, node), "sz.platform_operator", "sz.holder").open(agent_role="sz.sme")
    node.give(market.accounts["giver"], block(0, 5000))
    refused("MANDATE_NOT_IN_FORCE", market.by_agent)
    market.entrust()
    market.by_agent()
    refused("ROLE_NOT_PERMITTED", lambda: market.settle(role="sz.holder"), "第五条")
    assert market.taken_kg() == 1000
    market.wire.close()


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_YN_4c_no_mandate_to_trade_is_taken_where_nothing_is_traded(
    network: NetworkOfTest, make_node: MakeNode
) -> None:
    node = make_node(YUNNAN)
    node.region.server.start()
    market = Market(Wire(network, node), "yn.epd", "yn.holder").open(agent_role="yn.developer")
    refused("NO_TRADING_AT_THIS_NODE", market.entrust, "第四条")
    market.wire.close()


@dataclass
class Agency:
    """What must hold of one agent, told beside the node."""

    market: Market
    number: int
    state: str = ""
    mandates: dict[str, str] = field(default_factory=dict)
    moved_kg: int = 0

    def play(self, move: str) -> None:
        expected = self.expected(move)
        symbol, answer = "", None
        try:
            answer = self.act(move)
        except DomainError as refusal:
            symbol = refusal.symbol
        assert symbol == expected, (move, self.state, self.mandates)
        if not symbol:
            self.follow(move, answer)

    def act(self, move: str) -> Any:
        if move in ("admit", "leave"):
            role = "sh.exchange" if move == "admit" else "sh.rights_provider"
            why = {"reason": "虚构"} if move == "leave" else {}
            return self.market.wire.step(role, PROVIDER, f"RP-W{self.number}", move, **why)
        if move in PERIODS:
            return self.market.entrust(PERIODS[move])
        if move.startswith("end:"):
            return self.market.end(self.mandates.get(move[4:], "0" * 32), "sh.holder")
        return self.market.by_agent()

    def expected(self, move: str) -> str:
        """The refusal that the published machines and SH-18 give; empty where the move is open."""
        if move in ("admit", "leave"):
            return "" if (self.state, move) in PROVIDER_EDGES else "STATE_NOT_ALLOWED"
        if move in PERIODS:
            return "ALREADY_EXISTS" if move in self.mandates else ""
        if move.startswith("end:"):
            return "" if move[4:] in self.mandates else "NOT_FOUND"
        if self.state != "ADMITTED":
            return "TRADING_SUBJECT_NOT_QUALIFIED"
        return "" if "this year" in self.mandates else "MANDATE_NOT_IN_FORCE"

    def follow(self, move: str, answer: Any) -> None:
        if move in ("admit", "leave"):
            self.state = PROVIDER_EDGES[self.state, move]
            assert answer.state == self.state
        elif move in PERIODS:
            self.mandates[move] = answer.mandate_id
        elif move.startswith("end:"):
            del self.mandates[move[4:]]
        else:
            self.moved_kg += 1000


PERIODS = {"this year": YEAR, "next year": NEXT_YEAR}
PROVIDER_EDGES = {("APPLIED", "admit"): "ADMITTED", ("ADMITTED", "leave"): "LEFT"}
MOVES = ("admit", "settle", "settle", *PERIODS, *(f"end:{one}" for one in PERIODS), "leave")


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_whatever_is_tried_an_agent_trades_only_while_it_may(market: Market) -> None:
    wire, held = market.wire, 5000

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(moves=st.lists(st.sampled_from(MOVES), min_size=10, max_size=10))
    def drive(moves: list[str]) -> None:
        nonlocal held
        market.open()
        number = len(numbers)
        numbers.append(number)
        wire.node.give(market.accounts["giver"], block(held, held + 20_000))
        held += 20_000
        agency = Agency(market, number, "APPLIED")
        wire.open("sh.rights_provider", PROVIDER, f"RP-W{number}", account_id=market.accounts["agent"])
        for move in ("this year", "settle", "admit", *moves):
            agency.play(move)
        assert market.taken_kg() == agency.moved_kg
        assert len(market.listed("sh.centre")) >= len(agency.mandates)

    numbers: list[int] = []
    drive()
    report = check_database(wire.node.region.database, wire.network.network.federation)
    # The fixture gives units without the issuance that a real node rests them on.
    assert [finding for finding in report.findings if "journal" not in finding] == []
