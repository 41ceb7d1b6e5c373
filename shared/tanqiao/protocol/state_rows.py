"""Shape of a row of a state table, and the words that rows share; the tables are in `tables`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NONE: Final = "–"
"""The party keeps nothing of this transfer."""
SAME: Final = "="
"""The state does not change."""

SOURCE: Final = "Source"
DESTINATION: Final = "Destination"
NOTARY: Final = "Notary"
ISSUER: Final = "Issuer"
REGISTRAR: Final = "Registrar"

STATES: Final[dict[str, tuple[str, ...]]] = {
    SOURCE: (NONE, "LOCKED", "RETIRING", "MOVED", "RELEASED", "USED", "CANCELLED"),
    DESTINATION: (NONE, "READY", "REFUSED", "CREDITED", "DROPPED"),
    NOTARY: (NONE, "OPEN", "COMMITTED", "ABORTED", "CLOSED"),
    ISSUER: (NONE, "ISSUING", "HELD", "REFUSED"),
    REGISTRAR: (NONE, "ACCEPTED", "REFUSED"),
}
TITLES: Final[dict[str, str]] = {
    SOURCE: "Source region: a transfer or a Use",
    DESTINATION: "Destination region: a transfer",
    NOTARY: "Bridge: a transfer or a Use",
    ISSUER: "Issuing region: an issuance",
    REGISTRAR: "Bridge: an issuance",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a state table.

    Attributes:
        machine: whose table.
        states: the states in which it holds.
        event: what happens.
        guard: under which condition, in words that name it; empty: always.
        next_state: state afterwards, or `SAME`.
        effects: class names of `tanqiao.protocol.effects`, in order.
        reference: the rule or row of the protocol that asks for it.
    """

    machine: str
    states: tuple[str, ...]
    event: str
    guard: str
    next_state: str
    effects: tuple[str, ...]
    reference: str


VOID: Final = ("StoreEvidence", "SendNack", "OpenCase")
STORED: Final = ("SendStored",)
NACK: Final = ("SendNack",)
DECIDE: Final = ("Decide",)
FROZEN_EVIDENCE: Final = ("StoreEvidence", "FreezePair", "SendNack", "OpenCase")
FROZEN_SENDER: Final = ("StoreEvidence", "FreezeSender", "SendNack", "OpenCase")
IGNORE: Final = ("Ignore",)
