"""Every command of docs/verify-a-proof.md is run, and its table of parts is the grammar of the code."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tanqiao.cli.main import main
from tanqiao.offline.container import GRAMMARS
from tests.golden.museum.opening import GOOD
from tests.independent import verify_file
from tests.unit.layout.modules import ROOT

PAGE = (ROOT / "docs/verify-a-proof.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_ends_with_0(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(GOOD / "file/title.tanqiao-proof", tmp_path)
    shutil.copy(GOOD / "federation.policy", tmp_path)
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(command)
    if program == "tanqiao":
        assert CliRunner().invoke(main, arguments).exit_code == 0
    else:
        assert arguments[:2] == ["-m", "tests.independent.verify_file"]
        assert verify_file.main(arguments[2:]) == 0


def test_the_page_describes_every_kind_with_its_parts() -> None:
    rows = dict(re.findall(r"^\| ([a-z, -]+) \| ((?:claim|checkpoint|first) [^|]*) \|$", PAGE, re.MULTILINE))
    told = {kind: parts for kinds, parts in rows.items() for kind in kinds.split(", ")}
    assert set(told) == set(GRAMMARS)
    for kind, parts in told.items():
        # The shortest file of the row is one of the kind.
        written = re.sub(r"\([a-z ?-]*\)\*|[a-z-]+[?*]", "", parts).replace("KEYS", "leaf path")
        names = " ".join(re.sub(r"[()+]", " ", written).split())
        assert GRAMMARS[kind].fullmatch(f"{names} "), kind
