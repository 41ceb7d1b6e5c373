"""Stories 2, 13 and 16 of RULES section 17: real nodes on both databases, every step over gRPC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tanqiao.api.region.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    certificates_pb2,
    certificates_pb2_grpc,
    disclosure_pb2,
    disclosure_pb2_grpc,
    journal_pb2,
    ledger_pb2,
    ledger_pb2_grpc,
    parameters_pb2,
    parameters_pb2_grpc,
    registers_pb2,
    registers_pb2_grpc,
)
from tanqiao.cli.local.members import network_plan
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.rpc.validation import wire_date
from tanqiao.signing.provision import provision_network
from tanqiao.testing.databases import *  # noqa: F403 - pytest finds fixtures by name
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tests.contract.bridge.harness import run_bridge
from tests.contract.bridge.lists import run_list
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import SHANGHAI, SHENZHEN, build_node
from tests.contract.region.served import full_network
from tests.contract.region.trio import Trio, _migrated_bridge, trio
from tests.contract.region_registers.approvals import approve_parameter
from tests.contract.region_registers.office import PROJECT, project_request, request_id
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, sz_methodology
from tests.contract.region_registers.wire import Wire

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
VCS_COLUMNS: Final = (
    "project_id,name,status,methodology,crediting_start,crediting_end,province_code_from_name"
)
HUNDRED_TONNES_KG: Final = 100_000
WAIT_SECONDS: Final = 50.0


def refusal_of(act: Any, *given: Any) -> DomainError:
    """Demand a refusal with its article in both languages."""
    with pytest.raises(Exception) as caught:
        act(*given)
    error = caught.value
    refusal = error if isinstance(error, DomainError) else from_rpc_error(error)  # type: ignore[arg-type]
    for language in ("zh", "en"):
        assert refusal.sentence_with_article(language) != refusal.sentence(language), refusal
    return refusal


# -- story 2


@pytest.fixture
def listed(tmp_path: Path, database_maker: DatabaseMaker, database_kind: str) -> Iterator[Wire]:
    """Shenzhen on the line of a bridge that asks the list of VCS, on which a plant stands for other years."""
    plan = replace(network_plan(), quorum=0, gateways=("ccer", "gec", "vcs"))
    provisioned = provision_network(tmp_path / "network", plan, now=datetime.now(UTC))
    network = NetworkOfTest(provisioned, provisioned.federation.directory())
    with ExitStack() as open_things:
        vcs, vcs_database = run_list(network, "vcs", database_maker, database_kind)
        open_things.callback(database_maker.drop, vcs_database)
        open_things.callback(vcs.gateway.stop)
        row = "815,虚构屋顶光伏 invented,Registered,AMS-I.D.,2018-01-01,2022-12-31,440000"
        vcs.load([row], columns=VCS_COLUMNS)
        made = database_maker.make(database_kind, _migrated_bridge, "bridge")
        open_things.callback(database_maker.drop, made)
        bridge = run_bridge(network, made.url, made.owner_url, gateways={"vcs": vcs.address}).bridge
        open_things.callback(bridge.stop)
        own = database_maker.make(database_kind, _migrated, "region")
        open_things.callback(database_maker.drop, own)
        node = build_node(network, SHENZHEN, (own.url, own.owner_url), bridge.server.address)
        node.region.start()
        open_things.callback(node.region.stop)
        wire = Wire(network, node)
        open_things.callback(wire.close)
        yield wire


def test_story_2_what_was_applied_for_under_vcs_for_other_years_gets_no_shenzhen_units(listed: Wire) -> None:
    wire = listed
    owner = wire.node.open_account(kind=4).account_id
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    file = project_request(owner, methodology_id="SZ-PV-01", place="440305", documents=SZ_DOCUMENTS)
    file.project.asset.references.add(scheme="vcs", value="815")
    assert file.project.crediting_period.start_date.year > 2023, "other years than the list's"
    refusal = refusal_of(wire.role("sz.sme").registers.SubmitProject, file)
    assert refusal.symbol == "DUPLICATE_PROGRAMME_APPLIED"
    for language in ("zh", "en"):
        assert "VCS" in refusal.sentence(language)
        assert "815" in refusal.sentence(language)
    assert "第二十二条" in refusal.sentence_with_article("zh")
    (filed,) = wire.role("sz.bureau").registers.ListProjects(registers_pb2.ListProjectsRequest()).projects
    assert filed.state == registers_pb2.PROJECT_STATE_REJECTED
    issuances = wire.role("sz.bureau").issuance.ListIssuances(
        registers_pb2.ListIssuancesRequest(project_id=PROJECT)
    )
    assert not issuances.issuances


# -- stories 13 and 16


@pytest.fixture
def three(tmp_path: Path, database_maker: DatabaseMaker, database_kind: str) -> Iterator[Trio]:
    """Shanghai with units of class I, Shenzhen, and an agreement for voluntary use."""
    with trio(full_network(tmp_path / "network"), database_maker, database_kind) as nodes:
        yield nodes


class Buyer:
    """The buyer in Shenzhen and who decides there."""

    def __init__(self, nodes: Trio) -> None:
        self.market = nodes.market
        self.account = nodes.market.buyer
        self.network = nodes.network

    def _channel(self, role: str) -> Any:
        return self.market.channel(SHENZHEN, f"operator/440300/{role}")

    def retire(self) -> Any:
        """Use everything voluntarily."""
        request = ledger_pb2.RetireUnitsRequest(
            request_id=request_id(),
            account_id=self.account,
            units=ledger_pb2.UnitSelection(quantity_kg=HUNDRED_TONNES_KG),
            purpose="voluntary",
            purpose_text="虚构 invented",
            wait_ms=20_000,
        )
        stub = ledger_pb2_grpc.RetirementServiceStub(self._channel("sz.holder"))
        return stub.RetireUnits(request, timeout=WAIT_SECONDS).retirement

    def certificate(self, retirement_id: str) -> Any:
        """Ask for the electronic certificate of carbon neutrality."""
        request = certificates_pb2.RequestCertificateRequest(
            request_id=request_id(), retirement_id=retirement_id
        )
        stub = certificates_pb2_grpc.CertificateServiceStub(self._channel("sz.holder"))
        return stub.RequestCertificate(request, timeout=WAIT_SECONDS)

    def name_the_recogniser(self) -> None:
        """Publish who recognises, and by which standard; the text names nobody."""
        stub = parameters_pb2_grpc.ParameterServiceStub(self._channel("sz.bureau"))
        for key, value in (("recogniser", '"sz.bureau"'), ("standard", '"虚构认定标准 invented"')):
            request = parameters_pb2.SetParameterRequest(
                request_id=request_id(),
                key=f"sz.certificate.{key}",
                value_json=value,
                start_date=wire_date(date(2026, 3, 10)),
                document_reference="虚构 1",
            )
            approve_parameter(self.network, request, "operator/440300/sz.bureau")
            stub.SetParameter(request, timeout=WAIT_SECONDS)

    def own_units(self) -> Any:
        """Ask the bureau to make Shenzhen's units of what came from Shanghai."""
        request = registers_pb2.IssueUnitsRequest(request_id=request_id(), project_id=PROJECT)
        request.period.CopyFrom(project_request(self.account).project.crediting_period)
        stub = registers_pb2_grpc.IssuanceServiceStub(self._channel("sz.bureau"))
        return stub.IssueUnits(request, timeout=WAIT_SECONDS)


def test_story_13_foreign_units_keep_their_name_and_back_no_certificate(three: Trio) -> None:
    market, buyer = three.market, Buyer(three)
    order = market.order(1, quantity_kg=HUNDRED_TONNES_KG)
    sent = market.transfers().CreateTransfer(order, timeout=WAIT_SECONDS)
    market.wait_ended([sent.transfer.transfer_id])
    office = accounts_pb2_grpc.AccountServiceStub(
        market.channel(SHENZHEN, "operator/440300/sz.platform_operator")
    )
    held = office.ListHoldings(
        accounts_pb2.ListHoldingsRequest(account_id=buyer.account), timeout=WAIT_SECONDS
    ).holdings
    assert {one.block.series_id for one in held} == {market.series_id}
    assert market.series_id.startswith("310000:SHCER:")
    refusal = refusal_of(buyer.own_units)
    assert refusal.symbol == "FOREIGN_UNIT_STAYS_FOREIGN"
    assert "310000" in refusal.sentence("zh")
    assert "第九条" in refusal.sentence_with_article("zh")
    used = buyer.retire()
    assert used.state == ledger_pb2.USE_STATE_USED
    told = office.GetBalance(accounts_pb2.GetBalanceRequest(account_id=buyer.account), timeout=WAIT_SECONDS)
    assert told.held_kg == 0
    notices = journal_pb2.ListJournalRequest(
        filter=journal_pb2.JournalFilter(kinds=[journal_pb2.JOURNAL_EVENT_KIND_HOME_NOTICE])
    )
    market.wait(
        lambda: bool(market.journal().ListJournal(notices, timeout=WAIT_SECONDS).entries),
        "the use has been reported home",
    )
    buyer.name_the_recogniser()
    refusal = refusal_of(buyer.certificate, used.retirement_id)
    assert refusal.symbol == "FOREIGN_UNIT_STAYS_FOREIGN"
    assert "第二十六条" in refusal.sentence_with_article("zh")
    three.require_clean()


def test_story_16_a_reader_without_a_role_sees_every_list_and_nobody(three: Trio) -> None:
    market = three.market
    sent = market.transfers().CreateTransfer(market.order(1, quantity_kg=1000), timeout=WAIT_SECONDS)
    market.wait_ended([sent.transfer.transfer_id])
    hidden = [market.seller, market.buyer, market.address]
    for party, wanted in (
        (SHANGHAI, {"methodologies", "projects", "issuances", "uses", "reduction-scenes"}),
        (SHENZHEN, {"methodologies", "low-carbon-scenes", "expert-pool"}),
    ):
        stub = disclosure_pb2_grpc.DisclosureServiceStub(market.channel(party, "reader/national"))
        lists = stub.ListDisclosures(
            disclosure_pb2.ListDisclosuresRequest(), timeout=WAIT_SECONDS
        ).disclosures
        assert wanted <= {one.slug for one in lists}, sorted(one.slug for one in lists)
        pages = [
            stub.ReadDisclosure(disclosure_pb2.ReadDisclosureRequest(slug=one.slug), timeout=WAIT_SECONDS)
            for one in lists
        ]
        assert all(page.as_of_index > 0 for page in pages)
        shown = repr(pages)
        for text in hidden:
            assert text not in shown
        assert not re.search(r"holder/\d{6}/|user-\d+", shown)
