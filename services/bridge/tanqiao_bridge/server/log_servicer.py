"""LogService: logs and proofs to everybody; cosignatures and leaves from whom they belong to."""

from __future__ import annotations

from typing import Final

import grpc

from tanqiao.api.bridge.v1 import log_pb2, log_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import page, require_bytes, require_count, require_party, require_text
from tanqiao.signing.forms import bytes_field, number_field
from tanqiao.signing.parties import BRIDGE
from tanqiao_bridge.application.bundles import BUNDLES_PER_CALL_MAX, Bundles
from tanqiao_bridge.application.location_proofs import LocationProofs, Placed
from tanqiao_bridge.application.log_keeping import (
    COSIGNATURE_CHARACTERS_MAX,
    KIND_LENGTH_MAX,
    LEAF_KINDS_MAX,
    LEAVES_PER_CALL_MAX,
    LogKeeper,
)

TRANSFER_ID_LENGTH: Final = 16
PATH_LENGTH_MAX: Final = 64
SERIES_ID_LENGTH_MAX: Final = 160
LEAVES_BYTES_MAX: Final = 2 << 20
"""A page of leaves ends when it has this many bytes; it always has one leaf."""
CHECKPOINT_BYTES_MAX: Final = 16_384
_LOGS: Final = ("region",)


class LogServicer(log_pb2_grpc.LogServiceServicer):
    """Translates for `LogKeeper`, `Bundles` and `LocationProofs`."""

    def __init__(self, keeper: LogKeeper, bundles: Bundles, locations: LocationProofs) -> None:
        self._keeper = keeper
        self._bundles = bundles
        self._locations = locations

    def GetCheckpoint(
        self, request: log_pb2.GetCheckpointRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetCheckpointResponse:
        """Give the newest checkpoints."""
        del context
        after_size = _not_negative(request.after_size, "after_size")
        found = self._keeper.checkpoints(_log(request.log), after_size)
        groups = self._keeper.groups()
        answer = log_pb2.GetCheckpointResponse(
            quorum=groups.newest.quorum, log_size=found.log_size, witness_group_index=groups.newest_index
        )
        if found.newest is not None:
            answer.checkpoint, answer.size = found.newest.note, found.newest.size
        if found.cosigned is not None:
            answer.cosigned_checkpoint, answer.cosigned_size = found.cosigned.note, found.cosigned.size
        return answer

    def ListLeaves(  # type: ignore[override] # it gives the answer's bytes (`tanqiao.rpc.gate`)
        self, request: log_pb2.ListLeavesRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Give leaves from an index on, as many as fit; the answer is encoded here."""
        del context
        first = _not_negative(request.from_index, "from_index")
        limit = page(request.page_size, "").size
        leaves, size = self._keeper.leaves(
            _log(request.log), first, limit, with_envelopes=request.with_envelopes
        )
        answer: list[bytes] = []
        used = 0
        for leaf in leaves:
            used += len(leaf.written)
            if answer and used > LEAVES_BYTES_MAX:
                break
            answer.append(bytes_field(log_pb2.ListLeavesResponse.LEAVES_FIELD_NUMBER, leaf.written))
        answer.append(number_field(log_pb2.ListLeavesResponse.LOG_SIZE_FIELD_NUMBER, size))
        return b"".join(answer)

    def GetTile(
        self, request: log_pb2.GetTileRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetTileResponse:
        """Give a tile or a bundle."""
        del context
        path = require_text(request.path, "path", length_max=PATH_LENGTH_MAX)
        return log_pb2.GetTileResponse(tile=self._keeper.tile(_log(request.log), path))

    def GetInclusionProof(
        self, request: log_pb2.GetInclusionProofRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetInclusionProofResponse:
        """Give the path from a leaf to a root."""
        del context
        size, path = self._keeper.inclusion(
            _log(request.log),
            _not_negative(request.log_index, "log_index"),
            _not_negative(request.size, "size"),
        )
        return log_pb2.GetInclusionProofResponse(size=size, path=path)

    def GetConsistencyProof(
        self, request: log_pb2.GetConsistencyProofRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetConsistencyProofResponse:
        """Give the proof that one size extends another."""
        del context
        size, path = self._keeper.consistency(
            _log(request.log),
            _not_negative(request.old_size, "old_size"),
            _not_negative(request.size, "size"),
        )
        return log_pb2.GetConsistencyProofResponse(size=size, path=path)

    def GetFinalityBundle(
        self, request: log_pb2.GetFinalityBundleRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetFinalityBundleResponse:
        """Give the proof of one decision."""
        del context
        key = _transfer_key(request.source, request.transfer_id)
        return log_pb2.GetFinalityBundleResponse(bundle=self._bundles.one(key, current_caller().party))

    def BatchGetFinalityBundles(
        self, request: log_pb2.BatchGetFinalityBundlesRequest, context: grpc.ServicerContext
    ) -> log_pb2.BatchGetFinalityBundlesResponse:
        """Give the proofs of those decisions that are final and name the caller."""
        del context
        require_count(request.transfers, "transfers", limit=BUNDLES_PER_CALL_MAX)
        keys = [_transfer_key(one.source, one.transfer_id) for one in request.transfers]
        bundles = self._bundles.of(keys, current_caller().party, whole=False)
        return log_pb2.BatchGetFinalityBundlesResponse(bundles=bundles)

    def GetLocationProof(
        self, request: log_pb2.GetLocationProofRequest, context: grpc.ServicerContext
    ) -> log_pb2.GetLocationProofResponse:
        """Give the row that holds a unit under a location root, with its paths."""
        del context
        series_id = require_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX)
        serial = _not_negative(request.serial, "serial")
        before = _not_negative(request.before_index, "before_index")
        found = self._locations.of(series_id, serial, before)
        return log_pb2.GetLocationProofResponse(
            log_index=found.log_index,
            leaf=found.leaf,
            row=_placed(found.row),
            page=_placed(found.page),
            bucket=_placed(found.bucket),
        )

    def AddCosignature(
        self, request: log_pb2.AddCosignatureRequest, context: grpc.ServicerContext
    ) -> log_pb2.AddCosignatureResponse:
        """Take a cosignature of the bridge's own log."""
        del context
        if _log(request.log) != BRIDGE:
            raise DomainError("FIELD_INVALID", field="log", detail="the bridge's own log is cosigned")
        # As it is: the newline at the end of a signature line belongs to it.
        require_text(request.cosignature, "cosignature", length_max=COSIGNATURE_CHARACTERS_MAX)
        line = request.cosignature
        if len(request.leaf_kinds) > LEAF_KINDS_MAX:
            raise DomainError(
                "BATCH_TOO_LARGE", field="leaf_kinds", limit=LEAF_KINDS_MAX, count=len(request.leaf_kinds)
            )
        kinds = [require_text(kind, "leaf_kinds", length_max=KIND_LENGTH_MAX) for kind in request.leaf_kinds]
        size = self._keeper.add_cosignature(
            current_caller().party, _not_negative(request.size, "size"), line, kinds
        )
        return log_pb2.AddCosignatureResponse(cosigned_size=size)

    def AddLeaves(
        self, request: log_pb2.AddLeavesRequest, context: grpc.ServicerContext
    ) -> log_pb2.AddLeavesResponse:
        """Take the growth of the caller's own log."""
        del context
        if len(request.leaves) > LEAVES_PER_CALL_MAX:
            raise DomainError(
                "BATCH_TOO_LARGE", field="leaves", limit=LEAVES_PER_CALL_MAX, count=len(request.leaves)
            )
        if len(request.checkpoint) > CHECKPOINT_BYTES_MAX:
            raise DomainError("TEXT_TOO_LONG", field="checkpoint", limit=CHECKPOINT_BYTES_MAX)
        size, checkpoint_size = self._keeper.add_leaves(
            current_caller().party,
            _not_negative(request.first_index, "first_index"),
            list(request.leaves),
            request.checkpoint,
        )
        return log_pb2.AddLeavesResponse(log_size=size, checkpoint_size=checkpoint_size)


def _placed(found: Placed) -> log_pb2.PlacedValue:
    index, value, path = found
    return log_pb2.PlacedValue(value=value, index=index, path=path)


def _log(party: str) -> str:
    """Read whose log is meant; empty: the bridge's."""
    if party in ("", BRIDGE):
        return BRIDGE
    return require_party(party, "log", _LOGS).path


def _not_negative(value: int, field: str) -> int:
    if value < 0:
        raise DomainError("FIELD_INVALID", field=field, detail=str(value))
    return value


def _transfer_key(source: str, transfer_id: bytes) -> TransferKey:
    party = require_party(source, "source", ("region",))
    return TransferKey(party.path, require_bytes(transfer_id, TRANSFER_ID_LENGTH, "transfer_id"))
