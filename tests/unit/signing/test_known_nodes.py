"""Items of one batch after the first: the same are accepted as alone, and no others."""

from __future__ import annotations

import hashlib

import pytest

from tanqiao.signing.merkle import KnownNodes, audit_path, root_from_path, tree_levels


def entries(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in range(count)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 8, 9, 31, 33, 100])
def test_every_item_of_every_tree_is_accepted_in_any_order(size: int) -> None:
    leaves = entries(size)
    levels = tree_levels(leaves)
    for order in (range(size), reversed(range(size)), [i * 37 % size for i in range(size)]):
        tree = KnownNodes(size, levels[-1][0])
        for index in order:
            path = audit_path(levels, index)
            assert root_from_path(leaves[index], index, size, path) == levels[-1][0]
            assert tree.holds(leaves[index], index, path)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_what_is_refused_alone_is_refused_beside_known_items(size: int) -> None:
    leaves = entries(size)
    levels = tree_levels(leaves)
    root = levels[-1][0]
    tree = KnownNodes(size, root)
    for index in range(size):
        assert tree.holds(leaves[index], index, audit_path(levels, index))
    for index in range(size):
        path = audit_path(levels, index)
        wrong: list[tuple[bytes, int, list[bytes]]] = [
            (b"x" * 32, index, path),
            (leaves[index], index, [*path, b"y" * 32]),
            (leaves[index], size, path),
            (leaves[index], -1, path),
            *((leaves[index], index, path[:cut]) for cut in range(len(path))),
            *((leaves[index], index, [*path[:at], b"z" * 32, *path[at + 1 :]]) for at in range(len(path))),
            *((leaves[index], other, path) for other in range(size) if other != index),
        ]
        for entry, at, shown in wrong:
            alone = root_from_path(entry, at, size, shown) == root
            assert not alone
            assert not tree.holds(entry, at, shown)


def test_a_tail_of_a_path_is_compared_although_its_head_is_known() -> None:
    leaves = entries(8)
    levels = tree_levels(leaves)
    tree = KnownNodes(8, levels[-1][0])
    assert tree.holds(leaves[0], 0, audit_path(levels, 0))
    path = audit_path(levels, 1)
    assert not tree.holds(leaves[1], 1, [*path[:-1], b"z" * 32])
    assert tree.holds(leaves[1], 1, path)
