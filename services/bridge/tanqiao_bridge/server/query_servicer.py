"""ClaimQueryService: the national query over the claim index; every query is noted for who asked."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToJson
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claim_queries_pb2, claim_queries_pb2_grpc, claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_message
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    parse_wire_period,
    require_party,
    require_text,
)
from tanqiao.signing.batch import item_envelopes, sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.claim_facts import (
    CLAIM_ID_LENGTH_MAX,
    METHODOLOGY_ID_LENGTH_MAX,
    PROJECT_ID_LENGTH_MAX,
    require_no_identifier,
)
from tanqiao_bridge.application.claim_search import ClaimRow, ClaimSearch, Filter, NoteQuery
from tanqiao_bridge.application.context import BridgeContext

ANSWER_SECONDS_MAX: Final = 30.0
LIST_TYPE: Final = payload_type_of(claim_queries_pb2.ClaimList)
CERTIFICATE_LENGTH: Final = 32
FILING_CODE_LENGTH: Final = 17
SERIES_ID_LENGTH_MAX: Final = 160
USCC_LENGTH: Final = 18
STATUSES_MAX: Final = 16
QUERY_TEXT_LENGTH_MAX: Final = 4_000
ISSUED: Final = claims_pb2.CLAIM_STATUS_ISSUED


class ClaimQueryServicer(claim_queries_pb2_grpc.ClaimQueryServiceServicer):
    """Answers the queries of authorities."""

    def __init__(self, context: BridgeContext, search: ClaimSearch, writer: GroupCommit[Any, Any]) -> None:
        self._context = context
        self._search = search
        self._writer = writer

    def SearchClaims(
        self, request: claim_queries_pb2.SearchClaimsRequest, context: grpc.ServicerContext
    ) -> claim_queries_pb2.SearchClaimsResponse:
        """Give a page of the claims that fit, signed with the index that it stands at."""
        del context
        if request.as_of_index < 0:
            raise DomainError("FIELD_INVALID", field="as_of_index", detail=str(request.as_of_index))
        wanted = _filter(request.filter)
        query = _as_json(request.filter)
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
                    claim=_claim(entry.row, entry.step.status),
                    declared_index=entry.declared_index,
                    status_index=entry.step.log_index,
                )
                for entry in found.entries
            ],
            next_page_token=asked.token(found.next_after) if found.next_after else "",
        )
        self._note("SearchClaims", query, found.as_of_index, len(found.entries))
        return claim_queries_pb2.SearchClaimsResponse(list=answer, envelope=self._signed(answer))

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
        self._note("GetClaimHistory", claim_id, history.log_size, 1)
        return claim_queries_pb2.GetClaimHistoryResponse(
            claim=_claim(history.row, history.row.status),
            steps=sorted(steps, key=lambda step: step.log_index),
            case_ids=history.case_ids,
            issued_blocks=[block_message(block) for _, block in history.issued],
            as_of_index=history.log_size,
        )

    def ListQueries(
        self, request: claim_queries_pb2.ListQueriesRequest, context: grpc.ServicerContext
    ) -> claim_queries_pb2.ListQueriesResponse:
        """Give what the caller itself has asked, latest first."""
        del context
        party = current_caller().party
        asked = page(request.page_size, request.page_token, party)
        rows = self._search.queries(party, before=asked.read(parse_serial, 0), limit=asked.size + 1)
        shown = rows[: asked.size]
        return claim_queries_pb2.ListQueriesResponse(
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
        )

    def _note(self, method: str, query: str, as_of_index: int, entry_count: int) -> None:
        noted = NoteQuery(
            current_caller().party, method, query[:QUERY_TEXT_LENGTH_MAX], as_of_index, entry_count
        )
        self._writer.submit(noted).result(ANSWER_SECONDS_MAX)

    def _signed(self, answer: claim_queries_pb2.ClaimList) -> envelope_pb2.Envelope:
        payload = answer.SerializeToString()
        return item_envelopes(sign_batch(self._context.signer_of(LIST_TYPE, payload), LIST_TYPE, [payload]))[
            0
        ]


def _as_json(message: claim_queries_pb2.ClaimFilter) -> str:
    return MessageToJson(message, preserving_proto_field_name=True, indent=None, ensure_ascii=False)


def _filter(asked: claim_queries_pb2.ClaimFilter) -> Filter:
    """Read a filter strictly; each refusal names the field."""
    if asked.region:
        require_party(asked.region, "filter.region", ("region",))
    for name, length_max in (
        ("project_id", PROJECT_ID_LENGTH_MAX),
        ("subject_uscc", USCC_LENGTH),
        ("methodology_id", METHODOLOGY_ID_LENGTH_MAX),
        ("series_id", SERIES_ID_LENGTH_MAX),
        ("certificate_code", CERTIFICATE_LENGTH),
    ):
        optional_text(getattr(asked, name), f"filter.{name}", length_max=length_max)
    if len(asked.statuses) > STATUSES_MAX:
        raise DomainError(
            "BATCH_TOO_LARGE", field="filter.statuses", limit=STATUSES_MAX, count=len(asked.statuses)
        )
    start_date = end_date = ""
    if asked.HasField("period"):
        period = parse_wire_period(asked.period, "filter.period")
        start_date, end_date = period.start.isoformat(), period.end.isoformat()
    return Filter(
        _keys(asked),
        int(asked.programme),
        asked.region,
        asked.project_id,
        asked.subject_uscc,
        start_date,
        end_date,
        int(asked.attribute),
        int(asked.object),
        asked.series_id,
    )


def _keys(asked: claim_queries_pb2.ClaimFilter) -> tuple[str, ...]:
    if asked.HasField("reference") and asked.certificate_code:
        raise DomainError("FIELD_INVALID", field="filter.certificate_code", detail="beside a reference")
    if asked.HasField("reference"):
        require_no_identifier([asked.reference], "filter.reference")
        return (asset_key(asset_ref(asked.reference.scheme, asked.reference.value)),)
    if not asked.certificate_code:
        return ()
    if len(asked.certificate_code) != CERTIFICATE_LENGTH:
        raise DomainError(
            "FIELD_INVALID", field="filter.certificate_code", detail=f"{CERTIFICATE_LENGTH} characters"
        )
    return (asset_key(asset_ref("gec_filing_code", asked.certificate_code[:FILING_CODE_LENGTH])),)


def _claim(row: ClaimRow, status: int) -> claims_pb2.Claim:
    message = claims_pb2.Claim.FromString(row.content)
    message.status = status  # type: ignore[assignment]  # the table's numbers are the wire's
    message.declared_time.FromSeconds(row.declared_at)
    return message
