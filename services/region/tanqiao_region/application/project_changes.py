"""How a project gets into its next state: the one place that writes state, history and journal alike."""

from __future__ import annotations

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.rpc.validation import wire_date
from tanqiao_region.application import journal
from tanqiao_region.application.claims_client import Receipt
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import state_name
from tanqiao_region.domain.rules.facts import Facts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage.registers import ProjectRow


def change(
    group: Group,
    row: ProjectRow,
    state: int,
    verdict: Verdict | None,
    by: str,
    *,
    receipt: Receipt | None = None,
    reason: str = "",
    act: Facts | None = None,
) -> registers_pb2.Project:
    """Put a project into its next state, with the receipt behind it and a line in the journal.

    Args:
        group: the transaction.
        row: the project.
        state: the next state.
        verdict: what the rules said, where they were asked.
        by: the party that acts.
        receipt: the bridge's receipt, where the step needed one.
        reason: why, where the step says so.
        act: the decision, where bodies take it together: who signed stands in the history.
    """
    project = row.project
    project.state = state  # type: ignore[assignment]  # numbers of the enumeration
    project.state_reason = reason
    pack = group.pack.identity
    project.rule_pack_id, project.rule_pack_version = pack.pack_id, pack.version
    project.history.append(
        registers_pb2.ProjectChange(
            state=project.state,
            legal_date=wire_date(group.legal_date),
            role=by.rpartition("/")[2],
            reason=reason,
            signed_by=sorted({one.role for one in act.signatures}) if act is not None else (),
            decision_digest=bytes.fromhex(act.decision_digest) if act is not None else b"",
        )
    )
    if receipt is not None:
        if project.HasField("claim_receipt"):
            project.later_claim_receipts.append(receipt.envelope)
        else:
            project.claim_receipt.CopyFrom(receipt.envelope)
        project.claim_status = receipt.message.status
    group.journal.append(
        journal.PROJECT_CHANGED,
        project.project_id,
        (journal.Effect(project.owner_account_id),),
        applied=journal.Applied.of(verdict) if verdict is not None else None,
        message_hash=receipt.receipt_hash if receipt is not None else b"",
        details={"state": state_name(state), "by": by, "reason": reason, "claim_id": project.claim_id},
    )
    return project
