"""Write `cases.json`: our own worked cases, in the schema ``tanqiao-verdict-cases/1``. Everything is invented.

Expectations are written by hand from CLAIMS section 2 and the numbered rules of the worked cases; nothing here
calls the engine. Topics of the form ``cell:<row>:<column>`` say which cell of the matrix a case is for.
Run as a script to write the file again; a test compares both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "cases.json"

Json = dict[str, Any]

SHENZHEN, SHANGHAI, YUNNAN = "440300", "310000", "530000"
OWNER, OTHER_OWNER = "91440300TQ00300377", "91440300TQ0020584P"
REGIONS = {"SZ_PHCER": SHENZHEN, "SH_SHCER": SHANGHAI, "YN_RESERVE": YUNNAN, "REGIONAL": "440000"}
OBJECTS = {"YN_RESERVE": "entry", "GEC": "certificate", "GREEN_POWER": "certificate"}
ACTIONS = {"YN_RESERVE": "RESERVE", "GEC": "SELL", "GREEN_POWER": "SELL"}
WHOLE_YEAR = ("2025-01-01", "2026-01-01")
MAY = ("2025-05-01", "2025-06-01")
DECISION_DAY = "2026-03-12"

CASES: list[Json] = []


def asset(asset_id: str = "a1", kind: str = "pv_rooftop", **more: Any) -> Json:
    """An invented asset; `refs` as pairs of scheme and value."""
    refs = more.pop("refs", [("gec_filing_code", "99990000000000001")])
    return {
        "asset_id": asset_id,
        "kind": kind,
        "name": more.pop("name", "测试资产"),
        "region": more.pop("region", "990000"),
        "refs": [{"scheme": scheme, "value": value} for scheme, value in refs],
        "facts": more.pop("facts", {}),
        "record": None,
        **more,
    }


def claim(claim_id: str, programme: str, period: tuple[str, str] = WHOLE_YEAR, **more: Any) -> Json:
    """An existing claim; by default an issued one of another owner to the power of `a1`."""
    return {
        "claim_id": claim_id,
        "programme": programme,
        "region": more.pop("region", REGIONS.get(programme)),
        "object": more.pop("object", OBJECTS.get(programme, "issuance")),
        "project": more.pop("project", None),
        "subject": {"name": "测试主体", "uscc": more.pop("uscc", OTHER_OWNER)},
        "asset_id": more.pop("asset_id", "a1"),
        "part": more.pop("part", None),
        "attribute": more.pop("attribute", "RE_GEN"),
        "from": period[0],
        "to": period[1],
        "grain": more.pop("grain", "day"),
        "status": more.pop("status", "ISSUED"),
        "declared_at": more.pop("declared_at", None),
        "activity": more.pop("activity", {"quantity": 40, "unit": "MWh"}),
        "quantity_kg_co2e": None,
        "methodology": None,
        "gec": more.pop("gec", None),
        **more,
    }


def certificate(claim_id: str, state: str = "ISSUED", period: tuple[str, str] = MAY, **more: Any) -> Json:
    """A batch of certificates of one month."""
    gec = {
        "state": state,
        "tradable": more.pop("tradable", True),
        "electricity": "on_grid",
        "frozen_for": more.pop("frozen_for", None),
    }
    quantity = more.pop("quantity", 40)
    activity = {"quantity": quantity, "unit": "MWh"}
    return claim(claim_id, "GEC", period, grain="month", gec=gec, activity=activity, **more)


def applicant(programme: str, period: tuple[str, str] = WHOLE_YEAR, **more: Any) -> Json:
    """The applicant n1; Shanghai's has its commitment unless said otherwise."""
    extra = {
        "action": more.pop("action", ACTIONS.get(programme, "ISSUE")),
        "supersedes": more.pop("supersedes", []),
        "activity_by_period": more.pop("activity_by_period", None),
        "evidence": {
            "no_duplicate_commitment": more.pop("commitment", programme == "SH_SHCER" or None),
            "gec_freeze_consent": more.pop("consent", None),
        },
    }
    more.setdefault("uscc", OWNER)
    more.setdefault("status", "NOTICE")
    if programme == "GEC":
        more.setdefault(
            "gec", {"state": "ISSUED", "tradable": True, "electricity": "on_grid", "frozen_for": None}
        )
    return claim("n1", programme, period, **more) | extra


def order(claim_id: str, action: str, quantity: int) -> Json:
    """What another registry is asked to do."""
    return {"claim_id": claim_id, "action": action, "quantity": quantity, "unit": "MWh"}


def expected(verdict: str, level: str | None, article: str, **more: Any) -> Json:
    """The expectation, with empty lists where nothing is named."""
    return {
        "verdict": verdict,
        "level": level,
        "article": article,
        "also_cited": more.pop("also", []),
        "colliding_claims": more.pop("colliding", []),
        "flagged_claims": more.pop("flagged", []),
        "other_registry_actions": more.pop("orders", []),
        "allowed": more.pop("allowed", None),
        **more,
    }


def case(title: str, topics: str, new: Json, existing: list[Json], expect: Json, **more: Any) -> None:
    """Add a case; ids are numbered in order."""
    answers = dict.fromkeys(("ccer", "gec", "cdm", "vcs", "gs", "regions"), "answered")
    answers |= dict.fromkeys(more.pop("silent", ()), "no_answer")
    CASES.append(
        {
            "case_id": f"T{len(CASES) + 1:03}",
            "title": title,
            "topics": topics.split(),
            "decided_on": more.pop("decided_on", DECISION_DAY),
            "assets": more.pop("assets", [asset()]),
            "asset_links": more.pop("links", []),
            "registry_answers": answers,
            "metering": more.pop("metering", []),
            "existing_claims": existing,
            "applicant_claim": new,
            "expected": expect,
            "why": more.pop("why", title),
            **more,
        }
    )


def link(relation: str, a: str = "a1", b: str = "a2") -> Json:
    """A reviewed pair, or a nomination."""
    return {"a": a, "b": b, "relation": relation, "basis": "invented"}


def reading(period: tuple[str, str], quantity: int, **more: Any) -> Json:
    """A metered total."""
    return {
        "asset_id": more.pop("asset_id", "a1"),
        "attribute": "RE_GEN",
        "from": period[0],
        "to": period[1],
        "quantity": quantity,
        "unit": more.pop("unit", "MWh"),
    }


def in_period(period: tuple[str, str], quantity: int) -> Json:
    """Activity of one metering period."""
    return {"from": period[0], "to": period[1], "quantity": quantity, "unit": "MWh"}


def square(west: float, south: float, edge: float) -> Json:
    """A GeoJSON square in degrees."""
    east, north = round(west + edge, 6), round(south + edge, 6)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


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


def ccer() -> None:
    """The row of CCER, without the coordination notice."""
    forest = [asset(kind="forest", refs=[("parcel_code", "990000TEST0001")])]
    stock = {"attribute": "CARBON_STOCK", "activity": None}
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
    register = {
        "object": "project",
        "project": "C1",
        "action": "REGISTER",
        "activity": None,
        "period": ("2025-01-01", "2035-01-01"),
    }

    def registering(**more: Any) -> Json:
        return applicant("CCER", **(register | more))

    frozen = expected("FREEZE_OTHER", "quantity", "N124-2", colliding=["e1"], orders=[order("e1", "FREEZE", 40)])
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


JANUARY, FEBRUARY, MARCH = (
    ("2025-01-01", "2025-02-01"),
    ("2025-02-01", "2025-03-01"),
    ("2025-03-01", "2025-04-01"),
)


def issue_under_the_notice() -> None:
    """Quantities per metering period."""
    wind = [asset(kind="offshore_wind", facts={"offshore_distance_km": 31})]
    project = claim(
        "p1",
        "CCER",
        ("2025-01-01", "2035-01-01"),
        object="project",
        project="C1",
        status="REGISTERED",
        activity=None,
    )

    def issuing(*periods: Json, **more: Any) -> Json:
        total = sum(period["quantity"] for period in periods)
        return applicant(
            "CCER",
            (periods[0]["from"], periods[-1]["to"]),
            project="C1",
            activity={"quantity": total, "unit": "MWh"},
            activity_by_period=list(periods),
            **more,
        )

    two_months = issuing(in_period(JANUARY, 100), in_period(FEBRUARY, 80))
    metered = [reading(JANUARY, 100), reading(FEBRUARY, 80)]
    case(
        "Issue: all of it is free, what was frozen is cancelled",
        "cell:CCER:gec_untraded n124_cancel",
        two_months,
        [
            project,
            certificate("e1", "FROZEN", JANUARY, quantity=100, frozen_for="p1"),
            certificate("e2", "ISSUED", FEBRUARY, quantity=90),
        ],
        expected(
            "FREEZE_OTHER",
            "quantity",
            "N124-2",
            colliding=["e1", "e2"],
            orders=[order("e1", "CANCEL", 100), order("e2", "CANCEL", 80)],
        ),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: nothing to cancel",
        "n124_cancel",
        two_months,
        [project],
        expected("ALLOW", None, "N124-2"),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: both months were sold",
        "cell:CCER:gec_sold",
        two_months,
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=100),
            claim("e2", "GREEN_POWER", FEBRUARY, activity={"quantity": 80, "unit": "MWh"}),
        ],
        expected("BLOCK", "quantity", "N124-2", colliding=["e1", "e2"]),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: a sale in February leaves January alone",
        "cell:CCER:gec_sold n124_split",
        two_months,
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=0),
            certificate("e2", "REDEEMED", FEBRUARY, quantity=80),
            certificate("e3", "FROZEN", JANUARY, quantity=60, frozen_for="p1"),
            certificate("e4", "UNFROZEN", JANUARY, quantity=60),
            certificate("e5", "FROZEN", FEBRUARY, quantity=5, frozen_for="p1"),
        ],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            colliding=["e2", "e3", "e4"],
            orders=[order("e3", "CANCEL", 60), order("e4", "CANCEL", 40)],
            allowed={
                "activity": {"quantity": 100, "unit": "MWh"},
                "by_period": [in_period(JANUARY, 100), in_period(FEBRUARY, 0)],
            },
        ),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: more sold in January does not eat into February",
        "n124_split",
        two_months,
        [project, certificate("e1", "TRANSFERRED", JANUARY, quantity=150)],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            colliding=["e1"],
            allowed={
                "activity": {"quantity": 80, "unit": "MWh"},
                "by_period": [in_period(JANUARY, 0), in_period(FEBRUARY, 80)],
            },
        ),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: the claim leaves room for what was sold",
        "n124_cancel",
        issuing(in_period(JANUARY, 60)),
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=40),
            certificate("e2", "FROZEN", JANUARY, quantity=60, frozen_for="p1"),
        ],
        expected(
            "FREEZE_OTHER", "quantity", "N124-2", colliding=["e2"], orders=[order("e2", "CANCEL", 60)]
        ),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: more claimed than metered",
        "n124_split metering",
        issuing(in_period(JANUARY, 120)),
        [project],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            allowed={
                "activity": {"quantity": 100, "unit": "MWh"},
                "by_period": [in_period(JANUARY, 100)],
            },
        ),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: non-tradable certificates that were redeemed are not sold",
        "gec_non_tradable",
        issuing(in_period(JANUARY, 100)),
        [project, certificate("e1", "REDEEMED", JANUARY, quantity=100, tradable=False)],
        expected("ALLOW", None, "GEC-NONTRADABLE", flagged=["e1"]),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: February was not metered",
        "metering",
        two_months,
        [project],
        expected("HOLD", "quantity", "N124-2"),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: a meter reading cuts February",
        "metering",
        two_months,
        [project],
        expected("HOLD", "quantity", "N124-2"),
        assets=wind,
        metering=[reading(JANUARY, 100), reading(("2025-02-01", "2025-04-01"), 160)],
    )
    case(
        "Issue: a sold quarter cannot be told to months",
        "metering",
        two_months,
        [project, certificate("e1", "TRANSFERRED", ("2025-01-01", "2025-04-01"), quantity=10)],
        expected("HOLD", "quantity", "N124-2", colliding=["e1"]),
        assets=wind,
        metering=metered,
    )
    case(
        "Issue: meters in kWh, certificates rounded up",
        "metering units",
        issuing(in_period(JANUARY, 100)),
        [project, certificate("e1", "FROZEN", JANUARY, quantity=120, frozen_for="p1")],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            colliding=["e1"],
            orders=[order("e1", "CANCEL", 99)],
            allowed={
                "activity": {"quantity": 99, "unit": "MWh"},
                "by_period": [in_period(JANUARY, 99)],
            },
        ),
        assets=wind,
        metering=[reading(JANUARY, 99_999, unit="kWh")],
    )
    case(
        "Issue: certificates frozen for somebody unknown",
        "freeze",
        issuing(in_period(JANUARY, 100)),
        [project, certificate("e1", "FROZEN", JANUARY, frozen_for="p9")],
        expected("HOLD", "quantity", "N124-2", colliding=["e1"]),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: a registry is silent, so nothing is split",
        "no_answer several_findings",
        two_months,
        [project, certificate("e1", "TRANSFERRED", JANUARY, quantity=50)],
        expected("HOLD", "policy", "POLICY-SILENT", also=["N124-2"], colliding=["e1"]),
        assets=wind,
        metering=metered,
        silent=("regions",),
    )
    case(
        "Issue after the end of the notice: what is frozen stays frozen",
        "n124_expiry",
        issuing(in_period(JANUARY, 100)),
        [project, certificate("e1", "FROZEN", JANUARY, frozen_for="p1")],
        expected("HOLD", "quantity", "N124-END", colliding=["e1"]),
        assets=wind,
        metering=[reading(JANUARY, 100)],
        decided_on="2026-10-01",
    )
    case(
        "Issue: an instalment of the same month",
        "own_instalments",
        issuing(in_period(JANUARY, 100)),
        [project, claim("e1", "CCER", JANUARY, project="C1")],
        expected("BLOCK", "interval", "POLICY-L2", also=["CCER-48"], colliding=["e1"]),
        assets=wind,
        metering=[reading(JANUARY, 100)],
    )
    case(
        "Issue: March alone, the sales of other months do not matter",
        "n124_cancel half_open_touching",
        issuing(in_period(MARCH, 100)),
        [project, certificate("e1", "TRANSFERRED", FEBRUARY, quantity=100)],
        expected("ALLOW", None, "N124-2"),
        assets=wind,
        metering=[reading(MARCH, 100)],
    )


def sales() -> None:
    """The row of certificate sales."""

    def selling(state: str = "ISSUED", **more: Any) -> Json:
        gec = {
            "state": state,
            "tradable": more.pop("tradable", True),
            "electricity": "on_grid",
            "frozen_for": more.pop("frozen_for", None),
        }
        return applicant("GEC", MAY, gec=gec, grain="month", status="ISSUED", **more)

    project = claim("p1", "CCER", object="project", project="C1", status="REGISTERED", activity=None)
    for state in ("FROZEN", "CANCELLED"):
        for day in (DECISION_DAY, "2026-12-01"):
            case(
                f"Sale of a certificate {state.lower()} for CCER, decided on {day}",
                "cell:GEC:ccer frozen_stays_frozen",
                selling(state, frozen_for="p1"),
                [project],
                expected("BLOCK", "quantity", "N124-2", colliding=["p1"]),
                decided_on=day,
            )
    case(
        "Sale of a certificate that a CCER project has not frozen",
        "cell:GEC:ccer late_fact",
        selling(),
        [project],
        expected("ALLOW", None, "N124-2", flagged=["p1"]),
    )
    for state in ("TRANSFERRED", "REDEEMED"):
        case(
            f"Sale of a certificate that was {state.lower()}",
            "cell:GEC:gec_sold sold_once",
            selling(state),
            [],
            expected("BLOCK", "quantity", "GEC-ONCE"),
        )
    case(
        "Sale of a certificate of self-used power",
        "gec_non_tradable",
        selling(tradable=False),
        [],
        expected("BLOCK", "quantity", "GEC-NONTRADABLE"),
    )
    case(
        "Sale beside other certificates of the month",
        "cell:GEC:gec_untraded",
        selling(),
        [certificate("e1")],
        expected("ALLOW", None, "GEC-ONCE"),
    )
    case(
        "Sales that exceed the meter together",
        "cell:GEC:gec_sold metering",
        selling(),
        [claim("e1", "GREEN_POWER", MAY, activity={"quantity": 61, "unit": "MWh"})],
        expected("BLOCK", "quantity", "GEC-ONCE", colliding=["e1"]),
        metering=[reading(MAY, 100)],
    )
    case(
        "Sales that fill the meter together",
        "cell:GEC:gec_sold metering",
        selling(),
        [claim("e1", "GREEN_POWER", MAY, activity={"quantity": 60, "unit": "MWh"})],
        expected("ALLOW", None, "GEC-ONCE"),
        metering=[reading(MAY, 100)],
    )
    for programme in ("VCS", "GS", "CDM"):
        case(
            f"Sale in a year that {programme} credited",
            "cell:GEC:foreign",
            selling(),
            [claim("e1", programme)],
            expected("HOLD", "interval", "POLICY-GEC-FOREIGN", colliding=["e1"]),
        )
    case(
        "Sale after the foreign credits ended",
        "cell:GEC:foreign half_open_touching",
        selling(),
        [claim("e1", "VCS", ("2024-05-01", "2025-05-01"))],
        expected("ALLOW", None, "POLICY-GEC-FOREIGN"),
    )
    for programme in ("SZ_PHCER", "SH_SHCER", "REGIONAL"):
        case(
            f"Sale of power that {programme} claimed",
            "cell:GEC:other_region",
            selling(),
            [claim("e1", programme)],
            expected("ALLOW", None, "POLICY-REPORT", flagged=["e1"]),
        )
    case(
        "Sale of power of a plant in the reserve",
        "cell:GEC:reserve",
        selling(),
        [claim("e1", "YN_RESERVE", status="REGISTERED")],
        expected("ALLOW", None, "YN-3", flagged=["e1"]),
    )
    case(
        "Sale at a site under allowance management",
        "cell:GEC:ets_site",
        selling(),
        [],
        expected("ALLOW", None, "GEC-ONCE"),
        assets=[asset(facts={"ets_covered": True})],
    )
    case(
        "Green power in a year that VCS credited",
        "cell:GREEN_POWER:foreign",
        applicant("GREEN_POWER", MAY),
        [claim("e1", "VCS")],
        expected("HOLD", "interval", "POLICY-GEC-FOREIGN", colliding=["e1"]),
    )


def foreign_and_reserve() -> None:
    """Rows of foreign programmes, of the reserve, and of regions without a text of their own."""
    for programme in ("VCS", "GS", "CDM"):
        case(
            f"{programme} over a month that another foreign programme credited",
            f"cell:{programme}:foreign",
            applicant(programme),
            [claim("e1", "GS" if programme == "VCS" else "VCS", MAY)],
            expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
        )
    case(
        "A conversion before the old units are cancelled",
        "conversion",
        applicant("VCS", supersedes=["e1"]),
        [claim("e1", "CDM")],
        expected("BLOCK", "interval", "POLICY-L2", also=["POLICY-SUPERSEDE"], colliding=["e1"]),
    )
    case(
        "A conversion after the old units were cancelled",
        "conversion",
        applicant("VCS", supersedes=["e1"]),
        [claim("e1", "CDM", status="CANCELLED")],
        expected("ALLOW", None, "POLICY-SUPERSEDE"),
    )
    foreign = applicant("VCS")
    case(
        "VCS over a year that CCER credited",
        "cell:VCS:ccer",
        foreign,
        [claim("e1", "CCER", MAY)],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "VCS over a year that Shanghai credited",
        "cell:VCS:other_region",
        foreign,
        [claim("e1", "SH_SHCER", MAY)],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "VCS beside sold certificates",
        "cell:VCS:gec_sold",
        foreign,
        [certificate("e1", "TRANSFERRED")],
        expected("HOLD", "interval", "POLICY-GEC-FOREIGN", colliding=["e1"]),
    )
    case(
        "VCS beside unsold certificates and an entry in the reserve",
        "cell:VCS:gec_untraded cell:VCS:reserve cell:VCS:ets_site",
        foreign,
        [certificate("e1"), claim("e2", "YN_RESERVE")],
        expected("ALLOW", None, "YN-3", flagged=["e1", "e2"]),
        assets=[asset(facts={"ets_covered": True})],
    )
    reserve = applicant("YN_RESERVE")
    case(
        "Reserve: everything else on the asset is shown",
        "cell:YN_RESERVE:ccer cell:YN_RESERVE:gec_untraded cell:YN_RESERVE:gec_sold cell:YN_RESERVE:foreign "
        "cell:YN_RESERVE:other_region cell:YN_RESERVE:ets_site",
        reserve,
        [
            claim("e1", "CCER", status="REGISTERED"),
            certificate("e2"),
            certificate("e3", "TRANSFERRED"),
            claim("e4", "VCS", attribute="CH4_DESTRUCTION"),
            claim("e5", "SH_SHCER"),
            claim("e6", "CDM", status="SUPERSEDED"),
        ],
        expected("ALLOW", None, "YN-3", flagged=["e1", "e2", "e3", "e4", "e5"]),
        assets=[asset(facts={"ets_covered": True})],
    )
    case(
        "Reserve: a second live entry, whatever its years",
        "cell:YN_RESERVE:reserve",
        reserve,
        [claim("e1", "YN_RESERVE", ("2019-01-01", "2020-01-01"), status="REGISTERED")],
        expected("HOLD", "project", "POLICY-RESERVE-DUPLICATE", also=["YN-8"], colliding=["e1"]),
    )
    case(
        "Reserve: the earlier entry was withdrawn",
        "cell:YN_RESERVE:reserve not_live",
        reserve,
        [claim("e1", "YN_RESERVE", status="WITHDRAWN")],
        expected("ALLOW", None, "POLICY-RESERVE-DUPLICATE"),
    )
    case(
        "Reserve: an entry for another resource of the plant",
        "cell:YN_RESERVE:reserve two_attributes",
        reserve,
        [claim("e1", "YN_RESERVE", attribute="CH4_DESTRUCTION", status="REGISTERED")],
        expected("ALLOW", None, "POLICY-ATTRIBUTE"),
    )
    case(
        "Reserve: a list is silent",
        "no_answer",
        reserve,
        [],
        expected("HOLD", "policy", "POLICY-SILENT"),
        silent=("ccer",),
    )
    province = applicant("REGIONAL", consent=True)
    for programme, column in (("CCER", "ccer"), ("VCS", "foreign"), ("GREEN_POWER", "gec_sold")):
        case(
            f"A region without a text of its own against {programme}",
            f"cell:REGIONAL:{column}",
            province,
            [claim("e1", programme, MAY)],
            expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
        )
    case(
        "A region without a text of its own: certificates to freeze",
        "cell:REGIONAL:gec_untraded",
        province,
        [certificate("e1")],
        expected(
            "FREEZE_OTHER", "quantity", "POLICY-L2", colliding=["e1"], orders=[order("e1", "FREEZE", 40)]
        ),
    )
    case(
        "A region without a text of its own: its own and another region",
        "cell:REGIONAL:same_region cell:REGIONAL:other_region",
        province,
        [claim("e1", "REGIONAL", MAY), claim("e2", "REGIONAL", MAY, region="110000")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1", "e2"]),
    )
    case(
        "A region without a text of its own at a covered site",
        "cell:REGIONAL:ets_site cell:REGIONAL:reserve",
        province,
        [claim("e1", "YN_RESERVE")],
        expected("HOLD", "project", "POLICY-L2", flagged=["e1"]),
        assets=[asset(facts={"ets_covered": True})],
    )


def precedence_and_silence() -> None:
    """Pending claims against each other, and registries that do not answer."""
    early, late = "2026-03-01T10:00:00+08:00", "2026-03-01T10:00:01+08:00"
    pending = {"status": "DECLARED", "declared_at": late}
    saving = {"attribute": "ELEC_SAVING"}

    def declaring(programme: str, **more: Any) -> Json:
        values = {"status": "DECLARED", "action": "DECLARE", "declared_at": early} | saving | more
        return applicant(programme, **values)

    case(
        "National goes before municipal, even when later",
        "precedence",
        declaring("CCER", declared_at=late, object="project", project="C1"),
        [claim("e1", "SZ_PHCER", status="DECLARED", declared_at=early, **saving)],
        expected("ALLOW", None, "POLICY-PRECEDENCE", flagged=["e1"]),
    )
    case(
        "Municipal does not go before national",
        "precedence",
        declaring("SZ_PHCER"),
        [claim("e1", "CCER", object="project", project="C1", **pending, **saving)],
        expected("BLOCK", "project", "SZ-22", also=["POLICY-PRECEDENCE"], colliding=["e1"]),
    )
    case(
        "Provincial goes before municipal",
        "precedence",
        declaring("SH_SHCER", declared_at=late),
        [claim("e1", "SZ_PHCER", status="DECLARED", declared_at=early, **saving)],
        expected("ALLOW", None, "POLICY-PRECEDENCE", flagged=["e1"]),
    )
    case(
        "Shenzhen lies in Guangdong: the province goes first",
        "precedence",
        declaring("SZ_PHCER"),
        [claim("e1", "REGIONAL", **pending, **saving)],
        expected(
            "BLOCK", "interval", "POLICY-L2", also=["SZ-22", "POLICY-PRECEDENCE"], colliding=["e1"]
        ),
    )
    case(
        "Equal rank: the earlier bridge time",
        "precedence",
        declaring("SH_SHCER"),
        [claim("e1", "SH_SHCER", **pending, **saving)],
        expected("ALLOW", None, "POLICY-PRECEDENCE", flagged=["e1"]),
    )
    case(
        "Equal rank: the later bridge time loses",
        "precedence",
        declaring("SH_SHCER", declared_at=late),
        [claim("e1", "SH_SHCER", status="DECLARED", declared_at=early, **saving)],
        expected("BLOCK", "interval", "POLICY-L2", also=["POLICY-PRECEDENCE"], colliding=["e1"]),
    )
    case(
        "Equal rank, equal time: the lower claim id",
        "precedence",
        declaring("SH_SHCER", declared_at=late),
        [claim("e1", "SH_SHCER", **pending, **saving), claim("x1", "SH_SHCER", **pending, **saving)],
        expected(
            "BLOCK",
            "interval",
            "POLICY-L2",
            also=["POLICY-PRECEDENCE"],
            colliding=["e1"],
            flagged=["x1"],
        ),
    )
    case(
        "An incumbent in notice no longer queues",
        "precedence",
        declaring("SH_SHCER"),
        [claim("e1", "SH_SHCER", status="NOTICE", declared_at=late, **saving)],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"]),
    )
    case(
        "A foreign claim that was declared knows no precedence",
        "precedence",
        declaring("CCER", object="project", project="C1"),
        [claim("e1", "VCS", **pending, **saving)],
        expected("BLOCK", "project", "CCER-48", colliding=["e1"]),
    )
    case(
        "Shares: the incumbent that loses no longer counts",
        "precedence share_sum",
        declaring("SH_SHCER", part={"share_ppm": 400_000}),
        [
            claim("e1", "SH_SHCER", part={"share_ppm": 400_000}, **saving),
            claim("e2", "SH_SHCER", part={"share_ppm": 400_000}, **pending, **saving),
        ],
        expected("ALLOW", None, "POLICY-PRECEDENCE", flagged=["e2"]),
    )
    for registry in ("ccer", "gec", "cdm", "vcs", "gs", "regions"):
        case(
            f"No answer from {registry}",
            "no_answer",
            applicant("SZ_PHCER"),
            [],
            expected("HOLD", "policy", "POLICY-SILENT"),
            silent=(registry,),
        )
    case(
        "No answer, but something blocks already",
        "no_answer several_findings",
        applicant("SZ_PHCER"),
        [claim("e1", "VCS")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        silent=("gs",),
    )
    case(
        "No answer, and certificates to freeze: HOLD, without orders",
        "no_answer freeze",
        applicant("SZ_PHCER", consent=True),
        [certificate("e1")],
        expected("HOLD", "policy", "POLICY-SILENT", also=["SZ-22"], colliding=["e1"]),
        silent=("gs",),
    )
    case(
        "The answer came late: judged again, it passes",
        "no_answer late_answer",
        applicant("SZ_PHCER"),
        [],
        expected("ALLOW", None, "SZ-22"),
    )
    case(
        "Judged again on what was confirmed: frozen for this very claim",
        "freeze late_answer",
        applicant("SZ_PHCER", consent=True),
        [certificate("e1", "FROZEN", frozen_for="n1")],
        expected("ALLOW", None, "SZ-22", flagged=["e1"]),
    )
    case(
        "Several findings: the strictest wins, all are named in order",
        "several_findings",
        applicant("SH_SHCER", consent=True),
        [
            certificate("e1"),
            claim("e2", "SH_SHCER", ("2025-03-01", "2025-04-01"), grain="year"),
            claim("e3", "SZ_PHCER", MAY, part={"share_ppm": 10}),
            claim("e4", "GS", status="RETIRED"),
            certificate("e5", "EXPIRED"),
        ],
        expected(
            "BLOCK",
            "project",
            "SH-14",
            also=["POLICY-L2"],
            colliding=["e1", "e2", "e3", "e4"],
            flagged=["e5"],
        ),
        why="The year lies inside the applicant's own days, so even that collision is certain.",
    )


def document() -> Json:
    """The whole document, with cases numbered in order."""
    CASES.clear()
    for chapter in (
        shenzhen_and_shanghai,
        subjects,
        intervals,
        same_assets,
        ccer,
        notice,
        issue_under_the_notice,
        sales,
        foreign_and_reserve,
        precedence_and_silence,
    ):
        chapter()
    return {
        "schema": "tanqiao-verdict-cases/1",
        "title": "Every cell of the matrix and every edge",
        "disclaimer": "All assets, references, owners, dates, quantities and states are invented for testing.",
        "licence": "Apache-2.0",
        "parameters": {
            "time_zone": "Asia/Shanghai",
            "share_whole_ppm": 1_000_000,
            "polygon_overlap_tolerance_m2": 500,
            "polygon_crs": "CGCS2000 (EPSG:4490), longitude before latitude",
            "coordination_notice_valid": {"from": "2024-10-01", "to": "2026-10-01"},
        },
        "cases": list(CASES),
    }


def render() -> str:
    """The text of the file."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
    print(f"wrote {len(CASES)} cases")
