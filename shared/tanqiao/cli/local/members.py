"""Who belongs to the local federation: nodes, ports, codes and the roles of its operators, as data.

The roles are those of the rule packs (RULES section 7.1); a test compares them, for this package may not
import a service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.provision import NetworkPlan, RegionPlan

NETWORK_ID: Final = "test-local"
TEST_CLOCK_START: Final = "2026-03-02T09:00:00+08:00"
READER: Final = "reader/national"
QUORUM: Final = 2
"""Of the three regions, which are the witnesses of the local federation."""


@dataclass(frozen=True, slots=True)
class Member:
    """One serving process.

    Args:
        name: its directory, and what people call it.
        party: who it is in certificates and messages.
        module: what is run, ``python -m``.
        port: its port on the loopback address unless free ports are asked for.
        title: name to show.
    """

    name: str
    party: str
    module: str
    port: int
    title: str

    @property
    def code(self) -> str:
        """Region code or registry name; ``bridge`` for the bridge."""
        return self.party.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RegionMember(Member):
    """A region node: its rule pack, the roles of its operators, and those whose officers sign decisions."""

    rule_pack: str
    roles: tuple[str, ...]
    signing_roles: tuple[str, ...]


SHANGHAI: Final = RegionMember(
    "shanghai",
    "region/310000",
    "tanqiao_region.main",
    7431,
    "上海 Shanghai",
    "sh_draft",
    (
        "sh.bureau",
        "sh.district_bureau",
        "sh.centre",
        "sh.exchange",
        "sh.technical_body",
        "sh.project_applicant",
        "sh.scene_body",
        "sh.rights_provider",
        "sh.person",
        "sh.holder",
    ),
    ("sh.bureau", "sh.centre", "sh.exchange"),
)
SHENZHEN: Final = RegionMember(
    "shenzhen",
    "region/440300",
    "tanqiao_region.main",
    7444,
    "深圳 Shenzhen",
    "sz_draft",
    (
        "sz.bureau",
        "sz.branch_office",
        "sz.counterpart_department",
        "sz.platform_operator",
        "sz.data_operator",
        "sz.sme",
        "sz.household",
        "sz.person",
        "sz.third_party",
        "sz.expert",
        "sz.scene_unit",
        "sz.covered_emitter",
        "sz.holder",
    ),
    ("sz.bureau", "sz.counterpart_department"),
)
YUNNAN: Final = RegionMember(
    "yunnan",
    "region/530000",
    "tanqiao_region.main",
    7453,
    "云南 Yunnan",
    "yn_draft",
    ("yn.epd", "yn.ftz_office", "yn.area_committee", "yn.developer", "yn.holder"),
    ("yn.epd",),
)
BRIDGE_MEMBER: Final = Member("bridge", BRIDGE, "tanqiao_bridge.main", 7400, "碳桥 bridge")
LOG_FILES: Final = "log"
LOG_FILES_PORT: Final = 7401
"""Name and port under which the bridge serves the logs as files over HTTPS."""
CCER: Final = Member("ccer", "gateway/ccer", "tanqiao_gateway.main", 7461, "CCER 网关 gateway")
GEC: Final = Member("gec", "gateway/gec", "tanqiao_gateway.main", 7462, "绿证网关 GEC gateway")

REGIONS: Final = (SHANGHAI, SHENZHEN, YUNNAN)
GATEWAYS: Final = (CCER, GEC)
MEMBERS: Final[tuple[Member, ...]] = (CCER, GEC, BRIDGE_MEMBER, *REGIONS)
"""In the order in which they are started and shown."""


def network_plan() -> NetworkPlan:
    """Give the parties for which certificates and keys are made."""
    return NetworkPlan(
        NETWORK_ID,
        tuple(RegionPlan(region.code, region.name, region.roles, region.signing_roles) for region in REGIONS),
        tuple(gateway.name for gateway in GATEWAYS),
        ("national",),
        quorum=QUORUM,
        tokens=True,
    )


def find_region(text: str) -> RegionMember | None:
    """Find a region by its code, its name or its party."""
    wanted = text.strip().lower()
    for region in REGIONS:
        if wanted in (region.code, region.name, region.party, region.title.split()[0]):
            return region
    return None
