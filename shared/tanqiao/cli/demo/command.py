"""`tanqiao demo`: start the federation if it does not run, and walk through the story a to g."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Final

import click

from tanqiao.cli.demo.cast import Cast
from tanqiao.cli.demo.coordination_step import coordinate
from tanqiao.cli.demo.crash_step import crash
from tanqiao.cli.demo.issue_step import register_and_issue
from tanqiao.cli.demo.lists import CREDITS
from tanqiao.cli.demo.lists_step import import_lists
from tanqiao.cli.demo.refusals_step import refusals
from tanqiao.cli.demo.retire_step import retire
from tanqiao.cli.demo.story import Story, StoryFailedError, next_run
from tanqiao.cli.demo.transfer_step import transfer
from tanqiao.cli.local.start import start_federation
from tanqiao.cli.output import EXIT_REFUSED
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.federation import show_states
from tanqiao.kernel.errors import DomainError

STEPS: Final[tuple[Callable[[Story], None], ...]] = (
    import_lists,
    register_and_issue,
    transfer,
    retire,
    refusals,
    crash,
    coordinate,
)
LAST_DAY: Final = date(2026, 12, 15)
"""A notice that opens later would reach into 2027, whose holidays are not published."""


@click.command(cls=Verb)
@click.option(
    "--databases",
    type=click.Choice(["sqlite", "postgres"]),
    envvar="DATABASES",
    help="Database of the nodes; chosen at the first start of a home. [default: sqlite]",
)
@click.option(
    "--ports",
    type=click.Choice(["default", "free"]),
    default="default",
    envvar="TANQIAO_PORTS",
    show_default=True,
    help="The documented ports, or any that are free; chosen at the first start of a home.",
)
@click.pass_obj
def demo(session: Session, databases: str | None, ports: str) -> None:
    """Walk through the main story on a federation of real processes, and leave it running.

    Lists of outside registries, a project from claim check to units, a transfer across regions, a retirement,
    four refusals, a crash of the bridge under load, and the coordination of CCER and green certificates.
    Every result is read back by another party than the one that wrote it. Exits with 1 when anything is not
    as it must be.
    """
    started = time.monotonic()
    federation = start_federation(session, databases=databases, ports=ports)
    if not session.output.as_json:
        show_states(session)
    story = Story(session, federation, Cast(next_run(session)))
    _head(story)
    try:
        for step in STEPS:
            step(story)
    except StoryFailedError:
        pass
    except DomainError as refusal:
        session.output.step(f"✗ {refusal}")
        story.check("未料到的拒绝 an unexpected refusal", passed=False, shown=str(refusal))
    seconds = time.monotonic() - started
    story.say()
    story.show_results(seconds)
    _tail(story, seconds)
    if not story.passed:
        raise click.exceptions.Exit(EXIT_REFUSED)


def _head(story: Story) -> None:
    today = story.today()
    story.panel(
        [
            f"网络 network {story.session.home.network_id} · 第 {story.cast.run} 次 run {story.cast.run}",
            f"测试时钟，始于 2026-03-02，现为 {today} · a test clock, begun at 2026-03-02, now {today}",
            "凡标「虚构 invented」者皆非事实 · what is marked 虚构 invented is no fact",
            "结果由另一证书读回 · results are read back with another certificate",
        ],
        "碳桥 Tanqiao",
    )
    if today > LAST_DAY:
        raise DomainError(
            "SETTING_INVALID",
            setting="home",
            detail=f"the test clock stands at {today}, and the holidays of 2027 are not published: "
            f"tanqiao down, remove {story.session.home.path}, and begin again",
        )


def _tail(story: Story, seconds: float) -> None:
    story.say("数据来源 Data credits:", "dim")
    for credit in CREDITS:
        story.say(f"  {credit}", "dim")
    passed = sum(check.passed for check in story.checks)
    outcome = (
        "✓ 一切如其所应 everything is as it must be" if story.passed else "✗ 有不符之处 something is wrong"
    )
    story.say(
        f"{outcome}: {passed}/{len(story.checks)}, {seconds:.0f} s",
        "bold green" if story.passed else "bold red",
    )
    story.say("联邦仍在运行 The federation is still up: tanqiao status · tanqiao down", "dim")
