"""Facts of a project's way into the register."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.claims import ClaimAnswer
from tanqiao_region.domain.rules.facts.files import Assessment, Notice, Panel, Report, ThirdParty
from tanqiao_region.domain.rules.facts.methodologies import MethodologyVersion
from tanqiao_region.domain.rules.facts.parties import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFacts(Facts):
    """What every step of a project looks at.

    Args:
        project_id: number in the register.
        participant: who has or applies for the project.
        methodology: the methodology version it is under.
        documents: documents in the file.
        reports: third parties' reports in the file.
        capacity_w: installed capacity in watts, where the methodology has a limit.
        claim: answer of the claim check on the asset, if it was asked.
        registered_operators: ids of the operators through whom an individual could act.
    """

    project_id: str
    participant: Subject
    methodology: MethodologyVersion
    documents: frozenset[str] = frozenset()
    reports: tuple[Report, ...] = ()
    capacity_w: int | None = None
    claim: ClaimAnswer | None = None
    registered_operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitProject(ProjectFacts):
    """A project is applied for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppointVerifier(ProjectFacts):
    """A third party is appointed to validate or verify a project."""

    third_party: ThirdParty


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessProject(ProjectFacts):
    """The result of a project's technical assessment is recorded.

    Args:
        assessment: the result to be recorded.
        panel: the experts, where experts assess.
    """

    assessment: Assessment
    panel: Panel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNotice(Facts):
    """A public notice of a project or scene is opened.

    Args:
        object_kind: ``project`` or ``scene``.
        object_id: its number.
        assessment: result of the technical assessment, if one is on record.
        notice: first and last day as computed by the pack's rule and the calendar.
        claim: answer of the claim check, which is asked before a notice opens.
    """

    object_kind: str
    object_id: str
    assessment: Assessment | None
    notice: Notice
    claim: ClaimAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishProject(ProjectFacts):
    """A project is registered and published.

    Args:
        assessment: result of the technical assessment, if one is on record.
        panel: the experts behind it, where experts assess.
        notice: the public notice, if one was held.
        reviewer_id: who reviewed the experts' result, where that is a step of its own.
    """

    assessment: Assessment | None = None
    panel: Panel | None = None
    notice: Notice | None = None
    reviewer_id: str | None = None
