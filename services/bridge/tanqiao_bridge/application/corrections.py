"""Corrections (PROTOCOL row 14, R8): two approvers of each authority concerned say where units are.

A correction conserves blocks: what is held at one of its two regions is held at the second from its index on,
and at no other place. It is no way to bring back what was used, or to create anything. Leaf, location, trace
and the numbered message to the regions are one transaction; an open case about the transfer that its header
names is settled by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import parse_address
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.corrections import move_to
from tanqiao.protocol.types import TransferKey
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.rpc.validation import require_bytes, require_party, require_text
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application import evidence
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.freezes import TEXT_LENGTH_MAX, equivocating_record
from tanqiao_bridge.application.placing import Placing
from tanqiao_bridge.application.records import answered_before, note_answer, notify
from tanqiao_bridge.storage import locations, log, orders, policy
from tanqiao_bridge.storage.orders import CorrectionRow

CORRECTION_ID_LENGTH: Final = 16
BLOCKS_IN_LEAF_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class SubmitCorrection:
    """A Correction that two approvers of each of the two authorities have signed, verified."""

    correction: messages_pb2.Correction
    authority: str
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    request: ClientRequest


def check_correction(correction: messages_pb2.Correction) -> None:
    """Check what a correction states.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, BATCH_TOO_LARGE, RANGE_REVERSED, RANGE_OVERLAP,
            ADDRESS_INVALID.
    """
    require_bytes(correction.correction_id, CORRECTION_ID_LENGTH, "correction_id")
    require_text(correction.reason, "reason", length_max=TEXT_LENGTH_MAX)
    require_text(correction.document, "document", length_max=TEXT_LENGTH_MAX)
    for field in ("from_region", "to_region"):
        require_party(getattr(correction, field), field, ("region",))
    if correction.from_region == correction.to_region:
        raise DomainError("FIELD_INVALID", field="to_region", detail="both regions are the same")
    blocks_of(correction.blocks)
    code = correction.to_region.removeprefix("region/")
    if parse_address(correction.receiving_address).region != code:
        raise DomainError(
            "ADDRESS_INVALID", field="receiving_address", address=correction.receiving_address, region=code
        )


def submit_correction(group: Group, command: SubmitCorrection) -> Answer:
    """Move what the correction names to where the authorities say that it is.

    Raises:
        DomainError: CORRECTION_NOT_POSSIBLE with the blocks that are held at neither region, EQUIVOCATION,
            REGION_UNKNOWN, REQUEST_ID_REUSED.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    correction = command.correction
    known = orders.find_correction(group.connection, correction.correction_id)
    if known is not None:
        if known.payload != command.envelope.payload:
            equivocating_record(
                group,
                command.authority,
                correction.correction_id,
                known.envelope,
                command.envelope.SerializeToString(),
            )
        answer.log_index = known.log_index
        note_answer(group, command.request, answer)
        return answer
    for region in (correction.from_region, correction.to_region):
        if region not in group.known_regions():
            raise DomainError("REGION_UNKNOWN", field="region", region=region)
    blocks = blocks_of(correction.blocks)
    moved = _moved(group, correction, blocks)
    answer.log_index = _record(group, command, blocks)
    moved.write(answer.log_index)
    key = TransferKey(correction.header.source, correction.header.transfer_id)
    if key.transfer_id:
        evidence.settle_cases(group, evidence.case_subject(key))
    known_series = policy.load_series(group.connection, {block.series_id for block in blocks})
    series = [policy.series_message(row) for row in known_series.values()]
    homes = {row.region for row in known_series.values()}  # row 15
    concerned = {correction.from_region, correction.to_region} | homes
    for region in sorted(concerned & group.known_regions()):
        notify(group, region, command.envelope, answer.log_index, series)
    note_answer(group, command.request, answer)
    return answer


def _moved(group: Group, correction: messages_pb2.Correction, blocks: tuple[UnitBlock, ...]) -> Placing:
    placing = Placing.of(group, blocks)
    origin, target = (correction.from_region, locations.HELD), (correction.to_region, locations.HELD)
    misplaced = move_to(placing.book, blocks, origin, target)
    if misplaced:
        raise DomainError(
            "CORRECTION_NOT_POSSIBLE",
            from_region=correction.from_region,
            to_region=correction.to_region,
            ranges=list(misplaced),
        )
    return placing


def _record(group: Group, command: SubmitCorrection, blocks: tuple[UnitBlock, ...]) -> int:
    """Write the leaf and the row; the log index."""
    correction = command.correction
    leaf = make_leaf(
        "correction",
        message_hashes=[command.message_hash],
        signer_key_ids=list(command.signer_key_ids),
        public={
            "blocks": "\n".join(map(str, blocks[:BLOCKS_IN_LEAF_MAX])).encode(),
            "correction_id": correction.correction_id,
            "from_region": correction.from_region.encode(),
            "to_region": correction.to_region.encode(),
        },
    )
    log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now)
    orders.insert_correction(
        group.connection,
        CorrectionRow(
            correction.correction_id,
            correction.from_region,
            correction.to_region,
            command.envelope.payload,
            command.envelope.SerializeToString(),
            log_index,
            group.legal_date,
            group.now,
        ),
        blocks,
    )
    return log_index
