"""A bridge with real gateways beside it, and short ways to ask it about invented claims (虚构)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import (
    claims_pb2,
    claims_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
)
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.pae import message_hash
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao.testing.databases import DatabaseMaker, DatabaseUnderTest
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.remote import list_watch
from tests.contract.bridge.harness import (
    WAIT_SECONDS,
    Running,
    claim_of,
    declare,
    run_bridge,
)
from tests.contract.bridge.lists import RunningList, ccer_project, certificates, run_list

WATCH_SECONDS = 3_600.0
FREE = "99310000000000701"
APPLIED = "99310000000000702"
SOLD = "99310000000000703"
UNSOLD = "99310000000000704"
WITHDRAWN = "99310000000000705"
OWNED = "99310000000000706"
OWNER = "91440300708461136T"

GEC = (
    certificates("GEC-SOLD", SOLD, state="TRANSFERRED"),
    certificates("GEC-UNSOLD", UNSOLD),
    certificates("GEC-OWNED", OWNED, owner_uscc=OWNER, state="TRANSFERRED"),
)
CCER = (
    ccer_project("CCER-77", APPLIED),
    ccer_project("CCER-78", WITHDRAWN, stage="withdrawn"),
)

DECLARED = claims_pb2.CLAIM_STATUS_DECLARED
NOTICE = claims_pb2.CLAIM_STATUS_NOTICE
REGISTERED = claims_pb2.CLAIM_STATUS_REGISTERED
ISSUED = claims_pb2.CLAIM_STATUS_ISSUED
WITHDRAWN_STATUS = claims_pb2.CLAIM_STATUS_WITHDRAWN
REJECTED = claims_pb2.CLAIM_STATUS_REJECTED
CANCELLED = claims_pb2.CLAIM_STATUS_CANCELLED
PROJECT = claims_pb2.CLAIM_OBJECT_PROJECT
ALLOW = claims_pb2.VERDICT_KIND_ALLOW
BLOCK = claims_pb2.VERDICT_KIND_BLOCK
HOLD = claims_pb2.VERDICT_KIND_HOLD
FREEZE_OTHER = claims_pb2.VERDICT_KIND_FREEZE_OTHER


@dataclass
class Office:
    """A bridge with its gateways, and short ways to ask it."""

    running: Running
    lists: dict[str, RunningList]
    network: NetworkOfTest
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    def stub(self, party: str) -> claims_pb2_grpc.ClaimServiceStub:
        if party not in self._channels:
            self._channels[party] = self.running.channel(party)
        return claims_pb2_grpc.ClaimServiceStub(self._channels[party])

    def close_channels(self) -> None:
        """Close what is open to a bridge that will be gone."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def check(self, claim: claims_pb2.Claim, party: str = "") -> claims_pb2.Verdict:
        """Check a claim; the verdict as signed, its signature verified."""
        party = party or claim.region
        response = self.stub(party).CheckClaim(
            claims_pb2.CheckClaimRequest(claim=claim), timeout=WAIT_SECONDS
        )
        opened = self.verified(response.envelope, party)
        assert opened.message == response.verdict
        return response.verdict

    def declared(self, claim: claims_pb2.Claim) -> claims_pb2.ClaimReceipt:
        """Declare a claim; the receipt as signed, its signature verified."""
        response = declare(self.running, claim.region, claim)
        opened = self.verified(response.envelope, claim.region)
        assert opened.message == response.receipt
        self.require_leaf(response.envelope, response.receipt.log_index)
        return response.receipt

    def move(
        self, claim_id: str, status: int, region: str = SHANGHAI, **changes: Any
    ) -> claims_pb2.ClaimReceipt:
        """Move a claim on, or out; the receipt, verified and found in the log."""
        statement = claims_pb2.ClaimStatement(claim_id=claim_id, status=status, reason="test", **changes)  # type: ignore[arg-type]
        envelope = self.network.envelope(statement, region)
        stub = self.stub(region)
        response: Any
        if status in (WITHDRAWN_STATUS, REJECTED, CANCELLED):
            response = call(
                lambda: stub.ReleaseClaim(claims_pb2.ReleaseClaimRequest(envelope=envelope), timeout=60)
            )
        else:
            response = call(
                lambda: stub.RegisterClaim(claims_pb2.RegisterClaimRequest(envelope=envelope), timeout=60)
            )
        self.verified(response.envelope, region)
        self.require_leaf(response.envelope, response.receipt.log_index)
        receipt: claims_pb2.ClaimReceipt = response.receipt
        return receipt

    def verified(self, envelope: envelope_pb2.Envelope, reader: str) -> Opened:
        """Open an envelope of the bridge as its reader does."""
        verifier = Verifier(self.network.network_id, reader)
        allowed = allow(claims_pb2.Verdict, claims_pb2.ClaimReceipt, senders=(BRIDGE,))
        return verifier.open_envelope(
            envelope, self.network.directory, allowed=allowed, peer=None, at_index=1_000_000
        )

    def require_leaf(self, envelope: envelope_pb2.Envelope, log_index: int) -> None:
        """Demand that the log names this very message at its index."""
        stub = directory_pb2_grpc.DecisionServiceStub(self._channels[SHENZHEN])
        entries = stub.ListLogEntries(
            directory_pb2.ListLogEntriesRequest(from_index=log_index, page_size=1), timeout=WAIT_SECONDS
        ).entries
        leaf = decode_leaf(entries[0].leaf)
        assert leaf.kind == "claim"
        assert message_hash(envelope.payload_type, envelope.payload) in leaf.message_hashes
        assert self.network.signer(BRIDGE).key_id in leaf.signer_key_ids

    def status_of(self, claim_id: str) -> int:
        response = self.stub(YUNNAN).GetClaim(claims_pb2.GetClaimRequest(claim_id=claim_id), timeout=60)
        return int(response.claim.status)

    def require_clean(self) -> None:
        report = check_database(self.running.bridge.database)
        assert report.clean, report.as_text()


def call(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except grpc.RpcError as error:
        raise from_rpc_error(error) from None


def refusal(work: Callable[..., Any], *arguments: object) -> DomainError:
    with pytest.raises(DomainError) as caught:
        call(lambda: work(*arguments))
    assert caught.value.sentence("zh")
    assert caught.value.sentence("en")
    return caught.value


@pytest.fixture
def lists(
    network: NetworkOfTest, database_kind: str, database_maker: DatabaseMaker
) -> Iterator[dict[str, RunningList]]:
    """Both gateways, each with its small list."""
    started = {name: run_list(network, name, database_maker, database_kind) for name in ("ccer", "gec")}
    started["ccer"][0].load(CCER)
    started["gec"][0].load(GEC)
    yield {name: running for name, (running, _) in started.items()}
    for running, made in started.values():
        running.gateway.stop()
        database_maker.drop(made)


@pytest.fixture
def office(
    network: NetworkOfTest,
    bridge_database: DatabaseUnderTest,
    lists: dict[str, RunningList],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    """A bridge that asks both gateways; tests look at the lists themselves, its own thread does not."""
    # On a busy machine the thread would look first, and a test's own look would find nothing any more.
    monkeypatch.setattr(list_watch, "WATCH_SECONDS", WATCH_SECONDS)
    running = run_bridge(
        network,
        bridge_database.url,
        bridge_database.owner_url,
        gateways={name: one.address for name, one in lists.items()},
    )
    office = Office(running, lists, network)
    office.stub(SHENZHEN)
    yield office
    office.close_channels()
    office.running.bridge.stop()


def in_shenzhen(claim_id: str, **changes: Any) -> claims_pb2.Claim:
    return claim_of(claim_id, region=SHENZHEN, **changes)
