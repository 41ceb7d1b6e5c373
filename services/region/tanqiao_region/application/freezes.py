"""Freezes that bind this node (PROTOCOL row 10): from the bridge, or of a court to this node alone.

A frozen thing is not a state of units: it is looked at when a holder's command would move, send or use them.
So what was locked when an order came is frozen as soon as an ABORT gives it back, and what a COMMIT credits
later is credited frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.frozen import FrozenRow, Scope, lifts, replay, rest_of
from tanqiao.protocol.types import Reasons
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.rpc.validation import require_bytes, require_text
from tanqiao.signing.approvals import APPROVERS, open_freeze, open_freeze_alone
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.verify import Opened
from tanqiao_region.application import cases, journal
from tanqiao_region.application.group import Group
from tanqiao_region.storage import orders
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.orders import OrderRow

ORDER_ID_LENGTH: Final = 16
TEXT_LENGTH_MAX: Final = 500
INDEX_BYTES: Final = 8


def take_freeze(
    group: Group, envelope: envelope_pb2.Envelope, directory: KeyDirectory, *, log_index: int
) -> None:
    """Put an order that the bridge passes on in force, or lift what it lifts; taken once.

    Raises:
        DomainError: what is wrong with its signatures; EQUIVOCATION for another order under its id.
    """
    opened = _open(group, envelope, directory, log_index)
    known = orders.find_order(group.connection, opened.message.order_id)
    if known is not None:
        if known.payload != opened.payload:
            order_id, second = opened.message.order_id, envelope.SerializeToString()
            raise cases.second_record(group, opened.header.sender, order_id, known.envelope, second)
        return
    _put(group, opened, envelope, local=False)


def _open(group: Group, envelope: envelope_pb2.Envelope, directory: KeyDirectory, log_index: int) -> Opened:
    at_index = max(0, log_index)
    signer = directory.get(envelope.signatures[0].key_id) if envelope.signatures else None
    opening = open_freeze_alone if signer is not None and signer.role == KeyRole.MESSAGE else open_freeze
    return opening(envelope, group.context.network_id, directory, at_index=at_index)


def submit_local(
    group: Group, request: ClientRequest, opened: Opened, envelope: envelope_pb2.Envelope
) -> tuple[bytes, int] | DomainError:
    """Put an order to this node alone in force: (order id, index of its journal entry).

    A second order under an id is kept as evidence: its refusal, EQUIVOCATION, is given and not raised.

    Raises:
        DomainError: APPROVERS_MISSING for another authority's, ACCOUNT_UNKNOWN, NOT_FROZEN,
            REQUEST_ID_REUSED, what `check_local` raises.
    """
    order: messages_pb2.Freeze = opened.message
    stored = group.find_answer(request)
    if stored is not None:
        return order.order_id, int.from_bytes(stored, "big")
    authority = f"authority/{group.context.region_code}"
    if opened.header.sender != authority:
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=0, missing=[authority] * APPROVERS)
    known = orders.find_order(group.connection, order.order_id)
    if known is not None and known.payload != opened.payload:
        # Given back and not raised: what a refused work raises is undone, and the evidence with it.
        return cases.second_record(
            group, authority, order.order_id, known.envelope, envelope.SerializeToString()
        )
    index = known.journal_index if known is not None else _put(group, opened, envelope, local=True)
    group.note_answer(request, index.to_bytes(INDEX_BYTES, "big"))
    return order.order_id, index


def check_local(order: messages_pb2.Freeze) -> None:
    """Check what an order to this node states.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, BATCH_TOO_LARGE, RANGE_REVERSED, RANGE_OVERLAP.
    """
    require_bytes(order.order_id, ORDER_ID_LENGTH, "order_id")
    require_text(order.reason, "reason", length_max=TEXT_LENGTH_MAX)
    require_text(order.document, "document", length_max=TEXT_LENGTH_MAX)
    if order.scope == messages_pb2.FREEZE_SCOPE_BLOCK:
        blocks_of(order.blocks)
    elif order.scope == messages_pb2.FREEZE_SCOPE_ACCOUNT:
        require_text(order.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
    else:
        raise DomainError("FIELD_INVALID", field="scope", detail="a node freezes units or an account")


def _put(group: Group, opened: Opened, envelope: envelope_pb2.Envelope, *, local: bool) -> int:
    order: messages_pb2.Freeze = opened.message
    ordered_by = opened.header.sender
    rows = rows_of(order, ordered_by, _pseudonym(group, order))
    lifted: dict[int, tuple[FrozenRow, ...]] = {}
    if order.unfreeze:
        lifted = {
            frozen_id: rest
            for frozen_id, row in orders.load_frozen_by_id(group.connection, local=local)
            if lifts(ordered_by, row.ordered_by) and (rest := rest_of(row, rows)) is not None
        }
        if local and not lifted:
            raise DomainError("NOT_FROZEN", what=order.account_id or _shown(rows), authority=ordered_by)
        orders.delete_frozen(group.connection, lifted)
        rows = [rest for rests in lifted.values() for rest in rests]
    orders.insert_frozen(group.connection, rows, local=local)
    group.frozen = None
    accounts = (journal.Effect(order.account_id),) if order.account_id else ()
    index = group.journal.append(
        journal.UNFROZEN if order.unfreeze else journal.FROZEN,
        order.order_id.hex(),
        accounts,
        message_hash=opened.message_hash,
        details={
            "ordered_by": ordered_by,
            "document": order.document,
            "reason": order.reason,
            "scope": messages_pb2.FreezeScope.Name(order.scope),
        },
    )
    orders.insert_order(
        group.connection,
        OrderRow(
            order.order_id,
            order.unfreeze,
            ordered_by,
            local,
            opened.payload,
            envelope.SerializeToString(),
            index,
        ),
    )
    return index


def _pseudonym(group: Group, order: messages_pb2.Freeze) -> bytes:
    """Give under which pseudonym an order freezes: the one it names, or that of its account."""
    if order.scope != messages_pb2.FREEZE_SCOPE_ACCOUNT:
        return order.pseudonym
    found = orders.account_pseudonym(group.connection, order.account_id)
    if found is None:
        raise DomainError("ACCOUNT_UNKNOWN", field="account_id", account_id=order.account_id)
    return found


def rows_of(order: messages_pb2.Freeze, ordered_by: str, pseudonym: bytes) -> list[FrozenRow]:
    """Give what an order freezes; an account is frozen under its pseudonym."""
    spans: list[tuple[str, int, int]] = [("", 0, 0)]
    if order.scope == messages_pb2.FREEZE_SCOPE_BLOCK:
        spans = [(block.series_id, block.start, block.end) for block in blocks_of(order.blocks)]
    account = order.scope == messages_pb2.FREEZE_SCOPE_ACCOUNT
    scope = int(Scope.PSEUDONYM) if account else int(order.scope)
    return [
        FrozenRow(
            scope,
            *span,
            pseudonym,
            order.region,
            order.other_region,
            order.document,
            order.order_id,
            ordered_by,
        )
        for span in spans
    ]


def _shown(rows: Sequence[FrozenRow]) -> str:
    return ", ".join(str(UnitBlock(row.series_id, row.start, row.end)) for row in rows[:8])


def replayed(known: Sequence[OrderRow], pseudonyms: dict[str, bytes]) -> list[tuple[FrozenRow, bool]]:
    """Rebuild what is frozen from the orders: those of this node and those of the bridge, each by itself."""
    frozen: list[tuple[FrozenRow, bool]] = []
    for local in (False, True):
        chosen = []
        for one in known:
            if one.local == local:
                order = messages_pb2.Freeze.FromString(one.payload)
                pseudonym = pseudonyms.get(order.account_id, b"") or order.pseudonym
                chosen.append((one.unfreeze, one.ordered_by, rows_of(order, one.ordered_by, pseudonym)))
        frozen += [(row, local) for row in replay(chosen)]
    return frozen


# -- what a freeze stops -------------------------------------------------------------------------------------


def require_free(
    group: Group, holder: AccountRow, blocks: Sequence[UnitBlock], *, source: str = "", destination: str = ""
) -> None:
    """Refuse a command about frozen units or of a frozen holder.

    Args:
        group: the transaction.
        holder: whose units they are.
        blocks: what is moved, sent or used.
        source: this region where units leave it or are used; empty for a move inside it.
        destination: where they go.

    Raises:
        DomainError: FROZEN with what is frozen and by which document.
    """
    frozen = group.frozen_things()
    if not frozen:
        return
    reasons: Reasons = frozen.reasons(source, destination, blocks, holder.pseudonym)
    if reasons:
        first = reasons[0]
        metadata = dict(first.metadata)
        if metadata["what"] == holder.pseudonym.hex():
            metadata["what"] = holder.account_id
        raise DomainError(first.symbol, **metadata)
