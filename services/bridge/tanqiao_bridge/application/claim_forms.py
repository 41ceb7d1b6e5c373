"""Verdicts and receipts of claims: their bytes, of which most are alike for all claims of a batch.

What is made here is byte for byte what protobuf, and `make_leaf`, make of the same fields; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import require
from tanqiao.signing.forms import (
    FIRST_HASH,
    ID_BYTES,
    MESSAGE_ID,
    PREV_HASH,
    SECOND_HASH,
    Form,
    Sender,
    bytes_field,
    number_field,
    place,
)
from tanqiao.tlog.leaf import make_leaf

FORMS_KEPT_MAX: Final = 1_024
CLAIM_KIND: Final = "claim"
_CLAIM_ID_PLACE: Final = 7
_PLACED_BYTES_MIN: Final = 8
"""A place of fewer bytes may stand in a sample by chance."""
_CLAIM_ID: Final = claims_pb2.ClaimReceipt.CLAIM_ID_FIELD_NUMBER
_STATUS: Final = claims_pb2.ClaimReceipt.STATUS_FIELD_NUMBER
_VERDICT: Final = claims_pb2.ClaimReceipt.VERDICT_FIELD_NUMBER
_LOG_INDEX: Final = claims_pb2.ClaimReceipt.LOG_INDEX_FIELD_NUMBER
_STATUS_NAMES: Final[dict[int, bytes]] = {
    number: name.encode() for name, number in claims_pb2.ClaimStatus.items()
}


@dataclass(slots=True)
class Made:
    """A receipt on its way into the tables.

    Args:
        claim_id: of the claim.
        region: its region.
        answers: hash of the statement that it answers, or of the receipt that it follows.
        signer_key_id: key of the statement; empty where the bridge moves the claim by itself.
        status: of the claim from now on.
        digest: of the claim.
        verdict: that it was judged by, serialised; None: nothing was judged.
        keys: under which the claim is found.
        bridge_reason: why the bridge moved it by itself.
    """

    claim_id: str
    region: str
    answers: bytes
    signer_key_id: bytes
    status: int
    digest: bytes
    verdict: bytes | None = None
    log_index: int = -1
    payload: bytes = b""
    receipt_hash: bytes = b""
    keys: tuple[str, ...] = field(default_factory=tuple)
    bridge_reason: str = ""


def claim_header(
    sender: Sender, audience: tuple[str, ...], prev_hash: bytes = b"", message_id: bytes = MESSAGE_ID
) -> envelope_pb2.Header:
    """Give the header of a message about a claim, with its id or a place for it; it is about no transfer."""
    return envelope_pb2.Header(
        network_id=sender.network_id,
        sender=sender.owner,
        audience=audience,
        message_id=message_id,
        prev_hash=prev_hash,
        key_epoch=sender.key_epoch,
    )


class RandomIds:
    """Message ids of a batch, drawn at once."""

    def __init__(self, drawn: bytes) -> None:
        require(len(drawn) % ID_BYTES == 0, "whole ids are drawn")
        self._drawn = drawn
        self._at = 0

    def __call__(self) -> bytes:
        """Give the next one; each is given once."""
        begin, self._at = self._at, self._at + ID_BYTES
        require(self._at <= len(self._drawn), "as many ids as were drawn")
        return self._drawn[begin : self._at]


@lru_cache(maxsize=FORMS_KEPT_MAX)
def allowed_form(
    sender: Sender, reader: str, article: str, matrix_version: str, as_of_index: int, registries: bytes
) -> Form:
    """Give the verdict on all claims of a batch that met nothing; places: message id, digest of the claim.

    Args:
        sender: the bridge as it is now.
        reader: party that the verdict is for.
        article: the rule that was tested, as it is shown.
        matrix_version: of the matrix in force.
        as_of_index: size of the log.
        registries: a Verdict with these alone, serialised: which answered, and as of when.
    """
    verdict = claims_pb2.Verdict.FromString(registries)
    verdict.header.CopyFrom(claim_header(sender, (reader,)))
    verdict.verdict = claims_pb2.VERDICT_KIND_ALLOW
    verdict.article = article
    verdict.matrix_version = matrix_version
    verdict.as_of_index = as_of_index
    verdict.claim_digest = FIRST_HASH
    return Form.of(verdict, (MESSAGE_ID, FIRST_HASH))


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _receipt_forms(
    sender: Sender, region: str, status: int, receipt_time: int, bridge_reason: str
) -> tuple[Form, bytes, Form]:
    """Give header, status, and all behind the log index."""
    behind = claims_pb2.ClaimReceipt(
        receipt_time=Timestamp(seconds=receipt_time), claim_digest=FIRST_HASH, bridge_reason=bridge_reason
    )
    header = claims_pb2.ClaimReceipt(header=claim_header(sender, (region,), PREV_HASH))
    return (
        Form.of(header, (MESSAGE_ID, PREV_HASH)),
        number_field(_STATUS, status),
        Form.of(behind, (FIRST_HASH,)),
    )


def receipt_payload(sender: Sender, message_id: bytes, made: Made, receipt_time: int) -> bytes:
    """Give the bytes of a ClaimReceipt.

    Args:
        sender: the bridge as it is now.
        message_id: 16 random bytes.
        made: the receipt, with its log index.
        receipt_time: epoch seconds.
    """
    header, stated, behind = _receipt_forms(
        sender, made.region, made.status, receipt_time, made.bridge_reason
    )
    return b"".join(
        (
            header.fill(message_id, made.answers),
            bytes_field(_CLAIM_ID, made.claim_id.encode()),
            stated,
            b"" if made.verdict is None else bytes_field(_VERDICT, made.verdict),
            number_field(_LOG_INDEX, made.log_index),
            behind.fill(made.digest),
        )
    )


def _leaf(
    region: str,
    status: int,
    signers: tuple[bytes, ...],
    digest: bytes,
    claim_id: bytes,
    hashes: tuple[bytes, bytes],
) -> bytes:
    leaf = make_leaf(
        CLAIM_KIND,
        message_hashes=hashes,
        signer_key_ids=signers,
        public={
            "claim_digest": digest,
            "claim_id": claim_id,
            "region": region.encode(),
            "status": _STATUS_NAMES[status],
        },
    )
    return leaf.encode()


@lru_cache(maxsize=FORMS_KEPT_MAX)
def _leaf_form(region: str, status: int, signers: tuple[bytes, ...], claim_id_length: int) -> Form:
    claim_id = place(_CLAIM_ID_PLACE, claim_id_length)
    sample = _leaf(region, status, signers, FIRST_HASH, claim_id, (PREV_HASH, SECOND_HASH))
    return Form(sample, (FIRST_HASH, claim_id, PREV_HASH, SECOND_HASH))


def claim_leaf(made: Made, signers: tuple[bytes, ...]) -> bytes:
    """Give the encoded leaf of a step of a claim, whose receipt is made; `signers` are ids of keys."""
    claim_id = made.claim_id.encode()
    if len(claim_id) < _PLACED_BYTES_MIN:
        hashes = (made.answers, made.receipt_hash)
        return _leaf(made.region, made.status, signers, made.digest, claim_id, hashes)
    form = _leaf_form(made.region, made.status, signers, len(claim_id))
    return form.fill(made.digest, claim_id, made.answers, made.receipt_hash)
