"""Orders of approvers: freezes by two of one authority, corrections by two of each of two (rows 10, 14).

Resolutions of cases and decisions on aliases are signed by approvers of two bodies (CLAIMS section 3).

The same opening serves the bridge, which acts on an order, and the regions, to which it is passed on as it
was signed: both believe the approvers and not the one who brings it.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import cases_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import clawbacks_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.directory import KeyDirectory, KeyRole
from tanqiao.signing.parties import BRIDGE
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.verify import Opened, Verifier, allow, require_signers

APPROVERS: Final = 2
AUTHORITIES: Final = ("authority/*",)
FREEZE_TYPE: Final = payload_type_of(messages_pb2.Freeze)
CORRECTION_TYPE: Final = payload_type_of(messages_pb2.Correction)
_FREEZE: Final = allow(
    messages_pb2.Freeze, senders=AUTHORITIES, role=KeyRole.APPROVER, signatures_max=APPROVERS
)
_FREEZE_ALONE: Final = allow(messages_pb2.Freeze, senders=(BRIDGE,), audience=BRIDGE)
_CORRECTION: Final = allow(
    messages_pb2.Correction,
    senders=AUTHORITIES,
    role=KeyRole.APPROVER,
    audience=BRIDGE,
    signatures_max=2 * APPROVERS,
)

_DECIDED: Final = allow(
    cases_pb2.CaseResolution,
    cases_pb2.AliasDecision,
    senders=AUTHORITIES,
    role=KeyRole.APPROVER,
    audience=BRIDGE,
    signatures_max=2 * APPROVERS,
)
CLAWBACK_TYPE: Final = payload_type_of(clawbacks_pb2.ClawbackOrder)
_CLAWBACK: Final = allow(
    clawbacks_pb2.ClawbackOrder, senders=AUTHORITIES, role=KeyRole.APPROVER, signatures_max=APPROVERS
)
RESOLUTION_TYPE: Final = payload_type_of(cases_pb2.CaseResolution)
ALIAS_TYPE: Final = payload_type_of(cases_pb2.AliasDecision)
Order = (
    messages_pb2.Freeze
    | messages_pb2.Correction
    | cases_pb2.CaseResolution
    | cases_pb2.AliasDecision
    | clawbacks_pb2.ClawbackOrder
    | messages_pb2.WitnessGroupRecord
)
"""What approvers sign, from hand to hand."""


def open_freeze(
    envelope: envelope_pb2.Envelope,
    network_id: str,
    directory: KeyDirectory,
    *,
    at_index: int,
    audience: str = BRIDGE,
) -> Opened:
    """Open a Freeze that two approvers of the sending authority have signed.

    `audience` is the bridge, or the region whose node alone it binds.

    Raises:
        DomainError: what `Verifier.open_envelope` raises; APPROVERS_MISSING where a signature is missing, is
            of another authority, or both are of one hand.
    """
    opened = Verifier(network_id, audience).open_envelope(
        envelope, directory, allowed=_FREEZE, peer=None, at_index=at_index
    )
    sender = opened.header.sender
    require_signers(opened, (sender,) * APPROVERS, KeyRole.APPROVER)
    return opened


def open_freeze_alone(
    envelope: envelope_pb2.Envelope, network_id: str, directory: KeyDirectory, *, at_index: int
) -> Opened:
    """Open a Freeze that the bridge made alone, on evidence; it never lifts anything (row 10).

    Raises:
        DomainError: what `Verifier.open_envelope` raises; APPROVERS_MISSING for an unfreezing.
    """
    opened = Verifier(network_id, BRIDGE).open_envelope(
        envelope, directory, allowed=_FREEZE_ALONE, peer=None, at_index=at_index
    )
    if opened.message.unfreeze or not opened.message.order_id:
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=0, missing=[BRIDGE])
    return opened


def open_clawback(
    envelope: envelope_pb2.Envelope,
    network_id: str,
    directory: KeyDirectory,
    *,
    at_index: int,
    audience: str,
) -> Opened:
    """Open a ClawbackOrder that two approvers of the sending authority have signed for their region's node.

    Raises:
        DomainError: what `Verifier.open_envelope` raises; APPROVERS_MISSING where a signature is missing, is
            of another authority, or both are of one hand.
    """
    opened = Verifier(network_id, audience).open_envelope(
        envelope, directory, allowed=_CLAWBACK, peer=None, at_index=at_index
    )
    require_signers(opened, (opened.header.sender,) * APPROVERS, KeyRole.APPROVER)
    return opened


def open_correction(
    envelope: envelope_pb2.Envelope, network_id: str, directory: KeyDirectory, *, at_index: int
) -> Opened:
    """Open a Correction that two approvers of each of its two regions' authorities have signed.

    Raises:
        DomainError: what `Verifier.open_envelope` raises, FIELD_INVALID, APPROVERS_MISSING.
    """
    opened = Verifier(network_id, BRIDGE).open_envelope(
        envelope, directory, allowed=_CORRECTION, peer=None, at_index=at_index
    )
    correction = opened.message
    owners = []
    for field, region in (("from_region", correction.from_region), ("to_region", correction.to_region)):
        if not region.startswith(REGION):
            raise DomainError("FIELD_INVALID", field=field, detail=region[:TEXT_SHOWN_MAX])
        owners.append(f"authority/{region.removeprefix(REGION)}")
    require_signers(opened, [owner for owner in owners for _ in range(APPROVERS)], KeyRole.APPROVER)
    return opened


def open_decision(
    envelope: envelope_pb2.Envelope, network_id: str, directory: KeyDirectory, *, at_index: int
) -> tuple[Opened, tuple[str, ...]]:
    """Open a CaseResolution or AliasDecision that approvers of two bodies have signed, and name the bodies.

    Raises:
        DomainError: what `Verifier.open_envelope` raises; APPROVERS_MISSING where all are of one body.
    """
    opened = Verifier(network_id, BRIDGE).open_envelope(
        envelope, directory, allowed=_DECIDED, peer=None, at_index=at_index
    )
    bodies = tuple(sorted({one.owner for one in opened.signed_by if one.role == KeyRole.APPROVER}))
    if len(bodies) < APPROVERS:
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=len(bodies), missing=[])
    return opened, bodies


REGION: Final = "region/"
TEXT_SHOWN_MAX: Final = 64


def prepare(
    order: Order,
    network_id: str,
    authority: str,
    *,
    message_id: bytes,
    key_epoch: int = 1,
    audience: str = BRIDGE,
) -> envelope_pb2.Envelope:
    """Give an order as it will be signed, without any signature yet; `tanqiao approve` adds them.

    Args:
        order: its content; a header that it carries keeps the transfer that it names and is else replaced.
        network_id: network that it is for.
        authority: sender; its approver signs first.
        message_id: 16 random bytes.
        key_epoch: of that approver's key.
        audience: the bridge, or the region whose node alone a freeze binds.
    """
    complete = type(order)()
    complete.CopyFrom(order)  # type: ignore[arg-type]  # of its own class
    complete.header.CopyFrom(
        envelope_pb2.Header(
            network_id=network_id,
            sender=authority,
            audience=(audience,),
            message_id=message_id,
            source=order.header.source,
            transfer_id=order.header.transfer_id,
            key_epoch=key_epoch,
        )
    )
    return envelope_pb2.Envelope(payload=complete.SerializeToString(), payload_type=payload_type_of(complete))
