"""What the bridge tells of this region's claims without being asked: leases that ran out, cases resolved.

A notice is believed for what is in it: the bridge's receipt where the claim moved, and the resolution as
approvers of two bodies signed it. It stands in the journal; where the claim is a project's, the project goes
on as its claim does (CLAIMS section 3).
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.protocol_facts import log_index_of
from tanqiao.signing.approvals import open_decision
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.verify import Opened
from tanqiao_region.application import journal
from tanqiao_region.application.claims_client import RECEIPTS, Receipt
from tanqiao_region.application.group import Group
from tanqiao_region.application.project_acts import is_scene
from tanqiao_region.application.project_changes import change
from tanqiao_region.application.register_checks import (
    ENDED,
    HELD,
    PUBLISHED,
    REJECTED,
    SUBMITTED,
    SUSPENDED,
    WITHDRAWABLE,
)
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import ProjectRow

BARRED: Final = (claims_pb2.CLAIM_STATUS_REJECTED, claims_pb2.CLAIM_STATUS_CANCELLED)
STANDING: Final = (*WITHDRAWABLE, HELD, PUBLISHED, SUSPENDED)
"""States of a project that a bar of its claim ends."""


def take_notice(group: Group, opened: Opened) -> None:
    """Note what became of a claim, and let its project follow.

    Raises:
        DomainError: what is wrong with the notice or with what it carries; nothing is kept then.
    """
    notice: cases_pb2.ClaimNotice = opened.message
    log_index = log_index_of(notice.log_index)
    receipt = _receipt(group, notice) if notice.HasField("receipt") else None
    if notice.case_id or receipt is None:
        _require_resolution(group, notice)
    group.journal.append(
        journal.CLAIM_NOTICED,
        notice.claim_id,
        (),
        message_hash=opened.message_hash,
        details={
            "status": claims_pb2.ClaimStatus.Name(notice.status).removeprefix("CLAIM_STATUS_"),
            "reason": notice.reason,
            "case_id": str(notice.case_id or ""),
            "resolution": cases_pb2.Resolution.Name(notice.resolution) if notice.case_id else "",
            "log_index": str(log_index),
        },
    )
    row = store.project_of_claim(group.connection, notice.claim_id)
    if row is not None:
        _follow(group, row, notice, receipt)
    group.applied_log_index = max(group.applied_log_index, log_index)


def _receipt(group: Group, notice: cases_pb2.ClaimNotice) -> Receipt:
    """Open the bridge's receipt of the move; MESSAGE_MALFORMED for one of another claim or status."""
    opened = group.context.verifier.open_envelope(
        notice.receipt,
        group.aftermath.directory or group.context.directory,
        allowed=RECEIPTS,
        peer=BRIDGE,
        at_index=notice.log_index,
    )
    receipt: claims_pb2.ClaimReceipt = opened.message
    if (receipt.claim_id, receipt.status, receipt.log_index) != (
        notice.claim_id,
        notice.status,
        notice.log_index,
    ):
        raise DomainError("MESSAGE_MALFORMED", field="receipt", detail="the receipt is of another move")
    return Receipt(receipt, notice.receipt, opened.message_hash)


def _require_resolution(group: Group, notice: cases_pb2.ClaimNotice) -> None:
    """Demand the resolution that the notice speaks of, signed by approvers of two bodies."""
    directory = group.aftermath.directory or group.context.directory
    opened, _ = open_decision(
        notice.record, group.context.network_id, directory, at_index=max(0, notice.log_index - 1)
    )
    said = opened.message
    named = (notice.case_id, notice.resolution)
    if not isinstance(said, cases_pb2.CaseResolution) or (said.case_id, said.resolution) != named:
        raise DomainError("MESSAGE_MALFORMED", field="record", detail="another resolution")


def _follow(group: Group, row: ProjectRow, notice: cases_pb2.ClaimNotice, receipt: Receipt | None) -> None:
    """Put a project where its claim leaves it; what is not moved keeps its state."""
    state = _state_after(row.project, notice)
    reason = notice.reason
    if notice.case_id:
        reason = f"案件 case {notice.case_id}: {_resolution(notice)}"
    if state is not None:
        change(group, row, state, None, BRIDGE, receipt=receipt, reason=reason)
    elif receipt is not None:
        row.project.later_claim_receipts.append(receipt.envelope)
    row.project.claim_status = notice.status
    store.update_project(group.connection, row)


def _resolution(notice: cases_pb2.ClaimNotice) -> str:
    return cases_pb2.Resolution.Name(notice.resolution).removeprefix("RESOLUTION_")


def _state_after(project: registers_pb2.Project, notice: cases_pb2.ClaimNotice) -> int | None:
    """Give the next state of a project; None: it stays as it is."""
    state = int(project.state)
    if notice.resolution == cases_pb2.RESOLUTION_BLOCK and notice.status in BARRED and state in STANDING:
        return int(ENDED if is_scene(project) and state in (PUBLISHED, SUSPENDED) else REJECTED)
    if notice.status == claims_pb2.CLAIM_STATUS_LAPSED and state in WITHDRAWABLE:
        # Whoever still wants it declares it anew; a scene has no state in which a file waits.
        return int(REJECTED if is_scene(project) else HELD)
    if notice.status == claims_pb2.CLAIM_STATUS_DECLARED and state == HELD:
        return int(SUBMITTED)
    return None
