"""What each event of a dossier is: whose it is, which act of the rule pack it performs, what it changes.

The state machine of the pack says which events are open in a state. This table says what an event means, for
every kind of dossier; it is the same in every region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import optional_text, require_text, wire_date
from tanqiao_region.application import experts
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.methodologies import Methodologies
from tanqiao_region.application.register_checks import (
    ASSESSORS_MAX,
    OPINION_LENGTH_MAX,
    act_facts,
    require_id,
    require_owner,
)
from tanqiao_region.application.register_facts import (
    DECLARATION,
    KINDS,
    assessment_of,
    date_or_none,
    document_kinds,
    panel_of,
)
from tanqiao_region.application.rules import subject_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import dossiers as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.dossiers import DossierRow

METHODOLOGY: Final = dossiers_pb2.DOSSIER_KIND_METHODOLOGY
SCENE_NORM: Final = dossiers_pb2.DOSSIER_KIND_SCENE_NORM
LOW_CARBON_SCENE: Final = dossiers_pb2.DOSSIER_KIND_LOW_CARBON_SCENE
BEHAVIOUR_SCENE: Final = dossiers_pb2.DOSSIER_KIND_BEHAVIOUR_SCENE
DATA_OPERATOR: Final = dossiers_pb2.DOSSIER_KIND_DATA_OPERATOR
RIGHTS_PROVIDER: Final = dossiers_pb2.DOSSIER_KIND_RIGHTS_PROVIDER
THIRD_PARTY: Final = dossiers_pb2.DOSSIER_KIND_THIRD_PARTY

PUBLISHED: Final = "PUBLISHED"
RULE_TEXT_LENGTH_MAX: Final = 4000


@dataclass(frozen=True, slots=True)
class Taking:
    """A step that is being taken: the dossier, who takes it, and what it brings."""

    group: Group
    row: DossierRow
    by: By
    event: str
    evidence: dossiers_pb2.StepEvidence
    digest: str
    signatures: tuple[acts.Signature, ...]

    @property
    def message(self) -> dossiers_pb2.Dossier:
        """The dossier."""
        return self.row.message

    def own_facts(self) -> dict[str, Any]:
        """What an act of the applicant has."""
        return act_facts(self.group, self.by)

    def facts(self) -> dict[str, Any]:
        """What a decision has: also who submitted the file, and the signatures over the decision."""
        return {
            **self.own_facts(),
            "submitted_by": self.row.submitted_by,
            "decision_digest": self.digest,
            "signatures": self.signatures,
        }

    def applicant(self) -> acts.Subject:
        """The applicant, as the account says who that is."""
        account = require_owner(self.group, self.message.account_id, "dossier.account_id")
        return subject_of(account, self.group.context.region_code)

    def read_assessment(self, *, passed: bool) -> acts.Assessment:
        """Note the assessment that the step brings."""
        evidence = self.evidence
        if len(evidence.assessors) > ASSESSORS_MAX:
            count = len(evidence.assessors)
            raise DomainError("BATCH_TOO_LARGE", field="evidence.assessors", limit=ASSESSORS_MAX, count=count)
        for position, assessor in enumerate(evidence.assessors):
            require_text(assessor, f"evidence.assessors[{position}]", length_max=64)
        opinion = optional_text(evidence.opinion, "evidence.opinion", length_max=OPINION_LENGTH_MAX)
        self.message.assessment.CopyFrom(
            registers_pb2.TechnicalAssessment(
                passed=passed,
                assess_date=wire_date(self.group.legal_date),
                assessors=list(evidence.assessors) or [self.by.party],
                opinion=opinion,
            )
        )
        return self.assessment()  # type: ignore[return-value]  # it was made above

    def assessment(self) -> acts.Assessment | None:
        """The assessment on record."""
        return assessment_of(self.message.assessment if self.message.HasField("assessment") else None)


Perform = Callable[[Taking], Verdict]


@dataclass(frozen=True, slots=True)
class Event:
    """What an event means.

    Args:
        perform: asks the rules and changes the dossier; None where no article describes the step.
        duty: acts whose holders may take such a step; empty = nobody's role is asked.
        by_applicant: only who submitted the dossier may take it.
        with_reason: the step must say why.
        act: the act that a pack may give to two bodies together; empty = the step is one body's.
        own_list: the office keeps this list itself; nobody applies, so that nobody approves another's file.
    """

    perform: Perform | None = None
    duty: tuple[str, ...] = ()
    by_applicant: bool = False
    with_reason: bool = False
    act: str = ""
    own_list: bool = False


def perform_duty(taking: Taking, event: Event) -> Verdict:
    """Take a step that no article describes."""
    facts = taking.own_facts()
    if not event.by_applicant and not event.own_list and taking.row.steps:
        facts["submitted_by"] = taking.row.submitted_by
    return taking.group.pack.require_duty(acts.Facts(**facts), event.duty)


# -- methodologies


def _submit_methodology(taking: Taking) -> Verdict:
    message = taking.message
    if message.methodology_kind not in KINDS:
        raise DomainError("FIELD_MISSING", field="dossier.methodology_kind")
    require_text(message.quantification, "dossier.quantification", length_max=64)
    return taking.group.pack.require(
        acts.SubmitMethodology(
            **taking.own_facts(),
            number=message.dossier_id,
            kind=KINDS[message.methodology_kind],
            parts=frozenset(message.parts),
            documents=document_kinds(message.documents),
        )
    )


def _draw_panel(taking: Taking) -> Verdict:
    message = taking.message
    experts.draw_panel(taking.group, message)
    return taking.group.pack.require(
        acts.AppointPanel(
            **taking.facts(), panel_for="methodology", field=message.field, panel=panel_of(message.panel)
        )
    )


def _assess_methodology(taking: Taking) -> Verdict:
    message = taking.message
    assessment = taking.read_assessment(passed=taking.event == "pass_assessment")
    return taking.group.pack.require(
        acts.AssessMethodology(
            **taking.facts(),
            number=message.dossier_id,
            panel=panel_of(message.panel) if message.panel.members else None,
            assessment=assessment,
        )
    )


def _close_consultation(taking: Taking) -> Verdict:
    verdict = perform_duty(taking, Event(duty=("AssessMethodology",)))
    given = taking.evidence.consultation
    first = date_or_none(given.first_day, "evidence.consultation.first_day")
    last = date_or_none(given.last_day, "evidence.consultation.last_day")
    held = first is not None and last is not None and first <= last < taking.group.legal_date
    if not held or not given.comments_answered:
        raise DomainError("CONSULTATION_NOT_HELD")
    taking.message.consultation.CopyFrom(given)
    return verdict


def publish_methodology(taking: Taking, methodologies: Methodologies) -> Verdict:
    """Put the methodology of a dossier on the register."""
    message = taking.message
    request = registers_pb2.PublishMethodologyRequest(
        methodology=registers_pb2.Methodology(
            methodology_id=message.dossier_id,
            kind=message.methodology_kind,
            unit_class=message.unit_class,
            title=message.title,
            quantification=message.quantification,
            invented=message.invented,
        ),
        parts=message.parts,
        documents=message.documents,
    )
    for name in ("assessment", "consultation", "panel"):
        if message.HasField(name):
            getattr(request, name).CopyFrom(getattr(message, name))
    published, verdict = methodologies.enter(
        taking.group,
        taking.by,
        request,
        submitted_by=taking.row.submitted_by,
        missing_documents=frozenset(taking.evidence.missing_documents),
    )
    message.publish_date.CopyFrom(published.publish_date)
    return verdict


def _end_methodology(taking: Taking) -> Verdict:
    verdict = perform_duty(taking, Event(duty=("PublishMethodology",)))
    register_store.end_methodology(
        taking.group.connection,
        taking.message.dossier_id,
        taking.group.legal_date_text,
        running_projects_keep_it=taking.event != "stop",
    )
    return verdict


# -- norms and scenes


def _assess_norm(taking: Taking) -> Verdict:
    # The department leads the norm and organises its assessment: the text names nobody else (SZ-13a).
    verdict = perform_duty(taking, Event(duty=("RegisterSceneNorm",), own_list=True))
    taking.read_assessment(passed=taking.evidence.passed)
    return verdict


def _register_norm(taking: Taking) -> Verdict:
    message = taking.message
    message.publish_date.CopyFrom(wire_date(taking.group.legal_date))
    return taking.group.pack.require(
        acts.RegisterSceneNorm(
            **taking.facts(),
            norm_version=message.dossier_id,
            owning_department=taking.row.submitted_by,
            assessment=taking.assessment(),
        )
    )


def _apply_for_scene(kind: acts.SceneKind) -> Perform:
    def perform(taking: Taking) -> Verdict:
        message = taking.message
        return taking.group.pack.require(
            acts.SubmitScene(
                **taking.own_facts(),
                scene_id=message.dossier_id,
                scene_kind=kind,
                applicant=taking.applicant(),
                documents=document_kinds(message.documents),
            )
        )

    return perform


def _evaluate_scene(taking: Taking) -> Verdict:
    message, pack = taking.message, taking.group.pack
    norm_id = require_id(taking.evidence.norm_id, "evidence.norm_id")
    norm = store.load_dossier(taking.group.connection, SCENE_NORM, norm_id)
    if norm is None or norm.message.state != PUBLISHED:
        raise DomainError("NOT_FOUND", field="evidence.norm_id", what="scene_norm", id=norm_id)
    assessment = taking.read_assessment(passed=taking.evidence.passed)
    panel = experts.panel_of_experts(taking.group, message, message.assessment.assessors)
    verdict = pack.require(
        acts.AssessScene(
            **taking.facts(),
            scene_id=message.dossier_id,
            scene_kind=acts.SceneKind.LOW_CARBON,
            assessment=assessment,
            norm_version=norm_id,
            panel=panel,
        )
    )
    pack.require(acts.AppointPanel(**taking.facts(), panel_for="scene", field=message.field, panel=panel))
    message.norm_id = norm_id
    return verdict


def _label_scene(taking: Taking) -> Verdict:
    message = taking.message
    verdict = taking.group.pack.require(
        acts.LabelScene(
            **taking.facts(),
            scene_id=message.dossier_id,
            evaluation=taking.assessment(),
            missing_documents=frozenset(taking.evidence.missing_documents),
        )
    )
    message.label_number = require_text(taking.evidence.label_number, "evidence.label_number", length_max=64)
    message.publish_date.CopyFrom(wire_date(taking.group.legal_date))
    return verdict


def _decide_behaviour_scene(taking: Taking) -> Verdict:
    message, evidence = taking.message, taking.evidence
    if taking.event == "rule":
        message.rule_text = require_text(
            evidence.rule_text, "evidence.rule_text", length_max=RULE_TEXT_LENGTH_MAX
        )
        message.yields = require_text(evidence.yields, "evidence.yields", length_max=64)
    if taking.event == "activate":
        message.publish_date.CopyFrom(wire_date(taking.group.legal_date))
    return taking.group.pack.require(
        acts.DecideBehaviourScene(**taking.facts(), scene_id=message.dossier_id, yields=message.yields)
    )


# -- bodies


def _register_operator(taking: Taking) -> Verdict:
    evidence, message = taking.evidence, taking.message
    signed = taking.group.legal_date if DECLARATION in document_kinds(message.documents) else None
    account = taking.applicant()
    applicant = acts.Subject(
        subject_id=account.subject_id,
        subject_type=account.subject_type,
        seat_region=account.seat_region,
        declaration_signed_on=signed,
    )
    verdict = taking.group.pack.require(
        acts.RegisterDataOperator(
            **taking.facts(),
            applicant=applicant,
            has_personal_accounts=evidence.has_personal_accounts,
            records_behaviour=evidence.records_behaviour,
            fields=frozenset(evidence.fields_of_work),
        )
    )
    message.publish_date.CopyFrom(wire_date(taking.group.legal_date))
    return verdict


def _admit_provider(taking: Taking) -> Verdict:
    verdict = taking.group.pack.require(
        acts.AdmitRightsProvider(**taking.facts(), applicant=taking.applicant())
    )
    taking.message.publish_date.CopyFrom(wire_date(taking.group.legal_date))
    return verdict


def _decided_by(*duty: str) -> Event:
    return Event(duty=duty, with_reason=True)


_WITHDRAW: Final = Event(by_applicant=True, with_reason=True)
_ASSESS_METHODOLOGY: Final = Event(_assess_methodology)
_END_METHODOLOGY: Final = Event(_end_methodology, with_reason=True)
_PUBLISHER: Final = _decided_by("PublishMethodology")
_SCENE: Final = _decided_by("AssessScene", "LabelScene")
_BEHAVIOUR: Final = Event(_decide_behaviour_scene, act="DecideBehaviourScene")
_BEHAVIOUR_ENDS: Final = Event(_decide_behaviour_scene, with_reason=True, act="DecideBehaviourScene")
_OPERATOR: Final = _decided_by("RegisterDataOperator")
_LISTED: Final = Event(duty=("PublishProject",), with_reason=True, own_list=True)

PUBLISH_METHODOLOGY: Final = "publish"
"""The one event that needs the register of methodologies (`publish_methodology`)."""


@dataclass(frozen=True, slots=True)
class KindOfDossier:
    """A kind: its machine's name in the pack, and what each of its events means."""

    machine: str
    events: dict[str, Event] = field(default_factory=dict)


KINDS_OF_DOSSIER: Final[dict[int, KindOfDossier]] = {
    METHODOLOGY: KindOfDossier(
        "methodology",
        {
            "open": Event(duty=("SubmitMethodology",)),
            "submit": Event(_submit_methodology, by_applicant=True),
            "draw_panel": Event(_draw_panel),
            "pass_assessment": _ASSESS_METHODOLOGY,
            "fail_assessment": _ASSESS_METHODOLOGY,
            "close_consultation": Event(_close_consultation),
            PUBLISH_METHODOLOGY: Event(),
            "supersede": _END_METHODOLOGY,
            "stop": _END_METHODOLOGY,
            "revise": _END_METHODOLOGY,
            "request_revision": _decided_by("SubmitMethodology", "PublishMethodology"),
            "review": _PUBLISHER,
            "keep": _PUBLISHER,
            "reject": _decided_by("PublishMethodology", "AssessMethodology"),
            "withdraw": _WITHDRAW,
        },
    ),
    SCENE_NORM: KindOfDossier(
        "scene_norm",
        {
            "draft": Event(duty=("RegisterSceneNorm",)),
            "assess": Event(_assess_norm),
            "register": Event(_register_norm, act="RegisterSceneNorm"),
            "supersede": _decided_by("RegisterSceneNorm"),
            "reject": _decided_by("RegisterSceneNorm"),
            "withdraw": _WITHDRAW,
        },
    ),
    LOW_CARBON_SCENE: KindOfDossier(
        "low_carbon_scene",
        {
            "apply": Event(_apply_for_scene(acts.SceneKind.LOW_CARBON)),
            "evaluate": Event(_evaluate_scene),
            "label": Event(_label_scene),
            "suspend": _SCENE,
            "resume": _SCENE,
            "delabel": _SCENE,
            "reject": _SCENE,
            "withdraw": _WITHDRAW,
        },
    ),
    BEHAVIOUR_SCENE: KindOfDossier(
        "behaviour_scene",
        {
            "propose": Event(_apply_for_scene(acts.SceneKind.BEHAVIOUR)),
            "rule": _BEHAVIOUR,
            "activate": _BEHAVIOUR,
            "review": _decided_by("DecideBehaviourScene"),
            "keep": _BEHAVIOUR_ENDS,
            "end": _BEHAVIOUR_ENDS,
            "reject": _decided_by("DecideBehaviourScene"),
            "withdraw": _WITHDRAW,
        },
    ),
    DATA_OPERATOR: KindOfDossier(
        "data_operator",
        {
            "apply": Event(),
            "register": Event(_register_operator),
            "suspend": _OPERATOR,
            "resume": _OPERATOR,
            "reject": _OPERATOR,
            "withdraw": _WITHDRAW,
        },
    ),
    RIGHTS_PROVIDER: KindOfDossier(
        "rights_provider",
        {
            "apply": Event(),
            "admit": Event(_admit_provider),
            "leave": Event(by_applicant=True, with_reason=True),
            "reject": _decided_by("AdmitRightsProvider"),
            "withdraw": _WITHDRAW,
        },
    ),
    THIRD_PARTY: KindOfDossier(
        "third_party",
        {"qualify": Event(duty=("PublishProject",)), "suspend": _LISTED, "resume": _LISTED},
    ),
}
"""Every kind there is; a pack that has no machine for a kind has no such dossiers."""
