"""Evidence files of lies that a witness has found (PROTOCOL sections 6 and 8).

A witness that meets two signatures which cannot both be honest makes the file that shows it to a stranger:
two checkpoints of one log, two promises of one party, two cosignatures of one witness. What the file rests on
comes from the witness's own mirror, never from the word of the accused; each file is verified, as a stranger
would, before it is kept. A file is named for its matter, so that one lie gives one file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import structlog

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import FILE_SUFFIX, encode_file
from tanqiao.offline.make import ServedLeaf, make_contradiction
from tanqiao.offline.verify import verify_bytes
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.checkpoint import Checkpoint, parse_checkpoint, size_of_note
from tanqiao.tlog.cosignature import Cosignature, verify_cosignatures
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import EVIDENCE_SUFFIX, make_evidence
from tanqiao.tlog.merkle import HashReader, MemoryTree, hash_leaf, root_at
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.policy import Policy, verify_checkpoint
from tanqiao.tlog.reading import LogReader
from tanqiao.tlog.tiles import TileSource
from tanqiao.witnessing.replay import SeenLeaf

MIRROR_LEAVES_MAX: Final = 4_000_000
"""Of a larger mirror no tree is made in memory; the accused's own tiles, which must hash, are used alone."""
NAME_CHARACTERS: Final = 16
HARMLESS_MAX: Final = 10_000
DENIAL_TYPE: Final = payload_type_of(messages_pb2.Nack)

_log = structlog.get_logger("tanqiao.witness")


class Mirror(Protocol):
    """Port: the leaves that this witness has replayed."""

    def mirrored(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        """Give leaves in order, with the messages beside them."""
        ...


class Accuser:
    """Makes and keeps evidence files.

    Args:
        mirror: the witness's own copy of the log.
        policy: gives the policy under which a stranger verifies.
        folder: where files are put; None: nothing is kept, and the witness only refuses.
        tiles: the log's tiles as it serves them now; they are believed only where they hash.
        cosigned: gives the newest checkpoint that a quorum cosigned, as the log shows it.
    """

    def __init__(
        self,
        mirror: Mirror,
        policy: Callable[[int | None], Policy],
        folder: Path | None,
        tiles: TileSource,
        cosigned: Callable[[], bytes],
    ) -> None:
        self._mirror = mirror
        self._policy = policy
        self._folder = folder
        self._tiles = tiles
        self._cosigned = cosigned
        self._largest: dict[str, tuple[Checkpoint, Cosignature, bytes]] = {}
        self._harmless: set[str] = set()
        """Pairs of checkpoints that were found to be honest: they are not held against each other again."""

    @property
    def files(self) -> list[Path]:
        """The files that are kept, by name."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))

    # -- lies of the log -------------------------------------------------------------------------------------

    def root_at(self, size: int) -> bytes:
        """Give the root that the replayed leaves have at a size; `HASH_MISSING` beyond them."""
        return root_at(size, self._tree(size))

    def of_checkpoints(self, first: bytes, second: bytes) -> bool:
        """Show that the log signed two trees that do not belong together; whether a file is kept.

        The matter is the first: a log that goes on growing beside what a witness has promised is one lie.
        """
        name = _name("log", first) + EVIDENCE_SUFFIX
        if self._folder is None or self._has(name):
            return self._has(name)
        larger = max((_tree_of(note) for note in (first, second)), key=lambda tree: tree.size)
        pair = _name("log", first, second)
        for reader in () if pair in self._harmless else self._readers(larger):
            try:
                return self._keep(name, make_evidence(first, second, self._policy(None), reader()))
            except TlogError as error:
                if error.reason == "EVIDENCE_PROVES_NOTHING" and len(self._harmless) < HARMLESS_MAX:
                    self._harmless.add(pair)
                _log.debug("no_evidence", reason=error.reason, detail=error.detail)
            except DomainError as refusal:
                _log.debug("no_evidence", reason=refusal.symbol)
        return False

    def _readers(self, larger: Checkpoint) -> Iterator[Callable[[], HashReader]]:
        """Give where hashes of the larger tree may be had: the mirror, or tiles under its root."""
        yield lambda: self._tree(larger.size)
        yield lambda: LogReader(larger.size, larger.root, self._tiles)

    def _tree(self, size: int) -> MemoryTree:
        if size > MIRROR_LEAVES_MAX:
            raise TlogError("HASH_MISSING", f"{size} leaves are too many")
        tree = MemoryTree()
        while tree.size < size:
            leaves = self._mirror.mirrored(tree.size, size - tree.size)
            if not leaves:
                raise TlogError("HASH_MISSING", f"{tree.size} leaves are mirrored")
            for leaf in leaves:
                tree.append(hash_leaf(leaf.data))
        return tree

    # -- lies in messages ------------------------------------------------------------------------------------

    def of_messages(self, first: envelope_pb2.Envelope, second: envelope_pb2.Envelope) -> bool:
        """Show that two messages cannot both be honest.

        The file needs a checkpoint that a quorum cosigned, and both keys in the log before it.

        Returns:
            Whether that is done with: a file is kept, or there can be none; False: it may be proven later.
        """
        # A denial is signed anew after each start of its node: the matter is the decision that it denies.
        denied = second.payload_type == DENIAL_TYPE
        name = _name("messages", first.payload, b"" if denied else second.payload) + FILE_SUFFIX
        if self._folder is None or first.payload == second.payload or self._has(name):
            return True
        try:
            note = self._cosigned()
            policy = self._policy(size_of_note(note))
            tree = verify_checkpoint(note, policy).checkpoint
            source = _MirrorSource(self._mirror, self._tree(tree.size), tree.size, note)
        except (TlogError, DomainError) as error:
            _log.debug("no_evidence", reason=str(error))
            return False
        try:
            data, _ = make_contradiction(source, first, second, policy.encode())
        except TlogError as error:
            _log.info("no_evidence", reason=error.reason, detail=error.detail)
            return error.reason != "KEY_NOT_SHOWN"
        return self._keep(name, data)

    # -- lies of witnesses -----------------------------------------------------------------------------------

    def watch_witnesses(self, note: bytes) -> None:
        """Hold every cosignature of a checkpoint against the largest that its witness gave before."""
        policy = self._policy(size_of_note(note))
        names = {witness.key: witness.name for witness in policy.witnesses}
        signed = parse_note(note)
        tree = parse_checkpoint(signed.text)
        for one in verify_cosignatures(signed, tuple(names)):
            known = self._largest.get(names[one.key])
            if known is None or tree.size > known[0].size:
                self._largest[names[one.key]] = (tree, one, note)
            elif (tree.size == known[0].size and tree.root != known[0].root) or (
                tree.size < known[0].size and one.time_seconds > known[1].time_seconds
            ):
                self.of_witness(known[2], note)

    def of_witness(self, first: bytes, second: bytes) -> bool:
        """Show that a witness cosigned what no honest one does; whether a file is kept."""
        name = _name("witness", first, second) + FILE_SUFFIX
        if self._folder is None or self._has(name):
            return self._has(name)
        data = encode_file("witness-misbehaviour", [("first", first), ("second", second)])
        return verify_bytes(data, self._policy(None).encode()).holds and self._keep(name, data)

    # -- files -----------------------------------------------------------------------------------------------

    def _has(self, name: str) -> bool:
        return self._folder is not None and (self._folder / name).exists()

    def _keep(self, name: str, data: bytes) -> bool:
        if self._folder is None:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / f".{name}"
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._folder / name)
        _log.error("misbehaviour_proven", file=name)
        return True


class _MirrorSource:
    """The mirror up to a cosigned checkpoint as a source of proofs; a `ProofSource`."""

    def __init__(self, mirror: Mirror, tree: MemoryTree, size: int, note: bytes) -> None:
        self._mirror = mirror
        self._tree = tree
        self._size = size
        self._note = note

    def cosigned(self) -> tuple[int, bytes]:
        return self._size, self._note

    def path(self, index: int, size: int) -> Sequence[bytes]:
        return self._tree.inclusion_proof(index, size)

    def leaves(self, start: int, end: int, *, with_envelopes: bool = False) -> Iterator[ServedLeaf]:
        del with_envelopes  # they stand beside every mirrored leaf
        while start < end:
            page = self._mirror.mirrored(start, end - start)
            if not page:
                raise TlogError("HASH_MISSING", f"{start} leaves are mirrored")
            for leaf in page:
                yield ServedLeaf(leaf.log_index, leaf.data, leaf.envelopes)
            start = page[-1].log_index + 1


def _tree_of(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def _name(kind: str, *parts: bytes) -> str:
    """Name the matter: the same parts, in any order, have one name."""
    digest = sha256(b"".join(sha256(part).digest() for part in sorted(parts))).hexdigest()
    return f"{kind}-{digest[:NAME_CHARACTERS]}"
