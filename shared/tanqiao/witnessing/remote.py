"""The bridge's `LogService` as a witness and a region read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import grpc

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc, witness_groups_pb2, witness_groups_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.tiles import Tile
from tanqiao.witnessing.follower import Offered
from tanqiao.witnessing.replay import SeenLeaf, seen_leaf

CALL_SECONDS_MAX: Final = 30.0

Answer = TypeVar("Answer")


class RemoteLog:
    """Calls of one channel to the bridge.

    Args:
        channel: to the bridge.
        address: of the bridge, for refusals.
    """

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = log_pb2_grpc.LogServiceStub(channel)
        self._groups = witness_groups_pb2_grpc.WitnessGroupServiceStub(channel)
        self._address = address

    def checkpoint(self, after_size: int) -> Offered:
        """Give a checkpoint behind a size as the log signed it; the newest if there is none."""
        request = log_pb2.GetCheckpointRequest(after_size=after_size)
        answer = self._call(self._stub.GetCheckpoint, request)
        return Offered(answer.checkpoint, answer.size, answer.cosigned_size, answer.log_size)

    def cosigned(self) -> Offered:
        """Give the newest checkpoint with a quorum."""
        answer = self._call(self._stub.GetCheckpoint, log_pb2.GetCheckpointRequest())
        return Offered(
            answer.cosigned_checkpoint,
            answer.cosigned_size,
            answer.cosigned_size,
            group_index=answer.witness_group_index,
        )

    def leaves(self, from_index: int, limit: int) -> Sequence[SeenLeaf]:
        """Give leaves with the messages beside them."""
        request = log_pb2.ListLeavesRequest(from_index=from_index, page_size=limit, with_envelopes=True)
        answer = self._call(self._stub.ListLeaves, request)
        return [seen_leaf(one) for one in answer.leaves]

    def consistency(self, old_size: int, size: int) -> Sequence[bytes]:
        """Give the proof that a size extends an older one."""
        request = log_pb2.GetConsistencyProofRequest(old_size=old_size, size=size)
        return list(self._call(self._stub.GetConsistencyProof, request).path)

    def read_tile(self, tile: Tile) -> bytes:
        """Give a tile; `TILE_MISSING` where the bridge has none."""
        try:
            return bytes(self._call(self._stub.GetTile, log_pb2.GetTileRequest(path=tile.path)).tile)
        except DomainError as refusal:
            raise TlogError("TILE_MISSING", f"{tile.path}: {refusal.symbol}") from refusal

    def group_changes(self, after_index: int) -> Sequence[witness_groups_pb2.WitnessGroupChange]:
        """Give changes of the group of witnesses behind a log index, as many as the bridge gives at once."""
        request = witness_groups_pb2.ListWitnessGroupsRequest(after_log_index=after_index)
        return list(self._call(self._groups.ListWitnessGroups, request).changes)

    def handover(self, log_index: int) -> bytes:
        """Give the checkpoint in which a group cosigned its own replacement; empty: none yet."""
        request = witness_groups_pb2.ListWitnessGroupsRequest(after_log_index=log_index - 1, page_size=1)
        found = list(self._call(self._groups.ListWitnessGroups, request).changes)
        return found[0].checkpoint if found and found[0].log_index == log_index else b""

    def decision_of(self, key: TransferKey) -> log_pb2.FinalityBundle:
        """Give the bundle of one transfer with the messages that its leaf names."""
        request = log_pb2.GetFinalityBundleRequest(source=key.source, transfer_id=key.transfer_id)
        return self._call(self._stub.GetFinalityBundle, request).bundle

    def add_cosignature(self, size: int, line: str, kinds: Sequence[str]) -> int:
        """Hand in a cosignature of the bridge's log."""
        request = log_pb2.AddCosignatureRequest(size=size, cosignature=line, leaf_kinds=kinds)
        return int(self._call(self._stub.AddCosignature, request).cosigned_size)

    def add_leaves(self, first_index: int, leaves: Sequence[bytes], checkpoint: bytes) -> tuple[int, int]:
        """Hand in the growth of the caller's own log; (leaves there, size of the checkpoint there)."""
        request = log_pb2.AddLeavesRequest(first_index=first_index, leaves=leaves, checkpoint=checkpoint)
        answer = self._call(self._stub.AddLeaves, request)
        return answer.log_size, answer.checkpoint_size

    def bundles(self, keys: Sequence[TransferKey]) -> Sequence[log_pb2.FinalityBundle]:
        """Give the bundles of those transfers that are final."""
        names = [log_pb2.TransferName(source=key.source, transfer_id=key.transfer_id) for key in keys]
        request = log_pb2.BatchGetFinalityBundlesRequest(transfers=names)
        return list(self._call(self._stub.BatchGetFinalityBundles, request).bundles)

    def _call(self, method: Callable[..., Answer], request: Any) -> Answer:  # noqa: ANN401 - any request
        try:
            return method(request, timeout=CALL_SECONDS_MAX)
        except grpc.RpcError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: grpc.RpcError) -> DomainError:
        return from_rpc_error(error, peer="bridge", address=self._address)
