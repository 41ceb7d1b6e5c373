"""What an outsider waits for: one proof file verified, and a log of a million leaves audited and replayed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.offline.container import encode_file
from tanqiao.offline.replay import Claim
from tanqiao.offline.verify import verify_bytes, verify_stream
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import CompactRange, hash_leaf
from tanqiao.tlog.reading import audit_log
from tanqiao.tlog.tiles import Tile, TileBuilder, bundles_of_growth, encode_bundle
from tests.bench.bench import Bench, timed
from tests.bench.results import Result
from tests.golden.museum.exhibits import LATER_WITNESSES, ORIGIN, POLICY, REPLACED_FROM, WITNESSES, signed
from tests.golden.museum.files import good_proof_files

LEAVES: Final = 1_000_000
FILES: Final = 200
POLICY_DATA: Final = POLICY.encode()
SIGNATURES: Final = {"title": 10, "retirement": 8}
"""Log, three witnesses, key records and messages: what a verifier checks at the least."""


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure proof files, an audit from tiles, and a replay; no database takes part."""
    del database
    return [*(_file(bench, kind) for kind in SIGNATURES), *_whole_log(bench)]


def _file(bench: Bench, kind: str) -> Result:
    data = good_proof_files()[f"file/{kind}.tanqiao-proof"]
    _require(verify_bytes(data, POLICY_DATA).holds)
    count = bench.scaled(FILES, 10)
    times = tuple(_milliseconds(count, lambda: verify_bytes(data, POLICY_DATA)) for _ in range(bench.rounds))
    key = Ed25519PrivateKey.generate()
    signature, public = key.sign(bytes(128)), key.public_key()

    def bare() -> None:
        for _ in range(SIGNATURES[kind]):
            public.verify(signature, bytes(128))

    limit = tuple(_milliseconds(count, bare) for _ in range(bench.rounds))
    words = f"{SIGNATURES[kind]} Ed25519 checks"
    note = f"{len(data)} bytes; goal: less than 5 ms after start-up"
    return Result("offline", f"proof file verified: {kind}", "", "ms", times, limit, words, note)


def _whole_log(bench: Bench) -> list[Result]:
    count = bench.scaled(LEAVES, 5_000)
    leaves = [_leaf(number) for number in range(count)]
    builder = TileBuilder()
    builder.extend(hash_leaf(leaf) for leaf in leaves)
    root = builder.root()
    tiles = builder.take_tiles()
    for bundle in bundles_of_growth(0, count):
        tiles[bundle] = encode_bundle(leaves[bundle.number * 256 :][: bundle.width])
    source = _Tiles(tiles)
    audits = tuple(timed(lambda: audit_log(count, root, source))[0] for _ in range(bench.rounds))
    bare = tuple(timed(lambda: _bare_root(leaves))[0] for _ in range(bench.rounds))
    words = "every leaf hashed into the root, from memory"
    file = _replay_file(leaves, root)
    replays = tuple(timed(lambda: _replayed(file))[0] for _ in range(bench.rounds))
    goal = "goal: less than 60 s for 1,000,000 leaves"
    return [
        Result("offline", f"log of {count} leaves audited from tiles", "", "s", audits, bare, words, goal),
        Result("offline", f"series of {count} leaves replayed from a file", "", "s", replays, bare, words),
    ]


class _Tiles:
    """Tiles in memory."""

    def __init__(self, tiles: dict[Tile, bytes]) -> None:
        self._tiles = tiles

    def read_tile(self, tile: Tile) -> bytes:
        return self._tiles[tile]


def _leaf(number: int) -> bytes:
    series = "310000:SHCCER:p-1:2025:1"
    if number == 0:
        public = {"accepted": b"1", "block": f"{series}[0,2000000)".encode(), "region": b"region/310000"}
        return make_leaf("issue", message_hashes=[bytes(32)] * 2, public=public).encode()
    there = number % 2 == 1
    return make_leaf(
        "decision",
        message_hashes=[hashlib.sha256(b"%d" % number).digest()] * 3,
        signer_key_ids=[bytes(16)] * 3,
        public={
            "blocks": f"{series}[1000,1001)".encode(),
            "destination": b"region/440300" if there else b"region/310000",
            "kind": b"TRANSFER",
            "legal_date": b"2026-03-02",
            "outcome": b"COMMIT",
            "source": b"region/310000" if there else b"region/440300",
            "transfer_id": number.to_bytes(16, "big"),
        },
    ).encode()


def _replay_file(leaves: Sequence[bytes], root: bytes) -> bytes:
    witnesses = WITNESSES if len(leaves) < REPLACED_FROM else LATER_WITNESSES
    note = signed(Checkpoint(ORIGIN, len(leaves), root).encode(), *witnesses).encode()
    entries = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
    claim = Claim(series_id="310000:SHCCER:p-1:2025:1").encode()
    return encode_file("conservation", [("claim", claim), ("checkpoint", note)], len(entries)) + entries


def _replayed(file: bytes) -> None:
    report = verify_stream(io.BytesIO(file), POLICY_DATA)
    _require(report.holds)


def _bare_root(leaves: Sequence[bytes]) -> bytes:
    tree = CompactRange()
    tree.extend(hash_leaf(leaf) for leaf in leaves)
    return tree.root()


def _milliseconds(count: int, work: Callable[[], object]) -> float:
    return timed(lambda: [work() for _ in range(count)])[0] * 1e3 / count


def _require(holds: bool) -> None:
    if not holds:
        raise RuntimeError("a file of the bench does not hold")
