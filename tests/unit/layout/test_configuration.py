"""The tools are as strict as we say: all lint rules, strict types, and tests that cannot be sloppy."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.unit.layout.modules import ROOT

TIMEOUT_SECONDS = 60

SLOPPY_TESTS = """
import socket
import time
import warnings

import pytest


def test_that_warns():
    warnings.warn("this will be removed", DeprecationWarning)


def test_that_leaves_the_machine():
    with socket.socket() as connection:
        connection.settimeout(1)
        connection.connect(("192.0.2.1", 80))


@pytest.mark.timeout(0.2)
def test_that_waits_for_ever():
    time.sleep(30)


def test_that_stays_on_the_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
"""


def configuration() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        tools: dict[str, Any] = tomllib.load(file)["tool"]
    return tools


def opt_outs_without_a_reason(text: str) -> list[str]:
    """Return the rule codes that stand in a list of ignored rules on a line without a comment."""
    section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pydocstyle]")]
    lines = (line.strip() for line in section.splitlines())
    return [
        line for line in lines if re.match(r'"[A-Z]+[0-9]*"', line) and not re.search(r"#\s*\S+ \S+", line)
    ]


def test_all_lint_rules_are_on_and_each_opt_out_has_a_reason() -> None:
    assert configuration()["ruff"]["lint"]["select"] == ["ALL"]
    assert opt_outs_without_a_reason((ROOT / "pyproject.toml").read_text(encoding="utf-8")) == []


def test_an_opt_out_without_a_reason_is_seen() -> None:
    text = '[tool.ruff.lint]\nignore = [\n  "D203",\n  "S101",  # use require\n]\n[tool.ruff.lint.pydocstyle]'
    assert opt_outs_without_a_reason(text) == ['"D203",']


def test_types_are_checked_strictly_everywhere_but_in_generated_code() -> None:
    mypy = configuration()["mypy"]
    assert mypy["strict"] is True
    assert {"shared", "services", "tests"} <= set(mypy["files"])
    silenced = [entry["module"] for entry in mypy["overrides"] if entry.get("ignore_errors")]
    assert silenced == [["tanqiao.api.*"]]


def test_sloppy_tests_fail(tmp_path: Path) -> None:
    sample = tmp_path / "test_sloppy.py"
    sample.write_text(SLOPPY_TESTS, encoding="utf-8")
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", str(sample)),
        ],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    failed = set(re.findall(r"^FAILED \S+::(\w+)", answer.stdout, re.MULTILINE))
    assert failed == {"test_that_warns", "test_that_leaves_the_machine", "test_that_waits_for_ever"}, (
        answer.stdout
    )
    assert "1 passed" in answer.stdout


def test_an_unknown_marker_is_refused(tmp_path: Path) -> None:
    sample = tmp_path / "test_marked.py"
    sample.write_text("import pytest\n\n@pytest.mark.slwo\ndef test_nothing():\n    pass\n", encoding="utf-8")
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(ROOT / "pyproject.toml"),
            "-p",
            "no:cacheprovider",
            str(sample),
        ],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.returncode != 0
    assert "slwo" in answer.stdout
