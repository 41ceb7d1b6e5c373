"""What the bridge tells a region of its claims: each notice is numbered and goes with its evidence.

A region learns from a receipt what became of its own statements. What nobody of it asked for, a lease that
ran out and a resolution that names its claim, comes as a `ClaimNotice` in the numbered traffic, written in
the transaction that does it (CLAIMS section 3, PROTOCOL section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.record import record
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_forms import Made
from tanqiao_bridge.application.claim_receipts import Receipted
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage import claims as claim_rows

NOTICE_TYPE: Final = payload_type_of(cases_pb2.ClaimNotice)


@record
class Resolved:
    """The resolution behind a notice.

    Args:
        resolution: what two bodies decided.
        envelope: as they signed it.
        log_index: of its leaf.
    """

    resolution: cases_pb2.CaseResolution
    envelope: envelope_pb2.Envelope
    log_index: int


def tell_moved(
    group: Group,
    made: Sequence[Made],
    receipts: Mapping[str, Receipted],
    resolved: Resolved | None = None,
) -> None:
    """Tell the regions of claims that the bridge has moved by itself, with the receipt of each."""
    for item in made:
        notice = cases_pb2.ClaimNotice(
            claim_id=item.claim_id,
            status=item.status,  # type: ignore[arg-type]  # the table's numbers are the wire's
            reason=item.bridge_reason,
            log_index=item.log_index,
            receipt=receipts[item.claim_id].envelope,
        )
        _send(group, item.region, notice, resolved)


def tell_resolved(
    group: Group, rows: Iterable[claim_rows.ClaimRow], moved: Iterable[str], resolved: Resolved
) -> None:
    """Tell the regions of claims that a resolution names and leaves as they are."""
    told = set(moved)
    for row in rows:
        if row.claim_id not in told:
            notice = cases_pb2.ClaimNotice(
                claim_id=row.claim_id,
                status=row.status,  # type: ignore[arg-type]  # the table's numbers are the wire's
                reason=resolved.resolution.reason,
                log_index=resolved.log_index,
            )
            _send(group, row.region, notice, resolved)


def _send(group: Group, region: str, notice: cases_pb2.ClaimNotice, resolved: Resolved | None) -> None:
    if not region.startswith("region/"):
        return  # of a registry's gateway: it has no line, and asks
    if resolved is not None:
        notice.case_id = resolved.resolution.case_id
        notice.resolution = resolved.resolution.resolution
        notice.record.CopyFrom(resolved.envelope)
    notice.header.CopyFrom(group.context.header((region,)))
    group.numbered.append(OutboxMessage(region, NOTICE_TYPE, notice.SerializeToString()))
    group.wake.add(region)
