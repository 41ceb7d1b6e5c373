"""One conflict of the claim index: what the bridge states of it, and what of that stands in the log.

The bridge signs the whole (the case, its history, the claims as stated, rows and dates of outside lists).
Each receipt, decision on an alias and resolution that it names is a leaf of the cosigned log and carries the
signature of who gave it; the claims are, byte for byte, those whose digests the leaves hold (CLAIMS
section 7).
What stands behind the bridge's signature alone is said in the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2, conflicts_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_chain, parse_envelope, refused_as
from tanqiao.offline.paths import IncludedLeaf, included_leaf, report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.signing.approvals import open_decision
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import Verifier, allow
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import Policy

__all__ = ["ALIAS_KIND", "CLAIM_KIND", "RESOLUTION_KIND", "read_pack", "verify_conflict"]

CLAIM_KIND: Final = "claim"
RESOLUTION_KIND: Final = "case_resolution"
ALIAS_KIND: Final = "asset_alias"
PACK_TYPE: Final = payload_type_of(conflicts_pb2.ConflictPack)
PACK_RULE: Final = allow(conflicts_pb2.ConflictPack, senders=(BRIDGE,))
RECEIPT_RULE: Final = allow(claims_pb2.ClaimReceipt, senders=(BRIDGE,))
RESOLVED_STATES: Final = {
    cases_pb2.RESOLUTION_ALLOW: "allowed",
    cases_pb2.RESOLUTION_BLOCK: "blocked",
    cases_pb2.RESOLUTION_SPLIT: "split",
}
ISSUED_STATES: Final = (claims_pb2.CLAIM_STATUS_ISSUED, claims_pb2.CLAIM_STATUS_RETIRED)
"""Given by an Issue or a use, whose proof is a file of its own."""
SHOWN_MAX: Final = 5


@dataclass(slots=True)
class _Shown:
    """What the steps of a file show: of each claim its digest and last status, of the case how it ended."""

    digests: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    ended: str = ""
    count: int = 0


def read_pack(envelope: envelope_pb2.Envelope) -> conflicts_pb2.ConflictPack:
    """Read a pack, to know its network and its steps; the signature is checked apart.

    Raises:
        TlogError: `MESSAGE_REFUSED`.
    """
    if envelope.payload_type != PACK_TYPE:
        raise TlogError("MESSAGE_REFUSED", "no conflict pack")
    try:
        pack = parse_strict(conflicts_pb2.ConflictPack, envelope.payload)
    except DomainError as refusal:
        raise refused_as(refusal) from None
    if not pack.header.audience:
        raise TlogError("MESSAGE_REFUSED", "a message for nobody")
    return pack


def verify_conflict(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind conflict.

    Raises:
        TlogError: the first check that fails.
    """
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    envelope = parse_envelope(file.one("envelope"))
    pack = read_pack(envelope)
    chain = open_chain(report, file, tree, pack.header.network_id, skip=0)
    _open_pack(report, envelope, pack, chain, tree)
    shown = _check_steps(report, file, pack, chain, tree)
    _check_claims(report, pack, shown)
    _conclude(report, pack)


def _open_pack(
    report: Report,
    envelope: envelope_pb2.Envelope,
    pack: conflicts_pb2.ConflictPack,
    chain: KeyChain,
    tree: Checkpoint,
) -> None:
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, tree.size)
    _opened(envelope, pack.header, PACK_RULE, chain, tree.size)
    try:
        moment = pack.pack_time.ToJsonString()
    except ValueError:
        raise TlogError("MESSAGE_REFUSED", "a statement of no day") from None
    report.facts |= {
        "network": pack.header.network_id,
        "case_id": pack.case.case_id,
        "kind_of_case": pack.case.kind,
        "state": pack.case.state,
        "as_of_index": pack.as_of_index,
        "stated_at": moment,
    }
    report.held(
        "§2",
        f"The bridge of {pack.header.network_id} signed the statement about case {pack.case.case_id} "
        f"({pack.case.kind}, {pack.case.state}) at index {pack.as_of_index}, {moment}.",
        f"{pack.header.network_id}的桥于序号{pack.as_of_index}（{moment}）签署了关于案件{pack.case.case_id}"
        f"（{pack.case.kind}，{pack.case.state}）的陈述。",
    )


def _opened(
    envelope: envelope_pb2.Envelope, header: envelope_pb2.Header, rule: object, chain: KeyChain, at_index: int
) -> None:
    try:
        Verifier(header.network_id, header.audience[0]).open_envelope(
            envelope,
            chain.directory,
            allowed=rule,  # type: ignore[arg-type]  # as `allow` gives it
            peer=None,
            at_index=at_index,
        )
    except DomainError as refusal:
        raise refused_as(refusal) from None


def _check_steps(
    report: Report, file: ProofFile, pack: conflicts_pb2.ConflictPack, chain: KeyChain, tree: Checkpoint
) -> _Shown:
    shown = _Shown()
    parts = zip(file.all("step-leaf"), file.all("step-path"), file.all("step"), strict=True)
    indexes = []
    for leaf, path, data in parts:
        included = included_leaf(leaf, path, tree)
        indexes.append(included.index)
        envelope = parse_envelope(data)
        for signature in envelope.signatures:
            chain.require_before(signature.key_id, included.index)
        if included.leaf.kind == CLAIM_KIND:
            _check_receipt(included, envelope, pack, chain, shown)
        elif included.leaf.kind in (RESOLUTION_KIND, ALIAS_KIND):
            _check_decision(included, envelope, pack, chain, shown)
        else:
            raise TlogError("MESSAGE_NOT_NAMED", f"a leaf of kind {included.leaf.kind}")
    if indexes != list(pack.log_indexes) or indexes != sorted(set(indexes)):
        raise TlogError("MESSAGE_NOT_NAMED", "other leaves than the statement names")
    report.held(
        "§8",
        f"The {len(indexes)} leaves that it names stand in that log, each with the message whose hash it "
        "holds and the signature of who gave it.",
        f"陈述所指的{len(indexes)}个叶子均在该日志中，各附其哈希所对应的消息及出具方的签名。",
    )
    return shown


def _named_hash(included: IncludedLeaf, place: int, envelope: envelope_pb2.Envelope) -> None:
    hashes = included.leaf.message_hashes
    try:
        found = message_hash(envelope.payload_type, envelope.payload)
    except DomainError as refusal:
        raise refused_as(refusal) from None
    if len(hashes) <= place or hashes[place] != found:
        raise TlogError("MESSAGE_NOT_NAMED", f"at index {included.index}")


def _check_receipt(
    included: IncludedLeaf,
    envelope: envelope_pb2.Envelope,
    pack: conflicts_pb2.ConflictPack,
    chain: KeyChain,
    shown: _Shown,
) -> None:
    """A leaf of a claim names what was answered and then the receipt."""
    _named_hash(included, 1, envelope)
    try:
        receipt = parse_strict(claims_pb2.ClaimReceipt, envelope.payload)
    except DomainError as refusal:
        raise refused_as(refusal) from None
    if not receipt.header.audience or receipt.header.network_id != pack.header.network_id:
        raise TlogError("MESSAGE_REFUSED", "a receipt for nobody, or of another network")
    _opened(envelope, receipt.header, RECEIPT_RULE, chain, included.index)
    leaf = included.leaf
    told = {
        "claim_id": receipt.claim_id.encode(),
        "claim_digest": receipt.claim_digest,
        "status": claims_pb2.ClaimStatus.Name(receipt.status).encode(),
    }
    if receipt.log_index != included.index or any(leaf.value(name) != value for name, value in told.items()):
        raise TlogError("MESSAGE_NOT_NAMED", f"the receipt at index {included.index} says something else")
    if shown.digests.setdefault(receipt.claim_id, receipt.claim_digest) != receipt.claim_digest:
        raise TlogError("MESSAGE_NOT_NAMED", f"two contents of {receipt.claim_id}")
    shown.statuses[receipt.claim_id] = receipt.status
    shown.count += 1


def _check_decision(
    included: IncludedLeaf,
    envelope: envelope_pb2.Envelope,
    pack: conflicts_pb2.ConflictPack,
    chain: KeyChain,
    shown: _Shown,
) -> None:
    _named_hash(included, 0, envelope)
    try:
        opened, _ = open_decision(envelope, pack.header.network_id, chain.directory, at_index=included.index)
    except DomainError as refusal:
        raise refused_as(refusal) from None
    is_resolution = isinstance(opened.message, cases_pb2.CaseResolution)
    if is_resolution != (included.leaf.kind == RESOLUTION_KIND):
        raise TlogError("MESSAGE_NOT_NAMED", f"another kind of decision at index {included.index}")
    if is_resolution:
        if opened.message.case_id != pack.case.case_id:
            raise TlogError("MESSAGE_NOT_NAMED", f"the resolution of case {opened.message.case_id}")
        shown.ended = RESOLVED_STATES.get(opened.message.resolution, "")


def _check_claims(report: Report, pack: conflicts_pb2.ConflictPack, shown: _Shown) -> None:
    """The claims are those of the leaves, and the case stands as the resolution left it."""
    withheld = []
    stated = [one.claim_id for one in pack.claims]
    if not stated or sorted(stated) != sorted(shown.digests) or not set(stated) <= set(pack.case.claim_ids):
        raise TlogError("MESSAGE_NOT_NAMED", "other claims than the leaves are about")
    for one in pack.claims:
        if not one.content:
            withheld.append(one.claim_id)
        elif sha256(one.content).digest() != shown.digests[one.claim_id]:
            raise TlogError("MESSAGE_NOT_NAMED", f"the content of {one.claim_id}")
        if one.status not in (shown.statuses[one.claim_id], *ISSUED_STATES):
            raise TlogError("MESSAGE_NOT_NAMED", f"the status of {one.claim_id}")
    if pack.case.state in RESOLVED_STATES.values() and shown.ended != pack.case.state:
        raise TlogError("MESSAGE_NOT_NAMED", f"no resolution says {pack.case.state}")
    if shown.ended and pack.case.state != shown.ended:
        raise TlogError("MESSAGE_NOT_NAMED", f"the case is stated as {pack.case.state}")
    report.held(
        "§4",
        f"The {len(stated)} claims are, byte for byte, those whose digests the {shown.count} receipts hold.",
        f"{len(stated)}项声明的内容与{shown.count}份回执所载摘要逐字节一致。",
    )
    if withheld:
        named = ", ".join(withheld[:SHOWN_MAX])
        report.leave_open(
            f"What these claims say beyond their receipts: {named}; who asked may not see it.",
            f"以下声明除回执外的内容：{named}；申请人无权查看。",
        )


def _conclude(report: Report, pack: conflicts_pb2.ConflictPack) -> None:
    """Say what is proven, and what rests on the bridge's signature alone."""
    lists = {
        one.registry: {
            "answered": one.answered,
            "as_of": _day(one),
            "age_days": one.age_days,
            "source": one.source,
            "import_id": one.import_id,
            "digest": one.digest.hex(),
        }
        for one in pack.lists
    }
    report.facts |= {
        "claims": [one.claim_id for one in pack.claims],
        "colliding": list(pack.case.claim_ids),
        "log_indexes": list(pack.log_indexes),
        "article": pack.case.article,
        "matrix_version": pack.case.matrix_version,
        "lists": lists,
        "rows": [{"registry": row.registry, "reference": row.reference} for row in pack.rows],
        "why_zh": pack.explanation.summary_zh,
        "why_en": pack.explanation.summary_en,
    }
    dated = ", ".join(f"{name} {facts['as_of'] or '–'}" for name, facts in lists.items()) or "–"
    report.leave_open(
        f"That the case, its history, {len(pack.rows)} rows of outside lists ({dated}) and the explanation "
        "are as stated: the bridge's signature alone stands for that. The digest of each list lets its "
        "registry confirm the rows.",
        f"案件及其经过、{len(pack.rows)}行外部名单（{dated}）与说明仅由桥的签名保证；各名单的摘要可供其登记机构核对。",
    )
    named = ", ".join(pack.case.claim_ids[:SHOWN_MAX])
    report.conclude(
        f"Case {pack.case.case_id} ({pack.case.kind}) about {named} stood as {pack.case.state} at index "
        f"{pack.as_of_index}; the claims, their receipts and every decision about them are in the log.",
        f"案件{pack.case.case_id}（{pack.case.kind}）涉及{named}，于序号{pack.as_of_index}为{pack.case.state}；"
        "相关声明、回执及决定均在日志中。",
    )


def _day(one: conflicts_pb2.ListAsOf) -> str:
    day = one.as_of_date
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}" if day.year else ""
