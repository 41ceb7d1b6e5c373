"""Every import contract of pyproject.toml is broken by one offending line: none of them is asleep.

The source folders are copied, one module with one forbidden import is added for each contract, and
import-linter runs on the copy with the project's own contracts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.layout.modules import ROOT, SOURCE_FOLDERS

OFFENCES: dict[str, tuple[str, str]] = {
    "pure": ("shared/tanqiao/kernel/offence.py", "import tanqiao.db"),
    "servicers": ("services/region/tanqiao_region/server/offence.py", "import sqlalchemy"),
    "services-apart": ("services/bridge/tanqiao_bridge/offence.py", "import tanqiao_region"),
    "library-below": ("shared/tanqiao/rpc/offence.py", "import tanqiao_gateway"),
    "storage-below": (
        "services/region/tanqiao_region/storage/offence.py",
        "import tanqiao_region.application",
    ),
}
TIMEOUT_SECONDS = 60


def contracts() -> dict[str, str]:
    """The contracts' ids and names."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        configuration = tomllib.load(file)["tool"]["importlinter"]
    return {contract["id"]: contract["name"] for contract in configuration["contracts"]}


def verdicts(project: Path) -> dict[str, str]:
    """Run import-linter on the project; return KEPT or BROKEN by contract id."""
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join(str(project / folder) for folder in SOURCE_FOLDERS)
    )
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        check=False,
        cwd=project,
        env=dict(environment, COLUMNS="300"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    found = {}
    for identifier, name in contracts().items():
        verdict = re.search(re.escape(name) + r"\s+(KEPT|BROKEN)", answer.stdout)
        if verdict is None:
            pytest.fail(f"import-linter gave no verdict on {identifier}:\n{answer.stdout}{answer.stderr}")
        found[identifier] = verdict.group(1)
    return found


@pytest.fixture(scope="module")
def copied_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "pyproject.toml", project)
    for folder in SOURCE_FOLDERS:
        shutil.copytree(ROOT / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return project


def test_each_contract_is_broken_by_its_offence(copied_project: Path) -> None:
    assert set(OFFENCES) == set(contracts()), "every contract has an offence that shows it awake"
    for path, line in OFFENCES.values():
        (copied_project / path).write_text(f"{line}\n", encoding="utf-8")
    assert verdicts(copied_project) == dict.fromkeys(OFFENCES, "BROKEN")
