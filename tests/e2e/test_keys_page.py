"""Every command of docs/keys.md is run in order, against a federation that serves."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tanqiao.tlog.policy import parse_policy
from tests.e2e.conftest import CommandLine
from tests.independent.verify_proof import Policy
from tests.unit.layout.modules import ROOT

PAGE = (ROOT / "docs/keys.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECONDS_MAX = 200
REGIONS = ("region/310000", "region/440300", "region/530000")


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
    assert epochs["region/310000", "KEY_ROLE_WITNESS"] == "2"
    _require_later_keys((tmp_path / "federation.policy").read_bytes(), keys)
    revoked = [key["owner"] for key in keys if key["revoked"]]
    assert sorted(revoked) == ["operator/310000/sh.centre", "region/440300"]


def _require_later_keys(policy: bytes, keys: Any) -> None:
    """The policy that was written has the keys that came later, and says from which size those before end."""
    read = parse_policy(policy)
    known = {one.key.public_key for one in read.every_witness} | {one.key.public_key for one in read.logs}
    wanted = [key for key in keys if key["role"] in ("KEY_ROLE_WITNESS", "KEY_ROLE_CHECKPOINT")]
    stated = {
        base64.b64decode(key["public_key"])
        for key in wanted
        if key["owner"] in ("bridge", *REGIONS) and (key["owner"] == "bridge" or "WITNESS" in key["role"])
    }
    assert known == stated
    ends = {int(key["valid_to_index"]) for key in wanted if "WITNESS" in key["role"]} - {0}
    assert ends
    assert {size - 1 for size, _ in read.later} == ends
    assert len(Policy(policy).since) == len(read.later), "the second verifier reads it"
