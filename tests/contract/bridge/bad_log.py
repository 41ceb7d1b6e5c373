"""Requests of the log service in which something is wrong, as data: method, what, reason, request, party."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import log_pb2
from tanqiao.testing.network import SHANGHAI
from tests.contract.bridge.unchanged import BIG, READER

TILE: Final = log_pb2.GetTileRequest
ADD: Final = log_pb2.AddLeavesRequest
COSIGN: Final = log_pb2.AddCosignatureRequest
WHERE: Final = log_pb2.GetLocationProofRequest
NAMED: Final = log_pb2.TransferName

BAD_LOG: Final[tuple[tuple[str, str, str, Message, str], ...]] = (
    ("GetCheckpoint", "no party", "FIELD_INVALID", log_pb2.GetCheckpointRequest(log="\x00"), SHANGHAI),
    ("GetCheckpoint", "no log", "FIELD_INVALID", log_pb2.GetCheckpointRequest(log="gateway/gec"), SHANGHAI),
    (
        "GetCheckpoint",
        "a negative size",
        "FIELD_INVALID",
        log_pb2.GetCheckpointRequest(after_size=-1),
        SHANGHAI,
    ),
    ("ListLeaves", "a negative index", "FIELD_INVALID", log_pb2.ListLeavesRequest(from_index=-1), SHANGHAI),
    ("ListLeaves", "a negative page", "FIELD_INVALID", log_pb2.ListLeavesRequest(page_size=-1), SHANGHAI),
    ("GetTile", "no path", "FIELD_MISSING", TILE(), SHANGHAI),
    ("GetTile", "a long path", "TEXT_TOO_LONG", TILE(path="x" * 65), SHANGHAI),
    ("GetTile", "a path upwards", "LOG_CHECK_FAILED", TILE(path="tile/0/../000"), SHANGHAI),
    ("GetTile", "a tile that is none", "LOG_CHECK_FAILED", TILE(path="tile/0/999"), SHANGHAI),
    ("GetTile", "a bundle beyond the end", "LOG_CHECK_FAILED", TILE(path="tile/entries/999"), SHANGHAI),
    (
        "GetTile",
        "of an empty log",
        "LOG_CHECK_FAILED",
        TILE(log="region/999999", path="tile/0/000"),
        SHANGHAI,
    ),
    (
        "GetInclusionProof",
        "a leaf beyond the end",
        "LOG_CHECK_FAILED",
        log_pb2.GetInclusionProofRequest(log_index=BIG),
        SHANGHAI,
    ),
    (
        "GetInclusionProof",
        "a negative leaf",
        "FIELD_INVALID",
        log_pb2.GetInclusionProofRequest(log_index=-1),
        SHANGHAI,
    ),
    (
        "GetInclusionProof",
        "a size that is not sealed",
        "LOG_CHECK_FAILED",
        log_pb2.GetInclusionProofRequest(size=BIG),
        SHANGHAI,
    ),
    (
        "GetConsistencyProof",
        "a log that shrinks",
        "LOG_CHECK_FAILED",
        log_pb2.GetConsistencyProofRequest(old_size=2, size=1),
        SHANGHAI,
    ),
    (
        "GetConsistencyProof",
        "a negative size",
        "FIELD_INVALID",
        log_pb2.GetConsistencyProofRequest(size=-1),
        SHANGHAI,
    ),
    ("GetLocationProof", "no series", "FIELD_MISSING", WHERE(), SHANGHAI),
    ("GetLocationProof", "a long series", "TEXT_TOO_LONG", WHERE(series_id="x" * 161), SHANGHAI),
    ("GetLocationProof", "a negative unit", "FIELD_INVALID", WHERE(series_id="s", serial=-1), SHANGHAI),
    (
        "GetLocationProof",
        "a negative index",
        "FIELD_INVALID",
        WHERE(series_id="s", before_index=-1),
        SHANGHAI,
    ),
    ("GetLocationProof", "no root yet", "NOT_FOUND", WHERE(series_id="s", before_index=BIG), SHANGHAI),
    ("GetFinalityBundle", "no source", "FIELD_MISSING", log_pb2.GetFinalityBundleRequest(), SHANGHAI),
    (
        "GetFinalityBundle",
        "a short id",
        "FIELD_INVALID",
        log_pb2.GetFinalityBundleRequest(source=SHANGHAI, transfer_id=b"short"),
        SHANGHAI,
    ),
    (
        "GetFinalityBundle",
        "a transfer that is none",
        "NOT_FOUND",
        log_pb2.GetFinalityBundleRequest(source=SHANGHAI, transfer_id=bytes(16)),
        SHANGHAI,
    ),
    ("BatchGetFinalityBundles", "nothing", "BATCH_EMPTY", log_pb2.BatchGetFinalityBundlesRequest(), SHANGHAI),
    (
        "BatchGetFinalityBundles",
        "too many",
        "BATCH_TOO_LARGE",
        log_pb2.BatchGetFinalityBundlesRequest(
            transfers=[NAMED(source=SHANGHAI, transfer_id=bytes(16))] * 501
        ),
        SHANGHAI,
    ),
    (
        "BatchGetFinalityBundles",
        "by a reader",
        "CALLER_NOT_PERMITTED",
        log_pb2.BatchGetFinalityBundlesRequest(transfers=[NAMED(source=SHANGHAI, transfer_id=bytes(16))]),
        READER,
    ),
    ("AddCosignature", "no line", "FIELD_MISSING", COSIGN(), SHANGHAI),
    ("AddCosignature", "another log", "FIELD_INVALID", COSIGN(log=SHANGHAI), SHANGHAI),
    ("AddCosignature", "a long line", "TEXT_TOO_LONG", COSIGN(cosignature="x" * 1025), SHANGHAI),
    (
        "AddCosignature",
        "too many kinds",
        "BATCH_TOO_LARGE",
        COSIGN(cosignature="x", leaf_kinds=["decision"] * 65),
        SHANGHAI,
    ),
    ("AddCosignature", "no witness of the group", "LOG_CHECK_FAILED", COSIGN(cosignature="x"), SHANGHAI),
    ("AddCosignature", "by a reader", "CALLER_NOT_PERMITTED", COSIGN(cosignature="x"), READER),
    ("AddLeaves", "a gap", "SEQUENCE_GAP", ADD(first_index=7, leaves=[b"leaf"]), SHANGHAI),
    ("AddLeaves", "a negative index", "FIELD_INVALID", ADD(first_index=-1), SHANGHAI),
    ("AddLeaves", "an empty leaf", "LOG_CHECK_FAILED", ADD(leaves=[b""]), SHANGHAI),
    ("AddLeaves", "a large leaf", "LOG_CHECK_FAILED", ADD(leaves=[bytes(65_536)]), SHANGHAI),
    ("AddLeaves", "too many", "BATCH_TOO_LARGE", ADD(leaves=[b"x"] * 4_097), SHANGHAI),
    ("AddLeaves", "a checkpoint that is none", "LOG_CHECK_FAILED", ADD(checkpoint=b"no note"), SHANGHAI),
    ("AddLeaves", "a long checkpoint", "TEXT_TOO_LONG", ADD(checkpoint=b"x" * 16_385), SHANGHAI),
    ("AddLeaves", "by a reader", "CALLER_NOT_PERMITTED", ADD(leaves=[b"leaf"]), READER),
)
