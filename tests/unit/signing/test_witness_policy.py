"""Which keys of a witness count for which size of a tree, and the policy that is written of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyEntry, KeyRole
from tanqiao.signing.federation import NO_WITNESSES, WitnessGroup
from tanqiao.signing.logs import witness_keys, witness_policy
from tanqiao.signing.suites import SuiteId, suite_of
from tanqiao.tlog.policy import QUORUM_NONE, parse_policy
from tests.independent.verify_proof import Policy as OtherPolicy

NETWORK = "test-net"
A, B, C = PARTIES = ("region/310000", "region/440300", "region/530000")
GROUP = WitnessGroup(PARTIES, 2)


def entry(owner: str, epoch: int, first: int = 0, end: int | None = None) -> KeyEntry:
    suite = suite_of(SuiteId.ED25519)
    public = suite.public_key_of(suite.generate()) or b""
    role = KeyRole.CHECKPOINT if owner == "bridge" else KeyRole.WITNESS
    return KeyEntry(owner, role, SuiteId.ED25519, public, epoch, first, end)


LOG = entry("bridge", 1)
OLD, NEXT = entry(A, 1, 0, 20), entry(A, 2, 10)
OTHERS = (entry(B, 1), entry(C, 1))
DIRECTORY = KeyDirectory.of((LOG, OLD, NEXT, *OTHERS))


def count(size: int | None, directory: KeyDirectory = DIRECTORY) -> list[bytes]:
    keys = witness_keys(NETWORK, directory, PARTIES, size)
    return [key.public_key for key in keys.get(A, ())]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (0, [OLD]),
        (10, [OLD]),  # its last leaf is that of index 9
        (11, [OLD, NEXT]),
        (20, [OLD, NEXT]),
        (21, [NEXT]),
        (None, [NEXT]),  # what has no end
    ],
)
def test_a_key_counts_from_its_first_index_to_its_end(size: int | None, wanted: list[KeyEntry]) -> None:
    assert count(size) == [one.public_key for one in wanted]


def test_two_keys_of_one_witness_count_once_for_both_verifiers() -> None:
    policy = witness_policy(NETWORK, DIRECTORY, GROUP, size=15)
    assert [witness.name for witness in policy.witnesses] == [A, f"{A}#1", B, C]
    assert policy.quorum_size == 2
    other = OtherPolicy(policy.encode())
    assert parse_policy(policy.encode()) == policy
    for names, reached in (
        ({A, f"{A}#1"}, False),
        ({f"{A}#1", B}, True),
        ({A, C}, True),
        ({B, C}, True),
        ({B}, False),
    ):
        assert policy.is_quorum(names) is reached, names
        assert other.reached({name.encode() for name in names}) is reached, names


def test_a_witness_without_a_key_leaves_the_quorum_to_the_others() -> None:
    gone = replace(OTHERS[0], revoked=True)
    policy = witness_policy(NETWORK, KeyDirectory.of((LOG, NEXT, gone, OTHERS[1])), GROUP, size=15)
    assert [witness.name for witness in policy.witnesses] == [A, C]
    assert not policy.is_quorum({A})
    assert policy.is_quorum({A, C})
    with pytest.raises(DomainError, match=A) as refused:
        witness_policy(NETWORK, KeyDirectory.of((LOG, NEXT, gone, OTHERS[1])), GROUP, size=5)
    assert refused.value.symbol == "SETTING_INVALID"
    assert witness_policy(NETWORK, DIRECTORY, NO_WITNESSES).quorum == QUORUM_NONE
