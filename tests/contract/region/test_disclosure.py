"""Public lists: what a region's rules order to be published, with the index at which it stands."""

from __future__ import annotations

from typing import Any

import pytest

from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.disclosure import Disclosures
from tanqiao_region.storage.disclosure import covered_kg
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN, YUNNAN, Node, agreement, block
from tests.contract.region.test_rule_parameters import OWN, publish, surrender
from tests.contract.region_registers.office import SZ_BUREAU, ask
from tests.contract.region_registers.test_refusals import sz_methodology


def read(node: Node, slug: str, after: str = "", limit: int = 100) -> list[dict[str, str]]:
    part = Disclosures(node.context, node.region.database).page(slug, after, limit)
    assert part.as_of_index >= 0
    return [dict(zip(part.disclosure.fields, values, strict=True)) for _, values in part.rows]


def test_every_list_of_every_region_can_be_read_from_an_empty_node(make_node: MakeNode) -> None:
    for party in (SHANGHAI, SHENZHEN, YUNNAN):
        node = make_node(party)
        disclosures = Disclosures(node.context, node.region.database)
        lists, _ = disclosures.lists()
        assert lists
        for one in lists:
            assert one.title_zh
            assert one.article_zh
            assert one.article_en
            part = disclosures.page(one.slug, "", 10)
            assert part.disclosure == one
            assert not (one.not_kept_yet and part.rows)
            assert all(len(values) == len(one.fields) for _, values in part.rows)
        with pytest.raises(DomainError, match="NOT_FOUND"):
            disclosures.page("nothing", "", 10)


def test_the_yearly_notice_shows_what_is_used_and_rule_documents_their_paper(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    account_id = node.open_account("虚构控排企业 invented").account_id
    node.give(account_id, block(0, 1000, OWN.series_id), series=OWN)
    publish(node)
    publish(node, key="sz.offset_notice[2027]", document_reference="虚构公告 2026-2")
    assert not isinstance(surrender(node, account_id, 0, 60), DomainError)
    first, second = read(node, "offset-notice")
    assert (first["year"], first["cap_kg"], first["used_kg"]) == ("2026", "100", "60")
    assert (second["year"], second["used_kg"]) == ("2027", "0")
    assert [row["link"] for row in read(node, "policies")] == ["虚构公告 2026-1", "虚构公告 2026-2"]
    assert [row["title"] for row in read(node, "policies", limit=1)] == ["sz.offset_notice[2026]"]


def test_a_list_without_a_register_says_that_it_is_not_kept_yet(make_node: MakeNode) -> None:
    node = make_node(SHANGHAI)
    lists, _ = Disclosures(node.context, node.region.database).lists()
    assert [one.slug for one in lists if one.not_kept_yet] == ["conversions"]


def test_SP_11d_two_counters_are_public(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    none = [
        {"counter": "published_methodologies", "count": "0"},
        {"counter": "registered_scenes", "count": "0"},
    ]
    assert read(node, "counters") == none
    request = sz_methodology()
    node.region.office.methodologies.publish(ask(request, SZ_BUREAU), request)
    assert read(node, "counters", limit=1) == [{"counter": "published_methodologies", "count": "1"}]
    lists, _ = Disclosures(node.context, node.region.database).lists()
    counters = next(one for one in lists if one.slug == "counters")
    assert (counters.rule_id, "11" in counters.article_en) == ("SP-11d", True)


def test_agreements_are_shown_with_their_term(node: Node, network: Any) -> None:
    node.recognise(network)
    assert agreement(network)
    shown = read(node, "recognition-agreements")[0]
    assert (shown["from_region"], shown["to_region"]) == ("310000", "440300")
    assert (shown["valid_from"], shown["valid_to"]) == ("2026-01-01", "2027-01-01")


def test_units_that_two_orders_freeze_are_counted_once() -> None:
    other = "310000:SHCER:P:2026:2"
    blocks = [block(300, 500), block(400, 600), block(420, 450), block(700, 800), block(0, 10, other)]
    assert covered_kg(blocks) == {block(0, 1).series_id: 400, other: 10}
    assert covered_kg([]) == {}
