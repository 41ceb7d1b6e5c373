"""What the library does by itself: quantification, sealing a log, verifying a proof."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.keys import KeyType, NoteSigner
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.offline import explain_proof
from tanqiao.tlog.policy import parse_policy
from tanqiao.tlog.proof import make_proof, verify_proof
from tanqiao.tlog.sealing import EMPTY_TREE, Sealer, Tree
from tanqiao.tlog.tiles import Tile
from tanqiao_region.domain.quantification import Parameters, plug_in_of
from tanqiao_region.domain.quantification.distributed_pv import PvReading
from tests.bench.bench import Bench, timed
from tests.bench.results import Result

RECORDS: Final = 100_000
LEAVES: Final = 100_000
PROOF_LEAVES: Final = 65_536
PROOFS: Final = 200
WITNESSES: Final = 3
LOG_NAME: Final = "bench.tanqiao.example/log"


def measure(bench: Bench, database: str) -> list[Result]:
    """Measure all three; no database takes part."""
    del database
    return [_quantification(bench), _sealing(bench), *_proofs(bench)]


def _quantification(bench: Bench) -> Result:
    count = bench.scaled(RECORDS, 2_000)
    first = date(2026, 1, 1)
    meters = count // 100
    readings = [
        PvReading(f"M{number % meters}", day, day + timedelta(days=1), 4_000_000 + number % 1000, 123_456)
        for number in range(count)
        for day in (first + timedelta(days=number // meters),)
    ]
    plug_in = plug_in_of("distributed_pv")
    factors = {"emission_factor_kg_per_kwh": "0.42", "capacity_max_kw": "1000"}
    parameters = Parameters.of("SHCER01010012024I", 1000, factors, {"capacity_w": 1_000_000})
    rates = tuple(
        count / timed(lambda: plug_in.quantify(readings, parameters, 0))[0] for _ in range(bench.rounds)
    )
    bare = tuple(count / timed(lambda: _bare_sum(readings))[0] for _ in range(bench.rounds))
    words = "a loop that multiplies and adds the same whole numbers"
    return Result("library", f"quantification of {count} records", "", "records/s", rates, bare, words)


def _bare_sum(readings: Sequence[PvReading]) -> int:
    total = 0
    for reading in readings:
        total += (reading.on_grid_wh + reading.self_use_wh) * 420_000_000
    return total // 10**9


@dataclass(slots=True)
class _MemoryLog:
    """A log store without a disk: sealing itself is measured."""

    leaves: list[bytes]
    tree: Tree = EMPTY_TREE
    tiles: dict[Tile, bytes] = field(default_factory=dict)
    note: bytes = b""

    def sealed_tree(self) -> Tree:
        return self.tree

    def read_leaves(self, start: int, limit: int) -> Sequence[bytes]:
        return self.leaves[start : start + limit]

    def persist_tree(self, before: Tree, after: Tree, tiles: Mapping[Tile, bytes]) -> None:
        if before != self.tree:
            raise RuntimeError("the tree grew from another one")
        self.tree = after
        self.tiles.update(tiles)

    def publish(self, note: bytes) -> None:
        self.note = note

    def read_tile(self, tile: Tile) -> bytes:
        return self.tiles[tile]


def _sealing(bench: Bench) -> Result:
    leaves = _leaves(bench.scaled(LEAVES, 2_000))

    def seal() -> None:
        store = _MemoryLog(leaves)
        sealer = Sealer(store, _signer(LOG_NAME))
        while sealer.seal() is not None:
            pass
        if store.tree.size != len(leaves):
            raise RuntimeError(f"{store.tree.size} of {len(leaves)} leaves were sealed")

    rates = tuple(len(leaves) / timed(seal)[0] for _ in range(bench.rounds))
    bare = tuple(len(leaves) / timed(lambda: _bare_hashes(leaves))[0] for _ in range(bench.rounds))
    words = "SHA-256 of each leaf and of one node for each leaf"
    return Result("library", "log leaves sealed, store in memory", "", "leaves/s", rates, bare, words)


def _leaves(count: int) -> list[bytes]:
    return [
        make_leaf(
            "decision",
            message_hashes=[hashlib.sha256(b"%d" % number).digest()] * 3,
            signer_key_ids=[bytes(16)] * 3,
            public={"outcome": b"COMMIT", "transfer_id": number.to_bytes(16, "big")},
        ).encode()
        for number in range(count)
    ]


def _bare_hashes(leaves: Sequence[bytes]) -> bytes:
    node = bytes(32)
    for leaf in leaves:
        node = hashlib.sha256(b"\x01" + hashlib.sha256(b"\x00" + leaf).digest() + node).digest()
    return node


def _proofs(bench: Bench) -> list[Result]:
    """Verify one proof file with a quorum of witnesses, alone and with every step written down."""
    leaves = _leaves(bench.scaled(PROOF_LEAVES, 1_024))
    tree = MemoryTree([hash_leaf(leaf) for leaf in leaves])
    witnesses = [_signer(f"witness-{number}.example", KeyType.COSIGNATURE_V1) for number in range(WITNESSES)]
    log = _signer(LOG_NAME)
    note = sign_checkpoint(Checkpoint(LOG_NAME, len(leaves), tree.root()), log)
    for witness in witnesses:
        note = note.with_signatures([cosign(note.text, witness, int(time.time()))])
    lines = [f"log {log.key.encode()}"]
    lines += [f"witness w{number} {witness.key.encode()}" for number, witness in enumerate(witnesses)]
    lines += ["group g 2 " + " ".join(f"w{number}" for number in range(WITNESSES)), "quorum g"]
    policy_data = ("\n".join(lines) + "\n").encode()
    policy = parse_policy(policy_data)
    index = len(leaves) // 3
    data = make_proof(index, len(leaves), tree, note.encode()).encode()
    verify_proof(data, leaves[index], policy)
    if not explain_proof(data, leaves[index], policy_data).holds:
        raise RuntimeError("the proof of the bench does not hold")
    count = bench.scaled(PROOFS, 10)
    checks = tuple(
        _milliseconds(count, lambda: verify_proof(data, leaves[index], policy)) for _ in range(bench.rounds)
    )
    told = tuple(
        _milliseconds(count, lambda: explain_proof(data, leaves[index], policy_data))
        for _ in range(bench.rounds)
    )
    key = Ed25519PrivateKey.generate()
    signature, public = key.sign(bytes(128)), key.public_key()

    def bare() -> None:
        for _ in range(1 + WITNESSES):
            public.verify(signature, bytes(128))

    limit = tuple(_milliseconds(count, bare) for _ in range(bench.rounds))
    words = f"{1 + WITNESSES} Ed25519 checks"
    size = f"a proof file of a log of {len(leaves)} leaves has {len(data)} bytes"
    return [
        Result("library", "proof verified", "", "ms", checks, limit, words, size),
        Result("library", "proof explained step by step", "", "ms", told, limit, words),
    ]


def _milliseconds(count: int, work: object) -> float:
    start = time.perf_counter()
    for _ in range(count):
        work()  # type: ignore[operator]
    return (time.perf_counter() - start) * 1e3 / count


def _signer(name: str, key_type: KeyType = KeyType.ED25519) -> NoteSigner:
    seed = hashlib.sha256(name.encode()).digest()
    return NoteSigner.from_private_key(name, Ed25519PrivateKey.from_private_bytes(seed), key_type)
