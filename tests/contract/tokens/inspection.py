"""Looks for an identifier, and for every unkeyed hash of one, in bytes that left a region.

An identifier is sought as it was written and in its canonical form, in several encodings; a hash under the
usual functions, of the identifier alone and behind its scheme, in the same encodings.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives import hashes

from tanqiao.claims.personal import canonical_identifier

FUNCTIONS = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3_256",
    "sha3_512",
    "blake2b",
    "blake2s",
)
SHOWN_SHORTEST = 8
"""Characters of an identifier that already tell whose it is, with division and maker known."""


def sm3(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def forms_of(scheme: str, written: str) -> set[str]:
    """Give the ways in which people and programs write an identifier."""
    canonical = canonical_identifier(scheme, written)
    plain = {written, canonical, canonical.lower(), canonical.partition(":")[2] or canonical}
    return plain | {f"{scheme}:{one}" for one in plain} | {f"{scheme}={one}" for one in plain}


def hashes_of(text: str) -> Iterator[bytes]:
    for data in (text.encode(), text.encode("utf-16-le"), f"{text}\n".encode()):
        for name in FUNCTIONS:
            yield hashlib.new(name, data).digest()
        yield sm3(data)
        yield hashlib.sha256(hashlib.sha256(data).digest()).digest()


def encodings_of(data: bytes) -> Iterator[bytes]:
    """Give the bytes as they are, in hexadecimal and in base64, whichever way it is filled up."""
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).rstrip(b"=")


def needles_of(identifiers: Iterable[tuple[str, str]]) -> dict[bytes, str]:
    """Give everything that may not be found, and what it is."""
    needles: dict[bytes, str] = {}
    for scheme, written in identifiers:
        for form in forms_of(scheme, written):
            needles |= dict.fromkeys(encodings_of(form.encode()), f"{scheme} as written")
            needles[form.encode("utf-16-le")] = f"{scheme} in UTF-16"
            for digest in hashes_of(form):
                needles |= dict.fromkeys(encodings_of(digest), f"{scheme} hashed")
        canonical = canonical_identifier(scheme, written)
        tail = canonical[-SHOWN_SHORTEST:]
        needles[tail.encode()] = f"{scheme}, its end"
    return needles


def found_in(haystacks: Iterable[bytes], needles: dict[bytes, str]) -> set[str]:
    """Name what was found: one walk over the bytes, for there are thousands of needles."""
    by_start: dict[bytes, list[tuple[bytes, str]]] = {}
    for needle, what in needles.items():
        by_start.setdefault(needle[:SHOWN_SHORTEST], []).append((needle, what))
    found = set()
    for haystack in haystacks:
        for at in range(len(haystack) - SHOWN_SHORTEST + 1):
            for needle, what in by_start.get(haystack[at : at + SHOWN_SHORTEST], ()):
                if haystack.startswith(needle, at):
                    found.add(what)
    return found
