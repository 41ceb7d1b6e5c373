"""Certificates of neutrality: a good one, and what was tried with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.region.v1 import certificates_pb2
from tanqiao.offline.container import encode_file
from tests.golden.museum import federation as f
from tests.golden.museum.exhibits import BadFile

Parts = list[tuple[str, bytes]]
LOG = f.LOG_OF_FEDERATION
NUMBER = "310000-CN-2026-00000007"
OCCASION = "虚构大会 invented event"
OPENING = ("opening-beneficiary", f.BENEFICIARY + f.BENEFICIARY_SALT)


def certificate(
    of: envelope_pb2.Envelope = f.USE_MESSAGE,
    by: f.Key = f.KEYS[f.SHANGHAI],
    transfer_id: bytes = f.USE,
    changed: Mapping[str, object] | None = None,
) -> envelope_pb2.Envelope:
    """A certificate over the retirement of the museum, with some fields changed and signed nevertheless."""
    fields: dict[str, object] = {
        "header": f.header(by.signer, f.SHANGHAI, transfer_id, rules_digest=f.rules_digest()),
        "number": NUMBER,
        "use_hash": f.hash_of(of),
        "blocks": f.USED_BLOCKS,
        "quantity_kg": 500,
        "purpose": "voluntary",
        "occasion": OCCASION,
        "beneficiary_name": f.BENEFICIARY.decode(),
        "retirement_date": values_pb2.Date(year=2026, month=3, day=3),
        "sign_date": values_pb2.Date(year=2026, month=3, day=4),
        "recognised_by": "sz.bureau",
        "standard": "虚构标准 invented standard",
        "decision_log_index": f.USED_AT,
        "signed_at_index": f.USED_AT + 1,
        **(changed or {}),
    }
    return f.envelope(by.signer, certificates_pb2.NeutralityCertificate(**fields))  # type: ignore[arg-type]


def certificate_parts(signed: envelope_pb2.Envelope | None = None, *, named: bool = True) -> Parts:
    """The parts of a file, with another certificate in it, or one that names nobody."""
    if signed is None:
        signed = certificate() if named else certificate(changed={"beneficiary_name": ""})
    return [
        ("checkpoint", LOG.checkpoint),
        *LOG.leaf(f.USED_AT),
        ("envelope", f.USE_MESSAGE.SerializeToString()),
        ("envelope", f.USE_DECISION.SerializeToString()),
        ("certificate", signed.SerializeToString()),
        *([OPENING] if named else []),
        *LOG.keys(f.SHANGHAI, f.SHENZHEN, f.BRIDGE),
    ]


def bad_certificates(case: Callable[..., BadFile]) -> Iterator[BadFile]:
    """Certificates that prove nothing, each named for what was tried."""
    size = len(LOG.leaves)
    more = [values_pb2.UnitBlock(series_id=f.SERIES, start_serial=0, end_serial=900)]
    for name, attack, changed in (
        ("quantity-raised", "more tonnes than were retired", {"quantity_kg": 900, "blocks": more}),
        ("blocks-of-others", "units that somebody else retired", {"blocks": f.BLOCKS}),
        ("for-compliance", "another purpose", {"purpose": "compliance"}),
        ("backdated", "another day", {"retirement_date": values_pb2.Date(year=2025, month=12, day=31)}),
        ("of-another-use", "another retirement of the same region", {"use_hash": b"\x07" * 32}),
        ("names-another", "somebody else is named", {"beneficiary_name": "Thief Ltd"}),
        ("of-another-place", "another decision", {"decision_log_index": f.TRANSFER_AT}),
        ("signed-before", "signed before anything was decided", {"signed_at_index": f.USED_AT}),
        ("signed-later", "signed later than the file can show", {"signed_at_index": size + 1}),
        ("without-number", "a certificate that no list can have", {"number": ""}),
    ):
        parts = certificate_parts(certificate(changed=changed))
        yield case(f"certificate-{name}", "CERTIFICATE_DIFFERS", attack, parts, "certificate")
    elsewhere = certificate(transfer_id=f.TRANSFER)
    yield case(
        "certificate-of-a-transfer",
        "CERTIFICATE_DIFFERS",
        "a transfer sold as a retirement",
        certificate_parts(elsewhere),
        "certificate",
    )
    hidden = [part for part in certificate_parts() if part[0] != OPENING[0]]
    yield case(
        "certificate-without-opening",
        "CERTIFICATE_DIFFERS",
        "a name that nothing shows",
        hidden,
        "certificate",
    )
    foreign = certificate(by=f.KEYS[f.SHENZHEN])
    yield case(
        "certificate-of-another-region",
        "CERTIFICATE_DIFFERS",
        "another region certifies",
        certificate_parts(foreign),
        "certificate",
    )
    tampered = certificate()
    tampered.payload = tampered.payload.replace(NUMBER.encode(), NUMBER.replace("7", "8").encode())
    yield case(
        "certificate-changed", "MESSAGE_REFUSED", "another number", certificate_parts(tampered), "certificate"
    )
    stranger = certificate(by=f.STRANGER)
    yield case(
        "certificate-by-a-stranger",
        "KEY_NOT_SHOWN",
        "a key that the log never stated",
        certificate_parts(stranger),
        "certificate",
    )
    use_again = f.USE_MESSAGE
    yield case(
        "certificate-is-a-use",
        "MESSAGE_REFUSED",
        "the retirement shown twice",
        certificate_parts(use_again),
        "certificate",
    )
    yield case(
        "certificate-left-out",
        "FILE_PARTS",
        "a retirement sold as a certificate",
        _as_certificate(),
    )


def _as_certificate() -> bytes:
    """A file of kind certificate from which the certificate is missing."""
    whole = encode_file("certificate", certificate_parts())
    head, _, body = whole.partition(b"\n\n")
    lines = head.split(b"\n")
    at = next(n for n, line in enumerate(lines) if line.startswith(b"certificate "))
    before = sum(int(line.split(b" ")[1]) for line in lines[2:at])
    size = int(lines.pop(at).split(b" ")[1])
    return b"\n".join(lines) + b"\n\n" + body[:before] + body[before + size :]
