"""Every command of the README that is marked for it is run, in order, in one shell."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tanqiao.cli.local.members import MEMBERS
from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARKED = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)
BY_HAND = README[README.index("## A first transfer by hand") : README.index("## From another language")]
FENCED = re.compile(r"^```(\w*)", re.MULTILINE)


def _blocks() -> list[str]:
    return MARKED.findall(README)


def test_every_fenced_shell_block_is_marked_for_running() -> None:
    assert sum(language == "sh" for language in FENCED.findall(README)) == len(_blocks()) >= 8


def test_the_commands_of_the_readme_do_what_it_says(tanqiao: CommandLine) -> None:
    tanqiao.ok("up")
    ports = json.loads((tanqiao.home / "home.json").read_text(encoding="utf-8"))["ports"]
    script = "set -euo pipefail\n" + "\n".join(_blocks())
    for member in MEMBERS:
        script = script.replace(f"127.0.0.1:{member.port}", f"127.0.0.1:{ports[member.name]}")
    script = script.replace(".tanqiao/", f"{tanqiao.home}/")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=tanqiao.environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for said in (
        "NOTICE_PERIOD_RUNNING",
        "BLOCK",
        "claimed already",
        "refused, as it must be",
        "310000:SHCER:README-1:2026:1[0,29000)",
        "tanqiao.api.bridge.v1.DirectoryService/ListRegions",
        "lock-assertion",
        '"connected": true',
        '"ACCOUNT_KIND_ENTERPRISE"',
    ):
        assert said in done.stdout + done.stderr, f"{said}\n{done.stdout}\n{done.stderr}"


def test_paths_ports_and_documents_of_the_readme_exist() -> None:
    for member in MEMBERS:
        assert str(member.port) in README
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_chinese_section_stands_alone() -> None:
    chinese = README[README.index("# 中文说明") :]
    for word in (
        "make run",
        "DATABASES=postgres",
        "tanqiao up",
        "备份",
        "端口",
        "测试时钟",
        "尚未实现",
        "buf curl",
    ):
        assert word in chinese


def test_the_chinese_section_has_every_command_of_the_first_transfer() -> None:
    by_hand = README[README.index("## 手工完成第一笔划转") : README.index("## 用其他语言调用")]
    indented = "".join(f"{line[4:]}\n" for line in by_hand.splitlines() if line.startswith("    "))
    assert indented == "".join(MARKED.findall(BY_HAND))
