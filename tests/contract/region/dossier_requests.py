"""Good requests to the dossiers of a region node, and the dossiers that they are about."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.rpc.validation import wire_date
from tanqiao.signing.body_decisions import DOSSIER as DOSSIER_DECISION
from tanqiao.signing.body_decisions import to_sign
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossiers import step_digest
from tanqiao_region.storage.dossiers import load_dossier
from tests.contract.region.served import REGION
from tests.contract.region_registers.office import APPLICANT, Office, ask

DOSSIER: Final = f"{REGION}DossierService/"
METHODOLOGY: Final = dossiers_pb2.DOSSIER_KIND_METHODOLOGY
BEHAVIOUR: Final = dossiers_pb2.DOSSIER_KIND_BEHAVIOUR_SCENE
KNOWN: Final = "SHCER01970012026I"
SCENE: Final = "WALK-1"
SCENE_BODY: Final = By("operator/310000/sh.scene_body", "sh.scene_body")


def _fresh() -> str:
    return secrets.token_hex(8)


def _dossier(**values: Any) -> dossiers_pb2.Dossier:
    fields = {
        "kind": METHODOLOGY,
        "dossier_id": f"M-{_fresh()}",
        "title": "虚构方法学 invented",
        "parts": ["baseline", "additionality", "computation", "monitoring_plan"],
        "methodology_kind": registers_pb2.METHODOLOGY_KIND_PROJECT,
        "unit_class": "I",
        "quantification": "distributed_pv",
        "invented": True,
        **values,
    }
    return dossiers_pb2.Dossier(**fields)


def _open() -> dossiers_pb2.OpenDossierRequest:
    return dossiers_pb2.OpenDossierRequest(request_id=_fresh(), dossier=_dossier())


def _step(kind: Any, event: str, **evidence: Any) -> Callable[[Any], Any]:
    dossier_id = KNOWN if kind == METHODOLOGY else SCENE
    return lambda _: dossiers_pb2.TakeStepRequest(
        request_id=_fresh(),
        kind=kind,
        dossier_id=dossier_id,
        event=event,
        evidence=dossiers_pb2.StepEvidence(**evidence),
    )


def _sign(world: Any) -> Any:
    request = dossiers_pb2.SignStepRequest(
        kind=BEHAVIOUR,
        dossier_id=SCENE,
        event="rule",
        evidence=dossiers_pb2.StepEvidence(rule_text="步数 steps", yields="experience_value"),
    )
    node = world.shanghai.node
    with node.region.database.reading() as connection:
        row = load_dossier(connection, BEHAVIOUR, SCENE)
    assert row is not None
    pack = node.context.pack(node.context.now().date())
    digest = bytes.fromhex(step_digest(pack, row.message, "rule", request.evidence))
    content = request.SerializeToString(deterministic=True)
    unsigned = to_sign(DOSSIER_DECISION, SCENE, content, digest, node.context.now())
    request.request_id = _fresh()
    request.statement.CopyFrom(world.shanghai.network.decision(unsigned, ("operator/310000/sh.exchange", 1)))
    return request


def _share(_world: Any) -> Any:
    return dossiers_pb2.GiveSeedShareRequest(
        request_id=_fresh(), kind=METHODOLOGY, dossier_id=KNOWN, commitment=bytes(32)
    )


def _expert(_world: Any) -> Any:
    return dossiers_pb2.KeepExpertRequest(
        request_id=_fresh(),
        expert=dossiers_pb2.Expert(
            expert_id="E-1",
            name="虚构专家 invented",
            fields=["energy"],
            appoint_date=wire_date(date(2026, 1, 1)),
        ),
    )


GOOD: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    DOSSIER + "OpenDossier": ("sh.technical_body", lambda _: _open()),
    DOSSIER + "TakeStep": ("sh.centre", _step(METHODOLOGY, "pass_assessment", assessors=["E-1"])),
    DOSSIER + "SignStep": ("sh.exchange", _sign),
    DOSSIER + "GiveSeedShare": ("sh.centre", _share),
    DOSSIER + "GetDossier": (
        "sh.centre",
        lambda _: dossiers_pb2.GetDossierRequest(kind=METHODOLOGY, dossier_id=KNOWN),
    ),
    DOSSIER + "ListDossiers": (
        "reader/national",
        lambda _: dossiers_pb2.ListDossiersRequest(kind=METHODOLOGY, page_size=1),
    ),
    DOSSIER + "ListDossierSteps": (
        "sh.centre",
        lambda _: dossiers_pb2.ListDossierStepsRequest(kind=METHODOLOGY, dossier_id=KNOWN, page_size=1),
    ),
    DOSSIER + "KeepExpert": ("sh.bureau", _expert),
    DOSSIER + "ListExperts": ("sh.bureau", lambda _: dossiers_pb2.ListExpertsRequest(page_size=1)),
}


def furnish(office: Office) -> None:
    """Open a methodology's dossier and a behaviour scene's."""
    for given, by in (
        (_dossier(dossier_id=KNOWN), APPLICANT),
        (_dossier(kind=BEHAVIOUR, dossier_id=SCENE, account_id=office.owner), SCENE_BODY),
    ):
        request = dossiers_pb2.OpenDossierRequest(request_id=_fresh(), dossier=given)
        office.office.dossiers.open(ask(request, by), request)
