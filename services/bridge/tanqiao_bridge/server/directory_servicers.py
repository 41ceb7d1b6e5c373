"""Directory, recognition, decisions, the log and locations.

What is public here: what everybody may read, and the records of authorities.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import grpc
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import directory_pb2, directory_pb2_grpc, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.engine import Database
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.protocol.types import SINK, Kind, Outcome, TransferKey
from tanqiao.rpc.protocol_facts import block_message, block_messages, date_message
from tanqiao.rpc.validation import (
    page,
    parse_block,
    require_bytes,
    require_party,
    require_request_id,
    wire_timestamp,
)
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.federation import open_key_record
from tanqiao.signing.pae import message_hash
from tanqiao.signing.verify import Verifier, allow, require_signers
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.application.commands import Answer, AskOutcome, SubmitKeyRecord, SubmitRecognition
from tanqiao_bridge.application.context import BRIDGE, BridgeContext
from tanqiao_bridge.server.opening import Opener
from tanqiao_bridge.storage import log, policy, reads
from tanqiao_bridge.storage.decisions import DESTINATION_SIDE, SOURCE_SIDE
from tanqiao_bridge.storage.locations import LocationRow
from tanqiao_bridge.storage.tables import agreement, agreement_use, key_record, region

ANSWER_SECONDS_MAX: Final = 30.0
KEYS_PER_ANSWER_MAX: Final = 5_000
TRANSFER_ID_LENGTH: Final = 16
Writer = GroupCommit[Any, Any]


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """Regions and keys of the federation."""

    def __init__(self, context: BridgeContext, database: Database, writer: Writer, opener: Opener) -> None:
        self._context = context
        self._database = database
        self._writer = writer
        self._opener = opener

    def ListRegions(
        self, request: directory_pb2.ListRegionsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListRegionsResponse:
        """Give all regions, connected or not."""
        del request, context
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(region).order_by(region.c.region)).all()
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
        statement = sa.select(key_record).order_by(key_record.c.owner, key_record.c.key_epoch)
        if request.owner:
            require_party(request.owner, "owner")
            statement = statement.where(key_record.c.owner == request.owner)
        with self._database.reading() as connection:
            rows = connection.execute(statement.limit(KEYS_PER_ANSWER_MAX)).all()
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
            )
        ).result(ANSWER_SECONDS_MAX)
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(key_record).where(key_record.c.public_key == record.public_key)
            ).first()
        if row is None:  # pragma: no cover - it was stored by the command above
            raise DomainError("NOT_FOUND", what="key", id=record.owner)
        return directory_pb2.SubmitKeyRecordResponse(key=_key_entry(row), log_index=answer.log_index)


def _key_entry(row: sa.Row[Any]) -> directory_pb2.KeyEntry:
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


class RecognitionServicer(directory_pb2_grpc.RecognitionServiceServicer):
    """Recognition agreements: without one in force every transfer is refused."""

    def __init__(self, context: BridgeContext, database: Database, writer: Writer, opener: Opener) -> None:
        self._context = context
        self._database = database
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
        statement = (
            sa.select(agreement.c.envelope, agreement.c.log_index, agreement_use.c.used_kg)
            .join(agreement_use, agreement_use.c.agreement_id == agreement.c.agreement_id)
            .order_by(agreement.c.log_index)
        )
        if request.from_region:
            statement = statement.where(agreement.c.from_region == request.from_region)
        if request.to_region:
            statement = statement.where(agreement.c.to_region == request.to_region)
        with self._database.reading() as connection:
            rows = connection.execute(statement.limit(KEYS_PER_ANSWER_MAX)).all()
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

    def __init__(self, context: BridgeContext, database: Database, writer: Writer, opener: Opener) -> None:
        self._context = context
        self._database = database
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
        with self._database.reading() as connection:
            found = reads.decision_envelope(connection, key)
            finals = reads.finals_of(connection, key) if found is not None else set()
        if found is None:
            return None
        envelope, outcome = found
        committed = outcome == Outcome.COMMIT
        return directory_pb2.GetOutcomeResponse(
            outcome=(
                directory_pb2.TRANSFER_OUTCOME_COMMITTED
                if committed
                else directory_pb2.TRANSFER_OUTCOME_ABORTED
            ),
            decision=envelope,
            source_final=SOURCE_SIDE in finals,
            destination_final=DESTINATION_SIDE in finals,
            finality=values_pb2.FINALITY_COMMIT,
        )

    def ListLogEntries(
        self, request: directory_pb2.ListLogEntriesRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListLogEntriesResponse:
        """Give entries from an index on, with the envelopes beside them if they are asked for."""
        del context
        if request.from_index < 0:
            raise DomainError("FIELD_INVALID", field="from_index", detail=str(request.from_index))
        limit = page(request.page_size, "").size
        with self._database.reading() as connection:
            leaves = log.read_leaves(connection, request.from_index, limit)
            size = log.log_size(connection)
            response = directory_pb2.ListLogEntriesResponse(log_size=size)
            for leaf in leaves:
                envelopes = (
                    reads.envelopes_by_hash(connection, decode_leaf(leaf.leaf).message_hashes)
                    if request.with_envelopes
                    else []
                )
                response.entries.append(
                    directory_pb2.LogEntry(
                        log_index=leaf.log_index,
                        kind=leaf.kind,
                        leaf=leaf.leaf,
                        leaf_hash=leaf.leaf_hash,
                        envelopes=envelopes,
                    )
                )
        return response

    def GetLogStatus(
        self, request: directory_pb2.GetLogStatusRequest, context: grpc.ServicerContext
    ) -> directory_pb2.GetLogStatusResponse:
        """Give the size of the log."""
        del request, context
        with self._database.reading() as connection:
            size = log.log_size(connection)
        return directory_pb2.GetLogStatusResponse(
            log_size=size,
            network_id=self._context.network_id,
            bridge_epoch=self._context.epoch,
            time=wire_timestamp(self._context.clock.now()),
        )


class LocationServicer(directory_pb2_grpc.LocationServiceServicer):
    """Where units are, and what happened to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ListLocations(
        self, request: directory_pb2.ListLocationsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.ListLocationsResponse:
        """Give location rows in order of series and serial, page by page."""
        del context
        asked = page(request.page_size, request.page_token, request.series_id, request.region)
        series_id, _, start = asked.after.rpartition(" ")
        after = (series_id, int(start)) if asked.after else ("", -1)
        with self._database.reading() as connection:
            rows = reads.list_locations(
                connection,
                series_id=request.series_id,
                region=request.region,
                after=after,
                limit=asked.size + 1,
            )
            size = log.log_size(connection)
        shown = rows[: asked.size]
        token = ""
        if len(rows) > asked.size:
            token = asked.token(f"{shown[-1].block.series_id} {shown[-1].block.start}")
        return directory_pb2.ListLocationsResponse(
            locations=[_location_entry(row) for row in shown], next_page_token=token, as_of_index=size
        )

    def TraceUnits(
        self, request: directory_pb2.TraceUnitsRequest, context: grpc.ServicerContext
    ) -> directory_pb2.TraceUnitsResponse:
        """Trace a block from its issue through every move and use, with every signed message."""
        del context
        if not request.HasField("block"):
            raise DomainError("FIELD_MISSING", field="block")
        block = parse_block(request.block)
        with self._database.reading() as connection:
            known = policy.load_series(connection, [block.series_id]).get(block.series_id)
            if known is None:
                raise DomainError("SERIES_UNKNOWN", series_id=block.series_id)
            rows = reads.trace(connection, block)
            steps = [
                _trace_step(
                    row, reads.envelopes_of_transfer(connection, TransferKey(row.source, row.transfer_id))
                )
                for row in rows
            ]
            places = reads.locations_of(connection, block)
            size = log.log_size(connection)
        return directory_pb2.TraceUnitsResponse(
            series=policy.series_message(known),
            steps=steps,
            locations=[_location_entry(row) for row in places],
            as_of_index=size,
        )


def _location_entry(row: LocationRow) -> directory_pb2.LocationEntry:
    return directory_pb2.LocationEntry(
        block=block_message(row.block),
        region=row.region,
        state=row.state,  # type: ignore[arg-type]  # the table's numbers are the wire's
        log_index=row.log_index,
    )


_STEP_KINDS = {0: "ISSUE", Kind.TRANSFER: "TRANSFER", Kind.RETIRE: "RETIRE", Kind.CANCEL: "CANCEL"}


def _trace_step(row: reads.TraceRow, envelopes: list[envelope_pb2.Envelope]) -> directory_pb2.TraceStep:
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
        envelopes=envelopes,
        claim_id=row.claim_id,
    )
