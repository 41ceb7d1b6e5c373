"""R10 in the running system: a bridge and two regions that are witnesses, on both databases."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, log_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.protocol.types import TransferKey
from tanqiao.signing.logs import witness_policy
from tanqiao.tlog.merkle import hash_leaf
from tanqiao.tlog.proof import verify_proof
from tanqiao_region.storage.finality import load_bundle
from tests.contract.bridge.harness import WAIT_SECONDS
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.trio import Trio
from tests.contract.witness.harness import wait_for
from tests.contract.witness.witnessed import credited, holdings, incoming, retire, status


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
    wait_for(lambda: status(trio, SHENZHEN).oldest_pending_seconds > waiting.oldest_pending_seconds)
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
    ended = status(trio, SHENZHEN)
    assert ended.oldest_pending_seconds == 0
    assert ended.lag_p99_ms >= ended.lag_p50_ms > 0, "the time below quorum is in it"
    (held,) = holdings(trio)
    assert held.finality == values_pb2.FINALITY_QUORUM
    assert held.block.end_serial - held.block.start_serial == 2, "final pieces are joined"
    assert decisions.GetOutcome(asked, timeout=WAIT_SECONDS).finality == values_pb2.FINALITY_QUORUM
    shenzhen = trio.running[SHENZHEN]
    with shenzhen.database.reading() as connection:
        kept = load_bundle(connection, TransferKey(SHANGHAI, bytes.fromhex(transfer_id)))
    bundle = log_pb2.FinalityBundle.FromString(kept)
    group = shenzhen.context
    network = trio.network
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
