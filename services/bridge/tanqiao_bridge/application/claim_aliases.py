"""Which references mean one asset: alias classes, their locks, and what the engine is told of them.

A class is the closure of the reviewed pairs "same as"; of one pair the latest decision counts. Claims are
found and locked under the root of the class, and the engine gets the reviewed pairs as links between assets
that nobody claims and that only carry the two references (CLAIMS sections 1 and 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.keys import Strength, asset_key, asset_ref, strength_of
from tanqiao.claims.model import Asset, AssetLink, AssetRef, LinkRelation
from tanqiao.kernel.errors import DomainError
from tanqiao_bridge.application.claim_facts import ReadClaim, require_no_identifier
from tanqiao_bridge.storage import aliases as rows
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.aliases import DecisionRow

ASSET_PREFIX: Final = "asset:"
ALIAS_CLASS_MAX: Final = 256
"""Most references of one asset."""
LOCK_ROUNDS_MAX: Final = 8
"""Rounds of reading roots again under lock; more means that somebody keeps uniting the same classes."""
_RELATIONS: Final = {rows.SAME: LinkRelation.SAME, rows.DIFFERENT: LinkRelation.DIFFERENT}


@dataclass(frozen=True, slots=True)
class AliasBook:
    """Classes and decisions, as far as some keys are concerned.

    Args:
        roots: of every key that a decision has named.
        members: of every root, in order.
        decisions: of the pairs that name a member or one of the keys.
    """

    roots: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    decisions: Sequence[DecisionRow] = ()

    @staticmethod
    def load(connection: sa.Connection, keys: Iterable[str]) -> AliasBook:
        """Read what concerns these keys; keys of cells and subjects have no aliases."""
        wanted = sorted({key for key in keys if key.startswith(ASSET_PREFIX)})
        if not wanted:
            return NO_ALIASES
        roots = rows.roots_of(connection, wanted)
        if not roots:  # as for almost every asset: one look-up and no more
            return NO_ALIASES
        members = rows.members_of(connection, roots.values())
        named = {key for keys_of in members.values() for key in keys_of}
        every_root = {key: root for root, keys_of in members.items() for key in keys_of}
        return AliasBook(every_root, members, tuple(rows.decisions_about(connection, named)))

    def root(self, key: str) -> str:
        """Give the key under which a key is locked."""
        return self.roots.get(key, key)

    def expand(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Give the keys with all that mean the same assets."""
        found = dict.fromkeys(keys)
        for key in tuple(found):
            root = self.roots.get(key)
            if root is not None:
                found.update(dict.fromkeys(self.members[root]))
        return tuple(found)

    def joined(self, keys: Iterable[str]) -> AliasBook:
        """Give the book as it is once the classes of these keys are one: under what registries are asked."""
        members = sorted(self.expand(keys))
        roots = {**self.roots, **dict.fromkeys(members, members[0])}
        return AliasBook(roots, {**self.members, members[0]: members}, self.decisions)

    def facts(self, keys: Iterable[str]) -> tuple[dict[str, Asset], tuple[AssetLink, ...]]:
        """Give the assets and links by which the engine knows the reviewed pairs about these keys."""
        if not self.decisions:
            return {}, ()
        concerned = set(self.expand(keys))
        assets: dict[str, Asset] = {}
        links = []
        for row in self.decisions:
            if row.first_key in concerned or row.second_key in concerned:
                pair = [_bearer(key) for key in (row.first_key, row.second_key)]
                assets.update((asset.asset_id, asset) for asset in pair)
                links.append(
                    AssetLink(
                        pair[0].asset_id, pair[1].asset_id, _RELATIONS[row.relation], str(row.log_index)
                    )
                )
        return assets, tuple(links)


NO_ALIASES: Final = AliasBook()


def reference_of(key: str) -> AssetRef:
    """Give the reference of a key ``asset:<scheme>:<value>``."""
    _, scheme, value = key.split(":", 2)
    return AssetRef(scheme, value)


def _bearer(key: str) -> Asset:
    """Give an asset that nobody claims and that has this one reference."""
    return Asset(f"alias:{key}", "", (reference_of(key),))


def alias_key(scheme: str, value: str, field_name: str) -> str:
    """Give the key of a reference that can be aliased: a legal id or another registry's.

    Raises:
        DomainError: FIELD_INVALID.
    """
    require_no_identifier([claims_pb2.AssetReference(scheme=scheme, value=value)], field_name)
    reference = asset_ref(scheme, value)
    if strength_of(reference.scheme) < Strength.OTHER_REGISTRY:
        raise DomainError("FIELD_INVALID", field=field_name, detail="a description proves no identity")
    return asset_key(reference)


def lock_claims(
    connection: sa.Connection, reads: Sequence[ReadClaim], asked: frozenset[str] | None = None
) -> AliasBook:
    """Lock the rows of these claims under the roots of their classes; the aliases as they are then.

    Lock, read the roots again, lock what they have become: who waited for an alias decision sees it.

    Args:
        connection: of the transaction.
        reads: the claims.
        asked: further keys under which the registries were asked; None: they are not asked.

    Raises:
        DomainError: CONCURRENT_CHANGE, where an alias was decided after the registries were asked.
    """
    keys = {key for read in reads for key in read.locks}
    book = lock_keys(connection, keys)
    if asked is not None:
        own = {key for read in reads for key in read.keys}
        unasked = sorted(set(book.expand(own)) - own - asked)
        if unasked:
            raise DomainError("CONCURRENT_CHANGE", what="asset alias", id=unasked[0])
    return book


def lock_keys(connection: sa.Connection, keys: Iterable[str]) -> AliasBook:
    """Lock the roots of keys; the aliases as they are under the locks."""
    wanted = set(keys)
    book = AliasBook.load(connection, wanted)
    for _ in range(LOCK_ROUNDS_MAX):
        roots = {book.root(key) for key in wanted}
        claim_rows.lock_rows(connection, roots)
        again = AliasBook.load(connection, wanted)
        if {again.root(key) for key in wanted} == roots:
            return again
        book = again
    raise DomainError("CONCURRENT_CHANGE", what="asset alias", id=min(wanted))


def with_alias_references(
    reads: Sequence[ReadClaim], book: AliasBook
) -> tuple[list[claims_pb2.Claim], frozenset[str]]:
    """Give the claims with every reference of their alias classes, and the keys that were added."""
    if not book.roots:  # as for almost every batch
        return [read.message for read in reads], frozenset()
    messages, added = [], set()
    for read in reads:
        more = [key for key in book.expand(read.keys) if key not in read.keys]
        if not more:
            messages.append(read.message)
            continue
        message = claims_pb2.Claim()
        message.CopyFrom(read.message)
        for key in more:
            reference = reference_of(key)
            message.asset.references.add(scheme=reference.scheme, value=reference.value)
        messages.append(message)
        added.update(more)
    return messages, frozenset(added)


def united(pairs: Iterable[tuple[str, str, int]], keys: Iterable[str]) -> list[list[str]]:
    """Give the classes of keys under the latest decisions of each pair."""
    neighbours: dict[str, set[str]] = {key: set() for key in keys}
    for first, second, relation in pairs:
        if relation == rows.SAME and first in neighbours and second in neighbours:
            neighbours[first].add(second)
            neighbours[second].add(first)
    classes = []
    seen: set[str] = set()
    for key in sorted(neighbours):
        if key in seen:
            continue
        waiting, found = [key], {key}
        while waiting:
            for other in neighbours[waiting.pop()] - found:
                found.add(other)
                waiting.append(other)
        seen |= found
        classes.append(sorted(found))
    return classes
