"""What the requests of the bad-input suite are about.

Accounts, units, a locked transfer, a project with activity.

Requests that would be accepted stand in `GOOD`, one for every method of the node: a case changes one thing
of one.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.bridge.v1 import messages_pb2 as bridge_messages_pb2
from tanqiao.api.common.v1 import clock_pb2, values_pb2
from tanqiao.api.region.v1 import (
    accounts_pb2,
    journal_pb2,
    ledger_pb2,
    orders_pb2,
    registers_pb2,
    reserve_pb2,
)
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.signing.approvals import prepare
from tanqiao.signing.envelope import add_signature
from tanqiao_region.application.commands import Selection
from tests.contract.region import dossier_requests, mandate_requests, scene_requests, unit_requests
from tests.contract.region.harness import CENTRE, SERIES, USCC, Node, block, request
from tests.contract.region.served import CLOCK, REGION, Served
from tests.contract.region_registers.approvals import approve_cancellation
from tests.contract.region_registers.office import (
    METHODOLOGY,
    PROJECT,
    Office,
    methodology_request,
    month,
    project_request,
)

HELD_KG: Final = 1_000_000
ELSEWHERE: Final = make_address(RegionCode("440300"), bytes(range(10)))
ID_UNKNOWN: Final = "0123456789abcdef0123456789abcdef"
_numbers = itertools.count(1)


def fresh_id() -> str:
    """A request id that was never used."""
    return f"bad-{next(_numbers)}"


@dataclass
class World:
    """Shanghai and Yunnan, serving; what there is in Shanghai's books."""

    shanghai: Served
    yunnan: Served
    giver: str = ""
    taker: str = ""
    closed: str = ""
    person_operator: str = ""
    transfer_id: str = ""
    retirement_id: str = ""
    yunnan_owner: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def at(self, method: str) -> Served:
        """Give the node that a method is tried at."""
        return self.yunnan if "ReserveService" in method else self.shanghai

    def digest(self) -> str:
        """Digest everything in both nodes."""
        return self.shanghai.digest() + self.yunnan.digest()


def furnish(world: World) -> None:
    """Open accounts, issue units, lock some, retire some, walk a project to the public list."""
    node: Node = world.shanghai.node
    world.giver = node.open_account("虚构甲 invented A").account_id
    world.taker = node.open_account("虚构乙 invented B").account_id
    world.closed = node.open_account("虚构丙 invented C").account_id
    world.person_operator = node.open_account("虚构平台 invented platform", kind=6).account_id
    node.orders.close_account(request(CENTRE), CENTRE, world.closed)
    node.give(world.giver, block(0, HELD_KG))
    locked = node.transfer(world.giver, ELSEWHERE, Selection(quantity_kg=1000))
    world.transfer_id = locked.transfer_id.hex()
    retired = node.retire(world.giver, Selection(quantity_kg=1000), purpose_text="虚构马拉松")
    world.retirement_id = retired.transfer_id.hex()
    office = Office(node, world.giver)
    office.published()
    office.meter(month("2026-01", on_grid_wh=80_000_000))
    dossier_requests.furnish(office)
    scene_requests.furnish(office)
    world.yunnan_owner = world.yunnan.node.open_account("虚构滇 invented").account_id


def units(quantity_kg: int = 0, *blocks: tuple[int, int], series_id: str = "") -> Any:
    """Select units."""
    return ledger_pb2.UnitSelection(
        series_id=series_id,
        quantity_kg=quantity_kg,
        blocks=[
            values_pb2.UnitBlock(series_id=SERIES.series_id, start_serial=start, end_serial=end)
            for start, end in blocks
        ],
    )


def _open(_world: World) -> Any:
    return accounts_pb2.OpenAccountRequest(
        request_id=fresh_id(),
        kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
        display_name="虚构新户 invented",
        uscc=USCC,
        invented=True,
    )


def _move(world: World) -> Any:
    return ledger_pb2.TransferUnitsRequest(
        request_id=fresh_id(),
        from_account_id=world.giver,
        to_account_id=world.taker,
        units=units(0, (500_000, 500_001)),
        settlement_reference="T-1",
    )


def _create(world: World) -> Any:
    return ledger_pb2.CreateTransferRequest(
        request_id=fresh_id(),
        from_account_id=world.giver,
        destination_region_code="440300",
        receiving_address=ELSEWHERE,
        units=units(0, (600_000, 600_001)),
    )


def _retire(world: World) -> Any:
    return ledger_pb2.RetireUnitsRequest(
        request_id=fresh_id(),
        account_id=world.giver,
        units=units(0, (700_000, 700_001)),
        purpose="event_neutrality",
        purpose_text="虚构马拉松 invented marathon",
    )


def _cancel(world: World) -> Any:
    request = ledger_pb2.CancelUnitsRequest(
        request_id=fresh_id(),
        account_id=world.giver,
        units=units(0, (800_000, 800_001)),
        reason="虚构更正 invented correction",
        document_reference="X-1",
    )
    hands = (("operator/310000/sh.centre", 1), ("operator/310000/sh.bureau", 1))
    return approve_cancellation(world.shanghai.network, request, *hands)


def period(start: tuple[int, int, int], end: tuple[int, int, int]) -> values_pb2.Period:
    """A half-open period."""
    return values_pb2.Period(
        start_date=values_pb2.Date(year=start[0], month=start[1], day=start[2]),
        end_date=values_pb2.Date(year=end[0], month=end[1], day=end[2]),
    )


JANUARY: Final = period((2026, 1, 1), (2026, 2, 1))


def _issue(_world: World) -> Any:
    return registers_pb2.IssueUnitsRequest(
        request_id=fresh_id(),
        project_id=PROJECT,
        period=JANUARY,
        audit=registers_pb2.IssuanceAudit(
            passed=True, audit_date=values_pb2.Date(year=2026, month=3, day=1), body="虚构"
        ),
    )


def import_parts(
    data: bytes, *, project_id: str = PROJECT, request_id: str | None = None, kind: int = 1, **start: Any
) -> list[Any]:
    """A file as the messages of a stream."""
    first = registers_pb2.ImportActivityRequest.Start(
        request_id=fresh_id() if request_id is None else request_id,
        project_id=project_id,
        format=kind,  # type: ignore[arg-type]
        **start,
    )
    chunks = [data[at : at + 200_000] for at in range(0, len(data), 200_000)]
    return [
        registers_pb2.ImportActivityRequest(start=first),
        *(registers_pb2.ImportActivityRequest(chunk=chunk) for chunk in chunks),
    ]


def _resource(world: World) -> Any:
    return reserve_pb2.EnterResourceRequest(
        request_id=fresh_id(),
        resource=reserve_pb2.CarbonResource(
            entry_id="R-BAD-1",
            title="虚构小水电 invented hydro",
            resource_kind="ccer",
            owner_account_id=world.yunnan_owner,
            asset=claims_pb2.Asset(
                references=[claims_pb2.AssetReference(scheme="gec_filing_code", value="HY0100530100001")],
                kind="hydro",
                name="虚构小水电",
                region_code="532500",
            ),
            potential_kg_per_year=12_000_000,
            project_type="renewable_power",
            potential_method="满发小时数估算",
            potential_date=values_pb2.Date(year=2026, month=1, day=1),
            invented=True,
        ),
    )


def _methodology(_world: World) -> Any:
    made = methodology_request(methodology_id="SHCER01990012026I")
    made.request_id = fresh_id()
    return made


def _project(world: World) -> Any:
    made = project_request(world.giver, project_id="PV-INVENTED-2", code="PV0100310115002")
    made.request_id = fresh_id()
    return made


def _watch(_world: World) -> Any:
    return journal_pb2.WatchJournalRequest(from_index=1)


def local_freeze(world: World, signers: tuple[int, ...] = (0, 1), **fields: Any) -> Any:
    """Freeze an account that nothing else is about, as these approvers of Shanghai sign it."""
    values: dict[str, Any] = {
        "order_id": secrets.token_bytes(16),
        "scope": bridge_messages_pb2.FREEZE_SCOPE_ACCOUNT,
        "account_id": world.closed,
        "reason": "虚构",
        "document": "（2026）沪01执1号",
    }
    network = world.shanghai.network.network
    envelope = prepare(
        bridge_messages_pb2.Freeze(**{**values, **fields}),
        network.plan.network_id,
        "authority/310000",
        message_id=secrets.token_bytes(16),
        audience="region/310000",
    )
    for number in signers:
        envelope = add_signature(envelope, network.approvers("authority/310000")[number].signer)
    return orders_pb2.SubmitLocalFreezeRequest(request_id=fresh_id(), order=envelope)


Make = Callable[[World], Any]

GOOD: Final[Mapping[str, tuple[str, Make]]] = MappingProxyType(
    {
        f"{CLOCK}ClockService/GetClock": ("sh.centre", lambda _: clock_pb2.GetClockRequest()),
        f"{CLOCK}ClockService/AdvanceTestClock": (
            "sh.centre",
            lambda _: clock_pb2.AdvanceTestClockRequest(to_time=Timestamp(seconds=1)),
        ),
        f"{REGION}AccountService/OpenAccount": ("sh.centre", _open),
        f"{REGION}AccountService/BatchOpenAccounts": (
            "sh.centre",
            lambda w: accounts_pb2.BatchOpenAccountsRequest(requests=[_open(w)]),
        ),
        f"{REGION}AccountService/GetAccount": (
            "sh.centre",
            lambda w: accounts_pb2.GetAccountRequest(account_id=w.giver),
        ),
        f"{REGION}AccountService/ListAccounts": (
            "sh.centre",
            lambda _: accounts_pb2.ListAccountsRequest(
                kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE, page_size=1
            ),
        ),
        f"{REGION}AccountService/SetAccountHolder": (
            "sh.centre",
            lambda w: accounts_pb2.SetAccountHolderRequest(
                request_id=fresh_id(), account_id=w.taker, holder_party="holder/310000/sh.holder/other"
            ),
        ),
        f"{REGION}AccountService/CloseAccount": (
            "sh.centre",
            lambda w: accounts_pb2.CloseAccountRequest(request_id=fresh_id(), account_id=w.giver),
        ),
        f"{REGION}AccountService/DeletePersonalData": (
            "sh.centre",
            lambda w: accounts_pb2.DeletePersonalDataRequest(request_id=fresh_id(), account_id=w.closed),
        ),
        f"{REGION}AccountService/CreateReceivingAddress": (
            "sh.holder",
            lambda w: accounts_pb2.CreateReceivingAddressRequest(request_id=fresh_id(), account_id=w.giver),
        ),
        f"{REGION}AccountService/GetBalance": (
            "sh.centre",
            lambda w: accounts_pb2.GetBalanceRequest(account_id=w.giver),
        ),
        f"{REGION}AccountService/ListHoldings": (
            "sh.centre",
            lambda w: accounts_pb2.ListHoldingsRequest(account_id=w.giver, page_size=1),
        ),
        f"{REGION}LedgerService/TransferUnits": ("sh.exchange", _move),
        f"{REGION}LedgerService/BatchTransferUnits": (
            "sh.exchange",
            lambda w: ledger_pb2.BatchTransferUnitsRequest(requests=[_move(w)]),
        ),
        f"{REGION}TransferService/CreateTransfer": ("sh.holder", _create),
        f"{REGION}TransferService/BatchCreateTransfers": (
            "sh.holder",
            lambda w: ledger_pb2.BatchCreateTransfersRequest(requests=[_create(w)]),
        ),
        f"{REGION}TransferService/WithdrawTransfer": (
            "sh.holder",
            lambda w: ledger_pb2.WithdrawTransferRequest(request_id=fresh_id(), transfer_id=w.transfer_id),
        ),
        f"{REGION}TransferService/GetTransfer": (
            "sh.holder",
            lambda w: ledger_pb2.GetTransferRequest(transfer_id=w.transfer_id),
        ),
        f"{REGION}TransferService/ListTransfers": (
            "sh.holder",
            lambda _: ledger_pb2.ListTransfersRequest(page_size=1),
        ),
        f"{REGION}TransferService/WatchTransfer": (
            "sh.holder",
            lambda w: ledger_pb2.WatchTransferRequest(transfer_id=w.transfer_id),
        ),
        f"{REGION}RetirementService/RetireUnits": ("sh.holder", _retire),
        f"{REGION}RetirementService/CancelUnits": ("sh.centre", _cancel),
        f"{REGION}RetirementService/GetRetirement": (
            "reader/national",
            lambda w: ledger_pb2.GetRetirementRequest(retirement_id=w.retirement_id),
        ),
        f"{REGION}RetirementService/ListRetirements": (
            "reader/national",
            lambda _: ledger_pb2.ListRetirementsRequest(page_size=1),
        ),
        f"{REGION}JournalService/WatchJournal": ("reader/national", _watch),
        f"{REGION}JournalService/ListJournal": (
            "reader/national",
            lambda _: journal_pb2.ListJournalRequest(from_index=1, page_size=2),
        ),
        f"{REGION}RegisterService/PublishMethodology": ("sh.bureau", _methodology),
        f"{REGION}RegisterService/ListMethodologies": (
            "reader/national",
            lambda _: registers_pb2.ListMethodologiesRequest(page_size=1),
        ),
        f"{REGION}RegisterService/SubmitProject": ("sh.project_applicant", _project),
        f"{REGION}RegisterService/AssessProject": (
            "sh.centre",
            lambda _: registers_pb2.AssessProjectRequest(
                request_id=fresh_id(), project_id=PROJECT, passed=True
            ),
        ),
        f"{REGION}RegisterService/OpenProjectNotice": (
            "sh.centre",
            lambda _: registers_pb2.OpenProjectNoticeRequest(request_id=fresh_id(), project_id=PROJECT),
        ),
        f"{REGION}RegisterService/PublishProject": (
            "sh.centre",
            lambda _: registers_pb2.PublishProjectRequest(request_id=fresh_id(), project_id=PROJECT),
        ),
        f"{REGION}RegisterService/AppointProjectVerifier": (
            "sh.centre",
            lambda _: registers_pb2.AppointProjectVerifierRequest(
                request_id=fresh_id(), project_id=PROJECT, body="虚构", party="operator/310000/sh.holder"
            ),
        ),
        f"{REGION}RegisterService/FileProjectReports": (
            "sh.technical_body",
            lambda _: registers_pb2.FileProjectReportsRequest(request_id=fresh_id(), project_id=PROJECT),
        ),
        f"{REGION}RegisterService/ReviewProject": (
            "sh.centre",
            lambda _: registers_pb2.ReviewProjectRequest(
                request_id=fresh_id(), project_id=PROJECT, passed=True
            ),
        ),
        f"{REGION}RegisterService/ObjectToProject": (
            "reader/national",
            lambda _: registers_pb2.ObjectToProjectRequest(
                request_id=fresh_id(), project_id=PROJECT, text="虚构"
            ),
        ),
        f"{REGION}RegisterService/AnswerProjectObjection": (
            "sh.centre",
            lambda _: registers_pb2.AnswerProjectObjectionRequest(
                request_id=fresh_id(), project_id=PROJECT, number=1, answer="虚构"
            ),
        ),
        f"{REGION}RegisterService/WithdrawProject": (
            "sh.project_applicant",
            lambda _: registers_pb2.WithdrawProjectRequest(
                request_id=fresh_id(), project_id=PROJECT, reason="虚构"
            ),
        ),
        f"{REGION}RegisterService/GetProject": (
            "reader/national",
            lambda _: registers_pb2.GetProjectRequest(project_id=PROJECT),
        ),
        f"{REGION}RegisterService/ListProjects": (
            "reader/national",
            lambda _: registers_pb2.ListProjectsRequest(page_size=1),
        ),
        **dossier_requests.GOOD,
        **unit_requests.GOOD,
        **scene_requests.GOOD,
        **mandate_requests.GOOD,
        f"{REGION}IssuanceService/SubmitActivity": (
            "sh.project_applicant",
            lambda _: registers_pb2.SubmitActivityRequest(
                request_id=fresh_id(), project_id=PROJECT, records=[month("2026-02", on_grid_wh=1000)]
            ),
        ),
        f"{REGION}IssuanceService/ImportActivity": (
            "sh.project_applicant",
            lambda _: import_parts(b"period,on_grid_wh,meter\n2025-03,1000,M-9\n"),
        ),
        f"{REGION}IssuanceService/QuantifyProject": (
            "sh.centre",
            lambda _: registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=JANUARY),
        ),
        f"{REGION}IssuanceService/IssueUnits": ("sh.centre", _issue),
        f"{REGION}IssuanceService/GetIssuance": (
            "reader/national",
            lambda _: registers_pb2.GetIssuanceRequest(issuance_id=ID_UNKNOWN),
        ),
        f"{REGION}IssuanceService/ListIssuances": (
            "reader/national",
            lambda _: registers_pb2.ListIssuancesRequest(page_size=1),
        ),
        f"{REGION}ReserveService/EnterResource": ("yn.epd", _resource),
        f"{REGION}ReserveService/ListResources": (
            "reader/national",
            lambda _: reserve_pb2.ListResourcesRequest(page_size=1),
        ),
        f"{REGION}ReserveService/TakeResourceStep": (
            "yn.epd",
            lambda _: reserve_pb2.TakeResourceStepRequest(
                request_id=fresh_id(), entry_id="R-NONE", event="develop"
            ),
        ),
        f"{REGION}ReserveService/ListResourceSteps": (
            "reader/national",
            lambda _: reserve_pb2.ListResourceStepsRequest(entry_id="R-NONE", page_size=1),
        ),
        f"{REGION}ReserveService/IssueFilingProof": (
            "yn.epd",
            lambda _: reserve_pb2.IssueFilingProofRequest(request_id=fresh_id(), entry_id="R-NONE"),
        ),
        f"{REGION}LocalOrderService/SubmitLocalFreeze": ("sh.centre", local_freeze),
        f"{REGION}LocalOrderService/ListLocalFreezes": (
            "sh.centre",
            lambda _: orders_pb2.ListLocalFreezesRequest(page_size=1),
        ),
        f"{REGION}NodeService/GetNodeStatus": (
            "reader/national",
            lambda _: journal_pb2.GetNodeStatusRequest(),
        ),
        f"{REGION}NodeService/ListSeriesTotals": (
            "reader/national",
            lambda _: journal_pb2.ListSeriesTotalsRequest(),
        ),
    }
)
"""Full name of each method → who may call it.

A request that would be accepted (an unknown id, for GetIssuance).
"""

__all__ = ["GOOD", "METHODOLOGY", "PROJECT", "World", "furnish", "import_parts", "units"]
