"""Sale of a green certificate or of green power (rule 10).

The certificate's own state decides first: what is frozen or cancelled for CCER stays so even after the
coordination notice has ended, what was sold is not sold again, what cannot be traded is not sold at all.
Green power has no state of its own. It counts as a sold certificate of the same electricity (DOMAIN section
3.2), so that what was frozen, cancelled or credited for CCER is taken from the meter before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tanqiao.claims.assets import Relation
from tanqiao.claims.energy import kwh
from tanqiao.claims.intervals import meet, parts_meet
from tanqiao.claims.judgement import Judgement, Stage
from tanqiao.claims.matrix import SOLD_STATES, Cell
from tanqiao.claims.model import (
    Action,
    Claim,
    ClaimObject,
    ClaimStatus,
    GecStateName,
    Level,
    Metering,
    Programme,
    VerdictKind,
)

_STOPPED_FOR_CCER = frozenset({GecStateName.FROZEN, GecStateName.CANCELLED})
_CREDITED = frozenset({ClaimStatus.ISSUED, ClaimStatus.RETIRED})


def judge_own_state(judgement: Judgement) -> None:
    """Look at the state of the certificate that is to be sold; green power has none of its own."""
    applicant = judgement.applicant
    state = applicant.gec
    if state is None or applicant.action is not Action.SELL:
        return
    if state.state in _STOPPED_FOR_CCER:
        named = () if state.frozen_for is None else (state.frozen_for,)
        judgement.find(VerdictKind.BLOCK, Level.QUANTITY, "N124-2", named)
    elif state.state in SOLD_STATES or state.state is GecStateName.EXPIRED:
        judgement.find(VerdictKind.BLOCK, Level.QUANTITY, "GEC-ONCE")
    elif state.state is GecStateName.PENDING:
        judgement.find(VerdictKind.HOLD, Level.QUANTITY, "GEC-ONCE")
    if not state.tradable:
        judgement.find(VerdictKind.BLOCK, Level.QUANTITY, "GEC-NONTRADABLE")


class SoldOnce:
    """Certificates and green power of one plant that were sold for the period of the sale.

    Certificates are single things, so another sale of the same month is no conflict by itself: it is one
    when sales together exceed the meter of exactly that period. Without such a reading it is only shown.
    """

    __slots__ = ("_cell", "_judgement", "_sold")

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement
        self._sold: list[tuple[Claim, Relation]] = []
        self._cell: Cell | None = None

    def gather(self, claim: Claim, cell: Cell) -> None:
        """Take a live sale of the same electricity, or report why it does not count."""
        judgement = self._judgement
        applicant = judgement.applicant
        relation = judgement.relation(claim.asset_id)
        if relation.is_different:
            judgement.different_asset(relation)
        elif not claim.is_live:
            judgement.not_live(claim, cell.article)
        elif claim.attribute is not applicant.attribute:
            judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
        elif not meet(applicant, claim) or not parts_meet(applicant.part, claim.part):
            judgement.passed(Stage.NO_OVERLAP, cell.article)
        else:
            self._cell = cell
            self._sold.append((claim, relation))

    def judge(self) -> None:
        """Compare the sales with the meter."""
        cell = self._cell
        if cell is None:
            return
        judgement = self._judgement
        left_kwh = _metered_left_kwh(judgement)
        certain = [(claim, relation) for claim, relation in self._sold if relation.is_certainly_same]
        if left_kwh is None:
            for claim, _ in self._sold:
                judgement.flag(claim, cell.article, Level.QUANTITY)
            return
        sold_kwh = sum(_kwh_of(claim) for claim, _ in certain)
        if sold_kwh > left_kwh:
            for claim, relation in certain:
                judgement.collide(claim, relation, (cell.answer, Level.QUANTITY, cell.article))
        elif sum(_kwh_of(claim) for claim, _ in self._sold) > left_kwh:
            for claim, relation in self._sold:
                if relation.is_doubtful:
                    judgement.collide(claim, relation, (cell.answer, Level.QUANTITY, cell.article))
        else:
            judgement.passed(Stage.NO_OVERLAP, cell.article)

    def certain_kwh(self) -> int:
        """Give the electricity that was certainly sold of the applicant's plant in its period."""
        return sum(_kwh_of(claim) for claim, relation in self._sold if relation.is_certainly_same)


def judge_taken_for_ccer(judgement: Judgement, sold_kwh: int) -> None:
    """Look at what CCER took of the electricity that is to be sold as green power (N124-2).

    Certificates that are frozen or cancelled, and credited instalments, are the same electricity told twice:
    the greater sum counts. Together with what was sold and what is claimed it may not exceed the meter.
    Without a reading of exactly that period, or where an instalment cannot be told to it, a person must look.
    """
    taken = _taken_for_ccer(judgement)
    if not taken:
        return
    left_kwh = _metered_left_kwh(judgement)
    told = [entry for entry in taken if _is_told(judgement.applicant, entry[0])]
    certain = [entry for entry in told if entry[1].is_certainly_same]
    bite: dict[str, VerdictKind] = {}
    if left_kwh is None:
        bite = {claim.claim_id: VerdictKind.HOLD for claim, _ in taken}
    elif sold_kwh + _taken_kwh(certain) > left_kwh:
        bite = {claim.claim_id: VerdictKind.BLOCK for claim, _ in certain}
    elif len(told) < len(taken) or sold_kwh + _taken_kwh(told) > left_kwh:
        sure = {claim.claim_id for claim, _ in certain}
        doubts = [claim.claim_id for claim, _ in taken if claim.claim_id not in sure]
        bite = dict.fromkeys(doubts, VerdictKind.HOLD)
    for claim, relation in taken:
        verdict = bite.get(claim.claim_id)
        if verdict is None:
            judgement.flag(claim, "N124-2", Level.QUANTITY)
        else:
            judgement.collide(claim, relation, (verdict, Level.QUANTITY, "N124-2"))


def _taken_for_ccer(judgement: Judgement) -> list[tuple[Claim, Relation]]:
    """Give the stopped certificates and the credited instalments that meet the applicant's electricity."""
    applicant = judgement.applicant
    taken: list[tuple[Claim, Relation]] = []
    for claim in judgement.facts.existing_claims:
        if not (_is_stopped(claim) or _is_credited(claim)) or claim.attribute is not applicant.attribute:
            continue
        relation = judgement.relation(claim.asset_id)
        if relation.is_different or not meet(applicant, claim):
            continue
        if parts_meet(applicant.part, claim.part):
            taken.append((claim, relation))
    return taken


def _is_stopped(claim: Claim) -> bool:
    state = claim.gec
    return (
        claim.programme is Programme.GEC
        and claim.is_live
        and state is not None
        and state.state in _STOPPED_FOR_CCER
    )


def _is_credited(claim: Claim) -> bool:
    instalment = claim.programme is Programme.CCER and claim.object is ClaimObject.ISSUANCE
    return instalment and claim.status in _CREDITED


def _taken_kwh(taken: Sequence[tuple[Claim, Relation]]) -> int:
    certificates_kwh = sum(_kwh_of(claim) for claim, _ in taken if _is_stopped(claim))
    instalments_kwh = sum(_kwh_of(claim) for claim, _ in taken if _is_credited(claim))
    return max(certificates_kwh, instalments_kwh)


def _is_told(applicant: Claim, claim: Claim) -> bool:
    """Whether the claim's whole quantity is electricity of the applicant's period."""
    activity = claim.activity
    known = activity is not None and kwh(activity.quantity, activity.unit) is not None
    return known and applicant.interval.covers(claim.interval)


def _metered_left_kwh(judgement: Judgement) -> int | None:
    """Give the metered electricity of the period less the applicant's, or None where it is not known."""
    applicant = judgement.applicant
    if applicant.activity is None:
        return None
    claimed_kwh = kwh(applicant.activity.quantity, applicant.activity.unit)
    same_assets = judgement.same_assets()
    readings = {
        _reading_kwh(reading)
        for reading in judgement.facts.metering
        if reading.asset_id in same_assets
        and reading.attribute is applicant.attribute
        and reading.interval == applicant.interval
    }
    if claimed_kwh is None or len(readings) != 1:
        return None
    metered_kwh = readings.pop()
    return None if metered_kwh is None else metered_kwh - claimed_kwh


def _reading_kwh(reading: Metering) -> int | None:
    return kwh(reading.quantity, reading.unit)


def _kwh_of(claim: Claim) -> int:
    activity = claim.activity
    return 0 if activity is None else kwh(activity.quantity, activity.unit) or 0
