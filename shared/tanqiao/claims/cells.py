"""Tests of single cells of the matrix: one incumbent claim against the applicant.

Each takes the judgement, the claim and its cell, and reports a finding, a flag or a pass. Claims that must
be looked at together (shares, certificates against a meter) are gathered elsewhere.
"""

from __future__ import annotations

from tanqiao.claims.intervals import meet, parts_meet
from tanqiao.claims.judgement import Judgement, Stage
from tanqiao.claims.matrix import UNSOLD_STATES, Cell
from tanqiao.claims.model import (
    Claim,
    ClaimStatus,
    GecState,
    GecStateName,
    Level,
    OrderKind,
    Programme,
    RegistryOrder,
    VerdictKind,
)
from tanqiao.claims.parameters import Bar, CommitmentScope

_BAR_VERDICTS = {Bar.ALLOW: VerdictKind.ALLOW, Bar.HOLD: VerdictKind.HOLD, Bar.BLOCK: VerdictKind.BLOCK}
_APPLICATION_ENDED = frozenset({ClaimStatus.WITHDRAWN, ClaimStatus.REJECTED})
_SPOKEN_FOR = frozenset({GecStateName.FROZEN, GecStateName.CANCELLED})


def judge_any_time(judgement: Judgement, claim: Claim, cell: Cell) -> None:
    """Project level: a live claim on the asset, whatever its period and its part (SZ-22, SH-14, CCER-48)."""
    if _is_not_excluded(judgement, claim):
        judgement.passed(Stage.NOT_LIVE, cell.article)
        return
    relation = judgement.relation(claim.asset_id)
    if relation.is_different:
        if not (cell.subject_too and claim.is_live and _same_subject_bites(judgement, claim, cell)):
            judgement.different_asset(relation)
        return
    verdict = cell.answer
    if not claim.is_live:
        if not (cell.withdrawn_bars and claim.status in _APPLICATION_ENDED):
            judgement.not_live(claim, cell.article)
            return
        verdict = _BAR_VERDICTS[judgement.parameters.shenzhen_withdrawn_application_bars]
    if not claim.attribute_known:
        _judge_unknown_attribute(judgement, claim, verdict, cell)
        return
    if claim.attribute is not judgement.applicant.attribute:
        judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
        return
    if verdict is VerdictKind.ALLOW:
        judgement.flag(claim, cell.article, Level.PROJECT)
        return
    judgement.collide(claim, relation, (verdict, Level.PROJECT, cell.article), cell.also_cited)


def _judge_unknown_attribute(judgement: Judgement, claim: Claim, verdict: VerdictKind, cell: Cell) -> None:
    """What the list does not tell may be the same thing: a person looks, where the same thing would bite."""
    if verdict is VerdictKind.ALLOW:
        judgement.flag(claim, cell.article, Level.POLICY)
        return
    cited = (cell.article, *cell.also_cited)
    judgement.find(VerdictKind.HOLD, Level.POLICY, "POLICY-ATTRIBUTE-UNKNOWN", (claim.claim_id,), cited)


def _is_not_excluded(judgement: Judgement, claim: Claim) -> bool:
    """Whether a parameter took the incumbent's programme off the applicant's list."""
    programme = judgement.applicant.programme
    if programme is Programme.SZ_PHCER:
        return _outside_programme(claim, judgement.parameters.shenzhen_excluded_programmes)
    if programme is Programme.SH_SHCER:
        return _outside_programme(claim, judgement.parameters.shanghai_excluded_programmes)
    return False


def _outside_programme(claim: Claim, excluded: frozenset[str]) -> bool:
    """Regional claims are not on the list: the parameter for them widens a cell instead."""
    programme = claim.programme
    regional = programme is Programme.SZ_PHCER or programme is Programme.SH_SHCER
    return not regional and programme is not Programme.REGIONAL and programme.value not in excluded


def _same_subject_bites(judgement: Judgement, claim: Claim, cell: Cell) -> bool:
    """SH-14 looks at the subject too: the same one with another asset elsewhere is for a person to see."""
    scope = judgement.parameters.shanghai_commitment_scope
    if scope is CommitmentScope.ASSET_ONLY or not judgement.same_subject(claim):
        return False
    blocks = scope is CommitmentScope.SUBJECT_BLOCK
    verdict = VerdictKind.BLOCK if blocks else VerdictKind.HOLD
    judgement.find(verdict, Level.SUBJECT, cell.article, (claim.claim_id,))
    return True


def judge_certificate(judgement: Judgement, claim: Claim, cell: Cell) -> None:
    """A certificate that was not sold and meets the applicant's period: its state is the conflict.

    Unsold and tradable: freeze with the owner's consent, else HOLD. Not tradable, expired, pending: shown.
    """
    applicant = judgement.applicant
    relation = judgement.relation(claim.asset_id)
    if relation.is_different:
        judgement.different_asset(relation)
        return
    if claim.attribute is not applicant.attribute:
        judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
        return
    if not meet(applicant, claim) or not parts_meet(applicant.part, claim.part):
        judgement.passed(Stage.NO_OVERLAP, cell.article)
        return
    state = claim.gec
    if state is not None and is_shown_only(state) and claim.status is not ClaimStatus.DRAFT:
        judgement.flag(claim, "GEC-NONTRADABLE" if not state.tradable else cell.article, Level.QUANTITY)
        return
    if not claim.is_live:
        judgement.not_live(claim, cell.article)
        return
    if state is not None and state.state in _SPOKEN_FOR and is_explained(judgement, state):
        judgement.flag(claim, cell.article, Level.QUANTITY)
        return
    unsold = state is not None and state.state in UNSOLD_STATES
    verdict = _unsold_answer(judgement, cell) if unsold else VerdictKind.HOLD
    if verdict is VerdictKind.ALLOW:
        judgement.flag(claim, cell.article, Level.QUANTITY)
        return
    orders = freeze_order(claim) if verdict is VerdictKind.FREEZE_OTHER else ()
    judgement.collide(claim, relation, (verdict, Level.QUANTITY, cell.article), cell.also_cited, orders)


def is_shown_only(state: GecState) -> bool:
    """Whether a certificate in this state can never be sold for the period."""
    gone = (GecStateName.EXPIRED, GecStateName.PENDING, GecStateName.MOVED)
    return not state.tradable or state.state in gone


def is_explained(judgement: Judgement, state: GecState) -> bool:
    """Whether a freeze is the applicant's own, or belongs to a claim that stands and is judged by itself.

    What is frozen for a claim that has ended is about to be released, and may be sold then. So it will be
    with what is frozen for another project of a region, which may stand beside the applicant on the same
    plant: it ends as that one likes, and nothing of it is cancelled for the applicant.
    A claim to another asset or another attribute collides with nothing here: that it froze these certificates
    all the same is for a person to see. A project is called as its region likes, and is not the claim of
    another project whose id it has for a name.
    """
    frozen_for = state.frozen_for
    if frozen_for is None:
        return False
    applicant, others = judgement.applicant, judgement.facts.existing_claims
    ends_too = state.state is GecStateName.FROZEN
    if ends_too and any(claim.claim_id == frozen_for and _is_beside(applicant, claim) for claim in others):
        return False
    if frozen_for in (applicant.claim_id, applicant.project):
        return True
    return any(
        frozen_for in (claim.claim_id, claim.project)
        and (not ends_too or (claim.is_live and not _is_beside(applicant, claim)))
        and claim.attribute is applicant.attribute
        and not judgement.relation(claim.asset_id).is_different
        for claim in others
    )


def _is_beside(applicant: Claim, claim: Claim) -> bool:
    """Whether a claim is of another project of a region than the applicant."""
    if claim.region_code is None:
        return False
    own = (applicant.region_code, applicant.project)
    return applicant.project is None or own != (claim.region_code, claim.project)


def _unsold_answer(judgement: Judgement, cell: Cell) -> VerdictKind:
    bar = Bar.HOLD
    if judgement.applicant.programme is Programme.SZ_PHCER:
        bar = judgement.parameters.shenzhen_automatic_certificate_is_application
    if bar is Bar.HOLD and judgement.applicant.evidence.gec_freeze_consent is True:
        return VerdictKind.FREEZE_OTHER
    return cell.answer if bar is Bar.HOLD else _BAR_VERDICTS[bar]


def freeze_order(claim: Claim) -> tuple[RegistryOrder, ...]:
    """Give the order to freeze the whole batch, or nothing where its quantity is not known."""
    activity = claim.activity
    if activity is None:
        return ()
    return (RegistryOrder(claim.claim_id, OrderKind.FREEZE, activity.quantity, activity.unit),)


def judge_meets(judgement: Judgement, claim: Claim, cell: Cell) -> None:
    """A live claim to the same attribute of the asset whose period meets: HOLD, or shown."""
    applicant = judgement.applicant
    relation = judgement.relation(claim.asset_id)
    if relation.is_different:
        judgement.different_asset(relation)
    elif not claim.is_live:
        judgement.not_live(claim, cell.article)
    elif claim.attribute is not applicant.attribute and claim.attribute_known:
        judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
    elif not meet(applicant, claim) or not parts_meet(applicant.part, claim.part):
        judgement.passed(Stage.NO_OVERLAP, cell.article)
    elif not claim.attribute_known:
        _judge_unknown_attribute(judgement, claim, cell.answer, cell)
    elif cell.answer is VerdictKind.ALLOW:
        judgement.flag(claim, cell.article, Level.INTERVAL)
    else:
        judgement.collide(claim, relation, (cell.answer, Level.INTERVAL, cell.article), cell.also_cited)


def judge_present(judgement: Judgement, claim: Claim, cell: Cell) -> None:
    """A live claim on the asset is shown and changes nothing, whatever its attribute and period."""
    relation = judgement.relation(claim.asset_id)
    if relation.is_different:
        judgement.different_asset(relation)
    elif not claim.is_live:
        judgement.not_live(claim, cell.article)
    else:
        judgement.flag(claim, cell.article)


def judge_duplicate(judgement: Judgement, claim: Claim, cell: Cell) -> None:
    """A second live reserve entry for one attribute of the asset, whatever the period."""
    relation = judgement.relation(claim.asset_id)
    if relation.is_different:
        judgement.different_asset(relation)
    elif not claim.is_live:
        judgement.not_live(claim, cell.article)
    elif claim.attribute is not judgement.applicant.attribute:
        judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
    else:
        judgement.collide(claim, relation, (cell.answer, Level.PROJECT, cell.article), cell.also_cited)
