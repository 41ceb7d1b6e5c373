"""Signatures with the key of a party's TLS certificate: of holders, who have no other (ADR 0033).

Who checks one needs the statement, the certificate and the CA of the network, and nothing from a node: the
certificate says whose key it is, and from when to when.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.certificates import TlsFiles, load_certificate, party_of_certificate
from tanqiao.signing.keyring import load_private_key
from tanqiao.signing.pae import pae


@dataclass(frozen=True, slots=True)
class Certified:
    """A signature and the certificate of the key that made it.

    Args:
        certificate_pem: of the signer.
        signature: ECDSA P-256 over SHA-256 of the pre-authentication encoding, DER.
    """

    certificate_pem: bytes
    signature: bytes


def sign_certified(files: TlsFiles, payload_type: str, payload: bytes) -> Certified:
    """Sign with the key beside a certificate.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID; SUITE_NOT_SUPPORTED for another
            key than one of P-256.
    """
    key = load_private_key(files.key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise DomainError("SUITE_NOT_SUPPORTED", suite=type(key).__name__, supported="ecdsa p-256")
    # Deterministic: who signs and sends the same again sends the same request.
    made = key.sign(pae(payload_type, payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return Certified(files.certificate.read_bytes(), made)


def signer_of(
    signed: Certified,
    payload_type: str,
    payload: bytes,
    *,
    authority_pem: bytes,
    network_id: str,
    at: datetime,
) -> str:
    """Give the party whose key has signed, if everything about it holds.

    Args:
        signed: signature and certificate.
        payload_type: of the statement.
        payload: the bytes that were signed.
        authority_pem: certificate of the network's CA.
        network_id: network that the certificate must name.
        at: moment at which the certificate must be valid.

    Raises:
        DomainError: CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CALLER_UNKNOWN, SUITE_NOT_SUPPORTED,
            SIGNATURE_INVALID.
    """
    certificate, authority = _read(signed.certificate_pem), _read(authority_pem)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise DomainError("CERTIFICATE_INVALID", detail="not from the CA of this network") from error
    party = party_of_certificate(certificate, network_id).path
    if not certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc.astimezone(UTC).date()
        raise DomainError("CERTIFICATE_EXPIRED", subject=party, end=end)
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise DomainError("SUITE_NOT_SUPPORTED", suite=type(key).__name__, supported="ecdsa p-256")
    try:
        key.verify(signed.signature, pae(payload_type, payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise DomainError("SIGNATURE_INVALID", field="signature") from error
    return party


def read_certificate(path: Path) -> bytes:
    """Give the PEM of a certificate's file, read now: it may have been exchanged.

    Raises:
        DomainError: FILE_MISSING, CERTIFICATE_INVALID.
    """
    return load_certificate(path).public_bytes(serialization.Encoding.PEM)


def one_certificate(pem: bytes) -> bytes:
    """Give the PEM of a single certificate as it is written here, whatever stood around it.

    Raises:
        DomainError: CERTIFICATE_INVALID.
    """
    return _read(pem).public_bytes(serialization.Encoding.PEM)


def _read(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise DomainError("CERTIFICATE_INVALID", detail="no PEM certificate") from error
