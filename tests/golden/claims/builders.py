"""Builders of worked cases in the schema ``tanqiao-verdict-cases/1``. Everything is invented.

What is not named does not matter to the case. `case` adds to `CASES`, which numbers them in order.
"""

from __future__ import annotations

from typing import Any

Value = Any
"""Whatever JSON can say; the builders pass it through."""

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


def asset(asset_id: str = "a1", kind: str = "pv_rooftop", **more: Value) -> Json:
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


def claim(claim_id: str, programme: str, period: tuple[str, str] = WHOLE_YEAR, **more: Value) -> Json:
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


def certificate(claim_id: str, state: str = "ISSUED", period: tuple[str, str] = MAY, **more: Value) -> Json:
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


def applicant(programme: str, period: tuple[str, str] = WHOLE_YEAR, **more: Value) -> Json:
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


def expected(verdict: str, level: str | None, article: str, **more: Value) -> Json:
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


def case(title: str, topics: str, new: Json, existing: list[Json], expect: Json, **more: Value) -> None:
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


def reading(period: tuple[str, str], quantity: int, **more: Value) -> Json:
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
