"""Every case file of every shipped pack; the id of a test begins with the rule that it tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tanqiao_region.domain.rules.decode import decode_facts, encode_facts
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.rulepack_cases import CASE_NETWORK, Case, load_cases, run_case, run_cases
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

PACKS = sorted(path.parent for path in SHIPPED_PACKS.glob("*/pack.toml"))
CASES = [(directory, case) for directory in PACKS for case in load_cases(directory)]


def _case_id(case: Case) -> str:
    outcome = "refuses" if case.refuses else "accepts"
    return f"{case.rule_id}-{outcome}-{re.sub(r'[^a-z0-9]+', '_', case.name.lower()).strip('_')}"


@pytest.fixture(scope="module")
def loaded_packs() -> dict[tuple[Path, str], RulePack]:
    return {}


def _pack(loaded: dict[tuple[Path, str], RulePack], directory: Path, network: str) -> RulePack:
    key = (directory, network)
    if key not in loaded:
        loaded[key] = load_pack(directory, network_id=network)
    return loaded[key]


@pytest.mark.parametrize(
    ("directory", "case"), CASES, ids=[f"{directory.name}-{_case_id(case)}" for directory, case in CASES]
)
def test_the_pack_answers_the_case(
    directory: Path, case: Case, loaded_packs: dict[tuple[Path, str], RulePack]
) -> None:
    result = run_case(_pack(loaded_packs, directory, case.network), case)
    assert result.fault == ""


@pytest.mark.parametrize("directory", PACKS, ids=lambda path: path.name)
def test_the_facts_of_every_case_can_be_stored_and_read_back(directory: Path) -> None:
    for case in load_cases(directory):
        assert decode_facts(case.facts.act(), encode_facts(case.facts)) == case.facts


@pytest.mark.parametrize("directory", PACKS, ids=lambda path: path.name)
def test_a_refusal_cites_its_article_in_both_languages(directory: Path) -> None:
    for result in run_cases(directory):
        for finding in result.verdict.refusals:
            error = finding.error()
            assert error.metadata["article_zh"]
            assert error.metadata["article_en"]
            assert error.metadata["rule_id"] == finding.rule_id
            assert "{" not in error.sentence_with_article("zh")
            assert finding.article_en in error.sentence_with_article("en")


@pytest.mark.parametrize("directory", PACKS, ids=lambda path: path.name)
def test_no_rule_can_be_taken_away_without_a_case_noticing(
    directory: Path, loaded_packs: dict[tuple[Path, str], RulePack]
) -> None:
    cases = load_cases(directory)
    unnoticed = []
    for rule in _pack(loaded_packs, directory, CASE_NETWORK).rules:
        concerned = [case for case in cases if case.rule_id == rule.rule_id]
        packs = {case.network: _pack(loaded_packs, directory, case.network) for case in concerned}
        poorer = {network: _without(pack, rule.rule_id) for network, pack in packs.items()}
        if all(run_case(poorer[case.network], case).fault == "" for case in concerned):
            unnoticed.append(rule.rule_id)
    assert unnoticed == []


def _without(pack: RulePack, rule_id: str) -> RulePack:
    rest = tuple(rule for rule in pack.rules if rule.rule_id != rule_id)
    return RulePack(pack.data, rest, pack.structurals, pack.table_rules, pack.parameters)
