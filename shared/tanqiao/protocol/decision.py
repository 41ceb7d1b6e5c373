"""The decision: made once, in one transaction with the location move, on the checks of PROTOCOL section 5.

`decide` is asked by the effect `Decide`; the shell loads the facts of the checks, carries out the effects
that it gives back, makes the signed Decision and notes it with `decided`.
"""

from __future__ import annotations

from typing import Final

from tanqiao.kernel.invariants import require
from tanqiao.kernel.record import record
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.effects import Decide, Effects, MoveLocation, StoreDecision
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import (
    ZERO_HASH,
    DecisionRecord,
    Kind,
    OpenTransfer,
    Outcome,
    Reasons,
    TransferView,
)


@record
class DecisionChecks:
    """Facts of section 5, loaded in the transaction that decides.

    Attributes:
        not_at_source: blocks of the transfer that are not held at the source now (compare-and-set).
        frozen: one reason for each of block, pseudonym, region and pair that is frozen.
        series_unknown: series ids that are not registered.
        cases: one reason for each blocking claim or reconciliation case.
        agreement: why no agreement in force covers direction, class, purpose and cap; empty for a Use.
        revoked_key_ids: which of the keys that signed lock and Ready do not count at this index.
    """

    not_at_source: tuple[UnitBlock, ...] = ()
    frozen: Reasons = ()
    series_unknown: tuple[str, ...] = ()
    cases: Reasons = ()
    agreement: Reasons = ()
    revoked_key_ids: tuple[bytes, ...] = ()


ALL_CHECKS_HOLD: Final = DecisionChecks()


@record
class DecisionResult:
    """The decision to be made durable now, in one transaction with its effects."""

    outcome: Outcome
    lock_hash: bytes
    ready_hash: bytes
    reasons: Reasons
    effects: Effects


def decide(view: TransferView, wish: Decide, checks: DecisionChecks) -> DecisionResult:
    """Decide once, in one transaction with the effects given back (section 5).

    All checks run; every one that fails is a reason of the ABORT.
    """
    require(view.decision is None, "a decision is made once (I4)")
    transfer = _opened(view)
    reasons = wish.reasons if wish.outcome is Outcome.ABORT else failing_checks(transfer, checks)
    parties = (
        (transfer.key.source,)
        if transfer.kind is not Kind.TRANSFER
        else (transfer.key.source, transfer.destination)
    )
    ready_hash = transfer.answer_hash if transfer.ready else ZERO_HASH
    if wish.outcome is Outcome.ABORT or reasons:
        return DecisionResult(
            Outcome.ABORT,
            transfer.lock_hash,
            ready_hash,
            reasons,
            (StoreDecision(Outcome.ABORT, parties),),
        )
    # R9: a COMMIT of a transfer names the Ready, a Use the zero hash.
    require(transfer.ready == (transfer.kind is Kind.TRANSFER), "COMMIT needs the destination's promise")
    return DecisionResult(
        Outcome.COMMIT,
        transfer.lock_hash,
        ready_hash,
        (),
        (
            MoveLocation(transfer.blocks, transfer.key.source, transfer.destination),
            StoreDecision(Outcome.COMMIT, parties),
        ),
    )


def failing_checks(transfer: OpenTransfer, checks: DecisionChecks) -> Reasons:
    """Give a reason for each check of section 5 that fails, in the order of the section."""
    if checks is ALL_CHECKS_HOLD:
        return ()
    reasons = []
    if checks.not_at_source:
        reasons.append(reason("UNIT_NOT_AT_SOURCE", checks.not_at_source, region=transfer.key.source))
    reasons.extend(checks.frozen)
    reasons.extend(reason("SERIES_UNKNOWN", series_id=series_id) for series_id in checks.series_unknown)
    reasons.extend(checks.cases)
    reasons.extend(checks.agreement)
    reasons.extend(
        reason("KEY_REVOKED", key_id=key_id.hex()) for key_id in dict.fromkeys(checks.revoked_key_ids)
    )
    return tuple(reasons)


def decided(view: TransferView, result: DecisionResult, decision_hash: bytes, log_index: int) -> TransferView:
    """Give the view once the Decision is made: the row, and nothing open any more."""
    transfer = _opened(view)
    record = DecisionRecord(
        transfer.key,
        transfer.kind,
        transfer.destination,
        result.outcome,
        result.lock_hash,
        result.ready_hash,
        decision_hash,
        log_index,
        transfer.answer_hash,
    )
    return TransferView(None, record)


def _opened(view: TransferView) -> OpenTransfer:
    require(view.open is not None, "only an open transfer is decided")
    return view.open  # type: ignore[return-value]  # require() has raised on None
