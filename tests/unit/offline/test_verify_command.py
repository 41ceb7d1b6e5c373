"""`tanqiao verify`: exit codes, both languages, JSON, and that nothing but the two files is needed."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tanqiao.cli.main import main
from tests.golden.museum.opening import BAD, GOOD

TITLE = GOOD / "file/title.tanqiao-proof"
POLICY = GOOD / "federation.policy"


def run(*arguments: object, lang: str = "C.UTF-8") -> tuple[int, str]:
    result = CliRunner().invoke(main, ["verify", *map(str, arguments)], env={"LANG": lang})
    return result.exit_code, result.output


def test_a_good_file_is_explained_step_by_step_and_ends_with_0() -> None:
    code, output = run(TITLE, "--policy", POLICY)
    assert code == 0
    lines = output.splitlines()
    assert [line.split(".")[0] for line in lines[:11]] == [str(number) for number in range(1, 12)]
    assert "PROVEN: 1000 kg CO2e went from region/310000 to region/440300" in output
    assert "- That the reduction physically happened." in lines


@pytest.mark.parametrize("how", [("--language", "zh"), ()])
def test_the_report_is_in_chinese_where_that_is_asked_or_spoken(how: tuple[str, ...]) -> None:
    code, output = run(TITLE, "--policy", POLICY, *how, lang="zh_CN.UTF-8")
    assert code == 0
    assert "已证明: 1000千克二氧化碳当量" in output


def test_a_bad_file_ends_with_1_and_its_reason() -> None:
    code, output = run(BAD / "file/lock-changed.tanqiao-proof", "--policy", POLICY)
    assert code == 1
    assert "REFUSED: MESSAGE_NOT_NAMED: " in output
    assert "PROVEN" not in output


def test_json_carries_steps_facts_and_what_stays_open_in_both_languages() -> None:
    code, output = run(TITLE, "--policy", POLICY, "--json")
    document = json.loads(output)
    assert (code, document["holds"], document["kind"]) == (0, True, "title")
    assert document["facts"]["quantity_kg"] == 1000
    assert document["facts"]["witnesses"] == ["w1", "w2", "w3"]
    assert all(step["zh"] and step["en"] and step["protocol"] for step in document["steps"])
    assert len(document["not_proven"]) == 5
    refused = json.loads(run(BAD / "file/cut-off.tanqiao-proof", "--policy", POLICY, "--json")[1])
    assert (refused["holds"], refused["statement_en"]) == (False, "")
    assert refused["refusal"]["reason"] == "FILE_FORM"


def test_evidence_and_a_bare_proof_are_files_too() -> None:
    code, output = run(GOOD / "evidence/split-view.tlog-misbehaviour", "--policy", POLICY)
    assert (code, "both signatures cannot be honest" in output) == (0, True)
    proof = GOOD / "proof/plain.tlog-proof"
    code, output = run(proof, "--policy", POLICY, "--leaf", GOOD / "leaf.bin")
    assert (code, "stands in the log test-federation.example/decisions at index 123" in output) == (0, True)
    code, output = run(proof, "--policy", POLICY)
    assert (code, "LEAF_MISSING" in output) == (1, True)


def test_the_policy_beside_the_file_is_taken_and_a_missing_one_is_not_guessed(tmp_path: Path) -> None:
    copy = tmp_path / "title.tanqiao-proof"
    copy.write_bytes(TITLE.read_bytes())
    assert run(copy)[0] == 2
    (tmp_path / "federation.policy").write_bytes(POLICY.read_bytes())
    assert run(copy)[0] == 0
    (tmp_path / "federation.policy").write_bytes(bytes(300_000))
    assert run(copy)[0] == 2
    assert run(tmp_path / "nothing", "--policy", POLICY)[0] == 2


def test_verifying_opens_no_socket_and_loads_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_named: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert run(TITLE, "--policy", POLICY)[0] == 0
    source = Path(sys.modules["tanqiao.offline.verify"].__file__ or "").parent
    imports = "".join(path.read_text() for path in source.glob("*.py"))
    assert "sqlalchemy" not in imports
    assert "grpc" not in imports
