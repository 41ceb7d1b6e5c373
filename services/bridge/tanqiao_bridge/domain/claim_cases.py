"""Cases about claims: their kinds, who decides them, and what a resolution may do (CLAIMS section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from tanqiao_bridge.domain.orders import BRIDGE_AUTHORITY

CASE_DAYS: Final = 30
"""Days within which a case is to be resolved; bridge policy, no text sets a time."""


class CaseKind(StrEnum):
    """Why people must look."""

    HOLD = "claim on hold"
    CONTEST = "claim contested"
    OBJECTION = "objection"
    """What was objected while a claim's notice runs, as its own region states it."""
    ALIAS = "claims on one asset"
    LATE_FACT = "late fact"
    UNITS = "units of a barred claim"
    COORDINATION = "coordination"
    """An order to another registry that was refused or only partly done; a resolution closes it."""
    CANDIDATE = "nominated pair"
    """Two references that may mean one asset; an alias decision about them closes it."""


CLAIM_CASES: Final = frozenset(kind.value for kind in CaseKind)
STOPS_THE_CLAIM: Final = frozenset({CaseKind.CONTEST.value, CaseKind.OBJECTION.value})
"""Kinds that stop a claim while they are open, whatever its verdict; a late fact never freezes by itself."""


def authority_of(region: str) -> str:
    """Give the authority of a region: of ``region/310000`` it is ``authority/310000``."""
    return f"authority/{region.removeprefix('region/')}"


def body_of(regions: Iterable[str], *, meets_outside: bool, silent: Iterable[str] = ()) -> str:
    """Give in whose queue a case stands.

    Args:
        regions: of the claims that it names.
        meets_outside: whether a claim of a national or foreign programme is among them.
        silent: registries that did not answer; the first of them owes the answer.
    """
    for registry in sorted(silent):
        return f"gateway/{registry}"
    named = {region for region in regions if region}
    if meets_outside or len(named) != 1 or not all(region.startswith("region/") for region in named):
        return BRIDGE_AUTHORITY
    return authority_of(named.pop())


def deciding_authority(body: str) -> str:
    """Give the authority whose approver must sign; of a case that waits for a registry the national one."""
    return body if body.startswith("authority/") else BRIDGE_AUTHORITY


def decided_by_two_bodies(body: str, signers: Iterable[str]) -> bool:
    """Whether approvers of two different bodies signed, the deciding one among them."""
    owners = set(signers)
    return len(owners) > 1 and deciding_authority(body) in owners
