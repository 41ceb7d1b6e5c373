"""`tanqiao-gateway`: serve, migrate, fsck.

Exit codes: see `tanqiao.rpc.program`.
"""

from __future__ import annotations

from pathlib import Path

import click

from tanqiao.rpc.program import Node, add_commands
from tanqiao_gateway.application.fsck import check
from tanqiao_gateway.bootstrap import build, open_database
from tanqiao_gateway.settings import load_settings


@click.group()
def main() -> None:
    """A gateway: the official list of one outside registry, as imported."""


def _build(config: Path) -> tuple[str, Node]:
    gateway = build(load_settings(config))
    return f"gateway/{gateway.settings.registry}", gateway


add_commands(
    main,
    build=_build,
    migrate=lambda config: open_database(load_settings(config)).close(),
    check=lambda config: check(load_settings(config)),
    checks="Check guards, and every import against its rows and their keys.",
)


if __name__ == "__main__":
    main()
