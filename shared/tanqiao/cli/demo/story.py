"""The story's frame: what every step has at hand, and what it must prove."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeVar

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tanqiao.cli.acting import holder_party
from tanqiao.cli.demo.cast import Cast
from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import read_json, write_private
from tanqiao.cli.local.members import RegionMember
from tanqiao.cli.session import Session
from tanqiao.cli.verbs.bridge import advance_clocks, present
from tanqiao.client import Federation, RegionClient
from tanqiao.kernel.errors import DomainError

POLL_SECONDS: Final = 0.05
WAIT_SECONDS_MAX: Final = 90.0
SHANGHAI_OFFSET: Final = timedelta(hours=8)
OPENING_HOUR: Final = 9

T = TypeVar("T")


class StoryFailedError(Exception):
    """Something is not as it must be; the text says what."""


@dataclass(slots=True)
class Check:
    """One thing that was proved, or not."""

    step: str
    what: str
    shown: str
    passed: bool


@dataclass(slots=True)
class Found:
    """What earlier steps made and later steps need."""

    project_id: str = ""
    seller: str = ""
    buyer: str = ""
    small_enterprise: str = ""
    series_id: str = ""
    agreement_id: str = ""


@dataclass(slots=True)
class Story:
    """One telling.

    Args:
        session: connections; what a step writes it reads back with another certificate.
        federation: the processes.
        cast: what this run invents.
    """

    session: Session
    federation: LocalFederation
    cast: Cast
    found: Found = field(default_factory=Found)
    checks: list[Check] = field(default_factory=list)
    _letter: str = ""

    @property
    def reader(self) -> Federation:
        """The second client: the national reader, who wrote nothing."""
        return self.session.reader()

    def operator(self, region: RegionMember, role: str) -> RegionClient:
        """Give the client of an operator."""
        return self.session.as_operator(region, role)

    def holder(self, region: RegionMember, name: str) -> RegionClient:
        """Give the client of a holder of accounts of this run; its certificate is made when first needed."""
        party = self.holder_party(region, name)
        self.session.home.make_holder(party)
        return self.session.as_party(party).region(region.code)

    def holder_party(self, region: RegionMember, name: str) -> str:
        """Give the party of a holder of this run."""
        return holder_party(region, "hold", f"{name}-{self.cast.run:06d}")

    # Saying ------------------------------------------------------------------------------------------

    def begin(self, letter: str, title_zh: str, title_en: str) -> None:
        """Print the head of a step."""
        self._letter = letter
        self.say()
        self.say(f"{letter}. {title_zh} · {title_en}", "bold cyan")

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line."""
        self.session.output.say(text, style)

    def note(self, text: str) -> None:
        """Print a line of the step."""
        self.say(f"   {text}")

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table; nothing with --json."""
        if not self.session.output.as_json:
            self.session.output.rows(columns, rows)

    def panel(self, lines: Sequence[str], title: str) -> None:
        """Print lines in a frame."""
        if not self.session.output.as_json:
            self.session.output.console.print(
                Panel(Text("\n".join(lines)), title=title, title_align="left", expand=False),
                soft_wrap=False,
            )

    # Proving ------------------------------------------------------------------------------------------

    def check(self, what: str, passed: bool, shown: object = "") -> None:
        """Record what was proved; a failed check is shown at once and decides the exit code."""
        self.checks.append(Check(self._letter, what, str(shown), passed))
        self.say(
            f"   {'✓' if passed else '✗'} {what}{f' — {shown}' if shown != '' else ''}",
            None if passed else "red",
        )

    def require(self, what: str, passed: bool, shown: object = "") -> None:
        """Record what was proved, and stop where nothing can follow without it."""
        self.check(what, passed, shown)
        if not passed:
            raise StoryFailedError(what)

    @contextmanager
    def refused(self) -> Iterator[list[DomainError]]:
        """Run what must be refused; gives the refusal, or nothing where it went through."""
        caught: list[DomainError] = []
        try:
            yield caught
        except DomainError as refusal:
            caught.append(refusal)

    def wait_until(
        self, what: str, look: Callable[[], T | None], *, seconds_max: float = WAIT_SECONDS_MAX
    ) -> T:
        """Look until there is something.

        Raises:
            StoryFailedError: there was nothing in time.
        """
        end = time.monotonic() + seconds_max
        while True:
            value = look()
            if value is not None:
                return value
            if time.monotonic() > end:
                self.check(what, passed=False, shown=f"> {seconds_max:.0f} s")
                raise StoryFailedError(what)
            time.sleep(POLL_SECONDS)

    # Time ------------------------------------------------------------------------------------------

    def today(self) -> date:
        """Give the legal date of the test clock."""
        return (present(self.session) + SHANGHAI_OFFSET).date()

    def advance_to(self, day: date) -> None:
        """Move the test clock of all nodes to the morning of a day, and say so."""
        moment = datetime(day.year, day.month, day.day, OPENING_HOUR, tzinfo=UTC) - SHANGHAI_OFFSET
        if moment > present(self.session):
            advance_clocks(self.session, moment)
        self.note(f"⏩ 测试时钟拨至 test clock moved to {day} {OPENING_HOUR:02d}:00")

    # The end ------------------------------------------------------------------------------------------

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def show_results(self, seconds: float) -> None:
        """Print the result table, or all checks with --json."""
        if self.session.output.as_json:
            self.session.output.value(
                {
                    "run": self.cast.run,
                    "passed": self.passed,
                    "seconds": round(seconds, 1),
                    "test_clock": True,
                    "checks": [
                        {"step": one.step, "what": one.what, "shown": one.shown, "passed": one.passed}
                        for one in self.checks
                    ],
                }
            )
            return
        table = Table(title="结果 Results", title_justify="left", header_style="bold")
        for column in ("", "检查 check", "所见 seen", ""):
            table.add_column(column, overflow="fold")
        for one in self.checks:
            table.add_row(
                one.step,
                one.what,
                one.shown,
                Text("✓" if one.passed else "✗", "green" if one.passed else "red"),
            )
        self.session.output.console.print(table)


def next_run(session: Session) -> int:
    """Give the number of this telling and remember it; numbers are never used twice in one home."""
    memory = session.home.path / "demo.json"
    value = read_json(memory) or {}
    last = value.get("runs", 0)
    run = (last if isinstance(last, int) else 0) + 1
    write_private(memory, json.dumps({"runs": run}))
    return run
