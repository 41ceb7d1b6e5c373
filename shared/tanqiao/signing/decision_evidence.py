"""Decisions of bodies, checked by somebody else: with the roots of the authorities and no node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.json_format import Parse, ParseError

from tanqiao.api.region.v1 import decisions_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.body_decisions import CONTENT, HANDS
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.federation import Federation, open_key_record
from tanqiao.signing.parties import BRIDGE, parse_party
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import Verifier, allow

FILE_BYTES_MAX: Final = 64 * 2**20
# A revocation ends what nobody has taken yet; what was taken stands, and the reader is told.
_KEPT: Final = allow(
    decisions_pb2.BodyDecision,
    senders=("operator/*/*",),
    role=KeyRole.BODY,
    signatures_max=HANDS,
    revoked_allowed=True,
)


@dataclass(frozen=True, slots=True)
class CheckedDecision:
    """A decision under which every signature holds.

    Args:
        message_hash: 32 bytes that name it.
        object_id: what it is about.
        hands: whose signatures stand under it: party and officer.
        revoked: those of them whose keys are revoked now: what they signed before still stands.
        log_index: at which the keys were valid; it is the word of the node that kept the decision.
        message: what was signed.
    """

    message_hash: bytes
    object_id: str
    hands: tuple[str, ...]
    revoked: tuple[str, ...]
    log_index: int
    message: decisions_pb2.BodyDecision


def read_evidence(path: Path) -> decisions_pb2.DecisionEvidence:
    """Read a file of `tanqiao decision list --out`.

    Raises:
        DomainError: FILE_MISSING, FILE_TOO_LARGE, MESSAGE_MALFORMED.
    """
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=path, size=size, limit=FILE_BYTES_MAX)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except UnicodeDecodeError as error:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{path} is no such file") from error
    try:
        return Parse(text, decisions_pb2.DecisionEvidence())
    except ParseError as error:
        raise DomainError("MESSAGE_MALFORMED", detail=f"{path}: {error}") from error


def check_evidence(evidence: decisions_pb2.DecisionEvidence, roots: Federation) -> list[CheckedDecision]:
    """Check every decision; the keys are those of the roots' own records and of the records in the evidence.

    Raises:
        DomainError: NETWORK_MISMATCH for another network; what `open_key_record` and `Verifier.open_envelope`
            raise; SELF_APPROVAL_FORBIDDEN for two keys of one hand; MESSAGE_MALFORMED.
    """
    if evidence.network_id != roots.network_id:
        raise DomainError("NETWORK_MISMATCH", network=evidence.network_id, expected=roots.network_id)
    verifier = Verifier(roots.network_id, BRIDGE)
    directory = roots.directory()
    for envelope in evidence.key_records:
        signer = directory.get(envelope.signatures[0].key_id) if envelope.signatures else None
        began = 0 if signer is None else signer.valid_from_index
        directory = directory.with_records([open_key_record(verifier, envelope, directory, at_index=began)])
    return [check_kept(kept, roots.network_id, directory) for kept in evidence.decisions]


def check_kept(kept: decisions_pb2.KeptDecision, network_id: str, directory: KeyDirectory) -> CheckedDecision:
    """Check one decision under keys that are known; raises as `check_evidence`."""
    envelope = kept.statement
    message = parse_strict(decisions_pb2.BodyDecision, envelope.payload)
    audience = f"region/{parse_party(message.header.sender).region_code}"
    opened = Verifier(network_id, audience).open_envelope(
        envelope, directory, allowed=_KEPT, peer=None, at_index=kept.log_index
    )
    if opened.message_hash != kept.message_hash or message.kind not in CONTENT:
        raise DomainError("MESSAGE_MALFORMED", detail="not what its hash names")
    hands = tuple(f"{one.owner}/{one.holder}" for one in opened.signed_by)
    if len(set(hands)) < len(hands):
        raise DomainError("SELF_APPROVAL_FORBIDDEN", field="statement")
    revoked = tuple(
        f"{one.owner}/{one.holder}"
        for one in opened.signed_by
        if (entry := directory.get(one.key_id)) is not None and entry.revoked
    )
    return CheckedDecision(opened.message_hash, message.object_id, hands, revoked, kept.log_index, message)
