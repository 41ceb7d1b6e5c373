"""The index of rules against the digest of the texts, the packs, and the cases."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tanqiao_region import rules_table
from tanqiao_region.rulepack_cases import CASE_NETWORK, load_cases, run_cases
from tanqiao_region.rulepack_loader import LoadedPack, RulePackLibrary

ROOT = Path(__file__).parents[2]
INDEX = rules_table.read_index(ROOT / "tests/rules/rule_index.csv")
LIBRARY = RulePackLibrary.discover(network_id=CASE_NETWORK)
ENTRIES = [(loaded, entry) for loaded in LIBRARY.packs for entry in loaded.pack.entries()]
ROW = re.compile(r"\| ((?:SZ|SH|YN|SP)-[A-Z]?\d+[a-z]?) \| (.*?) \| (MUST|SHOULD|OUT) \|")


def _digest_of_the_texts() -> Path:
    """TANQIAO_RULES names the file; else it lies in the folder of documents beside the project."""
    named = os.environ.get("TANQIAO_RULES")
    return Path(named) if named else ROOT.parent / "shared/docs/RULES.md"


def test_the_index_is_the_table_of_the_digest() -> None:
    path = _digest_of_the_texts()
    if not path.is_file():
        pytest.skip("RULES.md is not beside this checkout; TANQIAO_RULES can name it")
    rows = [ROW.match(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(row[1], row[2], row[3]) for row in rows if row is not None]
    assert found == [(row.rule_id, row.article, row.mark) for row in INDEX]


def test_an_id_stands_in_the_index_once() -> None:
    ids = [row.rule_id for row in INDEX]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("rule_id", "article", "mark"),
    [(entry.rule_id, entry.article, entry.mark) for _, entry in ENTRIES if entry.mark != "POLICY"],
    ids=str,
)
def test_a_pack_states_the_article_and_mark_of_the_index(rule_id: str, article: str, mark: str) -> None:
    row = next(row for row in INDEX if row.rule_id == rule_id)
    assert (row.article, row.mark) == (article, mark)


def test_house_policy_never_borrows_an_id_of_a_text() -> None:
    ids = {row.rule_id for row in INDEX}
    policies = [entry.rule_id for _, entry in ENTRIES if entry.mark == "POLICY"]
    assert all(rule_id.startswith("POLICY-") for rule_id in policies)
    assert not ids & set(policies)


@pytest.mark.parametrize("loaded", LIBRARY.packs, ids=lambda loaded: loaded.pack.identity.pack_id)
def test_a_rule_that_can_refuse_has_a_refusing_case_and_every_other_an_accepting_one(
    loaded: LoadedPack,
) -> None:
    refusals = {row.rule_id: row.refusals for row in INDEX}
    structural = {check.rule_id for check in loaded.pack.structurals}
    cases = load_cases(loaded.directory)
    refused = {case.rule_id for case in cases if case.refuses}
    accepted = {case.rule_id for case in cases if not case.refuses}
    missing = [
        entry.rule_id
        for entry in loaded.pack.entries()
        if entry.rule_id not in structural
        and entry.mark in ("MUST", "POLICY")
        and entry.rule_id not in (refused if refusals.get(entry.rule_id, ("policy",)) else accepted)
    ]
    assert missing == []


def test_every_must_row_in_scope_is_carried_and_tried() -> None:
    results = [result for loaded in LIBRARY.packs for result in run_cases(loaded.directory)]
    table = rules_table.build_table(INDEX, LIBRARY.packs, results)
    assert [(row.index.rule_id, row.gap) for row in table if row.gap] == []


def test_each_refusal_that_the_digest_names_is_provoked_by_a_case_of_its_rule() -> None:
    provoked = {
        (case.rule_id, case.refused_with)
        for loaded in LIBRARY.packs
        for case in load_cases(loaded.directory)
        if case.refuses
    }
    unprovoked = [
        (row.rule_id, symbol)
        for row in INDEX
        if row.mark == "MUST" and not row.later
        for symbol in row.refusals
        if (row.rule_id, symbol) not in provoked
    ]
    ledger_and_points = {("SZ-26a", "NOT_HELD")}  # the ledger answers this one: a rule sees no balance
    assert set(unprovoked) - ledger_and_points == set()


def test_the_command_prints_every_rule_and_fails_on_a_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "index.csv"
    original = (ROOT / "tests/rules/rule_index.csv").read_text(encoding="utf-8")
    index.write_text(original, encoding="utf-8")
    assert rules_table.main(["--index", str(index), "--require-complete"]) == 0
    printed = capsys.readouterr().out
    assert all(row.rule_id in printed for row in INDEX)
    index.write_text(original + "SZ-99,99,MUST,NOT_HELD\n", encoding="utf-8")
    assert rules_table.main(["--index", str(index), "--require-complete"]) == 1
    assert "SZ-99: not carried" in capsys.readouterr().out
    assert rules_table.main(["--index", str(index)]) == 0


@pytest.mark.parametrize(
    ("refusals", "carried_by", "accepting", "refusing", "gap"),
    [
        (("NOT_HELD",), "gd: a_rule", 3, 0, "no refusing case"),
        ((), "gd: a_rule", 0, 3, "no accepting case"),
        (("NOT_HELD",), "gd: a_rule", 0, 1, ""),
        ((), "gd: a_rule", 1, 0, ""),
        (("NOT_HELD",), "gd: pack.toml", 1, 1, "no function asks it"),
        ((), "", 0, 0, "not carried"),
    ],
)
def test_a_row_tells_what_it_lacks(
    refusals: tuple[str, ...], carried_by: str, accepting: int, refusing: int, gap: str
) -> None:
    must = rules_table.IndexRow("GD-1", "1", "MUST", refusals)
    row = rules_table.TableRow(must, carried_by, False, accepting, refusing)
    assert row.gap == gap
    for other in (replace(must, mark="SHOULD"), replace(must, rule_id="SZ-16a")):
        assert replace(row, index=other).gap == "", (
            "only MUST rows that do not follow later can lack something"
        )


def test_the_command_fails_without_the_cases_of_a_pack_and_where_a_case_is_answered_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packs = tmp_path / "packs"
    shutil.copytree(ROOT / "tests/rules/packs", packs)
    index = tmp_path / "index.csv"
    index.write_text("id,article,mark,refusals\nGD-1,1,MUST,REGION_SCOPE_MISMATCH\n", encoding="utf-8")
    asked = ["--index", str(index), "--packs", str(packs), "--require-complete"]
    assert rules_table.main(asked) == 0
    capsys.readouterr()
    cases = packs / "gd_pilot/cases/pilot.toml"
    original = cases.read_text(encoding="utf-8")
    cases.write_text(re.sub(r'rule = "GD-1"', 'rule = "GD-2"', original), encoding="utf-8")
    assert rules_table.main(asked) == 1
    assert "GD-1: no refusing case" in capsys.readouterr().out
    cases.write_text(original.replace("REGION_SCOPE_MISMATCH", "ROLE_NOT_PERMITTED"), encoding="utf-8")
    assert rules_table.main(asked) == 1
    assert "GD-1" in capsys.readouterr().out


def test_every_must_row_in_scope_names_a_function_that_exists() -> None:
    names = {one.name for loaded in LIBRARY.packs for one in loaded.pack.rules}
    names |= {one.name for loaded in LIBRARY.packs for one in loaded.pack.structurals}
    engine = {"RulePack._check_in_force", "RulePack._check_scope", "RoleTable.check", "PurposeTable.check"}
    carriers = {name for _, entry in ENTRIES if entry.mark == "MUST" for name in entry.carried_by.split(", ")}
    assert carriers <= names | engine
