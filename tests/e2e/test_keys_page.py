"""Every command of docs/keys.md is run in order, against a federation that serves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine
from tests.unit.layout.modules import ROOT

PAGE = (ROOT / "docs/keys.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECONDS_MAX = 200


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_do_what_it_says(running: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("a password of this test\n")
    wrapper = tmp_path / "bin" / "tanqiao"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m tanqiao.cli.main "$@"\n')
    wrapper.chmod(0o755)
    environment = running.environment | {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    for block in BLOCKS:
        done = subprocess.run(
            ["sh", "-eux", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    keys = running.ok("keys", "list")["keys"]
    epochs = {(key["owner"], key["role"]): key["key_epoch"] for key in keys}
    assert epochs["bridge", "KEY_ROLE_MESSAGE"] == "2"
    assert epochs["region/310000", "KEY_ROLE_MESSAGE"] == "2"
    revoked = [key["owner"] for key in keys if key["revoked"]]
    assert revoked == ["region/440300"]
