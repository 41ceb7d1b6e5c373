"""Links, references, candidates, closure and polygons."""

from __future__ import annotations

from tests.golden.claims.builders import (
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    link,
    square,
)


def same_assets() -> None:
    """Links, references, candidates, polygons."""
    two = [asset(refs=[("vcs", "VCS9001")]), asset("a2", refs=[("cdm", "90001")])]
    new = applicant("SZ_PHCER", asset_id="a2")
    case(
        "A reviewed link joins two assets",
        "asset_link",
        new,
        [claim("e1", "VCS")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        assets=two,
        links=[link("same")],
    )
    case(
        "A nomination only nominates",
        "candidate",
        new,
        [claim("e1", "VCS")],
        expected("HOLD", "policy", "POLICY-CANDIDATE", also=["SZ-22"], colliding=["e1"]),
        assets=two,
        links=[link("candidate")],
    )
    case(
        "A nomination of a claim that would not collide",
        "candidate half_open_touching",
        applicant("SH_SHCER", asset_id="a2"),
        [claim("e1", "SH_SHCER", ("2024-01-01", "2025-01-01"))],
        expected("ALLOW", None, "POLICY-L2"),
        assets=two,
        links=[link("candidate")],
    )
    case(
        "A nominated share that would be too much together with a certain one",
        "candidate share_sum",
        applicant("SH_SHCER", asset_id="a2", part={"share_ppm": 400_000}),
        [
            claim("e1", "SH_SHCER", asset_id="a2", part={"share_ppm": 400_000}),
            claim("e2", "SH_SHCER", part={"share_ppm": 400_000}),
        ],
        expected("HOLD", "policy", "POLICY-CANDIDATE", also=["POLICY-L2"], colliding=["e1", "e2"]),
        assets=two,
        links=[link("candidate")],
    )
    case(
        "A nominated asset's unsold certificates",
        "candidate gec_untraded",
        applicant("SZ_PHCER", asset_id="a2", consent=True),
        [certificate("e1")],
        expected("HOLD", "policy", "POLICY-CANDIDATE", also=["SZ-22"], colliding=["e1"]),
        assets=two,
        links=[link("candidate")],
    )
    case(
        "No link, no common scheme, no polygon: different, however alike the names",
        "lookalike_names",
        new,
        [claim("e1", "VCS")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=two,
    )
    shared = [asset(refs=[("cdm", "90001")]), asset("a2", refs=[("cdm", "CDM 90001"), ("plant_id", "Q1")])]
    case(
        "An equal reference, written in another way",
        "equal_reference",
        new,
        [claim("e1", "CDM")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        assets=shared,
    )
    case(
        "A reviewer found two assets different although a list gives them one number",
        "equal_reference asset_link",
        new,
        [claim("e1", "CDM")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=shared,
        links=[link("different")],
    )
    case(
        "A nomination does not outweigh an equal reference",
        "equal_reference candidate",
        new,
        [claim("e1", "CDM")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        assets=shared,
        links=[link("candidate")],
    )
    three = [*two, asset("a3", refs=[("gs", "GS 9009")])]
    case(
        "Two reviewed links make a chain",
        "closure",
        new,
        [claim("e1", "VCS")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        assets=three,
        links=[link("same", "a1", "a3"), link("same", "a3", "a2")],
    )
    case(
        "A chain that contradicts a reviewed difference",
        "closure contradiction",
        new,
        [claim("e1", "VCS")],
        expected("HOLD", "policy", "POLICY-ASSET", also=["SZ-22"], colliding=["e1"]),
        assets=three,
        links=[link("same", "a1", "a3"), link("same", "a3", "a2"), link("different", "a1", "a2")],
    )
    forest = asset("a1", "forest", refs=[("vcs", "VCS9002")], polygon=square(100.0, 25.0, 0.02))
    near = asset("a2", "forest", refs=[("plant_id", "Q2")], polygon=square(100.01, 25.01, 0.02))
    beside = asset("a2", "forest", refs=[("plant_id", "Q2")], polygon=square(100.02, 25.0, 0.02))
    tree = applicant("SZ_PHCER", asset_id="a2", attribute="CARBON_STOCK")
    case(
        "Polygons with a common area",
        "polygon_overlap",
        tree,
        [claim("e1", "VCS", attribute="CARBON_STOCK")],
        expected("BLOCK", "project", "SZ-22", also=["POLICY-GEOMETRY"], colliding=["e1"]),
        assets=[forest, near],
    )
    case(
        "Polygons with a common edge",
        "polygon_touching",
        tree,
        [claim("e1", "VCS", attribute="CARBON_STOCK")],
        expected("ALLOW", None, "POLICY-GEOMETRY"),
        assets=[forest, beside],
    )
    case(
        "A common strip of less than the tolerance",
        "polygon_tolerance",
        tree,
        [claim("e1", "VCS", attribute="CARBON_STOCK")],
        expected("ALLOW", None, "POLICY-GEOMETRY"),
        assets=[
            forest,
            asset("a2", "forest", refs=[("plant_id", "Q2")], polygon=square(100.019999, 25.0, 0.02)),
        ],
        why="0.000001 degrees of longitude are about 0.1 m: some 220 m².",
    )
    holed = square(100.0, 25.0, 0.02)
    holed["coordinates"].append(
        [[100.005, 25.005], [100.005, 25.015], [100.015, 25.015], [100.015, 25.005], [100.005, 25.005]]
    )
    case(
        "A parcel inside the hole of another",
        "polygon_hole",
        tree,
        [claim("e1", "VCS", attribute="CARBON_STOCK")],
        expected("ALLOW", None, "POLICY-GEOMETRY"),
        assets=[
            asset("a1", "forest", refs=[("vcs", "VCS9002")], polygon=holed),
            asset("a2", "forest", refs=[("plant_id", "Q2")], polygon=square(100.006, 25.006, 0.008)),
        ],
    )
    case(
        "Different parcel codes are different assets, whatever the polygons",
        "polygon_overlap different_reference",
        tree,
        [claim("e1", "VCS", attribute="CARBON_STOCK")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=[
            forest | {"refs": [{"scheme": "parcel_code", "value": "990000TEST1"}]},
            near | {"refs": [{"scheme": "parcel_code", "value": "990000TEST2"}]},
        ],
    )
    case(
        "The allowance flag of an asset that is the same",
        "ets_site closure",
        applicant("CCER", asset_id="a2", attribute="ELEC_SAVING", object="project", action="DECLARE"),
        [],
        expected("BLOCK", "project", "CCER-10"),
        assets=[asset(refs=[("cdm", "90001")], facts={"ets_covered": True}), shared[1]],
    )
    case(
        "The allowance flag of an asset that was only nominated",
        "ets_site candidate",
        applicant("CCER", asset_id="a2", attribute="ELEC_SAVING", object="project", action="DECLARE"),
        [],
        expected("HOLD", "policy", "POLICY-CANDIDATE", also=["CCER-10"]),
        assets=[asset(refs=[("vcs", "VCS9001")], facts={"ets_covered": True}), two[1]],
        links=[link("candidate")],
    )
