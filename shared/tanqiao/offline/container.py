"""The proof file: a head that names its parts and their sizes, then the parts, byte for byte.

Layout::

    tanqiao-proof@v1
    kind <word>
    <part> <bytes in decimal>        one line for each part, in the order of the kind's grammar
    <blank line>
    <the parts, one after the other>

There is one spelling of a file: the grammar fixes the order of parts, numbers are canonical, nothing follows
the last part. Only `ENTRIES`, which holds the entries of a whole log, may be large; it is the last part and
is read as a stream.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, Final

from tanqiao.tlog.encoding import decode_decimal
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.tiles import ENTRY_LENGTH_SIZE_BYTES

__all__ = [
    "ENTRIES",
    "FILE_SUFFIX",
    "GRAMMARS",
    "HEADER",
    "ProofFile",
    "encode_file",
    "read_entries",
    "read_file",
]

FILE_SUFFIX: Final = ".tanqiao-proof"
HEADER: Final = "tanqiao-proof@v1"
ENTRIES: Final = "entries"
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 1024
MAX_PART_BYTES: Final = 4 * 1024 * 1024
MAX_PARTS_BYTES: Final = 32 * 1024 * 1024
MAX_ENTRIES_BYTES: Final = 1 << 40
_CHUNK_BYTES: Final = 1 << 20

_KEYS: Final = r"(?:leaf path(?: envelope)? )+"
_OPENINGS: Final = r"(?:opening-address )?(?:opening-owner )?"
_RULES: Final = r"(?:rules-name rules-text )"
GRAMMARS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        kind: re.compile(grammar)
        for kind, grammar in {
            "title": rf"checkpoint leaf path envelope envelope envelope {_OPENINGS}{_RULES}*{_KEYS}",
            "retirement": (
                rf"checkpoint leaf path envelope envelope (?:opening-owner )?(?:opening-beneficiary )?"
                rf"{_RULES}*{_KEYS}"
            ),
            "certificate": (
                rf"checkpoint leaf path envelope envelope certificate (?:opening-beneficiary )?{_KEYS}"
            ),
            "rules": rf"checkpoint leaf path envelope envelope(?: envelope)? {_RULES}+{_KEYS}",
            "decision": r"claim checkpoint entries ",
            "conservation": r"claim checkpoint (?:lock )*entries ",
            "location": r"claim checkpoint (?:lock )*entries ",
            "location-root": r"claim checkpoint leaf path row row-path page page-path bucket bucket-path ",
            "filing-proof": rf"checkpoint envelope {_KEYS}",
            "handover": rf"checkpoint leaf path envelope {_KEYS}",
            "contradiction": rf"checkpoint envelope envelope {_KEYS}",
            "conflict": rf"checkpoint envelope (?:step-leaf step-path step )+{_KEYS}",
            "witness-misbehaviour": r"first second ",
        }.items()
    }
)
"""Kind → the names of its parts in order, each followed by a space."""

_PART_NAME: Final = re.compile(r"[a-z][a-z-]{0,31}")


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A file as read: nothing in it is believed before it is verified.

    Args:
        kind: what it claims to prove.
        parts: names and bytes, without the entries.
        entries_bytes: size of the entries; 0 where the kind has none.
    """

    kind: str
    parts: tuple[tuple[str, bytes], ...]
    entries_bytes: int = 0

    def all(self, name: str) -> list[bytes]:
        """Give every part of this name, in order."""
        return [data for known, data in self.parts if known == name]

    def one(self, name: str) -> bytes:
        """Give the first part of this name; the grammar has seen to it that there is one."""
        return self.all(name)[0]

    def maybe(self, name: str) -> bytes | None:
        """Give the part of this name, or None."""
        found = self.all(name)
        return found[0] if found else None


def encode_file(kind: str, parts: Sequence[tuple[str, bytes]], entries_bytes: int | None = None) -> bytes:
    """Write a file, or all of it that comes before its entries.

    Raises:
        TlogError: `FILE_KIND`, `FILE_PARTS`, `FILE_TOO_LARGE`.
    """
    sizes = [(name, len(data)) for name, data in parts]
    if entries_bytes is not None:
        sizes.append((ENTRIES, entries_bytes))
    _check_parts(kind, sizes)
    lines = [HEADER, f"kind {kind}", *(f"{name} {size}" for name, size in sizes)]
    return "\n".join(lines).encode() + b"\n\n" + b"".join(data for _, data in parts)


def read_file(stream: BinaryIO) -> ProofFile:
    """Read head and parts; the stream then stands before the entries, if there are any.

    Raises:
        TlogError: `FILE_FORM`, `FILE_KIND`, `FILE_PARTS`, `FILE_TOO_LARGE`.
    """
    start = stream.tell()
    head, separator, _ = stream.read(MAX_HEAD_BYTES).partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not separator or lines[0] != HEADER:
        raise TlogError("FILE_FORM", "the head")
    if len(lines) < 2 or not lines[1].startswith("kind "):  # noqa: PLR2004 - header, kind
        raise TlogError("FILE_FORM", "the kind line")
    kind = lines[1].removeprefix("kind ")
    sizes = [_part_line(line) for line in lines[2 : 3 + MAX_PARTS]]
    _check_parts(kind, sizes)
    stream.seek(start + len(head) + 2)
    parts = tuple((name, _exactly(stream, size)) for name, size in sizes if name != ENTRIES)
    entries_bytes = sizes[-1][1] if sizes[-1][0] == ENTRIES else 0
    position = stream.tell()
    end = stream.seek(0, io.SEEK_END)
    if end != position + entries_bytes:
        raise TlogError("FILE_FORM", f"{end - position} bytes where {entries_bytes} belong")
    stream.seek(position)
    return ProofFile(kind, parts, entries_bytes)


def read_entries(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Walk over the entries: each behind its 16-bit length, as in the entry bundles of a log.

    Raises:
        TlogError: `BUNDLE_FORM`.
    """
    left, buffer = size_bytes, b""
    while left or buffer:
        chunk = stream.read(min(left, _CHUNK_BYTES))
        left -= len(chunk)
        data = buffer + chunk
        at, end = 0, len(data)
        while at + ENTRY_LENGTH_SIZE_BYTES <= end:
            stop = at + ENTRY_LENGTH_SIZE_BYTES + (data[at] << 8 | data[at + 1])
            if stop > end:
                break
            yield data[at + ENTRY_LENGTH_SIZE_BYTES : stop]
            at = stop
        buffer = data[at:]
        if buffer and not chunk:
            raise TlogError("BUNDLE_FORM", "the entries are cut off")


def _part_line(line: str) -> tuple[str, int]:
    name, _, text = line.partition(" ")
    size = decode_decimal(text)
    if size is None or _PART_NAME.fullmatch(name) is None:
        raise TlogError("FILE_FORM", f"the line {line[:60]!a}")
    return name, size


def _check_parts(kind: str, sizes: Sequence[tuple[str, int]]) -> None:
    grammar = GRAMMARS.get(kind)
    if grammar is None:
        raise TlogError("FILE_KIND", ascii(kind[:40]))
    if len(sizes) > MAX_PARTS:
        raise TlogError("FILE_PARTS", f"more than {MAX_PARTS}")
    if grammar.fullmatch("".join(f"{name} " for name, _ in sizes)) is None:
        raise TlogError("FILE_PARTS", kind)
    small = [size for name, size in sizes if name != ENTRIES]
    if sum(small) > MAX_PARTS_BYTES or max(small) > MAX_PART_BYTES:
        raise TlogError("FILE_TOO_LARGE", f"parts of {sum(small)} bytes")
    if sizes[-1][0] == ENTRIES and sizes[-1][1] > MAX_ENTRIES_BYTES:
        raise TlogError("FILE_TOO_LARGE", f"entries of {sizes[-1][1]} bytes")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise TlogError("FILE_FORM", "cut off")
    return data
