"""What a region can do while the bridge is gone: each test proves a row of `docs/when-the-bridge-is-down.md`.

The node was on the line, has a published project and units in an account, and then the bridge stops. At the
end of some tests another bridge answers at the same address, which knows nothing: what waits is offered to it
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.api.region.v1 import journal_pb2, journal_pb2_grpc, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import make_address, parse_address
from tanqiao.kernel.reasons import Retry
from tanqiao.kernel.regions import RegionCode
from tanqiao.protocol.types import SourceState
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.network import SHANGHAI_CENTRE, NetworkOfTest
from tanqiao_region.application import journal
from tanqiao_region.application.commands import Selection
from tests.contract.region.fake_bridge import LOCK, USE, WITHDRAW, Seen
from tests.contract.region.harness import CENTRE, HOLDER, SHANGHAI, Node, block, request
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import PROJECT, Office, month

UNITS_KG = 1000
ABROAD = make_address(RegionCode("440300"), bytes(range(10)))
ISSUE = "application/vnd.tanqiao.issue.v1+protobuf"


@dataclass
class CutOff:
    """Shanghai without its bridge."""

    office: Office
    network: NetworkOfTest
    address: str
    later: ClaimBridge | None = None

    @property
    def node(self) -> Node:
        return self.office.node

    @property
    def holder(self) -> str:
        return self.office.owner

    def bridge_returns(self, prepare: Callable[[ClaimBridge], None] = lambda _bridge: None) -> ClaimBridge:
        """Start a bridge that knows nothing at the old address, and wait until the node has dialled it."""
        bridge = ClaimBridge(self.network)
        prepare(bridge)
        bridge.start(self.address)
        self.later = bridge
        bridge.wait_until(lambda: bridge.peer(SHANGHAI).frames is not None, 20.0)
        return bridge


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second and more is long where nobody will answer."""
    monkeypatch.setattr("tanqiao_region.server.claims_line.CONNECT_SECONDS", 0.3)


@pytest.fixture
def cut_off(on_the_line: Office, bridge: ClaimBridge, network: NetworkOfTest) -> Iterator[CutOff]:
    on_the_line.published()
    on_the_line.node.give(on_the_line.owner, block(0, UNITS_KG))
    on_the_line.node.recognise(network)
    assert bridge.server is not None
    address = bridge.server.address
    bridge.stop()
    cut = CutOff(on_the_line, network, address)
    yield cut
    if cut.later is not None:
        cut.later.stop()


def keep_locks(bridge: ClaimBridge) -> None:
    """Let the bridge take locks and do nothing with them."""

    def keep(items: list[Seen]) -> None:
        for item in items:
            bridge.locks.setdefault((item.party, item.message.header.transfer_id), item)

    bridge.on_lock = keep


def refused(call: Callable[[], object]) -> DomainError:
    with pytest.raises(DomainError) as caught:
        call()
    return caught.value


def journal_size(node: Node) -> int:
    return int(node.queries.status().journal_size)


def out_states(node: Node) -> list[str]:
    rows = node.queries.outgoing_page(state=0, account_id="", by=CENTRE, after=b"", limit=10)
    return [SourceState(view.state).name for view in rows]


def use_state(node: Node, transfer_id: bytes) -> str:
    return SourceState(node.queries.retirement(transfer_id, CENTRE)[0].use.state).name


# -- works -----------------------------------------------------------------------------------------------


def test_accounts_are_opened_addressed_and_closed_without_the_bridge(cut_off: CutOff) -> None:
    account = cut_off.node.open_account("another")
    assert parse_address(cut_off.node.address(account.account_id)).region == "310000"
    closed = cut_off.node.orders.close_account(request(CENTRE), CENTRE, account.account_id)
    assert not closed.is_open


def test_units_move_inside_the_region_without_the_bridge(cut_off: CutOff) -> None:
    buyer = cut_off.node.open_account("buyer").account_id
    cut_off.node.move(cut_off.holder, buyer, Selection(quantity_kg=300))
    assert cut_off.node.held(buyer) == [(0, 300, 1)]
    assert cut_off.node.held(cut_off.holder) == [(300, UNITS_KG, 1)]


def test_balances_holdings_and_registers_are_read_without_the_bridge(cut_off: CutOff) -> None:
    assert cut_off.node.queries.balance(cut_off.holder, CENTRE).held_kg == UNITS_KG
    assert cut_off.node.held(cut_off.holder) == [(0, UNITS_KG, 1)]
    assert cut_off.office.project().state == registers_pb2.PROJECT_STATE_PUBLISHED


def test_the_journal_grows_and_is_read_without_the_bridge(cut_off: CutOff) -> None:
    before = journal_size(cut_off.node)
    cut_off.node.open_account("another")
    part = cut_off.node.queries.journal(from_index=before + 1, limit=10, account_ids=[], kinds=[], by=CENTRE)
    assert part.size == before + 1
    assert [row.kind for row in part.rows] == [journal.ACCOUNT_OPENED]


def test_the_public_api_answers_and_says_that_the_line_is_down(cut_off: CutOff) -> None:
    region = cut_off.node.region
    tls = cut_off.network.network.tls(SHANGHAI_CENTRE)
    with open_channel(region.server.address, tls) as channel:
        status = journal_pb2_grpc.NodeServiceStub(channel).GetNodeStatus(journal_pb2.GetNodeStatusRequest())
        clock = clock_pb2_grpc.ClockServiceStub(channel).GetClock(clock_pb2.GetClockRequest())
        feed = journal_pb2_grpc.JournalServiceStub(channel).WatchJournal(
            journal_pb2.WatchJournalRequest(from_index=1)
        )
        first = next(iter(feed))
        feed.cancel()
    assert not status.bridge_connected
    assert status.journal_size == journal_size(cut_off.node)
    assert clock.network_id == cut_off.network.network_id
    assert first.entries[0].journal_index == 1


def test_activity_is_taken_in_and_quantified_without_the_bridge(cut_off: CutOff) -> None:
    assert cut_off.office.meter(month("2026-01", 10_000_000)).accepted_count == 1
    assert cut_off.office.quantify().issuable_kg == 4000


def test_a_methodology_is_published_without_the_bridge(cut_off: CutOff) -> None:
    published = cut_off.office.publish_methodology(methodology_id="SHCER01010032024I")
    assert published.methodology_id == "SHCER01010032024I"


def test_a_submitted_project_is_assessed_without_the_bridge(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    bridge.stop()
    assert shanghai.assess().state == registers_pb2.PROJECT_STATE_ASSESSED


def test_a_transfer_is_validated_without_the_bridge_and_locks_nothing(cut_off: CutOff) -> None:
    before = journal_size(cut_off.node)
    answer = cut_off.node.transfer(cut_off.holder, ABROAD, Selection(quantity_kg=300), validate_only=True)
    assert [(one.start, one.end) for one in answer.blocks] == [(0, 300)]
    assert journal_size(cut_off.node) == before


# -- waits -----------------------------------------------------------------------------------------------


def test_a_transfer_to_another_region_is_locked_and_offered_when_the_bridge_returns(cut_off: CutOff) -> None:
    answer = cut_off.node.transfer(cut_off.holder, ABROAD, Selection(quantity_kg=300))
    assert out_states(cut_off.node) == ["LOCKED"]
    balance = cut_off.node.queries.balance(cut_off.holder, CENTRE)
    assert (balance.held_kg, balance.locked_kg) == (700, 300)
    taker = cut_off.node.open_account("taker").account_id
    greedy = cut_off.node.move(cut_off.holder, taker, Selection(quantity_kg=701))
    assert isinstance(greedy, DomainError)
    assert greedy.symbol == "UNITS_INSUFFICIENT"

    bridge = cut_off.bridge_returns(keep_locks)
    bridge.wait_until(lambda: len(bridge.seen_of(LOCK)) >= 1)
    assert bridge.seen_of(LOCK)[0].message.header.transfer_id == answer.transfer_id
    bridge.abort((SHANGHAI, answer.transfer_id))
    assert cut_off.node.orders.wait_ended([answer], 10.0)
    assert out_states(cut_off.node) == ["RELEASED"]
    assert cut_off.node.held(cut_off.holder) == [(0, UNITS_KG, 1)]


def test_a_withdrawal_is_noted_and_releases_nothing_until_the_bridge_decides(cut_off: CutOff) -> None:
    answer = cut_off.node.transfer(cut_off.holder, ABROAD, Selection(quantity_kg=300))
    cut_off.node.orders.withdraw(request(HOLDER), HOLDER, answer.transfer_id)
    assert out_states(cut_off.node) == ["LOCKED"]
    bridge = cut_off.bridge_returns(keep_locks)
    bridge.wait_until(lambda: len(bridge.seen_of(WITHDRAW)) >= 1)
    assert bridge.seen_of(WITHDRAW)[0].message.header.transfer_id == answer.transfer_id
    assert out_states(cut_off.node) == ["LOCKED"]


def test_a_retirement_is_retiring_and_ends_when_the_bridge_returns(cut_off: CutOff) -> None:
    answer = cut_off.node.retire(cut_off.holder, Selection(quantity_kg=400))
    assert use_state(cut_off.node, answer.transfer_id) == "RETIRING"
    balance = cut_off.node.queries.balance(cut_off.holder, CENTRE)
    assert (balance.held_kg, balance.retiring_kg) == (600, 400)
    bridge = cut_off.bridge_returns()
    bridge.wait_until(lambda: len(bridge.seen_of(USE)) >= 1)
    assert cut_off.node.orders.wait_ended([answer], 10.0)
    assert use_state(cut_off.node, answer.transfer_id) == "USED"


def test_an_issue_whose_claim_was_declared_waits_and_units_come_when_the_bridge_returns(
    shanghai: Office, bridge: ClaimBridge, network: NetworkOfTest
) -> None:
    shanghai.published()
    shanghai.meter(month("2026-01", 10_000_000))
    shanghai.office.issuances._receipt_seconds = 0.05
    issuance = shanghai.issue()  # the claim service answers, the line is not up yet
    assert bridge.server is not None
    cut = CutOff(shanghai, network, bridge.server.address)
    bridge.stop()
    assert issuance.state == registers_pb2.ISSUANCE_STATE_ISSUING
    assert shanghai.node.held(shanghai.owner) == []
    shanghai.node.region.start()
    try:
        back = cut.bridge_returns()
        back.wait_until(lambda: back.peer(SHANGHAI).acknowledged > 0)
        assert back.seen_of(ISSUE)[0].message.issue_id.hex() == issuance.issuance_id
        assert shanghai.node.held(shanghai.owner) == [(0, 4000, 1)]
    finally:
        if cut.later is not None:
            cut.later.stop()


# -- is refused ------------------------------------------------------------------------------------------


def refused_with_wait(node: Node, call: Callable[[], object]) -> None:
    """Refused as unreachable, to be tried again later, and nothing was written."""
    before = journal_size(node)
    refusal = refused(call)
    assert refusal.symbol == "PEER_UNREACHABLE"
    assert refusal.reason.retry is Retry.WAIT
    assert journal_size(node) == before


def test_a_project_is_not_submitted_without_the_bridge(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    bridge.stop()
    refused_with_wait(shanghai.node, shanghai.submit)
    assert refused(shanghai.project).symbol == "NOT_FOUND"


def test_a_notice_is_not_opened_without_the_bridge(shanghai: Office, bridge: ClaimBridge) -> None:
    shanghai.publish_methodology()
    shanghai.submit()
    shanghai.assess()
    bridge.stop()
    refused_with_wait(shanghai.node, shanghai.open_notice)
    assert shanghai.project().state == registers_pb2.PROJECT_STATE_ASSESSED


def test_a_project_is_not_withdrawn_without_the_bridge(cut_off: CutOff) -> None:
    refused_with_wait(cut_off.node, cut_off.office.withdraw)
    assert cut_off.office.project(PROJECT).state == registers_pb2.PROJECT_STATE_PUBLISHED


def test_units_are_not_issued_without_the_bridge(cut_off: CutOff) -> None:
    cut_off.office.meter(month("2026-01", 10_000_000))
    refused_with_wait(cut_off.node, cut_off.office.issue)
    assert cut_off.office.quantify().issuable_kg == 4000
    assert cut_off.node.held(cut_off.holder) == [(0, UNITS_KG, 1)]


def test_a_resource_does_not_enter_the_reserve_without_the_bridge(
    yunnan: Office, bridge: ClaimBridge
) -> None:
    bridge.stop()
    refused_with_wait(yunnan.node, yunnan.enter)
    assert yunnan.office.reserve.list(None, 10) == []


def test_a_call_to_the_bridge_itself_cannot_be_made(cut_off: CutOff) -> None:
    tls = cut_off.network.network.tls(SHANGHAI_CENTRE)
    with open_channel(cut_off.address, tls) as channel, pytest.raises(grpc.RpcError) as caught:
        clock_pb2_grpc.ClockServiceStub(channel).GetClock(clock_pb2.GetClockRequest(), timeout=60)
    refusal = from_rpc_error(caught.value, peer="bridge", address=cut_off.address)
    assert refusal.symbol == "PEER_UNREACHABLE"
