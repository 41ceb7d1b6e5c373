"""A clawback of units that a real bridge has moved away: replaced at home, left where they are."""

from __future__ import annotations

import secrets
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.region.v1 import clawbacks_pb2, ledger_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.databases import DatabaseMaker
from tanqiao_region.application.claim_steps import submit_to
from tanqiao_region.application.clawbacks import Clawbacks
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.working_calendar import published_calendar
from tests.contract.region.harness import CENTRE, HOLDER, SHANGHAI, SHENZHEN, Node
from tests.contract.region.market import ISSUED_KG, WAIT_SECONDS
from tests.contract.region.served import full_network
from tests.contract.region.test_orders import signed
from tests.contract.region.test_rule_parameters import publish
from tests.contract.region.trio import Trio, trio
from tests.contract.region_registers.office import BUREAU, PROJECT, ask
from tests.contract.region_registers.test_clawbacks import TERM

SENT_KG = 3_000
WRONG_KG = 5_000
"""Of the issuance the first five tonnes were wrong; three of them have left."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Both, the slower one among the long tests: three nodes on three databases."""
    return str(request.param)


def desk_of(nodes: Trio) -> Clawbacks:
    region = nodes.running[SHANGHAI]
    return Clawbacks(region.context, region.database, submit_to(region.writer), published_calendar)


def submitted(nodes: Trio, service: Clawbacks, issuance_id: str, *blocks: UnitBlock) -> Any:
    order = clawbacks_pb2.ClawbackOrder(
        clawback_id=secrets.token_bytes(16),
        issuance_id=issuance_id,
        blocks=block_messages(blocks),
        reason="电表重复读数 the meter was read twice",
        document="虚构案 7",
    )
    envelope = signed(nodes.network, order, "authority/310000", audience=SHANGHAI)
    request = clawbacks_pb2.SubmitClawbackRequest(request_id=secrets.token_hex(8), order=envelope)
    return service.submit(ask(request, CENTRE), envelope).clawback


def replaced(service: Clawbacks, clawback_id: str, quantity_kg: int) -> Any:
    request = clawbacks_pb2.ReplaceClawedUnitsRequest(
        request_id=secrets.token_hex(8), clawback_id=clawback_id
    )
    return service.replace(ask(request, HOLDER), clawback_id, Selection(quantity_kg=quantity_kg)).clawback


def settled(service: Clawbacks, clawback_id: str) -> Any:
    request = clawbacks_pb2.SettleClawbackRequest(request_id=secrets.token_hex(8), clawback_id=clawback_id)
    return service.settle(ask(request, CENTRE), clawback_id).clawback


def test_what_is_with_another_region_is_replaced_at_home_and_stays_good_there(
    tmp_path: Path, database_maker: DatabaseMaker, database_kind: str
) -> None:
    network = full_network(tmp_path / "network")
    with trio(network, database_maker, database_kind) as nodes:
        market = nodes.market
        publish(
            Node(nodes.running[SHANGHAI], SHANGHAI, network=network),
            BUREAU,
            key=TERM,
            value_json="10",
            start_date=wire_date(date(2026, 3, 10)),
        )
        sent = market.transfers().CreateTransfer(market.order(1, quantity_kg=SENT_KG), timeout=WAIT_SECONDS)
        ended = market.wait_ended([sent.transfer.transfer_id])
        assert list(ended.values()) == [ledger_pb2.TRANSFER_STATE_MOVED]
        (issued,) = (
            market.issuance("sh.centre")
            .ListIssuances(registers_pb2.ListIssuancesRequest(project_id=PROJECT), timeout=WAIT_SECONDS)
            .issuances
        )
        service = desk_of(nodes)
        wrong = UnitBlock(market.series_id, 0, WRONG_KG)
        made = submitted(nodes, service, issued.issuance_id, wrong)
        assert (made.state, made.quantity_kg, made.HasField("due_date")) == ("OPEN", WRONG_KG, True)
        market.wait(
            lambda: service.find(made.clawback_id, CENTRE).cancelled_kg == WRONG_KG - SENT_KG,
            "what was still at home is cancelled",
        )
        with pytest.raises(DomainError, match="FIELD_INVALID"):
            replaced(service, made.clawback_id, SENT_KG + 1)
        replaced(service, made.clawback_id, SENT_KG)
        market.wait(
            lambda: service.find(made.clawback_id, CENTRE).outstanding_kg == 0, "the replacement is decided"
        )
        done = settled(service, made.clawback_id)
        assert (done.state, done.cancelled_kg, done.replaced_kg) == (
            "COMPLETED",
            WRONG_KG - SENT_KG,
            SENT_KG,
        )
        # The buyer elsewhere loses nothing: as many units are gone at home.
        assert market.balance(SHENZHEN, market.buyer).held_kg == SENT_KG
        held = market.balance(SHANGHAI, market.seller).held_kg
        assert held == ISSUED_KG - WRONG_KG - SENT_KG
        conserved = market.conserved()
        assert conserved.holds
        for party in (SHANGHAI, SHENZHEN):
            nodes.require_clean_at(party)
        nodes.require_clean()
