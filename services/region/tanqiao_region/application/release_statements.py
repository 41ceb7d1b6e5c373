"""What both sides of a release sign, each with the key of its own certificate (ADR 0033).

The statement says which encumbrance and under which deed; both sides sign the same bytes. It is kept with
both certificates, so that whoever has the CA of the network checks it without the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tanqiao.api.region.v1 import encumbrances_pb2
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.signing.certified import Certified, one_certificate, signer_of
from tanqiao.signing.payload_types import type_name
from tanqiao.signing.strict import parse_strict
from tanqiao_region.storage.encumbrances import EncumbranceRow, SignatureRow, StatementRow

RELEASE_TYPE: Final = type_name("ReleaseStatement")
STATEMENT_BYTES_MAX: Final = 4096
CERTIFICATE_BYTES_MAX: Final = 16_384
SIGNATURE_BYTES_MAX: Final = 256
ANOTHER: Final = Bilingual("另一设质、协议或解除书", "another encumbrance, agreement or deed")

Statements = Mapping[tuple[bytes, bytes, int], StatementRow]


@dataclass(frozen=True, slots=True)
class Certifying:
    """What certificates are held against.

    Args:
        network_id: network that they must name.
        region: the node's party.
        authority: gives the CA's certificate, PEM.
        now: the moment as TLS has it; a test clock plays no part, for TLS does not know it either.
    """

    network_id: str
    region: str
    authority: Callable[[], bytes]
    now: Callable[[], datetime]


def release_statement(
    network_id: str, region: str, encumbrance_id: str, agreement_digest: bytes, document: str
) -> encumbrances_pb2.ReleaseStatement:
    """Give what is signed."""
    return encumbrances_pb2.ReleaseStatement(
        network_id=network_id,
        region=region,
        encumbrance_id=encumbrance_id,
        agreement_digest=agreement_digest,
        document_reference=document,
    )


def taken(
    certifying: Certifying,
    caller: str,
    request: encumbrances_pb2.ReleaseEncumbranceRequest,
    agreement_digest: bytes,
) -> StatementRow:
    """Verify what a side has signed; the row has neither release nor side yet.

    Raises:
        DomainError: SIGNATURE_MISSING, FIELD_INVALID for a part that is too long, what `signer_of` raises,
            PEER_NOT_SENDER for another's signature, DECISION_DIFFERS for another statement.
    """
    if not (request.statement and request.signature and request.certificate):
        raise DomainError("SIGNATURE_MISSING", field="signature")
    for name, limit in (
        ("statement", STATEMENT_BYTES_MAX),
        ("certificate", CERTIFICATE_BYTES_MAX),
        ("signature", SIGNATURE_BYTES_MAX),
    ):
        if len(getattr(request, name)) > limit:
            raise DomainError("FIELD_INVALID", field=name, detail=f"at most {limit} bytes")
    authority, at = certifying.authority(), certifying.now()
    signed = Certified(one_certificate(request.certificate), request.signature)
    signer = signer_of(
        signed,
        RELEASE_TYPE,
        request.statement,
        authority_pem=authority,
        network_id=certifying.network_id,
        at=at,
    )
    if signer != caller:
        raise DomainError("PEER_NOT_SENDER", field="certificate", peer=caller, sender=signer)
    wanted = release_statement(
        certifying.network_id,
        certifying.region,
        request.encumbrance_id,
        agreement_digest,
        request.document_reference,
    )
    if parse_strict(encumbrances_pb2.ReleaseStatement, request.statement) != wanted:
        raise DomainError("DECISION_DIFFERS", field="statement", what=ANOTHER)
    return StatementRow(
        bytes.fromhex(request.encumbrance_id),
        b"",
        0,
        request.statement,
        signed.signature,
        signed.certificate_pem,
        authority,
        int(at.timestamp()),
    )


def check_release(
    row: EncumbranceRow,
    agreement_digest: bytes,
    signatures: Sequence[SignatureRow],
    statements: Statements,
    note: Callable[[str], None],
) -> None:
    """Check what was signed under releases of an encumbrance: whose, over what, with a certificate of then.

    What was signed before releases were signed with keys has no statement; a release has those of both sides
    or of neither.
    """
    shown = row.encumbrance_id.hex()
    by_release: dict[bytes, list[StatementRow]] = {}
    for one in signatures:
        kept = statements.get((one.encumbrance_id, one.release_digest, one.side))
        if kept is None:
            continue
        by_release.setdefault(one.release_digest, []).append(kept)
        _check_statement(row, agreement_digest, one, kept, note)
    for digest, kept_rows in by_release.items():
        both = {one.side for one in signatures if one.release_digest == digest}
        if len({one.statement for one in kept_rows}) > 1:
            note(f"encumbrance {shown}: its two sides have signed different statements of release")
        if len(both) > len(kept_rows):
            note(f"encumbrance {shown}: a side of a release has signed nothing that is kept")


def _check_statement(
    row: EncumbranceRow,
    agreement_digest: bytes,
    noted: SignatureRow,
    kept: StatementRow,
    note: Callable[[str], None],
) -> None:
    shown = row.encumbrance_id.hex()
    message = encumbrances_pb2.ReleaseStatement.FromString(kept.statement)
    said = (message.encumbrance_id, message.agreement_digest, message.document_reference)
    if said != (shown, agreement_digest, noted.document_reference):
        note(f"encumbrance {shown}: a statement of release is about something else")
    try:
        signer = signer_of(
            Certified(kept.certificate, kept.signature),
            RELEASE_TYPE,
            kept.statement,
            authority_pem=kept.authority_certificate,
            network_id=message.network_id,
            at=datetime.fromtimestamp(kept.judged_at, UTC),
        )
    except DomainError as refusal:
        note(f"encumbrance {shown}: a signature under its release does not hold ({refusal.symbol})")
        return
    if signer != noted.party:
        note(f"encumbrance {shown}: a signature under its release is noted as that of another party")
