"""The conflict engine: facts in, verdict out (CLAIMS sections 1 and 2).

Pure and total: it asks nobody, computes no geometry, and gives a verdict for every set of facts. The bridge
signs what it gives together with the log index it was given at. The order of the existing claims changes
only the order of the ids in the lists, and which certificates are cancelled first.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from tanqiao.claims.cells import (
    judge_any_time,
    judge_certificate,
    judge_duplicate,
    judge_meets,
    judge_present,
)
from tanqiao.claims.instalments import IntervalClaims
from tanqiao.claims.judgement import Judgement
from tanqiao.claims.matrix import Cell, CellTest, Column, column_of, edition_in_force
from tanqiao.claims.model import (
    Asset,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    Level,
    Programme,
    Registry,
    RegistryAnswers,
    Verdict,
    VerdictKind,
)
from tanqiao.claims.moments import Interval
from tanqiao.claims.notice import NoticeClaims
from tanqiao.claims.parameters import Bar
from tanqiao.claims.sale import SoldOnce, judge_own_state, judge_taken_for_ccer
from tanqiao.kernel.errors import require

ALONE_KEPT_MAX: Final = 256
ALONE_PROGRAMMES: Final = frozenset(
    {Programme.SZ_PHCER, Programme.SH_SHCER, Programme.REGIONAL, Programme.YN_RESERVE}
)
"""Programmes whose claims rest on no meter and no state of their own."""
COMMITMENT_MISSING = "COMMITMENT_MISSING"
"""Reason symbol of a Shanghai request without the commitment of SH-14."""

_SINGLE_TESTS = {
    CellTest.ANY_TIME: judge_any_time,
    CellTest.CERTIFICATE: judge_certificate,
    CellTest.MEETS: judge_meets,
    CellTest.PRESENT: judge_present,
    CellTest.DUPLICATE: judge_duplicate,
}


def judge(facts: ClaimFacts) -> Verdict:
    """Judge one applicant against the existing claims.

    Raises:
        InvariantBroken: a claim names an asset that is not among the facts.
    """
    judgement = Judgement(facts, edition_in_force(facts.decided_on))
    if commitment_missing(facts.applicant):
        judgement.find(VerdictKind.BLOCK, Level.SUBJECT, "SH-14")
        return _refused(judgement.verdict())
    _judge_site(judgement)
    _judge_claims(judgement)
    _judge_silence(judgement)
    return judgement.verdict()


@lru_cache(maxsize=ALONE_KEPT_MAX)
def judge_alone(
    programme: Programme,
    evidence: Evidence,
    *,
    ets_covered: bool | None,
    silent: tuple[Registry, ...],
    decided_on: date,
) -> Verdict:
    """Judge an applicant that meets nothing: no claim, no record, no reviewed pair.

    Of the programmes in `ALONE_PROGRAMMES` such a verdict depends on nothing else of the applicant, and it is
    what almost every claim gets.
    """
    asset = Asset("", "", ets_covered=ets_covered)
    applicant = Claim(
        "",
        programme,
        ClaimObject.PROJECT,
        "",
        Attribute.OTHER,
        Interval(0, 1),
        ClaimStatus.DECLARED,
        evidence=evidence,
    )
    heard = RegistryAnswers(frozenset(Registry).difference(silent))
    return judge(ClaimFacts(applicant, (), {"": asset}, decided_on, registry_answers=heard))


def commitment_missing(applicant: Claim) -> bool:
    """Whether Shanghai refuses the request before any claim is compared (SH-14)."""
    return (
        applicant.programme is Programme.SH_SHCER and applicant.evidence.no_duplicate_commitment is not True
    )


def _refused(verdict: Verdict) -> Verdict:
    return Verdict(
        verdict.verdict,
        verdict.level,
        verdict.article,
        verdict.matrix_version,
        findings=verdict.findings,
        refusal=COMMITMENT_MISSING,
    )


def _judge_claims(judgement: Judgement) -> None:
    applicant = judgement.applicant
    intervals = IntervalClaims(judgement)
    notice = NoticeClaims(judgement)
    sold = SoldOnce(judgement)
    for claim in judgement.facts.existing_claims:
        if claim.claim_id == applicant.claim_id:
            continue
        cell = _cell(judgement, claim)
        single = _SINGLE_TESTS.get(cell.test)
        if single is not None:
            single(judgement, claim, cell)
        elif cell.test is CellTest.INTERVAL:
            intervals.gather(claim, cell)
        elif cell.test is CellTest.NOTICE:
            notice.gather(claim)
        elif cell.test is CellTest.CCER_PROJECT:
            _judge_ccer(judgement, intervals, claim, cell)
        elif cell.test is CellTest.SOLD_ONCE:
            sold.gather(claim, cell)
    intervals.judge()
    if applicant.programme is Programme.CCER:
        notice.judge()
    elif applicant.programme in (Programme.GEC, Programme.GREEN_POWER):
        judge_own_state(judgement)
        sold.judge()
        if applicant.programme is Programme.GREEN_POWER:
            judge_taken_for_ccer(judgement, sold.certain_kwh())


def _cell(judgement: Judgement, claim: Claim) -> Cell:
    column = column_of(judgement.applicant, claim)
    if column is Column.OTHER_REGION and judgement.parameters.other_region_at_project_level:
        widened = judgement.edition.widened_other_region.get(judgement.applicant.programme)
        if widened is not None:
            return widened
    return judgement.row[column]


_OWN_INSTALMENT = Cell(CellTest.INTERVAL, VerdictKind.BLOCK, "POLICY-L2", ("CCER-48",))


def _judge_ccer(judgement: Judgement, intervals: IntervalClaims, claim: Claim, cell: Cell) -> None:
    """CCER against CCER: another project on the asset bars, one's own instalments compete in time.

    The registration of one's own project is what an instalment rests on, so that it is no test at all.
    """
    applicant = judgement.applicant
    if _bars_for_ever(applicant, claim):
        relation = judgement.relation(claim.asset_id)
        if relation.is_different:
            judgement.different_asset(relation)
        else:
            judgement.collide(claim, relation, (VerdictKind.BLOCK, Level.PROJECT, "CCER-16"))
    elif applicant.project is None or applicant.project != claim.project:
        judge_any_time(judgement, claim, cell)
    elif ClaimObject.PROJECT not in (applicant.object, claim.object):
        intervals.gather(claim, _OWN_INSTALMENT)


def _bars_for_ever(applicant: Claim, claim: Claim) -> bool:
    """A cancelled project bars every new one on the asset; its units are no matter (CCER-16)."""
    return (
        claim.status is ClaimStatus.CANCELLED
        and claim.object is ClaimObject.PROJECT
        and applicant.object is ClaimObject.PROJECT
    )


def _judge_site(judgement: Judgement) -> None:
    """A site under allowance management; a merely nominated one is for a person to see."""
    assets = judgement.facts.assets
    require(judgement.applicant.asset_id in assets, "the claimed asset is among the facts")
    cell = judgement.row[Column.ETS_SITE]
    verdict = cell.answer
    if judgement.applicant.programme is Programme.SH_SHCER:
        verdict = _SHANGHAI_SITE[judgement.parameters.shanghai_ets_exclusion]
    if verdict is VerdictKind.ALLOW:
        return
    relations = [judgement.relation(asset.asset_id) for asset in assets.values() if asset.ets_covered]
    if any(relation.is_certainly_same for relation in relations):
        judgement.find(verdict, Level.PROJECT, cell.article)
    elif any(relation.is_doubtful for relation in relations):
        judgement.find(VerdictKind.HOLD, Level.POLICY, "POLICY-CANDIDATE", also_cited=(cell.article,))


_SHANGHAI_SITE = {Bar.ALLOW: VerdictKind.ALLOW, Bar.HOLD: VerdictKind.HOLD, Bar.BLOCK: VerdictKind.BLOCK}


def _judge_silence(judgement: Judgement) -> None:
    """A list that did not answer has not said no; nothing is held that is blocked anyway."""
    if judgement.facts.registry_answers.silent and not judgement.blocks():
        judgement.find(VerdictKind.HOLD, Level.POLICY, "POLICY-SILENT")
