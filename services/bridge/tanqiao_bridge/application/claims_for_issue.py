"""The claim checks of an Issue.

Inside the transaction that registers its units (PROTOCOL row 9, CLAIMS section 3).

The instalment was declared before, with what the outside registries said; here it is judged again on the
index as it is now, under its locks, and becomes ISSUED with the location of its units: one transaction, so
that two regions that both checked can never both issue.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.model import Action
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import Reasons
from tanqiao.rpc.protocol_facts import reason_of_error
from tanqiao_bridge.application.claim_facts import ReadClaim, read_claim
from tanqiao_bridge.application.issues import ClaimedIssue
from tanqiao_bridge.application.judging import Index, is_refused, judge_claim, refusal_of
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.storage import claims as claim_rows

ISSUED: Final = claims_pb2.CLAIM_STATUS_ISSUED
ISSUABLE: Final = frozenset(
    {
        claims_pb2.CLAIM_STATUS_DECLARED,
        claims_pb2.CLAIM_STATUS_NOTICE,
        claims_pb2.CLAIM_STATUS_REGISTERED,
    }
)


def judge_and_record(connection: sa.Connection, items: Sequence[ClaimedIssue]) -> list[Reasons]:
    """Judge the instalments of these Issues in order.

    Those that pass are ISSUED; the reasons of the others.
    """
    rows = claim_rows.load_claims(connection, [item.message.claim_id for item in items])
    reads: dict[str, ReadClaim] = {
        row.claim_id: read_claim(
            claims_pb2.Claim.FromString(row.content),
            action=Action.ISSUE,
            status=row.status,
            declared_at=row.declared_at,
        )
        for row in rows.values()
    }
    claim_rows.lock_rows(connection, [key for read in reads.values() for key in read.locks])
    rows = claim_rows.load_claims(connection, list(reads))  # again, now that nobody else can move them
    index = Index.load(connection, list(reads.values()))
    results: list[Reasons] = []
    issued: dict[str, int] = {}
    for item in items:
        claim_id = item.message.claim_id
        row = rows.get(claim_id)
        if row is None:
            results.append((reason("CLAIM_UNKNOWN", claim_id=claim_id[:96]),))
            continue
        refusal = _refusal(connection, item, row, reads[claim_id], claim_id in issued)
        if refusal is None:
            judged = judge_claim(
                reads[claim_id], index, Answers(), 0, decided_on=date.fromisoformat(item.legal_date)
            )
            if is_refused(judged.verdict):
                refusal = refusal_of(judged)
        if refusal is None:
            issued[claim_id] = ISSUED
            results.append(())
        else:
            results.append((reason_of_error(refusal),))
    claim_rows.set_status(connection, list(issued.items()))
    return results


def _refusal(
    connection: sa.Connection,
    item: ClaimedIssue,
    row: claim_rows.ClaimRow,
    read: ReadClaim,
    taken: bool,  # noqa: FBT001 - whether an Issue of this very group took the claim
) -> DomainError | None:
    """Check that the claim is the one that this Issue rests on, and is still free to be issued."""
    message = item.message
    if row.region != item.facts.region:
        return DomainError("REGION_SCOPE_MISMATCH", field="claim_id", region=row.region)
    if row.status not in ISSUABLE or taken:
        return DomainError(
            "CLAIM_STATE_WRONG",
            claim_id=row.claim_id,
            state=claims_pb2.ClaimStatus.Name(row.status),  # type: ignore[arg-type]
            wanted="CLAIM_STATUS_ISSUED",
        )
    if row.object != claims_pb2.CLAIM_OBJECT_INSTALMENT:
        return DomainError("FIELD_INVALID", field="claim_id", detail="the claim is not of an instalment")
    stated = (
        message.period.start_date.year,
        message.period.start_date.month,
        message.period.start_date.day,
        message.period.end_date.year,
        message.period.end_date.month,
        message.period.end_date.day,
    )
    period = read.period
    claimed = (
        period.start.year,
        period.start.month,
        period.start.day,
        period.end.year,
        period.end.month,
        period.end.day,
    )
    if stated != claimed:
        return DomainError("FIELD_INVALID", field="period", detail="the claim is of another period")
    if message.quantity_kg > read.message.quantity_kg:
        return DomainError("FIELD_INVALID", field="quantity_kg", detail="more than the claim states")
    receipts = claim_rows.receipts_of(connection, row.claim_id)
    if message.claim_receipt_hash not in {receipt.receipt_hash for receipt in receipts}:
        return DomainError("FIELD_INVALID", field="claim_receipt_hash", detail="no receipt of this claim")
    return None
