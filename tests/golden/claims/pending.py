"""Pending claims against each other, silence, and several findings at once."""

from __future__ import annotations

from tests.golden.claims.builders import (
    MAY,
    Json,
    Value,
    applicant,
    case,
    certificate,
    claim,
    expected,
)


def precedence_and_silence() -> None:
    """Pending claims against each other, and registries that do not answer."""
    early, late = "2026-03-01T10:00:00+08:00", "2026-03-01T10:00:01+08:00"
    pending: Json = {"status": "DECLARED", "declared_at": late}
    saving: Json = {"attribute": "ELEC_SAVING"}

    def declaring(programme: str, **more: Value) -> Json:
        values: Json = {"status": "DECLARED", "action": "DECLARE", "declared_at": early} | saving | more
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
        expected("BLOCK", "interval", "POLICY-L2", also=["SZ-22", "POLICY-PRECEDENCE"], colliding=["e1"]),
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
    half, mine = {"share_ppm": 500_000}, applicant("SZ_PHCER", consent=True, project="P2")
    frozen = certificate("e1", "FROZEN", MAY, frozen_for="p1")
    case(
        "Frozen for the project that the applicant is of",
        "freeze own_instalments",
        mine,
        [claim("p1", "SZ_PHCER", object="project", project="P2", status="REGISTERED"), frozen],
        expected("ALLOW", None, "SZ-22", flagged=["e1"]),
    )
    for programme in ("SZ_PHCER", "SH_SHCER"):
        for status in ("REGISTERED", "CANCELLED"):
            case(
                f"Frozen for another project that has half of the plant, of {programme} and {status}",
                "freeze",
                {**mine, "part": half},
                [claim("p1", programme, object="project", project="P1", part=half, status=status), frozen],
                expected("HOLD", "quantity", "SZ-22", colliding=["e1"]),
            )
    case(
        "Cancelled for another project that has half of the plant: for that one's electricity",
        "freeze",
        {**mine, "part": half},
        [
            claim("p1", "SZ_PHCER", object="project", project="P1", part=half),
            certificate("e1", "CANCELLED", MAY, frozen_for="p1"),
        ],
        expected("ALLOW", None, "SZ-22", flagged=["e1"]),
    )
