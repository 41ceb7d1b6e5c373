"""The coordination of CCER and green certificates as a protocol (CLAIMS sections 2 to 4).

CCER's gateway states a step of one of its projects. The bridge judges it under the locks of the claim's keys
and, in the same transaction, stores the claim, its receipt and leaf, and the order to the registry of green
certificates: the order's row is the outbox. A project is REGISTERED only when the freeze was confirmed and
the claim, judged again on what the registry then shows, passes; until then it stands in NOTICE, live, which
answers HOLD to all that would follow. A refusal and a part open a case. Cancelling follows an issue that was
accepted; where it is refused or only partly done, that is a blocking matter for people too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, coordination_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.energy import kwh, whole_units_covering
from tanqiao.claims.matrix import edition_in_force
from tanqiao.claims.model import (
    Action,
    Activity,
    GecStateName,
    Metering,
    PeriodActivity,
    VerdictKind,
)
from tanqiao.claims.moments import Interval, second_of_date
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import parse_wire_period, wire_period
from tanqiao.signing.verify import Opened
from tanqiao_bridge.application.claim_aliases import lock_claims
from tanqiao_bridge.application.claim_cases import open_coordination
from tanqiao_bridge.application.claim_facts import ReadClaim, read_claim
from tanqiao_bridge.application.claim_forms import Made
from tanqiao_bridge.application.claim_receipts import Receipted, insert_receipts, write_receipts
from tanqiao_bridge.application.claims import claim_row
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.holding_back import require_all_reported
from tanqiao_bridge.application.judging import (
    Index,
    Judged,
    interval_dates,
    is_refused,
    judge_claim,
    read_stored,
    registries_of,
    verdict_message,
)
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.application.registry_ordering import (
    CANCEL,
    FILING_CODE,
    FREEZE,
    RELEASE,
    keys_of,
    order_id_of,
    write_order,
)
from tanqiao_bridge.application.splits import split_verdict
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage import log, registry_orders
from tanqiao_bridge.storage.registry_orders import OrderRow

CCER: Final = "gateway/ccer"
"""Who states CCER's steps; its claims stand under this name in the index."""

REGISTER: Final = coordination_pb2.COORDINATION_STEP_REGISTER
ISSUE: Final = coordination_pb2.COORDINATION_STEP_ISSUE
WITHDRAW: Final = coordination_pb2.COORDINATION_STEP_WITHDRAW
ACKNOWLEDGED: Final = coordination_pb2.REGISTRY_ORDER_STATE_ACKNOWLEDGED
CONFIRMED: Final = coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED
ANSWERED: Final = frozenset(
    {
        ACKNOWLEDGED,
        CONFIRMED,
        coordination_pb2.REGISTRY_ORDER_STATE_PART_CONFIRMED,
        coordination_pb2.REGISTRY_ORDER_STATE_REFUSED,
    }
)

_LEAVING: Final = {
    claims_pb2.CLAIM_STATUS_NOTICE: claims_pb2.CLAIM_STATUS_WITHDRAWN,
    # A project that was registered and is given up may never be registered again (CCER Art. 16).
    claims_pb2.CLAIM_STATUS_REGISTERED: claims_pb2.CLAIM_STATUS_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class SubmitStep:
    """A verified statement of CCER's gateway, with what the gateways said of its claim; none of WITHDRAW."""

    opened: Opened
    read: ReadClaim | None
    answers: Answers


@dataclass(frozen=True, slots=True)
class TakeOrderAnswer:
    """A verified answer to an order, with what the gateways said of the order's claim when it came."""

    opened: Opened
    envelope: envelope_pb2.Envelope
    answers: Answers


@dataclass(frozen=True, slots=True)
class StepAnswered:
    """The receipt of a step, and the order that it caused (empty: none); or a SPLIT, which stores nothing."""

    receipted: Receipted | None
    order_id: bytes = b""
    split: tuple[claims_pb2.Verdict, envelope_pb2.Envelope] | None = None


def coordination_handlers() -> dict[type, OtherHandler]:
    """Give the handlers that the bridge's writer calls for the commands of this module."""
    return {SubmitStep: submit_step, TakeOrderAnswer: take_order_answer}


def read_step(statement: coordination_pb2.CoordinationStatement) -> ReadClaim | None:
    """Read the claim of a step strictly; None of WITHDRAW, which only names it.

    Raises:
        DomainError: FIELD_INVALID, FIELD_MISSING, METERING_MISSING, and what reading a claim refuses.
    """
    if statement.step == WITHDRAW:
        return None
    claim = statement.claim
    if claim.programme != claims_pb2.PROGRAMME_CCER or claim.region:
        raise DomainError("FIELD_INVALID", field="claim.programme", detail="a claim of CCER without a region")
    wanted, action = (
        (claims_pb2.CLAIM_OBJECT_PROJECT, Action.REGISTER)
        if statement.step == REGISTER
        else (claims_pb2.CLAIM_OBJECT_INSTALMENT, Action.ISSUE)
    )
    if claim.object != wanted:
        raise DomainError(
            "FIELD_INVALID", field="claim.object", detail=claims_pb2.ClaimObject.Name(claim.object)
        )
    if not claim.project_id:
        raise DomainError("FIELD_MISSING", field="claim.project_id")
    read = read_claim(claim, action=action, status=claims_pb2.CLAIM_STATUS_NOTICE)
    if statement.step == REGISTER:
        return read
    activity = _activities(statement.activity, "activity")
    if not activity or not statement.metering:
        raise DomainError("METERING_MISSING", missing="activity, metering")
    total = sum(kwh(one.quantity, one.unit) or 0 for one in activity)
    stated = read.claim.activity
    if stated is None or kwh(stated.quantity, stated.unit) != total:
        detail = f"the periods add up to {total} kWh"
        raise DomainError("FIELD_INVALID", field="claim.activity_quantity", detail=detail)
    in_kwh = tuple(PeriodActivity(one.interval, kwh(one.quantity, one.unit) or 0, "kWh") for one in activity)
    metered = replace(read.claim, activity_by_period=in_kwh, activity=Activity(total, "kWh"))
    return replace(read, made_claim=metered)


def _activities(
    quantities: Sequence[coordination_pb2.PeriodQuantity], field: str
) -> tuple[PeriodActivity, ...]:
    found = []
    for one in quantities:
        period = parse_wire_period(one.period, f"{field}.period")
        if kwh(one.quantity, one.unit) is None or one.quantity <= 0:
            raise DomainError("FIELD_INVALID", field=f"{field}.unit", detail=one.unit[:32])
        interval = Interval(second_of_date(period.start), second_of_date(period.end))
        found.append(PeriodActivity(interval, one.quantity, one.unit))
    return tuple(found)


def submit_step(group: Group, command: object) -> StepAnswered:
    """Judge a step and store what follows; the same statement again gets the stored receipt.

    Raises:
        DomainError: REGION_RECOVERING while a region has not reported to a bridge that was restored;
            CLAIM_UNKNOWN, CLAIM_STATE_WRONG, and the reason of a verdict that does not pass: nothing
            is stored then, and the same statement may be sent again.
    """
    if not isinstance(command, SubmitStep):  # pragma: no cover - the table of handlers gives nothing else
        raise DomainError("INTERNAL", correlation_id="step")
    opened = command.opened
    known = claim_rows.receipts_by_statement(group.connection, [opened.message_hash])
    if known:
        stored = known[opened.message_hash]
        receipted = Receipted(stored.payload, stored.envelope)
        order = registry_orders.load_order(group.connection, order_id_of(opened.message_hash))
        return StepAnswered(receipted, b"" if order is None else order.order_id)
    require_all_reported(group)
    match opened.message.step:
        case coordination_pb2.COORDINATION_STEP_WITHDRAW:
            return _withdraw(group, opened)
        case coordination_pb2.COORDINATION_STEP_REGISTER:
            return _register(group, command)
        case _:
            return _issue(group, command)


# -- steps -------------------------------------------------------------------------------------------------


def _register(group: Group, command: SubmitStep) -> StepAnswered:
    """Store the project in NOTICE and order the freeze of its crediting period: a standing order."""
    read = _required(command.read)
    lock_claims(group.connection, [read])
    row = claim_rows.load_claims(group.connection, [read.claim.claim_id]).get(read.claim.claim_id)
    if row is not None and (
        row.status != claims_pb2.CLAIM_STATUS_NOTICE or row.content_digest != read.digest
    ):
        raise _wrong_state(row, "a new claim")
    judged, verdict = _judge(group, read, command.answers)
    if is_refused(judged.verdict):
        raise _error_of(verdict)
    electricity = read.message.attribute == claims_pb2.ATTRIBUTE_RE_GEN
    if electricity and not any(one.scheme == FILING_CODE for one in read.asset.references):
        raise DomainError("FIELD_MISSING", field=f"claim.asset.references: {FILING_CODE}")
    status = claims_pb2.CLAIM_STATUS_NOTICE if electricity else claims_pb2.CLAIM_STATUS_REGISTERED
    if row is None:
        _insert_claim(group, read, status)
    receipted, log_index = _answer(group, read, command.opened, status, verdict)
    if not electricity:
        return StepAnswered(receipted)
    ends = edition_in_force(date.fromisoformat(group.legal_date)).parameters
    order = coordination_pb2.RegistryOrder(
        kind=FREEZE,
        claim_id=read.claim.claim_id,
        references=keys_of(read),
        period=wire_period(read.period),
        standing_until_date=date_message(ends.coordination_notice_valid.end),
        article=verdict.article,
    )
    return StepAnswered(receipted, write_order(group, command.opened.message_hash, order, log_index))


def _issue(group: Group, command: SubmitStep) -> StepAnswered:
    """Store the instalment as ISSUED and order that the certificates of its electricity be cancelled."""
    read = _required(command.read)
    _registered_project(group, read)  # nothing is locked for one that cannot be issued anyway
    lock_claims(group.connection, [read])
    if claim_rows.load_claims(group.connection, [read.claim.claim_id]):
        raise DomainError("REQUEST_ID_REUSED", request_id=read.claim.claim_id)
    project = _registered_project(group, read)
    judged, verdict = _judge(
        group, read, command.answers, _activities(command.opened.message.metering, "metering")
    )
    if is_refused(judged.verdict):
        raise _error_of(verdict)
    if judged.verdict.verdict is VerdictKind.SPLIT:
        return StepAnswered(None, split=split_verdict(group, judged, verdict))
    _require_confirmed(judged, verdict)
    _insert_claim(group, read, claims_pb2.CLAIM_STATUS_ISSUED)
    receipted, log_index = _answer(group, read, command.opened, claims_pb2.CLAIM_STATUS_ISSUED, verdict)
    quantities = _quantities(judged)
    if not quantities:
        return StepAnswered(receipted)
    order = coordination_pb2.RegistryOrder(
        kind=CANCEL,
        claim_id=project.claim_id,
        references=keys_of(read),
        quantities=quantities,
        article=verdict.article,
    )
    return StepAnswered(receipted, write_order(group, command.opened.message_hash, order, log_index))


def _withdraw(group: Group, opened: Opened) -> StepAnswered:
    """Let the project go, and order the release of what is frozen for it."""
    claim_id = opened.message.claim.claim_id
    row = claim_rows.load_claims(group.connection, [claim_id]).get(claim_id)
    if row is None or row.region != CCER:
        raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id[:96])
    lock_claims(group.connection, [read_stored(row)])
    row = claim_rows.load_claims(group.connection, [claim_id])[claim_id]
    status = _LEAVING.get(row.status)  # type: ignore[call-overload]  # the table's numbers are the wire's
    if status is None or row.object != claims_pb2.CLAIM_OBJECT_PROJECT:
        raise _wrong_state(row, ", ".join(map(claims_pb2.ClaimStatus.Name, _LEAVING)))
    read = read_stored(row)
    claim_rows.set_status(group.connection, [(claim_id, status)])
    receipted, log_index = _answer(group, read, opened, status, None)
    if not registry_orders.newest_of(group.connection, claim_id, (FREEZE, CANCEL, RELEASE)):
        return StepAnswered(receipted)
    order = coordination_pb2.RegistryOrder(kind=RELEASE, claim_id=claim_id)
    return StepAnswered(receipted, write_order(group, opened.message_hash, order, log_index))


def _required(read: ReadClaim | None) -> ReadClaim:
    if read is None:
        raise DomainError("FIELD_MISSING", field="claim")
    return read


def _judge(
    group: Group, read: ReadClaim, answers: Answers, metered: tuple[PeriodActivity, ...] = ()
) -> tuple[Judged, claims_pb2.Verdict]:
    index = Index.load(group.connection, [read], resolved=True)
    metering = tuple(
        Metering(read.asset.asset_id, read.claim.attribute, one.interval, one.quantity, one.unit)
        for one in metered
    )
    judged = judge_claim(
        read, index, answers, 0, decided_on=date.fromisoformat(group.legal_date), metering=metering
    )
    verdict = verdict_message(
        group.context.header((CCER,)),
        read,
        judged,
        as_of_index=log.log_size(group.connection),
        registries=registries_of(answers),
    )
    return judged, verdict


def _error_of(verdict: claims_pb2.Verdict) -> DomainError:
    """Give the refusal that a verdict stands for."""
    refusal = verdict.refusal
    metadata = {key: value for key, value in refusal.metadata.items() if key not in ("field", "article")}
    return DomainError(refusal.reason, article=refusal.article or None, **metadata)


def _answer(
    group: Group, read: ReadClaim, opened: Opened, status: int, verdict: claims_pb2.Verdict | None
) -> tuple[Receipted, int]:
    """Answer a statement, or a decision about an order, with a receipt and its leaf; and its log index."""
    made = Made(
        read.claim.claim_id,
        CCER,
        opened.message_hash,
        opened.key_id,
        status,
        read.digest,
        None if verdict is None else verdict.SerializeToString(),
        keys=read.keys,
    )
    write_receipts(group, [made])
    return insert_receipts(group, [made])[made.claim_id], made.log_index


def _insert_claim(group: Group, read: ReadClaim, status: int) -> None:
    index = log.log_size(group.connection)
    row = claim_row(read, CCER, status, group.now, index)
    claim_rows.insert_claims(group.connection, [(row, read.keys)])


def _registered_project(group: Group, read: ReadClaim) -> claim_rows.ClaimRow:
    """Find the project on which an instalment rests; REGISTERED means that its freeze was confirmed."""
    ids = claim_rows.claims_by_key(group.connection, read.keys)
    rows = claim_rows.load_claims(group.connection, {one for found in ids.values() for one in found})
    needed = claims_pb2.ClaimStatus.Name(claims_pb2.CLAIM_STATUS_REGISTERED)
    state = "–"
    for row in rows.values():
        ours = row.region == CCER and row.project_id == read.message.project_id
        if ours and row.object == claims_pb2.CLAIM_OBJECT_PROJECT:
            if row.status == claims_pb2.CLAIM_STATUS_REGISTERED:
                return row
            state = claims_pb2.ClaimStatus.Name(row.status)  # type: ignore[arg-type]
    raise DomainError("CLAIM_STATE_WRONG", claim_id=read.message.project_id, state=state, needed=needed)


def _require_confirmed(judged: Judged, verdict: claims_pb2.Verdict) -> None:
    """Issue only over what the other registry has confirmed as frozen (CLAIMS section 3)."""
    loose = [
        order.claim_id
        for order in judged.verdict.other_registry_orders
        if (state := judged.named[order.claim_id].gec) is None or state.state is not GecStateName.FROZEN
    ]
    if loose:
        raise DomainError("CLAIM_HOLD", article=verdict.article or None, cases=", ".join(loose))


def _wrong_state(row: claim_rows.ClaimRow, needed: str) -> DomainError:
    state = claims_pb2.ClaimStatus.Name(row.status)  # type: ignore[arg-type]  # the table's numbers
    return DomainError("CLAIM_STATE_WRONG", claim_id=row.claim_id, state=state, needed=needed)


# -- orders ------------------------------------------------------------------------------------------------


def _quantities(judged: Judged) -> list[coordination_pb2.PeriodQuantity]:
    """Add up what the verdict has cancelled, by the period of the certificates; rounded up to whole ones."""
    by_period: dict[tuple[date, date], int] = {}
    for order in judged.verdict.other_registry_orders:
        period = interval_dates(judged.named[order.claim_id].interval)
        wanted = whole_units_covering(kwh(order.quantity, order.unit) or 0, "MWh")
        by_period[period] = by_period.get(period, 0) + wanted
    return [
        coordination_pb2.PeriodQuantity(period=wire_period(Period(start, end)), quantity=quantity, unit="MWh")
        for (start, end), quantity in sorted(by_period.items())
    ]


def take_order_answer(group: Group, command: object) -> int:
    """Take an answer to an order; the state that the order has now.

    A decision that is known is not taken twice. A freeze that was decided has CCER's project judged again on
    what was confirmed: it becomes REGISTERED, or stays in NOTICE with a case. A region's project is judged
    again when its region asks.

    Raises:
        DomainError: NOT_FOUND, FIELD_INVALID for an answer to another order, EXTERNAL_REGISTRY_SILENT where a
            gateway says nothing while the claim is to be judged again: the answer is taken later.
    """
    if not isinstance(command, TakeOrderAnswer):  # pragma: no cover - the table gives nothing else
        raise DomainError("INTERNAL", correlation_id="order")
    answer: coordination_pb2.RegistryOrderAnswer = command.opened.message
    order = registry_orders.load_order(group.connection, answer.order_id)
    if order is None:
        raise DomainError("NOT_FOUND", what="order", id=answer.order_id.hex())
    if answer.order_hash != order.order_hash or command.opened.header.sender != f"gateway/{order.registry}":
        raise DomainError("FIELD_INVALID", field="order_hash", detail="an answer to another order")
    if answer.state not in ANSWERED:
        raise DomainError("FIELD_INVALID", field="state", detail=str(answer.state))
    if order.decision is not None:
        return order.decision
    envelope = command.envelope.SerializeToString()
    decided = answer.state != ACKNOWLEDGED
    if not decided and order.acknowledged_answer is not None:
        return ACKNOWLEDGED
    if decided and order.kind == FREEZE and _is_of_ccer(group, order):
        _judge_again(group, command, order)
    elif decided and answer.state != CONFIRMED:
        _open_case(group, order, answer)
    registry_orders.insert_answer(
        group.connection,
        order.order_id,
        decided=decided,
        state=answer.state,
        envelope=envelope,
        now=group.now,
    )
    return int(answer.state)


def _is_of_ccer(group: Group, order: OrderRow) -> bool:
    row = claim_rows.load_claims(group.connection, [order.claim_id]).get(order.claim_id)
    return row is not None and row.region == CCER


def _judge_again(group: Group, command: TakeOrderAnswer, order: OrderRow) -> None:
    answer: coordination_pb2.RegistryOrderAnswer = command.opened.message
    row = claim_rows.load_claims(group.connection, [order.claim_id])[order.claim_id]
    read = read_stored(row)
    lock_claims(group.connection, [read])
    row = claim_rows.load_claims(group.connection, [order.claim_id])[order.claim_id]
    if row.status != claims_pb2.CLAIM_STATUS_NOTICE:
        return  # withdrawn meanwhile: the release follows
    if command.answers.silent:
        silent = ", ".join(command.answers.silent)
        raise DomainError("EXTERNAL_REGISTRY_SILENT", registry=silent, as_of="–")
    judged, verdict = _judge(group, read, command.answers)
    passed = answer.state == CONFIRMED and judged.verdict.verdict is VerdictKind.ALLOW
    status = claims_pb2.CLAIM_STATUS_REGISTERED if passed else claims_pb2.CLAIM_STATUS_NOTICE
    _answer(group, read, command.opened, status, verdict)
    if passed:
        claim_rows.set_status(group.connection, [(row.claim_id, status)])
    else:
        _open_case(group, order, answer)


def _open_case(group: Group, order: OrderRow, answer: coordination_pb2.RegistryOrderAnswer) -> None:
    """A refusal or a part is for people to settle."""
    details = {
        "order_id": order.order_id.hex(),
        "kind": coordination_pb2.RegistryOrderKind.Name(order.kind),  # type: ignore[arg-type]
        "state": coordination_pb2.RegistryOrderState.Name(answer.state),
        "asked_mwh": answer.asked_quantity_mwh,
        "confirmed_mwh": answer.confirmed_quantity_mwh,
        "reason": answer.reason,
    }
    open_coordination(
        group, order.claim_id, f"gateway/{order.registry}", json.dumps(details, ensure_ascii=False)
    )
