"""Evidence against logs, true and made up."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.evidence import make_evidence
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tests.golden.museum.exhibits import (
    CHECKPOINT,
    LEAF_COUNT,
    LEAVES,
    ORIGIN,
    OTHER_LOG,
    POLICY,
    TREE,
    BadFile,
    signed,
)

SMALLER = 200
REWRITTEN = MemoryTree(hash_leaf(b"forged" if n == 9 else leaf) for n, leaf in enumerate(LEAVES))
HONEST_NOTE = signed(CHECKPOINT.encode()).encode()
HONEST_SMALLER_NOTE = signed(Checkpoint(ORIGIN, SMALLER, TREE.root(SMALLER)).encode()).encode()
LYING_NOTE = signed(Checkpoint(ORIGIN, LEAF_COUNT, REWRITTEN.root()).encode()).encode()


def good_evidence() -> dict[str, bytes]:
    """Two lies of one log, each proven by one file."""
    return {
        "evidence/split-view.tlog-misbehaviour": make_evidence(HONEST_NOTE, LYING_NOTE, POLICY),
        "evidence/rewritten-history.tlog-misbehaviour": make_evidence(
            HONEST_SMALLER_NOTE, LYING_NOTE, POLICY, REWRITTEN
        ),
    }


def assembled(first: bytes, second: bytes, *hashes: bytes, sizes: tuple[int, int] | None = None) -> bytes:
    """A file of these parts, whatever they are worth; the first hash is the claimed root."""
    first_size, second_size = sizes or (len(first), len(second))
    lines = ["tanqiao-log-misbehaviour@v1", f"first {first_size}", f"second {second_size}"]
    lines += ["root " * (at == 0) + b64encode(value).decode() for at, value in enumerate(hashes)]
    return "\n".join(lines).encode() + b"\n\n" + first + second


def bad_evidence() -> Iterator[BadFile]:
    """Accusations of honest logs, and files that are none."""

    def case(name: str, reason: str, attack: str, data: bytes) -> BadFile:
        return BadFile("evidence", name, reason, attack, data)

    good = good_evidence()["evidence/rewritten-history.tlog-misbehaviour"]
    nothing, form = "EVIDENCE_PROVES_NOTHING", "EVIDENCE_FORM"
    growth = TREE.consistency_proof(SMALLER)
    yield case(
        "honest-growth",
        nothing,
        "two honest checkpoints",
        assembled(HONEST_SMALLER_NOTE, HONEST_NOTE, TREE.root(SMALLER), *growth),
    )
    yield case("one-checkpoint-twice", nothing, "one honest checkpoint", assembled(HONEST_NOTE, HONEST_NOTE))
    yield case(
        "sizes-without-proof",
        nothing,
        "two sizes have two roots",
        assembled(HONEST_SMALLER_NOTE, HONEST_NOTE),
    )
    yield case(
        "root-made-up",
        "CONSISTENCY_NOT_PROVEN",
        "an honest log accused",
        assembled(HONEST_SMALLER_NOTE, HONEST_NOTE, REWRITTEN.root(SMALLER), *growth),
    )
    yield case(
        "proof-of-another-tree",
        "CONSISTENCY_NOT_PROVEN",
        "an honest log accused",
        assembled(
            HONEST_SMALLER_NOTE, HONEST_NOTE, REWRITTEN.root(SMALLER), *REWRITTEN.consistency_proof(SMALLER)
        ),
    )
    yield case(
        "proof-cut-off",
        "PROOF_LENGTH",
        "less than a proof",
        assembled(
            HONEST_SMALLER_NOTE,
            LYING_NOTE,
            REWRITTEN.root(SMALLER),
            *REWRITTEN.consistency_proof(SMALLER)[:-1],
        ),
    )
    swapped = assembled(
        LYING_NOTE, HONEST_SMALLER_NOTE, REWRITTEN.root(SMALLER), *REWRITTEN.consistency_proof(SMALLER)
    )
    yield case("order-swapped", nothing, "a larger tree before the smaller", swapped)
    foreign = signed(
        Checkpoint(OTHER_LOG.key.name, LEAF_COUNT, REWRITTEN.root()).encode(), by=OTHER_LOG
    ).encode()
    yield case(
        "of-two-logs",
        "LOG_UNKNOWN",
        "another log's tree held against this one",
        assembled(HONEST_NOTE, foreign),
    )
    forged = LYING_NOTE.replace(LYING_NOTE[-20:-10], b"AAAAAAAAAA")
    yield case(
        "signature-forged",
        "NOTE_SIGNATURE_WRONG",
        "a checkpoint that the log never signed",
        assembled(HONEST_NOTE, forged),
    )
    renamed = signed(CHECKPOINT.encode().replace(b"decisions", b"elsewhere")).encode()
    yield case(
        "origin-of-another-log",
        "CHECKPOINT_ORIGIN_WRONG",
        "the key's name is not the origin",
        assembled(HONEST_NOTE, renamed),
    )
    yield case("empty", form, "no bytes at all", b"")
    yield case(
        "header-of-version-2", form, "a format this reader does not know", good.replace(b"@v1", b"@v2")
    )
    yield case("bytes-behind-the-end", form, "smuggled text", good + b"more\n")
    yield case("cut-off", form, "half a signature", good[:-1])
    shifted = (len(HONEST_NOTE) + 1, len(LYING_NOTE) - 1)
    yield case(
        "boundary-moved",
        "NOTE_NOT_TERMINATED",
        "bytes of one note read as the other's",
        assembled(HONEST_NOTE, LYING_NOTE, sizes=shifted),
    )
    yield case("size-leading-zero", form, "a second spelling", good.replace(b"\nfirst ", b"\nfirst 0"))
    yield case(
        "root-twice", form, "two claims", good.replace(b"\nroot ", b"\nroot " + b"A" * 43 + b"=\nroot ")
    )
    yield case("root-missing", form, "hashes without a claim", good.replace(b"\nroot ", b"\n"))
    yield case(
        "signed-by-nobody-known",
        "LOG_UNKNOWN",
        "a log that the policy does not list",
        assembled(foreign, foreign),
    )
