"""Assets as they are asked for and found, as the wire has them."""

from __future__ import annotations

import re
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_uscc
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import optional_text
from tanqiao_bridge.application.claim_geometry import read_geometry
from tanqiao_bridge.application.finding_assets import AssetFilter
from tanqiao_bridge.application.queries import ClaimRow
from tanqiao_bridge.application.query_roles import Fact, Role, Sight
from tanqiao_bridge.server.claim_answers import own_sight

NAME_LENGTH_MAX: Final = 256
CAPACITY_KW_MAX: Final = 2**62
_USCC: Final = re.compile(r"[0-9A-Z]{18}", re.ASCII)
_PLACE: Final = re.compile(r"[0-9]{2}(?:[0-9]{2}){0,2}", re.ASCII)


def read_asset_filter(request: conflicts_pb2.FindAssetsRequest) -> AssetFilter:
    """Read what is asked for strictly.

    Raises:
        DomainError: FIELD_MISSING without any criterion, FIELD_INVALID, TEXT_TOO_LONG, RANGE_REVERSED;
            CALLER_NOT_PERMITTED for an owner or a polygon, of who does not see those of all regions.
    """
    name = optional_text(request.name, "name", length_max=NAME_LENGTH_MAX).strip()
    owner = optional_text(request.owner, "owner", length_max=NAME_LENGTH_MAX).strip()
    if request.place_code and _PLACE.fullmatch(request.place_code) is None:
        raise DomainError("FIELD_INVALID", field="place_code", detail="2, 4 or 6 digits of GB/T 2260")
    low, high = request.capacity_kw_min, request.capacity_kw_max
    for field, value in (("capacity_kw_min", low), ("capacity_kw_max", high)):
        if not 0 <= value <= CAPACITY_KW_MAX:
            raise DomainError("FIELD_INVALID", field=field, detail=str(value))
    if high and low > high:
        raise DomainError("RANGE_REVERSED", field="capacity_kw_max", start=low, end=high)
    polygons = read_geometry(request.geometry)
    if not (name or owner or request.place_code or low or high or polygons is not None):
        raise DomainError("FIELD_MISSING", field="name")
    if (owner or polygons is not None) and own_sight().role is not Role.NATIONAL:
        caller = current_caller()
        raise DomainError("CALLER_NOT_PERMITTED", caller=caller.party, method=caller.method)
    is_code = _USCC.fullmatch(owner) is not None
    if is_code:
        check_uscc(owner)
    return AssetFilter(
        name, owner if is_code else "", "" if is_code else owner, request.place_code, polygons, low, high
    )


def asset_of_claim(row: ClaimRow, claim: claims_pb2.Claim, sight: Sight) -> conflicts_pb2.FoundAsset:
    """Give the asset of a claim of the index, its owner only to who may see it."""
    asset, whose = claim.asset, sight.sees(Fact.SUBJECT, row.region)
    return conflicts_pb2.FoundAsset(
        claim_id=row.claim_id,
        name=asset.name,
        references=asset.references,
        owner_name=claim.subject_name if whose else "",
        owner_uscc=claim.subject_uscc if whose else "",
        place_code=asset.region_code,
        capacity_kw=asset.capacity_kw,
        kind=asset.kind,
        programme=claim.programme,
        region=claim.region,
    )


def asset_of_record(registry: str, row: registry_pb2.RegistryRecord) -> conflicts_pb2.FoundAsset:
    """Give the asset of a row of an outside list, which is public."""
    return conflicts_pb2.FoundAsset(
        registry=registry,
        claim_id=f"{registry}:{row.reference}",
        name=row.title,
        references=row.asset_references,
        owner_name=row.subject_name,
        owner_uscc=row.subject_uscc,
        place_code=row.province_code,
        kind=row.asset_kind,
        programme=row.programme,
    )
