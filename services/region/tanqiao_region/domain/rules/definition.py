"""How a pack writes its rules: pure functions marked with their rule id.

``@rule("SH-12", article="12", mark="MUST")`` marks a function of two arguments. The annotation of the first
says for which acts it runs: a class of facts, or several joined by ``|``; a base class stands for all acts
below it. ``@structural(...)`` marks a check of the pack's own data, made once when the pack is built: it
carries the rules that demand registers, event types or lists rather than decide on an act.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, Union, get_args, get_origin, get_type_hints

from tanqiao.kernel.invariants import require
from tanqiao_region.domain.rules.facts import ACTS, Facts
from tanqiao_region.domain.rules.parameters import DatedParameters
from tanqiao_region.domain.rules.verdicts import Mark, Outcomes

RuleFunction = Callable[..., Outcomes]
Marked = TypeVar("Marked", bound=Callable[..., object])

_ATTRIBUTE: Final = "__tanqiao_rule__"


@dataclass(frozen=True, slots=True)
class Mention:
    """What a decorator wrote on a function."""

    rule_id: str
    article: str
    mark: Mark
    structural: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a pack: its id, where it stands in the text, its mark and the acts that it looks at."""

    rule_id: str
    article: str
    mark: Mark
    acts: frozenset[type[Facts]]
    function: RuleFunction
    name: str


@dataclass(frozen=True, slots=True)
class StructuralRule:
    """One rule that the data of the pack fulfil or not; the function returns what is missing."""

    rule_id: str
    article: str
    mark: Mark
    function: Callable[..., str | None]
    name: str


def rule(rule_id: str, *, article: str, mark: Mark) -> Callable[[Marked], Marked]:
    """Mark a function ``(facts, parameters) -> Refusal | Note | tuple of them | None`` as a rule."""
    return _marker(Mention(rule_id, article, mark, structural=False))


def structural(rule_id: str, *, article: str, mark: Mark) -> Callable[[Marked], Marked]:
    """Mark a function ``(pack) -> None | what is missing`` as a check of the pack's own data."""
    return _marker(Mention(rule_id, article, mark, structural=True))


def _marker(mention: Mention) -> Callable[[Marked], Marked]:
    def attach(function: Marked) -> Marked:
        held: tuple[Mention, ...] = getattr(function, _ATTRIBUTE, ())
        setattr(function, _ATTRIBUTE, (mention, *held))
        return function

    return attach


def rules_of(namespace: Mapping[str, object]) -> tuple[tuple[Rule, ...], tuple[StructuralRule, ...]]:
    """Collect the marked functions of a module, in the order in which they stand there.

    A function may carry several rules, where two articles say one thing; each is listed.

    Raises:
        InvariantBroken: an annotation names no act.
    """
    rules: list[Rule] = []
    structurals: list[StructuralRule] = []
    for name, value in namespace.items():
        mentions: tuple[Mention, ...] = getattr(value, _ATTRIBUTE, ())
        for mention in mentions:
            require(callable(value), f"{name} is marked as a rule and is no function")
            if not callable(value):
                continue
            if mention.structural:
                structurals.append(
                    StructuralRule(mention.rule_id, mention.article, mention.mark, value, name)
                )
            else:
                acts = acts_of(value)
                rules.append(Rule(mention.rule_id, mention.article, mention.mark, acts, value, name))
    return tuple(rules), tuple(structurals)


def acts_of(function: RuleFunction) -> frozenset[type[Facts]]:
    """Give the acts that the annotation of the function's first parameter stands for."""
    hints = get_type_hints(function)
    hints.pop("return", None)
    require(len(hints) > 0, f"{function.__name__}: the facts are not annotated")
    annotation = next(iter(hints.values()))
    choices: Iterable[object] = (
        get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    )
    found = {
        act for act in ACTS for choice in choices if isinstance(choice, type) and issubclass(act, choice)
    }
    require(bool(found), f"{function.__name__}: {annotation} stands for no act")
    return frozenset(found)


__all__ = [
    "DatedParameters",
    "Rule",
    "RuleFunction",
    "StructuralRule",
    "acts_of",
    "rule",
    "rules_of",
    "structural",
]
