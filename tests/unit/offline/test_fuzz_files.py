"""Bytes of any kind end in a report; a change of any byte of a good file never proves something else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqiao.offline.replay import Claim
from tanqiao.offline.verify import verify_bytes
from tests.golden.museum.federation import SERIES
from tests.golden.museum.files import good_proof_files, replay_file
from tests.golden.museum.opening import POLICY
from tests.independent.verify_file import verify_file
from tests.independent.verify_proof import Policy as OtherPolicy
from tests.independent.verify_proof import Refused

GOOD = good_proof_files()
POLICY_DATA = POLICY.encode()
OTHER_POLICY = OtherPolicy(POLICY_DATA)
CHANGES_PER_FILE = 60


def accepted_by_the_other(data: bytes) -> bool:
    try:
        verify_file(data, OTHER_POLICY)
    except Refused:
        return False
    return True


@pytest.mark.parametrize("name", sorted(GOOD))
def test_both_verifiers_agree_on_every_file_with_one_change(name: str) -> None:
    data, chance = GOOD[name], random.Random(name)
    said = verify_bytes(data, POLICY_DATA).statement
    for _ in range(CHANGES_PER_FILE):
        at, how = chance.randrange(len(data)), chance.randrange(3)
        changed = (
            data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + data[at : at + 1] + data[at:],
        )[how]
        report = verify_bytes(changed, POLICY_DATA)
        assert report.holds == accepted_by_the_other(changed), (name, at, how)
        # What still holds (an opening's own bytes do not) says the very same.
        assert not report.holds or report.statement == said


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"tanqiao-proof@v1\nkind title\n", b"tanqiao-log-mis"]))
def test_a_report_never_raises_for_bytes_of_any_kind(data: bytes, start: bytes) -> None:
    assert not verify_bytes(start + data, POLICY_DATA).holds
    assert not verify_bytes(GOOD["file/title.tanqiao-proof"], data).holds
    assert not accepted_by_the_other(start + data)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_a_claim_of_any_bytes_is_refused_by_both(claim: bytes) -> None:
    good = replay_file("conservation", Claim(series_id=SERIES))
    old = Claim(series_id=SERIES).encode()
    data = good.replace(b"claim %d\n" % len(old), b"claim %d\n" % len(claim), 1).replace(old, claim, 1)
    assert verify_bytes(data, POLICY_DATA).holds == accepted_by_the_other(data) == (claim == old)
