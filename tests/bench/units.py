"""Units of the bench, brought into existence through the public API: accounts, a project, its generation.

Everything is invented. The steps are those of the rule pack: methodology, claim check, assessment, public
notice (the test clock is moved), publication, metered activity, issuance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from tanqiao.api.common.v1 import clock_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, registers_pb2
from tanqiao.cli.demo.cast import METHODOLOGY_SHANGHAI, PERIOD_END, PERIOD_START, Cast, invented_uscc
from tanqiao.cli.demo.registers import BODY, _shanghai_methodology, project_of
from tanqiao.cli.local.members import BRIDGE_MEMBER, GATEWAYS, SHANGHAI, SHENZHEN
from tanqiao.cli.parse import make_period, parse_period, to_date
from tanqiao.client import Federation as Clients
from tanqiao.client import RegionClient, ServerClient
from tests.bench.lists import import_lists
from tests.bench.played import recognise
from tests.bench.processes import TWO_REGIONS, Federation

APPLICANT: Final = "operator/310000/sh.project_applicant"
RUN: Final = 900_001
MONTHS: Final = (("2026-01", 600_000_000), ("2026-02", 500_000_000))
"""Metered month, Wh fed into the grid: within what 950 kW can give."""
LISTED_PLANTS: Final = 100
WAIT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.02
START: Final = date(2026, 3, 2)
OPENING: Final = timedelta(hours=1)
"""09:00 in Shanghai."""


@dataclass(slots=True)
class Ready:
    """Two regions that serve, and what a transfer needs.

    Args:
        shanghai: as the seller's office.
        shenzhen: as the buyer's office.
        seller: account that holds the units.
        other: another account in Shanghai.
        buyer: account in Shenzhen.
        address: receiving address of the buyer.
        series_id: series of the units.
        quantity_kg: units issued.
    """

    shanghai: RegionClient
    shenzhen: RegionClient
    seller: str
    other: str
    buyer: str
    address: str
    series_id: str
    quantity_kg: int

    def held_kg(self, client: RegionClient, account_id: str) -> int:
        """Ask what an account holds."""
        request = accounts_pb2.GetBalanceRequest(account_id=account_id)
        return int(client.accounts.GetBalance(request).held_kg)


def prepare(federation: Federation) -> Ready:
    """Start bridge, gateways and two regions, and issue units in Shanghai."""
    federation.start(TWO_REGIONS)
    import_lists(federation, LISTED_PLANTS)
    log_index = recognise(federation)
    operators = _Operators(federation)
    cast = Cast(RUN)
    seller = _open_account(operators.of("sh.centre"), "seller", 1, APPLICANT)
    other = _open_account(operators.of("sh.centre"), "other", 2, APPLICANT)
    buyer = _open_account(operators.of("sz.platform_operator"), "buyer", 3)
    address = operators.of("sz.platform_operator").accounts.CreateReceivingAddress(
        accounts_pb2.CreateReceivingAddressRequest(request_id="bench-address", account_id=buyer)
    )
    block = _issue(operators, cast, seller)
    for role in ("sh.centre", "sz.platform_operator"):
        client = operators.of(role)
        _wait(
            "the agreement at the regions",
            lambda client=client: (
                client.node.GetNodeStatus(  # type: ignore[misc]
                    journal_pb2.GetNodeStatusRequest()
                ).applied_log_index
                >= log_index
            ),
        )
    return Ready(
        operators.of("sh.project_applicant"),
        operators.of("sz.platform_operator"),
        seller,
        other,
        buyer,
        address.receiving_address,
        block.series_id,
        block.end_serial - block.start_serial,
    )


class _Operators:
    """Clients of the offices, one for each role."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._clients: dict[str, Clients] = {}

    def of(self, role: str) -> RegionClient:
        region = SHANGHAI if role.startswith("sh.") else SHENZHEN
        return self._of(region.code, role).region(region.code)

    def server(self, party: str) -> ServerClient:
        return self._of(SHANGHAI.code, "sh.centre").server(party)

    def _of(self, code: str, role: str) -> Clients:
        if role not in self._clients:
            home = self._federation.home
            self._clients[role] = Clients(home.addresses(), home.caller_tls(f"operator/{code}/{role}"))
        return self._clients[role]


def _open_account(client: RegionClient, name: str, number: int, holder: str = "") -> str:
    request = accounts_pb2.OpenAccountRequest(
        request_id=f"bench-{name}",
        kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        display_name=f"虚构 invented {name}",
        uscc=invented_uscc(RUN, number),
        invented=True,
        holder_party=holder,
    )
    return str(client.accounts.OpenAccount(request).account.account_id)


def _issue(operators: _Operators, cast: Cast, seller: str) -> values_pb2.UnitBlock:
    today = _register(operators, cast, seller)
    applicant, centre = operators.of("sh.project_applicant"), operators.of("sh.centre")
    applicant.issuance.SubmitActivity(
        registers_pb2.SubmitActivityRequest(
            request_id="bench-activity",
            project_id=cast.project_id,
            records=[
                registers_pb2.ActivityRecord(period=parse_period(month), on_grid_wh=on_grid_wh, meter="M1")
                for month, on_grid_wh in MONTHS
            ],
        )
    )
    issuance = centre.issuance.IssueUnits(
        registers_pb2.IssueUnitsRequest(
            request_id="bench-issue",
            project_id=cast.project_id,
            period=make_period(PERIOD_START, PERIOD_END),
            audit=registers_pb2.IssuanceAudit(
                passed=True, audit_date=to_date(today), body=BODY, reference="虚构 invented"
            ),
        )
    ).issuance
    if issuance.state != registers_pb2.ISSUANCE_STATE_ISSUED:
        raise RuntimeError(f"the units of the bench were not issued: {issuance}")
    return issuance.block


def _register(operators: _Operators, cast: Cast, seller: str) -> date:
    """Take the project to its publication; the day of it."""
    centre = operators.of("sh.centre")
    operators.of("sh.bureau").registers.PublishMethodology(_shanghai_methodology(START))
    project = project_of(
        cast.rooftop, project_id=cast.project_id, account_id=seller, methodology_id=METHODOLOGY_SHANGHAI
    )
    operators.of("sh.project_applicant").registers.SubmitProject(
        registers_pb2.SubmitProjectRequest(request_id="bench-submit", project=project)
    )
    centre.registers.AssessProject(
        registers_pb2.AssessProjectRequest(
            request_id="bench-assess", project_id=cast.project_id, passed=True, opinion="虚构 invented"
        )
    )
    notice = centre.registers.OpenProjectNotice(
        registers_pb2.OpenProjectNoticeRequest(request_id="bench-notice", project_id=cast.project_id)
    ).project
    last = notice.notice_last_day
    today = date(last.year, last.month, last.day) + timedelta(days=1)
    _advance(operators, today)
    centre.registers.PublishProject(
        registers_pb2.PublishProjectRequest(request_id="bench-publish", project_id=cast.project_id)
    )
    return today


def _advance(operators: _Operators, day: date) -> None:
    """Move the test clocks of all nodes to the morning of a day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + OPENING
    request = clock_pb2.AdvanceTestClockRequest()
    request.to_time.FromDatetime(moment)
    # The bridge first, so that no region is ever ahead of it; a region's clock is moved by its own operators.
    for member in (BRIDGE_MEMBER, *GATEWAYS, SHANGHAI):
        operators.server(member.party).clock.AdvanceTestClock(request)
    operators.of("sz.bureau").clock.AdvanceTestClock(request)


def _wait(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(POLL_SECONDS)
