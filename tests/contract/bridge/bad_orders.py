"""Bad orders: freezes and corrections that are refused, each with its reason (PROTOCOL rows 10 and 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2, orders_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.testing.network import SHANGHAI, YUNNAN
from tests.contract.bridge.approvers import (
    BLOCK,
    BRIDGE_AUTHORITY,
    PSEUDONYM,
    REGION,
    SHANGHAI_AUTHORITY,
    SHENZHEN_AUTHORITY,
    Signers,
    both,
    correction,
    pair_freeze,
    signed,
)
from tests.contract.bridge.harness import SERIES
from tests.contract.bridge.unchanged import API, UNKNOWN_FIELD, World

ORDER: Final = f"{API}OrderService/"
BOTH_SIDES: Final = (*both(SHANGHAI_AUTHORITY), *both(SHENZHEN_AUTHORITY))
Build = Callable[[World], Message]


def freezing(
    order: messages_pb2.Freeze,
    authority: str = SHANGHAI_AUTHORITY,
    signers: Signers | None = None,
    request_id: str = "F-1",
    **settings: Any,
) -> Build:
    """Submit a freeze as these approvers sign it."""

    def build(world: World) -> Message:
        envelope = signed(world.network, order, authority, signers or both(authority), **settings)
        return orders_pb2.SubmitFreezeRequest(request_id=request_id, order=envelope)

    return build


def correcting(
    wrong: messages_pb2.Correction,
    authority: str = SHANGHAI_AUTHORITY,
    signers: Signers = BOTH_SIDES,
    request_id: str = "C-1",
) -> Build:
    """Submit a correction as these approvers sign it."""

    def build(world: World) -> Message:
        envelope = signed(world.network, wrong, authority, signers)
        return orders_pb2.SubmitCorrectionRequest(request_id=request_id, correction=envelope)

    return build


def broken(spoil: Callable[[envelope_pb2.Envelope], None]) -> Build:
    """Submit a freeze whose envelope was changed behind the signatures."""

    def build(world: World) -> Message:
        envelope = signed(world.network, pair_freeze(), SHANGHAI_AUTHORITY, both(SHANGHAI_AUTHORITY))
        spoil(envelope)
        return orders_pb2.SubmitFreezeRequest(request_id="F-1", order=envelope)

    return build


def _by_the_message_key(world: World) -> Message:
    order = pair_freeze(header=world.network.header(world.network.signer(SHANGHAI)))
    return orders_pb2.SubmitFreezeRequest(request_id="F-1", order=world.network.envelope(order, SHANGHAI))


def _cut(envelope: envelope_pb2.Envelope) -> None:
    envelope.payload = envelope.payload[:-1]


def _add_field(envelope: envelope_pb2.Envelope) -> None:
    envelope.payload += UNKNOWN_FIELD


def _unsign(envelope: envelope_pb2.Envelope) -> None:
    envelope.ClearField("signatures")


def _blocks(*spans: tuple[int, int], series_id: str = SERIES) -> messages_pb2.Freeze:
    order = pair_freeze(scope=BLOCK, region="", other_region="")
    for start, end in spans:
        order.blocks.add(series_id=series_id, start_serial=start, end_serial=end)
    return order


_ONE = pair_freeze(scope=REGION, other_region="")
_HOLDER = pair_freeze(scope=PSEUDONYM, other_region="", pseudonym=bytes(16))

BAD_ORDERS: Final[tuple[tuple[str, str, str, Build], ...]] = (
    (f"{ORDER}SubmitFreeze", "no request id", "REQUEST_ID_INVALID", freezing(pair_freeze(), request_id="")),
    (
        f"{ORDER}SubmitFreeze",
        "no order",
        "FIELD_MISSING",
        lambda _world: orders_pb2.SubmitFreezeRequest(request_id="F-1"),
    ),
    (f"{ORDER}SubmitFreeze", "no scope", "FIELD_MISSING", freezing(pair_freeze(scope=0))),
    (f"{ORDER}SubmitFreeze", "an unknown scope", "ENUM_UNKNOWN", freezing(pair_freeze(scope=9))),
    (f"{ORDER}SubmitFreeze", "no order id", "FIELD_MISSING", freezing(pair_freeze(order_id=b""))),
    (f"{ORDER}SubmitFreeze", "a short order id", "FIELD_INVALID", freezing(pair_freeze(order_id=b"x"))),
    (f"{ORDER}SubmitFreeze", "no reason", "FIELD_MISSING", freezing(pair_freeze(reason=""))),
    (f"{ORDER}SubmitFreeze", "no document", "FIELD_MISSING", freezing(pair_freeze(document=""))),
    (f"{ORDER}SubmitFreeze", "a long reason", "TEXT_TOO_LONG", freezing(pair_freeze(reason="x" * 501))),
    (
        f"{ORDER}SubmitFreeze",
        "evidence from approvers",
        "FIELD_INVALID",
        freezing(pair_freeze(evidence_hashes=[bytes(32)])),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "a pair of one region",
        "FIELD_INVALID",
        freezing(pair_freeze(other_region=SHANGHAI)),
    ),
    (f"{ORDER}SubmitFreeze", "half a pair", "FIELD_MISSING", freezing(pair_freeze(other_region=""))),
    (
        f"{ORDER}SubmitFreeze",
        "a region with a second one",
        "FIELD_INVALID",
        freezing(pair_freeze(scope=REGION)),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "a party that is no region",
        "FIELD_INVALID",
        freezing(pair_freeze(other_region="bridge")),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "an unknown region",
        "REGION_UNKNOWN",
        freezing(pair_freeze(scope=REGION, region="region/999999", other_region=""), BRIDGE_AUTHORITY),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "a holder of no region",
        "FIELD_MISSING",
        freezing(pair_freeze(scope=PSEUDONYM, region="", other_region="", pseudonym=bytes(16))),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "a pseudonym that is none",
        "FIELD_INVALID",
        freezing(pair_freeze(scope=PSEUDONYM, other_region="", pseudonym=bytes(15))),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "another region's holder",
        "ORDER_NOT_COMPETENT",
        freezing(_HOLDER, SHENZHEN_AUTHORITY),
    ),
    (f"{ORDER}SubmitFreeze", "another region", "ORDER_NOT_COMPETENT", freezing(_ONE, SHENZHEN_AUTHORITY)),
    (
        f"{ORDER}SubmitFreeze",
        "units of nobody",
        "SERIES_UNKNOWN",
        freezing(_blocks((0, 1), series_id="310000:X:Y:2026:1")),
    ),
    (f"{ORDER}SubmitFreeze", "a block that runs back", "RANGE_REVERSED", freezing(_blocks((9, 5)))),
    (f"{ORDER}SubmitFreeze", "a serial twice", "RANGE_OVERLAP", freezing(_blocks((0, 5), (4, 9)))),
    (
        f"{ORDER}SubmitFreeze",
        "nothing frozen to lift",
        "NOT_FROZEN",
        freezing(pair_freeze(unfreeze=True)),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "one approver",
        "APPROVERS_MISSING",
        freezing(pair_freeze(), signers=((SHANGHAI_AUTHORITY, 0),)),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "the same key twice",
        "MESSAGE_MALFORMED",
        freezing(pair_freeze(), signers=((SHANGHAI_AUTHORITY, 0),) * 2),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "approvers of two authorities",
        "APPROVERS_MISSING",
        freezing(pair_freeze(), signers=((SHANGHAI_AUTHORITY, 0), (SHENZHEN_AUTHORITY, 1))),
    ),
    (
        f"{ORDER}SubmitFreeze",
        "approvers of another authority",
        "SENDER_MISMATCH",
        freezing(pair_freeze(), signers=both(SHENZHEN_AUTHORITY)),
    ),
    (f"{ORDER}SubmitFreeze", "another epoch", "KEY_EPOCH_WRONG", freezing(pair_freeze(), key_epoch=2)),
    (f"{ORDER}SubmitFreeze", "a node's key", "KEY_ROLE_WRONG", _by_the_message_key),
    (f"{ORDER}SubmitFreeze", "a byte less", "SIGNATURE_INVALID", broken(_cut)),
    (f"{ORDER}SubmitFreeze", "a field more", "SIGNATURE_INVALID", broken(_add_field)),
    (f"{ORDER}SubmitFreeze", "no signature", "SIGNATURE_MISSING", broken(_unsign)),
    (
        f"{ORDER}ListFreezes",
        "a negative page",
        "FIELD_INVALID",
        lambda _world: orders_pb2.ListFreezesRequest(page_size=-1),
    ),
    (
        f"{ORDER}ListFreezes",
        "a token that is none",
        "PAGE_TOKEN_INVALID",
        lambda _world: orders_pb2.ListFreezesRequest(page_token="x"),
    ),
    (
        f"{ORDER}GetFreezeOrder",
        "no id",
        "FIELD_MISSING",
        lambda _world: orders_pb2.GetFreezeOrderRequest(),
    ),
    (
        f"{ORDER}GetFreezeOrder",
        "an unknown id",
        "NOT_FOUND",
        lambda _world: orders_pb2.GetFreezeOrderRequest(order_id=bytes(15) + b"x"),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "no request id",
        "REQUEST_ID_INVALID",
        correcting(correction(2_000, 3_000), request_id=""),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "no correction",
        "FIELD_MISSING",
        lambda _world: orders_pb2.SubmitCorrectionRequest(request_id="C-1"),
    ),
    (f"{ORDER}SubmitCorrection", "no id", "FIELD_MISSING", correcting(correction(0, 9, correction_id=b""))),
    (f"{ORDER}SubmitCorrection", "no blocks", "FIELD_MISSING", correcting(correction(0, 9, blocks=[]))),
    (f"{ORDER}SubmitCorrection", "no document", "FIELD_MISSING", correcting(correction(0, 9, document=""))),
    (
        f"{ORDER}SubmitCorrection",
        "no address",
        "ADDRESS_INVALID",
        correcting(correction(0, 9, receiving_address="")),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "an address of another region",
        "ADDRESS_INVALID",
        correcting(
            correction(0, 9, from_region="region/440300", to_region=SHANGHAI),
            SHENZHEN_AUTHORITY,
            (*both(SHENZHEN_AUTHORITY), *both(SHANGHAI_AUTHORITY)),
        ),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "from and to the same",
        "APPROVERS_MISSING",
        correcting(correction(0, 9, to_region=SHANGHAI), signers=both(SHANGHAI_AUTHORITY)),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "a party that is no region",
        "FIELD_INVALID",
        correcting(correction(0, 9, to_region="bridge")),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "one side alone",
        "APPROVERS_MISSING",
        correcting(correction(0, 9), signers=both(SHANGHAI_AUTHORITY)),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "one of the second side",
        "APPROVERS_MISSING",
        correcting(correction(0, 9), signers=(*both(SHANGHAI_AUTHORITY), (SHENZHEN_AUTHORITY, 0))),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "units that were never issued",
        "CORRECTION_NOT_POSSIBLE",
        correcting(correction(900_000, 900_001)),
    ),
    (
        f"{ORDER}SubmitCorrection",
        "units that are at a third place",
        "CORRECTION_NOT_POSSIBLE",
        correcting(
            correction(2_000, 2_010, from_region=YUNNAN),
            "authority/530000",
            (*both("authority/530000"), *both(SHENZHEN_AUTHORITY)),
        ),
    ),
    (
        f"{ORDER}ListCorrections",
        "a negative page",
        "FIELD_INVALID",
        lambda _world: orders_pb2.ListCorrectionsRequest(page_size=-1),
    ),
    (
        f"{ORDER}ListCorrections",
        "a long series",
        "TEXT_TOO_LONG",
        lambda _world: orders_pb2.ListCorrectionsRequest(series_id="x" * 161),
    ),
)
