"""What is in the repository is about the product: no machine's paths, no missing targets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.layout.modules import ROOT

# Folders of one developer's or one builder's machine. Anything a test needs comes from tmp_path, anything a
# deployment needs is a setting.
MACHINE_PATH = re.compile(r"(?<![\w.\-/*}>])/(?:work|farm|root|Users|home/[a-z]|tmp/[A-Za-z0-9])[\w./-]*")
BINARY_SUFFIXES = {".binpb", ".ttf", ".png", ".db", ".gz", ".zip"}
TARGETS_PROMISED = (
    "help",
    "setup",
    "run",
    "down",
    "test",
    "check",
    "bench",
    "rules",
    "clean",
    "lock",
    "simulate",
)
TIMEOUT_SECONDS = 60


def repository_files() -> list[Path]:
    """Every file that is committed or would be; skipped where the project is not a git checkout."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    if answer.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the repository is unknown")
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def machine_paths(text: str) -> list[str]:
    return [found.group(0) for found in MACHINE_PATH.finditer(text)]


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    own = Path(__file__).resolve()
    found = {
        str(path.relative_to(ROOT)): paths
        for path in repository_files()
        if path.suffix not in BINARY_SUFFIXES and path != own
        if (paths := machine_paths(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert not found


@pytest.mark.parametrize(
    "text", ["see /" + "work/main/x.py", "'/root/.cache'", "=/home/li/p", "(/tmp/run.json)", "/Users/x"]
)
def test_a_path_of_a_machine_is_seen(text: str) -> None:
    assert machine_paths(text) != []


@pytest.mark.parametrize(
    "text",
    ["a/work/b", "https://example.org/home/page", "/var/lib/tanqiao", "tmp", "../tmp/x", "{base}/root/key"],
)
def test_other_paths_are_left_alone(text: str) -> None:
    assert machine_paths(text) == []


def test_make_help_shows_every_promised_target_with_a_sentence() -> None:
    answer = subprocess.run(
        ["make", "--no-print-directory", "help"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    shown = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", answer.stdout, re.MULTILINE))
    assert set(TARGETS_PROMISED) <= shown.keys()


def test_every_make_target_is_phony_or_it_would_fall_silent_beside_a_folder_of_its_name() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, re.MULTILINE))
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert phony is not None
    assert targets == set(phony.group(1).replace("\\\n", " ").split())


def test_the_machine_that_checks_runs_the_same_test_command_as_a_person() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!")
    assert "set -euo pipefail" in text
    assert re.search(r"\bmake test\b", text)
    assert script.stat().st_mode & 0o111, "it can be executed"
