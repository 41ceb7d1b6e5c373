"""The bridge's log as the kit plays it (PROTOCOL section 8): checkpoints, cosigned or not, and bundles.

A leaf stands at the index that its decision states; what lies between is filled. Nothing is public before a
check has it sealed, with the witnesses that the check wants.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import grpc

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc, messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.logs import log_name, note_signer
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import Network
from tanqiao.tlog.checkpoint import Checkpoint, sign_checkpoint
from tanqiao.tlog.cosignature import cosign
from tanqiao.tlog.keys import NoteSigner
from tanqiao.tlog.leaf import make_leaf
from tanqiao.tlog.merkle import MemoryTree, hash_leaf
from tanqiao.tlog.proof import make_proof

FILLER: Final = make_leaf("conformance").encode()
COSIGNED_AT_SECONDS: Final = 1_767_225_600
"""What the kit's witnesses say of the time: nobody decides by it."""


class SealedLog(log_pb2_grpc.LogServiceServicer):
    """Serves the newest checkpoint that a check has sealed, and bundles of decisions under it.

    Args:
        network: its keys sign checkpoints and cosign them.
        party: the region under test, whose witness key the kit does not use.
    """

    def __init__(self, network: Network, party: str) -> None:
        self._network = network
        group = network.federation.witness_group
        self.witnesses: Final = tuple(one for one in group.witnesses if one != party)
        """Witnesses whose keys the kit holds: a quorum."""
        self._lock = threading.RLock()
        self._tree = MemoryTree()
        self._leaves: dict[tuple[str, bytes], tuple[int, bytes]] = {}
        self._note, self._size = b"", 0
        self.shown = False
        """Whether somebody has been given the checkpoint that was sealed last."""
        self.asked: set[tuple[str, bytes]] = set()
        """Transfers whose bundles were asked for since then."""
        self.swapped: dict[tuple[str, bytes], tuple[str, bytes]] = {}
        """Transfers for which the bundle of another is answered."""

    def append(self, decision: messages_pb2.Decision) -> None:
        """Put the leaf of a decision at the index that it states; indexes only grow."""
        kind = payload_type_of(decision)
        hashes = [decision.lock_hash, message_hash(kind, decision.SerializeToString())]
        name = (decision.header.source, bytes(decision.header.transfer_id))
        public = {"source": name[0].encode(), "transfer_id": name[1]}
        leaf = make_leaf("decision", message_hashes=hashes, public=public).encode()
        with self._lock:
            while self._tree.size < decision.log_index:
                self._tree.append(hash_leaf(FILLER))
            self._leaves[name] = (self._tree.append(hash_leaf(leaf)), leaf)

    def seal(self, witnesses: Sequence[str]) -> None:
        """Publish a checkpoint over every leaf, cosigned by these witnesses."""
        network_id = self._network.plan.network_id
        with self._lock:
            checkpoint = Checkpoint(log_name(network_id, BRIDGE), self._tree.size, self._tree.root())
            note = sign_checkpoint(checkpoint, self._signer(BRIDGE, KeyRole.CHECKPOINT))
            lines = [
                cosign(note.text, self._signer(party, KeyRole.WITNESS), COSIGNED_AT_SECONDS)
                for party in witnesses
            ]
            self._note, self._size = note.with_signatures(lines).encode(), self._tree.size
            self.shown = False
            self.asked.clear()

    def _signer(self, party: str, role: KeyRole) -> NoteSigner:
        network = self._network
        serves = any(party == owner for _, owner in network.plan.nodes())
        directory = network.node(party) if serves else network.caller(party)
        signer = note_signer(network.plan.network_id, Keyring.open(directory / "keys"), role)
        if signer is None:
            raise DomainError("NOT_FOUND", what="key", id=f"{party} {role.name.lower()}")
        return signer

    # -- serving -------------------------------------------------------------------------------------------

    def GetCheckpoint(  # noqa: N802 - gRPC names it
        self, request: log_pb2.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetCheckpointResponse:
        """Give the sealed checkpoint, as newest and as cosigned: who reads it counts the witnesses itself."""
        del request, context
        with self._lock:
            self.shown = bool(self._note)
            return log_pb2.GetCheckpointResponse(
                checkpoint=self._note,
                size=self._size,
                cosigned_checkpoint=self._note,
                cosigned_size=self._size,
                quorum=self._network.federation.witness_group.quorum,
                log_size=self._tree.size,
            )

    def BatchGetFinalityBundles(  # noqa: N802 - as above
        self, request: log_pb2.BatchGetFinalityBundlesRequest, context: grpc.ServicerContext
    ) -> log_pb2.BatchGetFinalityBundlesResponse:
        """Give the bundles of those decisions that are under the sealed checkpoint."""
        del context
        names = [(one.source, bytes(one.transfer_id)) for one in request.transfers]
        with self._lock:
            self.asked.update(names)
            found = [self._bundle(name) for name in names if self._is_sealed(name)]
        return log_pb2.BatchGetFinalityBundlesResponse(bundles=found)

    def _is_sealed(self, name: tuple[str, bytes]) -> bool:
        known = self._leaves.get(self.swapped.get(name, name))
        return known is not None and known[0] < self._size

    def _bundle(self, name: tuple[str, bytes]) -> log_pb2.FinalityBundle:
        index, leaf = self._leaves[self.swapped.get(name, name)]
        proof = make_proof(index, self._size, self._tree, self._note)
        return log_pb2.FinalityBundle(
            source=name[0], transfer_id=name[1], log_index=index, leaf=leaf, proof=proof.encode()
        )
