"""The row of CCER and the coordination notice at registration."""

from __future__ import annotations

from tests.golden.claims.builders import (
    Json,
    Value,
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    order,
)


def ccer() -> None:
    """The row of CCER, without the coordination notice."""
    forest = [asset(kind="forest", refs=[("parcel_code", "990000TEST0001")])]
    stock: Json = {"attribute": "CARBON_STOCK", "activity": None}
    new = applicant(
        "CCER", ("2026-01-01", "2066-01-01"), object="project", project="C1", action="DECLARE", **stock
    )
    case(
        "CCER: another project on the asset",
        "cell:CCER:ccer",
        new,
        [claim("e1", "CCER", object="project", project="C2", status="NOTICE", **stock)],
        expected("BLOCK", "project", "CCER-48", colliding=["e1"]),
        assets=forest,
    )
    case(
        "CCER: units of another project, long retired",
        "cell:CCER:ccer retired_stays_live",
        new,
        [claim("e1", "CCER", ("2021-01-01", "2022-01-01"), project="C2", status="RETIRED", **stock)],
        expected("BLOCK", "project", "CCER-48", colliding=["e1"]),
        assets=forest,
    )
    case(
        "CCER: a cancelled project and its units",
        "cell:CCER:ccer cancelled_never_again",
        new,
        [
            claim("e1", "CCER", object="project", project="C2", status="CANCELLED", **stock),
            claim("e2", "CCER", ("2021-01-01", "2022-01-01"), project="C2", status="ISSUED", **stock),
        ],
        expected("BLOCK", "project", "CCER-16", also=["CCER-48"], colliding=["e1", "e2"]),
        assets=forest,
    )
    case(
        "CCER: an instalment is not a new project",
        "cancelled_never_again",
        applicant("CCER", ("2026-01-01", "2027-01-01"), project="C1", **stock),
        [
            claim("e1", "CCER", object="project", project="C2", status="CANCELLED", **stock),
            claim(
                "e2",
                "CCER",
                ("2026-01-01", "2066-01-01"),
                object="project",
                project="C1",
                status="REGISTERED",
                **stock,
            ),
        ],
        expected("ALLOW", None, "CCER-48"),
        assets=forest,
    )
    case(
        "CCER: two instalments of the own project overlap by a month",
        "cell:CCER:ccer own_instalments",
        applicant("CCER", ("2026-01-01", "2027-01-01"), project="C1", **stock),
        [claim("e1", "CCER", ("2025-01-01", "2026-02-01"), project="C1", **stock)],
        expected("BLOCK", "interval", "POLICY-L2", also=["CCER-48"], colliding=["e1"]),
        assets=forest,
    )
    case(
        "CCER: two instalments of the own project follow each other",
        "own_instalments half_open_touching",
        applicant("CCER", ("2026-01-01", "2027-01-01"), project="C1", **stock),
        [claim("e1", "CCER", ("2025-01-01", "2026-01-01"), project="C1", **stock)],
        expected("ALLOW", None, "POLICY-L2"),
        assets=forest,
    )
    for programme in ("VCS", "GS", "CDM"):
        case(
            f"CCER: {programme} credits on the asset",
            "cell:CCER:foreign",
            new,
            [claim("e1", programme, ("2010-01-01", "2020-01-01"), **stock)],
            expected("BLOCK", "project", "CCER-48", colliding=["e1"]),
            assets=forest,
        )
    for programme in ("SZ_PHCER", "SH_SHCER", "REGIONAL"):
        case(
            f"CCER: {programme} claimed the asset in other years",
            "cell:CCER:other_region",
            new,
            [claim("e1", programme, ("2010-01-01", "2020-01-01"), **stock)],
            expected("BLOCK", "project", "CCER-48", colliding=["e1"]),
            assets=forest,
        )
    case(
        "CCER: the asset stands in the reserve",
        "cell:CCER:reserve",
        new,
        [claim("e1", "YN_RESERVE", status="REGISTERED", **stock)],
        expected("ALLOW", None, "YN-3", flagged=["e1"]),
        assets=forest,
        why="A reserve entry is the early development of just such a project.",
    )
    case(
        "CCER: the site is under allowance management",
        "cell:CCER:ets_site",
        new,
        [],
        expected("BLOCK", "project", "CCER-10"),
        assets=[forest[0] | {"facts": {"ets_covered": True}}],
    )
    case(
        "CCER methane beside sold certificates of the power",
        "two_attributes",
        applicant("CCER", attribute="CH4_DESTRUCTION", project="C1"),
        [certificate("e1", "TRANSFERRED")],
        expected("ALLOW", None, "POLICY-ATTRIBUTE"),
        decided_on="2026-11-02",
        why="The notice speaks of renewable electricity only, so neither its end nor a sale matters.",
    )


def notice() -> None:
    """The coordination notice."""
    wind = asset(kind="offshore_wind", facts={"offshore_distance_km": 31, "water_depth_m": 20})
    register: Json = {
        "object": "project",
        "project": "C1",
        "action": "REGISTER",
        "activity": None,
        "period": ("2025-01-01", "2035-01-01"),
    }

    def registering(**more: Value) -> Json:
        return applicant("CCER", **(register | more))

    frozen = expected(
        "FREEZE_OTHER", "quantity", "N124-2", colliding=["e1"], orders=[order("e1", "FREEZE", 40)]
    )
    for title, plant in (
        ("31 km off the coast", wind),
        ("31 m deep", asset(kind="offshore_wind", facts={"offshore_distance_km": 5, "water_depth_m": 31})),
        ("solar thermal", asset(kind="csp")),
        ("30.001 km off the coast", asset(kind="offshore_wind", facts={"offshore_distance_km": 30.001})),
    ):
        case(
            f"CCER: {title}, unsold certificates",
            "cell:CCER:gec_untraded n124_freeze",
            registering(),
            [certificate("e1")],
            frozen,
            assets=[plant],
        )
    for title, plant in (
        (
            "exactly 30 km and exactly 30 m",
            asset(kind="offshore_wind", facts={"offshore_distance_km": 30, "water_depth_m": 30}),
        ),
        ("rooftop panels", asset()),
        ("wind on land", asset(kind="onshore_wind")),
        ("an offshore farm of which nothing is known", asset(kind="offshore_wind")),
    ):
        case(
            f"CCER: {title}, unsold certificates",
            "cell:CCER:gec_untraded n124_kind",
            registering(),
            [certificate("e1")],
            expected("BLOCK", "quantity", "N124-1", colliding=["e1"]),
            assets=[plant],
        )
    case(
        "CCER: rooftop panels without any certificate",
        "n124_kind",
        registering(),
        [],
        expected("BLOCK", "quantity", "N124-1"),
    )
    case(
        "CCER: nothing to freeze",
        "n124_freeze",
        registering(action="DECLARE", status="DECLARED"),
        [],
        expected("ALLOW", None, "N124-2"),
        assets=[wind],
    )
    case(
        "CCER: certificates of other kinds and months at registration",
        "n124_freeze gec_non_tradable",
        registering(),
        [
            certificate("e1", "LISTED"),
            certificate("e2", "TRANSFERRED"),
            certificate("e3", tradable=False),
            certificate("e4", period=("2024-12-01", "2025-01-01")),
            certificate("e5", "EXPIRED"),
            certificate("e6", "UNFROZEN", quantity=7),
        ],
        expected(
            "FREEZE_OTHER",
            "quantity",
            "N124-2",
            colliding=["e1", "e6"],
            flagged=["e2", "e3", "e5"],
            orders=[order("e1", "FREEZE", 40), order("e6", "FREEZE", 7)],
        ),
        assets=[wind],
    )
    for day, ok in (("2024-09-30", False), ("2024-10-01", True), ("2026-09-30", True), ("2026-10-01", False)):
        case(
            f"CCER: the notice on {day}",
            "n124_expiry",
            registering(),
            [certificate("e1"), certificate("e2", "TRANSFERRED", ("2024-01-01", "2024-02-01"))],
            frozen if ok else expected("HOLD", "quantity", "N124-END", colliding=["e1"]),
            assets=[wind],
            decided_on=day,
        )
    case(
        "CCER: after the notice even panels are for a person to see",
        "n124_expiry",
        registering(),
        [],
        expected("HOLD", "quantity", "N124-END"),
        decided_on="2026-10-01",
    )
    case(
        "CCER: after the notice a foreign credit still blocks",
        "n124_expiry several_findings",
        registering(),
        [claim("e1", "VCS"), certificate("e2")],
        expected("BLOCK", "project", "CCER-48", also=["N124-END"], colliding=["e1", "e2"]),
        decided_on="2026-10-01",
        assets=[wind],
    )
