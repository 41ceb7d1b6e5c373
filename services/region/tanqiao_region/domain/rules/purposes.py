"""What a unit may be used for: the matrix of RULES section 8 as data of a pack.

A row names a purpose, a column a kind of unit. A purpose that has no row, or a kind without a cell, is
refused and never mapped to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tanqiao.kernel.invariants import InvariantBroken
from tanqiao_region.domain.rules.facts import Recognition, Retire, UnitLot
from tanqiao_region.domain.rules.parameters import DatedParameters
from tanqiao_region.domain.rules.roles import Located
from tanqiao_region.domain.rules.verdicts import Refusal, refuse

FOREIGN: Final = "foreign"
RECONVERTED: Final = "reconverted"
NATIVE: Final = "native"
TRADE: Final = "trade"
"""Row of the matrix that is no retirement: settling a market trade."""


class Answer(StrEnum):
    """What a cell says."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    PARAMETER = "parameter"
    AGREEMENT = "agreement"
    BY_CLASS = "by_class"
    """Of units converted back from points: as units of the class of the lot that backed them."""


@dataclass(frozen=True, slots=True)
class PurposeCell:
    """One cell: whether units of this kind may be used for this purpose.

    Args:
        purpose: name of the purpose.
        kind: ``native``, ``class:<name>``, ``foreign`` or ``reconverted``.
        answer: what the cell says.
        rule_id: rule that says so.
        parameter: for PARAMETER, the yes-or-no parameter or the indexed table (by year) that opens it.
        reason: reason with which a refused cell refuses.
    """

    purpose: str
    kind: str
    answer: Answer
    rule_id: str
    parameter: str = ""
    reason: str = "PURPOSE_NOT_PROVIDED"


class PurposeTable:
    """The matrix of a pack."""

    def __init__(self, cells: Iterable[PurposeCell], *, default_rule_id: str, extra: str = "") -> None:
        self.cells: dict[tuple[str, str], PurposeCell] = {(cell.purpose, cell.kind): cell for cell in cells}
        self.purposes: frozenset[str] = frozenset(purpose for purpose, _ in self.cells)
        self._default_rule_id = default_rule_id
        self._extra = extra

    def kind_of(self, lot: UnitLot, node_region: str) -> str:
        """Give the column in which a lot stands."""
        if lot.origin_region != node_region:
            return FOREIGN
        if lot.must_be_consumed:
            return RECONVERTED
        return _class_kind(lot)

    def rules_asked(self, facts: Retire) -> tuple[str, ...]:
        """Give the rules that answer for the purpose, each once and in order."""
        cells = [cell.rule_id for cell in self.cells.values() if cell.purpose == facts.purpose]
        return tuple(dict.fromkeys(cells)) or (self._default_rule_id,)

    def check(self, facts: Retire, parameters: DatedParameters) -> tuple[Located, ...]:
        """Answer for every lot; lots with one answer are named together, by range."""
        if facts.purpose == TRADE or (
            facts.purpose not in self.purposes and not self._is_extra(facts, parameters)
        ):
            refusal = refuse("PURPOSE_NOT_PROVIDED", purpose=facts.purpose)
            return (Located(self._default_rule_id, refusal),)
        grouped: dict[tuple[str, str], list[UnitLot]] = {}
        answers: dict[tuple[str, str], Located] = {}
        for lot in facts.lots:
            located = self._check_lot(lot, facts, parameters)
            if located is not None:
                key = (located.rule_id, located.refusal.symbol)
                grouped.setdefault(key, []).append(lot)
                answers[key] = located
        return tuple(
            Located(
                located.rule_id,
                Refusal(
                    located.refusal.symbol,
                    {**located.refusal.metadata, "ranges": [str(lot) for lot in grouped[key]]},
                ),
            )
            for key, located in answers.items()
        )

    def _is_extra(self, facts: Retire, parameters: DatedParameters) -> bool:
        if not self._extra or not parameters.has(self._extra):
            return False
        return facts.purpose in parameters.text_set(self._extra)

    def _check_lot(self, lot: UnitLot, facts: Retire, parameters: DatedParameters) -> Located | None:
        kind = self.kind_of(lot, facts.node_region)
        if facts.purpose not in self.purposes:  # a further purpose by parameter: any unit of the node's own
            return None if kind != FOREIGN else self._agreement(lot, facts, self._default_rule_id)
        cell = self.cells.get((facts.purpose, kind))
        if cell is not None and cell.answer is Answer.BY_CLASS:
            cell = self.cells.get((facts.purpose, _class_kind(lot)))
        if cell is None:
            return Located(self._default_rule_id, refuse("PURPOSE_NOT_PROVIDED", purpose=facts.purpose))
        match cell.answer:
            case Answer.ALLOWED:
                return None
            case Answer.REFUSED:
                return Located(
                    cell.rule_id, refuse(cell.reason, purpose=facts.purpose, year=facts.year or "")
                )
            case Answer.AGREEMENT:
                return self._agreement(lot, facts, cell.rule_id)
            case Answer.PARAMETER:
                return self._parameter(cell, facts, parameters)
            case Answer.BY_CLASS:
                raise InvariantBroken(f"{cell.purpose}: a class is answered by another class")

    @staticmethod
    def _agreement(lot: UnitLot, facts: Retire, rule_id: str) -> Located | None:
        covering: list[Recognition] = [
            record
            for record in facts.recognitions
            if record.covers(lot, from_region=lot.origin_region, to_region=facts.node_region, on=facts.on)
        ]
        if not covering:
            refusal = refuse("RECOGNITION_NOT_IN_FORCE", a=lot.origin_region, b=facts.node_region)
            return Located(rule_id, refusal)
        if not any(facts.purpose in record.purposes for record in covering):
            refusal = refuse("PURPOSE_NOT_RECOGNISED", region=facts.node_region, purpose=facts.purpose)
            return Located(rule_id, refusal)
        return None

    @staticmethod
    def _parameter(cell: PurposeCell, facts: Retire, parameters: DatedParameters) -> Located | None:
        if cell.parameter.endswith("[]"):
            if facts.year is None:
                missing = refuse("PURPOSE_DETAIL_MISSING", purpose=facts.purpose, documents="year")
                return Located(cell.rule_id, missing)
            # An unset year is refused by the rule of the pack that reads the notice itself.
            return None
        opened = parameters.has(cell.parameter) and parameters.boolean(cell.parameter)
        return None if opened else Located(cell.rule_id, refuse(cell.reason, purpose=facts.purpose))


def _class_kind(lot: UnitLot) -> str:
    return f"class:{lot.unit_class}" if lot.unit_class else NATIVE
