"""Facts of scenes: labelled places, reduction scenes that issue units, behaviour scenes that do not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.claims import ClaimAnswer
from tanqiao_region.domain.rules.facts.files import Assessment, Notice, Panel
from tanqiao_region.domain.rules.facts.methodologies import MethodologyVersion
from tanqiao_region.domain.rules.facts.parties import Subject


class SceneKind(StrEnum):
    """The three things that the texts call a scene."""

    LOW_CARBON = "low_carbon"
    REDUCTION = "reduction"
    BEHAVIOUR = "behaviour"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitScene(Facts):
    """A scene is applied for.

    Args:
        scene_id: its number.
        scene_kind: which kind of scene it is.
        applicant: who applies.
        methodology: the methodology, for a reduction scene.
        documents: documents in the file.
        claim: answer of the claim check, for a reduction scene.
    """

    scene_id: str
    scene_kind: SceneKind
    applicant: Subject
    methodology: MethodologyVersion | None = None
    documents: frozenset[str] = frozenset()
    claim: ClaimAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessScene(Facts):
    """The result of a scene's assessment or evaluation is recorded."""

    scene_id: str
    scene_kind: SceneKind
    assessment: Assessment
    norm_version: str = ""
    panel: Panel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScene(Facts):
    """A label is granted to a low-carbon scene, which thereby enters the platform.

    Args:
        evaluation: result of the department's evaluation, if one is on record.
        missing_documents: documents that are missing.
    """

    scene_id: str
    evaluation: Assessment | None
    missing_documents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishScene(Facts):
    """A reduction scene is published after its notice."""

    scene_id: str
    assessment: Assessment | None
    notice: Notice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectScene(Facts):
    """A reduction scene's data feed is connected.

    Args:
        published_on: date of the scene's publication.
        validated_on: date on which the feed passed its validation, if it did.
        has_information_system: whether the scene has a system that records behaviour and computes.
    """

    scene_id: str
    published_on: date | None
    validated_on: date | None
    has_information_system: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideBehaviourScene(Facts):
    """A behaviour scene's quantification rule is decided; it yields experience values."""

    scene_id: str
    yields: str
