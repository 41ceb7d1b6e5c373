"""A request retried a thousand times by two clients, across restarts of all nodes: one effect, one answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import grpc
import pytest

from tanqiao.api.region.v1 import ledger_pb2, ledger_pb2_grpc
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.market import ISSUED_KG, Market
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, trio

ANSWERS: Final = 1_000
"""Of each request, from both clients together."""
CALL_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 300.0
AWAY: Final = frozenset(
    {"PEER_UNREACHABLE", "SERVER_STOPPING", "DEADLINE_EXCEEDED", "CALL_CANCELLED", "BUSY"}
)
ACROSS_KG, INSIDE_KG, RETIRED_KG = 700, 50, 3
Ask = Callable[[Market], str]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


class Client:
    """Asks the same three things again and again, by connections of its own."""

    def __init__(self, market: Market, requests: list[Ask], count: int) -> None:
        self.market = market
        self.answers: list[list[str]] = [[] for _ in requests]
        self.refusals: set[str] = set()
        self.not_answered = 0
        self._requests = requests
        self._count = count
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for position, ask in enumerate(self._requests * self._count):
            answered = False
            while not answered:
                try:
                    self.answers[position % len(self._requests)].append(ask(self.market))
                    answered = True
                except grpc.RpcError as error:
                    symbol = from_rpc_error(error).symbol
                    self.not_answered += 1
                    if symbol not in AWAY:
                        self.refusals.add(symbol)
                        return

    @property
    def count(self) -> int:
        """How many answers it has."""
        return sum(map(len, self.answers))

    @property
    def is_done(self) -> bool:
        """Whether it has come to its end."""
        return not self._thread.is_alive()


def answered(clients: list[Client]) -> int:
    """How many answers both have; fails as soon as one was refused."""
    assert [one.refusals for one in clients] == [set(), set()]
    return sum(one.count for one in clients)


def requests_of(three: Trio) -> list[Ask]:
    """Name the three: across the border, inside the region, a retirement; each says what was answered."""
    seller, taker = three.market.seller, three.market.open_taker()
    inside = ledger_pb2.TransferUnitsRequest(
        request_id="retried-inside",
        from_account_id=seller,
        to_account_id=taker,
        units=ledger_pb2.UnitSelection(quantity_kg=INSIDE_KG),
    )
    retired = ledger_pb2.RetireUnitsRequest(
        request_id="retried-use",
        account_id=seller,
        units=ledger_pb2.UnitSelection(quantity_kg=RETIRED_KG),
        purpose="event_neutrality",
        purpose_text="虚构 invented",
    )

    def across(market: Market) -> str:
        order = three.market.order(1, quantity_kg=ACROSS_KG)
        return told(market.transfers().CreateTransfer(order, timeout=CALL_SECONDS).transfer, "transfer_id")

    def move(market: Market) -> str:
        stub = ledger_pb2_grpc.LedgerServiceStub(market.channel(SHANGHAI, "operator/310000/sh.exchange"))
        return stub.TransferUnits(inside, timeout=CALL_SECONDS).SerializeToString(deterministic=True).hex()

    def retire(market: Market) -> str:
        stub = ledger_pb2_grpc.RetirementServiceStub(market.channel(SHANGHAI, "operator/310000/sh.holder"))
        return told(stub.RetireUnits(retired, timeout=CALL_SECONDS).retirement, "retirement_id")

    return [across, move, retire]


def told(answer: Any, identity: str) -> str:
    """What of an answer must never change: its id, its blocks, what it cost; its state goes on."""
    return f"{getattr(answer, identity)} {list(answer.blocks)} {answer.quantity_kg} {answer.account_id}"


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_request_that_two_clients_retry_a_thousand_times_across_restarts_has_one_effect_and_one_answer(
    network: NetworkOfTest, database_maker: DatabaseMaker, database_kind: str
) -> None:
    with trio(network, database_maker, database_kind) as three:
        asked = requests_of(three)
        markets = [Market(network.network, lambda: three.addresses) for _ in range(2)]
        clients = [Client(market, asked, ANSWERS // len(markets)) for market in markets]
        whole = ANSWERS * len(asked)
        restarts = 0
        try:
            for party, at in ((SHANGHAI, 1), ("bridge", 2), (SHANGHAI, 3), (SHENZHEN, 4), (SHANGHAI, 5)):
                three.market.wait(
                    lambda at=at: answered(clients) >= whole * at // 6,  # type: ignore[misc]
                    f"{at} sixths of the answers",
                    WAIT_SECONDS,
                )
                three.restart(party)
                restarts += 1
            three.market.wait(lambda: all(one.is_done for one in clients), "all answers", WAIT_SECONDS)
        finally:
            for market in markets:
                market.close()
        assert restarts == 5
        assert [one.refusals for one in clients] == [set(), set()]
        for position in range(len(asked)):
            answers = [answer for one in clients for answer in one.answers[position]]
            assert len(answers) == ANSWERS
            assert len(set(answers)) == 1, set(answers)
        transfer_id = clients[0].answers[0][0].split(" ")[0]
        three.market.wait_ended([transfer_id])
        conserved = three.market.conserved().series[three.market.series_id]
        assert (conserved.issued_kg, conserved.used_kg) == (ISSUED_KG, RETIRED_KG)
        assert three.market.balance(SHENZHEN, three.market.buyer).held_kg == ACROSS_KG
        left = three.market.balance(SHANGHAI, three.market.seller)
        assert (left.held_kg, left.locked_kg) == (ISSUED_KG - ACROSS_KG - INSIDE_KG - RETIRED_KG, 0)
        three.require_clean()
