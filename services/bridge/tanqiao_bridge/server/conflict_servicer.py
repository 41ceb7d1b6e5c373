"""ConflictService: checks in bulk, explanations, conflicts and their feed; it translates only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claims_pb2, conflicts_pb2, conflicts_pb2_grpc
from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.places import Places
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    require_count,
    require_party,
    require_text,
    wire_timestamp,
)
from tanqiao_bridge.application.claim_facts import CLAIM_ID_LENGTH_MAX
from tanqiao_bridge.application.claim_tokens import epochs_of_context
from tanqiao_bridge.application.conflict_packs import PackQueries
from tanqiao_bridge.application.conflict_queries import (
    CaseChange,
    CaseFilter,
    ConflictQueries,
    Part,
    Place,
    Standing,
    VerdictChange,
)
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.explaining import Explained, Explainer, explanation_message
from tanqiao_bridge.application.finding_assets import AssetSearch, has_pinyin, record_fits
from tanqiao_bridge.application.queries import Queries
from tanqiao_bridge.application.query_roles import Fact
from tanqiao_bridge.domain.claim_cases import CLAIM_CASES
from tanqiao_bridge.remote.gateways import Gateways
from tanqiao_bridge.server.asset_answers import asset_of_claim, asset_of_record, read_asset_filter
from tanqiao_bridge.server.case_messages import alias_message, case_message, event_message
from tanqiao_bridge.server.case_servicer import STATES
from tanqiao_bridge.server.claim_answers import (
    QueryNotes,
    as_json,
    lists_as_of,
    own_sight,
    read_filter,
    require_may_ask_for_subject,
    sees_whole,
    signed_answer,
)
from tanqiao_bridge.server.claim_checks import ClaimChecks
from tanqiao_bridge.server.claim_servicer import CLAIMS_PER_BATCH_MAX

QUESTION_ID_LENGTH_MAX: Final = 96
STREAMS_MAX: Final = 8
"""Streams of checks at one time; each holds a thread of the server."""
STREAMS_OF_ONE_MAX: Final = 2
WATCHERS_MAX: Final = 8
WATCHERS_OF_ONE_MAX: Final = 4
"""An office may follow from several desks under one certificate."""
ROWS_PER_PACK_MAX: Final = 1_000
BATCHES_PER_STREAM_MAX: Final = 1_000_000
LOOK_SECONDS: Final = 0.5
"""How often a watcher that has heard all looks again."""
IDLE_SECONDS: Final = 10.0
"""A watcher that has nothing to hear is told how far the feed is complete, at least this often."""


class ConflictServicer(conflicts_pb2_grpc.ConflictServiceServicer):
    """Answers what authorities ask about conflicts."""

    def __init__(
        self,
        context: BridgeContext,
        database: Database,
        writer: GroupCommit[Any, Any],
        gateways: Gateways,
    ) -> None:
        self._context = context
        self._gateways = gateways
        self._queries = Queries(database)
        self._conflicts = ConflictQueries(database)
        self._explainer = Explainer(database)
        self._packs = PackQueries(database)
        self._assets = AssetSearch(database)
        self._checks = ClaimChecks(context, self._queries, gateways)
        self._notes = QueryNotes(writer)
        self._streams = Places("streams", most=STREAMS_MAX, most_of_one=STREAMS_OF_ONE_MAX)
        self._watchers = Places("watchers", most=WATCHERS_MAX, most_of_one=WATCHERS_OF_ONE_MAX)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the feeds: who watches resumes at the next server."""
        self._stopping.set()

    # -- checks --------------------------------------------------------------------------------------------

    def CheckClaims(
        self, request_iterator: Iterable[conflicts_pb2.CheckClaimsRequest], context: grpc.ServicerContext
    ) -> Iterator[conflicts_pb2.CheckClaimsResponse]:
        """Judge batch after batch; the next is read when the answers to the one before are on their way.

        gRPC sends an answer when its receiver has room for it, so that a slow reader slows its own questions.
        """
        del context
        with self._streams.taken():
            for number, request in enumerate(request_iterator, start=1):
                if number > BATCHES_PER_STREAM_MAX:
                    raise DomainError("BATCH_TOO_LARGE", limit=BATCHES_PER_STREAM_MAX, count=number)
                yield self._checked(number, request)

    def _checked(
        self, number: int, request: conflicts_pb2.CheckClaimsRequest
    ) -> conflicts_pb2.CheckClaimsResponse:
        require_count(request.questions, "questions", limit=CLAIMS_PER_BATCH_MAX)
        for question in request.questions:
            optional_text(question.question_id, "questions.question_id", length_max=QUESTION_ID_LENGTH_MAX)
        found = self._checks.answers([question.claim for question in request.questions])
        payloads = [one for one in found if isinstance(one, bytes)]
        response = conflicts_pb2.CheckClaimsResponse(
            batch_number=number,
            answers=[
                conflicts_pb2.ClaimAnswer(
                    question_id=question.question_id,
                    verdict=claims_pb2.Verdict.FromString(one) if isinstance(one, bytes) else None,
                    refusal=to_refusal(one) if isinstance(one, DomainError) else None,
                )
                for question, one in zip(request.questions, found, strict=True)
            ],
        )
        response.as_of_index = next(
            (one.verdict.as_of_index for one in response.answers if one.HasField("verdict")),
            self._context.log_size,
        )
        self._notes.note_checks(payloads)
        if payloads:
            response.batch.CopyFrom(self._checks.sign(payloads))
        return response

    # -- why -----------------------------------------------------------------------------------------------

    def ExplainVerdict(
        self, request: conflicts_pb2.ExplainVerdictRequest, context: grpc.ServicerContext
    ) -> conflicts_pb2.ExplainVerdictResponse:
        """Say why a claim of the index, or one as it would be declared, is answered as it is."""
        del context
        if request.WhichOneof("subject") == "claim_id":
            claim_id = require_text(request.claim_id, "claim_id", length_max=CLAIM_ID_LENGTH_MAX)
            explained = self._explained(claim_id)
        elif request.HasField("claim"):
            read = self._checks.read(request.claim, epochs_of_context(self._context))
            answers = self._gateways.look_up(self._queries.with_aliases([read])[0])
            decided_on = legal_date(self._context.clock.now())
            explained = self._explainer.explain(read, answers, decided_on, stored=False)
        else:
            raise DomainError("FIELD_MISSING", field="claim_id")
        explanation = self.explanation(explained)
        self._notes.note("ExplainVerdict", explained.read.claim.claim_id, explained.log_size, 1)
        return conflicts_pb2.ExplainVerdictResponse(
            explanation=explanation, envelope=signed_answer(self._context, explanation)
        )

    def explanation(self, explained: Explained) -> conflicts_pb2.Explanation:
        """Give an explanation for the caller of this call."""
        header = self._context.header((current_caller().party,))
        message = explanation_message(header, explained, lists_as_of(self._gateways, self._context))
        concerned = set(explained.aliases.expand(explained.read.keys))
        message.aliases.extend(
            alias_message(row)
            for row in explained.aliases.decisions
            if row.first_key in concerned or row.second_key in concerned
        )
        return message

    # -- conflicts -----------------------------------------------------------------------------------------

    def ListConflicts(
        self, request: conflicts_pb2.ListConflictsRequest, context: grpc.ServicerContext
    ) -> conflicts_pb2.ListConflictsResponse:
        """Give a page of the cases that fit and that the caller may see, signed with its index."""
        del context
        sight = own_sight()
        asked = request.filter
        require_may_ask_for_subject(asked.claims, sight)
        if asked.body:
            require_party(asked.body, "filter.body")
        if asked.state and asked.state not in STATES:
            raise DomainError("FIELD_INVALID", field="filter.state", detail=", ".join(STATES))
        if asked.kind and asked.kind not in CLAIM_CASES:
            raise DomainError("FIELD_INVALID", field="filter.kind", detail=", ".join(sorted(CLAIM_CASES)))
        if request.as_of_index < 0:
            raise DomainError("FIELD_INVALID", field="as_of_index", detail=str(request.as_of_index))
        wanted = CaseFilter(
            read_filter(asked.claims, "filter.claims"),
            body=asked.body,
            state=asked.state,
            kind=asked.kind,
            concerning=sight.concerning,
        )
        query = as_json(asked)
        place = page(request.page_size, request.page_token, query, str(request.as_of_index))
        standing = Standing(
            frozenset(asked.claims.statuses), asked.claims.methodology_id, request.as_of_index
        )
        found = self._conflicts.cases(wanted, standing, after=place.read(parse_serial, 0), limit=place.size)
        answer = conflicts_pb2.ConflictList(
            header=self._context.header((current_caller().party,)),
            filter=asked,
            as_of_index=found.as_of_index,
            cases=[case_message(row) for row in found.rows],
            next_page_token=place.token(str(found.next_after)) if found.next_after else "",
            lists=lists_as_of(self._gateways, self._context),
        )
        self._notes.note("ListConflicts", query, found.as_of_index, len(found.rows))
        return conflicts_pb2.ListConflictsResponse(list=answer, envelope=signed_answer(self._context, answer))

    def WatchConflicts(
        self, request: conflicts_pb2.WatchConflictsRequest, context: grpc.ServicerContext
    ) -> Iterator[conflicts_pb2.WatchConflictsResponse]:
        """Push what becomes of cases and verdicts from a place on; resumable at any push's token."""
        place, sight = Place.parse(request.resume_token), own_sight()
        self._conflicts.require_reached(place)
        with self._watchers.taken():
            self._notes.note("WatchConflicts", request.resume_token, self._context.log_size, 0)
            told_at = -IDLE_SECONDS
            while context.is_active() and not self._stopping.is_set():
                part = self._conflicts.part(place, sight)
                place = part.place
                if part.changes or (part.complete and time.monotonic() - told_at >= IDLE_SECONDS):
                    yield self._push(part)
                    told_at = time.monotonic()
                if part.complete:
                    self._stopping.wait(LOOK_SECONDS)

    def _push(self, part: Part) -> conflicts_pb2.WatchConflictsResponse:
        push = conflicts_pb2.ConflictPush(
            header=self._context.header((current_caller().party,)),
            changes=[_change(one) for one in part.changes],
            resume_token=str(part.place),
            as_of_index=part.log_size,
        )
        return conflicts_pb2.WatchConflictsResponse(push=push, envelope=signed_answer(self._context, push))

    # -- assets --------------------------------------------------------------------------------------------

    def FindAssets(
        self, request: conflicts_pb2.FindAssetsRequest, context: grpc.ServicerContext
    ) -> conflicts_pb2.FindAssetsResponse:
        """Give a page of assets: those of claims first, then those of each list in turn."""
        del context
        wanted = read_asset_filter(request)
        query = as_json(_without_page(request))
        place = page(request.page_size, request.page_token, query)
        stage, after = place.read(_asset_place, (0, ""))
        names = self._gateways.names if wanted.asks_lists else ()
        if stage > len(names):
            raise DomainError("PAGE_TOKEN_INVALID", field="page_token")
        answer = conflicts_pb2.AssetList(
            header=self._context.header((current_caller().party,)),
            as_of_index=self._context.log_size,
            pinyin_searched=has_pinyin(),
        )
        behind = ""
        if stage == 0:
            found = self._assets.find(wanted, after=after, limit=place.size)
            answer.assets.extend(asset_of_claim(row, message, own_sight()) for row, message in found.rows)
            answer.as_of_index, behind = found.log_size, found.next_after
        else:
            listed = self._gateways.records(names[stage - 1], wanted.text, after)
            if listed is not None:
                rows = [row for row in listed.records if record_fits(wanted, row)]
                answer.assets.extend(asset_of_record(names[stage - 1], row) for row in rows)
                behind = listed.next_page_token
        answer.lists.extend(lists_as_of(self._gateways, self._context))
        if behind:
            answer.next_page_token = place.token(f"{stage} {behind}")
        elif stage < len(names):
            answer.next_page_token = place.token(f"{stage + 1} ")
        self._notes.note("FindAssets", query, answer.as_of_index, len(answer.assets))
        return conflicts_pb2.FindAssetsResponse(list=answer, envelope=signed_answer(self._context, answer))

    # -- for a court ---------------------------------------------------------------------------------------

    def GetConflictPack(
        self, request: conflicts_pb2.GetConflictPackRequest, context: grpc.ServicerContext
    ) -> conflicts_pb2.GetConflictPackResponse:
        """Give one conflict as one signed statement, with the places in the log that prove it."""
        del context
        if request.case_id <= 0:
            raise DomainError("FIELD_MISSING", field="case_id")
        sight = own_sight()
        found = self._packs.pack(request.case_id, sight)
        wire = self._queries.with_aliases(found.reads)[0]
        for asked, claim in zip(wire, found.claims, strict=True):
            if not sight.sees(Fact.SUBJECT, claim.region):
                asked.ClearField("subject_uscc")  # rows found by it would say whose the claim is
        rows = self._gateways.rows(wire)
        if len(rows) > ROWS_PER_PACK_MAX:
            raise DomainError("BATCH_TOO_LARGE", limit=ROWS_PER_PACK_MAX, count=len(rows))
        lists = lists_as_of(self._gateways, self._context)
        for one in lists:
            if one.answered:
                one.digest = self._gateways.digest_of(one.registry, one.import_id)
        pack = conflicts_pb2.ConflictPack(
            header=self._context.header((current_caller().party,)),
            case=case_message(found.case),
            events=[event_message(event) for event in found.events],
            claims=[
                conflicts_pb2.StatedClaim(
                    claim_id=row.claim_id,
                    status=row.status,  # type: ignore[arg-type]  # the table's numbers are the wire's
                    content=row.content if sees_whole(row, sight) else b"",
                )
                for row in found.claims
            ],
            log_indexes=found.log_indexes,
            rows=[
                conflicts_pb2.ListRow(
                    registry=name, reference=row.reference, record=row.SerializeToString(deterministic=True)
                )
                for name, row in rows
            ],
            lists=lists,
            as_of_index=found.log_size,
            pack_time=wire_timestamp(self._context.clock.now()),
            explanation=self.explanation(self._explained(found.claims[0].claim_id)),
        )
        self._notes.note("GetConflictPack", str(request.case_id), found.log_size, len(found.log_indexes))
        return conflicts_pb2.GetConflictPackResponse(pack=pack, envelope=signed_answer(self._context, pack))

    def _explained(self, claim_id: str) -> Explained:
        read = self._explainer.stored(claim_id)
        answers = self._gateways.look_up(self._queries.with_aliases([read])[0])
        return self._explainer.explain(read, answers, legal_date(self._context.clock.now()), stored=True)


def _without_page(request: conflicts_pb2.FindAssetsRequest) -> conflicts_pb2.FindAssetsRequest:
    query = conflicts_pb2.FindAssetsRequest()
    query.CopyFrom(request)
    query.ClearField("page_size")
    query.ClearField("page_token")
    return query


def _asset_place(text: str) -> tuple[int, str]:
    stage, _, after = text.partition(" ")
    return parse_serial(stage), after


def _change(change: CaseChange | VerdictChange) -> conflicts_pb2.ConflictChange:
    message = conflicts_pb2.ConflictChange(change_time=Timestamp(seconds=change.changed_at))
    if isinstance(change, CaseChange):
        message.case_change.case.CopyFrom(case_message(change.case))
        message.case_change.event.CopyFrom(event_message(change.event))
        return message
    receipt = change.receipt
    message.verdict_change.CopyFrom(
        conflicts_pb2.VerdictChange(
            claim_id=receipt.claim_id,
            region=change.region,
            status=receipt.status,
            before=change.before,  # type: ignore[arg-type]  # a number of the wire
            after=receipt.verdict.verdict,
            level=receipt.verdict.level,
            article=receipt.verdict.article,
            colliding_claim_ids=[one.claim_id for one in receipt.verdict.colliding_claims],
            log_index=receipt.log_index,
            bridge_reason=receipt.bridge_reason,
        )
    )
    return message
