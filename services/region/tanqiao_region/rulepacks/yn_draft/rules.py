"""Rules of the Yunnan measure on the carbon-resource reserve, article by article.

The measure reserves; it neither issues nor trades. It forbids users nothing: what is refused here is refused
because the node has no legal basis for it.
"""

from __future__ import annotations

from typing import Final

from tanqiao_region.domain.rules import (
    DatedParameters,
    Outcomes,
    PackData,
    note,
    refuse,
    rule,
    structural,
)
from tanqiao_region.domain.rules.checks import incomplete, lies_within, ranges, recognition_missing
from tanqiao_region.domain.rules.facts import (
    Cancel,
    ConvertHolding,
    EnterReserve,
    IssuanceFacts,
    IssuanceSource,
    LinkReserveEntry,
    PublishMethodology,
    PublishReserve,
    ReceiveTransfer,
    ReserveKind,
    ReserveScope,
    Retire,
    SubmitProject,
    SubmitScene,
    TransferLocal,
    TransferOut,
)

EPD_ROLE: Final = "yn.epd"
PROJECT_TYPES: Final = frozenset(
    {"renewable_power", "afforestation_and_forest_management", "saving_and_efficiency", "ccus", "other"}
)
"""Types that Article 8 names, with its 等 as other."""


@rule("YN-3", article="3", mark="MUST")
def a_reserve_entry_holds_no_units(
    facts: IssuanceFacts | TransferLocal | Retire, _parameters: DatedParameters
) -> Outcomes:
    """Reserve is early development and storing for later: an entry has a potential, no serials."""
    if isinstance(facts, IssuanceFacts):
        entry = facts.source is IssuanceSource.RESERVE_ENTRY
    elif isinstance(facts, TransferLocal):
        entry = facts.reserve_entry is not None and not facts.trade  # a trade is answered by Article 4
    else:
        entry = facts.reserve_entry is not None
    return refuse("RESERVE_ISSUES_NOTHING") if entry else None


@rule("YN-4c", article="4¶2", mark="MUST")
def trading_lies_outside(
    facts: TransferLocal | ReceiveTransfer | TransferOut | Retire, parameters: DatedParameters
) -> Outcomes:
    """Trading and its supervision are outside the measure: no settlement, and custody only if switched on.

    Custody and use of units that came over the border need the switch and a recognition record signed by the
    provincial department (inferred).
    """
    if isinstance(facts, TransferLocal):
        return refuse("NO_TRADING_AT_THIS_NODE")
    custody = parameters.boolean("yn.custody_enabled")
    if isinstance(facts, Retire):
        origin = facts.lots[0].origin_region if facts.lots else facts.node_region
        return None if custody else refuse("RECOGNITION_NOT_IN_FORCE", a=origin, b=facts.node_region)
    source, target = (
        (facts.source_region, facts.node_region)
        if isinstance(facts, ReceiveTransfer)
        else (facts.node_region, facts.destination_region)
    )
    if not custody:
        return refuse("RECOGNITION_NOT_IN_FORCE", a=source, b=target)
    return recognition_missing(
        facts.lots, facts.recognitions, from_region=source, to_region=target, on=facts.on
    )


@rule("YN-10a", article="10¶1", mark="SHOULD")
def inclusion_has_no_law_here_yet(
    facts: IssuanceFacts | SubmitProject | SubmitScene, _parameters: DatedParameters
) -> Outcomes:
    """Study and design are supported; nothing can be issued on this basis, the registers are switched off."""
    if isinstance(facts, IssuanceFacts) and facts.source is IssuanceSource.RESERVE_ENTRY:
        return None
    return refuse("RULE_PACK_NOT_IN_FORCE", date=facts.on.isoformat(), region=facts.node_region)


@rule("YN-10b", article="10¶2", mark="SHOULD")
def methodologies_stay_drafts(facts: PublishMethodology, _parameters: DatedParameters) -> Outcomes:
    """Local methodologies may be developed; no article registers or publishes one."""
    return refuse("RULE_PACK_NOT_IN_FORCE", date=facts.on.isoformat(), region=facts.node_region)


@rule("YN-2", article="2", mark="MUST")
def entry_is_a_prospect(facts: EnterReserve, _parameters: DatedParameters) -> Outcomes:
    """Allowances, national units, finance products, inclusion and credits: what an entry may become."""
    return note(kind=facts.kind.value, prospect=True)


@rule("YN-4a", article="4¶1", mark="MUST")
def entry_lies_in_the_zone(facts: EnterReserve, parameters: DatedParameters) -> Outcomes:
    """Inside the zone an entry names one of its areas, and lies in the division that contains the area."""
    if facts.scope is not ReserveScope.FTZ:
        return None
    division = parameters.table("yn.areas").get(facts.area or "")
    if isinstance(division, str) and lies_within(division, facts.place_region):
        return None
    return refuse("REGION_SCOPE_MISMATCH", region=f"{facts.place_region} {facts.area or '–'}")


@rule("YN-4b", article="4¶1", mark="MUST")
def elsewhere_by_reference(facts: EnterReserve, _parameters: DatedParameters) -> Outcomes:
    """Elsewhere in the province the measure is applied by reference; the provincial department decides."""
    if facts.scope is not ReserveScope.PROVINCE_BY_REFERENCE:
        return None
    if not lies_within(facts.node_region, facts.place_region):
        return refuse("REGION_SCOPE_MISMATCH", region=facts.place_region)
    return note(scope="参照执行 by reference")


@rule("YN-6b", article="6¶2", mark="MUST")
def outside_the_zone_the_department_decides(facts: EnterReserve, _parameters: DatedParameters) -> Outcomes:
    """A committee files entries of its own area; outside the zone the provincial department enters them."""
    if facts.scope is ReserveScope.FTZ or facts.actor.role == EPD_ROLE:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.actor.role,
        action="EnterReserve",
        body="省生态环境厅 (provincial department)",
    )


@rule("YN-8", article="8", mark="MUST")
def entry_is_complete_and_single(facts: EnterReserve, _parameters: DatedParameters) -> Outcomes:
    """Type, place, owner, potential with method and date, asset key; a second entry on one asset waits.

    That two entries on one asset wait for a person is inferred: no article bars them.
    """
    present = {
        "project_type": facts.project_type in PROJECT_TYPES,
        "place": bool(facts.place_region),
        "owner": facts.owner is not None,
        "potential_kg_per_year": facts.potential_kg_per_year is not None and facts.potential_kg_per_year >= 0,
        "potential_method": bool(facts.potential_method),
        "potential_dated": facts.potential_dated is not None and facts.potential_dated <= facts.on,
        "asset_keys": bool(facts.asset_keys),
    }
    missing = incomplete(present, [name for name, there in present.items() if there])
    found = [missing] if missing is not None else []
    if facts.same_asset_entries:
        found.append(refuse("DUPLICATE_RESERVE_ENTRY", number=list(facts.same_asset_entries)))
    return tuple(found)


@rule("YN-14a", article="14¶1", mark="MUST")
def national_projects_follow_national_rules(
    facts: LinkReserveEntry, _parameters: DatedParameters
) -> Outcomes:
    """An entry may be linked to a national application; its state there is imported, never set here."""
    missing = incomplete({"outside_reference"}, {"outside_reference"} if facts.outside_reference else set())
    if missing is not None:
        return missing
    if facts.state_from_import:
        return None
    return refuse(
        "ROLE_NOT_PERMITTED",
        role=facts.actor.role,
        action="set an outside state",
        body="国家注册登记系统 (national register)",
    )


@rule("YN-17", article="17", mark="MUST")
def reserve_information_is_published(facts: PublishReserve, parameters: DatedParameters) -> Outcomes:
    """The department publishes information on reserve work; the fields are inferred."""
    return incomplete(parameters.text_set("yn.disclosure_fields"), facts.fields)


@structural("YN-7", article="7", mark="MUST")
def the_node_is_the_project_system(pack: PackData) -> str | None:
    """A register of entries, and a feed from which the zone's committees read the whole province."""
    if "reserve_entry" not in pack.registers:
        return "no register of entries"
    reads = pack.roles.permits("yn.area_committee", "ReadRegister")
    return None if reads and pack.disclosures else "the committees have nothing to read"


@structural("YN-22a", article="22(2)", mark="MUST")
def national_units_are_only_linked(pack: PackData) -> str | None:
    """CCER are registered in the national register: here they are a kind of prospect, never a programme."""
    known = ReserveKind.CCER in set(ReserveKind)
    return None if known and not pack.units.issues_units else "a programme would issue units here"


@structural("YN-22b", article="22(3)", mark="MUST")
def potentials_are_in_co2_equivalent(pack: PackData) -> str | None:
    """Measured in CO2-equivalent; estimates are kept in kgCO2e a year (magnitude inferred, slip D-21)."""
    shown = {name for listed in pack.disclosures for name in listed.fields}
    return None if "potential_kg_per_year" in shown else "no quantity in CO2-equivalent is shown"


@structural("YN-22c", article="22(4)", mark="MUST")
def credit_is_an_issued_unit(pack: PackData) -> str | None:
    """碳信用 here is an indicator issued by a government or international body; not a credit standing."""
    code = pack.terms.get("碳信用")
    return None if code == ReserveKind.CARBON_CREDIT_UNIT.value else "碳信用 is read as another thing"


@rule("POLICY-foreign-unit", article="节点政策 node policy", mark="POLICY")
def foreign_units_stay_foreign(facts: ConvertHolding, _parameters: DatedParameters) -> Outcomes:
    """A unit keeps its name for ever: nothing turns it into another unit or into points here."""
    if not facts.lots:
        return None
    return refuse("FOREIGN_UNIT_STAYS_FOREIGN", region=facts.lots[0].origin_region, ranges=ranges(facts.lots))


@rule("POLICY-correction", article="节点政策：更正须两人 node policy: two persons correct", mark="POLICY")
def correction_by_two_persons(facts: Cancel, _parameters: DatedParameters) -> Outcomes:
    """A correction has a reason, a document and a second approver who is another person."""
    second = facts.second_approver_id
    if not facts.reason.strip() or not facts.document.strip() or second is None:
        return refuse("REASON_REQUIRED")
    return refuse("SELF_APPROVAL_FORBIDDEN") if second == facts.actor.subject_id else None
