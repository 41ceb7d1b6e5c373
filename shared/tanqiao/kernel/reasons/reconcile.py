"""Family 8: reconciliation between the books (PROTOCOL section 7)."""

from __future__ import annotations

from typing import Final

from tanqiao.kernel.reasons.model import Reason, Retry

REASONS: Final[tuple[Reason, ...]] = (
    Reason(
        8001,
        "RECONCILIATION_MISMATCH",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="对账不符，以下区间已冻结并立案：{ranges}。",
        en="Reconciliation found a difference; these units are frozen and a case is open: {ranges}.",
        severity="critical",
    ),
    Reason(
        8002,
        "SNAPSHOT_TOO_OLD",
        Retry.AFTER_FIX,
        "FAILED_PRECONDITION",
        zh="快照截至日志序号{index}，对账需要{needed}之后的快照。",
        en="The snapshot is as of log index {index}; reconciliation needs one from {needed} on.",
    ),
    Reason(
        8003,
        "SNAPSHOT_AHEAD",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="快照截至日志序号{index}，超过桥的日志长度{size}。",
        en="The snapshot is as of log index {index}, beyond the bridge's log of size {size}.",
        severity="critical",
    ),
    Reason(
        8004,
        "RECONCILIATION_CASE_OPEN",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="对账案件{case_id}尚未结清，须复核无误后方可解除。",
        en="Reconciliation case {case_id} is open; it closes only when a new run is clean.",
    ),
    Reason(
        8005,
        "FINAL_OVERDUE",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="{region}逾期未回执转移{transfer_id}的决定。",
        en="{region} is overdue with its receipt for the decision on transfer {transfer_id}.",
        severity="warning",
    ),
    Reason(
        8006,
        "LOG_MISMATCH",
        Retry.NEVER,
        "DATA_LOSS",
        zh="日志在序号{index}处与已见证的检查点不符，证据已保存。",
        en="The log differs from a cosigned checkpoint at index {index}; the evidence is kept.",
        severity="critical",
    ),
    Reason(
        8007,
        "JOURNAL_MISMATCH",
        Retry.WAIT,
        "DATA_LOSS",
        zh="由流水重建的结果与账面不符：{what}。",
        en="What the journal rebuilds differs from the books: {what}.",
        severity="critical",
    ),
    Reason(
        8008,
        "RECONCILIATION_RUNNING",
        Retry.WAIT,
        "ABORTED",
        zh="{region}的对账正在进行，请稍后重试。",
        en="A reconciliation of {region} is running; try again later.",
        severity="info",
    ),
    Reason(
        8009,
        "LOCATION_CONFLICT",
        Retry.WAIT,
        "FAILED_PRECONDITION",
        zh="以下编号出现在不止一处，已冻结：{ranges}。",
        en="These serials are in more than one place and are frozen: {ranges}.",
        severity="critical",
    ),
)
