"""Between the wire's claims and the conflict engine's facts; nothing is judged here (CLAIMS section 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.geometry import Polygons, bounds_of
from tanqiao.claims.keys import (
    SUBJECT_PROGRAMMES,
    asset_key,
    asset_ref,
    canonical_scheme,
    grid_keys,
    keys_of_references,
    subject_key,
)
from tanqiao.claims.matrix import bucket_grain
from tanqiao.claims.model import (
    Action,
    Activity,
    Asset,
    AssetRef,
    Attribute,
    Claim,
    ClaimObject,
    ClaimStatus,
    Evidence,
    GecState,
    GecStateName,
    Grain,
    Part,
    Programme,
    Subject,
)
from tanqiao.claims.moments import Interval, second_of_date
from tanqiao.claims.personal import (
    PERSONAL_SCHEMES,
    PSEUDONYM,
    TOKEN_LENGTH,
    buckets_of,
)
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_uscc
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import (
    TEXT_LENGTH_MAX,
    optional_text,
    parse_wire_period,
    require_bytes,
    require_region,
    require_text,
)
from tanqiao_bridge.application.claim_geometry import read_geometry

REFERENCES_MAX: Final = 16
SUPERSEDES_MAX: Final = 16
CLAIM_ID_LENGTH_MAX: Final = 96
PROJECT_ID_LENGTH_MAX: Final = 96
METHODOLOGY_ID_LENGTH_MAX: Final = 64
CODE_LENGTH_MAX: Final = 32
METER_LENGTH_MAX: Final = 64
QUANTITY_MAX: Final = 2**62
PSEUDONYMS_MAX: Final = 64
TOKENS_PER_CLAIM_MAX: Final = 2_048
KEY_EPOCH_MAX: Final = 1_000_000

_OBJECTS: Final = {
    claims_pb2.CLAIM_OBJECT_PROJECT: ClaimObject.PROJECT,
    claims_pb2.CLAIM_OBJECT_INSTALMENT: ClaimObject.ISSUANCE,
    claims_pb2.CLAIM_OBJECT_ENTRY: ClaimObject.ENTRY,
}
PROGRAMMES: Final = {number: name.removeprefix("PROGRAMME_") for name, number in claims_pb2.Programme.items()}
ATTRIBUTES: Final = {number: name.removeprefix("ATTRIBUTE_") for name, number in claims_pb2.Attribute.items()}
STATUSES: Final[dict[int, str]] = {
    number: name.removeprefix("CLAIM_STATUS_") for name, number in claims_pb2.ClaimStatus.items()
}
GRAINS: Final = {number: name.removeprefix("GRAIN_").lower() for name, number in claims_pb2.Grain.items()}
# The engine's own members by the wire's numbers: looked up once for each claim of every batch.
PROGRAMME_OF: Final[dict[int, Programme]] = {
    number: Programme(PROGRAMMES[number]) for number in PROGRAMMES if number
}
_ATTRIBUTE_OF: Final = {number: Attribute(ATTRIBUTES[number]) for number in ATTRIBUTES if number}
_STATUS_OF: Final = {number: ClaimStatus(STATUSES[number]) for number in STATUSES if number}
_GRAIN_OF: Final = {number: Grain(GRAINS[number]) for number in GRAINS if number}
_INTERVALS_KEPT_MAX: Final = 4_096
_TEXTS_KEPT_MAX: Final = 4_096


@dataclass(slots=True)
class ReadClaim:
    """A claim of the wire as the engine and the index see it.

    Claim and asset of the engine are made where they are asked for: of almost every claim only its keys are.

    Args:
        message: as stated.
        claim_id: of it, as it was checked.
        period: legal dates.
        keys: under which it is found: S3 and S2 references, and the grid cells that its polygon touches.
        locks: rows to be locked while it is checked and stored, sorted.
        content: the serialised claim, as it is stored.
        digest: SHA-256 of it.
        references: of its asset, in canonical form.
        action: what the applicant is about to do.
        status: of it, by the wire's number.
        declared_index: log index of its declaration; None: not declared.
        polygons: of its asset.
        buckets: key of each of its tokens with the bucket of time that the token is for.
    """

    message: claims_pb2.Claim
    claim_id: str
    period: Period
    keys: tuple[str, ...]
    locks: tuple[str, ...]
    content: bytes
    digest: bytes
    references: tuple[AssetRef, ...]
    action: Action
    status: int
    declared_index: int | None = None
    polygons: Polygons | None = None
    buckets: tuple[tuple[str, Period], ...] = ()
    made_claim: Claim | None = None
    made_asset: Asset | None = None

    @property
    def subject_uscc(self) -> str | None:
        """Credit code of the subject, if it is stated."""
        return self.message.subject_uscc or None

    @property
    def claim(self) -> Claim:
        """For the engine; its asset id is the claim's own id."""
        if self.made_claim is None:
            self.made_claim = _claim_of(self)
        return self.made_claim

    @property
    def asset(self) -> Asset:
        """What it claims."""
        if self.made_asset is None:
            self.made_asset = _asset_of(self)
        return self.made_asset


def _claim_of(read: ReadClaim) -> Claim:
    message = read.message
    return Claim(
        claim_id=read.claim_id,
        programme=PROGRAMME_OF[message.programme],
        object=_OBJECTS[message.object],
        asset_id=read.claim_id,
        attribute=_ATTRIBUTE_OF[message.attribute],
        interval=interval_of(read.period),
        status=_STATUS_OF[read.status],
        grain=_GRAIN_OF[message.grain or claims_pb2.GRAIN_DAY],
        region_code=message.region.removeprefix("region/") or None,
        project=message.project_id or None,
        subject=Subject(message.subject_name, message.subject_uscc or None),
        part=_part(message.part),
        # The engine asks only which of two was declared earlier; among claims of the index that is the log's
        # order (CLAIMS section 2).
        declared_microsecond=read.declared_index,
        activity=_activity(message.activity_quantity, message.activity_unit),
        quantity_kg=message.quantity_kg or None,
        methodology=message.methodology_id or None,
        action=read.action,
        supersedes=_supersedes(message),
        evidence=Evidence(message.no_duplicate_commitment, message.gec_freeze_consent),
    )


def _asset_of(read: ReadClaim) -> Asset:
    stated = read.message.asset
    return Asset(
        read.claim_id,
        stated.kind,
        read.references,
        stated.name,
        stated.region_code,
        stated.capacity_kw or None,
        stated.ets_covered,
        stated.offshore_distance_mm or None,
        stated.water_depth_mm or None,
        bounds=None if read.polygons is None else bounds_of(read.polygons),
    )


def read_claim(
    message: claims_pb2.Claim, *, action: Action, status: int | None = None, declared_index: int | None = None
) -> ReadClaim:
    """Read a claim strictly; each refusal names the field.

    Args:
        message: as stated by a region.
        action: what the applicant is about to do.
        status: present status in the index; None: the one stated.
        declared_index: log index of the declaration, which says who came first whatever the clock did; None:
            not declared.

    Raises:
        DomainError: FIELD_MISSING, FIELD_INVALID, BATCH_TOO_LARGE, RANGE_REVERSED, IDENTITY_CODE_INVALID, …
    """
    claim_id = require_text(message.claim_id, "claim.claim_id", length_max=CLAIM_ID_LENGTH_MAX)
    if message.object not in _OBJECTS:
        raise DomainError("FIELD_MISSING", field="claim.object")
    if not message.programme:
        raise DomainError("FIELD_MISSING", field="claim.programme")
    if not message.attribute:
        raise DomainError("FIELD_MISSING", field="claim.attribute")
    _require_fields(message)
    if message.subject_uscc:
        check_uscc(message.subject_uscc)
    stated = message.asset  # one wrapper for all of its fields
    references = _references(stated.references)
    polygons = read_geometry(stated.geometry) if stated.geometry else None
    if not references and polygons is None and not stated.pseudonyms:
        raise DomainError("FIELD_MISSING", field="claim.asset.references")
    bounds = None if polygons is None else bounds_of(polygons)
    period = _period(message.period)
    tokens = NO_TOKENS
    if stated.pseudonyms:
        tokens = read_pseudonyms(stated.pseudonyms, _ATTRIBUTE_OF[message.attribute], period)
        references += tokens.references
    # What the engine's claim is made of is refused here, if it is wrong, and not where it is made.
    if message.HasField("part"):
        _part(message.part)
    if message.supersedes:
        _supersedes(message)
    content = message.SerializeToString(deterministic=True)
    found = {*keys_of_references(references)}
    if bounds is not None:
        found.update(grid_keys(bounds))
    keys = locks = tuple(sorted(found))
    if message.subject_uscc and PROGRAMME_OF[message.programme] in SUBJECT_PROGRAMMES:
        locks = tuple(sorted((*keys, subject_key(message.subject_uscc))))
    return ReadClaim(
        message,
        claim_id,
        period,
        keys,
        locks,
        content,
        hashlib.sha256(content).digest(),
        references,
        action,
        status or message.status or claims_pb2.CLAIM_STATUS_DECLARED,
        declared_index,
        polygons,
        tokens.buckets,
    )


@dataclass(frozen=True, slots=True)
class ReadTokens:
    """Tokens as the engine and the index see them: references, and the key and bucket of each."""

    references: tuple[AssetRef, ...] = ()
    buckets: tuple[tuple[str, Period], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which the claim is found."""
        return tuple(key for key, _ in self.buckets)


NO_TOKENS: Final = ReadTokens()


def read_pseudonyms(
    pseudonyms: Sequence[claims_pb2.Pseudonym], attribute: Attribute, period: Period
) -> ReadTokens:
    """Read the tokens of a claim: one for each bucket, the same identifiers under each key epoch.

    Raises:
        DomainError: BATCH_TOO_LARGE, FIELD_INVALID, FIELD_MISSING.
    """
    field = "claim.asset.pseudonyms"
    if len(pseudonyms) > PSEUDONYMS_MAX:
        raise DomainError("BATCH_TOO_LARGE", field=field, limit=PSEUDONYMS_MAX, count=len(pseudonyms))
    buckets = buckets_of(period, bucket_grain(attribute, period.start))
    if len(buckets) * len(pseudonyms) > TOKENS_PER_CLAIM_MAX:
        count = len(buckets) * len(pseudonyms)
        raise DomainError("BATCH_TOO_LARGE", field=field, limit=TOKENS_PER_CLAIM_MAX, count=count)
    schemes: dict[int, list[str]] = {}
    found: dict[str, Period] = {}
    for pseudonym in pseudonyms:
        if pseudonym.scheme not in PERSONAL_SCHEMES:
            raise DomainError("FIELD_INVALID", field=f"{field}.scheme", detail="no kind of identifier")
        if not 0 < pseudonym.key_epoch <= KEY_EPOCH_MAX:
            raise DomainError("FIELD_INVALID", field=f"{field}.key_epoch", detail="epochs count from 1")
        if len(pseudonym.tokens) != len(buckets):
            detail = f"{len(buckets)} buckets, {len(pseudonym.tokens)} tokens"
            raise DomainError("FIELD_INVALID", field=f"{field}.tokens", detail=detail)
        schemes.setdefault(pseudonym.key_epoch, []).append(pseudonym.scheme)
        for token, bucket in zip(pseudonym.tokens, buckets, strict=True):
            require_bytes(token, TOKEN_LENGTH, f"{field}.tokens")
            found[f"{pseudonym.key_epoch}:{token.hex()}"] = bucket
    first = next(iter(schemes.values()))
    if any(others != first for others in schemes.values()):
        raise DomainError("FIELD_INVALID", field=field, detail="other identifiers under another key epoch")
    references = tuple(AssetRef(PSEUDONYM, value) for value in found)
    return ReadTokens(
        references,
        tuple((asset_key(ref), bucket) for ref, bucket in zip(references, found.values(), strict=True)),
    )


def require_no_identifier(references: Iterable[claims_pb2.AssetReference], field: str) -> None:
    """Refuse what identifies a person, household or vehicle: it stays in its region (CLAIMS section 6).

    Raises:
        DomainError: PERSONAL_IDENTIFIER_SENT with the field and never the value; FIELD_INVALID for a token
            that is stated as a reference.
    """
    for reference in references:
        scheme = canonical_scheme(reference.scheme)
        if scheme in PERSONAL_SCHEMES:
            raise DomainError("PERSONAL_IDENTIFIER_SENT", field=f"{field}.{scheme}")
        if scheme == PSEUDONYM:
            raise DomainError("FIELD_INVALID", field=field, detail="tokens are pseudonyms of the asset")


def _supersedes(message: claims_pb2.Claim) -> tuple[str, ...]:
    if not message.supersedes:  # as of almost every claim
        return ()
    if len(message.supersedes) > SUPERSEDES_MAX:
        raise DomainError(
            "BATCH_TOO_LARGE", field="claim.supersedes", limit=SUPERSEDES_MAX, count=len(message.supersedes)
        )
    return tuple(
        require_text(claim_id, "claim.supersedes", length_max=CLAIM_ID_LENGTH_MAX)
        for claim_id in message.supersedes
    )


def _period(message: values_pb2.Period) -> Period:
    start, end = message.start_date, message.end_date
    return _period_of(start.year, start.month, start.day, end.year, end.month, end.day)


@lru_cache(maxsize=_INTERVALS_KEPT_MAX)
def _period_of(*dates: int) -> Period:
    """Read a period by its numbers: the claims of a batch have few different ones."""
    start, end = (
        values_pb2.Date(year=year, month=month, day=day) for year, month, day in (dates[:3], dates[3:])
    )
    return parse_wire_period(values_pb2.Period(start_date=start, end_date=end), "claim.period")


def _require_fields(message: claims_pb2.Claim) -> None:
    """Bound every quantity and text: it is stored, signed again and shown to others.

    Most claims pass at a glance; of another each field is looked at, and the first that is wrong is named.
    """
    asset = message.asset
    quantities = (
        message.quantity_kg,
        message.activity_quantity,
        asset.capacity_kw,
        asset.offshore_distance_mm,
        asset.water_depth_mm,
    )
    if min(quantities) < 0 or max(quantities) > QUANTITY_MAX:
        _require_quantities(message)
    project_id, subject_name, name = message.project_id, message.subject_name, asset.name
    if not (
        len(project_id) <= PROJECT_ID_LENGTH_MAX
        and len(subject_name) <= TEXT_LENGTH_MAX
        and len(name) <= TEXT_LENGTH_MAX
        and f"{project_id}{subject_name}{name}".isprintable()
        and _are_plain(
            message.methodology_id,
            message.programme_code,
            message.activity_unit,
            asset.kind,
            asset.region_code,
        )
    ):
        _require_texts(message)
    if message.region:
        require_region(message.region, "claim.region")


@lru_cache(maxsize=_TEXTS_KEPT_MAX)
def _are_plain(methodology_id: str, *codes: str) -> bool:
    """Whether nothing is wrong with texts of which many claims have the same."""
    return (
        len(methodology_id) <= METHODOLOGY_ID_LENGTH_MAX
        and max(map(len, codes)) <= CODE_LENGTH_MAX
        and "".join((methodology_id, *codes)).isprintable()
    )


def _require_quantities(message: claims_pb2.Claim) -> None:
    asset = message.asset
    for name, value in (
        ("claim.quantity_kg", message.quantity_kg),
        ("claim.activity_quantity", message.activity_quantity),
        ("claim.asset.capacity_kw", asset.capacity_kw),
        ("claim.asset.offshore_distance_mm", asset.offshore_distance_mm),
        ("claim.asset.water_depth_mm", asset.water_depth_mm),
    ):
        if value < 0:
            raise DomainError("QUANTITY_NOT_POSITIVE", field=name, quantity_kg=value)
        if value > QUANTITY_MAX:
            raise DomainError("QUANTITY_TOO_LARGE", field=name, quantity_kg=value, limit=QUANTITY_MAX)


def _require_texts(message: claims_pb2.Claim) -> None:
    asset = message.asset
    for name, value, length_max in (
        ("claim.project_id", message.project_id, PROJECT_ID_LENGTH_MAX),
        ("claim.programme_code", message.programme_code, CODE_LENGTH_MAX),
        ("claim.subject_name", message.subject_name, TEXT_LENGTH_MAX),
        ("claim.activity_unit", message.activity_unit, CODE_LENGTH_MAX),
        ("claim.methodology_id", message.methodology_id, METHODOLOGY_ID_LENGTH_MAX),
        ("claim.asset.kind", asset.kind, CODE_LENGTH_MAX),
        ("claim.asset.name", asset.name, TEXT_LENGTH_MAX),
        ("claim.asset.region_code", asset.region_code, CODE_LENGTH_MAX),
    ):
        if value:
            optional_text(value, name, length_max=length_max)


def _references(messages: Sequence[claims_pb2.AssetReference]) -> tuple[AssetRef, ...]:
    if len(messages) > REFERENCES_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=REFERENCES_MAX, count=len(messages))
    return tuple([asset_ref(message.scheme, message.value) for message in messages])


@lru_cache(maxsize=_INTERVALS_KEPT_MAX)
def interval_of(period: Period) -> Interval:
    """Give the engine's interval of legal dates."""
    return Interval(second_of_date(period.start), second_of_date(period.end))


def _part(message: claims_pb2.AssetPart) -> Part | None:
    match message.WhichOneof("part"):
        case "share_ppm":
            if not 0 < message.share_ppm <= _WHOLE_PPM:
                raise DomainError(
                    "FIELD_INVALID", field="claim.part.share_ppm", detail=str(message.share_ppm)
                )
            return Part(share_ppm=message.share_ppm)
        case "meter":
            return Part(meter=require_text(message.meter, "claim.part.meter", length_max=METER_LENGTH_MAX))
        case _:
            return None


_WHOLE_PPM: Final = 1_000_000


def _activity(quantity: int, unit: str) -> Activity | None:
    return Activity(quantity, unit) if unit else None


def read_record(
    record: registry_pb2.RegistryRecord, registry: str, number: int
) -> tuple[Claim, Asset] | None:
    """Read a record of an outside list as a claim of that programme.

    None where it carries no known reference.

    Its claim id is ``<registry>:<reference>``, which is what a verdict names.
    """
    references: list[AssetRef] = []
    for reference in record.asset_references:
        try:
            references.append(asset_ref(reference.scheme, reference.value))
        except DomainError:  # a list may carry what we cannot read; it is never a key then
            continue
    claim_id = f"{registry}:{record.reference}"
    if not record.programme:
        return None
    asset_id = f"{claim_id}#{number}"
    period = (
        parse_wire_period(record.period)
        if record.HasField("period") and record.period.HasField("start_date")
        else _ALWAYS
    )
    programme = Programme(PROGRAMMES[record.programme])
    is_certificate = programme in (Programme.GEC, Programme.GREEN_POWER)
    claim = Claim(
        claim_id=claim_id,
        programme=programme,
        object=ClaimObject.CERTIFICATE
        if is_certificate
        else _OBJECTS.get(record.object, ClaimObject.PROJECT),
        asset_id=asset_id,
        attribute=Attribute(ATTRIBUTES[record.attribute]) if record.attribute else Attribute.OTHER,
        interval=interval_of(period),
        status=ClaimStatus(STATUSES[record.status or claims_pb2.CLAIM_STATUS_DECLARED]),
        grain=Grain(GRAINS[record.grain or claims_pb2.GRAIN_DAY]),
        project=record.reference or None,
        subject=Subject(record.subject_name, record.subject_uscc or None),
        activity=_activity(record.activity_quantity, record.activity_unit),
        quantity_kg=record.quantity_kg or None,
        methodology=record.methodology_id or None,
        gec=_gec_state(record) if is_certificate else None,
        attribute_known=bool(record.attribute),
    )
    asset = Asset(asset_id, record.asset_kind, tuple(references), record.title, record.province_code)
    return claim, asset


_ALWAYS: Final = Period(date(1990, 1, 1), date(2100, 1, 1))


def _gec_state(record: registry_pb2.RegistryRecord) -> GecState:
    state = GecStateName(record.certificate_state or GecStateName.ISSUED.value)
    electricity = "self_use" if record.self_use else "on_grid"
    return GecState(state, record.tradable, electricity, record.frozen_for or None)


def with_index(read: ReadClaim, declared_index: int) -> ReadClaim:
    """Give the claim with the log index that its declaration gets."""
    made = read.made_claim
    if made is not None:
        made = replace(made, declared_microsecond=declared_index)
    return replace(read, declared_index=declared_index, made_claim=made)
