"""Location roots of a real bridge: written, compared by witnesses, and what is proven by them (section 8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tanqiao.client.proofs import ServedLog
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.location_map import LOCATION_ROOT_KIND, location_root_leaf
from tanqiao.offline.make import make_location_root_proof
from tanqiao.offline.replay import Claim
from tanqiao.offline.verify import verify_bytes
from tanqiao.signing.federation import NO_WITNESSES
from tanqiao.signing.logs import witness_policy
from tanqiao.signing.witness_groups import WitnessGroups
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.location_proofs import LocationProofs
from tanqiao_bridge.application.location_roots import LocationRoots
from tanqiao_bridge.storage import log
from tests.contract.bridge.harness import SERIES, PlayedRegion, Running, issue_units
from tests.contract.witness.harness import WitnessMaker, trade
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy


class BridgeChannel:
    """What `ServedLog` asks of a client."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel


def followed(witnesses: WitnessMaker) -> list[Any]:
    """Two witnesses that have announced what they validate."""
    made = [witnesses.make(party) for party in (SHANGHAI, SHENZHEN)]
    witnesses.sealed()
    for follower in made:
        follower.step()
    return made


def all_announce(running: Running, *kinds: str) -> None:
    """The third witness of the group is not made in every test: it announces by hand."""
    keeper = running.bridge.logs.keeper
    with keeper._database.writing() as connection:
        for witness in keeper.group.witnesses:
            for kind in kinds:
                connection.exec_driver_sql(
                    f"INSERT INTO known_leaf_kind (witness, kind) VALUES ('{witness}', '{kind}') "
                    "ON CONFLICT DO NOTHING"
                )
        connection.commit()


def write_root(running: Running) -> int | None:
    bridge = running.bridge
    roots: LocationRoots = bridge.location_roots
    return roots.write_root(bridge.writer)


def proof_of(running: Running, serial: int, before_index: int = 0) -> bytes:
    """Make a proof as `tanqiao prove location --root` does; both verifiers accept it."""
    policy = policy_of(running)
    with running.channel(SHENZHEN) as channel:
        served = ServedLog(BridgeChannel(channel))  # type: ignore[arg-type]  # its channel alone is used
        claim = Claim(series_id=SERIES, serial=serial)
        data, _ = make_location_root_proof(served, claim, *served.location(claim, before_index), policy)
    assert verify_bytes(data, policy).holds
    assert verify_file(data, Policy(policy))
    return data


def policy_of(running: Running) -> bytes:
    keeper = running.bridge.logs.keeper
    return witness_policy(running.network.network_id, running.network.directory, keeper.group).encode()


def place_of(data: bytes, policy: bytes) -> Any:
    return verify_bytes(data, policy).facts["region"]


def test_roots_are_written_compared_and_prove_where_a_unit_was(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 3)
    assert write_root(running) is None, "not every witness has announced the kind"
    made = followed(witnesses)
    all_announce(running, LOCATION_ROOT_KIND)
    first = write_root(running)
    assert first is not None
    assert write_root(running) is None, "nothing has moved since"
    ids = shanghai.offer_locks([shanghai.lock(50_000, 50_500), shanghai.lock(70_000, 70_001)])
    shanghai.wait(lambda: all(one in shanghai.decisions for one in ids))
    second = write_root(running)
    assert second is not None
    assert second > first
    size = witnesses.sealed()
    for follower in made:
        assert follower.step() == size, "both roots are those of the replayed map"
    policy = policy_of(running)
    # The newest root, and the one before: 50,000 moved between the two, 70,000 is in another page.
    for serial, before, region in (
        (50_000, 0, SHENZHEN),
        (50_000, second, SHANGHAI),
        (70_000, 0, SHENZHEN),
        (70_000, second, SHANGHAI),
        (5, 0, SHENZHEN),
        (99_999, 0, SHANGHAI),
    ):
        assert place_of(proof_of(running, serial, before), policy) == region
    with pytest.raises(DomainError, match="NOT_FOUND"):
        proof_by_server(running, SERIES, 5, first)
    with pytest.raises(DomainError, match="NOT_FOUND"):
        proof_by_server(running, SERIES, 100_000, 0)
    assert check_database(running.bridge.database).clean


def proof_by_server(running: Running, series_id: str, serial: int, before_index: int) -> object:
    return LocationProofs(running.bridge.database, lambda: 2).of(series_id, serial, before_index)


def test_a_restarted_bridge_goes_on_where_the_last_root_was(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 3)
    made = followed(witnesses)
    all_announce(running, LOCATION_ROOT_KIND)
    assert write_root(running) is not None
    bridge = running.bridge
    fresh = LocationRoots(bridge.database, bridge.context, 0)
    bridge.location_roots._map = None
    assert fresh.write_root(bridge.writer) is None, "the whole map was read, and nothing is new"
    assert issue_units(
        running, shanghai, start=100_000, claim_id="310000:instalment:2", period=("2026-02-01", "2026-03-01")
    ).accepted
    assert write_root(running) is not None
    size = witnesses.sealed()
    assert made[0].step() == size
    assert check_database(bridge.database).clean


def test_a_wrong_root_is_not_cosigned(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 3)
    made = followed(witnesses)
    with running.bridge.database.reading() as connection:
        size = log.log_size(connection)
    append(running, location_root_leaf(1, b"\x07" * 32, size))
    witnesses.sealed()
    for follower in made:
        with pytest.raises(TlogError, match="another location map") as refused:
            follower.step()
        assert refused.value.reason == "WITNESS_LEAF_REFUSED"


def test_a_root_of_another_index_is_not_cosigned(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    trade(running, shanghai, 1)
    made = followed(witnesses)
    all_announce(running, LOCATION_ROOT_KIND)
    index = write_root(running)
    assert index is not None
    with running.bridge.database.reading() as connection:
        (stored,) = log.read_leaves(connection, index, 1)
    honest = decode_leaf(stored.leaf)
    append(running, Leaf(honest.kind, honest.fields))
    witnesses.sealed()
    with pytest.raises(TlogError, match="the root of another index"):
        made[0].step()


def append(running: Running, leaf: Leaf) -> None:
    """Write a leaf past the bridge's own code, as a lying one does."""
    with running.bridge.database.writing() as connection:
        log.append_leaves(connection, [leaf], recorded_at=0, announced=leaf.kind)
        connection.commit()


def test_the_log_of_a_network_without_witnesses_has_roots(running: Running) -> None:
    bridge = running.bridge
    alone = replace(bridge.context, witness_groups=WitnessGroups(NO_WITNESSES))
    assert LocationRoots(bridge.database, alone, 1)._is_announced()
    assert BRIDGE
