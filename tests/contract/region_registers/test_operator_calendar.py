"""A notice of a year that the library does not know, loaded by the operator: terms reach into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao.testing.databases import DatabaseUnderTest
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.working_calendar import load_calendar, published_calendar
from tanqiao_region.bootstrap import build
from tests.contract.region.harness import SHANGHAI, Node, settings_of
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office

NOTICE = """source = "虚构通知 2027 invented"
holidays = [2027-01-01]
makeup_workdays = [2027-01-03]
"""
"""Invented: Friday 1 January is off, Sunday 3 January is worked for it."""
BEGINNING = date(2026, 12, 28)


@pytest.fixture
def notices(tmp_path: Path) -> Path:
    """A directory with the invented notice of 2027."""
    directory = tmp_path / "notices"
    directory.mkdir()
    (directory / "2027.toml").write_text(NOTICE, encoding="utf-8")
    return directory


@pytest.fixture
def office(
    notices: Path, network: NetworkOfTest, make_database: Any, bridge: ClaimBridge
) -> Iterator[Office]:
    """Shanghai's node, started with the operator's directory."""
    assert bridge.server is not None
    made: DatabaseUnderTest = make_database()
    settings = settings_of(network, SHANGHAI, made.url, made.owner_url, bridge.server.address)
    node = Node(build(replace(settings, calendar_directory=notices)), SHANGHAI, network=network)
    yield Office(node, node.open_account().account_id)
    node.region.stop()


def test_a_notice_that_reaches_the_loaded_year_counts_its_days(office: Office) -> None:
    office.turn_to(BEGINNING)
    office.publish_methodology()
    office.submit()
    office.assess()
    last = office.open_notice().notice_last_day
    # Monday 2026-12-28 does not count: 29, 30, 31 December, Sunday 3 January, Monday 4 January.
    assert (last.year, last.month, last.day) == (2027, 1, 4)


def test_a_loaded_year_changes_the_version_of_the_calendar_and_no_other_year(notices: Path) -> None:
    published, loaded = published_calendar(), load_calendar(notices)
    with pytest.raises(DomainError, match="CALENDAR_NOT_LOADED"):
        published.last_day(BEGINNING, 5, first_day_counts=False)
    assert loaded.last_day(BEGINNING, 5, first_day_counts=False) == date(2027, 1, 4)
    assert loaded.last_day(BEGINNING, 5, first_day_counts=True) == date(2027, 1, 3)
    spring = date(2026, 4, 30)
    assert loaded.last_day(spring, 5, first_day_counts=False) == date(2026, 5, 11)
    assert loaded.version != published.version
    assert load_calendar(None).version == published.version


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2027.toml", NOTICE.replace("source", "origin")),
        ("2027.toml", NOTICE.replace('"虚构通知 2027 invented"', '""')),
        ("2027.toml", NOTICE.replace("2027-01-01", "2028-01-01")),
        ("2027.toml", NOTICE.replace("[2027-01-03]", '["2027-01-03"]')),
        ("2027.toml", NOTICE.replace("2027-01-03", "2027-01-01")),
        ("2027.toml", "holidays = ["),
        ("next.toml", NOTICE),
        ("2027.toml", NOTICE + "#" * (64 * 1024)),
    ],
    ids=["field", "no-source", "other-year", "texts", "both", "broken", "name", "size"],
)
def test_a_file_that_is_no_notice_stops_the_start_and_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DomainError) as caught:
        load_calendar(tmp_path)
    assert caught.value.symbol == "SETTING_INVALID"
    assert name in caught.value.sentence("en")
    assert name in caught.value.sentence("zh")
