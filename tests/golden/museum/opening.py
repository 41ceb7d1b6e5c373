"""Opens one exhibit of the museum with the verifiers of the library."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tanqiao.offline.verify import verify_bytes
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import verify_evidence
from tanqiao.tlog.keys import parse_verifier_key
from tanqiao.tlog.leaf import decode_leaf
from tanqiao.tlog.note import parse_note, verify_note
from tanqiao.tlog.policy import parse_policy, verify_checkpoint
from tanqiao.tlog.proof import verify_proof
from tanqiao.tlog.reading import audit_log
from tanqiao.tlog.tiles import Tile

GOLDEN = Path(__file__).parents[1]
GOOD, BAD = GOLDEN / "good", GOLDEN / "bad"
POLICY = parse_policy((GOOD / "federation.policy").read_bytes())
CONTEXT = cast("dict[str, str]", json.loads((GOOD / "context.json").read_text()))
SIZE, ROOT = int(CONTEXT["size"]), bytes.fromhex(CONTEXT["root"])
CATALOGUE = cast("list[dict[str, str]]", json.loads((BAD / "catalogue.json").read_text()))
GOOD_LEAF = (GOOD / "leaf.bin").read_bytes()


@dataclass
class MuseumLog:
    """The good log's files, some of them replaced or gone."""

    replaced: dict[str, bytes]
    missing: set[str] = field(default_factory=set)

    def read_tile(self, tile: Tile) -> bytes:
        if tile.path in self.replaced:
            return self.replaced[tile.path]
        if tile.path in self.missing:
            raise TlogError("TILE_MISSING", tile.path)
        try:
            return (GOOD / "log" / tile.path).read_bytes()
        except FileNotFoundError:
            raise TlogError("TILE_MISSING", tile.path) from None


def open_file(kind: str, data: bytes, *, leaf: bytes = GOOD_LEAF, tile: str = "tile/0/000") -> None:
    """Verify the bytes as a file of this kind; returns only when all holds."""
    if kind == "note":
        if not verify_note(parse_note(data), [parse_verifier_key(CONTEXT["log_key"])]):
            raise TlogError("LOG_UNKNOWN")
    elif kind == "checkpoint":
        verify_checkpoint(data, POLICY)
    elif kind == "proof":
        verify_proof(data, leaf, POLICY)
    elif kind == "policy":
        parse_policy(data)
    elif kind == "tile":
        audit_log(SIZE, ROOT, MuseumLog({tile: data}))
    elif kind == "evidence":
        verify_evidence(data, POLICY)
    elif kind == "leaf":
        decode_leaf(data)
    elif kind == "file":
        report = verify_bytes(data, POLICY.encode())
        if report.refusal is not None:
            raise report.refusal
    else:
        raise KeyError(kind)


def open_exhibit(row: dict[str, str]) -> None:
    """Verify an exhibit of the catalogue."""
    leaf = (BAD / row["leaf"]).read_bytes() if "leaf" in row else GOOD_LEAF
    open_file(row["kind"], (BAD / row["file"]).read_bytes(), leaf=leaf, tile=row.get("tile", "tile/0/000"))
