"""A server's certificate, read again when its files change: renewal needs no restart.

The files are looked at for each new connection (three calls of `stat`); connections that stand keep the
certificate that they began with, also beyond its end: TLS judges it at the handshake. Files that are not
sound (half copied, expired, another party's) are not taken; the server keeps what it has and logs it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import grpc
import structlog

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.certificates import TlsFiles, TlsMaterial, load_tls

__all__ = ["server_credentials"]

_log = structlog.get_logger("tanqiao.rpc.tls")


def server_credentials(
    files: TlsFiles, first: TlsMaterial, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> grpc.ServerCredentials:
    """Give credentials that follow the files; `first` is what they held when the server was built."""
    watch = _Watch(files, first, now)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first),
        watch.newer,  # type: ignore[arg-type] # None is documented: the configuration in use stays
        require_client_authentication=True,
    )


class _Watch:
    """Notices that the files are others than those in use."""

    def __init__(self, files: TlsFiles, first: TlsMaterial, now: Callable[[], datetime]) -> None:
        self._files = files
        self._first = first
        self._now = now
        self._seen = self._look()
        self._lock = Lock()

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Give the configuration for a new connection; None: the one in use stays."""
        with self._lock:
            seen = self._look()
            if seen == self._seen:
                return None
            self._seen = seen
            try:
                material = self._read()
            except DomainError as refusal:
                _log.warning("certificate_not_taken", file=str(self._files.certificate), reason=str(refusal))
                return None
        _log.info("certificate_renewed", file=str(self._files.certificate), not_after=str(material.not_after))
        return _configuration(material)

    def _read(self) -> TlsMaterial:
        material = load_tls(self._files, now=self._now())
        if (material.network_id, material.party) != (self._first.network_id, self._first.party):
            raise DomainError("CERTIFICATE_INVALID", detail=f"it names {material.party.path}")
        return material

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._files.ca, self._files.certificate, self._files.key))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key_pem, material.certificate_pem)], material.ca_pem
    )
