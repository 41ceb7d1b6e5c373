"""A bridge that lies to its regions, which are its witnesses: found, proven, finality stopped, work not.

The three nodes are real and in this process; the lies are signed with the bridge's real keys. One federation
hears all lies, one after the other: what is proven, stopped and settled must not spoil what comes after it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.offline.verify import verify_bytes
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import ZERO_HASH, Outcome, TransferKey
from tanqiao.rpc.protocol_facts import block_messages, block_of, refusal_messages
from tanqiao.signing.logs import witness_policy
from tanqiao.tlog.errors import TlogError
from tanqiao_bridge.application import deciding
from tanqiao_region.application.reconciling import Schedule
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.witness.harness import wait_for
from tests.contract.witness.lying_bridge import LyingBridge
from tests.contract.witness.witnessed import (
    WitnessedTrio,
    address_at,
    correct,
    cosigned_size,
    holdings,
    move_locally,
    status,
)
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
LIES_OF_A_LOG = {"split_view", "rewritten_history"}
STEP = "tanqiao.witnessing.follower.REFUSED_SECONDS"


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STEP, 0.3)
    # A reconciliation of its own accord would add a leaf between what is read of the log and what is shown.
    monkeypatch.setattr(Schedule, "SETTLE_SECONDS", 3_600.0)
    monkeypatch.setattr(Schedule, "LIGHT_SECONDS", 3_600.0)


class Court:
    """Reads the evidence as a stranger does."""

    def __init__(self, trio: WitnessedTrio) -> None:
        self._trio = trio
        network = trio.network
        group = network.network.federation.witness_group
        self._policy = witness_policy(network.network_id, network.directory, group).encode()
        self._known: set[Path] = set()

    def waits_for_proof(self, party: str, accused: str) -> str:
        """Wait for a new file at a party that both verifiers accept; what it proves."""
        folder = self._trio.evidence_of(party)

        def fresh() -> list[Path]:
            found = sorted(folder.glob("[!.]*")) if folder.is_dir() else []
            return [path for path in found if path not in self._known]

        wait_for(lambda: bool(fresh()))
        (path,) = fresh()
        self._known.add(path)
        report = verify_bytes(path.read_bytes(), self._policy)
        assert report.holds, report.refusal
        assert report.facts["accused"].endswith(accused), report.facts
        assert verify_file(path.read_bytes(), OtherPolicy(self._policy))
        return report.kind

    def has_nothing_new(self) -> None:
        """Demand that nobody was accused of anything else."""
        for party in (SHANGHAI, SHENZHEN):
            folder = self._trio.evidence_of(party)
            found = set(folder.glob("[!.]*")) if folder.is_dir() else set()
            assert found <= self._known


class Market:
    """What goes on meanwhile."""

    def __init__(self, trio: WitnessedTrio) -> None:
        self._trio = trio
        self._number = 0

    def crosses(self) -> TransferKey:
        """Send a kilogram across; it is decided and credited, final or not."""
        self._number += 1
        transfer_id = self._trio.market.send(self._number)
        self._trio.market.wait_ended([transfer_id])
        return TransferKey(SHANGHAI, bytes.fromhex(transfer_id))

    def stands_still_finally_and_works_locally(self, party: str = SHENZHEN) -> None:
        """Demand that a decision waits for its quorum and that an intra-region transfer goes."""
        wait_for(lambda: status(self._trio, party).transfers_pending > 0)
        assert move_locally(self._trio) > 0
        assert status(self._trio, party).transfers_pending > 0

    def has_no_quorum(self) -> None:
        """Demand that the log's newest leaves are not cosigned: it is the log that lies.

        What was honest before the lie may still reach its quorum; what is pending is behind that.
        """
        assert cosigned_size(self._trio) < self._trio.running["bridge"].context.log_size

    def is_final(self, *parties: str) -> None:
        """Wait until nothing is pending."""
        for party in parties or (SHANGHAI, SHENZHEN):
            wait_for(lambda party=party: status(self._trio, party).transfers_pending == 0)  # type: ignore[misc]


def refusal(trio: WitnessedTrio, party: str) -> str:
    found = trio.running[party].logs.witness.refusal
    return "" if found is None else found.reason


def seller_block(trio: WitnessedTrio) -> UnitBlock:
    """Give a kilogram that the seller holds."""
    stub = trio.market.accounts()
    from tanqiao.api.region.v1 import accounts_pb2  # noqa: PLC0415 - one request

    rows = stub.ListHoldings(
        accounts_pb2.ListHoldingsRequest(account_id=trio.market.seller), timeout=50
    ).holdings
    held = block_of(rows[-1].block)
    return UnitBlock(held.series_id, held.end - 1, held.end)


def test_each_lie_is_found_proven_stops_finality_alone_and_is_settled(trio: WitnessedTrio) -> None:
    liar, court, market = LyingBridge(trio.running["bridge"], trio.network), Court(trio), Market(trio)
    market.crosses()
    market.is_final()
    wait_for(lambda: len(liar.sealed_leaves()) == liar.cosigned().size)
    old = liar.cosigned()
    _a_wrong_root(trio, liar, court, market)
    _a_rolled_back_log(trio, liar, court, market)
    _a_stale_witness(trio, liar, court, market, old.note)
    _two_decisions(trio, liar, court, market)
    _a_forged_transfer(trio, liar, court, market)
    # A node that begins again goes through its evidence again, and proves nothing twice.
    trio.restart(SHANGHAI)
    market.crosses()
    market.is_final()
    court.has_nothing_new()
    for party in (SHANGHAI, SHENZHEN):
        assert not refusal(trio, party)
    _a_split_view(trio, liar, court, market)
    court.has_nothing_new()


def _a_wrong_root(trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market) -> None:
    leaves = [*liar.sealed_leaves(), liar.made_up_leaf(liar.cosigned().size)]
    liar.shows(liar.face_of(leaves, root=secrets.token_bytes(32)), SHANGHAI, SHENZHEN)
    market.crosses()
    wait_for(lambda: refusal(trio, SHANGHAI) == refusal(trio, SHENZHEN) == "CONSISTENCY_NOT_PROVEN")
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    # One signature alone can be a mistake of the pen; with the next honest one the two cannot both be honest.
    liar.is_honest_again()
    market.is_final()
    for party in (SHANGHAI, SHENZHEN):
        assert court.waits_for_proof(party, "/bridge") in LIES_OF_A_LOG


def _a_rolled_back_log(trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market) -> None:
    leaves = liar.sealed_leaves()[: liar.cosigned().size - 3]
    liar.shows(liar.face_of([*leaves, liar.made_up_leaf(len(leaves))]), SHANGHAI)
    market.crosses()
    wait_for(lambda: refusal(trio, SHANGHAI) == "WITNESS_STALE")
    assert court.waits_for_proof(SHANGHAI, "/bridge") == "rewritten_history"
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    liar.is_honest_again()
    market.is_final()


def _a_stale_witness(
    trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market, old: bytes
) -> None:
    market.crosses()
    market.is_final()
    liar.shows_as_final(liar.stale(old, SHENZHEN, int(time.time()) + 60), SHANGHAI)
    market.crosses()
    # Shanghai alone is shown a checkpoint that is old and newly cosigned: nothing becomes final there. The
    # log is honest, has its quorum, and is final for everybody else.
    assert court.waits_for_proof(SHANGHAI, SHENZHEN) == "witness-misbehaviour"
    market.stands_still_finally_and_works_locally(SHANGHAI)
    market.is_final(SHENZHEN)
    assert status(trio, SHANGHAI).transfers_pending > 0
    liar.is_honest_again()
    market.is_final()


def _two_decisions(trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market) -> None:
    key = market.crosses()
    market.is_final()
    blocks = liar.blocks_of(key)
    index = liar.decides_again(key, SHENZHEN, blocks)
    # The source has both decisions, the witnesses both leaves.
    for party in (SHANGHAI, SHENZHEN):
        assert court.waits_for_proof(party, "bridge") == "contradiction"
    wait_for(lambda: refusal(trio, SHANGHAI) == refusal(trio, SHENZHEN) == "WITNESS_LEAF_REFUSED")
    market.crosses()
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    assert cosigned_size(trio) <= index
    address = address_at(trio, SHENZHEN, trio.market.buyer)
    correct(trio, block_messages(blocks), address, back=False, transfer_id=key.transfer_id.hex())
    market.is_final()
    assert cosigned_size(trio) > index


def _a_forged_transfer(trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market) -> None:
    key, block = TransferKey(SHANGHAI, secrets.token_bytes(16)), seller_block(trio)
    before = [trio.market.balance(SHANGHAI, trio.market.seller).held_kg, len(holdings(trio))]
    index = liar.forges(key, SHENZHEN, [block])
    # Neither side acts: the one never signed such a lock, the other no such promise. Both say so.
    for party in (SHANGHAI, SHENZHEN):
        assert court.waits_for_proof(party, "bridge") == "contradiction"
    wait_for(lambda: refusal(trio, SHANGHAI) == "WITNESS_LEAF_REFUSED")
    assert before == [trio.market.balance(SHANGHAI, trio.market.seller).held_kg, len(holdings(trio))]
    market.crosses()
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    address = address_at(trio, SHANGHAI, trio.market.seller)
    correct(trio, block_messages([block]), address, back=True, transfer_id=key.transfer_id.hex())
    market.is_final()
    assert cosigned_size(trio) > index
    for party in (SHANGHAI, SHENZHEN):
        trio.require_clean_at(party)


def _a_split_view(trio: WitnessedTrio, liar: LyingBridge, court: Court, market: Market) -> None:
    """Shenzhen alone is shown another log, and cosigns it: nobody can know until the two logs meet."""
    wait_for(lambda: len(liar.sealed_leaves()) == liar.cosigned().size)
    leaves = liar.sealed_leaves()
    face = liar.face_of([*leaves, liar.made_up_leaf(len(leaves))])
    liar.shows(face, SHENZHEN)
    wait_for(lambda: bool(face.cosignatures))
    market.crosses()
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    # A checkpoint that Shanghai was shown is handed over: the next thing that two witnesses talk about. What
    # lies behind the leaf in which the two logs differ must be sealed for that.
    witness = trio.running[SHENZHEN].logs.witness
    wait_for(lambda: len(liar.sealed_leaves()) >= face.tree.size)
    other = trio.running["bridge"].logs.keeper.checkpoints("bridge").newest.note
    liar.is_honest_again()
    with pytest.raises(TlogError, match=r"WITNESS_SPLIT_VIEW|CONSISTENCY_NOT_PROVEN"):
        _hear(witness.step, witness.watch, other)
    assert court.waits_for_proof(SHENZHEN, "/bridge") in LIES_OF_A_LOG
    market.stands_still_finally_and_works_locally()
    market.has_no_quorum()
    assert not refusal(trio, SHANGHAI)


def _hear(step: Callable[[], Any], watch: Callable[[bytes], None], other: bytes) -> None:
    watch(other)
    step()


@pytest.fixture
def told_apart(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A bridge that logs COMMIT, tells it to the destination, and tells the source ABORT."""
    honest = deciding._after_decision
    told: list[bytes] = []

    def lie(group: Any, loaded: Any, item: Any) -> None:
        honest(group, loaded, item)
        if item.result.outcome is not Outcome.COMMIT or not item.entry.transfer.ready:
            return
        other = messages_pb2.Decision.FromString(item.payload)
        other.outcome, other.ready_hash = messages_pb2.OUTCOME_ABORT, ZERO_HASH
        other.reasons.extend(refusal_messages((reason("WITHDRAWN"),)))
        told.append(other.SerializeToString())
        for at, one in enumerate(group.numbered):
            if one.peer == item.key.source and one.payload == item.payload:
                group.numbered[at] = one._replace(payload=told[-1])

    monkeypatch.setattr(deciding, "_after_decision", lie)
    return told


def test_a_source_that_was_told_another_decision_than_the_log_has_proves_it(
    trio: WitnessedTrio, told_apart: list[bytes]
) -> None:
    court = Court(trio)
    transfer_id = trio.market.send(1)
    ended = trio.market.wait_ended([transfer_id])
    assert told_apart
    assert ended[transfer_id] == ledger_pb2.TRANSFER_STATE_RELEASED
    assert court.waits_for_proof(SHANGHAI, "bridge") == "contradiction"
    assert status(trio, SHANGHAI).transfers_pending == 1, "what it was told never becomes final"
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 0)
    assert move_locally(trio) > 0
    (held,) = holdings(trio)
    address = address_at(trio, SHENZHEN, trio.market.buyer)
    correct(trio, [held.block], address, back=False, transfer_id=transfer_id)
    wait_for(lambda: status(trio, SHANGHAI).transfers_pending == 0)
    assert trio.market.conserved().holds
    trio.require_clean()
    court.has_nothing_new()
