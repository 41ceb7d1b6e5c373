"""A real bridge that lies: its own server, its own keys, and a second face for whom it chooses.

What it shows of its log is taken over here; what it decides and sends is put into its own writer's group. All
signatures are those of its real keys.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.db.sealed_logs import StoredCheckpoint
from tanqiao.db.signatures import store_batch
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.invariants import InvariantBroken
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import ZERO_HASH, TransferKey
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import date_message, refusal_messages
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import log_name, note_signer
from tanqiao.signing.pae import message_hash
from tanqiao.testing.network import BRIDGE, NetworkOfTest
from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.leaf import decode_leaf, make_leaf
from tanqiao.tlog.merkle import MemoryTree, Node, hash_leaf
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, encode_bundle, parse_tile_path
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.deciding import DECISION_TYPE
from tanqiao_bridge.application.log_keeping import Checkpoints, ShownLeaf, refusals_of_logs
from tanqiao_bridge.bootstrap import Bridge
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.decisions import MessageRow
from tanqiao_bridge.storage.reads import decision_envelope
from tanqiao_bridge.storage.tables import signature

_SHOWN = ("checkpoints", "leaves", "tile", "inclusion", "consistency", "add_cosignature")


@dataclass(frozen=True)
class Lie:
    """A command that no handler of the bridge knows: what it does inside the writer's group."""

    tell: Callable[[Group], int]


@dataclass
class Face:
    """Another log than the real one, whole and signed: it serves checkpoints, leaves, tiles and proofs."""

    entries: Sequence[ShownLeaf]
    note: bytes
    cosigned: StoredCheckpoint | None = None
    cosignatures: list[tuple[str, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tree = MemoryTree(hash_leaf(one.leaf) for one in self.entries)

    def checkpoints(self, _party: str, _after_size: int = 0) -> Checkpoints:
        return Checkpoints(StoredCheckpoint(self.tree.size, self.note, 0), self.cosigned)

    def leaves(
        self, _party: str, from_index: int, limit: int, *, with_envelopes: bool
    ) -> tuple[list[ShownLeaf], int]:
        assert with_envelopes
        return list(self.entries[from_index : from_index + limit]), self.tree.size

    def tile(self, _party: str, path: str) -> bytes:
        tile = parse_tile_path(path)
        first = tile.number * TILE_WIDTH
        if tile.level >= 0:
            nodes = [Node(TILE_HEIGHT * tile.level, first + at) for at in range(tile.width)]
            return b"".join(self.tree.read_hashes(nodes))
        return encode_bundle([one.leaf for one in self.entries[first : first + tile.width]])

    def inclusion(self, _party: str, log_index: int, size: int) -> tuple[int, list[bytes]]:
        return size, self.tree.inclusion_proof(log_index, size)

    def consistency(self, _party: str, old_size: int, size: int) -> tuple[int, list[bytes]]:
        return size, self.tree.consistency_proof(old_size, size)

    def add_cosignature(self, witness: str, size: int, line: str, _kinds: Sequence[str]) -> int:
        self.cosignatures.append((witness, size, line))
        return 0


class LyingBridge:
    """Takes over what a running bridge shows and says.

    Args:
        bridge: the running bridge.
        network: its keys.
    """

    def __init__(self, bridge: Bridge, network: NetworkOfTest) -> None:
        self.bridge = bridge
        self.network = network
        self._honest = {name: getattr(bridge.logs.keeper, name) for name in _SHOWN}
        self._face: Face | None = None
        self._old: StoredCheckpoint | None = None
        self._shown_to: Collection[str] = ()
        for name in _SHOWN:
            setattr(bridge.logs.keeper, name, self._shown(name))
        engine: Any = bridge.writer._handler.__self__  # type: ignore[attr-defined]
        engine._others[Lie] = lambda group, lie: lie.tell(group)

    def _shown(self, name: str) -> Callable[..., Any]:
        def answer(party: str, *arguments: Any, **names: Any) -> Any:
            face = self._face
            if name == "checkpoints" and party == BRIDGE and self._is_lied_to() and self._old is not None:
                return Checkpoints(self._honest[name](party).newest, self._old)
            if face is not None and (party == BRIDGE or name == "add_cosignature"):
                with refusals_of_logs():
                    if self._is_lied_to():
                        return getattr(face, name)(party, *arguments, **names)
            return self._honest[name](party, *arguments, **names)

        return answer

    def _is_lied_to(self) -> bool:
        try:
            return current_caller().party in self._shown_to
        except InvariantBroken:  # the test itself asks
            return False

    # -- what it shows ---------------------------------------------------------------------------------------

    def shows(self, face: Face, *parties: str) -> Face:
        """Show a face to some parties, and the real log to all others."""
        self._shown_to, self._face = parties, face
        return face

    def shows_as_final(self, old: StoredCheckpoint, *parties: str) -> None:
        """Show some parties an old checkpoint as the newest that a quorum cosigned."""
        self._shown_to, self._old = parties, old

    def is_honest_again(self) -> None:
        """Show everybody the real log."""
        self._face = self._old = None

    def sealed_leaves(self) -> list[ShownLeaf]:
        """Give the real leaves of the newest checkpoint, with the messages beside them."""
        found = self._honest["checkpoints"](BRIDGE).newest
        leaves: list[ShownLeaf] = []
        while len(leaves) < found.size:
            leaves += self._honest["leaves"](BRIDGE, len(leaves), 500, with_envelopes=True)[0]
        return leaves[: found.size]

    def cosigned(self) -> StoredCheckpoint:
        """Give the newest real checkpoint with a quorum."""
        found = self._honest["checkpoints"](BRIDGE).cosigned
        assert found is not None
        return found  # type: ignore[no-any-return]

    def signed(self, size: int, root: bytes) -> bytes:
        """Sign a checkpoint, whatever it says."""
        keyring = Keyring.open(self.network.network.node(BRIDGE) / "keys")
        signer = note_signer(self.network.network_id, keyring, KeyRole.CHECKPOINT)
        assert signer is not None
        origin = log_name(self.network.network_id, BRIDGE)
        return sign_checkpoint(Checkpoint(origin, size, root), signer).encode()

    def face_of(self, leaves: Sequence[ShownLeaf], root: bytes | None = None) -> Face:
        """Make a face of leaves, signed; with another root than theirs if one is named."""
        tree = MemoryTree(hash_leaf(one.leaf) for one in leaves)
        return Face(leaves, self.signed(tree.size, root or tree.root()), self.cosigned())

    def made_up_leaf(self, index: int) -> ShownLeaf:
        """Give a leaf that a witness takes, of a freeze that the bridge ordered alone."""
        public = {
            "order_id": secrets.token_bytes(16),
            "ordered_by": BRIDGE.encode(),
            "other_region": b"",
            "region": b"region/530000",
            "scope": b"REGION",
        }
        return ShownLeaf(index, make_leaf("freeze", public=public).encode(), [])

    def stale(self, note: bytes, witness: str, seconds: int) -> StoredCheckpoint:
        """Let a witness cosign an old checkpoint anew, at a later time, beside the others' lines."""
        keyring = Keyring.open(self.network.network.node(witness) / "keys")
        signer = note_signer(self.network.network_id, keyring, KeyRole.WITNESS)
        assert signer is not None
        parsed = parse_note(note)
        size = int(parsed.text.split(b"\n")[1])
        line = cosign(parsed.text, signer, seconds)
        return StoredCheckpoint(size, parsed.with_signatures([line]).encode(), 0)

    # -- what it says ----------------------------------------------------------------------------------------

    def tell(self, lie: Callable[[Group], int]) -> int:
        """Do something in a group of the bridge's writer; what the lie gives."""
        return int(self.bridge.writer.submit(Lie(lie)).result(60))

    def blocks_of(self, key: TransferKey) -> list[UnitBlock]:
        """Give the blocks that the leaf of a transfer names."""
        with self.bridge.database.reading() as connection:
            found = decision_envelope(connection, key)
            assert found is not None
            (leaf,) = log.read_leaves(connection, found[2], 1)
        named = decode_leaf(leaf.leaf).get("blocks") or b""
        return [UnitBlock.parse(line) for line in named.decode().split("\n")]

    def decides_again(self, key: TransferKey, destination: str, blocks: Sequence[UnitBlock]) -> int:
        """Sign, log and send an ABORT to the source of a transfer that was committed."""

        def lie(group: Group) -> int:
            found = decision_envelope(group.connection, key)
            assert found is not None
            first = messages_pb2.Decision.FromString(found[0].payload)
            return _decide(
                group, key, destination, blocks, first.lock_hash, ZERO_HASH, messages_pb2.OUTCOME_ABORT
            )

        return self.tell(lie)

    def forges(self, key: TransferKey, destination: str, blocks: Sequence[UnitBlock]) -> int:
        """Sign, log and send a COMMIT that rests on nothing."""
        made_up = (secrets.token_bytes(32), secrets.token_bytes(32))
        return self.tell(
            lambda group: _decide(
                group, key, destination, blocks, *made_up, messages_pb2.OUTCOME_COMMIT, both=True
            )
        )


def _decide(
    group: Group,
    key: TransferKey,
    destination: str,
    blocks: Sequence[UnitBlock],
    lock_hash: bytes,
    ready_hash: bytes,
    outcome: int,
    *,
    both: bool = False,
) -> int:
    index = log.reserve_indexes(group.connection, 1)
    commits = outcome == messages_pb2.OUTCOME_COMMIT
    payload = messages_pb2.Decision(
        header=group.context.header(
            (key.source, destination), source=key.source, transfer_id=key.transfer_id, prev_hash=lock_hash
        ),
        outcome=outcome,  # type: ignore[arg-type]
        lock_hash=lock_hash,
        ready_hash=ready_hash,
        log_index=index,
        reasons=() if commits else refusal_messages((reason("WITHDRAWN"),)),
        legal_date=date_message(group.legal_date),
        decision_time=Timestamp(seconds=int(time.time())),
        bridge_epoch=group.context.epoch,
    ).SerializeToString()
    hashed = message_hash(DECISION_TYPE, payload)
    hashes = [lock_hash, ready_hash, hashed] if commits else [lock_hash, hashed]
    leaf = make_leaf(
        "decision",
        message_hashes=hashes,
        signer_key_ids=[group.context.signer.key_id],
        public={
            "blocks": "\n".join(map(str, blocks)).encode(),
            "destination": destination.encode(),
            "kind": b"TRANSFER",
            "legal_date": group.legal_date.encode(),
            "outcome": b"COMMIT" if commits else b"ABORT",
            "source": key.source.encode(),
            "transfer_id": key.transfer_id,
        },
    )
    log.write_leaves(group.connection, index, [leaf], recorded_at=group.now)
    batch = sign_batch(group.context.signer, DECISION_TYPE, [payload])
    signature_id = store_batch(group.connection, signature, batch)
    group.messages.append(MessageRow(hashed, DECISION_TYPE, BRIDGE, key, payload, signature_id, 0, None))
    for party in (key.source, destination) if both else (key.source,):
        group.numbered.append(OutboxMessage(party, DECISION_TYPE, payload))
        group.wake.add(party)
    return index
