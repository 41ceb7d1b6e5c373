"""WitnessGroupService: who cosigns the bridge's log, and how that changes (PROTOCOL section 8)."""

from __future__ import annotations

from typing import Any, Final

import grpc

from tanqiao.api.bridge.v1 import witness_groups_pb2, witness_groups_pb2_grpc
from tanqiao.db.group_commit import GroupCommit
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.caller import current_caller
from tanqiao.rpc.validation import require_request_id
from tanqiao.signing.witness_groups import open_group_record
from tanqiao_bridge.application.commands import Answer, CallerRequest
from tanqiao_bridge.application.context import BridgeContext
from tanqiao_bridge.application.log_keeping import LogKeeper
from tanqiao_bridge.application.witness_groups import ReplaceGroup

ANSWER_SECONDS_MAX: Final = 30.0
CHANGES_PER_PAGE_MAX: Final = 100
Writer = GroupCommit[Any, Any]


class WitnessGroupServicer(witness_groups_pb2_grpc.WitnessGroupServiceServicer):
    """Takes records that replace the group, and shows every change."""

    def __init__(self, context: BridgeContext, writer: Writer, keeper: LogKeeper) -> None:
        self._context = context
        self._writer = writer
        self._keeper = keeper

    def ReplaceWitnessGroup(
        self, request: witness_groups_pb2.ReplaceWitnessGroupRequest, context: grpc.ServicerContext
    ) -> witness_groups_pb2.ReplaceWitnessGroupResponse:
        """Take a record that two approvers of each authority have signed, or every root."""
        del context
        require_request_id(request.request_id)
        if not request.HasField("record"):
            raise DomainError("FIELD_MISSING", field="record")
        opened, by_roots = open_group_record(
            request.record,
            self._context.network_id,
            self._context.directory,
            at_index=self._context.log_size,
        )
        answer: Answer = self._writer.submit(
            ReplaceGroup(
                opened.message,
                request.record,
                opened.message_hash,
                tuple(one.key_id for one in opened.signed_by),
                by_roots,
                CallerRequest(current_caller().party, request.request_id, opened.message_hash),
            )
        ).result(ANSWER_SECONDS_MAX)
        return witness_groups_pb2.ReplaceWitnessGroupResponse(
            log_index=answer.log_index, from_size=answer.log_index + (1 if by_roots else 2)
        )

    def ListWitnessGroups(
        self, request: witness_groups_pb2.ListWitnessGroupsRequest, context: grpc.ServicerContext
    ) -> witness_groups_pb2.ListWitnessGroupsResponse:
        """Give changes behind a log index, in the order of the log."""
        del context
        if request.after_log_index < 0 or request.page_size < 0:
            raise DomainError("FIELD_INVALID", field="after_log_index", detail=str(request.after_log_index))
        limit = min(request.page_size or CHANGES_PER_PAGE_MAX, CHANGES_PER_PAGE_MAX)
        return witness_groups_pb2.ListWitnessGroupsResponse(
            changes=self._keeper.group_changes(request.after_log_index, limit)
        )
