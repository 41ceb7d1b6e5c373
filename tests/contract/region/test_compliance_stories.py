"""Uses for compliance as stories 5 and 8 of the digest tell them (RULES section 17), on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao_region.application.commands import By, Selection
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import HOLDER, SERIES, SHENZHEN, Node, block
from tests.contract.region.test_rule_parameters import OWN, publish, surrender

SH_BUREAU = By("operator/310000/sh.bureau", "sh.bureau")
CLASS_II = replace(SERIES, series_id="310000:SHCER:SCENE-1:2026:1", source_id="SCENE-1", unit_class="II")
RULE = "sh.surrender_rule[2026]"


def second_class(start: int, end: int) -> UnitBlock:
    return UnitBlock(CLASS_II.series_id, start, end)


def comply(node: Node, account_id: str, *blocks: UnitBlock) -> Any:
    return node.retire(
        account_id, Selection(blocks=blocks), by=HOLDER, purpose="compliance", compliance_year=2026
    )


def test_story_5_two_uses_at_the_same_time_never_pass_the_yearly_total_together(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    account_id = node.open_account("虚构控排企业 invented").account_id
    node.give(account_id, block(0, 1000, OWN.series_id), series=OWN)
    publish(node)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda at: surrender(node, account_id, at, at + 60), (0, 100)))
    refusals = [answer for answer in answers if isinstance(answer, DomainError)]
    assert [refusal.symbol for refusal in refusals] == ["OFFSET_CAP_REACHED"]
    assert "二十五" in refusals[0].sentence_with_article("zh")


def test_story_8_class_II_is_named_by_range_and_class_I_alone_passes_under_the_years_rule(
    node: Node,
) -> None:
    account_id = node.open_account("虚构控排企业 invented").account_id
    node.give(account_id, block(0, 10_000))
    node.give(account_id, second_class(0, 5000), series=CLASS_II)
    assert comply(node, account_id, block(0, 10_000)).symbol == "OFFSET_NOTICE_NOT_PUBLISHED"
    publish(
        node,
        SH_BUREAU,
        key=RULE,
        value_json='{"cap_kg": 100000, "vintages": [2026]}',
    )
    mixed = comply(node, account_id, block(0, 10_000), second_class(0, 5000))
    assert isinstance(mixed, DomainError)
    assert mixed.symbol == "CLASS_II_NOT_FOR_COMPLIANCE"
    assert str(second_class(0, 5000)) in str(mixed.metadata["ranges"])
    assert str(block(0, 10_000)) not in str(mixed.metadata["ranges"])
    assert "十七" in mixed.sentence_with_article("zh")
    assert "Art" in mixed.sentence_with_article("en")
    assert not isinstance(comply(node, account_id, block(0, 10_000)), DomainError)


def test_SZ_25_units_outside_the_scope_of_the_notice_are_named(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    account_id = node.open_account("虚构控排企业 invented").account_id
    node.give(account_id, block(0, 1000, OWN.series_id), series=OWN)
    publish(node, value_json='{"cap_kg": 100, "vintages": [2024]}')
    refusal = surrender(node, account_id, 0, 60)
    assert isinstance(refusal, DomainError)
    assert refusal.symbol == "OFFSET_SCOPE_EXCLUDED"
    assert str(block(0, 60, OWN.series_id)) in str(refusal.metadata["ranges"])
