"""Issuance: metered energy becomes units, once the bridge has taken claim and location (PROTOCOL row 9).

The instalment is computed and its activity set aside, its claim is declared at the bridge, then the Issue
is offered on the line: state ISSUING. Units exist only on the bridge's receipt. A refusal at any point
frees the activity, gives the claim back and leaves the remainder as it was; serials of a refused Issue are
never used again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2, messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.db.engine import Database
from tanqiao.kernel.clock import legal_date
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.ids import ID_BYTES
from tanqiao.kernel.periods import Period
from tanqiao.kernel.units import UnitBlock
from tanqiao.rpc.validation import optional_text, parse_wire_period, wire_date, wire_period
from tanqiao.signing.body_decisions import ISSUANCE
from tanqiao_region.application import journal
from tanqiao_region.application.body_decisions import (
    Approval,
    approval_begun,
    approval_of,
    keep_approval,
    named,
)
from tanqiao_region.application.claim_messages import WATT_HOURS, instalment_claim
from tanqiao_region.application.claim_steps import (
    Ask,
    Begun,
    ClaimSteps,
    Outcome,
    StepKind,
    Submit,
    release_later,
)
from tanqiao_region.application.claims_client import BridgeClaims, Receipt, sign_statement
from tanqiao_region.application.commands import By
from tanqiao_region.application.context import RegionContext
from tanqiao_region.application.group import Group
from tanqiao_region.application.issue_offers import IssueOrder, offer_issue
from tanqiao_region.application.no_units import refuse_what_issues_nothing
from tanqiao_region.application.project_acts import (
    authorisation_of,
    is_scene,
    issuing_state,
    source_of,
)
from tanqiao_region.application.quantifying import (
    Instalment,
    compute,
    grain_kg,
    quantified,
    set_aside,
    set_free,
)
from tanqiao_region.application.register_checks import (
    CONNECTED,
    act_facts,
    clean_documents,
    reports_on_file,
    require_id,
    require_owner,
    require_project,
    require_state,
    with_registration,
)
from tanqiao_region.application.register_facts import (
    CLEARED,
    assessment_of,
    claim_answer,
    date_or_none,
    document_kinds,
    is_barred,
    methodology_version,
    needs_a_person,
    participant_of,
    refusal_of_verdict,
)
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import issuance as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.holdings import SeriesRow
from tanqiao_region.storage.issuance import Basis, ShownIssuance
from tanqiao_region.storage.issues import IssuanceRow
from tanqiao_region.storage.journal import journal_head
from tanqiao_region.storage.registers import ProjectRow, StepRow

RECEIPT_SECONDS: Final = 10.0
"""How long a call waits for the bridge's receipt before it answers ISSUING."""
POLL_SECONDS: Final = 0.05
EVIDENCE: Final = frozenset({"data_batch_digest", "submitter_signature", "methodology_version", "factor"})
"""Links that every issuance has: rows name their batch and submitter, the series its methodology."""

Wait = Callable[[str, float], None]
"""Waits until an issuance is decided, or for so many seconds."""


class Issuances:
    """Quantification and issuance.

    Args:
        context: the node's own things; this class is told there how issuances end.
        database: for reading.
        submit: the node's writer.
        steps: commands that need the bridge.
        claims: the bridge, for checks that store nothing.
        wait: waits for the bridge's receipt; by default the database is looked at.
        receipt_seconds: how long a call waits.
    """

    def __init__(
        self,
        context: RegionContext,
        database: Database,
        submit: Submit,
        steps: ClaimSteps,
        claims: BridgeClaims,
        *,
        wait: Wait | None = None,
        receipt_seconds: float = RECEIPT_SECONDS,
    ) -> None:
        self._context = context
        self._database = database
        self._submit = submit
        self._steps = steps
        self._claims = claims
        self._wait = wait or self._look_until_decided
        self._receipt_seconds = receipt_seconds
        self._issue = _Issue()
        steps.register({StepKind.ISSUE_UNITS: self._issue})
        context.issue_settlements.append(settle)

    def quantify(
        self, request: registers_pb2.QuantifyProjectRequest
    ) -> registers_pb2.QuantifyProjectResponse:
        """Compute what a period would yield; nothing is set aside."""
        asked = parse_wire_period(request.period)
        on = legal_date(self._context.now())
        with self._database.reading() as connection:
            row = register_store.load_project(connection, request.project_id)
            if row is None:
                raise DomainError("NOT_FOUND", field="project_id", what="project", id=request.project_id[:64])
            return quantified(compute(connection, self._context.pack(on), on, row, asked))

    def issue_units(self, ask: Ask, request: registers_pb2.IssueUnitsRequest) -> registers_pb2.Issuance:
        """Ask the bridge for an issuance and wait a while for its receipt; ISSUING if it has not come."""
        if request.validate_only:
            return self._validate(ask, request)
        response = registers_pb2.IssueUnitsResponse.FromString(self._steps.run(StepKind.ISSUE_UNITS, ask))
        issuance = self.get(response.issuance.issuance_id)
        if issuance.state != registers_pb2.ISSUANCE_STATE_ISSUING:
            return issuance  # asked again after it had ended: nobody will tell of it a second time
        self._wait(issuance.issuance_id, self._receipt_seconds)
        return self.get(issuance.issuance_id)

    def _validate(self, ask: Ask, request: registers_pb2.IssueUnitsRequest) -> registers_pb2.Issuance:
        issuance, claim = self._submit(
            lambda group: self._issue.prepare(group, ask.by, request, b"\x00" * ID_BYTES)
        )
        verdict = self._claims.check(self._steps.leaving(claim))
        if is_barred(verdict) or needs_a_person(verdict):
            rules = self._submit(lambda group: self._issue.judge(group, ask.by, request, issuance, verdict))
            raise refusal_of_verdict(verdict, rules)
        issuance.ClearField("issuance_id")
        return issuance

    def get(self, issuance_id: str) -> registers_pb2.Issuance:
        """Give an issuance as it is now; NOT_FOUND if there is none."""
        with self._database.reading() as connection:
            row = store.load_issuance(connection, issuance_id)
        if row is None:
            raise DomainError("NOT_FOUND", field="issuance_id", what="issuance", id=issuance_id[:64])
        return shown(row)

    def list(
        self, project_id: str, after: tuple[int, str], limit: int
    ) -> tuple[list[registers_pb2.Issuance], list[tuple[int, str]], int]:
        """Give a page of issuances, the place of each, and the journal's index at which they were read."""
        with self._database.reading() as connection:
            rows = store.list_issuances(connection, project_id=project_id, after=after, limit=limit)
            index, _ = journal_head(connection)
        return [shown(row) for row in rows], [(row.created_at, row.issuance_id) for row in rows], index

    def _look_until_decided(self, issuance_id: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self._database.reading() as connection:
                row = store.load_issuance(connection, issuance_id)
            if row is None or row.state != store.ISSUING:
                return
            time.sleep(POLL_SECONDS)


def shown(row: ShownIssuance) -> registers_pb2.Issuance:
    """Give an issuance as it is shown."""
    issue = messages_pb2.Issue.FromString(row.payload)
    issuance = registers_pb2.Issuance(
        issuance_id=row.issuance_id,
        project_id=row.project_id,
        period=issue.period,
        series=issue.series,
        block=issue.block,
        quantity_kg=row.end_serial - row.start_serial,
        carried_out_g=row.carried_out_g,
        account_id=row.account_id,
        state=row.state,  # type: ignore[arg-type]  # numbers of the enumeration
        legal_date=wire_date(date.fromisoformat(row.legal_date)),
        rule_pack_id=row.rule_pack_id,
        rule_pack_version=row.rule_pack_version,
    )
    issuance.create_time.FromSeconds(row.created_at)
    if row.receipt:
        issuance.receipt.CopyFrom(envelope_pb2.Envelope.FromString(row.receipt))
    if row.reasons:
        issuance.reasons.extend(messages_pb2.Refuse.FromString(row.reasons).reasons)
    return issuance


def settle(group: Group, row: IssuanceRow, accepted: bool) -> None:  # noqa: FBT001 - the port's signature
    """Carry the remainder on when units were created; free activity and claim when the bridge refused."""
    if accepted:
        register_store.set_carried(group.connection, row.project_id, row.carried_out_g)
        return
    set_free(group.connection, row.project_id, row.issuance_id)
    claim_id = messages_pb2.Issue.FromString(row.payload).claim_id
    release_later(group, claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, "the bridge refused the Issue")


class _Issue:
    """Issue units: computed and set aside, declared at the bridge, then offered."""

    def prepare(
        self, group: Group, by: By, request: registers_pb2.IssueUnitsRequest, issue_id: bytes
    ) -> tuple[registers_pb2.Issuance, claims_pb2.Claim]:
        """Check everything but the claim; gives what would be issued, and its claim."""
        asked = parse_wire_period(request.period)
        refuse_what_issues_nothing(group, by, require_id(request.project_id, "project_id"), asked)
        row = require_project(group, request.project_id)
        require_state(row, issuing_state(row.project))
        undecided = store.undecided_issuance(group.connection, row.project.project_id)
        if undecided is not None:
            raise DomainError(
                "STATE_NOT_ALLOWED",
                what="签发 issuance",
                id=undecided,
                state="ISSUING",
                needed="ISSUED, REFUSED",
            )
        instalment = compute(group.connection, group.pack, group.legal_date, row, asked)
        self._require_period(row, instalment.period)
        issuance = self._issuance(row, instalment, issue_id)
        self.require(group, by, request, issuance, CLEARED)
        account = require_owner(group, row.project.owner_account_id, "project_id")
        claim = instalment_claim(
            group.context.region_code,
            group.pack,
            row.project,
            account,
            issuance_id=issue_id.hex(),
            period=instalment.period,
            activity=(instalment.result.activity, instalment.result.activity_unit),
            quantity_kg=instalment.result.units_kg,
        )
        return issuance, claim

    def _require_period(self, row: ProjectRow, period: Period) -> None:
        if not parse_wire_period(row.project.crediting_period).covers(period):
            raise DomainError(
                "PERIOD_OUTSIDE_CLAIM", field="period", period=str(period), claim_id=row.project.claim_id
            )
        if len(period.years()) > 1:
            raise DomainError(
                "FIELD_INVALID",
                field="period",
                detail=Bilingual(
                    "一次签发的期间须在同一日历年内", "one issuance lies within one calendar year"
                ),
            )

    def _issuance(self, row: ProjectRow, instalment: Instalment, issue_id: bytes) -> registers_pb2.Issuance:
        return registers_pb2.Issuance(
            issuance_id=issue_id.hex(),
            project_id=row.project.project_id,
            period=wire_period(instalment.period),
            quantity_kg=instalment.result.units_kg,
            carried_out_g=instalment.result.carried_out_grams,
            account_id=row.project.owner_account_id,
        )

    def require(
        self,
        group: Group,
        by: By,
        request: registers_pb2.IssueUnitsRequest,
        issuance: registers_pb2.Issuance,
        claim: acts.ClaimAnswer,
    ) -> Verdict:
        """Ask the rules; raises the first refusal."""
        verdict = self._evaluate(group, by, request, issuance, claim)
        if not verdict.allowed:
            raise verdict.error()
        return verdict

    def judge(
        self,
        group: Group,
        by: By,
        request: registers_pb2.IssueUnitsRequest,
        issuance: registers_pb2.Issuance,
        verdict: claims_pb2.Verdict,
        *,
        begun: bool = False,
    ) -> Verdict:
        """Ask the rules with what the claim check found; `begun`: the approval was taken then."""
        answer = claim_answer(verdict, issuance.issuance_id, group.legal_date)
        return self._evaluate(group, by, request, issuance, answer, begun=begun)

    def _evaluate(
        self,
        group: Group,
        by: By,
        request: registers_pb2.IssueUnitsRequest,
        issuance: registers_pb2.Issuance,
        claim: acts.ClaimAnswer,
        *,
        begun: bool = False,
    ) -> Verdict:
        approval = approval_begun(group, by, request) if begun else _approval_of(group, by, request)
        row = require_project(group, issuance.project_id)
        project = row.project
        account = require_owner(group, project.owner_account_id, "project_id")
        period = parse_wire_period(issuance.period)
        documents = [*project.documents, *clean_documents(request.documents, "documents")]
        audit = _audit_of(request)
        methodology = register_store.load_methodology(group.connection, project.methodology_id)
        assessment = request.assessment if request.HasField("assessment") else project.assessment
        earlier = store.dates_of_issuances(group.connection, project.project_id)
        return group.pack.evaluate(
            acts.ApproveIssuance(
                **act_facts(group, by),
                submitted_by=project_submitter(row),
                source=source_of(project),
                source_id=project.project_id,
                programme=group.pack.units.programme,
                participant=with_registration(
                    group, participant_of(account, project, group.context.region_code, group.legal_date)
                ),
                methodology=methodology_version(group.pack, methodology),
                quantity_kg=issuance.quantity_kg,
                grain_kg=grain_kg(group.pack, group.legal_date, source_of(project)),
                period_start=period.start,
                period_end=period.end,
                published_on=date_or_none(project.publish_date),
                earlier_issuances=tuple(date.fromisoformat(day) for day in earlier),
                override=_override_of(request, approval),
                audit=audit,
                assessment=assessment_of(assessment),
                reviewer_id=by.party,
                reports=reports_on_file(group, project, documents),
                documents=document_kinds(documents),
                claim=claim,
                evidence=EVIDENCE | ({"audit"} if audit is not None else set()),
                computed_kg=issuance.quantity_kg,
                submitted_kg=request.stated_kg if is_scene(project) else issuance.quantity_kg,
                authorisation=authorisation_of(project, period.start, period.end),
                feed_validated=project.state == CONNECTED,
                grid_connected_on=date_or_none(project.grid_connection_date),
                credited_subject_id=project.owner_account_id,
            )
        )

    # -- two transactions

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Compute, set the activity aside, sign the declaration."""
        request = registers_pb2.IssueUnitsRequest.FromString(ask.body)
        issue_id = group.context.random_bytes(ID_BYTES)
        issuance, claim = self.prepare(group, ask.by, request, issue_id)
        row = require_project(group, request.project_id)
        instalment = compute(
            group.connection, group.pack, group.legal_date, row, parse_wire_period(request.period)
        )
        set_aside(group.connection, row.project.project_id, instalment, issuance.issuance_id)
        keep_approval(group, request, _approval_of(group, ask.by, request))
        command = join_parts(
            ask.body, issuance.SerializeToString(), quantified(instalment).SerializeToString()
        )
        statement = sign_statement(group.context, claims_pb2.DeclareStatement(claim=claim))
        return Begun(row.project.project_id, statement, command)

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Offer the Issue, if the claim was taken and the rules agree."""
        request, issuance, computation = _parts_of(step)
        by = By(step.caller, step.role)
        verdict = receipt.message.verdict
        try:
            rules = self.judge(group, by, request, issuance, verdict, begun=True)
            if is_barred(verdict) or needs_a_person(verdict):
                raise refusal_of_verdict(verdict, rules)
            if not rules.allowed:
                raise rules.error()
        except DomainError as refusal:
            set_free(group.connection, issuance.project_id, issuance.issuance_id)
            if receipt.message.status == claims_pb2.CLAIM_STATUS_DECLARED:
                release_later(
                    group, receipt.message.claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, refusal.symbol
                )
            return refusal
        order = self._order(group, issuance, computation, receipt, rules, named(request))
        offer_issue(group, order)
        store.insert_basis(
            group.connection,
            Basis(
                issuance.issuance_id,
                receipt.message.claim_id,
                receipt.envelope.SerializeToString(),
                request.SerializeToString(deterministic=True),
                step.caller,
                computation.SerializeToString(deterministic=True),
            ),
        )
        issuance.state = registers_pb2.ISSUANCE_STATE_ISSUING
        return registers_pb2.IssueUnitsResponse(issuance=issuance).SerializeToString()

    def _order(
        self,
        group: Group,
        issuance: registers_pb2.Issuance,
        computation: registers_pb2.QuantifyProjectResponse,
        receipt: Receipt,
        rules: Verdict,
        approved: Mapping[str, str],
    ) -> IssueOrder:
        period = parse_wire_period(issuance.period)
        methodology = register_store.load_methodology(group.connection, computation.methodology_id)
        programme = group.pack.units.programme
        vintage = period.start.year
        batch = store.last_batch_number(group.connection, issuance.project_id, vintage) + 1
        region = group.context.region_code
        series_id = ":".join((region, programme, issuance.project_id, str(vintage), str(batch)))
        series = SeriesRow(
            series_id,
            region,
            programme,
            issuance.project_id,
            vintage,
            batch,
            computation.methodology_id,
            methodology.unit_class if methodology is not None else "",
        )
        return IssueOrder(
            issue_id=bytes.fromhex(issuance.issuance_id),
            project_id=issuance.project_id,
            account_id=issuance.account_id,
            start_date=period.start.isoformat(),
            end_date=period.end.isoformat(),
            series=series,
            block=UnitBlock(series_id, 0, issuance.quantity_kg),
            claim_id=receipt.message.claim_id,
            claim_receipt_hash=receipt.receipt_hash,
            # A step of an earlier release knows metered energy alone.
            activity_quantity=computation.activity_quantity or computation.activity_wh,
            activity_unit=computation.activity_unit or WATT_HOURS,
            carried_in_g=computation.carried_in_g,
            carried_out_g=issuance.carried_out_g,
            applied=journal.Applied.of(rules),
            named=approved,
        )

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """Free the activity: the bridge took no claim."""
        del refusal
        _, issuance, _ = _parts_of(step)
        set_free(group.connection, issuance.project_id, issuance.issuance_id)


def project_submitter(row: ProjectRow) -> str:
    """Give who submitted the file that is decided."""
    return row.submitted_by


def _audit_of(request: registers_pb2.IssueUnitsRequest) -> acts.Audit | None:
    audited_on = date_or_none(request.audit.audit_date)
    if not request.HasField("audit") or audited_on is None:
        return None
    body = optional_text(request.audit.body, "audit.body")
    optional_text(request.audit.reference, "audit.reference")
    return acts.Audit(passed=request.audit.passed, audited_on=audited_on, body=body)


def _approval_of(group: Group, by: By, request: registers_pb2.IssueUnitsRequest) -> Approval | None:
    return approval_of(group, by, request, ISSUANCE, request.project_id)


def _override_of(request: registers_pb2.IssueUnitsRequest, approval: Approval | None) -> acts.Override | None:
    reason = optional_text(request.override_reason, "override_reason", length_max=2000)
    if not reason and approval is None:
        return None
    return acts.Override(
        reason=reason,
        second_approver_id="" if approval is None else approval.approver,
        second_approver_role="" if approval is None else approval.role,
    )


LENGTH_BYTES: Final = 4


def join_parts(*parts: bytes) -> bytes:
    """Put byte strings one behind the other, each with its length before it."""
    return b"".join(len(part).to_bytes(LENGTH_BYTES, "big") + part for part in parts)


def split_parts(data: bytes) -> list[bytes]:
    """Undo `join_parts`."""
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        parts.append(data[at + LENGTH_BYTES : at + LENGTH_BYTES + size])
        at += LENGTH_BYTES + size
    return parts


def _parts_of(
    step: StepRow,
) -> tuple[registers_pb2.IssueUnitsRequest, registers_pb2.Issuance, registers_pb2.QuantifyProjectResponse]:
    body, issuance, computation = split_parts(step.command)
    return (
        registers_pb2.IssueUnitsRequest.FromString(body),
        registers_pb2.Issuance.FromString(issuance),
        registers_pb2.QuantifyProjectResponse.FromString(computation),
    )
