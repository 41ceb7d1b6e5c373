"""Good messages of every type, to be spoilt, and sessions on which to send them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Self

from tanqiao.api.bridge.v1 import messages_pb2, sync_pb2
from tanqiao.api.common.v1 import envelope_pb2, values_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.errors import from_rpc_error
from tanqiao.signing.batch import sign_batch
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.testing.network import SHANGHAI, SHENZHEN
from tests.contract.bridge.harness import (
    SERIES,
    PlayedRegion,
    issue_message,
)
from tests.contract.bridge.unchanged import (
    World,
    settled,
)

Pair = tuple[Any, bytes]
LEDGER: Final = frozenset(
    {"decision", "decision_block", "message", "signature", "issue", "log_leaf", "counter", "outbox"}
    | {"outbox_stream", "late_answer", "evidence", "conflict_case", "frozen", "freeze_order", "inbox_stream"}
)
"""Where a durable refusal is written down; locations, claims, series and agreements are not among them."""


# -- good messages of every type ----------------------------------------------------------------------------


def lock(world: World) -> Pair:
    return world.shanghai.lock(10_000, 11_000)


def use(world: World) -> Pair:
    return world.shanghai.use(10_000, 11_000), b""


def issue(world: World) -> Pair:
    months = ("2026-02-01", "2026-03-01")
    made = issue_message(world.shanghai, world.declared, "310000:instalment:2", 200_000, 100_000, months)
    return made, b""


def ready(world: World) -> Pair:
    header = world.shanghai.header(
        transfer_id=secrets.token_bytes(16), source=SHENZHEN, prev_hash=secrets.token_bytes(32)
    )
    return messages_pb2.Ready(
        header=header,
        lock_hash=secrets.token_bytes(32),
        legal_date=values_pb2.Date(year=2026, month=3, day=2),
    ), b""


def refuse(world: World) -> Pair:
    made, _ = ready(world)
    reasons = [values_pb2.Refusal(reason="ADDRESS_UNKNOWN")]
    return messages_pb2.Refuse(header=made.header, lock_hash=made.lock_hash, reasons=reasons), b""


def withdraw(world: World) -> Pair:
    header = world.shanghai.header(transfer_id=secrets.token_bytes(16), source=SHANGHAI)
    return messages_pb2.Withdraw(header=header, lock_hash=secrets.token_bytes(32)), b""


OFFERED: Final[tuple[Callable[[World], Pair], ...]] = (lock, use, issue, ready, refuse, withdraw)


def require_told(refusal: DomainError) -> str:
    """Demand a reason with a sentence in both languages; its symbol."""
    assert refusal.symbol != "INTERNAL"
    assert refusal.sentence("zh")
    assert refusal.sentence("en")
    return refusal.symbol


def submit(world: World, batch: envelope_pb2.EnvelopeBatch, party: str = SHANGHAI) -> list[str]:
    """Offer a batch in one call; the reasons of its refusal, or of its items'."""
    request = sync_pb2.SubmitMessagesRequest(batch=batch)
    method = "/tanqiao.api.bridge.v1.SyncService/SubmitMessages"
    try:
        data = world.send(method, request.SerializeToString(), party)
    except DomainError as refusal:
        return [require_told(refusal)]
    response = sync_pb2.SubmitMessagesResponse.FromString(data)
    symbols = []
    for refused in response.refused:
        for reason in refused.reasons:
            assert reason.sentence_zh
            assert reason.sentence_en
            symbols.append(reason.reason)
    return symbols


def signed(
    world: World, message: Any, companion: bytes = b"", party: str = SHANGHAI
) -> envelope_pb2.EnvelopeBatch:
    companions = [companion] if companion else []
    return sign_batch(
        world.network.signer(party), payload_type_of(message), [message.SerializeToString()], companions
    )


Blocks = list[values_pb2.UnitBlock]


def blocks(*ranges: tuple[int, int], series_id: str = SERIES) -> Blocks:
    return [values_pb2.UnitBlock(series_id=series_id, start_serial=a, end_serial=b) for a, b in ranges]


class Line:
    """A session under test: says hello, sends one bad frame, and sees how it ends."""

    def __init__(self, world: World, region: PlayedRegion | None = None, **hello: Any) -> None:
        self.world = world
        self.known = region or world.shanghai
        self.region = PlayedRegion(
            world.running,
            self.known.party,
            **{
                "session_number": self.known.session_number,
                "received_number": self.known.received_number,
                "received_incarnation": self.known.received_incarnation,
                **hello,
            },
        )

    def __enter__(self) -> Self:
        self.region.connect()
        self.known.session_number = max(self.known.session_number, self.region.session_number)
        self.before = settled(self.world.running)
        return self

    def __exit__(self, *_: object) -> None:
        self.region.disconnect()
        self.known.received_number = self.region.received_number
        self.known.received_incarnation = self.region.received_incarnation or self.known.received_incarnation
        settled(self.world.running)

    def ends_with(self) -> DomainError:
        """Wait for the end of the session; the reason that the bridge gave."""
        self.region.wait(lambda: self.region.ended)
        errors = [error for kind, error in self.region.received if kind == "error"]
        assert errors, "the session ended without a reason"
        reason = from_rpc_error(errors[-1])
        require_told(reason)
        return reason


def forge_signature(batch: envelope_pb2.EnvelopeBatch) -> None:
    signature = bytearray(batch.signatures[0].signature)
    signature[0] ^= 1
    batch.signatures[0].signature = bytes(signature)
