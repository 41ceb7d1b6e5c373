from __future__ import annotations

import pytest

from tanqiao.claims.assets import AssetRelations, Relation
from tanqiao.claims.keys import asset_ref
from tanqiao.claims.model import Asset, AssetLink, LinkRelation, PolygonOverlap

SAME, DIFFERENT, CANDIDATE = LinkRelation.SAME, LinkRelation.DIFFERENT, LinkRelation.CANDIDATE


def an_asset(asset_id: str, *references: tuple[str, str]) -> Asset:
    return Asset(asset_id, "forest", tuple(asset_ref(scheme, value) for scheme, value in references))


def relation(
    *assets: Asset,
    links: tuple[tuple[str, str, LinkRelation], ...] = (),
    areas: tuple[tuple[str, str, int], ...] = (),
) -> Relation:
    """Relation of a to b."""
    relations = AssetRelations(
        {asset.asset_id: asset for asset in assets},
        [AssetLink(*link) for link in links],
        [PolygonOverlap(*area) for area in areas],
        500,
    )
    forth, back = relations.relation("a", "b"), relations.relation("b", "a")
    assert forth is back
    return forth


PLAIN_A, PLAIN_B, PLAIN_C = an_asset("a"), an_asset("b"), an_asset("c")


def test_without_any_evidence_two_assets_are_different() -> None:
    assert relation(PLAIN_A, PLAIN_B) is Relation.DIFFERENT


@pytest.mark.parametrize(
    ("link", "expected"),
    [(SAME, Relation.SAME), (DIFFERENT, Relation.DIFFERENT), (CANDIDATE, Relation.CANDIDATE)],
)
@pytest.mark.parametrize("pair", [("a", "b"), ("b", "a")])
def test_a_link_says_what_it_says_in_both_directions(
    link: LinkRelation, expected: Relation, pair: tuple[str, str]
) -> None:
    assert relation(PLAIN_A, PLAIN_B, links=((*pair, link),)) is expected


def test_a_reviewed_link_outweighs_everything_below_it() -> None:
    a, b = an_asset("a", ("cdm", "1")), an_asset("b", ("cdm", "2"))
    assert relation(a, b, links=(("a", "b", SAME), ("a", "b", CANDIDATE))) is Relation.SAME
    twin = an_asset("b", ("cdm", "1"))
    overlap = (("a", "b", 10_000),)
    assert relation(a, twin, links=(("a", "b", DIFFERENT),), areas=overlap) is Relation.DIFFERENT


def test_an_equal_reference_outweighs_another_that_differs_and_a_nomination() -> None:
    a = an_asset("a", ("cdm", "1"), ("vcs", "7"))
    b = an_asset("b", ("cdm", "2"), ("vcs", "7"))
    assert relation(a, b, links=(("a", "b", CANDIDATE),)) is Relation.SAME


def test_a_nomination_outweighs_different_references_and_polygons() -> None:
    a, b = an_asset("a", ("cdm", "1")), an_asset("b", ("cdm", "2"))
    areas = (("a", "b", 0),)
    assert relation(a, b, links=(("a", "b", CANDIDATE),), areas=areas) is Relation.CANDIDATE


def test_different_values_in_one_scheme_outweigh_polygons() -> None:
    a, b = an_asset("a", ("parcel_code", "1")), an_asset("b", ("parcel_code", "2"))
    assert relation(a, b, areas=(("a", "b", 1_000_000),)) is Relation.DIFFERENT


def test_equal_names_are_no_evidence_for_or_against() -> None:
    a, b = an_asset("a", ("name", "x")), an_asset("b", ("name", "x"))
    assert relation(a, b) is Relation.DIFFERENT
    c = an_asset("b", ("name", "y"))
    assert relation(a, c, areas=(("a", "b", 501),)) is Relation.SAME_BY_GEOMETRY


@pytest.mark.parametrize(
    ("area_m2", "expected"),
    [
        (0, Relation.DIFFERENT_BY_GEOMETRY),
        (500, Relation.DIFFERENT_BY_GEOMETRY),
        (501, Relation.SAME_BY_GEOMETRY),
    ],
)
def test_polygons_decide_above_the_tolerance(area_m2: int, expected: Relation) -> None:
    assert relation(PLAIN_A, PLAIN_B, areas=(("b", "a", area_m2),)) is expected


def test_the_closure_runs_over_links_and_references() -> None:
    a, b = an_asset("a", ("vcs", "1")), an_asset("b", ("gs", "2"))
    c = an_asset("c", ("vcs", "1"))
    assert relation(a, b, c, links=(("c", "b", SAME),)) is Relation.SAME


def test_a_nomination_of_a_member_nominates_the_class() -> None:
    links = (("a", "c", SAME), ("c", "b", CANDIDATE))
    assert relation(PLAIN_A, PLAIN_B, PLAIN_C, links=links) is Relation.CANDIDATE


def test_a_reviewed_difference_of_a_member_holds_for_the_class() -> None:
    links = (("a", "c", SAME), ("c", "b", DIFFERENT), ("a", "b", CANDIDATE))
    assert relation(PLAIN_A, PLAIN_B, PLAIN_C, links=links) is Relation.DIFFERENT


def test_a_polygon_of_a_member_counts_for_the_class() -> None:
    links = (("a", "c", SAME),)
    areas = (("c", "b", 501),)
    assert relation(PLAIN_A, PLAIN_B, PLAIN_C, links=links, areas=areas) is Relation.SAME_BY_GEOMETRY


def test_a_closure_that_contradicts_a_reviewed_difference_is_contradicted() -> None:
    links = (("a", "c", SAME), ("c", "b", SAME), ("a", "b", DIFFERENT))
    assert relation(PLAIN_A, PLAIN_B, PLAIN_C, links=links) is Relation.CONTRADICTED


def test_a_difference_elsewhere_in_the_class_makes_the_whole_class_doubtful() -> None:
    d = an_asset("d")
    links = (("a", "c", SAME), ("c", "b", SAME), ("c", "d", SAME), ("a", "d", DIFFERENT))
    assert relation(PLAIN_A, PLAIN_B, PLAIN_C, d, links=links) is Relation.CONTRADICTED


def test_two_reviewers_who_disagree_leave_a_contradiction() -> None:
    links = (("a", "b", SAME), ("b", "a", DIFFERENT))
    assert relation(PLAIN_A, PLAIN_B, links=links) is Relation.CONTRADICTED
