"""Cases and aliases as the wire has them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao_bridge.application.case_queries import CaseRow, DecisionRow, EventRow
from tanqiao_bridge.application.claim_aliases import reference_of


def case_message(row: CaseRow) -> cases_pb2.Case:
    """Give a case."""
    return cases_pb2.Case(
        case_id=row.case_id,
        kind=row.kind,
        state=row.state,
        body=row.body,
        subject=row.subject,
        claim_ids=row.claim_ids,
        blocking=row.blocking,
        matrix_version=row.matrix_version,
        article=row.article,
        open_time=Timestamp(seconds=row.opened_at),
        deadline_time=Timestamp(seconds=row.deadline_at) if row.deadline_at else None,
        details=row.details,
    )


def event_message(event: EventRow) -> cases_pb2.CaseEvent:
    """Give a line of a case's history."""
    return cases_pb2.CaseEvent(
        event_time=Timestamp(seconds=event.happened_at),
        what=event.what,
        by=event.party,
        document=event.document,
        log_index=event.log_index,
        envelope=envelope_pb2.Envelope.FromString(event.envelope) if event.envelope else None,
    )


def reference_message(key: str) -> claims_pb2.AssetReference:
    """Give the reference of a key of an asset."""
    reference = reference_of(key)
    return claims_pb2.AssetReference(scheme=reference.scheme, value=reference.value)


def alias_message(row: DecisionRow) -> cases_pb2.AliasEntry:
    """Give a reviewed pair."""
    return cases_pb2.AliasEntry(
        first=reference_message(row.first_key),
        second=reference_message(row.second_key),
        relation=row.relation,  # type: ignore[arg-type]  # the table's numbers are the wire's
        log_index=row.log_index,
        decision=envelope_pb2.Envelope.FromString(row.envelope),
    )
