"""A bridge that dies at each write of a claim's life: it starts clean, and one claim holds the asset.

Death before a commit leaves nothing of it; death behind a commit leaves everything and no answer. Each time
another bridge is built on the same database and the same bytes are sent again. In the end it stands as if
nobody had died.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import cases_pb2, cases_pb2_grpc, claims_pb2, claims_pb2_grpc
from tanqiao.db.group_commit import GroupCommit
from tanqiao.db.unit_of_work import UnitOfWork
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.application.lapsing import LapseClaims
from tests.contract.bridge.approvers import signed
from tests.contract.bridge.case_office import DIFFERENT, SAME, TWO_BODIES, advance_days
from tests.contract.bridge.claims_office import in_shenzhen
from tests.contract.bridge.harness import WAIT_SECONDS, Running, claim_of, run_bridge

Step = tuple[Any, str, Message, str]
"""Stub, method, request, caller."""
BEFORE = "before"
AFTER = "after"
CLAIM = claims_pb2_grpc.ClaimServiceStub
CASE = cases_pb2_grpc.CaseServiceStub
NAMES = {number: name.removeprefix("CLAIM_STATUS_") for name, number in claims_pb2.ClaimStatus.items()}
PROJECT = claims_pb2.CLAIM_OBJECT_PROJECT


def gone() -> DomainError:
    """Give what those hear who wait for a process that is gone."""
    return DomainError("INTERNAL", correlation_id="died")


@dataclass
class Mortal:
    """A bridge that can be let die at its next write."""

    network: NetworkOfTest
    database: DatabaseUnderTest
    phase: str = ""
    died: threading.Event = field(default_factory=threading.Event)
    deaths: int = 0
    case_id: int = 0
    lapsing: bool = False
    """Whether it dies at lapses, and not at what it is asked for."""

    def __post_init__(self) -> None:
        self.running: Running = run_bridge(self.network, self.database.url, self.database.owner_url)

    def stop(self) -> None:
        self.running.bridge.stop()

    def live_again(self) -> None:
        """Build the next bridge on what the dead one left."""
        self.phase = ""
        self.stop()
        self.died.clear()
        self.running = run_bridge(self.network, self.database.url, self.database.owner_url)

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """Watch every commit of commands; the writer of a dead bridge writes no more."""
        commit, handle = UnitOfWork.commit, GroupCommit._handle
        inside = threading.local()

        def watched_handle(group: Any, unit: UnitOfWork, commands: Any) -> Any:
            inside.commands = [one for one in commands if isinstance(one, LapseClaims) is self.lapsing]
            if self.died.is_set():
                raise gone()
            return handle(group, unit, commands)

        def watched_commit(unit: UnitOfWork) -> None:
            due = bool(getattr(inside, "commands", ())) and self.phase
            inside.commands = []
            if due == BEFORE:
                self.died.set()
                raise gone()
            commit(unit)
            if due == AFTER:
                self.died.set()
                raise gone()

        with (
            patch.object(UnitOfWork, "commit", watched_commit),
            patch.object(GroupCommit, "_handle", watched_handle),
        ):
            yield

    def call(self, stub: Callable[[grpc.Channel], Any], method: str, request: Message, party: str) -> str:
        """Send a request to a bridge that dies at its write, then the same bytes to the next one."""
        for phase in (self.phase, ""):
            self.phase = phase
            try:
                channel = self.running.channel(party)
                answer = getattr(stub(channel), method)(request, timeout=WAIT_SECONDS)
            except grpc.RpcError as error:
                if self.died.is_set():
                    self.deaths += 1
                    self.live_again()
                    continue
                return from_rpc_error(error).symbol
            self.case_id = getattr(answer, "case_id", 0) or self.case_id
            return "OK"
        raise AssertionError("it died twice")


def declaring(network: NetworkOfTest, claim: claims_pb2.Claim) -> Step:
    envelope = network.envelope(claims_pb2.DeclareStatement(claim=claim), claim.region)
    return CLAIM, "DeclareClaim", claims_pb2.DeclareClaimRequest(envelope=envelope), claim.region


def moving(network: NetworkOfTest, claim_id: str, status: int, region: str) -> Step:
    statement = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason="test")  # type: ignore[arg-type]
    envelope = network.envelope(statement, region)
    if status == claims_pb2.CLAIM_STATUS_WITHDRAWN:
        return CLAIM, "ReleaseClaim", claims_pb2.ReleaseClaimRequest(envelope=envelope), region
    return CLAIM, "RegisterClaim", claims_pb2.RegisterClaimRequest(envelope=envelope), region


def aliasing(network: NetworkOfTest, relation: int, request_id: str) -> Step:
    message = cases_pb2.AliasDecision(
        first=claims_pb2.AssetReference(scheme="cdm", value="1234"),
        second=claims_pb2.AssetReference(scheme="gec_filing_code", value="99310000000000701"),
        relation=relation,  # type: ignore[arg-type]
        reason="invented",
        document="review 3",
    )
    decision = signed(network, message, TWO_BODIES[0][0], TWO_BODIES)
    request = cases_pb2.DecideAliasRequest(request_id=request_id, decision=decision)
    return CASE, "DecideAlias", request, SHANGHAI


def resolving(network: NetworkOfTest, case_id: int) -> Step:
    message = cases_pb2.CaseResolution(
        case_id=case_id, resolution=cases_pb2.RESOLUTION_ALLOW, reason="x", document="y"
    )
    envelope = signed(network, message, TWO_BODIES[0][0], TWO_BODIES)
    request = cases_pb2.ResolveCaseRequest(request_id="R-1", resolution=envelope)
    return CASE, "ResolveCase", request, SHANGHAI


def story(network: NetworkOfTest) -> list[tuple[Step | Callable[[Mortal], Step], str]]:
    """Give a life of claims, call by call, with what each is answered."""
    first = claim_of("310000:project:1", kind=PROJECT)
    second = in_shenzhen("440300:project:2", kind=PROJECT, project_id="P-2")
    under_cdm = in_shenzhen("440300:project:3", kind=PROJECT, project_id="P-3")
    del under_cdm.asset.references[:]
    under_cdm.asset.references.add(scheme="cdm", value="1234")
    idle = claim_of("310000:project:5", kind=PROJECT, filing_code="99310000000000705", project_id="P-5")
    statement = cases_pb2.ContestStatement(claim_id=first.claim_id, reason="x", document="y")
    contest = cases_pb2.ContestClaimRequest(envelope=network.envelope(statement, SHENZHEN))
    notice, withdrawn = claims_pb2.CLAIM_STATUS_NOTICE, claims_pb2.CLAIM_STATUS_WITHDRAWN
    return [
        (declaring(network, first), "OK"),
        (declaring(network, second), "OK"),  # answered with a receipt of a claim that is not live
        (declaring(network, under_cdm), "OK"),
        (declaring(network, idle), "OK"),
        ((CASE, "ContestClaim", contest, SHENZHEN), "OK"),
        (moving(network, first.claim_id, notice, SHANGHAI), "CLAIM_HOLD"),
        (lambda mortal: resolving(network, mortal.case_id), "OK"),
        (moving(network, first.claim_id, notice, SHANGHAI), "OK"),
        (aliasing(network, SAME, "D-1"), "OK"),
        (moving(network, under_cdm.claim_id, notice, SHENZHEN), "CLAIM_OVERLAP"),
        (aliasing(network, DIFFERENT, "D-2"), "OK"),
        (moving(network, under_cdm.claim_id, notice, SHENZHEN), "OK"),
        (moving(network, first.claim_id, withdrawn, SHANGHAI), "OK"),
    ]


EXPECTED = {
    "310000:project:1": "WITHDRAWN",
    "440300:project:2": "REJECTED",
    "440300:project:3": "NOTICE",
    "440300:project:4": "DECLARED",
    "310000:project:5": "LAPSED",
}


@pytest.mark.parametrize("phase", [pytest.param(BEFORE, marks=pytest.mark.long), AFTER])
def test_a_bridge_that_dies_at_each_write_of_a_claims_life_ends_as_if_it_had_not(
    network: NetworkOfTest, bridge_database: DatabaseUnderTest, phase: str
) -> None:
    mortal = Mortal(network, bridge_database)
    try:
        with mortal.mortal():
            for number, (step, expected) in enumerate(story(network)):
                taken = step(mortal) if callable(step) else step
                mortal.phase = phase
                assert mortal.call(*taken) == expected, f"step {number}"
            assert mortal.deaths >= len(story(network)) - 2  # a refused call writes nothing, or a case
            die_while_a_claim_lapses(mortal, phase)
            last = in_shenzhen("440300:project:4", kind=PROJECT, project_id="P-4")
            assert mortal.call(*declaring(network, last)) == "OK"
        bridge = mortal.running.bridge
        stub = claims_pb2_grpc.ClaimServiceStub(mortal.running.channel(SHANGHAI))
        claims = stub.ListClaims(claims_pb2.ListClaimsRequest(page_size=100), timeout=WAIT_SECONDS).claims
        assert {claim.claim_id: NAMES[claim.status] for claim in claims} == EXPECTED
        report = check_database(bridge.database)
        assert report.clean, report.as_text()
    finally:
        mortal.stop()


def die_while_a_claim_lapses(mortal: Mortal, phase: str) -> None:
    """Let the bridge die at the write of a lapse; the next one finds what is left to be done."""
    lease_days = mortal.running.bridge.settings.claim_lease_days
    advance_days(mortal.running, lease_days - 1)
    mortal.running.bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
    mortal.phase, mortal.lapsing = phase, True
    advance_days(mortal.running, lease_days + 1)
    assert mortal.died.wait(WAIT_SECONDS)
    mortal.lapsing = False
    mortal.live_again()
    # The two days since it was last known to run count as downtime.
    advance_days(mortal.running, lease_days + 4)
    mortal.running.bridge.writer.submit(LapseClaims()).result(WAIT_SECONDS)
