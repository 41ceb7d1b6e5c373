"""Buyers and sellers of two regions over the public API.

What it takes until units can cross, and what is checked after.

It knows addresses and certificates and nothing else, so that it works against nodes in this process and
against processes. Everything invented is called so.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc, values_pb2
from tanqiao.api.region.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    journal_pb2,
    journal_pb2_grpc,
    ledger_pb2,
    ledger_pb2_grpc,
    registers_pb2,
    registers_pb2_grpc,
)
from tanqiao.client import CallPolicy, Federation
from tanqiao.client.conservation import Conservation
from tanqiao.client.snapshots import check_federation
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.provision import Network, build_recognition_record
from tests.contract.region.harness import HOLDERS, SHANGHAI, SHENZHEN, USCC
from tests.contract.region_registers.office import (
    METHODOLOGY,
    PROJECT,
    methodology_request,
    month,
    project_request,
)

WAIT_SECONDS: Final = 50.0
ENDED_OUT: Final = frozenset({ledger_pb2.TRANSFER_STATE_MOVED, ledger_pb2.TRANSFER_STATE_RELEASED})
MONTHS: Final = 12
WH_PER_MONTH: Final = 80_000_000
ISSUED_KG: Final = MONTHS * WH_PER_MONTH * 42 // 100 // 1000 // 1000 * 1000
STILL: Final = Timestamp
_numbers = itertools.count(1)


def request_id() -> str:
    """A request id that was never used."""
    return f"market-{time.time_ns()}-{next(_numbers)}"


class Market:
    """Calls of everybody.

    Args:
        network: certificates and roots.
        addresses: party → address; asked at every call, so that a node may move.
    """

    def __init__(self, network: Network, addresses: Callable[[], Mapping[str, str]]) -> None:
        self.network = network
        self._addresses = addresses
        self._channels: dict[tuple[str, str], grpc.Channel] = {}
        self.seller = self.buyer = self.address = self.series_id = ""

    def channel(self, server: str, caller: str) -> grpc.Channel:
        """Give the channel of a caller to a server."""
        key = (self._addresses()[server], caller)
        if key not in self._channels:
            self._channels[key] = open_channel(key[0], self.network.tls(caller))
        return self._channels[key]

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    # -- stubs

    def accounts(self, server: str = SHANGHAI, role: str = "operator/310000/sh.centre") -> Any:
        return accounts_pb2_grpc.AccountServiceStub(self.channel(server, role))

    def transfers(self, role: str = "operator/310000/sh.holder") -> Any:
        return ledger_pb2_grpc.TransferServiceStub(self.channel(SHANGHAI, role))

    def registers(self, role: str) -> Any:
        return registers_pb2_grpc.RegisterServiceStub(self.channel(SHANGHAI, f"operator/310000/{role}"))

    def issuance(self, role: str) -> Any:
        return registers_pb2_grpc.IssuanceServiceStub(self.channel(SHANGHAI, f"operator/310000/{role}"))

    def journal(self, server: str = SHANGHAI) -> Any:
        return journal_pb2_grpc.JournalServiceStub(self.channel(server, "reader/national"))

    def node(self, server: str = SHANGHAI) -> Any:
        return journal_pb2_grpc.NodeServiceStub(self.channel(server, "reader/national"))

    # -- until units can cross

    def furnish(self) -> None:
        """Put an agreement in force, open accounts, and bring units into existence by the whole procedure."""
        self.wait(
            lambda: self.node().GetNodeStatus(_STATUS, timeout=5).bridge_connected, "Shanghai is on the line"
        )
        self.wait(
            lambda: self.node(SHENZHEN).GetNodeStatus(_STATUS, timeout=5).bridge_connected,
            "Shenzhen is on the line",
        )
        self.recognise()
        self.seller = self._open(SHANGHAI, "operator/310000/sh.centre")
        self.buyer = self._open(SHENZHEN, "operator/440300/sz.platform_operator")
        made = self.accounts(SHENZHEN, "operator/440300/sz.platform_operator").CreateReceivingAddress(
            accounts_pb2.CreateReceivingAddressRequest(request_id=request_id(), account_id=self.buyer),
            timeout=WAIT_SECONDS,
        )
        self.address = made.receiving_address
        self.issue()

    def _open(self, server: str, role: str) -> str:
        request = accounts_pb2.OpenAccountRequest(
            request_id=request_id(),
            kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
            display_name="虚构 invented",
            uscc=USCC,
            invented=True,
            holder_party=HOLDERS[server].party,
        )
        return str(self.accounts(server, role).OpenAccount(request, timeout=WAIT_SECONDS).account.account_id)

    def open_taker(self) -> str:
        """Open one more account in Shanghai."""
        return self._open(SHANGHAI, "operator/310000/sh.centre")

    def recognise(self) -> None:
        """Submit an agreement signed by both roots, and wait until Shanghai has it."""
        record = messages_pb2.RecognitionRecord(
            agreement_id="A-MARKET",
            from_region=SHANGHAI,
            to_region=SHENZHEN,
            programmes=["SHCER"],
            unit_classes=["I"],
            purposes=["event_neutrality", "voluntary"],
            period=values_pb2.Period(
                start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")
            ),
            document="test",
        )
        roots = [self.network.root(f"authority/{code}") for code in ("310000", "440300")]
        envelope = build_recognition_record(self.network.plan.network_id, record, roots)
        stub = directory_pb2_grpc.RecognitionServiceStub(self.channel("bridge", SHANGHAI))
        answer = stub.SubmitRecognition(
            directory_pb2.SubmitRecognitionRequest(request_id="market", record=envelope), timeout=WAIT_SECONDS
        )
        for server in (SHANGHAI, SHENZHEN):
            self.wait(
                lambda server=server: (  # type: ignore[misc]
                    self.node(server).GetNodeStatus(_STATUS, timeout=5).applied_log_index >= answer.log_index
                ),
                f"{server} has the agreement",
            )

    def issue(self) -> None:
        """Walk an invented plant from its methodology to its units."""
        methodology = methodology_request()
        project = project_request(self.seller)
        records = [month(f"2025-{number:02d}", on_grid_wh=WH_PER_MONTH) for number in range(1, MONTHS + 1)]
        methodology.request_id, project.request_id = request_id(), request_id()
        self.registers("sh.bureau").PublishMethodology(methodology, timeout=WAIT_SECONDS)
        self.registers("sh.project_applicant").SubmitProject(project, timeout=WAIT_SECONDS)
        centre = self.registers("sh.centre")
        centre.AssessProject(
            registers_pb2.AssessProjectRequest(request_id=request_id(), project_id=PROJECT, passed=True),
            timeout=WAIT_SECONDS,
        )
        noticed = centre.OpenProjectNotice(
            registers_pb2.OpenProjectNoticeRequest(request_id=request_id(), project_id=PROJECT),
            timeout=WAIT_SECONDS,
        ).project
        last = date(noticed.notice_last_day.year, noticed.notice_last_day.month, noticed.notice_last_day.day)
        self.turn_to(last + timedelta(days=1))
        centre.PublishProject(
            registers_pb2.PublishProjectRequest(request_id=request_id(), project_id=PROJECT),
            timeout=WAIT_SECONDS,
        )
        self.issuance("sh.project_applicant").SubmitActivity(
            registers_pb2.SubmitActivityRequest(request_id=request_id(), project_id=PROJECT, records=records),
            timeout=WAIT_SECONDS,
        )
        issued = (
            self.issuance("sh.centre")
            .IssueUnits(
                registers_pb2.IssueUnitsRequest(
                    request_id=request_id(),
                    project_id=PROJECT,
                    period=values_pb2.Period(
                        start_date=date_message("2025-01-01"), end_date=date_message("2026-01-01")
                    ),
                    audit=registers_pb2.IssuanceAudit(
                        passed=True, audit_date=date_message("2026-03-01"), body="虚构"
                    ),
                ),
                timeout=WAIT_SECONDS,
            )
            .issuance
        )
        assert issued.state == registers_pb2.ISSUANCE_STATE_ISSUED, issued
        assert issued.quantity_kg == ISSUED_KG
        self.series_id = issued.series.series_id

    def turn_to(self, day: date) -> None:
        """Turn the clocks of all nodes to nine o'clock of a day."""
        moment = Timestamp()
        moment.FromDatetime(datetime.fromisoformat(f"{day}T09:00:00+08:00"))
        callers = {
            SHANGHAI: "operator/310000/sh.centre",
            SHENZHEN: "operator/440300/sz.bureau",
            "bridge": "operator/310000/sh.centre",
        }
        for server, caller in callers.items():
            clock_pb2_grpc.ClockServiceStub(self.channel(server, caller)).AdvanceTestClock(
                clock_pb2.AdvanceTestClockRequest(to_time=moment), timeout=WAIT_SECONDS
            )

    # -- orders

    def order(self, number: int, *, quantity_kg: int = 1, wait_ms: int = 0) -> Any:
        """Give an order of one kilogram to the buyer; the same number is the same request."""
        return ledger_pb2.CreateTransferRequest(
            request_id=f"order-{number}",
            from_account_id=self.seller,
            destination_region_code="440300",
            receiving_address=self.address,
            units=ledger_pb2.UnitSelection(quantity_kg=quantity_kg),
            wait_ms=wait_ms,
        )

    def send(self, number: int, seconds: float = 80.0) -> str:
        """Send an order until its lock is answered for, whatever restarts; its transfer id."""
        until = time.monotonic() + seconds
        while True:
            try:
                answer = self.transfers().CreateTransfer(self.order(number), timeout=5.0)
                return str(answer.transfer.transfer_id)
            except grpc.RpcError as error:
                refusal = from_rpc_error(error)
                if time.monotonic() > until:
                    raise refusal from error
                time.sleep(0.1)

    def retire(self, quantity_kg: int) -> int:
        """Retire units of the seller; the state of the use when it has been decided."""
        request = ledger_pb2.RetireUnitsRequest(
            request_id=request_id(),
            account_id=self.seller,
            units=ledger_pb2.UnitSelection(quantity_kg=quantity_kg),
            purpose="event_neutrality",
            purpose_text="虚构 invented",
            beneficiary=ledger_pb2.Beneficiary(name="虚构 invented", uscc=USCC),
            wait_ms=15_000,
        )
        stub = ledger_pb2_grpc.RetirementServiceStub(self.channel(SHANGHAI, "operator/310000/sh.holder"))
        return int(stub.RetireUnits(request, timeout=WAIT_SECONDS).retirement.state)

    def states(self, transfer_ids: list[str]) -> dict[str, int]:
        """Give the state of each transfer."""
        return {
            one: self.transfers()
            .GetTransfer(ledger_pb2.GetTransferRequest(transfer_id=one), timeout=WAIT_SECONDS)
            .transfer.state
            for one in transfer_ids
        }

    def wait_ended(self, transfer_ids: list[str], seconds: float = 80.0) -> dict[str, int]:
        """Wait until all have ended; their states."""
        found: dict[str, int] = {}

        def ended() -> bool:
            found.update(self.states([one for one in transfer_ids if found.get(one) not in ENDED_OUT]))
            return all(found[one] in ENDED_OUT for one in transfer_ids)

        self.wait(ended, "all transfers have ended", seconds)
        return found

    def balance(self, server: str, account_id: str) -> Any:
        """Give a balance."""
        role = "operator/310000/sh.centre" if server == SHANGHAI else "operator/440300/sz.platform_operator"
        return self.accounts(server, role).GetBalance(
            accounts_pb2.GetBalanceRequest(account_id=account_id), timeout=WAIT_SECONDS
        )

    # -- what must hold

    def conserved(self, seconds: float = 60.0) -> Conservation:
        """Wait until nothing is in flight; give the check of conservation, which holds."""
        last: list[Conservation] = []

        def still() -> bool:
            try:
                with Federation(
                    dict(self._addresses()),
                    self.network.tls("reader/national"),
                    policy=CallPolicy(attempts_max=3),
                ) as federation:
                    last[:] = [check_federation(federation, ["310000", "440300"])]
            except DomainError as refusal:
                if refusal.symbol in {"CONCURRENT_CHANGE", "PEER_UNREACHABLE"}:
                    return False
                raise
            return not any(one.in_flight_kg for one in last[0].series.values())

        self.wait(still, "nothing is in flight", seconds)
        assert last[0].holds, last[0].findings
        return last[0]

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until something holds; a call that fails meanwhile counts as no."""
        until = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except grpc.RpcError:
                pass
            assert time.monotonic() < until, f"it did not happen in time: {what}"
            time.sleep(0.05)


_STATUS: Final = journal_pb2.GetNodeStatusRequest()

__all__ = ["ISSUED_KG", "METHODOLOGY", "PROJECT", "Market"]
