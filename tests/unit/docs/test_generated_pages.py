"""The pages that are made from the code say what the code says, and nothing is left out of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
from pathlib import Path

import pytest

from scripts import generate_docs
from scripts.documents import api_page, reasons_page, settings_page
from scripts.documents.contract import FileText, MethodText, ServiceText, read_contract
from scripts.documents.markdown import UndocumentedError, plain, table
from scripts.generate_api import ProtocRefusedError
from tanqiao.kernel.reasons import CATALOGUE
from tests.unit.layout.modules import ROOT

VARIABLE = re.compile(r"\bTANQIAO_[A-Z][A-Z_]*\b")
FOLDERS_WITH_VARIABLES = ("shared", "services", "compose")


@pytest.fixture(scope="module")
def contract() -> list[FileText]:
    return read_contract()


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return generate_docs.render()


def test_every_committed_page_says_what_the_code_says(pages: dict[str, str]) -> None:
    assert generate_docs.differing(pages, ROOT / "docs") == []


def test_a_changed_a_missing_and_an_old_page_are_seen(pages: dict[str, str], tmp_path: Path) -> None:
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert generate_docs.differing(pages, tmp_path) == []
    (tmp_path / "settings.md").unlink()
    (tmp_path / "api.md").write_text(pages["api.md"] + "by hand\n", encoding="utf-8")
    assert generate_docs.differing(pages, tmp_path) == ["api.md", "settings.md"]


def test_the_check_reports_a_drift_with_exit_code_1_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    reasons = tmp_path / "docs" / "reasons.md"
    reasons.write_text("old\n", encoding="utf-8")
    assert generate_docs.main(["--check", "--output", str(tmp_path / "docs")]) == 1
    assert "docs/reasons.md" in capsys.readouterr().out
    assert reasons.read_text(encoding="utf-8") == "old\n"
    assert generate_docs.main(["--output", str(tmp_path / "docs")]) == 0
    assert generate_docs.main(["--check", "--output", str(tmp_path / "docs")]) == 0


def test_every_reason_is_on_its_page_with_both_sentences_and_in_the_data(pages: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(pages["reasons.csv"])))
    assert [row["symbol"] for row in rows] == list(CATALOGUE)
    for row in rows:
        reason = CATALOGUE[row["symbol"]]
        assert row == {name: str(value) for name, value in reason.as_row().items()}
        line = next(part for part in pages["reasons.md"].splitlines() if f"`{reason.symbol}`" in part)
        assert line.startswith(f"| {reason.number} |")
        assert reason.zh.replace("|", r"\|") in line
        assert reason.en.replace("|", r"\|") in line


def test_every_method_that_a_server_registers_is_on_the_page_with_its_callers(
    pages: dict[str, str], contract: list[FileText]
) -> None:
    documented = {
        method.path: service.name
        for file in contract
        for service in file.services
        for method in service.methods
    }
    for _, callers in api_page.SERVERS:
        for path in callers:
            method = path.rpartition("/")[2]
            assert path in documented
            section = pages["api.md"].partition(f"\n### {documented[path]}\n")[2].partition("\n#")[0]
            row = next(line for line in section.splitlines() if line.startswith(f"| `{method}` |"))
            assert api_page.NOT_SERVED not in row


def test_every_link_inside_the_page_of_the_wire_has_its_heading(pages: dict[str, str]) -> None:
    text = pages["api.md"]
    headings = [api_page.anchor(line.lstrip("# ")) for line in text.splitlines() if line.startswith("#")]
    targets = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert targets <= set(headings)
    assert len(headings) == len(set(headings)), "two headings share an anchor"


def test_a_method_without_a_comment_is_refused_by_name(contract: list[FileText]) -> None:
    file = contract[-1]
    service = file.services[0]
    mute = dataclasses.replace(service.methods[0], comment="")
    changed = dataclasses.replace(
        file,
        services=(
            dataclasses.replace(service, methods=(mute, *service.methods[1:])),
            *file.services[1:],
        ),
    )
    with pytest.raises(UndocumentedError) as refused:
        api_page.render_page([*contract[:-1], changed])
    assert refused.value.items == (f"{file.path}: {service.name}.{mute.name} has no comment",)


def test_a_caller_table_that_names_a_method_of_no_file_is_refused(contract: list[FileText]) -> None:
    without_clock = [file for file in contract if not file.path.endswith("clock.proto")]
    with pytest.raises(UndocumentedError) as refused:
        api_page.render_page(without_clock)
    assert any("ClockService/GetClock" in item for item in refused.value.items)


def test_a_method_that_no_server_offers_is_said_to_be_not_served(contract: list[FileText]) -> None:
    method = MethodText(
        "Dream", "/x.Service/Dream", "Dreams.", "A", "B", request_streams=False, response_streams=True
    )
    file = FileText("x.proto", "x", "", (ServiceText("Service", "Sleeps.", (method,)),), (), ())
    text = api_page.render_page([*contract, file])
    assert "| `Dream` | [`A`](#a) | stream of [`B`](#b) | not served yet | Dreams. |" in text


def test_proto_files_that_protoc_refuses_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tanqiao" / "api"
    folder.mkdir(parents=True)
    (folder / "bad.proto").write_text("this is no contract", encoding="utf-8")
    with pytest.raises(ProtocRefusedError):
        read_contract(tmp_path)


def test_every_setting_of_every_program_is_on_the_page_with_its_variable(pages: dict[str, str]) -> None:
    for name, settings, _ in settings_page.PROGRAMS:
        section = pages["settings.md"].partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for field in dataclasses.fields(settings.Settings):
            row = next(line for line in section.splitlines() if line.startswith(f"| `{field.name}` |"))
            variables = [key for key, value in settings.ENVIRONMENT.items() if value == field.name]
            assert all(f"`{variable}`" in row for variable in variables)


def test_every_environment_variable_that_a_program_reads_is_on_the_page(pages: dict[str, str]) -> None:
    named = {
        variable
        for folder in FOLDERS_WITH_VARIABLES
        for path in (ROOT / folder).rglob("*.py")
        for variable in VARIABLE.findall(path.read_text(encoding="utf-8"))
    }
    assert named, "no variable was found: the search is broken"
    assert {name for name in named if f"`{name}`" not in pages["settings.md"]} == set()


def test_a_variable_that_nothing_reads_is_not_on_the_page() -> None:
    folders = (*FOLDERS_WITH_VARIABLES, "tests", "scripts")
    own = Path(settings_page.__file__).resolve()
    text = "".join(
        path.read_text(encoding="utf-8")
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if path.resolve() != own
    ) + (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {name for name in settings_page.OTHER_VARIABLES if name not in text} == set()


@dataclasses.dataclass(frozen=True)
class _Explained:
    """What it is.

    Args:
        first: one line.
        second: two lines, of which this
            is the second.

    Raises:
        third: is no argument.
    """

    first: int
    second: int


def test_meanings_are_read_from_the_docstring_also_over_two_lines() -> None:
    assert settings_page.documented_arguments(_Explained) == {
        "first": "one line.",
        "second": "two lines, of which this is the second.",
    }


def test_cells_cannot_break_their_table_and_words_cannot_become_tags() -> None:
    assert table(("a",), [("x | y\nz",)])[2] == r"| x \| y z |"
    assert plain("of <message> type") == r"of \<message> type"


def test_the_meanings_of_the_retry_classes_are_complete() -> None:
    assert set(reasons_page.RETRY_MEANINGS) == {reason.retry.value for reason in CATALOGUE.values()}
