"""The offline verifier: one file, one policy, no network and no database.

Which checks are made depends on the file's own head; each is made in order and written down. Nothing is
raised for any bytes: a refusal is the last line of the report.
"""

from __future__ import annotations

import io
from typing import BinaryIO, Final

from tanqiao.offline.conflict import verify_conflict
from tanqiao.offline.container import HEADER, read_file
from tanqiao.offline.filings import verify_filing
from tanqiao.offline.handover import HANDOVER_KIND, verify_handover
from tanqiao.offline.messages import verify_messages
from tanqiao.offline.misbehaviour import (
    verify_contradiction,
    verify_log_evidence,
    verify_witness_misbehaviour,
)
from tanqiao.offline.paths import report_checkpoint
from tanqiao.offline.replay import verify_location_root, verify_replay
from tanqiao.offline.report import Report
from tanqiao.tlog.errors import TlogError
from tanqiao.tlog.evidence import MAX_EVIDENCE_BYTES
from tanqiao.tlog.leaf import MAX_LEAF_BYTES, decode_leaf
from tanqiao.tlog.merkle import hash_leaf, verify_inclusion
from tanqiao.tlog.policy import Policy, parse_policy
from tanqiao.tlog.proof import MAX_PROOF_BYTES, parse_proof

__all__ = ["verify_bytes", "verify_stream"]

_EVIDENCE_START: Final = b"tanqiao-log-misbehaviour@"
_TLOG_PROOF_START: Final = b"c2sp.org/tlog-proof@"
_START_BYTES: Final = 64


def verify_bytes(data: bytes, policy_data: bytes, *, leaf: bytes | None = None) -> Report:
    """Verify a file that is in memory; `leaf` goes with a bare C2SP tlog-proof."""
    return verify_stream(io.BytesIO(data), policy_data, leaf=leaf)


def verify_stream(stream: BinaryIO, policy_data: bytes, *, leaf: bytes | None = None) -> Report:
    """Verify a file and report each step; the stream can seek."""
    report = Report()
    try:
        policy = _read_policy(report, policy_data)
        _verify(report, stream, policy, leaf)
    except TlogError as error:
        report.refusal = error
    return report


def _read_policy(report: Report, data: bytes) -> Policy:
    policy = parse_policy(data)
    report.held(
        "§8",
        f"The policy was read: {len(policy.logs)} logs, {len(policy.witnesses)} witnesses, "
        f"at least {policy.quorum_size} of them needed.",
        f"已读取策略：{len(policy.logs)}个日志，{len(policy.witnesses)}个见证方，至少需要{policy.quorum_size}个。",
    )
    if policy.later:
        sizes = ", ".join(str(size) for size, _ in policy.later)
        report.held(
            "§8",
            f"Other witnesses or keys count from these sizes of the log on: {sizes}.",
            f"自日志下列大小起适用其他见证方或密钥：{sizes}。",
        )
    return policy


def _verify(report: Report, stream: BinaryIO, policy: Policy, leaf: bytes | None) -> None:
    start = stream.read(_START_BYTES)
    stream.seek(0)
    if start.startswith(_EVIDENCE_START):
        verify_log_evidence(report, stream.read(MAX_EVIDENCE_BYTES + 1), policy)
    elif start.startswith(_TLOG_PROOF_START):
        _verify_leaf(report, stream.read(MAX_PROOF_BYTES + 1), policy, leaf)
    elif start.startswith(HEADER.partition("@")[0].encode()):
        _verify_file(report, stream, policy)
    else:
        raise TlogError("FILE_FORM", "no proof file, tlog-proof or evidence of misbehaviour")


def _verify_file(report: Report, stream: BinaryIO, policy: Policy) -> None:
    file = read_file(stream)
    report.kind = file.kind
    size = sum(len(data) for _, data in file.parts) + file.entries_bytes
    report.held(
        "§8",
        f"The file is well formed: {file.kind}, {len(file.parts)} parts, {size} bytes.",
        f"文件格式正确：{file.kind}，{len(file.parts)}个部分，{size}字节。",
    )
    if file.kind in ("title", "retirement", "certificate", "rules"):
        verify_messages(report, file, policy)
    elif file.kind == "location-root":
        verify_location_root(report, file, policy)
    elif file.kind == "filing-proof":
        verify_filing(report, file, policy)
    elif file.kind == HANDOVER_KIND:
        verify_handover(report, file, policy)
    elif file.kind == "conflict":
        verify_conflict(report, file, policy)
    elif file.kind == "contradiction":
        verify_contradiction(report, file, policy)
    elif file.kind == "witness-misbehaviour":
        verify_witness_misbehaviour(report, file, policy)
    else:
        verify_replay(report, file, stream, policy)


def _verify_leaf(report: Report, data: bytes, policy: Policy, leaf: bytes | None) -> None:
    """Verify a bare tlog-proof with its leaf."""
    report.kind = "leaf"
    if leaf is None:
        raise TlogError("LEAF_MISSING")
    if len(leaf) > MAX_LEAF_BYTES:
        raise TlogError("ENTRY_TOO_LARGE", f"{len(leaf)} bytes")
    proof = parse_proof(data)
    tree = report_checkpoint(report, proof.checkpoint, policy)
    verify_inclusion(proof.index, tree.size, hash_leaf(leaf), proof.hashes, tree.root)
    kind = decode_leaf(leaf).kind
    report.held(
        "§8",
        f"The path leads from the leaf to the root: it is leaf {proof.index} of {tree.size}.",
        f"证明路径从叶子推导至树根：该叶子是{tree.size}个叶子中的第{proof.index}号。",
    )
    report.conclude(
        f"A leaf of kind {kind} stands in the log {tree.origin} at index {proof.index}.",
        f"日志{tree.origin}的第{proof.index}号为{kind}类型的叶子。",
        log_index=proof.index,
        leaf_kind=kind,
    )
