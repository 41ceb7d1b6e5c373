"""fsck of what bodies have signed: each signature holds, and each joint step has those of all its bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import sqlalchemy as sa

from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import decisions_pb2, dossiers_pb2, journal_pb2, registers_pb2
from tanqiao.signing.body_decisions import DECISION_TYPE, HANDS
from tanqiao.signing.directory import KeyDirectory
from tanqiao.signing.holding import SignatureChecks
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import parse_party
from tanqiao_region.application import journal
from tanqiao_region.storage.body_decisions import SignatureRow, StatementRow, all_statements
from tanqiao_region.storage.dossier_tables import dossier_signature, dossier_step
from tanqiao_region.storage.tables import journal as journal_table
from tanqiao_region.storage.tables import project

Note = Callable[[str], None]
APPROVED_KINDS = (
    journal.PARAMETER_SET,
    journal.UNITS_RETIRING,
    journal.CERTIFICATE_CHANGED,
    journal.ISSUANCE_REQUESTED,
)
"""Kinds of entries that name an approval where they were made with one."""


class Joint(NamedTuple):
    """A step that bodies took together: its name, what they signed, and the roles that are said to have."""

    name: str
    decision_digest: bytes
    roles: frozenset[str]


def check_body_decisions(connection: sa.Connection, directory: KeyDirectory, note: Note) -> int:
    """Check every decision that was signed, and that every joint step has its signatures; how many there are.

    Args:
        connection: a snapshot.
        directory: the keys, those that have ended or were revoked too.
        note: takes a finding.
    """
    checks = SignatureChecks(directory)
    roles_of: dict[bytes, set[str]] = {}
    hands_of: dict[bytes, set[tuple[str, str]]] = {}
    count = 0
    for row, signatures in all_statements(connection):
        count += 1
        _check_statement(row, signatures, checks, directory, note)
        for one in signatures:
            roles_of.setdefault(one.decision_digest, set()).add(parse_party(one.party).role)
            hands_of.setdefault(row.message_hash, set()).add((one.party, one.holder))
    for step in _joint_steps(connection):
        for missing in sorted(step.roles - roles_of.get(step.decision_digest, set())):
            note(f"{step.name} was decided together, and {missing} has not signed it")
    for name, approval in _approvals(connection):
        if len(hands_of.get(approval, ())) < HANDS:
            note(f"{name} rests on approval {approval.hex()}, which two have not signed")
    return count


def _check_statement(
    row: StatementRow,
    signatures: list[SignatureRow],
    checks: SignatureChecks,
    directory: KeyDirectory,
    note: Note,
) -> None:
    name = f"decision {row.message_hash.hex()}"
    message = decisions_pb2.BodyDecision.FromString(row.payload)
    if message_hash(DECISION_TYPE, row.payload) != row.message_hash:
        note(f"{name} is kept under the hash of another one")
    said = (message.kind, message.object_id, message.decision_digest)
    if said != (row.kind, row.object_id, row.decision_digest):
        note(f"{name}: its columns are not what was signed")
    envelope = envelope_pb2.Envelope(
        payload=row.payload,
        payload_type=DECISION_TYPE,
        signatures=[envelope_pb2.Signature(key_id=one.key_id, signature=one.signature) for one in signatures],
    )
    if not checks.hold(envelope):
        note(f"{name}: a signature does not hold")
    for one in signatures:
        entry = directory.get(one.key_id)
        noted = (one.party, one.holder, one.decision_digest)
        if entry is None or (entry.owner, entry.holder, row.decision_digest) != noted:
            note(f"{name}: a signature is noted as that of another hand")
        elif not entry.valid_at(row.log_index):
            note(f"{name}: a key under it was not valid at log index {row.log_index}")


def _joint_steps(connection: sa.Connection) -> Iterator[Joint]:
    """Give what bodies decided together; what was noted before they had keys of their own is left out."""
    columns = dossier_signature.c
    before_keys = {bytes(row[0]) for row in connection.execute(sa.select(columns.decision_digest))}
    for joint in _said_to_be_joint(connection):
        if joint.decision_digest not in before_keys and len(joint.roles) > 1:
            yield joint


def _said_to_be_joint(connection: sa.Connection) -> Iterator[Joint]:
    steps = dossier_step.c
    for row in connection.execute(sa.select(steps.dossier_id, steps.content)):
        step = dossiers_pb2.DossierStep.FromString(bytes(row.content))
        name = f"step {step.step_number} of dossier {row.dossier_id}"
        yield Joint(name, step.decision_digest, frozenset(step.signed_by))
    for row in connection.execute(sa.select(project.c.project_id, project.c.content)):
        for number, change in enumerate(
            registers_pb2.Project.FromString(bytes(row.content)).history, start=1
        ):
            name = f"change {number} of {row.project_id}"
            yield Joint(name, change.decision_digest, frozenset(change.signed_by))


def _approvals(connection: sa.Connection) -> Iterator[tuple[str, bytes]]:
    columns = journal_table.c
    rows = connection.execute(sa.select(columns.entry).where(columns.kind.in_(APPROVED_KINDS)))
    for row in rows:
        entry = journal_pb2.JournalEntry.FromString(bytes(row.entry))
        if approval := entry.details.get("approval"):
            yield f"entry {entry.journal_index} ({entry.subject_id})", bytes.fromhex(approval)
