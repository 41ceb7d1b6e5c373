"""The states of every party as data: from here the documents and their diagrams are made.

A row says: in one of these states, at this event, under this guard, the next state is that one and the
effects are of these kinds, in this order. Rows of one state and event exclude each other. A test runs the
machines against every row and every combination of facts, so that code and table cannot drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tanqiao.protocol.notary_rows import NOTARY_ROWS
from tanqiao.protocol.region_rows import DESTINATION_ROWS, ISSUER_ROWS, REGISTRAR_ROWS, SOURCE_ROWS
from tanqiao.protocol.state_rows import NONE, SAME, STATES, TITLES, Row

__all__ = ["NONE", "ROWS", "SAME", "STATES", "TITLES", "Row", "render_document", "rows_of"]

ROWS: Final[tuple[Row, ...]] = (
    *SOURCE_ROWS,
    *DESTINATION_ROWS,
    *NOTARY_ROWS,
    *ISSUER_ROWS,
    *REGISTRAR_ROWS,
)
"""Every row of every machine."""


def rows_of(machine: str) -> tuple[Row, ...]:
    """Give the rows of one machine, in order."""
    return tuple(row for row in ROWS if row.machine == machine)


def render_document() -> str:
    """Write all tables and diagrams as one Markdown page."""
    lines = [
        "# States of the transfer protocol",
        "",
        "Made by `python -m tanqiao.testing.protocol_states` from `tanqiao.protocol.tables`; do not edit.",
        "The tests run every row against the code that the services run.",
        "",
        f"`{NONE}` means that the party keeps nothing of the transfer, `{SAME}` that the state stays.",
        "Messages leave after the transaction that carries out the effects before them (R1).",
    ]
    for machine in STATES:
        lines += ["", f"## {TITLES[machine]}", "", *_diagram(machine), "", *_table(machine)]
    return "\n".join(lines) + "\n"


def _diagram(machine: str) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    arrows: dict[tuple[str, str], list[str]] = {}
    for row in rows_of(machine):
        if row.next_state == SAME:
            continue
        label = f"{row.event}, {row.guard}" if row.guard else row.event
        for state in row.states:
            arrows.setdefault((state, row.next_state), []).append(label.replace(":", " -"))
    for (state, next_state), labels in arrows.items():
        start = "[*]" if state == NONE else state
        yield f"    {start} --> {next_state}: {' / '.join(labels)}"
    yield "```"


def _table(machine: str) -> Iterator[str]:
    yield "| state | event | guard | next | effects | protocol |"
    yield "|---|---|---|---|---|---|"
    for row in rows_of(machine):
        effects = ", ".join(f"`{effect}`" for effect in row.effects)
        states = ", ".join(row.states)
        yield f"| {states} | {row.event} | {row.guard} | {row.next_state} | {effects} | {row.reference} |"
