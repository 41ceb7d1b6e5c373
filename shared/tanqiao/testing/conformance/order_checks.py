"""Requirements on what authorities order and record, and on who asks for outcomes (rows 7, 10, 11, 14)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.pae import message_hash
from tanqiao.testing.conformance.kit import ABORT, Kit, hash_of
from tanqiao.testing.conformance.line import Came
from tanqiao.testing.conformance.requirements import requirement

RECORD_INDEX = 6
"""Log index that the kit's notices state: behind the records of the beginning, before every decision."""


@requirement("outcome-unknown", "§4 row 7")
def outcome_unknown(kit: Kit) -> None:
    """Who asks for an outcome shows the lock as evidence, and acts neither on UNKNOWN nor on PENDING."""
    lock = kit.locked()
    transfer, _ = kit.ready()
    kit.be_silent()  # nobody has to ask, but now is the time
    hashes = {lock.transfer_id: lock.opened.message_hash, transfer.transfer_id: transfer.lock_hash}
    for asked in list(kit.line.outcomes.asked):
        wanted = hashes.get(asked.transfer_id)
        if wanted is not None and asked.HasField("evidence"):
            shown = message_hash(asked.evidence.payload_type, asked.evidence.payload)
            kit.demand(shown == wanted, "it asks for an outcome with another message than the lock")
    kit.demand_unmoved(lock.transfer_id, "LOCKED", "an outcome that is unknown or pending")
    kit.demand_unmoved(transfer.transfer_id, "READY", "an outcome that is unknown or pending")


# ----------------------------------------------------------------------------------------------------
# Freezes.


@requirement("freeze", "§4 row 10")
def freeze(kit: Kit) -> None:
    """What two approvers freeze is refused to holders until two approvers lift it."""
    kit.locked()
    with _pair_frozen(kit):
        try:
            kit.orders.lock(kit.partner_address(), kit.partner)
        except DomainError as refusal:
            kit.demand(refusal.symbol == "FROZEN", f"a frozen pair is refused with {refusal.symbol}")
        else:
            kit.demand(condition=False, text="units were locked for a region with which the pair is frozen")
    kit.locked()


@requirement("freeze-delivered", "§4 row 10, R7")
def freeze_delivered(kit: Kit) -> None:
    """A COMMIT that was made before a freeze is delivered, and credited."""
    transfer, answer = kit.ready()
    with _pair_frozen(kit):
        kit.decide(kit.commit(transfer, answer))
        final = kit.first(messages_pb2.DestFinal, transfer.transfer_id)
        kit.demand(
            final.message.state == messages_pb2.DESTINATION_STATE_CREDITED,
            "a COMMIT was not credited because of a freeze",
        )


@requirement("freeze-approvers", "§4 row 10")
def freeze_approvers(kit: Kit) -> None:
    """A freeze with one signature binds nobody."""
    order = _pair_freeze(kit)
    _refused(kit, kit.roots.ordered(order, [(_authority(kit.partner), 0)]))
    kit.locked()


@requirement("freeze-once", "R4")
def freeze_once(kit: Kit) -> None:
    """Another order under the id of the first is called what it is."""
    with _pair_frozen(kit) as order:
        order.document = "another"
        _equivocation(kit, kit.roots.ordered(order, _both(kit.partner)))


# ----------------------------------------------------------------------------------------------------
# Corrections and agreements.


@requirement("correction", "§4 row 14")
def correction(kit: Kit) -> None:
    """What a correction takes to another region leaves the account, and nothing else does."""
    lock = kit.locked()
    kit.decide(kit.decision_on(lock, ABORT))
    kit.first(messages_pb2.SourceFinal, lock.transfer_id)
    before_kg = kit.orders.held_kg()
    order = _correction(kit, lock)
    _taken(kit, kit.roots.ordered(order, [*_both(kit.party), *_both(kit.partner)]))
    left_kg = before_kg - kit.orders.held_kg()
    kit.demand(
        left_kg == lock.message.quantity_kg,
        f"a correction of {lock.message.quantity_kg} kg took {left_kg} kg out of the account",
    )


@requirement("correction-approvers", "§4 row 14, R8")
def correction_approvers(kit: Kit) -> None:
    """A correction without two approvers of each authority moves nothing."""
    lock = kit.locked()
    kit.decide(kit.decision_on(lock, ABORT))
    kit.first(messages_pb2.SourceFinal, lock.transfer_id)
    before_kg = kit.orders.held_kg()
    for signers in (_both(kit.partner), [*_both(kit.partner), (_authority(kit.party), 0)]):
        _refused(kit, kit.roots.ordered(_correction(kit, lock), signers))
    kit.demand(kit.orders.held_kg() == before_kg, "a correction that lacks signatures took units")


@requirement("record-once", "R4")
def record_once(kit: Kit) -> None:
    """Another agreement under the id of the first is called what it is."""
    kit.connected()
    kit.acknowledged(kit.line.number([_notice(kit, kit.agreement(complete=True))]))
    _equivocation(kit, kit.agreement(complete=True))


# ----------------------------------------------------------------------------------------------------
# The steps.


@contextmanager
def _pair_frozen(kit: Kit) -> Iterator[messages_pb2.Freeze]:
    """Freeze the region's pair with its partner, and lift it whatever happens."""
    kit.connected()
    order = _pair_freeze(kit)
    _taken(kit, kit.roots.ordered(order, _both(kit.partner)))
    try:
        yield order
    finally:
        lifting = _pair_freeze(kit)
        lifting.unfreeze = True
        kit.connected()
        kit.acknowledged(kit.line.number([_notice(kit, kit.roots.ordered(lifting, _both(kit.partner)))]))


def _pair_freeze(kit: Kit) -> messages_pb2.Freeze:
    return messages_pb2.Freeze(
        order_id=secrets.token_bytes(16),
        scope=messages_pb2.FREEZE_SCOPE_PAIR,
        region=kit.partner,
        other_region=kit.party,
        reason="conformance",
        document="一致性检验 conformance",
    )


def _correction(kit: Kit, lock: Came) -> messages_pb2.Correction:
    return messages_pb2.Correction(
        correction_id=secrets.token_bytes(16),
        blocks=lock.message.blocks,
        from_region=kit.party,
        to_region=kit.partner,
        document="一致性检验 conformance",
        reason="conformance",
        receiving_address=kit.partner_address(),
    )


def _notice(kit: Kit, record: envelope_pb2.Envelope) -> messages_pb2.RecordNotice:
    return messages_pb2.RecordNotice(header=kit.line.header(), record=record, log_index=RECORD_INDEX)


def _taken(kit: Kit, record: envelope_pb2.Envelope) -> None:
    notice = _notice(kit, record)
    kit.acknowledged(kit.line.number([notice]))
    kit.settled()
    refused: dict[bytes, Any] = {one.message.message_hash: one for one in kit.said(messages_pb2.Nack)}
    nack = refused.get(hash_of(notice))
    reasons = ", ".join(one.reason for one in nack.message.reasons) if nack is not None else ""
    kit.demand(nack is None, f"an order that is signed as it must be is refused: {reasons}")


def _refused(kit: Kit, record: envelope_pb2.Envelope) -> None:
    kit.connected()
    notice = _notice(kit, record)
    kit.line.number([notice])
    kit.nack(hash_of(notice))


def _equivocation(kit: Kit, record: envelope_pb2.Envelope) -> None:
    notice = _notice(kit, record)
    kit.line.number([notice])
    reasons = {one.reason for one in kit.nack(hash_of(notice)).message.reasons}
    kit.demand("EQUIVOCATION" in reasons, f"the Nack says {', '.join(sorted(reasons))}, not EQUIVOCATION")


def _authority(region: str) -> str:
    return f"authority/{region.removeprefix('region/')}"


def _both(region: str) -> list[tuple[str, int]]:
    return [(_authority(region), 0), (_authority(region), 1)]
