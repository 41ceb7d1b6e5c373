"""The documents keep up with the project: decisions indexed, dependencies explained, words defined."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.unit.layout.modules import ROOT

DECISIONS = ROOT / "docs" / "adr"
WORDS_OF_THE_LEDGER = {"issue", "hold", "lock", "transfer", "recognise", "retire", "cancel", "claim"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def table_rows(text: str, columns: int) -> list[list[str]]:
    """Return the cells of every table row with that many columns, headings and rulers left out."""
    rows = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if not line.startswith("|") or line.startswith("|---") or following.startswith("|---"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == columns:
            rows.append(cells)
    return rows


def test_every_decision_is_in_the_index_and_has_its_parts() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    pages = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert f"]({path.name})" in index, f"{path.name} is not in the index"
        assert text.startswith(f"# {path.name[:4]} "), path.name
        assert re.search(r"^Status: (accepted|replaced by \d{4})$", text, re.MULTILINE), path.name
        for heading in ("## What stood to choose", "## What was chosen", "## What follows"):
            assert heading in text, f"{path.name} lacks {heading!r}"


def test_every_dependency_has_its_sentence_and_every_sentence_its_dependency() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    optional = project["project"].get("optional-dependencies", {})
    declared = [
        *project["project"]["dependencies"],
        *(requirement for extra in optional.values() for requirement in extra),
        *(requirement for group in project["dependency-groups"].values() for requirement in group),
    ]
    explained = table_rows((ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"), columns=4)
    names = [cells[0] for cells in explained]
    assert sorted(names) == sorted({Requirement(text).name for text in declared})
    assert [cells[0] for cells in explained if not all(cells)] == [], "a cell is empty"


def test_the_words_of_the_ledger_are_defined_and_each_row_is_whole() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = table_rows(text, columns=4)
    defined = {cells[0].strip("`") for cells in rows}
    assert defined >= WORDS_OF_THE_LEDGER
    for code, chinese, english, meaning in rows:
        assert re.fullmatch(r"`[A-Za-z0-9_]+`", code), code
        assert CHINESE.search(chinese), f"{code} has no Chinese term"
        assert english, f"{code} has no English term"
        assert meaning.endswith("."), f"{code} has no whole sentence"


def test_a_word_is_defined_once() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    # The section about the five meanings of one Chinese word repeats two words on purpose.
    sections = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if not part.startswith("注销")]
    words = [cells[0] for part in sections for cells in table_rows(part, columns=4)]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")), ids=lambda path: path.name
)
def test_links_between_documents_lead_somewhere(path: object) -> None:
    page = ROOT / str(path)
    broken = [
        target
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_a_table_is_read_without_its_heading_and_ruler() -> None:
    text = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | |\n\n| lonely |\n"
    assert table_rows(text, columns=2) == [["1", "2"], ["3", ""]]
