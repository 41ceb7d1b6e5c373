"""A rule pack: dated, versioned, immutable data and the pure functions of its rules.

`RulePack.evaluate` runs every rule that applies to an act and returns every failure (PROTOCOL section 9);
`RulePack.require` raises the first by precedence and names the others. Precedence is: pack in force, region,
role and signatures, other rules in the order in which the pack lists them, purposes, house policy. A pack
knows nothing of files: `tanqiao_region.rulepack_loader` builds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from tanqiao.kernel.errors import DomainError
from tanqiao_region.domain.rules.articles import ArticleText, Numbering, cite
from tanqiao_region.domain.rules.definition import Rule, StructuralRule
from tanqiao_region.domain.rules.facts import ACTS, Facts, Retire
from tanqiao_region.domain.rules.lifecycles import Lifecycle
from tanqiao_region.domain.rules.parameters import (
    DatedParameters,
    ParameterDefinition,
    Parameters,
    ParameterValue,
)
from tanqiao_region.domain.rules.purposes import PurposeTable
from tanqiao_region.domain.rules.roles import Located, RoleTable
from tanqiao_region.domain.rules.unit_rules import NoticeRule, UnitRules
from tanqiao_region.domain.rules.verdicts import (
    Finding,
    Mark,
    Outcome,
    Outcomes,
    PackIdentity,
    Refusal,
    Verdict,
    refuse,
)

IN_FORCE_FROM: Final = "pack.in_force_from"
IN_FORCE_TO: Final = "pack.in_force_to"
DAYS_KEPT_MAX: Final = 1_024
"""Legal dates whose answer is kept; a pack never changes, so that an answer stays true."""
DATA_ALONE: Final = "pack.toml"
"""What carries a rule that stands in the pack's data, and that no function of the engine asks."""
SELF_APPROVAL: Final = "POLICY-self-approval"
"""No article orders it for every decision; RULES section 7.2 marks it as inferred."""
POLICY_ARTICLE: Final = ArticleText(
    "节点政策：提交人与审批人须为不同的人", "node policy: submitter and approver differ"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A text that the pack stands on.

    Args:
        prefix: prefix of the ids of its rules, such as ``SH``.
        title_zh: its title.
        title_en: its title, translated.
        status: draft, plan, in force.
        basis: texts that it names as its own bases.
        numbering: whether its rules stand in articles or in tasks.
    """

    prefix: str
    title_zh: str
    title_en: str
    status: str
    basis: tuple[str, ...] = ()
    numbering: Numbering = "article"


@dataclass(frozen=True, slots=True)
class Slip:
    """A drafting slip of a text and how the code reads it (RULES section 5)."""

    slip_id: str
    where: str
    says: str
    reading: str


@dataclass(frozen=True, slots=True)
class DisclosureList:
    """A public list (RULES section 10): its page, its fields, and the rule that orders it."""

    slug: str
    title_zh: str
    title_en: str
    fields: tuple[str, ...]
    rule_id: str
    ordered_by_law: bool


@dataclass(frozen=True, slots=True)
class MethodologyTemplate:
    """A methodology known from public sources: which plug-in computes it, with which factors.

    Args:
        number: its number; None where no public source gives one.
        title: its title.
        kind: project or scene.
        unit_class: class of its units.
        plug_in: name of the quantification plug-in.
        factors: factors by name, as decimal texts with their unit in the name.
        provenance: where the factors come from; demonstration ones count on test networks only.
        source: citation.
        unknown: factors that no source gives; a computation that needs one is refused.
    """

    number: str | None
    title: str
    kind: str
    unit_class: str
    plug_in: str
    factors: Mapping[str, str]
    provenance: str
    source: str
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PackData:
    """Everything of a pack that is data.

    Args:
        identity: id, version, and digest over its files.
        region: division code of its region.
        title: what it is called on screens.
        validity_years: years from its entry into force to its end; None = no end.
        in_force_rule: rule of its entry into force.
        scope_rule: rule of its territorial scope.
        sources: texts that it stands on.
        slips: drafting slips and readings.
        definitions: parameters that it knows.
        values: values that it ships, with provenance.
        units: programme, classes and grain.
        notices: lengths of public notices, by kind of object.
        roles: who may do what.
        purposes: what units may be used for.
        lifecycles: state machines, by kind of object.
        registers: registers that the node keeps.
        events: event type of each verb that the text lists, by register.
        disclosures: public lists.
        methodologies: methodologies known from public sources.
        terms: words that two texts use for different things, and the code's word for each.
    """

    identity: PackIdentity
    region: str
    title: str
    validity_years: int | None
    in_force_rule: str
    scope_rule: str
    sources: tuple[Source, ...]
    slips: tuple[Slip, ...]
    definitions: tuple[ParameterDefinition, ...]
    values: tuple[ParameterValue, ...]
    units: UnitRules
    notices: Mapping[str, NoticeRule]
    roles: RoleTable
    purposes: PurposeTable
    lifecycles: Mapping[str, Lifecycle]
    registers: frozenset[str] = frozenset()
    events: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    disclosures: tuple[DisclosureList, ...] = ()
    methodologies: tuple[MethodologyTemplate, ...] = ()
    terms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule as tables list it: where it stands and what carries it."""

    rule_id: str
    article: str
    mark: Mark
    carried_by: str


class RulePack:
    """The law of one node in one version, ready to be asked on one network."""

    def __init__(
        self,
        data: PackData,
        rules: tuple[Rule, ...],
        structurals: tuple[StructuralRule, ...],
        table_rules: Mapping[str, tuple[str, Mark]],
        parameters: Parameters,
    ) -> None:
        self.data = data
        self.rules = rules
        self.structurals = structurals
        self.table_rules = table_rules
        self.parameters = parameters
        self._articles: dict[str, str] = {rule_id: article for rule_id, (article, _) in table_rules.items()}
        self._articles.update({rule.rule_id: rule.article for rule in structurals})
        self._articles.update({rule.rule_id: rule.article for rule in rules})
        self._rules_by_act: dict[type[Facts], tuple[Rule, ...]] = {
            act: tuple(rule for rule in rules if act in rule.acts) for act in ACTS
        }
        self._days_in_force: dict[date, bool] = {}

    @property
    def identity(self) -> PackIdentity:
        """Id, version and digest, as a journal entry stores them."""
        return self.data.identity

    @property
    def region(self) -> str:
        """Division code of the pack's region."""
        return self.data.region

    @property
    def units(self) -> UnitRules:
        """Programme, classes and grain."""
        return self.data.units

    def with_parameters(self, values: tuple[ParameterValue, ...]) -> RulePack:
        """Give the same pack with further dated values of the operator."""
        return RulePack(
            self.data, self.rules, self.structurals, self.table_rules, self.parameters.with_values(values)
        )

    def in_force(self, on: date) -> bool:
        """Whether the pack is in force on the legal date; an unset date of entry means that it is not."""
        known = self._days_in_force.get(on)
        if known is not None:
            return known
        if len(self._days_in_force) >= DAYS_KEPT_MAX:
            self._days_in_force.clear()
        answer = self._compute_in_force(on)
        self._days_in_force[on] = answer
        return answer

    def _compute_in_force(self, on: date) -> bool:
        parameters = self.parameters.on(on)
        if not parameters.has(IN_FORCE_FROM):
            return False
        begins = parameters.legal_date(IN_FORCE_FROM)
        ends = self.in_force_to(parameters)
        return begins <= on and (ends is None or on < ends)

    def in_force_to(self, parameters: DatedParameters) -> date | None:
        """Give the day after the pack's last day, or None if it has no end.

        A set `pack.in_force_to` wins; else the text's validity is counted from the entry into force to the
        same day, half-open (the counting is inferred).
        """
        if IN_FORCE_TO in self.parameters.definitions and parameters.has(IN_FORCE_TO):
            return parameters.legal_date(IN_FORCE_TO)
        if self.data.validity_years is None:
            return None
        begins = parameters.legal_date(IN_FORCE_FROM)
        return _years_later(begins, self.data.validity_years)

    def notice_rule(self, object_kind: str) -> NoticeRule | None:
        """Give the rule on the public notice of this kind of object, or None if the text orders none."""
        return self.data.notices.get(object_kind)

    def article(self, rule_id: str) -> ArticleText:
        """Cite the article of a rule in its own text."""
        if rule_id == SELF_APPROVAL:
            return POLICY_ARTICLE
        label = self._articles.get(rule_id, rule_id)
        source = self._source(rule_id)
        if source is None:
            return ArticleText(label, label)
        return cite(label, title_zh=source.title_zh, title_en=source.title_en, numbering=source.numbering)

    def _source(self, rule_id: str) -> Source | None:
        prefix = rule_id.partition("-")[0]
        return next((source for source in self.data.sources if source.prefix == prefix), None)

    def evaluate(self, facts: Facts) -> Verdict:
        """Run every rule that applies to the act and return all findings, in order of precedence."""
        parameters = self.parameters.on(facts.on)
        applied: list[str] = [self.data.in_force_rule]
        findings: list[Finding] = self._findings(self.data.in_force_rule, self._check_in_force(facts))
        if not findings:  # a pack that is not in force has nothing else to say
            applied.append(self.data.scope_rule)
            findings.extend(self._findings(self.data.scope_rule, self._check_scope(facts)))
            applied.extend(self.data.roles.rules_asked(facts))
            findings.extend(self._located(self.data.roles.check(facts)))
            for rule in self._rules_by_act[type(facts)]:
                applied.append(rule.rule_id)
                outcomes = _run(rule, facts, parameters)
                if outcomes is not None:
                    findings.extend(self._findings(rule.rule_id, outcomes))
            if isinstance(facts, Retire):
                applied.extend(self.data.purposes.rules_asked(facts))
                findings.extend(self._located(self.data.purposes.check(facts, parameters)))
            applied.append(SELF_APPROVAL)
            findings.extend(self._findings(SELF_APPROVAL, _self_approval(facts)))
        return Verdict(
            act=facts.act(),
            pack=self.identity,
            findings=tuple(_without_repetition(findings)) if findings else (),
            rules_applied=tuple(dict.fromkeys(applied)),
        )

    def require_duty(self, facts: Facts, acts: tuple[str, ...]) -> Verdict:
        """Give the verdict on a step that no article describes, such as a rejection.

        The pack must be in force, and the actor's role must have one of the acts: who may take a decision
        may refuse it, and may go back on it. No other rule is asked.

        Raises:
            DomainError: as `require`.
        """
        findings = self._findings(self.data.in_force_rule, self._check_in_force(facts))
        if not findings:
            findings.extend(self._findings(self.data.scope_rule, self._check_scope(facts)))
            findings.extend(self._located(self.data.roles.check_duty(facts.actor, acts) if acts else ()))
            findings.extend(self._findings(SELF_APPROVAL, _self_approval(facts)))
        duties = self.data.roles.rules_of_duty(acts)
        applied = (self.data.in_force_rule, self.data.scope_rule, *duties, SELF_APPROVAL)
        verdict = Verdict(
            act=acts[0] if acts else facts.act(),
            pack=self.identity,
            findings=tuple(findings),
            rules_applied=tuple(dict.fromkeys(applied)),
        )
        if not verdict.allowed:
            raise verdict.error()
        return verdict

    def require(self, facts: Facts) -> Verdict:
        """Give the verdict if the act is allowed.

        Raises:
            DomainError: the first refusal by precedence, with its article and rule id; every other one is
                named in the metadata ``other_refusals``.
        """
        verdict = self.evaluate(facts)
        if not verdict.allowed:
            raise verdict.error()
        return verdict

    def structural_faults(self) -> tuple[tuple[str, str], ...]:
        """Give (rule id, what is missing) for each demand of the text that the pack's data do not meet."""
        answers = ((check.rule_id, check.function(self.data)) for check in self.structurals)
        return tuple((rule_id, missing) for rule_id, missing in answers if missing is not None)

    def entries(self) -> tuple[RuleEntry, ...]:
        """Give every rule that the pack carries, with what carries it, sorted by id."""
        found: dict[str, RuleEntry] = {}
        for rule_id, (article, mark) in self.table_rules.items():
            found[rule_id] = RuleEntry(
                rule_id, article, mark, ", ".join(self._readers(rule_id)) or DATA_ALONE
            )
        for check in self.structurals:
            found[check.rule_id] = RuleEntry(check.rule_id, check.article, check.mark, check.name)
        for entry in self.rules:
            found[entry.rule_id] = RuleEntry(entry.rule_id, entry.article, entry.mark, entry.name)
        return tuple(found[rule_id] for rule_id in sorted(found))

    def _readers(self, rule_id: str) -> tuple[str, ...]:
        """Name the functions of the engine that hold an act against the tables in which a rule stands."""
        roles, data = self.data.roles, self.data
        stands_in: tuple[tuple[Callable[..., object], Iterable[str]], ...] = (
            (RulePack._check_in_force, (data.in_force_rule,)),
            (RulePack._check_scope, (data.scope_rule,)),
            (RoleTable.check, [duty.rule_id for duty in roles.duties]),
            (RoleTable.check, [decision.rule_id for decision in roles.joint]),
            (RoleTable.check, [role.limited_by for role in roles.roles.values()]),
            (PurposeTable.check, [cell.rule_id for cell in data.purposes.cells.values()]),
        )
        named = [function.__qualname__ for function, rules in stands_in if rule_id in rules]
        return tuple(dict.fromkeys(named))

    def _check_in_force(self, facts: Facts) -> Outcomes:
        if self.in_force(facts.on):
            return None
        return refuse("RULE_PACK_NOT_IN_FORCE", date=facts.on.isoformat(), region=self.region)

    def _check_scope(self, facts: Facts) -> Outcomes:
        for region in (facts.node_region, facts.object_region):
            if region != self.region:
                return refuse("REGION_SCOPE_MISMATCH", region=region)
        return None

    def _located(self, located: tuple[Located, ...]) -> list[Finding]:
        return [finding for entry in located for finding in self._findings(entry.rule_id, entry.refusal)]

    def _findings(self, rule_id: str, outcomes: Outcomes) -> list[Finding]:
        if outcomes is None:
            return []
        listed: tuple[Outcome, ...] = outcomes if isinstance(outcomes, tuple) else (outcomes,)
        article = self.article(rule_id)
        return [
            Finding(
                rule_id=rule_id,
                article_zh=article.zh,
                article_en=article.en,
                reason_symbol=outcome.symbol if isinstance(outcome, Refusal) else None,
                metadata=outcome.metadata,
            )
            for outcome in listed
        ]


def _run(rule: Rule, facts: Facts, parameters: DatedParameters) -> Outcomes:
    """Ask one rule; a parameter that is not set refuses in the name of the rule that needed it."""
    try:
        return rule.function(facts, parameters)
    except DomainError as error:
        return refuse(error.symbol, **error.metadata)


def _self_approval(facts: Facts) -> Outcomes:
    if facts.submitted_by is not None and facts.submitted_by == facts.actor.subject_id:
        return refuse("SELF_APPROVAL_FORBIDDEN")
    return None


def _without_repetition(findings: list[Finding]) -> list[Finding]:
    """One rule says one thing once, also when a table and a function both say it."""
    seen: set[tuple[str, str | None]] = set()
    kept: list[Finding] = []
    for finding in findings:
        key = (finding.rule_id, finding.reason_symbol)
        if finding.refuses and key in seen:
            continue
        seen.add(key)
        kept.append(finding)
    return kept


def _years_later(day: date, years: int) -> date:
    """Give the same day some years later; 29 February becomes 1 March, so that no day is lost."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
