from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tanqiao.protocol import effects as effects_module
from tanqiao.protocol.tables import NONE, ROWS, SAME, STATES, render_document, rows_of
from tests.unit.protocol.situations import (
    Situation,
    destination_situations,
    issuer_situations,
    notary_situations,
    registrar_situations,
    source_situations,
)

SITUATIONS: dict[str, Callable[[], Iterator[Situation]]] = {
    "Source": source_situations,
    "Destination": destination_situations,
    "Notary": notary_situations,
    "Issuer": issuer_situations,
    "Registrar": registrar_situations,
}
SITUATIONS_MIN = {"Source": 900, "Destination": 1200, "Notary": 8000, "Issuer": 80, "Registrar": 12}


@pytest.mark.parametrize("machine", STATES)
def test_each_machine_does_in_every_situation_what_its_table_says(machine: str) -> None:
    rows = rows_of(machine)
    used = set()
    count = 0
    for situation in SITUATIONS[machine]():
        count += 1
        fitting = [
            row
            for row in rows
            if situation.state in row.states and row.event == situation.event and row.guard == situation.guard
        ]
        assert len(fitting) == 1, situation
        row = fitting[0]
        expected = situation.state if row.next_state == SAME else row.next_state
        assert situation.after == expected, situation
        assert tuple(type(effect).__name__ for effect in situation.effects) == row.effects, situation
        used.add((row, situation.state))
    assert count >= SITUATIONS_MIN[machine]
    unused = {(row.event, row.guard, state) for row in rows for state in row.states} - {
        (row.event, row.guard, state) for row, state in used
    }
    assert not unused, unused


def test_every_state_and_event_of_a_machine_has_a_row() -> None:
    for machine, states in STATES.items():
        events = {row.event for row in rows_of(machine)}
        covered = {(state, row.event) for row in rows_of(machine) for state in row.states}
        missing = {(state, event) for state in states for event in events} - covered
        # A command needs a record, and a decision is made on what is open; these cannot be called.
        allowed = {
            ("Source", NONE, "withdraw requested"),
            *(("Notary", state, "decide") for state in states if state != "OPEN"),
        }
        assert {(machine, *pair) for pair in missing} <= allowed


def test_every_effect_of_a_row_is_one_of_the_closed_set_and_every_effect_is_used() -> None:
    named = {name for row in ROWS for name in row.effects}
    closed = {effect.__name__ for effect in effects_module.Effect.__args__}
    assert named == closed


def test_no_row_changes_a_decided_state() -> None:
    final = {"MOVED", "RELEASED", "USED", "CANCELLED", "CREDITED", "DROPPED", "CLOSED", "HELD"}
    for row in ROWS:
        if row.next_state != SAME:
            assert not final & set(row.states), row


def test_the_page_of_states_in_the_documents_is_current() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "protocol-states.md"
    assert page.read_text(encoding="utf-8") == render_document()
