"""A bridge that serves, Shanghai's node as in production, and Shenzhen played with a node's own parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Self

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc, directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.keyring import Keyring
from tanqiao.signing.pepper import PEPPER_NAME, read_pepper
from tanqiao.signing.provision import sign_key_record
from tanqiao.testing.databases import DatabaseMaker
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHANGHAI_CENTRE, SHENZHEN, NetworkOfTest
from tanqiao_region.application.tokens import TokenBook
from tanqiao_region.server.tokens_line import GrpcBridgeTokens
from tests.contract.bridge import conftest as bridge_fixtures
from tests.contract.bridge.harness import WAIT_SECONDS, Running, declare, run_bridge
from tests.contract.region import conftest as region_fixtures
from tests.contract.region.harness import build_node
from tests.contract.region_registers.office import Office


class Federation:
    """Everything in this process, over loopback TLS."""

    def __init__(self, network: NetworkOfTest, maker: DatabaseMaker, kind: str) -> None:
        self.network = network
        self._maker, self._kind = maker, kind
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.running = self.start_bridge()
        self.books = {party: self.book(party) for party in (SHANGHAI, SHENZHEN)}
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _database(self, migrated: Callable[[str], None], service: str) -> Any:
        made = self._maker.make(self._kind, migrated, service)
        self._stack.callback(self._maker.drop, made)
        return made

    def start_bridge(self, **settings: Any) -> Running:
        """Start a bridge on a database of its own."""
        made = self._database(bridge_fixtures._migrated, "bridge")
        running = run_bridge(self.network, made.url, made.owner_url, **settings)
        self._stack.callback(running.bridge.stop)
        return running

    def start_shanghai(self) -> Office:
        """Start Shanghai's node, wait for its line, and open an account."""
        made = self._database(region_fixtures._migrated, "region")
        node = build_node(self.network, SHANGHAI, (made.url, made.owner_url), self.running.address)
        node.region.start()
        self._stack.callback(node.region.stop)
        self.wait(lambda: node.region.sync.connected)
        office = Office(node, node.open_account().account_id)
        office.publish_methodology()
        return office

    def line(self, party: str) -> GrpcBridgeTokens:
        """Give a region's line to the token service."""
        channel = self.running.channel(party)
        self._stack.callback(channel.close)
        return GrpcBridgeTokens(channel, self.running.address)

    def book(self, party: str) -> TokenBook:
        """Give what makes a region's tokens, on the region's own pepper file."""
        pepper = self.network.network.node(party) / "keys" / PEPPER_NAME
        context = self.running.bridge.context
        return TokenBook(
            lambda: read_pepper(pepper),
            lambda: context.directory,
            self.line(party),
        )

    def leaving(self, claim: claims_pb2.Claim) -> claims_pb2.Claim:
        """Give a claim as its region lets it leave."""
        return self.books[claim.region].made(claim)

    def declare(self, claim: claims_pb2.Claim) -> claims_pb2.ClaimReceipt:
        """Let a region's claim leave, and declare it."""
        return self.declare_as_it_stands(self.leaving(claim))

    def declare_as_it_stands(self, claim: claims_pb2.Claim) -> claims_pb2.ClaimReceipt:
        """Declare a claim with the tokens that it has."""
        return declare(self.running, claim.region, claim).receipt

    def check(self, claim: claims_pb2.Claim) -> claims_pb2.Verdict:
        """Let a region's claim leave, and ask how it would be judged."""
        return self.check_as_it_stands(self.leaving(claim))

    def check_as_it_stands(self, claim: claims_pb2.Claim) -> claims_pb2.Verdict:
        """Ask how a claim would be judged with the tokens that it has."""
        stub = claims_pb2_grpc.ClaimServiceStub(self.running.channel(claim.region))
        request = claims_pb2.CheckClaimRequest(claim=claim)
        verdict: claims_pb2.Verdict = stub.CheckClaim(request, timeout=WAIT_SECONDS).verdict
        return verdict

    # -- keys

    def begin_epoch(self) -> int:
        """Make the next token key in the bridge's ring and publish it; its epoch."""
        key = Keyring.add_key(self.network.network.node(BRIDGE) / "keys", KeyRole.TOKEN)
        self.submit(key.entry())
        return int(key.signer.key_epoch)

    def end_epoch(self, key_epoch: int) -> int:
        """End a token key at the log's present size; the size."""
        context = self.running.bridge.context
        size = context.log_size + 1
        entry = next(
            one for one in context.directory.owned_by(BRIDGE, KeyRole.TOKEN) if one.epoch == key_epoch
        )
        self.submit(replace(entry, valid_to_index=size))
        return size

    def revoke_epoch(self, key_epoch: int) -> None:
        """Revoke a token key."""
        entries = self.running.bridge.context.directory.owned_by(BRIDGE, KeyRole.TOKEN)
        self.submit(replace(next(one for one in entries if one.epoch == key_epoch), revoked=True))

    def submit(self, entry: Any) -> None:
        """Hand a record of the bridge's key in, signed by the root of its authority."""
        root = self.network.network.root("authority/bridge")
        record = sign_key_record(self.network.network_id, root, entry)
        stub = directory_pb2_grpc.DirectoryServiceStub(self.running.channel(SHANGHAI_CENTRE))
        request_id = messages_pb2.KeyRecord.FromString(record.payload).header.message_id.hex()
        try:
            stub.SubmitKeyRecord(
                directory_pb2.SubmitKeyRecordRequest(request_id=request_id, record=record),
                timeout=WAIT_SECONDS,
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error, peer=BRIDGE, address="") from error

    @staticmethod
    def wait(condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("waited in vain")
            time.sleep(0.02)


def refusal(work: Callable[[], object]) -> DomainError:
    """Give the refusal of a call."""
    try:
        work()
    except DomainError as error:
        return error
    except grpc.RpcError as error:
        return from_rpc_error(error, peer=BRIDGE, address="")
    raise AssertionError("nothing was refused")
