"""Records that a file carries when it is decided: assessments, panels, reports, notices, audits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Result of a technical assessment.

    Args:
        passed: whether the file passed.
        assessed_on: legal date of the record.
        assessor_ids: persons who assessed.
        reasons: why it did not pass.
    """

    passed: bool
    assessed_on: date
    assessor_ids: frozenset[str] = frozenset()
    reasons: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelMember:
    """An expert on a panel, with what could make the expert stand aside.

    Args:
        expert_id: register id.
        in_pool: whether the expert is in the inclusion pool on the day.
        fields: fields in which the expert was appointed.
        wrote_the_file: author of the file.
        employed_by_author: works for an author of the file.
        employed_by_applicant: works for the applicant.
        declared_interest: an interest that the expert declared, in words.
    """

    expert_id: str
    in_pool: bool = True
    fields: frozenset[str] = frozenset()
    wrote_the_file: bool = False
    employed_by_author: bool = False
    employed_by_applicant: bool = False
    declared_interest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertDraw:
    """Record of a draw: enough to redo it.

    Args:
        record_digest: digest of the whole record (pool, exclusions, seed, procedure, panel).
        pool_digest: digest of the frozen pool.
        field: field that was asked for.
        wanted: size of the panel that was to be drawn.
        eligible: experts left after exclusion.
        recomputed: whether the node redid the draw from the record and got the same panel.
    """

    record_digest: str
    pool_digest: str
    field: str
    wanted: int
    eligible: int
    recomputed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Experts who look at a file, and the draw behind them where one was held."""

    members: tuple[PanelMember, ...]
    draw: ExpertDraw | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdParty:
    """A body that validates or verifies, as its register shows it on the day."""

    body: str
    qualified: bool = True
    suspended_from: date | None = None

    def suspended(self, on: date) -> bool:
        """Whether it is suspended on the legal date."""
        return self.suspended_from is not None and self.suspended_from <= on


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A validation or verification report of a third party.

    Args:
        kind: ``validation`` or ``verification``.
        third_party: who made it.
        appointed_by_role: role that commissioned it.
    """

    kind: str
    third_party: ThirdParty
    appointed_by_role: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultation:
    """A public consultation.

    Args:
        first_day: day on which it opened.
        last_day: its last day.
        comments_answered: whether every comment was answered.
        working_days: working days from the first to the last day, by the calendar then in force.
    """

    first_day: date
    last_day: date
    comments_answered: bool
    working_days: int = 0

    @property
    def calendar_days(self) -> int:
        """Days from the first to the last, both included."""
        return (self.last_day - self.first_day).days + 1

    def closed(self, on: date) -> bool:
        """Whether it is over on the legal date, with answers."""
        return self.last_day < on and self.comments_answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A public notice (公示) as it was computed when it opened; it is never recomputed.

    Args:
        first_day: day on which it opened.
        last_day: last working day of the notice, after any extension.
        working_days: number of working days it covers by the calendar then in force.
        first_day_counted: whether the first day was counted.
        objections_unanswered: objections on file without an answer.
    """

    first_day: date
    last_day: date
    working_days: int
    first_day_counted: bool
    objections_unanswered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Audit of a project's implementation; an outside body is optional."""

    passed: bool
    audited_on: date
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A departure from a rule that holds only in principle: reason, and who approved it beside the actor."""

    reason: str
    second_approver_id: str
    second_approver_role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """Authorisation of a scene body to compute and supply data, half-open."""

    valid_from: date
    valid_to: date | None = None

    def covers(self, start: date, end: date) -> bool:
        """Whether the whole half-open period lies within."""
        return self.valid_from <= start and (self.valid_to is None or end <= self.valid_to)
