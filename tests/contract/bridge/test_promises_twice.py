"""R4 at a real bridge, on both databases: two answers, and two receipts, under one id; the first counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.tables import evidence
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY, PAIR, frozen_now, pair_freeze, submit_freeze
from tests.contract.bridge.harness import PlayedRegion, Running, issue_units, locations

COMMIT = messages_pb2.OUTCOME_COMMIT
Regions = tuple[PlayedRegion, PlayedRegion]


def decided(running: Running, regions: Regions) -> tuple[bytes, bytes]:
    """Let a transfer be committed; its id and the hash of its decision."""
    shanghai, shenzhen = regions
    running.recognise()
    assert issue_units(running, shanghai).accepted
    (transfer_id,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    decision = shanghai.outcome(transfer_id)
    assert decision.outcome == COMMIT
    shenzhen.outcome(transfer_id)
    return transfer_id, message_hash(payload_type_of(decision), decision.SerializeToString())


def refuse_behind_ready(regions: Regions, transfer_id: bytes, _decision_hash: bytes) -> PlayedRegion:
    shenzhen = regions[1]
    prepare, _ = shenzhen.prepares[transfer_id]
    prepare_hash = message_hash(prepare.payload_type, prepare.payload)
    message = messages_pb2.Prepare.FromString(prepare.payload)
    shenzhen.offer([shenzhen.answer(message, prepare_hash, "ADDRESS_UNKNOWN")])
    return shenzhen


def two_source_finals(regions: Regions, transfer_id: bytes, decision_hash: bytes) -> PlayedRegion:
    return _finals(
        regions[0], messages_pb2.SourceFinal, messages_pb2.SOURCE_STATE_MOVED, transfer_id, decision_hash
    )


def two_destination_finals(regions: Regions, transfer_id: bytes, decision_hash: bytes) -> PlayedRegion:
    return _finals(
        regions[1],
        messages_pb2.DestFinal,
        messages_pb2.DESTINATION_STATE_CREDITED,
        transfer_id,
        decision_hash,
    )


def _finals(
    region: PlayedRegion, kind: Any, state: int, transfer_id: bytes, decision_hash: bytes
) -> PlayedRegion:
    header = region.header(transfer_id=transfer_id, source=SHANGHAI)
    finals = [
        kind(header=header, decision_hash=decision_hash, state=state, journal_index=index) for index in (7, 8)
    ]
    region.number(finals[:1])
    region.number(finals[:1])  # the same again is no contradiction
    region.number(finals[1:])
    return region


def is_told(region: PlayedRegion) -> bool:
    """Whether a refusal of its own, or a Nack, says EQUIVOCATION."""
    nacks: list[Any] = [message for _, message in region.received if isinstance(message, messages_pb2.Nack)]
    reasons = [one for told in (*region.refused, *nacks) for one in told.reasons]
    return any(one.reason == "EQUIVOCATION" for one in reasons)


@pytest.mark.parametrize(
    ("again", "kind", "party"),
    [
        (refuse_behind_ready, "answer equivocation", SHENZHEN),
        (two_source_finals, "final equivocation", SHANGHAI),
        (two_destination_finals, "final equivocation", SHENZHEN),
    ],
    ids=["answer", "source final", "destination final"],
)
def test_a_second_promise_is_kept_beside_the_first_moves_nothing_and_freezes_the_pair(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    again: Callable[[Regions, bytes, bytes], PlayedRegion],
    kind: str,
    party: str,
) -> None:
    regions = (shanghai, shenzhen)
    transfer_id, decision_hash = decided(running, regions)
    where = locations(running)
    liar = again(regions, transfer_id, decision_hash)
    liar.wait(lambda: is_told(liar))
    with running.bridge.database.reading() as connection:
        rows = connection.execute(sa.select(evidence)).all()
    (row,) = rows
    assert (row.kind, row.party) == (kind, party)
    assert row.first_envelope
    assert row.second_envelope
    assert row.first_envelope != row.second_envelope
    assert locations(running) == where
    assert [(scope, by) for scope, _, by, _ in frozen_now(running)] == [(PAIR, "bridge")]
    (stopped,) = shanghai.offer_locks([shanghai.lock(2_000, 3_000)])
    assert [one.reason for one in shanghai.outcome(stopped).reasons] == ["FROZEN"]
    submit_freeze(running, pair_freeze(unfreeze=True), BRIDGE_AUTHORITY)
    (later,) = shanghai.offer_locks([shanghai.lock(4_000, 5_000)])
    assert shanghai.outcome(later).outcome == COMMIT
    assert check_database(running.bridge.database).clean
