"""A region node that serves.

With everything that a request can be about; every role of its rule pack may call it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tanqiao.api.common.v1 import clock_pb2
from tanqiao.api.region.v1 import (
    accounts_pb2,
    certificates_pb2,
    clawbacks_pb2,
    consents_pb2,
    decisions_pb2,
    disclosure_pb2,
    dossiers_pb2,
    encumbrances_pb2,
    journal_pb2,
    ledger_pb2,
    mandates_pb2,
    orders_pb2,
    parameters_pb2,
    registers_pb2,
    reserve_pb2,
    scenes_pb2,
)
from tanqiao.cli.local.members import network_plan
from tanqiao.rpc.channel import open_channel
from tanqiao.signing.provision import provision_network
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.storage.tables import metadata
from tests.contract.digests import digest_of_rows
from tests.contract.region.harness import Node

WAIT_SECONDS: Final = 50.0
REGION: Final = "/tanqiao.api.region.v1."
CLOCK: Final = "/tanqiao.api.common.v1."
_FILES: Final = (
    accounts_pb2,
    certificates_pb2,
    clawbacks_pb2,
    consents_pb2,
    decisions_pb2,
    disclosure_pb2,
    dossiers_pb2,
    encumbrances_pb2,
    journal_pb2,
    ledger_pb2,
    mandates_pb2,
    orders_pb2,
    parameters_pb2,
    registers_pb2,
    reserve_pb2,
    scenes_pb2,
    clock_pb2,
)
SEALING: Final = frozenset({"sealed_tree", "tree_tile", "tree_checkpoint"})
_PLACEHOLDER: Final = re.compile(r"\{[a-z_]+\}")
_HAN: Final = re.compile("[\u4e00-\u9fff]")


def full_network(home: Path, *, quorum: int = 0) -> NetworkOfTest:
    """Make the network of `tanqiao up`, with another quorum: an operator for every role of every pack."""
    network = provision_network(home, replace(network_plan(), quorum=quorum), now=datetime.now(UTC))
    return NetworkOfTest(network, network.federation.directory())


@dataclass(frozen=True)
class MethodFacts:
    """What a method takes and gives."""

    request_class: type[Message]
    response_class: type[Message]
    streams_in: bool
    streams_out: bool


def method_facts(method: str) -> MethodFacts:
    """Look a method up in the generated descriptors by its full name."""
    service_name, _, name = method.removeprefix("/").partition("/")
    for module in _FILES:
        for service in module.DESCRIPTOR.services_by_name.values():
            if service.full_name == service_name:
                found = service.methods_by_name[name]
                return MethodFacts(
                    GetMessageClass(found.input_type),
                    GetMessageClass(found.output_type),
                    found.client_streaming,
                    found.server_streaming,
                )
    raise LookupError(method)


@dataclass(frozen=True)
class Refused:
    """A refusal as it stands on the wire."""

    status: status_pb2.Status

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The one ErrorInfo."""
        found = self._details(error_details_pb2.ErrorInfo)
        assert len(found) == 1, self.status
        assert found[0].domain == "tanqiao"
        return found[0]

    @property
    def symbol(self) -> str:
        """The reason's symbol."""
        return str(self.info.reason)

    @property
    def sentences(self) -> dict[str, str]:
        """Sentences by locale."""
        return {one.locale: one.message for one in self._details(error_details_pb2.LocalizedMessage)}

    def _details(self, kind: Any) -> list[Any]:
        found = []
        for detail in self.status.details:
            message = kind()
            if detail.Is(kind.DESCRIPTOR) and detail.Unpack(message):
                found.append(message)
        return found

    def require_whole(self) -> Refused:
        """Demand a reason of the catalogue, and a sentence in each language that says something."""
        assert self.symbol != "INTERNAL", self.status
        sentences = self.sentences
        assert set(sentences) == {"zh-CN", "en"}, sentences
        assert _HAN.search(sentences["zh-CN"]), sentences
        assert len(sentences["en"]) > 8, sentences
        assert not _PLACEHOLDER.search(sentences["zh-CN"] + sentences["en"]), sentences
        return self


@dataclass
class Served:
    """A node that serves, and raw calls to it: bytes go out exactly as given."""

    network: NetworkOfTest
    node: Node
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Region code."""
        return self.node.party.removeprefix("region/")

    def party(self, role: str) -> str:
        """Give the party of a role of this region; a whole party stays as it is."""
        return role if "/" in role or role == "bridge" else f"operator/{self.code}/{role}"

    def channel(self, role: str) -> grpc.Channel:
        """Give a channel as a party."""
        party = self.party(role)
        if party not in self._channels:
            address = self.node.region.server.address
            self._channels[party] = open_channel(address, self.network.network.tls(party))
        return self._channels[party]

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def call(self, method: str, request: Any, role: str) -> Any:
        """Call; gives the response, or what was refused.

        Args:
            method: full name.
            request: a message, bytes, or a list of either for a stream.
            role: who calls.
        """
        facts = method_facts(method)
        channel = self.channel(role)
        stubs = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
        }
        stub: Any = stubs[facts.streams_in, facts.streams_out](
            method,
            request_serializer=_serialised,
            response_deserializer=facts.response_class.FromString,
        )
        if facts.streams_in:
            request = iter(request if isinstance(request, list) else [request])
        try:
            answer = stub(request, timeout=WAIT_SECONDS)
            if facts.streams_out:
                first = next(iter(answer))
                answer.cancel()
                return first
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)  # type: ignore[arg-type] # it is one
            if status is None:
                raise
            return Refused(status)
        return answer

    def digest(self) -> str:
        """Digest every row of every table."""
        return digest_of(self.node.region.database)


@cache
def _count_in_one_question() -> str:
    """Written once: sixty statements put together for each request took longer than the request."""
    names = (name for name in sorted(metadata.tables) if name not in SEALING)
    return "SELECT " + ", ".join(f'(SELECT count(*) FROM "{name}")' for name in names)


def counts_of(database: Any) -> tuple[int, ...]:
    """Count the rows of every table, in one question."""
    with database.reading() as connection:
        return tuple(connection.exec_driver_sql(_count_in_one_question()).one())


def _serialised(one: Any) -> bytes:
    return one if isinstance(one, bytes) else bytes(one.SerializeToString())


def digest_of(database: Any) -> str:
    """Digest every row of every table of a database, but those that sealing writes on its own."""
    return digest_of_rows(database, metadata, SEALING)
