"""Keys at a real bridge, on both databases: announced, used, ended when nothing rests on them, revoked."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyEntry, KeyRole
from tanqiao.signing.federation import authority_of
from tanqiao.signing.keyring import Keyring, StoredKey
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import sign_key_record
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, NetworkOfTest, make_network
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, Running, issue_units, run_bridge
from tests.contract.bridge.test_transfers import ABORT, COMMIT, reasons_of, require_clean


@pytest.fixture
def running(tmp_path: Path, bridge_database: DatabaseUnderTest) -> Iterator[Running]:
    """A bridge on a network of its own: its keys change."""
    started = run_bridge(make_network(tmp_path / "net"), bridge_database.url, bridge_database.owner_url)
    yield started
    started.bridge.stop()


class Office:
    """The authorities: they hold the roots and hand records in."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.stub = directory_pb2_grpc.DirectoryServiceStub(running.channel(SHANGHAI))

    @property
    def network(self) -> NetworkOfTest:
        return self.running.network

    def ring(self, party: str) -> Path:
        return self.network.network.node(party) / "keys"

    def next_key(self, party: str) -> StoredKey:
        """Put the next message key into a party's ring."""
        return Keyring.add_key(self.ring(party), KeyRole.MESSAGE)

    def submit(self, entry: KeyEntry, root: StoredKey | None = None) -> directory_pb2.KeyEntry:
        signer = root or self.network.network.root(authority_of(entry.owner))
        return self.hand_in(sign_key_record(self.network.network_id, signer, entry))

    def hand_in(self, record: envelope_pb2.Envelope) -> directory_pb2.KeyEntry:
        request = directory_pb2.SubmitKeyRecordRequest(request_id=secrets.token_hex(8), record=record)
        try:
            return self.stub.SubmitKeyRecord(request, timeout=WAIT_SECONDS).key
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def entry(self, party: str) -> KeyEntry:
        """The first message key of a party, as the directory has it."""
        return self.running.bridge.context.directory.owned_by(party, KeyRole.MESSAGE)[0]

    def use(self, party: str, key: StoredKey) -> None:
        """From now on the played party signs with this key."""
        self.network._signers[party] = key.signer

    @property
    def size(self) -> int:
        return int(self.running.bridge.context.log_size)


@pytest.fixture
def office(running: Running) -> Office:
    return Office(running)


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(Exception) as caught:
        call(*arguments)
    return str(getattr(caught.value, "symbol", caught.value))


def test_a_key_rotates_while_transfers_run_and_ends_when_nothing_rests_on_it(
    running: Running, office: Office, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: None
    (waiting,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    shenzhen.wait(lambda: waiting in shenzhen.prepares)
    old = office.entry(SHANGHAI)

    key = office.next_key(SHANGHAI)
    begins = office.size + 1
    announced = office.submit(key.entry(valid_from_index=begins))
    assert (announced.key_epoch, announced.valid_from_index, announced.revoked) == (2, begins, False)
    office.use(SHANGHAI, key)
    shenzhen.answers = lambda _prepare: "ready"
    (moved,) = shanghai.offer_locks([shanghai.lock(1_000, 2_000)])
    assert shanghai.outcome(moved).outcome == COMMIT

    # A transfer under the old key is undecided: the planned end waits.
    assert refused(office.submit, replace(old, valid_to_index=office.size)) == "KEY_IN_USE"
    shenzhen.disconnect()
    shenzhen.connect()
    assert shanghai.outcome(waiting).outcome == COMMIT
    ended = office.submit(replace(old, valid_to_index=office.size))
    assert ended.valid_to_index > 0

    # What was promised under it and comes later is answered, and does not hang.
    office.network._signers.pop(SHANGHAI)
    Keyring.open(office.ring(SHANGHAI)).signer(KeyRole.MESSAGE, 1)
    office.network._signers[SHANGHAI] = Keyring.open(office.ring(SHANGHAI)).signer(KeyRole.MESSAGE, 1)
    (late,) = shanghai.offer_locks([shanghai.lock(3_000, 4_000)])
    decision = shanghai.outcome(late)
    assert (decision.outcome, reasons_of(decision)) == (ABORT, ["KEY_NOT_VALID_AT_INDEX"])

    # A receipt is judged at the index of the decision that it answers: this one was made before the end.
    shanghai.number([final_of(shanghai, moved)])
    shanghai.wait(lambda: any(frame.HasField("acknowledge") for frame in shanghai.frames))
    assert not any(isinstance(message, messages_pb2.Nack) for _, message in shanghai.received)
    require_clean(running)


def final_of(region: PlayedRegion, transfer_id: bytes) -> messages_pb2.SourceFinal:
    decision = region.decisions[transfer_id]
    return messages_pb2.SourceFinal(
        header=region.header(transfer_id=transfer_id, source=region.party),
        decision_hash=message_hash(payload_type_of(decision), decision.SerializeToString()),
        state=messages_pb2.SOURCE_STATE_MOVED,
        journal_index=1,
    )


def test_a_revocation_aborts_what_rests_on_the_key_and_every_lock_that_comes_later(
    running: Running, office: Office, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    shenzhen.answers = lambda _prepare: None
    undecided = shanghai.offer_locks([shanghai.lock(n * 10, n * 10 + 10) for n in range(5)])
    shenzhen.wait(lambda: set(undecided) <= set(shenzhen.prepares))

    revoked = office.submit(replace(office.entry(SHANGHAI), revoked=True))
    assert revoked.revoked
    for transfer_id in undecided:
        decision = shanghai.outcome(transfer_id)
        assert (decision.outcome, reasons_of(decision)) == (ABORT, ["KEY_REVOKED"])
    (late,) = shanghai.offer_locks([shanghai.lock(100, 200)])
    assert reasons_of(shanghai.outcome(late)) == ["KEY_REVOKED"]

    # The next key is recorded, and work goes on; the revoked one stays revoked.
    key = office.next_key(SHANGHAI)
    office.submit(key.entry())
    office.use(SHANGHAI, key)
    shenzhen.answers = lambda _prepare: "ready"
    (moved,) = shanghai.offer_locks([shanghai.lock(0, 10)])
    assert shanghai.outcome(moved).outcome == COMMIT
    assert office.submit(replace(office.entry(SHANGHAI), revoked=False)).revoked
    require_clean(running)


def test_the_key_of_the_destination_is_judged_too(
    running: Running, office: Office, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    office.submit(replace(office.entry(SHENZHEN), revoked=True))
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 10)])
    shenzhen.wait(lambda: bool(shenzhen.refused))
    assert [reason.reason for reason in shenzhen.refused[0].reasons] == ["KEY_REVOKED"]
    assert transfer_id not in shanghai.decisions


def test_a_record_is_refused_that_rewrites_the_past_or_leaves_nobody_to_sign(
    running: Running, office: Office
) -> None:
    running.recognise()
    entry, key = office.entry(SHANGHAI), office.next_key(SHANGHAI)
    assert refused(office.submit, key.entry(valid_from_index=1)) == "KEY_INDEX_PAST"
    assert refused(office.submit, replace(entry, valid_to_index=office.size)) == "KEY_IN_USE"
    office.submit(key.entry())
    assert refused(office.submit, replace(entry, valid_to_index=2)) == "KEY_INDEX_PAST"
    stranger = office.network.network.root("authority/440300")
    foreign = sign_key_record(office.network.network_id, stranger, replace(entry, owner=SHENZHEN, epoch=7))
    changed = messages_pb2.KeyRecord.FromString(foreign.payload)
    assert refused(office.hand_in, foreign) == "FIELD_INVALID"  # the key has another owner
    changed.suite = messages_pb2.SUITE_SM2_SM3
    resigned = running.signed_by_roots(changed, ("authority/440300",))
    assert refused(office.hand_in, resigned) == "SUITE_NOT_SUPPORTED"


def test_a_root_rotates_and_vouches_for_what_comes_after_it(running: Running, office: Office) -> None:
    running.recognise()
    place = office.network.network.home / "authorities" / "310000" / "root"
    first = office.network.network.root("authority/310000")
    new_root = Keyring.add_key(place, KeyRole.ROOT)
    office.submit(new_root.entry(), first)
    key = office.next_key(SHANGHAI)
    office.submit(key.entry(), new_root)
    old_root = office.running.bridge.context.directory.owned_by("authority/310000", KeyRole.ROOT)[0]
    office.submit(replace(old_root, valid_to_index=office.size), new_root)
    third = office.next_key(SHANGHAI)
    assert refused(office.submit, third.entry(), first) == "KEY_NOT_VALID_AT_INDEX"
    office.submit(third.entry(), new_root)


def test_the_bridge_takes_its_next_key_from_its_ring_when_it_begins(
    running: Running, office: Office, shanghai: PlayedRegion, shenzhen: PlayedRegion
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    key = office.next_key(BRIDGE)
    begins = office.size + 2
    office.submit(key.entry(valid_from_index=begins))
    assert running.bridge.context.signer.key_epoch == 1
    for start in range(0, 40, 10):
        (transfer_id,) = shanghai.offer_locks([shanghai.lock(start, start + 10)])
        decision = shanghai.outcome(transfer_id)
        assert decision.outcome == COMMIT
        assert decision.header.key_epoch == (2 if decision.log_index >= begins else 1)
        assert shenzhen.outcome(transfer_id) == decision
    old = office.entry(BRIDGE)
    office.submit(replace(old, valid_to_index=office.size))
    require_clean(running)
