"""What commands that bring a record have in common: one answer to one request, and the notice to a region."""

from __future__ import annotations

from collections.abc import Iterable

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.db.streams import ClientRequest, OutboxMessage
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.storage.tables import request_ids

RECORD_NOTICE_TYPE = payload_type_of(messages_pb2.RecordNotice)


def answered_before(group: Group, request: ClientRequest, answer: Answer) -> bool:
    """Whether the call was answered before: then the first answer; REQUEST_ID_REUSED for another body."""
    stored = request_ids.answers(group.connection, [request])[0]
    if isinstance(stored, DomainError):
        raise stored
    if stored is None:
        return False
    answer.log_index = int(stored)
    return True


def note_answer(group: Group, request: ClientRequest, answer: Answer) -> None:
    """Keep the answer to a call: the log index of what it brought."""
    request_ids.store(
        group.connection,
        [(request, str(answer.log_index).encode())],
        created_at_us=group.now * _MICROSECONDS,
    )


_MICROSECONDS = 1_000_000


def notify(
    group: Group,
    region: str,
    envelope: envelope_pb2.Envelope,
    log_index: int,
    series: Iterable[values_pb2.Series] = (),
) -> None:
    """Number a record, order or correction for a region, as it was signed."""
    notice = messages_pb2.RecordNotice(
        header=group.context.header((region,)), record=envelope, log_index=log_index, series=series
    )
    group.numbered.append(OutboxMessage(region, RECORD_NOTICE_TYPE, notice.SerializeToString()))
    group.wake.add(region)
