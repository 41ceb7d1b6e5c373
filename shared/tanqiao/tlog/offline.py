"""The offline verifier's spine: what was checked, step by step, and plainly what no file can prove.

`explain_proof` takes the bytes of a proof file, the leaf and a policy, makes the checks of C2SP tlog-proof in
their order and writes each down. It never raises for any bytes: a refusal is the last line of the report.
Those who check what a leaf *means* (title, retirement, location) add their steps behind these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.leaf import Leaf, decode_leaf
from tanqiao.tlog.merkle import hash_leaf, verify_inclusion
from tanqiao.tlog.policy import Policy, VerifiedCheckpoint, parse_policy, verify_checkpoint
from tanqiao.tlog.proof import VerifiedProof, parse_proof

__all__ = ["NOT_PROVABLE", "Report", "Step", "explain_proof"]

Language = Literal["en", "zh"]

NOT_PROVABLE: Final = (
    (
        "That the reduction physically happened.",
        "减排量在物理上确实发生。",
    ),
    (
        "That a registry outside the federation did not also issue or claim it.",
        "联邦以外的登记机构没有重复签发或主张该减排量。",
    ),
    (
        "That nothing happened after the checkpoint: a newer one may say more.",
        "检查点之后没有发生其他事项：更新的检查点可能载有更多内容。",
    ),
)
"""What stays open however many files hold, in English and Chinese (PROTOCOL section 8)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One check that held."""

    number: int
    english: str
    chinese: str

    def sentence_in(self, language: Language) -> str:
        """Give the sentence."""
        return self.english if language == "en" else self.chinese


@dataclass
class Report:
    """The steps that held, the refusal that ended them, if any, and what they add up to."""

    steps: list[Step] = field(default_factory=list)
    refusal: TlogError | None = None
    proof: VerifiedProof | None = None
    leaf: Leaf | None = None

    @property
    def holds(self) -> bool:
        """Whether every check held."""
        return self.refusal is None and self.proof is not None

    def held(self, english: str, chinese: str) -> None:
        """Write down a check that held."""
        self.steps.append(Step(len(self.steps) + 1, english, chinese))

    def lines(self, language: Language) -> list[str]:
        """Give the report as lines of text."""
        english = language == "en"
        lines = [f"{step.number}. {step.sentence_in(language)}" for step in self.steps]
        if self.refusal is not None:
            word = "Refused" if english else "拒绝"
            lines.append(f"{word}: {self.refusal.reason}: {self.refusal.sentence_in(language)}")
            return lines
        lines.append("Not proven by this, and by no file:" if english else "以上内容以及任何文件都不能证明：")
        lines += [f"- {sentence[0 if english else 1]}" for sentence in NOT_PROVABLE]
        return lines


def explain_proof(data: bytes, leaf: bytes, policy_data: bytes) -> Report:
    """Verify a proof file under a policy file and report each step; never raises for any bytes."""
    report = Report()
    try:
        _check(report, data, leaf, policy_data)
    except TlogError as error:
        report.refusal = error
    return report


def _check(report: Report, data: bytes, leaf: bytes, policy_data: bytes) -> None:
    policy = parse_policy(policy_data)
    report.held(
        f"The policy was read: {len(policy.logs)} logs, {len(policy.witnesses)} witnesses, "
        f"at least {policy.quorum_size} of them needed.",
        f"已读取策略：{len(policy.logs)}个日志，{len(policy.witnesses)}个见证方，至少需要{policy.quorum_size}个。",
    )
    report.leaf = decode_leaf(leaf)
    value = hash_leaf(leaf)
    report.held(
        f"The leaf is well formed, of kind {report.leaf.kind}, and hashes to {value.hex()}.",
        f"叶子格式正确，类型为{report.leaf.kind}，哈希为{value.hex()}。",
    )
    proof = parse_proof(data)
    report.held(
        f"The proof file is well formed: index {proof.index}, {len(proof.hashes)} hashes.",
        f"证明文件格式正确：序号{proof.index}，{len(proof.hashes)}个哈希。",
    )
    verified = verify_checkpoint(proof.checkpoint, policy)
    _report_checkpoint(report, policy, verified)
    tree = verified.checkpoint
    verify_inclusion(proof.index, tree.size, value, proof.hashes, tree.root)
    report.held(
        f"The path leads from the leaf to the root: it is leaf {proof.index} of {tree.size}.",
        f"证明路径从叶子推导至树根：该叶子是{tree.size}个叶子中的第{proof.index}号。",
    )
    report.proof = VerifiedProof(proof.index, value, verified, proof.extra)


def _report_checkpoint(report: Report, policy: Policy, verified: VerifiedCheckpoint) -> None:
    tree = verified.checkpoint
    report.held(
        f"The log {tree.origin} signed the checkpoint of {tree.size} leaves with root {tree.root.hex()}.",
        f"日志{tree.origin}签署了含{tree.size}个叶子、树根为{tree.root.hex()}的检查点。",
    )
    if policy.needs_witnesses:
        names = ", ".join(sorted(verified.witnesses))
        report.held(f"A quorum of witnesses cosigned it: {names}.", f"见证方达到法定人数并签署：{names}。")
    else:
        report.held(
            "The policy asks for no witness: the log alone answers for it.",
            "该策略不要求见证方：仅由日志自身负责。",
        )
