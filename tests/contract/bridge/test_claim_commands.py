"""The commands of the national office at a bridge of this process (虚构)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToJson

from tanqiao.cli.local.members import MEMBERS
from tanqiao.cli.main import main
from tanqiao.testing.network import BRIDGE, SHANGHAI
from tests.contract.bridge.case_office import contest
from tests.contract.bridge.claims_office import in_shenzhen
from tests.contract.bridge.harness import Running, claim_of, declare

Run = Callable[..., Any]


@pytest.fixture
def database_kind() -> str:
    """One kind of database: commands know nothing of it."""
    return "sqlite"


@pytest.fixture
def run(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands against the bridge, as the documents of its federation say."""
    home = running.network.network.home
    port = int(running.address.rpartition(":")[2])
    ports = {member.name: port if member.party == BRIDGE else 1 for member in MEMBERS}
    (home / "home.json").write_text(json.dumps({"databases": "sqlite", "ports": ports}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def call(line: str, *more: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, [*shlex.split(line), *more, "--home", str(home)])
        assert result.exit_code == code, f"{line}: {result.output}"
        return result.stdout

    return call


def test_the_commands_of_the_national_office(run: Run, running: Running) -> None:
    declare(running, SHANGHAI, claim_of("310000:instalment:1"))
    case_id = contest(running, "310000:instalment:1")
    told = json.loads(run("claims explain 310000:instalment:1 --json"))
    assert told["verdict"]["verdict"] == "VERDICT_KIND_ALLOW"
    shown = "".join(run("claims explain 310000:instalment:1").split())  # as wide as the terminal
    assert "".join(told["summary_zh"].split()) in shown
    assert "".join(told["summary_en"].split()) in shown
    asked = claim_of("310000:asked:1")
    Path("claim.json").write_text(MessageToJson(asked), encoding="utf-8")
    refused = json.loads(run("claims explain --file claim.json --json", code=1))
    assert [one["claim_id"] for one in refused["compared"] if one["collides"]] == ["310000:instalment:1"]
    run("claims explain", code=2)

    month = "claims check --programme sz_phcer --region shenzhen --period 2026-01"
    taken = asked.asset.references[0]
    blocked = json.loads(run(f"{month} --ref {taken.scheme}={taken.value} --json", code=1))
    assert (blocked["verdict"], blocked["level"]) == ("VERDICT_KIND_BLOCK", "interval")
    assert [one["claim_id"] for one in blocked["colliding_claims"]] == ["310000:instalment:1"]
    assert json.loads(run(f"{month} --ref meter=FREE-1 --json"))["verdict"] == "VERDICT_KIND_ALLOW"
    run(f"{month} --ref meter", code=2)

    (case,) = json.loads(run("claims conflicts --region shanghai --json"))["cases"]
    assert case["case_id"] == str(case_id)
    assert "authority/bridge"[:9] in run("claims conflicts")
    for name in ("conflicts.csv", "conflicts.json", "conflicts.parquet"):
        run(f"claims conflicts --state open --out {name}")
    (row,) = json.loads(Path("conflicts.json").read_text(encoding="utf-8"))
    assert (row["case_id"], row["body"]) == (case_id, "authority/bridge")
    run("claims conflicts --out conflicts.txt", code=2)

    (change,) = map(json.loads, run("claims watch --limit 1 --json").splitlines())
    assert change["case_change"]["event"]["what"] == "contested"
    assert "contested" in run("claims watch --limit 1")
    run("claims watch --from x", code=2)

    lines = [MessageToJson(claim, indent=None) for claim in (asked, in_shenzhen("440300:asked:2"))]
    lines[1:1] = ["", "no claim"]
    Path("claims.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run("claims check-file claims.jsonl --out answers.jsonl", code=1)
    answers = [json.loads(line) for line in Path("answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["question_id"] for one in answers] == ["line 1", "line 3", "line 4"]
    assert answers[0]["verdict"]["verdict"] == "VERDICT_KIND_BLOCK"
    assert answers[1]["refusal"]["reason"] == "MESSAGE_MALFORMED"
    run("claims check-file none.jsonl --out answers.jsonl", code=2)

    found = json.loads(run("claims assets xugou --json"))
    assert [one["claim_id"] for one in found["assets"]] == ["310000:instalment:1"]
    assert found["complete"]
    assert "310000" in run("claims assets --place 31")
    run("claims assets", code=2)
    asked_methods = [one["method"] for one in json.loads(run("claims queries --json"))["queries"]]
    assert set(asked_methods) == {
        "ExplainVerdict",
        "ListConflicts",
        "WatchConflicts",
        "CheckClaim",
        "CheckClaims",
        "FindAssets",
    }
    assert "ExplainVerdict" in run("claims queries")


def test_what_a_screening_found_is_brought_as_cases(run: Run) -> None:
    Path("left.csv").write_text(
        "code,plant\n99310000000000701,虚构\n99310000000000702,乙\n", encoding="utf-8"
    )
    Path("right.csv").write_text("ref,title\n1234,Invented\n", encoding="utf-8")
    Path("map.toml").write_text(
        '[left]\nid = "code"\nname = "plant"\n[right]\nid = "ref"\nname = "title"\n', encoding="utf-8"
    )
    line = {"left_id": "99310000000000701", "right_id": "1234", "probability": 0.99, "explanation": []}
    line["explanation"] = [{"feature": "name", "level": "equal", "weight": 9.1}]
    Path("pairs.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    command = (
        "claims nominate pairs.jsonl --left left.csv --right right.csv --mapping map.toml "
        "--left-scheme gec_filing_code --right-scheme cdm"
    )
    (answer,) = json.loads(run(command + " --json"))["cases"]
    (case,) = json.loads(run("cases list --json"))["cases"]
    assert (case["case_id"], case["kind"]) == (answer["case_id"], "nominated pair")
    told = json.loads(case["details"])
    assert told["explanation"] == "name +9.1 (equal)"
    assert (told["first"]["row"], told["second"]["row"]) == (
        {"ref": "1234", "title": "Invented"},
        {"code": "99310000000000701", "plant": "虚构"},
    )
    assert case["case_id"] in run(command)
    Path("pairs.jsonl").write_text(json.dumps({**line, "right_id": "77"}), encoding="utf-8")
    run(command, code=2)
    Path("pairs.jsonl").write_text("left_id,right_id,probability\n", encoding="utf-8")
    run(command, code=2)


def test_what_the_bridge_signed_is_kept_and_an_earlier_index_is_answered(run: Run, running: Running) -> None:
    receipt = declare(running, SHANGHAI, claim_of("310000:instalment:1")).receipt
    contest(running, "310000:instalment:1")
    for command in (
        "claims find --ref gec_filing_code=99310000000000701",
        "claims show 310000:instalment:1",
        "claims conflicts",
        "cases list",
        "cases show 1",
    ):
        run(f"{command} --signed kept.jsonl")
        kept = [json.loads(one) for one in Path("kept.jsonl").read_text(encoding="utf-8").splitlines()]
        assert kept, command
        assert all(one["signatures"] for one in kept), command
    now = json.loads(run("claims find --project P-0001 --json"))
    before = json.loads(run(f"claims find --project P-0001 --as-of {receipt.log_index} --json"))
    assert [one["claim"]["claim_id"] for one in now["entries"]] == ["310000:instalment:1"]
    assert not before.get("entries")
    assert json.loads(run("claims conflicts --json"))["cases"]
    run("claims conflicts --as-of 999999", code=2)


@pytest.mark.parametrize(
    "command", ["explain", "conflicts", "watch", "check-file", "queries", "find", "assets", "nominate"]
)
def test_help_says_what_a_command_is_for(command: str) -> None:
    shown = CliRunner().invoke(main, ["claims", command, "--help"])
    assert shown.exit_code == 0
    for said in ("--json", "--home", "退出码"):
        assert said in shown.output
