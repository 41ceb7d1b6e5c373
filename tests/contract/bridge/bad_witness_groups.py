"""Bad changes of the group of witnesses, each with its reason (PROTOCOL section 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import witness_groups_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.signing.federation import WitnessGroup
from tanqiao.testing.network import SHANGHAI, SHANGHAI_CENTRE, SHENZHEN, YUNNAN
from tests.contract.bridge.approvers import BRIDGE_AUTHORITY
from tests.contract.bridge.cases import Case, plain
from tests.contract.bridge.unchanged import API, READER, World
from tests.contract.witness.group_office import approved, record_of, rooted

GROUPS: Final = f"{API}WitnessGroupService/"
REPLACE: Final = f"{GROUPS}ReplaceWitnessGroup"
REGIONS: Final = WitnessGroup((SHANGHAI, SHENZHEN, YUNNAN), 2)
Build = Callable[[World], Message]
Request = witness_groups_pb2.ReplaceWitnessGroupRequest
List = witness_groups_pb2.ListWitnessGroupsRequest


def replacing(sign: Callable[..., envelope_pb2.Envelope], but: Any = None, **changes: Any) -> Build:
    """Bring a record in which something is wrong, or which somebody has not signed."""

    def build(world: World) -> Message:
        record = record_of(REGIONS, **changes)
        envelope = sign(world.network, record) if but is None else sign(world.network, record, but)
        return Request(request_id="W-1", record=envelope)

    return build


def _spoilt(world: World) -> Message:
    envelope = approved(world.network, record_of(REGIONS))
    envelope.signatures[3].signature = bytes(64)
    return Request(request_id="W-1", record=envelope)


def _of_a_region(world: World) -> Message:
    return Request(request_id="W-1", record=world.network.envelope(record_of(REGIONS), SHANGHAI))


BAD_WITNESS_GROUPS: Final = (
    Case(REPLACE, "no request id", "REQUEST_ID_INVALID", plain(Request()), SHANGHAI_CENTRE),
    Case(REPLACE, "no record", "FIELD_MISSING", plain(Request(request_id="W-1")), SHANGHAI_CENTRE),
    Case(REPLACE, "by a reader", "CALLER_NOT_PERMITTED", replacing(approved), READER),
    Case(
        REPLACE,
        "one approver too few",
        "APPROVERS_MISSING",
        replacing(approved, [(BRIDGE_AUTHORITY, 1)]),
        SHANGHAI_CENTRE,
    ),
    Case(
        REPLACE,
        "one root too few",
        "SIGNATURE_MISSING",
        replacing(rooted, BRIDGE_AUTHORITY),
        SHANGHAI_CENTRE,
    ),
    Case(REPLACE, "a signature that is none", "SIGNATURE_INVALID", _spoilt, SHANGHAI_CENTRE),
    Case(REPLACE, "by a region's own key", "KEY_ROLE_WRONG", _of_a_region, SHANGHAI_CENTRE),
    Case(REPLACE, "a short id", "FIELD_INVALID", replacing(approved, change_id=b"x"), SHANGHAI_CENTRE),
    Case(REPLACE, "all are needed", "SETTING_INVALID", replacing(approved, quorum=3), SHANGHAI_CENTRE),
    Case(REPLACE, "the first group by approvers", "SIGNATURE_MISSING", replacing(approved), SHANGHAI_CENTRE),
    Case(
        f"{GROUPS}ListWitnessGroups",
        "a negative index",
        "FIELD_INVALID",
        plain(List(after_log_index=-1)),
    ),
    Case(f"{GROUPS}ListWitnessGroups", "a negative page", "FIELD_INVALID", plain(List(page_size=-1))),
)
