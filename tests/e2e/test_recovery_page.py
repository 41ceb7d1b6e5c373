"""The commands of docs/recovery.md and docs/reconciliation.md are run on a federation of processes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]
ESCAPE = "\x1b["
ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> list[str]:
    """Give the commands of a page that are marked for running."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"<!-- run -->\n```sh\n(.*?)```", text, re.DOTALL)


def run(tanqiao: CommandLine, script: str, seconds_max: float = 120) -> str:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script.replace('.tanqiao/', f'{tanqiao.home}/')}"],
        cwd=tanqiao.cwd,
        env=tanqiao.environment | {"PATH": programs},
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def on_a_terminal(tanqiao: CommandLine, *arguments: str) -> str:
    """Run a command at a terminal of its own; everything that it shows there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        tanqiao.command(*arguments),
        cwd=tanqiao.cwd,
        env=tanqiao.environment | {"TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a terminal's other side is an error here
            while part := os.read(ours, 65_536):
                shown += part
        os.close(ours)
        assert process.wait(120) == 0, shown.decode()
    return shown.decode()


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
    assert ESCAPE not in said, "what is piped has no control characters"
    shown = on_a_terminal(tanqiao, "reconcile")
    assert "系列 series" in shown, "a terminal shows how far each region has come"
    assert ESCAPE in shown
    assert shown.count("相符 clean") == 3, shown
    tanqiao.ok("down")
    assert (tanqiao.home / "shanghai" / "data").is_dir()
    assert list(tanqiao.home.rglob("*.replaced-1")), "the old files are kept"
