"""Interval level: claims of one attribute of one asset, gathered and then looked at together.

Serves regional claims against each other, foreign credits against each other, and the instalments of one
CCER project (rules 1, 4, 5, 9 and 11 of the worked cases).
"""

from __future__ import annotations

from tanqiao.claims.assets import Relation
from tanqiao.claims.intervals import collisions, meet, meets_for_certain
from tanqiao.claims.judgement import Judgement, Stage
from tanqiao.claims.matrix import Cell
from tanqiao.claims.model import Attribute, Claim, ClaimObject, Level, Programme, VerdictKind
from tanqiao.claims.precedence import Precedence, precedence

HOUSEHOLD_EXCLUSION: str = "SHCER02010022024II"
_HOUSEHOLD_PAIR = frozenset({Attribute.RE_GEN, Attribute.ELEC_SAVING})

_Entry = tuple[Claim, Relation, Cell]


class IntervalClaims:
    """The claims that compete with the applicant at interval level."""

    __slots__ = ("_entries", "_judgement")

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement
        self._entries: list[_Entry] = []

    def gather(self, claim: Claim, cell: Cell) -> None:
        """Take a claim if it is live, on the same asset and to the same attribute; else report why not."""
        judgement = self._judgement
        applicant = judgement.applicant
        relation = judgement.relation(claim.asset_id)
        if relation.is_different:
            judgement.different_asset(relation)
        elif not claim.is_live:
            judgement.not_live(claim, cell.article)
        elif claim.attribute is not applicant.attribute:
            if _household_excluded(applicant, claim):
                self._judge_household(claim, relation)
            else:
                judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
        elif _registration_and_instalment(applicant, claim):
            judgement.passed(Stage.NO_OVERLAP, cell.article)
        else:
            self._entries.append((claim, relation, cell))

    def _judge_household(self, claim: Claim, relation: Relation) -> None:
        """The household scene excludes homes with panels, in both directions and whatever the part."""
        applicant = self._judgement.applicant
        if not meet(applicant, claim):
            self._judgement.passed(Stage.NO_OVERLAP, HOUSEHOLD_EXCLUSION)
        elif meets_for_certain(applicant, claim):
            bite = (VerdictKind.BLOCK, Level.INTERVAL, HOUSEHOLD_EXCLUSION)
            self._judgement.collide(claim, relation, bite, ("POLICY-L2",))
        else:
            bite = (VerdictKind.HOLD, Level.INTERVAL, "POLICY-GRAIN")
            self._judgement.collide(claim, relation, bite, (HOUSEHOLD_EXCLUSION,))

    def judge(self) -> None:
        """Report all that was gathered.

        Claims that come after the applicant are flagged where they would collide and count no further;
        claims of doubtful assets make it HOLD where they would change the outcome.
        """
        if not self._entries:
            return
        applicant = self._judgement.applicant
        certain_assets: list[_Entry] = []
        later: list[_Entry] = []
        doubtful: list[_Entry] = []
        for entry in self._entries:
            if precedence(applicant, entry[0]) is Precedence.APPLICANT_FIRST:
                later.append(entry)
            elif entry[1].is_doubtful:
                doubtful.append(entry)
            else:
                certain_assets.append(entry)
        found = self._judge_certain(certain_assets)
        self._judge_later(certain_assets, later)
        self._judge_doubtful(certain_assets, doubtful, found)

    def _judge_certain(self, entries: list[_Entry]) -> frozenset[str]:
        judgement = self._judgement
        certain, perhaps = collisions(judgement.applicant, [claim for claim, _, _ in entries])
        for claim, relation, cell in entries:
            if claim.claim_id in certain:
                bite = (cell.answer, Level.INTERVAL, cell.article)
                judgement.collide(claim, relation, bite, cell.also_cited)
            elif claim.claim_id in perhaps:
                bite = (VerdictKind.HOLD, Level.INTERVAL, "POLICY-GRAIN")
                judgement.collide(claim, relation, bite, cell.also_cited)
            else:
                judgement.passed(Stage.NO_OVERLAP, cell.article)
        return certain | perhaps

    def _judge_later(self, entries: list[_Entry], later: list[_Entry]) -> None:
        if not later:
            return
        claims = [claim for claim, _, _ in (*entries, *later)]
        certain, perhaps = collisions(self._judgement.applicant, claims)
        for claim, relation, cell in later:
            if claim.claim_id in certain or claim.claim_id in perhaps:
                bite = (cell.answer, Level.INTERVAL, cell.article)
                self._judgement.collide(claim, relation, bite, cell.also_cited)
            else:
                self._judgement.passed(Stage.NO_OVERLAP, cell.article)

    def _judge_doubtful(self, entries: list[_Entry], doubtful: list[_Entry], found: frozenset[str]) -> None:
        if not doubtful:
            return
        claims = [claim for claim, _, _ in (*entries, *doubtful)]
        certain, perhaps = collisions(self._judgement.applicant, claims)
        would_collide = certain | perhaps
        changed = [entry for entry in doubtful if entry[0].claim_id in would_collide]
        for claim, relation, cell in changed:
            bite = (cell.answer, Level.INTERVAL, cell.article)
            self._judgement.collide(claim, relation, bite, cell.also_cited)
        for claim, _, cell in doubtful:
            if claim.claim_id not in would_collide:
                self._judgement.passed(Stage.NO_OVERLAP, cell.article)
        drawn_in = [claim.claim_id for claim, _, _ in entries if claim.claim_id in would_collide - found]
        if drawn_in:
            self._judgement.find(VerdictKind.HOLD, Level.POLICY, "POLICY-CANDIDATE", drawn_in, ("POLICY-L2",))


def _household_excluded(applicant: Claim, claim: Claim) -> bool:
    """Within Shanghai: generation and household saving at one account."""
    return (
        applicant.programme is Programme.SH_SHCER
        and claim.programme is Programme.SH_SHCER
        and {applicant.attribute, claim.attribute} == _HOUSEHOLD_PAIR
    )


def _registration_and_instalment(applicant: Claim, claim: Claim) -> bool:
    """Whether one is the registration of the project of which the other is an instalment."""
    return (
        applicant.project is not None
        and applicant.project == claim.project
        and applicant.programme is claim.programme
        and (applicant.object is ClaimObject.PROJECT) != (claim.object is ClaimObject.PROJECT)
    )
