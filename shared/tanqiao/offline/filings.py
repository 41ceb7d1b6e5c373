"""A proof of filing: what a region signed about an entry of its reserve, and under which key.

No leaf of the log holds a proof of filing. The file shows that the region's key stood in the cosigned log
before it signed; what is said of the entry is the region's word, and the report says so.
"""

from __future__ import annotations

import re
from typing import Final

from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.api.region.v1 import reserve_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_chain, open_message, parse_envelope, refused_as
from tanqiao.offline.paths import report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import allow
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import Policy

__all__ = ["read_filing", "verify_filing"]

REGIONS: Final = ("region/*",)
INDEX_FIELD: Final = "signed_at_index"
FILING_TYPE: Final = payload_type_of(reserve_pb2.FilingProof)
_NUMBER: Final = re.compile(r"\.P[1-9][0-9]{0,8}")


def read_filing(envelope: envelope_pb2.Envelope) -> reserve_pb2.FilingProof:
    """Read a proof of filing, to know its network and who signed it; the signature is checked apart.

    Raises:
        TlogError: `MESSAGE_REFUSED`.
    """
    if envelope.payload_type != FILING_TYPE:
        raise TlogError("MESSAGE_REFUSED", "no proof of filing")
    try:
        return parse_strict(reserve_pb2.FilingProof, envelope.payload)
    except DomainError as refusal:
        raise refused_as(refusal) from None


def verify_filing(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind filing-proof.

    Raises:
        TlogError: the first check that fails.
    """
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    envelope = parse_envelope(file.one("envelope"))
    stated = read_filing(envelope)
    chain = open_chain(report, file, tree, stated.header.network_id, skip=0)
    proof = _opened(envelope, stated, chain, tree.size)
    link = proof.link
    if proof.potential_kg_per_year < 0:
        raise TlogError("FILING_INVALID", "potential_kg_per_year")
    if proof.number.removeprefix(proof.entry_id) == proof.number or not _NUMBER.fullmatch(
        proof.number.removeprefix(proof.entry_id)
    ):
        raise TlogError("FILING_INVALID", "number")
    if bool(link.programme) != bool(link.outside_reference):
        raise TlogError("FILING_INVALID", "link")
    if link.outside_state and not (link.source and link.as_of_date.year):
        raise TlogError("FILING_INVALID", "a state elsewhere that no list states")
    region = proof.header.sender
    report.held(
        "§4",
        f"{region} signed the proof of filing {proof.number} with a key that stood in the log before.",
        f"{region}签发了储备证明{proof.number}，其密钥此前已载入日志。",
    )
    _conclude(report, proof)


def _opened(
    envelope: envelope_pb2.Envelope, stated: reserve_pb2.FilingProof, chain: KeyChain, size: int
) -> reserve_pb2.FilingProof:
    region = stated.header.sender
    rule = allow(reserve_pb2.FilingProof, senders=REGIONS, audience=region, index_field=INDEX_FIELD)
    opened = open_message(envelope, chain, rule, stated.header.network_id, at_index=size)
    proof: reserve_pb2.FilingProof = opened.message
    if not 0 < proof.signed_at_index <= size:
        raise TlogError("FILING_INVALID", "signed at no index, or beyond the checkpoint")
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, proof.signed_at_index)
    return proof


def _conclude(report: Report, proof: reserve_pb2.FilingProof) -> None:
    region, link = proof.header.sender, proof.link
    report.leave_open(
        "That no later proof has superseded this one, and that the entry has not left the reserve since: the "
        "region's history of the proof and its public list say so.",
        "该证明此后未被新的证明取代、条目此后未退出储备：以该地区的证明历史与公开清单为准。",
    )
    report.leave_open(
        "When it was signed, and what it says of the entry: no log holds the proof, the region states it.",
        "签署时间与所载条目内容：日志未收录该证明，由该地区自述。",
    )
    report.leave_open(
        "That the potential will be reached, and that anybody holds units: a reserve entry gives none.",
        "潜力能够实现、任何人持有减排量：储备条目不产生减排量。",
    )
    linked = (f", handed over to {link.programme} {link.outside_reference}", f"，已衔接{link.programme}")
    report.conclude(
        f"{region} certifies under {proof.number} that the entry {proof.entry_id} ({proof.resource_kind}, "
        f"{proof.potential_kg_per_year} kg CO2e a year estimated) stood in its reserve as {proof.state} on "
        f"{_day(proof.proof_date)}{linked[0] if link.programme else ''}. No unit follows from it.",
        f"{region}以{proof.number}证明：条目{proof.entry_id}（{proof.resource_kind}，估算每年"
        f"{proof.potential_kg_per_year}千克二氧化碳当量）于{_day(proof.proof_date)}在其储备中，状态为{proof.state}"
        f"{linked[1] + link.outside_reference if link.programme else ''}。由此不产生任何减排量。",
        number=proof.number,
        source=region,
        entry_id=proof.entry_id,
        resource_kind=proof.resource_kind,
        ftz_area=proof.ftz_area,
        potential_kg_per_year=proof.potential_kg_per_year,
        state=proof.state,
        claim_id=proof.claim_id,
        enter_date=_day(proof.enter_date),
        proof_date=_day(proof.proof_date),
        programme=link.programme,
        outside_reference=link.outside_reference,
        outside_state=link.outside_state,
        outside_as_of=_day(link.as_of_date),
    )


def _day(day: values_pb2.Date) -> str:
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}" if day.year else ""
