"""The coordination notice between CCER and green certificates, 国能综通新能〔2024〕124号 (rule 8).

Outside its validity every answer that would rest on it is HOLD. Inside it only CSP and deep-sea offshore
wind may choose CCER: at declaration and registration the unsold certificates of the crediting period are
frozen, at issue those of the credited electricity are cancelled, counted per metering period.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tanqiao.claims.assets import Relation
from tanqiao.claims.cells import freeze_order, is_explained, is_shown_only
from tanqiao.claims.intervals import meet, parts_meet
from tanqiao.claims.judgement import Judgement, Stage
from tanqiao.claims.matrix import (
    CONCENTRATED_SOLAR_KIND,
    DEEP_SEA_WIND_KIND,
    SOLD_STATES,
    UNSOLD_STATES,
)
from tanqiao.claims.model import (
    Action,
    Asset,
    Attribute,
    Claim,
    ClaimObject,
    ClaimStatus,
    GecStateName,
    Level,
    Programme,
    VerdictKind,
)
from tanqiao.claims.parameters import Parameters
from tanqiao.claims.settlement import Settlement, settle

ARTICLE_KINDS = "N124-1"
ARTICLE_CHOICE = "N124-2"
ARTICLE_END = "N124-END"


@dataclass(frozen=True, slots=True)
class _Certificate:
    claim: Claim
    relation: Relation


def may_choose_ccer(assets: Iterable[Asset], parameters: Parameters) -> bool:
    """Whether a plant is CSP, or offshore wind strictly farther or strictly deeper than the notice says."""
    for asset in assets:
        if asset.kind == CONCENTRATED_SOLAR_KIND:
            return True
        if asset.kind == DEEP_SEA_WIND_KIND:
            distance_mm = asset.offshore_distance_mm or 0
            depth_mm = asset.water_depth_mm or 0
            far = distance_mm > parameters.coordination_offshore_distance_over_mm
            deep = depth_mm > parameters.coordination_water_depth_over_mm
            if far or deep:
                return True
    return False


def is_sold(claim: Claim) -> bool:
    """Whether the electricity was sold: green power, or a tradable certificate transferred or redeemed."""
    if claim.programme is Programme.GREEN_POWER:
        return True
    state = claim.gec
    return state is not None and state.tradable and state.state in SOLD_STATES


class NoticeClaims:
    """Certificates and green power of the applicant's plant that meet its period."""

    __slots__ = ("_certificates", "_judgement")

    def __init__(self, judgement: Judgement) -> None:
        self._judgement = judgement
        self._certificates: list[_Certificate] = []

    def gather(self, claim: Claim) -> None:
        """Take a claim that the notice speaks of, or report why it does not count."""
        judgement = self._judgement
        applicant = judgement.applicant
        relation = judgement.relation(claim.asset_id)
        if relation.is_different:
            judgement.different_asset(relation)
        elif claim.attribute is not applicant.attribute:
            judgement.passed(Stage.OTHER_ATTRIBUTE, "POLICY-ATTRIBUTE")
        elif not meet(applicant, claim):
            judgement.passed(Stage.NO_OVERLAP, ARTICLE_CHOICE)
        elif claim.gec is not None and is_shown_only(claim.gec) and claim.status is not ClaimStatus.DRAFT:
            article = ARTICLE_CHOICE if claim.gec.tradable else "GEC-NONTRADABLE"
            judgement.flag(claim, article, Level.QUANTITY)
        elif not claim.is_live:
            judgement.not_live(claim, ARTICLE_CHOICE)
        else:
            self._certificates.append(_Certificate(claim, relation))

    def judge(self) -> None:
        """Report what the notice answers; it speaks of renewable electricity only."""
        judgement = self._judgement
        if judgement.applicant.attribute is not Attribute.RE_GEN:
            return
        judgement.passed(Stage.DEFAULT, ARTICLE_CHOICE)
        parameters = judgement.parameters
        if not parameters.coordination_notice_valid.contains(judgement.facts.decided_on):
            self._name_all(VerdictKind.HOLD, ARTICLE_END)
            return
        assets = judgement.facts.assets
        if not may_choose_ccer((assets[asset_id] for asset_id in judgement.same_assets()), parameters):
            self._name_all(VerdictKind.BLOCK, ARTICLE_KINDS)
        elif judgement.applicant.action is Action.ISSUE:
            self._cancel()
        else:
            self._freeze()

    def _name_all(self, verdict: VerdictKind, article: str) -> None:
        named = [item.claim.claim_id for item in self._certificates if item.relation.is_certainly_same]
        self._judgement.find(verdict, Level.QUANTITY, article, named)

    def _doubtful(self, item: _Certificate) -> bool:
        """A certificate of a nominated asset would be touched: a person must look."""
        if not item.relation.is_doubtful:
            return False
        bite = (VerdictKind.HOLD, Level.QUANTITY, ARTICLE_CHOICE)
        self._judgement.collide(item.claim, item.relation, bite)
        return True

    def _is_own_freeze(self, claim: Claim) -> bool:
        state = claim.gec
        if state is None or state.state is not GecStateName.FROZEN or state.frozen_for is None:
            return False
        applicant = self._judgement.applicant
        if state.frozen_for in (applicant.claim_id, applicant.project):
            return True
        return applicant.project is not None and any(
            other.claim_id == state.frozen_for
            and other.programme is Programme.CCER
            and other.project == applicant.project
            for other in self._judgement.facts.existing_claims
        )

    def _other_state(self, claim: Claim) -> None:
        """Frozen or cancelled for another project: shown where that one is judged by itself, else HOLD."""
        if claim.gec is not None and is_explained(self._judgement, claim.gec):
            self._judgement.flag(claim, ARTICLE_CHOICE, Level.QUANTITY)
        else:
            named = (claim.claim_id,)
            self._judgement.find(VerdictKind.HOLD, Level.QUANTITY, ARTICLE_CHOICE, named)

    def _freeze(self) -> None:
        """Freeze the unsold certificates of the crediting period; what was sold is lost for CCER later."""
        judgement = self._judgement
        for item in self._certificates:
            claim = item.claim
            if not parts_meet(judgement.applicant.part, claim.part):
                judgement.passed(Stage.NO_OVERLAP, ARTICLE_CHOICE)
            elif is_sold(claim):
                judgement.flag(claim, ARTICLE_CHOICE, Level.QUANTITY)
            elif claim.gec is not None and claim.gec.state in UNSOLD_STATES:
                bite = (VerdictKind.FREEZE_OTHER, Level.QUANTITY, ARTICLE_CHOICE)
                judgement.collide(claim, item.relation, bite, orders=freeze_order(claim))
            elif self._is_own_freeze(claim):
                judgement.passed(Stage.NO_OVERLAP, ARTICLE_CHOICE)
            else:
                self._other_state(claim)

    def _cancel(self) -> None:
        """Count per metering period what was sold, and cancel the certificates of what is credited."""
        sold: list[Claim] = []
        cancellable: list[Claim] = []
        for item in self._certificates:
            claim = item.claim
            if self._doubtful(item):
                continue
            if is_sold(claim):
                sold.append(claim)
            elif self._is_own_freeze(claim) or (claim.gec is not None and claim.gec.state in UNSOLD_STATES):
                cancellable.append(claim)
            else:
                self._other_state(claim)
        facts = self._judgement.facts
        same_assets = frozenset(self._judgement.same_assets())
        taken = [*sold, *self._other_instalments()]
        self._report(settle(facts.applicant, facts.metering, same_assets, taken, cancellable))

    def _other_instalments(self) -> list[Claim]:
        """Instalments of other parts of the plant: the same meter feeds them (CLAIMS, level L3)."""
        judgement = self._judgement
        applicant = judgement.applicant
        return [
            claim
            for claim in judgement.facts.existing_claims
            if claim.programme is Programme.CCER
            and claim.object is ClaimObject.ISSUANCE
            and claim.claim_id != applicant.claim_id
            and claim.is_live
            and claim.attribute is applicant.attribute
            and meet(applicant, claim)
            and not parts_meet(applicant.part, claim.part)
            and judgement.relation(claim.asset_id).is_certainly_same
        ]

    def _report(self, settlement: Settlement) -> None:
        judgement = self._judgement
        if settlement.undecided:
            named = sorted(settlement.unclear_claims)
            judgement.find(VerdictKind.HOLD, Level.QUANTITY, ARTICLE_CHOICE, named)
            return
        named = [*settlement.cut_by, *(order.claim_id for order in settlement.orders)]
        if settlement.all_allowed:
            if settlement.orders:
                judgement.find(
                    VerdictKind.FREEZE_OTHER, Level.QUANTITY, ARTICLE_CHOICE, named, (), settlement.orders
                )
            else:
                judgement.passed(Stage.NO_OVERLAP, ARTICLE_CHOICE)
        elif settlement.allowed is None:
            judgement.find(VerdictKind.BLOCK, Level.QUANTITY, ARTICLE_CHOICE, named)
        else:
            judgement.allowed = settlement.allowed
            judgement.find(VerdictKind.SPLIT, Level.QUANTITY, ARTICLE_CHOICE, named, (), settlement.orders)
