"""A federation of real processes, driven by the command line as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND_SECONDS_MAX = 480


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandLine:
    """`tanqiao` with one home, in a process of its own."""

    home: Path
    cwd: Path
    named_home: bool = True

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TANQIAO_", "DATABASES"))
        }
        named = {"TANQIAO_HOME": str(self.home)} if self.named_home else {}
        return kept | named | {"TANQIAO_PORTS": "free", "COLUMNS": "200"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tanqiao.cli.main", *arguments]

    def __call__(self, *arguments: str, seconds_max: float = COMMAND_SECONDS_MAX, **extra: str) -> Answer:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.cwd,
            env=self.environment | extra,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str) -> Any:
        """Run with --json; the answer, which must be a success."""
        answer = self(*arguments, "--json")
        assert answer.code == 0, f"{arguments}\n{answer.out}\n{answer.err}"
        return answer.json

    def refused(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run with --json; exit code and error, which there must be."""
        answer = self(*arguments, "--json")
        assert answer.code != 0, answer.out
        return answer.code, answer.json["error"]


@pytest.fixture
def tanqiao(tmp_path: Path) -> Iterator[CommandLine]:
    """An own home that is stopped afterwards, whatever happened."""
    line = CommandLine(tmp_path / "home", tmp_path)
    yield line
    line("down")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A federation that was made, served, and is stopped: each test leaves it so."""
    directory = tmp_path_factory.mktemp("stopped")
    line = CommandLine(directory / "home", directory)
    line.ok("up")
    line.ok("down")
    yield line
    line("down")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A federation that serves for the tests of a module."""
    directory = tmp_path_factory.mktemp("federation")
    line = CommandLine(directory / "home", directory)
    line.ok("up")
    yield line
    line("down")
