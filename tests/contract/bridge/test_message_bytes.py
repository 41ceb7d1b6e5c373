"""What the bridge writes in pieces is what protobuf, or the log's library, makes of the same fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.decision import DecisionResult
from tanqiao.protocol.refusals import reason
from tanqiao.protocol.types import SINK, ZERO_HASH, Kind, OpenTransfer, Outcome, TransferKey
from tanqiao.rpc.protocol_facts import date_message, refusal_messages
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.decision_leaves import BLOCKS_IN_LEAF_MAX, decision_leaf
from tanqiao_bridge.application.forms import decision_payload, prepare_payload

SHANGHAI, SHENZHEN = "region/310000", "region/440300"
KEY = TransferKey(SHANGHAI, b"t" * 16)
LOCK_HASH, READY_HASH, DECISION_HASH = b"l" * 32, b"r" * 32, b"d" * 32
MESSAGE_ID = b"m" * 16
CONTEXT: Any = SimpleNamespace(
    network_id="test-forms",
    epoch=2,
    signer=SimpleNamespace(owner="bridge", key_epoch=1),
    random_bytes=lambda count: MESSAGE_ID[:count],
)


def transfer(kind: Kind = Kind.TRANSFER, blocks: int = 1) -> OpenTransfer:
    return OpenTransfer(
        KEY,
        kind,
        LOCK_HASH,
        SHENZHEN if kind is Kind.TRANSFER else SINK,
        tuple(UnitBlock("310000-CI-2026-1", 2 * number, 2 * number + 1) for number in range(blocks)),
        0,
        "2026-03-02",
    )


def header(audience: list[str]) -> envelope_pb2.Header:
    return envelope_pb2.Header(
        network_id="test-forms",
        sender="bridge",
        audience=audience,
        message_id=MESSAGE_ID,
        source=SHANGHAI,
        transfer_id=KEY.transfer_id,
        prev_hash=LOCK_HASH,
        key_epoch=1,
    )


@pytest.mark.parametrize("series", [[], ["A-1"], ["A-1", "B-2"]])
def test_a_prepare(series: list[str]) -> None:
    lock = envelope_pb2.Envelope(payload=b"lock" * 100, payload_type="application/x")
    stated = [values_pb2.Series(series_id=one) for one in series]
    made = prepare_payload(
        CONTEXT, transfer(), lock.SerializeToString(), [one.SerializeToString() for one in stated]
    )
    expected = messages_pb2.Prepare(
        header=header([SHENZHEN]), legal_date=date_message("2026-03-02"), lock=lock, series=stated
    )
    assert made == expected.SerializeToString()


REASONS = (reason("WITHDRAWN", transfer_id="74"), reason("SERIES_UNKNOWN", series_id="A-1"))


@pytest.mark.parametrize("log_index", [0, 1, 2**33])
@pytest.mark.parametrize(
    ("outcome", "ready_hash", "reasons"),
    [(Outcome.COMMIT, READY_HASH, ()), (Outcome.COMMIT, ZERO_HASH, ()), (Outcome.ABORT, ZERO_HASH, REASONS)],
)
def test_a_decision(outcome: Outcome, ready_hash: bytes, reasons: Any, log_index: int) -> None:
    result = DecisionResult(outcome, LOCK_HASH, ready_hash, reasons, ())
    made = decision_payload(
        CONTEXT,
        transfer(),
        result,
        (SHANGHAI, SHENZHEN),
        log_index=log_index,
        legal_date="2026-03-02",
        decided_at=1_772_413_200,
    )
    expected = messages_pb2.Decision(
        header=header([SHANGHAI, SHENZHEN]),
        outcome=int(outcome),  # type: ignore[arg-type]  # the core's numbers are the wire's
        lock_hash=LOCK_HASH,
        ready_hash=ready_hash,
        log_index=log_index,
        reasons=refusal_messages(reasons),
        legal_date=date_message("2026-03-02"),
        decision_time=Timestamp(seconds=1_772_413_200),
        bridge_epoch=2,
    )
    assert messages_pb2.Decision.FromString(made) == expected
    if len(reasons) == 0:  # a map of several entries has no one order
        assert made == expected.SerializeToString()


@pytest.mark.parametrize("blocks", [1, 2, BLOCKS_IN_LEAF_MAX + 1])
@pytest.mark.parametrize(
    ("kind", "outcome", "hashes"),
    [
        (Kind.TRANSFER, Outcome.COMMIT, (LOCK_HASH, READY_HASH, DECISION_HASH)),
        (Kind.TRANSFER, Outcome.ABORT, (LOCK_HASH, DECISION_HASH)),
        (Kind.RETIRE, Outcome.COMMIT, (LOCK_HASH, DECISION_HASH)),
    ],
)
def test_the_leaf_of_a_decision(kind: Kind, outcome: Outcome, hashes: tuple[bytes, ...], blocks: int) -> None:
    one = transfer(kind, blocks)
    signers = tuple(bytes([number]) * 16 for number in range(len(hashes)))
    expected = make_leaf(
        "decision",
        message_hashes=hashes,
        signer_key_ids=signers,
        public={
            "blocks": "\n".join(map(str, one.blocks[:BLOCKS_IN_LEAF_MAX])).encode(),
            "destination": one.destination.encode(),
            "kind": kind.name.encode(),
            "legal_date": b"2026-03-02",
            "outcome": outcome.name.encode(),
            "source": SHANGHAI.encode(),
            "transfer_id": KEY.transfer_id,
        },
    )
    assert decision_leaf(one, outcome, "2026-03-02", hashes, signers) == expected.encode()
