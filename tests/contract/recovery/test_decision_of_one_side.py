"""A decision that reached the source alone before its bridge was lost (section 6), with real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import sync_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.server.lines import Lines
from tanqiao_region.storage import tables
from tests.contract.bridge.approvers import correction
from tests.contract.recovery.old_copies import ON_SQLITE, OldCopies
from tests.contract.recovery.test_restored_bridge import (
    WAIT_SECONDS,
    leaves,
    order,
    orders,
    recovery,
    wait_reported,
)
from tests.contract.region.harness import SHANGHAI, SHENZHEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass
class Wires:
    """The bridge's lines; a region that is named is sent nothing numbered, so that no decision reaches it."""

    silent: set[str] = field(default_factory=set)


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Wires:
    """Lines that may fall silent; asked for before the nodes are built."""
    made, honest = Wires(), Lines.numbered

    def numbered(lines: Lines, session: Any) -> Iterator[sync_pb2.ConnectResponse]:
        return iter(()) if session.party in made.silent else honest(lines, session)

    monkeypatch.setattr(Lines, "numbered", numbered)
    return made


def decided_at_the_source_alone(copies: OldCopies, wires: Wires) -> str:
    """Send one order, of whose decision Shenzhen hears nothing; the transfer."""
    wires.silent.add(SHENZHEN)
    transfer_id: str = copies.market.send(100)
    copies.market.wait_ended([transfer_id], WAIT_SECONDS)
    copies.lose("bridge")
    with copies.three.running[SHENZHEN].database.reading() as connection:
        rows = connection.execute(tables.incoming_transfer.select()).all()
    assert [row.state for row in rows if row.ended_at is None] == [1], "Shenzhen is READY"
    wires.silent.clear()
    return transfer_id


def adopted(copies: OldCopies) -> list[Leaf]:
    return [leaf for leaf in leaves(copies) if leaf.get("adopted_index") is not None]


def held_kg(copies: OldCopies) -> int:
    return int(copies.market.balance(SHENZHEN, copies.market.buyer).held_kg)


@ON_SQLITE
def test_the_destination_still_has_its_ready_and_is_credited(wires: Wires, old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup("bridge")
    transfer_id = decided_at_the_source_alone(copies, wires)
    copies.restore("bridge", copy)
    copies.start("bridge")
    wait_reported(copies, SHANGHAI, SHENZHEN)
    copies.market.wait(lambda: held_kg(copies) == 1, "the buyer has its unit", WAIT_SECONDS)
    assert recovery(copies).waiting_count == 0
    (leaf,) = adopted(copies)
    assert leaf.get("transfer_id") == bytes.fromhex(transfer_id)
    assert len(leaf.message_hashes) == 3, "lock, Ready and decision"
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


@pytest.mark.long
@ON_SQLITE
def test_the_destination_has_forgotten_its_ready_and_a_correction_settles_it(
    wires: Wires, old_copies: OldCopies
) -> None:
    copies = old_copies
    copies.market.wait_ended(orders(copies, 0, 2), WAIT_SECONDS)
    copies.market.wait(lambda: held_kg(copies) == 2, "both have arrived", WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    copy, older = copies.backup("bridge"), copies.backup(SHENZHEN)
    transfer_id = decided_at_the_source_alone(copies, wires)
    (block,) = moved_blocks(copies, transfer_id)
    copies.lose(SHENZHEN)
    copies.restore("bridge", copy)
    copies.restore(SHENZHEN, older)
    copies.start("bridge")
    copies.start(SHENZHEN)
    wait_reported(copies, SHANGHAI, SHENZHEN)
    assert recovery(copies).waiting_count == 1
    assert adopted(copies) == []
    # Everything else goes on; and the authorities of both regions say where the unit is.
    copies.market.wait_ended(orders(copies, 200, 2), WAIT_SECONDS)
    header = envelope_pb2.Header(source=SHANGHAI, transfer_id=bytes.fromhex(transfer_id))
    made = correction(
        0, 1, header=header, blocks=block_messages([block]), receiving_address=copies.market.address
    )
    order(copies, made, "authority/310000", "authority/440300")
    assert recovery(copies).waiting_count == 0
    copies.market.wait(lambda: held_kg(copies) == 5, "the buyer has its unit", WAIT_SECONDS)
    states = copies.market.states([transfer_id])
    assert states[transfer_id] == ledger_pb2.TRANSFER_STATE_MOVED
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


def moved_blocks(copies: OldCopies, transfer_id: str) -> list[UnitBlock]:
    """Give the blocks of a transfer as its source shows them."""
    request = ledger_pb2.GetTransferRequest(transfer_id=transfer_id)
    transfer = copies.market.transfers().GetTransfer(request, timeout=WAIT_SECONDS).transfer
    return [UnitBlock(one.series_id, one.start_serial, one.end_serial) for one in transfer.blocks]
