"""Stories of RULES section 17 without another place: a person who applies alone, a reader of public lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tanqiao.api.region.v1 import disclosure_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR, KIND_PERSON
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import CENTRE, HOLDERS, SHANGHAI, SHENZHEN, Node, block, request
from tests.contract.region.served import full_network
from tests.contract.region_registers.office import Office, project_request
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, publish_sz
from tests.contract.region_registers.wire import Wire

REFERENCE = "user-0817"
PLATFORM = By("operator/440300/sz.platform_operator", "sz.platform_operator")
PERSON = By("operator/440300/sz.person", "sz.person")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


def open_person(node: Node, by: By, operator_account_id: str) -> str:
    order = OpenOrder(
        request=request(by),
        by=by,
        kind=KIND_PERSON,
        operator_account_id=operator_account_id,
        operator_reference=REFERENCE,
    )
    opened = node.orders.open_accounts([order])[0]
    assert not isinstance(opened, DomainError), opened
    return str(opened.account_id)


def test_story_3_a_person_who_applies_is_told_of_the_operators(shenzhen: Office) -> None:
    operator = shenzhen.node.open_account("虚构出行平台 invented", KIND_DATA_OPERATOR)
    person = open_person(shenzhen.node, PLATFORM, operator.account_id)
    publish_sz(shenzhen)
    asked = project_request(person, place="440305", methodology_id="SZ-PV-01", documents=SZ_DOCUMENTS)
    with pytest.raises(DomainError) as caught:
        shenzhen.send_project(asked, PERSON)
    refusal = caught.value
    assert refusal.symbol == "INDIVIDUAL_NEEDS_OPERATOR"
    assert "虚构出行平台 invented" in refusal.sentence("zh")
    assert "第二十条" in refusal.sentence_with_article("zh")
    assert "Art. 20" in refusal.sentence_with_article("en")


@pytest.fixture
def read_wire(network: NetworkOfTest, make_node: MakeNode) -> Iterator[Wire]:
    """Shanghai's node, served, with a person who holds units and has used some."""
    node = make_node(SHANGHAI)
    node.region.server.start()
    wire = Wire(network, node)
    yield wire
    wire.close()


def test_story_16_a_reader_sees_the_lists_and_no_personal_datum(read_wire: Wire) -> None:
    node = read_wire.node
    operator = node.open_account("虚构出行平台 invented", KIND_DATA_OPERATOR)
    person = open_person(node, CENTRE, operator.account_id)
    node.give(person, block(0, 1000))
    reader = read_wire.role("reader/national").disclosure
    lists = reader.ListDisclosures(disclosure_pb2.ListDisclosuresRequest()).disclosures
    assert {one.slug for one in lists} >= {"methodologies", "projects", "issuances", "uses"}
    everything = [reader.ReadDisclosure(disclosure_pb2.ReadDisclosureRequest(slug=one.slug)) for one in lists]
    assert all(one.as_of_index == everything[0].as_of_index > 0 for one in everything)
    shown = repr(everything)
    for hidden in (person, operator.account_id, REFERENCE, HOLDERS[SHANGHAI].party):
        assert hidden not in shown
    assert node.party != SHENZHEN
