from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError, replace

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.suites import SuiteId, key_id_of, suite_of
from tanqiao.testing.network import BRIDGE, SHANGHAI, NetworkOfTest

PUBLIC_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
OTHER_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
ENTRY = KeyEntry(SHANGHAI, KeyRole.MESSAGE, SuiteId.ED25519, PUBLIC_KEY, 1)


def record(**changes: object) -> messages_pb2.KeyRecord:
    fields: dict[str, object] = {
        "owner": SHANGHAI,
        "role": messages_pb2.KEY_ROLE_MESSAGE,
        "suite": messages_pb2.SUITE_ED25519,
        "public_key": PUBLIC_KEY,
        "key_epoch": 1,
    }
    return messages_pb2.KeyRecord(**(fields | changes))  # type: ignore[arg-type] # of one test


def test_roles_and_suites_are_numbered_as_on_the_wire() -> None:
    assert {f"KEY_ROLE_{role.name}": int(role) for role in KeyRole} == {
        name: number for name, number in messages_pb2.KeyRole.items() if number
    }
    assert {f"SUITE_{suite.name}": int(suite) for suite in SuiteId} == {
        name: number for name, number in messages_pb2.Suite.items() if number
    }


def test_a_key_id_is_sixteen_bytes_of_the_hash_of_suite_and_key() -> None:
    assert ENTRY.key_id == hashlib.sha256(b"\x01" + PUBLIC_KEY).digest()[:16]
    assert key_id_of(SuiteId.SM2_SM3, PUBLIC_KEY) != ENTRY.key_id


def test_an_entry_is_what_its_record_states() -> None:
    entry = KeyEntry.of_record(record(valid_from_index=3, valid_to_index=9, revoked=True))
    assert entry == replace(ENTRY, valid_from_index=3, valid_to_index=9, revoked=True)
    assert [entry.valid_at(index) for index in (2, 3, 8, 9)] == [False, True, True, False]
    assert KeyEntry.of_record(record()).valid_to_index is None


@pytest.mark.parametrize(
    ("changes", "symbol"),
    [
        ({"role": 0}, "FIELD_INVALID"),
        ({"role": 99}, "FIELD_INVALID"),
        ({"suite": 0}, "SUITE_NOT_SUPPORTED"),
        ({"suite": messages_pb2.SUITE_SM2_SM3}, "SUITE_NOT_SUPPORTED"),
        ({"suite": 77}, "SUITE_NOT_SUPPORTED"),
        ({"public_key": b""}, "FIELD_INVALID"),
        ({"public_key": PUBLIC_KEY[:-1]}, "FIELD_INVALID"),
        ({"public_key": PUBLIC_KEY + b"\0"}, "FIELD_INVALID"),
        ({"public_key": bytes(32)}, "FIELD_INVALID"),
        ({"key_epoch": 0}, "FIELD_INVALID"),
        ({"key_epoch": -1}, "FIELD_INVALID"),
        ({"valid_from_index": -1}, "FIELD_INVALID"),
        ({"valid_from_index": 5, "valid_to_index": 5}, "RANGE_REVERSED"),
        ({"valid_from_index": 5, "valid_to_index": 4}, "RANGE_REVERSED"),
        ({"valid_to_index": -1}, "RANGE_REVERSED"),
    ],
)
def test_a_record_that_states_no_key_is_refused(changes: dict[str, object], symbol: str) -> None:
    with pytest.raises(DomainError) as refusal:
        KeyEntry.of_record(record(**changes))
    assert refusal.value.symbol == symbol


def test_the_suite_that_has_only_its_number_says_so() -> None:
    with pytest.raises(DomainError) as refusal:
        suite_of(SuiteId.SM2_SM3)
    assert refusal.value.metadata == {"suite": "sm2_sm3", "supported": "ed25519"}


def test_a_snapshot_does_not_change() -> None:
    empty = KeyDirectory()
    one = empty.with_entries([ENTRY])
    assert (len(empty), len(one)) == (0, 1)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        one.entries = {}  # type: ignore[misc] # the point of the test
    with pytest.raises(TypeError):
        one.entries[b""] = ENTRY  # type: ignore[index] # the point of the test


def test_a_later_record_replaces_an_earlier_one() -> None:
    ended = KeyDirectory.of([ENTRY]).with_records([record(valid_to_index=7)])
    entry = ended.get(ENTRY.key_id)
    assert entry is not None
    assert entry.valid_to_index == 7


def test_a_revoked_key_stays_revoked() -> None:
    directory = KeyDirectory.of([ENTRY]).with_records([record(revoked=True)]).with_records([record()])
    entry = directory.get(ENTRY.key_id)
    assert entry is not None
    assert entry.revoked


@pytest.mark.parametrize(
    "changes",
    [{"owner": BRIDGE}, {"role": messages_pb2.KEY_ROLE_APPROVER}, {"key_epoch": 2}],
)
def test_a_key_keeps_owner_role_and_epoch(changes: dict[str, object]) -> None:
    with pytest.raises(DomainError) as refusal:
        KeyDirectory.of([ENTRY]).with_records([record(**changes)])
    assert refusal.value.symbol == "FIELD_INVALID"


def test_keys_of_an_owner_come_oldest_first() -> None:
    second = KeyEntry(SHANGHAI, KeyRole.MESSAGE, SuiteId.ED25519, OTHER_KEY, 2)
    directory = KeyDirectory.of([second, ENTRY])
    assert directory.owned_by(SHANGHAI) == (ENTRY, second)
    assert directory.owned_by(SHANGHAI, KeyRole.ROOT) == ()
    assert set(directory) == {ENTRY, second}


def test_the_directory_of_a_network_knows_every_party(net: NetworkOfTest) -> None:
    for _, party in net.network.plan.nodes():
        roles = [entry.role for entry in net.directory.owned_by(party)]
        own_log = [] if party.startswith("gateway/") else [KeyRole.CHECKPOINT]
        witness = [KeyRole.WITNESS] if party.startswith("region/") else []
        assert roles == [KeyRole.MESSAGE, *own_log, *witness]
    for authority in net.network.plan.authorities():
        roles = [entry.role for entry in net.directory.owned_by(authority)]
        assert roles == [KeyRole.ROOT, KeyRole.APPROVER, KeyRole.APPROVER]
