"""The key of the log follows another while the bridge runs: both sign, and no witness is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import note_key, witness_policy
from tanqiao.signing.note_keys import NoteKeys
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN, make_network
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import NoteSigner, VerifierKey
from tanqiao.tlog.note import parse_note, verify_note
from tanqiao.tlog.policy import verify_checkpoint
from tests.contract.bridge.harness import PlayedRegion, Running, run_bridge
from tests.contract.bridge.test_keys import Office
from tests.contract.witness.conftest import _migrated
from tests.contract.witness.harness import WitnessMaker, seals_by_hand, trade


@pytest.fixture
def running(tmp_path: Path, database_kind: str, database_maker: DatabaseMaker) -> Iterator[Running]:
    """A bridge on a network of its own: its keys change."""
    made = database_maker.make(database_kind, _migrated, "bridge")
    started = run_bridge(make_network(tmp_path / "net", quorum=2), made.url, made.owner_url)
    yield started
    started.bridge.stop()
    database_maker.drop(made)


def signed_by(note: bytes, *keys: VerifierKey) -> list[bool]:
    """Say for each key whether somebody who knows it alone reads the checkpoint."""
    return [any(key is signer for signer, _ in verify_note(parse_note(note), [key])) for key in keys]


def test_the_key_of_the_log_follows_another_without_a_restart(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    office, network_id, keeper = Office(running), running.network.network_id, running.bridge.logs.keeper
    seal = seals_by_hand(running)
    follower = witnesses.make(SHANGHAI)
    trade(running, shanghai, 3)
    seal()
    assert follower.step()
    old = running.bridge.context.directory.owned_by(BRIDGE, KeyRole.CHECKPOINT)[0]

    # A key that lies in the ring signs nothing before its record counts.
    fresh = Keyring.add_key(office.ring(BRIDGE), KeyRole.CHECKPOINT).entry()
    keys = [note_key(network_id, entry) for entry in (old, fresh)]
    running.recognise("A-2")
    seal()
    assert signed_by(newest(running), *keys) == [True, False]

    # While both are valid both sign: whoever knows one of them reads on.
    office.submit(fresh)
    size = seal()
    assert signed_by(newest(running), *keys) == [True, True]
    assert follower.step() == size

    # The old one ends as planned; it signs to its last leaf and not beyond.
    office.submit(replace(old, valid_to_index=office.size + 2))
    seal()
    assert signed_by(newest(running), *keys) == [True, True]
    for number in (3, 4):
        running.recognise(f"A-{number}")
    size = seal()
    assert signed_by(newest(running), *keys) == [False, True]
    assert follower.step() == size

    # A witness that begins now knows the first keys alone, and finds the next one in the log.
    assert witnesses.make(SHENZHEN).step() == size
    cosigned = keeper.checkpoints(BRIDGE).cosigned
    assert cosigned is not None
    assert cosigned.size == size
    assert_starts_again_with(running, fresh)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_the_key_of_a_witness_follows_another_without_a_restart(
    running: Running, shanghai: PlayedRegion, shenzhen: PlayedRegion, witnesses: WitnessMaker
) -> None:
    office, network_id, keeper = Office(running), running.network.network_id, running.bridge.logs.keeper
    seal = seals_by_hand(running)
    followers = [witnesses.make(party) for party in (SHANGHAI, SHENZHEN)]
    trade(running, shanghai, 3)
    old = running.bridge.context.directory.owned_by(SHANGHAI, KeyRole.WITNESS)[0]
    key = Keyring.add_key(office.ring(SHANGHAI), KeyRole.WITNESS)
    begins = office.size + 2
    fresh = key.entry(valid_from_index=begins)
    keys = [note_key(network_id, entry) for entry in (old, fresh)]

    def cosigned() -> list[bool]:
        """Seal, let both cosign; which of the two keys of the first did."""
        size = seal()
        assert [follower.step() for follower in followers] == [size, size]
        found = keeper.checkpoints(BRIDGE).cosigned
        assert found is not None
        assert found.size == size, "the quorum is there, whichever key counts"
        notes.append((found.size, found.note))
        return [any(line.is_by(one) for line in parse_note(found.note).signatures) for one in keys]

    notes: list[tuple[int, bytes]] = []
    office.submit(fresh)
    assert cosigned() == [True, False], "it is announced, and its time has not come"
    for number in (2, 3):
        running.recognise(f"A-{number}")
    assert office.size > begins
    assert cosigned() == [False, True]
    office.submit(replace(old, valid_to_index=office.size + 1))
    running.recognise("A-4")
    assert cosigned() == [False, True]

    # Each checkpoint counts under the keys of its own size, whatever came later.
    directory, group = running.bridge.context.directory, keeper.group
    for size, note in notes:
        names = set(
            verify_checkpoint(note, witness_policy(network_id, directory, group, size=size)).witnesses
        )
        assert names == {SHANGHAI, SHENZHEN}
    # One key was stolen and revoked, and its witness has no other: the rest are a quorum.
    stolen = directory.owned_by(SHENZHEN, KeyRole.WITNESS)[0]
    office.submit(replace(stolen, revoked=True))
    followers[1] = witnesses.make(YUNNAN)
    assert cosigned() == [False, True]
    policy = witness_policy(network_id, running.bridge.context.directory, group, size=office.size)
    assert {one.name for one in policy.witnesses} == {SHANGHAI, YUNNAN}


def test_a_checkpoint_of_a_key_that_no_record_states_is_refused(
    running: Running, shanghai: PlayedRegion, witnesses: WitnessMaker
) -> None:
    office = Office(running)
    seal = seals_by_hand(running)
    running.recognise()
    seal()
    stranger = Keyring.add_key(office.ring(BRIDGE), KeyRole.CHECKPOINT)
    bridge = running.bridge
    assert bridge.logs.sealing is not None
    bridge.logs.sealing._sealer._signers = lambda: (signer_of(running, stranger.entry()),)
    running.recognise("A-2")
    seal()
    follower = witnesses.make(YUNNAN)
    with pytest.raises(TlogError, match="LOG_UNKNOWN"):
        follower.step()
    assert bridge.logs.keeper.checkpoints(BRIDGE).cosigned is None


def newest(running: Running) -> bytes:
    found = running.bridge.logs.keeper.checkpoints(BRIDGE).newest
    assert found is not None
    return found.note


def signer_of(running: Running, entry: KeyEntry) -> NoteSigner:
    key = Keyring.open(Office(running).ring(BRIDGE)).key(KeyRole.CHECKPOINT, entry.epoch)
    return NoteSigner(note_key(running.network.network_id, entry), key.signer.sign)


def assert_starts_again_with(running: Running, entry: KeyEntry) -> None:
    """A bridge that starts again signs with what the log states, whatever lies in the ring."""
    ring = Office(running).ring(BRIDGE)
    Keyring.add_key(ring, KeyRole.CHECKPOINT)
    context = running.bridge.context
    again = NoteKeys(
        running.network.network_id,
        ring,
        KeyRole.CHECKPOINT,
        lambda: context.directory,
        lambda: context.log_size,
    )
    assert [signer.key for signer in again.now()] == [note_key(running.network.network_id, entry)]
