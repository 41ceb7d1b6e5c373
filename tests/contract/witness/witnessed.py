"""A bridge and two regions that are witnesses, in this process, and what is asked of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2, orders_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2, ledger_pb2_grpc
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.bootstrap import build
from tests.contract.bridge.approvers import (
    BRIDGE_AUTHORITY,
    SHANGHAI_AUTHORITY,
    SHENZHEN_AUTHORITY,
    both,
    signed,
)
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.region.harness import SHANGHAI, SHENZHEN, settings_of
from tests.contract.region.market import request_id
from tests.contract.region.trio import Trio
from tests.contract.witness.harness import migrated_witness


class WitnessedTrio(Trio):
    """The three nodes, of which the regions are witnesses with databases of their own."""

    def __init__(self, network: NetworkOfTest, maker: DatabaseMaker, kind: str, folder: Path) -> None:
        self.folder = folder
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
        settings = settings_of(self.network, party, made.url, made.owner_url, self._bridge_address)
        region = build(
            replace(
                settings,
                witness_database_url=witness.url,
                witness_owner_database_url=witness.owner_url if witness.owner_url != witness.url else "",
                evidence_directory=self.evidence_of(party),
            )
        )
        region.start()
        self.running[party], self.addresses[party] = region, region.server.address

    def witness_of(self, party: str) -> DatabaseUnderTest:
        """Give the database of a region's witness."""
        return self._witness[party]

    @property
    def bridge_database(self) -> DatabaseUnderTest:
        """The database that the bridge starts with."""
        return self._databases["bridge"]

    @bridge_database.setter
    def bridge_database(self, made: DatabaseUnderTest) -> None:
        self._databases["bridge"] = made

    def evidence_of(self, party: str) -> Path:
        """Name the folder where the witness of a region puts what it has proven."""
        return self.folder / party.replace("/", "-")

    def close(self) -> None:
        """Stop everything."""
        super().close()
        for made in self._witness.values():
            self._maker.drop(made)


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


def address_at(trio: Trio, party: str, account_id: str) -> str:
    """Make a receiving address of an account."""
    role = {
        SHANGHAI: "operator/310000/sh.centre",
        SHENZHEN: "operator/440300/sz.platform_operator",
    }[party]
    request = accounts_pb2.CreateReceivingAddressRequest(request_id=request_id(), account_id=account_id)
    answer = trio.market.accounts(party, role).CreateReceivingAddress(request, timeout=WAIT_SECONDS)
    return str(answer.receiving_address)


def correct(trio: Trio, blocks: list[Any], address: str, *, back: bool, transfer_id: str = "") -> int:
    """Let both authorities say where units are: at Shenzhen, or back at Shanghai; the log index."""
    authorities = (
        (SHENZHEN_AUTHORITY, SHANGHAI_AUTHORITY) if back else (SHANGHAI_AUTHORITY, SHENZHEN_AUTHORITY)
    )
    order = messages_pb2.Correction(
        header=envelope_pb2.Header(source=SHANGHAI, transfer_id=bytes.fromhex(transfer_id))
        if transfer_id
        else None,
        correction_id=secrets.token_bytes(16),
        blocks=blocks,
        from_region=SHENZHEN if back else SHANGHAI,
        to_region=SHANGHAI if back else SHENZHEN,
        document="minutes 7",
        reason="invented",
        receiving_address=address,
    )
    signers = [(owner, number) for owner in authorities for number in (0, 1)]
    envelope = signed(trio.network, order, authorities[0], signers)
    stub = orders_pb2_grpc.OrderServiceStub(trio.market.channel("bridge", SHANGHAI))
    request = orders_pb2.SubmitCorrectionRequest(request_id=request_id(), correction=envelope)
    return int(stub.SubmitCorrection(request, timeout=WAIT_SECONDS).log_index)


def freeze(trio: Trio, order: messages_pb2.Freeze) -> int:
    """Let the bridge's authority freeze, or lift; the log index."""
    envelope = signed(trio.network, order, BRIDGE_AUTHORITY, both(BRIDGE_AUTHORITY))
    stub = orders_pb2_grpc.OrderServiceStub(trio.market.channel("bridge", SHANGHAI))
    request = orders_pb2.SubmitFreezeRequest(request_id=request_id(), order=envelope)
    return int(stub.SubmitFreeze(request, timeout=WAIT_SECONDS).log_index)


def cosigned_size(trio: Trio) -> int:
    """Give the size of the bridge's log that a quorum has cosigned."""
    found = trio.running["bridge"].logs.keeper.checkpoints("bridge").cosigned
    return 0 if found is None else int(found.size)


def move_locally(trio: Trio, kg: int = 1) -> int:
    """Move units between two accounts of Shanghai: work that needs no bridge; its journal index."""
    request = ledger_pb2.TransferUnitsRequest(
        request_id=request_id(),
        from_account_id=trio.market.seller,
        to_account_id=trio.market.open_taker(),
        units=ledger_pb2.UnitSelection(quantity_kg=kg),
    )
    stub = ledger_pb2_grpc.LedgerServiceStub(trio.market.channel(SHANGHAI, "operator/310000/sh.holder"))
    return int(stub.TransferUnits(request, timeout=WAIT_SECONDS).journal_index)
