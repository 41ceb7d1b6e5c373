"""TokenService: blinded elements in, evaluated ones out, with one proof; nothing of them is kept."""

from __future__ import annotations

from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import tokens_pb2, tokens_pb2_grpc
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import page, require_count, require_text
from tanqiao.signing.token_keys import TokenKeys, live_epoch
from tanqiao.voprf import group
from tanqiao.voprf.functions import evaluate
from tanqiao.voprf.proofs import prove
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX
from tanqiao_bridge.application.claim_tokens import (
    CountElements,
    RenewTokens,
    TokenQueries,
    epochs_of_context,
)
from tanqiao_bridge.application.context import BridgeContext

ANSWER_SECONDS_MAX: Final = 30.0
ELEMENTS_PER_CALL_MAX: Final = 1_000
RENEWALS_PER_CALL_MAX: Final = 100


class TokenServicer(tokens_pb2_grpc.TokenServiceServicer):
    """Evaluates, and keeps claims findable over the epochs of the key."""

    def __init__(
        self,
        context: BridgeContext,
        queries: TokenQueries,
        writer: GroupCommit[Any, Any],
        keys: TokenKeys,
    ) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._keys = keys

    def EvaluateElements(
        self, request: tokens_pb2.EvaluateElementsRequest, context: grpc.ServicerContext
    ) -> tokens_pb2.EvaluateElementsResponse:
        """Evaluate a batch under one key; it is counted first, and refused elements are not."""
        del context
        require_count(request.blinded_elements, "blinded_elements", limit=ELEMENTS_PER_CALL_MAX)
        for element in request.blinded_elements:
            group.check_element(element, "blinded_elements")
        entry = live_epoch(self._context.directory, request.key_epoch)
        key = self._keys.pair(entry)
        count = CountElements(current_caller().party, len(request.blinded_elements))
        self._writer.submit(count).result(ANSWER_SECONDS_MAX)
        evaluated = [evaluate(key, element) for element in request.blinded_elements]
        proof = prove(key, request.blinded_elements, evaluated, group.random_scalar())
        return tokens_pb2.EvaluateElementsResponse(evaluated_elements=evaluated, proof=proof)

    def GetTokenStatus(
        self, request: tokens_pb2.GetTokenStatusRequest, context: grpc.ServicerContext
    ) -> tokens_pb2.GetTokenStatusResponse:
        """Give the key epochs with what rests on each, and the caller's use of today."""
        del request, context
        epochs = epochs_of_context(self._context)
        resting = self._queries.resting([entry.epoch for entry in epochs])
        today = legal_date(self._context.clock.now()).isoformat()
        return tokens_pb2.GetTokenStatusResponse(
            epochs=[
                tokens_pb2.TokenEpoch(key_epoch=entry.epoch, key_id=entry.key_id, resting_claims=claims)
                for entry, claims in zip(epochs, resting, strict=True)
            ],
            elements_used=self._queries.used(current_caller().party, today),
            elements_per_day=self._context.tokens_per_day,
        )

    def ListStaleClaims(
        self, request: tokens_pb2.ListStaleClaimsRequest, context: grpc.ServicerContext
    ) -> tokens_pb2.ListStaleClaimsResponse:
        """Give the caller's live claims that the newest key does not find."""
        del context
        region = current_caller().party
        newest = max((entry.epoch for entry in epochs_of_context(self._context)), default=0)
        asked = page(request.page_size, request.page_token, region, newest)
        claims = self._queries.stale(region, newest, after=asked.after, limit=asked.size + 1)
        shown = claims[: asked.size]
        return tokens_pb2.ListStaleClaimsResponse(
            claims=shown,
            next_page_token=asked.token(shown[-1].claim_id) if len(claims) > asked.size else "",
        )

    def RenewTokens(
        self, request: tokens_pb2.RenewTokensRequest, context: grpc.ServicerContext
    ) -> tokens_pb2.RenewTokensResponse:
        """Find the caller's claims under the newest key too: all of the call, or none."""
        del context
        require_count(request.renewed, "renewed", limit=RENEWALS_PER_CALL_MAX)
        for renewed in request.renewed:
            require_text(renewed.claim_id, "renewed.claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        if len({renewed.claim_id for renewed in request.renewed}) < len(request.renewed):
            raise DomainError("FIELD_INVALID", field="renewed.claim_id", detail="a claim stands there twice")
        command = RenewTokens(current_caller().party, tuple(request.renewed))
        self._writer.submit(command).result(ANSWER_SECONDS_MAX)
        return tokens_pb2.RenewTokensResponse()
