"""What a requirement is, and how one is checked; the table is in `checks`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import grpc

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.invariants import require
from tanqiao.testing.conformance.kit import FailedError, Kit, NotRunError


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


Check = Callable[[Kit], None]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a region must do.

    Args:
        name: stable, for reports.
        article: where PROTOCOL demands it.
        demand: what is demanded, a sentence.
        check: raises FailedError with what the region did instead.
    """

    name: str
    article: str
    demand: str
    check: Check


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one requirement was met."""

    requirement: Requirement
    verdict: Verdict
    reason: str
    seconds: float


REQUIREMENTS: Final[dict[str, Requirement]] = {}


def requirement(name: str, article: str) -> Callable[[Check], Check]:
    """Put a check into the table; its docstring is the demand. A name is used once."""

    def put(check: Check) -> Check:
        require(name not in REQUIREMENTS and bool(check.__doc__), f"{name} is new and says what it demands")
        REQUIREMENTS[name] = Requirement(name, article, (check.__doc__ or "").rstrip("."), check)
        return check

    return put


def run(
    kit: Kit, chosen: Iterable[Requirement], *, report: Callable[[Outcome], None] = lambda _: None
) -> Sequence[Outcome]:
    """Check the requirements one after the other; one that fails does not keep the others from it."""
    outcomes = []
    for one in chosen:
        begun = time.monotonic()
        verdict, reason = _run_one(kit, one)
        outcomes.append(Outcome(one, verdict, reason, time.monotonic() - begun))
        report(outcomes[-1])
    return outcomes


def _run_one(kit: Kit, one: Requirement) -> tuple[Verdict, str]:
    try:
        one.check(kit)
    except FailedError as failed:
        return Verdict.FAILED, str(failed)
    except NotRunError as missing:
        return Verdict.NOT_RUN, str(missing)
    except DomainError as refusal:
        return Verdict.FAILED, f"an order was refused: {refusal.symbol}: {refusal.sentence('en')}"
    except grpc.RpcError as error:
        return Verdict.FAILED, f"the region's interface failed: {error}"
    return Verdict.PASSED, ""
