"""Notes, verifier keys, checkpoints and cosignatures: published vectors first, then what ours refuse.

Vectors: golang.org/x/mod/sumdb/note note_test.go (PeterNeumann, EnochRoot); golang.org/x/mod/sumdb/tlog
note_test.go (the tree of go.sum); C2SP signed-note (example.com/foo); transparency-dev/formats
note_cosigv1_test.go (a cosignature's time); a public checkpoint of the log
arche2025h1.staging.ct.transparency.dev with the cosignature of the witness remora.n621.de.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tanqiao.tlog.checkpoint import (
    MAX_EXTENSION_LINES,
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from tanqiao.tlog.cosignature import cosign, cosignature_message, split_cosignature, verify_cosignatures
from tanqiao.tlog.encoding import decode_base64, decode_decimal, encode_base64
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.keys import KeyType, NoteSigner, VerifierKey, check_key_name, parse_verifier_key
from tanqiao.tlog.merkle import EMPTY_ROOT, hash_leaf
from tanqiao.tlog.note import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    parse_note,
    sign_note,
    verify_note,
)

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
PETER_LINE = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501 - published bytes
ENOCH_LINE = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"  # noqa: E501 - published bytes
PUBLISHED = TEXT + b"\n" + (PETER_LINE + ENOCH_LINE).encode()

REAL_LOG = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
REAL_WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
REAL_CHECKPOINT = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
""".encode()  # noqa: E501 - published bytes


def signer(name: str, key_type: KeyType = KeyType.ED25519) -> NoteSigner:
    return NoteSigner.from_private_key(
        name, Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()), key_type
    )


LOG = signer("log.example/one")
WITNESS = signer("witness.example", KeyType.COSIGNATURE_V1)
CHECKPOINT = Checkpoint("log.example/one", 1, hash_leaf(b"leaf"))


def refusal(check: object, *arguments: object) -> str:
    with pytest.raises(TlogError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value.reason


# Published vectors


def test_the_published_signing_key_signs_the_published_note() -> None:
    peter = NoteSigner.from_private_key("PeterNeumann", Ed25519PrivateKey.from_private_bytes(PETER_SEED))
    assert peter.key.encode() == PETER
    assert sign_note(TEXT, peter).encode() == TEXT + b"\n" + PETER_LINE.encode()


def test_the_published_note_verifies_and_unknown_signatures_are_kept_and_ignored() -> None:
    note = parse_note(PUBLISHED)
    assert note.encode() == PUBLISHED
    assert [line.name for line in note.signatures] == ["PeterNeumann", "EnochRoot"]
    peter, enoch = parse_verifier_key(PETER), parse_verifier_key(ENOCH)
    assert [key for key, _ in verify_note(note, [peter])] == [peter]
    assert [key for key, _ in verify_note(note, [enoch, peter])] == [peter, enoch]
    assert verify_note(note, []) == ()


def test_the_published_signed_note_example_of_c2sp_verifies() -> None:
    key = parse_verifier_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    assert key.public_key.hex() == "e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4"
    line = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"  # noqa: E501 - published bytes
    note = parse_note(b"This is an example message.\n\n" + line.encode())
    assert len(verify_note(note, [key])) == 1


def test_every_published_mangling_of_a_verifier_key_is_refused() -> None:
    assert parse_verifier_key(PETER).encode() == PETER
    for start in range(len(PETER) + 1):
        for end in range(start + 1, len(PETER) + 1):
            if (start, end) != (0, len(PETER)):
                assert refusal(parse_verifier_key, PETER[start:end])
    for at, letter in enumerate(PETER):
        assert refusal(parse_verifier_key, PETER[:at] + chr(ord(letter) + 1) + PETER[at + 1 :])
    longer = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="
    assert refusal(parse_verifier_key, longer) == "KEY_MALFORMED"
    other_type = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert refusal(parse_verifier_key, other_type) == "KEY_TYPE"


def test_every_published_malformed_note_is_refused() -> None:
    text, line = TEXT, PETER_LINE.encode()
    for bad in (
        text,
        text + b"\n",
        text + b"\n" + line[:-1],
        b"\x01" + text + b"\n" + line,
        b"\xff" + text + b"\n" + line,
        text + b"\n" + line.replace(b"PeterNeumann", b"Bad Name"),
        text + b"\n" + line + b"Unexpected line.\n",
        text + b"\n" + line * 101,
    ):
        assert refusal(parse_note, bad)


def test_the_published_checkpoint_of_the_go_module_tree_is_written_and_read() -> None:
    published = b"go.sum database tree\n123456789012\nTszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0=\n"
    checkpoint = Checkpoint("go.sum database tree", 123456789012, hash_leaf(b"hello world"))
    assert checkpoint.encode() == published
    assert parse_checkpoint(published) == checkpoint
    hexadecimal = published.replace(b"123456789012", b"0xabcdef")
    assert refusal(parse_checkpoint, hexadecimal) == "CHECKPOINT_SIZE"
    assert refusal(parse_checkpoint, published.replace(b"Bb0=", b"BTOOBIG=")) == "CHECKPOINT_ROOT"


def test_a_real_checkpoint_of_a_public_log_with_a_real_cosignature_verifies() -> None:
    log, witness = parse_verifier_key(REAL_LOG), parse_verifier_key(REAL_WITNESS)
    checkpoint, note = open_checkpoint(REAL_CHECKPOINT, log)
    assert (checkpoint.origin, checkpoint.size) == (log.name, 1432088532)
    assert note.encode() == REAL_CHECKPOINT
    (cosignature,) = verify_cosignatures(note, (witness,))
    assert cosignature.time_seconds == 1779573024
    smaller = REAL_CHECKPOINT.replace(b"\n1432088532\n", b"\n42\n")
    assert refusal(open_checkpoint, smaller, log) == "NOTE_SIGNATURE_WRONG"
    assert refusal(verify_cosignatures, parse_note(smaller), (witness,)) == "NOTE_SIGNATURE_WRONG"


def test_the_published_time_of_a_cosignature_is_read() -> None:
    published = "ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA=="  # noqa: E501 - published bytes
    assert split_cosignature(b64decode(published)[4:])[0] == 1727964367
    plain = "eQjRQm6eSKzFoiYalgwCPXu2y3ijtg68is9M46JKxuZB+dRfTmeQeDBoXnvxZx2ugnkyV+MUMLXpWs1hPb/W/4xkNQY="
    assert refusal(split_cosignature, b64decode(plain)[4:]) == "COSIGNATURE_FORM"


def test_the_message_of_the_cosignature_document_is_the_one_that_is_signed() -> None:
    text = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature_message(text, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + text


# Encodings


@given(st.binary(max_size=100))
def test_base64_has_one_spelling(data: bytes) -> None:
    text = encode_base64(data)
    assert decode_base64(text) == data
    for other in (text + "=", text + "\n", " " + text, text.rstrip("=") + "====", "é" + text):
        assert decode_base64(other) is None


@given(st.integers(0, 2**64))
def test_a_number_has_one_spelling(value: int) -> None:
    assert decode_decimal(str(value)) == (value if value < 2**63 else None)
    for other in (f"0{value}", f"+{value}", f" {value}", f"{value}\n", f"{value}.0", f"-{value}", ""):
        assert decode_decimal(other) is None


# Keys


def test_the_points_of_small_order_are_the_eight_that_the_curve_has() -> None:
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime

    def double(x: int, y: int) -> tuple[int, int]:
        product = d * x * x * y * y
        return (
            2 * x * y * pow(1 + product, -1, prime) % prime,
            (y * y + x * x) * pow(1 - product, -1, prime) % prime,
        )

    weak = {}
    for y_text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ):
        y = int.from_bytes(bytes.fromhex(y_text), "little")
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        x = pow(square, (prime + 3) // 8, prime)
        if x * x % prime != square:
            x = x * pow(2, (prime - 1) // 4, prime) % prime
        assert x * x % prime == square
        point = (x, y)
        for _ in range(3):
            point = double(*point)
        assert point == (0, 1)
        weak[y_text] = y
    for y in weak.values():
        for spelling in {y, y + prime}:
            for sign in (0, 1 << 255):
                if spelling < 2**255:
                    raw = (spelling | sign).to_bytes(32, "little")
                    assert refusal(VerifierKey, "a.example", KeyType.ED25519, raw) == "KEY_WEAK"


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x00b", "x" * 256, "\ud800", "a\u0085"]
)
def test_key_names_that_nobody_may_have_are_refused(name: str) -> None:
    assert refusal(check_key_name, name) == "KEY_NAME"


def test_key_names_may_be_chinese() -> None:
    assert check_key_name("碳桥.例/决定") == "碳桥.例/决定"
    key = signer("碳桥.例/决定").key
    assert parse_verifier_key(key.encode()) == key


def test_the_type_of_a_key_changes_its_hash() -> None:
    seed = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    log, witness = (
        NoteSigner.from_private_key("a.example", seed),
        NoteSigner.from_private_key("a.example", seed, KeyType.COSIGNATURE_V1),
    )
    assert log.key.public_key == witness.key.public_key
    assert log.key.key_id != witness.key.key_id
    assert "Ed25519PrivateKey" not in repr(log)


def test_a_signature_of_another_length_does_not_verify() -> None:
    assert not LOG.key.verifies(b"message", b"")
    assert not LOG.key.verifies(b"message", LOG.sign(b"message") + b"\0")
    assert LOG.key.verifies(b"message", LOG.sign(b"message"))


# Notes


@given(st.binary(max_size=60), st.lists(st.binary(min_size=5, max_size=80), min_size=1, max_size=4))
def test_a_note_that_is_read_is_written_back_byte_for_byte(text: bytes, values: list[bytes]) -> None:
    lines = b"".join(NoteSignature("k.example", v[:4], v[4:]).encode().encode() for v in values)
    data = text + b"\n\n" + lines
    try:
        note = parse_note(data)
    except TlogError:
        return
    assert note.encode() == data


def test_the_last_blank_line_separates_text_and_signatures() -> None:
    note = sign_note(b"one\n\ntwo\n\n", LOG)
    assert parse_note(note.encode()).text == b"one\n\ntwo\n\n"
    assert len(verify_note(parse_note(note.encode()), [LOG.key])) == 1


def test_sixteen_signatures_are_accepted_and_too_many_are_not() -> None:
    note = sign_note(b"text\n", *(signer(f"key-{number}.example") for number in range(MAX_SIGNATURES)))
    assert len(parse_note(note.encode()).signatures) == MAX_SIGNATURES
    assert refusal(note.with_signatures, sign_note(b"text\n", LOG).signatures) == "NOTE_TOO_MANY_SIGNATURES"
    repeated = note.encode() + LOG.key.name.join(("— ", " AAAAAAAA\n")).encode()
    assert refusal(parse_note, repeated) == "NOTE_TOO_MANY_SIGNATURES"


def test_the_size_of_a_note_is_bounded_before_it_is_read() -> None:
    assert refusal(parse_note, b"x" * (MAX_NOTE_BYTES + 1)) == "NOTE_TOO_LARGE"
    assert refusal(sign_note, b"x" * MAX_NOTE_BYTES + b"\n", LOG) == "NOTE_TOO_LARGE"
    long_signature = f"— a.example {encode_base64(bytes(4 + 8 * 1024 + 1))}\n".encode()
    assert refusal(parse_note, b"x\n\n" + long_signature) == "NOTE_SIGNATURE_LINE"


def test_what_is_no_note_text_is_not_signed() -> None:
    assert refusal(sign_note, b"no newline", LOG) == "NOTE_TEXT"
    assert refusal(sign_note, b"\x07\n", LOG) == "NOTE_CONTROL_CHARACTER"
    assert refusal(sign_note, b"\xff\n", LOG) == "NOTE_NOT_UTF8"
    assert refusal(sign_note, b"text\n") == "NOTE_NO_SIGNATURES"
    assert refusal(sign_note, b"text\n", WITNESS) == "KEY_TYPE"


def test_a_signature_line_of_the_same_key_replaces_the_older_one() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    first, second = (cosign(note.text, WITNESS, time) for time in (1, 2))
    both = note.with_signatures([first]).with_signatures([second])
    assert both.signatures == (note.signatures[0], second)


# Checkpoints


def test_a_checkpoint_is_signed_and_opened_by_the_key_of_its_origin_alone() -> None:
    data = sign_checkpoint(CHECKPOINT, LOG).encode()
    assert open_checkpoint(data, LOG.key)[0] == CHECKPOINT
    other = signer("log.example/two")
    assert refusal(open_checkpoint, data, other.key) == "LOG_UNKNOWN"
    assert refusal(sign_checkpoint, CHECKPOINT, other) == "CHECKPOINT_ORIGIN_WRONG"
    foreign = sign_note(CHECKPOINT.encode(), other).encode()
    assert refusal(open_checkpoint, foreign, LOG.key, other.key) == "CHECKPOINT_ORIGIN_WRONG"


@given(
    st.text(max_size=20),
    st.integers(-1, 2**63),
    st.binary(min_size=31, max_size=33),
    st.lists(st.text(max_size=9), max_size=MAX_EXTENSION_LINES + 1),
)
def test_a_checkpoint_is_either_refused_or_written_in_one_way(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    try:
        checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    except TlogError:
        return
    assert parse_checkpoint(checkpoint.encode()) == checkpoint


def test_a_checkpoint_out_of_bounds_is_refused_with_its_reason() -> None:
    root = hash_leaf(b"leaf")
    assert refusal(Checkpoint, "", 1, root) == "CHECKPOINT_ORIGIN"
    assert refusal(Checkpoint, "x" * 256, 1, root) == "CHECKPOINT_ORIGIN"
    assert refusal(Checkpoint, "a\nb", 1, root) == "CHECKPOINT_ORIGIN"
    assert refusal(Checkpoint, "\ud800", 1, root) == "CHECKPOINT_ORIGIN"
    assert refusal(Checkpoint, "a\tb", 1, root) == "NOTE_CONTROL_CHARACTER"
    assert refusal(Checkpoint, "a", 2**63, root) == "TREE_SIZE"
    assert refusal(Checkpoint, "a", 1, b"") == "HASH_SIZE"
    assert refusal(Checkpoint, "a", 0, root) == "CHECKPOINT_EMPTY_ROOT"
    assert refusal(Checkpoint, "a", 1, root, ("",)) == "CHECKPOINT_LINES"
    assert refusal(Checkpoint, "a", 1, root, ("b\nc",)) == "CHECKPOINT_LINES"
    assert refusal(Checkpoint, "a", 1, root, ("b",) * (MAX_EXTENSION_LINES + 1)) == "CHECKPOINT_LINES"
    assert refusal(Checkpoint, "a", 1, root, ("\ud800",)) == "NOTE_NOT_UTF8"
    assert refusal(parse_checkpoint, b"x" * 20000) == "CHECKPOINT_LINES"
    assert Checkpoint("a", 0, EMPTY_ROOT).size == 0


# Cosignatures


def test_a_witness_cosigns_checkpoints_and_nothing_else() -> None:
    note = sign_checkpoint(CHECKPOINT, LOG)
    cosigned = note.with_signatures([cosign(note.text, WITNESS, 1750000000)])
    (found,) = verify_cosignatures(parse_note(cosigned.encode()), (WITNESS.key, LOG.key))
    assert (found.key, found.time_seconds) == (WITNESS.key, 1750000000)
    assert refusal(cosign, b"any text\n", WITNESS, 0) == "CHECKPOINT_LINES"
    assert refusal(cosign, note.text, LOG, 0) == "KEY_TYPE"
    assert refusal(cosign, note.text, WITNESS, 2**63) == "COSIGNATURE_TIME"
    assert refusal(cosign, note.text, WITNESS, -1) == "COSIGNATURE_TIME"


def test_a_cosignature_is_no_plain_signature_and_the_other_way_round() -> None:
    seed = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    log, witness = (
        NoteSigner.from_private_key("a.example", seed),
        NoteSigner.from_private_key("a.example", seed, KeyType.COSIGNATURE_V1),
    )
    text = Checkpoint("a.example", 1, hash_leaf(b"leaf")).encode()
    line = cosign(text, witness, 7)
    as_plain = Note(text, (NoteSignature("a.example", log.key.key_id, line.signature[8:]),))
    assert refusal(verify_note, as_plain, [log.key]) == "NOTE_SIGNATURE_WRONG"
    plain = sign_note(text, log).signatures[0].signature
    as_cosignature = Note(text, (NoteSignature("a.example", witness.key.key_id, bytes(8) + plain),))
    assert refusal(verify_cosignatures, as_cosignature, (witness.key,)) == "NOTE_SIGNATURE_WRONG"
