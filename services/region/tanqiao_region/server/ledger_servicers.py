"""LedgerService, TransferService and RetirementService: they translate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import ledger_pb2, ledger_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX, parse_id_hex
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import total_quantity_kg
from tanqiao.protocol.types import Kind, SourceState, TransferKey
from tanqiao.rpc.errors import item_status
from tanqiao.rpc.validation import optional_text, page, require_count, require_text
from tanqiao_region.application.commands import LocalOrder, Locked, TransferOrder, UseOrder
from tanqiao_region.application.notifier import Notifier
from tanqiao_region.application.orders import Orders
from tanqiao_region.application.queries import Queries
from tanqiao_region.application.views import IncomingView, OutgoingView
from tanqiao_region.server.wire import (
    IN_STATES,
    OUT_STATES,
    by_caller,
    client_request,
    incoming_message,
    outgoing_message,
    retirement_message,
    selection_of,
    timestamp,
    wait_seconds,
    wire_blocks,
)

ORDERS_PER_BATCH_MAX: Final = 5_000
ADDRESS_LENGTH_MAX: Final = 64
PURPOSE_LENGTH_MAX: Final = 48
TEXT_LENGTH_MAX: Final = 400
REFERENCE_LENGTH_MAX: Final = 200
NAME_LENGTH_MAX: Final = 200
USCC_LENGTH_MAX: Final = 18
DIGEST_BYTES: Final = 32
YEARS: Final = range(2000, 3000)
WATCH_STEP_SECONDS: Final = 5.0
WATCHERS_MAX: Final = 24
"""Each watcher holds one of the server's threads for as long as it likes; the others must be served too."""

RequestT = TypeVar("RequestT", bound=Message)
Order = TypeVar("Order")


class LedgerServicer(ledger_pb2_grpc.LedgerServiceServicer):
    """Moves inside the region."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def TransferUnits(
        self, request: ledger_pb2.TransferUnitsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.TransferUnitsResponse:
        """Move units between two accounts."""
        answer = self._orders.transfer_locally([_local_order(request)])[0]
        if isinstance(answer, DomainError):
            raise answer
        return ledger_pb2.TransferUnitsResponse(
            blocks=wire_blocks(answer.blocks), journal_index=answer.journal_index
        )

    def BatchTransferUnits(
        self, request: ledger_pb2.BatchTransferUnitsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.BatchTransferUnitsResponse:
        """Move units in order, each as if alone."""
        response = ledger_pb2.BatchTransferUnitsResponse()
        for answer in _each(request.requests, _local_order, self._orders.transfer_locally):
            if isinstance(answer, DomainError):
                response.statuses.append(item_status(answer))
                response.responses.append(ledger_pb2.TransferUnitsResponse())
            else:
                response.statuses.append(values_pb2.ItemStatus())
                response.responses.append(
                    ledger_pb2.TransferUnitsResponse(
                        blocks=wire_blocks(answer.blocks), journal_index=answer.journal_index
                    )
                )
        return response


def _each(
    requests: Sequence[RequestT],
    shape: Callable[[RequestT], Order],
    carry_out: Callable[[Sequence[Order]], Sequence[Any]],
) -> list[Any]:
    """Carry out the items of a batch; one that is not well formed is refused for itself."""
    require_count(requests, "requests", limit=ORDERS_PER_BATCH_MAX)
    shaped: list[Order | DomainError] = []
    for one in requests:
        try:
            shaped.append(shape(one))
        except DomainError as refusal:
            shaped.append(refusal)
    orders = [one for one in shaped if not isinstance(one, DomainError)]
    answers = iter(carry_out(orders) if orders else ())
    return [one if isinstance(one, DomainError) else next(answers) for one in shaped]


def _local_order(request: ledger_pb2.TransferUnitsRequest) -> LocalOrder:
    return LocalOrder(
        request=client_request(request, request.request_id),
        by=by_caller(),
        from_account_id=_account_id(request.from_account_id, "from_account_id"),
        to_account_id=_account_id(request.to_account_id, "to_account_id"),
        selection=selection_of(request.units),
        settlement_reference=optional_text(
            request.settlement_reference, "settlement_reference", length_max=REFERENCE_LENGTH_MAX
        ),
        validate_only=request.validate_only,
        agent_account_id=optional_text(
            request.agent_account_id, "agent_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        ),
    )


def _account_id(text: str, field: str) -> str:
    return require_text(text, field, length_max=ACCOUNT_ID_LENGTH_MAX)


class TransferServicer(ledger_pb2_grpc.TransferServiceServicer):
    """Transfers to other regions; a transfer is a resource with a state."""

    def __init__(self, orders: Orders, queries: Queries, notifier: Notifier, party: str) -> None:
        self._orders = orders
        self._queries = queries
        self._notifier = notifier
        self._party = party
        self._room = threading.BoundedSemaphore(WATCHERS_MAX)

    def CreateTransfer(
        self, request: ledger_pb2.CreateTransferRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.CreateTransferResponse:
        """Lock units for a transfer; answered when the lock is durable, or when the transfer has ended."""
        seconds = wait_seconds(request.wait_ms)
        order = _transfer_order(request)
        answer = self._orders.create_transfers([order])[0]
        if isinstance(answer, DomainError):
            raise answer
        if not answer.transfer_id:
            return ledger_pb2.CreateTransferResponse(transfer=self._validated(order, answer))
        self._orders.wait_ended([answer], seconds)
        if not answer.blocks:  # a repeated order: whether its caller may still see it is asked again
            return ledger_pb2.CreateTransferResponse(transfer=self._show(answer.transfer_id))
        view = self._queries.begun(answer.transfer_id)
        return ledger_pb2.CreateTransferResponse(
            transfer=outgoing_message(view, self._party, self._queries.finality_of)
        )

    def BatchCreateTransfers(
        self, request: ledger_pb2.BatchCreateTransfersRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.BatchCreateTransfersResponse:
        """Lock units for transfers in order, each as if alone."""
        seconds = wait_seconds(request.wait_ms)
        answers = _each(request.requests, _transfer_order, self._orders.create_transfers)
        states = self._orders.wait_ended(answers, seconds) if seconds else {}
        repeated = [one.transfer_id for one in answers if isinstance(one, Locked) and not one.blocks]
        known = self._queries.outgoing(repeated) if repeated else {}
        response = ledger_pb2.BatchCreateTransfersResponse()
        for one, answer in zip(request.requests, answers, strict=True):
            if isinstance(answer, DomainError):
                response.statuses.append(item_status(answer))
                response.transfers.append(ledger_pb2.Transfer())
                continue
            response.statuses.append(values_pb2.ItemStatus())
            if answer.transfer_id in known:
                shown = outgoing_message(known[answer.transfer_id], self._party, self._queries.finality_of)
            else:
                shown = self._begun(one, answer, states.get(answer.transfer_id))
            response.transfers.append(shown)
        return response

    def _begun(
        self, request: ledger_pb2.CreateTransferRequest, answer: Locked, state: SourceState | None
    ) -> ledger_pb2.Transfer:
        """Give a transfer of a batch from what is in hand: no look-up, no envelopes."""
        validated = not answer.transfer_id
        return ledger_pb2.Transfer(
            transfer_id=answer.transfer_id.hex(),
            direction=ledger_pb2.TRANSFER_DIRECTION_OUT,
            state=ledger_pb2.TRANSFER_STATE_UNSPECIFIED
            if validated
            else OUT_STATES[state or SourceState.LOCKED],
            source=self._party,
            destination=f"region/{request.destination_region_code}",
            account_id=request.from_account_id,
            receiving_address=request.receiving_address,
            blocks=wire_blocks(answer.blocks),
            quantity_kg=total_quantity_kg(answer.blocks),
            create_time=timestamp(answer.created_at),
        )

    def _validated(self, order: TransferOrder, answer: Locked) -> ledger_pb2.Transfer:
        return ledger_pb2.Transfer(
            direction=ledger_pb2.TRANSFER_DIRECTION_OUT,
            source=self._party,
            destination=order.destination,
            account_id=order.from_account_id,
            receiving_address=order.receiving_address,
            blocks=wire_blocks(answer.blocks),
            quantity_kg=total_quantity_kg(answer.blocks),
        )

    def WithdrawTransfer(
        self, request: ledger_pb2.WithdrawTransferRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.WithdrawTransferResponse:
        """Note the holder's wish; the bridge aborts unless it has decided."""
        transfer_id = parse_id_hex(request.transfer_id, field="transfer_id")
        self._orders.withdraw(client_request(request, request.request_id), by_caller(), transfer_id)
        return ledger_pb2.WithdrawTransferResponse(transfer=self._show(transfer_id))

    def GetTransfer(
        self, request: ledger_pb2.GetTransferRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetTransferResponse:
        """Give a transfer with its signed messages."""
        transfer_id = parse_id_hex(request.transfer_id, field="transfer_id")
        return ledger_pb2.GetTransferResponse(transfer=self._show(transfer_id))

    def _show(self, transfer_id: bytes) -> ledger_pb2.Transfer:
        view = self._queries.transfer(transfer_id, by_caller())
        if isinstance(view, OutgoingView):
            return outgoing_message(view, self._party, self._queries.finality_of)
        return incoming_message(view, self._party, self._queries.finality_of)

    def ListTransfers(
        self, request: ledger_pb2.ListTransfersRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.ListTransfersResponse:
        """Give a page of transfers: those that leave first, then those that come in, in the order of ids."""
        if optional_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX):
            self._queries.require_seen(request.account_id, by_caller(), "ListTransfers")
        part = page(
            request.page_size, request.page_token, request.direction, request.state, request.account_id
        )
        views = self._pages(request, part.read(_transfer_position, _FIRST), part.size + 1)
        shown = views[: part.size]
        response = ledger_pb2.ListTransfersResponse()
        for view in shown:
            response.transfers.append(
                outgoing_message(view, self._party, self._queries.finality_of)
                if isinstance(view, OutgoingView)
                else incoming_message(view, self._party, self._queries.finality_of)
            )
        if len(views) > part.size:
            response.next_page_token = part.token(_position(shown[-1]))
        return response

    def _pages(
        self, request: ledger_pb2.ListTransfersRequest, after: tuple[str, str, bytes], limit: int
    ) -> list[OutgoingView | IncomingView]:
        side, source, transfer_id = after
        found: list[OutgoingView | IncomingView] = []
        out_state = _state(OUT_STATES, request.state)
        in_state = _state(IN_STATES, request.state)
        if side != "in" and request.direction != ledger_pb2.TRANSFER_DIRECTION_IN and out_state is not None:
            found += self._queries.outgoing_page(
                state=out_state,
                account_id=request.account_id,
                by=by_caller(),
                after=transfer_id,
                limit=limit,
            )
        if request.direction != ledger_pb2.TRANSFER_DIRECTION_OUT and in_state is not None:
            behind = (source, transfer_id) if side == "in" else ("", b"")
            found += self._queries.incoming_page(
                state=in_state,
                account_id=request.account_id,
                by=by_caller(),
                after=behind,
                limit=limit - len(found),
            )
        return found

    def WatchTransfer(
        self, request: ledger_pb2.WatchTransferRequest, context: grpc.ServicerContext
    ) -> Iterator[ledger_pb2.WatchTransferResponse]:
        """Give the present state, then every change until the transfer has ended."""
        transfer_id = parse_id_hex(request.transfer_id, field="transfer_id")
        if not self._room.acquire(blocking=False):
            raise DomainError("QUOTA_EXCEEDED", limit=f"{WATCHERS_MAX} watchers", retry_time="later")
        try:
            yield from self._changes(transfer_id, context)
        finally:
            self._room.release()

    def _changes(
        self, transfer_id: bytes, context: grpc.ServicerContext
    ) -> Iterator[ledger_pb2.WatchTransferResponse]:
        last = None
        while context.is_active() and not self._notifier.closed:
            shown = self._show(transfer_id)
            if shown.state != last:
                last = shown.state
                yield ledger_pb2.WatchTransferResponse(transfer=shown)
            if shown.HasField("end_time"):
                return
            self._notifier.wait_ended(TransferKey(shown.source, transfer_id), WATCH_STEP_SECONDS)


def _state(states: Mapping[Any, int], wanted: int) -> int | None:
    """Give the stored state of a public one; 0 for any, None where this direction has no such state."""
    if not wanted:
        return 0
    return next((int(stored) for stored, shown in states.items() if shown == wanted), None)


_FIRST: Final = ("", "", b"")


def _transfer_position(text: str) -> tuple[str, str, bytes]:
    side, _, rest = text.partition("\n")
    source, _, transfer_id = rest.rpartition("\n")
    return side, source, bytes.fromhex(transfer_id)


def _position(view: OutgoingView | IncomingView) -> str:
    if isinstance(view, OutgoingView):
        return f"out\n\n{view.transfer_id.hex()}"
    return f"in\n{view.source}\n{view.transfer_id.hex()}"


def _transfer_order(request: ledger_pb2.CreateTransferRequest) -> TransferOrder:
    code = require_text(request.destination_region_code, "destination_region_code", length_max=16)
    return TransferOrder(
        request=client_request(request, request.request_id),
        by=by_caller(),
        from_account_id=_account_id(request.from_account_id, "from_account_id"),
        destination=f"region/{RegionCode(code)}",
        receiving_address=require_text(
            request.receiving_address, "receiving_address", length_max=ADDRESS_LENGTH_MAX
        ),
        selection=selection_of(request.units),
        purpose=optional_text(request.purpose, "purpose", length_max=PURPOSE_LENGTH_MAX),
        validate_only=request.validate_only,
    )


class RetirementServicer(ledger_pb2_grpc.RetirementServiceServicer):
    """Uses: retirement for a purpose and a beneficiary, and cancellation."""

    def __init__(self, orders: Orders, queries: Queries) -> None:
        self._orders = orders
        self._queries = queries

    def RetireUnits(
        self, request: ledger_pb2.RetireUnitsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.RetireUnitsResponse:
        """Use units for a purpose and a beneficiary."""
        seconds = wait_seconds(request.wait_ms)
        return ledger_pb2.RetireUnitsResponse(retirement=self._use(_retire_order(request), seconds))

    def CancelUnits(
        self, request: ledger_pb2.CancelUnitsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.CancelUnitsResponse:
        """Take units out of circulation without use."""
        seconds = wait_seconds(request.wait_ms)
        return ledger_pb2.CancelUnitsResponse(retirement=self._use(_cancel_order(request), seconds))

    def _use(self, order: UseOrder, seconds: float) -> ledger_pb2.Retirement:
        answer = self._orders.create_uses([order])[0]
        if isinstance(answer, DomainError):
            raise answer
        if not answer.transfer_id:
            return ledger_pb2.Retirement(
                kind=messages_pb2.USE_KIND_RETIRE,
                account_id=order.account_id,
                blocks=wire_blocks(answer.blocks),
                quantity_kg=total_quantity_kg(answer.blocks),
                purpose=order.purpose,
            )
        self._orders.wait_ended([answer], seconds)
        view, seen = self._queries.retirement(answer.transfer_id, by_caller())
        return retirement_message(view, self._queries.finality_of, is_public=not seen)

    def GetRetirement(
        self, request: ledger_pb2.GetRetirementRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.GetRetirementResponse:
        """Give a use with its signed messages; what is not public stays with the region's own bodies."""
        transfer_id = parse_id_hex(request.retirement_id, field="retirement_id")
        view, seen = self._queries.retirement(transfer_id, by_caller())
        return ledger_pb2.GetRetirementResponse(
            retirement=retirement_message(view, self._queries.finality_of, is_public=not seen)
        )

    def ListRetirements(
        self, request: ledger_pb2.ListRetirementsRequest, context: grpc.ServicerContext
    ) -> ledger_pb2.ListRetirementsResponse:
        """Give a page of uses in the order of their ids."""
        optional_text(request.account_id, "account_id", length_max=ACCOUNT_ID_LENGTH_MAX)
        part = page(request.page_size, request.page_token, request.account_id)
        found, index, seen = self._queries.retirements(
            account_id=request.account_id,
            by=by_caller(),
            after=part.read(bytes.fromhex, b""),
            limit=part.size + 1,
        )
        shown = found[: part.size]
        more = part.token(shown[-1].use.transfer_id.hex()) if len(found) > part.size else ""
        return ledger_pb2.ListRetirementsResponse(
            retirements=[
                retirement_message(view, self._queries.finality_of, is_public=view.use.account_id not in seen)
                for view in shown
            ],
            next_page_token=more,
            as_of_index=index,
        )


def _retire_order(request: ledger_pb2.RetireUnitsRequest) -> UseOrder:
    return UseOrder(
        request=client_request(request, request.request_id),
        by=by_caller(),
        kind=Kind.RETIRE,
        account_id=_account_id(request.account_id, "account_id"),
        selection=selection_of(request.units),
        purpose=require_text(request.purpose, "purpose", length_max=PURPOSE_LENGTH_MAX),
        purpose_text=optional_text(request.purpose_text, "purpose_text", length_max=TEXT_LENGTH_MAX),
        beneficiary_name=optional_text(
            request.beneficiary.name, "beneficiary.name", length_max=NAME_LENGTH_MAX
        ),
        beneficiary_uscc=optional_text(
            request.beneficiary.uscc, "beneficiary.uscc", length_max=USCC_LENGTH_MAX
        ),
        pseudonymous=request.beneficiary.pseudonymous,
        document_reference=optional_text(
            request.document_reference, "document_reference", length_max=TEXT_LENGTH_MAX
        ),
        document_digest=_digest(request.document_digest),
        compliance_year=_year(request.compliance_year),
        validate_only=request.validate_only,
    )


def _cancel_order(request: ledger_pb2.CancelUnitsRequest) -> UseOrder:
    return UseOrder(
        request=client_request(request, request.request_id),
        by=by_caller(),
        kind=Kind.CANCEL,
        account_id=_account_id(request.account_id, "account_id"),
        selection=selection_of(request.units),
        purpose_text=optional_text(request.reason, "reason", length_max=TEXT_LENGTH_MAX),
        document_reference=optional_text(
            request.document_reference, "document_reference", length_max=TEXT_LENGTH_MAX
        ),
        cancellation=request,
    )


def _digest(value: bytes) -> bytes:
    if value and len(value) != DIGEST_BYTES:
        raise DomainError("FIELD_INVALID", field="document_digest", detail=f"{DIGEST_BYTES} bytes are wanted")
    return value


def _year(value: int) -> int:
    if value and value not in YEARS:
        raise DomainError("FIELD_INVALID", field="compliance_year", detail="no such year")
    return value
