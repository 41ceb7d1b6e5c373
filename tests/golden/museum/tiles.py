"""Tiles, entry bundles and leaves of a log that lies."""

from __future__ import annotations

from collections.abc import Iterator

from tanqiao.tlog.merkle import hash_leaf
from tanqiao.tlog.tiles import encode_bundle
from tests.golden.museum.exhibits import LEAVES, PROVEN_INDEX, BadFile, tiles


def bad_tiles() -> Iterator[BadFile]:
    good = tiles()
    full, edge, top = "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"
    bundle, last_bundle = "tile/entries/000", "tile/entries/001.p/44"

    def case(name: str, reason: str, attack: str, path: str, data: bytes) -> BadFile:
        return BadFile("tile", name, reason, attack, data, tile=path)

    wrong, size, form, entry = "TILE_WRONG", "TILE_SIZE", "BUNDLE_FORM", "ENTRY_WRONG"
    tile = good[full]
    yield case("bit-flipped", wrong, "damaged", full, bytes([tile[0] ^ 1]) + tile[1:])
    yield case(
        "two-hashes-swapped",
        wrong,
        "the order of two leaves changed",
        full,
        tile[32:64] + tile[:32] + tile[64:],
    )
    yield case(
        "leaf-replaced", wrong, "history rewritten", full, tile[:320] + hash_leaf(b"forged") + tile[352:]
    )
    yield case("one-hash-short", size, "a leaf taken out", full, tile[:-32])
    yield case("one-hash-more", size, "a leaf put in", full, tile + tile[-32:])
    yield case("not-whole-hashes", size, "cut off", full, tile[:-1])
    yield case("empty", size, "nothing served", full, b"")
    yield case(
        "edge-bit-flipped",
        wrong,
        "the newest leaf forged",
        edge,
        good[edge][:-1] + bytes([good[edge][-1] ^ 1]),
    )
    yield case(
        "edge-last-leaf-duplicated", size, "the last leaf once more", edge, good[edge] + good[edge][-32:]
    )
    yield case(
        "edge-of-another-log", wrong, "a split view", edge, b"".join(hash_leaf(b"%d" % n) for n in range(44))
    )
    yield case("parent-forged", wrong, "the tile above says otherwise", top, hash_leaf(b"forged"))
    entries = LEAVES[:256]
    yield case(
        "entry-replaced",
        entry,
        "another decision behind the same hash",
        bundle,
        encode_bundle([LEAVES[299], *entries[1:]]),
    )
    yield case(
        "entries-swapped",
        entry,
        "the order of two entries changed",
        bundle,
        encode_bundle([entries[1], entries[0], *entries[2:]]),
    )
    yield case("entry-dropped", form, "an entry withheld", bundle, encode_bundle(entries[:-1]))
    yield case(
        "entry-added", form, "an entry that is not in the tree", last_bundle, good[last_bundle] + b"\0\0"
    )
    yield case(
        "entry-length-beyond-the-end",
        form,
        "reading past the end",
        last_bundle,
        b"\xff\xff" + good[last_bundle][2:],
    )
    yield case("bundle-cut-off", form, "half an entry", bundle, good[bundle][:-1])
    yield case("bundle-of-hashes", form, "the wrong file", bundle, tile)
    merged = [entries[0] + len(entries[1]).to_bytes(2, "big") + entries[1], *entries[2:], b""]
    yield case("entry-boundary-moved", entry, "two entries passed off as one", bundle, encode_bundle(merged))


def bad_leaves() -> Iterator[BadFile]:
    good = LEAVES[PROVEN_INDEX]

    def case(name: str, reason: str, attack: str, data: bytes) -> BadFile:
        return BadFile("leaf", name, reason, attack, data)

    def framed(kind: bytes, *fields: tuple[bytes, bytes], count: int | None = None) -> bytes:
        body = b"".join(bytes([len(n)]) + n + len(v).to_bytes(2, "big") + v for n, v in fields)
        return (
            b"TQL\x01" + bytes([len(kind)]) + kind + bytes([len(fields) if count is None else count]) + body
        )

    yield case("empty", "LEAF_FORM", "no bytes at all", b"")
    yield case(
        "version-2", "LEAF_FORM", "a frame this reader does not know", good.replace(b"TQL\x01", b"TQL\x02")
    )
    yield case("cut-off", "LEAF_FORM", "the last byte is missing", good[:-1])
    yield case("byte-behind-the-end", "LEAF_FORM", "a second spelling of a leaf", good + b"\0")
    yield case(
        "fewer-fields-than-counted", "LEAF_FORM", "reading past the end", framed(b"x", (b"a", b"1"), count=2)
    )
    yield case(
        "more-fields-than-counted",
        "LEAF_FORM",
        "a hidden field",
        framed(b"x", (b"a", b"1"), (b"b", b"2"), count=1),
    )
    yield case(
        "fields-out-of-order",
        "LEAF_FIELD",
        "a second spelling of a leaf",
        framed(b"x", (b"b", b"1"), (b"a", b"2")),
    )
    yield case(
        "field-twice", "LEAF_FIELD", "two readers take two values", framed(b"x", (b"a", b"1"), (b"a", b"2"))
    )
    yield case("field-name-empty", "LEAF_FIELD", "a value of nothing", framed(b"x", (b"", b"1")))
    yield case("field-name-upper-case", "LEAF_FIELD", "a look-alike name", framed(b"x", (b"A", b"1")))
    yield case("field-name-not-ascii", "LEAF_FIELD", "a look-alike name", framed(b"x", ("а".encode(), b"1")))
    yield case(
        "too-many-fields",
        "LEAF_FIELD",
        "work for the reader",
        framed(b"x", *((b"f%03d" % n, b"") for n in range(65))),
    )
    yield case("kind-empty", "LEAF_KIND", "a leaf that says nothing", framed(b"", (b"a", b"1")))
    yield case("kind-with-newline", "LEAF_KIND", "a look-alike kind", framed(b"decision\n"))
    yield case("kind-upper-case", "LEAF_KIND", "a look-alike kind", framed(b"Decision"))
