"""Reading of worked cases (schema ``tanqiao-verdict-cases/1``) into facts, and judging a whole document.

Reading is strict about types, words and missing keys; keys that the schema does not know are ignored. A case
that cannot be read is one result with its path and reason, and the others are judged all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from tanqiao.claims.documents import Node, invalid
from tanqiao.claims.engine import judge
from tanqiao.claims.geometry import OverlapMeasure, Polygons, bounds_of, parse_polygons
from tanqiao.claims.keys import asset_ref_as_written
from tanqiao.claims.model import (
    SHARE_WHOLE_PPM,
    Action,
    Activity,
    Asset,
    AssetLink,
    AssetRef,
    Attribute,
    Claim,
    ClaimFacts,
    ClaimObject,
    ClaimStatus,
    Evidence,
    GecState,
    GecStateName,
    Grain,
    LinkRelation,
    Metering,
    Part,
    PeriodActivity,
    PolygonOverlap,
    Programme,
    Registry,
    RegistryAnswers,
    Subject,
    Verdict,
)
from tanqiao.claims.parameters import (
    DEFAULT_PARAMETERS,
    Bar,
    CommitmentScope,
    Parameters,
    Validity,
)
from tanqiao.kernel.errors import DomainError

SCHEMA: Final = "tanqiao-verdict-cases/1"
TIME_ZONE: Final = "Asia/Shanghai"
"""Zone of every date without a time; a document may name it, and no other."""
CASES_MAX: Final = 100_000
"""Most cases of one document."""

_MILLIMETRES_OF_A_KILOMETRE: Final = 1_000_000
_MILLIMETRES_OF_A_METRE: Final = 1_000
_ANSWERED: Final = "answered"
_NO_ANSWER: Final = "no_answer"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case: a verdict, or the reason why it could not be read.

    `expected` is the case's own expectation as written, or None where it carries none.
    """

    case_id: str
    verdict: Verdict | None = None
    error: DomainError | None = None
    expected: Mapping[str, object] | None = None


def judge_document(document: object, measure_overlap: OverlapMeasure) -> list[CaseResult]:
    """Judge every case of a document, in its order.

    Raises:
        DomainError: FIELD_INVALID, if the document itself is not of the schema or its parameters are wrong.
    """
    root = Node.of(document, "")
    if root.text("schema") != SCHEMA:
        raise invalid("schema", f"{SCHEMA} is expected")
    parameters = read_parameters(root.node_or_none("parameters"))
    cases = root.value.get("cases")
    if not isinstance(cases, list):
        raise invalid("cases", "a list is expected")
    if len(cases) > CASES_MAX:
        raise invalid("cases", f"more than {CASES_MAX} cases")
    return [_judge_case(case, index, parameters, measure_overlap) for index, case in enumerate(cases)]


def _judge_case(
    case: object, index: int, parameters: Parameters, measure_overlap: OverlapMeasure
) -> CaseResult:
    case_id = f"cases[{index}]"
    expected: Mapping[str, object] | None = None
    try:
        node = Node.of(case, case_id)
        case_id = node.text("case_id")
        node = Node(node.value, case_id)
        expectation = node.node_or_none("expected")
        expected = None if expectation is None else expectation.value
        verdict = judge(read_facts(node, parameters, measure_overlap))
    except DomainError as error:
        return CaseResult(case_id, error=error, expected=expected)
    return CaseResult(case_id, verdict, expected=expected)


def read_parameters(node: Node | None) -> Parameters:
    """Read the parameters of a document; what it does not name keeps its default."""
    if node is None:
        return DEFAULT_PARAMETERS
    parameters = DEFAULT_PARAMETERS
    if node.has("share_whole_ppm") and node.integer("share_whole_ppm") != SHARE_WHOLE_PPM:
        raise invalid(node.path_of("share_whole_ppm"), f"{SHARE_WHOLE_PPM} is expected")
    if node.has("time_zone") and node.text("time_zone") != TIME_ZONE:
        raise invalid(node.path_of("time_zone"), f"{TIME_ZONE} is expected")
    if node.has("polygon_overlap_tolerance_m2"):
        tolerance_m2 = node.integer("polygon_overlap_tolerance_m2")
        parameters = replace(parameters, polygon_overlap_tolerance_m2=tolerance_m2)
    validity = node.node_or_none("coordination_notice_valid")
    if validity is not None:
        start, end = validity.day("from"), validity.day("to")
        if start >= end:
            raise invalid(validity.path_of("to"), "must be after from")
        parameters = replace(parameters, coordination_notice_valid=Validity(start, end))
    return _read_switches(node, parameters)


def _read_switches(node: Node, parameters: Parameters) -> Parameters:
    """Read switches under the keys of RULES section 13."""
    key = "sz.exclusion.withdrawn_application_bars"
    if node.has(key):
        parameters = replace(parameters, shenzhen_withdrawn_application_bars=node.word(key, Bar))
    key = "sz.exclusion.automatic_certificate_is_application"
    if node.has(key):
        bar = node.word(key, Bar)
        parameters = replace(parameters, shenzhen_automatic_certificate_is_application=bar)
    key = "sh.commitment.scope"
    if node.has(key):
        parameters = replace(parameters, shanghai_commitment_scope=node.word(key, CommitmentScope))
    key = "sh.ets_exclusion"
    if node.has(key):
        exclusion = Bar.ALLOW if node.text(key) == "off" else node.word(key, Bar)
        parameters = replace(parameters, shanghai_ets_exclusion=exclusion)
    return parameters


def read_facts(node: Node, parameters: Parameters, measure_overlap: OverlapMeasure) -> ClaimFacts:
    """Read one case into facts; common areas of its polygons are measured through the port.

    Raises:
        DomainError: FIELD_INVALID with the path.
    """
    assets: dict[str, Asset] = {}
    polygons: dict[str, Polygons] = {}
    for item in node.nodes("assets"):
        asset, shape = _read_asset(item)
        if asset.asset_id in assets:
            raise invalid(item.path_of("asset_id"), "is used twice")
        assets[asset.asset_id] = asset
        if shape is not None:
            polygons[asset.asset_id] = shape
    existing = [_read_claim(item, assets) for item in node.nodes("existing_claims")]
    applicant_node = node.node("applicant_claim")
    applicant = _read_applicant(applicant_node, assets)
    claim_ids = [claim.claim_id for claim in (applicant, *existing)]
    if len(set(claim_ids)) != len(claim_ids):
        raise invalid(node.path_of("existing_claims"), "a claim_id is used twice")
    return ClaimFacts(
        applicant,
        tuple(existing),
        assets,
        node.day("decided_on"),
        _read_answers(node.node("registry_answers")),
        tuple(_read_link(item, assets) for item in node.nodes("asset_links")),
        _measure(polygons, measure_overlap),
        tuple(_read_metering(item, assets) for item in node.nodes("metering")),
        parameters,
    )


def _measure(polygons: Mapping[str, Polygons], measure_overlap: OverlapMeasure) -> tuple[PolygonOverlap, ...]:
    return tuple(
        PolygonOverlap(first, second, measure_overlap(polygons[first], polygons[second]))
        for first, second in combinations(polygons, 2)
    )


def _read_asset(node: Node) -> tuple[Asset, Polygons | None]:
    facts = node.node_or_none("facts") or Node({}, node.path_of("facts"))
    shape = None
    if node.has("polygon"):
        shape = parse_polygons(node.value["polygon"], node.path_of("polygon"))
    asset = Asset(
        asset_id=node.text("asset_id"),
        kind=node.text("kind"),
        references=tuple(_read_reference(item) for item in node.nodes("refs")),
        name=node.text_or_none("name") or "",
        region_code=node.text_or_none("region") or "",
        capacity_kw=node.scaled_or_none("capacity_kw", 1),
        ets_covered=facts.boolean_or_none("ets_covered"),
        offshore_distance_mm=facts.scaled_or_none("offshore_distance_km", _MILLIMETRES_OF_A_KILOMETRE),
        water_depth_mm=facts.scaled_or_none("water_depth_m", _MILLIMETRES_OF_A_METRE),
        commissioned=facts.first_day_or_none("commissioned"),
        bounds=None if shape is None else bounds_of(shape),
    )
    return asset, shape


def _read_reference(node: Node) -> AssetRef:
    try:
        return asset_ref_as_written(node.text("scheme"), node.text("value"))
    except DomainError as error:
        if error.field is not None and error.field.startswith(node.path):
            raise
        raise invalid(node.path_of("value"), error.metadata.get("detail", error.symbol)) from error


def _read_link(node: Node, assets: Mapping[str, Asset]) -> AssetLink:
    return AssetLink(
        _known_asset(node, "a", assets),
        _known_asset(node, "b", assets),
        node.word("relation", LinkRelation),
        node.text_or_none("basis") or "",
    )


def _known_asset(node: Node, key: str, assets: Mapping[str, Asset]) -> str:
    asset_id = node.text(key)
    if asset_id not in assets:
        raise invalid(node.path_of(key), "is no asset of the case")
    return asset_id


def _read_answers(node: Node) -> RegistryAnswers:
    answered: set[Registry] = set()
    for registry in Registry:
        if not node.has(registry.value):
            continue
        answer = node.text(registry.value)
        if answer not in (_ANSWERED, _NO_ANSWER):
            raise invalid(node.path_of(registry.value), f"{_ANSWERED} or {_NO_ANSWER} is expected")
        if answer == _ANSWERED:
            answered.add(registry)
    return RegistryAnswers(frozenset(answered))


def _read_metering(node: Node, assets: Mapping[str, Asset]) -> Metering:
    return Metering(
        _known_asset(node, "asset_id", assets),
        node.word("attribute", Attribute),
        node.interval(),
        node.integer("quantity"),
        node.text("unit"),
    )


def _read_claim(node: Node, assets: Mapping[str, Asset]) -> Claim:
    subject = node.node_or_none("subject") or Node({}, node.path_of("subject"))
    programme = node.word("programme", Programme)
    if programme is Programme.GEC and not node.has("gec"):
        raise invalid(node.path_of("gec"), "is missing for a certificate")
    return Claim(
        claim_id=node.text("claim_id"),
        programme=programme,
        object=node.word("object", ClaimObject),
        asset_id=_known_asset(node, "asset_id", assets),
        attribute=node.word("attribute", Attribute),
        interval=node.interval(),
        status=node.word("status", ClaimStatus),
        grain=node.word("grain", Grain),
        region_code=node.text_or_none("region"),
        project=node.text_or_none("project"),
        subject=Subject(subject.text_or_none("name") or "", subject.text_or_none("uscc")),
        part=_read_part(node.node_or_none("part")),
        declared_microsecond=node.microsecond_or_none("declared_at"),
        activity=_read_activity(node.node_or_none("activity")),
        quantity_kg=node.integer_or_none("quantity_kg_co2e"),
        methodology=node.text_or_none("methodology"),
        gec=_read_gec(node.node_or_none("gec")),
    )


def _read_applicant(node: Node, assets: Mapping[str, Asset]) -> Claim:
    evidence = node.node_or_none("evidence") or Node({}, node.path_of("evidence"))
    by_period: tuple[PeriodActivity, ...] | None = None
    if node.has("activity_by_period"):
        by_period = tuple(
            PeriodActivity(item.interval(), item.integer("quantity"), item.text("unit"))
            for item in node.nodes("activity_by_period")
        )
    return replace(
        _read_claim(node, assets),
        action=node.word("action", Action),
        supersedes=node.texts("supersedes"),
        activity_by_period=by_period,
        evidence=Evidence(
            evidence.boolean_or_none("no_duplicate_commitment"),
            evidence.boolean_or_none("gec_freeze_consent"),
        ),
    )


def _read_part(node: Node | None) -> Part | None:
    if node is None:
        return None
    if node.has("share_ppm") == node.has("meter"):
        raise invalid(node.path, "a part is either share_ppm or meter")
    if node.has("meter"):
        return Part(meter=node.text("meter"))
    share_ppm = node.integer("share_ppm", minimum=1)
    if share_ppm > SHARE_WHOLE_PPM:
        raise invalid(node.path_of("share_ppm"), f"at most {SHARE_WHOLE_PPM}")
    return Part(share_ppm=share_ppm)


def _read_activity(node: Node | None) -> Activity | None:
    return None if node is None else Activity(node.integer("quantity"), node.text("unit"))


def _read_gec(node: Node | None) -> GecState | None:
    if node is None:
        return None
    return GecState(
        node.word("state", GecStateName),
        node.boolean("tradable"),
        node.text_or_none("electricity"),
        node.text_or_none("frozen_for"),
    )
