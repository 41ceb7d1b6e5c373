"""The refusals and the stories of the digest (RULES sections 14 and 17), held as data.

Each refusal is in the catalogue with the digest's sentence in both languages; each story names the tests that
tell it, or says why it is left out.
"""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from tanqiao.kernel.reasons import CATALOGUE
from tanqiao.kernel.reasons.model import FAMILY_SIZE, Retry

ROOT = Path(__file__).parents[2]
RETRIES = {"N": Retry.NEVER, "A": Retry.AFTER_FIX, "W": Retry.WAIT}
TOLD_OTHERWISE = {
    "{审定/核证}": "{kind}",
    "{validation/verification}": "{kind}",
}
"""Places that the digest leaves as a choice, and the catalogue names."""


def rows_of(name: str) -> list[dict[str, str]]:
    text = (ROOT / "tests/rules" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def digest_part(title: str) -> list[list[str]]:
    named = os.environ.get("TANQIAO_RULES")
    path = Path(named) if named else ROOT.parent / "shared/docs/RULES.md"
    if not path.is_file():
        pytest.skip("RULES.md is not beside this checkout; TANQIAO_RULES can name it")
    part = path.read_text(encoding="utf-8").partition(f"## {title}")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
    return [row for row in rows if re.fullmatch(r"[A-Z_]{4,}|\d+", row[0])]


@pytest.mark.parametrize("row", rows_of("refusals.csv"), ids=lambda row: str(row["symbol"]))
def test_a_refusal_has_the_sentence_of_the_digest_in_both_languages(row: dict[str, str]) -> None:
    reason = CATALOGUE[row["symbol"]]
    for placed, named in TOLD_OTHERWISE.items():
        row = {name: text.replace(placed, named) for name, text in row.items()}
    assert (reason.zh, reason.en) == (row["zh"], row["en"])
    assert reason.retry is RETRIES[row["retry"]]
    assert reason.number // FAMILY_SIZE == int(row["family"])


def test_the_refusals_and_stories_are_those_of_the_digest() -> None:
    refusals = [list(row.values()) for row in rows_of("refusals.csv")]
    assert digest_part("14. Refusals") == refusals
    stories = [[row["story"], row["rules"]] for row in rows_of("stories.csv")]
    assert [[row[0], row[4]] for row in digest_part("17. Stories")] == stories


@pytest.mark.parametrize("row", rows_of("stories.csv"), ids=lambda row: f"story-{row['story']}")
def test_a_story_is_told_by_a_test_or_it_is_said_why_not(row: dict[str, str]) -> None:
    assert bool(row["tests"]) != bool(row["left_out_because"])
    for one in row["tests"].split():
        path, _, function = one.partition("::")
        assert f"\ndef {function}(" in (ROOT / path).read_text(encoding="utf-8"), one
    assert row["left_out_because"] or "tests/e2e/" in row["tests"], "a story in scope runs end to end"
