"""Every requirement, in the order in which they are checked."""

from __future__ import annotations

from typing import Final

from tanqiao.testing.conformance import (
    envelope_checks,
    key_checks,
    message_checks,
    order_checks,
    promise_checks,
    session_checks,
)
from tanqiao.testing.conformance.requirements import REQUIREMENTS, Requirement

MODULES: Final = (session_checks, envelope_checks, message_checks, promise_checks, order_checks, key_checks)
LAST: Final = "all-signed"
"""Looks at everything that came before it."""


def all_requirements() -> list[Requirement]:
    """Give the table; what looks back over the whole run comes last."""
    order = [module.__name__ for module in MODULES]
    rows = sorted(REQUIREMENTS.values(), key=lambda one: order.index(one.check.__module__))
    return [*(one for one in rows if one.name != LAST), REQUIREMENTS[LAST]]
