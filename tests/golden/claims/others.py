"""Rows of foreign programmes, of the reserve, and of regions without a text of their own."""

from __future__ import annotations

from tests.golden.claims.builders import (
    MAY,
    applicant,
    asset,
    case,
    certificate,
    claim,
    expected,
    order,
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
