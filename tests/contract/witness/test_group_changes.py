"""The group of witnesses is replaced by a leaf of the log (PROTOCOL section 8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tanqiao.client.proofs import ServedLog
from tanqiao.client.servers import BridgeClient
from tanqiao.db.sealed_logs import TilesOf
from tanqiao.offline.make import make_handover
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.federation import WitnessGroup
from tanqiao.signing.logs import witness_policy, written_policy
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import parse_policy, satisfied
from tanqiao.tlog.proof import make_proof, verify_proof
from tanqiao.witnessing.groups import KnownGroups
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.region_logs import leaves_of
from tanqiao_bridge.storage.tables import sealed_logs
from tanqiao_bridge.storage.witness_groups import load_changes
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.group_office import (
    NEXT_GROUP,
    REGULATOR,
    UNIVERSITY,
    announce,
    approved,
    authorities,
    bring,
    follower_of,
    network_with_candidates,
    record_of,
    rooted,
)
from tests.contract.witness.harness import LyingSource, WitnessMaker, seals_by_hand, trade
from tests.independent import verify_proof as independent
from tests.independent.verify_handover import next_policy


@pytest.fixture(scope="module")
def candidates_network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    return network_with_candidates(tmp_path_factory.mktemp("candidates"))


@pytest.fixture
def running(
    candidates_network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker
) -> Iterator[Running]:
    made = database_maker.make(database_kind, _migrated, "bridge")
    started = run_bridge(candidates_network, made.url, made.owner_url)
    yield started
    started.bridge.stop()
    database_maker.drop(made)


def refused(running: Running, envelope: Any, request_id: str = "") -> str:
    """Bring a record that is refused; the reason."""
    with pytest.raises(grpc.RpcError) as error:
        bring(running, envelope, request_id)
    return from_rpc_error(error.value).symbol


def cosigned_size(running: Running) -> int:
    found = running.bridge.logs.keeper.checkpoints(BRIDGE).cosigned
    return 0 if found is None else found.size


def proof_of(running: Running, log_index: int) -> tuple[bytes, bytes]:
    """Give leaf and proof of an index under the checkpoint that is final now."""
    with running.bridge.database.reading() as connection:
        found = sealed_logs.cosigned_checkpoint(connection, BRIDGE)
        assert found is not None
        tiles = TilesOf(sealed_logs, connection, BRIDGE, found.size, leaves_of(BRIDGE))
        leaf = leaves_of(BRIDGE)(connection, log_index, 1)[0]
        return leaf, make_proof(log_index, found.size, tiles, found.note).encode()


def reader(running: Running, witnesses: WitnessMaker, directory: KeyDirectory | None = None) -> KnownGroups:
    """Give a reader that replays nothing and has the federation's file."""
    network = running.network
    changes = witnesses.remote(SHENZHEN).group_changes
    first = network.network.federation.witness_group
    return KnownGroups(network.network_id, first, lambda: directory or network.directory, changes)


def test_the_group_is_replaced_while_transfers_run(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal, network = seals_by_hand(running), running.network
    old = [follower_of(witnesses, party) for party in (SHENZHEN, YUNNAN)]
    regulator = follower_of(witnesses, REGULATOR)
    announce(running, SHANGHAI, UNIVERSITY)
    first_ids = trade(running, shanghai, 3)
    before = seal()
    assert regulator.step() == before, "it follows"
    assert cosigned_size(running) == 0, "and counts for nothing"
    assert [follower.step() for follower in old] == [before] * 2
    assert cosigned_size(running) == before
    first_index = shanghai.decisions[first_ids[0]].log_index
    early = proof_of(running, first_index)

    signed = approved(network, record_of(NEXT_GROUP))
    index = bring(running, signed, "change-1")
    assert bring(running, signed, "change-1") == index
    assert bring(running, signed, "change-2") == index, "it is taken once"
    later_ids = shanghai.offer_locks([shanghai.lock(at, at + 5) for at in range(500, 530, 5)])
    shanghai.wait(lambda: all(one in shanghai.decisions for one in later_ids))
    assert seal() == index + 1, "nothing behind the change is sealed before the old group has cosigned it"
    assert [regulator.step(), old[0].step()] == [index + 1] * 2
    assert cosigned_size(running) == before, "a new one does not count for its own appointment"
    assert seal() == index + 1
    assert old[1].step() == index + 1
    assert cosigned_size(running) == index + 1

    size = seal()
    assert size > index + len(later_ids)
    assert [follower.step() for follower in old] == [size, size]
    assert cosigned_size(running) == index + 1, "who was replaced makes nothing final"
    assert regulator.step() == size
    assert cosigned_size(running) == index + 1, "one of three is no quorum"
    assert follower_of(witnesses, UNIVERSITY).step() == size, "it begins now, and finds the change in the log"
    assert cosigned_size(running) == size
    assert all(follower.refusal is None for follower in (*old, regulator))

    late = proof_of(running, shanghai.decisions[later_ids[0]].log_index)
    groups = reader(running, witnesses).renew()
    assert groups.changes[0].group == NEXT_GROUP
    assert groups.changes[0].from_size == index + 2
    _require_readers_agree(running, groups, early, late, index)
    _require_old_policy_leads_on(running, groups, late, index)
    with running.bridge.database.reading() as connection:
        assert [one.change for one in load_changes(connection)] == list(groups.changes)
    assert check_database(running.bridge.database).clean


def _require_readers_agree(
    running: Running,
    groups: WitnessGroups,
    early: tuple[bytes, bytes],
    late: tuple[bytes, bytes],
    index: int,
) -> None:
    """A proof of either time holds under the policy that is written now, for both verifiers."""
    network = running.network
    policy = written_policy(network.network_id, network.directory, groups)
    assert parse_policy(policy.encode()) == policy
    assert [size for size, _ in policy.later] == [index + 2]
    for leaf, proof in (early, late):
        verify_proof(proof, leaf, policy)
        independent.verify_proof(proof, leaf, independent.Policy(policy.encode()))
    stale = witness_policy(network.network_id, network.directory, groups.first, size=1)
    verify_proof(early[1], early[0], stale)
    with pytest.raises(TlogError, match="QUORUM_NOT_REACHED"):
        verify_proof(late[1], late[0], stale)
    # What the replaced ones cosigned of the larger tree is no quorum for anybody.
    note = running.bridge.logs.keeper.checkpoints(BRIDGE).cosigned
    assert note is not None
    only = b"".join(
        line + b"\n"
        for line in note.note.split(b"\n\n")[1].splitlines()
        if b"/bridge" in line or b"440300" in line
    )
    assert not satisfied(note.note.split(b"\n\n")[0] + b"\n\n" + only, policy)


def _require_old_policy_leads_on(
    running: Running, groups: WitnessGroups, late: tuple[bytes, bytes], index: int
) -> None:
    """Who has only the policy from before the change gets the next one out of one file."""
    network = running.network
    old = witness_policy(network.network_id, network.directory, groups.first, size=1).encode()
    reader = "reader/national"
    with BridgeClient(reader, running.address, network.network.tls(reader)) as bridge:
        log = ServedLog(bridge)
        data, report = make_handover(log, *log.handover(index), old)
    leaf, proof = late
    for policy in (report.policy, next_policy(old, data)):
        verify_proof(proof, leaf, parse_policy(policy))
        independent.verify_proof(proof, leaf, independent.Policy(policy))
        assert parse_policy(policy).later[0][0] == index + 2


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_change_that_lacks_something_is_refused(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal, network, keeper = seals_by_hand(running), running.network, running.bridge.logs.keeper
    running.recognise()
    seal()
    announce(running, SHANGHAI, SHENZHEN, YUNNAN, REGULATOR)
    size = keeper.checkpoints(BRIDGE).log_size
    whole = record_of(NEXT_GROUP)
    assert refused(running, approved(network, whole)) == "LEAF_KIND_NOT_ANNOUNCED", "one never followed"
    follower_of(witnesses, UNIVERSITY).step()
    for owner in authorities(network):
        assert refused(running, approved(network, whole, but=[(owner, 1)])) == "APPROVERS_MISSING"
        assert refused(running, rooted(network, whole, but=owner)) == "SIGNATURE_MISSING"
    assert refused(running, approved(network, record_of(NEXT_GROUP, replaces_log_index=3))) == (
        "WITNESS_GROUP_REPLACED"
    )
    nobody = WitnessGroup((SHANGHAI, REGULATOR, "witness/nobody"), 2)
    assert refused(running, approved(network, record_of(nobody))) == "KEY_UNKNOWN"
    for changes, reason in (
        ({"quorum": 1}, "SETTING_INVALID"),
        ({"quorum": 3}, "SETTING_INVALID"),
        ({"witnesses": [], "quorum": 0}, "FIELD_MISSING"),
        ({"witnesses": ["gateway/ccer", SHANGHAI, SHENZHEN]}, "FIELD_INVALID"),
        ({"witnesses": [f"witness/w{at}" for at in range(65)], "quorum": 33}, "BATCH_TOO_LARGE"),
        ({"change_id": b"short"}, "FIELD_INVALID"),
        ({"replaces_log_index": -1}, "FIELD_INVALID"),
        ({"document": ""}, "FIELD_MISSING"),
        ({"reason": "x" * 501}, "TEXT_TOO_LONG"),
    ):
        assert refused(running, approved(network, record_of(NEXT_GROUP, **changes))) == reason, changes
    assert keeper.checkpoints(BRIDGE).log_size == size, "nothing of it is written"
    # Another record under the id of one that was taken is evidence, and stands against its sender.
    bring(running, approved(network, whole))
    other = record_of(NEXT_GROUP, change_id=whole.change_id, document="order 10")
    assert refused(running, approved(network, other)) == "EQUIVOCATION"
    assert refused(running, approved(network, record_of(NEXT_GROUP))) == "WITNESS_GROUP_REPLACED"


def test_the_roots_replace_a_group_that_is_gone(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal, network = seals_by_hand(running), running.network
    running.recognise()
    seal()
    announce(running, SHANGHAI, SHENZHEN, YUNNAN, REGULATOR, UNIVERSITY)
    # A change by approvers waits for a group that does not come back; every root settles it.
    waiting = bring(running, approved(network, record_of(NEXT_GROUP)))
    running.recognise("A-2")
    assert seal() == waiting + 1
    known = reader(running, witnesses)
    assert known.renew().changes == (), "nothing counts yet"
    index = bring(running, rooted(network, record_of(NEXT_GROUP, replaces_log_index=waiting)))
    size = seal()
    assert size == index + 1, "it counts by itself"
    assert known.renew().changes == (), "the new group has cosigned nothing"
    new = [follower_of(witnesses, party) for party in (REGULATOR, UNIVERSITY)]
    assert [one.step() for one in new] == [size, size]
    assert cosigned_size(running) == size
    (change,) = known.renew().changes
    assert (change.log_index, change.by_roots, change.from_size) == (index, True, size)
    without = KeyDirectory.of(entry for entry in network.directory if entry.role is not KeyRole.ROOT)
    with pytest.raises(Exception, match="KEY_UNKNOWN"):
        reader(running, witnesses, without).renew()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_witness_cosigns_nothing_behind_a_change_that_was_not_handed_over(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    seal, network = seals_by_hand(running), running.network
    running.recognise()
    seal()
    announce(running, SHANGHAI, SHENZHEN, YUNNAN, REGULATOR, UNIVERSITY)
    old = [follower_of(witnesses, party) for party in (SHANGHAI, SHENZHEN)]
    index = bring(running, approved(network, record_of(NEXT_GROUP)))
    running.recognise("A-2")
    assert seal() == index + 1
    for follower in old:
        follower.step()
    size = seal()
    honest = witnesses.remote(REGULATOR)

    class Withholding(LyingSource):
        """A bridge that does not show what the group before has cosigned."""

        shown = b""

        def handover(self, log_index: int) -> bytes:
            return self.shown

    source = Withholding(honest)
    follower = follower_of(witnesses, REGULATOR, source)
    with pytest.raises(TlogError, match="WITNESS_NOT_HANDED_OVER"):
        follower.step()
    source.shown = honest.checkpoint(0).note
    with pytest.raises(TlogError, match="QUORUM_NOT_REACHED"):
        follower.step()
    early = honest.cosigned().note
    assert b"\n%d\n" % (index + 1) in early
    source.shown = early
    assert follower.step() == size
    assert source.taken[-1][0] == size
    # Nobody reads a change that rests on the checkpoint of the log alone.
    known = reader(running, witnesses)
    given = known._changes

    def without_witnesses(after_index: int) -> Any:
        found = list(given(after_index))
        for one in found:
            one.checkpoint = one.checkpoint[
                : one.checkpoint.index(b"\n", one.checkpoint.index(b"\n\n") + 2) + 1
            ]
        return found

    known._changes = without_witnesses
    with pytest.raises(TlogError, match="QUORUM_NOT_REACHED"):
        known.renew()
    assert known.groups.changes == ()
