"""Writes the museum of bad files: tests/golden/bad, each named for its attack, and the good ones beside them.

Run by hand after a format gained an attack: ``python -m tests.golden.make_bad_files``. Everything is derived
from fixed seeds, so that a second run changes nothing; a test compares. The keys are worthless: their seeds
stand here.
"""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.note import NoteSignature, sign_note
from tanqiao.tlog.proof import Proof
from tests.golden.museum.checkpoints import bad_checkpoints
from tests.golden.museum.evidence import bad_evidence, good_evidence
from tests.golden.museum.exhibits import (
    CHECKPOINT,
    LATER_CHECKPOINT,
    LATER_WITNESSES,
    LEAF_COUNT,
    LEAVES,
    LOG,
    ORIGIN,
    POLICY,
    PROVEN_INDEX,
    STRANGER,
    TREE,
    WITNESSES,
    good_checkpoint,
    good_proof,
    signed,
    tiles,
)
from tests.golden.museum.files import bad_proof_files, good_proof_files
from tests.golden.museum.notes import bad_notes
from tests.golden.museum.policies import bad_policies
from tests.golden.museum.proofs import bad_proofs
from tests.golden.museum.tiles import bad_leaves, bad_tiles

HERE = Path(__file__).parent

SUFFIXES = {
    "evidence": "tlog-misbehaviour",
    "note": "note",
    "checkpoint": "checkpoint",
    "proof": "tlog-proof",
    "policy": "policy",
    "tile": "tile",
    "leaf": "leaf",
    "file": "tanqiao-proof",
}


def good_files() -> dict[str, bytes]:
    """The good files, by path below ``good``."""
    note = sign_note(b"A text.\n\nIts second part.\n", LOG)
    unknown = NoteSignature("unknown.example", b"\x00\x00\x00\x01", b"any bytes of a future suite")
    tree_of_one = MemoryTree([hash_leaf(LEAVES[0])])
    one = signed(Checkpoint(ORIGIN, 1, tree_of_one.root()).encode(), *WITNESSES)
    return {
        "federation.policy": POLICY.encode(),
        "plain.policy": b"# a log without witnesses\n\n\tlog  "
        + LOG.key.encode().encode()
        + b"\nquorum none\n",
        "leaf.bin": LEAVES[PROVEN_INDEX],
        "note/one-signature.note": note.encode(),
        "note/an-unknown-signature-beside-it.note": note.with_signatures([unknown]).encode(),
        "checkpoint/two-of-three.checkpoint": good_checkpoint().encode(),
        "checkpoint/all-three.checkpoint": signed(CHECKPOINT.encode(), *WITNESSES).encode(),
        "checkpoint/a-stranger-beside-them.checkpoint": signed(
            CHECKPOINT.encode(), STRANGER, *WITNESSES[1:]
        ).encode(),
        "checkpoint/after-a-change-of-witnesses.checkpoint": signed(
            LATER_CHECKPOINT.encode(), *LATER_WITNESSES[:2]
        ).encode(),
        "proof/plain.tlog-proof": good_proof().encode(),
        "proof/with-extra.tlog-proof": good_proof(b"nobody vouches for this").encode(),
        "proof/the-only-leaf.tlog-proof": Proof(0, (), one.encode()).encode(),
        **good_evidence(),
        **good_proof_files(),
        **{f"log/{path}": data for path, data in tiles().items()},
    }


def museum() -> dict[str, bytes]:
    """Every file of the museum by path below tests/golden, catalogue included."""
    files = {f"good/{path}": data for path, data in good_files().items()}
    catalogue = []
    sets = (
        bad_notes,
        bad_checkpoints,
        bad_proofs,
        bad_policies,
        bad_tiles,
        bad_leaves,
        bad_evidence,
        bad_proof_files,
    )
    for bad in chain.from_iterable(exhibits() for exhibits in sets):
        path = f"{bad.kind}/{bad.name}.{SUFFIXES[bad.kind]}"
        if f"bad/{path}" in files:
            raise SystemExit(f"two exhibits are called {path}")
        files[f"bad/{path}"] = bad.data
        row = {"file": path, "kind": bad.kind, "reason": bad.reason, "attack": bad.attack}
        if bad.tile is not None:
            row["tile"] = bad.tile
        if bad.leaf is not None:
            row["leaf"] = f"{bad.kind}/{bad.name}.leaf.bin"
            files[f"bad/{row['leaf']}"] = bad.leaf
        catalogue.append(row)
    context = {"size": LEAF_COUNT, "root": TREE.root().hex(), "log_key": LOG.key.encode()}
    files["good/context.json"] = _json(context)
    files["bad/catalogue.json"] = _json(catalogue)
    return files


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    """Write the museum and say how many files it has."""
    files = museum()
    for path, data in files.items():
        place = HERE / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    sys.stdout.write(f"{len(files)} files\n")


if __name__ == "__main__":
    main()
