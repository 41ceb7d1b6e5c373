"""Runs each node's own `fsck` in its own process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tanqiao.cli.local.home import Home
from tanqiao.cli.local.members import MEMBERS, Member
from tanqiao.kernel.errors import DomainError

FSCK_SECONDS_MAX: Final = 21_600
"""Every signature is verified again: a large book takes its time."""
PARALLEL_MAX: Final = 2
SUMMARY_CHARACTERS_MAX: Final = 240


@dataclass(frozen=True, slots=True)
class Checked:
    """What a node's fsck said.

    Args:
        member: which node.
        clean: nothing was found.
        report: everything it printed.
    """

    member: Member
    clean: bool
    report: str

    @property
    def summary(self) -> str:
        """The last line, short."""
        lines = self.report.strip().splitlines()
        return lines[-1][:SUMMARY_CHARACTERS_MAX] if lines else ""


def check_nodes(home: Home, names: Sequence[str] = ()) -> list[Checked]:
    """Check the named nodes, or all.

    Raises:
        DomainError: FIELD_INVALID for a name that is no node.
    """
    home.require_made()
    unknown = set(names) - {member.name for member in MEMBERS}
    if unknown:
        known = ", ".join(member.name for member in MEMBERS)
        raise DomainError("FIELD_INVALID", field="nodes", detail=f"{min(unknown)}: {known}")
    members = [member for member in MEMBERS if not names or member.name in names]
    with ThreadPoolExecutor(PARALLEL_MAX) as pool:
        return list(pool.map(lambda member: _check(home, member), members))


def _check(home: Home, member: Member) -> Checked:
    command = [sys.executable, "-m", member.module, "fsck", "--config", str(home.config(member))]
    try:
        answer = subprocess.run(  # noqa: S603 - our own programs, without a shell
            command,
            cwd=home.node(member),
            capture_output=True,
            text=True,
            timeout=FSCK_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        hours = FSCK_SECONDS_MAX // 3600
        return Checked(member, clean=False, report=f"not finished after {hours} hours, nothing is known")
    return Checked(member, answer.returncode == 0, answer.stdout + answer.stderr)
