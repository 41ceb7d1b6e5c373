"""A client process of the race for one asset: sends each line of its input as a DeclareClaim.

Usage: ``python claimant.py ADDRESS CA CERTIFICATE KEY``. A line is a request in hexadecimal; the answer is
the response in hexadecimal, or ``!`` and the status of the refusal. It stands on stock gRPC alone, as a
client in another language would.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc

METHOD = "/tanqiao.api.bridge.v1.ClaimService/DeclareClaim"
SECONDS = 60


def main() -> None:
    address, ca, certificate, key = sys.argv[1:]
    credentials = grpc.ssl_channel_credentials(
        Path(ca).read_bytes(), Path(key).read_bytes(), Path(certificate).read_bytes()
    )
    with grpc.secure_channel(address, credentials) as channel:
        grpc.channel_ready_future(channel).result(SECONDS)
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        print("ready", flush=True)
        for line in sys.stdin:
            try:
                answer = call(bytes.fromhex(line.strip()), timeout=SECONDS).hex()
            except grpc.RpcError as error:
                answer = f"!{error.code().name} {error.details()}"
            print(answer, flush=True)


if __name__ == "__main__":
    main()
