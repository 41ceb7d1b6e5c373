"""Assets by what people know of them: name in Chinese or Pinyin, owner, place, polygon, capacity.

Nothing is decided by it: what is found has references, and claims on those are asked for apart. Claims are
walked in order of id, narrowed by what the index has (owner, grid cells); a page looks at a bounded number.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.geometry import Polygons, bounds_of
from tanqiao.claims.keys import grid_keys
from tanqiao.db.engine import Database
from tanqiao.kernel.record import record
from tanqiao_bridge.application.claim_geometry import overlaps_with, read_geometry
from tanqiao_bridge.storage import claim_search, log
from tanqiao_bridge.storage.claim_search import Filter
from tanqiao_bridge.storage.claims import ClaimRow

CLAIMS_LOOKED_AT_MAX: Final = 5_000
"""Claims that one page looks at; where few of them fit, the page is short and its token goes on behind."""
CLAIMS_PER_READ: Final = 500
PROVINCE_DIGITS: Final = 2


@record
class AssetFilter:
    """What an asset must fit; empty and 0 fit any.

    Args:
        name: part of the name, or of its Pinyin.
        owner_uscc: credit code of the owner.
        owner_name: part of the owner's name.
        place_code: beginning of its division code.
        polygons: with which its own has an area in common.
        capacity_kw_min: at least this.
        capacity_kw_max: at most this.
    """

    name: str = ""
    owner_uscc: str = ""
    owner_name: str = ""
    place_code: str = ""
    polygons: Polygons | None = None
    capacity_kw_min: int = 0
    capacity_kw_max: int = 0

    @property
    def asks_lists(self) -> bool:
        """Whether rows of lists can fit: they have neither polygon nor capacity."""
        return self.polygons is None and not self.capacity_kw_min and not self.capacity_kw_max

    @property
    def text(self) -> str:
        """What a gateway is asked to look for: a name as it is written; Pinyin is compared here."""
        return "" if self.name.isascii() else self.name


@record
class FoundClaims:
    """Claims on assets that fit, behind which id the next page begins (empty: there is none), the index."""

    rows: tuple[tuple[ClaimRow, claims_pb2.Claim], ...]
    next_after: str
    log_size: int


def has_pinyin() -> bool:
    """Whether names are compared in Pinyin: the extra `matching` is installed."""
    try:
        import pypinyin  # noqa: PLC0415 - an extra
    except ImportError:
        return False
    return bool(pypinyin)


def name_fits(wanted: str, name: str) -> bool:
    """Whether a name holds the wanted text as it is written, or in Pinyin where Latin letters are wanted."""
    text = _folded(wanted)
    if text in _folded(name):
        return True
    if not wanted.isascii() or not has_pinyin():
        return False
    from tanqiao.matching.names import pinyin_of  # noqa: PLC0415 - an extra

    return text in pinyin_of(name)


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def record_fits(wanted: AssetFilter, row: registry_pb2.RegistryRecord) -> bool:
    """Whether a row of a list fits; a province is all that a list says of the place."""
    place = wanted.place_code[:PROVINCE_DIGITS]
    return (
        (not wanted.name or name_fits(wanted.name, row.title))
        and (not wanted.owner_uscc or wanted.owner_uscc == row.subject_uscc)
        and (not wanted.owner_name or name_fits(wanted.owner_name, row.subject_name))
        and (not place or row.province_code.startswith(place))
    )


class AssetSearch:
    """Searches of one bridge's database, each in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, wanted: AssetFilter, *, after: str, limit: int) -> FoundClaims:
        """Give a page of claims on assets that fit, one for each asset; those of persons are never found."""
        keys = () if wanted.polygons is None else tuple(grid_keys(bounds_of(wanted.polygons)))
        narrowed = Filter(keys=keys, subject_uscc=wanted.owner_uscc)
        found: dict[tuple[str, ...], tuple[ClaimRow, claims_pb2.Claim]] = {}
        looked_at = 0
        with self._database.reading() as connection:
            size = log.log_size(connection)
            while looked_at < CLAIMS_LOOKED_AT_MAX:
                rows = claim_search.find_claims(connection, narrowed, after=after, limit=CLAIMS_PER_READ)
                for row, message in _fitting(wanted, rows):
                    if len(found) == limit and _asset_of(message) not in found:
                        return FoundClaims(tuple(found.values()), after, size)
                    found.setdefault(_asset_of(message), (row, message))
                    after = row.claim_id
                looked_at += len(rows)
                if len(rows) < CLAIMS_PER_READ:
                    return FoundClaims(tuple(found.values()), "", size)
                after = rows[-1].claim_id
        return FoundClaims(tuple(found.values()), after, size)


def _asset_of(message: claims_pb2.Claim) -> tuple[str, ...]:
    references = sorted(f"{one.scheme}={one.value}" for one in message.asset.references)
    return (message.asset.name, message.asset.geometry, *references)


def _fitting(wanted: AssetFilter, rows: Sequence[ClaimRow]) -> Iterator[tuple[ClaimRow, claims_pb2.Claim]]:
    for row in rows:
        message = claims_pb2.Claim.FromString(row.content)
        if not message.asset.pseudonyms and _fits(wanted, message):
            yield row, message


def _fits(wanted: AssetFilter, message: claims_pb2.Claim) -> bool:
    asset = message.asset
    if asset.capacity_kw < wanted.capacity_kw_min:
        return False
    if wanted.capacity_kw_max and not 0 < asset.capacity_kw <= wanted.capacity_kw_max:
        return False
    if not asset.region_code.startswith(wanted.place_code):
        return False
    if wanted.owner_name and not name_fits(wanted.owner_name, message.subject_name):
        return False
    if wanted.name and not name_fits(wanted.name, asset.name):
        return False
    if wanted.polygons is None:
        return True
    overlaps = overlaps_with("", wanted.polygons, [(message.claim_id, read_geometry(asset.geometry))])
    return any(overlap.area_m2 > 0 for overlap in overlaps)
