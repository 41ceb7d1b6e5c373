"""Bad requests about mandates to trade: data for a suite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tests.contract.region.bad_requests import Case, put, same
from tests.contract.region.mandate_requests import MANDATES

PAST: Final = Period(date(2025, 1, 1), date(2026, 1, 1))


def mandates() -> Iterator[Case]:
    """Bad requests."""
    give = MANDATES + "GiveTradingMandate"
    for field in ("principal_account_id", "agent_account_id"):
        yield Case(give, f"no {field}", "FIELD_MISSING", put(**{field: ""}))
        yield Case(give, f"unknown {field}", "ACCOUNT_UNKNOWN", put(**{field: "A" + "2" * 16}))
        yield Case(give, f"closed {field}", "ACCOUNT_CLOSED", put(**{field: lambda w: w.closed}))
    yield Case(give, "the principal itself", "FIELD_INVALID", put(agent_account_id=lambda w: w.giver))
    yield Case(give, "no period", "FIELD_MISSING", put(period=None))
    yield Case(give, "a period that is over", "DATE_NOT_ALLOWED", put(period=wire_period(PAST)))
    yield Case(give, "another's account", "ACCOUNT_OF_ANOTHER", same, role="sh.person")
    yield Case(give, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.bureau", article=True)
    end = MANDATES + "EndTradingMandate"
    yield Case(end, "no mandate", "FIELD_MISSING", put(mandate_id=""))
    yield Case(end, "an unknown mandate", "NOT_FOUND", same)
    listing = MANDATES + "ListTradingMandates"
    yield Case(listing, "no account", "FIELD_MISSING", put(account_id=""))
    yield Case(listing, "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16))
    yield Case(listing, "another's account", "ACCOUNT_OF_ANOTHER", same, role="sh.person")
