"""What the law leaves open is published by the competent body and counts from then on, on both databases."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

import pytest

from tanqiao.api.region.v1 import parameters_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao_region.application.claim_steps import Ask, submit_to
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.rule_parameters import RuleParameters
from tanqiao_region.storage.holdings import SeriesRow
from tests.contract.region.conftest import MakeNode, stop
from tests.contract.region.harness import SHENZHEN, Node, block
from tests.contract.region_registers.approvals import approve_parameter

BUREAU = By("operator/440300/sz.bureau", "sz.bureau")
OPERATOR = By("operator/440300/sz.platform_operator", "sz.platform_operator")
OWN = SeriesRow("440300:SZ_PHCER:PV-1:2025:1", "440300", "SZ_PHCER", "PV-1", 2025, 1, "SZ0101", "")
TODAY = date(2026, 3, 2)
NOTICE = "sz.offset_notice[2026]"
_numbers = itertools.count(1)


def service(node: Node) -> RuleParameters:
    return RuleParameters(node.context, node.region.database, submit_to(node.region.writer))


def publish(node: Node, by: By = BUREAU, hands: Any = None, **fields: Any) -> Any:
    """Publish a value with the approval of two officers of the bureau, or of these."""
    hands = ((by.party, 1), (by.party, 2)) if hands is None else hands
    request = parameters_pb2.SetParameterRequest(
        **{
            "key": NOTICE,
            "value_json": '{"cap_kg": 100, "vintages": [2025]}',
            "start_date": wire_date(TODAY),
            "document_reference": "虚构公告 2026-1",
            **fields,
        }
    )
    if hands:
        approve_parameter(node.network, request, by.party, hands=hands)
    number = next(_numbers)
    asked = Ask(ClientRequest(by.party, f"p{number}", bytes(31) + bytes([number])), by, b"")
    return service(node).set_value(asked, request).value


def surrender(node: Node, account_id: str, start: int, end: int) -> Any:
    return node.retire(
        account_id,
        Selection(blocks=(block(start, end, OWN.series_id),)),
        by=By("operator/440300/sz.holder", "sz.holder"),
        purpose="compliance",
        compliance_year=2026,
    )


def test_compliance_waits_for_the_years_notice_and_stops_at_its_cap(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    account_id = node.open_account("虚构控排企业 invented").account_id
    node.give(account_id, block(0, 1000, OWN.series_id), series=OWN)
    assert surrender(node, account_id, 0, 60).symbol == "OFFSET_NOTICE_NOT_PUBLISHED"
    published = publish(node)
    assert (published.provenance, published.author) == ("operator", BUREAU.party)
    assert not isinstance(surrender(node, account_id, 0, 60), DomainError)
    refused = surrender(node, account_id, 60, 120)
    assert (refused.symbol, refused.metadata["left"]) == ("OFFSET_CAP_REACHED", "0.04")
    assert refused.metadata["article_zh"]
    stop(node)
    again = make_node(SHENZHEN, database=node.under_test)
    assert surrender(again, account_id, 60, 120).symbol == "OFFSET_CAP_REACHED"
    assert not isinstance(surrender(again, account_id, 60, 100), DomainError)


def test_what_is_no_value_of_the_pack_is_refused_and_nothing_is_published(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"by": OPERATOR, "hands": ()}, "ROLE_NOT_PERMITTED"),
        ({"hands": ((BUREAU.party, 1),)}, "APPROVERS_MISSING"),
        ({"hands": (("operator/440300/sz.counterpart_department", 1),)}, "APPROVERS_MISSING"),
        ({"hands": (), "second_approver": "operator/440300/sz.bureau/second"}, "FIELD_MISSING"),
        ({"document_reference": ""}, "FIELD_MISSING"),
        ({"start_date": None}, "FIELD_MISSING"),
        ({"start_date": wire_date(date(2026, 3, 1))}, "FIELD_INVALID"),
        ({"end_date": wire_date(TODAY)}, "FIELD_INVALID"),
        ({"key": "sz.nothing"}, "PARAMETER_INVALID"),
        ({"key": "sz.offset_notice[]"}, "PARAMETER_INVALID"),
        ({"key": "sz.donation_allowed[2026]", "value_json": "true"}, "PARAMETER_INVALID"),
        ({"key": "sz.donation_allowed", "value_json": '"yes"'}, "PARAMETER_INVALID"),
        ({"value_json": "{"}, "PARAMETER_INVALID"),
        ({"value_json": '{"cap_kg": 1.5}'}, "PARAMETER_INVALID"),
        ({"value_json": '{"cap_kg": NaN}'}, "PARAMETER_INVALID"),
        ({"value_json": '{"a":{"b":{"c":{"d":{"e":1}}}}}'}, "PARAMETER_INVALID"),
    ]
    for fields, symbol in cases:
        with pytest.raises(DomainError, match=symbol):
            publish(node, **fields)
    publish(node)
    with pytest.raises(DomainError, match="PARAMETER_ALREADY_DATED"):
        publish(node, value_json='{"cap_kg": 200}')
    shown, index = service(node).page("", 500)
    values = {value.key: value for one in shown for value in one.values if value.journal_index}
    assert list(values) == [NOTICE]
    assert 0 < values[NOTICE].journal_index <= index


def test_a_set_and_a_yes_count_from_their_day_on(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    publish(node, key="sz.donation_allowed", value_json="true", start_date=wire_date(date(2026, 3, 3)))
    publish(node, key="sz.participant_types", value_json='["data_operator"]')
    today = node.context.pack(TODAY).parameters
    assert today.on(TODAY).text_set("sz.participant_types") == {"data_operator"}
    assert not today.on(TODAY).has("sz.donation_allowed")
    assert today.on(date(2026, 3, 3)).boolean("sz.donation_allowed")
