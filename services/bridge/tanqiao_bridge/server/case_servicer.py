"""CaseService: contests, cases with a queue for each body, resolutions, and aliases of assets."""

from __future__ import annotations

import json
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import cases_pb2, cases_pb2_grpc, claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    require_count,
    require_enum,
    require_request_id,
    require_text,
)
from tanqiao.signing.approvals import open_decision
from tanqiao.signing.pae import message_hash
from tanqiao.signing.parties import parse_party
from tanqiao.signing.verify import Opened, Verifier, allow
from tanqiao_bridge.application.alias_decisions import DecideAlias
from tanqiao_bridge.application.case_queries import CaseQueries
from tanqiao_bridge.application.claim_aliases import AliasBook, alias_key, with_alias_references
from tanqiao_bridge.application.claim_cases import ContestClaim, ResolveCase
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX, ReadClaim
from tanqiao_bridge.application.commands import Answer, CallerRequest
from tanqiao_bridge.application.conflict_queries import CaseFilter, ConflictQueries
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.nominating import NominatedPair, NominatePairs, Nomination
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.domain.identifiers import require_no_identifier_in, require_no_personal_column
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.server.case_messages import (
    alias_message,
    case_message,
    event_message,
    reference_message,
)
from tanqiao_bridge.server.claim_answers import own_sight, signed_reply
from tanqiao_bridge.server.claim_servicer import ANSWER_SECONDS_MAX, asked_again
from tanqiao_bridge.server.opening import REGIONS

TEXT_LENGTH_MAX: Final = 500
CLAIMS_PER_RESOLUTION_MAX: Final = 100
PAIRS_MAX: Final = 100
PROBABILITY_PPM_MAX: Final = 1_000_000
EXPLANATION_LENGTH_MAX: Final = 2_000
ROW_LENGTH_MAX: Final = 8_000
STATES: Final = ("open", "allowed", "blocked", "split", "settled")
CONTESTS: Final = allow(cases_pb2.ContestStatement, senders=REGIONS)


class CaseServicer(cases_pb2_grpc.CaseServiceServicer):
    """Takes contests and decisions of two bodies, and shows cases."""

    def __init__(
        self,
        context: BridgeContext,
        queries: CaseQueries,
        conflicts: ConflictQueries,
        writer: GroupCommit[Any, Any],
        gateways: Gateways,
    ) -> None:
        self._context = context
        self._queries = queries
        self._conflicts = conflicts
        self._writer = writer
        self._gateways = gateways
        self._verifier = Verifier(context.network_id, BRIDGE)

    def ContestClaim(
        self, request: cases_pb2.ContestClaimRequest, context: grpc.ServicerContext
    ) -> cases_pb2.ContestClaimResponse:
        """Open a case about a declared claim."""
        del context
        if not request.envelope.ByteSize():
            raise DomainError("FIELD_MISSING", field="envelope")
        party = current_caller().party
        opened = self._verifier.open_envelope(
            request.envelope,
            self._context.directory,
            allowed=CONTESTS,
            peer=party,
            at_index=self._context.log_size,
        )
        statement: cases_pb2.ContestStatement = opened.message
        require_text(statement.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        require_text(statement.reason, "reason", length_max=TEXT_LENGTH_MAX)
        optional_text(statement.document, "document", length_max=TEXT_LENGTH_MAX)
        command = ContestClaim(party, opened, statement, request.envelope)
        case_id: int = self._writer.submit(command).result(ANSWER_SECONDS_MAX)
        return cases_pb2.ContestClaimResponse(case_id=case_id)

    def ResolveCase(
        self, request: cases_pb2.ResolveCaseRequest, context: grpc.ServicerContext
    ) -> cases_pb2.ResolveCaseResponse:
        """End a case as approvers of two bodies have signed."""
        del context
        require_request_id(request.request_id)
        opened, bodies = self._open(request.resolution, cases_pb2.CaseResolution, "resolution")
        resolution: cases_pb2.CaseResolution = opened.message
        require_enum(resolution.resolution, "resolution")
        _require_texts(resolution.reason, resolution.document)
        if len(resolution.claim_ids) > CLAIMS_PER_RESOLUTION_MAX:
            raise DomainError(
                "BATCH_TOO_LARGE",
                field="claim_ids",
                limit=CLAIMS_PER_RESOLUTION_MAX,
                count=len(resolution.claim_ids),
            )
        if resolution.claim_ids and resolution.resolution != cases_pb2.RESOLUTION_BLOCK:
            raise DomainError("FIELD_INVALID", field="claim_ids", detail="only a BLOCK bars claims")

        def resolve() -> Answer:
            subject, book = self._queries.subject_of(resolution.case_id)
            answers, asked = self._ask([subject] if subject is not None else [], book)
            answer: Answer = self._writer.submit(
                ResolveCase(
                    resolution,
                    request.resolution,
                    opened.message_hash,
                    bodies,
                    tuple(one.key_id for one in opened.signed_by),
                    _client_request(request.request_id, request.resolution),
                    answers,
                    asked,
                )
            ).result(ANSWER_SECONDS_MAX)
            return answer

        answer = asked_again(resolve)
        return cases_pb2.ResolveCaseResponse(case_id=resolution.case_id, log_index=answer.log_index)

    def DecideAlias(
        self, request: cases_pb2.DecideAliasRequest, context: grpc.ServicerContext
    ) -> cases_pb2.DecideAliasResponse:
        """Say that two references mean one asset or two, as approvers of two bodies have signed."""
        del context
        require_request_id(request.request_id)
        opened, _ = self._open(request.decision, cases_pb2.AliasDecision, "decision")
        decision: cases_pb2.AliasDecision = opened.message
        require_enum(decision.relation, "relation")
        _require_texts(decision.reason, decision.document)
        first, second = _pair(decision.first, decision.second)
        reads, book = self._queries.live_on([first, second])
        if decision.relation == cases_pb2.ALIAS_RELATION_SAME:
            book = book.joined([first, second])  # a record under either reference meets claims under both
        answers, _ = self._ask(reads, book)
        answer: Answer = self._writer.submit(
            DecideAlias(
                decision,
                (first, second),
                request.decision,
                opened.message_hash,
                tuple(one.key_id for one in opened.signed_by),
                _client_request(request.request_id, request.decision),
                [read.claim.claim_id for read in reads],
                answers,
            )
        ).result(ANSWER_SECONDS_MAX)
        return cases_pb2.DecideAliasResponse(log_index=answer.log_index)

    def NominatePairs(
        self, request: cases_pb2.NominatePairsRequest, context: grpc.ServicerContext
    ) -> cases_pb2.NominatePairsResponse:
        """Open a case for each pair that an office nominates; nothing is joined by it."""
        del context
        require_count(request.pairs, "pairs", limit=PAIRS_MAX)
        command = NominatePairs(current_caller().party, [_nominated(pair) for pair in request.pairs])
        results: list[Nomination] = self._writer.submit(command).result(ANSWER_SECONDS_MAX)
        return cases_pb2.NominatePairsResponse(
            cases=[
                cases_pb2.NominatedCase(
                    case_id=one.case_id,
                    relation=one.relation,  # type: ignore[arg-type]  # the table's numbers are the wire's
                )
                for one in results
            ]
        )

    def _ask(self, reads: list[ReadClaim], book: AliasBook) -> tuple[Answers, frozenset[str]]:
        if not reads:
            return Answers(), frozenset()
        wire, asked = with_alias_references(reads, book)
        return self._gateways.look_up(wire), asked

    def _open(
        self, envelope: envelope_pb2.Envelope, wanted: type, field: str
    ) -> tuple[Opened, tuple[str, ...]]:
        if not envelope.ByteSize():
            raise DomainError("FIELD_MISSING", field=field)
        opened, bodies = open_decision(
            envelope, self._context.network_id, self._context.directory, at_index=self._context.log_size
        )
        if not isinstance(opened.message, wanted):
            raise DomainError(
                "PAYLOAD_TYPE_NOT_ALLOWED", sender=opened.header.sender, payload_type=opened.payload_type
            )
        return opened, bodies

    # -- reading -------------------------------------------------------------------------------------------

    def ListCases(
        self, request: cases_pb2.ListCasesRequest, context: grpc.ServicerContext
    ) -> cases_pb2.ListCasesResponse:
        """Give cases of a queue, oldest first."""
        del context
        if request.body:
            parse_party(request.body, field="body")
        if request.state and request.state not in STATES:
            raise DomainError("FIELD_INVALID", field="state", detail=", ".join(STATES))
        optional_text(request.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
        asked = page(request.page_size, request.page_token, request.body, request.state, request.claim_id)
        wanted = CaseFilter(
            body=request.body,
            claim_id=request.claim_id,
            state=request.state,
            concerning=own_sight().concerning,
        )
        found = self._conflicts.cases(wanted, after=asked.read(parse_serial, 0), limit=asked.size)
        response = cases_pb2.ListCasesResponse(
            cases=[case_message(row) for row in found.rows],
            next_page_token=asked.token(str(found.next_after)) if found.next_after else "",
            as_of_index=found.as_of_index,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, found.as_of_index))
        return response

    def GetCase(
        self, request: cases_pb2.GetCaseRequest, context: grpc.ServicerContext
    ) -> cases_pb2.GetCaseResponse:
        """Give one case with its history."""
        del context
        if request.case_id <= 0:
            raise DomainError("FIELD_MISSING", field="case_id")
        row, events, size = self._queries.case(request.case_id, own_sight())
        response = cases_pb2.GetCaseResponse(
            case=case_message(row), events=[event_message(event) for event in events], as_of_index=size
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, size))
        return response

    def ListAliases(
        self, request: cases_pb2.ListAliasesRequest, context: grpc.ServicerContext
    ) -> cases_pb2.ListAliasesResponse:
        """Give the references that mean the asset of one, and why."""
        del context
        if not request.HasField("reference"):
            raise DomainError("FIELD_MISSING", field="reference")
        key = alias_key(request.reference.scheme, request.reference.value, "reference")
        members, decisions, size = self._queries.aliases(key)
        response = cases_pb2.ListAliasesResponse(
            references=[reference_message(member) for member in members],
            decisions=[alias_message(row) for row in decisions],
            as_of_index=size,
        )
        response.envelope.CopyFrom(signed_reply(self._context, request, response, size))
        return response


def _require_texts(reason: str, document: str) -> None:
    require_text(reason, "reason", length_max=TEXT_LENGTH_MAX)
    require_text(document, "document", length_max=TEXT_LENGTH_MAX)


def _client_request(request_id: str, envelope: envelope_pb2.Envelope) -> CallerRequest:
    body = message_hash(envelope.payload_type, envelope.payload)
    return CallerRequest(current_caller().party, request_id, body)


def _pair(first: claims_pb2.AssetReference, second: claims_pb2.AssetReference) -> tuple[str, str]:
    """Give the keys of two references, the lesser first; neither a description nor the same one twice."""
    keys = sorted(
        alias_key(one.scheme, one.value, name) for name, one in (("first", first), ("second", second))
    )
    if keys[0] == keys[1]:
        raise DomainError("FIELD_INVALID", field="second", detail="both references are the same")
    return keys[0], keys[1]


def _nominated(pair: cases_pb2.NominatedPair) -> NominatedPair:
    """Read a nominated pair strictly; its rows go with their references."""
    keys = _pair(pair.first, pair.second)
    if not 0 < pair.probability_ppm <= PROBABILITY_PPM_MAX:
        raise DomainError("FIELD_INVALID", field="probability_ppm", detail="1 to 1000000")
    require_text(pair.explanation, "explanation", length_max=EXPLANATION_LENGTH_MAX)
    require_no_identifier_in(pair.explanation, "explanation")
    rows = [_row(pair.first_row, "first_row"), _row(pair.second_row, "second_row")]
    if alias_key(pair.first.scheme, pair.first.value, "first") != keys[0]:
        rows.reverse()
    return NominatedPair(keys, pair.probability_ppm, pair.explanation, rows[0], rows[1])


def _row(text: str, field: str) -> str:
    """Give a row of a list: a JSON object of texts that identify nobody, or nothing."""
    if not text:
        return ""
    if len(text) > ROW_LENGTH_MAX:
        raise DomainError("TEXT_TOO_LONG", field=field, limit=ROW_LENGTH_MAX)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DomainError("FIELD_INVALID", field=field, detail="not JSON") from error
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise DomainError("FIELD_INVALID", field=field, detail="a JSON object of texts")
    try:
        "".join((*value, *value.values())).encode()
    except UnicodeEncodeError as error:
        raise DomainError("FIELD_INVALID", field=field, detail="half of a surrogate pair") from error
    for column, cell in value.items():
        require_no_personal_column(column, field)
        require_no_identifier_in(column, field)
        require_no_identifier_in(cell, field)
    return text
