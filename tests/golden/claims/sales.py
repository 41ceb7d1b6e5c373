"""The row of certificate sales."""

from __future__ import annotations

from tests.golden.claims.builders import (
    DECISION_DAY,
    MAY,
    Json,
    Value,
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    reading,
)


def sales() -> None:
    """The row of certificate sales."""

    def selling(state: str = "ISSUED", **more: Value) -> Json:
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
