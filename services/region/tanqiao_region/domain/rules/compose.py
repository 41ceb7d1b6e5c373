"""From the tables of a pack's files to a pack.

Everything is checked while it is read: a field that is not known, a value of the wrong type, an unknown act
or role, a rule id that no table explains, a demand of the text that the data do not meet. A pack that fails
is not built at all; the message names the place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast, get_args

from tanqiao.kernel.invariants import require
from tanqiao_region.domain.rules.definition import Rule, rules_of
from tanqiao_region.domain.rules.facts import ACTS_BY_NAME, IssuanceSource
from tanqiao_region.domain.rules.lifecycles import Lifecycle, Transition
from tanqiao_region.domain.rules.pack import (
    IN_FORCE_FROM,
    DisclosureList,
    MethodologyTemplate,
    PackData,
    RulePack,
    Slip,
    Source,
)
from tanqiao_region.domain.rules.parameters import (
    Kind,
    ParameterDefinition,
    Parameters,
    ParameterValue,
    Provenance,
    Value,
)
from tanqiao_region.domain.rules.purposes import Answer, PurposeCell, PurposeTable
from tanqiao_region.domain.rules.roles import ANY_ROLE, Duty, JointDecision, Role, RoleTable
from tanqiao_region.domain.rules.tables import Table
from tanqiao_region.domain.rules.unit_rules import NoticeRule, UnitRules
from tanqiao_region.domain.rules.verdicts import Mark, PackIdentity


def compose_pack(
    tables: Mapping[str, object],
    namespace: Mapping[str, object],
    *,
    digest: str,
    network_id: str,
    operator_values: Iterable[ParameterValue] = (),
) -> RulePack:
    """Build a pack.

    Args:
        tables: the merged tables of the pack's data files.
        namespace: the names of the pack's rule module.
        digest: digest over the pack's files, hexadecimal.
        network_id: the network; demonstration values count only where it begins with ``test-``.
        operator_values: dated values that the deployment has set.

    Raises:
        InvariantBroken: the pack is not sound; the message says where.
        DomainError: PARAMETER_INVALID, for a value that its definition does not allow.
    """
    root = Table(tables, "pack")
    data = _data(root, digest)
    root.finish()
    rules, structurals = rules_of(namespace)
    table_rules = {
        entry.text("id"): (entry.text("article"), _mark(entry.text("mark")))
        for entry in Table(tables, "pack").tables("table_rules")
    }
    parameters = Parameters(data.definitions, data.values, operator_values, network_id=network_id)
    pack = RulePack(data, rules, structurals, table_rules, parameters)
    _check(pack, rules)
    faults = pack.structural_faults()
    shown = "; ".join(f"{rule_id}: {missing}" for rule_id, missing in faults)
    require(not faults, f"{pack.identity.pack_id} does not keep what its own text demands: {shown}")
    return pack


def _data(root: Table, digest: str) -> PackData:
    head = root.table("pack")
    pack_id, version = head.text("id"), head.text("version")
    in_force_rule, scope_rule = head.text("in_force_rule"), head.text("scope_rule")
    definitions, values = _parameters(root)
    root.tables("table_rules")
    data = PackData(
        identity=PackIdentity(pack_id, version, digest),
        region=head.text("region"),
        title=head.text("title"),
        validity_years=head.integer("validity_years") if head.has("validity_years") else None,
        in_force_rule=in_force_rule,
        scope_rule=scope_rule,
        sources=tuple(
            Source(
                entry.text("prefix"),
                entry.text("title_zh"),
                entry.text("title_en"),
                entry.text("status"),
                entry.texts("basis"),
                "task" if entry.flag("tasks") else "article",
            )
            for entry in root.tables("sources")
        ),
        slips=tuple(
            Slip(entry.text("id"), entry.text("where"), entry.text("says"), entry.text("reading"))
            for entry in root.tables("slips")
        ),
        definitions=definitions,
        values=values,
        units=_units(root.table("units")),
        notices={
            entry.text("object_kind"): NoticeRule(
                entry.text("object_kind"),
                entry.integer("working_days"),
                entry.text("first_day_parameter"),
                entry.text("rule"),
            )
            for entry in root.tables("notices")
        },
        roles=_roles(root, head.text("role_rule")),
        purposes=PurposeTable(
            (_purpose_cell(entry) for entry in root.tables("purposes")),
            default_rule_id=head.text("purpose_rule"),
            extra=head.text("purposes_extra_parameter", ""),
        ),
        lifecycles=_lifecycles(root),
        registers=frozenset(head.texts("registers")),
        events={
            name: _texts_by_name(root.table("events").table(name)) for name in root.table("events").names()
        },
        disclosures=tuple(_disclosure(entry) for entry in root.tables("disclosures")),
        methodologies=tuple(_methodology(entry) for entry in root.tables("methodologies")),
        terms=_texts_by_name(root.table("terms")),
    )
    head.finish()
    return data


def _parameters(root: Table) -> tuple[tuple[ParameterDefinition, ...], tuple[ParameterValue, ...]]:
    definitions: list[ParameterDefinition] = []
    values: list[ParameterValue] = []
    for entry in root.tables("parameters"):
        definition = ParameterDefinition(
            key=entry.text("key"),
            kind=entry.choice("kind", Kind),
            open_because=entry.text("open_because"),
            unset_reason=entry.text("unset", "PARAMETER_NOT_SET"),
            allowed=frozenset(entry.texts("allowed")),
        )
        definitions.append(definition)
        for given in entry.tables("values"):
            index = given.text("index", "")
            require(
                definition.indexed == bool(index), f"{definition.key}: an index is wanted, or is too much"
            )
            values.append(
                ParameterValue(
                    key=definition.key.replace("[]", f"[{index}]"),
                    value=_value(definition.kind, given.value("value")),
                    valid_from=given.day("from"),
                    valid_to=given.day("to"),
                    provenance=given.choice("provenance", Provenance),
                    document=given.text("document"),
                )
            )
            given.finish()
        entry.finish()
    return tuple(definitions), tuple(values)


def _value(kind: Kind, value: object) -> Value:
    if kind is Kind.TEXT_SET and isinstance(value, list):
        return frozenset(str(item) for item in value)
    return cast("Value", value)


def _units(table: Table) -> UnitRules:
    units = UnitRules(
        programme=table.text("programme", ""),
        classes=frozenset(table.texts("classes")),
        methodology_pattern=table.text("methodology_pattern", ""),
        grain_parameters={
            IssuanceSource(source): parameter
            for source, parameter in _texts_by_name(table.table("grain_parameters")).items()
        },
    )
    table.finish()
    return units


def _roles(root: Table, default_rule_id: str) -> RoleTable:
    roles = [
        Role(entry.text("role"), entry.text("body_zh"), entry.text("body_en"), entry.text("limited_by", ""))
        for entry in root.tables("roles")
    ]
    duties = [
        Duty(act, frozenset(entry.texts("roles")), entry.text("rule"), entry.flag("same_area"))
        for entry in root.tables("duties")
        for act in entry.texts("acts")
    ]
    joint = [
        JointDecision(
            entry.text("act"), entry.texts("roles"), entry.text("rule"), entry.text("scene_kind", "")
        )
        for entry in root.tables("joint_decisions")
    ]
    return RoleTable(roles, duties, joint, default_rule_id=default_rule_id)


def _purpose_cell(entry: Table) -> PurposeCell:
    cell = PurposeCell(
        purpose=entry.text("purpose"),
        kind=entry.text("kind"),
        answer=entry.choice("answer", Answer),
        rule_id=entry.text("rule"),
        parameter=entry.text("parameter", ""),
        reason=entry.text("reason", "PURPOSE_NOT_PROVIDED"),
    )
    entry.finish()
    return cell


def _lifecycles(root: Table) -> dict[str, Lifecycle]:
    machines: dict[str, list[Transition]] = {}
    for entry in root.tables("transitions"):
        edge = Transition(
            state=entry.text("from", ""),
            event=entry.text("event"),
            to=entry.text("to"),
            rule_id=entry.text("rule", ""),
            inferred=entry.flag("inferred"),
        )
        machines.setdefault(entry.text("object"), []).append(edge)
        entry.finish()
    return {kind: Lifecycle(kind, edges) for kind, edges in machines.items()}


def _disclosure(entry: Table) -> DisclosureList:
    shown = DisclosureList(
        slug=entry.text("slug"),
        title_zh=entry.text("title_zh"),
        title_en=entry.text("title_en"),
        fields=entry.texts("fields"),
        rule_id=entry.text("rule"),
        ordered_by_law=entry.flag("ordered_by_law"),
    )
    entry.finish()
    return shown


def _methodology(entry: Table) -> MethodologyTemplate:
    template = MethodologyTemplate(
        number=entry.text("number", "") or None,
        title=entry.text("title"),
        kind=entry.text("kind"),
        unit_class=entry.text("unit_class", ""),
        plug_in=entry.text("plug_in"),
        factors=_texts_by_name(entry.table("factors")),
        provenance=entry.text("provenance"),
        source=entry.text("source"),
        unknown=entry.texts("unknown"),
    )
    entry.finish()
    return template


def _texts_by_name(table: Table) -> dict[str, str]:
    return {name: table.text(name) for name in table.names()}


def _mark(text: str) -> Mark:
    require(text in get_args(Mark), f"{text} is no mark")
    return cast("Mark", text)


def _check(pack: RulePack, rules: tuple[Rule, ...]) -> None:
    """Hold the tables against each other: acts, roles, rule ids, parameters."""
    data = pack.data
    keys = {entry.key for entry in data.definitions}
    require(len(keys) == len(data.definitions), "a parameter is declared twice")
    require(IN_FORCE_FROM in keys, f"{IN_FORCE_FROM} is not declared")
    known = {entry.rule_id for entry in pack.entries()}
    _all_known(known, _cited_rules(pack), "rule id that no table explains")
    roles = set(data.roles.roles) | {ANY_ROLE}
    _all_known(roles, (role for duty in data.roles.duties for role in duty.roles), "role")
    _all_known(roles, (role for decision in data.roles.joint for role in decision.roles), "role")
    acts = set(ACTS_BY_NAME)
    _all_known(acts, (duty.act for duty in data.roles.duties), "act")
    _all_known(acts, (decision.act for decision in data.roles.joint), "act")
    parameters = [cell.parameter for cell in data.purposes.cells.values() if cell.parameter]
    parameters += [notice.first_day_parameter for notice in data.notices.values()]
    parameters += list(data.units.grain_parameters.values())
    _all_known(keys, parameters, "parameter")
    names = [entry.name for entry in rules]
    mentions = {(entry.rule_id, entry.name) for entry in rules}
    require(len(mentions) == len(names), "a function carries one rule id twice")


def _cited_rules(pack: RulePack) -> Iterable[str]:
    data = pack.data
    yield data.in_force_rule
    yield data.scope_rule
    yield from (duty.rule_id for duty in data.roles.duties)
    yield from (decision.rule_id for decision in data.roles.joint)
    yield from (role.limited_by for role in data.roles.roles.values() if role.limited_by)
    yield from (cell.rule_id for cell in data.purposes.cells.values())
    yield from (notice.rule_id for notice in data.notices.values())


def _all_known(known: Iterable[str], used: Iterable[str], what: str) -> None:
    unknown = sorted(set(used) - set(known))
    require(not unknown, f"unknown {what}: {', '.join(unknown)}")
