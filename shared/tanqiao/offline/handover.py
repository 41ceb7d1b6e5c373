"""The handover of the log from one group of witnesses to the next, for who has the old policy alone.

In the checkpoint that has the change as its last leaf, the old quorum has cosigned its own replacement
(PROTOCOL section 8): the reader's policy is enough for it, and his next one follows. Who begins with a
policy from before several changes takes their files one after the other, in the order of the log. Where every
root signed because the old quorum is gone, its policy accepts nothing any more: a reader needs another one,
from people.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.offline.container import ProofFile
from tanqiao.offline.key_chain import KeyChain, open_chain, parse_envelope, refused_as
from tanqiao.offline.paths import included_leaf, report_checkpoint
from tanqiao.offline.report import Report
from tanqiao.signing.logs import checkpoint_keys, log_name, witness_policy
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.strict import parse_strict
from tanqiao.signing.witness_groups import (
    WITNESS_GROUP_KIND,
    WITNESS_GROUP_TYPE,
    GroupChange,
    change_of_leaf,
    group_leaf,
    open_group_record,
)
from tanqiao.tlog.checkpoint import Checkpoint
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf
from tanqiao.tlog.policy import Policy, PolicyLog

__all__ = ["HANDOVER_KIND", "policy_behind", "read_record", "verify_handover"]

HANDOVER_KIND: Final = "handover"


def read_record(envelope: envelope_pb2.Envelope) -> messages_pb2.WitnessGroupRecord:
    """Read what a record says, before anything of it is believed; `MESSAGE_REFUSED` for what is none."""
    if envelope.payload_type != WITNESS_GROUP_TYPE:
        raise TlogError("MESSAGE_REFUSED", f"{ascii(envelope.payload_type)[:80]} is no change of witnesses")
    try:
        return parse_strict(messages_pb2.WitnessGroupRecord, envelope.payload)
    except DomainError as refusal:
        raise refused_as(refusal) from None


def verify_handover(report: Report, file: ProofFile, policy: Policy) -> None:
    """Verify a change of witnesses under the policy from before it; the report then has the next policy.

    Raises:
        TlogError: the reasons of checkpoints, leaves and keys; `HANDOVER_WRONG`, `POLICY_BEHIND`,
            `MESSAGE_REFUSED`, `KEY_NOT_SHOWN`, and the policy reasons.
    """
    tree = report_checkpoint(report, file.one("checkpoint"), policy)
    included = included_leaf(file.one("leaf"), file.one("path"), tree)
    if included.leaf.kind != WITNESS_GROUP_KIND:
        raise TlogError("HANDOVER_WRONG", f"a leaf of kind {included.leaf.kind}")
    change = change_of_leaf(included.leaf, included.index)
    if not change.by_roots and tree.size != change.handover_size:
        raise TlogError("HANDOVER_WRONG", f"leaf {included.index} is not the last of {tree.size}")
    if not change.by_roots and not policy.at(tree.size).needs_witnesses:
        raise TlogError("HANDOVER_WRONG", "nobody was there to hand over: every root has to sign")
    is_first = not policy.at(change.log_index).needs_witnesses
    report.held("§8", *_said_of_leaf(included.index, is_first=is_first))
    envelope = parse_envelope(file.one("envelope"))
    network_id = read_record(envelope).header.network_id
    chain = open_chain(report, file, tree, network_id, skip=1)
    replaced = _require_record(report, envelope, included.leaf, change, chain, network_id)
    report.leave_open(*_WITHOUT_WITNESSES if is_first else _WITH_WITNESSES)
    _require_next(policy, replaced)
    following = _following(policy, change, chain, network_id, tree)
    report.policy = following.encode()
    names = ", ".join(change.group.witnesses)
    report.conclude(
        f"From {change.from_size} leaves on a checkpoint is final when {change.group.quorum} of these "
        f"witnesses cosigned it: {names}.",
        f"自{change.from_size}个叶子起，检查点须由下列见证方中的{change.group.quorum}个签署方为最终：{names}。",
        from_size=change.from_size,
        quorum=change.group.quorum,
        new_witnesses=list(change.group.witnesses),
        log_index=change.log_index,
        policy=report.policy.decode(),
    )


def _said_of_leaf(index: int, *, is_first: bool) -> tuple[str, str]:
    if is_first:
        return (
            f"Leaf {index} names the first witnesses; there were none before who could cosign it.",
            f"第{index}号叶子指定首批见证方；此前没有可签署的见证方。",
        )
    return (
        f"Leaf {index} replaces the group of witnesses, and those before cosigned it.",
        f"第{index}号叶子更换见证方，且由原见证方签署。",
    )


_WITH_WITNESSES: Final = (
    "That no authority is left out: the witnesses before, who replay every leaf, stand for that.",
    "没有遗漏任何主管机构：由重放每个叶子的原见证方保证。",
)
_WITHOUT_WITNESSES: Final = (
    "That no authority is left out: there were no witnesses before to stand for that; ask the authorities.",
    "没有遗漏任何主管机构：此前没有见证方可以保证；请向各主管机构核实。",
)


def _require_record(
    report: Report,
    envelope: envelope_pb2.Envelope,
    leaf: Leaf,
    change: GroupChange,
    chain: KeyChain,
    network_id: str,
) -> int:
    """Demand that the leaf says what those who had to have signed; the index of the change before."""
    for signature in envelope.signatures:
        chain.require_before(signature.key_id, change.log_index)
    try:
        opened, by_roots = open_group_record(envelope, network_id, chain.directory, at_index=change.log_index)
    except DomainError as refusal:
        raise refused_as(refusal) from None
    keys = [one.key_id for one in opened.signed_by]
    if group_leaf(opened.message, opened.message_hash, keys, by_roots=by_roots) != leaf:
        raise TlogError("MESSAGE_NOT_NAMED", "the leaf says something else than its record")
    who = (
        ("Every root", "全部根密钥")
        if by_roots
        else ("Two approvers of each authority", "各主管机构各两名审批人")
    )
    report.held(
        "§8", f"{who[0]} that the file shows signed the change.", f"本文件所示的{who[1]}已签署该更换。"
    )
    return int(opened.message.replaces_log_index)


def policy_behind(policy: Policy, replaced: int) -> bool:
    """Say whether a policy lacks the change at a log index that the next one replaces; 0: the first group."""
    return replaced > 0 and not {replaced + 1, replaced + 2} & {size for size, _ in policy.later}


def _require_next(policy: Policy, replaced: int) -> None:
    # Else those who were replaced between the two would still count for the sizes between them.
    if policy_behind(policy, replaced):
        raise TlogError("POLICY_BEHIND", f"take the change at leaf {replaced} first")


def _following(
    policy: Policy, change: GroupChange, chain: KeyChain, network_id: str, tree: Checkpoint
) -> Policy:
    """Give the policy with the new group's section; as it is where it has one of that size or more."""
    directory, size = chain.directory, change.from_size
    try:
        added = witness_policy(network_id, directory, change.group, size=size)
    except DomainError as refusal:
        raise TlogError("KEY_NOT_SHOWN", refusal.sentence("en")) from None
    missing = set(change.group.witnesses) - {one.name for one in added.witnesses}
    if missing:
        raise TlogError("KEY_NOT_SHOWN", ", ".join(sorted(missing)))
    if any(later >= size for later, _ in policy.later):
        return policy
    logs = list(policy.logs)
    if log_name(network_id, BRIDGE) == tree.origin:
        known = {log.key for log in logs}
        logs += [PolicyLog(key) for key in checkpoint_keys(network_id, directory, BRIDGE) if key not in known]
    sections = [(start, replace(one, logs=tuple(logs))) for start, one in policy.later]
    sections.append((size, replace(added, logs=tuple(logs))))
    return replace(policy, logs=tuple(logs), later=tuple(sections))
