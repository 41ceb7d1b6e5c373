"""Random operations through mandates and consents: what users gave and took back, followed beside the node.

A walk has a user to itself. Whatever was given, taken back or has run out, in whatever order, a record of
behaviour is taken exactly when a mandate covers its day and a consent stands today (SZ-20c, SZ-20d).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.api.region.v1 import consents_pb2
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao.testing.network import NetworkOfTest
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region_registers import scene_office
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.operator_office import (
    CONSENT,
    MANDATE,
    hand_in,
    record,
    travel_project,
    withdraw,
)
from tests.contract.region_registers.operator_office import (
    given as given_by,
)
from tests.contract.region_registers.scene_office import trip
from tests.contract.region_registers.test_consents import findings
from tests.contract.region_registers.wire import Wire

FIRST: Final = date(2026, 2, 1)
"""Days of records and beginnings are counted from here; the clock begins on 2 March."""
LAST_DAY: Final = date(2026, 11, 1)
STATES: Final = {
    "GIVEN": consents_pb2.CONSENT_STATE_GIVEN,
    "WITHDRAWN": consents_pb2.CONSENT_STATE_WITHDRAWN,
    "EXPIRED": consents_pb2.CONSENT_STATE_EXPIRED,
}
REFUSED: Final = {MANDATE: "MANDATE_NOT_IN_FORCE", CONSENT: "CONSENT_MISSING"}
_numbers = itertools.count()
_trips = itertools.count(1)


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machine knows nothing of it."""
    return "sqlite"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def wire(network: NetworkOfTest, make_node: MakeNode, bridge: ClaimBridge) -> Iterator[Wire]:
    """Shenzhen on the line."""
    assert bridge.server is not None
    node = make_node(SHENZHEN, bridge.server.address)
    node.region.start()
    bridge.wait_until(lambda: bridge.peer(SHENZHEN).frames is not None)
    made = Wire(network, node)
    yield made
    made.close()


@dataclass
class Gift:
    """One mandate or consent as it should be."""

    kind: int
    start: date
    end: date | None
    withdrawn: date | None = None

    def state(self, today: date) -> str:
        """The state in which it must be shown."""
        if self.withdrawn is not None:
            return "WITHDRAWN"
        return "EXPIRED" if self.end is not None and self.end <= today else "GIVEN"

    def covers(self, day: date) -> bool:
        """Whether a mandate is good for a day: what was taken back holds for the days before."""
        ends = [one for one in (self.end, self.withdrawn) if one is not None]
        return self.start <= day and all(day < one for one in ends)


@dataclass
class User:
    """What a user gave, told beside the node."""

    wire: Wire
    owner: str
    token: str
    gifts: dict[str, Gift] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """The legal date."""
        return legal_date(self.wire.node.context.now())

    def living(self, kind: int) -> str:
        """The one of a kind that has not ended; empty if there is none."""
        standing = [
            number
            for number, one in self.gifts.items()
            if one.kind == kind and one.state(self.today) == "GIVEN"
        ]
        assert len(standing) <= 1
        return standing[0] if standing else ""

    def play(self, move: str, kind: int, at: int, length: int) -> None:
        """Take one step, and hold the answer against what was followed."""
        if move == "later":
            day = min(self.today + timedelta(days=1 + at % 9), LAST_DAY)
            scene_office.turn_to(self.wire, max(day, self.today))
        elif move == "give":
            self.give(kind, FIRST + timedelta(days=at), length)
        elif move == "give_briefly":
            self.give(kind, self.today - timedelta(days=1), 5)
        elif move == "withdraw":
            self.withdraw(kind)
        else:
            self.travel(FIRST + timedelta(days=at))

    def give(self, kind: int, start: date, length: int) -> None:
        """Give a mandate or a consent; the same again changes nothing, another beside it is refused."""
        end = start + timedelta(days=length) if length % 3 else None
        if start > self.today or (end is not None and end <= self.today):
            return
        before = self.living(kind)
        fields = {} if end is None else {"end_date": wire_date(end)}
        asked = given_by(self.owner, self.token, kind, start, **fields)
        gift = Gift(kind, start, end)
        if before and self.gifts[before] != gift:
            with pytest.raises(DomainError, match="ALREADY_EXISTS"):
                record(self.wire, asked)
            return
        answer = record(self.wire, asked)
        assert answer.unchanged_count == (1 if before else 0)
        self.gifts[answer.consent_ids[0]] = gift

    def withdraw(self, kind: int) -> None:
        """Take back the last one of a kind, also one that has run out; none is taken back twice."""
        numbers = [number for number, one in self.gifts.items() if one.kind == kind]
        if not numbers:
            return
        gift = self.gifts[numbers[-1]]
        if gift.withdrawn is not None:
            with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
                withdraw(self.wire, numbers[-1])
            return
        assert withdraw(self.wire, numbers[-1]).state == STATES["WITHDRAWN"]
        gift.withdrawn = self.today

    def travel(self, day: date) -> None:
        """Hand a trip in: taken exactly where a mandate covers its day and a consent stands."""
        if day >= self.today:
            return
        gifts = self.gifts.values()
        missing = []
        if not any(one.kind == MANDATE and one.covers(day) for one in gifts):
            missing.append(REFUSED[MANDATE])
        if not self.living(CONSENT):
            missing.append(REFUSED[CONSENT])
        one = trip(next(_trips), day, user_token=self.token)
        if not missing:
            assert hand_in(self.wire, one).accepted_count == 1
            return
        with pytest.raises(DomainError) as caught:
            hand_in(self.wire, one)
        found = f"{caught.value.symbol} {caught.value.metadata.get('other_refusals', '')}"
        assert all(symbol in found for symbol in missing), (missing, found)
        assert not [one for one in REFUSED.values() if one in found and one not in missing]

    def require_sound(self) -> None:
        """Demand that the node shows what was followed."""
        request = consents_pb2.ListConsentsRequest(recipient_account_id=self.owner, user_token=self.token)
        shown: Any = self.wire.role("sz.platform_operator").consents.ListConsents(request).consents
        followed = {number: STATES[one.state(self.today)] for number, one in self.gifts.items()}
        assert {one.consent_id: one.state for one in shown} == followed


def test_no_operation_leaves_the_machines_of_mandates_and_consents(wire: Wire) -> None:
    owner = travel_project(wire)
    reached: set[str] = set()
    moves = st.tuples(
        st.sampled_from(("give", "give_briefly", "withdraw", "travel", "travel", "later")),
        st.sampled_from((MANDATE, CONSENT)),
        st.integers(0, 40),
        st.integers(1, 240),
    )

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(played=st.lists(moves, min_size=14, max_size=14))
    def drive(played: list[tuple[str, int, int, int]]) -> None:
        user = User(wire, owner, f"user-{next(_numbers)}")
        # A mandate without an end, a trip that it lets pass, a consent that runs out.
        beginning = [
            ("give", MANDATE, 0, 39),
            ("give_briefly", CONSENT, 0, 1),
            ("travel", MANDATE, 9, 1),
            ("later", MANDATE, 8, 1),
        ]
        for move, kind, at, length in (*beginning, *played):
            user.play(move, kind, at, length)
            reached.update(one.state(user.today) for one in user.gifts.values())
        user.require_sound()

    drive()
    machines = wire.node.context.pack(wire.node.context.now().date()).data.lifecycles
    assert reached == set(STATES) == machines["mandate"].states == machines["consent"].states
    assert findings(wire) == []
