"""Freezes and their lifting (PROTOCOL row 10): by two approvers of an authority, by the bridge on evidence.

Row, leaf, the ABORT of every undecided transfer that the freeze touches, and the numbered message to the
regions concerned are one transaction. From its index on decisions, uses and issues that it touches are
refused (`domain.frozen`). COMMITs made before are delivered; the regions credit them frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock, coalesce, subtract_blocks
from tanqiao.protocol import notary
from tanqiao.protocol.effects import Decide
from tanqiao.protocol.frozen import FrozenRow, FrozenThings, Scope, lifts, replay, rest_of
from tanqiao.protocol.types import SINK, Kind, Outcome, TransferKey, TransferView
from tanqiao.rpc.protocol_facts import BLOCKS_PER_MESSAGE_MAX, block_messages, blocks_of
from tanqiao.rpc.validation import require_bytes, require_party, require_text
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application import evidence
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group, PendingDecision
from tanqiao_bridge.application.memory import OpenEntry
from tanqiao_bridge.application.records import answered_before, note_answer, notify
from tanqiao_bridge.domain import orders as competence
from tanqiao_bridge.storage import locations, log, orders, policy
from tanqiao_bridge.storage.orders import OrderRow
from tanqiao_bridge.storage.tables import ON_EVIDENCE_ALONE

FREEZE_TYPE: Final = payload_type_of(messages_pb2.Freeze)
ORDER_ID_LENGTH: Final = 16
PSEUDONYM_LENGTHS: Final = (16, 32)
EVIDENCE_HASHES_MAX: Final = 16
TEXT_LENGTH_MAX: Final = 500
RECORD_EQUIVOCATION: Final = "record equivocation"
"""Kind of two records, orders or corrections of one authority under one id."""


@dataclass(frozen=True, slots=True)
class SubmitFreeze:
    """A Freeze that two approvers of one authority have signed, verified."""

    order: messages_pb2.Freeze
    authority: str
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    request: ClientRequest


def pseudonym_of(entry: OpenEntry) -> bytes:
    """Give the owner's pseudonym that travelled beside a lock; empty where it has none."""
    if not entry.lock.companion:
        return b""
    return messages_pb2.Openings.FromString(entry.lock.companion).owner_pseudonym


# -- on evidence, by the bridge alone -----------------------------------------------------------------------


def freeze_blocks(
    group: Group, blocks: Sequence[UnitBlock], *, reason: str, document: str, hashes: Sequence[bytes] = ()
) -> list[bytes]:
    """Freeze exactly these blocks, as far as the bridge has not frozen them before (section 7).

    Args:
        group: the transaction.
        blocks: what reconciliation or evidence names; they need not be located anywhere.
        reason: why, for people.
        document: what it rests on: the case or the finding; it stands in every refusal.
        hashes: message hashes of the evidence, which the leaves name.

    Returns:
        Ids of the orders made: one for each `BLOCKS_PER_MESSAGE_MAX` blocks, none if all were frozen.
    """
    known = [
        UnitBlock(row.series_id, row.start, row.end)
        for _, row in orders.load_frozen_by_id(group.connection, ON_EVIDENCE_ALONE)
        if row.scope == Scope.BLOCK
    ]
    left = subtract_blocks(_united(blocks), known)
    return [
        _freeze_alone(
            group,
            messages_pb2.Freeze(
                scope=messages_pb2.FREEZE_SCOPE_BLOCK,
                blocks=block_messages(left[at : at + BLOCKS_PER_MESSAGE_MAX]),
                reason=reason,
                document=document,
                evidence_hashes=hashes[:EVIDENCE_HASHES_MAX],
            ),
            None,
        )
        for at in range(0, len(left), BLOCKS_PER_MESSAGE_MAX)
    ]


def _united(blocks: Sequence[UnitBlock]) -> tuple[UnitBlock, ...]:
    """Give the serials of blocks that may overlap, each once."""
    united: tuple[UnitBlock, ...] = ()
    for block in sorted(blocks):
        united = (*united, *subtract_blocks((block,), united[-1:]))
    return coalesce(united)


def freeze_parties(
    group: Group,
    region: str,
    other_region: str,
    *,
    reason: str,
    hashes: Sequence[bytes],
    key: TransferKey | None = None,
) -> bytes | None:
    """Freeze a region, or both directions between two, on evidence of R4; None if that is so already.

    Args:
        group: the transaction.
        region: the region that contradicted itself.
        other_region: the other one of a pair; empty for the whole region.
        reason: kind of the evidence.
        hashes: message hashes that contradict each other.
        key: transfer that the evidence is of: what becomes of it, the core says itself.
    """
    scope = messages_pb2.FREEZE_SCOPE_PAIR if other_region else messages_pb2.FREEZE_SCOPE_REGION
    order = messages_pb2.Freeze(
        scope=scope,
        region=region,
        other_region=other_region,
        reason=reason,
        document=f"{reason} {b''.join(hashes[:1]).hex()[:16]}",
        evidence_hashes=list(hashes[:EVIDENCE_HASHES_MAX]),
    )
    wanted = _rows_of(order, b"", ON_EVIDENCE_ALONE)[0]
    known = orders.load_frozen_by_id(group.connection, ON_EVIDENCE_ALONE)
    if any(row.subject == wanted.subject for _, row in known):
        return None
    return _freeze_alone(group, order, key)


def _freeze_alone(group: Group, order: messages_pb2.Freeze, key: TransferKey | None) -> bytes:
    """Sign the bridge's own order and put it in force."""
    context = group.context
    order.order_id = context.random_bytes(ORDER_ID_LENGTH)
    source, transfer_id = (key.source, key.transfer_id) if key is not None else ("", b"")
    order.header.CopyFrom(context.header((ON_EVIDENCE_ALONE,), source=source, transfer_id=transfer_id))
    payload = order.SerializeToString()
    envelope = sign_envelope(context.signer, FREEZE_TYPE, payload)
    rows = _rows_of(order, order.order_id, ON_EVIDENCE_ALONE)
    _record(
        group,
        order,
        ON_EVIDENCE_ALONE,
        envelope,
        [message_hash(FREEZE_TYPE, payload), *order.evidence_hashes],
        (context.signer.key_id,),
    )
    orders.insert_frozen(group.connection, rows)
    _abort_touched(group, rows, key)
    return order.order_id


def freeze_again(
    group: Group,
    order: messages_pb2.Freeze,
    envelope: envelope_pb2.Envelope,
    signer_key_ids: Sequence[bytes],
) -> int:
    """Put an order of the bridge's own that it forgot in force again, as it was signed; its log index."""
    known = orders.find_order(group.connection, order.order_id)
    if known is not None:
        return known.log_index
    rows = _rows_of(order, order.order_id, ON_EVIDENCE_ALONE)
    hashes = [message_hash(FREEZE_TYPE, envelope.payload), *order.evidence_hashes]
    log_index = _record(group, order, ON_EVIDENCE_ALONE, envelope, hashes, signer_key_ids)
    orders.insert_frozen(group.connection, rows)
    _abort_touched(group, rows, None)
    return log_index


# -- by two approvers ---------------------------------------------------------------------------------------


def submit_freeze(group: Group, command: SubmitFreeze) -> Answer:
    """Put an order of an authority in force, or lift what the same authority froze.

    Raises:
        DomainError: ORDER_NOT_COMPETENT, NOT_FROZEN, EQUIVOCATION, REGION_UNKNOWN, SERIES_UNKNOWN, what
            `check_freeze` raises. REQUEST_ID_REUSED for another body under the request id.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    order, authority = command.order, command.authority
    known = orders.find_order(group.connection, order.order_id)
    if known is not None:
        if known.payload != command.envelope.payload:
            _equivocation(group, command, known)
        answer.log_index = known.log_index
        note_answer(group, command.request, answer)
        return answer
    rows = _rows_of(order, order.order_id, authority)
    _require_competent(group, authority, order, rows)
    if order.unfreeze:
        lifted = _lifted(group, authority, rows)
        if not lifted:
            raise DomainError("NOT_FROZEN", what=_named(order), authority=authority)
    answer.log_index = _record(
        group, order, authority, command.envelope, [command.message_hash], command.signer_key_ids
    )
    if order.unfreeze:
        orders.delete_frozen(group.connection, lifted)
        orders.insert_frozen(group.connection, [rest for rests in lifted.values() for rest in rests])
        group.forget_policy()
    else:
        orders.insert_frozen(group.connection, rows)
        _abort_touched(group, rows, None)
    note_answer(group, command.request, answer)
    return answer


def check_freeze(order: messages_pb2.Freeze) -> None:
    """Check what an order states, before its approvers' competence is looked at.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, BATCH_TOO_LARGE, RANGE_REVERSED, RANGE_OVERLAP.
    """
    require_bytes(order.order_id, ORDER_ID_LENGTH, "order_id")
    require_text(order.reason, "reason", length_max=TEXT_LENGTH_MAX)
    require_text(order.document, "document", length_max=TEXT_LENGTH_MAX)
    if order.evidence_hashes:
        raise DomainError("FIELD_INVALID", field="evidence_hashes", detail="approvers name a document")
    scope = order.scope
    named = {
        "blocks": bool(order.blocks),
        "pseudonym": bool(order.pseudonym),
        "region": bool(order.region),
        "other_region": bool(order.other_region),
    }
    wanted = _FIELDS_OF_SCOPE.get(scope)
    if wanted is None:
        raise DomainError("FIELD_MISSING", field="scope")
    for field, present in named.items():
        if field in wanted and not present:
            raise DomainError("FIELD_MISSING", field=field)
        if present and field not in wanted:
            raise DomainError("FIELD_INVALID", field=field, detail="this scope does not use it")
    if order.blocks:
        blocks_of(order.blocks)
    if order.pseudonym and len(order.pseudonym) not in PSEUDONYM_LENGTHS:
        raise DomainError("FIELD_INVALID", field="pseudonym", detail=f"{len(order.pseudonym)} bytes")
    for field in ("region", "other_region"):
        if field in wanted:
            require_party(getattr(order, field), field, ("region",))
    if order.region and order.region == order.other_region:
        raise DomainError("FIELD_INVALID", field="other_region", detail="both regions are the same")


_FIELDS_OF_SCOPE: Final = {
    messages_pb2.FREEZE_SCOPE_BLOCK: ("blocks",),
    messages_pb2.FREEZE_SCOPE_PSEUDONYM: ("pseudonym", "region"),
    messages_pb2.FREEZE_SCOPE_REGION: ("region",),
    messages_pb2.FREEZE_SCOPE_PAIR: ("region", "other_region"),
}


def _require_competent(
    group: Group, authority: str, order: messages_pb2.Freeze, rows: Sequence[FrozenRow]
) -> None:
    if order.scope == messages_pb2.FREEZE_SCOPE_BLOCK:
        blocks = [UnitBlock(row.series_id, row.start, row.end) for row in rows]
        issued_by = _issuers(group, blocks)
        places = _places(group, blocks)
        beyond = competence.blocks_beyond(authority, blocks, issued_by, places)
        if beyond:
            raise DomainError(
                "ORDER_NOT_COMPETENT", authority=authority, what=", ".join(map(str, beyond[:SHOWN_MAX]))
            )
        return
    regions = [name for name in (order.region, order.other_region) if name]
    for name in regions:
        # What a liar's own messages froze may name a region that nobody knows: it can be lifted all the same.
        if name not in group.known_regions() and not order.unfreeze:
            raise DomainError("REGION_UNKNOWN", field="region", region=name)
    if not competence.may_order_about_region(authority, regions):
        raise DomainError("ORDER_NOT_COMPETENT", authority=authority, what=_named(order))


SHOWN_MAX: Final = 8


def _issuers(group: Group, blocks: Sequence[UnitBlock]) -> dict[str, str]:
    known = policy.load_series(group.connection, {block.series_id for block in blocks})
    for block in blocks:
        if block.series_id not in known:
            raise DomainError("SERIES_UNKNOWN", series_id=block.series_id)
    return {name: row.region for name, row in known.items()}


def _places(group: Group, blocks: Sequence[UnitBlock]) -> list[tuple[UnitBlock, str]]:
    return [(row.block, row.region) for row in locations.load_touched(group.connection, blocks)]


def _lifted(group: Group, authority: str, rows: Sequence[FrozenRow]) -> dict[int, tuple[FrozenRow, ...]]:
    """Say which rows an unfreezing ends, each with what of it stays frozen."""
    ordered_by = ON_EVIDENCE_ALONE if authority == competence.BRIDGE_AUTHORITY else authority
    candidates = [
        one
        for name in dict.fromkeys((ordered_by, authority))
        for one in orders.load_frozen_by_id(group.connection, name)
    ]
    return {
        frozen_id: rest
        for frozen_id, row in candidates
        if lifts(authority, row.ordered_by) and (rest := rest_of(row, rows)) is not None
    }


def replayed(known: Sequence[OrderRow]) -> list[FrozenRow]:
    """Rebuild what is frozen from the orders, which are in the order of the log."""
    return replay(
        (
            one.unfreeze,
            one.ordered_by,
            _rows_of(messages_pb2.Freeze.FromString(one.payload), one.order_id, one.ordered_by),
        )
        for one in known
    )


def _equivocation(group: Group, command: SubmitFreeze, known: OrderRow) -> None:
    """R4: two orders under one id; both are kept and the sender is frozen."""
    equivocating_record(
        group, command.authority, command.order.order_id, known.envelope, command.envelope.SerializeToString()
    )


def equivocating_record(group: Group, authority: str, identity: bytes, first: bytes, second: bytes) -> None:
    """Refuse a second record under one id: both envelopes are kept, the authority's region is frozen (R4).

    Raises:
        DomainError: EQUIVOCATION, always; what was written stays.
    """
    hashes = [message_hash(one.payload_type, one.payload) for one in map(_envelope, (first, second))]
    evidence.keep_two(group, RECORD_EQUIVOCATION, authority, first, second)
    evidence.open_case_about(group, RECORD_EQUIVOCATION, authority, f"{authority}:{identity.hex()}")
    region = competence.region_of(authority)
    if region in group.known_regions():
        freeze_parties(group, region, "", reason=RECORD_EQUIVOCATION, hashes=hashes)
    raise DomainError("EQUIVOCATION", peer=authority, id=identity.hex())


def _envelope(data: bytes) -> envelope_pb2.Envelope:
    return envelope_pb2.Envelope.FromString(data)


def _named(order: messages_pb2.Freeze) -> str:
    """Name what an order is about, for a sentence."""
    match order.scope:
        case messages_pb2.FREEZE_SCOPE_BLOCK:
            return ", ".join(str(block) for block in blocks_of(order.blocks)[:SHOWN_MAX])
        case messages_pb2.FREEZE_SCOPE_PSEUDONYM:
            return order.pseudonym.hex()
        case messages_pb2.FREEZE_SCOPE_PAIR:
            return f"{order.region} – {order.other_region}"
        case _:
            return order.region


# -- what every order does ----------------------------------------------------------------------------------


def _rows_of(order: messages_pb2.Freeze, order_id: bytes, ordered_by: str) -> list[FrozenRow]:
    spans: list[tuple[str, int, int]] = [("", 0, 0)]
    if order.scope == messages_pb2.FREEZE_SCOPE_BLOCK:
        spans = [(block.series_id, block.start, block.end) for block in blocks_of(order.blocks)]
    return [
        FrozenRow(
            int(order.scope),
            *span,
            order.pseudonym,
            order.region,
            order.other_region,
            order.document,
            order_id,
            ordered_by,
        )
        for span in spans
    ]


def _record(
    group: Group,
    order: messages_pb2.Freeze,
    ordered_by: str,
    envelope: envelope_pb2.Envelope,
    message_hashes: Sequence[bytes],
    signer_key_ids: Sequence[bytes],
) -> int:
    """Write row and leaf, and number the order for the regions concerned; its log index."""
    leaf = make_leaf(
        "unfreeze" if order.unfreeze else "freeze",
        message_hashes=list(message_hashes),
        signer_key_ids=list(signer_key_ids),
        public={
            "order_id": order.order_id,
            "ordered_by": ordered_by.encode(),
            "other_region": order.other_region.encode(),
            "region": order.region.encode(),
            "scope": messages_pb2.FreezeScope.Name(order.scope).removeprefix("FREEZE_SCOPE_").encode(),
        },
    )
    log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now)
    orders.insert_order(
        group.connection,
        OrderRow(
            order.order_id,
            int(order.scope),
            order.unfreeze,
            order.reason,
            envelope.payload,
            envelope.SerializeToString(),
            log_index,
            ordered_by,
        ),
    )
    group.frozen = None
    for region in concerned(group, order):
        notify(group, region, envelope, log_index)
    return log_index


def concerned(group: Group, order: messages_pb2.Freeze) -> list[str]:
    """Name the regions that an order concerns: of a frozen region's business all others have a part."""
    regions = group.known_regions()
    match order.scope:
        case messages_pb2.FREEZE_SCOPE_REGION:
            named = set(regions)
        case messages_pb2.FREEZE_SCOPE_BLOCK:
            blocks = blocks_of(order.blocks)
            known = policy.load_series(group.connection, {block.series_id for block in blocks})
            named = {row.region for row in known.values()}
            named |= {where for place, where in _places(group, blocks) if any(map(place.overlaps, blocks))}
        case _:
            named = {order.region, order.other_region}
    return sorted(named & regions)


def _abort_touched(group: Group, rows: Sequence[FrozenRow], but: TransferKey | None) -> None:
    """Abort every undecided transfer that the new freeze touches, with the reasons and blocks (row 10)."""
    things = FrozenThings(rows)
    for key, entry in group.overlay.all():
        if key == but:
            continue
        transfer = entry.transfer
        pseudonym = pseudonym_of(entry) if things.has_pseudonyms else b""
        destination = transfer.destination if transfer.kind is Kind.TRANSFER else SINK
        reasons = things.reasons(key.source, destination, transfer.blocks, pseudonym)
        for effect in notary.on_frozen(TransferView(transfer), reasons).effects:
            if isinstance(effect, Decide):
                # A wish to COMMIT of this very group is not decided yet: the freeze comes first in the log.
                known = group.pending.get(key)
                if known is None or known.wish.outcome is Outcome.COMMIT:
                    group.pending[key] = PendingDecision(key, effect)
