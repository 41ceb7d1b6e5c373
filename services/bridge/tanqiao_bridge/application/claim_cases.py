"""Cases about claims: opened where a person must look, contested by regions, resolved by two bodies.

A resolution is a leaf; it holds for the claims that the case names, for its article and for its version of
the matrix. What it does to a claim is written in the same transaction, with a receipt of the claim's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import cases_pb2, claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.model import Claim, Programme
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.signing.verify import Opened
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.claim_aliases import lock_claims
from tanqiao_bridge.application.claim_facts import ReadClaim, with_index
from tanqiao_bridge.application.claim_notices import Resolved, tell_moved, tell_resolved
from tanqiao_bridge.application.claim_receipts import move_by_bridge
from tanqiao_bridge.application.commands import Answer
from tanqiao_bridge.application.context import Group
from tanqiao_bridge.application.judging import (
    COLLIDING_SHOWN_MAX,
    Index,
    Judged,
    is_refused,
    judge_claim,
    read_stored,
    refusal_of,
)
from tanqiao_bridge.application.records import answered_before, note_answer
from tanqiao_bridge.application.registry_answers import Answers
from tanqiao_bridge.application.registry_ordering import release_frozen, require_released
from tanqiao_bridge.application.verdicts import Verdicts
from tanqiao_bridge.domain import claim_cases as rules
from tanqiao_bridge.domain.claim_cases import CaseKind
from tanqiao_bridge.storage import cases, log
from tanqiao_bridge.storage import claims as claim_rows
from tanqiao_bridge.storage.cases import CaseRow, EventRow

LEAF_KIND: Final = "case_resolution"
APPROVERS: Final = 2
DAY_SECONDS: Final = 86_400
NO_LEAF: Final = -1
_OUTSIDE: Final = frozenset(
    {
        Programme.CCER,
        Programme.GEC,
        Programme.GREEN_POWER,
        Programme.VCS,
        Programme.GS,
        Programme.CDM,
    }
)
_STATES: Final = {
    cases_pb2.RESOLUTION_ALLOW: cases.ALLOWED,
    cases_pb2.RESOLUTION_BLOCK: cases.BLOCKED,
    cases_pb2.RESOLUTION_SPLIT: cases.SPLIT,
}
_BARRED_AS: Final = {
    claims_pb2.CLAIM_STATUS_DECLARED: claims_pb2.CLAIM_STATUS_REJECTED,
    claims_pb2.CLAIM_STATUS_NOTICE: claims_pb2.CLAIM_STATUS_REJECTED,
    claims_pb2.CLAIM_STATUS_REGISTERED: claims_pb2.CLAIM_STATUS_CANCELLED,
}
"""What a claim becomes that a resolution bars; units that exist stay, and may not move."""


# -- opening ------------------------------------------------------------------------------------------------


def open_hold(group: Group, read: ReadClaim, judged: Judged) -> int:
    """Open the case of a claim that was stored on HOLD."""
    return open_about(group, CaseKind.HOLD, read, judged)


def open_about(group: Group, kind: CaseKind, read: ReadClaim, judged: Judged) -> int:
    """Open a case about a claim and those that its verdict names, unless one is open; its number."""
    verdict = judged.verdict
    named = [judged.named[claim_id] for claim_id in verdict.colliding_claims if claim_id in judged.named]
    claim_ids = (read.claim.claim_id, *verdict.colliding_claims[:COLLIDING_SHOWN_MAX])
    silent = [registry.value for registry in verdict.silent_registries]
    details = {"level": verdict.level.value if verdict.level is not None else "", "silent": silent}
    return _open(
        group,
        CaseRow(
            0,
            kind.value,
            cases.OPEN,
            _subject(kind, claim_ids),
            blocking=False,
            details=json.dumps(details, ensure_ascii=False),
            opened_at=group.now,
            body=rules.body_of(
                (read.message.region, *map(_region_of, named)),
                meets_outside=any(claim.programme in _OUTSIDE for claim in named),
                silent=() if named else silent,
            ),
            deadline_at=group.now + rules.CASE_DAYS * DAY_SECONDS,
            matrix_version=verdict.matrix_version,
            article=verdict.article,
            claim_ids=claim_ids,
        ),
        EventRow("opened", read.message.region, "", group.now, NO_LEAF, b""),
    )


def open_coordination(group: Group, claim_id: str, registry: str, details: str) -> int:
    """Open the case of an order that another registry refused or did only in part; its number.

    The registry has answered, so the body that must act is the national authority: it settles with both
    registries what becomes of the project (CLAIMS sections 3 and 4).
    """
    row = CaseRow(
        0,
        CaseKind.COORDINATION.value,
        cases.OPEN,
        claim_id,
        blocking=False,
        details=details,
        opened_at=group.now,
        body=rules.body_of((), meets_outside=True),
        deadline_at=group.now + rules.CASE_DAYS * DAY_SECONDS,
        matrix_version="",
        article="",
        claim_ids=(claim_id,),
    )
    return _open(group, row, EventRow("opened", registry, "", group.now, NO_LEAF, b""))


def _region_of(claim: Claim) -> str:
    return f"region/{claim.region_code}" if claim.region_code else ""


def _subject(kind: CaseKind, claim_ids: Sequence[str]) -> str:
    """Two claims that collide are one case, whichever of them is looked at."""
    return ", ".join(sorted(claim_ids)) if kind is CaseKind.ALIAS else claim_ids[0]


def _open(group: Group, row: CaseRow, event: EventRow) -> int:
    for known in cases.cases_of_claims(group.connection, row.claim_ids[:1]):
        if (known.kind, known.subject, known.state) == (row.kind, row.subject, cases.OPEN):
            cases.add_event(group.connection, known.case_id, replace(event, what=_again(event.what)))
            return known.case_id
    case_id = cases.insert_case(group.connection, row)
    cases.add_event(group.connection, case_id, event)
    return case_id


def _again(what: str) -> str:
    return "seen again" if what == "opened" else what


def contested(connection: sa.Connection, claim_ids: Iterable[str]) -> dict[str, int]:
    """Give the claims of these that an open case stops whatever their verdict, with its number."""
    wanted = set(claim_ids)
    return {
        case.claim_ids[0]: case.case_id
        for case in cases.cases_of_claims(connection, wanted)
        if case.state == cases.OPEN and case.kind in rules.STOPS_THE_CLAIM and case.claim_ids[0] in wanted
    }


def require_uncontested(connection: sa.Connection, claim_id: str) -> None:
    """Refuse with CLAIM_HOLD while a contest of the claim is open."""
    refusal = contest_refusal(contested(connection, [claim_id]).get(claim_id))
    if refusal is not None:
        raise refusal


def contest_refusal(case_id: int | None) -> DomainError | None:
    """Give the reason for a claim that a case stops."""
    return None if case_id is None else DomainError("CLAIM_HOLD", cases=f"case {case_id}")


# -- contesting ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContestClaim:
    """A verified ContestStatement of a region."""

    region: str
    opened: Opened
    statement: cases_pb2.ContestStatement
    envelope: envelope_pb2.Envelope


def contest_claim(group: Group, command: ContestClaim) -> int:
    """Open a case about a declared claim, or about an objection; the same statement again gets the same case.

    Any region may contest a claim that is DECLARED. While its notice runs, objections are made to its own
    region, and that one brings them: the claim is not registered before they are resolved.

    Raises:
        DomainError: CLAIM_UNKNOWN, CLAIM_STATE_WRONG.
    """
    claim_id = command.statement.claim_id
    for case in cases.cases_of_claims(group.connection, [claim_id]):
        for event in cases.events_of(group.connection, case.case_id):
            if event.envelope and _payload(event) == command.opened.payload:
                return case.case_id
    row = claim_rows.load_claims(group.connection, [claim_id]).get(claim_id)
    if row is None:
        raise DomainError("CLAIM_UNKNOWN", claim_id=claim_id)
    objected = row.status == claims_pb2.CLAIM_STATUS_NOTICE and command.region == row.region
    if row.status != claims_pb2.CLAIM_STATUS_DECLARED and not objected:
        raise DomainError(
            "CLAIM_STATE_WRONG",
            claim_id=claim_id,
            state=claims_pb2.ClaimStatus.Name(row.status),  # type: ignore[arg-type]  # the table's numbers
            needed=claims_pb2.ClaimStatus.Name(claims_pb2.CLAIM_STATUS_DECLARED),
        )
    regions = (row.region, command.region)
    case = CaseRow(
        0,
        (CaseKind.OBJECTION if objected else CaseKind.CONTEST).value,
        cases.OPEN,
        claim_id,
        blocking=False,
        details=json.dumps({"reason": command.statement.reason}, ensure_ascii=False),
        opened_at=group.now,
        body=rules.body_of(regions, meets_outside=False),
        deadline_at=group.now + rules.CASE_DAYS * DAY_SECONDS,
        matrix_version="",
        article="",
        claim_ids=(claim_id,),
    )
    event = EventRow(
        "objected" if objected else "contested",
        command.region,
        command.statement.document,
        group.now,
        NO_LEAF,
        command.envelope.SerializeToString(),
    )
    return _open(group, case, event)


def _payload(event: EventRow) -> bytes:
    return envelope_pb2.Envelope.FromString(event.envelope).payload


# -- resolving ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResolveCase:
    """A CaseResolution that approvers signed, verified, and what the gateways say of its claim."""

    resolution: cases_pb2.CaseResolution
    envelope: envelope_pb2.Envelope
    message_hash: bytes
    signers: tuple[str, ...]
    signer_key_ids: tuple[bytes, ...]
    request: ClientRequest
    answers: Answers
    asked: frozenset[str] = frozenset()


def resolve_case(group: Group, command: ResolveCase) -> Answer:
    """End a case as two bodies have signed.

    Raises:
        DomainError: CASE_UNKNOWN, CASE_CLOSED, APPROVERS_MISSING, FIELD_INVALID, CONCURRENT_CHANGE; for a
            claim that is to stand again, the reason of its verdict, or EXTERNAL_REGISTRY_SILENT while it is
            not decided whether what was frozen for it is released.
    """
    answer = Answer()
    if answered_before(group, command.request, answer):
        return answer
    case = _open_case(group, command, answer)
    if case is None:
        note_answer(group, command.request, answer)
        return answer
    resolution = command.resolution.resolution
    # Everything that may refuse comes before the first row that is written.
    revived = _revived(group, command, case) if resolution == cases_pb2.RESOLUTION_ALLOW else None
    barred = _barred(group, command, case) if resolution == cases_pb2.RESOLUTION_BLOCK else []
    answer.log_index = _record(group, command, case)
    cases.set_state(group.connection, case.case_id, _STATES[resolution])
    resolved = Resolved(command.resolution, command.envelope, answer.log_index)
    reason = f"case {case.case_id}"
    moved = [] if revived is None else [_revive(group, revived, reason, resolved)]
    for status, after in _BARRED_AS.items():
        made, receipts = move_by_bridge(group, [row for row in barred if row.status == status], after, reason)
        tell_moved(group, made, receipts, resolved)
        for one in made:
            release_frozen(group, one.claim_id, one.receipt_hash, one.log_index)
        moved += [one.claim_id for one in made]
    for row in barred:
        if row.status == claims_pb2.CLAIM_STATUS_ISSUED:
            _stop_units(group, case, row)
    named = claim_rows.load_claims(group.connection, case.claim_ids)
    tell_resolved(group, (named[claim_id] for claim_id in sorted(named)), moved, resolved)
    note_answer(group, command.request, answer)
    return answer


def _open_case(group: Group, command: ResolveCase, answer: Answer) -> CaseRow | None:
    """Give the case if it is open; None for a resolution that was taken before, whose index is the answer."""
    case_id = command.resolution.case_id
    case = cases.load_case(group.connection, case_id)
    if case is None:
        raise DomainError("CASE_UNKNOWN", case_id=case_id)
    if case.kind not in rules.CLAIM_CASES:
        raise DomainError("FIELD_INVALID", field="case_id", detail="a case of units: a correction ends it")
    if case.kind == CaseKind.CANDIDATE.value:
        raise DomainError(
            "FIELD_INVALID", field="case_id", detail="a nominated pair: an alias decision ends it"
        )
    if case.state != cases.OPEN:
        for event in cases.events_of(group.connection, case_id):
            if event.envelope and _payload(event) == command.envelope.payload:
                answer.log_index = event.log_index
                return None
        raise DomainError("CASE_CLOSED", case_id=case_id, state=case.state)
    if not rules.decided_by_two_bodies(case.body, command.signers):
        deciding = rules.deciding_authority(case.body)
        have = len(set(command.signers))
        missing = [] if deciding in command.signers else [deciding]
        raise DomainError("APPROVERS_MISSING", needed=APPROVERS, have=have, missing=missing)
    return case


def _revived(group: Group, command: ResolveCase, case: CaseRow) -> Judged | None:
    """Give the claim that stands again, judged as if it were declared now, with the resolution."""
    if case.kind != CaseKind.HOLD.value:
        return None
    row = claim_rows.load_claims(group.connection, case.claim_ids[:1]).get(case.claim_ids[0])
    if row is None or row.status != claims_pb2.CLAIM_STATUS_REJECTED:
        return None
    declared = replace(row, status=int(claims_pb2.CLAIM_STATUS_DECLARED))
    read = with_index(read_stored(declared), log.log_size(group.connection))
    aliases = lock_claims(group.connection, [read], command.asked)
    require_released(group, row)
    index = Index.load(group.connection, [read], aliases, resolved=True).for_answers(command.answers)
    index.resolutions.setdefault(row.claim_id, []).append(case)
    judged = judge_claim(read, index, command.answers, 0, decided_on=date.fromisoformat(group.legal_date))
    refusal = refusal_of(judged) if is_refused(judged.verdict) else None
    if refusal is not None:
        raise refusal
    return judged


def _revive(group: Group, judged: Judged, reason: str, resolved: Resolved) -> str:
    """Let a claim stand again: its place in the queue is that of its new receipt, its lease begins anew.

    The receipt shows the verdict: what other registries must do first is asked for as of any other claim.
    """
    claim_id = judged.read.claim_id
    row = claim_rows.load_claims(group.connection, [claim_id])[claim_id]
    verdicts = Verdicts.of(group.context, log.log_size(group.connection), judged.answers, 1)
    verdict = verdicts.payload(row.region, judged.read, judged)
    (made,), receipts = move_by_bridge(group, [row], claims_pb2.CLAIM_STATUS_DECLARED, reason, verdict)
    tell_moved(group, [made], receipts, resolved)
    lease = group.context.claim_lease_seconds
    lapses_at = group.now - group.context.down_seconds + lease if lease else 0
    claim_rows.set_place(group.connection, claim_id, made.log_index, lapses_at)
    return claim_id


def _barred(group: Group, command: ResolveCase, case: CaseRow) -> list[claim_rows.ClaimRow]:
    wanted = list(command.resolution.claim_ids) or list(case.claim_ids[:1])
    for claim_id in wanted:
        if claim_id not in case.claim_ids:
            raise DomainError("FIELD_INVALID", field="claim_ids", detail="not a claim of the case")
    found = claim_rows.load_claims(group.connection, wanted)
    for claim_id in wanted:
        if claim_id not in found:
            raise DomainError("FIELD_INVALID", field="claim_ids", detail="a claim of another registry")
    return [found[claim_id] for claim_id in sorted(found)]


def _stop_units(group: Group, case: CaseRow, row: claim_rows.ClaimRow) -> None:
    """Let the units of a barred claim neither move nor be used until a case of their own is resolved."""
    for series_id in claim_rows.series_of(group.connection, row.claim_id):
        units = replace(
            case,
            kind=CaseKind.UNITS.value,
            subject=series_id,
            blocking=True,
            details=json.dumps({"case": case.case_id}),
            opened_at=group.now,
            deadline_at=group.now + rules.CASE_DAYS * DAY_SECONDS,
            claim_ids=(row.claim_id,),
        )
        _open(group, units, EventRow("opened", f"case {case.case_id}", "", group.now, NO_LEAF, b""))


def _record(group: Group, command: ResolveCase, case: CaseRow) -> int:
    """Write the leaf and the line of the case's history; the log index."""
    resolution = command.resolution
    leaf = make_leaf(
        LEAF_KIND,
        message_hashes=[command.message_hash],
        signer_key_ids=list(command.signer_key_ids),
        public={
            "case_id": str(case.case_id).encode(),
            "claims": "\n".join(case.claim_ids).encode(),
            "matrix_version": case.matrix_version.encode(),
            "resolution": _STATES[resolution.resolution].encode(),
        },
    )
    announced = group.announced(LEAF_KIND)
    log_index = log.append_leaves(group.connection, [leaf], recorded_at=group.now, announced=announced)
    group.keep_record(command.envelope, command.message_hash, resolution.header.sender)
    cases.add_event(
        group.connection,
        case.case_id,
        EventRow(
            cases.RESOLVED,
            " + ".join(sorted(set(command.signers)))[:96],
            resolution.document,
            group.now,
            log_index,
            command.envelope.SerializeToString(),
        ),
    )
    return log_index


# -- judging again ------------------------------------------------------------------------------------------


def judge_again(
    group: Group,
    rows: Sequence[claim_rows.ClaimRow],
    kind: CaseKind,
    asked: Sequence[str] = (),
    answers: Answers | None = None,
) -> list[int]:
    """Judge live claims again and open a case for each that could not stand now; nothing is withdrawn.

    Args:
        group: the transaction.
        rows: claims of the index; those that are not live are left out.
        kind: of the cases that are opened.
        asked: ids of the claims that the gateways were asked about, in the order of the answers.
        answers: what they said; None: they were not asked.

    Returns:
        Numbers of the cases, one for each set of claims.
    """
    reads = [read for read in map(read_stored, rows) if read.claim.is_live]
    index = Index.load(group.connection, reads, resolved=True)
    places = {claim_id: position for position, claim_id in enumerate(asked)}
    decided_on = date.fromisoformat(group.legal_date)
    found: dict[int, None] = {}
    for read in reads:
        position = places.get(read.claim.claim_id)
        said = answers if answers is not None and position is not None else Answers()
        judged = judge_claim(read, index, said, position or 0, decided_on=decided_on)
        if is_refused(judged.verdict):
            found[open_about(group, kind, read, judged)] = None
    return list(found)
