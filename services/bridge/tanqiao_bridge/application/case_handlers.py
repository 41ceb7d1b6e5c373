"""The writer's handlers of cases, aliases, leases and queries, by the class of their command."""

from __future__ import annotations

from typing import cast

from tanqiao_bridge.application import alias_decisions, claim_cases, nominating
from tanqiao_bridge.application.alias_decisions import DecideAlias
from tanqiao_bridge.application.claim_cases import ContestClaim, ResolveCase
from tanqiao_bridge.application.claim_search import NoteQuery, note_query
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.engine import OtherHandler
from tanqiao_bridge.application.lapsing import LapseClaims, lapse_claims
from tanqiao_bridge.application.nominating import NominatePairs
from tanqiao_bridge.application.overdue import WatchFinals, watch_finals
from tanqiao_bridge.application.retiring import RetireClaims, retire_claims


def case_handlers() -> dict[type, OtherHandler]:
    """Give the handlers of cases, alias decisions, lapses, overdue receipts and noted queries."""

    def contest(group: Group, command: object) -> object:
        return claim_cases.contest_claim(group, cast("ContestClaim", command))

    def resolve(group: Group, command: object) -> object:
        return claim_cases.resolve_case(group, cast("ResolveCase", command))

    def decide(group: Group, command: object) -> object:
        return alias_decisions.decide_alias(group, cast("DecideAlias", command))

    def nominate(group: Group, command: object) -> object:
        return nominating.nominate_pairs(group, cast("NominatePairs", command))

    return {
        ContestClaim: contest,
        NominatePairs: nominate,
        ResolveCase: resolve,
        DecideAlias: decide,
        LapseClaims: lapse_claims,
        WatchFinals: watch_finals,
        RetireClaims: retire_claims,
        NoteQuery: note_query,
    }
