"""Whatever is asked of reserve entries by whomever, their histories are ways of the published machine."""

from __future__ import annotations

import itertools
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.commands import By
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tests.contract.region_registers.office import YN_EPD, Office
from tests.contract.region_registers.test_reserve import DEVELOPER, KUNMING, asset, link, prove, step

EXPECTED = {
    "ALREADY_EXISTS",
    "DUPLICATE_RESERVE_ENTRY",
    "FIELD_INVALID",
    "FIELD_MISSING",
    "NOT_FOUND",
    "ROLE_NOT_PERMITTED",
    "STATE_NOT_ALLOWED",
}
"""Reasons that a step may be refused with; anything else is a fault."""
EVENTS = ("develop", "link", "leave", "prove", "enter", "resume", "hold", "burn")
PARTIES = (YN_EPD, YN_EPD, KUNMING, DEVELOPER, By("operator/530000/yn.ftz_office", "yn.ftz_office"))
_numbers = itertools.count(1)


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machine knows nothing of it."""
    return "sqlite"


def attempt(office: Office, event: str, by: By, entry_id: str) -> None:
    """Try one operation."""
    symbol = ""
    try:
        if event == "enter":
            office.enter(by=by, entry_id=entry_id, asset=asset(f"HY01005301{next(_numbers):05d}"))
        elif event == "prove":
            prove(office, by, entry_id)
        else:
            step(office, event, by, entry_id, link=link(), reason="虚构 invented")
    except DomainError as refusal:
        symbol = refusal.symbol
    assert symbol in EXPECTED | {""}


def test_no_operation_leaves_the_machine_of_reserve_entries(yunnan: Office) -> None:
    machine = yunnan.node.context.pack(yunnan.today).data.lifecycles["reserve_entry"]
    edges = {(edge.state, edge.to) for edge in machine.transitions}
    reached: set[str] = set()

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(moves=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(PARTIES)), max_size=10))
    def drive(moves: list[tuple[str, By]]) -> None:
        entry_id = f"R-{next(_numbers)}"
        attempt(yunnan, "enter", YN_EPD, entry_id)
        for event, by in moves:
            attempt(yunnan, event, by, entry_id)
        history = yunnan.office.reserve_steps.steps(entry_id, "", 0, 100)
        walked = [BEFORE, *(one.to_state for one in history)]
        strange = [pair for pair in pairwise(walked) if pair not in edges and pair[0] != pair[1]]
        assert not strange, walked
        reached.update(walked)

    drive()
    assert {"ENTERED", "UNDER_DEVELOPMENT"} <= reached
