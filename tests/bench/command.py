"""The command: which items are measured, on which databases, and where the numbers go."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tests.bench import (
    bridge_transfers,
    claims,
    instalment,
    library,
    nodes,
    reconciling,
    region_transfers,
    steady,
    witnesses,
)
from tests.bench.bench import ROUNDS, ROUNDS_QUICK, Bench
from tests.bench.machine import machine_facts
from tests.bench.offline import measure as measure_offline
from tests.bench.results import Report, Result

DATABASES: Final = {"sqlite": ("sqlite",), "postgres": ("postgres",), "both": ("sqlite", "postgres")}
WIDTH_MIN: Final = 120
ROUNDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Item:
    """Something that is measured.

    Args:
        name: for ``--only``.
        measure: gives its results on a database.
        databases: on which it is measured; one empty name where none takes part.
    """

    name: str
    measure: Callable[[Bench, str], Sequence[Result]]
    databases: tuple[str, ...] = ("sqlite", "postgres")


ITEMS: Final = (
    Item("offline", measure_offline, ("",)),
    Item("regions", region_transfers.measure),
    Item("bridge", bridge_transfers.measure),
    Item("claims", claims.measure),
    Item("nodes", nodes.measure),
    Item("steady", steady.measure),
    Item("reconcile", reconciling.measure),
    Item("witnesses", witnesses.measure),
    Item("library", library.measure, ("",)),
    Item("instalment", instalment.measure),
)


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1, ROUNDS_MAX), help=f"How often each number is measured; {ROUNDS}."
)
@click.option("--quick", is_flag=True, help="A few seconds for each item: shows the shape, proves no rate.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([item.name for item in ITEMS]),
    help="Items; may be given again.",
)
@click.option("--database", type=click.Choice(list(DATABASES)), default="both", show_default=True)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the numbers here.",
)
def main(
    *, quick: bool, rounds: int | None, only: tuple[str, ...], database: str, json_file: Path | None
) -> None:
    """Measure rates beside their limits, as ratios: real processes on loopback with TLS."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(WIDTH_MIN, console.width))
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the nodes and shows what there is
    with tempfile.TemporaryDirectory(prefix="tanqiao-bench-") as folder:
        report = Report(machine_facts(Path(folder)))
        count = rounds or (ROUNDS_QUICK if quick else ROUNDS)
        bench = Bench(Path(folder), quick, count, lambda line: progress.print(line, highlight=False))
        try:
            for item in ITEMS:
                if not only or item.name in only:
                    _measure(bench, report, item, DATABASES[database])
        except KeyboardInterrupt:
            report.failures.append("interrupted: what was measured until then is shown")
        finally:
            bench.close()
    show(report, console, json_file)


def show(report: Report, console: Console, json_file: Path | None) -> None:
    """Print a report, and write it; a failure of any item is the command's."""
    report.show(console)
    if json_file is not None:
        json_file.write_text(
            json.dumps(report.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
    if report.failures:
        raise SystemExit(1)


def _measure(bench: Bench, report: Report, item: Item, databases: Sequence[str]) -> None:
    for database in item.databases:
        if database and database not in databases:
            continue
        bench.report(f"{item.name} {database}".strip())
        try:
            report.add(item.measure(bench, database))
        except Exception as error:  # noqa: BLE001 - one item that fails leaves the others their numbers
            report.failures.append(f"{item.name} {database}: {type(error).__name__}: {error}")
        finally:
            bench.close()
