"""Title, retirement, certificate and rules: a decision leaf, the messages that it names, and what they open.

Steps follow PROTOCOL: the decision is in the cosigned log (section 8), its keys are the parties' (section 2),
each signature holds and each hash is the one named (R9), the outcome is COMMIT (section 4), the commitments
open (section 4 rows 1 and 8), and the rules text is the one whose digest a sender signed (section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.offline.certificates import check_certificate, conclude_certificate
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_chain, open_message, parse_envelope, refused_as
from tanqiao.offline.paths import IncludedLeaf, included_leaf, report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.protocol.types import DecisionFacts, LockFacts, Outcome, ReadyFacts
from tanqiao.rpc.protocol_facts import decision_facts, lock_facts, ready_facts
from tanqiao.signing.commitments import SALT_LENGTH
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.verify import AllowedMessage, Opened, allow
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.policy import Policy

__all__ = ["DECISION_KIND", "verify_messages"]

DECISION_KIND: Final = "decision"
ZERO_HASH: Final = bytes(32)
REGIONS: Final = ("region/*",)
SHOWN_BLOCKS_MAX: Final = 5

ASSERTED: Final = allow(messages_pb2.LockAssertion, messages_pb2.Use, senders=REGIONS, audience=BRIDGE)
ANSWERED: Final = allow(messages_pb2.Ready, messages_pb2.Refuse, senders=REGIONS, audience=BRIDGE)
OPENINGS: Final = {
    "opening-address": ("receiving_address_commitment", "receiving address", "收取地址"),
    "opening-owner": ("owner_commitment", "owner's pseudonym", "持有人假名"),
    "opening-beneficiary": ("beneficiary_commitment", "beneficiary", "受益人"),
}


@dataclass(frozen=True, slots=True)
class _Decided:
    """The messages of one decision, each opened."""

    lock: Opened
    facts: LockFacts
    ready: ReadyFacts | None
    ready_opened: Opened | None
    decision: DecisionFacts


def verify_messages(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a file of kind title, retirement, certificate or rules.

    Raises:
        TlogError: the first check that fails.
    """
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    included = included_leaf(file.one("leaf"), file.one("path"), tree)
    if included.leaf.kind != DECISION_KIND:
        raise TlogError("LEAF_KIND", included.leaf.kind)
    report.held(
        "§8",
        f"A decision stands in that log as leaf {included.index} of {tree.size}.",
        f"该日志第{included.index}号叶子（共{tree.size}个）为一项决定。",
    )
    count = len(included.leaf.message_hashes)
    envelopes = [parse_envelope(data) for data in file.all("envelope")[:count]]
    expected = {"title": 3, "retirement": 2, "certificate": 2}.get(file.kind, count)
    if count != expected or len(envelopes) != count or len(envelopes) not in (2, 3):
        raise TlogError("MESSAGE_NOT_NAMED", f"{count} messages where {expected} belong")
    _check_names(report, included, envelopes)
    network_id = _network_of(envelopes[0])
    chain = open_chain(report, file, tree, network_id, skip=1)
    decided = _open_all(included, envelopes, chain, network_id)
    report.facts |= {"network": network_id, "log_index": included.index}
    report.held(
        "§2",
        f"Each was signed by the party that it names, with a key valid at index {included.index}, on network "
        f"{network_id}.",
        f"各消息均由其所称的一方以在序号{included.index}有效的密钥签署，网络为{network_id}。",
    )
    _check_decision(report, included, decided)
    _check_openings(report, file, decided.lock)
    _check_rules(report, file, decided)
    day = included.leaf.value("legal_date").decode("ascii", "replace")
    if file.kind == "certificate":
        certificate = check_certificate(
            report, file, chain, network_id, decided.lock, index=included.index, size=tree.size
        )
        conclude_certificate(report, certificate, day)
    else:
        _conclude(report, file, decided, day)


def decision_rule(source: str) -> dict[str, AllowedMessage]:
    """Give what a decision for a source must satisfy."""
    return allow(messages_pb2.Decision, senders=(BRIDGE,), audience=source)


def _check_names(report: Report, included: IncludedLeaf, envelopes: list[envelope_pb2.Envelope]) -> None:
    """Check that the envelopes are, byte for byte, those whose hashes the leaf names, in its order."""
    for expected, envelope in zip(included.leaf.message_hashes, envelopes, strict=True):
        try:
            found = message_hash(envelope.payload_type, envelope.payload)
        except DomainError as refusal:
            raise refused_as(refusal) from None
        if found != expected:
            raise TlogError("MESSAGE_NOT_NAMED", envelope.payload_type[:80])
    signers = included.leaf.signer_key_ids
    if [bytes(one.signatures[0].key_id) for one in envelopes if one.signatures] != list(signers):
        raise TlogError("MESSAGE_NOT_NAMED", "signed by other keys than the leaf names")
    report.held(
        "R9",
        f"The {len(envelopes)} messages of the file are those whose hashes and keys the leaf names.",
        f"文件中的{len(envelopes)}条消息与叶子所载的哈希和密钥一致。",
    )


def _network_of(envelope: envelope_pb2.Envelope) -> str:
    """Read the network that the first message names; that it was signed is checked with it."""
    message_class = next(
        (rule.message_class for kind, rule in ASSERTED.items() if kind == envelope.payload_type), None
    )
    if message_class is None:
        raise TlogError("MESSAGE_NOT_NAMED", "the first message is no lock and no use")
    try:
        header: envelope_pb2.Header = parse_strict(message_class, envelope.payload).header  # type: ignore[attr-defined]
    except DomainError as refusal:
        raise refused_as(refusal) from None
    return header.network_id


def _open_all(
    included: IncludedLeaf, envelopes: list[envelope_pb2.Envelope], chain: KeyChain, network_id: str
) -> _Decided:
    index = included.index
    lock = open_message(envelopes[0], chain, ASSERTED, network_id, at_index=index)
    rule = decision_rule(lock.header.sender)
    decision = open_message(envelopes[-1], chain, rule, network_id, at_index=index)
    answered = None
    if len(envelopes) == 3:  # noqa: PLR2004 - lock, answer, decision
        answered = open_message(envelopes[1], chain, ANSWERED, network_id, at_index=index)
    try:
        facts = lock_facts(lock)
        is_ready = answered is not None and isinstance(answered.message, messages_pb2.Ready)
        ready = ready_facts(answered) if answered is not None and is_ready else None
        return _Decided(lock, facts, ready, answered, decision_facts(decision))
    except DomainError as refusal:
        raise refused_as(refusal) from None


def _check_decision(report: Report, included: IncludedLeaf, decided: _Decided) -> None:
    """R9: the decision names this lock and this answer; the leaf says of it what it says."""
    facts, decision, ready = decided.facts, decided.decision, decided.ready
    leaf = included.leaf
    if decision.key != facts.key or decision.lock_hash != facts.message_hash:
        raise TlogError("DECISION_VOID", "the lock")
    if decision.outcome is not Outcome.COMMIT:
        raise TlogError("NOT_COMMITTED", decision.outcome.name)
    wanted = ZERO_HASH if ready is None else ready.message_hash
    if decision.ready_hash != wanted:
        raise TlogError("DECISION_VOID", "the answer")
    is_use = isinstance(decided.lock.message, messages_pb2.Use)
    if is_use == (ready is not None):
        raise TlogError("DECISION_VOID", "a transfer needs a promise, a use has none")
    if ready is not None and (
        ready.sender != facts.destination or ready.key != facts.key or ready.lock_hash != facts.message_hash
    ):
        raise TlogError("DECISION_VOID", "the promise is another's")
    told = {
        "source": facts.key.source.encode(),
        "transfer_id": facts.key.transfer_id,
        "outcome": decision.outcome.name.encode(),
        "destination": facts.destination.encode(),
        "kind": facts.kind.name.encode(),
    }
    for name, value in told.items():
        if leaf.value(name) != value:
            raise TlogError("DECISION_VOID", f"the leaf says another {name}")
    shown = leaf.value("blocks").decode("ascii", "replace").split("\n")
    if shown != [str(block) for block in facts.blocks[: len(shown)]]:
        raise TlogError("DECISION_VOID", "the leaf says other blocks")
    report.held(
        "R9",
        "The decision names exactly this lock and this answer, and its outcome is COMMIT.",
        "该决定所指正是此锁定与此应答，结果为COMMIT（提交）。",
    )


def _check_openings(report: Report, file: ProofFile, lock: Opened) -> None:
    for part, (field, english, chinese) in OPENINGS.items():
        data = file.maybe(part)
        if data is None:
            continue
        committed = getattr(lock.message, field, b"")
        if len(data) < SALT_LENGTH or not committed or sha256(data).digest() != committed:
            raise TlogError("OPENING_WRONG", english)
        value = data[:-SALT_LENGTH]
        shown = value.hex() if part == "opening-owner" else value.decode("utf-8", "replace")
        report.facts[part.replace("-", "_")] = shown
        report.held(
            "§4",
            f"The commitment to the {english} opens to {shown!a}."
            if shown.isascii()
            else f"The commitment to the {english} opens to “{shown}”.",
            f"对{chinese}的承诺可打开，其值为“{shown}”。",
        )


def _check_rules(report: Report, file: ProofFile, decided: _Decided) -> None:
    """The digest over names and contents is that which a header carries (as rule packs are digested)."""
    names, texts = file.all("rules-name"), file.all("rules-text")
    signed = {decided.lock.header.rules_digest: decided.lock.header.sender}
    if decided.ready_opened is not None:
        signed.setdefault(decided.ready_opened.header.rules_digest, decided.ready_opened.header.sender)
    report.facts["rules_digests"] = {who: digest.hex() for digest, who in signed.items()}
    if not names:
        return
    if names != sorted(set(names)):
        raise TlogError("RULES_DIGEST_WRONG", "the texts are not in order of their names")
    digest = sha256()
    for name, text in zip(names, texts, strict=True):
        digest.update(len(name).to_bytes(8, "big") + name)
        digest.update(len(text).to_bytes(8, "big") + text)
    who = signed.get(digest.digest())
    if who is None:
        raise TlogError("RULES_DIGEST_WRONG", digest.hexdigest())
    report.facts["rules"] = {"digest": digest.hexdigest(), "applied_by": who, "files": len(names)}
    report.held(
        "§2",
        f"The {len(names)} rule texts of the file are those that {who} applied: digest {digest.hexdigest()}.",
        f"文件所载的{len(names)}份规则文本正是{who}所适用的文本：摘要{digest.hexdigest()}。",
    )


def _conclude(report: Report, file: ProofFile, decided: _Decided, day: str) -> None:
    facts, message = decided.facts, decided.lock.message
    quantity_kg = sum(block.quantity_kg for block in facts.blocks)
    named = _shown_blocks(facts.blocks)
    report.facts |= {
        "source": facts.key.source,
        "transfer_id": facts.key.transfer_id.hex(),
        "quantity_kg": quantity_kg,
        "blocks": [str(block) for block in facts.blocks],
        "purpose": message.purpose,
        "legal_date": day,
    }
    if file.kind == "rules":
        who = report.facts["rules"]["applied_by"]
        report.conclude(
            f"{who} applied these rule texts to {named}, decided on {day}.",
            f"{who}对{named}适用了这些规则文本，决定日期{day}。",
        )
    elif isinstance(message, messages_pb2.Use):
        name = messages_pb2.UseKind.Name(message.kind).removeprefix("USE_KIND_").lower()
        report.conclude(
            f"{quantity_kg} kg CO2e were taken out for ever at {facts.key.source} ({name}, purpose "
            f"{message.purpose or '–'}) on {day}: {named}.",
            f"{facts.key.source}的{quantity_kg}千克二氧化碳当量已永久退出"
            f"（{name}，用途{message.purpose or '–'}），日期{day}：{named}。",
            use=name,
            beneficiary_commitment=message.beneficiary_commitment.hex(),
        )
    else:
        report.conclude(
            f"{quantity_kg} kg CO2e went from {facts.key.source} to {facts.destination} on {day}, finally: "
            f"{named}.",
            f"{quantity_kg}千克二氧化碳当量已于{day}由{facts.key.source}最终转入{facts.destination}：{named}。",
            destination=facts.destination,
        )
        report.leave_open(
            "That the units are still there: a proof of location or a newer log says so.",
            "这些单位目前仍在该处：须由位置证明或更新的日志说明。",
        )


def _shown_blocks(blocks: tuple[UnitBlock, ...]) -> str:
    shown = ", ".join(map(str, blocks[:SHOWN_BLOCKS_MAX]))
    return shown if len(blocks) <= SHOWN_BLOCKS_MAX else f"{shown}, … ({len(blocks)})"
