"""Tiles: names, growth, building, and reading a log whose server may lie.

Vectors: C2SP tlog-tiles (index 1234067, a tree of 70,000 leaves, a tree of 256 leaves);
golang.org/x/mod/sumdb/tlog tlog_test.go for paths, adapted to the height that C2SP fixes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.merkle import (
    EMPTY_ROOT,
    MemoryTree,
    Node,
    consistency_proof,
    hash_leaf,
    inclusion_proof,
    root_of_leaf_hashes,
    verify_consistency,
    verify_inclusion,
)
from tanqiao.tlog.reading import LogReader, audit_log
from tanqiao.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    MAX_ENTRY_BYTES,
    Tile,
    TileBuilder,
    bundles_of_growth,
    decode_bundle,
    encode_bundle,
    parse_tile_path,
    tile_of,
    tile_root,
    tiles_of_growth,
)


@dataclass
class TileStore:
    """Tiles and bundles in memory, by name."""

    tiles: dict[Tile, bytes] = field(default_factory=dict)
    reads: int = 0

    def read_tile(self, tile: Tile) -> bytes:
        self.reads += 1
        if tile not in self.tiles:
            raise TlogError("TILE_MISSING", tile.path)
        return self.tiles[tile]


def leaf_bytes(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def store_of(leaves: Iterable[bytes]) -> tuple[TileStore, bytes]:
    """Tiles, bundles and root of a log with these leaves."""
    entries = list(leaves)
    builder = TileBuilder()
    builder.extend(map(hash_leaf, entries))
    store = TileStore(builder.take_tiles())
    for bundle in bundles_of_growth(0, len(entries)):
        start = bundle.number * 256
        store.tiles[bundle] = encode_bundle(entries[start : start + bundle.width])
    return store, builder.root()


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


# Names


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1), "tile/0/001"),
        (Tile(0, 1, 5), "tile/0/001.p/5"),
        (Tile(5, 1234), "tile/5/x001/234"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(2, 123456078, 2), "tile/2/x123/x456/078.p/2"),
        (Tile(ENTRIES_LEVEL, 3057500), "tile/entries/x003/x057/500"),
        (Tile(ENTRIES_LEVEL, 0, 255), "tile/entries/000.p/255"),
        (Tile(0, 2**55 - 1), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_published_paths_name_their_tiles(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_tile_path(path) == tile
    assert tile.full.path == path.split(".p/", maxsplit=1)[0]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/5/123/456/078",
        "tile/-1/x123/x456/078",
        "tile/0/1",
        "tile/0/0001",
        "tile/0/x001",
        "tile/0/x000/001",
        "tile/00/001",
        "tile/8/000",
        "tile/64/000",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/05",
        "tile/0/001.p/",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/001\n",
        "tile/data/001",
        "tile/0/../001",
        "tile/0/٠٠١",
        "tile/0/" + "x999/" * 9 + "999",
        "tile/7/001",
    ],
)
def test_a_path_that_names_no_tile_is_refused(path: str) -> None:
    assert refusal(parse_tile_path, path) == "TILE_PATH"


@given(st.text(alphabet="tile/0123456789x.p-entris", max_size=40))
def test_a_path_has_one_spelling(path: str) -> None:
    try:
        tile = parse_tile_path(path)
    except TlogError:
        return
    assert tile.path == path


def test_the_published_trees_have_the_published_tiles() -> None:
    seventy_thousand = list(tiles_of_growth(0, 70_000))
    assert seventy_thousand == [
        *(Tile(0, number) for number in range(273)),
        Tile(0, 273, 112),
        Tile(1, 0),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert list(tiles_of_growth(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(bundles_of_growth(0, 300)) == [Tile(ENTRIES_LEVEL, 0), Tile(ENTRIES_LEVEL, 1, 44)]


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        (1, 1, 0),
        (100, 101, 1),
        (255, 257, 3),
        (256, 260, 1),
        (260, 511, 1),
        (260, 2600, 11),
        (65535, 65536, 3),
    ],
)
def test_a_growth_makes_only_the_tiles_that_change(old: int, new: int, count: int) -> None:
    assert len(list(tiles_of_growth(old, new))) == count


def test_a_log_that_shrinks_is_refused() -> None:
    assert refusal(list, tiles_of_growth(2, 1)) == "SIZES_DECREASE"
    assert refusal(list, bundles_of_growth(2, 1)) == "SIZES_DECREASE"


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_growing_in_steps_makes_every_full_tile_once(first: int, second: int) -> None:
    middle, end = sorted((first, second))
    steps = [*tiles_of_growth(0, middle), *tiles_of_growth(middle, end)]
    full = [tile for tile in steps if tile.is_full]
    assert sorted(full) == sorted(tile for tile in tiles_of_growth(0, end) if tile.is_full)


# Bundles


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=256))
def test_a_bundle_is_read_as_it_was_packed(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    for bad in (data[:-1], data + b"\0", data + b"\0\0"):
        assert refusal(decode_bundle, bad, len(entries)) == "BUNDLE_FORM"


def test_a_bundle_out_of_bounds_is_refused() -> None:
    assert refusal(encode_bundle, []) == "BUNDLE_FORM"
    assert refusal(encode_bundle, [b""] * 257) == "BUNDLE_FORM"
    assert refusal(encode_bundle, [bytes(MAX_ENTRY_BYTES + 1)]) == "ENTRY_TOO_LARGE"
    assert refusal(decode_bundle, b"", 0) == "BUNDLE_FORM"
    assert refusal(decode_bundle, b"\0\0" * 257, 257) == "BUNDLE_FORM"
    assert refusal(decode_bundle, bytes(MAX_BUNDLE_BYTES + 1), 256) == "BUNDLE_FORM"
    largest = [bytes(MAX_ENTRY_BYTES)] * 256
    assert decode_bundle(encode_bundle(largest), 256) == largest


# Building


@settings(max_examples=25)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=4), st.booleans())
def test_tiles_built_in_steps_are_those_of_the_whole_tree(steps: list[int], resumed: bool) -> None:
    hashes = [hash_leaf(leaf) for leaf in leaf_bytes(sum(steps))]
    builder, store, size = TileBuilder(), TileStore(), 0
    for step in steps:
        builder.extend(hashes[size : size + step])
        size += step
        store.tiles.update(builder.take_tiles())
        assert builder.root() == root_of_leaf_hashes(hashes[:size])
        if resumed:
            builder = TileBuilder.resume(size, builder.root(), store)
    whole = TileBuilder()
    whole.extend(hashes)
    tiles = whole.take_tiles()
    assert set(tiles) == set(tiles_of_growth(0, size))
    assert {tile: store.tiles[tile] for tile in tiles} == tiles


def test_a_log_whose_stored_edge_does_not_lead_to_its_root_is_not_continued() -> None:
    store, root = store_of(leaf_bytes(300))
    assert TileBuilder.resume(300, root, store).root() == root
    assert refusal(TileBuilder.resume, 300, bytes(32), store) == "LOG_ROLLED_BACK"
    assert refusal(TileBuilder.resume, 301, root, store) == "TILE_MISSING"
    store.tiles[Tile(0, 1, 44)] = store.tiles[Tile(0, 1, 44)][:-32]
    assert refusal(TileBuilder.resume, 300, root, store) == "TILE_SIZE"


def test_an_empty_log_has_no_tiles_and_the_empty_root() -> None:
    builder = TileBuilder.resume(0, EMPTY_ROOT, TileStore())
    assert (builder.take_tiles(), builder.root(), builder.size) == ({}, EMPTY_ROOT, 0)
    assert audit_log(0, EMPTY_ROOT, TileStore()).bundles == 0
    assert refusal(LogReader, 0, bytes(32), TileStore()) == "CHECKPOINT_EMPTY_ROOT"


def test_the_cost_of_sealing_a_leaf_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = 0

    def counting(data: bytes) -> object:
        nonlocal hashed
        hashed += 1
        return sha256(data)

    def cost_of_1000_leaves(size: int) -> int:
        nonlocal hashed
        builder = TileBuilder()
        builder.extend(hash_leaf(b"%d" % number) for number in range(size))
        builder.take_tiles()
        with monkeypatch.context() as patched:
            patched.setattr("tanqiao.tlog.merkle.sha256", counting)
            patched.setattr("tanqiao.tlog.tiles.sha256", counting)
            hashed = 0
            builder.extend([bytes(32)] * 1000)
            builder.take_tiles()
            builder.root()
        return hashed

    small, large = cost_of_1000_leaves(1_000), cost_of_1000_leaves(64_000)
    assert large < small * 1.1
    assert small < 1100


# Reading


def test_the_root_of_a_tile_is_that_of_its_hashes() -> None:
    hashes = [hash_leaf(b"%d" % number) for number in range(256)]
    for count in (1, 2, 64, 256):
        assert tile_root(b"".join(hashes[:count])) == root_of_leaf_hashes(hashes[:count])
    for bad in (b"", bytes(31), bytes(96)):
        assert refusal(tile_root, bad) == "TILE_SIZE"


def test_a_node_is_found_in_its_tile() -> None:
    assert tile_of(Node(0, 299), 300) == (Tile(0, 1, 44), 43, 1)
    assert tile_of(Node(3, 1), 300) == (Tile(0, 0), 8, 8)
    assert tile_of(Node(8, 0), 300) == (Tile(1, 0, 1), 0, 1)
    for node in (Node(0, 300), Node(8, 1), Node(-1, 0), Node(0, -1), Node(63, 0), Node(10**9, 0)):
        assert refusal(tile_of, node, 300) == "TILE_OUT_OF_TREE"


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 1400), st.data())
def test_proofs_made_from_tiles_are_those_of_the_tree(size: int, data: st.DataObject) -> None:
    leaves = leaf_bytes(size)
    store, root = store_of(leaves)
    reader, tree = LogReader(size, root, store), MemoryTree(map(hash_leaf, leaves))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    proof = inclusion_proof(index, size, reader)
    assert proof == tree.inclusion_proof(index)
    verify_inclusion(index, size, hash_leaf(leaves[index]), proof, root)
    growth = consistency_proof(old, size, reader)
    assert growth == tree.consistency_proof(old)
    verify_consistency(old, size, growth, tree.root(old), root)


def test_a_log_of_three_tile_levels_is_read_from_any_place() -> None:
    size = 66_000
    leaves = leaf_bytes(size)
    store, root = store_of(leaves)
    reader = LogReader(size, root, store)
    for start, end in ((0, 3), (255, 257), (65_535, 65_537), (65_990, 66_000), (7, 7)):
        assert list(reader.entries(start, end)) == [(n, leaves[n]) for n in range(start, end)]
    before = store.reads
    list(reader.entries(30_000, 30_001))
    assert store.reads - before <= 3
    audit = audit_log(size, root, store)
    assert (audit.size, audit.bundles) == (size, 258)
    assert audit.tiles == len(list(tiles_of_growth(0, size)))
    assert audit.entry_bytes == sum(len(leaf) + 2 for leaf in leaves)


def test_every_tile_and_bundle_of_a_log_that_is_changed_or_missing_is_found() -> None:
    size = 66_000
    store, root = store_of(leaf_bytes(size))
    chosen = [tile for tile in store.tiles if not tile.is_full or tile.level > 0]
    chosen += [Tile(0, number) for number in (0, 100, 255, 256)]
    chosen += [Tile(ENTRIES_LEVEL, number) for number in (0, 128, 256)]
    generator = random.Random(1)
    for tile in chosen:
        good = store.tiles[tile]
        at = generator.randrange(len(good))
        store.tiles[tile] = good[:at] + bytes([good[at] ^ 1 << generator.randrange(8)]) + good[at + 1 :]
        assert refusal(audit_log, size, root, store) in {"TILE_WRONG", "ENTRY_WRONG", "BUNDLE_FORM"}
        del store.tiles[tile]
        assert refusal(audit_log, size, root, store) == "TILE_MISSING"
        store.tiles[tile] = good
    assert audit_log(size, root, store).size == size


def test_no_entry_of_a_bundle_is_given_before_the_bundle_holds() -> None:
    store, root = store_of(leaf_bytes(600))
    bundle = Tile(ENTRIES_LEVEL, 1)
    entries = decode_bundle(store.tiles[bundle], 256)
    store.tiles[bundle] = encode_bundle([*entries[:-1], b"forged"])
    walk = LogReader(600, root, store).entries()
    given_out = [index for index, _ in islice(walk, 256)]
    assert refusal(next, walk) == "ENTRY_WRONG"
    assert given_out == list(range(256))


def test_a_split_view_is_found_when_the_log_is_opened() -> None:
    store, _ = store_of(leaf_bytes(300))
    _, other_root = store_of([*leaf_bytes(299), b"forged"])
    assert refusal(LogReader, 300, other_root, store) == "TILE_WRONG"


def test_a_partial_tile_is_taken_from_the_full_one_that_replaced_it() -> None:
    leaves = leaf_bytes(700)
    store, _ = store_of(leaves)
    old_root = root_of_leaf_hashes(map(hash_leaf, leaves[:300]))
    # Of the 300-leaf log, only the narrow top tile is still served; its level-0 edge has grown full.
    store.tiles[Tile(1, 0, 1)] = store.tiles[Tile(1, 0, 2)][:32]
    reader = LogReader(300, old_root, store)
    assert [entry for _, entry in reader.entries(250)] == leaves[250:300]
    del store.tiles[Tile(0, 1)]
    assert refusal(LogReader, 300, old_root, store) == "TILE_MISSING"


def test_a_server_that_sends_too_much_is_refused() -> None:
    store, root = store_of(leaf_bytes(300))
    store.tiles[Tile(0, 1, 44)] = bytes(MAX_BUNDLE_BYTES + 1)
    assert refusal(LogReader, 300, root, store) == "TILE_SIZE"


def test_entries_outside_the_log_are_refused() -> None:
    store, root = store_of(leaf_bytes(10))
    reader = LogReader(10, root, store)
    for start, end in ((-1, 3), (3, 11), (5, 4)):
        assert refusal(lambda start=start, end=end: list(reader.entries(start, end))) == "INDEX_OUT_OF_TREE"
    for number in (-1, 1):
        assert refusal(reader.bundle, number) == "TILE_OUT_OF_TREE"
