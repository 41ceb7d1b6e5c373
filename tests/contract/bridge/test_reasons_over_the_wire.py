"""Reasons that no other test of the bridge provokes on a line."""

from __future__ import annotations

import secrets

import pytest

from tanqiao.api.bridge.v1 import directory_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.network import SHANGHAI
from tests.contract.bridge.bad_messages import signed, submit, withdraw
from tests.contract.bridge.unchanged import World, digest, world

__all__ = ["world"]


def test_an_answer_from_a_region_that_the_transfer_does_not_concern_is_out_of_place(world: World) -> None:
    header = world.shanghai.header(
        transfer_id=world.decision.header.transfer_id, source=SHANGHAI, prev_hash=secrets.token_bytes(32)
    )
    reasons = [values_pb2.Refusal(reason="ADDRESS_UNKNOWN")]
    refuse = messages_pb2.Refuse(header=header, lock_hash=world.decision.lock_hash, reasons=reasons)
    before = digest(world.database)
    assert submit(world, signed(world, refuse)) == ["MESSAGE_OUT_OF_PLACE"]
    assert digest(world.database) == before


def test_an_offer_under_an_approvers_key_has_the_wrong_role(world: World) -> None:
    message, _ = withdraw(world)
    signer = world.network.network.approvers("authority/310000")[0].signer
    batch = sign_batch(signer, payload_type_of(message), [message.SerializeToString()])
    before = digest(world.database)
    assert submit(world, batch) == ["KEY_ROLE_WRONG"]
    assert digest(world.database) == before


def test_a_record_with_a_path_that_leads_nowhere_is_refused(world: World) -> None:
    record = envelope_pb2.Envelope()
    record.CopyFrom(world.record)
    del record.signatures[1:]
    record.batch_proof.CopyFrom(envelope_pb2.BatchProof(size=2, index=5, path=[bytes(32)]))
    request = directory_pb2.SubmitRecognitionRequest(request_id="no-path", record=record)
    before = digest(world.database)
    with pytest.raises(DomainError) as refusal:
        world.send(
            "/tanqiao.api.bridge.v1.RecognitionService/SubmitRecognition",
            request.SerializeToString(),
            SHANGHAI,
        )
    assert refusal.value.symbol == "BATCH_PROOF_INVALID"
    assert digest(world.database) == before
