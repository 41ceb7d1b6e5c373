"""Issues (PROTOCOL row 9).

Claim checks, series, location and the receipt in one transaction; then the units may exist.

The receipt is a promise that the region must honour, so it is stored and numbered like a decision. An Issue
is answered once; the same bytes again get the stored receipt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key
from tanqiao.db.signatures import store_batch
from tanqiao.db.streams import OutboxMessage
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol import issuance
from tanqiao.protocol.effects import (
    FreezeSender,
    OpenCase,
    RegisterLocation,
    SendNack,
    SendStored,
    StoreEvidence,
    StoreReceipt,
)
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import IssueDecisionRecord, IssueFacts, ReasonFacts, Reasons, TransferKey
from tanqiao.rpc.protocol_facts import date_message, refusal_messages
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.tlog.leaf import Leaf, make_leaf
from tanqiao_bridge.application import contradictions
from tanqiao_bridge.application.commands import Answer, Material, OfferIssues
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.placing import Placing
from tanqiao_bridge.application.transfers import key_gone
from tanqiao_bridge.storage import locations, log, policy
from tanqiao_bridge.storage.tables import issue, series, signature

RECEIPT_TYPE = payload_type_of(messages_pb2.IssueReceipt)


@dataclass(frozen=True, slots=True)
class ClaimedIssue:
    """What the claim checks of an Issue look at: the message as signed, who sent it, and its leaf's index."""

    facts: IssueFacts
    message: messages_pb2.Issue
    legal_date: str
    now: int
    log_index: int


JudgeIssues = Callable[[Group, Sequence[ClaimedIssue]], Sequence[Reasons]]
"""Runs the claim checks inside the transaction and records the instalments that it does not refuse."""

_INT64_MAX = 2**63 - 1


@dataclass(slots=True)
class _Answered:
    material: Material
    facts: IssueFacts
    record: IssueDecisionRecord
    reasons: Reasons
    log_index: int = -1
    payload: bytes = b""


def offer_issues(group: Group, command: OfferIssues, judge: JudgeIssues) -> Answer:
    """Answer the Issues of one region, in order."""
    answer = Answer()
    known = _load_records(group.connection, [facts for _, facts in command.items])
    fresh: dict[bytes, tuple[Material, IssueFacts]] = {}
    for material, facts in command.items:
        record = known.get((facts.region, facts.issue_id))
        if record is None and facts.issue_id not in fresh:
            fresh[facts.issue_id] = (material, facts)
            continue
        if record is None:
            first = fresh[facts.issue_id][1]
            record = IssueDecisionRecord(
                facts.region, facts.issue_id, first.message_hash, facts.block, accepted=False
            )
        _answer_known(group, answer, material, record, facts)
    if fresh:
        _answer_fresh(group, command.party, list(fresh.values()), judge)
    return answer


def _load_records(
    connection: sa.Connection, items: Sequence[IssueFacts]
) -> dict[tuple[str, bytes], IssueDecisionRecord]:
    rows = rows_by_key(
        connection,
        issue,
        ("region", "issue_id"),
        list({(facts.region, facts.issue_id): None for facts in items}),
        (
            "region",
            "issue_id",
            "message_hash",
            "series_id",
            "start_serial",
            "end_serial",
            "accepted",
            "receipt_hash",
        ),
    )
    return {
        (row[0], bytes(row[1])): IssueDecisionRecord(
            row[0],
            bytes(row[1]),
            bytes(row[2]),
            UnitBlock(row[3], row[4], row[5]),
            bool(row[6]),
            bytes(row[7]),
        )
        for row in rows
    }


def _answer_known(
    group: Group, answer: Answer, material: Material, record: IssueDecisionRecord, facts: IssueFacts
) -> None:
    after = issuance.on_issue(record, facts, ())
    key = TransferKey(facts.region, facts.issue_id)
    for effect in after.effects:
        match effect:
            case SendStored():
                row = group.connection.execute(
                    sa.select(issue.c.receipt_payload).where(
                        issue.c.region == facts.region, issue.c.issue_id == facts.issue_id
                    )
                ).first()
                if row is not None:
                    answer.stored.append((RECEIPT_TYPE, bytes(row.receipt_payload)))
            case StoreEvidence() | FreezeSender() | OpenCase():
                contradictions.carry_out(group, effect, facts.region, key, material)
            case SendNack(reasons=reasons):
                answer.refused.append(
                    sync_pb2.OfferRefused(
                        message_hash=facts.message_hash,
                        transfer_id=facts.issue_id,
                        reasons=refusal_messages(reasons),
                    )
                )
            case _:
                pass


# -- new Issues -------------------------------------------------------------------------------------------


def _answer_fresh(
    group: Group, party: str, items: Sequence[tuple[Material, IssueFacts]], judge: JudgeIssues
) -> None:
    own = _own_checks(group, items)
    first_index = log.log_size(group.connection)
    passing = [
        ClaimedIssue(facts, material.opened.message, group.legal_date, group.now, first_index + position)
        for position, ((material, facts), reasons) in enumerate(zip(items, own, strict=True))
        if not reasons
    ]
    judged = judge(group, passing)
    by_id = {item.facts.issue_id: reasons for item, reasons in zip(passing, judged, strict=True)}
    require(log.log_size(group.connection) == first_index, "the checks of claims write no leaf")
    answered, registered = [], []
    for (material, facts), reasons in zip(items, own, strict=True):
        all_reasons = (*reasons, *by_id.get(facts.issue_id, ()))
        after = issuance.on_issue(None, facts, all_reasons)
        answered.append(_Answered(material, facts, after.record, all_reasons))
        for effect in after.effects:
            match effect:
                case RegisterLocation(block=block):
                    log_index = first_index + len(answered) - 1
                    registered.append((material.opened.message, block, log_index))
                case StoreReceipt():
                    pass
                case _:
                    pass
    _register(group, party, registered)
    _write(group, party, answered)


def _own_checks(group: Group, items: Sequence[tuple[Material, IssueFacts]]) -> list[Reasons]:
    """Serials, series and freezes: what the claim checks do not look at."""
    rows = locations.load_touched(group.connection, [facts.block for _, facts in items])
    known = policy.load_series(group.connection, {facts.block.series_id for _, facts in items})
    frozen = group.frozen_things()
    taken: list[UnitBlock] = [row.block for row in rows]
    results: list[Reasons] = []
    for material, facts in items:
        reasons: list[ReasonFacts] = []
        overlap = tuple(common for other in taken if (common := facts.block.intersection(other)) is not None)
        if overlap:
            reasons.append(reason("SERIAL_ALREADY_ISSUED", overlap))
        reasons.extend(key_gone(group, material))
        reasons.extend(_series_reasons(facts, material.opened.message, known.get(facts.block.series_id)))
        reasons.extend(frozen.reasons_of_issue(facts.region, facts.block))
        if not reasons:
            taken.append(facts.block)
        results.append(tuple(reasons))
    return results


def _series_reasons(
    facts: IssueFacts, message: messages_pb2.Issue, known: policy.SeriesRow | None
) -> Reasons:
    stated = message.series
    code = facts.region.removeprefix("region/")
    parts = (code, stated.programme, stated.source_id, str(stated.vintage_year), str(stated.batch_number))
    if stated.region_code != code:
        return (reason("REGION_SCOPE_MISMATCH", region=stated.region_code),)
    if stated.series_id != ":".join(parts):
        return (reason("FIELD_INVALID", field="series.series_id", detail=stated.series_id[:96]),)
    if known is not None and (known.methodology_id, known.unit_class) != (
        stated.methodology_id,
        stated.unit_class,
    ):
        return (reason("FIELD_INVALID", field="series.methodology_id", detail=stated.methodology_id[:64]),)
    return ()


def _register(group: Group, region: str, items: Sequence[tuple[messages_pb2.Issue, UnitBlock, int]]) -> None:
    """Register each series that is new, and the blocks at the issuing region, at their leaves' indexes."""
    if not items:
        return
    placing = Placing.of(group, [block for _, block, _ in items])
    for message, block, log_index in items:
        register_series(group, message, region, log_index)
        placing.book.stamp = log_index
        taken = placing.book.register([block], (region, locations.HELD))
        require(not taken, "no serial of an accepted Issue was issued before")
    placing.write()


def register_series(group: Group, message: messages_pb2.Issue, region: str, log_index: int) -> None:
    """Register the series that an Issue states if it is new."""
    stated = message.series
    if not policy.load_series(group.connection, [stated.series_id]):
        group.connection.execute(
            sa.insert(series).values(
                series_id=stated.series_id,
                region=region,
                programme=stated.programme,
                source_id=stated.source_id,
                vintage_year=stated.vintage_year,
                batch_number=stated.batch_number,
                methodology_id=stated.methodology_id,
                unit_class=stated.unit_class,
                log_index=log_index,
            )
        )


def _write(group: Group, party: str, answered: Sequence[_Answered]) -> None:
    connection = group.connection
    first_index = log.reserve_indexes(connection, len(answered))
    leaves: list[Leaf] = []
    for position, item in enumerate(answered):
        item.log_index = first_index + position
        item.payload = messages_pb2.IssueReceipt(
            header=group.context.header((party,), prev_hash=item.facts.message_hash),
            issue_id=item.facts.issue_id,
            issue_hash=item.facts.message_hash,
            accepted=item.record.accepted,
            reasons=refusal_messages(item.reasons),
            log_index=item.log_index,
            legal_date=date_message(group.legal_date),
        ).SerializeToString()
        leaves.append(_leaf(group, item))
    log.write_leaves(connection, first_index, leaves, recorded_at=group.now)
    batch = sign_batch(group.context.signer, RECEIPT_TYPE, [item.payload for item in answered])
    signature_id = store_batch(connection, signature, batch)
    insert_rows(
        connection,
        issue,
        [
            (
                item.facts.region,
                item.facts.issue_id,
                item.facts.message_hash,
                item.material.opened.payload,
                item.payload,
                message_hash(RECEIPT_TYPE, item.payload),
                item.record.accepted,
                item.facts.block.series_id,
                item.facts.block.start,
                item.facts.block.end,
                item.material.opened.message.claim_id,
                item.log_index,
                signature_id,
                index,
            )
            for index, item in enumerate(answered)
        ],
    )
    for item in answered:
        group.keep_message(item.material, TransferKey(item.facts.region, item.facts.issue_id))
        group.numbered.append(OutboxMessage(party, RECEIPT_TYPE, item.payload))
    group.wake.add(party)


def _leaf(group: Group, item: _Answered) -> Leaf:
    stated = item.material.opened.message
    return make_leaf(
        "issue",
        message_hashes=[item.facts.message_hash, message_hash(RECEIPT_TYPE, item.payload)],
        signer_key_ids=[item.material.opened.key_id, group.context.signer.key_id],
        public={
            "accepted": b"1" if item.record.accepted else b"0",
            "block": str(item.facts.block).encode(),
            "claim_id": stated.claim_id.encode(),
            "issue_id": item.facts.issue_id,
            "region": item.facts.region.encode(),
        },
    )
