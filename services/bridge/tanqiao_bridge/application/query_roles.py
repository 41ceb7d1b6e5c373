"""Who may see what of the claim index (CLAIMS section 7): a role for each caller, a table for each role.

The national office sees all. A regional office sees its own claims whole; of others what a verdict names
anyway, which is enough to see that something collides and with what, but neither whose they are nor how much.
Other readers see no more than that, and no cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tanqiao.signing.parties import parse_party, party_matches
from tanqiao_bridge.domain.orders import BRIDGE_AUTHORITY

NATIONAL_OFFICE: Final = ("reader/national", BRIDGE_AUTHORITY, "operator/bridge/**")
"""The national authority: its readers, its approvers and its operators."""


class Role(StrEnum):
    """What a caller is to the claim index."""

    NATIONAL = "national office"
    REGIONAL = "regional office"
    READER = "other reader"
    OTHER = "anybody else"


class Reach(StrEnum):
    """Of whose things a role sees a kind of fact."""

    ALL = "all"
    CONCERNED = "concerned"
    """What names a claim of the office's own region, or stands in its own queue."""
    OWN = "own"
    NONE = "none"


class Fact(StrEnum):
    """Kinds of facts in answers."""

    CLAIM = "that there is a claim: programme, region, asset, period, status"
    SUBJECT = "whose it is"
    QUANTITY = "how much"
    POSITION = "its polygon"
    TOKENS = "tokens of persons, households and vehicles"
    CASE = "cases, their history and changes of verdicts"
    PACK = "evidence packs"
    QUERIES = "what was asked"


_ALL, _CONCERNED, _OWN, _NONE = Reach.ALL, Reach.CONCERNED, Reach.OWN, Reach.NONE
TABLE: Final[Mapping[Role, Mapping[Fact, Reach]]] = MappingProxyType(
    {
        role: MappingProxyType(dict(zip(Fact, row, strict=True)))
        for role, row in {
            #               claim  subject  quantity position tokens  case        pack        queries
            Role.NATIONAL: (_ALL, _ALL, _ALL, _ALL, _NONE, _ALL, _ALL, _OWN),
            Role.REGIONAL: (_ALL, _OWN, _OWN, _OWN, _OWN, _CONCERNED, _CONCERNED, _OWN),
            Role.READER: (_ALL, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _OWN),
            Role.OTHER: (_ALL, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE),
        }.items()
    }
)
"""Role → kind of fact → whose. Tokens mean something to the region alone that made them."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one caller sees.

    Args:
        role: of the caller.
        region: ``region/310000`` of a regional office, else empty.
    """

    role: Role
    region: str = ""

    @staticmethod
    def of(path: str) -> Sight:
        """Give what a party sees."""
        if any(party_matches(pattern, path) for pattern in NATIONAL_OFFICE):
            return Sight(Role.NATIONAL)
        party = parse_party(path)
        if party.kind in ("region", "authority", "operator") and party.region_code:
            return Sight(Role.REGIONAL, f"region/{party.region_code}")
        return Sight(Role.READER if party.kind == "reader" else Role.OTHER)

    @property
    def authority(self) -> str:
        """The authority in whose queue the office's cases stand; empty without a region."""
        return self.region.replace("region/", "authority/")

    @property
    def concerning(self) -> tuple[str, str] | None:
        """Authority and region to whose cases the caller is bound; None: to none, it sees all."""
        return None if TABLE[self.role][Fact.CASE] is Reach.ALL else (self.authority, self.region)

    def sees(self, fact: Fact, region: str) -> bool:
        """Whether the caller sees a fact of a claim of `region`."""
        reach = TABLE[self.role][fact]
        return reach is Reach.ALL or (reach is Reach.OWN and bool(region) and region == self.region)

    def sees_case(self, body: str, regions: Iterable[str], fact: Fact = Fact.CASE) -> bool:
        """Whether the caller sees a case in the queue of `body` that names claims of these regions."""
        reach = TABLE[self.role][fact]
        if reach is Reach.CONCERNED:
            return bool(self.region) and (body == self.authority or self.region in set(regions))
        return reach is Reach.ALL
