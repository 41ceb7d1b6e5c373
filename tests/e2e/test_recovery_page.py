"""The commands of docs/recovery.md and docs/reconciliation.md are run on a federation of processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> list[str]:
    """Give the commands of a page that are marked for running."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"<!-- run -->\n```sh\n(.*?)```", text, re.DOTALL)


def run(tanqiao: CommandLine, script: str) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script.replace('.tanqiao/', f'{tanqiao.home}/')}"],
        cwd=tanqiao.cwd,
        env=tanqiao.environment | {"PATH": programs},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_commands_of_the_page_restore_a_region_and_the_bridge(tanqiao: CommandLine) -> None:
    backup, region, bridge = blocks("recovery.md")
    (reconcile,) = blocks("reconciliation.md")
    tanqiao.ok("up")
    assert run(tanqiao, backup).count("backup written") == 2
    tanqiao.ok("down")
    assert "the node recovers" in run(tanqiao, region)
    assert "epoch 2 continues from log index" in run(tanqiao, bridge)

    tanqiao.ok("up")
    said = run(tanqiao, reconcile)
    assert said.count("相符 clean") == 3, said
    assert "RECONCILE_STATE_CLEAN" in said
    tanqiao.ok("down")
    assert (tanqiao.home / "shanghai" / "data").is_dir()
    assert list(tanqiao.home.rglob("*.replaced-1")), "the old files are kept"
