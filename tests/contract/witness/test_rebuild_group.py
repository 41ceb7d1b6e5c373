"""A bridge rebuilt from mirrors of a log in which witnesses and keys were replaced (PROTOCOL section 8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tanqiao.client.proofs import ServedLog
from tanqiao.client.servers import BridgeClient
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.make import make_handover
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import witness_policy
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN
from tanqiao.tlog.policy import parse_policy, verify_checkpoint
from tanqiao.witnessing.mirror_file import write_mirror
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.witness_groups import load_changes
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge
from tests.contract.bridge.test_keys import Office
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.group_office import (
    FIRST_GROUP,
    NEXT_GROUP,
    REGULATOR,
    UNIVERSITY,
    approved,
    bring,
    follower_of,
    network_with_candidates,
    record_of,
)
from tests.contract.witness.harness import WitnessMaker, seals_by_hand, trade
from tests.contract.witness.rebuilt import rebuild, rows_of

pytestmark = pytest.mark.long
WITNESSES = (SHANGHAI, SHENZHEN, YUNNAN, REGULATOR, UNIVERSITY)


@pytest.fixture
def running(tmp_path: Path, database_kind: str, database_maker: DatabaseMaker) -> Iterator[Running]:
    """A bridge on a network of its own: its keys change."""
    made = database_maker.make(database_kind, _migrated, "bridge")
    started = run_bridge(network_with_candidates(tmp_path / "net"), made.url, made.owner_url)
    yield started
    started.bridge.stop()
    database_maker.drop(made)


class Watch:
    """Witnesses and candidates, each with its database, made anew for each step as after a restart."""

    def __init__(self, witnesses: WitnessMaker, folder: Path) -> None:
        self._witnesses = witnesses
        self._folder = folder
        self._databases: dict[str, Database] = {}

    def step(self, *parties: str) -> list[int | None]:
        """Let them replay and cosign; the sizes."""
        for party in parties:
            if party not in self._databases:
                self._databases[party] = self._witnesses.claimed_database(party)
        return [
            follower_of(self._witnesses, party, database=self._databases[party]).step() for party in parties
        ]

    def mirror(self, party: str) -> Path:
        """Write the mirror of a witness."""
        path = self._folder / f"{party.replace('/', '-')}.mirror"
        write_mirror(self._databases[party], path)
        return path


@pytest.fixture
def watch(witnesses: WitnessMaker, tmp_path: Path) -> Watch:
    return Watch(witnesses, tmp_path)


def rotate_keys(running: Running) -> None:
    """Let a key of the log, of a witness and of a region follow another, and end the first ones."""
    office, directory = Office(running), running.bridge.context.directory
    for party, role in (
        (BRIDGE, KeyRole.CHECKPOINT),
        (SHANGHAI, KeyRole.WITNESS),
        (YUNNAN, KeyRole.MESSAGE),
    ):
        old = directory.owned_by(party, role)[0]
        office.submit(Keyring.add_key(office.ring(party), role).entry())
        office.submit(replace(old, valid_to_index=office.size + 2))
    for number in (2, 3):
        running.recognise(f"A-{number}")


def cosigned_size(running: Running) -> int:
    found = running.bridge.logs.keeper.checkpoints(BRIDGE).cosigned
    return 0 if found is None else found.size


def test_a_log_with_other_witnesses_and_other_keys_comes_back(  # noqa: PLR0915 - one life of a log
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    witnesses: WitnessMaker,
    watch: Watch,
    database_maker: DatabaseMaker,
    database_kind: str,
) -> None:
    seal, network = seals_by_hand(running), running.network
    old_policy = witness_policy(network.network_id, network.directory, FIRST_GROUP, size=1)
    trade(running, shanghai, 3)
    seal()
    watch.step(*WITNESSES)
    # The log's key follows another once the change is handed over: who has the old policy reads so far.
    index = bring(running, approved(network, record_of(NEXT_GROUP)))
    seal()
    watch.step(SHANGHAI, SHENZHEN)
    rotate_keys(running)
    shanghai.offer_locks([shanghai.lock(at, at + 5) for at in range(500, 530, 5)])
    shanghai.wait(lambda: len(shanghai.decisions) == 9)
    for _ in range(2):
        seal()
        watch.step(SHANGHAI, REGULATOR, UNIVERSITY, SHENZHEN)
    running.recognise("A-9")
    size = seal()
    assert watch.step(SHANGHAI, REGULATOR, UNIVERSITY) == [size] * 3
    assert cosigned_size(running) == size

    with running.bridge.database.reading() as connection:
        changes = load_changes(connection)
    before = rows_of(running.bridge.database, size)
    made = database_maker.make(database_kind, _migrated, "bridge")
    settings = replace(running.bridge.settings, database_url=made.url, owner_database_url=made.owner_url)
    mirrors = {party: watch.mirror(party) for party in (SHANGHAI, SHENZHEN, YUNNAN, REGULATOR)}
    with pytest.raises(DomainError) as refused:
        rebuild(network, settings, *(mirrors[party] for party in (SHANGHAI, SHENZHEN, YUNNAN)))
    assert refused.value.symbol == "MIRRORS_MISSING", "of those who count now one may have more"
    assert refused.value.metadata["missing"] == f"{REGULATOR}, {UNIVERSITY}"
    rebuilt = rebuild(network, settings, mirrors[SHANGHAI], mirrors[REGULATOR])
    assert (rebuilt.size, rebuilt.refused) == (size, ())

    shanghai.disconnect()
    shenzhen.disconnect()
    again = run_bridge(network, made.url, made.owner_url)
    try:
        witnesses.running = again
        after = rows_of(again.bridge.database, size)
        for name, rows in before.items():
            assert after[name] == rows, name
        with again.bridge.database.reading() as connection:
            back = load_changes(connection)
        assert [replace(one, handover=b"") for one in back] == changes
        assert back[0].handover, "with it comes the checkpoint that handed over"
        assert again.bridge.context.witness_groups.newest == NEXT_GROUP
        report = check_database(again.bridge.database)
        assert report.clean, report.as_text()
        # The log goes on under the same witnesses and keys; one that begins now finds what it needs.
        seal = seals_by_hand(again)
        grown = seal()
        assert grown == size + 1, "the new epoch"
        assert watch.step(SHANGHAI, UNIVERSITY) == [grown, grown]
        assert cosigned_size(again) == grown
        assert follower_of(witnesses, REGULATOR).step() == grown
        require_old_policy_leads_on(again, old_policy.encode(), index)
    finally:
        again.bridge.stop()
        database_maker.drop(made)


def require_old_policy_leads_on(running: Running, old: bytes, index: int) -> None:
    """Hand the rebuilt log over to who has the first policy alone."""
    reader = "reader/national"
    with BridgeClient(reader, running.address, running.network.network.tls(reader)) as bridge:
        log = ServedLog(bridge)
        _, report = make_handover(log, *log.handover(index), old)
    following = parse_policy(report.policy)
    assert [one.name for one in following.at(index + 2).witnesses] == list(NEXT_GROUP.witnesses)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_change_that_waits_comes_back_and_is_handed_over_then(
    running: Running,
    shanghai: PlayedRegion,
    witnesses: WitnessMaker,
    watch: Watch,
    database_maker: DatabaseMaker,
) -> None:
    seal, network = seals_by_hand(running), running.network
    trade(running, shanghai, 3)
    seal()
    watch.step(*WITNESSES)
    running.recognise("A-2")
    seal()
    watch.step(SHANGHAI, SHENZHEN)
    index = bring(running, approved(network, record_of(NEXT_GROUP)))
    assert seal() == index + 1
    assert watch.step(SHANGHAI, SHENZHEN) == [index + 1] * 2
    assert watch.step(REGULATOR) == [index + 1]
    # Lost before anything of the new group is final: mirrors of both groups are wanted.
    made = database_maker.make("sqlite", _migrated, "bridge")
    settings = replace(running.bridge.settings, database_url=made.url, owner_database_url=made.owner_url)
    mirrors = {party: watch.mirror(party) for party in (SHANGHAI, SHENZHEN, REGULATOR)}
    with pytest.raises(DomainError, match="MIRRORS_MISSING"):
        rebuild(network, settings, mirrors[SHANGHAI], mirrors[SHENZHEN])
    rebuild(network, settings, *mirrors.values())
    shanghai.disconnect()
    again = run_bridge(network, made.url, made.owner_url)
    try:
        witnesses.running = again
        seal = seals_by_hand(again)
        assert seal() == index + 1, "nothing behind it before the group before has cosigned it"
        watch.step(SHENZHEN, SHANGHAI)
        assert cosigned_size(again) == index + 1
        grown = seal()
        assert grown == index + 2
        assert watch.step(SHANGHAI, UNIVERSITY) == [grown, grown]
        found = again.bridge.logs.keeper.checkpoints(BRIDGE).cosigned
        assert found is not None
        directory = again.bridge.context.directory
        verify_checkpoint(found.note, witness_policy(network.network_id, directory, NEXT_GROUP, size=grown))
    finally:
        again.bridge.stop()
        database_maker.drop(made)
