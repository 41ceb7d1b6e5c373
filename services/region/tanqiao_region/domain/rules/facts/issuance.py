"""Facts of activity data and of issuance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.claims import ClaimAnswer
from tanqiao_region.domain.rules.facts.files import Assessment, Audit, Authorisation, Override, Report
from tanqiao_region.domain.rules.facts.methodologies import MethodologyVersion
from tanqiao_region.domain.rules.facts.parties import Subject


class IssuanceSource(StrEnum):
    """What units are asked for."""

    PROJECT = "project"
    REDUCTION_SCENE = "reduction_scene"
    LOW_CARBON_SCENE = "low_carbon_scene"
    BEHAVIOUR_SCENE = "behaviour_scene"
    RESERVE_ENTRY = "reserve_entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitActivityData(Facts):
    """A batch of activity data is handed in for a period.

    Args:
        source: what the data are about.
        source_id: number of the project or scene.
        submitter: who hands in.
        period_start: first day of the data.
        period_end: day after the last day of the data.
        lines_outside_mandate: references of records whose user gave no mandate for their day.
        lines_without_consent: number of records whose user has not consented or has withdrawn.
        lines_withdrawn: number of records whose user has taken a consent back.
        feed_validated: whether the feed they came by has passed its validation.
        authorisation: authorisation of the scene body, for a scene.
        evidence: links of the evidence chain that the batch brings, such as ``data_batch_digest``.
    """

    source: IssuanceSource
    source_id: str
    submitter: Subject
    period_start: date
    period_end: date
    lines_outside_mandate: tuple[str, ...] = ()
    lines_without_consent: int = 0
    lines_withdrawn: int = 0
    feed_validated: bool = True
    authorisation: Authorisation | None = None
    evidence: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceFacts(Facts):
    """What a request for units and its approval look at.

    Args:
        source: what units are asked for.
        source_id: number of the project, scene or entry.
        programme: symbol of the programme of the units asked for.
        participant: who has the project or scene.
        methodology: the methodology version, if one is named.
        quantity_kg: units asked for, in kilograms.
        grain_kg: least quantity of this programme and source, from the pack's unit rules.
        period_start: first day of the reductions.
        period_end: day after the last day of the reductions.
        published_on: date of publication of the project or scene, if it is published.
        earlier_issuances: legal dates of this source's earlier issuances.
        override: departure from the yearly rhythm, if one is asked.
        audit: audit of the implementation, if one is on record.
        assessment: experts' assessment of the reductions, if one is on record.
        reviewer_id: who reviewed that assessment.
        reports: third parties' reports.
        documents: documents in the file.
        claim: answer of the claim check, if it was asked.
        evidence: links of the evidence chain that are on file.
        authorisation: authorisation of a scene body.
        feed_validated: whether the scene's feed passed its validation and is connected.
        computed_kg: the node's own computation by the methodology's plug-in.
        submitted_kg: what the scene body computed, for a scene.
        grid_connected_on: date of grid connection, where the methodology counts from it.
        registered_operators: ids of the operators through whom an individual could act.
    """

    source: IssuanceSource
    source_id: str
    programme: str
    participant: Subject
    methodology: MethodologyVersion | None
    quantity_kg: int
    grain_kg: int
    period_start: date
    period_end: date
    published_on: date | None = None
    earlier_issuances: tuple[date, ...] = ()
    override: Override | None = None
    audit: Audit | None = None
    assessment: Assessment | None = None
    reviewer_id: str | None = None
    reports: tuple[Report, ...] = ()
    documents: frozenset[str] = frozenset()
    claim: ClaimAnswer | None = None
    evidence: frozenset[str] = frozenset()
    authorisation: Authorisation | None = None
    feed_validated: bool = False
    computed_kg: int | None = None
    submitted_kg: int | None = None
    grid_connected_on: date | None = None
    registered_operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestIssuance(IssuanceFacts):
    """Units are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveIssuance(IssuanceFacts):
    """Units are issued.

    Args:
        credited_subject_id: whose account is credited.
    """

    credited_subject_id: str
