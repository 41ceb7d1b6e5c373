from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tanqiao.cli.main import main as command_line
from tanqiao.testing.simulation.__main__ import main
from tanqiao.testing.simulation.messages import Ed25519Signatures, Signatures, StandInSignatures
from tanqiao.testing.simulation.network import FAULTS
from tanqiao.testing.simulation.run import report
from tanqiao.testing.simulation.schedule import Options, Result, run_schedule
from tanqiao.testing.simulation.shrink import command_of, shrink
from tests.simulation.mutants import MUTANTS, applied

SEED = int(os.environ.get("TANQIAO_SIMULATION_SEED", "1"))
SCHEDULES = 120
REAL_SCHEDULES = 15
TRANSFERS_MIN = 50


def run_many(count: int, *, real_signatures: bool = False) -> list[Result]:
    results = [run_schedule(Options(SEED + at, real_signatures=real_signatures)) for at in range(count)]
    for result in results:
        assert not result.violations, report(result, shrinks=True)
    return results


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_schedule_loses_doubles_or_strands_a_unit() -> None:
    results = run_many(SCHEDULES)
    happened = {fault for result in results for fault in result.faults}
    assert happened >= set(FAULTS) | {"refused signature"}
    outcomes = {outcome for result in results for outcome in result.outcomes}
    assert outcomes >= {
        "COMMIT",
        "ADDRESS_UNKNOWN",
        "CAP_REACHED",
        "DECIDE_BY_PASSED",
        "FROZEN",
        "RECOGNITION_NOT_IN_FORCE",
        "UNIT_NOT_AT_SOURCE",
        "WITHDRAWN",
    }
    orders = {order for result in results for order in result.orders}
    scopes = ("BLOCK", "PAIR", "PSEUDONYM", "REGION")
    assert orders == {"correction"} | {f"{word} {scope}" for word in ("freeze", "lift") for scope in scopes}
    transfers = sorted(result.transfers for result in results)
    assert transfers[len(transfers) // 10] >= TRANSFERS_MIN


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nor_does_one_with_real_signatures() -> None:
    run_many(REAL_SCHEDULES, real_signatures=True)


def test_a_seed_gives_the_same_schedule_in_every_process() -> None:
    here = run_schedule(Options(SEED))
    code = (
        "from tanqiao.testing.simulation.schedule import Options, run_schedule;"
        f"result = run_schedule(Options({SEED})); print(result.commits, sorted(result.outcomes.items()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True
    )
    assert there.stdout.strip() == f"{here.commits} {sorted(here.outcomes.items())}"


def test_a_kind_of_fault_can_be_left_out() -> None:
    for seed in range(SEED, SEED + 5):
        result = run_schedule(Options(seed, without=frozenset(FAULTS)))
        assert not result.violations
        assert not set(result.faults) & set(FAULTS)


def test_a_failing_schedule_is_made_smaller_and_named_by_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutant = next(each for each in MUTANTS if each.name == "B sends before its commit")
    with applied(mutant):
        failing = run_schedule(Options(SEED))
        assert failing.violations
        smaller = shrink(failing, run_schedule)
        assert smaller.violations
        assert smaller.options.transfers < failing.options.transfers
        assert len(smaller.options.without) > 0
        words = command_of(smaller.options).split()
        assert words[:3] == ["python", "-m", "tanqiao.testing.simulation"]
        assert main([*words[3:], "--no-shrink"]) == 1
    assert f"again: {command_of(smaller.options)}" in capsys.readouterr().out


def test_the_command_line_runs_the_same_and_exits_with_one_for_a_failure() -> None:
    held = CliRunner().invoke(command_line, ["simulate", str(SEED), "2", "--transfers", "9", "--json"])
    assert held.exit_code == 0, held.output
    assert json.loads(held.stdout)["schedules"] == 2
    mutant = next(each for each in MUTANTS if each.name == "B sends before its commit")
    with applied(mutant):
        failing = run_schedule(Options(SEED))
        again = command_of(failing.options).partition("tanqiao.testing.simulation ")[2].split()
        shown = CliRunner().invoke(command_line, ["simulate", *again])
        assert shown.exit_code == 1, shown.output
        assert f"again: {command_of(failing.options)}" in shown.stdout
        assert "smaller: " in shown.stdout
        as_json = CliRunner().invoke(command_line, ["simulate", *again, "--no-shrink", "--json"])
        assert json.loads(as_json.stdout)["failures"][0]["again"] == command_of(failing.options)
    unknown = CliRunner().invoke(command_line, ["simulate", "--without", "meteor"])
    assert unknown.exit_code == 2


def test_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "1", "--without", "meteor"]) == 2
    assert "meteor" in capsys.readouterr().err


@pytest.mark.parametrize("signatures", [StandInSignatures(), Ed25519Signatures()])
def test_a_signature_holds_for_its_sender_and_its_bytes_only(signatures: Signatures) -> None:
    signed = signatures.sign("region/310000", b"statement")
    assert signatures.verify("region/310000", b"statement", signed)
    assert not signatures.verify("region/440300", b"statement", signed)
    assert not signatures.verify("region/310000", b"statemenT", signed)
    assert not signatures.verify("region/310000", b"statement", signed[:-1] + bytes([signed[-1] ^ 1]))
