"""Key directory: which key belongs to whom, for what, and from which log index to which.

A snapshot is immutable; a change gives a new one, so that readers need no lock. Validity is judged by the
bridge's log index, never by time (PROTOCOL section 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.suites import SuiteId, Verify, key_id_of, suite_of

KEYS_MAX: Final = 100_000
"""Most keys that a directory holds: a bound for memory, far above any federation."""
HOLDER_LENGTH_MAX: Final = 96


class KeyRole(IntEnum):
    """What a key may sign, numbered as ``tanqiao.api.bridge.v1.KeyRole``."""

    ROOT = 1
    TLS = 2
    MESSAGE = 3
    CHECKPOINT = 4
    WITNESS = 5
    APPROVER = 6
    TOKEN = 7
    """Makes tokens of persons and vehicles (RFC 9497) and signs nothing."""
    BODY = 8
    """Of an officer of a region's body: decisions that two take together."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key.

    Args:
        owner: party that it belongs to.
        role: what it may sign.
        suite: number of the suite.
        public_key: encoded as the suite says.
        epoch: counts the owner's keys of this role from 1; messages state it in their header.
        valid_from_index: first log index at which a signature counts.
        valid_to_index: first log index at which it counts no more; None: open.
        revoked: whether it was revoked; a revocation acts at once.
        holder: of an approver's or a body's key, whose hand it is in; empty where its record does not say.

    Raises:
        DomainError: SUITE_NOT_SUPPORTED, or FIELD_INVALID if the bytes are no key of the suite.
    """

    owner: str
    role: KeyRole
    suite: int
    public_key: bytes
    epoch: int
    valid_from_index: int = 0
    valid_to_index: int | None = None
    revoked: bool = False
    holder: str = ""
    key_id: bytes = field(init=False)
    verify: Verify = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Load the public key once: a batch is then one call."""
        object.__setattr__(self, "verify", suite_of(self.suite).verifying(self.public_key))
        object.__setattr__(self, "key_id", key_id_of(self.suite, self.public_key))

    def valid_at(self, index: int) -> bool:
        """Whether a signature counts at the log index, revocation aside."""
        return self.valid_from_index <= index and (self.valid_to_index is None or index < self.valid_to_index)

    def ended_at(self, index: int) -> bool:
        """Whether the key was valid and its time is over at the log index."""
        return self.valid_to_index is not None and index >= self.valid_to_index

    @staticmethod
    def of_record(record: messages_pb2.KeyRecord) -> KeyEntry:
        """Give the entry that a key record states.

        Raises:
            DomainError: FIELD_INVALID, SUITE_NOT_SUPPORTED.
        """
        if int(record.role) not in list(KeyRole):
            raise DomainError("FIELD_INVALID", field="role", detail="a key record names the key's role")
        if (int(record.role) == KeyRole.TOKEN) != (int(record.suite) == SuiteId.RISTRETTO255_SHA512):
            raise DomainError("FIELD_INVALID", field="suite", detail="the suite of the role TOKEN is its own")
        if record.valid_from_index < 0 or record.key_epoch < 1:
            raise DomainError(
                "FIELD_INVALID", field="key_epoch", detail="epochs count from 1 and indexes from 0"
            )
        if len(record.holder) > HOLDER_LENGTH_MAX:
            raise DomainError("FIELD_INVALID", field="holder", detail=f"{len(record.holder)} characters")
        if int(record.role) == KeyRole.BODY and not (record.holder and record.owner.startswith("operator/")):
            detail = "a body's key is of an operator, and says whose hand it is in"
            raise DomainError("FIELD_INVALID", field="holder", detail=detail)
        if record.valid_to_index and record.valid_to_index <= record.valid_from_index:
            raise DomainError(
                "RANGE_REVERSED",
                field="valid_to_index",
                start=record.valid_from_index,
                end=record.valid_to_index,
            )
        return KeyEntry(
            owner=record.owner,
            role=KeyRole(record.role),
            suite=record.suite,
            public_key=record.public_key,
            epoch=record.key_epoch,
            valid_from_index=record.valid_from_index,
            valid_to_index=record.valid_to_index or None,
            revoked=record.revoked,
            holder=record.holder,
        )


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """Snapshot of the keys that are known, by key id."""

    entries: Mapping[bytes, KeyEntry] = field(default_factory=lambda: MappingProxyType({}))

    @staticmethod
    def of(entries: Iterable[KeyEntry]) -> KeyDirectory:
        """Give the directory of these entries; a later one replaces an earlier one of the same key id."""
        return KeyDirectory().with_entries(entries)

    def get(self, key_id: bytes) -> KeyEntry | None:
        """Give the entry of a key id, or None."""
        return self.entries.get(key_id)

    def with_entries(self, entries: Iterable[KeyEntry]) -> KeyDirectory:
        """Give a directory with these entries added; one of the same key id is replaced.

        Raises:
            DomainError: FIELD_INVALID above `KEYS_MAX`, or if a key would change its owner, role or epoch. A
                key that was revoked stays revoked.
        """
        merged = dict(self.entries)
        for entry in entries:
            known = merged.get(entry.key_id)
            merged[entry.key_id] = entry if known is None else _successor(known, entry)
        if len(merged) > KEYS_MAX:
            raise DomainError("FIELD_INVALID", field="keys", detail=f"more than {KEYS_MAX} keys")
        return KeyDirectory(MappingProxyType(merged))

    def with_records(self, records: Iterable[messages_pb2.KeyRecord]) -> KeyDirectory:
        """Give a directory with the keys of these records, whose envelopes the caller has verified."""
        return self.with_entries(KeyEntry.of_record(record) for record in records)

    def owned_by(self, owner: str, role: KeyRole | None = None) -> tuple[KeyEntry, ...]:
        """Give the owner's keys (of a role), oldest epoch first."""
        return tuple(
            sorted(
                (e for e in self.entries.values() if e.owner == owner and role in (None, e.role)),
                key=lambda entry: (entry.role, entry.epoch, entry.key_id),
            )
        )

    def __iter__(self) -> Iterator[KeyEntry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)


def _successor(known: KeyEntry, entry: KeyEntry) -> KeyEntry:
    if (known.owner, known.role, known.epoch, known.holder) != (
        entry.owner,
        entry.role,
        entry.epoch,
        entry.holder,
    ):
        raise DomainError(
            "FIELD_INVALID", field="public_key", detail="the key has another owner, role, epoch or holder"
        )
    return replace(entry, revoked=entry.revoked or known.revoked)
