"""`tanqiao simulate`: the seeded simulation of the protocol's core, the same that `make simulate` runs."""

from __future__ import annotations

import json
from typing import Final

import click

from tanqiao.cli.output import EXIT_REFUSED

SCHEDULES_DEFAULT: Final = 100


@click.command(epilog="Exit codes: 0 all held, 1 a schedule failed, 2 the request is wrong.")
@click.argument("seed", type=int, default=1)
@click.argument("schedules", type=click.IntRange(min=1), default=SCHEDULES_DEFAULT)
@click.option("--transfers", type=click.IntRange(min=1), help="Transfers of each schedule.")
@click.option("--without", default="", help="Kinds of fault to leave out, with commas between them.")
@click.option("--ed25519", is_flag=True, help="Real signatures in place of stand-ins.")
@click.option("--no-shrink", is_flag=True, help="Show a failure as it came.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def simulate(
    seed: int,
    schedules: int,
    transfers: int | None,
    without: str,
    ed25519: bool,
    no_shrink: bool,
    as_json: bool,
) -> None:
    """Run SCHEDULES of the protocol's core from SEED on, with every kind of fault and an independent auditor.

    Needs no federation. A schedule that fails is shown with the command that runs it again, and with a
    smaller one that fails too.
    """
    from tanqiao.testing.simulation.network import FAULTS
    from tanqiao.testing.simulation.run import report, run_schedules
    from tanqiao.testing.simulation.schedule import TRANSFERS_DEFAULT, Options, Result

    left_out = frozenset(word for word in without.split(",") if word)
    unknown = sorted(left_out - set(FAULTS))
    if unknown:
        raise click.BadParameter(
            f"{', '.join(unknown)}; there are {', '.join(FAULTS)}", param_hint="--without"
        )

    def failed(result: Result) -> None:
        if not as_json:
            click.echo(report(result, shrinks=not no_shrink), nl=False)

    options = Options(seed, transfers or TRANSFERS_DEFAULT, left_out, ed25519)
    summary = run_schedules(options, schedules, failed)
    click.echo(
        json.dumps(summary.as_fields(), ensure_ascii=False) if as_json else summary.as_text(), nl=as_json
    )
    if summary.failures:
        raise SystemExit(EXIT_REFUSED)
