"""SPLIT: only a part of an instalment is uncontested (CLAIMS section 3).

It changes nothing by itself: nothing is stored. The bridge signs the verdict with what alone would pass, by
metering period; the applicant states the smaller quantity with the verdict's hash, carries the verdict
beside the statement, and is judged again as if nothing had been said before.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.energy import kwh
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.validation import parse_wire_period, wire_period
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import Judged, interval_dates

VERDICT_TYPE: Final = payload_type_of(claims_pb2.Verdict)
SPLIT: Final = claims_pb2.VERDICT_KIND_SPLIT
FIELD: Final = "split_verdict"


def split_verdict(
    group: Group, judged: Judged, verdict: claims_pb2.Verdict
) -> tuple[claims_pb2.Verdict, envelope_pb2.Envelope]:
    """Give the verdict with what may pass and the sentence about it, and as it is signed."""
    allowed = judged.verdict.allowed
    quantity = "–" if allowed is None else f"{allowed.activity.quantity} {allowed.activity.unit}"
    named = ", ".join(judged.verdict.colliding_claims)
    refusal = DomainError(
        "CERTIFICATE_SOLD",
        article=verdict.article or None,
        certificates=f"{named}（可主张 uncontested: {quantity}）",
    )
    told = claims_pb2.Verdict()
    told.CopyFrom(verdict)
    told.refusal.CopyFrom(to_refusal(refusal))
    told.claim_id = judged.applicant.claim_id
    for part in () if allowed is None else allowed.by_period:
        period = wire_period(Period(*interval_dates(part.interval)))
        told.allowed.append(claims_pb2.AllowedPart(period=period, quantity=part.quantity, unit=part.unit))
    payload = told.SerializeToString()
    signer = group.context.signer_of(VERDICT_TYPE, payload)
    return told, item_envelopes(sign_batch(signer, VERDICT_TYPE, [payload]))[0]


def require_within(statement: coordination_pb2.CoordinationStatement, verdict: claims_pb2.Verdict) -> None:
    """Demand that an instalment stays within what a verdict left of it.

    Raises:
        DomainError: FIELD_INVALID for a verdict that is no SPLIT or of another claim, and for more
            electricity of a period than was uncontested.
    """
    if verdict.verdict != SPLIT or verdict.claim_id != statement.claim.claim_id:
        raise DomainError("FIELD_INVALID", field=FIELD, detail="no SPLIT of this claim")
    left: dict[tuple[date, date], int] = {}
    for part in verdict.allowed:
        period = parse_wire_period(part.period, FIELD)
        left[period.start, period.end] = kwh(part.quantity, part.unit) or 0
    for number, one in enumerate(statement.activity):
        period = parse_wire_period(one.period, "activity.period")
        if (kwh(one.quantity, one.unit) or 0) > left.get((period.start, period.end), 0):
            detail = f"{left.get((period.start, period.end), 0)} kWh are uncontested"
            raise DomainError("FIELD_INVALID", field=f"activity.{number}.quantity", detail=detail)
