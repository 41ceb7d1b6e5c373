"""Random operations through certificates of carbon neutrality, held against the published machine beside it.

A walk has one voluntary retirement. Everybody tries every event, in any order: what the machine opens to that
body succeeds, everything else is refused and changes nothing, and no retirement ever backs two certificates
that live.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.commands import By
from tanqiao_region.domain.rules.lifecycles import BEFORE, Lifecycle
from tests.contract.region.test_certificates import (
    HOLDER,
    STRANGER,
    Desk,
    desk,  # noqa: F401 - the fixture
)
from tests.contract.region.test_rule_parameters import BUREAU, OPERATOR

LIVING: Final = ("REQUESTED", "RECOGNISED", "CERTIFIED")
MAY: Final = {
    "request": HOLDER,
    "withdraw": HOLDER,
    "recognise": BUREAU,
    "refuse": BUREAU,
    "sign": OPERATOR,
    "revoke": BUREAU,
}
"""Who may take an event, from the texts: the applicant, who recognises by parameter, who signs by SZ-26b."""
REFUSALS: Final = {
    "ACCOUNT_OF_ANOTHER",
    "CERTIFICATE_UNITS_ALREADY_USED",
    "NOT_FOUND",
    "PARAMETER_NOT_SET",
    "ROLE_NOT_PERMITTED",
    "SELF_APPROVAL_FORBIDDEN",
    "STATE_NOT_ALLOWED",
}
GIVEN: Final = {"reason": "虚构 invented", "document_reference": "案 9"}
OFFICERS: Final = ((BUREAU.party, 1), (BUREAU.party, 2))
_numbers = itertools.count()


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machine knows nothing of it."""
    return "sqlite"


@dataclass
class Walk:
    """What must hold of the certificates over one retirement, told beside the node."""

    desk: Desk
    machine: Lifecycle
    retirement_id: str
    states: dict[str, str] = field(default_factory=dict)
    last: str = ""

    @property
    def state(self) -> str:
        """State of the last certificate that was asked for."""
        return self.states.get(self.last, BEFORE)

    def expected(self, event: str, by: By) -> bool:
        """Whether the published machine opens the event to this body now."""
        if by.party != MAY[event].party:
            return False
        if event == "request":
            return self.state not in LIVING
        return any((edge.state, edge.event) == (self.state, event) for edge in self.machine.transitions)

    def play(self, event: str, by: By) -> None:
        """Try an event, and follow it."""
        opened, symbol, answer = self.expected(event, by), "", None
        try:
            answer = self.act(event, by)
        except DomainError as refusal:
            symbol = refusal.symbol
        assert (not symbol) == opened, (event, by.role, self.state, symbol)
        assert symbol in REFUSALS | {""}
        if answer is not None:
            before = BEFORE if event == "request" else self.states[answer.number]
            self.last = answer.number
            self.states[answer.number] = self.machine.step(before, event).to
            assert answer.state == self.states[answer.number]

    def act(self, event: str, by: By) -> Any:
        """Ask the node."""
        if event == "request":
            return self.desk.request(self.retirement_id, by)
        hands = OFFICERS if event == "revoke" else ()
        return self.desk.step(self.last or "440300-CN-2026-0", event, by, hands=hands, **GIVEN)

    def require_sound(self) -> None:
        """Demand that books and histories are those that were followed."""
        assert sum(1 for one in self.states.values() if one in LIVING) <= 1
        for number, state in self.states.items():
            steps = self.desk.service.steps(number, BUREAU, 0, 50)
            walked = BEFORE
            for one in steps:
                walked = self.machine.step(walked, one.event).to
                assert one.to_state == walked
            assert walked == state == self.desk.service.find(number, BUREAU).state


def test_no_operation_leaves_the_machine_of_certificates(desk: Desk) -> None:  # noqa: F811 - the fixture
    pack = desk.node.context.pack(desk.node.context.now().date())
    machine = pack.data.lifecycles["certificate"]
    assert set(machine.events) == set(MAY)
    reached: set[str] = set()
    rightful = st.sampled_from(sorted(MAY)).map(lambda event: (event, MAY[event]))
    anybody = st.tuples(st.sampled_from(sorted(MAY)), st.sampled_from((BUREAU, HOLDER, OPERATOR, STRANGER)))

    @settings(
        max_examples=16,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(moves=st.lists(rightful | anybody, min_size=12, max_size=12))
    def drive(moves: list[tuple[str, By]]) -> None:
        at = 10 * next(_numbers)
        walk = Walk(desk, machine, desk.retire(at, at + 10))
        beginning = (("request", HOLDER), ("recognise", BUREAU), ("sign", OPERATOR))
        for event, by in (*beginning[: at // 10 % 4], *moves):
            walk.play(event, by)
            reached.add(walk.state)
        walk.require_sound()

    drive()
    assert reached - {BEFORE} == machine.states
    assert desk.findings() == []
