"""From what the node stores to messages of its public API, and from requests to orders. Translation only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import DestinationState, Kind, SourceState
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_messages, date_message
from tanqiao.rpc.validation import parse_blocks, parse_serial, require_quantity_kg, require_request_id
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.queries import AccountView
from tanqiao_region.application.views import (
    ClientRequest,
    IncomingView,
    OutgoingView,
    RetirementView,
    unpack_blocks,
)

WAIT_MS_MAX: Final = 30_000
FinalityOf = Callable[[int], values_pb2.Finality.ValueType]
"""Says how final a COMMIT at an index of the bridge's log is."""
SERIES_ID_LENGTH_MAX: Final = 160


def holding_position(text: str) -> tuple[str, int] | None:
    """Read from a page token where in the books a page begins: behind this series and first serial."""
    series_id, _, start = text.rpartition("\n")
    return series_id, parse_serial(start)


OUT_STATES: Final = {
    SourceState.LOCKED: ledger_pb2.TRANSFER_STATE_LOCKED,
    SourceState.MOVED: ledger_pb2.TRANSFER_STATE_MOVED,
    SourceState.RELEASED: ledger_pb2.TRANSFER_STATE_RELEASED,
}
IN_STATES: Final = {
    DestinationState.READY: ledger_pb2.TRANSFER_STATE_READY,
    DestinationState.REFUSED: ledger_pb2.TRANSFER_STATE_REFUSED,
    DestinationState.CREDITED: ledger_pb2.TRANSFER_STATE_CREDITED,
    DestinationState.DROPPED: ledger_pb2.TRANSFER_STATE_DROPPED,
}
USE_STATES: Final = {
    SourceState.RETIRING: ledger_pb2.USE_STATE_RETIRING,
    SourceState.USED: ledger_pb2.USE_STATE_USED,
    SourceState.CANCELLED: ledger_pb2.USE_STATE_CANCELLED,
    SourceState.RELEASED: ledger_pb2.USE_STATE_RETURNED,
}
USE_KINDS: Final = {
    Kind.RETIRE: messages_pb2.USE_KIND_RETIRE,
    Kind.CANCEL: messages_pb2.USE_KIND_CANCEL,
}


# -- requests ------------------------------------------------------------------------------------------------


def by_caller() -> By:
    """Give who is on the line."""
    caller = current_caller()
    return By(caller.party, caller.role)


def client_request(request: Message, request_id: str) -> ClientRequest:
    """Give what makes a mutating call the same one; how long it waits is no part of it."""
    body: Message = request
    if "wait_ms" in request.DESCRIPTOR.fields_by_name and getattr(request, "wait_ms"):  # noqa: B009
        body = type(request)()
        body.CopyFrom(request)
        body.ClearField("wait_ms")
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode() + b"\0")
    digest.update(body.SerializeToString(deterministic=True))
    return ClientRequest(current_caller().party, require_request_id(request_id), digest.digest())


def selection_of(units: ledger_pb2.UnitSelection) -> Selection:
    """Read which units are asked for: exact blocks or a quantity, not both.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, QUANTITY_NOT_POSITIVE, RANGE_REVERSED, RANGE_OVERLAP,
            SERIES_MISMATCH.
    """
    if len(units.series_id) > SERIES_ID_LENGTH_MAX:
        raise DomainError("TEXT_TOO_LONG", field="units.series_id", limit=SERIES_ID_LENGTH_MAX)
    if not units.blocks:
        quantity_kg = require_quantity_kg(units.quantity_kg, "units.quantity_kg")
        return Selection(units.series_id, quantity_kg)
    blocks = parse_blocks(units.blocks, "units.blocks")
    if units.quantity_kg and units.quantity_kg != sum(block.quantity_kg for block in blocks):
        detail = "another quantity than that of the blocks"
        raise DomainError("FIELD_INVALID", field="units.quantity_kg", detail=detail)
    for block in blocks:
        if units.series_id and block.series_id != units.series_id:
            raise DomainError(
                "SERIES_MISMATCH",
                field="units.blocks",
                series_id=block.series_id,
                expected=units.series_id,
            )
    return Selection(units.series_id, 0, blocks)


def wait_seconds(wait_ms: int) -> float:
    """Read how long the caller waits; FIELD_INVALID for what is negative or above the bound."""
    if not 0 <= wait_ms <= WAIT_MS_MAX:
        raise DomainError("FIELD_INVALID", field="wait_ms", detail=f"0 to {WAIT_MS_MAX}")
    return wait_ms / 1000


# -- answers -------------------------------------------------------------------------------------------------


def timestamp(seconds: int | None) -> Timestamp | None:
    """Give a moment, or None."""
    return None if seconds is None else Timestamp(seconds=seconds)


def moment(now: datetime) -> Timestamp:
    """Give the present moment as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(now.astimezone(UTC))
    return stamp


def date_or_none(text: str) -> values_pb2.Date | None:
    """Give a stored date, or None for an empty one."""
    return date_message(text) if text else None


def wire_blocks(blocks: tuple[UnitBlock, ...]) -> list[values_pb2.UnitBlock]:
    """Give blocks as messages."""
    return block_messages(blocks)


def account_message(view: AccountView) -> accounts_pb2.Account:
    """Give an account; in its operator's own answers a person is named by that operator's reference."""
    row = view.account
    return accounts_pb2.Account(
        account_id=row.account_id,
        kind=row.kind,  # type: ignore[arg-type]  # numbers of the enumeration
        state=row.state,  # type: ignore[arg-type]
        display_name=view.reference or row.display_name,
        uscc=row.uscc,
        operator_account_id=row.operator_account_id or "",
        open_time=timestamp(row.opened_at),
        seat=row.seat,
        invented=row.invented,
        holder_party=row.holder_party,
    )


def _decision(payload: bytes) -> messages_pb2.Decision | None:
    return messages_pb2.Decision.FromString(payload) if payload else None


def outgoing_message(view: OutgoingView, source: str, finality_of: FinalityOf) -> ledger_pb2.Transfer:
    """Give a transfer that leaves."""
    decision = _decision(view.decision_payload)
    openings = messages_pb2.Openings.FromString(view.companion)
    return ledger_pb2.Transfer(
        transfer_id=view.transfer_id.hex(),
        direction=ledger_pb2.TRANSFER_DIRECTION_OUT,
        state=OUT_STATES[SourceState(view.state)],
        source=source,
        destination=view.destination,
        account_id=view.account_id,
        receiving_address=openings.receiving_address,
        blocks=wire_blocks(unpack_blocks(view.blocks)),
        quantity_kg=view.quantity_kg,
        legal_date=decision.legal_date if decision is not None else None,
        reasons=decision.reasons if decision is not None else (),
        lock=view.promise,
        decision=view.decision,
        finality=finality(decision, finality_of),
        create_time=timestamp(view.created_at),
        end_time=timestamp(view.ended_at),
    )


def incoming_message(view: IncomingView, destination: str, finality_of: FinalityOf) -> ledger_pb2.Transfer:
    """Give a transfer that comes in."""
    decision = _decision(view.decision_payload)
    prepare = messages_pb2.Prepare.FromString(view.prepare_payload)
    reasons = list(decision.reasons) if decision is not None else []
    if not reasons and DestinationState(view.state) is DestinationState.REFUSED:
        reasons = list(messages_pb2.Refuse.FromString(view.answer_payload).reasons)
    return ledger_pb2.Transfer(
        transfer_id=view.transfer_id.hex(),
        direction=ledger_pb2.TRANSFER_DIRECTION_IN,
        state=IN_STATES[DestinationState(view.state)],
        source=view.source,
        destination=destination,
        account_id=view.account_id,
        receiving_address=view.receiving_address,
        blocks=wire_blocks(unpack_blocks(view.blocks)),
        quantity_kg=view.quantity_kg,
        legal_date=date_or_none(view.legal_date),
        reasons=reasons,
        lock=prepare.lock if view.prepare_payload else None,
        ready=view.answer,
        decision=view.decision,
        finality=finality(decision, finality_of),
        create_time=timestamp(view.created_at),
        end_time=timestamp(view.ended_at),
    )


def finality(
    decision: messages_pb2.Decision | None, finality_of: FinalityOf
) -> values_pb2.Finality.ValueType:
    """Say how final a COMMIT is; without witnesses it is final by the bridge's decision."""
    if decision is None or decision.outcome != messages_pb2.OUTCOME_COMMIT:
        return values_pb2.FINALITY_UNSPECIFIED
    return finality_of(decision.log_index)


def retirement_message(
    view: RetirementView, finality_of: FinalityOf, *, is_public: bool
) -> ledger_pb2.Retirement:
    """Give a use.

    Args:
        view: as stored.
        finality_of: says how final its decision is.
        is_public: leave out what is not for everybody: the account, the salt that opens the beneficiary's
            commitment, and the name of a beneficiary who is no organisation.
    """
    use = view.use
    decision = _decision(use.decision_payload)
    is_named = bool(view.beneficiary_uscc) or not is_public
    return ledger_pb2.Retirement(
        retirement_id=use.transfer_id.hex(),
        state=USE_STATES[SourceState(use.state)],
        kind=USE_KINDS[Kind(use.kind)],
        account_id="" if is_public else use.account_id,
        blocks=wire_blocks(unpack_blocks(use.blocks)),
        quantity_kg=use.quantity_kg,
        purpose=view.purpose,
        purpose_text=view.purpose_text,
        beneficiary=ledger_pb2.Beneficiary(
            name=view.beneficiary_name if is_named else "",
            uscc=view.beneficiary_uscc,
            pseudonymous=view.pseudonymous,
        ),
        document_reference=view.document_reference,
        article=view.article,
        rule_pack_id=view.rule_pack_id,
        rule_pack_version=view.rule_pack_version,
        retiring_date=date_or_none(view.retiring_date),
        decision_date=date_or_none(view.decision_date),
        use=use.promise,
        decision=use.decision,
        beneficiary_salt=b"" if is_public else view.beneficiary_salt,
        reasons=decision.reasons if decision is not None else (),
        finality=finality(decision, finality_of),
    )
