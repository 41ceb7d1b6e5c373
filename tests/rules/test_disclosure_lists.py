"""The public lists of the packs against the table of the digest (RULES section 10), held as data."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from tanqiao_region.application.disclosure import PROVIDERS
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

ROOT = Path(__file__).parents[2]
ROWS = list(
    csv.DictReader((ROOT / "tests/rules/disclosure_lists.csv").read_text(encoding="utf-8").splitlines())
)
PACKS = {
    name: load_pack(SHIPPED_PACKS / f"{name[:1].lower()}{second}_draft", network_id="test-1")
    for name, second in (("Shenzhen", "z"), ("Shanghai", "h"), ("Yunnan", "n"))
}
WORDS = {
    "registered": "registered_on",
    "published": "published_on",
    "norm version": "norm_version",
    "label number": "label_number",
    "date": "labelled_on published_on issued_on registered_on",
    "quantity": "quantity_kg",
    "retired by purpose and year": "retired_by_purpose",
    "held": "held_total",
    "frozen": "frozen_total",
    "cancelled totals": "cancelled_total",
    "employer": "employer",
    "total": "cap_kg",
    "used so far": "used_kg",
    "dates": "valid_from first_day",
    "by number: validity": "valid",
    "beneficiary if agreed": "beneficiary",
    "class": "unit_class",
    "first and last day": "notice_last_day",
    "then number": "number",
    "then answers": "answers",
    "how to comment": "how_to_comment",
    "type": "type project_type",
    "potential": "potential_kg_per_year",
    "method": "potential_method",
    "low-income mark": "low_income_area",
    "same": "notice_last_day",
    "both bodies": "bodies",
    "five documents with dates": "valid_from",
}
"""Words of the digest → a field of the pack that holds it, where it is not called the same."""
NO_REGISTER_YET = {"conversions"}


def words_of(text: str) -> list[str]:
    return [] if text == "–" else [word.strip() for word in re.split(r"[,;]", re.sub(r"\(.*?\)", "", text))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['region']}-{row['list']}")
def test_a_list_of_the_digest_is_a_list_of_the_pack_with_its_fields_and_its_law(row: dict[str, str]) -> None:
    lists = {one.slug: one for one in PACKS[row["region"]].data.disclosures}
    rule_ids = set(re.findall(r"S[HPZ]-\d+[a-z]?|YN-\d+", row["law"]))
    for slug in row["slugs"].split():
        assert slug in lists
        known = set(lists[slug].fields)
        missing = [word for word in words_of(row["fields"]) if not known & set(WORDS.get(word, word).split())]
        assert missing == []
    if rule_ids and len(row["slugs"].split()) == 1:
        numbers = {re.sub(r"[a-z]$", "", one) for one in (*rule_ids, *further(row["law"]))}
        assert re.sub(r"[a-z]$", "", lists[row["slugs"]].rule_id) in numbers


def further(law: str) -> list[str]:
    """``SZ-11b, 27`` names two rules of one text."""
    return [f"{prefix}-{number}" for prefix, number in re.findall(r"(S[HPZ])-\w+, (\d+)", law)]


@pytest.mark.parametrize("region", sorted(PACKS))
def test_a_pack_has_no_list_beyond_the_digest_and_each_has_a_source(region: str) -> None:
    named = {slug for row in ROWS if row["region"] == region for slug in row["slugs"].split()}
    slugs = {one.slug for one in PACKS[region].data.disclosures}
    assert slugs - named <= {"recognition-agreements"}, "recognition records are the bridge's list as well"
    assert slugs - set(PROVIDERS) <= NO_REGISTER_YET


def test_the_lists_are_those_of_the_digest() -> None:
    named = os.environ.get("TANQIAO_RULES")
    path = Path(named) if named else ROOT.parent / "shared/docs/RULES.md"
    if not path.is_file():
        pytest.skip("RULES.md is not beside this checkout; TANQIAO_RULES can name it")
    part = path.read_text(encoding="utf-8").partition("## 10. Disclosure")[2].partition("\n## ")[0]
    region, found = "", []
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or cells[0] in ("region", "---"):
            continue
        region = cells[0] or region
        if region != "bridge":
            found.append((region, *cells[1:]))
    assert found == [(row["region"], row["list"], row["fields"], row["law"]) for row in ROWS]
