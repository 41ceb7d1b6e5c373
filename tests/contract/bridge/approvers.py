"""Orders in the hands of approvers: made, signed and brought to a bridge."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2, orders_pb2_grpc
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.ids import make_address
from tanqiao.kernel.regions import RegionCode
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.protocol_facts import block_messages
from tanqiao.signing.approvals import prepare
from tanqiao.signing.envelope import add_signature
from tanqiao.testing.network import SHANGHAI, SHENZHEN, NetworkOfTest
from tests.contract.bridge.harness import SERIES, WAIT_SECONDS, Running

SHANGHAI_AUTHORITY = "authority/310000"
SHENZHEN_AUTHORITY = "authority/440300"
BRIDGE_AUTHORITY = "authority/bridge"
SHENZHEN_ADDRESS = make_address(RegionCode("440300"), bytes(10))
BLOCK = messages_pb2.FREEZE_SCOPE_BLOCK
PSEUDONYM = messages_pb2.FREEZE_SCOPE_PSEUDONYM
REGION = messages_pb2.FREEZE_SCOPE_REGION
PAIR = messages_pb2.FREEZE_SCOPE_PAIR

Signers = Sequence[tuple[str, int]]


def pair_freeze(**changes: Any) -> messages_pb2.Freeze:
    """Give an order about the pair Shanghai – Shenzhen, or another with the changes."""
    values: dict[str, Any] = {
        "order_id": secrets.token_bytes(16),
        "scope": PAIR,
        "region": SHANGHAI,
        "other_region": SHENZHEN,
        "reason": "invented",
        "document": "order 1",
    }
    return messages_pb2.Freeze(**{**values, **changes})


def block_freeze(start: int, end: int, **changes: Any) -> messages_pb2.Freeze:
    """Give an order about serials of the test series."""
    blocks = block_messages([UnitBlock(SERIES, start, end)])
    return pair_freeze(scope=BLOCK, region="", other_region="", blocks=blocks, **changes)


def signed(
    network: NetworkOfTest, order: Any, authority: str, signers: Signers, *, key_epoch: int = 1
) -> envelope_pb2.Envelope:
    """Let approvers sign, each named by authority and number from 0."""
    envelope = prepare(
        order, network.network_id, authority, message_id=secrets.token_bytes(16), key_epoch=key_epoch
    )
    for owner, number in signers:
        envelope = add_signature(envelope, network.network.approvers(owner)[number].signer)
    return envelope


def both(authority: str) -> Signers:
    """Name both approvers of an authority."""
    return ((authority, 0), (authority, 1))


def stub_of(running: Running, party: str = SHANGHAI) -> orders_pb2_grpc.OrderServiceStub:
    """Give the order service as a party calls it."""
    return orders_pb2_grpc.OrderServiceStub(running.channel(party))


def submit_freeze(
    running: Running,
    order: messages_pb2.Freeze,
    authority: str = BRIDGE_AUTHORITY,
    signers: Signers | None = None,
    *,
    request_id: str = "",
) -> orders_pb2.SubmitFreezeResponse:
    """Sign an order and bring it."""
    envelope = signed(running.network, order, authority, signers or both(authority))
    response: orders_pb2.SubmitFreezeResponse = stub_of(running).SubmitFreeze(
        orders_pb2.SubmitFreezeRequest(request_id=request_id or secrets.token_hex(8), order=envelope),
        timeout=WAIT_SECONDS,
        wait_for_ready=True,
    )
    return response


def frozen_now(running: Running) -> list[tuple[int, str, str, str]]:
    """Give what is frozen as the service shows it: scope, what, by whom, document."""
    response = stub_of(running).ListFreezes(
        orders_pb2.ListFreezesRequest(), timeout=WAIT_SECONDS, wait_for_ready=True
    )
    return [
        (
            one.scope,
            f"{one.block.start_serial}-{one.block.end_serial}"
            if one.HasField("block")
            else one.pseudonym.hex() or f"{one.region} {one.other_region}".strip(),
            one.ordered_by,
            one.document,
        )
        for one in response.freezes
    ]


def correction(start: int, end: int, **changes: Any) -> messages_pb2.Correction:
    """Give a correction of serials of the test series, from Shanghai to Shenzhen."""
    values: dict[str, Any] = {
        "correction_id": secrets.token_bytes(16),
        "blocks": block_messages([UnitBlock(SERIES, start, end)]),
        "from_region": SHANGHAI,
        "to_region": SHENZHEN,
        "document": "protocol 7",
        "reason": "invented",
        "receiving_address": SHENZHEN_ADDRESS,
    }
    return messages_pb2.Correction(**{**values, **changes})
