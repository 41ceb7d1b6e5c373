"""A mirror as one file: what a witness kept of the bridge's log, to carry it to an empty machine.

Layout: one line of text, then parts, each behind its length in 4 bytes, big-endian: a MirrorHead, then one
LogLeaf for each leaf from index 0 on. Nothing in the file is believed: the leaves hash to the root of a
checkpoint that the log signed, messages have the hashes that leaves name, records are sealed. Personal data
stand in it only sealed; the messages name organisations, so it is to be kept like a database.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from google.protobuf.message import DecodeError

from tanqiao.api.bridge.v1 import log_pb2, mirror_pb2
from tanqiao.db.engine import Database
from tanqiao.db.node_state import get_state
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.logs import log_name
from tanqiao.signing.parties import BRIDGE
from tanqiao.witnessing import tables
from tanqiao.witnessing.replay import SeenLeaf, seen_leaf
from tanqiao.witnessing.store import COSIGNED, LEAVES_PER_READ_MAX, SHOWN, ReplayStore

MIRROR_FORMAT: Final = b"tanqiao-mirror@v1\n"
PART_BYTES_MAX: Final = 16 << 20
LENGTH_BYTES: Final = 4
LEAVES_MAX: Final = 1 << 32


def write_mirror(database: Database, path: Path) -> int:
    """Write what a witness has mirrored to a new file; the witness may work meanwhile. Gives its leaves.

    Raises:
        DomainError: ALREADY_EXISTS, NOT_FOUND for a database that no witness has used, MIRROR_INVALID for a
            mirror that has nothing to show for itself: it has not replayed since this version.
    """
    with database.reading() as connection:
        network_id = get_state(connection, tables.node_state, "network_id")
        party = get_state(connection, tables.node_state, "party")
    if not network_id or not party:
        raise DomainError("NOT_FOUND", what="witness", id=path)
    store = ReplayStore(database, log_name(network_id, BRIDGE))
    shown, cosigned = store.mirror_checkpoint(SHOWN), store.mirror_checkpoint(COSIGNED)
    if shown is None:
        raise DomainError("MIRROR_INVALID", file=path, detail="nothing was mirrored with its checkpoint yet")
    fits = cosigned is not None and cosigned.size <= shown.size
    head = mirror_pb2.MirrorHead(
        network_id=network_id,
        party=party,
        size=shown.size,
        shown_checkpoint=shown.note,
        shown_proof=shown.proof,
        cosigned_checkpoint=cosigned.note if cosigned is not None and fits else b"",
        handover_checkpoints=store.handovers().values(),
    )
    part = path.with_name(f".{path.name}.part")
    if path.exists():
        raise DomainError("ALREADY_EXISTS", what="file", id=path)
    with part.open("wb") as file:
        file.write(MIRROR_FORMAT)
        _write(file, head.SerializeToString())
        index = 0
        while index < head.size:
            for leaf in store.mirrored(index, min(LEAVES_PER_READ_MAX, head.size - index)):
                _write(file, _leaf_message(leaf).SerializeToString())
                index += 1
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return index


def _leaf_message(leaf: SeenLeaf) -> log_pb2.LogLeaf:
    return log_pb2.LogLeaf(
        log_index=leaf.log_index, leaf=leaf.data, envelopes=leaf.envelopes, sealed_record=leaf.sealed_record
    )


def _write(file: BinaryIO, part: bytes) -> None:
    file.write(len(part).to_bytes(LENGTH_BYTES, "big"))
    file.write(part)


class MirrorFile:
    """A mirror file that is open; close it.

    Args:
        path: of the file.

    Raises:
        DomainError: FILE_MISSING, MIRROR_INVALID for what is no mirror, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise DomainError("FILE_MISSING", file=path) from error
        try:
            self._size_bytes = path.stat().st_size
            if self._file.read(len(MIRROR_FORMAT)) != MIRROR_FORMAT:
                raise self.invalid("it is not a mirror of this version")
            self.head = mirror_pb2.MirrorHead.FromString(self._next())
            self._offsets = self._find_leaves()
        except (DecodeError, DomainError) as error:
            self._file.close()
            raise error if isinstance(error, DomainError) else self.invalid("its head is damaged") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def size(self) -> int:
        """How many leaves it has."""
        return len(self._offsets)

    def invalid(self, detail: str) -> DomainError:
        """Give the refusal of this file."""
        return DomainError("MIRROR_INVALID", file=self.path, detail=detail)

    def leaf(self, log_index: int) -> SeenLeaf:
        """Read one leaf.

        Raises:
            DomainError: MIRROR_INVALID for a part that is no leaf, or one of another index.
        """
        self._file.seek(self._offsets[log_index])
        try:
            leaf = log_pb2.LogLeaf.FromString(self._next())
        except DecodeError as error:
            raise self.invalid(f"leaf {log_index} is damaged") from error
        if leaf.log_index != log_index:
            raise self.invalid(f"leaf {log_index} is that of another index")
        return seen_leaf(leaf)

    def leaves(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        """Read leaves in order."""
        return [self.leaf(index) for index in range(from_index, min(self.size, from_index + limit))]

    def _next(self) -> bytes:
        length = int.from_bytes(self._file.read(LENGTH_BYTES), "big")
        if not 0 < length <= PART_BYTES_MAX:
            raise self.invalid("it is cut off, or a part is too large")
        part = self._file.read(length)
        if len(part) != length:
            raise self.invalid("it is cut off")
        return part

    def _find_leaves(self) -> array[int]:
        offsets: array[int] = array("Q")
        at = self._file.tell()
        if not 0 <= self.head.size <= LEAVES_MAX:
            raise self.invalid("its head is damaged")
        while at < self._size_bytes and len(offsets) < self.head.size:
            offsets.append(at)
            self._file.seek(at)
            at += LENGTH_BYTES + int.from_bytes(self._file.read(LENGTH_BYTES), "big")
        if len(offsets) != self.head.size or at != self._size_bytes:
            raise self.invalid(f"it has not the {self.head.size} leaves that its head names")
        return offsets
