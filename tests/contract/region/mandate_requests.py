"""Good requests about mandates to trade."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from tanqiao.api.region.v1 import mandates_pb2
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_period
from tests.contract.region.served import REGION

MANDATES: Final = f"{REGION}TradingMandateService/"
YEAR: Final = Period(date(2026, 1, 1), date(2027, 1, 1))


def _fresh() -> str:
    return secrets.token_hex(8)


GOOD: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    MANDATES + "GiveTradingMandate": (
        "sh.holder",
        lambda world: mandates_pb2.GiveTradingMandateRequest(
            request_id=_fresh(),
            principal_account_id=world.giver,
            agent_account_id=world.taker,
            period=wire_period(YEAR),
        ),
    ),
    MANDATES + "EndTradingMandate": (
        "sh.holder",
        lambda _: mandates_pb2.EndTradingMandateRequest(request_id=_fresh(), mandate_id="0" * 32),
    ),
    MANDATES + "ListTradingMandates": (
        "sh.centre",
        lambda world: mandates_pb2.ListTradingMandatesRequest(account_id=world.giver, page_size=1),
    ),
}
