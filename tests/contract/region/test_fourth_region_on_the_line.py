"""A fourth region, added by a pack directory alone: its project becomes units, and units go there and back.

Everything over the public API of nodes in this process: bridge, Shanghai, and the invented pack of Guangdong.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.common.v1 import clock_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2, journal_pb2, ledger_pb2, registers_pb2
from tanqiao.client.servers import BridgeClient, RegionClient
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.certificates import TlsFiles
from tanqiao.signing.provision import NetworkPlan, RegionPlan, build_recognition_record, provision_network
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import fsck
from tanqiao_region.bootstrap import Region, build
from tests.contract.bridge.harness import run_bridge
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import PACKS, SHANGHAI, USCC, settings_of
from tests.contract.region.trio import _migrated_bridge
from tests.contract.region_registers.office import methodology_request, month, project_request

GUANGDONG: Final = "region/440000"
PACK: Final = Path(__file__).parents[2] / "rules" / "packs" / "gd_pilot"
ROLES: Final = ("sh.bureau", "sh.centre", "sh.exchange", "sh.project_applicant", "sh.holder")
PLANT: Final = "PV-GD-INVENTED-1"
CREDITED_SECONDS: Final = 60.0
WAIT_MS: Final = 30_000
_numbers = itertools.count(1)


def request_id() -> str:
    return f"gd-{next(_numbers)}"


def wait(holds: Callable[[], bool], what: str, seconds: float = 50.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"it did not happen in time: {what}"
        time.sleep(0.05)


@dataclass
class Pair:
    """The bridge and the two regions, and who calls them."""

    network: NetworkOfTest
    bridge: Any
    regions: dict[str, Region]
    _clients: dict[tuple[str, str], RegionClient] = field(default_factory=dict)

    def client(self, party: str, role: str) -> RegionClient:
        """A body of a region."""
        if (party, role) not in self._clients:
            code = party.removeprefix("region/")
            tls = TlsFiles.of(self.network.network.home / "operators" / code / role / "tls")
            self._clients[party, role] = RegionClient(party, self.regions[party].server.address, tls)
        return self._clients[party, role]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        for region in self.regions.values():
            region.stop()
        self.bridge.stop()

    def turn_to(self, day: date) -> None:
        """Turn every clock to nine o'clock, legal time."""
        moment = Timestamp()
        moment.FromDatetime(datetime(day.year, day.month, day.day, 1, tzinfo=UTC))
        asked = clock_pb2.AdvanceTestClockRequest(to_time=moment)
        self.client(SHANGHAI, "sh.centre").clock.AdvanceTestClock(asked)
        self.client(GUANGDONG, "gd.department").clock.AdvanceTestClock(asked)
        tls = self.network.network.tls("operator/310000/sh.centre")
        with BridgeClient("bridge", self.bridge.server.address, tls) as bridge:
            bridge.clock.AdvanceTestClock(asked)

    def recognise(self, origin: str, target: str, *programmes: str) -> None:
        """Put an agreement of both roots in force for voluntary use."""
        record = messages_pb2.RecognitionRecord(
            agreement_id=f"A-{origin[-6:]}-{target[-6:]}",
            from_region=origin,
            to_region=target,
            programmes=programmes,
            unit_classes=["I", ""],
            purposes=["voluntary"],
            period=values_pb2.Period(
                start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")
            ),
            document="test",
        )
        roots = [
            self.network.network.root(f"authority/{one.removeprefix('region/')}") for one in (origin, target)
        ]
        envelope = build_recognition_record(self.network.network_id, record, roots)
        tls = self.network.network.tls(origin)
        with BridgeClient("bridge", self.bridge.server.address, tls) as bridge:
            answer = bridge.recognition.SubmitRecognition(
                directory_pb2.SubmitRecognitionRequest(request_id=request_id(), record=envelope)
            )
        for party, role in ((SHANGHAI, "sh.centre"), (GUANGDONG, "gd.department")):
            node = self.client(party, role).node
            wait(
                lambda node=node: (  # type: ignore[misc]
                    node.GetNodeStatus(journal_pb2.GetNodeStatusRequest()).applied_log_index
                    >= answer.log_index
                ),
                f"{party} has the agreement",
            )

    def open(self, party: str, role: str, holder: str) -> str:
        """Open an account that names its holder's certificate."""
        request = accounts_pb2.OpenAccountRequest(
            request_id=request_id(),
            kind=accounts_pb2.ACCOUNT_KIND_ENTERPRISE,
            display_name="虚构 invented",
            uscc=USCC,
            invented=True,
            holder_party=holder,
        )
        return str(self.client(party, role).accounts.OpenAccount(request).account.account_id)

    def send(self, giver: tuple[str, str, str], taker: tuple[str, str, str], series_id: str, kg: int) -> None:
        """Move units across the border, until the taker has them: (party, role, account) of both."""
        party, role, account_id = taker
        wanted = self.held(*taker).get(series_id, 0) + kg
        made = self.client(party, role).accounts.CreateReceivingAddress(
            accounts_pb2.CreateReceivingAddressRequest(request_id=request_id(), account_id=account_id)
        )
        from_party, from_role, from_id = giver
        transfer = self.client(from_party, from_role).transfers.CreateTransfer(
            ledger_pb2.CreateTransferRequest(
                request_id=request_id(),
                from_account_id=from_id,
                destination_region_code=party.removeprefix("region/"),
                receiving_address=made.receiving_address,
                units=ledger_pb2.UnitSelection(series_id=series_id, quantity_kg=kg),
                wait_ms=WAIT_MS,
            )
        )
        assert transfer.transfer.state == ledger_pb2.TRANSFER_STATE_MOVED, transfer
        until = time.monotonic() + CREDITED_SECONDS
        while self.held(*taker).get(series_id, 0) != wanted and time.monotonic() < until:
            time.sleep(0.02)  # the source is told first

    def held(self, party: str, role: str, account_id: str) -> dict[str, int]:
        """Units that an account holds, by series."""
        request = accounts_pb2.ListHoldingsRequest(account_id=account_id, page_size=100)
        found: dict[str, int] = {}
        for one in self.client(party, role).accounts.ListHoldings(request).holdings:
            size = one.block.end_serial - one.block.start_serial
            found[one.block.series_id] = found.get(one.block.series_id, 0) + size
        return found

    def issue(
        self, party: str, bodies: tuple[str, str, str], methodology: Any, project: Any, after: date
    ) -> Any:
        """Walk a plant to units of one year: who publishes, applies, decides; a day `after` the notice."""
        plant = {"project_id": project.project.project_id}
        publisher, applicant, decider = (self.client(party, role) for role in bodies)
        publisher.registers.PublishMethodology(methodology)
        applicant.registers.SubmitProject(project)
        office = decider.registers
        office.AssessProject(
            registers_pb2.AssessProjectRequest(request_id=request_id(), passed=True, **plant)
        )
        office.OpenProjectNotice(registers_pb2.OpenProjectNoticeRequest(request_id=request_id(), **plant))
        self.turn_to(after)
        office.PublishProject(registers_pb2.PublishProjectRequest(request_id=request_id(), **plant))
        records = [month(f"2025-{number:02d}", on_grid_wh=10_000_000) for number in range(1, 13)]
        applicant.issuance.SubmitActivity(
            registers_pb2.SubmitActivityRequest(request_id=request_id(), records=records, **plant)
        )
        period = values_pb2.Period(start_date=date_message("2025-01-01"), end_date=date_message("2026-01-01"))
        audit = registers_pb2.IssuanceAudit(passed=True, audit_date=date_message("2026-03-01"), body="虚构")
        issued = decider.issuance.IssueUnits(
            registers_pb2.IssueUnitsRequest(request_id=request_id(), period=period, audit=audit, **plant)
        )
        assert issued.issuance.state == registers_pb2.ISSUANCE_STATE_ISSUED, issued
        return issued.issuance


@pytest.fixture
def pair(tmp_path: Path, database_maker: DatabaseMaker, database_kind: str) -> Iterator[Pair]:
    regions = (
        RegionPlan("310000", "shanghai", ROLES),
        RegionPlan("440000", "guangdong", ("gd.department", "gd.holder")),
    )
    network = provision_network(
        tmp_path / "network", NetworkPlan("test-pilot", regions), now=datetime.now(UTC)
    )
    under_test = NetworkOfTest(network, network.federation.directory())
    made = [database_maker.make(database_kind, _migrated_bridge, "bridge")]
    bridge = run_bridge(under_test, made[0].url, made[0].owner_url).bridge
    nodes: dict[str, Region] = {}
    packs = {SHANGHAI: PACKS[SHANGHAI], GUANGDONG: str(PACK)}
    for party, pack in packs.items():
        made.append(database_maker.make(database_kind, _migrated, "region"))
        settings = settings_of(under_test, party, made[-1].url, made[-1].owner_url, bridge.server.address)
        nodes[party] = build(replace(settings, rule_pack=pack))
        nodes[party].start()
    found = Pair(under_test, bridge, nodes)
    for party, node in nodes.items():
        wait(lambda node=node: node.sync.connected, f"{party} is on the line")  # type: ignore[misc]
    yield found
    found.close()
    for one in made:
        database_maker.drop(one)


def test_a_region_added_by_a_directory_issues_sends_and_receives(pair: Pair) -> None:
    pair.recognise(SHANGHAI, GUANGDONG, "SHCER")
    pair.recognise(GUANGDONG, SHANGHAI, "GD_PHCER", "SHCER")
    sh_owner = pair.open(SHANGHAI, "sh.centre", "operator/310000/sh.holder")
    gd_owner = pair.open(GUANGDONG, "gd.department", "operator/440000/gd.holder")
    bodies = ("sh.bureau", "sh.project_applicant", "sh.centre")
    sh_units = pair.issue(
        SHANGHAI, bodies, methodology_request(), project_request(sh_owner), date(2026, 3, 20)
    )
    assert sh_units.quantity_kg == 50_000  # 120 MWh at 0.42 kg/kWh are 50.4 t; Shanghai issues tonnes
    gd_units = pair.issue(
        GUANGDONG,
        ("gd.department", "gd.holder", "gd.department"),
        methodology_request(methodology_id="GD-PV-01", unit_class=""),
        project_request(
            gd_owner, project_id=PLANT, methodology_id="GD-PV-01", code="PV0100440105001", place="440105"
        ),
        date(2026, 4, 3),
    )
    assert gd_units.quantity_kg == 60_000  # 120 MWh at the invented 0.50 kg/kWh, in steps of 100 kg
    assert gd_units.series.series_id == f"440000:GD_PHCER:{PLANT}:2025:1"
    shanghai = (SHANGHAI, "sh.holder", sh_owner)
    guangdong = (GUANGDONG, "gd.holder", gd_owner)
    sh_series, gd_series = sh_units.series.series_id, gd_units.series.series_id
    pair.send(shanghai, guangdong, sh_series, 3_000)
    pair.send(guangdong, shanghai, gd_series, 700)
    pair.send(guangdong, shanghai, sh_series, 1_000)  # home again, under its own name
    assert pair.held(*shanghai) == {sh_series: 48_000, gd_series: 700}
    assert pair.held(*guangdong) == {gd_series: 59_300, sh_series: 2_000}
    used = pair.client(GUANGDONG, "gd.holder").retirements.RetireUnits(
        ledger_pb2.RetireUnitsRequest(
            request_id=request_id(),
            account_id=gd_owner,
            units=ledger_pb2.UnitSelection(series_id=sh_series, quantity_kg=500),
            purpose="voluntary",
            purpose_text="虚构 invented",
            beneficiary=ledger_pb2.Beneficiary(name="虚构 invented", uscc=USCC),
            wait_ms=WAIT_MS,
        )
    )
    assert used.retirement.state == ledger_pb2.USE_STATE_USED, used
    assert pair.held(*guangdong) == {gd_series: 59_300, sh_series: 1_500}
    for region in pair.regions.values():
        report: Any = fsck.check(region.settings.database_url, region.settings.federation_file)
        assert report.clean, report.as_text()
