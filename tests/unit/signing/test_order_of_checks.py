"""PROTOCOL section 2 fixes the order of checks: of two faults in one message the earlier one is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing import KeyDirectory, Limits, Verifier, allow, payload_type_of, sign_envelope
from tanqiao.testing.network import BRIDGE, NETWORK_ID, SHANGHAI, SHENZHEN, NetworkOfTest, lock_assertion

LOCK_TYPE: Final = payload_type_of(messages_pb2.LockAssertion)


@dataclass
class Case:
    """What is sent and how it is opened; each fault changes one thing."""

    lock: messages_pb2.LockAssertion
    directory: KeyDirectory
    after: list[bytes] = field(default_factory=list)
    signature_mask: int = 0
    limits: Limits = field(default_factory=Limits)
    peer: str = SHANGHAI
    senders: tuple[str, ...] = ("region/*",)


def too_large(case: Case) -> None:
    case.limits = Limits(payload_bytes_max=10)


def key_unknown(case: Case) -> None:
    case.directory = KeyDirectory()


def signature_false(case: Case) -> None:
    case.signature_mask = 1


def malformed(case: Case) -> None:
    case.after.append(b"\x0a")


def unknown_field(case: Case) -> None:
    case.after.insert(0, b"\xf8\x3f\x01")


def sender_false(case: Case) -> None:
    case.lock.header.sender = SHENZHEN


def epoch_false(case: Case) -> None:
    case.lock.header.key_epoch = 7


def peer_false(case: Case) -> None:
    case.peer = SHENZHEN


def network_false(case: Case) -> None:
    case.lock.header.network_id = "test-other"


def audience_false(case: Case) -> None:
    del case.lock.header.audience[:]


def sender_not_allowed(case: Case) -> None:
    case.senders = ("bridge",)


IN_ORDER: Final[list[tuple[Callable[[Case], None], str]]] = [
    (too_large, "MESSAGE_TOO_LARGE"),
    (key_unknown, "KEY_UNKNOWN"),
    (signature_false, "SIGNATURE_INVALID"),
    (malformed, "MESSAGE_MALFORMED"),
    (unknown_field, "UNKNOWN_FIELD"),
    (sender_false, "SENDER_MISMATCH"),
    (epoch_false, "KEY_EPOCH_WRONG"),
    (peer_false, "PEER_NOT_SENDER"),
    (network_false, "NETWORK_MISMATCH"),
    (audience_false, "AUDIENCE_MISMATCH"),
    (sender_not_allowed, "PAYLOAD_TYPE_NOT_ALLOWED"),
]
PAIRS: Final = [
    pytest.param(first, second, symbol, id=f"{first.__name__}-before-{second.__name__}")
    for (first, symbol), (second, _) in combinations(IN_ORDER, 2)
]


def new_case(net: NetworkOfTest) -> Case:
    return Case(net.complete(lock_assertion(), net.signer(SHANGHAI)), net.directory)


def open_case(net: NetworkOfTest, case: Case) -> str:
    payload = case.lock.SerializeToString() + b"".join(case.after)
    envelope = sign_envelope(net.signer(SHANGHAI), LOCK_TYPE, payload)
    signature = envelope.signatures[0].signature
    envelope.signatures[0].signature = bytes([signature[0] ^ case.signature_mask]) + signature[1:]
    verifier = Verifier(NETWORK_ID, BRIDGE, case.limits)
    allowed = allow(messages_pb2.LockAssertion, senders=case.senders)
    try:
        verifier.open_envelope(envelope, case.directory, allowed=allowed, peer=case.peer, at_index=0)
    except DomainError as refusal:
        return refusal.symbol
    return "OPENED"


def test_a_case_without_a_fault_is_opened(net: NetworkOfTest) -> None:
    assert open_case(net, new_case(net)) == "OPENED"


@pytest.mark.parametrize(("fault", "symbol"), IN_ORDER, ids=[fault.__name__ for fault, _ in IN_ORDER])
def test_each_fault_alone_is_named(net: NetworkOfTest, fault: Callable[[Case], None], symbol: str) -> None:
    case = new_case(net)
    fault(case)
    assert open_case(net, case) == symbol


@pytest.mark.parametrize(("first", "second", "symbol"), PAIRS)
def test_of_two_faults_the_earlier_is_named(
    net: NetworkOfTest, first: Callable[[Case], None], second: Callable[[Case], None], symbol: str
) -> None:
    case = new_case(net)
    second(case)
    first(case)
    assert open_case(net, case) == symbol


def test_all_faults_at_once_are_refused_for_the_first(net: NetworkOfTest) -> None:
    case = new_case(net)
    for fault, _ in IN_ORDER:
        fault(case)
    assert open_case(net, case) == "MESSAGE_TOO_LARGE"
