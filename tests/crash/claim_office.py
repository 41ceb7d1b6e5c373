"""Bridge and gateways as processes that can be killed at a write, and what is asked of them (虚构)."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import (
    cases_pb2,
    cases_pb2_grpc,
    claims_pb2,
    claims_pb2_grpc,
    coordination_pb2,
    coordination_pb2_grpc,
)
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import coordination_pb2_grpc as gateway_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.cli.local.check import check_nodes
from tanqiao.cli.local.home import Home
from tanqiao.cli.local.members import BRIDGE_MEMBER, GATEWAYS, GEC, Member, network_plan
from tanqiao.cli.local.settings import write_settings
from tanqiao.db import embedded_postgres
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import build_header, sign_envelope
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import Network, provision_network
from tests.crash.acts import PASSING, PAUSE_SECONDS, persist
from tests.crash.killed import MEMBERS, START_SECONDS_MAX, MortalFederation, _wait_dead, start

T = TypeVar("T")

REGION: Final = "region/310000"
OPERATOR: Final = "operator/310000/sh.centre"
NODES: Final = (*GATEWAYS, BRIDGE_MEMBER)
CALL_SECONDS: Final = 20.0
WAITING: Final = PASSING | {"EXTERNAL_REGISTRY_SILENT"}
"""A gateway that has just begun again is found by the bridge a moment later."""
SEEN_SECONDS_MAX: Final = 300.0
CERTIFICATES_HEADER: Final = (
    "reference,filing_code,plant_name,owner_name,owner_uscc,period_start,period_end,certificates,state,"
    "tradable,self_use,invented"
)
PROJECTS_HEADER: Final = (
    "reference,filing_code,project_name,owner_name,object,stage,crediting_start,crediting_end,invented"
)


class ClaimOffice:
    """What a region, an operator and an authority do while the processes behind them die."""

    def __init__(self, federation: MortalFederation, network: Network) -> None:
        self.federation = federation
        self._network = network
        self._signer = Keyring.open(network.node(REGION) / "keys").signer(KeyRole.MESSAGE)
        self._channels: dict[tuple[str, str], grpc.Channel] = {}
        self._as_of = 1

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            channel.close()

    def through_death(self, point: str, act: Callable[[], T]) -> T:
        """Do something while a process kills itself at a point of it; it is started again meanwhile."""
        member = MEMBERS[point.partition(" ")[0]]
        child = self.federation.doom(member, point)
        with ThreadPoolExecutor(1) as pool:
            # Callers are as patient as a node may take to start, however busy the machine is.
            done = pool.submit(lambda: persist(act, WAITING, seconds=SEEN_SECONDS_MAX))
            until = time.monotonic() + SEEN_SECONDS_MAX
            while child.poll() is None:
                assert time.monotonic() < until, f"{point}: nobody came to it"
                if done.done():
                    done.result()  # a refusal is told before the time is over
                time.sleep(PAUSE_SECONDS)
            assert child.returncode == -signal.SIGKILL, f"{point}: it ended by itself"
            _wait_dead(self.federation, member)
            start(self.federation, member)
            answer: T = done.result(SEEN_SECONDS_MAX)
            return answer

    def see(self, what: str, look: Callable[[], T | None]) -> T:
        """Look until there is something."""
        until = time.monotonic() + SEEN_SECONDS_MAX
        while True:
            found: T | None = persist(look, seconds=SEEN_SECONDS_MAX)
            if found:
                return found
            assert time.monotonic() < until, f"{what} was not seen in time"
            time.sleep(PAUSE_SECONDS)

    def require_clean(self) -> None:
        """Demand that the books of every process are clean."""
        for checked in check_nodes(self.federation.home, [member.name for member in NODES]):
            assert checked.clean, checked.report

    def _channel(self, member: Member, party: str) -> grpc.Channel:
        if (member.name, party) not in self._channels:
            address = self.federation.home.address(member)
            self._channels[member.name, party] = open_channel(address, self._network.tls(party))
        return self._channels[member.name, party]

    def sign(self, message: Any) -> Any:
        """Sign a statement of the region: its bytes stay the same however often it is sent."""
        message.header.CopyFrom(
            build_header(
                self._signer,
                network_id=self.federation.home.network_id,
                audience=(BRIDGE,),
                message_id=secrets.token_bytes(16),
                source=REGION,
            )
        )
        return sign_envelope(self._signer, payload_type_of(message), message.SerializeToString())

    # -- at the bridge ---------------------------------------------------------------------------------------

    def declaring(self, claim: claims_pb2.Claim) -> Callable[[], Any]:
        """Give the call that declares a claim."""
        request = claims_pb2.DeclareClaimRequest(envelope=self.sign(claims_pb2.DeclareStatement(claim=claim)))
        return lambda: self._claims().DeclareClaim(request, timeout=CALL_SECONDS)

    def moving(self, claim_id: str, status: int) -> Callable[[], Any]:
        """Give the call that moves a claim on, or out."""
        statement = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason="虚构")  # type: ignore[arg-type]
        envelope = self.sign(statement)
        if status == claims_pb2.CLAIM_STATUS_WITHDRAWN:
            release = claims_pb2.ReleaseClaimRequest(envelope=envelope)
            return lambda: self._claims().ReleaseClaim(release, timeout=CALL_SECONDS)
        register = claims_pb2.RegisterClaimRequest(envelope=envelope)
        return lambda: self._claims().RegisterClaim(register, timeout=CALL_SECONDS)

    def _claims(self) -> claims_pb2_grpc.ClaimServiceStub:
        return claims_pb2_grpc.ClaimServiceStub(self._channel(BRIDGE_MEMBER, REGION))

    def claim(self, claim_id: str) -> claims_pb2.GetClaimResponse:
        """Give a claim with its receipts."""
        request = claims_pb2.GetClaimRequest(claim_id=claim_id)
        answer: claims_pb2.GetClaimResponse = persist(
            lambda: self._claims().GetClaim(request, timeout=CALL_SECONDS), seconds=SEEN_SECONDS_MAX
        )
        return answer

    def late_facts(self, claim_id: str) -> list[cases_pb2.Case]:
        """Give the cases of late facts about a claim."""
        stub = cases_pb2_grpc.CaseServiceStub(self._channel(BRIDGE_MEMBER, REGION))
        request = cases_pb2.ListCasesRequest(claim_id=claim_id, page_size=100)
        return [one for one in stub.ListCases(request, timeout=CALL_SECONDS).cases if one.kind == "late fact"]

    def submitting(self, envelope: Any) -> Callable[[], Any]:
        """Give the call that carries a signed step of CCER to the bridge."""
        stub = coordination_pb2_grpc.CoordinationServiceStub
        request = coordination_pb2.SubmitStepRequest(envelope=envelope)
        return lambda: stub(self._channel(BRIDGE_MEMBER, OPERATOR)).SubmitStep(request, timeout=CALL_SECONDS)

    def order_state(self, claim_id: str) -> int:
        """Give the state of the newest order of a claim."""
        stub = coordination_pb2_grpc.CoordinationServiceStub(self._channel(BRIDGE_MEMBER, OPERATOR))
        request = coordination_pb2.ListOrdersRequest(claim_id=claim_id, page_size=10)
        orders = stub.ListOrders(request, timeout=CALL_SECONDS).orders
        return int(orders[0].state) if orders else 0

    # -- at a gateway ----------------------------------------------------------------------------------------

    def at_gateway(self, member: Member, method: str, request: Message) -> Callable[[], Any]:
        """Give a call of the orders' service of a gateway."""

        def call() -> Any:
            stub = gateway_grpc.RegistryOrderServiceStub(self._channel(member, OPERATOR))
            return getattr(stub, method)(request, timeout=CALL_SECONDS)

        return call

    def importing(self, member: Member, lines: list[str]) -> Callable[[], Any]:
        """Give the call that imports a list; each is of a later day than the one before."""
        self._as_of += 1
        header = CERTIFICATES_HEADER if member is GEC else PROJECTS_HEADER
        start_message = registry_pb2.ImportListRequest.Start(
            request_id=secrets.token_hex(8),
            format=registry_pb2.LIST_FORMAT_CSV,
            source="虚构 invented",
            as_of_date=values_pb2.Date(year=2026, month=2, day=self._as_of),
            file_name="list.csv",
        )
        data = "\n".join([header, *lines, ""]).encode()
        parts = [
            registry_pb2.ImportListRequest(start=start_message),
            registry_pb2.ImportListRequest(chunk=data),
        ]

        def call() -> Any:
            stub = registry_pb2_grpc.RegistryServiceStub(self._channel(member, OPERATOR))
            answer = stub.ImportList(iter(parts), timeout=CALL_SECONDS)
            assert answer.committed, answer.errors
            return answer

        return call

    def status(self, member: Member) -> registry_pb2.GetRegistryStatusResponse:
        """Give which list a gateway answers from."""
        stub = registry_pb2_grpc.RegistryServiceStub
        request = registry_pb2.GetRegistryStatusRequest()
        answer: registry_pb2.GetRegistryStatusResponse = persist(
            lambda: stub(self._channel(member, OPERATOR)).GetRegistryStatus(request, timeout=CALL_SECONDS),
            seconds=SEEN_SECONDS_MAX,
        )
        return answer

    def undoing(self, member: Member, import_id: str) -> Callable[[], Any]:
        """Give the call that takes an import back."""
        request = registry_pb2.UndoImportRequest(
            request_id=secrets.token_hex(8), import_id=import_id, reason="虚构 invented"
        )
        stub = registry_pb2_grpc.RegistryServiceStub
        return lambda: stub(self._channel(member, OPERATOR)).UndoImport(request, timeout=CALL_SECONDS)


@contextmanager
def claim_office(folder: Path, databases: str) -> Iterator[ClaimOffice]:
    """Start the bridge and both gateways as processes on free ports; stop them at the end."""
    home = Home(folder)
    federation = MortalFederation(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    choice = federation._choose(databases, "free")
    network = provision_network(folder, network_plan(), now=datetime.now(UTC))
    write_settings(home, choice)
    office = ClaimOffice(federation, network)
    try:
        federation.start_missing(NODES, report=lambda _line: None)
        yield office
    finally:
        office.close()
        federation.down(report=lambda _line: None)
        for child in federation.children:
            child.wait(START_SECONDS_MAX)
        federation.close()
        if home.postgres.is_dir():
            embedded_postgres.remove(home.postgres)
