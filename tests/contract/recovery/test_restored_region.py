"""A region that is restored from an old backup under load (PROTOCOL section 6).

It takes no orders until it has everything that the bridge holds of it, honours what it forgot, and opens; no
unit is lost or doubled, and nothing is stuck.
"""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from tanqiao.api.region.v1 import journal_pb2, ledger_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao_region.bootstrap import restore_from
from tests.contract.recovery.old_copies import ON_SQLITE, OldCopies
from tests.contract.region.harness import SHANGHAI, SHENZHEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WAIT_SECONDS = 60.0


def status(copies: OldCopies, party: str) -> Any:
    return copies.market.node(party).GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=60)


def wait_open(copies: OldCopies, party: str) -> None:
    """Wait until a node is on the line and takes orders."""

    def is_open() -> bool:
        one = status(copies, party)
        return bool(one.bridge_connected) and not one.recovering

    copies.market.wait(is_open, f"{party} is open", WAIT_SECONDS)


def orders(copies: OldCopies, first: int, count: int) -> list[str]:
    return [copies.market.send(number) for number in range(first, first + count)]


@pytest.mark.parametrize("party", [SHANGHAI, SHENZHEN])
def test_a_region_restored_under_load_loses_and_doubles_nothing(old_copies: OldCopies, party: str) -> None:
    copies = old_copies
    before = copies.market.conserved()
    early = orders(copies, 0, 6)
    sent: list[str] = []
    sender = threading.Thread(target=lambda: sent.extend(orders(copies, 100, 20)))
    sender.start()
    copy = copies.backup(party)
    sender.join()
    copies.market.wait_ended([*early, *sent], WAIT_SECONDS)

    copies.lose(party)
    incarnation = copies.restore(party, copy)
    copies.start(party)
    wait_open(copies, party)

    assert status(copies, party).incarnation == incarnation > 1
    late = orders(copies, 200, 6)
    states = copies.market.wait_ended([*early, *sent, *late], WAIT_SECONDS)
    moved = sum(state == ledger_pb2.TRANSFER_STATE_MOVED for state in states.values())
    after = copies.market.conserved(WAIT_SECONDS)
    assert copies.market.balance(SHENZHEN, copies.market.buyer).held_kg == moved == len(states)
    series = copies.market.series_id
    assert after.series[series].issued_kg == before.series[series].issued_kg
    copies.three.require_clean()


@ON_SQLITE
def test_a_restored_region_serves_reads_only_while_the_bridge_is_away(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup(SHANGHAI)
    copies.lose(SHANGHAI)
    copies.restore(SHANGHAI, copy)
    copies.three.stop("bridge")
    copies.start(SHANGHAI)

    assert copies.market.balance(SHANGHAI, copies.market.seller).held_kg > 0
    with pytest.raises(grpc.RpcError) as refused:
        copies.market.transfers().CreateTransfer(copies.market.order(1), timeout=60)
    assert from_rpc_error(refused.value).symbol == "REGION_RECOVERING"
    copies.start("bridge")
    wait_open(copies, SHANGHAI)
    assert copies.market.wait_ended([copies.market.send(2)], WAIT_SECONDS)


@ON_SQLITE
def test_a_file_copied_back_by_hand_is_noticed_by_the_bridge(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup(SHANGHAI)
    sent = orders(copies, 0, 5)
    copies.market.wait_ended(sent, WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)

    copies.lose(SHANGHAI)
    copies.put_back_raw(SHANGHAI, copy)
    copies.start(SHANGHAI)
    copies.market.wait(
        lambda: status(copies, SHANGHAI).incarnation > 1, "the region takes a new incarnation", WAIT_SECONDS
    )
    wait_open(copies, SHANGHAI)

    assert set(copies.market.wait_ended(sent, WAIT_SECONDS).values()) == {ledger_pb2.TRANSFER_STATE_MOVED}
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


def test_a_lock_that_was_forgotten_and_is_undecided_is_honoured(old_copies: OldCopies) -> None:
    copies = old_copies
    copies.market.conserved(WAIT_SECONDS)
    copy = copies.backup(SHANGHAI)
    copies.three.stop(SHENZHEN)
    forgotten = orders(copies, 0, 3)
    bridge = copies.three.running["bridge"]
    copies.market.wait(lambda: len(bridge.context.transfers) == 3, "the locks are open at the bridge")

    copies.lose(SHANGHAI)
    copies.restore(SHANGHAI, copy)
    copies.start(SHANGHAI)
    wait_open(copies, SHANGHAI)

    states = copies.market.states(forgotten)
    assert set(states.values()) == {ledger_pb2.TRANSFER_STATE_LOCKED}
    copies.start(SHENZHEN)
    copies.market.wait_ended(forgotten, WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    copies.three.require_clean()


@ON_SQLITE
def test_a_restore_onto_a_node_that_runs_is_refused(old_copies: OldCopies) -> None:
    copies = old_copies
    copy = copies.backup(SHANGHAI)
    settings = copies.three.running[SHANGHAI].settings

    with pytest.raises(DomainError) as refused:
        restore_from(settings, copy)
    assert refused.value.symbol == "WRITER_ALREADY_RUNNING"
