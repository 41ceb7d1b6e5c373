"""Carries out what the core asks for at a contradiction: evidence, a freeze, a case (R4, row 10)."""

from __future__ import annotations

from tanqiao.protocol.effects import FreezePair, FreezeSender, OpenCase, StoreEvidence
from tanqiao.protocol.types import TransferKey
from tanqiao_bridge.application import evidence, freezes
from tanqiao_bridge.application.commands import Material
from tanqiao_bridge.application.context import Group


def carry_out(
    group: Group,
    effect: StoreEvidence | FreezePair | FreezeSender | OpenCase,
    party: str,
    key: TransferKey,
    material: Material | None,
) -> None:
    """Carry out one effect of a contradiction; the freeze names the evidence that was stored before it."""
    match effect:
        case StoreEvidence(kind=kind, hashes=hashes):
            evidence.keep(group, kind, party, key, hashes, material)
            group.evidence_hashes = hashes
            group.evidence_kind = kind.value
        case FreezePair(first=first, second=second):
            _freeze(group, first, second, key)
        case FreezeSender(party=sender):
            _freeze(group, sender, "", key)
        case OpenCase(kind=kind):
            evidence.open_case(group, kind, party, key)


def _freeze(group: Group, region: str, other_region: str, key: TransferKey) -> None:
    freezes.freeze_parties(
        group, region, other_region, reason=group.evidence_kind, hashes=group.evidence_hashes, key=key
    )
