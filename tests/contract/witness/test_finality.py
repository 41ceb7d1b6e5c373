"""R10 in the running system: a bridge and two regions that are witnesses, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, log_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2, ledger_pb2_grpc
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.logs import witness_policy
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao.tlog.merkle import hash_leaf
from tanqiao.tlog.proof import verify_proof
from tanqiao_region.bootstrap import build
from tanqiao_region.storage.finality import load_bundle
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.region.harness import SHANGHAI, SHENZHEN, settings_of
from tests.contract.region.market import request_id
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio
from tests.contract.witness.harness import migrated_witness, wait_for


class WitnessedTrio(Trio):
    """The three nodes, of which the regions are witnesses with databases of their own."""

    def __init__(self, network: NetworkOfTest, maker: DatabaseMaker, kind: str) -> None:
        self._witness = {
            party: maker.make(kind, migrated_witness, "witness") for party in (SHANGHAI, SHENZHEN)
        }
        super().__init__(network, maker, kind)

    def start(self, party: str) -> None:
        """Start a node; a region with its witness."""
        if party == "bridge":
            super().start(party)
            return
        made, witness = self._databases[party], self._witness[party]
        settings = settings_of(self._network, party, made.url, made.owner_url, self._bridge_address)
        region = build(
            replace(
                settings,
                witness_database_url=witness.url,
                witness_owner_database_url=witness.owner_url if witness.owner_url != witness.url else "",
            )
        )
        region.start()
        self.running[party], self.addresses[party] = region, region.server.address

    def close(self) -> None:
        """Stop everything."""
        super().close()
        for made in self._witness.values():
            self._maker.drop(made)


@pytest.fixture(scope="module")
def market_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """The full network with a quorum of two of three regions."""
    return full_network(tmp_path_factory.mktemp("market"), quorum=2)


@pytest.fixture
def trio(market_network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker) -> Iterator[Trio]:
    """The three nodes, furnished."""
    made = WitnessedTrio(market_network, database_maker, database_kind)
    try:
        made.market.furnish()
        yield made
    finally:
        made.close()


def status(trio: Trio, party: str) -> journal_pb2.FinalityStatus:
    answer = trio.market.node(party).GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=WAIT_SECONDS)
    found: journal_pb2.FinalityStatus = answer.finality
    return found


def incoming(trio: Trio) -> list[Any]:
    stub = ledger_pb2_grpc.TransferServiceStub(
        trio.market.channel(SHENZHEN, "operator/440300/sz.platform_operator")
    )
    request = ledger_pb2.ListTransfersRequest(direction=ledger_pb2.TRANSFER_DIRECTION_IN)
    return list(stub.ListTransfers(request, timeout=WAIT_SECONDS).transfers)


def credited(trio: Trio) -> Callable[[], bool]:
    return lambda: any(one.state == ledger_pb2.TRANSFER_STATE_CREDITED for one in incoming(trio))


def retire(trio: Trio, blocks: list[values_pb2.UnitBlock]) -> str:
    """Try to retire units at the buyer; the reason, empty if they were taken."""
    stub = ledger_pb2_grpc.RetirementServiceStub(trio.market.channel(SHENZHEN, "operator/440300/sz.holder"))
    request = ledger_pb2.RetireUnitsRequest(
        request_id=request_id(),
        account_id=trio.market.buyer,
        units=ledger_pb2.UnitSelection(blocks=blocks),
        purpose="voluntary",
        purpose_text="虚构",
        beneficiary=ledger_pb2.Beneficiary(name="虚构"),
    )
    try:
        stub.RetireUnits(request, timeout=WAIT_SECONDS)
    except grpc.RpcError as error:
        return from_rpc_error(error).symbol
    return ""


def holdings(trio: Trio) -> list[Any]:
    stub = trio.market.accounts(SHENZHEN, "operator/440300/sz.platform_operator")
    request = accounts_pb2.ListHoldingsRequest(account_id=trio.market.buyer)
    return list(stub.ListHoldings(request, timeout=WAIT_SECONDS).holdings)


def test_credited_units_are_pending_until_a_quorum_has_cosigned_and_local_work_goes_on(trio: Trio) -> None:
    shanghai, shenzhen = trio.running[SHANGHAI], trio.running[SHENZHEN]
    # One of two witnesses stands still: below quorum.
    shanghai.logs.witness.stop()
    wait_for(lambda: status(trio, SHENZHEN).quorum == 2)
    transfer_id = trio.market.send(1)
    assert trio.market.wait_ended([transfer_id])[transfer_id] == ledger_pb2.TRANSFER_STATE_MOVED
    wait_for(credited(trio))
    (arrived,) = incoming(trio)
    assert arrived.finality == values_pb2.FINALITY_PENDING
    (held,) = holdings(trio)
    assert held.finality == values_pb2.FINALITY_PENDING
    assert trio.market.balance(SHENZHEN, trio.market.buyer).held_kg == 1, "pending units are visible"
    assert retire(trio, [held.block]) == "UNIT_PENDING"
    waiting = status(trio, SHENZHEN)
    assert (waiting.transfers_pending, waiting.pending_kg) == (1, 1)
    assert status(trio, SHANGHAI).transfers_pending == 1
    decisions = directory_pb2_grpc.DecisionServiceStub(trio.market.channel("bridge", SHANGHAI))
    asked = directory_pb2.GetOutcomeRequest(source=SHANGHAI, transfer_id=bytes.fromhex(transfer_id))
    assert decisions.GetOutcome(asked, timeout=WAIT_SECONDS).finality == values_pb2.FINALITY_PENDING
    # Locks, decisions and local work go on meanwhile.
    second = trio.market.send(2)
    assert trio.market.wait_ended([second])[second] == ledger_pb2.TRANSFER_STATE_MOVED
    assert trio.market.open_taker()
    # Both regions begin again: what is pending stays pending, and the witness that stood still comes back.
    trio.restart(SHENZHEN)
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 2)
    trio.restart(SHANGHAI)
    for party in (SHANGHAI, SHENZHEN):
        wait_for(lambda party=party: status(trio, party).transfers_pending == 0)  # type: ignore[misc]
    assert all(one.finality == values_pb2.FINALITY_QUORUM for one in incoming(trio))
    (held,) = holdings(trio)
    assert held.finality == values_pb2.FINALITY_QUORUM
    assert held.block.end_serial - held.block.start_serial == 2, "final pieces are joined"
    assert decisions.GetOutcome(asked, timeout=WAIT_SECONDS).finality == values_pb2.FINALITY_QUORUM
    shenzhen = trio.running[SHENZHEN]
    with shenzhen.database.reading() as connection:
        kept = load_bundle(connection, TransferKey(SHANGHAI, bytes.fromhex(transfer_id)))
    bundle = log_pb2.FinalityBundle.FromString(kept)
    group = shenzhen.context
    network = trio._network
    policy = witness_policy(network.network_id, group.directory, network.network.federation.witness_group)
    assert verify_proof(bundle.proof, bundle.leaf, policy).index == bundle.log_index
    assert trio.market.conserved().holds
    trio.require_clean()
    _own_log_is_served(trio)


def _own_log_is_served(trio: Trio) -> None:
    """The region's log is at the bridge, leaf for leaf."""
    keeper = trio.running["bridge"].logs.keeper
    region = trio.running[SHANGHAI]

    def is_up() -> bool:
        newest = keeper.checkpoints(SHANGHAI).newest
        own = region.queries.status().journal_size
        return newest is not None and newest.size >= own > 0

    wait_for(is_up)
    size = keeper.checkpoints(SHANGHAI).newest.size
    tile = keeper.tile(SHANGHAI, f"tile/0/000.p/{min(size, 255)}")
    leaves, _ = keeper.leaves(SHANGHAI, 0, min(size, 255), with_envelopes=False)
    assert tile == b"".join(hash_leaf(one.leaf) for one in leaves)
