"""What goes on while nodes die: each act is what callers do, repeated until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import (
    directory_pb2,
    directory_pb2_grpc,
    messages_pb2,
    reconcile_pb2,
    reconcile_pb2_grpc,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2, ledger_pb2_grpc, registers_pb2
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.provision import build_recognition_record
from tests.contract.region.harness import SHANGHAI, SHENZHEN, USCC
from tests.contract.region.market import WAIT_SECONDS, WH_PER_MONTH, Market, request_id
from tests.contract.region_registers.office import PROJECT, month
from tests.crash.ring import CASE_SECONDS_MAX, CASES_PER_RING, Ring

CALL_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 0.02
RUN_SECONDS_MAX: Final = 1.0
"""A reconciliation of so few blocks that takes longer has died; one too many does no harm."""
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
        prepare: what is done before anybody may die.
        cost: how many cases of a ring it takes; a project has one issue a year.
    """

    name: str
    run: Callable[[Ring, int], int]
    prepare: Callable[[Ring], None] = lambda _ring: None
    cost: int = 1


def persist(
    call: Callable[[], Any], passing: frozenset[str] = PASSING, *, seconds: float = CASE_SECONDS_MAX
) -> Any:
    """Ask again, the same request, until there is an answer; a refusal that is not passing is raised."""
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            refusal = from_rpc_error(error)
            if refusal.symbol not in passing and not _is_transport(error):
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
    _ended(ring.market, _order(ring.market, number, ring.closed_address), RELEASED)
    return 0


def close_an_account(ring: Ring) -> None:
    """Make the address of an account that is closed, once in a ring."""
    if ring.closed_address:
        return
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
    ring.closed_address = made.receiving_address


def _caught_up(market: Market) -> None:
    """Wait until the destination knows what the source knows."""
    status = journal_pb2.GetNodeStatusRequest()
    known = market.node(SHANGHAI).GetNodeStatus(status, timeout=WAIT_SECONDS).applied_log_index
    market.wait(
        lambda: market.node(SHENZHEN).GetNodeStatus(status, timeout=CALL_SECONDS).applied_log_index >= known,
        "the destination knows of the decision",
        CASE_SECONDS_MAX,
    )


def withdrawn(ring: Ring, number: int) -> int:
    """Take a transfer back while its destination is away; it comes to know of it when it is back."""
    market = ring.market
    ring.stop("D")
    transfer_id = _order(market, number, market.address)
    request = ledger_pb2.WithdrawTransferRequest(request_id=f"withdraw-{number}", transfer_id=transfer_id)
    persist(lambda: market.transfers().WithdrawTransfer(request, timeout=CALL_SECONDS))
    _ended(market, transfer_id, RELEASED)
    ring.start("D")
    _caught_up(market)
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
    answer = persist(lambda: desk(market.channel(SHANGHAI, role)).RetireUnits(request, timeout=CALL_SECONDS))
    asked = ledger_pb2.GetRetirementRequest(retirement_id=answer.retirement.retirement_id)

    def used() -> bool:
        found = desk(market.channel(SHANGHAI, role)).GetRetirement(asked, timeout=CALL_SECONDS).retirement
        return int(found.state) == ledger_pb2.USE_STATE_USED

    market.wait(used, "it is retired", CASE_SECONDS_MAX)
    return 0


def overdue(ring: Ring, number: int) -> int:
    """Let the destination's answer be overdue: the bridge aborts, and the destination learns of it later."""
    ring.stop("D")
    with ring.hasty():
        _ended(ring.market, _order(ring.market, number, ring.market.address), RELEASED)
    ring.start("D")
    _caught_up(ring.market)
    return 0


def meter(ring: Ring) -> None:
    """Meter one more month, in a new year: a project has one issue a year."""
    ring.market.turn_to(date(2027, 1, 4))
    ring.market.issuance("sh.project_applicant").SubmitActivity(
        registers_pb2.SubmitActivityRequest(
            request_id=request_id(),
            project_id=PROJECT,
            records=[month("2026-01", on_grid_wh=WH_PER_MONTH)],
        ),
        timeout=WAIT_SECONDS,
    )


def issued(ring: Ring, number: int) -> int:
    """Bring the units of the metered month into existence: a claim at the bridge, then the Issue."""
    request = registers_pb2.IssueUnitsRequest(
        request_id=f"issue-{number}",
        project_id=PROJECT,
        period=values_pb2.Period(start_date=date_message("2026-01-01"), end_date=date_message("2026-02-01")),
        audit=registers_pb2.IssuanceAudit(passed=True, audit_date=date_message("2026-12-01"), body="虚构"),
    )

    def is_issued() -> bool:
        answer = persist(lambda: ring.market.issuance("sh.centre").IssueUnits(request, timeout=CALL_SECONDS))
        return int(answer.issuance.state) == registers_pb2.ISSUANCE_STATE_ISSUED

    ring.market.wait(is_issued, "the units are issued", CASE_SECONDS_MAX)
    return 0


def agreed(ring: Ring, number: int) -> int:
    """Put an agreement in the other direction in force, and wait until both regions know of it."""
    market = ring.market
    record = messages_pb2.RecognitionRecord(
        agreement_id=f"A-{number}",
        from_region=SHENZHEN,
        to_region=SHANGHAI,
        programmes=["SHCER"],
        unit_classes=["I"],
        purposes=["voluntary"],
        period=values_pb2.Period(start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")),
        document="test",
    )
    roots = [market.network.root(f"authority/{code}") for code in ("440300", "310000")]
    request = directory_pb2.SubmitRecognitionRequest(
        request_id=f"agreement-{number}",
        record=build_recognition_record(market.network.plan.network_id, record, roots),
    )
    answer = persist(
        lambda: directory_pb2_grpc.RecognitionServiceStub(
            market.channel("bridge", SHANGHAI)
        ).SubmitRecognition(request, timeout=CALL_SECONDS)
    )
    for server in (SHANGHAI, SHENZHEN):
        market.wait(
            lambda server=server: (  # type: ignore[misc]
                market.node(server)
                .GetNodeStatus(journal_pb2.GetNodeStatusRequest(), timeout=5)
                .applied_log_index
                >= answer.log_index
            ),
            f"{server} has the agreement",
            CASE_SECONDS_MAX,
        )
    return 0


def reconciled(ring: Ring, _number: int) -> int:
    """Compare the source's books with the bridge's, all of them; a run that dies is asked for again."""
    market = ring.market

    def latest() -> reconcile_pb2.Reconciliation:
        request = reconcile_pb2.ListReconciliationsRequest(region=SHANGHAI)
        desk = reconcile_pb2_grpc.ReconcileServiceStub(market.channel("bridge", SHANGHAI))
        answer = persist(lambda: desk.ListReconciliations(request, timeout=CALL_SECONDS))
        return next(iter(answer.reconciliations), reconcile_pb2.Reconciliation())

    def ask() -> None:
        """Ask until the source is there to be asked: a message to nobody asks for nothing."""
        request = reconcile_pb2.StartReconciliationRequest(
            region=SHANGHAI, depth=reconcile_pb2.RECONCILE_DEPTH_FULL
        )

        def is_asked() -> bool:
            desk = reconcile_pb2_grpc.ReconcileServiceStub(market.channel("bridge", SHANGHAI))
            return bool(
                persist(lambda: desk.StartReconciliation(request, timeout=CALL_SECONDS)).asked_regions
            )

        market.wait(is_asked, "the source is asked to reconcile", CASE_SECONDS_MAX)

    known, until = latest().run_id, time.monotonic() + CASE_SECONDS_MAX
    while True:
        ask()
        again = time.monotonic() + RUN_SECONDS_MAX
        while time.monotonic() < again:
            found = latest()
            if found.run_id != known and found.state == reconcile_pb2.RECONCILE_STATE_CLEAN:
                return 0
            assert found.state != reconcile_pb2.RECONCILE_STATE_MISMATCH, found
            time.sleep(PAUSE_SECONDS)
        assert time.monotonic() < until, "no reconciliation came to its end"


def moved(ring: Ring, number: int) -> int:
    """Open an account and move a kilogram to it, inside the source."""
    market = ring.market
    request = accounts_pb2.OpenAccountRequest(
        request_id=f"open-{number}",
        kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        display_name="虚构 invented",
        uscc=USCC,
        invented=True,
    )
    answer = persist(lambda: market.accounts().OpenAccount(request, timeout=CALL_SECONDS))
    order = ledger_pb2.TransferUnitsRequest(
        request_id=f"move-{number}",
        from_account_id=market.seller,
        to_account_id=answer.account.account_id,
        units=ledger_pb2.UnitSelection(quantity_kg=1),
        settlement_reference=f"T-{number}",
    )
    desk = ledger_pb2_grpc.LedgerServiceStub
    role = "operator/310000/sh.exchange"
    persist(lambda: desk(market.channel(SHANGHAI, role)).TransferUnits(order, timeout=CALL_SECONDS))
    assert market.balance(SHANGHAI, answer.account.account_id).held_kg == 1
    return 0


ACTS: Final = (
    Act("a transfer that is committed", transfer),
    Act("a transfer that the destination refuses", refused, close_an_account),
    Act("a transfer that is withdrawn while the destination is away", withdrawn),
    Act("a transfer whose destination does not answer in time", overdue),
    Act("a transfer to a destination that is away while the bridge forgets it", away),
    Act("a retirement", retired),
    Act("an issue", issued, meter, cost=CASES_PER_RING),
    Act("an agreement", agreed),
    Act("a reconciliation", reconciled),
    Act("an account and a move inside the source", moved),
)

__all__ = ["ACTS", "Act", "persist"]
