"""Checkpoints that no reader with the federation's policy may accept."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.keys import KeyType
from tanqiao.tlog.note import Note, NoteSignature
from tests.golden.museum.exhibits import (
    CHECKPOINT,
    LATER_CHECKPOINT,
    LATER_WITNESSES,
    LEAF_COUNT,
    ORIGIN,
    OTHER_LOG,
    STRANGER,
    TIME_SECONDS,
    TREE,
    WITNESSES,
    BadFile,
    base64,
    cosignature,
    good_checkpoint,
    next_letter,
    signed,
    signer,
)


def bad_checkpoints() -> Iterator[BadFile]:
    good, text = good_checkpoint(), CHECKPOINT.encode()
    root = base64(TREE.root())

    def case(name: str, reason: str, attack: str, note: Note) -> BadFile:
        return BadFile("checkpoint", name, reason, attack, note.encode())

    def malformed(name: str, reason: str, attack: str, wrong: bytes) -> BadFile:
        return case(name, reason, attack, signed(wrong, *WITNESSES))

    few = "QUORUM_NOT_REACHED"
    yield case("no-witness", few, "the log alone", signed(text))
    yield case("one-of-three", few, "one friend of the log", signed(text, WITNESSES[0]))
    again = cosignature(text, WITNESSES[0], TIME_SECONDS + 1)
    one = signed(text, WITNESSES[0])
    yield case("one-witness-twice", few, "one witness counted twice", Note(text, (*one.signatures, again)))
    yield case(
        "strangers-make-up-the-number",
        few,
        "unknown witnesses",
        signed(text, WITNESSES[0], STRANGER, signer("second.example", KeyType.COSIGNATURE_V1)),
    )
    renamed = cosignature(text, WITNESSES[1])
    yield case(
        "witness-under-another-name",
        few,
        "a line that no key of the policy answers for",
        Note(text, (*one.signatures, NoteSignature("w2", renamed.key_id, renamed.signature))),
    )
    yield case(
        "the-replaced-witnesses",
        few,
        "who was replaced goes on making the log final",
        signed(LATER_CHECKPOINT.encode(), *WITNESSES),
    )
    yield case(
        "witnesses-before-their-time",
        few,
        "who comes later vouches for what was before",
        signed(text, *LATER_WITNESSES),
    )
    yield case(
        "half-of-each-group",
        few,
        "the two groups make up the number together",
        signed(LATER_CHECKPOINT.encode(), WITNESSES[0], WITNESSES[1], LATER_WITNESSES[1]),
    )
    yield case(
        "cosignatures-without-the-log",
        "LOG_UNKNOWN",
        "witnesses cannot speak for the log",
        Note(text, good.signatures[1:]),
    )
    yield case(
        "signed-by-another-log",
        "LOG_UNKNOWN",
        "a log that the policy does not list",
        signed(text, *WITNESSES, by=OTHER_LOG),
    )
    wrong = "NOTE_SIGNATURE_WRONG"
    other = Checkpoint(ORIGIN, LEAF_COUNT, sha256(b"another tree").digest()).encode()
    yield case(
        "cosignature-over-another-root",
        wrong,
        "split view: the witness saw another tree",
        Note(text, (good.signatures[0], cosignature(other, WITNESSES[0]), good.signatures[2])),
    )
    yield case("root-replaced", wrong, "another tree under old signatures", Note(other, good.signatures))
    yield case(
        "size-replaced",
        wrong,
        "a rolled-back log under old signatures",
        Note(text.replace(b"\n300\n", b"\n299\n"), good.signatures),
    )
    yield case("extension-added", wrong, "a line nobody signed", Note(text + b"more\n", good.signatures))
    late = NoteSignature(
        renamed.name, renamed.key_id, (TIME_SECONDS + 9).to_bytes(8, "big") + renamed.signature[8:]
    )
    yield case(
        "cosignature-time-changed", wrong, "a stale witness made fresh", Note(text, (*one.signatures, late))
    )
    plain = WITNESSES[1].sign(text)
    yield case(
        "cosignature-without-time",
        "COSIGNATURE_FORM",
        "a plain signature in its place",
        Note(text, (*one.signatures, NoteSignature(renamed.name, renamed.key_id, plain))),
    )
    undated = NoteSignature(renamed.name, renamed.key_id, bytes(8) + plain)
    yield case(
        "plain-signature-with-time-zero",
        wrong,
        "the header of cosignatures left out",
        Note(text, (*one.signatures, undated)),
    )
    yield case(
        "cosignature-time-beyond-63-bits",
        "COSIGNATURE_TIME",
        "a time that turns negative elsewhere",
        Note(text, (*one.signatures, cosignature(text, WITNESSES[1], 2**63))),
    )
    yield malformed(
        "origin-of-another-log",
        "CHECKPOINT_ORIGIN_WRONG",
        "the log's key signs for a stranger",
        text.replace(b"decisions", b"elsewhere"),
    )
    yield malformed("origin-empty", "CHECKPOINT_ORIGIN", "a log without a name", b"\n300\n" + root + b"\n")
    for name, size in (
        ("leading-zero", b"0300"),
        ("plus-sign", b"+300"),
        ("negative", b"-1"),
        ("hexadecimal", b"0x12c"),
        ("underscore", b"3_00"),
        ("empty", b""),
        ("beyond-63-bits", b"9223372036854775808"),
        ("full-width-digits", "３００".encode()),
    ):
        yield malformed(
            f"size-{name}",
            "CHECKPOINT_SIZE",
            "a second spelling of a size",
            ORIGIN.encode() + b"\n" + size + b"\n" + root + b"\n",
        )
    for name, bad_root in (
        ("31-bytes", base64(bytes(31))),
        ("33-bytes", base64(bytes(33))),
        ("hexadecimal", TREE.root().hex().encode()),
        ("without-padding", root.rstrip(b"=")),
        ("stray-bits", root[:-2] + next_letter(root[-2]) + root[-1:]),
    ):
        yield malformed(
            f"root-{name}",
            "CHECKPOINT_ROOT",
            "a second spelling of a root",
            ORIGIN.encode() + b"\n300\n" + bad_root + b"\n",
        )
    yield malformed("two-lines", "CHECKPOINT_LINES", "no root at all", ORIGIN.encode() + b"\n300\n")
    yield malformed(
        "empty-extension-line", "CHECKPOINT_LINES", "a blank line inside the text", text + b"\nextension\n"
    )
    yield malformed(
        "empty-tree-with-a-root",
        "CHECKPOINT_EMPTY_ROOT",
        "a root of nothing",
        ORIGIN.encode() + b"\n0\n" + root + b"\n",
    )
