"""Notes that no reader may accept."""

from __future__ import annotations

from collections.abc import Iterator

from tanqiao.tlog.note import sign_note
from tests.golden.museum.exhibits import LOG, ORIGIN, OTHER_LOG, BadFile, base64, next_letter


def bad_notes() -> Iterator[BadFile]:
    text = b"A text.\n\nIts second part.\n"
    note = sign_note(text, LOG)
    good, line = note.encode(), note.signatures[0]
    name, value = ORIGIN.encode(), base64(line.key_id + line.signature)

    def case(name_of_attack: str, reason: str, attack: str, data: bytes) -> BadFile:
        return BadFile("note", name_of_attack, reason, attack, data)

    def with_line(new: bytes) -> bytes:
        return text + b"\n" + new

    form = "NOTE_SIGNATURE_LINE"
    yield case("empty", "NOTE_NOT_TERMINATED", "no bytes at all", b"")
    yield case("text-only", "NOTE_NO_SIGNATURES", "an unsigned text", b"A text.\n")
    yield case(
        "nothing-under-the-blank-line", "NOTE_NO_SIGNATURES", "the signatures were cut off", text + b"\n"
    )
    yield case("cut-off", "NOTE_NOT_TERMINATED", "the last byte is missing", good[:-1])
    yield case("not-utf8", "NOTE_NOT_UTF8", "bytes that show as something else", b"\xff" + good)
    yield case("overlong-utf8", "NOTE_NOT_UTF8", "a slash written in two bytes", b"\xc0\xaf" + good)
    yield case("surrogate", "NOTE_NOT_UTF8", "half a character", b"\xed\xa0\x80" + good)
    yield case("control-character", "NOTE_CONTROL_CHARACTER", "a backspace hides text", b"\x08" + good)
    yield case("nul", "NOTE_CONTROL_CHARACTER", "a reader in C stops here", b"\x00" + good)
    yield case("carriage-returns", "NOTE_CONTROL_CHARACTER", "other line ends", good.replace(b"\n", b"\r\n"))
    yield case("hyphen-for-em-dash", form, "a look-alike", with_line(b"- " + name + b" " + value + b"\n"))
    yield case(
        "en-dash-for-em-dash", form, "a look-alike", good.replace("—".encode(), "\N{EN DASH}".encode())
    )
    yield case(
        "two-spaces", form, "a second spelling", with_line("— ".encode() + name + b"  " + value + b"\n")
    )
    yield case("trailing-space", form, "a second spelling", good[:-1] + b" \n")
    yield case("base64-without-padding", form, "a second spelling", good.replace(b"=\n", b"\n"))
    yield case("base64-stray-bits", form, "a second spelling", good[:-3] + next_letter(good[-3]) + good[-2:])
    yield case("base64-url-alphabet", form, "another alphabet", with_line(_url_line(name, value)))
    yield case("key-hash-only", form, "an empty signature", with_line(_line(name, line.key_id)))
    yield case("line-behind-the-signatures", form, "smuggled text", good + b"Unsigned text.\n")
    yield case("plus-in-key-name", "KEY_NAME", "a name no key has", good.replace(b"example/", b"example+"))
    yield case(
        "no-break-space-in-key-name",
        "KEY_NAME",
        "a look-alike name",
        good.replace(b"example/", "example\N{NO-BREAK SPACE}".encode()),
    )
    yield case(
        "empty-key-name", "KEY_NAME", "a signature by nobody", with_line(_line(b"", b"1234" + bytes(64)))
    )
    yield case(
        "too-many-signatures",
        "NOTE_TOO_MANY_SIGNATURES",
        "work for the verifier",
        good + _line(b"x", b"1234" + bytes(64)) * 64,
    )
    wrong = "NOTE_SIGNATURE_WRONG"
    yield case("text-changed", wrong, "another text under the signature", good.replace(b"A text", b"B text"))
    yield case("text-shortened", wrong, "the first part dropped", good[good.index(b"Its") :])
    flipped = bytes([line.signature[0] ^ 1]) + line.signature[1:]
    yield case("signature-bit-flipped", wrong, "damaged", with_line(_line(name, line.key_id + flipped)))
    yield case(
        "signature-63-bytes", wrong, "cut off", with_line(_line(name, line.key_id + line.signature[:63]))
    )
    yield case(
        "signature-65-bytes", wrong, "lengthened", with_line(_line(name, line.key_id + line.signature + b"0"))
    )
    malleable = line.signature[:32] + _plus_group_order(line.signature[32:])
    yield case(
        "signature-malleable",
        wrong,
        "a second signature made from the first without the key",
        with_line(_line(name, line.key_id + malleable)),
    )
    second = _line(name, line.key_id + bytes(64))
    yield case("good-line-then-bad-line-of-one-key", wrong, "two verifiers look at two lines", good + second)
    yield case(
        "signature-of-another-note",
        wrong,
        "copied from elsewhere",
        with_line(sign_note(b"Another text.\n", LOG).signatures[0].encode().encode()),
    )
    unknown = "LOG_UNKNOWN"
    yield case("signed-by-a-stranger", unknown, "nobody known signed", sign_note(text, OTHER_LOG).encode())
    yield case(
        "known-name-other-key-hash",
        unknown,
        "only the name is the log's",
        with_line(_line(name, OTHER_LOG.key.key_id + line.signature)),
    )
    yield case(
        "known-key-hash-other-name",
        unknown,
        "only the hash is the log's",
        with_line(_line(b"elsewhere.example", line.key_id + line.signature)),
    )


def _line(name: bytes, value: bytes) -> bytes:
    return "— ".encode() + name + b" " + base64(value) + b"\n"


def _url_line(name: bytes, value: bytes) -> bytes:
    # Long runs of 63 and 62 make sure that both letters which differ between the alphabets occur.
    return "— ".encode() + name + b" " + value[:8] + b"_-" * 40 + b"\n"


def _plus_group_order(scalar: bytes) -> bytes:
    """The scalar of an Ed25519 signature plus the group order: the same number modulo it."""
    order = 2**252 + 27742317777372353535851937790883648493
    return (int.from_bytes(scalar, "little") + order).to_bytes(32, "little")
