"""Entries of the journal: what happened, to which accounts, under which rules.

`added` and `removed` of an effect speak of units that an account *holds*: units that are locked for a
transfer or a use leave it, units that are released come back. From the entries alone every holding and every
state of a transfer can be made again (`tanqiao_region.application.fsck`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.region.v1 import journal_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_bytes, date_message
from tanqiao.signing.forms import bytes_field, number_field
from tanqiao_region.domain.rules.verdicts import PackIdentity, Verdict
from tanqiao_region.storage.journal import JournalRow

Kind = journal_pb2.JournalEventKind
Blocks = Sequence[UnitBlock]

ACCOUNT_OPENED: Final = journal_pb2.JOURNAL_EVENT_KIND_ACCOUNT_OPENED
ACCOUNT_HOLDER_SET: Final = journal_pb2.JOURNAL_EVENT_KIND_ACCOUNT_HOLDER_SET
ACCOUNT_CLOSED: Final = journal_pb2.JOURNAL_EVENT_KIND_ACCOUNT_CLOSED
METHODOLOGY_PUBLISHED: Final = journal_pb2.JOURNAL_EVENT_KIND_METHODOLOGY_PUBLISHED
PROJECT_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_PROJECT_CHANGED
ACTIVITY_RECORDED: Final = journal_pb2.JOURNAL_EVENT_KIND_ACTIVITY_RECORDED
ISSUANCE_REQUESTED: Final = journal_pb2.JOURNAL_EVENT_KIND_ISSUANCE_REQUESTED
UNITS_ISSUED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_ISSUED
ISSUANCE_REFUSED: Final = journal_pb2.JOURNAL_EVENT_KIND_ISSUANCE_REFUSED
UNITS_TRANSFERRED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_TRANSFERRED
UNITS_LOCKED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_LOCKED
UNITS_MOVED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_MOVED
UNITS_RELEASED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_RELEASED
TRANSFER_READY: Final = journal_pb2.JOURNAL_EVENT_KIND_TRANSFER_READY
UNITS_CREDITED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_CREDITED
TRANSFER_DROPPED: Final = journal_pb2.JOURNAL_EVENT_KIND_TRANSFER_DROPPED
TRANSFER_REFUSED: Final = journal_pb2.JOURNAL_EVENT_KIND_TRANSFER_REFUSED
UNITS_RETIRING: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_RETIRING
UNITS_RETIRED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_RETIRED
UNITS_CANCELLED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_CANCELLED
USE_RETURNED: Final = journal_pb2.JOURNAL_EVENT_KIND_USE_RETURNED
HOME_NOTICE: Final = journal_pb2.JOURNAL_EVENT_KIND_HOME_NOTICE
FROZEN: Final = journal_pb2.JOURNAL_EVENT_KIND_FROZEN
UNFROZEN: Final = journal_pb2.JOURNAL_EVENT_KIND_UNFROZEN
UNITS_CORRECTED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_CORRECTED
RESERVE_ENTERED: Final = journal_pb2.JOURNAL_EVENT_KIND_RESERVE_ENTERED
UNITS_FINAL: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_FINAL
DOSSIER_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_DOSSIER_CHANGED
EXPERT_KEPT: Final = journal_pb2.JOURNAL_EVENT_KIND_EXPERT_KEPT
UNITS_ENCUMBERED: Final = journal_pb2.JOURNAL_EVENT_KIND_UNITS_ENCUMBERED
ENCUMBRANCE_RELEASED: Final = journal_pb2.JOURNAL_EVENT_KIND_ENCUMBRANCE_RELEASED
PARAMETER_SET: Final = journal_pb2.JOURNAL_EVENT_KIND_PARAMETER_SET
PERSONAL_DATA_DELETED: Final = journal_pb2.JOURNAL_EVENT_KIND_PERSONAL_DATA_DELETED
EXPERIENCE_RECORDED: Final = journal_pb2.JOURNAL_EVENT_KIND_EXPERIENCE_RECORDED
MANDATE_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_MANDATE_CHANGED
CONSENTS_RECORDED: Final = journal_pb2.JOURNAL_EVENT_KIND_CONSENTS_RECORDED
CONSENT_WITHDRAWN: Final = journal_pb2.JOURNAL_EVENT_KIND_CONSENT_WITHDRAWN
RESERVE_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_RESERVE_CHANGED
CLAWBACK_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_CLAWBACK_CHANGED
CERTIFICATE_CHANGED: Final = journal_pb2.JOURNAL_EVENT_KIND_CERTIFICATE_CHANGED
CLAIM_NOTICED: Final = journal_pb2.JOURNAL_EVENT_KIND_CLAIM_NOTICED
AGREEMENT_RECORDED: Final = journal_pb2.JOURNAL_EVENT_KIND_AGREEMENT_RECORDED

RULES_KEPT_MAX: Final = 4096
ACCOUNTS_KEPT_MAX: Final = 16_384
_KIND: Final = journal_pb2.JournalEntry.KIND_FIELD_NUMBER
_SUBJECT_ID: Final = journal_pb2.JournalEntry.SUBJECT_ID_FIELD_NUMBER
_EFFECTS: Final = journal_pb2.JournalEntry.EFFECTS_FIELD_NUMBER
_MESSAGE_HASH: Final = journal_pb2.JournalEntry.MESSAGE_HASH_FIELD_NUMBER
_DETAILS: Final = journal_pb2.JournalEntry.DETAILS_FIELD_NUMBER
_ACCOUNT_ID: Final = journal_pb2.AccountEffect.ACCOUNT_ID_FIELD_NUMBER
_ADDED: Final = journal_pb2.AccountEffect.ADDED_FIELD_NUMBER
_REMOVED: Final = journal_pb2.AccountEffect.REMOVED_FIELD_NUMBER


class Effect(NamedTuple):
    """One account's side of an event; the blocks that it holds more or less."""

    account_id: str
    added: Blocks = ()
    removed: Blocks = ()


class Applied(NamedTuple):
    """The rules under which something was decided, as an entry stores them."""

    pack: PackIdentity
    rule_ids: tuple[str, ...] = ()

    @staticmethod
    def of(verdict: Verdict) -> Applied:
        """Give what an entry stores of a verdict."""
        return Applied(verdict.pack, verdict.rules_applied)


@lru_cache(maxsize=RULES_KEPT_MAX)
def _rules_bytes(pack_id: str, version: str, digest: str, rule_ids: tuple[str, ...]) -> bytes:
    """Give the part of an entry that says which rules applied.

    Serialised messages that are put one behind the other read as one message with the fields of both
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins), so that this part is made once.
    """
    return journal_pb2.JournalEntry(
        rule_pack_id=pack_id,
        rule_pack_version=version,
        rule_pack_digest=bytes.fromhex(digest),
        rule_ids=rule_ids,
    ).SerializeToString()


@lru_cache(maxsize=RULES_KEPT_MAX)
def _shared_bytes(details: tuple[tuple[str, str], ...]) -> bytes:
    """Give the part of an entry that many entries share; see `_rules_bytes`."""
    return _details_bytes(dict(details))


def _details_bytes(details: Mapping[str, str]) -> bytes:
    """Give the details of an entry: a map is written as messages of key (1) and value (2)."""
    return b"".join(
        [
            bytes_field(_DETAILS, bytes_field(1, name.encode()) + bytes_field(2, value.encode()))
            for name, value in details.items()
        ]
    )


@lru_cache(maxsize=ACCOUNTS_KEPT_MAX)
def _account_id_field(account_id: str) -> bytes:
    return bytes_field(_ACCOUNT_ID, account_id.encode())


def _effect_bytes(effect: Effect) -> bytes:
    return b"".join(
        [
            _account_id_field(effect.account_id),
            *[bytes_field(_ADDED, block_bytes(block)) for block in effect.added],
            *[bytes_field(_REMOVED, block_bytes(block)) for block in effect.removed],
        ]
    )


def entry_bytes(
    kind: int,
    *,
    dated: bytes,
    subject_id: str,
    effects: Iterable[Effect],
    applied: Applied | None,
    message_hash: bytes,
    details: Mapping[str, str],
    shared: Mapping[str, str],
) -> bytes:
    """Give the serialised entry without its index."""
    # Field by field: as a message with messages in it an entry costs four times as much.
    parts = [dated, number_field(_KIND, kind)]
    if subject_id:
        parts.append(bytes_field(_SUBJECT_ID, subject_id.encode()))
    parts += [bytes_field(_EFFECTS, _effect_bytes(effect)) for effect in effects]
    if message_hash:
        parts.append(bytes_field(_MESSAGE_HASH, message_hash))
    if details:
        parts.append(_details_bytes(details))
    if shared:
        parts.append(_shared_bytes(tuple(shared.items())))
    if applied is not None:
        pack = applied.pack
        parts.append(_rules_bytes(pack.pack_id, pack.version, pack.digest, applied.rule_ids))
    return b"".join(parts)


def entry_message(row: JournalRow, seen: frozenset[str] | None = None) -> journal_pb2.JournalEntry:
    """Give an entry as it is read: with its index, and only the sides of the accounts that are seen."""
    entry = journal_pb2.JournalEntry.FromString(row.entry)
    entry.journal_index = row.journal_index
    if seen is not None:
        shown = [effect for effect in entry.effects if effect.account_id in seen]
        if len(shown) < len(entry.effects):
            del entry.effects[:]
            entry.effects.extend(shown)
    return entry


class JournalBuffer:
    """Entries of one group, with their indexes, until they are written.

    Args:
        last_index: last index of the journal when the group began.
        recorded_at: time of the group, epoch seconds.
        legal_date: legal date of the group, ISO.
    """

    __slots__ = ("_dated", "_legal_date", "_recorded_at", "accounts", "last_index", "rows")

    def __init__(self, last_index: int, recorded_at: int, legal_date: str) -> None:
        self.last_index = last_index
        self.rows: list[JournalRow] = []
        self.accounts: list[tuple[str, int]] = []
        self._recorded_at = recorded_at
        self._legal_date = legal_date
        # The part that all entries of the group share; see `_rules_bytes`.
        self._dated = journal_pb2.JournalEntry(
            record_time=Timestamp(seconds=recorded_at), legal_date=date_message(legal_date)
        ).SerializeToString()

    def append(
        self,
        kind: int,
        subject_id: str,
        effects: Sequence[Effect] = (),
        *,
        applied: Applied | None = None,
        message_hash: bytes = b"",
        details: Mapping[str, str] | None = None,
        shared: Mapping[str, str] | None = None,
    ) -> int:
        """Add an entry; its index. `shared` are details that many entries have alike."""
        self.last_index += 1
        index = self.last_index
        entry = entry_bytes(
            kind,
            dated=self._dated,
            subject_id=subject_id,
            effects=effects,
            applied=applied,
            message_hash=message_hash,
            details=details or {},
            shared=shared or {},
        )
        self.rows.append(JournalRow(index, kind, self._recorded_at, self._legal_date, subject_id, entry))
        if len(effects) == 1:
            self.accounts.append((effects[0].account_id, index))
        else:
            self.accounts.extend((account_id, index) for account_id in {one.account_id for one in effects})
        return index
