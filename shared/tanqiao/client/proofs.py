"""The bridge's log as a source of proofs: what `tanqiao.offline.make` fetches, over gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc, witness_groups_pb2, witness_groups_pb2_grpc
from tanqiao.client.servers import BridgeClient
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.make import Openings, Placed, ServedLeaf
from tanqiao.offline.replay import Claim

__all__ = ["ServedLog"]

PAGE_SIZE: Final = 1000


class ServedLog:
    """The bridge's log; a `ProofSource`. Nothing of it is believed by those who read it."""

    def __init__(self, bridge: BridgeClient) -> None:
        self._stub = log_pb2_grpc.LogServiceStub(bridge.channel)
        self._groups = witness_groups_pb2_grpc.WitnessGroupServiceStub(bridge.channel)
        self._cosigned: tuple[int, bytes] | None = None

    def cosigned(self) -> tuple[int, bytes]:
        """Give size and note of the newest cosigned checkpoint, the same for all parts of one file.

        Raises:
            DomainError: QUORUM_NOT_REACHED before the first.
        """
        if self._cosigned is None:
            answer = self._stub.GetCheckpoint(log_pb2.GetCheckpointRequest())
            if answer.quorum == 0 and answer.checkpoint:
                # A network without witnesses: its policy asks for none, and the log alone answers.
                self._cosigned = (answer.size, answer.checkpoint)
            elif answer.cosigned_checkpoint:
                self._cosigned = (answer.cosigned_size, answer.cosigned_checkpoint)
            else:
                raise DomainError("QUORUM_NOT_REACHED", needed=answer.quorum, have=0)
        return self._cosigned

    def path(self, index: int, size: int) -> Sequence[bytes]:
        """Give the inclusion proof of a leaf."""
        request = log_pb2.GetInclusionProofRequest(log_index=index, size=size)
        return list(self._stub.GetInclusionProof(request).path)

    def leaves(self, start: int, end: int, *, with_envelopes: bool = False) -> Iterator[ServedLeaf]:
        """Give leaves in order, a page at a time."""
        while start < end:
            request = log_pb2.ListLeavesRequest(
                from_index=start, page_size=min(PAGE_SIZE, end - start), with_envelopes=with_envelopes
            )
            answer = self._stub.ListLeaves(request)
            if not answer.leaves:
                raise DomainError("NOT_FOUND", what="leaf", id=str(start))
            for one in answer.leaves:
                yield ServedLeaf(one.log_index, one.leaf, tuple(one.envelopes))
            start = answer.leaves[-1].log_index + 1

    def handover(self, log_index: int) -> tuple[ServedLeaf, bytes]:
        """Give the change of witnesses at a log index with its record, and the checkpoint that shows it.

        Raises:
            DomainError: NOT_FOUND where that leaf changes no group.
        """
        request = witness_groups_pb2.ListWitnessGroupsRequest(
            after_log_index=max(0, log_index - 1), page_size=1
        )
        for one in self._groups.ListWitnessGroups(request).changes:
            if one.log_index == log_index:
                return ServedLeaf(log_index, one.leaf, (one.record,)), one.checkpoint
        raise DomainError("NOT_FOUND", what="change of witnesses", id=str(log_index))

    def location(self, claim: Claim, before_index: int) -> tuple[ServedLeaf, Placed, Placed, Placed]:
        """Give the newest final location root before an index (0: any), the unit's row, and what is above."""
        request = log_pb2.GetLocationProofRequest(
            series_id=claim.series_id, serial=claim.serial or 0, before_index=before_index
        )
        found = self._stub.GetLocationProof(request)
        row, page, bucket = (
            (one.index, one.value, list(one.path)) for one in (found.row, found.page, found.bucket)
        )
        return ServedLeaf(found.log_index, found.leaf), row, page, bucket

    def decision(self, source: str, transfer_id: bytes) -> tuple[ServedLeaf, Openings]:
        """Give the decision of a transfer or use with its messages, and what the caller may open."""
        request = log_pb2.GetFinalityBundleRequest(source=source, transfer_id=transfer_id)
        bundle = self._stub.GetFinalityBundle(request).bundle
        opened = bundle.openings
        openings = Openings()
        if bundle.HasField("openings"):
            openings = Openings(
                opened.receiving_address.encode() + opened.receiving_address_salt,
                opened.owner_pseudonym + opened.owner_salt,
            )
        return ServedLeaf(bundle.log_index, bundle.leaf, tuple(bundle.envelopes)), openings
