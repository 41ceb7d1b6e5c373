from __future__ import annotations

from typing import Any

import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2, reserve_pb2
from tanqiao.signing.verify import Verifier, allow
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.disclosure import Disclosures
from tests.contract.region_registers.claim_bridge import ClaimBridge, barred
from tests.contract.region_registers.office import (
    YN_EPD,
    Office,
    ask,
    methodology_request,
    project_request,
    request_id,
)
from tests.contract.region_registers.test_refusals import journal_size, refused

KUNMING = By("operator/530000/yn.area_committee.KM", "yn.area_committee.KM")
HONGHE = By("operator/530000/yn.area_committee.HH", "yn.area_committee.HH")
DEHONG = By("operator/530000/yn.area_committee.DH", "yn.area_committee.DH")
DEVELOPER = By("operator/530000/yn.developer", "yn.developer")


def asset(code: str, place: str = "532500") -> claims_pb2.Asset:
    return claims_pb2.Asset(
        references=[claims_pb2.AssetReference(scheme="gec_filing_code", value=code)],
        kind="hydro",
        name="虚构 invented",
        region_code=place,
    )


def test_an_entry_is_declared_as_a_reserve_and_published(yunnan: Office, bridge: ClaimBridge) -> None:
    response = yunnan.enter()
    assert response.resource.enter_date.month == 3
    claim = bridge.claims.claims[response.resource.claim_id]
    assert claim.object == claims_pb2.CLAIM_OBJECT_ENTRY
    assert claim.programme == claims_pb2.PROGRAMME_YN_RESERVE
    assert [one.entry_id for one in yunnan.office.reserve.list(None, 10)] == ["R-1"]


def test_entries_of_low_income_areas_come_first_page_by_page(yunnan: Office) -> None:
    for number in range(5):
        yunnan.enter(
            entry_id=f"R-{number}", low_income_area=number in (3, 4), asset=asset(f"HY010053010000{number}")
        )
    first = yunnan.office.reserve.list(None, 3)
    assert [one.entry_id for one in first] == ["R-3", "R-4", "R-0"]
    rest = yunnan.office.reserve.list((False, "R-0"), 3)
    assert [one.entry_id for one in rest] == ["R-1", "R-2"]


@pytest.mark.parametrize(
    ("fields", "symbol", "article"),
    [
        ({"project_type": "mining"}, "APPLICATION_INCOMPLETE", "第八条"),
        ({"potential_method": ""}, "APPLICATION_INCOMPLETE", "第八条"),
        ({"asset": asset("HY0100530100001", "440305")}, "REGION_SCOPE_MISMATCH", "第四条"),
        ({"ftz_area": "KM"}, "REGION_SCOPE_MISMATCH", "第四条"),
        ({"ftz_area": "XX"}, "REGION_SCOPE_MISMATCH", "第四条"),
        ({"resource_kind": "gold"}, "FIELD_INVALID", ""),
        ({"potential_kg_per_year": -1}, "FIELD_INVALID", ""),
        ({"entry_id": ""}, "FIELD_MISSING", ""),
        ({"asset": claims_pb2.Asset()}, "BATCH_EMPTY", ""),
    ],
)
def test_an_entry_that_is_not_complete_is_refused(
    yunnan: Office, bridge: ClaimBridge, fields: dict[str, Any], symbol: str, article: str
) -> None:
    before = journal_size(yunnan.node)
    refused(symbol, lambda: yunnan.enter(**fields), article=article)
    assert bridge.claims.received == []
    assert journal_size(yunnan.node) == before


def test_a_second_entry_on_one_asset_waits_for_a_person(yunnan: Office, bridge: ClaimBridge) -> None:
    yunnan.enter()
    refused("DUPLICATE_RESERVE_ENTRY", lambda: yunnan.enter(entry_id="R-2"), article="第八条")
    refused("ALREADY_EXISTS", yunnan.enter)
    bridge.claims.judge = barred("CLAIM_HOLD", kind=claims_pb2.VERDICT_KIND_HOLD, cases="other")
    refused("CLAIM_HOLD", lambda: yunnan.enter(entry_id="R-3", asset=asset("HY0100530100009")))
    assert [one.entry_id for one in yunnan.office.reserve.list(None, 10)] == ["R-1"]


def test_a_committee_enters_resources_of_its_own_area(yunnan: Office) -> None:
    in_kunming = {"ftz_area": "KM", "asset": asset("HY0100530100007", "530100"), "entry_id": "R-KM"}
    refused("ROLE_NOT_PERMITTED", lambda: yunnan.enter(by=HONGHE, **in_kunming), article="第六条")
    refused("ROLE_NOT_PERMITTED", lambda: yunnan.enter(by=DEVELOPER))
    refused("ROLE_NOT_PERMITTED", lambda: yunnan.enter(by=KUNMING), article="第六条")
    assert yunnan.enter(by=KUNMING, **in_kunming).resource.ftz_area == "KM"


def test_nothing_is_issued_from_an_entry_and_nothing_is_traded_here(yunnan: Office) -> None:
    yunnan.enter()
    request = yunnan.issue_request(project_id="R-1")
    refused(
        "RESERVE_ISSUES_NOTHING",
        lambda: yunnan.office.issuances.issue_units(ask(request, YN_EPD), request),
        article="第三条",
    )
    other = yunnan.node.open_account().account_id
    answer = yunnan.node.move(yunnan.owner, other, Selection("", 1), by=YN_EPD)
    assert answer.symbol in ("NO_TRADING_AT_THIS_NODE", "UNITS_INSUFFICIENT")
    methodology = methodology_request()
    refused(
        "RULE_PACK_NOT_IN_FORCE",
        lambda: yunnan.office.methodologies.publish(ask(methodology, YN_EPD), methodology),
        article="第十条",
    )
    project = project_request(yunnan.owner)
    refused(
        "METHODOLOGY_NOT_PUBLISHED",
        lambda: yunnan.office.registers.submit_project(ask(project, YN_EPD), project),
    )
    assert registers_pb2.PROJECT_STATE_SUBMITTED


def step(office: Office, event: str, by: By = YN_EPD, entry_id: str = "R-1", **fields: Any) -> Any:
    request = reserve_pb2.TakeResourceStepRequest(
        request_id=request_id(), entry_id=entry_id, event=event, **fields
    )
    return office.office.reserve_steps.take(ask(request, by), request).resource


def link(**fields: Any) -> reserve_pb2.ResourceLink:
    return reserve_pb2.ResourceLink(
        programme="ccer", **{"outside_reference": "1900000000000000003", **fields}
    )


def prove(office: Office, by: By = YN_EPD, entry_id: str = "R-1") -> Any:
    request = reserve_pb2.IssueFilingProofRequest(request_id=request_id(), entry_id=entry_id)
    return office.office.reserve_steps.prove(ask(request, by), request)


def test_YN_14a_an_entry_is_developed_handed_over_to_an_application_and_leaves(yunnan: Office) -> None:
    assert yunnan.enter().resource.state == "ENTERED"
    assert step(yunnan, "develop").state == "UNDER_DEVELOPMENT"
    refused("STATE_NOT_ALLOWED", lambda: step(yunnan, "develop"))
    refused(
        "APPLICATION_INCOMPLETE",
        lambda: step(yunnan, "link", link=link(outside_reference="")),
        article="第十四条",
    )
    # A state of the outside register that no list states is not this node's to set.
    refused(
        "ROLE_NOT_PERMITTED",
        lambda: step(yunnan, "link", link=link(outside_state="registered")),
        article="第十四条",
    )
    as_of = values_pb2.Date(year=2026, month=2, day=27)
    stated = link(outside_state="公示", source="虚构 CCER 项目清单", as_of_date=as_of)
    linked = step(yunnan, "link", by=DEVELOPER, link=stated)
    assert (linked.state, linked.link) == ("LINKED", stated)
    assert yunnan.office.reserve.list(None, 10)[0].link == stated
    refused("FIELD_MISSING", lambda: step(yunnan, "leave"))
    refused("ROLE_NOT_PERMITTED", lambda: step(yunnan, "leave", by=DEVELOPER, reason="虚构"))
    assert step(yunnan, "leave", reason="已在国家登记 registered there").state == "LEFT"
    events = [one.event for one in yunnan.office.reserve_steps.steps("R-1", "", 0, 10)]
    assert events == ["identify", "enter", "develop", "link", "leave"]
    public = Disclosures(yunnan.node.context, yunnan.node.region.database).page("reserve", "", 10)
    assert dict(zip(public.disclosure.fields, public.rows[0][1], strict=True))["state"] == "left"
    refused("NOT_FOUND", lambda: step(yunnan, "develop", entry_id="R-2"))


def test_YN_6a_each_area_is_its_committee_s_own(yunnan: Office) -> None:
    in_kunming = {"ftz_area": "KM", "asset": asset("HY0100530100007", "530100"), "entry_id": "R-KM"}
    yunnan.enter(by=KUNMING, **in_kunming)
    in_honghe = {"ftz_area": "HH", "asset": asset("HY0100530100008", "532500"), "entry_id": "R-HH"}
    yunnan.enter(by=HONGHE, **in_honghe)
    in_dehong = {"ftz_area": "DH", "asset": asset("HY0100530100009", "533100"), "entry_id": "R-DH"}
    yunnan.enter(by=DEHONG, **in_dehong)
    refused(
        "ROLE_NOT_PERMITTED", lambda: step(yunnan, "develop", by=HONGHE, entry_id="R-KM"), article="第六条"
    )
    refused(
        "ROLE_NOT_PERMITTED",
        lambda: step(yunnan, "link", by=HONGHE, entry_id="R-KM", link=link()),
        article="第六条",
    )
    yunnan.enter(entry_id="R-OUT", asset=asset("HY0100530100010", "532300"))
    refused(
        "ROLE_NOT_PERMITTED", lambda: step(yunnan, "develop", by=HONGHE, entry_id="R-OUT"), article="第六条"
    )
    assert step(yunnan, "develop", by=KUNMING, entry_id="R-KM").state == "UNDER_DEVELOPMENT"
    areas = {one.entry_id: one.ftz_area for one in yunnan.office.reserve.list(None, 10)}
    assert areas == {"R-DH": "DH", "R-HH": "HH", "R-KM": "KM", "R-OUT": ""}


def test_YN_18_a_proof_of_filing_is_signed_and_the_next_supersedes_it(yunnan: Office) -> None:
    yunnan.enter()
    refused("ROLE_NOT_PERMITTED", lambda: prove(yunnan, by=KUNMING), article="第十八条")
    first = prove(yunnan, by=DEVELOPER)
    step(yunnan, "link", link=link())
    second = prove(yunnan)
    assert (first.number, second.number) == ("R-1.P1", "R-1.P2")
    context = yunnan.node.context
    opened = Verifier(context.network_id, context.party).open_envelope(
        second.proof,
        context.directory,
        allowed=allow(reserve_pb2.FilingProof, senders=("region/*",)),
        peer=None,
        at_index=context.known_index,
    )
    assert (opened.message.state, opened.message.link) == ("LINKED", link())
    assert reserve_pb2.FilingProof.FromString(first.proof.payload).state == "ENTERED"
    histories = [yunnan.office.reserve_steps.steps("", one.number, 0, 10) for one in (first, second)]
    assert [[one.to_state for one in steps] for steps in histories] == [["ISSUED", "SUPERSEDED"], ["ISSUED"]]
    refused("NOT_FOUND", lambda: prove(yunnan, entry_id="R-2"))
    refused("NOT_FOUND", lambda: yunnan.office.reserve_steps.steps("", "R-1.P3", 0, 10))
