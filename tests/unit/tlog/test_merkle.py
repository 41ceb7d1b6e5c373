"""Published vectors and properties of RFC 6962 trees.

Vectors: transparency-dev/merkle (Apache-2.0), rfc6962/rfc6962_test.go and proof/verify_test.go, which are
those of Certificate Transparency; golang.org/x/mod/sumdb/tlog testdata/argon2020, answers of a public CT log.
"""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import (
    EMPTY_ROOT,
    MAX_PROOF_HASHES,
    MAX_TREE_SIZE,
    CompactRange,
    MemoryTree,
    Node,
    consistency_proof,
    hash_leaf,
    hash_node,
    inclusion_proof,
    root_at,
    root_of_leaf_hashes,
    root_of_leaves,
    verify_consistency,
    verify_inclusion,
)

ARGON = Path(__file__).parents[2] / "golden" / "tlog" / "vectors" / "argon2020.json"

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")
LARGEST_TREE_IN_TESTS = 130


def published_tree() -> MemoryTree:
    return MemoryTree(hash_leaf(leaf) for leaf in LEAVES)


def tree_of(size: int) -> MemoryTree:
    return MemoryTree(hash_leaf(b"leaf %d" % number) for number in range(size))


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


def test_the_published_hashes_of_empty_tree_empty_leaf_leaf_and_node_are_ours() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of_leaves([]) == EMPTY_ROOT
    assert hash_leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert hash_leaf(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    node = hash_node(b"N123", b"N456").hex()
    assert node == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


def test_every_published_root_is_ours() -> None:
    for size in range(1, len(LEAVES) + 1):
        assert root_of_leaves(LEAVES[:size]) == ROOTS[size - 1]
        assert published_tree().root(size) == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_published_inclusion_proofs_are_made_and_verified(index: int, size: int) -> None:
    proof = [bytes.fromhex(text) for text in INCLUSION[index, size]]
    assert published_tree().inclusion_proof(index, size) == proof
    verify_inclusion(index, size, hash_leaf(LEAVES[index]), proof, ROOTS[size - 1])


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_proofs_are_made_and_verified(old: int, new: int) -> None:
    proof = [bytes.fromhex(text) for text in CONSISTENCY[old, new]]
    assert published_tree().consistency_proof(old, new) == proof
    verify_consistency(old, new, proof, ROOTS[old - 1], ROOTS[new - 1])


@pytest.mark.parametrize(("index", "size"), [key for key in INCLUSION if key != (0, 1)])
def test_every_published_corruption_of_an_inclusion_proof_is_refused(index: int, size: int) -> None:
    proof = [bytes.fromhex(text) for text in INCLUSION[index, size]]
    leaf, root = hash_leaf(LEAVES[index]), ROOTS[size - 1]
    probes: list[tuple[int, int, bytes, list[bytes], bytes]] = [
        (index - 1, size, leaf, proof, root),
        (index + 1, size, leaf, proof, root),
        (index ^ 2, size, leaf, proof, root),
        (index, size * 2, leaf, proof, root),
        (index, size // 2, leaf, proof, root),
        (index, size, b"WrongLeaf", proof, root),
        (index, size, leaf, proof, EMPTY_ROOT),
        (index, size, leaf, proof, SOME_HASH),
        (index, size, leaf, [*proof, b""], root),
        (index, size, leaf, [*proof, root], root),
        (index, size, leaf, [b"", *proof], root),
        (index, size, leaf, [root, *proof], root),
        (index, size, leaf, proof[:-1], root),
    ]
    if len(proof) > 1:
        probes.append((index, size, leaf, [proof[0], SOME_HASH, *proof[1:]], root))
    for number, value in enumerate(proof):
        flipped = [*proof[:number], bytes([value[0] ^ 8]) + value[1:], *proof[number + 1 :]]
        probes.append((index, size, leaf, flipped, root))
    for probe in probes:
        assert refusal(verify_inclusion, *probe)


@pytest.mark.parametrize(("old", "new"), [key for key in CONSISTENCY if key != (1, 1)])
def test_every_published_corruption_of_a_consistency_proof_is_refused(old: int, new: int) -> None:
    proof = [bytes.fromhex(text) for text in CONSISTENCY[old, new]]
    first, second = ROOTS[old - 1], ROOTS[new - 1]
    probes: list[tuple[int, int, list[bytes], bytes, bytes]] = [
        (old - 1, new, proof, first, second),
        (old + 1, new, proof, first, second),
        (old ^ 2, new, proof, first, second),
        (old, new * 2, proof, first, second),
        (old, new // 2, proof, first, second),
        (old, new, proof, b"WrongRoot", second),
        (old, new, proof, first, b"WrongRoot"),
        (old, new, proof, second, first),
        (old, new, [], first, second),
        (old, new, proof[:-1], first, second),
    ]
    probes += [(old, new, [*proof, added], first, second) for added in (b"", first, second)]
    probes += [(old, new, [added, *proof], first, second) for added in (b"", first, second, proof[0])]
    for number, value in enumerate(proof):
        flipped = [*proof[:number], bytes([value[0] ^ 16]) + value[1:], *proof[number + 1 :]]
        probes.append((old, new, flipped, first, second))
    for probe in probes:
        assert refusal(verify_consistency, *probe)


def test_a_real_certificate_transparency_log_is_verified() -> None:
    answers = json.loads(ARGON.read_text())
    size, root = answers["tree_size"], b64decode(answers["sha256_root_hash"])
    leaf = hash_leaf(b64decode(answers["leaf_input"]))
    path = [b64decode(text) for text in answers["audit_path"]]
    verify_inclusion(answers["leaf_index"], size, leaf, path, root)
    growth = [b64decode(text) for text in answers["consistency"]]
    old_root = b64decode(answers["old_root_hash"])
    verify_consistency(answers["old_tree_size"], size, growth, old_root, root)
    other = bytes(32)
    assert refusal(verify_consistency, answers["old_tree_size"], size, growth, other, root) == (
        "CONSISTENCY_NOT_PROVEN"
    )


def test_the_root_of_three_leaves_is_not_that_of_a_repeated_last_leaf() -> None:
    a, b, c = b"a", b"b", b"c"
    assert root_of_leaves([a, b, c]) != root_of_leaves([a, b, c, c])


def test_no_padding_of_a_tree_keeps_its_root() -> None:
    for size in range(1, 40):
        leaves = [b"%d" % number for number in range(size)]
        for repeated in range(1, size + 1):
            assert root_of_leaves(leaves + leaves[-repeated:]) != root_of_leaves(leaves)


def test_an_inner_node_presented_as_leaf_bytes_is_refused() -> None:
    tree = tree_of(4)
    left, right = tree.read_hashes([Node(0, 0), Node(0, 1)])
    sibling = tree.read_hashes([Node(1, 1)])
    forged = hash_leaf(left + right)
    assert refusal(verify_inclusion, 0, 2, forged, sibling, tree.root()) == "INCLUSION_NOT_PROVEN"
    assert refusal(verify_inclusion, 0, 4, forged, sibling, tree.root()) == "PROOF_LENGTH"


def test_a_path_that_ends_at_an_inner_node_does_not_fit_the_size_of_the_tree() -> None:
    tree = tree_of(8)
    inner = tree.read_hashes([Node(1, 0)])[0]
    path = tree.read_hashes([Node(1, 1), Node(2, 1)])
    for index in range(8):
        assert refusal(verify_inclusion, index, 8, inner, path, tree.root()) == "PROOF_LENGTH"


@given(st.integers(1, LARGEST_TREE_IN_TESTS), st.data())
def test_every_leaf_of_every_tree_is_proven_and_no_other(size: int, data: st.DataObject) -> None:
    tree = tree_of(LARGEST_TREE_IN_TESTS)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, LARGEST_TREE_IN_TESTS).filter(lambda number: number != index))
    proof, root = tree.inclusion_proof(index, size), tree.root(size)
    verify_inclusion(index, size, hash_leaf(b"leaf %d" % index), proof, root)
    assert refusal(verify_inclusion, index, size, hash_leaf(b"leaf %d" % other), proof, root) == (
        "INCLUSION_NOT_PROVEN"
    )
    with pytest.raises(TlogError):
        verify_inclusion(other, size, hash_leaf(b"leaf %d" % index), proof, root)


@given(st.integers(0, LARGEST_TREE_IN_TESTS), st.integers(0, LARGEST_TREE_IN_TESTS))
def test_every_growth_is_proven_and_no_other_beginning(first: int, second: int) -> None:
    old, new = sorted((first, second))
    tree = tree_of(LARGEST_TREE_IN_TESTS)
    proof = tree.consistency_proof(old, new)
    verify_consistency(old, new, proof, tree.root(old), tree.root(new))
    other = MemoryTree([*(hash_leaf(b"other %d" % number) for number in range(max(old, 1)))])
    with pytest.raises(TlogError):
        verify_consistency(old, new, proof, other.root(), tree.root(new))


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_compact_range_goes_on_from_its_kept_state(first: int, second: int) -> None:
    hashes = [hash_leaf(b"%d" % number) for number in range(first + second)]
    before = CompactRange()
    before.extend(hashes[:first])
    after = CompactRange(before.size, before.hashes)
    after.extend(hashes[first:])
    assert after.root() == root_of_leaf_hashes(hashes)
    assert len(after.hashes) == (first + second).bit_count()


def test_a_compact_range_names_every_node_once_and_hashes_each_leaf_about_once() -> None:
    compact, nodes = CompactRange(), []
    for number in range(1000):
        nodes += [node for node, _ in compact.append(hash_leaf(b"%d" % number))]
    assert len(nodes) == len(set(nodes)) < 2 * 1000
    assert set(nodes) == {Node(level, number) for level in range(10) for number in range(1000 >> level)}


def test_a_copy_of_a_compact_range_grows_alone() -> None:
    compact = CompactRange()
    compact.extend([hash_leaf(b"a"), hash_leaf(b"b")])
    copy = compact.copy()
    copy.append(hash_leaf(b"c"))
    assert (compact.size, copy.size) == (2, 3)
    assert compact.root() == root_of_leaves([b"a", b"b"])


def test_a_compact_range_refuses_a_state_that_does_not_fit_its_size() -> None:
    assert refusal(CompactRange, 3, [bytes(32)]) == "PROOF_LENGTH"
    assert refusal(CompactRange, 1, [bytes(31)]) == "HASH_SIZE"
    assert refusal(CompactRange, -1, []) == "TREE_SIZE"
    assert refusal(CompactRange, 2**63, [bytes(32)]) == "TREE_SIZE"


def test_a_refused_leaf_hash_leaves_a_compact_range_whole() -> None:
    compact = CompactRange()
    assert refusal(compact.extend, [hash_leaf(b"a"), b"short"]) == "HASH_SIZE"
    assert (compact.size, compact.root()) == (1, hash_leaf(b"a"))
    assert refusal(compact.append, b"short") == "HASH_SIZE"


def test_the_largest_tree_can_still_be_proven_and_not_outgrown() -> None:
    compact = CompactRange(MAX_TREE_SIZE, [sha256(b"%d" % bit).digest() for bit in range(63)])
    assert refusal(compact.append, bytes(32)) == "TREE_SIZE"
    proof = [sha256(b"%d" % level).digest() for level in range(63)]
    root = leaf = hash_leaf(b"first")
    for value in proof:
        root = hash_node(root, value)
    verify_inclusion(0, MAX_TREE_SIZE, leaf, proof, root)


def test_sizes_indexes_and_lengths_out_of_range_are_refused_with_their_reason() -> None:
    root = hash_leaf(b"data")
    assert refusal(verify_inclusion, 0, 2**63, root, [], root) == "TREE_SIZE"
    assert refusal(verify_inclusion, 1, 1, root, [], root) == "INDEX_OUT_OF_TREE"
    assert refusal(verify_inclusion, -1, 1, root, [], root) == "INDEX_OUT_OF_TREE"
    assert refusal(verify_inclusion, 0, 0, root, [], root) == "INDEX_OUT_OF_TREE"
    assert refusal(verify_inclusion, 0, 1, b"", [], root) == "HASH_SIZE"
    assert refusal(verify_inclusion, 0, 1, root, [root] * (MAX_PROOF_HASHES + 1), root) == "PROOF_LENGTH"
    assert refusal(verify_consistency, 2, 1, [], root, root) == "SIZES_DECREASE"
    assert refusal(verify_consistency, 1, 2, [], root, root) == "PROOF_LENGTH"
    assert refusal(verify_consistency, 1, 2, [root] * 2, root, root) == "PROOF_LENGTH"
    assert refusal(verify_consistency, 1, 1, [root], root, root) == "PROOF_LENGTH"
    assert refusal(inclusion_proof, 3, 3, tree_of(3)) == "INDEX_OUT_OF_TREE"
    assert refusal(consistency_proof, 3, 2, tree_of(3)) == "SIZES_DECREASE"
    assert refusal(root_at, 4, tree_of(3)) == "HASH_MISSING"


def test_the_empty_tree_is_the_beginning_of_every_tree_only_under_its_own_root() -> None:
    root = hash_leaf(b"data")
    verify_consistency(0, 1, [], EMPTY_ROOT, root)
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    assert refusal(verify_consistency, 0, 1, [], root, root) == "CONSISTENCY_NOT_PROVEN"
    assert refusal(verify_consistency, 0, 0, [], EMPTY_ROOT, root) == "CONSISTENCY_NOT_PROVEN"
    assert refusal(verify_consistency, 0, 0, [], root, root) == "CONSISTENCY_NOT_PROVEN"


class _ShortReader:
    def read_hashes(self, nodes: object) -> list[bytes]:
        return []


def test_a_reader_that_gives_too_few_hashes_is_found_out() -> None:
    assert refusal(inclusion_proof, 0, 2, _ShortReader()) == "HASH_MISSING"
