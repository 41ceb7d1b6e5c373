"""Issue under the coordination notice: quantities per metering period."""

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
    in_period,
    order,
    reading,
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

    def issuing(*periods: Json, **more: Value) -> Json:
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
        expected("FREEZE_OTHER", "quantity", "N124-2", colliding=["e2"], orders=[order("e2", "CANCEL", 60)]),
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
