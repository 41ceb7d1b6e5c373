"""ClaimQueryService: the national query over the claim index; every query is noted for who asked."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claim_queries_pb2, claim_queries_pb2_grpc, claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_message
from tanqiao.rpc.validation import page, parse_serial, require_text
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX
from tanqiao_bridge.application.claim_search import ClaimSearch
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.server.claim_answers import (
    QueryNotes,
    as_json,
    own_sight,
    read_filter,
    require_may_ask_for_subject,
    shown_claim,
    signed_answer,
    signed_reply,
)

ISSUED: Final = claims_pb2.CLAIM_STATUS_ISSUED


class ClaimQueryServicer(claim_queries_pb2_grpc.ClaimQueryServiceServicer):
    """Answers the queries of authorities."""

    def __init__(self, context: BridgeContext, search: ClaimSearch, writer: GroupCommit[Any, Any]) -> None:
        self._context = context
        self._search = search
        self._notes = QueryNotes(writer)

    def SearchClaims(
        self, request: claim_queries_pb2.SearchClaimsRequest, context: grpc.ServicerContext
    ) -> claim_queries_pb2.SearchClaimsResponse:
        """Give a page of the claims that fit, signed with the index that it stands at."""
        del context
        if request.as_of_index < 0:
            raise DomainError("FIELD_INVALID", field="as_of_index", detail=str(request.as_of_index))
        sight = own_sight()
        require_may_ask_for_subject(request.filter, sight)
        wanted = read_filter(request.filter)
        query = as_json(request.filter)
        asked = page(request.page_size, request.page_token, query)
        found = self._search.search(
            wanted,
            statuses=frozenset(request.filter.statuses),
            methodology_id=request.filter.methodology_id,
            as_of_index=request.as_of_index,
            after=asked.after,
            limit=asked.size,
        )
        answer = claim_queries_pb2.ClaimList(
            header=self._context.header((current_caller().party,)),
            filter=request.filter,
            as_of_index=found.as_of_index,
            entries=[
                claim_queries_pb2.ClaimEntry(
                    claim=shown_claim(entry.row, entry.step.status, sight),
                    declared_index=entry.declared_index,
                    status_index=entry.step.log_index,
                )
                for entry in found.entries
            ],
            next_page_token=asked.token(found.next_after) if found.next_after else "",
        )
        self._notes.note("SearchClaims", query, found.as_of_index, len(found.entries))
        return claim_queries_pb2.SearchClaimsResponse(
            list=answer, envelope=signed_answer(self._context, answer)
        )

    def GetClaimHistory(
        self, request: claim_queries_pb2.GetClaimHistoryRequest, context: grpc.ServicerContext
    ) -> claim_queries_pb2.GetClaimHistoryResponse:
        """Give every step of one claim."""
        del context
        claim_id = require_text(request.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        history = self._search.history(claim_id)
        steps = []
        for row in history.receipts:
            receipt = claims_pb2.ClaimReceipt.FromString(row.payload)
            steps.append(
                claim_queries_pb2.ClaimStep(
                    status=receipt.status,
                    log_index=row.log_index,
                    step_time=receipt.receipt_time,
                    bridge_reason=receipt.bridge_reason,
                    receipt=envelope_pb2.Envelope.FromString(row.envelope),
                )
            )
        steps.extend(
            claim_queries_pb2.ClaimStep(status=ISSUED, log_index=log_index) for log_index, _ in history.issued
        )
        self._notes.note("GetClaimHistory", claim_id, history.log_size, 1)
        response = claim_queries_pb2.GetClaimHistoryResponse(
            claim=shown_claim(history.row, history.row.status, own_sight()),
            steps=sorted(steps, key=lambda step: step.log_index),
            case_ids=history.case_ids,
            issued_blocks=[block_message(block) for _, block in history.issued],
            as_of_index=history.log_size,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, history.log_size))
        return response

    def ListQueries(
        self, request: claim_queries_pb2.ListQueriesRequest, context: grpc.ServicerContext
    ) -> claim_queries_pb2.ListQueriesResponse:
        """Give what the caller itself has asked, latest first."""
        del context
        party = current_caller().party
        asked = page(request.page_size, request.page_token, party)
        rows, size = self._search.queries(party, before=asked.read(parse_serial, 0), limit=asked.size + 1)
        shown = rows[: asked.size]
        response = claim_queries_pb2.ListQueriesResponse(
            queries=[
                claim_queries_pb2.QueryEntry(
                    query_id=row.query_id,
                    query_time=Timestamp(seconds=row.asked_at),
                    method=row.method,
                    query=row.query,
                    as_of_index=row.as_of_index,
                    entry_count=row.entry_count,
                )
                for row in shown
            ],
            next_page_token=asked.token(str(shown[-1].query_id)) if len(rows) > asked.size else "",
            as_of_index=size,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, size))
        return response
