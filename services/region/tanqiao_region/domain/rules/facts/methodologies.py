"""Facts of the methodology register, of expert panels and of scene norms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.files import Assessment, Consultation, Panel


class MethodologyKind(StrEnum):
    """For what a methodology computes reductions."""

    PROJECT = "project"
    SCENE = "scene"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodologyVersion:
    """A methodology as the register shows it.

    Args:
        number: its number.
        region: division code of the region that published it.
        programme: symbol of the programme whose units it yields.
        kind: project or scene.
        unit_class: class that every unit under it carries; empty where the region knows none.
        published_on: date of publication.
        stopped_on: date from which it is no longer in use.
        capacity_max_w: greatest installed capacity it applies to, in watts, if it has a limit.
        crediting_years_max: years from grid connection for which it yields units, if it has a limit.
    """

    number: str
    region: str
    programme: str
    kind: MethodologyKind
    unit_class: str = ""
    published_on: date | None = None
    stopped_on: date | None = None
    capacity_max_w: int | None = None
    crediting_years_max: int | None = None

    def usable(self, on: date) -> bool:
        """Whether it is published and in use on the legal date."""
        if self.published_on is None or on < self.published_on:
            return False
        return self.stopped_on is None or on < self.stopped_on


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitMethodology(Facts):
    """A methodology is handed in.

    Args:
        number: number under which the draft is kept.
        kind: project or scene.
        parts: parts that its text has, such as ``baseline``.
        documents: documents in the file, such as ``application_form``.
    """

    number: str
    kind: MethodologyKind
    parts: frozenset[str]
    documents: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointPanel(Facts):
    """Experts are put on a panel.

    Args:
        panel_for: what they look at: ``methodology``, ``scene_norm``, ``scene`` or ``project``.
        field: field of the file.
        panel: the experts and the draw.
    """

    panel_for: str
    field: str
    panel: Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessMethodology(Facts):
    """The result of a methodology's technical assessment is recorded."""

    number: str
    panel: Panel | None
    assessment: Assessment


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishMethodology(Facts):
    """A methodology is registered and published; from then on units can be issued under it.

    Args:
        methodology: the version to be published, with kind and class fixed.
        parts: parts that its text has.
        documents: documents in the file.
        missing_documents: further documents that the decider found to be missing.
        panel: who assessed it, where experts did.
        assessment: result of the technical assessment, if one is on record.
        consultation: the public consultation, if one was held.
    """

    methodology: MethodologyVersion
    parts: frozenset[str]
    documents: frozenset[str]
    missing_documents: frozenset[str] = frozenset()
    panel: Panel | None = None
    assessment: Assessment | None = None
    consultation: Consultation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSceneNorm(Facts):
    """An evaluation norm for scenes is registered and published."""

    norm_version: str
    owning_department: str
    assessment: Assessment | None
