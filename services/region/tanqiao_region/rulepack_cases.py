"""Case files of rule packs: worked facts with the verdict that the pack must give.

A pack's ``cases/*.toml`` hold ``[base.<name>]`` tables (facts that pass, or that extend another base) and
``[[case]]`` entries that change a base and state the outcome. A refusing case names the one reason with which
its rule must refuse, and every other refusal that must appear with it, so that a case cannot pass by the
wrong rule; an accepting case demands that nothing refuses and that its rule was asked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from tanqiao.kernel.invariants import InvariantBroken, require
from tanqiao.kernel.reasons import CATALOGUE
from tanqiao_region.domain.rules.decode import decode_facts, merge
from tanqiao_region.domain.rules.facts import Facts
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.parameters import ParameterValue, Provenance, Value
from tanqiao_region.domain.rules.tables import Table
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.rulepack_loader import CASES_DIRECTORY, load_pack

CASE_NETWORK: Final = "test-cases"
EXTENDS_MAX: Final = 8
CASES_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class Case:
    """One worked case.

    Args:
        name: what happens, as a sentence.
        rule_id: rule that the case is about.
        facts: the facts.
        refused_with: reason with which that rule refuses; empty = nothing refuses.
        also: further refusals that appear with it, ``rule:REASON``.
        network: network on which the pack is asked.
        parameters: dated values of the operator.
    """

    name: str
    rule_id: str
    facts: Facts
    refused_with: str
    also: frozenset[str]
    network: str
    parameters: tuple[tuple[str, Value], ...]

    @property
    def refuses(self) -> bool:
        """Whether the case expects a refusal."""
        return bool(self.refused_with)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case gave: empty `fault` means that the pack answered as expected."""

    case: Case
    verdict: Verdict
    fault: str


def load_cases(directory: Path) -> tuple[Case, ...]:
    """Read every case of a pack's directory.

    Raises:
        InvariantBroken: a file or a case is malformed; the message names it.
    """
    bases: dict[str, Mapping[str, object]] = {}
    listed: list[tuple[str, Mapping[str, object]]] = []
    for path in sorted((directory / CASES_DIRECTORY).glob("*.toml")):
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvariantBroken(f"{path} cannot be read: {error}") from error
        found = content.get("base", {})
        twice = sorted(set(found) & set(bases))
        require(not twice, f"{path}: the base {', '.join(twice)} is already defined")
        bases.update(found)
        listed.extend((path.name, entry) for entry in content.get("case", []))
    require(len(listed) <= CASES_MAX, f"{directory} has more than {CASES_MAX} cases")
    return tuple(_case(entry, bases, f"{directory.name}/{name}") for name, entry in listed)


def run_cases(directory: Path, cases: Iterable[Case] | None = None) -> tuple[CaseResult, ...]:
    """Ask the pack of the directory every case, on the network and with the parameters that each names."""
    packs: dict[str, RulePack] = {}
    results: list[CaseResult] = []
    for case in load_cases(directory) if cases is None else cases:
        if case.network not in packs:
            packs[case.network] = load_pack(directory, network_id=case.network)
        results.append(run_case(packs[case.network], case))
    return tuple(results)


def run_case(pack: RulePack, case: Case) -> CaseResult:
    """Ask the pack one case."""
    values = tuple(_operator_value(key, value) for key, value in case.parameters)
    verdict = (pack.with_parameters(values) if values else pack).evaluate(case.facts)
    return CaseResult(case, verdict, _fault(case, verdict))


def _fault(case: Case, verdict: Verdict) -> str:
    refusals = {f"{finding.rule_id}:{finding.reason_symbol}" for finding in verdict.refusals}
    if not case.refuses:
        if refusals:
            return f"refused by {', '.join(sorted(refusals))}"
        return "" if case.rule_id in verdict.rules_applied else f"{case.rule_id} was not asked"
    expected = {f"{case.rule_id}:{case.refused_with}", *case.also}
    if refusals != expected:
        return (
            f"refused by {', '.join(sorted(refusals)) or 'nothing'}, expected {', '.join(sorted(expected))}"
        )
    for finding in verdict.refusals:
        missing = CATALOGUE[finding.reason_symbol or ""].placeholders - set(finding.metadata)
        if missing:
            return f"{finding.rule_id}: the sentence lacks {', '.join(sorted(missing))}"
    return ""


def _case(entry: Mapping[str, object], bases: Mapping[str, Mapping[str, object]], path: str) -> Case:
    table = Table(entry, path)
    name = table.text("name")
    table = Table(entry, f"{path}: {name}")
    act, facts = _base(table.text("base"), bases, path)
    change = entry.get("change", {})
    changed = merge(facts, change) if isinstance(change, Mapping) else facts
    parameters = table.table("parameters")
    case = Case(
        name=table.text("name"),
        rule_id=table.text("rule"),
        facts=decode_facts(table.text("act", act), changed),
        refused_with=table.text("refused_with", ""),
        also=frozenset(table.texts("also")),
        network=table.text("network", CASE_NETWORK),
        parameters=tuple((key, _plain(parameters.value(key))) for key in parameters.names()),
    )
    table.table("change")
    table.finish()
    require(not case.refused_with or case.refused_with in CATALOGUE, f"{path}: no reason {case.refused_with}")
    return case


def _base(
    name: str, bases: Mapping[str, Mapping[str, object]], path: str, depth: int = 0
) -> tuple[str, dict[str, object]]:
    require(depth < EXTENDS_MAX, f"{path}: the base {name} extends too many others")
    require(name in bases, f"{path}: there is no base {name}")
    table = Table(bases[name], f"{path}: base {name}")
    own = bases[name].get("facts", {})
    if not isinstance(own, Mapping):
        raise InvariantBroken(f"{path}: the facts of {name} are no table")
    table.table("facts")
    act = table.text("act", "")
    below: dict[str, object] = {}
    if table.has("extends"):
        inherited, below = _base(table.text("extends"), bases, path, depth + 1)
        act = act or inherited
    table.finish()
    return act, merge(below, own)


def _plain(value: object) -> Value:
    if isinstance(value, list):
        return frozenset(str(item) for item in value)
    if isinstance(value, bool | int | str | date | Mapping):
        return value
    raise InvariantBroken(f"{value!r} is no value of a parameter")


def _operator_value(key: str, value: Value) -> ParameterValue:
    return ParameterValue(
        key=key, value=value, valid_from=None, provenance=Provenance.OPERATOR, document="case file"
    )
