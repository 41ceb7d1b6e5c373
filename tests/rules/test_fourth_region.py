"""A fourth region is a directory: nothing of the engine or of another pack is touched."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tanqiao.kernel.working_days import Calendar
from tanqiao_region.domain.rules.facts import IssuanceSource
from tanqiao_region.rulepack_cases import CASE_NETWORK, load_cases, run_cases
from tanqiao_region.rulepack_loader import RulePackLibrary

PACKS = Path(__file__).parent / "packs"
LIBRARY = RulePackLibrary.discover(network_id=CASE_NETWORK, extra_directory=PACKS)


def test_a_directory_adds_a_region_beside_the_shipped_ones() -> None:
    assert LIBRARY.regions() == {"310000", "440300", "530000", "440000"}
    pack = LIBRARY.in_force("440000", date(2026, 3, 2))
    assert pack.identity.pack_id == "gd-pilot"
    assert len([entry for entry in pack.entries() if entry.mark == "MUST"]) >= 10


def test_its_cases_hold_and_every_rule_has_one() -> None:
    directory = PACKS / "gd_pilot"
    assert [result.fault for result in run_cases(directory) if result.fault] == []
    pack = LIBRARY.in_force("440000", date(2026, 3, 2))
    refused = {case.rule_id for case in load_cases(directory) if case.refuses}
    assert {entry.rule_id for entry in pack.entries() if entry.mark == "MUST"} <= refused


def test_its_own_notice_and_grain_apply() -> None:
    pack = LIBRARY.in_force("440000", date(2026, 3, 2))
    rule = pack.notice_rule("project")
    assert rule is not None
    calendar = Calendar.of({2026: ((), ())})
    notice = rule.open(date(2026, 3, 2), calendar, pack.parameters.on(date(2026, 3, 2)))
    assert (notice.last_day, notice.working_days) == (date(2026, 3, 10), 7)
    assert pack.units.grain_kg(IssuanceSource.PROJECT, pack.parameters.on(date(2026, 3, 2))) == 100
