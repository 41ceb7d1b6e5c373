"""What goes on while nodes die: each act is what callers do, repeated until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc

from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2, ledger_pb2_grpc
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.market import WAIT_SECONDS, Market, request_id
from tests.crash.ring import CASE_SECONDS_MAX, Ring

CALL_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 0.02
PASSING: Final = frozenset(
    {
        "INTERNAL", "BUSY", "PEER_UNREACHABLE", "SERVER_STOPPING", "CALL_CANCELLED", "DEADLINE_EXCEEDED",
        "DATABASE_UNAVAILABLE", "DISK_FULL", "TIME_EXCEEDED",
    }
)  # fmt: skip
MOVED: Final = ledger_pb2.TRANSFER_STATE_MOVED
RELEASED: Final = ledger_pb2.TRANSFER_STATE_RELEASED


@dataclass(frozen=True)
class Act:
    """Something that callers do, and what must be so when it has ended.

    Args:
        name: a sentence of the table.
        run: does it with a number of its own and gives the kilograms by which the buyer has more.
    """

    name: str
    run: Callable[[Ring, int], int]


def persist(call: Callable[[], Any]) -> Any:
    """Ask again, the same request, until there is an answer."""
    until = time.monotonic() + CASE_SECONDS_MAX
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            refusal = from_rpc_error(error)
            if refusal.symbol not in PASSING and not _is_transport(error):
                raise refusal from error
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)


def _is_transport(error: Any) -> bool:
    return error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNKNOWN,
    )


def _order(market: Market, number: int, address: str) -> str:
    request = market.order(number)
    request.receiving_address = address
    answer = persist(lambda: market.transfers().CreateTransfer(request, timeout=CALL_SECONDS))
    return str(answer.transfer.transfer_id)


def _ended(market: Market, transfer_id: str, state: int) -> None:
    found = market.wait_ended([transfer_id], CASE_SECONDS_MAX)[transfer_id]
    assert found == state, f"transfer {transfer_id} ended as {found} and not as {state}"


def transfer(ring: Ring, number: int) -> int:
    """Let one kilogram cross."""
    transfer_id = _order(ring.market, number, ring.market.address)
    _ended(ring.market, transfer_id, MOVED)
    assert _order(ring.market, number, ring.market.address) == transfer_id
    return 1


def refused(ring: Ring, number: int) -> int:
    """Send to an account that is closed: the destination refuses, the bridge aborts."""
    _ended(ring.market, _order(ring.market, number, closed_address(ring)), RELEASED)
    return 0


def closed_address(ring: Ring) -> str:
    """Give the address of an account that is closed; made once in a ring."""
    known = getattr(ring, "closed_address", "")
    if known:
        return str(known)
    market, role = ring.market, "operator/440300/sz.platform_operator"
    account = market._open(SHENZHEN, role)
    desk = market.accounts(SHENZHEN, role)
    made = desk.CreateReceivingAddress(
        accounts_pb2.CreateReceivingAddressRequest(request_id=request_id(), account_id=account),
        timeout=WAIT_SECONDS,
    )
    desk.CloseAccount(
        accounts_pb2.CloseAccountRequest(request_id=request_id(), account_id=account), timeout=WAIT_SECONDS
    )
    ring.closed_address = made.receiving_address  # type: ignore[attr-defined]
    return str(made.receiving_address)


def withdrawn(ring: Ring, number: int) -> int:
    """Take a transfer back while its destination is away; it comes to know of it when it is back."""
    market = ring.market
    ring.stop("D")
    transfer_id = _order(market, number, market.address)
    request = ledger_pb2.WithdrawTransferRequest(request_id=f"withdraw-{number}", transfer_id=transfer_id)
    persist(lambda: market.transfers().WithdrawTransfer(request, timeout=CALL_SECONDS))
    _ended(market, transfer_id, RELEASED)
    ring.start("D")
    return 0


def away(ring: Ring, number: int) -> int:
    """Let units cross to a destination that is away at first, and the bridge forget them meanwhile."""
    market = ring.market
    ring.stop("D")
    transfer_id = _order(market, number, market.address)
    with ring.lock:
        ring.stop("B")
        ring.start("B")
    ring.start("D")
    _ended(market, transfer_id, MOVED)
    return 1


def retired(ring: Ring, number: int) -> int:
    """Retire one kilogram."""
    market = ring.market
    request = ledger_pb2.RetireUnitsRequest(
        request_id=f"retire-{number}",
        account_id=market.seller,
        units=ledger_pb2.UnitSelection(quantity_kg=1),
        purpose="event_neutrality",
        purpose_text="虚构马拉松 invented marathon",
    )
    desk = ledger_pb2_grpc.RetirementServiceStub
    role = "operator/310000/sh.holder"
    answer = persist(
        lambda: desk(market.channel(SHANGHAI, role)).RetireUnits(request, timeout=CALL_SECONDS)
    )
    asked = ledger_pb2.GetRetirementRequest(retirement_id=answer.retirement.retirement_id)

    def used() -> bool:
        found = desk(market.channel(SHANGHAI, role)).GetRetirement(asked, timeout=CALL_SECONDS).retirement
        return int(found.state) == ledger_pb2.USE_STATE_USED

    market.wait(used, "it is retired", CASE_SECONDS_MAX)
    return 0


ACTS: Final = (
    Act("a transfer that is committed", transfer),
    Act("a transfer that the destination refuses", refused),
    Act("a transfer that is withdrawn while the destination is away", withdrawn),
    Act("a transfer to a destination that comes back after the bridge has forgotten it", away),
    Act("a retirement", retired),
)

__all__ = ["ACTS", "Act", "DomainError", "persist"]
