"""The tree of a batch against published roots, against the log's own implementation, and under attack."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.kernel.errors import InvariantBroken
from tanqiao.signing.merkle import EMPTY_ROOT, audit_path, leaf_hash, root_from_path, tree_levels, tree_root
from tanqiao.tlog.merkle import MemoryTree, hash_leaf

# Leaves and roots of the reference tests of Certificate Transparency (RFC 6962), as published in the test
# suites of certificate-transparency-go and transparency-dev/merkle.
CT_LEAVES = [
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
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = [*range(1, 34), 63, 64, 65, 127, 128, 129, 999, 1000]


def entries_of(size: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert tree_root(CT_LEAVES[:size]).hex() == CT_ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert tree_root([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_a_tree_of_levels_has_a_leaf() -> None:
    with pytest.raises(InvariantBroken):
        tree_levels([])


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_paths_are_those_of_the_log(size: int) -> None:
    entries = entries_of(size)
    tree = MemoryTree(hash_leaf(entry) for entry in entries)
    levels = tree_levels(entries)
    assert levels[-1][0] == tree.root()
    for index in {0, size // 3, size // 2, size - 1}:
        assert audit_path(levels, index) == tree.inclusion_proof(index)


@pytest.mark.parametrize("size", SIZES)
def test_every_path_leads_to_the_root(size: int) -> None:
    entries = entries_of(size)
    levels = tree_levels(entries)
    for index, entry in enumerate(entries):
        assert root_from_path(entry, index, size, audit_path(levels, index)) == levels[-1][0]


def test_a_repeated_last_entry_changes_the_root() -> None:
    one, two, three = entries_of(3)
    assert tree_root([one, two, three]) != tree_root([one, two, three, three])


def test_a_node_is_not_taken_for_a_leaf() -> None:
    entries = entries_of(4)
    levels = tree_levels(entries)
    forged = levels[1][0] + levels[1][1]
    assert root_from_path(forged, 0, 1, []) != levels[-1][0]
    assert leaf_hash(levels[0][0] + levels[0][1]) != levels[1][0]


@given(size=st.integers(1, 40), data=st.data())
def test_a_path_proves_its_own_entry_place_and_size_only(size: int, data: st.DataObject) -> None:
    entries = entries_of(size)
    levels = tree_levels(entries)
    index = data.draw(st.integers(0, size - 1))
    path, root = audit_path(levels, index), levels[-1][0]
    other_index = data.draw(st.integers(-2, size + 2).filter(lambda number: number != index))
    assert root_from_path(entries[index], other_index, size, path) != root
    assert root_from_path(b"other", index, size, path) != root
    assert root_from_path(entries[index], index, size, [*path, root]) != root
    if path:
        assert root_from_path(entries[index], index, size, path[:-1]) != root
        assert root_from_path(entries[index], index, size, [path[0][:-1], *path[1:]]) is None
        assert root_from_path(entries[index], index, size, [*path[:-1], bytes(32)]) != root


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4), (0, -1), (2**31, 2**31)])
def test_a_place_outside_of_the_tree_has_no_root(index: int, size: int) -> None:
    assert root_from_path(bytes(32), index, size, []) is None
