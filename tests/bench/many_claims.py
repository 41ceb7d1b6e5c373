"""Invented claims of realistic shapes in any number, as rows of the bridge's tables (虚构).

Six instalments an asset, a month each; households' roofs, plants under two registry numbers, parcels with
polygons; three regions, some subjects with credit codes, every status. A row is made by putting a number into
the serialised claim of its shape, so that a million take seconds. Numbers of assets begin at 0; which asset
a claim is of, and its key, are known from its number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.claims.geometry import bounds_of
from tanqiao.claims.keys import grid_keys
from tanqiao.kernel.identity import organisation_code_check_character, uscc_check_character
from tanqiao.rpc.protocol_facts import date_message
from tanqiao_bridge.application.claim_geometry import read_geometry

DIGITS: Final = 11
BLANK: Final = "7" * DIGITS
"""Stands for the number in the serialised claim of a shape; occurs in it nowhere else."""
MONTHS: Final = (
    "2025-01-01",
    "2025-02-01",
    "2025-03-01",
    "2025-04-01",
    "2025-05-01",
    "2025-06-01",
    "2025-07-01",
)
CLAIMS_PER_ASSET: Final = len(MONTHS) - 1
REGIONS: Final = ("310000", "310000", "310000", "440300", "440300", "530000")
BLANK_USCC: Final = "91440300708461136T"
"""Stands for the subject's credit code in the serialised claim of a plant."""
ASSETS_PER_SUBJECT: Final = 240
"""Of consecutive assets, a fifth of which are plants with a subject."""
STATUSES: Final = (2, 3, 4, 5, 5, 5, 5, 5, 6, 7)
SHAPES: Final = 20
"""An asset's shape is its number modulo this: 14 roofs, 4 plants under two numbers, 2 parcels."""
PLANT_FROM: Final = 14
PARCEL_FROM: Final = 18
COLUMNS: Final = (
    "claim_id", "region", "programme", "programme_code", "object", "project_id", "status", "attribute",
    "start_date", "end_date", "subject_uscc", "content", "content_digest", "declared_index", "declared_at",
    "lapses_at",
)  # fmt: skip
CELL_DEGREES: Final = 0.05
WEST: Final = 73.0
SOUTH: Final = 18.0
CELLS_ACROSS: Final = 1_200
DECLARED_AT: Final = 1_750_000_000

Row = tuple[object, ...]


def filing_code_of(asset: int) -> str:
    """Give the filing code of an invented asset; those of the rates' bench begin with other digits."""
    return f"993200{asset:0{DIGITS}d}"


def subject_of(asset: int) -> str:
    """Give the credit code of a plant's owner (GB 32100-2015)."""
    return _credit_code(asset // ASSETS_PER_SUBJECT)


@lru_cache(maxsize=16)
def _credit_code(number: int) -> str:
    organisation = f"{number:08d}"
    first = f"91310000{organisation}{organisation_code_check_character(organisation)}"
    return first + uscc_check_character(first)


@dataclass(frozen=True, slots=True)
class _Template:
    """The claim of a shape in a month, cut where the number stands."""

    parts: tuple[bytes, ...]
    region: str
    programme: int
    attribute: int
    subject: str
    keys: tuple[str, ...]

    def content(self, number: bytes) -> bytes:
        return number.join(self.parts)


def claim(asset: int, month: int, *, number: str | None = None) -> claims_pb2.Claim:
    """Give the claim to an asset for a month; a parcel's lies in a cell that some other parcels share."""
    shape = asset % SHAPES
    text = number or f"{asset:0{DIGITS}d}"
    region = REGIONS[asset % len(REGIONS)]
    message = claims_pb2.Claim(
        claim_id=f"{region}:instalment:{text}-{month}",
        object=claims_pb2.CLAIM_OBJECT_INSTALMENT,
        project_id=f"P-{text}",
        asset=claims_pb2.Asset(kind="pv", name="虚构 invented", region_code=region),
        attribute=claims_pb2.ATTRIBUTE_RE_GEN,
        period=values_pb2.Period(
            start_date=date_message(MONTHS[month]), end_date=date_message(MONTHS[month + 1])
        ),
        grain=claims_pb2.GRAIN_MONTH,
        programme=claims_pb2.PROGRAMME_SH_SHCER if region == "310000" else claims_pb2.PROGRAMME_SZ_PHCER,
        region=f"region/{region}",
        activity_quantity=420 + shape,
        activity_unit="MWh",
        quantity_kg=176_000 + shape,
        no_duplicate_commitment=True,
    )
    if shape >= PARCEL_FROM:
        message.attribute = claims_pb2.ATTRIBUTE_CARBON_STOCK
        message.asset.kind = "forest"
        message.asset.geometry = _parcel(asset if number is None else 0)
        return message
    message.asset.references.add(scheme="gec_filing_code", value=f"993200{text}")
    if shape >= PLANT_FROM:
        message.asset.references.add(scheme="cdm", value=text)
        message.subject_uscc = subject_of(asset) if number is None else BLANK_USCC
        message.subject_name = "虚构能源公司"
    return message


def _parcel(asset: int) -> str:
    """Give a square of about a hectare: two dozen of them share a cell."""
    cell, place = divmod(asset // SHAPES * 2 + asset % 2, 25)
    west = WEST + (cell % CELLS_ACROSS) * CELL_DEGREES + (place % 5) * 0.009 + 0.002
    south = SOUTH + (cell // CELLS_ACROSS) * CELL_DEGREES + (place // 5) * 0.009 + 0.002
    east, north = round(west + 0.001, 6), round(south + 0.001, 6)
    west, south = round(west, 6), round(south, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return json.dumps({"type": "Polygon", "coordinates": [ring]}, separators=(",", ":"))


def _templates() -> dict[tuple[int, int], _Template]:
    """Cut a claim of every residue of an asset's number, for each month; parcels are made one by one."""
    found = {}
    for asset in range(_PERIOD):
        for month in range(CLAIMS_PER_ASSET):
            message = claim(asset, month, number=BLANK)
            text = message.SerializeToString(deterministic=True)
            keys = tuple(f"asset:{one.scheme}:{one.value}" for one in message.asset.references)
            found[asset, month] = _Template(
                tuple(text.split(BLANK.encode())),
                message.region,
                int(message.programme),
                int(message.attribute),
                message.subject_uscc,
                keys,
            )
    return found


_PERIOD: Final = 60
"""After so many assets shape and region come again."""


def rows(first: int, end: int) -> Iterator[tuple[Row, list[tuple[str, str]]]]:
    """Give the claims of numbers from `first` to before `end`: the row of each, and its keys."""
    templates = _templates()
    for claim_number in range(first, end):
        asset, month = divmod(claim_number, CLAIMS_PER_ASSET)
        template = templates[asset % _PERIOD, month]
        text = f"{asset:0{DIGITS}d}"
        subject = ""
        claim_id = f"{template.region[7:]}:instalment:{text}-{month}"
        if template.keys:
            content = template.content(text.encode())
            if template.subject:
                subject = subject_of(asset)
                content = content.replace(BLANK_USCC.encode(), subject.encode())
            keys = [(key.replace(BLANK, text), claim_id) for key in template.keys]
        else:
            content, keys = _parcel_row(asset, month, claim_id)
        yield (
            (
                claim_id, template.region, template.programme, "", claims_pb2.CLAIM_OBJECT_INSTALMENT,
                f"P-{text}", STATUSES[claim_number % len(STATUSES)], template.attribute, MONTHS[month],
                MONTHS[month + 1], subject, content, hashlib.sha256(content).digest(), claim_number,
                DECLARED_AT, 0,
            ),
            keys,
        )  # fmt: skip


def _parcel_row(asset: int, month: int, claim_id: str) -> tuple[bytes, list[tuple[str, str]]]:
    message = claim(asset, month)
    polygons = read_geometry(message.asset.geometry)
    assert polygons is not None
    keys = [(key, claim_id) for key in grid_keys(bounds_of(polygons))]
    return message.SerializeToString(deterministic=True), keys
