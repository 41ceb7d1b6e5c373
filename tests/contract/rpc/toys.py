"""A real server on loopback with TLS, and toy servicers on generated services, one for each kind of call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final

import grpc

from tanqiao.api.bridge.v1 import sync_pb2, sync_pb2_grpc
from tanqiao.api.common.v1 import clock_pb2, clock_pb2_grpc
from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.api.region.v1 import accounts_pb2, accounts_pb2_grpc, journal_pb2, journal_pb2_grpc
from tanqiao.rpc.caller import Caller, current_caller
from tanqiao.rpc.server import Registration, Server, ServerOptions, build_server
from tanqiao.testing.network import NETWORK_ID, SHANGHAI, NetworkOfTest

CLOCK: Final = "/tanqiao.api.common.v1.ClockService/"
ACCOUNTS: Final = "/tanqiao.api.region.v1.AccountService/"
JOURNAL: Final = "/tanqiao.api.region.v1.JournalService/"
REGISTRY: Final = "/tanqiao.api.gateway.v1.RegistryService/"
SYNC: Final = "/tanqiao.api.bridge.v1.SyncService/"
ANYBODY: Final = ("**",)
CALLERS: Final = {
    f"{CLOCK}GetClock": ANYBODY,
    f"{CLOCK}AdvanceTestClock": ("operator/310000/sh.centre",),
    **{
        f"{ACCOUNTS}{name}": ANYBODY
        for name in (
            "OpenAccount",
            "BatchOpenAccounts",
            "GetAccount",
            "ListAccounts",
            "CloseAccount",
            "DeletePersonalData",
            "SetAccountHolder",
            "CreateReceivingAddress",
            "GetBalance",
            "ListHoldings",
        )
    },
    f"{JOURNAL}WatchJournal": ANYBODY,
    f"{JOURNAL}ListJournal": ANYBODY,
    **{
        f"{REGISTRY}{name}": ANYBODY
        for name in (
            "ImportList",
            "ListImports",
            "LookUpAssets",
            "ListRecords",
            "UndoImport",
            "ListChanges",
            "GetRegistryStatus",
            "ReadKeyFilter",
        )
    },
    f"{SYNC}Connect": ("region/*",),
    f"{SYNC}SubmitMessages": ("region/*",),
}


@dataclass
class Toy(
    clock_pb2_grpc.ClockServiceServicer,
    accounts_pb2_grpc.AccountServiceServicer,
    journal_pb2_grpc.JournalServiceServicer,
    registry_pb2_grpc.RegistryServiceServicer,
    sync_pb2_grpc.SyncServiceServicer,
):
    """Does what the test says and notes who called; a call that reaches it is counted."""

    answer: ClassVar[accounts_pb2.OpenAccountResponse] = accounts_pb2.OpenAccountResponse()
    behaviour: Callable[[], None] = lambda: None
    callers: list[Caller] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)

    def _enter(self) -> None:
        self.callers.append(current_caller())
        self.entered.set()
        self.behaviour()

    def GetClock(self, request: object, context: grpc.ServicerContext) -> clock_pb2.GetClockResponse:
        self._enter()
        return clock_pb2.GetClockResponse(network_id=NETWORK_ID)

    def AdvanceTestClock(
        self, request: object, context: grpc.ServicerContext
    ) -> clock_pb2.AdvanceTestClockResponse:
        self._enter()
        return clock_pb2.AdvanceTestClockResponse()

    def OpenAccount(
        self, request: accounts_pb2.OpenAccountRequest, context: grpc.ServicerContext
    ) -> accounts_pb2.OpenAccountResponse:
        self._enter()
        return self.answer

    def WatchJournal(
        self, request: journal_pb2.WatchJournalRequest, context: grpc.ServicerContext
    ) -> Iterator[journal_pb2.WatchJournalResponse]:
        for _ in range(3):
            yield journal_pb2.WatchJournalResponse()
        self._enter()
        yield journal_pb2.WatchJournalResponse()

    def ImportList(
        self, request: Iterator[registry_pb2.ImportListRequest], context: grpc.ServicerContext
    ) -> registry_pb2.ImportListResponse:
        parts = list(request)
        self._enter()
        return registry_pb2.ImportListResponse(list_import=registry_pb2.ListImport(row_count=len(parts)))

    def Connect(
        self, request: Iterator[sync_pb2.ConnectRequest], context: grpc.ServicerContext
    ) -> Iterator[sync_pb2.ConnectResponse]:
        self._enter()
        for frame in request:
            acknowledge = sync_pb2.Acknowledge(up_to_number=frame.acknowledge.up_to_number)
            yield sync_pb2.ConnectResponse(acknowledge=acknowledge)


def new_toy() -> Toy:
    """Give a toy; methods that no test asks for are left to the generated classes."""
    return Toy()  # type: ignore[abstract] # as said


def registrations(toy: Toy) -> list[Registration]:
    return [
        Registration(clock_pb2_grpc.add_ClockServiceServicer_to_server, toy),
        Registration(accounts_pb2_grpc.add_AccountServiceServicer_to_server, toy),
        Registration(journal_pb2_grpc.add_JournalServiceServicer_to_server, toy),
        Registration(registry_pb2_grpc.add_RegistryServiceServicer_to_server, toy),
        Registration(sync_pb2_grpc.add_SyncServiceServicer_to_server, toy),
    ]


def serve(net: NetworkOfTest, toy: Toy, address: str = "127.0.0.1:0", workers: int = 8) -> Server:
    options = ServerOptions(address, net.network.tls(SHANGHAI), net.network_id, SHANGHAI, workers)
    return build_server(options, registrations(toy), CALLERS, now=datetime.now(UTC))
