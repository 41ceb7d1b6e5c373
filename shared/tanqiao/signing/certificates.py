"""TLS certificates of a federation: its CA, its nodes and operators, and who is on a connection.

A certificate names its party as the SAN URI ``tanqiao://<network_id>/<party>`` (docs/design.md section 1).
TLS says who is on the line; proof rests on the signatures of messages alone. Keys are ECDSA P-256: every TLS
stack knows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.keyring import load_private_key, private_key_pem, write_private
from tanqiao.signing.parties import Party, parse_party

CA_DAYS: Final = 3650
NODE_DAYS: Final = 398
RENEW_DAYS: Final = 30
CLOCK_SKEW: Final = timedelta(minutes=5)
NETWORK_ID_LENGTH_MAX: Final = 63
PARTIES_KEPT_MAX: Final = 4096
COMMON_NAME_LENGTH_MAX: Final = 64
URI_SCHEME: Final = "tanqiao"

_NETWORK_ID: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def require_network_id(network_id: str) -> str:
    """Give the network id back, or refuse it: lower-case letters, digits and hyphens, at most 63."""
    if _NETWORK_ID.fullmatch(network_id) is None:
        raise DomainError(
            "FIELD_INVALID", field="network_id", detail="lower-case letters, digits and hyphens, at most 63"
        )
    return network_id


def party_uri(network_id: str, party: str) -> str:
    """Give the URI that stands in the certificate of a party."""
    return f"{URI_SCHEME}://{require_network_id(network_id)}/{parse_party(party).path}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a process finds its certificate: the federation CA, its own certificate and key."""

    ca: Path
    certificate: Path
    key: Path

    @staticmethod
    def of(directory: Path) -> TlsFiles:
        """Give the files of a node's or operator's ``tls`` directory."""
        return TlsFiles(directory / "ca.pem", directory / "node.pem", directory / "node.key")


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The same, read and checked."""

    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes
    party: Party
    network_id: str
    not_after: datetime


class CertificateAuthority:
    """The CA of one network; its key stays in the network's directory."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @property
    def pem(self) -> bytes:
        """Certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def create(directory: Path, network_id: str, *, now: datetime) -> CertificateAuthority:
        """Make ``ca.pem`` and ``ca.key`` in the directory, or open those that are there.

        Raises:
            DomainError: KEY_FILE_PERMISSIONS, KEY_FILE_INVALID, CERTIFICATE_INVALID.
        """
        pem_path, key_path = directory / "ca.pem", directory / "ca.key"
        if pem_path.exists() and key_path.exists():
            certificate = load_certificate(pem_path)
            key = load_private_key(key_path)
            if (
                not isinstance(key, ec.EllipticCurvePrivateKey)
                or key.public_key() != certificate.public_key()
            ):
                raise DomainError("KEY_FILE_INVALID", file=key_path, detail="not the key of the CA beside it")
            return CertificateAuthority(certificate, key)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tanqiao"),
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"CA {require_network_id(network_id)}"[:COMMON_NAME_LENGTH_MAX]
                ),
            ]
        )
        certificate = (
            _builder(name, name, key.public_key(), now, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(key_path, private_key_pem(key))
        pem_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return CertificateAuthority(certificate, key)

    def issue(
        self,
        files: TlsFiles,
        network_id: str,
        party: str,
        *,
        hosts: Sequence[str] = (),
        now: datetime,
        days: int = NODE_DAYS,
    ) -> None:
        """Make key and certificate of a party; with hosts it can serve, without it can only call.

        A certificate of the same party that still lasts `RENEW_DAYS` is left as it is.
        """
        if self._still_good(files, network_id, party, hosts, now):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign_certificate(
            key.public_key(), network_id, party, hosts=hosts, now=now, days=days
        )
        write_private(files.key, private_key_pem(key))
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.ca.write_bytes(self.pem)

    def sign_certificate(
        self,
        public_key: ec.EllipticCurvePublicKey,
        network_id: str,
        party: str,
        *,
        hosts: Sequence[str] = (),
        now: datetime,
        days: int = NODE_DAYS,
    ) -> x509.Certificate:
        """Give the certificate of a party over its public key."""
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party[:COMMON_NAME_LENGTH_MAX])])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(party_uri(network_id, party))]
        names.extend(_host_name(host) for host in hosts)
        return (
            _builder(name, self.certificate.subject, public_key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _still_good(
        self, files: TlsFiles, network_id: str, party: str, hosts: Sequence[str], now: datetime
    ) -> bool:
        if not (files.certificate.exists() and files.key.exists() and files.ca.exists()):
            return False
        certificate = load_certificate(files.certificate)
        wanted = {_host_name(host) for host in hosts}
        return (
            files.ca.read_bytes() == self.pem
            and certificate.issuer == self.certificate.subject
            and certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)
            and party_uri(network_id, party) in _uris(certificate)
            and wanted <= set(_alternative_names(certificate))
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    require(now.utcoffset() is not None, "validity is counted from an aware moment")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def load_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate.

    Raises:
        DomainError: FILE_MISSING, CERTIFICATE_INVALID.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise DomainError("FILE_MISSING", file=path) from error
    except ValueError as error:
        raise DomainError("CERTIFICATE_INVALID", detail=f"{path} is no PEM certificate") from error


def load_tls(files: TlsFiles, *, now: datetime) -> TlsMaterial:
    """Read and check what a process shows on the line.

    Raises:
        DomainError: FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID, CERTIFICATE_INVALID,
            CERTIFICATE_EXPIRED.
    """
    certificate, ca = load_certificate(files.certificate), load_certificate(files.ca)
    key = load_private_key(files.key)
    if key.public_key() != certificate.public_key():
        raise DomainError(
            "KEY_FILE_INVALID", file=files.key, detail="not the key of the certificate beside it"
        )
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise DomainError(
            "CERTIFICATE_INVALID", detail=f"{files.certificate} is not signed by {files.ca}"
        ) from error
    network_id, party = _single_party(certificate)
    if certificate.not_valid_after_utc <= now:
        end = certificate.not_valid_after_utc.astimezone(UTC).date()
        raise DomainError("CERTIFICATE_EXPIRED", subject=party.path, end=end)
    return TlsMaterial(
        files.ca.read_bytes(),
        files.certificate.read_bytes(),
        private_key_pem(key),
        party,
        network_id,
        certificate.not_valid_after_utc,
    )


def _alternative_names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def _uris(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    return [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]


def _single_party(certificate: x509.Certificate) -> tuple[str, Party]:
    return _read_uris(_uris(certificate))


def _read_uris(uris: Iterable[str]) -> tuple[str, Party]:
    ours = [uri for uri in uris if uri.startswith(f"{URI_SCHEME}://")]
    if len(ours) != 1:
        raise DomainError("CALLER_UNKNOWN", detail="the certificate names no party, or more than one")
    network_id, _, party = ours[0].removeprefix(f"{URI_SCHEME}://").partition("/")
    try:
        return require_network_id(network_id), parse_party(party)
    except DomainError as error:
        raise DomainError("CALLER_UNKNOWN", detail="the certificate names no party") from error


def party_of_certificate(certificate: x509.Certificate, network_id: str) -> Party:
    """Give the party that a certificate of this network names.

    Raises:
        DomainError: CALLER_UNKNOWN, if it names none, more than one, or one of another network.
    """
    named_network, party = _single_party(certificate)
    if named_network != network_id:
        raise DomainError("CALLER_UNKNOWN", detail="the certificate belongs to another network")
    return party


def peer_party(auth_context: Mapping[str, object], network_id: str) -> Party:
    """Give the party on a TLS connection from gRPC's authentication context.

    Raises:
        DomainError: CALLER_UNKNOWN, if there is no certificate, it names no party, or one of another network.
    """
    certificates = auth_context.get("x509_pem_cert")
    pem = certificates[0] if isinstance(certificates, list | tuple) and certificates else None
    if not isinstance(pem, bytes) or not pem:
        raise DomainError("CALLER_UNKNOWN", detail="no client certificate")
    named_network, party = _party_of_pem(pem)
    if named_network != network_id:
        raise DomainError("CALLER_UNKNOWN", detail="the certificate belongs to another network")
    return party


@lru_cache(maxsize=PARTIES_KEPT_MAX)
def _party_of_pem(pem: bytes) -> tuple[str, Party]:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise DomainError("CALLER_UNKNOWN", detail="the certificate cannot be read") from error
    return _single_party(certificate)
