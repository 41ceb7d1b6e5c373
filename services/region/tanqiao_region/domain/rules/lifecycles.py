"""State machines of registers, as tables of a pack (RULES section 6).

A state or an edge that the text does not name is marked as inferred. An object is in a state of its table
or it does not exist; an event that has no edge from there is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require

BEFORE = ""
"""The state before an object exists."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One edge: in this state, this event leads there, by this rule."""

    state: str
    event: str
    to: str
    rule_id: str = ""
    inferred: bool = False


class Lifecycle:
    """The published state machine of one kind of object."""

    def __init__(self, object_kind: str, transitions: Iterable[Transition]) -> None:
        self.object_kind = object_kind
        self.transitions: tuple[Transition, ...] = tuple(transitions)
        self._edges: dict[tuple[str, str], Transition] = {}
        for edge in self.transitions:
            key = (edge.state, edge.event)
            require(key not in self._edges, f"{object_kind}: two edges for {edge.event} in {edge.state!r}")
            self._edges[key] = edge
        self.states: frozenset[str] = frozenset(
            state for edge in self.transitions for state in (edge.state, edge.to) if state != BEFORE
        )
        self.events: frozenset[str] = frozenset(edge.event for edge in self.transitions)

    def step(self, state: str, event: str, *, object_id: str = "") -> Transition:
        """Give the edge that the event takes from the state.

        Raises:
            DomainError: STATE_NOT_ALLOWED, naming the states in which the event is open.
            InvariantBroken: the state is not one of the machine.
        """
        require(state == BEFORE or state in self.states, f"{self.object_kind} has no state {state!r}")
        edge = self._edges.get((state, event))
        if edge is None:
            needed = sorted(other.state or "–" for other in self.transitions if other.event == event)
            raise DomainError(
                "STATE_NOT_ALLOWED", what=self.object_kind, id=object_id, state=state or "–", needed=needed
            )
        return edge

    def reachable(self) -> frozenset[str]:
        """Give the states that can be reached from nothing."""
        found: set[str] = set()
        frontier = {BEFORE}
        while frontier:
            frontier = {
                edge.to for edge in self.transitions if edge.state in frontier and edge.to not in found
            }
            found |= frontier
        return frozenset(found)
