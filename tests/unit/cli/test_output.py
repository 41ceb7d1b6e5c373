"""What a command prints and with which code it ends."""

from __future__ import annotations

import io
import json
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from tanqiao.api.common.v1 import values_pb2
from tanqiao.cli.main import COMMANDS, main
from tanqiao.cli.output import Output, cited_articles, exit_code, refusal_fields
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.reasons import CATALOGUE


def _all_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, (module, attribute) in COMMANDS.items():
        command = getattr(import_module(module), attribute)
        found |= _commands_of(name, command)
    return found


def _commands_of(path: str, command: click.Command) -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {path: command}
    inner = (_commands_of(f"{path} {name}", one) for name, one in command.commands.items())
    return {name: one for commands in inner for name, one in commands.items()}


RUNNING_ON = {"witness"}
"""A process that runs on until it is stopped: all that it prints is JSON."""


@pytest.mark.parametrize("path", sorted(_all_commands()))
def test_every_command_teaches_and_takes_json_and_home(path: str) -> None:
    command = _all_commands()[path]
    assert command.help
    result = CliRunner().invoke(main, [*path.split(), "--help"])
    assert result.exit_code == 0, result.output
    assert "--json" in result.output or path in RUNNING_ON
    if isinstance(command, Verb):
        assert "--home" in result.output
        assert "Exit codes" in result.output


@pytest.mark.parametrize("path", sorted(_all_commands()))
def test_every_option_says_what_it_is(path: str) -> None:
    options = [one for one in _all_commands()[path].params if isinstance(one, click.Option)]
    assert [one.opts for one in options if not one.help] == []


def test_an_unknown_command_ends_with_the_code_of_usage() -> None:
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("CLAIM_OVERLAP", 1),
        ("NOT_HELD", 1),
        ("ROLE_NOT_PERMITTED", 1),
        ("NOT_FOUND", 1),
        ("FIELD_MISSING", 2),
        ("PORT_TAKEN", 2),
        ("DIRECTORY_MISSING", 2),
        ("KEY_FILE_PERMISSIONS", 2),
        ("PEER_UNREACHABLE", 3),
        ("BUSY", 3),
        ("INTERNAL", 4),
    ],
)
def test_a_refusal_ends_with_the_documented_code(symbol: str, code: int) -> None:
    assert exit_code(DomainError(symbol)) == code


def test_every_reason_of_the_catalogue_has_a_code() -> None:
    assert {exit_code(DomainError(symbol)) for symbol in CATALOGUE} == {1, 2, 3, 4}


def test_a_refusal_shows_reason_sentences_and_article_in_both_languages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refusal = DomainError("NO_TRADING_AT_THIS_NODE", article="Art. 4 para. 2")
    refusal.metadata.update(article_zh="第四条第二款", article_en="Art. 4 para. 2")
    Output(as_json=False).refused(refusal)
    shown = capsys.readouterr().err
    for part in (
        "NO_TRADING_AT_THIS_NODE (4015)",
        "不办理交易",
        "第四条第二款",
        "does not handle",
        "Art. 4 para. 2",
    ):
        assert part in shown


def test_what_the_system_below_said_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    output.refused(DomainError("DATABASE_UNAVAILABLE", detail="connection timeout expired"))
    assert "connection timeout expired" in capsys.readouterr().err
    output.refused(DomainError("SETTING_INVALID", setting="databases", detail="another is used"))
    assert capsys.readouterr().err.count("another is used") == 2  # in both sentences, and no third time


def test_an_article_that_travels_in_one_text_is_shown_apart() -> None:
    assert cited_articles(DomainError("CLAIM_OVERLAP", article="第一条 / Art. 1")) == ("第一条", "Art. 1")
    assert cited_articles(DomainError("CLAIM_OVERLAP")) == ("", "")


def test_json_is_one_document_and_nothing_else() -> None:
    stream = io.StringIO()
    output = Output(as_json=True, file=stream)
    output.say("for people")
    output.message(values_pb2.UnitBlock(series_id="s", start_serial=0, end_serial=5))
    assert json.loads(stream.getvalue()) == {"series_id": "s", "start_serial": "0", "end_serial": "5"}


def test_a_refusal_in_json_carries_what_a_program_needs() -> None:
    fields = refusal_fields(DomainError("PORT_TAKEN", address="127.0.0.1:7400"))
    assert fields["reason"] == "PORT_TAKEN"
    assert fields["retry"] == "after-fix"
    assert "7400" in str(fields["sentence_zh"])


def test_a_missing_home_is_one_message_with_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("empty")
    result = CliRunner().invoke(main, ["status", "--home", str(home)])
    assert result.exit_code == 2
    assert "DIRECTORY_MISSING" in result.stderr
    assert "tanqiao up" in result.stderr
    as_json = CliRunner().invoke(main, ["status", "--home", str(home), "--json"])
    assert json.loads(as_json.stdout)["error"]["reason"] == "DIRECTORY_MISSING"
