from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2, registers_pb2_grpc, reserve_pb2
from tanqiao.client.servers import RegionClient
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.provision import NetworkPlan, RegionPlan, provision_network
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.harness import SHANGHAI
from tests.contract.region_registers.office import (
    PROJECT,
    Office,
    methodology_request,
    project_request,
    request_id,
)

ROLES = ("sh.bureau", "sh.centre", "sh.project_applicant")


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network whose Shanghai has a certificate for each role of the story, and a national reader."""
    plan = NetworkPlan(
        "test-local",
        (
            RegionPlan("310000", "shanghai", ROLES),
            RegionPlan("440300", "shenzhen", ("sz.bureau",)),
            RegionPlan("530000", "yunnan", ("yn.epd",)),
        ),
        readers=("national",),
    )
    made = provision_network(tmp_path_factory.mktemp("network"), plan, now=datetime.now(UTC))
    return NetworkOfTest(made, made.federation.directory())


class Clients:
    """A client for each certificate."""

    def __init__(self, home: Path, address: str) -> None:
        self._home = home
        self._address = address
        self._open: list[RegionClient] = []

    def of(self, *parts: str) -> RegionClient:
        tls = TlsFiles.of(self._home.joinpath(*parts) / "tls")
        client = RegionClient(SHANGHAI, self._address, tls)
        self._open.append(client)
        return client

    def role(self, role: str) -> RegionClient:
        return self.of("operators", "310000", role)

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def clients(on_the_line: Office, network: NetworkOfTest) -> Iterator[Clients]:
    made = Clients(network.network.home, on_the_line.node.region.server.address)
    yield made
    made.close()


def test_every_method_of_the_registers_is_served(clients: Clients) -> None:
    services = registers_pb2.DESCRIPTOR.services_by_name.values()
    named = {method.name for service in services for method in service.methods}
    for servicer in (registers_pb2_grpc.RegisterServiceServicer, registers_pb2_grpc.IssuanceServiceServicer):
        named -= set(vars(servicer))
    assert not named


def test_the_story_over_the_wire_by_the_offices_own_certificates(
    on_the_line: Office, clients: Clients
) -> None:
    office = on_the_line
    bureau, centre, applicant = (clients.role(role) for role in ROLES)
    bureau.registers.PublishMethodology(methodology_request())
    submitted = applicant.registers.SubmitProject(project_request(office.owner))
    assert submitted.project.state == registers_pb2.PROJECT_STATE_SUBMITTED
    ids = {"request_id": request_id(), "project_id": PROJECT}
    centre.registers.AssessProject(registers_pb2.AssessProjectRequest(passed=True, **ids))
    notice = centre.registers.OpenProjectNotice(
        registers_pb2.OpenProjectNoticeRequest(request_id=request_id(), project_id=PROJECT)
    )
    assert notice.project.notice_last_day == values_pb2.Date(year=2026, month=3, day=9)
    publish = registers_pb2.PublishProjectRequest(request_id=request_id(), project_id=PROJECT)
    with pytest.raises(DomainError) as caught:
        centre.registers.PublishProject(publish)
    assert caught.value.symbol == "NOTICE_PERIOD_RUNNING"
    assert "Art. 12" in (caught.value.article or "")
    assert "第十二条" in caught.value.metadata["article_zh"]
    office.turn_to(date(2026, 3, 10))
    centre.registers.PublishProject(publish)
    lines = [
        registers_pb2.ImportActivityRequest(
            start=registers_pb2.ImportActivityRequest.Start(
                request_id=request_id(), project_id=PROJECT, format=registers_pb2.FILE_FORMAT_CSV
            )
        ),
        registers_pb2.ImportActivityRequest(chunk=b"period,on_grid_wh,self_use_wh\n2026-01,100"),
        registers_pb2.ImportActivityRequest(chunk=b"00000,0\n"),
    ]
    imported = applicant.issuance.ImportActivity(iter(lines))
    assert imported.committed
    period = wire_period(Period.parse("2026-01"))
    quantified = centre.issuance.QuantifyProject(
        registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=period)
    )
    assert (quantified.activity_wh, quantified.issuable_kg, quantified.carried_out_g) == (
        10_000_000,
        4000,
        200_000,
    )
    assert any("0.42" in line for line in quantified.working)
    issued = centre.issuance.IssueUnits(office.issue_request("2026-01")).issuance
    assert issued.state == registers_pb2.ISSUANCE_STATE_ISSUED
    again = applicant.issuance.GetIssuance(
        registers_pb2.GetIssuanceRequest(issuance_id=issued.issuance_id)
    ).issuance
    assert again == issued
    listed = centre.issuance.ListIssuances(registers_pb2.ListIssuancesRequest(project_id=PROJECT))
    assert [one.issuance_id for one in listed.issuances] == [issued.issuance_id]


def test_what_the_law_publishes_is_read_by_everybody_without_accounts_and_papers(
    on_the_line: Office, clients: Clients
) -> None:
    on_the_line.publish_methodology()
    paper: Any = registers_pb2.ProjectDocument(kind="application_form", name="申请表")
    on_the_line.submit(documents=[paper])
    for reader in (clients.of("readers", "national"), clients.of("operators", "440300", "sz.bureau")):
        listed = reader.registers.ListMethodologies(registers_pb2.ListMethodologiesRequest())
        assert [one.unit_class for one in listed.methodologies] == ["I"]
        project = reader.registers.GetProject(registers_pb2.GetProjectRequest(project_id=PROJECT)).project
        assert project.title
        assert (project.owner_account_id, len(project.documents)) == ("", 0)
        projects = reader.registers.ListProjects(registers_pb2.ListProjectsRequest()).projects
        assert [one.owner_account_id for one in projects] == [""]
        assert not reader.reserve.ListResources(reserve_pb2.ListResourcesRequest()).resources
        with pytest.raises(DomainError) as caught:
            reader.registers.SubmitProject(project_request(on_the_line.owner))
        assert caught.value.symbol == "CALLER_NOT_PERMITTED"
    own = clients.role("sh.centre")
    project = own.registers.GetProject(registers_pb2.GetProjectRequest(project_id=PROJECT)).project
    assert project.owner_account_id == on_the_line.owner


def test_lists_come_page_by_page_and_a_token_of_another_query_is_refused(
    on_the_line: Office, clients: Clients
) -> None:
    on_the_line.publish_methodology()
    for number in range(5):
        on_the_line.submit(project_id=f"P-{number}", code=f"PV010031011500{number}")
    reader = clients.of("readers", "national")
    found: list[str] = []
    token = ""
    while True:
        page = reader.registers.ListProjects(
            registers_pb2.ListProjectsRequest(
                state=registers_pb2.PROJECT_STATE_SUBMITTED, page_size=2, page_token=token
            )
        )
        assert len(page.projects) <= 2
        found += [one.project_id for one in page.projects]
        token = page.next_page_token
        if not token:
            break
        kept = token
    assert found == [f"P-{number}" for number in range(5)]
    with pytest.raises(DomainError) as caught:
        reader.registers.ListProjects(registers_pb2.ListProjectsRequest(page_token=kept))
    assert caught.value.symbol == "PAGE_TOKEN_INVALID"


def test_an_import_that_does_not_begin_with_its_description_is_refused(clients: Clients) -> None:
    applicant = clients.role("sh.project_applicant")
    with pytest.raises(DomainError) as caught:
        applicant.issuance.ImportActivity(iter([registers_pb2.ImportActivityRequest(chunk=b"x")]))
    assert (caught.value.symbol, caught.value.field) == ("FIELD_MISSING", "start")
