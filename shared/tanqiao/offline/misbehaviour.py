"""Proof that somebody lied: two signatures that cannot both be honest (PROTOCOL R4, sections 6 and 8).

A contradiction is two signed messages of one sender about one matter, of which only one may exist: two
decisions for one transfer, two locks, two answers; or a decision that its own source denies under its
signature. The keys are proven by a checkpoint that a quorum cosigned. Misbehaviour of a witness is two
checkpoints that it cosigned and that no honest witness cosigns both. Lies of a log are files of
`tanqiao.tlog.evidence`. A file shows that the keys signed, not who made them do so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_chain, parse_envelope, refused_as
from tanqiao.offline.paths import report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import PAYLOAD_TYPES
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import AllowedMessage, Opened, Verifier, allow
from tanqiao.tlog.checkpoint import Checkpoint, parse_checkpoint
from tanqiao.tlog.cosignature import Cosignature, verify_cosignatures
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import verify_evidence
from tanqiao.tlog.keys import VerifierKey
from tanqiao.tlog.note import parse_note
from tanqiao.tlog.policy import Policy

__all__ = ["verify_contradiction", "verify_log_evidence", "verify_witness_misbehaviour"]

_REGIONS: Final = ("region/*",)
_GROUPS: Final = {
    messages_pb2.Decision: ("decisions", "决定"),
    messages_pb2.LockAssertion: ("locks or uses", "锁定或使用"),
    messages_pb2.Use: ("locks or uses", "锁定或使用"),
    messages_pb2.Ready: ("answers", "应答"),
    messages_pb2.Refuse: ("answers", "应答"),
}
"""Promises of R4 that may exist once for a transfer; those of one name count as one type."""

_ALLOWED: Final = {
    **allow(
        messages_pb2.LockAssertion,
        messages_pb2.Use,
        messages_pb2.Ready,
        messages_pb2.Refuse,
        senders=_REGIONS,
    ),
    **allow(messages_pb2.Nack, senders=_REGIONS),
    **allow(messages_pb2.Decision, senders=(BRIDGE,)),
}


@dataclass(frozen=True, slots=True)
class _Signed:
    """A signed message of a contradiction, and the transfer it is about."""

    opened: Opened

    @property
    def matter(self) -> tuple[str, bytes]:
        header = self.opened.header
        return header.source, header.transfer_id


def verify_contradiction(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind contradiction.

    Raises:
        TlogError: `EVIDENCE_PROVES_NOTHING` when both can be honest, and the reasons of what it rests on.
    """
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    envelopes = [parse_envelope(data) for data in file.all("envelope")[:2]]
    network_id = _header_of(envelopes[0]).network_id
    chain = open_chain(report, file, tree, network_id, skip=0)
    first, second = (_open(envelope, chain, tree, network_id) for envelope in envelopes)
    report.held(
        "§2",
        f"Both messages carry signatures that hold: of {first.opened.header.sender} and of "
        f"{second.opened.header.sender}.",
        f"两条消息的签名均成立：分别属于{first.opened.header.sender}与{second.opened.header.sender}。",
    )
    if first.matter != second.matter or not first.matter[1]:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "two matters")
    if isinstance(second.opened.message, messages_pb2.Nack):
        _conclude_denied(report, first, second)
    else:
        _conclude_twice(report, first, second)


def verify_witness_misbehaviour(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind witness-misbehaviour: two checkpoints of one log that one witness cosigned.

    Either they have one size and two roots, or the smaller tree was cosigned after the larger.

    Raises:
        TlogError: `EVIDENCE_PROVES_NOTHING`, `LOG_UNKNOWN` where no known witness cosigned both, and the
            reasons of notes, checkpoints and cosignatures.
    """
    first, second = (_cosigned(file.one(name), policy) for name in ("first", "second"))
    common = first[1].keys() & second[1].keys()
    if not common:
        raise TlogError("LOG_UNKNOWN", "no witness of the policy cosigned both")
    one, other = first[0], second[0]
    if one.origin != other.origin:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "two logs")
    names = {witness.key: witness.name for witness in policy.every_witness}
    for name, key in sorted(((names[key], key) for key in common), key=lambda one: one[0]):
        one_time, other_time = first[1][key].time_seconds, second[1][key].time_seconds
        if one.size == other.size and one.root != other.root:
            lie = ("cosigned two trees of one size", "对同一大小的两棵不同的树都作了见证签名")
        elif one.size > other.size and one_time < other_time:
            lie = ("cosigned a smaller tree after a larger one", "在见证较大的树之后又见证了较小的树")
        else:
            continue
        report.held(
            "§8",
            f"Both cosignatures of {name} hold: {one.size} leaves at {one_time}, {other.size} at "
            f"{other_time}.",
            f"{name}的两个见证签名均成立：{one_time}见证{one.size}个叶子，{other_time}见证{other.size}个叶子。",
        )
        report.conclude(
            f"The witness {name} {lie[0]} of the log {one.origin}: no honest witness does.",
            f"见证方{name}对日志{one.origin}{lie[1]}：诚实的见证方不会如此。",
            accused=name,
        )
        return
    raise TlogError("EVIDENCE_PROVES_NOTHING", f"sizes {one.size} and {other.size}")


def verify_log_evidence(report: Report, data: bytes, policy: Policy) -> None:
    """Verify a file of `tanqiao.tlog.evidence` and say what it shows."""
    found = verify_evidence(data, policy)
    origin, first, second = found.first.origin, found.first, found.second
    report.held(
        "§8",
        f"The log {origin} signed {first.size} leaves with root {first.root.hex()}, and {second.size} leaves "
        f"with root {second.root.hex()}.",
        f"日志{origin}既签署了{first.size}个叶子、树根{first.root.hex()}，又签署了{second.size}个叶子、"
        f"树根{second.root.hex()}。",
    )
    english, chinese = (
        ("showed two trees of one size", "展示了同一大小的两棵树")
        if found.kind == "split_view"
        else ("rewrote leaves that it had signed before", "改写了此前已签署的叶子")
    )
    report.kind = found.kind
    report.conclude(
        f"The log {origin} {english}: both signatures cannot be honest.",
        f"日志{origin}{chinese}：两个签名不可能都是诚实的。",
        accused=origin,
    )


def _conclude_twice(report: Report, first: _Signed, second: _Signed) -> None:
    groups = [_GROUPS.get(type(signed.opened.message)) for signed in (first, second)]
    sender = first.opened.header.sender
    if groups[0] is None or groups[0] != groups[1] or sender != second.opened.header.sender:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "not two promises of one kind and one sender")
    if first.opened.message_hash == second.opened.message_hash:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "one message twice")
    source, transfer_id = first.matter
    english, chinese = groups[0]
    report.conclude(
        f"{sender} signed two different {english} for transfer {transfer_id.hex()} of {source}; a promise is "
        "made once (R4).",
        f"{sender}对{source}的转移{transfer_id.hex()}签署了两个不同的{chinese}；承诺只能作出一次（R4）。",
        accused=sender,
        source=source,
        transfer_id=transfer_id.hex(),
    )


def _conclude_denied(report: Report, first: _Signed, second: _Signed) -> None:
    """A decision, and the signature of who should have signed what it rests on that it did not.

    That is the source, of the lock; or the destination of a COMMIT, of the Ready. Nobody else's word counts.
    """
    decision, denial = first.opened, second.opened
    if not isinstance(decision.message, messages_pb2.Decision):
        raise TlogError("EVIDENCE_PROVES_NOTHING", "a denial of no decision")
    source, transfer_id = first.matter
    reasons = {reason.reason for reason in denial.message.reasons}
    if denial.message.message_hash != decision.message_hash or "DECISION_VOID" not in reasons:
        raise TlogError("EVIDENCE_PROVES_NOTHING", "the denial is of another message")
    named = decision.message.lock_hash
    if denial.header.sender != source:
        is_commit = decision.message.outcome == messages_pb2.OUTCOME_COMMIT
        if not is_commit or denial.header.sender not in decision.header.audience:
            raise TlogError("EVIDENCE_PROVES_NOTHING", "a stranger's denial")
        named = decision.message.ready_hash
    report.conclude(
        f"The bridge decided transfer {transfer_id.hex()} of {source} on a message {named.hex()} that "
        f"{denial.header.sender} denies under its signature. One of the two lies: the bridge, unless it "
        f"shows that message under a signature of {denial.header.sender}.",
        f"桥对{source}的转移{transfer_id.hex()}所作决定依据消息{named.hex()}，而{denial.header.sender}以签名否认该消息。"
        f"两者必有其一作假：除非桥能出示带有{denial.header.sender}签名的该消息，否则作假者为桥。",
        accused=BRIDGE,
        source=source,
        transfer_id=transfer_id.hex(),
    )


def _header_of(envelope: envelope_pb2.Envelope) -> envelope_pb2.Header:
    """Read a header, to know the network and the audience; the signature is checked next."""
    message_class = PAYLOAD_TYPES.get(envelope.payload_type)
    if message_class is None:
        raise TlogError("MESSAGE_REFUSED", "an unknown payload type")
    try:
        header: envelope_pb2.Header = parse_strict(message_class, envelope.payload).header  # type: ignore[attr-defined]
    except DomainError as refusal:
        raise refused_as(refusal) from None
    return header


def _open(envelope: envelope_pb2.Envelope, chain: KeyChain, tree: Checkpoint, network_id: str) -> _Signed:
    audience = _header_of(envelope).audience
    if not audience:
        raise TlogError("MESSAGE_REFUSED", "a message for nobody")
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, tree.size)
    allowed: Mapping[str, AllowedMessage] = _ALLOWED
    try:
        return _Signed(
            Verifier(network_id, audience[0]).open_envelope(
                envelope, chain.directory, allowed=allowed, peer=None, at_index=tree.size
            )
        )
    except DomainError as refusal:
        raise refused_as(refusal) from None


def _cosigned(data: bytes, policy: Policy) -> tuple[Checkpoint, dict[VerifierKey, Cosignature]]:
    note = parse_note(data)
    found = verify_cosignatures(note, tuple(witness.key for witness in policy.every_witness))
    return parse_checkpoint(note.text), {one.key: one for one in found}
