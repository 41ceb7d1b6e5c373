"""Sale of a green certificate or of green power (rule 10).

The certificate's own state decides first: what is frozen or cancelled for CCER stays so even after the
coordination notice has ended, what was sold is not sold again, what cannot be traded is not sold at all.
"""

from __future__ import annotations

from tanqiao.claims.assets import Relation
from tanqiao.claims.energy import kwh
from tanqiao.claims.intervals import meet, parts_meet
from tanqiao.claims.judgement import Judgement, Stage
from tanqiao.claims.matrix import SOLD_STATES, Cell
from tanqiao.claims.model import Action, Claim, GecStateName, Level, Metering, VerdictKind

_STOPPED_FOR_CCER = frozenset({GecStateName.FROZEN, GecStateName.CANCELLED})


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
        left_kwh = self._metered_left_kwh()
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

    def _metered_left_kwh(self) -> int | None:
        """Give the metered electricity of the period less the applicant's, or None where it is not known."""
        judgement = self._judgement
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
