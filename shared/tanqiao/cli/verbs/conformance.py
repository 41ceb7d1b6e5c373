"""`tanqiao conformance`: plays the bridge, and a new region proves itself before it goes live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tanqiao.cli.output import EXIT_REFUSED
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb
from tanqiao.kernel.errors import DomainError

if TYPE_CHECKING:  # loaded by the command when it runs
    from tanqiao.testing.conformance.kit import Kit
    from tanqiao.testing.conformance.requirements import Outcome, Requirement

DIAL_SECONDS_DEFAULT: Final = 600
ANSWER_SECONDS_DEFAULT: Final = 20
PATIENCE_SECONDS_DEFAULT: Final = 3
SECONDS_MAX: Final = 3600
MARKS: Final = {"passed": "✓", "failed": "✗", "not run": "–"}


@click.command(cls=Verb)
@click.option("--listen", metavar="HOST:PORT", help="Where the region under test dials in.")
@click.option(
    "--network",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the test network: keys and certificates are made there, or used if they are there.",
)
@click.option(
    "--subject",
    "subject_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What the region under test is, as TOML (docs/conformance.md).",
)
@click.option("--restart", metavar="COMMAND", default="", help="Stops the node and starts it again.")
@click.option("--only", multiple=True, metavar="NAME", help="Check this requirement alone; repeatable.")
@click.option("--prepare", is_flag=True, help="Make the test network, say where it is, and end.")
@click.option("--list", "as_list", is_flag=True, help="Show every requirement with its article, and end.")
@click.option(
    "--dial",
    type=click.IntRange(1, SECONDS_MAX),
    default=DIAL_SECONDS_DEFAULT,
    show_default=True,
    help="Seconds in which the region has to dial in.",
)
@click.option(
    "--wait",
    type=click.IntRange(1, SECONDS_MAX),
    default=ANSWER_SECONDS_DEFAULT,
    show_default=True,
    help="Seconds for one answer.",
)
@click.option(
    "--patience",
    type=click.IntRange(1, SECONDS_MAX),
    default=PATIENCE_SECONDS_DEFAULT,
    show_default=True,
    help="Seconds of silence that decide nothing.",
)
@click.pass_obj
def conformance(  # noqa: PLR0913, PLR0917 - click hands over every option
    session: Session,
    listen: str | None,
    directory: Path | None,
    subject_file: Path | None,
    restart: str,
    only: tuple[str, ...],
    prepare: bool,
    as_list: bool,
    dial: int,
    wait: int,
    patience: int,
) -> None:
    """Play the bridge: a region dials in with Sync and proves that it keeps the protocol.

    --dial, --wait and --patience are seconds: for the region to dial in, for one answer, and of silence to
    see that time alone decides nothing. Exits with 0 if every requirement was met.
    """
    from tanqiao.testing.conformance.checks import all_requirements

    requirements = all_requirements()
    if as_list:
        rows = [(one.name, one.article, one.demand) for one in requirements]
        session.output.rows(("requirement", "article", "demand"), rows)
        return
    known = {one.name for one in requirements}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise DomainError("NOT_FOUND", what="requirement", id=unknown[0])
    from tanqiao.testing.conformance.subject import announce, build_kit, load_subject, provision

    for name, value in (("network", directory), ("subject", subject_file)):
        if value is None:
            raise DomainError("FIELD_MISSING", field=f"--{name}")
    subject = load_subject(_given(subject_file))
    network = provision(_given(directory), subject)
    node = network.node(subject.party)
    if prepare:
        session.output.answer({"node": node, "operators": network.home / "operators", "party": subject.party})
        return
    if listen is None:
        raise DomainError("FIELD_MISSING", field="--listen")
    kit = build_kit(network, subject, restart=restart)
    kit.wait_seconds, kit.patience_seconds = float(wait), float(patience)
    address = kit.line.start(listen)
    try:
        session.output.step(f"{address}: 等待 {subject.party} 接入 / waits for {subject.party} to dial in")
        if not kit.line.wait(lambda: kit.line.connected, dial):
            raise DomainError(
                "PEER_UNREACHABLE", peer=subject.party, address=address, detail="did not dial in"
            )
        announce(kit, network, subject)
        chosen = [one for one in requirements if not only or one.name in only]
        _check(session, kit, chosen)
    finally:
        kit.line.stop()


def _given(path: Path | None) -> Path:
    return path if path is not None else Path()


def _check(session: Session, kit: Kit, chosen: Sequence[Requirement]) -> None:
    """Run the checks, print the table, and end with the exit code."""
    from tanqiao.testing.conformance.requirements import Verdict, run

    def report(outcome: Outcome) -> None:
        session.output.step(f"{MARKS[outcome.verdict.value]} {outcome.requirement.name}")

    outcomes = run(kit, chosen, report=report)
    columns = ("requirement", "article", "verdict", "reason")
    rows = [
        (
            one.requirement.name,
            one.requirement.article,
            one.verdict.value,
            one.reason or one.requirement.demand,
        )
        for one in outcomes
    ]
    session.output.rows(
        columns,
        rows,
        json_value={
            "party": kit.party,
            "passed": sum(one.verdict is Verdict.PASSED for one in outcomes),
            "requirements": [
                {
                    "name": one.requirement.name,
                    "article": one.requirement.article,
                    "demand": one.requirement.demand,
                    "verdict": one.verdict.value,
                    "reason": one.reason,
                    "seconds": round(one.seconds, 3),
                }
                for one in outcomes
            ],
        },
    )
    missed = [one for one in outcomes if one.verdict is not Verdict.PASSED]
    session.output.say(f"{len(outcomes) - len(missed)} of {len(outcomes)} requirements met")
    if missed:
        raise click.exceptions.Exit(EXIT_REFUSED)
