"""Tokens of claims on persons and vehicles at the bridge (CLAIMS section 6).

The bridge evaluates blinded elements and counts them; it finds claims under their tokens in every key epoch
that has live claims. What the tokens stand for it cannot know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2, tokens_pb2
from tanqiao.claims.model import Action, Claim
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyEntry
from tanqiao.signing.token_keys import live_epochs
from tanqiao_bridge.application.claim_facts import ReadClaim, interval_of, read_claim, read_pseudonyms
from tanqiao_bridge.application.context import BridgeContext, Group
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import tokens as rows


@dataclass(frozen=True, slots=True)
class CountElements:
    """A region wants so many elements evaluated."""

    region: str
    elements: int


@dataclass(frozen=True, slots=True)
class RenewTokens:
    """Tokens of a region's claims under the newest key epoch."""

    region: str
    renewed: tuple[tokens_pb2.RenewedTokens, ...]


def token_handlers() -> dict[type, OtherHandler]:
    """Give the handlers that the bridge's writer calls for the commands of this module."""
    return {CountElements: count_elements, RenewTokens: renew_tokens}


def count_elements(group: Group, command: object) -> None:
    """Count a call against the region's quota of the day.

    Raises:
        DomainError: QUOTA_EXCEEDED; the call is then not counted and nothing is evaluated.
    """
    if not isinstance(command, CountElements):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="count")
    limit = group.context.tokens_per_day
    if rows.used(group.connection, command.region, group.legal_date) + command.elements > limit:
        tomorrow = date.fromisoformat(group.legal_date) + timedelta(days=1)
        raise DomainError("QUOTA_EXCEEDED", limit=limit, retry_time=f"{tomorrow}T00:00:00+08:00")
    rows.count_use(group.connection, command.region, group.legal_date, command.elements)


# -- what a claim must carry ---------------------------------------------------------------------------------


def epochs_of_group(group: Group) -> tuple[KeyEntry, ...]:
    """Give the key epochs that count inside a transaction."""
    return live_epochs(group.directory or group.context.directory)


def epochs_of_context(context: BridgeContext) -> tuple[KeyEntry, ...]:
    """Give the key epochs that count now."""
    return live_epochs(context.directory)


def tokens_refusal(read: ReadClaim, epochs: Sequence[KeyEntry]) -> DomainError | None:
    """Refuse a claim that lacks tokens under an epoch that counts, or has some under one that does not."""
    stated = {pseudonym.key_epoch for pseudonym in read.message.asset.pseudonyms}
    wanted = {entry.epoch for entry in epochs}
    if stated - wanted:
        return DomainError("TOKEN_EPOCH_CLOSED", field="claim.asset.pseudonyms", epoch=min(stated - wanted))
    if wanted - stated:
        missing = ", ".join(map(str, sorted(wanted - stated)))
        return DomainError(
            "TOKENS_MISSING",
            field="claim.asset.pseudonyms",
            claim_id=read.claim.claim_id,
            epochs=missing,
        )
    return None


# -- what is stored ------------------------------------------------------------------------------------------


def store_tokens(connection: sa.Connection, reads: Iterable[ReadClaim]) -> None:
    """Store the tokens of claims that were just stored, by key epoch."""
    rows.insert_tokens(
        connection,
        [
            (read.claim.claim_id, key_epoch, tokens.SerializeToString())
            for read in reads
            for key_epoch, tokens in _by_epoch(read.claim.claim_id, read.message.asset.pseudonyms).items()
        ],
    )


def _by_epoch(
    claim_id: str, pseudonyms: Iterable[claims_pb2.Pseudonym]
) -> dict[int, tokens_pb2.RenewedTokens]:
    found: dict[int, tokens_pb2.RenewedTokens] = {}
    for pseudonym in pseudonyms:
        tokens = found.setdefault(pseudonym.key_epoch, tokens_pb2.RenewedTokens(claim_id=claim_id))
        tokens.pseudonyms.append(pseudonym)
    return found


def with_renewed(connection: sa.Connection, reads: Sequence[ReadClaim]) -> list[ReadClaim]:
    """Give stored claims with the tokens that they got after they were declared."""
    wanted = [read.claim.claim_id for read in reads if read.message.asset.pseudonyms]
    if not wanted:
        return list(reads)
    stored = rows.tokens_of(connection, wanted)
    return [_renewed(read, stored.get(read.claim.claim_id, {})) for read in reads]


def _renewed(read: ReadClaim, stored: dict[int, bytes]) -> ReadClaim:
    stated = {pseudonym.key_epoch for pseudonym in read.message.asset.pseudonyms}
    later = [
        pseudonym
        for key_epoch, content in sorted(stored.items())
        if key_epoch not in stated
        for pseudonym in tokens_pb2.RenewedTokens.FromString(content).pseudonyms
    ]
    return with_pseudonyms(read, later) if later else read


def with_pseudonyms(read: ReadClaim, pseudonyms: Sequence[claims_pb2.Pseudonym]) -> ReadClaim:
    """Give a claim that is also found under these tokens."""
    found = read_pseudonyms(pseudonyms, read.claim.attribute, read.period)
    return replace(
        read,
        references=(*read.references, *found.references),
        made_asset=None,
        keys=tuple(sorted({*read.keys, *found.keys})),
        locks=tuple(sorted({*read.locks, *found.keys})),
        buckets=(*read.buckets, *found.buckets),
    )


# -- what two claims have in common --------------------------------------------------------------------------


def as_met(read: ReadClaim, other: ReadClaim) -> tuple[Claim, bool]:
    """Give a stored claim as it meets the applicant, and whether a person must look.

    Two claims that only tokens connect collide for certain if both cover a shared bucket whole; else the
    other is taken to lie anywhere in the bucket. Instalments of one project know each other's days.
    """
    own = dict(read.buckets)
    shared = [bucket for key, bucket in other.buckets if key in own]
    if not shared or any(read.period.covers(one) and other.period.covers(one) for one in shared):
        return other.claim, False
    tokens = own.keys() | dict(other.buckets).keys()
    otherwise = (set(read.keys) & set(other.keys)) - tokens
    first, second = read.message, other.message
    if otherwise or (first.region, first.project_id) == (second.region, second.project_id):
        return other.claim, False
    return replace(other.claim, interval=interval_of(shared[0])), True


# -- renewing ------------------------------------------------------------------------------------------------


def renew_tokens(group: Group, command: object) -> None:
    """Find a region's claims under the newest key epoch too; nothing is judged, for nothing has changed.

    Raises:
        DomainError: CLAIM_UNKNOWN, REGION_SCOPE_MISMATCH, TOKEN_EPOCH_CLOSED; FIELD_INVALID for tokens that
            are not those of the claim's identifiers and buckets; REQUEST_ID_REUSED for others than before.
    """
    if not isinstance(command, RenewTokens):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="renew")
    newest = max((entry.epoch for entry in epochs_of_group(group)), default=0)
    by_id = {one.claim_id: one for one in command.renewed}
    known = claim_rows.load_claims(group.connection, by_id)
    stored = rows.tokens_of(group.connection, by_id)
    added: list[tuple[str, int, bytes]] = []
    keys: list[tuple[str, str]] = []
    for claim_id, renewed in by_id.items():
        row = known.get(claim_id)
        if row is None:
            raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id)
        if row.region != command.region:
            raise DomainError("REGION_SCOPE_MISMATCH", field="renewed.claim_id", region=row.region)
        content = renewed.SerializeToString(deterministic=True)
        before = stored.get(claim_id, {}).get(newest)
        if before is not None:
            if tokens_pb2.RenewedTokens.FromString(before) != renewed:
                raise DomainError("REQUEST_ID_REUSED", field="renewed.pseudonyms")
            continue
        read = _require_same_identifiers(row, renewed, newest)
        added.append((claim_id, newest, content))
        keys += [(key, claim_id) for key in read]
    claim_rows.lock_rows(group.connection, {key for key, _ in keys})
    rows.insert_tokens(group.connection, added)
    rows.add_keys(group.connection, sorted(keys))


def _require_same_identifiers(
    row: claim_rows.ClaimRow, renewed: tokens_pb2.RenewedTokens, newest: int
) -> tuple[str, ...]:
    """Check that the tokens are of as many identifiers of each scheme as before; the keys that they make."""
    read = read_claim(claims_pb2.Claim.FromString(row.content), action=Action.DECLARE, status=row.status)
    wrong = [one.key_epoch for one in renewed.pseudonyms if one.key_epoch != newest]
    if wrong:
        raise DomainError("TOKEN_EPOCH_CLOSED", field="renewed.pseudonyms.key_epoch", epoch=wrong[0])
    declared = list(read.message.asset.pseudonyms)
    schemes = [one.scheme for one in declared if declared and one.key_epoch == declared[0].key_epoch]
    if not schemes or [one.scheme for one in renewed.pseudonyms] != schemes:
        raise DomainError(
            "FIELD_INVALID", field="renewed.pseudonyms", detail="as many of each scheme as were declared"
        )
    return read_pseudonyms(list(renewed.pseudonyms), read.claim.attribute, read.period).keys


# -- reads ---------------------------------------------------------------------------------------------------


class TokenQueries:
    """What is read of tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def resting(self, epochs: Sequence[int]) -> list[int]:
        """Count the live claims that rest on each epoch."""
        with self._database.reading() as connection:
            return [rows.resting_claims(connection, epoch) for epoch in epochs]

    def used(self, region: str, day: str) -> int:
        """Give how many elements were evaluated for a region on a day."""
        with self._database.reading() as connection:
            return rows.used(connection, region, day)

    def stale(self, region: str, newest: int, *, after: str, limit: int) -> list[claims_pb2.Claim]:
        """Give a region's live claims without tokens under the newest epoch, as they were declared."""
        with self._database.reading() as connection:
            found = rows.stale_claims(connection, region, newest, after=after, limit=limit)
        return [claims_pb2.Claim.FromString(row.content) for row in found]
