"""Facts of users' mandates and consents: recorded, withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from tanqiao_region.domain.rules.facts.base import Facts
from tanqiao_region.domain.rules.facts.parties import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConsent(Facts):
    """What users gave a recipient of their behaviour data is recorded.

    Args:
        recipient: the data-platform operator, or the body of a scene.
    """

    recipient: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawConsent(Facts):
    """A user takes a mandate or a consent back.

    Args:
        recipient: to whom it was given.
    """

    recipient: Subject
