"""Policies that read otherwise than they were meant."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256

from tests.golden.museum.exhibits import FIRST_POLICY, LOG, WITNESSES, BadFile


def bad_policies() -> Iterator[BadFile]:
    good = FIRST_POLICY.encode()
    lines = good.decode().splitlines(keepends=True)
    log, w1, w2, w3, group, quorum = lines
    assert group == "group quorum 2 w1 w2 w3\n"

    def case(name: str, reason: str, attack: str, *parts: str | bytes) -> BadFile:
        data = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
        return BadFile("policy", name, reason, attack, data)

    witnesses = w1 + w2 + w3
    yield case("empty", "POLICY_NOT_TERMINATED", "no bytes at all")
    yield case("cut-off", "POLICY_NOT_TERMINATED", "the end of a name is missing", good[:-3])
    yield case("carriage-returns", "POLICY_CHARACTER", "other line ends", good.replace(b"\n", b"\r\n"))
    yield case("nul", "POLICY_CHARACTER", "a reader in C stops here", log, "\0\n", witnesses, group, quorum)
    yield case(
        "form-feed",
        "POLICY_CHARACTER",
        "space to some readers only",
        log.replace(" ", "\f"),
        witnesses,
        group,
        quorum,
    )
    yield case(
        "unknown-keyword",
        "POLICY_KEYWORD",
        "a rule that a reader skips",
        log,
        "require all\n",
        witnesses,
        group,
        quorum,
    )
    yield case(
        "upper-case-keyword", "POLICY_KEYWORD", "a second spelling", log, witnesses, group, quorum.upper()
    )
    yield case(
        "no-break-space",
        "POLICY_KEYWORD",
        "not white space here",
        log,
        witnesses,
        group,
        "\N{NO-BREAK SPACE}" + quorum,
    )
    yield case("no-quorum", "POLICY_QUORUM", "nothing needed", log, witnesses, group)
    yield case("two-quorums", "POLICY_QUORUM", "the second weakens the first", *lines, "quorum none\n")
    yield case("quorum-undefined", "POLICY_NAME_UNKNOWN", "a name nobody has", log, witnesses, "quorum w9\n")
    yield case(
        "quorum-before-its-group",
        "POLICY_NAME_UNKNOWN",
        "used before it is defined",
        log,
        witnesses,
        quorum,
        group,
    )
    yield case(
        "quorum-of-two-names", "POLICY_LINE", "a rule nobody defined", log, witnesses, "quorum w1 w2\n"
    )
    yield case(
        "group-of-a-later-witness",
        "POLICY_NAME_UNKNOWN",
        "used before it is defined",
        log,
        group,
        witnesses,
        quorum,
    )
    yield case(
        "group-in-a-circle",
        "POLICY_NAME_UNKNOWN",
        "a group in itself",
        log,
        witnesses,
        "group g any g w1\n",
        "quorum g\n",
    )
    yield case(
        "group-without-members",
        "POLICY_LINE",
        "nobody is needed",
        log,
        witnesses,
        "group g all\n",
        "quorum g\n",
    )
    yield case(
        "group-with-none",
        "POLICY_NAME_UNKNOWN",
        "none as a member",
        log,
        witnesses,
        "group g any none w1\n",
        "quorum g\n",
    )
    yield case(
        "group-named-none",
        "POLICY_NAME_RESERVED",
        "none with another meaning",
        log,
        witnesses,
        "group none all w1 w2\n",
        "quorum none\n",
    )
    yield case(
        "witness-named-none",
        "POLICY_NAME_RESERVED",
        "none with another meaning",
        log,
        w1.replace(" w1 ", " none "),
        "quorum none\n",
    )
    yield case(
        "name-twice",
        "POLICY_NAME_TWICE",
        "two witnesses under one name",
        log,
        w1,
        w2.replace(" w2 ", " w1 "),
        "quorum w1\n",
    )
    yield case(
        "group-named-like-a-witness",
        "POLICY_NAME_TWICE",
        "one name for two",
        log,
        witnesses,
        "group w1 any w2 w3\n",
        "quorum w1\n",
    )
    yield case(
        "member-twice",
        "POLICY_MEMBER_TWICE",
        "one witness counts twice",
        log,
        witnesses,
        "group quorum 2 w1 w1 w3\n",
        quorum,
    )
    yield case(
        "member-of-two-groups",
        "POLICY_MEMBER_TWICE",
        "one witness counts in two groups",
        log,
        witnesses,
        "group a any w1 w2\n",
        "group b any w2 w3\n",
        "group quorum all a b\n",
        quorum,
    )
    for name, threshold in (
        ("zero", "0"),
        ("above-the-members", "4"),
        ("negative", "-1"),
        ("leading-zero", "02"),
        ("plus-sign", "+2"),
        ("hexadecimal", "0x2"),
        ("word", "most"),
        ("full-width-digit", "２"),
    ):
        yield case(
            f"threshold-{name}",
            "POLICY_THRESHOLD",
            "a number some readers take for another",
            log,
            witnesses,
            group.replace(" 2 ", f" {threshold} "),
            quorum,
        )
    yield case(
        "inline-comment",
        "POLICY_LINE",
        "words that look like a comment",
        log,
        w1[:-1] + " # of\tthe region\n",
        "quorum w1\n",
    )
    yield case("log-without-key", "POLICY_LINE", "any log", "log\n", "quorum none\n")
    later = "from 301\n"
    yield case(
        "later-group-without-a-quorum",
        "POLICY_QUORUM",
        "after the change nobody is needed",
        *lines,
        later,
        w1,
    )
    yield case(
        "quorum-of-the-replaced-group",
        "POLICY_NAME_UNKNOWN",
        "names of the group before count on",
        *lines,
        later,
        quorum,
    )
    yield case(
        "first-group-missing",
        "POLICY_QUORUM",
        "before the change nobody is needed",
        log,
        later,
        witnesses,
        group,
        quorum,
    )
    yield case(
        "two-groups-from-one-size",
        "POLICY_FROM",
        "the second takes the place of the first",
        *lines,
        later,
        *lines[1:],
        later,
        w1,
        "quorum w1\n",
    )
    yield case(
        "groups-out-of-order",
        "POLICY_FROM",
        "an earlier size behind a later one",
        *lines,
        later,
        *lines[1:],
        "from 200\n",
        w1,
        "quorum w1\n",
    )
    yield case(
        "from-no-number",
        "POLICY_FROM",
        "a size some readers take for another",
        *lines,
        "from 0x12d\n",
        w1,
        "quorum w1\n",
    )
    yield case(
        "from-zero", "POLICY_FROM", "the first group never counts", *lines, "from 0\n", w1, "quorum w1\n"
    )
    yield case(
        "from-two-words", "POLICY_LINE", "a range nobody defined", *lines, "from 301 400\n", w1, "quorum w1\n"
    )
    yield case(
        "another-log-after-a-change",
        "POLICY_LINE",
        "the change of witnesses brings a log",
        *lines,
        later,
        log,
        *lines[1:],
    )
    yield from _bad_policy_keys(case, log, witnesses + group + quorum)


def _bad_policy_keys(case: Callable[..., BadFile], log: str, rest: str) -> Iterator[BadFile]:
    w2 = WITNESSES[1].key
    good_text = w2.encode()
    raw = bytes([w2.type]) + w2.public_key

    def key(name: str, data: bytes) -> str:
        digest = sha256(name.encode() + b"\n" + data).digest()[:4].hex()
        return f"{name}+{digest}+{b64encode(data).decode()}"

    def with_key(text: str) -> str:
        return rest.replace(good_text, text)

    name, digest, encoded = good_text.split("+", 2)
    yield case(
        "witness-with-a-log-key",
        "KEY_TYPE",
        "plain signatures counted as cosignatures",
        log,
        with_key(key(name, b"\x01" + raw[1:])),
    )
    yield case(
        "log-with-a-witness-key",
        "KEY_TYPE",
        "a witness speaks for the log",
        f"log {good_text}\n",
        "quorum none\n",
    )
    yield case(
        "key-of-unknown-type",
        "KEY_TYPE",
        "a key that is never checked",
        log,
        with_key(key(name, b"\x63" + raw[1:])),
    )
    yield case(
        "key-hash-wrong",
        "KEY_HASH_WRONG",
        "the hash of another key",
        log,
        with_key(f"{name}+00000000+{encoded}"),
    )
    yield case(
        "key-hash-upper-case",
        "KEY_HASH_WRONG",
        "a second spelling",
        log,
        with_key(f"{name}+{digest.upper()}+{encoded}"),
    )
    yield case("key-31-bytes", "KEY_MALFORMED", "cut off", log, with_key(key(name, raw[:-1])))
    yield case("key-33-bytes", "KEY_MALFORMED", "lengthened", log, with_key(key(name, raw + b"0")))
    yield case("key-not-base64", "KEY_MALFORMED", "no key", log, with_key(f"{name}+{digest}+!!!!"))
    yield case("key-without-hash", "KEY_MALFORMED", "two parts", log, with_key(f"{name}+{digest}"))
    yield case("key-without-name", "KEY_NAME", "nobody's key", log, with_key("+" + key("", raw).lstrip("+")))
    yield case(
        "key-of-small-order",
        "KEY_WEAK",
        "a key for which anyone can sign",
        log,
        with_key(key(name, b"\x04\x01" + bytes(31))),
    )
    yield case(
        "key-of-small-order-not-canonical",
        "KEY_WEAK",
        "the same point spelt otherwise",
        log,
        with_key(key(name, b"\x04" + (2**255 - 18).to_bytes(32, "little"))),
    )
    again = key("renamed.example", bytes([w2.type]) + WITNESSES[0].key.public_key)
    yield case(
        "one-witness-under-two-names", "POLICY_KEY_TWICE", "one witness counts twice", log, with_key(again)
    )
    shared = key(name, b"\x04" + LOG.key.public_key)
    yield case("log-is-its-own-witness", "POLICY_KEY_TWICE", "the log cosigns itself", log, with_key(shared))
    yield case(
        "log-twice",
        "POLICY_KEY_TWICE",
        "one log under two origins",
        log,
        f"log {key('other.example', bytes([1]) + LOG.key.public_key)}\n",
        rest,
    )
