"""Separation of duties, cell by cell: every role of every pack against every act (RULES section 7.1).

The expectation is written by hand from the digest: for each act the roles that may perform it. Whatever is
not in it must be refused.
"""

from __future__ import annotations

import pytest

from tanqiao_region.domain.rules.facts import ACTS_BY_NAME
from tanqiao_region.rulepack_loader import SHIPPED_PACKS, load_pack

SHANGHAI_PARTIES = "project_applicant scene_body rights_provider person holder"
SHENZHEN_PARTIES = "data_operator sme covered_emitter holder household person"
EXPECTED: dict[str, dict[str, str]] = {
    "sh": {
        "OpenAccount": "centre exchange",
        "ReconcileHolding": "centre exchange",
        "AdmitRightsProvider": "exchange",
        "KeepExpertPool": "bureau",
        "PublishRuleDocument": "bureau",
        "ReadRegister": "bureau district_bureau centre exchange",
        "OpenSupervisionCase": "bureau district_bureau centre exchange",
        "ReadPersonalRecords": "centre scene_body",
        "DiscloseField": "*",
        "SubmitMethodology": "project_applicant scene_body technical_body holder",
        "AppointPanel": "centre",
        "AssessMethodology": "centre",
        "PublishMethodology": "bureau",
        "SubmitScene": "scene_body",
        "AssessScene": "centre exchange",
        "PublishScene": "centre exchange",
        "ConnectScene": "centre",
        "DecideBehaviourScene": "centre exchange",
        "SubmitProject": "project_applicant person holder",
        "AppointVerifier": "centre",
        "AssessProject": "centre",
        "OpenNotice": "centre exchange",
        "PublishProject": "centre",
        "ClawBack": "bureau centre",
        "ReplaceClawedUnits": "project_applicant scene_body rights_provider holder",
        "RecordConsent": "scene_body person",
        "WithdrawConsent": "scene_body centre person",
        "SubmitActivityData": "project_applicant scene_body person holder",
        "RequestIssuance": "project_applicant scene_body person holder",
        "ApproveIssuance": "centre",
        "TransferLocal": f"exchange {SHANGHAI_PARTIES}",
        "TransferOut": f"exchange {SHANGHAI_PARTIES}",
        "ReceiveTransfer": "*",
        "Retire": SHANGHAI_PARTIES,
        "Cancel": "centre",
        "Encumber": "project_applicant scene_body rights_provider holder",
        "ReleaseEncumbrance": "project_applicant scene_body rights_provider holder",
        "ConvertHolding": "*",
    },
    "sz": {
        "OpenAccount": "platform_operator data_operator",
        "ReconcileHolding": "platform_operator",
        "RegisterDataOperator": "bureau",
        "KeepExpertPool": "bureau",
        "PublishRuleDocument": "bureau",
        "ReadRegister": "bureau branch_office platform_operator",
        "OpenSupervisionCase": "bureau branch_office platform_operator",
        "ReadPersonalRecords": "bureau data_operator",
        "SubmitMethodology": "data_operator sme scene_unit covered_emitter holder",
        "AppointPanel": "bureau counterpart_department",
        "AssessMethodology": "expert",
        "PublishMethodology": "bureau",
        "RegisterSceneNorm": "bureau counterpart_department",
        "SubmitScene": "scene_unit",
        "AssessScene": "counterpart_department",
        "LabelScene": "bureau",
        "SubmitProject": SHENZHEN_PARTIES,
        "AppointVerifier": "bureau data_operator sme",
        "AssessProject": "expert",
        "PublishProject": "bureau",
        "SubmitActivityData": "data_operator sme",
        "RequestIssuance": SHENZHEN_PARTIES,
        "ApproveIssuance": "bureau",
        "TransferLocal": f"platform_operator {SHENZHEN_PARTIES}",
        "TransferOut": f"platform_operator {SHENZHEN_PARTIES}",
        "ReceiveTransfer": "*",
        "Retire": SHENZHEN_PARTIES,
        "Cancel": "bureau",
        "Encumber": "data_operator sme covered_emitter holder",
        "ReleaseEncumbrance": "data_operator sme covered_emitter holder",
        "ConvertHolding": "*",
        "ClawBack": "bureau platform_operator",
        "ReplaceClawedUnits": "data_operator sme covered_emitter holder",
        "RecordConsent": "data_operator household person",
        "WithdrawConsent": "data_operator platform_operator household person",
        "RequestCertificate": SHENZHEN_PARTIES,
        "RecogniseCertificate": "*",
        "RevokeCertificate": "*",
        "SignCertificate": "platform_operator",
        "MintPoints": "platform_operator",
    },
    "yn": {
        "OpenAccount": "epd",
        "ReconcileHolding": "epd",
        "KeepExpertPool": "epd",
        "PublishRuleDocument": "epd",
        "ReadRegister": "epd ftz_office area_committee",
        "OpenSupervisionCase": "epd",
        "SubmitMethodology": "area_committee developer",
        "PublishMethodology": "epd",
        "SubmitProject": "*",
        "SubmitScene": "*",
        "RequestIssuance": "*",
        "ApproveIssuance": "*",
        "TransferLocal": "*",
        "TransferOut": "*",
        "ReceiveTransfer": "*",
        "Retire": "*",
        "Cancel": "epd",
        "ConvertHolding": "*",
        "EnterReserve": "epd area_committee",
        "LinkReserveEntry": "epd ftz_office area_committee developer",
        "ChangeReserveEntry": "epd area_committee",
        "IssueFilingProof": "epd developer",
        "PublishReserve": "epd",
    },
}
PACKS = {name: load_pack(SHIPPED_PACKS / f"{name}_draft", network_id="test-1") for name in EXPECTED}
CELLS = [
    (name, role, act)
    for name, pack in PACKS.items()
    for role in sorted(pack.data.roles.roles)
    for act in sorted(ACTS_BY_NAME)
]


@pytest.mark.parametrize(("name", "role", "act"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_role_may_perform_an_act_or_not(name: str, role: str, act: str) -> None:
    allowed = EXPECTED[name].get(act, "").split()
    expected = "*" in allowed or role.removeprefix(f"{name}.") in allowed
    assert PACKS[name].data.roles.permits(role, act) is expected


@pytest.mark.parametrize(
    ("name", "one", "other", "first_act", "second_act"),
    [
        ("sz", "sz.counterpart_department", "sz.bureau", "AssessScene", "LabelScene"),
        ("sz", "sz.expert", "sz.bureau", "AssessProject", "PublishProject"),
        ("sh", "sh.centre", "sh.bureau", "AssessMethodology", "PublishMethodology"),
        ("sh", "sh.centre", "sh.exchange", "ApproveIssuance", "AdmitRightsProvider"),
        ("sh", "sh.project_applicant", "sh.centre", "RequestIssuance", "ApproveIssuance"),
        ("sz", "sz.data_operator", "sz.bureau", "RequestIssuance", "ApproveIssuance"),
    ],
)
def test_two_duties_that_must_be_apart_lie_with_two_roles(
    name: str, one: str, other: str, first_act: str, second_act: str
) -> None:
    roles = PACKS[name].data.roles
    assert roles.permits(one, first_act)
    assert roles.permits(other, second_act)
    assert not roles.permits(one, second_act)
    assert not roles.permits(other, first_act)


def test_no_role_of_a_text_can_be_missing_from_its_pack() -> None:
    named = {
        "sz": "bureau branch_office counterpart_department platform_operator data_operator sme household "
        "person third_party expert scene_unit covered_emitter",
        "sh": "bureau district_bureau centre exchange technical_body project_applicant scene_body "
        "rights_provider person",
        "yn": "epd ftz_office area_committee developer",
    }
    for name, roles in named.items():
        assert {f"{name}.{role}" for role in roles.split()} <= set(PACKS[name].data.roles.roles)
