"""Random operations through clawbacks of each pack: every history is a way of the published machine.

A walk has a hundred kilograms of one wrong issuance to itself. Units are used, moved on, clawed back, come
back from uses that the bridge refuses, are replaced and settled, by whoever may and by others, while days
pass. At the end everything is settled, so that no walk may have led to where nothing goes on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tanqiao.api.region.v1 import scenes_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.claim_steps import submit_to
from tanqiao_region.application.clawbacks import Clawbacks
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.working_calendar import published_calendar
from tanqiao_region.domain.rules.lifecycles import BEFORE
from tanqiao_region.storage.holdings import CANCELLED, HELD, RETIRING, USED, load_touched
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import EXCHANGE, HOLDERS, OPENERS, SHANGHAI, SHENZHEN
from tests.contract.region.served import full_network
from tests.contract.region.test_rule_parameters import publish as publish_value
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import (
    BUREAU,
    CENTRE,
    PROJECT,
    SZ_BUREAU,
    Office,
    month,
    request_id,
)
from tests.contract.region_registers.operator_office import give, travel_project
from tests.contract.region_registers.scene_office import trip
from tests.contract.region_registers.test_clawbacks import USE, Desk
from tests.contract.region_registers.test_whole_lives import issue_request
from tests.contract.region_registers.wire import Wire

ISSUED_KG: Final = 10_000
SHARE_KG: Final = 100
"""What a walk has to itself, from the beginning of the series; its second half is there for replacements."""
RESERVE: Final = ISSUED_KG // 2
STEPS_OF_WALK: Final = 12
LAST_DAY: Final = date(2026, 11, 1)
"""The clock stays within the year whose holidays are known."""
SECONDS_MAX: Final = 30.0
EXPECTED: Final = {
    "ACCOUNT_OF_ANOTHER",
    "FIELD_INVALID",
    "FROZEN",
    "NOT_HELD",
    "ROLE_NOT_PERMITTED",
    "STATE_NOT_ALLOWED",
    "UNIT_CANCELLED",
    "UNIT_LOCKED",
    "UNIT_USED",
}
"""Reasons that a step may be refused with; anything else is a fault."""
MOVES: Final = (
    *("use", "use", "move_on", "claw", "claw", "replace", "replace", "settle", "settle", "settle"),
    *("hold", "commit", "abort", "later", "settle_by_another", "replace_by_another", "claw_by_another"),
)


BEGINNINGS: Final = itertools.cycle(
    (
        (("use", 0, 20), ("claw", 10, 30)),
        (("hold", 0, 1), ("use", 0, 20), ("claw", 10, 30), ("abort", 0, 1)),
        (("use", 0, 20), ("claw", 10, 30), ("later", 0, 19)),
    )
)
"""So that no walk is only of refusals: some units are used, come back, or days pass."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def database_kind() -> str:
    """One kind of database: the machine knows nothing of it."""
    return "sqlite"


@dataclass(frozen=True)
class Bodies:
    """Who does what in a region."""

    party: str
    authority: str
    office: By
    other: By
    exchange: By
    term: str
    publisher: By

    @property
    def holder(self) -> By:
        """Who acts for the account that was issued to."""
        return HOLDERS[self.party]


BODIES: Final = {
    SHANGHAI: Bodies(
        SHANGHAI,
        "authority/310000",
        CENTRE,
        EXCHANGE,
        EXCHANGE,
        "sh.clawback_term_working_days",
        BUREAU,
    ),
    SHENZHEN: Bodies(
        SHENZHEN,
        "authority/440300",
        SZ_BUREAU,
        By("operator/440300/sz.expert", "sz.expert"),
        OPENERS[SHENZHEN],
        "sz.clawback_term_working_days",
        SZ_BUREAU,
    ),
}


@dataclass
class Ground:
    """A node with a wrong issuance, and the machine that its pack publishes."""

    desk: Desk
    bodies: Bodies
    other_account: str
    walks: Any = field(default_factory=itertools.count)
    spare: int = RESERVE
    reached: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)

    @property
    def series_id(self) -> str:
        return str(self.desk.issuance.series.series_id)

    @property
    def pieces(self) -> list[Any]:
        """Where every kilogram of the issuance is."""
        with self.desk.node.region.database.reading() as connection:
            return list(load_touched(connection, (UnitBlock(self.series_id, 0, ISSUED_KG),)))

    def quantity_kg(self, *states: int) -> int:
        """How much of the issuance is in one of these states."""
        return sum(one.end - one.start for one in self.pieces if one.place[1] in states)

    def decide(self, *, commit: bool) -> None:
        """Let the bridge decide whatever is under way, until nothing is."""
        bridge = self.desk.bridge
        end = time.monotonic() + SECONDS_MAX
        while self.quantity_kg(RETIRING):
            asked = [one for one in bridge.seen_of(USE) if _key(one) not in bridge.decided]
            (bridge.commit_uses if commit else bridge.abort_uses)(asked)
            assert time.monotonic() < end, "a use is never decided"
            time.sleep(0.005)


def _key(seen: Any) -> tuple[str, bytes]:
    return (seen.party, seen.message.header.transfer_id)


@dataclass
class Walk:
    """What is tried with a hundred kilograms."""

    ground: Ground
    start: int
    clawbacks: list[str] = field(default_factory=list)
    unexpected: set[str] = field(default_factory=set)

    @property
    def desk(self) -> Desk:
        return self.ground.desk

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Try one operation; None where it is refused."""
        try:
            answer = act()
        except DomainError as refusal:
            answer = refusal
        if isinstance(answer, DomainError):
            self.unexpected.update({answer.symbol} - EXPECTED)
            return None
        return answer

    def take(self, move: str, at: int, length: int) -> None:
        """Take one step."""
        desk, bodies, node = self.desk, self.ground.bodies, self.desk.node
        block = desk.units(self.start + at, min(self.start + at + length, self.start + SHARE_KG))
        selection = Selection(blocks=(block,))
        if move == "use":
            self.attempt(lambda: node.retire(desk.office.owner, selection, by=bodies.holder))
        elif move == "move_on":
            other, by = self.ground.other_account, bodies.exchange
            self.attempt(lambda: node.move(desk.office.owner, other, selection, by=by))
        elif move.startswith("claw"):
            by = bodies.office if move == "claw" else bodies.other
            made = self.attempt(lambda: desk.submit(desk.order(block, authority=bodies.authority), by))
            if made is not None:
                self.clawbacks.append(made.clawback_id)
        elif move == "later":
            day = min(desk.office.today + timedelta(days=length % 20 + 1), LAST_DAY)
            desk.office.turn_to(max(day, desk.office.today))
        elif move in ("commit", "abort"):
            self.ground.decide(commit=move == "commit")
            desk.bridge.on_use = desk.bridge.commit_uses
        elif move == "hold":
            desk.bridge.on_use = desk.bridge.hold
        elif self.clawbacks:
            self.pursue(move, self.clawbacks[at % len(self.clawbacks)], length)
        if desk.bridge.on_use == desk.bridge.commit_uses:
            self.ground.decide(commit=True)
        self.require_sound()

    def pursue(self, move: str, clawback_id: str, length: int) -> None:
        """Go on with a clawback."""
        desk, bodies = self.desk, self.ground.bodies
        if move.startswith("settle"):
            by = bodies.office if move == "settle" else bodies.other
            self.attempt(lambda: desk.settle(clawback_id, by))
            return
        by = bodies.holder if move == "replace" else By(f"{bodies.holder.party}/other", bodies.holder.role)
        spare = UnitBlock(self.ground.series_id, self.ground.spare, self.ground.spare + length)
        if self.attempt(lambda: desk.replace(clawback_id, 0, by, spare)) is not None:
            self.ground.spare += length

    def require_sound(self) -> None:
        """Demand what holds after every step."""
        today = self.desk.office.today
        for clawback_id in self.clawbacks:
            shown = self.desk.service.find(clawback_id, self.ground.bodies.office)
            met = shown.cancelled_kg + shown.replaced_kg
            assert shown.outstanding_kg == shown.quantity_kg - met
            assert met + shown.pending_kg <= shown.quantity_kg, "more is taken than was wrongly issued"
            if shown.state == "COMPLETED":
                assert met == shown.quantity_kg
            if shown.state == "OVERDUE":
                due = shown.due_date
                assert date(due.year, due.month, due.day) < today

    def settle_everything(self) -> None:
        """Bring every clawback to its end: what is left is handed in."""
        desk = self.desk
        self.ground.decide(commit=True)
        desk.bridge.on_use = desk.bridge.commit_uses
        for clawback_id in self.clawbacks:
            shown = desk.service.find(clawback_id, self.ground.bodies.office)
            if shown.state == "COMPLETED":
                continue
            shown = desk.settle(clawback_id, self.ground.bodies.office)
            self.ground.decide(commit=True)
            left = desk.service.find(clawback_id, self.ground.bodies.office).outstanding_kg
            if left:
                spare = UnitBlock(self.ground.series_id, self.ground.spare, self.ground.spare + left)
                desk.replace(clawback_id, 0, self.ground.bodies.holder, spare)
                self.ground.spare += left
                self.ground.decide(commit=True)
            if shown.state != "COMPLETED":
                shown = desk.settle(clawback_id, self.ground.bodies.office)
            assert shown.state == "COMPLETED", shown

    def require_histories(self) -> None:
        """Demand that every history is a way of the published machine."""
        pack = self.desk.node.context.pack(self.desk.office.today)
        machine = pack.data.lifecycles["clawback"]
        for clawback_id in self.clawbacks:
            steps = self.desk.service.steps(clawback_id, self.ground.bodies.office, 0, 100)
            assert [one.step_number for one in steps] == list(range(1, len(steps) + 1))
            walked = [BEFORE]
            for one in steps:
                walked.append(machine.step(walked[-1], one.event).to)
                assert one.to_state == walked[-1]
                self.ground.events.add(one.event)
            assert walked[-1] == self.desk.service.find(clawback_id, self.ground.bodies.office).state
            assert all(pair[0] == BEFORE or pair[0] in machine.states for pair in pairwise(walked))
            self.ground.reached.update(walked)


@pytest.fixture(params=[SHANGHAI, SHENZHEN])
def ground(
    request: pytest.FixtureRequest, make_node: MakeNode, network: NetworkOfTest, bridge: ClaimBridge
) -> Ground:
    """A region with ten tonnes that were wrongly issued."""
    bodies = BODIES[request.param]
    assert bridge.server is not None
    node = make_node(bodies.party, bridge.server.address)
    node.region.start()
    bridge.wait_until(lambda: bridge.peer(bodies.party).frames is not None)
    publish_value(node, bodies.publisher, key=bodies.term, value_json="10")
    if bodies.party == SHANGHAI:
        office = Office(node, node.open_account().account_id)
        office.published()
        office.meter(month("2026-01", 24_000_000))
        issuance = office.issue()
    else:
        wire = Wire(network, node)
        request.addfinalizer(wire.close)  # noqa: PT021 - only one of the two regions has clients
        office = Office(node, travel_project(wire))
        issuance = _issued_to_an_operator(wire, office.owner)
    assert issuance.quantity_kg == ISSUED_KG, issuance
    service = Clawbacks(node.context, node.region.database, submit_to(node.region.writer), published_calendar)
    other = node.open_account("虚构买方 invented").account_id
    return Ground(Desk(office, network, bridge, service, issuance), bodies, other)


def _issued_to_an_operator(wire: Wire, owner: str) -> Any:
    """59,200 person-km at 0.169 kg (demonstration) are 10,004 kg, of which ten tonnes are issued."""
    give(wire, owner, "U-0", "U-1")
    trips = [
        trip(0, date(2026, 2, 1), 50_000, person_count=1000),
        trip(1, date(2026, 2, 1), 46_000, person_count=200),
    ]
    wire.role("sz.data_operator").scenes.SubmitTrips(
        scenes_pb2.SubmitTripsRequest(request_id=request_id(), project_id=PROJECT, trips=trips)
    )
    return wire.role("sz.bureau").issuance.IssueUnits(issue_request()).issuance


def test_no_operation_leaves_the_machine_of_clawbacks(ground: Ground) -> None:
    steps = st.tuples(st.sampled_from(MOVES), st.integers(0, SHARE_KG - 1), st.integers(1, SHARE_KG // 2))

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(moves=st.lists(steps, min_size=STEPS_OF_WALK, max_size=STEPS_OF_WALK))
    def drive(moves: list[tuple[str, int, int]]) -> None:
        walk = Walk(ground, SHARE_KG * next(ground.walks))
        first = next(BEGINNINGS)
        for move, at, length in (*first, *moves):
            walk.take(move, at, length)
        walk.settle_everything()
        walk.require_histories()
        assert not walk.unexpected

    drive()
    assert ground.reached == {BEFORE, "OPEN", "OVERDUE", "COMPLETED"}
    assert ground.events == {"decide", "cancel", "replace", "fall_due", "complete"}
    assert ground.quantity_kg(HELD, USED, CANCELLED) == ISSUED_KG
    assert ground.desk.findings() == []
