"""The main story, told twice on SQLite and once on PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]
STEPS = ["a", "b", "c", "d", "e", "f"]
REFUSALS = [
    "DUPLICATE_PROGRAMME_APPLIED",
    "GREEN_POWER_PARTICIPATION",
    "RECOGNITION_NOT_IN_FORCE",
    "NO_TRADING_AT_THIS_NODE",
    "CLAIM_OVERLAP",
]


def _tell(tanqiao: CommandLine, *arguments: str) -> dict[str, Any]:
    answer = tanqiao("demo", "--json", *arguments)
    told: dict[str, Any] = answer.json
    failed = [check for check in told["checks"] if not check["passed"]]
    assert (failed, answer.code) == ([], 0), answer.err
    assert sorted({check["step"] for check in told["checks"]}) == STEPS
    shown = [check["shown"].partition(":")[0] for check in told["checks"] if check["step"] == "e"]
    assert shown == REFUSALS
    return told


def test_the_story_is_told_on_sqlite_and_again_on_top_of_what_is_there(tanqiao: CommandLine) -> None:
    first = _tell(tanqiao)
    assert (first["run"], first["passed"], first["test_clock"]) == (1, True, True)
    second = _tell(tanqiao)
    assert second["run"] == 2
    assert all(node["serving"] for node in tanqiao.ok("status")["nodes"])
    assert tanqiao.ok("conservation")["holds"]
    assert all(node["clean"] for node in tanqiao.ok("fsck"))


@pytest.mark.postgresql
def test_the_story_is_told_on_postgresql(tanqiao: CommandLine) -> None:
    assert _tell(tanqiao, "--databases", "postgres")["passed"]
    assert "postgresql" in tanqiao.ok("down")["stopped"]


def test_the_screen_says_that_the_clock_is_a_test_clock_and_what_is_invented(tanqiao: CommandLine) -> None:
    answer = tanqiao("demo")
    assert answer.code == 0, answer.out + answer.err
    for said in (
        "2026-03-02",
        "测试时钟",
        "虚构",
        "invented",
        "CC BY 4.0",
        "结果 Results",
        "消纳记录",
        "signatures",
    ):
        assert said in answer.out
    assert "still up" in answer.out
