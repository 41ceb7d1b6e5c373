"""Reasons that the protocol itself gives, as facts of the catalogue (PROTOCOL section 9)."""

from __future__ import annotations

from types import MappingProxyType

from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import Outcome, Reasons, TransferKey
from tanqiao.protocol.types import ReasonFacts as Reason


def reason(symbol: str, blocks: tuple[UnitBlock, ...] = (), /, **metadata: str) -> Reason:
    """Build the facts of one failing check; blocks are shown as the catalogue's ``ranges``."""
    if blocks:
        metadata["ranges"] = ", ".join(map(str, blocks))
    return Reason(symbol, MappingProxyType(metadata), blocks)


def equivocation(peer: str, identity: bytes) -> Reasons:
    """The peer made two different promises about one id (R4)."""
    return (reason("EQUIVOCATION", peer=peer, id=identity.hex()),)


def decision_void(key: TransferKey) -> Reasons:
    """The decision names a message that this party did not sign (R9)."""
    return (reason("DECISION_VOID", transfer_id=key.transfer_id.hex()),)


def already_decided(key: TransferKey, outcome: Outcome) -> Reasons:
    """The transfer cannot change any more (I4)."""
    return (reason("ALREADY_DECIDED", transfer_id=key.transfer_id.hex(), outcome=outcome.name),)


def out_of_place(identity: bytes, state: str, message: str) -> Reasons:
    """The message has no place in this state."""
    return (reason("MESSAGE_OUT_OF_PLACE", id=identity.hex(), state=state, message=message),)


def not_current(identity: bytes) -> Reasons:
    """The message answers another one than that on record."""
    return (reason("MESSAGE_NOT_CURRENT", id=identity.hex()),)


def of_transfer(symbol: str, key: TransferKey) -> Reasons:
    """Give a reason whose sentence names nothing but the transfer."""
    return (reason(symbol, transfer_id=key.transfer_id.hex()),)
