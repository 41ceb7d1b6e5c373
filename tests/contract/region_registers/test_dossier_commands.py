"""The commands of docs/dossiers.md as they stand there, on a node of this process."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToDict

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.cli.local.members import MEMBERS
from tanqiao.cli.main import main
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region_registers.test_dossiers import FILE

PAGE: Final = Path(__file__).parents[3] / "docs" / "dossiers.md"
COMMANDS: Final = re.findall(r"^    tanqiao (dossier .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

Run = Callable[..., Any]


@pytest.fixture
def database_kind() -> str:
    """One kind of database: commands know nothing of it."""
    return "sqlite"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def run(network: NetworkOfTest, make_node: MakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands against a node that serves, as the documents of its federation say."""
    node = make_node(SHENZHEN)
    node.region.server.start()
    home = network.network.home
    port = int(node.region.server.address.rpartition(":")[2])
    ports = {member.name: port if member.party == SHENZHEN else 1 for member in MEMBERS}
    (home / "home.json").write_text(json.dumps({"databases": "sqlite", "ports": ports}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def call(line: str, *more: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*shlex.split(line), *more, "--home", str(home), "--json"])
        assert result.exit_code == code, f"{line}: {result.output}"
        return result.output if code else json.loads(result.stdout)

    return call


def write(name: str, message: Any) -> str:
    """Write a message as the JSON that commands read."""
    Path(name).write_text(json.dumps(MessageToDict(message)), encoding="utf-8")
    return name


def appoint(run: Run) -> None:
    """Fill the pool."""
    for number in range(1, 6):
        expert = dossiers_pb2.Expert(
            expert_id=f"E-{number}",
            name=f"专家 {number}",
            fields=["energy"],
            employer="虚构大学 invented university",
            appoint_date=wire_date(date(2026, 1, 1)),
        )
        run("expert keep --region 440300", write("expert.json", expert))
    assert len(run("expert list --region 440300")["experts"]) == 5


def test_a_methodology_goes_through_by_the_commands_of_the_page(run: Run) -> None:
    assert len(COMMANDS) == 10
    appoint(run)
    write("methodology.json", dossiers_pb2.Dossier(dossier_id="SZ-M-1", title="虚构 invented", **FILE))
    shown: list[Any] = []
    for command in COMMANDS:
        if "pass_assessment" in command:
            dossier = run("dossier show --region 440300 methodology SZ-M-1")
            write("assessment.json", dossiers_pb2.StepEvidence(assessors=dossier["panel"]["members"]))
        shown.append(run(command))
    assert shown[-2]["state"] == "PUBLISHED"
    assert [one["event"] for one in shown[-1]["steps"]][-1] == "publish"
    listed = run("dossier list --region 440300 methodology --state PUBLISHED")
    assert [one["dossier_id"] for one in listed["dossiers"]] == ["SZ-M-1"]


def test_two_bodies_sign_and_decide_by_commands_and_a_refusal_cites_its_article(
    run: Run, network: NetworkOfTest
) -> None:
    norm = dossiers_pb2.Dossier(dossier_id="NORM-1", title="虚构 invented", field="catering")
    department = "--region 440300 --as sz.counterpart_department"
    run(f"dossier open {department} scene-norm", write("norm.json", norm))
    evidence = write("evidence.json", dossiers_pb2.StepEvidence(passed=True, assessors=["F-1"]))
    run(f"dossier step {department} scene-norm NORM-1 assess --evidence {evidence}")
    alone = run("dossier step --region 440300 scene-norm NORM-1 register", code=1)
    assert "SECOND_SIGNATURE_MISSING" in alone
    assert "第十三条" in alone
    shown = run(f"dossier prepare {department} scene-norm NORM-1 register decision.json")
    assert (shown["event"], shown["dossier_id"], shown["已签 signed"]) == ("register", "NORM-1", "0 / 2")
    assert "SENDER_MISMATCH" in sign_as(run, network, "sz.bureau", code=1)
    assert sign_as(run, network, "sz.counterpart_department") == {"已签 signed": "1 / 2"}
    assert run("decision submit decision.json")["signed_by"] == ["sz.counterpart_department"]
    assert "SECOND_SIGNATURE_MISSING" in run(
        "dossier step --region 440300 scene-norm NORM-1 register", code=1
    )
    assert sign_as(run, network, "sz.bureau") == {"已签 signed": "2 / 2"}
    signed = run("decision submit --as sz.bureau decision.json")
    assert signed["signed_by"] == ["sz.bureau", "sz.counterpart_department"]
    assert run("dossier step --region 440300 scene-norm NORM-1 register")["state"] == "PUBLISHED"


def sign_as(run: Run, network: NetworkOfTest, role: str, *, code: int = 0) -> Any:
    """Sign the decision with the key of a body's first officer."""
    ring = network.network.home / "operators" / "440300" / role / "officer-1"
    return run("approve decision.json --yes", "--key", str(ring), code=code)
