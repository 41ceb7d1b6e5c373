"""Certificates of carbon neutrality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import certificates_pb2
from tanqiao.db.bulk import insert_rows, update_by_key
from tanqiao_region.storage.certificate_tables import LIVE, certificate

_COLUMNS: Final = (
    certificate.c.content,
    certificate.c.transfer_id,
    certificate.c.submitted_by,
    certificate.c.steps,
    certificate.c.journal_index,
)


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A certificate as it stands: what is shown, and what only the node knows."""

    message: certificates_pb2.Certificate
    transfer_id: bytes
    submitted_by: str
    steps: int
    journal_index: int


def _values(row: CertificateRow) -> tuple[object, ...]:
    message = row.message
    return (
        message.number,
        row.transfer_id,
        message.state,
        message.account_id,
        row.submitted_by,
        row.steps,
        row.journal_index,
        message.SerializeToString(deterministic=True),
    )


def _row(found: Any) -> CertificateRow:  # noqa: ANN401 - a row of these columns
    message = certificates_pb2.Certificate.FromString(bytes(found.content))
    return CertificateRow(
        message, bytes(found.transfer_id), found.submitted_by, found.steps, found.journal_index
    )


def insert_certificate(connection: sa.Connection, row: CertificateRow) -> None:
    """Note a request."""
    insert_rows(connection, certificate, [_values(row)])


def update_certificate(connection: sa.Connection, row: CertificateRow) -> None:
    """Write a certificate as it stands now."""
    number, _, state, _, _, steps, _, content = _values(row)
    update_by_key(
        connection, certificate, ("number",), ("state", "steps", "content"), [(number, state, steps, content)]
    )


def load_certificate(connection: sa.Connection, number: str) -> CertificateRow | None:
    """Give a certificate, or None."""
    found = connection.execute(sa.select(*_COLUMNS).where(certificate.c.number == number)).first()
    return None if found is None else _row(found)


def live_certificate(connection: sa.Connection, transfer_id: bytes) -> CertificateRow | None:
    """Give the certificate that lives on a retirement, or None."""
    found = connection.execute(
        sa.select(*_COLUMNS).where(certificate.c.transfer_id == transfer_id, sa.text(LIVE))
    ).first()
    return None if found is None else _row(found)


def list_certificates(
    connection: sa.Connection, states: Sequence[str], *, after: str, limit: int
) -> list[CertificateRow]:
    """Give a page of certificates in the order of their numbers, of these states or of any."""
    columns = certificate.c
    statement = sa.select(*_COLUMNS).where(columns.number > after).order_by(columns.number).limit(limit)
    if states:
        statement = statement.where(columns.state.in_(states))
    return [_row(found) for found in connection.execute(statement)]


def all_certificates(connection: sa.Connection) -> Iterator[tuple[str, CertificateRow]]:
    """Walk over every certificate: the state of its row, and the row."""
    for found in connection.execute(sa.select(*_COLUMNS, certificate.c.state)):
        yield found.state, _row(found)
