"""The rows of Shenzhen and Shanghai, cell by cell, and Shanghai's look at the subject."""

from __future__ import annotations

from tests.golden.claims.builders import (
    MAY,
    OWNER,
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    order,
)


def shenzhen_and_shanghai() -> None:
    """Rows of the two cities, cell by cell."""
    for row, article in (("SZ_PHCER", "SZ-22"), ("SH_SHCER", "SH-14")):
        new = applicant(row)
        for programme in ("CCER", "VCS", "GS", "CDM"):
            column = "ccer" if programme == "CCER" else "foreign"
            case(
                f"{row}: {programme} of other years was applied for on the asset",
                f"cell:{row}:{column} project_level",
                new,
                [claim("e1", programme, ("2015-01-01", "2016-01-01"), status="DECLARED")],
                expected("BLOCK", "project", article, colliding=["e1"]),
            )
        case(
            f"{row}: a lapsed and a cancelled claim elsewhere bar nothing",
            f"cell:{row}:foreign not_live",
            new,
            [claim("e1", "VCS", status="LAPSED"), claim("e2", "CCER", status="CANCELLED", object="project")],
            expected("ALLOW", None, article),
        )
        for state in ("TRANSFERRED", "REDEEMED"):
            case(
                f"{row}: a certificate of years ago was {state.lower()}",
                f"cell:{row}:gec_sold project_level",
                new,
                [certificate("e1", state, ("2023-05-01", "2023-06-01"))],
                expected("BLOCK", "project", article, colliding=["e1"]),
            )
        case(
            f"{row}: green power was sold",
            f"cell:{row}:gec_sold green_power",
            new,
            [claim("e1", "GREEN_POWER", ("2024-01-01", "2024-02-01"), grain="month")],
            expected("BLOCK", "project", article, colliding=["e1"]),
        )
        for state in ("ISSUED", "LISTED", "UNFROZEN"):
            case(
                f"{row}: {state.lower()} certificates, the owner consents",
                f"cell:{row}:gec_untraded freeze",
                applicant(row, consent=True),
                [certificate("e1", state)],
                expected(
                    "FREEZE_OTHER", "quantity", article, colliding=["e1"], orders=[order("e1", "FREEZE", 40)]
                ),
            )
            case(
                f"{row}: {state.lower()} certificates, nobody asked the owner",
                f"cell:{row}:gec_untraded hold",
                new,
                [certificate("e1", state)],
                expected("HOLD", "quantity", article, colliding=["e1"]),
            )
        case(
            f"{row}: non-tradable certificates, even redeemed ones, are only flagged",
            f"cell:{row}:gec_untraded non_tradable",
            new,
            [certificate("e1", tradable=False), certificate("e2", "REDEEMED", tradable=False)],
            expected("ALLOW", None, "GEC-NONTRADABLE", flagged=["e1", "e2"]),
        )
        case(
            f"{row}: an expired certificate was never sold",
            f"cell:{row}:gec_untraded expired",
            new,
            [certificate("e1", "EXPIRED")],
            expected("ALLOW", None, article, flagged=["e1"]),
        )
        case(
            f"{row}: unsold certificates end where the claim begins",
            f"cell:{row}:gec_untraded half_open_touching",
            new,
            [certificate("e1", period=("2024-12-01", "2025-01-01"))],
            expected("ALLOW", None, article),
        )
        case(
            f"{row}: same region, one day in common",
            f"cell:{row}:same_region half_open_overlap",
            new,
            [claim("e1", row, ("2025-12-31", "2026-02-01"))],
            expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
        )
        case(
            f"{row}: same region, periods touch at both ends",
            f"cell:{row}:same_region half_open_touching",
            new,
            [claim("e1", row, ("2024-01-01", "2025-01-01")), claim("e2", row, ("2026-01-01", "2026-02-01"))],
            expected("ALLOW", None, "POLICY-L2"),
        )
        other = "SH_SHCER" if row == "SZ_PHCER" else "SZ_PHCER"
        case(
            f"{row}: another region claimed a part of the year",
            f"cell:{row}:other_region",
            new,
            [claim("e1", other, MAY)],
            expected("BLOCK", "interval", "POLICY-L2", also=[article], colliding=["e1"]),
        )
        case(
            f"{row}: the province's own programme claimed the same year",
            f"cell:{row}:other_region province",
            new,
            [claim("e1", "REGIONAL")],
            expected("BLOCK", "interval", "POLICY-L2", also=[article], colliding=["e1"]),
        )
        case(
            f"{row}: an entry in the reserve claims no reduction",
            f"cell:{row}:reserve",
            new,
            [claim("e1", "YN_RESERVE", status="REGISTERED")],
            expected("ALLOW", None, "YN-3", flagged=["e1"]),
        )
        case(
            f"{row}: the site is under allowance management",
            f"cell:{row}:ets_site",
            new,
            [],
            expected("HOLD", "project", article),
            assets=[asset(facts={"ets_covered": True})],
        )
        case(
            f"{row}: nothing anywhere",
            f"cell:{row}:ets_site empty",
            new,
            [],
            expected("ALLOW", None, article),
            assets=[asset(facts={"ets_covered": False})],
        )
    for programme in ("CCER", "VCS", "GS", "CDM"):
        for status in ("WITHDRAWN", "REJECTED"):
            case(
                f"Shenzhen: an application to {programme} was {status.lower()}",
                "withdrawn_application",
                applicant("SZ_PHCER"),
                [claim("e1", programme, status=status, object="project")],
                expected("HOLD", "project", "SZ-22", colliding=["e1"]),
            )
    case(
        "Shanghai: an application to VCS was withdrawn",
        "withdrawn_application",
        applicant("SH_SHCER"),
        [claim("e1", "VCS", status="WITHDRAWN", object="project")],
        expected("ALLOW", None, "SH-14"),
        why="Only Shenzhen's draft speaks of having applied.",
    )


def subjects() -> None:
    """Shanghai looks at the subject as well."""
    assets = [asset(), asset("a2", refs=[("gec_filing_code", "99990000000000002")])]
    for programme in ("CCER", "VCS", "GS", "CDM", "GREEN_POWER"):
        case(
            f"Shanghai: the same subject has another asset in {programme}",
            "subject_level",
            applicant("SH_SHCER"),
            [claim("e1", programme, asset_id="a2", uscc=OWNER, attribute="CARBON_STOCK")],
            expected("HOLD", "subject", "SH-14", colliding=["e1"]),
            assets=assets,
        )
    case(
        "Shanghai: the same subject sold certificates of another asset",
        "subject_level",
        applicant("SH_SHCER"),
        [certificate("e1", "TRANSFERRED", asset_id="a2", uscc=OWNER)],
        expected("HOLD", "subject", "SH-14", colliding=["e1"]),
        assets=assets,
    )
    case(
        "Shanghai: the same subject has unsold certificates of another asset",
        "subject_level",
        applicant("SH_SHCER"),
        [certificate("e1", asset_id="a2", uscc=OWNER)],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=assets,
    )
    case(
        "Shanghai: another subject, another asset",
        "subject_level",
        applicant("SH_SHCER"),
        [claim("e1", "VCS", asset_id="a2")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=assets,
    )
    case(
        "Shanghai: the same subject elsewhere, but the claim has lapsed",
        "subject_level not_live",
        applicant("SH_SHCER"),
        [claim("e1", "VCS", asset_id="a2", uscc=OWNER, status="LAPSED")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=assets,
    )
    case(
        "Shenzhen does not look at the subject",
        "subject_level",
        applicant("SZ_PHCER"),
        [claim("e1", "VCS", asset_id="a2", uscc=OWNER)],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=assets,
    )
    case(
        "Shanghai: the asset itself blocks, the subject's other asset is named too",
        "subject_level several_findings",
        applicant("SH_SHCER"),
        [
            claim("e1", "VCS", asset_id="a2", uscc=OWNER),
            claim("e2", "CDM", ("2012-01-01", "2013-01-01"), status="RETIRED"),
        ],
        expected("BLOCK", "project", "SH-14", colliding=["e1", "e2"]),
        assets=assets,
    )
    case(
        "Shanghai: no commitment on file",
        "commitment",
        applicant("SH_SHCER", commitment=False),
        [claim("e1", "VCS")],
        expected("BLOCK", "subject", "SH-14"),
        why="Refused before any claim is compared.",
    )
