"""Claims that race for one month of one plant, from processes of their own, and who goes first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tanqiao.api.bridge.v1 import (
    claims_pb2,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.case_office import cases_of, decide, parcel, square
from tests.contract.bridge.claims_office import (
    DECLARED,
    NOTICE,
    REJECTED,
    UNSOLD,
    Office,
    in_shenzhen,
    lists,
    office,
    refusal,
)
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    PlayedRegion,
    claim_of,
    declare,
    issue_message,
    locations,
)

__all__ = ["lists", "office"]


ROUNDS = 20
ALIAS_RACES_FROM = 1_000


@dataclass
class Client:
    """A client process, one request and one answer a line."""

    region: str
    process: subprocess.Popen[str]

    def send(self, request: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{request.hex()}\n")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()


@pytest.fixture
def start_clients(office: Office) -> Iterator[Callable[[Sequence[str]], list[Client]]]:
    """Start client processes of regions, all of them on the line."""
    started: list[Client] = []

    def start(regions: Sequence[str]) -> list[Client]:
        for region in regions:
            tls = office.network.network.tls(region)
            script = Path(__file__).with_name("claimant.py")
            files = (tls.ca, tls.certificate, tls.key)
            command = [sys.executable, str(script), office.running.address, *map(str, files)]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            started.append(Client(region, process))
        assert [client.line() for client in started] == ["ready"] * len(started)
        return started

    yield start
    for client in started:
        client.close()


Shape = Callable[[claims_pb2.Claim, int, int], None]
"""Changes what a client of a race claims: the claim, the number of the race, the client's place."""


def unchanged(_claim: claims_pb2.Claim, _number: int, _position: int) -> None:
    """All claim the same month of the same plant."""


def send_claims(
    office: Office, clients: Sequence[Client], number: int, shape: Shape = unchanged
) -> list[str]:
    """Send a claim of every client at once; their ids."""
    order = list(range(len(clients)))
    ids = {}
    for position in order[number % len(order) :] + order[: number % len(order)]:
        region = clients[position].region
        claim = claim_of(
            f"{region.removeprefix('region/')}:race:{number}:{position}",
            region=region,
            filing_code=f"9931000000001{number:04d}",
        )
        shape(claim, number, position)
        ids[position] = claim.claim_id
        envelope = office.network.envelope(claims_pb2.DeclareStatement(claim=claim), region)
        clients[position].send(claims_pb2.DeclareClaimRequest(envelope=envelope).SerializeToString())
    return [ids[position] for position in order]


def receipts_of(clients: Sequence[Client]) -> list[claims_pb2.ClaimReceipt]:
    """Read the answer of every client."""
    answers = [client.line() for client in clients]
    return [claims_pb2.DeclareClaimResponse.FromString(bytes.fromhex(one)).receipt for one in answers]


def race(
    office: Office, clients: Sequence[Client], number: int, shape: Shape = unchanged
) -> list[claims_pb2.ClaimReceipt]:
    """Let every client claim the same at once; the receipts."""
    send_claims(office, clients, number, shape)
    return receipts_of(clients)


def neighbours(claim: claims_pb2.Claim, number: int, position: int) -> None:
    """Each claims a parcel that overlaps those of all others."""
    parcel(claim, square(121 + 0.1 * number + 0.001 * position, 31.0))


def under_two_names(claim: claims_pb2.Claim, number: int, position: int) -> None:
    """Every second one claims the plant under its number in another registry."""
    if position % 2:
        del claim.asset.references[:]
        claim.asset.references.add(scheme="cdm", value=str(5_000 + number))


def race_for_parcels(office: Office, clients: Sequence[Client], rounds: int) -> None:
    for number in range(rounds):
        receipts = race(office, clients, number, neighbours)
        (won,) = (receipt for receipt in receipts if receipt.status == DECLARED)
        assert all(
            receipt.verdict.refusal.metadata["claims"] == won.claim_id
            for receipt in receipts
            if receipt is not won
        )


def race_for_an_alias(office: Office, clients: Sequence[Client], rounds: int) -> None:
    """Decide that two references are one plant while both are claimed: of all claims one gets on."""
    for number in range(ALIAS_RACES_FROM, ALIAS_RACES_FROM + rounds):
        ids = send_claims(office, clients, number, under_two_names)
        pair = ("cdm", str(5_000 + number)), ("gec_filing_code", f"9931000000001{number:04d}")
        decide(office.running, *pair)
        receipts = receipts_of(clients)
        assert [receipt.claim_id for receipt in receipts] == ids
        live = [receipt.claim_id for receipt in receipts if receipt.status == DECLARED]
        assert live
        noticed = [claim_id for claim_id in live if _may_open_its_notice(office, claim_id)]
        assert len(noticed) == 1
        if len(live) > 1:  # both came before the decision: a case names them
            named = [set(case.claim_ids) for case in cases_of(office.running, claim_id=live[0])]
            assert set(live) in named


def _may_open_its_notice(office: Office, claim_id: str) -> bool:
    try:
        office.move(claim_id, NOTICE)
    except DomainError as refused:
        reason = refused.symbol
    else:
        return True
    assert reason in {"CLAIM_OVERLAP", "CLAIM_OVERTAKEN"}
    return False


@pytest.mark.processes
def test_of_processes_that_race_for_parcels_or_for_an_alias_decided_meanwhile_one_wins(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHANGHAI] * 3)
    race_for_parcels(office, clients, 4)
    race_for_an_alias(office, clients, 6)
    office.require_clean()


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(600)
def test_of_many_races_for_parcels_and_aliases_each_has_one_winner(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHANGHAI] * 4)
    race_for_parcels(office, clients, 100)
    race_for_an_alias(office, clients, 100)
    office.require_clean()


@pytest.mark.processes
def test_of_four_processes_that_claim_one_month_of_one_plant_exactly_one_wins(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHANGHAI] * 4)
    for number in range(ROUNDS):
        receipts = race(office, clients, number)
        (won,) = (receipt for receipt in receipts if receipt.status == DECLARED)
        assert won.log_index == min(receipt.log_index for receipt in receipts)
        for receipt in receipts:
            if receipt is not won:
                assert receipt.verdict.refusal.reason == "CLAIM_OVERLAP"
                assert receipt.verdict.refusal.metadata["claims"] == won.claim_id
    office.require_clean()


@pytest.mark.processes
def test_of_two_regions_that_race_the_provincial_one_may_overtake_and_only_one_registers(
    office: Office, start_clients: Callable[[Sequence[str]], list[Client]]
) -> None:
    clients = start_clients([SHENZHEN, SHANGHAI, SHENZHEN, SHANGHAI])
    for number in range(ROUNDS):
        receipts = race(office, clients, number)
        live = [
            (receipt, client.region)
            for receipt, client in zip(receipts, clients, strict=True)
            if receipt.status == DECLARED
        ]
        assert [region for _, region in live].count(SHANGHAI) == 1
        assert [region for _, region in live].count(SHENZHEN) <= 1
        for receipt, region in sorted(live, key=lambda one: one[1] == SHANGHAI):
            if region == SHANGHAI:
                assert office.move(receipt.claim_id, NOTICE).status == NOTICE
                continue
            error = refusal(office.move, receipt.claim_id, NOTICE, SHENZHEN)
            assert error.symbol == "CLAIM_OVERTAKEN"
            assert ":race:" in error.metadata["winner"]
    office.require_clean()


def test_of_two_declared_claims_of_one_region_the_earlier_leaf_goes_first_whatever_their_ids(
    office: Office,
) -> None:
    assert office.declared(claim_of("310000:instalment:9")).status == DECLARED
    assert office.declared(claim_of("310000:instalment:1")).status == REJECTED
    batch = office.network.batch(
        [
            claims_pb2.DeclareStatement(
                claim=claim_of(name, filing_code=UNSOLD, start="2025-11-01", end="2025-12-01")
            )
            for name in ("310000:instalment:8", "310000:instalment:2")
        ],
        SHANGHAI,
    )
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    receipts = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=WAIT_SECONDS).receipts.payloads
    assert [claims_pb2.ClaimReceipt.FromString(one).status for one in receipts] == [DECLARED, REJECTED]


def test_a_refused_claim_of_a_batch_bars_none_behind_it(office: Office) -> None:
    office.declared(claim_of("310000:instalment:1"))
    claims = [
        claim_of("310000:instalment:2", start="2026-01-15", end="2026-02-15"),
        claim_of("310000:instalment:3", start="2026-02-01", end="2026-03-01"),
    ]
    batch = office.network.batch([claims_pb2.DeclareStatement(claim=claim) for claim in claims], SHANGHAI)
    request = claims_pb2.BatchDeclareClaimsRequest(batch=batch)
    receipts = office.stub(SHANGHAI).BatchDeclareClaims(request, timeout=WAIT_SECONDS).receipts.payloads
    assert [claims_pb2.ClaimReceipt.FromString(one).status for one in receipts] == [REJECTED, DECLARED]


def test_a_region_that_was_overtaken_cannot_issue(office: Office) -> None:
    declared = declare(office.running, SHENZHEN, in_shenzhen("440300:instalment:1"))
    assert office.declared(claim_of("310000:instalment:1")).status == DECLARED
    region = PlayedRegion(office.running, SHENZHEN).connect()
    try:
        issue = issue_message(region, declared, "440300:instalment:1", 0, 100_000)
        series = "440300:SZ_PHCER:P-0001:2026:1"
        issue.series.MergeFrom(
            values_pb2.Series(series_id=series, region_code="440300", programme="SZ_PHCER")
        )
        issue.block.series_id = series
        region.offer([issue])
        region.wait(lambda: issue.issue_id in region.receipts)
        receipt = region.receipts[issue.issue_id]
        assert [reason.reason for reason in receipt.reasons] == ["CLAIM_OVERTAKEN"]
        assert receipt.reasons[0].metadata["winner"] == "310000:instalment:1"
        assert locations(office.running) == []
    finally:
        region.disconnect()
