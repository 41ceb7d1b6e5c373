"""Commands and programs that the documents show are run, against a real node and a real bridge."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.rpc import error_details_pb2

from tanqiao.kernel.reasons import CATALOGUE
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHANGHAI_CENTRE, NetworkOfTest, make_network
from tanqiao_bridge import bootstrap as bridge_bootstrap
from tanqiao_bridge.settings import Settings as BridgeSettings
from tanqiao_region import bootstrap as region_bootstrap
from tanqiao_region.settings import Settings as RegionSettings
from tests.unit.layout.modules import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_SECONDS = 50


def blocks(name: str, language: str) -> list[str]:
    """Give the blocks of a page in one language, in order."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == language]


@dataclass(frozen=True)
class Federation:
    """Shanghai's node and a bridge, serving."""

    network: NetworkOfTest
    region: str
    bridge: str


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    network = make_network(tmp_path / "home")
    folder = network.network.node(BRIDGE)
    bridge = bridge_bootstrap.build(
        BridgeSettings(
            network_id=network.network_id,
            listen="127.0.0.1:0",
            database_url=f"sqlite:///{tmp_path / 'bridge.db'}",
            tls_directory=folder / "tls",
            keys_directory=folder / "keys",
            federation_file=folder / "federation.json",
        )
    )
    bridge.start()
    try:
        folder = network.network.node(SHANGHAI)
        region = region_bootstrap.build(
            RegionSettings(
                network_id=network.network_id,
                region_code="310000",
                listen="127.0.0.1:0",
                database_url=f"sqlite:///{tmp_path / 'region.db'}",
                bridge_address=bridge.server.address,
                tls_directory=folder / "tls",
                keys_directory=folder / "keys",
                federation_file=folder / "federation.json",
                rule_pack="sh_draft",
            )
        )
        region.start()
        try:
            yield Federation(network, region.server.address, bridge.server.address)
        finally:
            region.stop()
    finally:
        bridge.stop()


def run_shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run commands as a reader would, stopping at the first that fails."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": programs, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def test_the_commands_of_the_page_about_other_languages_work(federation: Federation, tmp_path: Path) -> None:
    assert shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf"), "buf is missing"
    folder = tmp_path / "reader"
    folder.mkdir()
    script = "\n".join(blocks("api-from-another-language.md", "sh"))
    assert script.count("call ") > 8
    answer = run_shell(
        script,
        folder,
        CALLER=str(federation.network.network.caller(SHANGHAI_CENTRE)),
        REGION=federation.region,
        BRIDGE=federation.bridge,
        EXAMPLES=str(DOCS / "examples"),
    )
    assert answer.returncode == 0, answer.stderr
    assert "tanqiao.api.region.v1.AccountService" in answer.stdout
    assert "SERVING" in answer.stdout
    assert '"asOfIndex"' in answer.stdout
    assert re.search(r"^verified [0-9a-f]{64}$", answer.stdout, re.MULTILINE)
    error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
    details = [(one["type"], base64.b64decode(one["value"] + "==")) for one in error["details"]]
    kinds = [kind for kind, _ in details]
    assert kinds[:3] == ["google.rpc.ErrorInfo", "google.rpc.LocalizedMessage", "google.rpc.LocalizedMessage"]
    info = error_details_pb2.ErrorInfo.FromString(details[0][1])
    assert (info.domain, info.reason) == ("tanqiao", "ACCOUNT_UNKNOWN")
    assert info.metadata["retry_class"] == CATALOGUE["ACCOUNT_UNKNOWN"].retry.value
    locales = [error_details_pb2.LocalizedMessage.FromString(value).locale for _, value in details[1:3]]
    assert locales == ["zh-CN", "en"]


def test_the_programs_of_the_page_about_a_new_region_work(tmp_path: Path) -> None:
    programs = blocks("adding-a-region.md", "python")
    assert len(programs) >= 2
    for program in programs:
        answer = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            check=False,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.strip(), "a program of the page says what it found"


def test_the_commands_of_the_page_about_a_new_region_work() -> None:
    scripts = blocks("adding-a-region.md", "sh")
    assert scripts
    answer = run_shell("\n".join(scripts).replace(".venv/bin/", ""), ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
