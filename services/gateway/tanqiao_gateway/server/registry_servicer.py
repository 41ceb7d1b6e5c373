"""RegistryService: imports in chunks, look-up for many assets, the list as it stands."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Final

import grpc

from tanqiao.api.gateway.v1 import registry_pb2, registry_pb2_grpc
from tanqiao.claims.keys import asset_key, asset_ref
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import Clock
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.identity import check_uscc
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.errors import to_refusal
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.rpc.validation import (
    optional_text,
    page,
    parse_serial,
    parse_wire_date,
    require_count,
    require_request_id,
    require_text,
    wire_timestamp,
)
from tanqiao_gateway.application.importing import ImportOrder, ImportReport, import_list
from tanqiao_gateway.application.key_filters import KeyFilters, list_version
from tanqiao_gateway.application.orders import order_request
from tanqiao_gateway.application.queries import ImportRow, Queries
from tanqiao_gateway.application.undoing import undo_import
from tanqiao_gateway.importers.mapping import load_mapping

CHUNK_BYTES_MAX: Final = 256 << 10
FILE_BYTES_MAX: Final = 1 << 30
SPOOL_BYTES_IN_MEMORY_MAX: Final = 8 << 20
QUERIES_MAX: Final = 5_000
REFERENCES_PER_QUERY_MAX: Final = 32
FILTER_PART_BYTES_MAX: Final = 1 << 20
NUMBER_LENGTH_MAX: Final = 18
_FORMATS: Final = {
    registry_pb2.LIST_FORMAT_CSV: "csv",
    registry_pb2.LIST_FORMAT_JSON: "json",
    registry_pb2.LIST_FORMAT_XLSX: "xlsx",
}


class RegistryServicer(registry_pb2_grpc.RegistryServiceServicer):
    """The list of one registry."""

    def __init__(self, registry: str, network_id: str, database: Database, clock: Clock) -> None:
        self._registry = registry
        self._network_id = network_id
        self._database = database
        self._queries = Queries(database)
        self._key_filters = KeyFilters(database)
        self._clock = clock

    def ImportList(
        self, request_iterator: Iterator[registry_pb2.ImportListRequest], context: grpc.ServicerContext
    ) -> registry_pb2.ImportListResponse:
        """Take a list in chunks; all or nothing, every bad row named."""
        del context
        caller = current_caller().party
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "start":
            raise DomainError("FIELD_MISSING", field="start")
        start = first.start
        require_request_id(start.request_id)
        file_name = require_text(start.file_name, "start.file_name")
        if start.format not in _FORMATS:
            raise DomainError("FIELD_MISSING", field="start.format")
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES_IN_MEMORY_MAX) as spool:
            _spool(request_iterator, spool, file_name)
            order = ImportOrder(
                spool,
                file_name,
                _FORMATS[start.format],
                load_mapping(start.mapping or self._registry),
                require_text(start.source, "start.source"),
                parse_wire_date(start.as_of_date, "start.as_of_date"),
                caller,
                start.validate_only,
                start.request_id,
                hashlib.sha256(start.SerializeToString(deterministic=True)).digest(),
            )
            return _response(import_list(self._database, self._clock, order), order)

    def ListImports(
        self, request: registry_pb2.ListImportsRequest, context: grpc.ServicerContext
    ) -> registry_pb2.ListImportsResponse:
        """Give the imports, newest first."""
        del context
        asked = page(request.page_size, request.page_token)
        rows = self._queries.imports(asked.read(parse_serial, 0), asked.size + 1)
        shown = rows[: asked.size]
        token = asked.token(str(shown[-1][0].import_number)) if len(rows) > asked.size else ""
        return registry_pb2.ListImportsResponse(
            imports=[_import_message(row, gone) for row, gone in shown], next_page_token=token
        )

    def UndoImport(
        self, request: registry_pb2.UndoImportRequest, context: grpc.ServicerContext
    ) -> registry_pb2.UndoImportResponse:
        """Take an import back as one step; the list before it is current again."""
        del context
        require_request_id(request.request_id)
        current = undo_import(
            self._database,
            self._clock,
            _number(request.import_id, "import_id"),
            require_text(request.reason, "reason"),
            order_request(
                current_caller().party, request.request_id, request.SerializeToString(deterministic=True)
            ),
        )
        return registry_pb2.UndoImportResponse(current=None if current is None else _import_message(current))

    def ListChanges(
        self, request: registry_pb2.ListChangesRequest, context: grpc.ServicerContext
    ) -> registry_pb2.ListChangesResponse:
        """Give what appeared, vanished or changed between two imports."""
        del context
        from_number = _number(request.from_import_id, "from_import_id") if request.from_import_id else 0
        to_number = _number(request.to_import_id, "to_import_id") if request.to_import_id else 0
        asked = page(request.page_size, request.page_token, request.from_import_id, request.to_import_id)
        after = asked.read(lambda text: optional_text(text, "page_token"), "")
        found = self._queries.changes(from_number, to_number, after=after, limit=asked.size + 1)
        shown = found.rows[: asked.size]
        return registry_pb2.ListChangesResponse(
            changes=[_change(*row) for row in shown],
            next_page_token=asked.token(shown[-1][0]) if len(found.rows) > asked.size else "",
            from_import_id=str(found.from_number) if found.from_number else "",
            to_import_id=str(found.to_number),
        )

    def LookUpAssets(
        self, request: registry_pb2.LookUpAssetsRequest, context: grpc.ServicerContext
    ) -> registry_pb2.LookUpAssetsResponse:
        """Give for each query the records that carry one of its references or its subject."""
        del context
        require_count(request.queries, "queries", limit=QUERIES_MAX)
        keys = [_keys(query) for query in request.queries]
        subjects = [query.subject_uscc for query in request.queries]
        found = self._queries.look_up(keys, subjects)
        if found is None:
            return registry_pb2.LookUpAssetsResponse(has_list=False)
        response = registry_pb2.LookUpAssetsResponse(
            has_list=True, as_of_date=date_message(found.current.as_of_date)
        )
        import_id = str(found.current.import_number)
        add = response.answers.add
        for records in found.records:
            answer = add()
            for record in records:
                answer.records.add().CopyFrom(record)
                answer.records[-1].import_id = import_id
        return response

    def ListRecords(
        self, request: registry_pb2.ListRecordsRequest, context: grpc.ServicerContext
    ) -> registry_pb2.ListRecordsResponse:
        """Give the records of the current list in its order."""
        del context
        text = optional_text(request.text, "text")
        asked = page(request.page_size, request.page_token, text)
        rows = self._queries.search(text, asked.read(parse_serial, 0), asked.size + 1)
        numbers = list(dict.fromkeys(number for number, _ in rows))
        shown = frozenset(numbers[: asked.size])
        return registry_pb2.ListRecordsResponse(
            records=[record for number, record in rows if number in shown],
            next_page_token=asked.token(str(max(shown))) if len(numbers) > asked.size else "",
        )

    def GetRegistryStatus(
        self, request: registry_pb2.GetRegistryStatusRequest, context: grpc.ServicerContext
    ) -> registry_pb2.GetRegistryStatusResponse:
        """Give which registry this is and how old its list."""
        del request, context
        current = self._queries.current()
        return registry_pb2.GetRegistryStatusResponse(
            registry=self._registry,
            network_id=self._network_id,
            record_count=current.row_count if current is not None else 0,
            as_of_date=date_message(current.as_of_date) if current is not None else None,
            time=wire_timestamp(self._clock.now()),
            import_id=str(current.import_number) if current is not None else "",
            source=current.source if current is not None else "",
            list_version=list_version(current) if current is not None else b"",
        )

    def ReadKeyFilter(
        self, request: registry_pb2.ReadKeyFilterRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_pb2.ReadKeyFilterResponse]:
        """Give the filter of the keys of the current list in parts."""
        del request, context
        found = self._key_filters.current()
        size = len(found.bits)
        for at in range(0, max(size, 1), FILTER_PART_BYTES_MAX):
            yield registry_pb2.ReadKeyFilterResponse(
                list_version=found.list_version,
                size_bytes=size,
                bits=found.bits[at : at + FILTER_PART_BYTES_MAX],
            )


def _spool(chunks: Iterator[registry_pb2.ImportListRequest], spool: IO[bytes], file_name: str) -> None:
    size = 0
    for part in chunks:
        if part.WhichOneof("part") != "chunk":
            raise DomainError("FIELD_INVALID", field="part", detail="a start inside the file")
        if len(part.chunk) > CHUNK_BYTES_MAX:
            raise DomainError("MESSAGE_TOO_LARGE", size=len(part.chunk), limit=CHUNK_BYTES_MAX)
        size += len(part.chunk)
        if size > FILE_BYTES_MAX:
            raise DomainError("FILE_TOO_LARGE", file=file_name, size=size, limit=FILE_BYTES_MAX)
        spool.write(part.chunk)
    if size == 0:
        raise DomainError("FILE_EMPTY", file=file_name)


def _keys(query: registry_pb2.AssetQuery) -> list[str]:
    if query.subject_uscc:
        check_uscc(query.subject_uscc)
    references = query.references
    if len(references) >= REFERENCES_PER_QUERY_MAX:
        require_count([*references, None], "references", limit=REFERENCES_PER_QUERY_MAX)
    return [asset_key(asset_ref(reference.scheme, reference.value)) for reference in references]


def _number(text: str, field: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > NUMBER_LENGTH_MAX:
        raise DomainError("FIELD_INVALID", field=field, detail=text[:64])
    return int(text)


def _change(reference: str, before: bytes | None, after: bytes | None) -> registry_pb2.RecordChange:
    old = None if before is None else registry_pb2.RegistryRecord.FromString(before)
    new = None if after is None else registry_pb2.RegistryRecord.FromString(after)
    kind = registry_pb2.RECORD_CHANGE_KIND_CHANGED
    fields: list[str] = []
    if old is None:
        kind = registry_pb2.RECORD_CHANGE_KIND_APPEARED
    elif new is None:
        kind = registry_pb2.RECORD_CHANGE_KIND_VANISHED
    else:
        names = [field.name for field in registry_pb2.RegistryRecord.DESCRIPTOR.fields]
        fields = [name for name in names if getattr(old, name) != getattr(new, name)]
    return registry_pb2.RecordChange(
        kind=kind, reference=reference, before=old, after=new, changed_fields=fields
    )


def _import_message(row: ImportRow, gone: tuple[int, str] | None = None) -> registry_pb2.ListImport:
    return registry_pb2.ListImport(
        import_id=str(row.import_number),
        source=row.source,
        as_of_date=date_message(row.as_of_date),
        row_count=row.row_count,
        accepted_count=row.row_count,
        digest=row.digest,
        import_time=wire_timestamp(datetime.fromtimestamp(row.imported_at, UTC)),
        file_name=row.file_name,
        undo_time=None if gone is None else wire_timestamp(datetime.fromtimestamp(gone[0], UTC)),
        undo_reason="" if gone is None else gone[1],
    )


def _response(report: ImportReport, order: ImportOrder) -> registry_pb2.ImportListResponse:
    if report.written is not None:
        described = _import_message(report.written)
    else:
        described = registry_pb2.ListImport(
            source=order.source,
            as_of_date=date_message(order.as_of),
            row_count=report.row_count,
            accepted_count=report.accepted_count,
            rejected_count=report.rejected_count,
            digest=report.digest,
            file_name=order.file_name,
        )
    return registry_pb2.ImportListResponse(
        list_import=described,
        errors=[
            registry_pb2.RowError(
                line_number=fault.line, column=fault.column, refusal=to_refusal(fault.refusal)
            )
            for fault in report.faults
        ],
        committed=report.written is not None,
    )
