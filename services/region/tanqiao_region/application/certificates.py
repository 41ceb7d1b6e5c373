"""Electronic certificates of carbon neutrality (SZ-26b): asked for, recognised, signed, revoked.

A certificate rests on one retirement that is final, and the same units back one certificate only. The region
signs it with its message key; the envelope goes into a file that is checked offline. It names nobody but an
organisation that agreed. Where a rule pack gives nobody the act, there are no certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import certificates_pb2, dossiers_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.ids import parse_id_hex
from tanqiao.kernel.invariants import require
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.types import Kind, SourceState
from tanqiao.rpc.protocol_facts import block_messages, date_message
from tanqiao.rpc.validation import optional_text, require_text, wire_date
from tanqiao.signing.body_decisions import CERTIFICATE
from tanqiao.signing.envelope import sign_envelope
from tanqiao.signing.pae import message_hash
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.access import OFFICE, offices_of, require_acting_for
from tanqiao_region.application.body_decisions import approval_of, approver_of, keep_approval, named
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_checks import act_facts, once, require_id
from tanqiao_region.application.register_history import note_step
from tanqiao_region.application.rules import lots_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.lifecycles import BEFORE, Transition
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import certificates as store
from tanqiao_region.storage import register_history
from tanqiao_region.storage.certificates import CertificateRow
from tanqiao_region.storage.holdings import load_series
from tanqiao_region.storage.packing import unpack_blocks
from tanqiao_region.storage.reading import RetirementView, list_retirements

REGISTER: Final = "certificate"
PUBLIC_STATES: Final = ("CERTIFIED", "REVOKED")
"""States from the signature on: what anybody may see. A request is its holder's and the offices'."""
EVENTS: Final = ("recognise", "refuse", "sign", "revoke", "withdraw")
WITH_REASON: Final = frozenset({"refuse", "revoke", "withdraw"})
CERTIFICATE_TYPE: Final = payload_type_of(certificates_pb2.NeutralityCertificate)
USE_TYPE: Final = payload_type_of(messages_pb2.Use)
OCCASION_LENGTH_MAX: Final = 200
REASON_LENGTH_MAX: Final = 2000
STANDARD: Final = "certificate.standard"
"""Parameter of a pack, behind its prefix: the document by which neutrality is recognised."""
NOTHING_PERSONAL: Final = Bilingual("个人的证书不记载姓名与事项", "a person's certificate names neither")
ORGANISATIONS_ALONE: Final = Bilingual("只有机构可以具名", "only an organisation can be named")


class Certificates:
    """Takes requests for certificates and their steps, and shows them.

    Args:
        context: the node's own things.
        database: for reading.
        submit: the node's writer.
    """

    def __init__(self, context: RegionContext, database: Database, submit: Submit) -> None:
        self._context = context
        self._database = database
        self._submit = submit

    def request(
        self, ask: Ask, request: certificates_pb2.RequestCertificateRequest
    ) -> certificates_pb2.RequestCertificateResponse:
        """Ask for a certificate over a retirement of the caller's."""

        def decide(group: Group) -> certificates_pb2.RequestCertificateResponse:
            return certificates_pb2.RequestCertificateResponse(certificate=_request(group, ask.by, request))

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return certificates_pb2.RequestCertificateResponse.FromString(kept)

    def take_step(
        self, ask: Ask, request: certificates_pb2.TakeCertificateStepRequest
    ) -> certificates_pb2.TakeCertificateStepResponse:
        """Take a step of the machine; signing makes the envelope in the same transaction."""

        def decide(group: Group) -> certificates_pb2.TakeCertificateStepResponse:
            return certificates_pb2.TakeCertificateStepResponse(
                certificate=_take_step(group, ask.by, request)
            )

        kept = self._submit(lambda group: once(group, ask, lambda: decide(group)))
        return certificates_pb2.TakeCertificateStepResponse.FromString(kept)

    def find(self, number: str, by: By) -> certificates_pb2.Certificate:
        """Give a certificate; NOT_FOUND also for one on its way that is another's."""
        with self._database.reading() as connection:
            row = store.load_certificate(connection, require_id(number, "number"))
        if row is None or not self._may_see(row, by):
            raise _not_found(number)
        return self._shown(row, by)

    def page(self, state: str, by: By, after: str, limit: int) -> list[certificates_pb2.Certificate]:
        """Give a page of certificates; those on their way to offices alone."""
        office = self._is_office(by)
        if state and not office and state not in PUBLIC_STATES:
            return []
        states = (state,) if state else (() if office else PUBLIC_STATES)
        with self._database.reading() as connection:
            rows = store.list_certificates(connection, states, after=after, limit=limit)
        return [self._shown(row, by) for row in rows]

    def steps(self, number: str, by: By, after: int, limit: int) -> list[dossiers_pb2.DossierStep]:
        """Give a page of a certificate's history; NOT_FOUND as `find`."""
        self.find(number, by)
        with self._database.reading() as connection:
            return register_history.list_steps(connection, REGISTER, number, after=after, limit=limit)

    def _is_office(self, by: By) -> bool:
        offices = offices_of(self._context.pack(legal_date(self._context.now())))
        return by.party.startswith(OFFICE) and (offices.keep(by) or offices.look(by))

    def _may_see(self, row: CertificateRow, by: By) -> bool:
        return may_see(row, by, is_office=self._is_office(by))

    def _shown(self, row: CertificateRow, by: By) -> certificates_pb2.Certificate:
        """Leave the account out for who may not see it."""
        shown = certificates_pb2.Certificate()
        shown.CopyFrom(row.message)
        if row.submitted_by != by.party and not self._is_office(by):
            shown.ClearField("account_id")
        return shown


def may_see(row: CertificateRow, by: By, *, is_office: bool) -> bool:
    """Whether a caller may know of a certificate: one on its way is its applicant's and the offices'."""
    return is_office or row.message.state in PUBLIC_STATES or row.submitted_by == by.party


# -- one transaction each


def _request(
    group: Group, by: By, request: certificates_pb2.RequestCertificateRequest
) -> certificates_pb2.Certificate:
    transfer_id = parse_id_hex(request.retirement_id, field="retirement_id")
    occasion = optional_text(request.occasion, "occasion", length_max=OCCASION_LENGTH_MAX)
    view = _retirement(group, transfer_id)
    account = group.load_accounts([view.use.account_id])[view.use.account_id]
    require_acting_for(group, by, acts.RequestCertificate.act(), account)
    verdict = group.pack.require(
        acts.RequestCertificate(**act_facts(group, by), **_basis(group, view, certified_by=""))
    )
    if account.is_personal and (occasion or request.name_beneficiary):
        field = "occasion" if occasion else "name_beneficiary"
        raise DomainError("FIELD_INVALID", field=field, detail=NOTHING_PERSONAL)
    if request.name_beneficiary and not view.beneficiary_name:
        raise DomainError("FIELD_INVALID", field="name_beneficiary", detail=ORGANISATIONS_ALONE)
    edge = group.pack.data.lifecycles[REGISTER].step(BEFORE, "request")
    article = group.pack.article(edge.rule_id)
    number = f"{group.context.region_code}-CN-{group.legal_date.year}-{group.journal.last_index + 1:08d}"
    message = certificates_pb2.Certificate(
        number=number,
        account_id=view.use.account_id,
        retirement_id=transfer_id.hex(),
        purpose=view.purpose,
        blocks=block_messages(unpack_blocks(view.use.blocks)),
        quantity_kg=view.use.quantity_kg,
        occasion=occasion,
        retirement_date=date_message(view.retiring_date),
        article=f"{article.zh} / {article.en}",
    )
    if request.name_beneficiary:
        message.beneficiary_name = view.beneficiary_name
        message.beneficiary_uscc = view.beneficiary_uscc
        message.beneficiary_opening = view.beneficiary_name.encode() + view.beneficiary_salt
    row = CertificateRow(message, transfer_id, by.party, 0, group.journal.last_index + 1)
    return _move(group, by, row, edge, verdict, is_new=True)


def _take_step(
    group: Group, by: By, request: certificates_pb2.TakeCertificateStepRequest
) -> certificates_pb2.Certificate:
    row = store.load_certificate(group.connection, require_id(request.number, "number"))
    if row is None:
        raise _not_found(request.number)
    if request.event not in EVENTS:
        detail = f"{request.event[:32]}; wanted: {', '.join(EVENTS)}"
        raise DomainError("FIELD_INVALID", field="event", detail=detail)
    reason = optional_text(request.reason, "reason", length_max=REASON_LENGTH_MAX)
    if request.event in WITH_REASON:
        require_text(reason, "reason")
    document = optional_text(request.document_reference, "document_reference")
    # Whose step it is, is said before the state in which it is open.
    verdict = _verdict(group, by, row, request, reason, document)
    machine = group.pack.data.lifecycles[REGISTER]
    edge = machine.step(row.message.state, request.event, object_id=row.message.number)
    approval = None
    if request.event == "revoke":
        approval = approval_of(group, by, request, CERTIFICATE, request.number)
    _apply(group, by, row, edge, verdict)
    row.message.state_reason = reason
    if document:
        row.message.document_reference = document
    keep_approval(group, request, approval)
    told = {} if approval is None else {"second": approval.approver, **named(request)}
    return _move(group, by, row, edge, verdict, reason=reason, told=told)


def _verdict(
    group: Group,
    by: By,
    row: CertificateRow,
    request: certificates_pb2.TakeCertificateStepRequest,
    reason: str,
    document: str,
) -> Verdict:
    facts, event = act_facts(group, by), request.event
    number = row.message.number
    if event in ("recognise", "refuse"):
        return group.pack.require(
            acts.RecogniseCertificate(**facts, submitted_by=row.submitted_by, number=number)
        )
    if event == "sign":
        view = _retirement(group, row.transfer_id)
        basis = _basis(group, view, certified_by=number)
        role = row.message.recognised_by_role
        return group.pack.require(acts.SignCertificate(**facts, **basis, recognised_by_role=role))
    if event == "revoke":
        return group.pack.require(
            acts.RevokeCertificate(
                **facts,
                number=number,
                reason=reason,
                document=document,
                second_approver_id=approver_of(request),
            )
        )
    if by.party != row.submitted_by:
        raise DomainError("ROLE_NOT_PERMITTED", role=by.role, action=event, body=row.submitted_by)
    return group.pack.require_duty(acts.Facts(**facts), (acts.RequestCertificate.act(),))


def _apply(group: Group, by: By, row: CertificateRow, edge: Transition, verdict: Verdict) -> None:
    """Write into the certificate what the step leaves there."""
    message, today = row.message, wire_date(group.legal_date)
    prefix = group.pack.identity.pack_id.partition("-")[0]
    if edge.event == "recognise":
        message.recognised_by_role = by.role
        message.standard = group.pack.parameters.on(group.legal_date).text(f"{prefix}.{STANDARD}")
    elif edge.event == "sign":
        message.sign_date.CopyFrom(today)
        _sign(group, row, verdict)
    elif edge.event == "revoke":
        message.revoke_date.CopyFrom(today)


def _sign(group: Group, row: CertificateRow, verdict: Verdict) -> None:
    """Sign the certificate with the key that the region's messages are signed with now."""
    context, message = group.context, row.message
    view = _retirement(group, row.transfer_id)
    decided_at = messages_pb2.Decision.FromString(view.use.decision_payload).log_index
    payload = certificates_pb2.NeutralityCertificate(
        header=context.header(
            (context.party,),
            source=context.party,
            transfer_id=row.transfer_id,
            rules_digest=bytes.fromhex(verdict.pack.digest),
        ),
        number=message.number,
        use_hash=_use_hash(view),
        blocks=message.blocks,
        quantity_kg=message.quantity_kg,
        purpose=message.purpose,
        occasion=message.occasion,
        beneficiary_name=message.beneficiary_name,
        beneficiary_uscc=message.beneficiary_uscc,
        retirement_date=message.retirement_date,
        sign_date=message.sign_date,
        recognised_by=message.recognised_by_role,
        standard=message.standard,
        decision_log_index=decided_at,
        signed_at_index=max(context.known_index, decided_at + 1),
    ).SerializeToString()
    message.envelope.CopyFrom(sign_envelope(context.signer, CERTIFICATE_TYPE, payload))


def _move(
    group: Group,
    by: By,
    row: CertificateRow,
    edge: Transition,
    verdict: Verdict,
    *,
    reason: str = "",
    told: Mapping[str, str] | None = None,
    is_new: bool = False,
) -> certificates_pb2.Certificate:
    message = row.message
    message.state = edge.to
    message.rule_pack_id, message.rule_pack_version = verdict.pack.pack_id, verdict.pack.version
    moved = CertificateRow(message, row.transfer_id, row.submitted_by, row.steps + 1, row.journal_index)
    if is_new:
        store.insert_certificate(group.connection, moved)
    else:
        store.update_certificate(group.connection, moved)
    note_step(
        group,
        journal.CERTIFICATE_CHANGED,
        REGISTER,
        message.number,
        edge,
        by=by,
        verdict=verdict,
        number=moved.steps,
        account_ids=(message.account_id,),
        reason=reason,
        details={"retirement_id": message.retirement_id, **(told or {})},
    )
    return message


# -- what a certificate rests on


def _retirement(group: Group, transfer_id: bytes) -> RetirementView:
    found = list_retirements(
        group.connection,
        account_id="",
        after=b"",
        limit=1,
        transfer_id=transfer_id,
        with_envelopes=True,
    )
    if not found:
        raise DomainError("NOT_FOUND", field="retirement_id", what="retirement", id=transfer_id.hex())
    return found[0]


def _basis(group: Group, view: RetirementView, *, certified_by: str) -> dict[str, Any]:
    """Give what the rules look at: the units, whether they are retired for good, and what they back already.

    Raises:
        DomainError: DECISION_PENDING while the retirement is undecided, UNIT_PENDING while no quorum of
            witnesses has cosigned its decision (R10).
    """
    blocks = unpack_blocks(view.use.blocks)
    _require_final(group, view, blocks)
    is_retired = view.use.state == int(SourceState.USED) and view.use.kind == int(Kind.RETIRE)
    lots = lots_of(blocks, load_series(group.connection, {block.series_id for block in blocks}))
    living = store.live_certificate(group.connection, view.use.transfer_id)
    number = "" if living is None else living.message.number
    return {
        "lots": lots,
        "retired_purposes": (view.purpose if is_retired else "",) * len(lots),
        "used_in_certificates": ("" if number == certified_by else number,) * len(lots),
        "beneficiary_id": view.beneficiary_uscc or view.beneficiary_name or view.use.account_id,
        "retirement_id": view.use.transfer_id.hex(),
    }


def _require_final(group: Group, view: RetirementView, blocks: tuple[UnitBlock, ...]) -> None:
    if not view.use.decision_payload:
        raise DomainError("DECISION_PENDING", transfer_id=view.use.transfer_id.hex())
    decision = messages_pb2.Decision.FromString(view.use.decision_payload)
    pending = group.context.pending.of(decision.log_index) == values_pb2.FINALITY_PENDING
    if decision.outcome == messages_pb2.OUTCOME_COMMIT and pending:
        raise DomainError("UNIT_PENDING", ranges=list(blocks))


def _use_hash(view: RetirementView) -> bytes:
    require(view.use.promise is not None, "a use keeps the message that began it")
    return message_hash(USE_TYPE, view.use.promise.payload)  # type: ignore[union-attr]  # it is there


def _not_found(number: str) -> DomainError:
    return DomainError("NOT_FOUND", field="number", what="certificate", id=number[:48])
