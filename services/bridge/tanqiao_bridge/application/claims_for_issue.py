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

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2
from tanqiao.claims.model import Action, VerdictKind
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import Reasons
from tanqiao.rpc.protocol_facts import reason_of_error
from tanqiao.rpc.validation import parse_wire_period
from tanqiao_bridge.application.claim_aliases import lock_claims
from tanqiao_bridge.application.claim_cases import contest_refusal, contested, open_hold
from tanqiao_bridge.application.claim_facts import PROGRAMMES, ReadClaim, read_claim
from tanqiao_bridge.application.claim_tokens import with_renewed
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.issues import ClaimedIssue
from tanqiao_bridge.application.judging import Index, is_refused, judge_claim, refusal_of
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.application.registry_ordering import CERTIFICATES, cancel_for_issues, released_at
from tanqiao_bridge.storage import claims as claim_rows

ISSUED: Final = claims_pb2.CLAIM_STATUS_ISSUED
ISSUABLE: Final = frozenset(
    {
        claims_pb2.CLAIM_STATUS_DECLARED,
        claims_pb2.CLAIM_STATUS_NOTICE,
        claims_pb2.CLAIM_STATUS_REGISTERED,
    }
)


def judge_and_record(group: Group, items: Sequence[ClaimedIssue]) -> list[Reasons]:
    """Judge the instalments of these Issues in order.

    Those that pass are ISSUED; the reasons of the others. A HOLD opens a case.
    """
    connection = group.connection
    rows = claim_rows.load_claims(connection, [item.message.claim_id for item in items])
    reads: dict[str, ReadClaim] = {
        row.claim_id: read_claim(
            claims_pb2.Claim.FromString(row.content),
            action=Action.ISSUE,
            status=row.status,
            declared_index=row.declared_index,
        )
        for row in rows.values()
    }
    reads = {read.claim.claim_id: read for read in with_renewed(connection, list(reads.values()))}
    aliases = lock_claims(connection, list(reads.values()))
    rows = claim_rows.load_claims(connection, list(reads))  # again, now that nobody else can move them
    index = Index.load(connection, list(reads.values()), aliases, resolved=True)
    stopped = contested(connection, reads)
    results: list[Reasons] = []
    issued: dict[str, ClaimedIssue] = {}
    for item in items:
        claim_id = item.message.claim_id
        row = rows.get(claim_id)
        if row is None:
            results.append((reason("CLAIM_UNKNOWN", claim_id=claim_id[:96]),))
            continue
        refusal = _refusal(connection, item, row, reads[claim_id], claim_id in issued)
        refusal = refusal or contest_refusal(stopped.get(claim_id))
        if refusal is None:
            judged = judge_claim(
                reads[claim_id], index, Answers(), 0, decided_on=date.fromisoformat(item.legal_date)
            )
            if is_refused(judged.verdict):
                refusal = refusal_of(judged)
                if judged.verdict.verdict is VerdictKind.HOLD:
                    open_hold(group, reads[claim_id], judged)
        if refusal is None:
            issued[claim_id] = item
            results.append(())
        else:
            results.append((reason_of_error(refusal),))
    claim_rows.set_status(connection, [(claim_id, ISSUED) for claim_id in issued])
    cancel_for_issues(
        group,
        [(reads[claim_id], item.facts.message_hash, item.log_index) for claim_id, item in issued.items()],
    )
    return results


def _is_of_programme(stated: str, claim: claims_pb2.Claim) -> bool:
    """Whether a series is of the claim's programme: its symbol, with or without the region's prefix."""
    if claim.programme == claims_pb2.PROGRAMME_REGIONAL:
        return stated == claim.programme_code
    name = PROGRAMMES[claim.programme]
    return stated in (name, name.partition("_")[2])


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
            state=claims_pb2.ClaimStatus.Name(ISSUED if taken else row.status),  # type: ignore[arg-type]
            needed=", ".join(claims_pb2.ClaimStatus.Name(status) for status in sorted(ISSUABLE)),
        )
    if row.object != claims_pb2.CLAIM_OBJECT_INSTALMENT:
        return DomainError("FIELD_INVALID", field="claim_id", detail="the claim is not of an instalment")
    differs = _difference(message, row, read)
    if differs is not None:
        return differs
    receipts = claim_rows.receipts_of(connection, row.claim_id)
    if message.claim_receipt_hash not in {receipt.receipt_hash for receipt in receipts}:
        return DomainError("FIELD_INVALID", field="claim_receipt_hash", detail="no receipt of this claim")
    verdict = claims_pb2.ClaimReceipt.FromString(receipts[-1].payload).verdict
    stopped = verdict.verdict == claims_pb2.VERDICT_KIND_FREEZE_OTHER
    if not stopped and row.attribute == claims_pb2.ATTRIBUTE_RE_GEN:
        stopped = receipts[-1].log_index < released_at(connection, row.region, row.project_id)
    if stopped:
        # Issued is only over what the other registry has confirmed as frozen (CLAIMS section 3); what was
        # said before its release was ordered counts no more.
        return DomainError(
            "EXTERNAL_REGISTRY_SILENT", article=verdict.article or None, registry=CERTIFICATES, as_of="–"
        )
    return None


def _difference(message: messages_pb2.Issue, row: claim_rows.ClaimRow, read: ReadClaim) -> DomainError | None:
    """Tell in what the Issue is not what its claim states: project, programme, period, quantity."""
    if message.series.source_id != row.project_id:
        return DomainError(
            "FIELD_INVALID", field="series.source_id", detail="the claim is of another project"
        )
    if not _is_of_programme(message.series.programme, read.message):
        return DomainError(
            "FIELD_INVALID", field="series.programme", detail="the claim is of another programme"
        )
    stated = parse_wire_period(message.period, "period")
    if stated != read.period:
        return DomainError("PERIOD_OUTSIDE_CLAIM", field="period", period=str(stated), claim_id=row.claim_id)
    if message.quantity_kg > read.message.quantity_kg:
        return DomainError(
            "INSTALMENT_EXCEEDS_CLAIM",
            field="quantity_kg",
            claim_id=row.claim_id,
            left_kg=read.message.quantity_kg,
            asked_kg=message.quantity_kg,
        )
    return None
