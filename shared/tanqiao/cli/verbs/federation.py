"""`tanqiao up`, `status`, `down`, `logs`: the processes of a federation on this machine."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import click

from tanqiao.cli.output import EXIT_UNREACHABLE
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb

if TYPE_CHECKING:
    from tanqiao.cli.finality import Standing

LINES_DEFAULT: Final = 40
WAKE_SECONDS: Final = 0.5


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
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, then stop everything.")
@click.pass_obj
def up(session: Session, databases: str | None, ports: str, foreground: bool) -> None:
    """Start a federation on this machine: three regions, the bridge, two gateways.

    Real processes with TLS, keys and databases, made on the first start. What runs already is left as it is.
    The nodes keep running when this command has ended; `tanqiao down` stops them.
    """
    from tanqiao.cli.local.start import start_federation

    stopping = threading.Event()
    if foreground:
        # A service manager ends with SIGTERM what a person ends with Ctrl-C, also while it starts.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    federation = start_federation(session, databases=databases, ports=ports)
    if foreground:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stopping.set())
    show_states(session)
    if foreground:
        session.output.step("Ctrl-C 停止 / stops everything")
        while not stopping.wait(WAKE_SECONDS):
            pass
        federation.down(report=session.output.step)


@click.command(cls=Verb)
@click.pass_obj
def status(session: Session) -> None:
    """Show every node: its address, its process, whether it answers, what waits for its quorum of witnesses.

    Exits with 3 when a node does not answer.
    """
    if not show_states(session):
        raise click.exceptions.Exit(EXIT_UNREACHABLE)


@click.command(cls=Verb)
@click.pass_obj
def down(session: Session) -> None:
    """Stop the nodes that `tanqiao up` started, and nothing else; their data stay."""
    from tanqiao.cli.local.federation import LocalFederation
    from tanqiao.cli.local.home import POSTGRES_HOME, Home

    homes = [session.home]
    if not session.home_named:
        homes += [home for home in (Home(POSTGRES_HOME),) if home.path != session.home.path]
    stopped = [name for home in homes for name in LocalFederation(home).down(report=session.output.step)]
    session.output.answer(
        {"已停止 stopped": ", ".join(stopped) or "没有在运行的节点 nothing ran"},
        json_value={"stopped": stopped},
    )


@click.command(cls=Verb)
@click.argument("node")
@click.option("--lines", default=LINES_DEFAULT, show_default=True, help="How many of the last lines.")
@click.pass_obj
def logs(session: Session, node: str, lines: int) -> None:
    """Show the last lines that NODE wrote (bridge, shanghai, shenzhen, yunnan, ccer, gec)."""
    from collections import deque

    from tanqiao.cli.local.members import MEMBERS
    from tanqiao.kernel.errors import DomainError

    member = next((member for member in MEMBERS if member.name == node), None)
    if member is None:
        raise DomainError("FIELD_INVALID", field="node", detail=", ".join(member.name for member in MEMBERS))
    session.home.require_made()
    log = session.home.log(member)
    if not log.exists():
        raise DomainError("FILE_MISSING", file=log)
    with log.open(encoding="utf-8", errors="replace") as file:
        last = [line.rstrip("\n") for line in deque(file, maxlen=max(lines, 1))]
    if session.output.as_json:
        session.output.value(last)
    for line in [] if session.output.as_json else last:
        click.echo(line)


def _standing(standings: dict[str, Standing | None], name: str) -> dict[str, object]:
    """Give what JSON says of how a node stands; nothing of one that is no region, or does not serve."""
    if name not in standings:
        return {}
    standing = standings[name]
    return {
        "finality": None if standing is None else standing.finality,
        "alarms": [] if standing is None else standing.alarms,
    }


def show_states(session: Session) -> bool:
    """Print the table of nodes; True when all serve."""
    from tanqiao.cli.finality import standing_of, standing_shown
    from tanqiao.cli.local.federation import LocalFederation
    from tanqiao.cli.local.members import RegionMember

    states = LocalFederation(session.home).states()
    standings = {
        state.member.name: standing_of(session, state.member.code)
        for state in states
        if state.serving and isinstance(state.member, RegionMember)
    }
    choice = session.home.require_made()
    session.output.rows(
        (
            "节点 node",
            "身份 party",
            "地址 address",
            "进程 pid",
            "服务 serving",
            "待终局、告警 not final yet, alarms",
        ),
        [
            (
                state.member.title,
                state.member.party,
                state.address,
                state.pid or "–",
                "✓" if state.serving else "✗",
                standing_shown(standings.get(state.member.name)),
            )
            for state in states
        ],
        title=f"{session.home.network_id} · {choice.databases} · {session.home.path}",
        json_value={
            "network_id": session.home.network_id,
            "databases": choice.databases,
            "home": str(session.home.path),
            "nodes": [
                {
                    "name": state.member.name,
                    "party": state.member.party,
                    "address": state.address,
                    "pid": state.pid,
                    "serving": state.serving,
                    **_standing(standings, state.member.name),
                }
                for state in states
            ],
        },
    )
    return all(state.serving for state in states)
