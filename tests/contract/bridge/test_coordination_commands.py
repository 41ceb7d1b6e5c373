"""`tanqiao coordination step --split` from a shell: a SPLIT is kept and goes with the smaller step (虚构)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToJson

from tanqiao.api.gateway.v1 import coordination_pb2 as gateway_pb2
from tanqiao.cli.local.members import MEMBERS
from tanqiao.cli.main import main
from tanqiao.testing.network import BRIDGE
from tests.contract.bridge.claims_office import Office, lists, office
from tests.contract.bridge.lists import certificates
from tests.contract.bridge.notice_office import (
    CONFIRMED,
    ISSUE,
    REGISTER,
    NoticeOffice,
    instalment,
    project,
    quantity,
)

__all__ = ["lists", "office"]

FARM, JANUARY = "99310000000000803", ("2026-01-01", "2026-02-01")


@pytest.fixture
def database_kind() -> str:
    """One kind of database: commands know nothing of it."""
    return "sqlite"


def step(mwh: int) -> str:
    """Give the step of an instalment of January, as an operator writes it down."""
    request = gateway_pb2.SignStepRequest(
        step=ISSUE,
        claim=instalment("ccer:third:1", FARM, mwh, *JANUARY),
        activity=[quantity(*JANUARY, mwh)],
        metering=[quantity(*JANUARY, 100)],
    )
    return MessageToJson(request)


def test_a_split_is_kept_and_goes_with_the_smaller_step(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = NoticeOffice(office)
    office.lists["gec"].load(
        [
            certificates("THIRD-01", FARM, certificates="40"),
            certificates("THIRD-01-SOLD", FARM, certificates="60", state="TRANSFERRED"),
        ]
    )
    registered = notice.step(REGISTER, project("ccer:third", FARM))
    notice.decide(registered.order_id)
    notice.wait_for(registered.order_id, "ccer:third", CONFIRMED)
    home = office.network.network.home
    addresses = {BRIDGE: office.running.address}
    addresses |= {f"gateway/{name}": one.address for name, one in office.lists.items()}
    ports = {member.name: int(addresses.get(member.party, ":1").rpartition(":")[2]) for member in MEMBERS}
    (home / "home.json").write_text(json.dumps({"databases": "sqlite", "ports": ports}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def run(line: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*shlex.split(line), "--json", "--home", str(home)])
        assert result.exit_code == code, f"{line}: {result.output}"
        return json.loads(result.stdout)

    Path("step.json").write_text(step(100), encoding="utf-8")
    told = run("coordination step step.json --split split.json", code=1)["split"]
    assert (told["claim_id"], told["verdict"]) == ("ccer:third:1", "VERDICT_KIND_SPLIT")
    assert [one["quantity"] for one in told["allowed"]] == ["40000"]
    assert json.loads(Path("split.json").read_text(encoding="utf-8"))["signatures"]
    Path("step.json").write_text(step(40), encoding="utf-8")
    issued = run("coordination step step.json --split split.json")
    assert issued["receipt"]["status"] == "CLAIM_STATUS_ISSUED"
    assert issued["order_id"]
