"""Tokens over the line to the bridge: blinded elements out, evaluated ones and their proof in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import grpc

from tanqiao.api.bridge.v1 import claims_pb2, tokens_pb2, tokens_pb2_grpc
from tanqiao.rpc.errors import from_rpc_error
from tanqiao_region.application.context import BRIDGE

CALL_SECONDS: Final = 20.0
STALE_PER_PAGE: Final = 100

Answer = TypeVar("Answer")


class GrpcBridgeTokens:
    """The bridge's token service over the node's line."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = tokens_pb2_grpc.TokenServiceStub(channel)
        self._address = address

    def evaluate(self, key_epoch: int, blinded_elements: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        """Have elements evaluated under a key: (evaluated elements, proof)."""
        request = tokens_pb2.EvaluateElementsRequest(key_epoch=key_epoch, blinded_elements=blinded_elements)
        answer = self._call(self._stub.EvaluateElements, request)
        return list(answer.evaluated_elements), answer.proof

    def stale_claims(self, page_token: str) -> tuple[list[claims_pb2.Claim], str]:
        """Give a page of this node's live claims without tokens under the newest key."""
        request = tokens_pb2.ListStaleClaimsRequest(page_size=STALE_PER_PAGE, page_token=page_token)
        answer = self._call(self._stub.ListStaleClaims, request)
        return list(answer.claims), answer.next_page_token

    def renew(self, renewed: Sequence[tokens_pb2.RenewedTokens]) -> None:
        """Hand in tokens under the newest key."""
        self._call(self._stub.RenewTokens, tokens_pb2.RenewTokensRequest(renewed=renewed))

    def _call(self, method: Callable[..., Answer], request: Any) -> Answer:  # noqa: ANN401 - of any method
        try:
            return method(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            raise from_rpc_error(error, peer=BRIDGE, address=self._address) from error
