"""Pairs of references that an office nominates: similarity only opens a case (CLAIMS section 5).

Nothing stops and nothing is joined. The case holds the score, why, and both rows; an alias decision about the
pair, which approvers of two bodies sign, ends it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tanqiao.kernel.record import record
from tanqiao_bridge.application.claim_aliases import AliasBook
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import COLLIDING_SHOWN_MAX, read_stored
from tanqiao_bridge.domain import claim_cases as rules
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.storage import aliases, cases
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.cases import CaseRow, EventRow

DAY_SECONDS: Final = 86_400
NO_LEAF: Final = -1
NOMINATIONS_KEPT_MAX: Final = 10
"""Lines of evidence in the history of a case; each may have 18 kB."""


@record
class NominatedPair:
    """Two references that may mean one asset.

    Args:
        pair: their keys, the lesser first.
        probability_ppm: in millionths.
        explanation: why, in words.
        first_row: of the list of the first key, as JSON; empty: not given.
        second_row: the same of the second.
    """

    pair: tuple[str, str]
    probability_ppm: int
    explanation: str
    first_row: str = ""
    second_row: str = ""


@dataclass(frozen=True, slots=True)
class NominatePairs:
    """What an office nominates."""

    party: str
    pairs: Sequence[NominatedPair]


@record
class Nomination:
    """What became of a pair: the number of its open case, or how it was decided before and no case."""

    case_id: int
    relation: int = 0


def nominate_pairs(group: Group, command: NominatePairs) -> list[Nomination]:
    """Open a case for each pair that nobody has decided and no open case is about, in the same order.

    The same evidence again changes nothing; other evidence is a line in the history of the case, until
    `NOMINATIONS_KEPT_MAX` are kept.
    """
    keys = {key for one in command.pairs for key in one.pair}
    book = AliasBook.load(group.connection, keys)
    decided = {
        (row.first_key, row.second_key): row.relation
        for row in aliases.decisions_about(group.connection, keys)
    }
    found = claim_rows.claims_by_key(group.connection, book.expand(keys))
    rows = claim_rows.load_claims(group.connection, (claim_id for ids in found.values() for claim_id in ids))
    live = {claim_id: row for claim_id, row in rows.items() if read_stored(row).claim.is_live}
    results = []
    for one in command.pairs:
        relation = decided.get(one.pair, 0)
        if not relation and book.root(one.pair[0]) == book.root(one.pair[1]):
            relation = aliases.SAME
        if relation:
            results.append(Nomination(0, relation))
            continue
        ids = sorted(
            {claim_id for key in book.expand(one.pair) for claim_id in found.get(key, ())} & live.keys()
        )
        results.append(Nomination(_open(group, command.party, one, [live[claim_id] for claim_id in ids])))
    return results


def subject_of(pair: tuple[str, str]) -> str:
    """Give the subject of the case about a pair."""
    return " = ".join(pair)


def settle_nominated(group: Group, pair: tuple[str, str], log_index: int, envelope: bytes) -> None:
    """End the open case about a pair that was decided; the decision's leaf ends it."""
    for case_id in cases.open_about(group.connection, CaseKind.CANDIDATE.value, subject_of(pair)):
        cases.set_state(group.connection, case_id, cases.SETTLED)
        cases.add_event(
            group.connection, case_id, EventRow(cases.RESOLVED, "", "", group.now, log_index, envelope)
        )


def _open(group: Group, party: str, one: NominatedPair, claims: Sequence[claim_rows.ClaimRow]) -> int:
    subject, evidence = subject_of(one.pair), _evidence(one)
    for case_id in cases.open_about(group.connection, CaseKind.CANDIDATE.value, subject):
        told = [event.document for event in cases.events_of(group.connection, case_id)]
        if evidence not in told and len(told) < NOMINATIONS_KEPT_MAX:
            event = EventRow("nominated again", party, evidence, group.now, NO_LEAF, b"")
            cases.add_event(group.connection, case_id, event)
        return case_id
    case_id = cases.insert_case(
        group.connection,
        CaseRow(
            0,
            CaseKind.CANDIDATE.value,
            cases.OPEN,
            subject,
            blocking=False,
            details=evidence,
            opened_at=group.now,
            # Of a pair that no claim of the index is about the national authority decides.
            body=rules.body_of((row.region for row in claims), meets_outside=not claims),
            deadline_at=group.now + rules.CASE_DAYS * DAY_SECONDS,
            matrix_version="",
            article="",
            claim_ids=tuple(row.claim_id for row in claims[:COLLIDING_SHOWN_MAX]),
        ),
    )
    cases.add_event(
        group.connection, case_id, EventRow("nominated", party, evidence, group.now, NO_LEAF, b"")
    )
    return case_id


def _evidence(one: NominatedPair) -> str:
    first, second = one.pair
    told: dict[str, Any] = {
        "probability": one.probability_ppm / 1_000_000,
        "explanation": one.explanation,
        "first": {"reference": first, "row": json.loads(one.first_row or "null")},
        "second": {"reference": second, "row": json.loads(one.second_row or "null")},
    }
    return json.dumps(told, ensure_ascii=False, sort_keys=True)
