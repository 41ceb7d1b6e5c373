"""Refusals that need a file of some length before they can be met, each met over gRPC with its article."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from tanqiao.api.region.v1 import accounts_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import Office, month, project_request, request_id
from tests.contract.region_registers.test_project_tracks import call, walked
from tests.contract.region_registers.test_refusals import SZ_DOCUMENTS, sz_methodology
from tests.contract.region_registers.wire import NORM, PROVIDER, SCENE, Wire

ServeRegion = Callable[[str], Wire]
NAME = "虚构会展公司 invented"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def serve(network: NetworkOfTest, make_node: MakeNode, bridge: ClaimBridge) -> Iterator[ServeRegion]:
    """Serves a region's node on the line of a bridge that answers claims."""
    wires: list[Wire] = []

    def make(party: str) -> Wire:
        assert bridge.server is not None
        node = make_node(party, bridge.server.address)
        node.region.start()
        bridge.wait_until(lambda: bridge.peer(party).frames is not None)
        wires.append(Wire(network, node))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


def refusal_of(act: Callable[[], Any]) -> DomainError:
    with pytest.raises(DomainError) as caught:
        act()
    for language in ("zh", "en"):
        assert caught.value.sentence(language)
    assert caught.value.metadata["article_zh"]
    assert caught.value.metadata["article_en"]
    return caught.value


def _expert(wire: Wire, expert_id: str, **values: Any) -> None:
    appointed = wire_date(date(2026, 1, 1))
    wire.expert("sz.bureau", expert_id, name="虚构 invented", appoint_date=appointed, **values)


def test_SZ_6a_an_expert_whom_the_applicant_employs_evaluates_neither_its_scene_nor_its_project(
    serve: ServeRegion,
) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(NAME, kind=4).account_id
    _expert(wire, "E-1", fields=["catering", "solar"], employer=NAME)
    _expert(wire, "E-2", fields=["catering", "solar"], interests=[NAME])
    _expert(wire, "E-3", fields=["catering", "solar"])
    wire.open("sz.counterpart_department", NORM, "NORM-1")
    wire.step("sz.counterpart_department", NORM, "NORM-1", "assess", passed=True, assessors=["E-9"])
    wire.sign("sz.counterpart_department", NORM, "NORM-1", "register")
    wire.sign("sz.bureau", NORM, "NORM-1", "register")
    wire.step("sz.bureau", NORM, "NORM-1", "register")
    wire.open("sz.scene_unit", SCENE, "CAFE-1", account_id=owner, field="catering")

    def evaluate(*assessors: str) -> Any:
        told = {"passed": True, "assessors": assessors, "norm_id": "NORM-1"}
        return wire.step("sz.counterpart_department", SCENE, "CAFE-1", "evaluate", **told)

    for conflicted in ("E-1", "E-2"):
        refusal = refusal_of(lambda one=conflicted: evaluate("E-3", one))  # type: ignore[misc]
        assert refusal.symbol == "EXPERT_CONFLICT"
        assert conflicted in refusal.sentence("zh")
        assert "第六条" in refusal.sentence_with_article("zh")
    assert evaluate("E-3").state == "EVALUATED"
    wire.role("sz.bureau").registers.PublishMethodology(sz_methodology())
    file = project_request(owner, methodology_id="SZ-PV-01", place="440305", documents=SZ_DOCUMENTS)
    wire.role("sz.sme").registers.SubmitProject(file)

    def assess(*assessors: str) -> Any:
        return call(wire, "sz.expert", "AssessProject", passed=True, assessors=assessors).project

    refusal = refusal_of(lambda: assess("E-1", "E-3"))
    assert (refusal.symbol, "E-1" in refusal.sentence("en")) == ("EXPERT_CONFLICT", True)
    assert walked(assess("E-3", "某教授 not of the pool"))[-1] == "ASSESSED"


def test_SH_25c_a_person_is_admitted_as_no_rights_provider(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    operator = wire.node.open_account("虚构平台 invented", KIND_DATA_OPERATOR).account_id
    person = wire.role("sh.centre").accounts.OpenAccount(
        accounts_pb2.OpenAccountRequest(
            request_id=request_id(),
            kind=accounts_pb2.ACCOUNT_KIND_PERSON,
            operator_account_id=operator,
            operator_reference="U-1",
        )
    )
    wire.open("sh.holder", PROVIDER, "MALL-1", account_id=person.account.account_id)
    refusal = refusal_of(lambda: wire.step("sh.exchange", PROVIDER, "MALL-1", "admit"))
    assert refusal.symbol == "RIGHTS_PROVIDER_ONLY"
    assert "第二十五条" in refusal.sentence_with_article("zh")


def test_SH_22a_units_whose_audit_nobody_filed_cannot_be_traced(serve: ServeRegion) -> None:
    wire = serve(SHANGHAI)
    office = Office(wire.node, wire.node.open_account().account_id)
    office.published()
    office.meter(month("2026-01", 10_000_000))
    asked = office.issue_request("2026-01", audit=None)
    refusal = refusal_of(lambda: wire.role("sh.centre").issuance.IssueUnits(asked))
    others = {refusal.symbol, *re.findall(r":([A-Z_]+)", refusal.metadata.get("other_refusals", ""))}
    assert {"AUDIT_NOT_PASSED", "EVIDENCE_CHAIN_BROKEN"} <= others, refusal.metadata
