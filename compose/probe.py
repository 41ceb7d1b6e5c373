"""Health check of a container: ask the node on this machine, with its own certificate, whether it serves.

Usage: probe.py NODE_DIRECTORY PORT. Exit code 0: it serves. 1: it does not, or gives no answer;
one line says which.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.certificates import TlsFiles

TIMEOUT_SECONDS: Final = 3.0
ARGUMENTS: Final = 2


def state_of(node_directory: Path, port: int) -> str:
    """Return the node's answer, for example `SERVING`; raise DomainError or RpcError where there is none."""
    with open_channel(f"127.0.0.1:{port}", TlsFiles.of(node_directory / "tls")) as channel:
        check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
            channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
        )
        answer = check(health_pb2.HealthCheckRequest(service=""), timeout=TIMEOUT_SECONDS)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def main(arguments: list[str]) -> int:
    """Print the state and return 0 if the node serves."""
    if len(arguments) != ARGUMENTS or not arguments[1].isdecimal():
        print("usage: probe.py NODE_DIRECTORY PORT")
        return 1
    try:
        state = state_of(Path(arguments[0]), int(arguments[1]))
    except grpc.RpcError as error:
        # Errors of a call that was made know their code, which the stubs do not say; the text has many lines.
        code = getattr(error, "code", None)
        print(f"no answer: {code().name if callable(code) else 'no connection'}")
        return 1
    except DomainError as error:
        print(f"cannot ask: {error}")
        return 1
    print(state)
    return 0 if state == "SERVING" else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
