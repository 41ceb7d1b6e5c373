"""The bridge is lost for good under load, with every backup: its mirrors bring it back, and nothing is lost.

Real regions with their witnesses. What was decided behind the mirrors comes back in the reports of the
regions; what had not reached a region is sent again; what was not decided is offered again.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tanqiao.api.bridge.v1 import recovery_pb2, recovery_pb2_grpc
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import YUNNAN, NetworkOfTest
from tanqiao.witnessing.mirror_file import write_mirror
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.trio import _migrated_bridge
from tests.contract.witness.rebuilt import rebuild, rows_of
from tests.contract.witness.witnessed import WitnessedTrio, cosigned_size

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
WAIT_SECONDS = 200.0
TRANSFERS = 60
WITH_THEIR_LEAF = ("log_leaf", "decision", "decision_block", "claim", "claim_receipt", "key_record", "issue")
"""Tables that do not change behind the leaf: what was decided later does not show in them."""


def test_a_bridge_lost_under_load_comes_back_from_its_mirrors_and_nothing_is_lost(
    trio: WitnessedTrio,
    market_network: NetworkOfTest,
    database_maker: DatabaseMaker,
    database_kind: str,
) -> None:
    market = trio.market
    before = market.conserved(WAIT_SECONDS)
    early = [market.send(number) for number in range(8)]
    market.wait_ended(early, WAIT_SECONDS)
    market.wait(lambda: cosigned_size(trio) > 0, "a quorum has cosigned", WAIT_SECONDS)
    sent: list[str] = []
    halfway = threading.Event()

    def load() -> None:
        for number in range(100, 100 + TRANSFERS):
            sent.append(market.send(number))
            if len(sent) == TRANSFERS // 2:
                halfway.set()

    sender = threading.Thread(target=load)
    sender.start()
    assert halfway.wait(WAIT_SECONDS)
    lost = trio.running["bridge"].settings
    trio.stop("bridge")
    sender.join(WAIT_SECONDS)
    mirrors = []
    for party in (SHANGHAI, SHENZHEN):
        mirrors.append(trio.folder.parent / f"{party[-6:]}.mirror")
        write_mirror(trio.witness_of(party).open("reader"), mirrors[-1])
    old = trio.bridge_database
    fresh = database_maker.make(database_kind, _migrated_bridge, "bridge")
    settings = replace(lost, database_url=fresh.url, owner_database_url=fresh.owner_url)
    rebuilt = rebuild(market_network, settings, *mirrors)
    was, now = (rows_of(one.open("reader"), rebuilt.size) for one in (old, fresh))
    for name in WITH_THEIR_LEAF:
        assert now[name] == was[name], name
    trio.bridge_database = fresh
    try:
        trio.start("bridge")
        stub = recovery_pb2_grpc.RecoveryServiceStub(market.channel("bridge", "reader/national"))

        def missing() -> set[str]:
            answer = stub.GetRecoveryStatus(recovery_pb2.GetRecoveryStatusRequest(), timeout=60)
            return set(answer.missing_regions)

        market.wait(lambda: missing() == {YUNNAN}, "both regions report", WAIT_SECONDS)
        late = [market.send(number) for number in range(300, 306)]
        states = market.wait_ended([*early, *sent, *late], WAIT_SECONDS)
        moved = sum(state == ledger_pb2.TRANSFER_STATE_MOVED for state in states.values())
        after = market.conserved(WAIT_SECONDS)
        assert market.balance(SHENZHEN, market.buyer).held_kg == moved == len(early) + TRANSFERS + len(late)
        series = market.series_id
        assert after.series[series].issued_kg == before.series[series].issued_kg
        size = trio.running["bridge"].context.log_size
        market.wait(lambda: cosigned_size(trio) >= size, "the witnesses follow the rebuilt log", WAIT_SECONDS)
        trio.require_clean()
    finally:
        database_maker.drop(old)
