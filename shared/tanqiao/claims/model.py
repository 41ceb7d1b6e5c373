"""Words of the conflict model: assets, claims, facts, findings and verdicts (CLAIMS section 1).

Everything here is a frozen value. The engine computes no geometry and asks nobody: areas of overlap,
reviewed links, answers of outside registries and metered quantities come in as facts.
Quantities are integers; a share is in ppm of the asset, an area in square metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from tanqiao.claims.moments import Interval
from tanqiao.claims.parameters import Parameters
from tanqiao.claims.sentences import finding_sentences
from tanqiao.kernel.errors import require
from tanqiao.kernel.record import record

SHARE_WHOLE_PPM: Final = 1_000_000
"""The whole of an asset, in parts per million."""


class Programme(StrEnum):
    """Programmes that credit a reduction, or sell or store what it is made of."""

    SZ_PHCER = "SZ_PHCER"
    SH_SHCER = "SH_SHCER"
    YN_RESERVE = "YN_RESERVE"
    REGIONAL = "REGIONAL"
    """Any other region's programme; the claim's region tells which."""
    CCER = "CCER"
    GEC = "GEC"
    GREEN_POWER = "GREEN_POWER"
    VCS = "VCS"
    GS = "GS"
    CDM = "CDM"


class Attribute(StrEnum):
    """What is claimed of an asset; equal attributes compete, different ones do not (CLAIMS section 1)."""

    RE_GEN = "RE_GEN"
    FUEL_SWITCH_TRANSPORT = "FUEL_SWITCH_TRANSPORT"
    ELEC_SAVING = "ELEC_SAVING"
    CARBON_STOCK = "CARBON_STOCK"
    CH4_DESTRUCTION = "CH4_DESTRUCTION"
    OTHER = "OTHER"


class ClaimStatus(StrEnum):
    """Where a claim stands in its life (CLAIMS section 1)."""

    DRAFT = "DRAFT"
    DECLARED = "DECLARED"
    NOTICE = "NOTICE"
    REGISTERED = "REGISTERED"
    ISSUED = "ISSUED"
    RETIRED = "RETIRED"
    WITHDRAWN = "WITHDRAWN"
    REJECTED = "REJECTED"
    LAPSED = "LAPSED"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"


LIVE_STATUSES: Final = frozenset(
    {
        ClaimStatus.DECLARED,
        ClaimStatus.NOTICE,
        ClaimStatus.REGISTERED,
        ClaimStatus.ISSUED,
        ClaimStatus.RETIRED,
    }
)
"""A retired claim stays live for ever: the reduction has been used."""


class ClaimObject(StrEnum):
    """What the claim is: a registration, an instalment of units, a certificate batch, a reserve entry."""

    PROJECT = "project"
    ISSUANCE = "issuance"
    CERTIFICATE = "certificate"
    ENTRY = "entry"


class Grain(StrEnum):
    """How finely the interval is known; ``year`` means: somewhere inside it."""

    SECOND = "second"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Action(StrEnum):
    """What the applicant is about to do."""

    DECLARE = "DECLARE"
    REGISTER = "REGISTER"
    ISSUE = "ISSUE"
    SELL = "SELL"
    RESERVE = "RESERVE"


class GecStateName(StrEnum):
    """States of a green certificate batch (CLAIMS section 4)."""

    PENDING = "PENDING"
    ISSUED = "ISSUED"
    LISTED = "LISTED"
    TRANSFERRED = "TRANSFERRED"
    REDEEMED = "REDEEMED"
    EXPIRED = "EXPIRED"
    MOVED = "MOVED"
    FROZEN = "FROZEN"
    UNFROZEN = "UNFROZEN"
    CANCELLED = "CANCELLED"


class LinkRelation(StrEnum):
    """What a reviewer decided about two assets, or a nomination that nobody has reviewed."""

    SAME = "same"
    DIFFERENT = "different"
    CANDIDATE = "candidate"


class VerdictKind(StrEnum):
    """Answers of the engine."""

    ALLOW = "ALLOW"
    FREEZE_OTHER = "FREEZE_OTHER"
    SPLIT = "SPLIT"
    HOLD = "HOLD"
    BLOCK = "BLOCK"


STRICTNESS: Final[Mapping[VerdictKind, int]] = MappingProxyType(
    {kind: rank for rank, kind in enumerate(VerdictKind)}
)
"""The verdict is the strictest of all findings: BLOCK > HOLD > SPLIT > FREEZE_OTHER > ALLOW."""


class Level(StrEnum):
    """At which level a finding was made; ``policy`` where none decides (CLAIMS, head table)."""

    SUBJECT = "subject"
    PROJECT = "project"
    INTERVAL = "interval"
    QUANTITY = "quantity"
    POLICY = "policy"


class Registry(StrEnum):
    """Outside lists that are asked for every verdict."""

    CCER = "ccer"
    GEC = "gec"
    CDM = "cdm"
    VCS = "vcs"
    GS = "gs"
    REGIONS = "regions"


class OrderKind(StrEnum):
    """What another registry is asked to do."""

    FREEZE = "FREEZE"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an asset: a share in ppm, or one meter or unit of it; exactly one of the two."""

    share_ppm: int | None = None
    meter: str | None = None

    def __post_init__(self) -> None:
        require((self.share_ppm is None) != (self.meter is None), "a part is a share or a meter")
        if self.share_ppm is not None:
            require(0 < self.share_ppm <= SHARE_WHOLE_PPM, "a share is above nothing and at most the whole")


@record
class AssetRef:
    """A reference to an asset or to a part of it, in canonical form (`tanqiao.claims.keys`)."""

    scheme: str
    value: str
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounding box of a polygon in whole microdegrees of CGCS2000, rounded outwards."""

    west_microdegrees: int
    south_microdegrees: int
    east_microdegrees: int
    north_microdegrees: int

    def __post_init__(self) -> None:
        require(self.west_microdegrees <= self.east_microdegrees, "a box runs from west to east")
        require(self.south_microdegrees <= self.north_microdegrees, "a box runs from south to north")


@record
class Asset:
    """A plant, vehicle, building, parcel or other thing at which a reduction arises.

    `name` and the position are shown beside a case and never decide. Unknown facts are None.
    """

    asset_id: str
    kind: str
    references: tuple[AssetRef, ...] = ()
    name: str = ""
    region_code: str = ""
    capacity_kw: int | None = None
    ets_covered: bool | None = None
    offshore_distance_mm: int | None = None
    water_depth_mm: int | None = None
    commissioned: date | None = None
    bounds: Bounds | None = None


@dataclass(frozen=True, slots=True)
class AssetLink:
    """A reviewed pair of assets, or a nomination; the order of the two does not matter."""

    first_asset_id: str
    second_asset_id: str
    relation: LinkRelation
    basis: str = ""


@dataclass(frozen=True, slots=True)
class PolygonOverlap:
    """Measured area that two assets' polygons have in common, in square metres (0 where they only touch)."""

    first_asset_id: str
    second_asset_id: str
    area_m2: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Who claims; equal credit codes (USCC) mean one subject, an absent one is never equal."""

    name: str
    uscc: str | None


@dataclass(frozen=True, slots=True)
class Activity:
    """A quantity of what was done: MWh, km, t CH4. Never tonnes of CO2 (CLAIMS section 1)."""

    quantity: int
    unit: str

    def __post_init__(self) -> None:
        require(self.quantity >= 0, "an activity is not negative")


@dataclass(frozen=True, slots=True)
class PeriodActivity:
    """A quantity of activity in one interval."""

    interval: Interval
    quantity: int
    unit: str


@dataclass(frozen=True, slots=True)
class GecState:
    """State of a batch of green certificates."""

    state: GecStateName
    tradable: bool
    electricity: str | None = None
    frozen_for: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Papers on file; None = not known."""

    no_duplicate_commitment: bool | None = None
    gec_freeze_consent: bool | None = None


@record
class Claim:
    """One claim to one attribute of one asset over one interval (CLAIMS section 1).

    `region_code` is None for national and foreign programmes. `declared_microsecond` is the signed bridge
    time of the declaration in microseconds since the epoch. `action`, `supersedes`, `activity_by_period`
    and `evidence` are read of the applicant only. `attribute_known` is false of a record whose list does not
    tell what it sells: it may be what the applicant sells.
    """

    claim_id: str
    programme: Programme
    object: ClaimObject
    asset_id: str
    attribute: Attribute
    interval: Interval
    status: ClaimStatus
    grain: Grain = Grain.DAY
    region_code: str | None = None
    project: str | None = None
    subject: Subject = Subject("", None)
    part: Part | None = None
    declared_microsecond: int | None = None
    activity: Activity | None = None
    quantity_kg: int | None = None
    methodology: str | None = None
    factor: str | None = None
    gec: GecState | None = None
    action: Action = Action.DECLARE
    supersedes: tuple[str, ...] = ()
    activity_by_period: tuple[PeriodActivity, ...] | None = None
    evidence: Evidence = Evidence()
    attribute_known: bool = True

    @property
    def is_live(self) -> bool:
        """Whether the claim counts against others."""
        return self.status in LIVE_STATUSES


@dataclass(frozen=True, slots=True)
class Metering:
    """Metered total of an asset for one attribute in one interval."""

    asset_id: str
    attribute: Attribute
    interval: Interval
    quantity: int
    unit: str


@dataclass(frozen=True, slots=True)
class RegistryAnswers:
    """Which outside lists answered; one that is not named did not answer."""

    answered: frozenset[Registry]

    @staticmethod
    def all_answered() -> RegistryAnswers:
        """Give the answers of a day on which every list was at hand."""
        return _ALL_ANSWERED

    @property
    def silent(self) -> tuple[Registry, ...]:
        """Lists that did not answer, in a fixed order."""
        if len(self.answered) == len(Registry):
            return ()
        return tuple(registry for registry in Registry if registry not in self.answered)


_ALL_ANSWERED: Final = RegistryAnswers(frozenset(Registry))


@record
class ClaimFacts:
    """All that a verdict rests on.

    `assets` holds every asset that the claims name. `parameters` None = the defaults of the matrix in force
    on `decided_on`. The order of `existing_claims` is kept in the lists of the verdict, and certificates are
    cancelled in that order; it changes nothing else.
    """

    applicant: Claim
    existing_claims: tuple[Claim, ...]
    assets: Mapping[str, Asset]
    decided_on: date
    registry_answers: RegistryAnswers = _ALL_ANSWERED
    asset_links: tuple[AssetLink, ...] = ()
    polygon_overlaps: tuple[PolygonOverlap, ...] = ()
    metering: tuple[Metering, ...] = ()
    parameters: Parameters | None = None
    bucket_doubts: frozenset[str] = frozenset()
    """Claims that share no bucket with the applicant that both cover whole (CLAIMS section 6)."""


@dataclass(frozen=True, slots=True)
class RegistryOrder:
    """What the registry that keeps a colliding claim is to freeze or cancel."""

    claim_id: str
    kind: OrderKind
    quantity: int
    unit: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The uncontested part of a claim that was SPLIT."""

    activity: Activity
    by_period: tuple[PeriodActivity, ...]


@dataclass(frozen=True, slots=True)
class Overlap:
    """What applicant and one colliding claim have in common; None where they meet in no time or area."""

    claim_id: str
    interval: Interval | None
    area_m2: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, with the rule behind it.

    A finding of ALLOW with claim ids is a flag: it changes nothing and is shown.
    """

    verdict: VerdictKind
    level: Level
    article: str
    claim_ids: tuple[str, ...] = ()
    also_cited: tuple[str, ...] = ()
    orders: tuple[RegistryOrder, ...] = ()

    @property
    def sentence_zh(self) -> str:
        """The finding in Chinese, ending with its article."""
        return finding_sentences(self.verdict.value, self.level.value, self.article, self.claim_ids)[0]

    @property
    def sentence_en(self) -> str:
        """The finding in English, ending with its article."""
        return finding_sentences(self.verdict.value, self.level.value, self.article, self.claim_ids)[1]


@record
class Verdict:
    """The answer, which the bridge signs together with the log index it was given at.

    `level` is None for ALLOW; `article` then names the rule that was tested and did not bite.
    `other_registry_orders` are given with FREEZE_OTHER and SPLIT only, `allowed` with SPLIT only.
    `refusal` is the reason symbol of a request that was refused before any claim was compared.
    """

    verdict: VerdictKind
    level: Level | None
    article: str
    matrix_version: str
    also_cited: tuple[str, ...] = ()
    colliding_claims: tuple[str, ...] = ()
    flagged_claims: tuple[str, ...] = ()
    other_registry_orders: tuple[RegistryOrder, ...] = ()
    allowed: Allowed | None = None
    overlaps: tuple[Overlap, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    silent_registries: tuple[Registry, ...] = ()
    refusal: str | None = None
