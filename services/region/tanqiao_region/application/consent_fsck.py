"""fsck of mandates and consents: each stands in the journal as it was given, and as it was withdrawn."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tanqiao.api.region.v1 import journal_pb2
from tanqiao_region.application import journal
from tanqiao_region.application.consents import digest_of
from tanqiao_region.storage.consents import WITHDRAWN, ConsentRow, all_consents
from tanqiao_region.storage.tables import journal as journal_table


def check_consents(connection: sa.Connection, note: Callable[[str], None]) -> int:
    """Compare mandates and consents with the journal; how many there are.

    Args:
        connection: a snapshot.
        note: takes a finding.
    """
    columns = journal_table.c
    digests: dict[int, str] = {}
    withdrawn: dict[str, int] = {}
    kinds = (journal.CONSENTS_RECORDED, journal.CONSENT_WITHDRAWN)
    for row in connection.execute(
        sa.select(columns.journal_index, columns.kind, columns.subject_id, columns.entry).where(
            columns.kind.in_(kinds)
        )
    ):
        if row.kind == journal.CONSENT_WITHDRAWN:
            withdrawn[row.subject_id] = row.journal_index
        else:
            details = journal_pb2.JournalEntry.FromString(bytes(row.entry)).details
            digests[row.journal_index] = details["digest"]
    count = 0
    batch: list[ConsentRow] = []
    for one in all_consents(connection):
        count += 1
        if batch and batch[0].journal_index != one.journal_index:
            _check_batch(batch, digests, note)
            batch = []
        batch.append(one)
        ended = withdrawn.get(one.consent_id.hex())
        if (one.state == WITHDRAWN) != (ended is not None) or one.withdraw_journal_index != ended:
            note(f"consent {one.consent_id.hex()} is not in the state that the journal gives")
    if batch:
        _check_batch(batch, digests, note)
    for index in sorted(digests):
        note(f"journal {index}: what was given there is not on record")
    return count


def _check_batch(batch: list[ConsentRow], digests: dict[int, str], note: Callable[[str], None]) -> None:
    if digests.pop(batch[0].journal_index, None) != digest_of(batch):
        note(f"journal {batch[0].journal_index}: what users gave is not what was recorded")
