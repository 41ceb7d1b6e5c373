"""Claims as this region states them: what projects, instalments and reserve entries claim of which asset."""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2, reserve_pb2
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage.accounts import KIND_PERSON, AccountRow

WATT_HOURS: Final = "Wh"


def programme_of(programme: str) -> tuple[claims_pb2.Programme.ValueType, str]:
    """Give the wire's programme of a pack's symbol; an unknown one is regional, with its code."""
    for name, number in claims_pb2.Programme.items():
        known = name.removeprefix("PROGRAMME_")
        if known == programme or known.partition("_")[2] == programme:
            return number, ""
    return claims_pb2.PROGRAMME_REGIONAL, programme


def reserve_programme(pack: RulePack) -> tuple[claims_pb2.Programme.ValueType, str]:
    """Give the programme of a region's reserve, named by the prefix of its rule pack."""
    return programme_of(f"{pack.identity.pack_id.partition('-')[0].upper()}_RESERVE")


def project_claim(
    region_code: str, pack: RulePack, project: registers_pb2.Project, owner: AccountRow
) -> claims_pb2.Claim:
    """Give the claim of a whole project over its crediting period."""
    programme, code = programme_of(pack.units.programme)
    claim = claims_pb2.Claim(
        claim_id=f"{region_code}:project:{project.project_id}",
        object=claims_pb2.CLAIM_OBJECT_PROJECT,
        project_id=project.project_id,
        asset=project.asset,
        attribute=project.attribute,
        period=project.crediting_period,
        grain=claims_pb2.GRAIN_DAY,
        programme=programme,
        programme_code=code,
        region=f"region/{region_code}",
        methodology_id=project.methodology_id,
        no_duplicate_commitment=project.no_duplicate_commitment,
        gec_freeze_consent=project.gec_freeze_consent,
    )
    _state_subject(claim, owner)
    return claim


def fresh_claim_id(claim_id: str, spent: int) -> str:
    """Give the id of a next attempt: the bridge takes an id once, and so many have come to nothing."""
    return f"{claim_id}:{spent + 1}" if spent else claim_id


def instalment_claim(
    region_code: str,
    pack: RulePack,
    project: registers_pb2.Project,
    owner: AccountRow,
    *,
    issuance_id: str,
    period: Period,
    activity: tuple[int, str],
    quantity_kg: int,
) -> claims_pb2.Claim:
    """Give the claim of one issuance: the activity of its period, a quantity and its unit."""
    claim = project_claim(region_code, pack, project, owner)
    claim.claim_id = f"{region_code}:instalment:{issuance_id}"
    claim.object = claims_pb2.CLAIM_OBJECT_INSTALMENT
    claim.period.CopyFrom(wire_period(period))
    claim.grain = claims_pb2.GRAIN_MONTH if period.is_whole_months else claims_pb2.GRAIN_DAY
    claim.activity_quantity, claim.activity_unit = activity
    claim.quantity_kg = quantity_kg
    return claim


def entry_claim(
    region_code: str, pack: RulePack, resource: reserve_pb2.CarbonResource, owner: AccountRow, period: Period
) -> claims_pb2.Claim:
    """Give the claim of a reserve entry: it is shown to others and bars nobody."""
    programme, code = reserve_programme(pack)
    claim = claims_pb2.Claim(
        claim_id=f"{region_code}:entry:{resource.entry_id}",
        object=claims_pb2.CLAIM_OBJECT_ENTRY,
        project_id=resource.entry_id,
        asset=resource.asset,
        attribute=_ATTRIBUTES.get(resource.project_type, claims_pb2.ATTRIBUTE_OTHER),
        period=wire_period(period),
        grain=claims_pb2.GRAIN_DAY,
        programme=programme,
        programme_code=code,
        region=f"region/{region_code}",
    )
    _state_subject(claim, owner)
    return claim


_ATTRIBUTES: Final = {
    "renewable_power": claims_pb2.ATTRIBUTE_RE_GEN,
    "afforestation_and_forest_management": claims_pb2.ATTRIBUTE_CARBON_STOCK,
    "saving_and_efficiency": claims_pb2.ATTRIBUTE_ELEC_SAVING,
}


def _state_subject(claim: claims_pb2.Claim, owner: AccountRow) -> None:
    """Name an organisation; nothing of a person crosses the bridge."""
    if owner.kind == KIND_PERSON:
        claim.asset.ClearField("name")
        return
    claim.subject_uscc = owner.uscc
    claim.subject_name = owner.display_name


def wire_period_of(start: values_pb2.Date, end: values_pb2.Date) -> values_pb2.Period:
    """Give a period of two dates."""
    return values_pb2.Period(start_date=start, end_date=end)
