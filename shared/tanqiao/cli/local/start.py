"""What `tanqiao up` and `tanqiao demo` both do first."""

from __future__ import annotations

from tanqiao.cli.local.federation import LocalFederation
from tanqiao.cli.local.home import DEFAULT_HOME, POSTGRES_HOME, Home
from tanqiao.cli.session import Session


def start_federation(session: Session, *, databases: str | None, ports: str) -> LocalFederation:
    """Start the federation of the session's home.

    Without a named home each kind of database has its own, and the documented ports serve one at a time: the
    other federation is stopped first, and the screen says so.
    """
    if not session.home_named and databases is not None:
        home, other = Home(DEFAULT_HOME), Home(POSTGRES_HOME)
        if databases == "postgres":
            home, other = other, home
        session.home = home
        if other.run_file.is_file() and LocalFederation(other).started():
            session.output.step(f"先停止另一联邦 / stopping the other federation first: {other.path}")
            LocalFederation(other).down(report=session.output.step)
    federation = LocalFederation(session.home)
    federation.up(databases=databases, ports=ports, report=session.output.step)
    return federation
