"""Whatever bytes are put in, a verifier accepts or raises `TlogError`; and both verifiers judge alike.

Two sources of bytes: anything at all, and good files that were damaged, cut, repeated or spliced, which get
far deeper into the parsers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import parse_verifier_key
from tanqiao.tlog.tiles import decode_bundle, parse_tile_path
from tests.golden.museum.opening import BAD, CATALOGUE, CONTEXT, GOOD, open_file
from tests.golden.tlog.test_museum import leaf_for, open_independently
from tests.independent import verify_proof as independent

GOOD_PATHS = {
    "note": "note/an-unknown-signature-beside-it.note",
    "checkpoint": "checkpoint/two-of-three.checkpoint",
    "proof": "proof/with-extra.tlog-proof",
    "policy": "federation.policy",
    "leaf": "leaf.bin",
    "evidence": "evidence/rewritten-history.tlog-misbehaviour",
}
KINDS = sorted(GOOD_PATHS)
DAMAGED_PER_KIND = 300
TEXT_PIECES = [
    b"\n",
    b"\n\n",
    b" ",
    b"\t",
    b"=",
    b"+",
    b"-",
    b"0",
    "— ".encode(),
    b"\x00",
    b"\xff",
    b"index ",
    b"#",
    b"1",
]


def verdict(check: Callable[[], object]) -> str:
    """Reason of the refusal, or ``accepted``; any other exception fails the test by itself."""
    try:
        check()
    except TlogError as error:
        return error.reason
    return "accepted"


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """A good file after one to three damages."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + draw(st.sampled_from([0, 1, 2, 45, 200])))))
        piece = draw(
            st.sampled_from([b"", *TEXT_PIECES, data[at:end] * 2])
            | st.binary(min_size=1, max_size=3)
            | st.integers(0, len(good)).map(lambda start: good[start : start + 60])
        )
        data = data[:at] + piece + data[end:]
    return data


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_by_the_one_family(kind: str, data: bytes) -> None:
    assert verdict(lambda: open_file(kind, data)) != "accepted" or kind == "policy"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=DAMAGED_PER_KIND, deadline=None)
@given(data=st.data())
def test_damaged_good_files_are_judged_alike_by_both_verifiers(kind: str, data: st.DataObject) -> None:
    file = data.draw(damaged((GOOD / GOOD_PATHS[kind]).read_bytes()))
    ours = verdict(lambda: open_file(kind, file, leaf=leaf_for(kind)))
    try:
        open_independently(kind, file, leaf=leaf_for(kind))
        theirs = "accepted"
    except independent.Refused as why:
        theirs = str(why)
    assert (ours == "accepted") == (theirs == "accepted"), (ours, theirs)


@settings(max_examples=DAMAGED_PER_KIND, deadline=None)
@given(data=st.data())
def test_damaged_bad_files_raise_nothing_else(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(CATALOGUE).filter(lambda row: row["kind"] != "tile"))
    file = data.draw(damaged((BAD / row["file"]).read_bytes()))
    verdict(lambda: open_file(row["kind"], file))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_tiles_and_bundles_are_refused_by_the_one_family(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"]))
    good = (GOOD / "log" / path).read_bytes()
    file = data.draw(damaged(good))
    assert (verdict(lambda: open_file("tile", file, tile=path)) == "accepted") == (file == good)


@given(st.binary(max_size=60), st.integers(-1, 300))
def test_any_bundle_is_unpacked_or_refused(data: bytes, width: int) -> None:
    verdict(lambda: decode_bundle(data, width))


@given(st.text(max_size=80))
def test_any_text_is_a_path_or_key_or_is_refused(text: str) -> None:
    verdict(lambda: parse_tile_path(text))
    verdict(lambda: parse_verifier_key(text))


@given(st.integers(0, len(CONTEXT["log_key"]) - 1), st.characters())
def test_a_verifier_key_with_any_letter_changed_is_refused(at: int, letter: str) -> None:
    good = CONTEXT["log_key"]
    text = good[:at] + letter + good[at + 1 :]
    assert (verdict(lambda: parse_verifier_key(text)) == "accepted") == (text == good)
