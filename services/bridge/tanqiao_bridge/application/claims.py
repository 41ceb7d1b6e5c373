"""Claims in the index.

Declared, moved on, released; judged under the locks of their keys, answered with receipts.

The gateways were asked before the transaction; inside it the sorted `claim_lock` rows are locked, the index
is read again, the claim is judged and stored with its leaf and receipt (CLAIMS section 3). The same
statement again gets the stored receipt; another content under the same id is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.claims.model import VerdictKind
from tanqiao.kernel.errors import DomainError, require
from tanqiao.kernel.record import record
from tanqiao.signing.verify import Opened
from tanqiao_bridge.application.claim_aliases import AliasBook, lock_claims
from tanqiao_bridge.application.claim_cases import open_hold, require_uncontested
from tanqiao_bridge.application.claim_facts import ReadClaim
from tanqiao_bridge.application.claim_forms import Made
from tanqiao_bridge.application.claim_receipts import Receipted, insert_receipts, write_receipts
from tanqiao_bridge.application.claim_tokens import (
    epochs_of_group,
    store_tokens,
    tokens_refusal,
    with_renewed,
)
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.holding_back import require_all_reported
from tanqiao_bridge.application.judging import (
    COLLIDING_SHOWN_MAX,
    Index,
    Judged,
    article_text,
    is_refused,
    judge_claim,
    read_stored,
)
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.application.registry_ordering import (
    CERTIFICATES,
    ask_to_freeze,
    ask_to_freeze_again,
    release_frozen,
    require_released,
)
from tanqiao_bridge.application.verdicts import Verdicts
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log

DECLARED: Final = claims_pb2.CLAIM_STATUS_DECLARED
REJECTED: Final = claims_pb2.CLAIM_STATUS_REJECTED
FOLLOWED: Final = (VerdictKind.HOLD, VerdictKind.FREEZE_OTHER)
"""Verdicts of a declaration after which something is done: a case is opened, a registry is asked."""
NEXT_STATUSES: Final = {
    claims_pb2.CLAIM_STATUS_DECLARED: (
        claims_pb2.CLAIM_STATUS_NOTICE,
        claims_pb2.CLAIM_STATUS_REGISTERED,
        claims_pb2.CLAIM_STATUS_WITHDRAWN,
        claims_pb2.CLAIM_STATUS_REJECTED,
    ),
    claims_pb2.CLAIM_STATUS_NOTICE: (
        claims_pb2.CLAIM_STATUS_NOTICE,  # judged once more, for a region whose own rules waited
        claims_pb2.CLAIM_STATUS_REGISTERED,
        claims_pb2.CLAIM_STATUS_WITHDRAWN,
        claims_pb2.CLAIM_STATUS_REJECTED,
    ),
    claims_pb2.CLAIM_STATUS_REGISTERED: (
        claims_pb2.CLAIM_STATUS_WITHDRAWN,
        claims_pb2.CLAIM_STATUS_CANCELLED,
        claims_pb2.CLAIM_STATUS_SUPERSEDED,
    ),
    claims_pb2.CLAIM_STATUS_ISSUED: (claims_pb2.CLAIM_STATUS_SUPERSEDED,),
}
"""Life of a claim as its region may move it (CLAIMS section 3); ISSUED comes with an Issue only."""
RELEASES: Final = (
    claims_pb2.CLAIM_STATUS_WITHDRAWN,
    claims_pb2.CLAIM_STATUS_REJECTED,
    claims_pb2.CLAIM_STATUS_CANCELLED,
    claims_pb2.CLAIM_STATUS_SUPERSEDED,
)
"""Ends of a claim: they free its interval, and nothing is judged for them."""


@record
class Declared:
    """One verified DeclareStatement."""

    opened: Opened
    read: ReadClaim


@dataclass(frozen=True, slots=True)
class DeclareClaims:
    """Declarations of one region with what the gateways said, in the same order.

    `asked` are the keys beside the claims' own under which the gateways were asked: their aliases then.
    """

    region: str
    items: tuple[Declared, ...]
    answers: Answers
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MoveClaim:
    """A verified ClaimStatement: to NOTICE, REGISTERED, or out; `asked` as of `DeclareClaims`."""

    region: str
    opened: Opened
    statement: claims_pb2.ClaimStatement
    answers: Answers
    asked: frozenset[str] = frozenset()


def claim_handlers() -> dict[type, OtherHandler]:
    """Give the handlers that the bridge's writer calls for the commands of this module."""
    return {DeclareClaims: declare_claims, MoveClaim: move_claim}


def declare_claims(group: Group, command: object) -> list[Receipted | DomainError]:
    """Declare claims in order, each judged with those before it; receipts or refusals in the same order.

    A claim whose verdict is BLOCK or HOLD is stored with it and is not live.

    Raises:
        DomainError: REGION_RECOVERING while a region has not reported to a bridge that was restored;
            CONCURRENT_CHANGE where the registries are to be asked again.
    """
    if not isinstance(command, DeclareClaims):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="declare")
    stored = claim_rows.receipts_by_statement(
        group.connection, [item.opened.message_hash for item in command.items]
    )
    if any(item.opened.message_hash not in stored for item in command.items):
        require_all_reported(group)
    taken = claim_rows.load_claims(group.connection, [item.read.claim_id for item in command.items])
    epochs = epochs_of_group(group) if any(item.read.buckets for item in command.items) else ()
    refused = [
        _declaration_refusal(item, command.region, taken)
        or (tokens_refusal(item.read, epochs) if item.read.buckets else None)
        for item in command.items
    ]
    reads = [
        item.read
        for item, refusal in zip(command.items, refused, strict=True)
        if refusal is None and item.opened.message_hash not in stored
    ]
    aliases = lock_claims(group.connection, reads, command.asked)
    index = Index.load(group.connection, reads, aliases).for_answers(command.answers)
    size = log.log_size(group.connection)
    verdicts = Verdicts.of(group.context, size, command.answers, len(command.items))
    decided_on = date.fromisoformat(group.legal_date)
    results: list[Receipted | DomainError | Made] = []
    fresh: list[tuple[claim_rows.ClaimRow, ReadClaim]] = []
    made: list[Made] = []
    followed: list[tuple[ReadClaim, Judged, Made]] = []
    by_statement: dict[bytes, Made] = {}
    for position, item in enumerate(command.items):
        known = stored.get(item.opened.message_hash)
        if known is not None:
            results.append(_stored(known))
            continue
        if item.opened.message_hash in by_statement:
            results.append(by_statement[item.opened.message_hash])
            continue
        refusal = refused[position] or _declaration_refusal(item, command.region, index.rows)
        if refusal is not None:
            results.append(refusal)
            continue
        read, place = item.read, size + len(made)
        judged = judge_claim(
            read, index, command.answers, position, decided_on=decided_on, declared_index=place
        )
        status = REJECTED if is_refused(judged.verdict) else DECLARED
        lapses_at = lease_of(group, read.message.object)
        row = claim_row(read, command.region, status, group.now, place, lapses_at)
        index.add(row, read.keys)
        receipt = Made(
            row.claim_id,
            command.region,
            item.opened.message_hash,
            item.opened.key_id,
            status,
            read.digest,
            verdicts.payload(read.message.region, read, judged),
            keys=read.keys,
        )
        if judged.verdict.verdict in FOLLOWED:
            followed.append((read, judged, receipt))
        fresh.append((row, read))
        made.append(receipt)
        by_statement[item.opened.message_hash] = receipt
        results.append(receipt)
    write_receipts(group, made)
    require(
        all(row.declared_index == receipt.log_index for (row, _), receipt in zip(fresh, made, strict=True)),
        "nothing else was logged while the batch was judged",
    )
    claim_rows.insert_claims(group.connection, [(row, read.keys) for row, read in fresh])
    store_tokens(group.connection, (read for _, read in fresh if read.buckets))
    _follow_up(group, followed)
    envelopes = insert_receipts(group, made)
    return [envelopes[result.claim_id] if isinstance(result, Made) else result for result in results]


def _follow_up(group: Group, followed: Sequence[tuple[ReadClaim, Judged, Made]]) -> None:
    """Open the case of each HOLD; of an instalment that meets unsold certificates, ask for their freeze.

    A project asks as its notice opens: a place in the queue asks nobody.
    """
    for read, judged, receipt in followed:
        if judged.verdict.refusal is not None:
            continue
        if judged.verdict.verdict is VerdictKind.HOLD:
            open_hold(group, read, judged)
        elif read.message.object == claims_pb2.CLAIM_OBJECT_INSTALMENT:
            article = article_text(judged.verdict.article)
            ask_to_freeze(group, read, receipt.answers, article, receipt.log_index)


def _declaration_refusal(
    item: Declared, region: str, taken: Mapping[str, claim_rows.ClaimRow]
) -> DomainError | None:
    """Refuse another region's claim, and an id that is taken; nothing is locked for either."""
    if item.read.message.region != region:
        return DomainError(
            "REGION_SCOPE_MISMATCH", field="claim.region", region=item.read.message.region[:96]
        )
    if item.read.claim_id in taken:
        return DomainError("REQUEST_ID_REUSED", field="claim.claim_id")
    return None


def _stored(row: claim_rows.ReceiptRow) -> Receipted:
    return Receipted(row.payload, row.envelope)


def claim_row(
    read: ReadClaim, region: str, status: int, now: int, declared_index: int, lapses_at: int = 0
) -> claim_rows.ClaimRow:
    """Give the row of a claim as its region stated it."""
    message = read.message
    return claim_rows.ClaimRow(
        read.claim_id,
        region,
        int(message.programme),
        message.programme_code,
        int(message.object),
        message.project_id,
        status,
        int(message.attribute),
        read.period.start.isoformat(),
        read.period.end.isoformat(),
        message.subject_uscc,
        read.content,
        read.digest,
        declared_index,
        now,
        lapses_at,
    )


def lease_of(group: Group, kind: int) -> int:
    """Give when a declared claim lapses, in the bridge's running time; a reserve entry has no notice."""
    lease = group.context.claim_lease_seconds
    if not lease or kind == claims_pb2.CLAIM_OBJECT_ENTRY:
        return 0
    return group.now - group.context.down_seconds + lease


# -- moving a claim on --------------------------------------------------------------------------------------


def move_claim(group: Group, command: object) -> Receipted:
    """Move one claim on; a registration is judged again, on the index as it is now.

    Raises:
        DomainError: REGION_RECOVERING while a region has not reported to a bridge that was restored;
            CLAIM_UNKNOWN, REGION_SCOPE_MISMATCH, CLAIM_STATE_WRONG, CLAIM_HOLD while it is contested,
            CLAIM_UNITS_LEFT for a claim to be superseded, CONCURRENT_CHANGE where the registries are to be
            asked again, and for a registration the reason of its verdict.
    """
    if not isinstance(command, MoveClaim):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="move")
    statement = command.statement
    known = claim_rows.receipts_by_statement(group.connection, [command.opened.message_hash])
    if known:
        return _stored(known[command.opened.message_hash])
    require_all_reported(group)
    row = claim_rows.load_claims(group.connection, [statement.claim_id]).get(statement.claim_id)
    if row is None:
        raise DomainError("CLAIM_UNKNOWN", claim_id=statement.claim_id[:96])
    if row.region != command.region:
        raise DomainError("REGION_SCOPE_MISMATCH", field="claim_id", region=row.region)
    aliases = lock_claims(
        group.connection,
        with_renewed(group.connection, [read_stored(row)]),
        None if statement.status in RELEASES else command.asked,
    )
    row = claim_rows.load_claims(group.connection, [row.claim_id])[row.claim_id]
    if statement.status not in NEXT_STATUSES.get(row.status, ()):  # type: ignore[call-overload]
        raise DomainError(
            "CLAIM_STATE_WRONG",
            claim_id=row.claim_id,
            state=claims_pb2.ClaimStatus.Name(row.status),  # type: ignore[arg-type]
            needed=_needed_for(statement.status),
        )
    read = with_renewed(group.connection, [read_stored(row)])[0]
    verdict = None
    if statement.status == claims_pb2.CLAIM_STATUS_SUPERSEDED:
        _require_no_units(group, row)
    if statement.status not in RELEASES:
        verdict = _judged_again(group, command, row, read, aliases)
    made = Made(
        row.claim_id,
        command.region,
        command.opened.message_hash,
        command.opened.key_id,
        statement.status,
        row.content_digest,
        None if verdict is None else verdict.SerializeToString(),
        keys=read.keys,
    )
    write_receipts(group, [made])
    claim_rows.set_status(group.connection, [(row.claim_id, statement.status)])
    if statement.status in RELEASES:
        release_frozen(group, row.claim_id, made.answers, made.log_index)
    elif verdict is not None and verdict.verdict == claims_pb2.VERDICT_KIND_FREEZE_OTHER:
        ask_to_freeze(group, read, made.answers, verdict.article, made.log_index)
    elif statement.status == claims_pb2.CLAIM_STATUS_NOTICE or row.status == DECLARED:
        ask_to_freeze_again(group, read, made.answers, made.log_index)
    return insert_receipts(group, [made])[row.claim_id]


def _judged_again(
    group: Group, command: MoveClaim, row: claim_rows.ClaimRow, read: ReadClaim, aliases: AliasBook
) -> claims_pb2.Verdict:
    """Judge a claim that moves on; the verdict that its receipt shows.

    Raises:
        DomainError: CLAIM_HOLD while it is contested, CONCURRENT_CHANGE where the registries are to be asked
            again, the reason of a verdict that does not pass, and EXTERNAL_REGISTRY_SILENT for a
            registration while a freeze that was asked for is not confirmed.
    """
    require_uncontested(group.connection, row.claim_id)
    require_released(group, row)
    index = Index.load(group.connection, [read], aliases, resolved=True).for_answers(command.answers)
    judged = judge_claim(read, index, command.answers, 0, decided_on=date.fromisoformat(group.legal_date))
    verdicts = Verdicts.of(group.context, log.log_size(group.connection), command.answers, 1)
    verdict = verdicts.message(row.region, read, judged)
    if is_refused(judged.verdict):
        if judged.verdict.verdict is VerdictKind.HOLD and judged.verdict.refusal is None:
            open_hold(group, read, judged)
        raise _as_error(verdict)
    asks = judged.verdict.verdict is VerdictKind.FREEZE_OTHER
    if asks and command.statement.status == claims_pb2.CLAIM_STATUS_REGISTERED:
        # Only what the other registry has confirmed counts; its silence is HOLD (CLAIMS section 2).
        raise DomainError(
            "EXTERNAL_REGISTRY_SILENT", article=verdict.article or None, registry=CERTIFICATES, as_of="–"
        )
    return verdict


def _require_no_units(group: Group, row: claim_rows.ClaimRow) -> None:
    """Demand, before a claim is superseded, that nothing of it lives: the old units are cancelled first."""
    left: list[object] = list(claim_rows.units_left(group.connection, row.claim_id))
    if row.object == claims_pb2.CLAIM_OBJECT_PROJECT:
        left += claim_rows.live_instalments(
            group.connection, row.region, row.project_id, limit=COLLIDING_SHOWN_MAX
        )
    if left:
        named = ", ".join(map(str, left[:COLLIDING_SHOWN_MAX]))
        raise DomainError("CLAIM_UNITS_LEFT", claim_id=row.claim_id, units=named)


def _needed_for(status: int) -> str:
    """Name the states from which a claim may come to this one."""
    froms = [state for state, nexts in NEXT_STATUSES.items() if status in nexts]
    return ", ".join(claims_pb2.ClaimStatus.Name(state) for state in froms) or "-"


def _as_error(verdict: claims_pb2.Verdict) -> DomainError:
    refusal = verdict.refusal
    metadata = {key: value for key, value in refusal.metadata.items() if key not in ("field", "article")}
    return DomainError(refusal.reason, article=refusal.article or None, **metadata)
