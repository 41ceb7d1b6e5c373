"""R4 for records at a real bridge, on both databases: a second one under an id is evidence, and freezes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2, orders_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import sign_key_record
from tanqiao.testing.network import SHANGHAI
from tanqiao_bridge.application.fsck import check_database
from tanqiao_bridge.storage.tables import evidence
from tests.contract.bridge.approvers import (
    BRIDGE_AUTHORITY,
    REGION,
    SHANGHAI_AUTHORITY,
    both,
    correction,
    frozen_now,
    pair_freeze,
    signed,
    stub_of,
    submit_freeze,
)
from tests.contract.bridge.harness import WAIT_SECONDS, PlayedRegion, Running, issue_units
from tests.contract.bridge.unchanged import recognition

COMMIT = messages_pb2.OUTCOME_COMMIT
ROOTS = (SHANGHAI_AUTHORITY, "authority/440300")
HandIn = Callable[[Running, envelope_pb2.Envelope], None]


def hand_in_agreement(running: Running, record: envelope_pb2.Envelope) -> None:
    request = directory_pb2.SubmitRecognitionRequest(request_id=secrets.token_hex(8), record=record)
    stub = directory_pb2_grpc.RecognitionServiceStub(running.channel(SHANGHAI))
    stub.SubmitRecognition(request, timeout=WAIT_SECONDS, wait_for_ready=True)


def hand_in_key(running: Running, record: envelope_pb2.Envelope) -> None:
    request = directory_pb2.SubmitKeyRecordRequest(request_id=secrets.token_hex(8), record=record)
    stub = directory_pb2_grpc.DirectoryServiceStub(running.channel(SHANGHAI))
    stub.SubmitKeyRecord(request, timeout=WAIT_SECONDS, wait_for_ready=True)


def two_agreements(running: Running) -> list[envelope_pb2.Envelope]:
    """Two texts under one agreement id; the second has a cap."""
    texts = [recognition("A-TWICE"), recognition("A-TWICE", quantity_cap_kg=7)]
    return [running.signed_by_roots(text, ROOTS) for text in texts]


def two_keys(running: Running) -> list[envelope_pb2.Envelope]:
    """Two records of one authority under one message id: one begins later than the other."""
    root = running.network.network.root(SHANGHAI_AUTHORITY)
    known = running.bridge.context.directory.owned_by(SHANGHAI, KeyRole.MESSAGE)[0]
    entry = replace(known, public_key=secrets.token_bytes(32), epoch=2, valid_from_index=10_000)
    first = sign_key_record(running.network.network_id, root, entry)
    record = messages_pb2.KeyRecord.FromString(first.payload)
    record.valid_from_index = 20_000
    return [first, sign_envelope(root.signer, payload_type_of(record), record.SerializeToString())]


def refusal_of(work: Callable[[], object]) -> DomainError:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    return from_rpc_error(caught.value)


def kept(running: Running) -> list[tuple[str, bytes, bytes]]:
    with running.bridge.database.reading() as connection:
        rows = connection.execute(sa.select(evidence)).all()
    return [(row.party, bytes(row.first_envelope), bytes(row.second_envelope)) for row in rows]


@pytest.mark.parametrize(
    ("make", "hand_in"),
    [(two_agreements, hand_in_agreement), (two_keys, hand_in_key)],
    ids=["agreement", "key"],
)
def test_a_second_record_under_an_id_is_kept_beside_the_first_and_freezes_its_sender_until_it_is_lifted(
    running: Running,
    shanghai: PlayedRegion,
    shenzhen: PlayedRegion,
    make: Callable[[Running], list[envelope_pb2.Envelope]],
    hand_in: HandIn,
) -> None:
    running.recognise()
    assert issue_units(running, shanghai).accepted
    first, second = make(running)
    for _ in range(2):  # the same again is no contradiction
        hand_in(running, first)
    assert frozen_now(running) == []
    directory = running.bridge.context.directory
    for _ in range(2):
        assert refusal_of(lambda: hand_in(running, second)).symbol == "EQUIVOCATION"
    assert kept(running) == [(SHANGHAI_AUTHORITY, first.SerializeToString(), second.SerializeToString())]
    assert [(scope, what, by) for scope, what, by, _ in frozen_now(running)] == [(REGION, SHANGHAI, "bridge")]
    assert running.bridge.context.directory == directory
    (stopped,) = shanghai.offer_locks([shanghai.lock(0, 1_000)])
    assert [one.reason for one in shanghai.outcome(stopped).reasons] == ["FROZEN"]
    lifting = pair_freeze(scope=REGION, other_region="", unfreeze=True)
    submit_freeze(running, lifting, BRIDGE_AUTHORITY)
    (later,) = shanghai.offer_locks([shanghai.lock(2_000, 3_000)])
    assert shanghai.outcome(later).outcome == COMMIT
    shenzhen.outcome(later)
    assert check_database(running.bridge.database).clean


def test_a_record_of_a_key_that_came_before_does_not_undo_the_later_one(
    running: Running, shanghai: PlayedRegion
) -> None:
    root = running.network.network.root(SHANGHAI_AUTHORITY)
    known = running.bridge.context.directory.owned_by(SHANGHAI, KeyRole.MESSAGE)[0]
    entry = replace(known, public_key=secrets.token_bytes(32), epoch=2, valid_from_index=10_000)
    first, later = (
        sign_key_record(running.network.network_id, root, replace(entry, valid_from_index=index))
        for index in (10_000, 20_000)
    )
    for record in (first, later, first):
        hand_in_key(running, record)
    stands = running.bridge.context.directory.owned_by(SHANGHAI, KeyRole.MESSAGE)[-1]
    assert (stands.epoch, stands.valid_from_index) == (2, 20_000)
    assert kept(running) == []


def test_a_second_correction_under_an_id_is_kept_beside_the_first_and_moves_nothing(
    running: Running, shanghai: PlayedRegion
) -> None:
    assert issue_units(running, shanghai).accepted
    order = correction(0, 10)
    everybody = (*both(SHANGHAI_AUTHORITY), *both("authority/440300"))
    envelopes = [signed(running.network, order, SHANGHAI_AUTHORITY, everybody)]
    order.document = "another"
    envelopes.append(signed(running.network, order, SHANGHAI_AUTHORITY, everybody))
    requests = [
        orders_pb2.SubmitCorrectionRequest(request_id=secrets.token_hex(8), correction=one)
        for one in envelopes
    ]
    stub = stub_of(running)
    stub.SubmitCorrection(requests[0], timeout=WAIT_SECONDS, wait_for_ready=True)
    refusal = refusal_of(lambda: stub.SubmitCorrection(requests[1], timeout=WAIT_SECONDS))
    assert refusal.symbol == "EQUIVOCATION"
    first, second = (one.SerializeToString() for one in envelopes)
    assert kept(running) == [(SHANGHAI_AUTHORITY, first, second)]
    assert [what for _, what, _, _ in frozen_now(running)] == [SHANGHAI]
    assert check_database(running.bridge.database).clean
