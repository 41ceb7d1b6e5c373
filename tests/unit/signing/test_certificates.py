from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.certificates import (
    NODE_DAYS,
    RENEW_DAYS,
    CertificateAuthority,
    TlsFiles,
    load_certificate,
    load_tls,
    party_uri,
    peer_party,
    require_network_id,
)
from tanqiao.testing.network import NETWORK_ID, SHANGHAI, SHANGHAI_CENTRE, NetworkOfTest

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.create(tmp_path, NETWORK_ID, now=NOW)


def issue(
    authority: CertificateAuthority, directory: Path, party: str = SHANGHAI, *, now: datetime = NOW
) -> TlsFiles:
    directory.mkdir(exist_ok=True)
    files = TlsFiles.of(directory)
    authority.issue(files, NETWORK_ID, party, hosts=("127.0.0.1", "node.example"), now=now)
    return files


def refusal_of(files: TlsFiles, now: datetime = NOW) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        load_tls(files, now=now)
    assert "\n" not in refusal.value.sentence("en")
    return refusal.value


def pem_of(files: TlsFiles) -> dict[str, object]:
    return {"x509_pem_cert": [files.certificate.read_bytes()], "transport_security_type": [b"ssl"]}


def test_a_certificate_names_its_party_and_hosts(authority: CertificateAuthority, tmp_path: Path) -> None:
    certificate = load_certificate(issue(authority, tmp_path / "tls").certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["tanqiao://test-local/region/310000"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert names.get_values_for_type(x509.DNSName) == ["node.example"]
    assert certificate.not_valid_after_utc - NOW == timedelta(days=NODE_DAYS)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_only_a_party_with_hosts_may_serve(authority: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "caller").mkdir()
    files = TlsFiles.of(tmp_path / "caller")
    authority.issue(files, NETWORK_ID, SHANGHAI_CENTRE, now=NOW)
    usage = x509.ExtendedKeyUsage
    caller = load_certificate(files.certificate).extensions.get_extension_for_class(usage).value
    server = load_certificate(issue(authority, tmp_path / "tls").certificate)
    assert list(caller) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert ExtendedKeyUsageOID.SERVER_AUTH in server.extensions.get_extension_for_class(usage).value


def test_private_keys_are_for_their_owner_only(authority: CertificateAuthority, tmp_path: Path) -> None:
    files = issue(authority, tmp_path / "tls")
    for key in (files.key, tmp_path / "ca.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_a_certificate_is_made_once_and_renewed_before_it_ends(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    files = issue(authority, tmp_path / "tls")
    first = files.certificate.read_bytes()
    issue(authority, tmp_path / "tls", now=NOW + timedelta(days=NODE_DAYS - RENEW_DAYS - 1))
    assert files.certificate.read_bytes() == first
    later = NOW + timedelta(days=NODE_DAYS - RENEW_DAYS)
    issue(authority, tmp_path / "tls", now=later)
    assert files.certificate.read_bytes() != first
    assert load_tls(files, now=later).party.path == SHANGHAI


def test_a_certificate_of_another_party_ca_or_host_is_made_anew(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    files = issue(authority, tmp_path / "tls")
    first = files.certificate.read_bytes()
    issue(authority, tmp_path / "tls", "region/440300")
    second = files.certificate.read_bytes()
    assert second != first
    authority.issue(files, NETWORK_ID, "region/440300", hosts=("10.0.0.1",), now=NOW)
    third = files.certificate.read_bytes()
    assert third != second
    other = CertificateAuthority.create(tmp_path / "tls" / "other", NETWORK_ID, now=NOW)
    other.issue(files, NETWORK_ID, "region/440300", hosts=("10.0.0.1",), now=NOW)
    assert files.ca.read_bytes() == other.pem


def test_the_ca_is_made_once(authority: CertificateAuthority, tmp_path: Path) -> None:
    assert CertificateAuthority.create(tmp_path, NETWORK_ID, now=NOW).pem == authority.pem


def test_a_ca_whose_key_was_exchanged_is_refused(authority: CertificateAuthority, tmp_path: Path) -> None:
    CertificateAuthority.create(tmp_path / "other", NETWORK_ID, now=NOW)
    (tmp_path / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(DomainError) as refusal:
        CertificateAuthority.create(tmp_path, NETWORK_ID, now=NOW)
    assert refusal.value.symbol == "KEY_FILE_INVALID"


def test_what_a_process_shows_is_read_and_checked(authority: CertificateAuthority, tmp_path: Path) -> None:
    material = load_tls(issue(authority, tmp_path / "tls"), now=NOW)
    assert (material.network_id, material.party.path) == (NETWORK_ID, SHANGHAI)
    assert material.ca_pem == authority.pem


def test_a_certificate_that_ended_is_refused_with_its_last_day(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    files = issue(authority, tmp_path / "tls")
    end = NOW + timedelta(days=NODE_DAYS)
    assert load_tls(files, now=end - timedelta(seconds=1)).party.path == SHANGHAI
    refusal = refusal_of(files, end)
    assert refusal.symbol == "CERTIFICATE_EXPIRED"
    assert refusal.metadata == {"subject": SHANGHAI, "end": "2027-04-04"}


@pytest.mark.parametrize(
    ("damage", "symbol"),
    [
        (lambda files, _: files.ca.unlink(), "FILE_MISSING"),
        (lambda files, _: files.certificate.unlink(), "FILE_MISSING"),
        (lambda files, _: files.key.unlink(), "FILE_MISSING"),
        (lambda files, _: files.certificate.write_bytes(b"junk"), "CERTIFICATE_INVALID"),
        (lambda files, _: files.ca.write_bytes(b""), "CERTIFICATE_INVALID"),
        (lambda files, _: files.key.write_bytes(b"junk"), "KEY_FILE_INVALID"),
        (lambda files, _: files.key.chmod(0o644), "KEY_FILE_PERMISSIONS"),
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "KEY_FILE_INVALID"),
        (lambda files, other: files.ca.write_bytes(other.ca.read_bytes()), "CERTIFICATE_INVALID"),
        (lambda files, _: files.certificate.write_bytes(files.ca.read_bytes()), "KEY_FILE_INVALID"),
    ],
)
def test_damaged_tls_files_are_refused_in_one_sentence(
    authority: CertificateAuthority,
    tmp_path: Path,
    damage: Callable[[TlsFiles, TlsFiles], object],
    symbol: str,
) -> None:
    files = issue(authority, tmp_path / "tls")
    other = issue(CertificateAuthority.create(tmp_path / "2", NETWORK_ID, now=NOW), tmp_path / "tls2")
    damage(files, other)
    assert refusal_of(files).symbol == symbol


@pytest.mark.parametrize("network_id", ["", "Test", "a b", "-a", "a-", "a" * 64, "测试", "a/b", "a\n"])
def test_a_network_has_a_plain_name(network_id: str) -> None:
    with pytest.raises(DomainError) as refusal:
        require_network_id(network_id)
    assert refusal.value.field == "network_id"
    with pytest.raises(DomainError):
        party_uri(network_id, SHANGHAI)


def test_the_party_on_the_line_is_read_from_its_certificate(net: NetworkOfTest) -> None:
    assert peer_party(pem_of(net.network.tls(SHANGHAI_CENTRE)), NETWORK_ID).path == SHANGHAI_CENTRE


def certificate_with(names: list[x509.GeneralName]) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SHANGHAI)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


URI = x509.UniformResourceIdentifier


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"x509_pem_cert": []},
        {"x509_pem_cert": [b""]},
        {"x509_pem_cert": [b"junk"]},
        {"x509_pem_cert": [certificate_with([])]},
        {"x509_pem_cert": [certificate_with([x509.DNSName("localhost")])]},
        {"x509_pem_cert": [certificate_with([URI("spiffe://test-local/region/310000")])]},
        {"x509_pem_cert": [certificate_with([URI("tanqiao://test-local/nobody")])]},
        {"x509_pem_cert": [certificate_with([URI("tanqiao://test-local")])]},
        {"x509_pem_cert": [certificate_with([URI("tanqiao:///region/310000")])]},
        {"x509_pem_cert": [certificate_with([URI("tanqiao://test-other/region/310000")])]},
        {
            "x509_pem_cert": [
                certificate_with([URI(f"tanqiao://test-local/{p}") for p in ("bridge", SHANGHAI)])
            ]
        },
    ],
)
def test_a_line_that_names_no_party_of_the_network_is_unknown(context: dict[str, object]) -> None:
    with pytest.raises(DomainError) as refusal:
        peer_party(context, NETWORK_ID)
    assert refusal.value.symbol == "CALLER_UNKNOWN"
