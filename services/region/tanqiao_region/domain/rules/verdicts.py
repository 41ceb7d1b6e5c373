"""What the rules answer: findings, and the verdict that gathers them.

A finding without a reason is a *note*: a fact that the decision must carry (for example that a default was
inferred), which stops nothing. A verdict is allowed when no finding has a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, cast

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.kernel.reasons import CATALOGUE

Mark = Literal["MUST", "SHOULD", "OUT", "POLICY"]
"""Marks of RULES section 0; POLICY is a check of the node that no article orders, and is cited as such."""

_EMPTY: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a rule function returns when it refuses: a reason of the catalogue and what fills its sentence."""

    symbol: str
    metadata: Mapping[str, object] = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        """Refuse a reason that no reader could look up."""
        require(self.symbol in CATALOGUE, f"the reason catalogue does not know {self.symbol}")


@dataclass(frozen=True, slots=True)
class Note:
    """What a rule function returns when it lets an act pass but the decision must say something."""

    metadata: Mapping[str, object]


Outcome = Refusal | Note
Outcomes = Outcome | tuple[Outcome, ...] | None
"""What a rule function may return."""


def refuse(symbol: str, /, **metadata: object) -> Refusal:
    """Build a refusal; the keywords fill the sentence of the reason."""
    return Refusal(symbol, MappingProxyType(dict(metadata)))


def note(**metadata: object) -> Note:
    """Build a note."""
    return Note(MappingProxyType(dict(metadata)))


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of one rule, with the article that carries it."""

    rule_id: str
    article_zh: str
    article_en: str
    reason_symbol: str | None
    metadata: Mapping[str, object]

    @property
    def refuses(self) -> bool:
        """Whether the finding stops the act."""
        return self.reason_symbol is not None

    def error(self) -> DomainError:
        """Give the refusal that leaves the domain; its article is cited in both languages.

        Raises:
            InvariantBroken: the finding is a note.
        """
        symbol = self.reason_symbol
        require(symbol is not None, f"{self.rule_id}: a note is not a refusal")
        error = DomainError(
            symbol or "", article=self.article_en, **cast("dict[str, Any]", dict(self.metadata))
        )
        error.metadata.update(rule_id=self.rule_id, article_zh=self.article_zh, article_en=self.article_en)
        return error


@dataclass(frozen=True, slots=True)
class PackIdentity:
    """What every journal entry stores of the rules it was made under."""

    pack_id: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.pack_id}@{self.version}#{self.digest}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a whole pack to the facts of one act, findings in the order of precedence."""

    act: str
    pack: PackIdentity
    findings: tuple[Finding, ...]
    rules_applied: tuple[str, ...]

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that stop the act; the first takes precedence."""
        return tuple(finding for finding in self.findings if finding.refuses)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings that the decision must carry without being stopped."""
        return tuple(finding for finding in self.findings if not finding.refuses)

    @property
    def allowed(self) -> bool:
        """Whether no rule refuses."""
        return not self.refusals

    def error(self) -> DomainError:
        """Give the first refusal by precedence; every other one is named in its metadata.

        The metadata hold ``rule_pack`` (id, version and digest), ``other_refusals``
        (``rule:REASON`` of all further refusals, in order) and the article in both languages.
        """
        refusals = self.refusals
        require(bool(refusals), "an allowed verdict is not an error")
        error = refusals[0].error()
        error.metadata["rule_pack"] = str(self.pack)
        if len(refusals) > 1:
            error.metadata["other_refusals"] = ", ".join(
                f"{other.rule_id}:{other.reason_symbol}" for other in refusals[1:]
            )
        return error
