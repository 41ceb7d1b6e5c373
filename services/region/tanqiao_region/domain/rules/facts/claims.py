"""What the claim check answered about the asset of a project (CLAIMS sections 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class ClaimOutcome(StrEnum):
    """Verdict of the claim check."""

    ALLOW = "allow"
    BLOCK = "block"
    HOLD = "hold"
    FREEZE_OTHER = "freeze_other"
    SPLIT = "split"


class CollisionLevel(StrEnum):
    """On what level two claims meet."""

    SUBJECT = "subject"
    PROJECT = "project"
    INTERVAL = "interval"
    QUANTITY = "quantity"
    POLICY = "policy"


class CollisionKind(StrEnum):
    """How the other side stands; it decides which article meets it."""

    LIVE = "live"
    """Applied for, registered, issued or used: declared and not ended."""
    ENDED_APPLICATION = "ended_application"
    """An application that was withdrawn, rejected or lapsed."""
    CERTIFICATE_UNTRADED = "certificate_untraded"
    """A tradable certificate issued automatically and not sold."""
    CERTIFICATE_NOT_TRADABLE = "certificate_not_tradable"
    """A certificate that cannot be sold; it is flagged, never a conflict."""
    CERTIFICATE_SOLD = "certificate_sold"
    """A certificate sold or used, or a green-power contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """One claim elsewhere that the check found.

    Args:
        programme: symbol of the other programme, such as ``CCER``, ``GEC``, ``GREEN_POWER``, ``VCS``.
        reference: its number there.
        applied_on: date of the application or of the state that is reported.
        kind: how the other side stands.
        level: level on which the claims meet.
        same_asset: whether it lies on the asset itself; else only the subject is the same.
        overlap: the common part in words, such as ``2026-01/2026-02``.
        freeze_confirmed: whether the other registry confirmed a freeze.
    """

    programme: str
    reference: str
    applied_on: date
    kind: CollisionKind = CollisionKind.LIVE
    level: CollisionLevel = CollisionLevel.PROJECT
    same_asset: bool = True
    overlap: str = ""
    freeze_confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentRegistry:
    """An outside list that has not answered, and how old the last import is."""

    registry: str
    as_of: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """The verdict of the claim check as the node received it.

    Args:
        outcome: what the check decided.
        claim_id: the claim of the project.
        collisions: every claim named in the verdict.
        silent: lists that did not answer.
        cases: open cases behind a HOLD.
    """

    outcome: ClaimOutcome
    claim_id: str = ""
    collisions: tuple[Collision, ...] = ()
    silent: tuple[SilentRegistry, ...] = ()
    cases: tuple[str, ...] = ()
