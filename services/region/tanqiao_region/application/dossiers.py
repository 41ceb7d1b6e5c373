"""Dossiers: applications to the registers that hold no units, step by step (RULES section 6).

The pack's state machine keeps order, its rules decide, `dossier_acts` says what an event means. Every step
stands in the dossier's history and in the journal. A decision that two bodies take together both sign with
keys of their own, and one takes: both stand over the digest of the dossier's version, the event, the evidence
and the pack, so that a changed file voids the first signature (RULES section 7.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from tanqiao.api.region.v1 import dossiers_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.rpc.validation import optional_text, require_count, require_text, wire_date
from tanqiao.signing.body_decisions import DOSSIER
from tanqiao_region.application import body_decisions, journal
from tanqiao_region.application.access import require_acting_for
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.dossier_acts import (
    KINDS_OF_DOSSIER,
    METHODOLOGY,
    PUBLISH_METHODOLOGY,
    Event,
    KindOfDossier,
    Taking,
    perform_duty,
    publish_methodology,
)
from tanqiao_region.application.experts import give_share
from tanqiao_region.application.group import Group
from tanqiao_region.application.methodologies import Methodologies
from tanqiao_region.application.register_checks import (
    DOCUMENTS_MAX,
    OPINION_LENGTH_MAX,
    clean_documents,
    once,
    require_id,
    require_owner,
)
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.lifecycles import BEFORE, Lifecycle, Transition
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import dossiers as store
from tanqiao_region.storage.dossiers import DossierRow

WORDS_MAX: Final = 64
"""Most authors, parts or missing documents."""
WORD_LENGTH_MAX: Final = 64
STEPS_MAX: Final = 1000
"""Most steps of a dossier: reviews return every year, nothing returns for ever."""
PUBLIC_STATES: Final = (
    "PUBLISHED",
    "SUPERSEDED",
    "STOPPED",
    "REVISION_REQUESTED",
    "UNDER_REVIEW",
    "ON_PLATFORM",
    "SUSPENDED",
    "DELABELLED",
    "ACTIVE",
    "ENDED",
    "REGISTERED",
    "ADMITTED",
    "LEFT",
    "QUALIFIED",
)
"""States from publication on: what anybody may see. A file on its way is its applicant's and the offices'."""


class Dossiers:
    """Opens dossiers, takes their steps, notes signatures and shares.

    Args:
        submit: the node's writer.
        methodologies: the register that a published methodology enters.
    """

    def __init__(self, submit: Submit, methodologies: Methodologies) -> None:
        self._submit = submit
        self._methodologies = methodologies

    def open(self, ask: Ask, request: dossiers_pb2.OpenDossierRequest) -> dossiers_pb2.OpenDossierResponse:
        """Open a dossier by the first event of its kind's machine."""

        def decide(group: Group) -> dossiers_pb2.OpenDossierResponse:
            return dossiers_pb2.OpenDossierResponse(dossier=self._open(group, ask, request.dossier))

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return dossiers_pb2.OpenDossierResponse.FromString(kept)

    def take_step(self, ask: Ask, request: dossiers_pb2.TakeStepRequest) -> dossiers_pb2.TakeStepResponse:
        """Take a step, in one transaction with everything that follows from it."""

        def decide(group: Group) -> dossiers_pb2.TakeStepResponse:
            return dossiers_pb2.TakeStepResponse(dossier=self._take(group, ask.by, request))

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return dossiers_pb2.TakeStepResponse.FromString(kept)

    def sign_step(self, ask: Ask, request: dossiers_pb2.SignStepRequest) -> dossiers_pb2.SignStepResponse:
        """Keep the signatures under a decision that the caller may take; or give what is to be signed."""
        kept = self._submit(lambda group: once(group, ask, lambda: self._sign(group, ask.by, request)))
        return dossiers_pb2.SignStepResponse.FromString(kept)

    def give_share(
        self, ask: Ask, request: dossiers_pb2.GiveSeedShareRequest
    ) -> dossiers_pb2.GiveSeedShareResponse:
        """Note a commitment to a share of the seed, or the share."""
        kept = self._submit(lambda group: once(group, ask, lambda: _give_share(group, ask.by, request)))
        return dossiers_pb2.GiveSeedShareResponse.FromString(kept)

    # -- one transaction each

    def _open(self, group: Group, ask: Ask, given: dossiers_pb2.Dossier) -> dossiers_pb2.Dossier:
        kind, machine = require_kind(group.pack, int(given.kind))
        message = _clean_dossier(given)
        if store.load_dossier(group.connection, message.kind, message.dossier_id) is not None:
            raise DomainError(
                "ALREADY_EXISTS", field="dossier.dossier_id", what=kind.machine, id=message.dossier_id
            )
        edge = next(one for one in machine.transitions if one.state == BEFORE)
        if message.account_id:
            account = require_owner(group, message.account_id, "dossier.account_id")
            require_acting_for(group, ask.by, edge.event, account)
        row = DossierRow(message, ask.by.party, 0)
        taking = Taking(group, row, ask.by, edge.event, dossiers_pb2.StepEvidence(), "", ())
        verdict = self._perform(taking, kind.events[edge.event])
        store.insert_dossier(group.connection, _moved(taking, edge, verdict))
        _note_step(taking, edge, verdict)
        return message

    def _take(self, group: Group, by: By, request: dossiers_pb2.TakeStepRequest) -> dossiers_pb2.Dossier:
        taking, edge, event = _begin(group, by, request)
        verdict = self._perform(taking, event)
        store.update_dossier(group.connection, _moved(taking, edge, verdict))
        _note_step(taking, edge, verdict)
        return taking.message

    def _sign(
        self, group: Group, by: By, request: dossiers_pb2.SignStepRequest
    ) -> dossiers_pb2.SignStepResponse:
        clean = dossiers_pb2.SignStepRequest(
            kind=request.kind, dossier_id=request.dossier_id, event=request.event, evidence=request.evidence
        )
        asked = body_decisions.Asked(DOSSIER, request.dossier_id, clean)
        taking, _, event = _begin(group, by, request)
        together = sorted({one.act for one in group.pack.data.roles.joint})
        if event.act not in together:
            others = ", ".join(together) or "–"
            detail = f"{taking.event} 由一个机构决定 is decided by one body; together: {others}"
            raise DomainError("FIELD_INVALID", field="event", detail=detail)
        digest = bytes.fromhex(taking.digest)
        try:
            self._perform(taking, event)
        except DomainError as refusal:
            if not waits_for_the_other_alone(refusal):
                raise
        if request.validate_only:
            signatures, to_sign = taking.signatures, body_decisions.unsigned(group, asked, digest)
        else:
            signatures, to_sign = body_decisions.take_statement(group, request.statement, asked, digest), None
        return dossiers_pb2.SignStepResponse(
            decision_digest=digest, signed_by=sorted({one.role for one in signatures}), to_sign=to_sign
        )

    def _perform(self, taking: Taking, event: Event) -> Verdict:
        if event.by_applicant and taking.by.party != taking.row.submitted_by:
            raise DomainError(
                "ROLE_NOT_PERMITTED",
                role=taking.by.role,
                action=taking.event,
                body=taking.row.submitted_by,
            )
        if event.with_reason:
            reason = require_text(taking.evidence.reason, "evidence.reason", length_max=OPINION_LENGTH_MAX)
            taking.message.state_reason = reason
        if taking.message.kind == METHODOLOGY and taking.event == PUBLISH_METHODOLOGY:
            return publish_methodology(taking, self._methodologies)
        if event.perform is None:
            return perform_duty(taking, event)
        return event.perform(taking)


def require_kind(pack: RulePack, kind: int) -> tuple[KindOfDossier, Lifecycle]:
    """Give a kind and its machine; refused where this region's rules have no such register."""
    known = KINDS_OF_DOSSIER.get(kind)
    if known is None:
        raise DomainError("FIELD_MISSING", field="kind")
    machine = pack.data.lifecycles.get(known.machine)
    if machine is None:
        here = sorted(one.machine for one in KINDS_OF_DOSSIER.values() if one.machine in pack.data.lifecycles)
        detail = f"本地区规则没有此类登记 not a register of these rules; wanted: {', '.join(here) or '–'}"
        raise DomainError("FIELD_INVALID", field="kind", detail=detail)
    return known, machine


def require_dossier(group: Group, kind: int, dossier_id: str) -> DossierRow:
    """Give a dossier; NOT_FOUND if there is none."""
    row = store.load_dossier(group.connection, kind, require_id(dossier_id, "dossier_id"))
    if row is None:
        raise DomainError("NOT_FOUND", field="dossier_id", what="dossier", id=dossier_id)
    return row


def _begin(
    group: Group, by: By, request: dossiers_pb2.TakeStepRequest | dossiers_pb2.SignStepRequest
) -> tuple[Taking, Transition, Event]:
    kind, machine = require_kind(group.pack, int(request.kind))
    row = require_dossier(group, int(request.kind), request.dossier_id)
    name = require_text(request.event, "event", length_max=WORD_LENGTH_MAX)
    event = kind.events.get(name)
    if event is None or name not in machine.events:
        wanted = ", ".join(sorted(machine.events))
        raise DomainError("FIELD_INVALID", field="event", detail=f"{name}; wanted: {wanted}")
    edge = machine.step(row.message.state, name, object_id=row.message.dossier_id)
    if row.steps >= STEPS_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="event", limit=STEPS_MAX, count=row.steps + 1)
    evidence = _clean_evidence(request.evidence)
    digest = step_digest(group.pack, row.message, name, evidence)
    # A step of one body has the caller behind it; where two decide, only keys of their own count.
    signatures: tuple[acts.Signature, ...] = (
        acts.Signature(role=by.role, subject_id=by.party, decision_digest=digest),
    )
    if event.act in {one.act for one in group.pack.data.roles.joint}:
        signatures = body_decisions.signatures_over(group, bytes.fromhex(digest))
    _add_documents(row.message, evidence)
    return Taking(group, row, by, name, evidence, digest, signatures), edge, event


def step_digest(
    pack: RulePack, message: dossiers_pb2.Dossier, event: str, evidence: dossiers_pb2.StepEvidence
) -> str:
    """Give SHA-256, hexadecimal, over what both bodies sign; every part is preceded by its length."""
    identity = pack.identity
    parts = (
        b"tanqiao.dossier.v1",
        str(int(message.kind)).encode(),
        message.dossier_id.encode(),
        str(message.version).encode(),
        event.encode(),
        evidence.SerializeToString(deterministic=True),
        identity.pack_id.encode(),
        identity.version.encode(),
        bytes.fromhex(identity.digest),
    )
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


def _moved(taking: Taking, edge: Transition, verdict: Verdict) -> DossierRow:
    message = taking.message
    message.state = edge.to
    message.version += 1
    message.state_date.CopyFrom(wire_date(taking.group.legal_date))
    if not taking.evidence.reason:
        message.ClearField("state_reason")
    message.rule_pack_id, message.rule_pack_version = verdict.pack.pack_id, verdict.pack.version
    return DossierRow(message, taking.row.submitted_by, taking.row.steps + 1)


def _note_step(taking: Taking, edge: Transition, verdict: Verdict) -> None:
    """Write the step into the dossier's history and into the journal."""
    group, message, by = taking.group, taking.message, taking.by
    effects = (journal.Effect(message.account_id),) if message.account_id else ()
    machine = KINDS_OF_DOSSIER[message.kind].machine
    index = group.journal.append(
        journal.DOSSIER_CHANGED,
        f"{machine}:{message.dossier_id}",
        effects,
        applied=journal.Applied.of(verdict),
        details={"event": edge.event, "from": edge.state, "to": edge.to, "role": by.role},
    )
    step = dossiers_pb2.DossierStep(
        step_number=taking.row.steps + 1,
        event=edge.event,
        from_state=edge.state,
        to_state=edge.to,
        role=by.role,
        legal_date=wire_date(group.legal_date),
        reason=taking.evidence.reason,
        rule_ids=verdict.rules_applied,
        signed_by=sorted({one.role for one in taking.signatures}),
        decision_digest=bytes.fromhex(taking.digest),
        journal_index=index,
    )
    evidence = taking.evidence.SerializeToString(deterministic=True)
    store.insert_step(group.connection, taking.row, by.party, step, evidence)


def _give_share(
    group: Group, by: By, request: dossiers_pb2.GiveSeedShareRequest
) -> dossiers_pb2.GiveSeedShareResponse:
    _, machine = require_kind(group.pack, int(request.kind))
    row = require_dossier(group, int(request.kind), request.dossier_id)
    if request.WhichOneof("given") is None:
        raise DomainError("FIELD_MISSING", field="given")
    machine.step(row.message.state, "draw_panel", object_id=row.message.dossier_id)
    if by.party != row.submitted_by:
        group.pack.require_duty(
            acts.Facts(
                on=group.legal_date,
                node_region=group.context.region_code,
                object_region=group.context.region_code,
                actor=acts.Actor(subject_id=by.party, role=by.role),
            ),
            ("AppointPanel",),
        )
    give_share(group, row, by.role, request)
    row.message.version += 1
    store.update_dossier(group.connection, row)
    return dossiers_pb2.GiveSeedShareResponse(dossier=row.message)


def waits_for_the_other_alone(refusal: DomainError) -> bool:
    """Whether the other body's signature is all that is missing.

    A body may sign with the other what it has itself drafted; it may not take the step alone.
    """
    found = {refusal.symbol}
    others = refusal.metadata.get("other_refusals", "")
    found.update(one.rpartition(":")[2] for one in others.split(", ") if one)
    return found <= {"SECOND_SIGNATURE_MISSING", "SELF_APPROVAL_FORBIDDEN"}


# -- what is given


def _clean_dossier(given: dossiers_pb2.Dossier) -> dossiers_pb2.Dossier:
    """Give what an applicant may say; everything else is the node's."""
    return dossiers_pb2.Dossier(
        kind=given.kind,
        dossier_id=require_id(given.dossier_id, "dossier.dossier_id"),
        title=require_text(given.title, "dossier.title"),
        account_id=optional_text(given.account_id, "dossier.account_id", length_max=ACCOUNT_ID_LENGTH_MAX),
        authors=_words(given.authors, "dossier.authors", length_max=256),
        field=optional_text(given.field, "dossier.field", length_max=WORD_LENGTH_MAX),
        documents=clean_documents(given.documents, "dossier.documents"),
        parts=_words(given.parts, "dossier.parts"),
        methodology_kind=given.methodology_kind,
        unit_class=optional_text(given.unit_class, "dossier.unit_class", length_max=8),
        quantification=optional_text(given.quantification, "dossier.quantification", length_max=64),
        invented=given.invented,
    )


def _clean_evidence(given: dossiers_pb2.StepEvidence) -> dossiers_pb2.StepEvidence:
    evidence = dossiers_pb2.StepEvidence()
    evidence.CopyFrom(given)
    clean_documents(given.documents, "evidence.documents")
    optional_text(given.reason, "evidence.reason", length_max=OPINION_LENGTH_MAX)
    _words(given.missing_documents, "evidence.missing_documents")
    _words(given.fields_of_work, "evidence.fields_of_work")
    return evidence


def _words(given: Iterable[str], field: str, *, length_max: int = WORD_LENGTH_MAX) -> list[str]:
    words = list(given)
    require_count(words or [""], field, limit=WORDS_MAX)
    for position, word in enumerate(words):
        require_text(word, f"{field}[{position}]", length_max=length_max)
    return words


def _add_documents(message: dossiers_pb2.Dossier, evidence: dossiers_pb2.StepEvidence) -> None:
    count = len(message.documents) + len(evidence.documents)
    if count > DOCUMENTS_MAX:
        raise DomainError("BATCH_TOO_LARGE", field="evidence.documents", limit=DOCUMENTS_MAX, count=count)
    message.documents.extend(evidence.documents)


# -- reads


class DossierReads:
    """What may be read of dossiers and of the pool.

    Args:
        database: for reading.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def dossier(self, kind: int, dossier_id: str, *, viewer: str | None) -> dossiers_pb2.Dossier:
        """Give a dossier; NOT_FOUND if there is none that the viewer may see (None: an office, sees all)."""
        with self._database.reading() as connection:
            row = store.load_dossier(connection, kind, require_id(dossier_id, "dossier_id"))
        if row is None or not _seen(row, viewer):
            raise DomainError("NOT_FOUND", field="dossier_id", what="dossier", id=dossier_id)
        return row.message

    def dossiers(
        self, kind: int, state: str, after: str, limit: int, *, public: bool
    ) -> list[dossiers_pb2.Dossier]:
        """Give a page of dossiers of a kind; only those of public states for who is no office."""
        states = (state,) if state else (PUBLIC_STATES if public else ())
        if public and state and state not in PUBLIC_STATES:
            return []
        with self._database.reading() as connection:
            return [
                one.message for one in store.list_dossiers(connection, kind, states, after=after, limit=limit)
            ]

    def steps(
        self, kind: int, dossier_id: str, after: int, limit: int, *, viewer: str | None
    ) -> list[dossiers_pb2.DossierStep]:
        """Give a page of a dossier's history; NOT_FOUND as `dossier`."""
        self.dossier(kind, dossier_id, viewer=viewer)
        with self._database.reading() as connection:
            return store.list_steps(connection, kind, dossier_id, after=after, limit=limit)

    def experts(self, after: str, limit: int) -> list[dossiers_pb2.Expert]:
        """Give a page of the pool."""
        with self._database.reading() as connection:
            return store.list_experts(connection, after=after, limit=limit)


def _seen(row: DossierRow, viewer: str | None) -> bool:
    return viewer is None or row.message.state in PUBLIC_STATES or row.submitted_by == viewer
