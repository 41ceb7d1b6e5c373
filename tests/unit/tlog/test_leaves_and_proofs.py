"""Framed leaves and proof files.

Vectors: transparency-dev/formats (Apache-2.0), proof/tlog_proof_test.go, for what is written and what is
refused; the form of the example in C2SP tlog-proof.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.tlog.encoding import encode_base64
from tanqiao.tlog.errors import REASONS, TlogError
from tanqiao.tlog.leaf import (
    MAX_FIELDS,
    MAX_LEAF_BYTES,
    MESSAGE_HASHES,
    Leaf,
    decode_leaf,
    leaf_hash,
    make_leaf,
    pack_items,
    unpack_items,
)
from tanqiao.tlog.merkle import MAX_PROOF_HASHES, MemoryTree, hash_leaf
from tanqiao.tlog.proof import MAX_EXTRA_BYTES, MAX_PROOF_BYTES, Proof, make_proof, parse_proof, verify_proof
from tests.golden.museum import exhibits
from tests.golden.museum.opening import GOOD_LEAF, POLICY

HASH_1, HASH_2 = sha256(b"hash1").digest(), sha256(b"hash2").digest()
NOTE = exhibits.good_checkpoint().encode()
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


def test_published_proof_files_are_written() -> None:
    one, two = encode_base64(HASH_1), encode_base64(HASH_2)
    assert Proof(5, (HASH_1, HASH_2), b"test checkpoint\n").encode().decode() == (
        f"c2sp.org/tlog-proof@v1\nindex 5\n{one}\n{two}\n\ntest checkpoint\n"
    )
    extra = encode_base64(b"extra information")
    assert Proof(10, (HASH_1,), b"checkpoint data\n", b"extra information").encode().decode() == (
        f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex 10\n{one}\n\ncheckpoint data\n"
    )
    assert Proof(0, (), b"checkpoint\n").encode() == b"c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"wrong-header\nindex 0\n\ncheckpoint\n", "PROOF_HEADER"),
        (b"c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n", "PROOF_EXTRA"),
        (b"c2sp.org/tlog-proof@v1\n\n\ncheckpoint\n", "PROOF_INDEX"),
        (b"c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n", "PROOF_INDEX"),
        (b"c2sp.org/tlog-proof@v1\nindex -5\n\ncheckpoint\n", "PROOF_INDEX"),
        (b"c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n\ncheckpoint\n", "PROOF_HASH_LINE"),
        (
            b"c2sp.org/tlog-proof@v1\nindex 0\n" + encode_base64(bytes(64)).encode() + b"\n\ncheckpoint\n",
            "PROOF_HASH_LINE",
        ),
        (b"c2sp.org/tlog-proof@v1\nindex 0\n" + b"a" * 65 * 1024 + b"\n", "PROOF_HASH_LINE"),
        (b"c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n", "NOTE_NO_SIGNATURES"),
    ],
)
def test_published_malformed_proof_files_are_refused(data: bytes, reason: str) -> None:
    assert refusal(parse_proof, data) == reason


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=5),
    st.none() | st.binary(min_size=1, max_size=99),
)
def test_a_proof_file_is_read_as_it_was_written(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    proof = Proof(index, tuple(hashes), NOTE, extra)
    assert parse_proof(proof.encode()) == proof


def test_every_leaf_of_a_log_has_a_proof_file_that_verifies() -> None:
    for index in range(0, exhibits.LEAF_COUNT, 7):
        proof = make_proof(index, exhibits.LEAF_COUNT, exhibits.TREE, NOTE, b"an opening")
        found = verify_proof(proof.encode(), exhibits.LEAVES[index], POLICY)
        assert (found.index, found.leaf_hash, found.extra) == (
            index,
            leaf_hash(exhibits.LEAVES[index]),
            b"an opening",
        )
        assert sorted(found.verified.witnesses) == ["w1", "w2"]
        assert found.verified.checkpoint == exhibits.CHECKPOINT


def test_a_proof_out_of_bounds_is_not_made() -> None:
    assert refusal(Proof, -1, (), NOTE) == "PROOF_INDEX"
    assert refusal(Proof, 2**63, (), NOTE) == "PROOF_INDEX"
    assert refusal(Proof, 0, (b"short",), NOTE) == "HASH_SIZE"
    assert refusal(Proof, 0, (HASH_1,) * (MAX_PROOF_HASHES + 1), NOTE) == "PROOF_LENGTH"
    assert refusal(Proof, 0, (), NOTE, b"") == "PROOF_EXTRA"
    assert refusal(Proof, 0, (), NOTE, bytes(MAX_EXTRA_BYTES + 1)) == "PROOF_EXTRA"
    assert refusal(parse_proof, b"x" * (MAX_PROOF_BYTES + 1)) == "PROOF_TOO_LARGE"
    large_note = Proof(0, (), b"x" * 300_000).encode()
    assert refusal(parse_proof, large_note) == "NOTE_TOO_LARGE"
    assert refusal(verify_proof, Proof(0, (), NOTE).encode(), bytes(2**16), POLICY) == "ENTRY_TOO_LARGE"


# Leaves


def test_the_frame_of_a_leaf_is_the_documented_one() -> None:
    leaf = Leaf("decision", (("a", b"12"), ("bc", b"")))
    assert leaf.encode() == b"TQL\x01\x08decision\x02\x01a\x00\x0212\x02bc\x00\x00"
    assert leaf.hash == leaf_hash(leaf.encode()) == sha256(b"\x00" + leaf.encode()).digest()
    assert decode_leaf(leaf.encode()) == leaf


@given(WORDS, st.dictionaries(WORDS, st.binary(max_size=40), max_size=8))
def test_a_leaf_is_read_as_it_was_written_also_when_its_kind_is_unknown(
    kind: str, fields: dict[str, bytes]
) -> None:
    leaf = make_leaf(kind, public=fields)
    assert decode_leaf(leaf.encode()) == leaf
    assert dict(leaf.fields) == fields


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"TQL\x01\x01x" + tail))
def test_bytes_that_are_a_leaf_are_its_only_spelling(data: bytes) -> None:
    try:
        leaf = decode_leaf(data)
    except TlogError:
        return
    assert leaf.encode() == data


def test_a_leaf_names_messages_and_signers() -> None:
    leaf = make_leaf(
        "decision", message_hashes=[HASH_1, HASH_2], signer_key_ids=[b"k1", b""], public={"z": b"1"}
    )
    assert leaf.message_hashes == (HASH_1, HASH_2)
    assert leaf.signer_key_ids == (b"k1", b"")
    assert (leaf.value("z"), leaf.get("y")) == (b"1", None)
    assert refusal(leaf.value, "y") == "LEAF_FIELD_MISSING"
    assert make_leaf("note").message_hashes == make_leaf("note").signer_key_ids == ()


def test_a_leaf_out_of_bounds_is_not_made() -> None:
    assert refusal(make_leaf, "Decision") == "LEAF_KIND"
    assert refusal(make_leaf, "x" * 65) == "LEAF_KIND"
    assert refusal(Leaf, "x", (("b", b""), ("a", b""))) == "LEAF_FIELD"
    assert refusal(Leaf, "x", (("a", b""), ("a", b""))) == "LEAF_FIELD"
    assert refusal(Leaf, "x", (("é", b""),)) == "LEAF_FIELD"
    assert refusal(Leaf, "x", tuple((f"f{n:03d}", b"") for n in range(MAX_FIELDS + 1))) == "LEAF_FIELD"
    assert refusal(Leaf, "x", (("a", bytes(2**16)),)) == "LEAF_TOO_LARGE"
    assert refusal(Leaf, "x", (("a", bytes(2**15)), ("b", bytes(2**15)))) == "LEAF_TOO_LARGE"
    assert refusal(decode_leaf, b"TQL\x01" + bytes(MAX_LEAF_BYTES)) == "LEAF_TOO_LARGE"
    with pytest.raises(TlogError) as caught:
        make_leaf("x", message_hashes=[b"short"])
    assert caught.value.reason == "HASH_SIZE"
    with pytest.raises(TlogError) as caught:
        make_leaf("x", public={MESSAGE_HASHES: b""})
    assert caught.value.reason == "LEAF_FIELD"


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_a_list_in_a_value_has_one_spelling(items: list[bytes]) -> None:
    assert unpack_items(pack_items(items)) == tuple(items)


def test_a_list_that_does_not_fill_its_value_is_refused() -> None:
    assert refusal(unpack_items, b"\x00") == "LEAF_FORM"
    assert refusal(unpack_items, b"\x00\x02a") == "LEAF_FORM"
    assert refusal(unpack_items, b"\x00\x00" * 1025) == "LEAF_FORM"
    assert refusal(pack_items, [b""] * 1025) == "LEAF_TOO_LARGE"
    assert refusal(pack_items, [bytes(2**16)]) == "LEAF_TOO_LARGE"


def test_a_message_hash_of_another_length_in_a_leaf_is_refused_when_it_is_asked_for() -> None:
    leaf = Leaf("x", ((MESSAGE_HASHES, pack_items([b"short"])),))
    with pytest.raises(TlogError) as caught:
        _ = leaf.message_hashes
    assert caught.value.reason == "HASH_SIZE"


def test_leaf_bytes_can_never_be_taken_for_an_inner_node() -> None:
    tree = MemoryTree([hash_leaf(GOOD_LEAF), hash_leaf(b"other")])
    left_and_right = hash_leaf(GOOD_LEAF) + hash_leaf(b"other")
    assert hash_leaf(left_and_right) != tree.root()
    assert refusal(decode_leaf, left_and_right) == "LEAF_FORM"


# The one exception


def test_a_refusal_says_its_reason_in_both_languages() -> None:
    error = TlogError("TILE_WRONG", "tile/0/000")
    assert str(error) == "TILE_WRONG: The tile does not belong to the tree of the checkpoint. (tile/0/000)"
    assert error.sentence_in("zh") == "分片不属于该检查点的树。（tile/0/000）"
    assert TlogError("TILE_WRONG").sentence_in("zh") == "分片不属于该检查点的树。"
    assert len(TlogError("TILE_WRONG", "x" * 10_000).detail) == 200


def test_a_reason_that_the_catalogue_lacks_is_a_fault_of_the_program() -> None:
    with pytest.raises(RuntimeError):
        TlogError("NO_SUCH_REASON")


def test_every_reason_has_a_sentence_in_both_languages() -> None:
    for reason, (english, chinese) in REASONS.items():
        assert reason.isupper()
        assert english.endswith(".")
        assert chinese.endswith("。")


def test_the_largest_leaf_is_exactly_as_large_as_an_entry_may_be() -> None:
    frame = len(Leaf("x", (("a", b""),)).encode())
    assert len(Leaf("x", (("a", bytes(MAX_LEAF_BYTES - frame)),)).encode()) == MAX_LEAF_BYTES
    assert refusal(Leaf, "x", (("a", bytes(MAX_LEAF_BYTES - frame + 1)),)) == "LEAF_TOO_LARGE"
