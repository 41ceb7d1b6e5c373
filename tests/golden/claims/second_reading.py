"""Cases of a second reading of the rules, written before the engine was asked; see `make_cases`."""

from __future__ import annotations

from tests.golden.claims.builders import (
    MAY,
    OWNER,
    WHOLE_YEAR,
    Json,
    Value,
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    in_period,
    link,
    order,
    reading,
    square,
)

LONG_AGO = ("2010-01-01", "2011-01-01")
JANUARY = ("2025-01-01", "2025-02-01")
FEBRUARY = ("2025-02-01", "2025-03-01")
BOTH_MONTHS = ("2025-01-01", "2025-03-01")
SOLAR_THERMAL = [asset(kind="csp")]
STOCK: Json = {"attribute": "CARBON_STOCK"}
CAR: Json = {"attribute": "FUEL_SWITCH_TRANSPORT"}


def second_reading() -> None:
    """Green power and CCER, freezes of others, subjects, references, several findings at once."""
    _green_power()
    _freezes_of_others()
    _subjects()
    _instalments()
    _references()
    _moments_and_shares()
    _several_findings()


def _share(ppm: int) -> Json:
    return {"part": {"share_ppm": ppm}}


def _project(**given: Value) -> Json:
    more: Json = {"object": "project", "project": "C1", "status": "REGISTERED", "activity": None, **given}
    return claim(more.pop("claim_id", "p1"), "CCER", more.pop("period", ("2024-01-01", "2034-01-01")), **more)


def _instalment(period: tuple[str, str], quantity: int, **more: Value) -> Json:
    activity = more.pop("activity", {"quantity": quantity, "unit": "MWh"})
    return applicant("CCER", period, project="C1", activity=activity, **more)


def _allowed(*periods: tuple[tuple[str, str], int]) -> Json:
    total = sum(quantity for _, quantity in periods)
    return {
        "activity": {"quantity": total, "unit": "MWh"},
        "by_period": [in_period(period, quantity) for period, quantity in periods],
    }


def _green_power() -> None:
    metered = {"metering": [reading(MAY, 100)], "assets": SOLAR_THERMAL}
    topics = "cell:GREEN_POWER:gec_untraded cell:GREEN_POWER:ccer"

    def sale(quantity: int = 100) -> Json:
        return applicant("GREEN_POWER", MAY, activity={"quantity": quantity, "unit": "MWh"})

    for state in ("FROZEN", "CANCELLED"):
        case(
            f"Green power whose certificates are all {state} for CCER",
            topics,
            sale(),
            [_project(), certificate("e1", state, quantity=100, frozen_for="p1")],
            expected("BLOCK", "quantity", "N124-2", colliding=["e1"], flagged=["p1"]),
            **metered,
        )
    case(
        "Green power of what the freeze leaves",
        topics,
        sale(30),
        [_project(), certificate("e1", "FROZEN", quantity=70, frozen_for="p1")],
        expected("ALLOW", None, "N124-2", flagged=["p1", "e1"]),
        **metered,
    )
    case(
        "Green power of one MWh more than freeze and sales leave",
        topics,
        sale(31),
        [
            _project(),
            certificate("e1", "FROZEN", quantity=50, frozen_for="p1"),
            certificate("e2", "TRANSFERRED", quantity=20),
        ],
        expected("BLOCK", "quantity", "N124-2", colliding=["e1"], flagged=["p1"]),
        **metered,
    )
    case(
        "Green power beside a freeze, and no meter",
        topics,
        sale(1),
        [_project(), certificate("e1", "FROZEN", quantity=70, frozen_for="p1")],
        expected("HOLD", "quantity", "N124-2", colliding=["e1"], flagged=["p1"]),
        assets=SOLAR_THERMAL,
    )
    case(
        "Green power that CCER units were issued for",
        topics,
        sale(),
        [_project(), claim("e1", "CCER", MAY, project="C1", activity={"quantity": 100, "unit": "MWh"})],
        expected("BLOCK", "quantity", "N124-2", colliding=["e1"], flagged=["p1"]),
        **metered,
    )
    case(
        "Green power: units and the certificates cancelled for them are one electricity",
        topics,
        sale(40),
        [
            claim("e1", "CCER", MAY, project="C1", activity={"quantity": 60, "unit": "MWh"}),
            certificate("e2", "CANCELLED", quantity=60, frozen_for="e1"),
        ],
        expected("ALLOW", None, "N124-2", flagged=["e1", "e2"]),
        **metered,
    )
    case(
        "Green power inside an issued year of CCER",
        topics,
        sale(1),
        [claim("e1", "CCER", project="C1", activity={"quantity": 900, "unit": "MWh"})],
        expected("HOLD", "quantity", "N124-2", colliding=["e1"]),
        **metered,
    )
    case(
        "Green power that is frozen, and an issued year of CCER beside it",
        topics,
        sale(),
        [
            certificate("e1", "FROZEN", quantity=100, frozen_for="p9"),
            claim("e2", "CCER", project="C1", activity={"quantity": 900, "unit": "MWh"}),
        ],
        expected("BLOCK", "quantity", "N124-2", colliding=["e1"], flagged=["e2"]),
        **metered,
    )
    for quantity, answer in (
        (50, expected("ALLOW", None, "N124-2", flagged=["e1", "e2"])),
        (
            51,
            expected("HOLD", "policy", "POLICY-CANDIDATE", colliding=["e2"], also=["N124-2"], flagged=["e1"]),
        ),
    ):
        case(
            f"Green power beside a freeze of 30 MWh here and of 20 at a nominated entry: {quantity} MWh",
            topics,
            sale(quantity),
            [
                certificate("e1", "FROZEN", quantity=30, frozen_for="p9"),
                certificate("e2", "FROZEN", quantity=20, frozen_for="p9", asset_id="a2"),
            ],
            answer,
            assets=[*SOLAR_THERMAL, asset("a2", refs=[("plant_id", "P2")])],
            links=[link("candidate")],
            metering=[reading(MAY, 100)],
        )
    case(
        "Green power of a month that CCER only applied for",
        topics,
        sale(),
        [claim("e1", "CCER", MAY, project="C1", status="NOTICE")],
        expected("ALLOW", None, "N124-2", flagged=["e1"]),
        **metered,
    )
    case(
        "Green power of a plant that a freeze was nominated for",
        topics,
        sale(),
        [certificate("e1", "FROZEN", quantity=100, frozen_for="p1", asset_id="a2")],
        expected("HOLD", "policy", "POLICY-CANDIDATE", colliding=["e1"], also=["N124-2"]),
        metering=[reading(MAY, 100)],
        assets=[asset(), asset("a2", refs=[("plant_id", "P2")])],
        links=[link("candidate")],
    )


def _freezes_of_others() -> None:
    two_plants = [asset(), asset("a2", refs=[("ccer", "C2")])]
    frozen = certificate("e1", "FROZEN", frozen_for="p2")
    for programme, article in (("SZ_PHCER", "SZ-22"), ("SH_SHCER", "SH-14")):
        case(
            f"{programme}: frozen for a project of a plant that nobody connects with this one",
            "contradiction",
            applicant(programme, consent=True),
            [_project(claim_id="p2", project="C2", asset_id="a2"), frozen],
            expected("HOLD", "quantity", article, colliding=["e1"]),
            assets=two_plants,
        )
    case(
        "Shanghai: frozen for a project of another attribute",
        "contradiction",
        applicant("SH_SHCER"),
        [_project(claim_id="p2", project="C2", attribute="CH4_DESTRUCTION"), frozen],
        expected("HOLD", "quantity", "SH-14", colliding=["e1"]),
    )
    case(
        "Shanghai: frozen for a project that was withdrawn",
        "late_answer",
        applicant("SH_SHCER", consent=True),
        [_project(claim_id="p2", project="C2", status="WITHDRAWN"), frozen],
        expected("HOLD", "quantity", "SH-14", colliding=["e1"]),
    )
    case(
        "Registration: frozen for another live project, which bars anyhow",
        "several_findings",
        applicant("CCER", object="project", project="C1", action="REGISTER", activity=None),
        [_project(claim_id="p2", project="C2"), frozen],
        expected("BLOCK", "project", "CCER-48", colliding=["p2"], flagged=["e1"]),
        assets=SOLAR_THERMAL,
    )
    case(
        "Shenzhen: a certificate that is only pending",
        "cell:SZ_PHCER:gec_untraded",
        applicant("SZ_PHCER", consent=True),
        [certificate("e1", "PENDING")],
        expected("ALLOW", None, "SZ-22", flagged=["e1"]),
    )
    case(
        "Shenzhen: self-used power that was transferred to its user",
        "cell:SZ_PHCER:gec_untraded",
        applicant("SZ_PHCER", consent=False),
        [certificate("e1", "TRANSFERRED", tradable=False), certificate("e2", "LISTED", tradable=False)],
        expected("ALLOW", None, "GEC-NONTRADABLE", flagged=["e1", "e2"]),
    )


def _subjects() -> None:
    elsewhere = [asset(), asset("a2", refs=[("vcs", "VCS1")])]
    case(
        "Shanghai: the same subject's self-used power elsewhere was never sold",
        "subject",
        applicant("SH_SHCER"),
        [certificate("e1", "REDEEMED", tradable=False, uscc=OWNER, asset_id="a2")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=elsewhere,
    )
    case(
        "Shanghai: the same subject in Shenzhen's programme with another asset",
        "subject",
        applicant("SH_SHCER"),
        [claim("e1", "SZ_PHCER", uscc=OWNER, asset_id="a2")],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=elsewhere,
    )
    case(
        "Shanghai: a covered site and the same subject elsewhere: the subject is the first level",
        "subject several_findings",
        applicant("SH_SHCER"),
        [claim("e1", "VCS", LONG_AGO, uscc=OWNER, asset_id="a2")],
        expected("HOLD", "subject", "SH-14", colliding=["e1"]),
        assets=[asset(facts={"ets_covered": True}), elsewhere[1]],
    )
    case(
        "Shanghai: the subject elsewhere is for a person, the interval here is not",
        "subject several_findings",
        applicant("SH_SHCER", grain="year"),
        [claim("e1", "VCS", LONG_AGO, uscc=OWNER, asset_id="a2"), claim("e2", "SH_SHCER")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1", "e2"], also=["SH-14"]),
        assets=elsewhere,
    )
    case(
        "Shenzhen: a sale of green power that was withdrawn is no application",
        "withdrawn_application",
        applicant("SZ_PHCER"),
        [claim("e1", "GREEN_POWER", LONG_AGO, status="WITHDRAWN")],
        expected("ALLOW", None, "SZ-22"),
    )


def _instalments() -> None:
    project = _project()

    def solar(**more: Value) -> Json:
        return {"assets": SOLAR_THERMAL, **more}

    case(
        "Issue: the activity in kWh, its periods in MWh",
        "n124_split",
        _instalment(
            BOTH_MONTHS,
            100,
            activity={"quantity": 100_000, "unit": "kWh"},
            activity_by_period=[in_period(JANUARY, 50), in_period(FEBRUARY, 50)],
        ),
        [project, certificate("e1", "TRANSFERRED", JANUARY, quantity=20)],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            colliding=["e1"],
            allowed=_allowed((JANUARY, 30), (FEBRUARY, 50)),
        ),
        **solar(metering=[reading(JANUARY, 50), reading(FEBRUARY, 50)]),
    )
    case(
        "Issue: periods that do not add up to the activity",
        "n124_split",
        _instalment(BOTH_MONTHS, 99, activity_by_period=[in_period(JANUARY, 50), in_period(FEBRUARY, 50)]),
        [project],
        expected("HOLD", "quantity", "N124-2"),
        **solar(metering=[reading(JANUARY, 50), reading(FEBRUARY, 50)]),
    )
    case(
        "Issue: a single MWh is left",
        "n124_split",
        _instalment(JANUARY, 100),
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=99),
            certificate("e2", "FROZEN", JANUARY, quantity=1, frozen_for="p1"),
        ],
        expected(
            "SPLIT",
            "quantity",
            "N124-2",
            colliding=["e1", "e2"],
            orders=[order("e2", "CANCEL", 1)],
            allowed=_allowed((JANUARY, 1)),
        ),
        **solar(metering=[reading(JANUARY, 100)]),
    )
    case(
        "Issue: a meter that reads GWh, and green power",
        "n124_split",
        _instalment(JANUARY, 1000),
        [project, claim("e1", "GREEN_POWER", JANUARY, activity={"quantity": 400, "unit": "MWh"})],
        expected("SPLIT", "quantity", "N124-2", colliding=["e1"], allowed=_allowed((JANUARY, 600))),
        **solar(metering=[reading(JANUARY, 1, unit="GWh")]),
    )
    for quantity, text in ((None, "nobody knows how much"), ({"quantity": 5, "unit": "t"}, "tonnes")):
        case(
            f"Issue: green power was sold, {text}",
            "n124_split",
            _instalment(JANUARY, 100),
            [project, claim("e1", "GREEN_POWER", JANUARY, activity=quantity)],
            expected("HOLD", "quantity", "N124-2", colliding=["e1"]),
            **solar(metering=[reading(JANUARY, 100)]),
        )
    case(
        "Issue: nothing was generated",
        "n124_split",
        _instalment(JANUARY, 1),
        [project],
        expected("BLOCK", "quantity", "N124-2"),
        **solar(metering=[reading(JANUARY, 0)]),
    )
    quarter = ("2025-01-01", "2025-04-01")
    for state, frozen_for in (("FROZEN", "p1"), ("REDEEMED", None)):
        case(
            f"Issue: all was sold, whatever a quarter's {state} certificates are of the month",
            "metering",
            _instalment(JANUARY, 100),
            [
                project,
                certificate("e1", "TRANSFERRED", JANUARY, quantity=100),
                certificate("e2", state, quarter, frozen_for=frozen_for),
            ],
            expected("BLOCK", "quantity", "N124-2", colliding=["e1"]),
            **solar(metering=[reading(JANUARY, 100)]),
        )
    case(
        "Issue: a MWh is left, and a quarter's certificates cannot be told to the month",
        "metering",
        _instalment(JANUARY, 100),
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=99),
            certificate("e2", "REDEEMED", quarter, quantity=1),
        ],
        expected("HOLD", "quantity", "N124-2", colliding=["e2"]),
        **solar(metering=[reading(JANUARY, 100)]),
    )
    case(
        "Issue: the meter stands at a linked entry of the plant",
        "closure",
        _instalment(JANUARY, 100),
        [project],
        expected("ALLOW", None, "N124-2"),
        assets=[asset(kind="csp"), asset("a2", kind="csp", refs=[("cdm", "5")])],
        links=[link("same")],
        metering=[reading(JANUARY, 100, asset_id="a2")],
    )
    case(
        "Issue: a part that could be split beside certificates frozen for somebody unknown",
        "several_findings",
        _instalment(JANUARY, 100),
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=40),
            certificate("e2", "FROZEN", JANUARY, quantity=60, frozen_for="p9"),
        ],
        expected("HOLD", "quantity", "N124-2", colliding=["e1", "e2"]),
        **solar(metering=[reading(JANUARY, 100)]),
    )
    case(
        "Issue: a part could be split, but a foreign credit bars the plant",
        "several_findings",
        _instalment(JANUARY, 100),
        [
            project,
            certificate("e1", "TRANSFERRED", JANUARY, quantity=40),
            claim("e2", "VCS", LONG_AGO),
        ],
        expected("BLOCK", "project", "CCER-48", colliding=["e1", "e2"], also=["N124-2"]),
        **solar(metering=[reading(JANUARY, 100)]),
    )


def _references() -> None:
    def pair(first: tuple[str, str], second: tuple[str, str]) -> list[Json]:
        return [asset(refs=[first]), asset("a2", refs=[second])]

    foreign = [claim("e1", "CDM", LONG_AGO, asset_id="a2")]
    blocked = expected("BLOCK", "project", "SZ-22", colliding=["e1"])
    other = expected("ALLOW", None, "POLICY-ASSET")
    for title, first, second, answer in (
        ("A CDM number with and without zeros and prefix", ("cdm", "0123"), ("cdm", "CDM123"), blocked),
        ("An account number is opaque", ("power_account", "0123"), ("power_account", "123"), other),
        ("One value in two schemes", ("power_account", "4696"), ("cdm", "4696"), other),
        ("Equal names as references", ("name", "测试电站"), ("name", "测试电站"), other),
    ):
        case(title, "closure", applicant("SZ_PHCER"), foreign, answer, assets=pair(first, second))
    case(
        "A chain of a reviewed link and a nomination",
        "closure candidate",
        applicant("SZ_PHCER"),
        [claim("e1", "VCS", LONG_AGO, asset_id="a3")],
        expected("HOLD", "policy", "POLICY-CANDIDATE", colliding=["e1"], also=["SZ-22"]),
        assets=[*pair(("power_account", "1"), ("cdm", "7")), asset("a3", refs=[("vcs", "9")])],
        links=[link("same"), link("candidate", "a2", "a3")],
    )
    overlapping = [
        asset(kind="forest", refs=[("name", "林场甲")], polygon=square(100, 25, 0.01)),
        asset("a2", "forest", refs=[("name", "林场乙")], polygon=square(100.005, 25, 0.01)),
    ]
    case(
        "Two names, one ground",
        "polygon_overlap",
        applicant("CCER", object="project", project="C1", action="DECLARE", **STOCK),
        [claim("e1", "VCS", LONG_AGO, asset_id="a2", **STOCK)],
        expected("BLOCK", "project", "CCER-48", colliding=["e1"], also=["POLICY-GEOMETRY"]),
        assets=overlapping,
    )
    case(
        "A reviewer found two parcels different that overlap",
        "polygon_overlap",
        applicant("CCER", object="project", project="C1", action="DECLARE", **STOCK),
        [claim("e1", "VCS", LONG_AGO, asset_id="a2", **STOCK)],
        expected("ALLOW", None, "POLICY-ASSET"),
        assets=overlapping,
        links=[link("different")],
    )
    for share, answer in (
        (500_000, expected("ALLOW", None, "POLICY-L2")),
        (
            500_001,
            expected("BLOCK", "interval", "POLICY-L2", colliding=["e1"], also=["SZ-22", "POLICY-GEOMETRY"]),
        ),
    ):
        case(
            f"Overlapping parcels of two regions, {share} and 500000 ppm",
            "polygon_overlap share_sum",
            applicant("SZ_PHCER", **STOCK, **_share(share)),
            [claim("e1", "SH_SHCER", asset_id="a2", **STOCK, **_share(500_000))],
            answer,
            assets=overlapping,
        )


def _moments_and_shares() -> None:
    for second, answer in (
        (("2025-05-31T15:59:59Z", "2025-05-31T16:00:00Z"), "BLOCK"),
        (("2025-05-31T16:00:00Z", "2025-05-31T16:00:01Z"), "ALLOW"),
    ):
        blocked = answer == "BLOCK"
        case(
            f"A trip of one second from {second[0]} against May in Shanghai's time",
            "half_open_touching",
            applicant("SZ_PHCER", MAY, grain="month", **CAR),
            [claim("e1", "SZ_PHCER", second, grain="second", **CAR)],
            expected(answer, "interval" if blocked else None, "POLICY-L2", colliding=["e1"] * blocked),
        )
    case(
        "Two shares of one half that both hold on the first of July",
        "share_sum",
        applicant("SZ_PHCER", **_share(500_000)),
        [
            claim("e1", "SZ_PHCER", ("2025-01-01", "2025-07-02"), **_share(500_000)),
            claim("e2", "SZ_PHCER", ("2025-07-01", "2026-01-01"), **_share(500_000)),
        ],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1", "e2"]),
    )
    case(
        "Equal rank: a microsecond earlier",
        "precedence",
        applicant(
            "SZ_PHCER",
            status="DECLARED",
            action="DECLARE",
            declared_at="2026-01-01T10:00:00.000001+08:00",
        ),
        [claim("e1", "SZ_PHCER", status="DECLARED", declared_at="2026-01-01T02:00:00.000002Z")],
        expected("ALLOW", None, "POLICY-PRECEDENCE", flagged=["e1"]),
    )
    case(
        "National goes before municipal, a foreign credit bars all the same",
        "precedence several_findings",
        applicant(
            "CCER",
            object="project",
            project="C1",
            status="DECLARED",
            action="DECLARE",
            declared_at="2026-02-01T10:00:00+08:00",
            **STOCK,
        ),
        [
            claim("e1", "SZ_PHCER", status="DECLARED", declared_at="2026-01-01T10:00:00+08:00", **STOCK),
            claim("e2", "VCS", LONG_AGO, **STOCK),
        ],
        expected("BLOCK", "project", "CCER-48", colliding=["e2"], flagged=["e1"]),
    )


def _several_findings() -> None:
    case(
        "Shenzhen: certificates to freeze, and an application that was rejected",
        "several_findings",
        applicant("SZ_PHCER", consent=True),
        [certificate("e1"), claim("e2", "GS", LONG_AGO, status="REJECTED")],
        expected("HOLD", "project", "SZ-22", colliding=["e1", "e2"]),
    )
    case(
        "Shenzhen: an interval blocks, a rejected application and certificates stand beside it",
        "several_findings",
        applicant("SZ_PHCER", consent=True),
        [certificate("e1"), claim("e2", "GS", LONG_AGO, status="REJECTED"), claim("e3", "SH_SHCER")],
        expected("BLOCK", "interval", "POLICY-L2", colliding=["e1", "e2", "e3"], also=["SZ-22"]),
    )
    case(
        "Shenzhen: two that block: the project is the earlier level",
        "several_findings",
        applicant("SZ_PHCER"),
        [claim("e1", "SH_SHCER"), claim("e2", "CDM", LONG_AGO)],
        expected("BLOCK", "project", "SZ-22", colliding=["e1", "e2"], also=["POLICY-L2"]),
    )
    case(
        "Shenzhen: a covered site whose power was sold",
        "several_findings",
        applicant("SZ_PHCER"),
        [certificate("e1", "TRANSFERRED")],
        expected("BLOCK", "project", "SZ-22", colliding=["e1"]),
        assets=[asset(facts={"ets_covered": True})],
    )
    case(
        "A sale in a year that CDM credited and Shenzhen claimed",
        "several_findings",
        applicant("GEC", MAY, grain="month"),
        [claim("e1", "CDM"), claim("e2", "SZ_PHCER", WHOLE_YEAR)],
        expected("HOLD", "interval", "POLICY-GEC-FOREIGN", colliding=["e1"], flagged=["e2"]),
    )
    case(
        "After the notice, wind on land without any certificate",
        "n124_expiry",
        applicant("CCER", object="project", project="C1", action="DECLARE", activity=None),
        [],
        expected("HOLD", "quantity", "N124-END"),
        assets=[asset(kind="onshore_wind")],
        decided_on="2026-10-01",
    )
