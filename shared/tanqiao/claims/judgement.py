"""One judgement in the making: facts, what was found so far, and how findings become the verdict.

The tests of each row add findings (something bites), flags (something is shown) and passes (a rule was
tested and did not bite). `verdict` then takes the strictest finding (rule 16 of the worked cases).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from tanqiao.claims.articles import ARTICLES
from tanqiao.claims.assets import AssetRelations, Relation
from tanqiao.claims.matrix import MatrixEdition, Row
from tanqiao.claims.model import (
    STRICTNESS,
    Allowed,
    Claim,
    ClaimFacts,
    Finding,
    Level,
    Overlap,
    RegistryOrder,
    Verdict,
    VerdictKind,
)
from tanqiao.claims.parameters import Parameters
from tanqiao.claims.precedence import Precedence, precedence

_LEVEL_ORDER: Final = {level: rank for rank, level in enumerate(Level)}


class Stage(IntEnum):
    """How far a claim went before it turned out not to collide; for ALLOW the farthest names the rule."""

    DEFAULT = 0
    OTHER_ASSET = 1
    NOT_LIVE = 2
    OTHER_ATTRIBUTE = 3
    NO_OVERLAP = 4
    FLAGGED = 5


_NOTHING_PASSED: Final = (-1, 0)


class Judgement:
    """Collects what the tests find for one applicant; used once and thrown away."""

    __slots__ = (
        "_relations",
        "_relations_of",
        "allowed",
        "applicant",
        "edition",
        "facts",
        "findings",
        "parameters",
        "passed_article",
        "passed_rank",
        "row",
    )

    def __init__(self, facts: ClaimFacts, edition: MatrixEdition) -> None:
        self.facts = facts
        self.applicant = facts.applicant
        self.edition = edition
        self.parameters: Parameters = facts.parameters or edition.parameters
        self.row: Row = edition.rows[facts.applicant.programme]
        self.findings: list[Finding] = []
        self.allowed: Allowed | None = None
        self.passed_article = edition.default_articles[facts.applicant.programme]
        self.passed_rank = _NOTHING_PASSED
        self._relations: AssetRelations | None = None
        self._relations_of: dict[str, Relation] = {}

    # What is asked of the facts.

    def relations(self) -> AssetRelations:
        """Give the closure over all assets of the facts, built on first use."""
        if self._relations is None:
            facts = self.facts
            self._relations = AssetRelations(
                facts.assets,
                facts.asset_links,
                facts.polygon_overlaps,
                self.parameters.polygon_overlap_tolerance_m2,
            )
        return self._relations

    def relation(self, asset_id: str) -> Relation:
        """Tell how a claimed asset stands to the applicant's."""
        if asset_id == self.applicant.asset_id:
            return Relation.SAME
        known = self._relations_of.get(asset_id)
        if known is None:
            known = self.relations().relation(self.applicant.asset_id, asset_id)
            self._relations_of[asset_id] = known
        return known

    def same_assets(self) -> tuple[str, ...]:
        """Give the ids of the assets that are certainly the applicant's, itself among them."""
        if len(self.facts.assets) == 1:
            return (self.applicant.asset_id,)
        return tuple(asset_id for asset_id in self.facts.assets if self.relation(asset_id).is_certainly_same)

    def same_subject(self, claim: Claim) -> bool:
        """Whether the claim is of the applicant's subject; persons without a credit code are never equal."""
        uscc = self.applicant.subject.uscc
        return uscc is not None and uscc == claim.subject.uscc

    # What the tests report.

    def passed(self, stage: Stage, article: str) -> None:
        """A rule was tested and did not bite."""
        rank = (stage.value, -ARTICLES[article].rank)
        if rank > self.passed_rank:
            self.passed_rank = rank
            self.passed_article = article

    def different_asset(self, relation: Relation) -> None:
        """The claim is on another asset; what told them apart is the rule that did not bite."""
        geometry = relation is Relation.DIFFERENT_BY_GEOMETRY
        self.passed(Stage.OTHER_ASSET, "POLICY-GEOMETRY" if geometry else "POLICY-ASSET")

    def not_live(self, claim: Claim, article: str) -> None:
        """The claim has ended; a conversion names the rule that its old claim be ended first."""
        superseded = claim.claim_id in self.applicant.supersedes
        self.passed(Stage.NOT_LIVE, "POLICY-SUPERSEDE" if superseded else article)

    def flag(self, claim: Claim, article: str, level: Level = Level.POLICY) -> None:
        """Show a claim beside the verdict; it changes nothing."""
        self.passed(Stage.FLAGGED, article)
        self.find(VerdictKind.ALLOW, level, article, (claim.claim_id,))

    def find(
        self,
        verdict: VerdictKind,
        level: Level,
        article: str,
        claim_ids: Iterable[str] = (),
        also_cited: Iterable[str] = (),
        orders: tuple[RegistryOrder, ...] = (),
    ) -> None:
        """Add a finding as it is."""
        named = tuple(claim_ids)
        also = tuple(dict.fromkeys(code for code in also_cited if code != article))
        self.findings.append(Finding(verdict, level, article, named, also, orders))

    def collide(
        self,
        claim: Claim,
        relation: Relation,
        bite: tuple[VerdictKind, Level, str],
        also_cited: tuple[str, ...] = (),
        orders: tuple[RegistryOrder, ...] = (),
    ) -> None:
        """A claim collides: precedence, geometry, supersession and doubt about the asset are applied here."""
        verdict, level, article = bite
        order = precedence(self.applicant, claim)
        if order is Precedence.APPLICANT_FIRST:
            self.flag(claim, "POLICY-PRECEDENCE", level)
            return
        if relation.is_doubtful:
            doubt = "POLICY-CANDIDATE" if relation is Relation.CANDIDATE else "POLICY-ASSET"
            self.find(VerdictKind.HOLD, Level.POLICY, doubt, (claim.claim_id,), (article, *also_cited))
            return
        if level is Level.INTERVAL and claim.claim_id in self.facts.bucket_doubts:
            named = (claim.claim_id,)
            self.find(VerdictKind.HOLD, Level.POLICY, "POLICY-BUCKET", named, (article, *also_cited))
            return
        also = also_cited
        if relation is Relation.SAME_BY_GEOMETRY:
            also = (*also, "POLICY-GEOMETRY")
        if order is Precedence.INCUMBENT_FIRST:
            also = (*also, "POLICY-PRECEDENCE")
        if claim.claim_id in self.applicant.supersedes:
            also = (*also, "POLICY-SUPERSEDE")
        self.find(verdict, level, article, (claim.claim_id,), also, orders)

    # What comes out.

    def blocks(self) -> bool:
        """Whether something already blocks."""
        return any(finding.verdict is VerdictKind.BLOCK for finding in self.findings)

    def verdict(self) -> Verdict:
        """Compose the verdict of all findings."""
        biting = [finding for finding in self.findings if finding.verdict is not VerdictKind.ALLOW]
        flagged = {claim_id for finding in self.findings for claim_id in finding.claim_ids}
        if not biting:
            return Verdict(
                VerdictKind.ALLOW,
                None,
                self.passed_article,
                self.edition.version,
                flagged_claims=self._in_order(flagged),
                findings=tuple(self.findings),
            )
        decisive = min(biting, key=_decides_first)
        named = {claim_id for finding in biting for claim_id in finding.claim_ids}
        orders: tuple[RegistryOrder, ...] = ()
        if decisive.verdict in (VerdictKind.FREEZE_OTHER, VerdictKind.SPLIT):
            orders = tuple(order for finding in biting for order in finding.orders)
        colliding = self._in_order(named)
        return Verdict(
            decisive.verdict,
            decisive.level,
            decisive.article,
            self.edition.version,
            _also_cited(decisive, biting),
            colliding,
            self._in_order(flagged - named),
            orders,
            self.allowed if decisive.verdict is VerdictKind.SPLIT else None,
            self._overlaps(colliding),
            tuple(self.findings),
            self.facts.registry_answers.silent,
        )

    def _in_order(self, claim_ids: set[str]) -> tuple[str, ...]:
        """Ids in the order of the existing claims; ids named only by a certificate's freeze come last."""
        if not claim_ids:
            return ()
        known = [claim.claim_id for claim in self.facts.existing_claims if claim.claim_id in claim_ids]
        if len(known) == len(claim_ids):
            return tuple(known)
        return (*known, *sorted(claim_ids.difference(known)))

    def _overlaps(self, claim_ids: tuple[str, ...]) -> tuple[Overlap, ...]:
        claims = {claim.claim_id: claim for claim in self.facts.existing_claims}
        return tuple(self._overlap(claims[claim_id]) for claim_id in claim_ids if claim_id in claims)

    def _overlap(self, claim: Claim) -> Overlap:
        area_m2 = None
        if self.facts.polygon_overlaps and claim.asset_id != self.applicant.asset_id:
            area_m2 = self.relations().common_area_m2(self.applicant.asset_id, claim.asset_id)
        return Overlap(claim.claim_id, self.applicant.interval.overlap(claim.interval), area_m2)


def _decides_first(finding: Finding) -> tuple[int, int, int]:
    return (
        -STRICTNESS[finding.verdict],
        _LEVEL_ORDER[finding.level],
        ARTICLES[finding.article].rank,
    )


def _also_cited(decisive: Finding, biting: list[Finding]) -> tuple[str, ...]:
    """Articles beside the decisive one: its own, then those of every other finding that bites."""
    cited = dict.fromkeys(decisive.also_cited)
    for finding in biting:
        cited[finding.article] = None
        cited.update(dict.fromkeys(finding.also_cited))
    cited.pop(decisive.article, None)
    return tuple(cited)
