"""What every node's program can do: serve, migrate, fsck; and backup where the node has books of its own.

Exit codes: 0 done, 1 findings (fsck), 2 usage or settings, 3 something needed is not reachable, 4 a fault of
ours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click

from tanqiao.db.away import when_there
from tanqiao.db.backup import copy_database
from tanqiao.db.engine import open_engine
from tanqiao.rpc.process import announce_ready, exit_on_refusal, serve_until_stopped, set_up_logging
from tanqiao.rpc.server import Server

CONFIG = click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The node's config.toml.",
)
NEW_FILE = click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file.",
)


class Node(Protocol):
    """A node that was put together and does not serve yet."""

    @property
    def server(self) -> Server:
        """What answers its callers."""

    def start(self) -> None:
        """Serve."""

    def stop(self) -> None:
        """Finish what is under way and end; also after a start that failed."""


class Report(Protocol):
    """What a check of the books found."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""

    def as_json(self) -> str:
        """Give it to a program."""

    def as_text(self) -> str:
        """Give it to a person."""


def add_commands(
    group: click.Group,
    *,
    build: Callable[[Path], tuple[str, Node]],
    migrate: Callable[[Path], None],
    check: Callable[[Path], Report],
    checks: str,
) -> None:
    """Add serve, migrate and fsck.

    Args:
        group: the node's program.
        build: puts the node of a config.toml together; gives what the ready line calls it, too.
        migrate: brings its database to the program's schema.
        check: checks its books.
        checks: what `check` does, in a sentence.
    """

    @group.command()
    @CONFIG
    def serve(config: Path) -> None:
        """Serve until SIGTERM or SIGINT; prints one JSON line when it is ready."""
        set_up_logging()
        with exit_on_refusal():
            name, node = when_there(lambda: build(config))
            try:
                node.start()
                announce_ready(name, node.server.address)
                serve_until_stopped()
            finally:
                node.stop()

    @group.command(name="migrate")
    @CONFIG
    def migrate_command(config: Path) -> None:
        """Bring the database to this program's schema."""
        with exit_on_refusal():
            migrate(config)
            click.echo("the schema is current")

    @group.command(help=checks)
    @CONFIG
    @click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
    def fsck(config: Path, *, as_json: bool) -> None:
        with exit_on_refusal():
            report = check(config)
            click.echo(report.as_json() if as_json else report.as_text())
            raise SystemExit(0 if report.clean else 1)


def add_backup(group: click.Group, database_url: Callable[[Path], str]) -> None:
    """Add backup: one consistent copy of an SQLite database.

    Args:
        group: the node's program.
        database_url: of the node of a config.toml.
    """

    @group.command()
    @CONFIG
    @NEW_FILE
    def backup(config: Path, target: Path) -> None:
        """Write one consistent copy of the SQLite database; the node may serve meanwhile."""
        with exit_on_refusal():
            database = open_engine(database_url(config), role="reader")
            try:
                copy_database(database, target)
            finally:
                database.close()
            click.echo(f"backup written: {target} ({target.stat().st_size} bytes)")
