"""Who calls: read from the certificate on the line, checked against a table, kept for the call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Final

from tanqiao.kernel.errors import DomainError, require
from tanqiao.signing.parties import Party, party_matches

CallerTable = Mapping[str, Collection[str]]
"""Full method name, ``/package.Service/Method`` → patterns of the parties that may call it."""

ANY_PARTY: Final = "**"
"""Pattern of every party of the network that shows a certificate."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The party on the line.

    Args:
        party: its whole name, ``operator/310000/sh.centre``.
        kind: ``region``, ``bridge``, ``gateway``, ``authority``, ``operator``, ``holder``, ``reader``.
        region_code: GB/T 2260 code of the region it belongs to; empty where it belongs to none.
        role: role of the rule pack; empty unless it is an operator or a holder.
        method: method that it calls.
    """

    party: str
    kind: str
    region_code: str
    role: str
    method: str

    @staticmethod
    def of(party: Party, method: str) -> Caller:
        """Give the caller of a method."""
        return Caller(party.path, party.kind, party.region_code, party.role, method)


_CURRENT: ContextVar[Caller | None] = ContextVar("tanqiao_caller", default=None)


def current_caller() -> Caller:
    """Give the caller of the call that this thread serves; outside of one an invariant breaks."""
    caller = _CURRENT.get()
    require(caller is not None, "a caller is asked for outside of a call")
    return caller  # type: ignore[return-value] # required above


def enter_call(caller: Caller) -> Token[Caller | None]:
    """Set the caller of the call that begins; the token undoes it."""
    return _CURRENT.set(caller)


def leave_call(token: Token[Caller | None]) -> None:
    """End what `enter_call` began."""
    _CURRENT.reset(token)


def require_permitted(party: Party, method: str, table: CallerTable) -> Caller:
    """Give the caller if the table lets the party call the method; else CALLER_NOT_PERMITTED."""
    if not any(party_matches(pattern, party.path) for pattern in table.get(method, ())):
        raise DomainError("CALLER_NOT_PERMITTED", caller=party.path, method=method)
    return Caller.of(party, method)
