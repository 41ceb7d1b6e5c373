"""A network that began without witnesses gains a group: every root names it (PROTOCOL section 8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import ledger_pb2
from tanqiao.client.proofs import ServedLog
from tanqiao.client.servers import BridgeClient
from tanqiao.offline.make import make_handover
from tanqiao.offline.verify import verify_bytes
from tanqiao.signing.federation import NO_WITNESSES, WitnessGroup
from tanqiao.signing.logs import witness_policy
from tanqiao.signing.witness_groups import WITNESS_GROUP_KIND
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import parse_policy
from tanqiao.witnessing.groups import KnownGroups
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.tables import known_leaf_kind
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge
from tests.contract.region.served import full_network
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.group_office import (
    NEXT_GROUP,
    REGULATOR,
    UNIVERSITY,
    announce,
    approved,
    bring,
    follower_of,
    network_with_candidates,
    record_of,
    rooted,
    with_group,
)
from tests.contract.witness.harness import WitnessMaker, seals_by_hand, trade, wait_for
from tests.contract.witness.test_group_changes import cosigned_size, proof_of, refused
from tests.contract.witness.witnessed import WitnessedTrio, credited, incoming, status
from tests.independent import verify_proof as independent
from tests.independent.verify_handover import next_policy

REGIONS = WitnessGroup((SHANGHAI, SHENZHEN, YUNNAN), 2)


@pytest.fixture(scope="module")
def bare_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return with_group(network_with_candidates(tmp_path_factory.mktemp("bare")), NO_WITNESSES)


@pytest.fixture
def running(
    bare_network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker
) -> Iterator[Running]:
    made = database_maker.make(database_kind, _migrated, "bridge")
    started = run_bridge(bare_network, made.url, made.owner_url)
    yield started
    started.bridge.stop()
    database_maker.drop(made)


def test_every_root_names_the_first_group(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal, network, keeper = seals_by_hand(running), running.network, running.bridge.logs.keeper
    early = shanghai.decisions
    ids = trade(running, shanghai, 3)
    before = seal()
    assert keeper.finality_of(early[ids[0]].log_index) == values_pb2.FINALITY_COMMIT
    followers = {party: follower_of(witnesses, party) for party in (REGULATOR, UNIVERSITY)}
    assert refused(running, rooted(network, record_of(NEXT_GROUP))) == "LEAF_KIND_NOT_ANNOUNCED"
    assert [one.step() for one in followers.values()] == [before] * 2, "they follow what nobody cosigns yet"
    assert cosigned_size(running) == 0
    announce(running, SHANGHAI)
    assert refused(running, approved(network, record_of(NEXT_GROUP))) == "SIGNATURE_MISSING"
    assert refused(running, rooted(network, record_of(NEXT_GROUP), but="authority/bridge")) == (
        "SIGNATURE_MISSING"
    )

    index = bring(running, rooted(network, record_of(NEXT_GROUP)))
    size = seal()
    assert size == index + 1
    assert keeper.finality_of(early[ids[0]].log_index) == values_pb2.FINALITY_PENDING
    assert [one.step() for one in followers.values()] == [size] * 2
    assert cosigned_size(running) == size
    assert keeper.finality_of(early[ids[0]].log_index) == values_pb2.FINALITY_QUORUM

    known = KnownGroups(
        network.network_id, NO_WITNESSES, lambda: network.directory, witnesses.remote(SHENZHEN).group_changes
    )
    assert known.renew().newest == NEXT_GROUP
    reader = "reader/national"
    alone = witness_policy(network.network_id, network.directory, NO_WITNESSES).encode()
    with BridgeClient(reader, running.address, network.network.tls(reader)) as bridge:
        log = ServedLog(bridge)
        data, report = make_handover(log, *log.handover(index), alone)
    assert next_policy(alone, data) == report.policy
    assert parse_policy(report.policy).at(size).quorum_size == NEXT_GROUP.quorum
    leaf, proof = proof_of(running, early[ids[0]].log_index)
    assert verify_bytes(proof, report.policy, leaf=leaf).holds
    independent.verify_proof(proof, leaf, independent.Policy(report.policy))
    report_of_books = check_database(running.bridge.database)
    assert report_of_books.clean, report_of_books.as_text()


@pytest.mark.long
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_first_group_by_approvers_is_believed_by_nobody(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge that takes it all the same: the roots alone can say who watches over the log."""
    monkeypatch.setattr("tanqiao_bridge.application.witness_groups._check_first", lambda *_a, **_b: None)
    seal, network = seals_by_hand(running), running.network
    running.recognise()
    announce(running, SHANGHAI, REGULATOR, UNIVERSITY)
    bring(running, approved(network, record_of(NEXT_GROUP)))
    seal()
    with pytest.raises(TlogError, match="WITNESS_LEAF_REFUSED"):
        follower_of(witnesses, REGULATOR).step()
    known = KnownGroups(
        network.network_id, NO_WITNESSES, lambda: network.directory, witnesses.remote(SHENZHEN).group_changes
    )
    with pytest.raises(TlogError, match="WITNESS_NOT_HANDED_OVER"):
        known.renew()


# -- in the running system ----------------------------------------------------------------------------------


@pytest.fixture
def bare_trio(database_kind: str, database_maker: DatabaseMaker, tmp_path: Path) -> Iterator[WitnessedTrio]:
    """The three nodes of a network that begins without witnesses; its regions keep a witness each."""
    network = with_group(full_network(tmp_path / "net", quorum=2), NO_WITNESSES)
    made = WitnessedTrio(network, database_maker, database_kind, tmp_path / "evidence")
    try:
        made.market.furnish()
        yield made
    finally:
        made.close()


def announced(bridge: Any) -> set[str]:
    """Who has said that it reads changes of the group."""
    columns = known_leaf_kind.c
    with bridge.database.reading() as connection:
        found = connection.execute(sa.select(columns.witness).where(columns.kind == WITNESS_GROUP_KIND))
        return set(found.scalars())


@pytest.mark.long
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_units_are_pending_from_then_on(bare_trio: WitnessedTrio) -> None:
    trio, market = bare_trio, bare_trio.market
    first = market.send(1)
    market.wait_ended([first])
    wait_for(credited(trio))
    assert [one.finality for one in incoming(trio)] == [values_pb2.FINALITY_COMMIT]
    running: Any = trio.running["bridge"]
    office = Running(trio.network, running)
    announce(office, YUNNAN)
    wait_for(lambda: announced(running) >= {SHANGHAI, SHENZHEN})
    bring(office, rooted(trio.network, record_of(REGIONS)))
    for party in (SHANGHAI, SHENZHEN):
        wait_for(lambda party=party: status(trio, party).quorum == REGIONS.quorum)  # type: ignore[misc]
    # Who learned it knows it also after a restart, before the bridge has said a word.
    trio.running[SHANGHAI].logs.witness.stop()
    trio.restart(SHENZHEN)
    assert status(trio, SHENZHEN).quorum == REGIONS.quorum
    second = market.send(2)
    assert market.wait_ended([second])[second] == ledger_pb2.TRANSFER_STATE_MOVED
    wait_for(lambda: status(trio, SHENZHEN).transfers_pending == 1)
    trio.restart(SHANGHAI)
    for party in (SHANGHAI, SHENZHEN):
        wait_for(lambda party=party: status(trio, party).transfers_pending == 0)  # type: ignore[misc]
    assert {one.finality for one in incoming(trio)} == {values_pb2.FINALITY_QUORUM}
    trio.require_clean()
