"""`make bench` prints what it promises; the numbers of a quick run prove nothing and are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH_SECONDS_MAX = 240
UNITS = {
    "library": {"records/s", "leaves/s", "ms"},
    "bridge": {"transfers/s", "µs/transfer"},
    "claims": {"checks/s", "claims/s", "µs", "ms"},
    "reconcile": {"s"},
    "instalment": {"records/s"},
}


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(BENCH_SECONDS_MAX)
@pytest.mark.parametrize("item", sorted(UNITS))
def test_a_quick_bench_gives_each_rate_its_range_and_its_limit(item: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", item, "--database", "sqlite"]
    answer = subprocess.run(
        [*command, "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=BENCH_SECONDS_MAX,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "ratio" in answer.stdout
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["failures"] == []
    assert {"cores", "python"} <= set(report["machine"])
    assert {result["unit"] for result in report["results"]} == UNITS[item]
    for result in report["results"]:
        assert 0 < result["minimum"] <= result["median"] <= result["maximum"]
        if result["limit"]:
            assert result["limit_title"]
            assert result["ratio"] > 0
