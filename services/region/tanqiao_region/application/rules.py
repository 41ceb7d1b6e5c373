"""From what the node stores to the facts of the rule pack, and from its verdict to reasons of the protocol.

An account's kind says what its holder is. Organisations whose account an office of the region has opened
count as admitted to trading; persons do not (RULES SH-18, SZ-24: the list itself is kept by the exchange).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock, subtract_blocks
from tanqiao.protocol.types import ReasonFacts, Reasons
from tanqiao.rpc.protocol_facts import reason_of_error
from tanqiao_region.application.commands import By
from tanqiao_region.domain.rules.facts import Actor, Recognition, Subject, SubjectType, UnitLot
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import accounts as kinds
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.holdings import SeriesRow

SUBJECT_TYPES: Final = {
    kinds.KIND_AUTHORITY: SubjectType.AUTHORITY,
    kinds.KIND_EXCHANGE: SubjectType.EXCHANGE,
    kinds.KIND_ENTERPRISE: SubjectType.ENTERPRISE,
    kinds.KIND_SMALL_BUSINESS: SubjectType.SMALL_MICRO_ENTERPRISE,
    kinds.KIND_PERSON: SubjectType.PERSON,
    kinds.KIND_DATA_OPERATOR: SubjectType.DATA_OPERATOR,
    kinds.KIND_EXTERNAL_BUYER: SubjectType.OUTSIDE_BUYER,
    kinds.KIND_COVERED_EMITTER: SubjectType.COVERED_EMITTER,
    kinds.KIND_SUSPENSE: SubjectType.AUTHORITY,
}
TRADING_KINDS: Final = frozenset(
    {
        kinds.KIND_EXCHANGE,
        kinds.KIND_ENTERPRISE,
        kinds.KIND_SMALL_BUSINESS,
        kinds.KIND_DATA_OPERATOR,
        kinds.KIND_EXTERNAL_BUYER,
        kinds.KIND_COVERED_EMITTER,
    }
)
SUBJECTS_KEPT_MAX: Final = 8192


@lru_cache(maxsize=SUBJECTS_KEPT_MAX)
def subject_of(account: AccountRow, region_code: str) -> Subject:
    """Give the holder of an account as the rules see it."""
    is_operator = account.kind == kinds.KIND_DATA_OPERATOR
    opened_on = legal_date(datetime.fromtimestamp(account.opened_at, UTC))
    return Subject(
        subject_id=account.account_id,
        subject_type=SUBJECT_TYPES[account.kind],
        seat_region=account.seat or region_code,
        operator_id=account.operator_account_id,
        registered_from=opened_on if is_operator else None,
        qualified_to_trade=account.kind in TRADING_KINDS,
        covered_emitter=account.kind == kinds.KIND_COVERED_EMITTER,
        roles_held=frozenset({"data_operator"}) if is_operator else frozenset(),
    )


def actor_of(by: By) -> Actor:
    """Give who acts."""
    return Actor(subject_id=by.party, role=by.role)


def lots_of(
    blocks: Iterable[UnitBlock], series: dict[str, SeriesRow], encumbered: Sequence[UnitBlock] = ()
) -> tuple[UnitLot, ...]:
    """Give the blocks with what the rules look at, cut where encumbered units begin and end.

    Raises:
        DomainError: SERIES_UNKNOWN.
    """
    lots = []
    for block, bound in _cut(blocks, encumbered):
        row = series.get(block.series_id)
        if row is None:
            raise DomainError("SERIES_UNKNOWN", series_id=block.series_id)
        lots.append(
            UnitLot(
                series_id=block.series_id,
                programme=row.programme,
                origin_region=row.region_code,
                start=block.start,
                end=block.end,
                vintage=row.vintage_year,
                unit_class=row.unit_class,
                encumbered=bound,
            )
        )
    return tuple(lots)


def _cut(blocks: Iterable[UnitBlock], encumbered: Sequence[UnitBlock]) -> Iterator[tuple[UnitBlock, bool]]:
    for block in blocks:
        free = subtract_blocks((block,), encumbered) if encumbered else (block,)
        yield from ((piece, False) for piece in free)
        if encumbered:
            yield from ((piece, True) for piece in subtract_blocks((block,), free))


def reasons_of_verdict(verdict: Verdict) -> Reasons:
    """Give every refusal of a verdict as reasons of the protocol, with articles in both languages."""
    return tuple(reason_of_error(finding.error()) for finding in verdict.refusals)


def reason_facts(symbol: str, /, **metadata: Any) -> ReasonFacts:  # noqa: ANN401 - as the error takes
    """Give one failing check of the node itself."""
    return reason_of_error(DomainError(symbol, **metadata))


def in_force(records: Sequence[Recognition], on: date) -> tuple[Recognition, ...]:
    """Give the recognition records that are in force on a date."""
    return tuple(record for record in records if record.in_force(on))
