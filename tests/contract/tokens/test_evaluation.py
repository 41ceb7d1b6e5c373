"""The bridge's evaluation."""

from __future__ import annotations

from tanqiao.api.bridge.v1 import tokens_pb2, tokens_pb2_grpc
from tanqiao.signing.token_keys import TokenKeys
from tanqiao.testing.network import BRIDGE, SHANGHAI, SHENZHEN
from tanqiao.voprf import group
from tanqiao.voprf.functions import blind, evaluate, finalize
from tanqiao.voprf.proofs import verify
from tests.contract.bridge.harness import WAIT_SECONDS, Running
from tests.contract.tokens.federation import Federation, refusal

INPUTS = [bytes([number]) * 32 for number in range(3)]


def test_a_batch_is_evaluated_under_the_published_key_with_one_proof(federation: Federation) -> None:
    entry = federation.books[SHANGHAI].epochs()[0]
    blinds = [group.random_scalar() for _ in INPUTS]
    blinded = [blind(*one) for one in zip(INPUTS, blinds, strict=True)]
    evaluated, proof = federation.line(SHANGHAI).evaluate(1, blinded)
    verify(entry.public_key, blinded, evaluated, proof)
    outputs = [finalize(*one) for one in zip(INPUTS, blinds, evaluated, strict=True)]
    # Whoever has the secret half gets the same without blinding.
    pair = TokenKeys(federation.network.network.node(BRIDGE) / "keys").pair(entry)
    assert outputs == [
        finalize(one, scalar, evaluate(pair, element))
        for one, scalar, element in zip(INPUTS, blinds, blinded, strict=True)
    ]
    key_file = federation.network.network.node(BRIDGE) / "keys" / "token-1.key"
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_the_quota_of_a_day_is_counted_for_each_region(federation: Federation) -> None:
    running = federation.start_bridge(tokens_per_day=5)
    elements = [blind(one, group.random_scalar()) for one in INPUTS]

    def send(party: str) -> object:
        stub = tokens_pb2_grpc.TokenServiceStub(running.channel(party))
        request = tokens_pb2.EvaluateElementsRequest(key_epoch=1, blinded_elements=elements)
        return stub.EvaluateElements(request, timeout=WAIT_SECONDS)

    send(SHANGHAI)
    refused = refusal(lambda: send(SHANGHAI))
    assert (refused.symbol, refused.metadata["limit"]) == ("QUOTA_EXCEEDED", "5")
    assert refused.metadata["retry_time"] == "2026-03-03T00:00:00+08:00"
    send(SHENZHEN)
    assert used(running, SHANGHAI) == (3, 5)
    with running.bridge.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT region, calls, elements FROM token_use ORDER BY 1").all()
    assert [tuple(row) for row in rows] == [(SHANGHAI, 1, 3), (SHENZHEN, 1, 3)]


def used(running: Running, party: str) -> tuple[int, int]:
    stub = tokens_pb2_grpc.TokenServiceStub(running.channel(party))
    answer = stub.GetTokenStatus(tokens_pb2.GetTokenStatusRequest(), timeout=WAIT_SECONDS)
    return answer.elements_used, answer.elements_per_day
