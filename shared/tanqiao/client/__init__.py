"""The SDK: typed stubs of each server with deadlines, bounded retries and refusals as `DomainError`.

    from tanqiao.client import Federation
    with Federation({"bridge": "127.0.0.1:7400"}, tls, …) as federation:
        federation.bridge.directory.ListRegions(directory_pb2.ListRegionsRequest())

A mutating request is sent again only with the same bytes and the same request id, so that it has one effect.
"""

from __future__ import annotations

from tanqiao.client.calls import CallPolicy, ClientChannel
from tanqiao.client.servers import (
    BridgeClient,
    Federation,
    GatewayClient,
    RegionClient,
    ServerClient,
)

__all__ = [
    "BridgeClient",
    "CallPolicy",
    "ClientChannel",
    "Federation",
    "GatewayClient",
    "RegionClient",
    "ServerClient",
]
