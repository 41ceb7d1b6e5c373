"""Connections of a client: TLS with its own certificate, bounded messages, keepalive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import grpc

from tanqiao.rpc.server import (
    KEEPALIVE_TIMEOUT_MS,
    PING_INTERVAL_MIN_MS,
    TRANSPORT_BYTES_MAX,
    parse_address,
)
from tanqiao.signing.certificates import TlsFiles, load_tls

KEEPALIVE_TIME_MS: Final = 20_000
CONNECT_MS: Final = 10_000
"""How long one attempt to connect may take; gRPC calls it a backoff, and cuts handshakes that take longer."""
RECONNECT_MIN_MS: Final = 100
RECONNECT_MAX_MS: Final = 2_000

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", TRANSPORT_BYTES_MAX),
    ("grpc.max_send_message_length", TRANSPORT_BYTES_MAX),
    ("grpc.keepalive_time_ms", max(KEEPALIVE_TIME_MS, PING_INTERVAL_MIN_MS)),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(address: str, tls: TlsFiles, *, now: datetime | None = None) -> grpc.Channel:
    """Open a channel with the party's own certificate; it connects with the first call.

    Args:
        address: ``host:port``.
        tls: files of the party that calls.
        now: moment against which the certificate is judged; the present one if it is not given.

    Raises:
        DomainError: SETTING_INVALID, FILE_MISSING, KEY_FILE_PERMISSIONS, KEY_FILE_INVALID,
            CERTIFICATE_INVALID, CERTIFICATE_EXPIRED.
    """
    parse_address(address)
    material = load_tls(tls, now=now or datetime.now(UTC))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=material.ca_pem,
        private_key=material.key_pem,
        certificate_chain=material.certificate_pem,
    )
    return grpc.secure_channel(address, credentials, options=OPTIONS)
