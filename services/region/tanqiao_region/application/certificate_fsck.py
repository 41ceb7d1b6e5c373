"""fsck of certificates: their histories, the retirements behind them, and what was signed of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from tanqiao.api.region.v1 import certificates_pb2
from tanqiao.protocol.types import SourceState
from tanqiao_region.application.certificates import PUBLIC_STATES, REGISTER
from tanqiao_region.application.register_history import check_history
from tanqiao_region.storage.certificates import CertificateRow, all_certificates
from tanqiao_region.storage.transfers import load_outgoing


def check_certificates(
    connection: sa.Connection, outgoing: Mapping[bytes, SourceState], note: Callable[[str], None]
) -> int:
    """Compare certificates with their histories and with the books; how many there are.

    Args:
        connection: a snapshot.
        outgoing: states of transfers and uses as the journal gives them.
        note: takes a finding.
    """
    states: dict[str, tuple[int, str]] = {}
    live: Counter[bytes] = Counter()
    for state, row in all_certificates(connection):
        message = row.message
        states[message.number] = (row.steps, state)
        if message.state != state:
            note(f"certificate {message.number} says another state than its row")
        if outgoing.get(row.transfer_id) is not SourceState.USED:
            note(f"certificate {message.number}: nothing was retired by {row.transfer_id.hex()}")
        live[row.transfer_id] += state in ("REQUESTED", "RECOGNISED", "CERTIFIED")
        if live[row.transfer_id] > 1:
            note(f"certificate {message.number}: the retirement backs another one that lives")
        if state in PUBLIC_STATES and not _says_what_was_signed(connection, row):
            note(f"certificate {message.number} is not what was signed, or not what was retired")
    check_history(connection, REGISTER, states, note)
    return len(states)


def _says_what_was_signed(connection: sa.Connection, row: CertificateRow) -> bool:
    message = row.message
    signed = certificates_pb2.NeutralityCertificate.FromString(message.envelope.payload)
    use = load_outgoing(connection, signed.header.source, [row.transfer_id]).get(row.transfer_id)
    retired = [] if use is None else [str(block) for block in use.record.blocks]
    named = [f"{one.series_id}[{one.start_serial},{one.end_serial})" for one in signed.blocks]
    shown = (message.number, message.quantity_kg, message.purpose, message.beneficiary_name)
    told = (signed.number, signed.quantity_kg, signed.purpose, signed.beneficiary_name)
    return named == retired and list(message.blocks) == list(signed.blocks) and shown == told
