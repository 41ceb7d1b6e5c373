"""The main story, told twice on SQLite and once on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1500)]
STEPS = ["a", "b", "c", "d", "e", "f", "g"]
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
    again = tanqiao("demo")
    assert again.code == 0, again.out + again.err
    for said in (
        "run 2",
        "2026-03-02",
        "测试时钟",
        "虚构",
        "CC BY 4.0",
        "结果 Results",
        "消纳记录",
        "鹏城会展演示公司",
        "签名",
    ):
        assert said in again.out
    assert "still up" in again.out
    assert all(node["serving"] for node in tanqiao.ok("status")["nodes"])
    assert tanqiao.ok("conservation")["holds"]
    assert all(node["clean"] for node in tanqiao.ok("fsck"))


@pytest.mark.long
@pytest.mark.postgresql
def test_the_story_is_told_on_postgresql(tanqiao: CommandLine) -> None:
    assert _tell(tanqiao, "--databases", "postgres")["passed"]
    assert "postgresql" in tanqiao.ok("down")["stopped"]


def _stopped(line: CommandLine) -> bool:
    status = line("status", "--home", ".tanqiao", "--json")
    return status.code == 3 and all(node["pid"] is None for node in status.json["nodes"])


@pytest.mark.long
@pytest.mark.postgresql
def test_without_a_named_home_each_kind_of_database_has_its_own_and_one_serves_at_a_time(
    tmp_path: Path,
) -> None:
    line = CommandLine(tmp_path / "unused", tmp_path, named_home=False)
    try:
        sqlite = line.ok("up", "--databases", "sqlite")
        postgres = line.ok("up", "--databases", "postgres")
        assert (sqlite["home"], postgres["home"]) == (
            str(tmp_path / ".tanqiao"),
            str(tmp_path / ".tanqiao" / "postgres"),
        )
        assert line.ok("status")["databases"] == "postgres"
        assert _stopped(line)
    finally:
        stopped = line.ok("down")["stopped"]
    assert "postgresql" in stopped
