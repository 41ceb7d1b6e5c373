"""Values and invariants on which every part stands; pure: no clock, no random, no input or output."""

from __future__ import annotations

from tanqiao.kernel.clock import Clock, legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import InvariantBroken, require
from tanqiao.kernel.periods import Period
from tanqiao.kernel.reasons import Reason, Retry
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import Series, UnitBlock

__all__ = [
    "Clock",
    "DomainError",
    "InvariantBroken",
    "Period",
    "Reason",
    "RegionCode",
    "Retry",
    "Series",
    "UnitBlock",
    "legal_date",
    "require",
]
