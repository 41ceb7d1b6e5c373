"""The lock files name everything that is installed, by hash, and say nothing about where it was found."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.layout.modules import ROOT

LOCK_NAMES = ("requirements.lock", "requirements-dev.lock")
ADDRESS = re.compile(
    r"[a-z+]+://|@\s*file:|^\s*(--index-url|--extra-index-url|--find-links|-i|-f)\b", re.MULTILINE
)
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def faults_of_lock(text: str) -> list[str]:
    """Return what is wrong with a lock file, one sentence per fault."""
    faults = [f"records an address: {found.group(0)!r}" for found in ADDRESS.finditer(text)]
    # A backslash at the end continues the line; an entry is one logical line.
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        entry = ENTRY.match(line)
        if entry is None:
            faults.append(f"not pinned to one version: {line.split()[0]}")
        elif not HASH.search(line):
            faults.append(f"without a hash: {entry.group(1)}")
    return faults


def pins(name: str) -> dict[str, Version]:
    """Return the locked versions by canonical project name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = (ENTRY.match(line) for line in text.splitlines())
    return {
        canonicalize_name(entry.group(1)): Version(entry.group(2)) for entry in found if entry is not None
    }


def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def unmet(requirements: list[str], locked: dict[str, Version]) -> list[str]:
    """Return the requirements that the lock does not satisfy."""
    wanted = [Requirement(text) for text in requirements]
    return [
        str(requirement)
        for requirement in wanted
        if (version := locked.get(canonicalize_name(requirement.name))) is None
        or version not in requirement.specifier
    ]


@pytest.mark.parametrize("name", LOCK_NAMES)
def test_a_lock_file_has_hashes_and_no_addresses(name: str) -> None:
    assert faults_of_lock((ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://index.example/simple\nclick==8.1.8 --hash=sha256:" + "0" * 64,
        "click @ https://files.example/click.whl --hash=sha256:" + "0" * 64,
        "click @ file:///wheels/click.whl",
        "--find-links wheels\nclick==8.1.8 --hash=sha256:" + "0" * 64,
        "click==8.1.8",
        "click>=8 \\\n    --hash=sha256:" + "0" * 64,
        "click==8.1.8 \\\n    --hash=sha256:abc",
    ],
)
def test_a_bad_lock_file_is_seen(text: str) -> None:
    assert faults_of_lock(text) != []


def test_the_locks_satisfy_what_the_project_declares() -> None:
    declared = project()
    runtime = declared["project"]["dependencies"]
    development = declared["dependency-groups"]["dev"]
    assert unmet(runtime, pins("requirements.lock")) == []
    assert unmet([*runtime, *development], pins("requirements-dev.lock")) == []
    assert unmet(declared["build-system"]["requires"], pins("requirements-dev.lock")) == []


def test_a_requirement_that_is_not_locked_is_seen() -> None:
    locked = {"click": Version("8.1.8")}
    assert unmet(["click>=9", "rich>=14", "click>=8.1"], locked) == ["click>=9", "rich>=14"]


def test_both_locks_agree_about_what_they_share() -> None:
    runtime, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: development.get(name) for name in runtime} == runtime
