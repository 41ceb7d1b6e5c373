"""Identifiers of nobody, and claims that name them."""

from __future__ import annotations

from typing import Any, Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.rpc.protocol_facts import date_message

SHANGHAI: Final = "region/310000"
# Invented: divisions and makers that do not exist (DOMAIN section 9).
RESIDENT: Final = "990000190001010016"
PHONE: Final = "13900000001"
ACCOUNT: Final = "SGCC:9910000000701"
VIN: Final = "LZZZZ4CB6P0000001"
OTHER_VIN: Final = "LZZZZ4CB8P0000002"
JANUARY: Final = ("2026-01-01", "2026-02-01")


def claim_of(
    claim_id: str,
    *references: tuple[str, str],
    region: str = SHANGHAI,
    period: tuple[str, str] = JANUARY,
    attribute: Any = claims_pb2.ATTRIBUTE_FUEL_SWITCH_TRANSPORT,
    project_id: str = "",
) -> claims_pb2.Claim:
    """Give a claim as a register states it, with its identifiers."""
    programme = claims_pb2.PROGRAMME_SH_SHCER if region == SHANGHAI else claims_pb2.PROGRAMME_SZ_PHCER
    return claims_pb2.Claim(
        claim_id=claim_id,
        object=claims_pb2.CLAIM_OBJECT_INSTALMENT,
        project_id=project_id or claim_id,
        asset=claims_pb2.Asset(
            references=[
                claims_pb2.AssetReference(scheme=scheme, value=value) for scheme, value in references
            ],
            kind="vehicle",
            name="虚构车主 invented owner",
        ),
        attribute=attribute,
        period=values_pb2.Period(start_date=date_message(period[0]), end_date=date_message(period[1])),
        grain=claims_pb2.GRAIN_DAY,
        programme=programme,
        region=region,
        activity_quantity=1_000,
        activity_unit="km",
        quantity_kg=100,
        no_duplicate_commitment=True,
    )
