"""Decisions that two references mean one asset, or different ones (CLAIMS section 3).

Both roots are locked, the classes made again from the latest decision of each pair, and every live claim on
them is judged again. A decision opens cases and withdraws nothing; undoing one is a new decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.claim_aliases import ALIAS_CLASS_MAX, lock_keys, united
from tanqiao_bridge.application.claim_cases import judge_again
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.nominating import settle_nominated
from tanqiao_bridge.application.records import answered_before, note_answer
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.storage import aliases, log
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.aliases import DecisionRow

LEAF_KIND: Final = "asset_alias"
CLAIMS_JUDGED_MAX: Final = 10_000
"""Most claims on the references of one class that a decision judges again."""


@dataclass(frozen=True, slots=True)
class DecideAlias:
    """An AliasDecision that approvers of two authorities signed, verified.

    Args:
        decision: as signed.
        pair: keys of the two references, the lesser first.
        envelope: with its signatures.
        message_hash: of it.
        signer_key_ids: whose signatures it has.
        request: of the call.
        asked: claims about which the gateways were asked, in the order of the answers.
        answers: what they said.
    """

    decision: cases_pb2.AliasDecision
    pair: tuple[str, str]
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signer_key_ids: tuple[bytes, ...]
    request: ClientRequest
    asked: Sequence[str] = ()
    answers: Answers | None = None


def decide_alias(group: Group, command: DecideAlias) -> Answer:
    """Write a decision, make the classes again, and judge the claims on them again.

    Raises:
        DomainError: BATCH_TOO_LARGE for a class or a number of claims beyond the bound, REQUEST_ID_REUSED.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    known = [
        row
        for row in aliases.decisions_about(group.connection, command.pair)
        if row.envelope == command.envelope.SerializeToString()
    ]
    if known:
        answer.log_index = known[0].log_index
        note_answer(group, command.request, answer)
        return answer
    members = sorted({*command.pair, *lock_keys(group.connection, command.pair).expand(command.pair)})
    if len(members) > ALIAS_CLASS_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=ALIAS_CLASS_MAX, count=len(members))
    lock_keys(group.connection, members)
    on_them = {
        claim_id for ids in claim_rows.claims_by_key(group.connection, members).values() for claim_id in ids
    }
    if len(on_them) > CLAIMS_JUDGED_MAX:
        raise DomainError("BATCH_TOO_LARGE", limit=CLAIMS_JUDGED_MAX, count=len(on_them))
    answer.log_index = _record(group, command)
    pairs = [
        (row.first_key, row.second_key, row.relation)
        for row in aliases.decisions_about(group.connection, members)
    ]
    aliases.write_classes(group.connection, members, united(pairs, members))
    rows = claim_rows.load_claims(group.connection, sorted(on_them))
    judge_again(
        group, [rows[claim_id] for claim_id in sorted(rows)], CaseKind.ALIAS, command.asked, command.answers
    )
    settle_nominated(group, command.pair, answer.log_index, command.envelope.SerializeToString())
    note_answer(group, command.request, answer)
    return answer


def _record(group: Group, command: DecideAlias) -> int:
    first, second = command.pair
    # The references stay out of the leaf: an account or a vehicle number is personal.
    relation = cases_pb2.AliasRelation.Name(command.decision.relation).removeprefix("ALIAS_RELATION_")
    leaf = make_leaf(
        LEAF_KIND,
        message_hashes=[command.message_hash],
        signer_key_ids=list(command.signer_key_ids),
        public={"relation": relation.encode()},
    )
    announced = group.announced(LEAF_KIND)
    log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now, announced=announced)
    group.keep_record(command.envelope, command.message_hash, command.decision.header.sender)
    aliases.insert_decision(
        group.connection,
        DecisionRow(
            log_index, first, second, int(command.decision.relation), command.envelope.SerializeToString()
        ),
    )
    return log_index
