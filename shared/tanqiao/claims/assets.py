"""Whether two assets are the same (CLAIMS section 1; rule 3 of the worked cases).

First rule that applies: a reviewed link; an equal S3 or S2 reference (and the closure of both); an
unreviewed candidate; two different values in one scheme; the common area of two polygons; otherwise they
are different. Names and positions never decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import combinations

from tanqiao.claims.keys import Strength, strength_of
from tanqiao.claims.model import Asset, AssetLink, LinkRelation, PolygonOverlap
from tanqiao.kernel.errors import require

_Pair = frozenset[str]


class Relation(Enum):
    """How the applicant's asset and a claimed asset stand to each other."""

    SAME = "same"
    SAME_BY_GEOMETRY = "same_by_geometry"
    CANDIDATE = "candidate"
    CONTRADICTED = "contradicted"
    """The closure says same, a reviewer said different: a person must look."""
    DIFFERENT = "different"
    DIFFERENT_BY_GEOMETRY = "different_by_geometry"

    @property
    def is_certainly_same(self) -> bool:
        """Whether a claim on the one is a claim on the other."""
        return self is Relation.SAME or self is Relation.SAME_BY_GEOMETRY

    @property
    def is_doubtful(self) -> bool:
        """Whether only a person can tell."""
        return self is Relation.CANDIDATE or self is Relation.CONTRADICTED

    @property
    def is_different(self) -> bool:
        """Whether the two are different assets."""
        return self is Relation.DIFFERENT or self is Relation.DIFFERENT_BY_GEOMETRY


class AssetRelations:
    """Answers for one set of assets, links and areas; classes of the closure are built once."""

    __slots__ = (
        "_areas",
        "_assets",
        "_candidates",
        "_class_of",
        "_different",
        "_members",
        "_same",
        "_tolerance_m2",
    )

    def __init__(
        self,
        assets: Mapping[str, Asset],
        links: Iterable[AssetLink],
        overlaps: Iterable[PolygonOverlap],
        tolerance_m2: int,
    ) -> None:
        self._assets = assets
        self._tolerance_m2 = tolerance_m2
        self._same: set[_Pair] = set()
        self._different: set[_Pair] = set()
        self._candidates: set[_Pair] = set()
        for link in links:
            pair = frozenset((link.first_asset_id, link.second_asset_id))
            self._set_of(link.relation).add(pair)
        self._areas: dict[_Pair, int] = {
            frozenset((overlap.first_asset_id, overlap.second_asset_id)): overlap.area_m2
            for overlap in overlaps
        }
        self._class_of = self._closure()
        self._members: dict[str, list[str]] = {}
        for asset_id, representative in self._class_of.items():
            self._members.setdefault(representative, []).append(asset_id)

    def _set_of(self, relation: LinkRelation) -> set[_Pair]:
        if relation is LinkRelation.SAME:
            return self._same
        return self._different if relation is LinkRelation.DIFFERENT else self._candidates

    def _closure(self) -> dict[str, str]:
        """Give each asset the representative of its class of reviewed "same" and equal references.

        An equal reference of a pair that a reviewer found different joins nothing: that reviewer saw it.
        """
        root: dict[str, str] = {asset_id: asset_id for asset_id in self._assets}

        def find(asset_id: str) -> str:
            while root[asset_id] != asset_id:
                root[asset_id] = root[root[asset_id]]
                asset_id = root[asset_id]
            return asset_id

        for pair in self._same:
            members = [asset_id for asset_id in pair if asset_id in root]
            for member in members[1:]:
                root[find(member)] = find(members[0])
        for first, second in self._equal_references():
            root[find(second)] = find(first)
        return {asset_id: find(asset_id) for asset_id in root}

    def _equal_references(self) -> Iterator[tuple[str, str]]:
        holders: dict[tuple[str, str], list[str]] = {}
        for asset in self._assets.values():
            for identity in _identities(asset):
                holders.setdefault(identity, []).append(asset.asset_id)
        for sharing in holders.values():
            if self._different:
                yield from (
                    (first, second)
                    for first, second in combinations(sharing, 2)
                    if frozenset((first, second)) not in self._different
                )
            else:
                # Nobody found any two different, so that joining each to the first joins all.
                yield from ((sharing[0], second) for second in sharing[1:])

    def same_class(self, asset_id: str) -> tuple[str, ...]:
        """Give the assets that are certainly this one by reviewed links and references, itself among them."""
        require(asset_id in self._class_of, "every claimed asset is among the facts")
        return tuple(self._members[self._class_of[asset_id]])

    def relation(self, first: str, second: str) -> Relation:
        """Tell how two assets stand to each other."""
        if first == second:
            return Relation.SAME
        classes = self._class_of
        require(first in classes and second in classes, "every claimed asset is among the facts")
        pair = frozenset((first, second))
        joined = classes[first] == classes[second]
        if pair in self._same:
            return Relation.CONTRADICTED if pair in self._different else Relation.SAME
        if pair in self._different:
            return Relation.CONTRADICTED if joined else Relation.DIFFERENT
        if joined and not self._different:
            return Relation.SAME
        if joined:
            members = frozenset(self.same_class(first))
            torn = any(difference <= members for difference in self._different)
            return Relation.CONTRADICTED if torn else Relation.SAME
        return self._relation_of_classes(self.same_class(first), self.same_class(second))

    def _relation_of_classes(self, first: tuple[str, ...], second: tuple[str, ...]) -> Relation:
        pairs = {frozenset((left, right)) for left in first for right in second}
        if not pairs.isdisjoint(self._different):
            return Relation.DIFFERENT
        if not pairs.isdisjoint(self._candidates):
            return Relation.CANDIDATE
        if not self._schemes(first).isdisjoint(self._schemes(second)):
            return Relation.DIFFERENT
        areas = [self._areas[pair] for pair in pairs if pair in self._areas]
        if not areas:
            return Relation.DIFFERENT
        common = max(areas) > self._tolerance_m2
        return Relation.SAME_BY_GEOMETRY if common else Relation.DIFFERENT_BY_GEOMETRY

    def _schemes(self, asset_ids: tuple[str, ...]) -> set[str]:
        """Schemes in which the class has a reference; between two classes the values then differ."""
        return {scheme for asset_id in asset_ids for scheme, _ in _identities(self._assets[asset_id])}

    def common_area_m2(self, first: str, second: str) -> int | None:
        """Give the largest measured common area of the two classes, or None where none was measured."""
        areas = [
            self._areas[pair]
            for left in self.same_class(first)
            for right in self.same_class(second)
            if (pair := frozenset((left, right))) in self._areas
        ]
        return max(areas, default=None)


def _identities(asset: Asset) -> Iterable[tuple[str, str]]:
    return (
        (reference.scheme, reference.value)
        for reference in asset.references
        if strength_of(reference.scheme) >= Strength.OTHER_REGISTRY
    )
