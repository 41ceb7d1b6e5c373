"""What a person types wrong is told in one line and ends with the code of usage; Ctrl-C has its own code."""

from __future__ import annotations

import builtins
import errno
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tanqiao.cli import entry
from tanqiao.cli.main import Commands, main
from tanqiao.cli.output import EXIT_FAULT, EXIT_INTERRUPTED, EXIT_USAGE
from tanqiao.cli.verb import Verb

NOT_UTF8 = os.fsdecode(b"a\xffb")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(
    "line",
    [
        "journal watch --region shanghai --from 9223372036854775808",
        "log show --from 99999999999999999999999",
        "retire --region shanghai --account A --purpose donation --kg 9223372036854775808",
        "retire --region shanghai --account A --purpose donation --kg 1 --year 99999999999",
        "activity submit --region shanghai P --period 2026-01 --meter M --on-grid-wh 99999999999999999999",
        "claims assets --capacity-kw 1 99999999999999999999",
        "clock advance --days 99999999",
    ],
)
def test_a_number_that_no_message_carries_is_a_matter_of_usage(line: str) -> None:
    result = run(*line.split())
    assert result.exit_code == EXIT_USAGE, result.output
    assert "Invalid value for" in result.output


def test_the_largest_number_of_the_wire_is_taken(tmp_path: Path) -> None:
    result = run("log", "show", "--from", str(2**63 - 1), "--home", str(tmp_path / "none"))
    assert "DIRECTORY_MISSING" in result.output


@pytest.mark.parametrize("option", ["--name", "--uscc"])
def test_an_argument_that_is_not_utf8_is_a_matter_of_usage(option: str) -> None:
    given = {"--name": "x", "--uscc": "919999009999990152"} | {option: NOT_UTF8}
    arguments = [word for pair in given.items() for word in pair]
    result = run("accounts", "open", "--region", "shanghai", "--kind", "enterprise", *arguments)
    assert result.exit_code == EXIT_USAGE, result.output
    assert "is not UTF-8" in result.output


def test_one_of_several_that_is_not_utf8_is_named() -> None:
    references = ["--ref", "meter=1", "--ref", NOT_UTF8]
    result = run("claims", "check", *references, "--programme", "ccer", "--period", "2026-01")
    assert result.exit_code == EXIT_USAGE, result.output
    assert "'--ref'" in result.output


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    no_file = tmp_path / "none"
    missing = run("keys", "submit", str(no_file))
    assert (missing.exit_code, "FIELD_INVALID" in missing.output) == (EXIT_USAGE, True), missing.output
    assert f"{no_file}: No such file or directory" in missing.output
    no_record = tmp_path / "record"
    no_record.write_text("0123456789abcdef" * 4, encoding="ascii")
    refused = run("keys", "submit", str(no_record))
    assert (refused.exit_code, "FIELD_INVALID" in refused.output) == (EXIT_USAGE, True), refused.output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/nowhere/x.csv"), EXIT_USAGE, "/nowhere/x.csv: No"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), EXIT_USAGE, "/x: Permission denied"),
        (OSError(errno.ENOSPC, "No space left"), EXIT_USAGE, "make room at "),
        (OSError(errno.EDQUOT, "Quota", "/big/file"), EXIT_USAGE, "make room at /big "),
        (OSError(errno.EIO, "Input/output error"), EXIT_FAULT, "OSError"),
        (ValueError("of ours"), EXIT_FAULT, "ValueError: of ours"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "stopped"),
    ],
)
def test_what_the_system_refuses_is_told_as_what_it_is(
    error: BaseException, code: int, said: str, tmp_path: Path
) -> None:
    @click.command(cls=Verb)
    @click.pass_obj
    def fails(_session: Any) -> None:
        """Fail."""
        raise error

    result = CliRunner().invoke(fails, ["--home", str(tmp_path)])
    assert result.exit_code == code, result.output
    assert said in result.output


def test_ctrl_c_before_a_command_has_begun_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Commands, "get_command", stopped)
    result = run("status")
    assert result.exit_code == EXIT_INTERRUPTED
    assert result.output.strip() == "已停止 / stopped"


def test_ctrl_c_while_the_program_is_loaded_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = builtins.__import__

    def stopped(name: str, *arguments: Any, **extra: Any) -> Any:
        if name == "tanqiao.cli.main":
            raise KeyboardInterrupt
        return load(name, *arguments, **extra)

    monkeypatch.setattr(builtins, "__import__", stopped)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""


def test_a_question_that_nobody_can_answer_is_a_matter_of_usage(tmp_path: Path) -> None:
    result = run("keys", "root", "check", str(tmp_path / "root"))
    assert result.exit_code == EXIT_USAGE, result.output
    assert "nothing to read" in result.output
