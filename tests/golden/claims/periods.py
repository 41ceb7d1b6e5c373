"""Periods, shares, meters, grain and attributes at interval level."""

from __future__ import annotations

from tests.golden.claims.builders import (
    MAY,
    applicant,
    case,
    certificate,
    claim,
    expected,
)


def intervals() -> None:
    """Periods, shares, meters, grain and attributes."""
    share = {"share_ppm": 400_000}
    case(
        "Shares that fill the whole exactly",
        "share_sum",
        applicant("SH_SHCER", part={"share_ppm": 200_000}),
        [claim("e1", "SH_SHCER", part=share), claim("e2", "SH_SHCER", part=share)],
        expected("ALLOW", None, "POLICY-L2"),
    )
    case(
        "Three shares that are too much together only in May",
        "share_sum",
        applicant("SH_SHCER", part={"share_ppm": 300_000}),
        [
            claim("e1", "SH_SHCER", ("2025-01-01", "2025-06-01"), part=share),
            claim("e2", "SH_SHCER", ("2025-05-01", "2026-01-01"), part=share),
        ],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1", "e2"]),
    )
    case(
        "Two shares that follow each other never add up",
        "share_sum half_open_touching",
        applicant("SH_SHCER", part={"share_ppm": 600_000}),
        [
            claim("e1", "SH_SHCER", ("2025-01-01", "2025-06-01"), part=share),
            claim("e2", "SH_SHCER", ("2025-06-01", "2026-01-01"), part=share),
        ],
        expected("ALLOW", None, "POLICY-L2"),
    )
    case(
        "A share beside a claim to the whole",
        "share_sum",
        applicant("SZ_PHCER", part={"share_ppm": 1}),
        [claim("e1", "SZ_PHCER")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "Shares of two regions count together",
        "share_sum other_region",
        applicant("SZ_PHCER", part=share),
        [
            claim("e1", "SZ_PHCER", part=share),
            claim("e2", "SH_SHCER", part=share),
        ],
        expected("BLOCK", "interval", "POLICY-L2", also=["SZ-22"], colliding=["e1", "e2"]),
    )
    case(
        "Two meters of one asset",
        "meter",
        applicant("SZ_PHCER", part={"meter": "M1"}),
        [claim("e1", "SZ_PHCER", part={"meter": "M2"})],
        expected("ALLOW", None, "POLICY-L2"),
    )
    case(
        "One meter claimed twice",
        "meter",
        applicant("SZ_PHCER", part={"meter": "M1"}),
        [claim("e1", "SZ_PHCER", part={"meter": "M1"})],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "A meter against a share counts as the whole",
        "meter share_sum",
        applicant("SZ_PHCER", part={"meter": "M1"}),
        [claim("e1", "SZ_PHCER", part={"share_ppm": 1})],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "At project level any part is the asset",
        "meter project_level",
        applicant("SZ_PHCER", part={"meter": "M1"}),
        [claim("e1", "VCS", part={"meter": "M2"})],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
    )
    case(
        "Unsold certificates of another meter",
        "meter gec_untraded",
        applicant("SZ_PHCER", part={"meter": "self_use"}),
        [certificate("e1", part={"meter": "on_grid"})],
        expected("ALLOW", None, "SZ-22"),
    )
    case(
        "The whole year by the day against a claim known by that year",
        "year_grain",
        applicant("SZ_PHCER"),
        [claim("e1", "SZ_PHCER", grain="year")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "All but one day of the year",
        "year_grain",
        applicant("SZ_PHCER", ("2025-01-01", "2025-12-31")),
        [claim("e1", "SZ_PHCER", grain="year")],
        expected("HOLD", "interval", "POLICY-GRAIN", colliding=["e1"]),
    )
    case(
        "An applicant known by the year against a month",
        "year_grain",
        applicant("SZ_PHCER", grain="year"),
        [claim("e1", "SZ_PHCER", MAY)],
        expected("HOLD", "interval", "POLICY-GRAIN", colliding=["e1"]),
    )
    case(
        "An applicant known by the year inside a longer claim",
        "year_grain",
        applicant("SZ_PHCER", grain="year"),
        [claim("e1", "SZ_PHCER", ("2024-07-01", "2026-07-01"))],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "Two claims known by the same year",
        "year_grain",
        applicant("SZ_PHCER", grain="year"),
        [claim("e1", "SZ_PHCER", grain="year")],
        expected("HOLD", "interval", "POLICY-GRAIN", colliding=["e1"]),
    )
    case(
        "Two claims known by years that touch",
        "year_grain half_open_touching",
        applicant("SZ_PHCER", grain="year"),
        [claim("e1", "SZ_PHCER", ("2024-01-01", "2025-01-01"), grain="year")],
        expected("ALLOW", None, "POLICY-L2"),
    )
    case(
        "Two shares known by the year fit beside each other",
        "year_grain share_sum",
        applicant("SZ_PHCER", grain="year", part=share),
        [claim("e1", "SZ_PHCER", grain="year", part=share)],
        expected("ALLOW", None, "POLICY-L2"),
    )
    case(
        "A certain collision beside an uncertain one",
        "year_grain several_findings",
        applicant("SZ_PHCER", ("2025-01-01", "2025-07-01")),
        [claim("e1", "SZ_PHCER", grain="year"), claim("e2", "SZ_PHCER", MAY)],
        expected("BLOCK", "interval", "POLICY-L2", also=["POLICY-GRAIN"], colliding=["e1", "e2"]),
    )
    case(
        "Trips to the second that touch",
        "second_grain half_open_touching",
        applicant(
            "SZ_PHCER",
            ("2025-05-01T08:30:00+08:00", "2025-05-01T09:00:00+08:00"),
            grain="second",
            attribute="FUEL_SWITCH_TRANSPORT",
        ),
        [
            claim(
                "e1",
                "SZ_PHCER",
                ("2025-05-01T00:00:00Z", "2025-05-01T00:30:00Z"),
                grain="second",
                attribute="FUEL_SWITCH_TRANSPORT",
            )
        ],
        expected("ALLOW", None, "POLICY-L2"),
        why="00:30Z is 08:30 in Shanghai.",
    )
    case(
        "A trip at midnight in Shanghai belongs to the new day",
        "second_grain",
        applicant(
            "SZ_PHCER",
            ("2025-04-30T15:59:59Z", "2025-04-30T16:00:01Z"),
            grain="second",
            attribute="FUEL_SWITCH_TRANSPORT",
        ),
        [claim("e1", "SZ_PHCER", MAY, attribute="FUEL_SWITCH_TRANSPORT")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "Methane here, power there",
        "two_attributes",
        applicant("SZ_PHCER", attribute="CH4_DESTRUCTION"),
        [claim("e1", "CDM"), certificate("e2", "TRANSFERRED"), claim("e3", "SZ_PHCER")],
        expected("ALLOW", None, "POLICY-ATTRIBUTE"),
    )
    case(
        "Household saving where panels were credited",
        "pv_household",
        applicant("SH_SHCER", attribute="ELEC_SAVING"),
        [claim("e1", "SH_SHCER", MAY)],
        expected("BLOCK", "interval", "SHCER02010022024II", also=["POLICY-L2"], colliding=["e1"]),
    )
    case(
        "Household saving before the panels",
        "pv_household half_open_touching",
        applicant("SH_SHCER", ("2025-01-01", "2025-05-01"), attribute="ELEC_SAVING"),
        [claim("e1", "SH_SHCER", MAY)],
        expected("ALLOW", None, "SHCER02010022024II"),
    )
    case(
        "Household saving, the panels known by the year",
        "pv_household year_grain",
        applicant("SH_SHCER", MAY, attribute="ELEC_SAVING"),
        [claim("e1", "SH_SHCER", grain="year")],
        expected("HOLD", "interval", "POLICY-GRAIN", also=["SHCER02010022024II"], colliding=["e1"]),
    )
    case(
        "The household exclusion is Shanghai's alone",
        "pv_household other_region",
        applicant("SZ_PHCER", attribute="ELEC_SAVING"),
        [claim("e1", "SZ_PHCER"), claim("e2", "SH_SHCER")],
        expected("ALLOW", None, "POLICY-ATTRIBUTE"),
    )
    case(
        "The registration of the own project is no second claim",
        "own_project",
        applicant("SH_SHCER", project="SH-PV-1"),
        [claim("e1", "SH_SHCER", object="project", project="SH-PV-1", status="REGISTERED")],
        expected("ALLOW", None, "POLICY-L2"),
    )
    for status in ("DRAFT", "WITHDRAWN", "REJECTED", "LAPSED", "CANCELLED", "SUPERSEDED"):
        case(
            f"A claim of the same region that is {status} is not live",
            "not_live release_in_notice",
            applicant("SZ_PHCER"),
            [claim("e1", "SZ_PHCER", status=status)],
            expected("ALLOW", None, "POLICY-L2"),
        )
    for status in ("DECLARED", "NOTICE", "REGISTERED", "ISSUED", "RETIRED"):
        case(
            f"A claim of the same region that is {status} is live",
            "live retired_stays_live",
            applicant("SZ_PHCER"),
            [claim("e1", "SZ_PHCER", status=status)],
            expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
        )
