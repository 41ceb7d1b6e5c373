"""Directory, recognition, decisions, the log and locations.

What is public here: what everybody may read, and the records of authorities.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import SINK, Kind, Outcome, TransferKey
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.protocol_facts import block_message, block_messages, date_message
from tanqiao.rpc.validation import (
    optional_bytes,
    optional_text,
    page,
    parse_block,
    parse_serial,
    require_bytes,
    require_party,
    require_request_id,
    wire_timestamp,
)
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import open_key_record
from tanqiao.signing.pae import message_hash
from tanqiao.signing.verify import Verifier, allow, require_signers
from tanqiao_bridge.application.commands import (
    Answer,
    AskOutcome,
    CallerRequest,
    SubmitKeyRecord,
    SubmitRecognition,
)
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.application.queries import LocationRow, Queries, TraceRow, series_message
from tanqiao_bridge.server.claim_answers import signed_reply
from tanqiao_bridge.server.opening import Opener

ANSWER_SECONDS_MAX: Final = 30.0
TRANSFER_ID_LENGTH: Final = 16
SERIES_ID_LENGTH_MAX: Final = 160
Writer = GroupCommit[Any, Any]


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """Regions and keys of the federation."""

    def __init__(self, context: BridgeContext, queries: Queries, writer: Writer, opener: Opener) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._opener = opener

    def ListRegions(
        self, request: directory_pb2.ListRegionsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListRegionsResponse:
        """Give all regions, connected or not."""
        del request, context
        rows = self._queries.regions()
        return directory_pb2.ListRegionsResponse(
            network_id=self._context.network_id,
            regions=[
                directory_pb2.RegionEntry(
                    region=row.region,
                    region_code=row.region_code,
                    connected=self._context.connected(row.region),
                    last_seen_time=wire_timestamp(datetime.fromtimestamp(row.last_seen_at, UTC)),
                    incarnation=row.incarnation,
                )
                for row in rows
            ],
        )

    def ListKeys(
        self, request: directory_pb2.ListKeysRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListKeysResponse:
        """Give the keys of an owner, or all, each with the record that proves it."""
        del context
        if request.owner:
            require_party(request.owner, "owner")
        rows = self._queries.keys(request.owner)
        return directory_pb2.ListKeysResponse(keys=[_key_entry(row) for row in rows])

    def SubmitKeyRecord(
        self, request: directory_pb2.SubmitKeyRecordRequest, context: grpc.ServicerContext
    ) -> directory_pb2.SubmitKeyRecordResponse:
        """Take a record signed by the root of the owner's authority."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("record"):
            raise DomainError("FIELD_MISSING", field="record")
        verifier = Verifier(self._context.network_id, BRIDGE)
        record = open_key_record(
            verifier, request.record, self._context.directory, at_index=self._context.log_size
        )
        answer: Answer = self._writer.submit(
            SubmitKeyRecord(
                record,
                request.record,
                message_hash(request.record.payload_type, request.record.payload),
                tuple(signature.key_id for signature in request.record.signatures),
                _client_request(request),
            )
        ).result(ANSWER_SECONDS_MAX)
        row = self._queries.key(record.public_key)
        if row is None:  # pragma: no cover - it was stored by the command above
            raise DomainError("NOT_FOUND", what="key", id=record.owner)
        return directory_pb2.SubmitKeyRecordResponse(key=_key_entry(row), log_index=answer.log_index)


def _key_entry(row: Any) -> directory_pb2.KeyEntry:  # noqa: ANN401 - a row of the key table
    envelope = envelope_pb2.Envelope.FromString(bytes(row.envelope)) if row.envelope else None
    return directory_pb2.KeyEntry(
        key_id=bytes(row.key_id),
        owner=row.owner,
        role=row.role,
        suite=row.suite,
        public_key=bytes(row.public_key),
        key_epoch=row.key_epoch,
        valid_from_index=row.valid_from_index,
        valid_to_index=row.valid_to_index,
        revoked=bool(row.revoked),
        record=envelope,
    )


def _client_request(
    request: directory_pb2.SubmitKeyRecordRequest | directory_pb2.SubmitRecognitionRequest,
) -> CallerRequest:
    """Name the call by its caller and request id, and its body by the record's payload."""
    body = message_hash(request.record.payload_type, request.record.payload)
    return CallerRequest(current_caller().party, request.request_id, body)


class RecognitionServicer(directory_pb2_grpc.RecognitionServiceServicer):
    """Recognition agreements: without one in force every transfer is refused."""

    def __init__(self, context: BridgeContext, queries: Queries, writer: Writer, opener: Opener) -> None:
        self._context = context
        self._queries = queries
        self._writer = writer
        self._opener = opener

    def SubmitRecognition(
        self, request: directory_pb2.SubmitRecognitionRequest, context: grpc.ServicerContext
    ) -> directory_pb2.SubmitRecognitionResponse:
        """Take an agreement signed by the roots of both regions; else AGREEMENT_NOT_SIGNED."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("record"):
            raise DomainError("FIELD_MISSING", field="record")
        opened = Verifier(self._context.network_id, BRIDGE).open_envelope(
            request.record,
            self._context.directory,
            allowed=allow(
                messages_pb2.RecognitionRecord,
                senders=("authority/*",),
                role=KeyRole.ROOT,
                signatures_max=2,
            ),
            peer=None,
            at_index=self._context.log_size,
        )
        record = opened.message
        owners = [
            f"authority/{name.removeprefix('region/')}" for name in (record.from_region, record.to_region)
        ]
        try:
            require_signers(opened, owners, KeyRole.ROOT)
        except DomainError as refusal:
            raise DomainError(
                "AGREEMENT_NOT_SIGNED",
                a=record.from_region,
                b=record.to_region,
                missing=refusal.metadata.get("missing", ""),
            ) from refusal
        answer: Answer = self._writer.submit(
            SubmitRecognition(
                record,
                request.record,
                opened.message_hash,
                tuple(signature.key_id for signature in request.record.signatures),
                _client_request(request),
            )
        ).result(ANSWER_SECONDS_MAX)
        return directory_pb2.SubmitRecognitionResponse(
            agreement_id=record.agreement_id, log_index=answer.log_index
        )

    def ListRecognitions(
        self, request: directory_pb2.ListRecognitionsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListRecognitionsResponse:
        """Give the agreements, in the order in which they came into the log."""
        del context
        for name, value in (("from_region", request.from_region), ("to_region", request.to_region)):
            if value:
                require_party(value, name, ("region",))
        rows = self._queries.agreements(request.from_region, request.to_region)
        response = directory_pb2.ListRecognitionsResponse()
        for row in rows:
            envelope = envelope_pb2.Envelope.FromString(bytes(row.envelope))
            response.recognitions.append(
                directory_pb2.RecognitionEntry(
                    record=messages_pb2.RecognitionRecord.FromString(envelope.payload),
                    log_index=row.log_index,
                    used_kg=row.used_kg,
                    envelope=envelope,
                )
            )
        return response


class DecisionServicer(directory_pb2_grpc.DecisionServiceServicer):
    """Outcomes and the log."""

    def __init__(
        self,
        context: BridgeContext,
        queries: Queries,
        writer: Writer,
        opener: Opener,
        finality_of: Callable[[int], values_pb2.Finality.ValueType],
    ) -> None:
        self._finality_of = finality_of
        self._context = context
        self._queries = queries
        self._writer = writer
        self._opener = opener

    def GetOutcome(
        self, request: directory_pb2.GetOutcomeRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetOutcomeResponse:
        """Answer what became of a transfer (row 7); without evidence nothing is ever written."""
        del context
        require_party(request.source, "source", ("region",))
        require_bytes(request.transfer_id, TRANSFER_ID_LENGTH, "transfer_id")
        key = TransferKey(request.source, request.transfer_id)
        known = self._known(key)
        if known is not None:
            return known
        evidence = None
        if request.HasField("evidence"):
            try:
                evidence = self._opener.evidence(request.evidence, request.openings)
            except DomainError:
                evidence = None  # row 7: evidence that does not verify is no evidence
            if evidence is not None and evidence[1].key != key:
                evidence = None
        if evidence is None:
            pending = self._context.transfers.get(key) is not None
            return directory_pb2.GetOutcomeResponse(
                outcome=(
                    directory_pb2.TRANSFER_OUTCOME_PENDING
                    if pending
                    else directory_pb2.TRANSFER_OUTCOME_UNKNOWN
                )
            )
        self._writer.submit(AskOutcome(request.source, request.transfer_id, evidence)).result(
            ANSWER_SECONDS_MAX
        )
        return self._known(key) or directory_pb2.GetOutcomeResponse(
            outcome=directory_pb2.TRANSFER_OUTCOME_PENDING
        )

    def _known(self, key: TransferKey) -> directory_pb2.GetOutcomeResponse | None:
        known = self._queries.outcome(key)
        if known is None:
            return None
        return directory_pb2.GetOutcomeResponse(
            outcome=(
                directory_pb2.TRANSFER_OUTCOME_COMMITTED
                if known.outcome == Outcome.COMMIT
                else directory_pb2.TRANSFER_OUTCOME_ABORTED
            ),
            decision=known.decision,
            source_final=known.source_final,
            destination_final=known.destination_final,
            finality=self._finality_of(known.log_index),
        )

    def ListLogEntries(
        self, request: directory_pb2.ListLogEntriesRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListLogEntriesResponse:
        """Give entries from an index on, with the envelopes beside them if they are asked for."""
        del context
        if request.from_index < 0:
            raise DomainError("FIELD_INVALID", field="from_index", detail=str(request.from_index))
        limit = page(request.page_size, "").size
        entries, size = self._queries.log_entries(
            request.from_index, limit, with_envelopes=request.with_envelopes
        )
        return directory_pb2.ListLogEntriesResponse(
            log_size=size,
            entries=[
                directory_pb2.LogEntry(
                    log_index=leaf.log_index,
                    kind=leaf.kind,
                    leaf=leaf.leaf,
                    leaf_hash=leaf.leaf_hash,
                    envelopes=envelopes,
                )
                for leaf, envelopes in entries
            ],
        )

    def GetLogStatus(
        self, request: directory_pb2.GetLogStatusRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetLogStatusResponse:
        """Give the size of the log."""
        del request, context
        return directory_pb2.GetLogStatusResponse(
            log_size=self._context.log_size,
            network_id=self._context.network_id,
            bridge_epoch=self._context.epoch,
            time=wire_timestamp(self._context.clock.now()),
        )


class LocationServicer(directory_pb2_grpc.LocationServiceServicer):
    """Where units are, and what happened to them."""

    def __init__(self, context: BridgeContext, queries: Queries) -> None:
        self._context = context
        self._queries = queries

    def ListLocations(
        self, request: directory_pb2.ListLocationsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListLocationsResponse:
        """Give location rows in order of series and serial, page by page, each as of an index of its own.

        A page begins at the serial where the last row of the page before ended: what changes between two
        pages leaves no serial out.
        """
        del context
        optional_text(request.series_id, "series_id", length_max=SERIES_ID_LENGTH_MAX)
        if request.region:
            require_party(request.region, "region", ("region",))
        asked = page(request.page_size, request.page_token, request.series_id, request.region)
        begin = asked.read(_read_place, ("", 0))
        rows, size = self._queries.locations(
            series_id=request.series_id, region_party=request.region, begin=begin, limit=asked.size + 1
        )
        shown = rows[: asked.size]
        token = ""
        if len(rows) > asked.size:
            token = asked.token(f"{shown[-1].block.series_id} {shown[-1].block.end}")
        return directory_pb2.ListLocationsResponse(
            locations=[_location_entry(row) for row in shown], next_page_token=token, as_of_index=size
        )

    def TraceUnits(
        self, request: directory_pb2.TraceUnitsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.TraceUnitsResponse:
        """Trace a block from its issue through every move and use, with every signed message.

        Where a transfer is named, its steps alone.
        """
        del context
        if not request.HasField("block"):
            raise DomainError("FIELD_MISSING", field="block")
        block = parse_block(request.block)
        only = optional_bytes(request.transfer_id, TRANSFER_ID_LENGTH, "transfer_id")
        traced = self._queries.trace(block)
        steps = [step for step in traced.steps if not only or step[0].transfer_id == only]
        response = directory_pb2.TraceUnitsResponse(
            series=series_message(traced.series),
            steps=[_trace_step(row) for row, _ in steps],
            locations=[_location_entry(row) for row in traced.locations],
            as_of_index=traced.log_size,
        )
        envelope = signed_reply(self._context, request, response, traced.log_size)
        for step, (_, envelopes) in zip(response.steps, steps, strict=True):
            step.envelopes.extend(envelopes)
        response.envelope.CopyFrom(envelope)
        return response


def _read_place(text: str) -> tuple[str, int]:
    """Read where a page of locations begins; ValueError for what `ListLocations` never wrote."""
    series_id, _, start = text.rpartition(" ")
    return series_id, parse_serial(start)


def _location_entry(row: LocationRow) -> directory_pb2.LocationEntry:
    return directory_pb2.LocationEntry(
        block=block_message(row.block),
        region=row.region,
        state=row.state,  # type: ignore[arg-type]  # the table's numbers are the wire's
        log_index=row.log_index,
    )


_STEP_KINDS = {
    -1: "CORRECTION",
    0: "ISSUE",
    Kind.TRANSFER: "TRANSFER",
    Kind.RETIRE: "RETIRE",
    Kind.CANCEL: "CANCEL",
}


def _trace_step(row: TraceRow) -> directory_pb2.TraceStep:
    return directory_pb2.TraceStep(
        log_index=row.log_index,
        kind=_STEP_KINDS[row.kind],
        from_region=row.source,
        to_region="" if row.destination == SINK else row.destination,
        blocks=block_messages(row.blocks),
        transfer_id=row.transfer_id,
        outcome=row.outcome,  # type: ignore[arg-type]  # the table's numbers are the wire's
        purpose=row.purpose,
        legal_date=date_message(row.legal_date) if row.legal_date else None,
        decision_time=wire_timestamp(datetime.fromtimestamp(row.decided_at, UTC)) if row.decided_at else None,
        claim_id=row.claim_id,
    )
