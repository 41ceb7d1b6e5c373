"""Asking the gateways of outside registries: batched, with a deadline, outside of any transaction.

A registry that does not answer, or whose gateway has no list, is silent, and what it might say is not
assumed: the verdict is HOLD (CLAIMS section 2). Registries without a gateway are not asked; each verdict
names those that were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Final

import grpc
import structlog

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.gateway.v1 import coordination_pb2, coordination_pb2_grpc, registry_pb2, registry_pb2_grpc
from tanqiao.claims.key_filter import place_of
from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.rpc.channel import open_channel
from tanqiao.rpc.validation import parse_wire_date
from tanqiao.signing.certificates import TlsFiles
from tanqiao_bridge.application.claim_facts import read_record
from tanqiao_bridge.application.registry_answers import (
    Answers,
    ListInForce,
    ReadRecord,
    RegistryAnswer,
)
from tanqiao_bridge.remote.known_lists import KnownLists

LOOK_UP_SECONDS_MAX: Final = 5.0
QUERIES_PER_CALL_MAX: Final = 1_000
CHANGES_PER_PAGE: Final = 500
IMPORTS_LOOKED_AT_MAX: Final = 50
RECORDS_PER_PAGE: Final = 500
CHANGES_SECONDS_MAX: Final = 60.0

_log = structlog.get_logger(__name__)


class Gateways:
    """Channels to the gateways; asked side by side.

    Args:
        addresses: of the gateways, by registry.
        tls: of this node.
        log_size: gives how many leaves of the bridge's log are durable.
    """

    def __init__(self, addresses: Mapping[str, str], tls: TlsFiles, log_size: Callable[[], int]) -> None:
        self._log_size = log_size
        self._channels = {name: open_channel(address, tls) for name, address in sorted(addresses.items())}
        self._stubs = {
            name: registry_pb2_grpc.RegistryServiceStub(channel) for name, channel in self._channels.items()
        }
        self._order_stubs = {
            name: coordination_pb2_grpc.RegistryOrderServiceStub(channel)
            for name, channel in self._channels.items()
        }
        self._pool = ThreadPoolExecutor(max(1, len(self._stubs) * 4), thread_name_prefix="gateways")
        self._known = KnownLists(self._stubs, self._pool)

    @property
    def names(self) -> tuple[str, ...]:
        """Registries that have a gateway."""
        return tuple(self._stubs)

    def look_up(self, claims: Sequence[claims_pb2.Claim]) -> Answers:
        """Ask every gateway for the assets and subjects of these claims; never raises for a silent one."""
        if not self._stubs:
            return Answers()
        asked_at_index = self._log_size()
        requests = _requests(claims)  # made once for all gateways
        futures = {name: self._pool.submit(self._ask, name, requests) for name in self._stubs}
        return Answers({name: future.result() for name, future in futures.items()}, asked_at_index)

    def look_up_recent(self, claims: Sequence[claims_pb2.Claim], keys: Sequence[Sequence[str]]) -> Answers:
        """Answer for a check: of what no list holds, as `KnownLists` knows it, no gateway is asked.

        Args:
            claims: as for `look_up`.
            keys: of the assets and the subject of each: `asset_key`, `subject_key`; others do no harm.
        """
        known = {name: self._known.current(name) for name in self._stubs}
        if not any(known.values()):
            return self.look_up(claims)
        places = [list(map(place_of, of_claim)) for of_claim in keys]
        futures: dict[str, Future[RegistryAnswer]] = {}
        answers: dict[str, RegistryAnswer] = {}
        for name, known_list in known.items():
            if known_list is None:
                futures[name] = self._pool.submit(self._ask, name, _requests(claims))
                continue
            may_hold = known_list.keys.may_hold_any
            doubtful = [position for position, of_claim in enumerate(places) if may_hold(of_claim)]
            if doubtful:
                futures[name] = self._pool.submit(self._ask_about, name, claims, doubtful, known_list.as_of)
            else:
                answers[name] = RegistryAnswer(name, answered=True, as_of=known_list.as_of)
        answers.update((name, future.result()) for name, future in futures.items())
        return Answers({name: answers[name] for name in self._stubs})

    def _ask_about(
        self, name: str, claims: Sequence[claims_pb2.Claim], positions: Sequence[int], as_of: date
    ) -> RegistryAnswer:
        """Ask about some of the claims; the others have no records in the list of that day.

        Where the answer is of another list, nothing is known of the others, and all are asked about.
        """
        answer = self._ask(name, _requests([claims[position] for position in positions]))
        if answer.answered and answer.as_of != as_of:
            return self._ask(name, _requests(claims))
        records: list[tuple[ReadRecord, ...]] = [()] * len(claims)
        for position, found in zip(positions, answer.records, strict=answer.answered):
            records[position] = found
        return replace(answer, records=tuple(records))

    def _ask(self, name: str, requests: Sequence[registry_pb2.LookUpAssetsRequest]) -> RegistryAnswer:
        records: list[tuple[ReadRecord, ...]] = []
        as_of: date | None = None
        for request in requests:
            try:
                answer = self._stubs[name].LookUpAssets(request, timeout=LOOK_UP_SECONDS_MAX)
            except grpc.RpcError as error:
                _log.warning("registry silent", registry=name, code=str(error.code()))
                self._known.forget(name)
                return RegistryAnswer(name, answered=False)
            if not answer.has_list or len(answer.answers) != len(request.queries):
                return RegistryAnswer(name, answered=False)
            try:
                as_of = parse_wire_date(answer.as_of_date, "as_of_date")
                records.extend([_read(name, one) if one.records else () for one in answer.answers])
            except (DomainError, InvariantBroken, LookupError, ValueError) as error:
                # What cannot be read might be the very record that bars the claim.
                _log.warning("registry not understood", registry=name, error=type(error).__name__)
                return RegistryAnswer(name, answered=False)
        return RegistryAnswer(name, answered=True, as_of=as_of, records=tuple(records))

    def place_order(
        self, registry: str, envelope: envelope_pb2.Envelope, key_records: Sequence[envelope_pb2.Envelope]
    ) -> envelope_pb2.Envelope | None:
        """Send an order, or send it again; the newest answer, None where the registry is silent."""
        stub = self._order_stubs.get(registry)
        if stub is None:
            return None
        request = coordination_pb2.PlaceOrderRequest(envelope=envelope, key_records=key_records)
        try:
            answer: envelope_pb2.Envelope = stub.PlaceOrder(request, timeout=LOOK_UP_SECONDS_MAX).envelope
        except grpc.RpcError as error:
            _log.warning("an order waits", registry=registry, code=str(error.code()), detail=error.details())
            return None
        return answer

    def lists(self) -> list[ListInForce]:
        """Give what every gateway answers from, asked side by side, in order of name."""
        futures = [self._pool.submit(self._list_of, name) for name in self._stubs]
        return [future.result() for future in futures]

    def _list_of(self, name: str) -> ListInForce:
        try:
            status = self._stubs[name].GetRegistryStatus(
                registry_pb2.GetRegistryStatusRequest(), timeout=LOOK_UP_SECONDS_MAX
            )
            if not status.import_id:
                return ListInForce(name, answered=False)
            as_of = parse_wire_date(status.as_of_date, "as_of_date")
        except (grpc.RpcError, DomainError) as error:
            _log.warning("registry silent", registry=name, error=type(error).__name__)
            return ListInForce(name, answered=False)
        return ListInForce(name, answered=True, as_of=as_of, import_id=status.import_id, source=status.source)

    def rows(self, claims: Sequence[claims_pb2.Claim]) -> list[tuple[str, registry_pb2.RegistryRecord]]:
        """Give the rows of all lists about these claims' assets and subjects, once each.

        A registry that is silent has none; `lists` says so.
        """
        queries = [
            registry_pb2.AssetQuery(references=claim.asset.references, subject_uscc=claim.subject_uscc)
            for claim in claims
        ]
        futures = {name: self._pool.submit(self._rows_of, name, queries) for name in self._stubs}
        found = [(name, row) for name, future in futures.items() for row in future.result()]
        return list(
            {(name, row.SerializeToString(deterministic=True)): (name, row) for name, row in found}.values()
        )

    def _rows_of(
        self, name: str, queries: Sequence[registry_pb2.AssetQuery]
    ) -> list[registry_pb2.RegistryRecord]:
        try:
            answer = self._stubs[name].LookUpAssets(
                registry_pb2.LookUpAssetsRequest(queries=queries), timeout=LOOK_UP_SECONDS_MAX
            )
        except grpc.RpcError as error:
            _log.warning("registry silent", registry=name, code=str(error.code()))
            return []
        return [row for one in answer.answers for row in one.records]

    def records(self, registry: str, text: str, page_token: str) -> registry_pb2.ListRecordsResponse | None:
        """Give a page of a list whose titles hold a text; None where the registry is silent."""
        request = registry_pb2.ListRecordsRequest(
            text=text, page_size=RECORDS_PER_PAGE, page_token=page_token
        )
        try:
            answer: registry_pb2.ListRecordsResponse = self._stubs[registry].ListRecords(
                request, timeout=LOOK_UP_SECONDS_MAX
            )
        except grpc.RpcError as error:
            _log.warning("registry silent", registry=registry, code=str(error.code()))
            return None
        return answer

    def digest_of(self, registry: str, import_id: str) -> bytes:
        """Give the SHA-256 of the file of an import; empty where the gateway does not name it."""
        try:
            listed = self._stubs[registry].ListImports(
                registry_pb2.ListImportsRequest(page_size=IMPORTS_LOOKED_AT_MAX), timeout=LOOK_UP_SECONDS_MAX
            )
        except grpc.RpcError as error:
            _log.warning("registry silent", registry=registry, code=str(error.code()))
            return b""
        return next((bytes(one.digest) for one in listed.imports if one.import_id == import_id), b"")

    def list_in_force(self, registry: str) -> str | None:
        """Give the import that a gateway answers from, empty if it has none; None where it is silent."""
        try:
            status = self._stubs[registry].GetRegistryStatus(
                registry_pb2.GetRegistryStatusRequest(), timeout=LOOK_UP_SECONDS_MAX
            )
        except grpc.RpcError as error:
            _log.warning("registry silent", registry=registry, code=str(error.code()))
            return None
        return str(status.import_id)

    def changes(
        self, registry: str, seen: str, current: str, page_token: str
    ) -> registry_pb2.ListChangesResponse | None:
        """Give a page of what differs between two imports of a gateway; None where it is silent."""
        request = registry_pb2.ListChangesRequest(
            from_import_id=seen, to_import_id=current, page_size=CHANGES_PER_PAGE, page_token=page_token
        )
        try:
            answer: registry_pb2.ListChangesResponse = self._stubs[registry].ListChanges(
                request, timeout=CHANGES_SECONDS_MAX
            )
        except grpc.RpcError as error:
            _log.warning("registry silent", registry=registry, code=str(error.code()))
            return None
        return answer

    def close(self) -> None:
        """Close the channels."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for channel in self._channels.values():
            channel.close()


def _requests(claims: Sequence[claims_pb2.Claim]) -> list[registry_pb2.LookUpAssetsRequest]:
    requests = []
    for at in range(0, len(claims), QUERIES_PER_CALL_MAX):
        request = registry_pb2.LookUpAssetsRequest()
        add = request.queries.add
        for claim in claims[at : at + QUERIES_PER_CALL_MAX]:
            add(references=claim.asset.references, subject_uscc=claim.subject_uscc)
        requests.append(request)
    return requests


def _read(registry: str, answer: registry_pb2.AssetAnswer) -> tuple[ReadRecord, ...]:
    read = (read_record(record, registry, number) for number, record in enumerate(answer.records))
    return tuple(one for one in read if one is not None)
