"""A certificate of carbon neutrality: signed by the region, and no more than what the retirement says.

The file holds the proof of the retirement and, beside it, the certificate under the region's signature. Every
word of the certificate that the retirement can confirm is compared with it; a named beneficiary must be the
one whom the retirement committed to.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import certificates_pb2
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_message, parse_envelope
from tanqiao.offline.report import Report
from tanqiao.signing.commitments import SALT_LENGTH
from tanqiao.signing.verify import Opened, allow
from tanqiao.tlog.errors import TlogError

__all__ = ["check_certificate", "conclude_certificate"]

REGIONS: Final = ("region/*",)
INDEX_FIELD: Final = "signed_at_index"


def check_certificate(
    report: Report, file: ProofFile, chain: KeyChain, network_id: str, use: Opened, *, index: int, size: int
) -> certificates_pb2.NeutralityCertificate:
    """Check the certificate of a file against the retirement that the file proves.

    Args:
        report: takes what holds.
        file: of kind certificate.
        chain: keys that the file proves.
        network_id: network of the retirement.
        use: the retirement, opened.
        index: of its decision in the log.
        size: of the log under the file's checkpoint.

    Raises:
        TlogError: MESSAGE_REFUSED, KEY_NOT_SHOWN, KEY_STATED_LATER, CERTIFICATE_DIFFERS.
    """
    envelope = parse_envelope(file.one("certificate"))
    region = use.header.sender
    rule = allow(
        certificates_pb2.NeutralityCertificate, senders=REGIONS, audience=region, index_field=INDEX_FIELD
    )
    opened = open_message(envelope, chain, rule, network_id, at_index=size)
    certificate: certificates_pb2.NeutralityCertificate = opened.message
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, certificate.signed_at_index)
    if not index < certificate.signed_at_index <= size:
        raise TlogError("CERTIFICATE_DIFFERS", "signed before the decision, or beyond the checkpoint")
    told = (opened.header.sender, opened.header.source, opened.header.transfer_id, certificate.use_hash)
    if told != (region, use.header.source, use.header.transfer_id, use.message_hash):
        raise TlogError("CERTIFICATE_DIFFERS", "another retirement")
    message = use.message
    if not isinstance(message, messages_pb2.Use) or message.kind != messages_pb2.USE_KIND_RETIRE:
        raise TlogError("CERTIFICATE_DIFFERS", "no retirement")
    for name, same in (
        ("blocks", list(certificate.blocks) == list(message.blocks)),
        ("quantity_kg", certificate.quantity_kg == message.quantity_kg),
        ("purpose", certificate.purpose == message.purpose),
        ("retirement_date", certificate.retirement_date == message.retiring_date),
        ("decision_log_index", certificate.decision_log_index == index),
        ("number", bool(certificate.number)),
        ("beneficiary_name", certificate.beneficiary_name.encode() == _opened_name(file)),
    ):
        if not same:
            raise TlogError("CERTIFICATE_DIFFERS", name)
    report.held(
        "§4",
        f"{region} signed the certificate {certificate.number}; its units, purpose and beneficiary are those "
        "of the retirement.",
        f"{region}签发了证书{certificate.number}，其编号区间、用途与受益人均与注销一致。",
    )
    return certificate


def conclude_certificate(
    report: Report, certificate: certificates_pb2.NeutralityCertificate, day: str
) -> None:
    """Say what a certificate that holds proves, and what only the region's public list can say."""
    named, occasion = certificate.beneficiary_name, certificate.occasion
    region = certificate.header.sender
    blocks = [f"{one.series_id}[{one.start_serial},{one.end_serial})" for one in certificate.blocks]
    english = [f"purpose {certificate.purpose}", f"for {named}" if named else "", occasion]
    chinese = [f"用途{certificate.purpose}", f"受益人{named}" if named else "", occasion]
    report.leave_open(
        "That the certificate has not been revoked since: the region's public list of certificates says so.",
        "证书此后未被撤销：以该地区公开的证书名单为准。",
    )
    report.leave_open(
        "When it was signed: the region says so, no log holds the certificate. Was its key revoked since, "
        "ask the region whether it stands by the certificate.",
        "证书的签署时间：由该地区自述，日志未收录证书；若其密钥此后被撤销，请向该地区核实。",
    )
    report.conclude(
        f"Certificate {certificate.number}: {certificate.quantity_kg} kg CO2e were retired at {region} on "
        f"{day} ({', '.join(filter(None, english))}), recognised by {certificate.recognised_by} under "
        f"{certificate.standard}.",
        f"证书{certificate.number}：{region}的{certificate.quantity_kg}千克二氧化碳当量已于{day}注销"
        f"（{'，'.join(filter(None, chinese))}），"
        f"由{certificate.recognised_by}依据{certificate.standard}认定。",
        number=certificate.number,
        source=region,
        transfer_id=certificate.header.transfer_id.hex(),
        quantity_kg=certificate.quantity_kg,
        blocks=blocks,
        purpose=certificate.purpose,
        occasion=occasion,
        beneficiary_name=named,
        beneficiary_uscc=certificate.beneficiary_uscc,
        legal_date=day,
        sign_date=_day(certificate.sign_date),
        recognised_by=certificate.recognised_by,
        standard=certificate.standard,
    )


def _opened_name(file: ProofFile) -> bytes:
    """Give the name to which the file opens the retirement's commitment; empty where it opens none."""
    return (file.maybe("opening-beneficiary") or b"")[:-SALT_LENGTH]


def _day(day: values_pb2.Date) -> str:
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"
