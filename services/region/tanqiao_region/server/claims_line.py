"""Claims over the line to the bridge: deadlines, verified receipts, and what a failed call leaves open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2, claims_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao_region.application.claims_client import (
    OutcomeUnknownError,
    Receipt,
    Verb,
    open_receipt,
    open_verdict,
    verb_of,
)
from tanqiao_region.application.context import BRIDGE, RegionContext

CALL_SECONDS: Final = 20.0
"""Longest wait for an answer of the bridge; it asks outside registries before it judges."""
CONNECT_SECONDS: Final = 3.0
UNCERTAIN_STATUSES: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "ABORTED", "RESOURCE_EXHAUSTED", "UNKNOWN"}
)
"""Statuses after which nobody knows whether the bridge has stored the statement."""


class GrpcBridgeClaims:
    """The bridge over its line.

    Args:
        context: the node's own things.
        channel: to the bridge, with this node's certificate.
        address: of the bridge, for the sentences of refusals.
        call_seconds: deadline of a call.
    """

    def __init__(
        self,
        context: RegionContext,
        channel: grpc.Channel,
        address: str,
        *,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._context = context
        self._channel = channel
        self._address = address
        self._call_seconds = call_seconds
        stub = claims_pb2_grpc.ClaimServiceStub(channel)
        self._check = stub.CheckClaim
        self._calls: dict[Verb, tuple[Callable[..., Any], Callable[..., Message]]] = {
            Verb.DECLARE: (stub.DeclareClaim, claims_pb2.DeclareClaimRequest),
            Verb.REGISTER: (stub.RegisterClaim, claims_pb2.RegisterClaimRequest),
            Verb.RELEASE: (stub.ReleaseClaim, claims_pb2.ReleaseClaimRequest),
        }

    def require_reachable(self) -> None:
        """Refuse with PEER_UNREACHABLE unless the line to the bridge is up within `CONNECT_SECONDS`."""
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout=CONNECT_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise DomainError(
                "PEER_UNREACHABLE", peer=BRIDGE, address=self._address, detail="the line is not up"
            ) from error
        finally:
            ready.cancel()

    def check(self, claim: claims_pb2.Claim) -> claims_pb2.Verdict:
        """Ask how a claim would be judged; the verdict is verified, nothing is stored."""
        try:
            response = self._check(claims_pb2.CheckClaimRequest(claim=claim), timeout=self._call_seconds)
        except grpc.RpcError as error:
            raise from_rpc_error(error, peer=BRIDGE, address=self._address) from error
        return open_verdict(self._context, response.envelope)

    def send(self, envelope: envelope_pb2.Envelope) -> Receipt:
        """Send a signed statement and verify the receipt."""
        call, request = self._calls[verb_of(envelope)]
        try:
            response = call(request(envelope=envelope), timeout=self._call_seconds)
        except grpc.RpcError as error:
            refusal = from_rpc_error(error, peer=BRIDGE, address=self._address)
            if refusal.reason.grpc_status in UNCERTAIN_STATUSES:
                raise OutcomeUnknownError(refusal) from error
            raise refusal from error
        try:
            return open_receipt(self._context, envelope, response.envelope)
        except DomainError as refusal:
            raise OutcomeUnknownError(refusal) from refusal
