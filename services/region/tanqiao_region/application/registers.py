"""Registers of methodologies and projects (RULES section 6): what an office decides, and what the bridge has to agree to.

A project goes SUBMITTED → ASSESSED → NOTICE → PUBLISHED; where the rules of the region order no notice, it is
published from ASSESSED. SUBMITTED, NOTICE, PUBLISHED and WITHDRAWN stand on a receipt of the bridge
(`claim_steps`): the claim is declared before anybody is told of the project. The rule pack decides every
step; the machine below only keeps order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.working_days import Calendar
from tanqiao.rpc.validation import (
    optional_text,
    parse_wire_period,
    require_count,
    require_enum,
    require_text,
    wire_date,
)
from tanqiao_region.application import journal
from tanqiao_region.application.claim_messages import project_claim
from tanqiao_region.application.claim_steps import (
    ACCEPTED,
    Ask,
    Begun,
    ClaimSteps,
    Outcome,
    StepKind,
    Submit,
    decode_outcome,
    release_later,
)
from tanqiao_region.application.claims_client import BridgeClaims, Receipt, sign_statement
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_facts import (
    CLEARED,
    KINDS,
    assessment_of,
    claim_answer,
    consultation_of,
    date_or_none,
    document_kinds,
    is_barred,
    methodology_version,
    needs_a_person,
    notice_of,
    panel_of,
    participant_of,
    refusal_of_verdict,
    reports_of,
)
from tanqiao_region.application.rules import actor_of
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.registers import MethodologyRow, ProjectRow, StepRow

DOCUMENTS_MAX: Final = 64
ASSESSORS_MAX: Final = 16
CANDIDATES_MAX: Final = 1000
REFERENCES_MAX: Final = 16
OPINION_LENGTH_MAX: Final = 2000
DIGEST_BYTES: Final = 32
ID_TEXT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}", re.ASCII)
"""What a project or methodology may be called: it becomes a part of a series, whose parts a colon divides."""

SUBMITTED: Final = registers_pb2.PROJECT_STATE_SUBMITTED
ASSESSED: Final = registers_pb2.PROJECT_STATE_ASSESSED
NOTICE: Final = registers_pb2.PROJECT_STATE_NOTICE
PUBLISHED: Final = registers_pb2.PROJECT_STATE_PUBLISHED
WITHDRAWN: Final = registers_pb2.PROJECT_STATE_WITHDRAWN
REJECTED: Final = registers_pb2.PROJECT_STATE_REJECTED
HELD: Final = registers_pb2.PROJECT_STATE_HELD_FOR_REVIEW

M = TypeVar("M", bound=Message)


def state_name(state: int) -> str:
    """Give a project's state in a sentence: ``NOTICE``."""
    return registers_pb2.ProjectState.Name(state).removeprefix("PROJECT_STATE_")  # type: ignore[arg-type]


def require_id(value: str, field: str) -> str:
    """Give an id made of letters, digits, dot, dash and underscore, at most 48; FIELD_MISSING or FIELD_INVALID."""
    if not value:
        raise DomainError("FIELD_MISSING", field=field)
    if ID_TEXT.fullmatch(value) is None:
        raise DomainError("FIELD_INVALID", field=field, detail=value[:48])
    return value


def once(group: Group, ask: Ask, decide: Callable[[], Message]) -> bytes:
    """Decide a command of one transaction and keep its response; the same request again gets that response."""
    known = group.find_answer(ask.request)
    if known is not None:
        return decode_outcome(known)
    group.require_clock()
    response = decide().SerializeToString()
    group.note_answer(ask.request, ACCEPTED + response)
    return response


def require_project(group: Group, project_id: str) -> ProjectRow:
    """Give a project; NOT_FOUND if there is none."""
    row = store.load_project(group.connection, require_id(project_id, "project_id"))
    if row is None:
        raise DomainError("NOT_FOUND", field="project_id", what="project", id=project_id)
    return row


def require_state(row: ProjectRow, *allowed: int) -> None:
    """Refuse a step that is not open in the project's state."""
    if row.project.state not in allowed:
        raise DomainError(
            "STATE_NOT_ALLOWED",
            what="项目 project",
            id=row.project.project_id,
            state=state_name(row.project.state),
            needed=[state_name(state) for state in allowed],
        )


def require_owner(group: Group, account_id: str, field: str) -> AccountRow:
    """Give an open account."""
    account = group.load_accounts([account_id]).get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field=field, account_id=account_id[:32])
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field=field, account_id=account_id)
    return account


def project_facts(group: Group, row: ProjectRow, by: By) -> dict[str, Any]:
    """Give what every act on a project looks at."""
    project = row.project
    account = require_owner(group, project.owner_account_id, "project.owner_account_id")
    region = group.context.region_code
    methodology = store.load_methodology(group.connection, project.methodology_id)
    version = methodology_version(group.pack, methodology)
    if version is None:
        raise DomainError("METHODOLOGY_NOT_PUBLISHED", number=project.methodology_id)
    return {
        **act_facts(group, by),
        "project_id": project.project_id,
        "participant": participant_of(account, project, region, group.legal_date),
        "methodology": version,
        "documents": document_kinds(project.documents),
        "reports": reports_of(project.documents),
        "capacity_w": project.asset.capacity_kw * 1000 if project.asset.capacity_kw else None,
    }


def act_facts(group: Group, by: By) -> dict[str, Any]:
    """Give what every act has: its day, its node, who acts."""
    region = group.context.region_code
    return {"on": group.legal_date, "node_region": region, "object_region": region, "actor": actor_of(by)}


class Registers:
    """Methodologies and projects.

    Args:
        submit: the node's writer.
        steps: commands that need the bridge.
        claims: the bridge, for checks that store nothing.
        calendar: working days.
    """

    def __init__(
        self, submit: Submit, steps: ClaimSteps, claims: BridgeClaims, calendar: Callable[[], Calendar]
    ) -> None:
        self._submit = submit
        self._steps = steps
        self._claims = claims
        self._submission = _Submission()
        steps.register(
            {
                StepKind.SUBMIT_PROJECT: self._submission,
                StepKind.OPEN_NOTICE: _NoticeOpening(calendar),
                StepKind.PUBLISH_PROJECT: _Publication(),
                StepKind.WITHDRAW_PROJECT: _Withdrawal(),
            }
        )
        self._calendar = calendar

    # -- methodologies

    def publish_methodology(
        self, ask: Ask, request: registers_pb2.PublishMethodologyRequest
    ) -> registers_pb2.PublishMethodologyResponse:
        """Publish a methodology; kind and class are fixed with it."""
        kept = self._submit(
            lambda group: once(group, ask, lambda: self._publish_methodology(group, ask, request))
        )
        return registers_pb2.PublishMethodologyResponse.FromString(kept)

    def _publish_methodology(
        self, group: Group, ask: Ask, request: registers_pb2.PublishMethodologyRequest
    ) -> registers_pb2.PublishMethodologyResponse:
        message = _clean_methodology(request.methodology)
        require_count(request.documents or [None], "documents", limit=DOCUMENTS_MAX)
        require_count(request.panel.candidates or [None], "panel.candidates", limit=CANDIDATES_MAX)
        pack = group.pack
        version = methodology_version(pack, message)
        if version is None or not pack.units.owns_methodology(version, pack.region):
            pattern = pack.units.methodology_pattern
            if pattern:
                raise DomainError(
                    "FIELD_INVALID", field="methodology.methodology_id", detail=f"wanted: {pattern}"
                )
        first, last = (
            date_or_none(request.consultation.first_day),
            date_or_none(request.consultation.last_day),
        )
        days = self._calendar().count(first, last) if first and last and first < last else 0
        verdict = pack.require(
            acts.PublishMethodology(
                **act_facts(group, ask.by),
                methodology=version,  # type: ignore[arg-type]  # given for every message
                parts=frozenset(request.parts),
                documents=document_kinds(request.documents),
                panel=panel_of(request.panel) if request.HasField("panel") else None,
                assessment=assessment_of(request.assessment if request.HasField("assessment") else None),
                consultation=consultation_of(request.consultation, days),
            )
        )
        if message.unit_class and message.unit_class not in pack.units.classes:
            raise DomainError(
                "FIELD_INVALID",
                field="methodology.unit_class",
                detail=", ".join(sorted(pack.units.classes)) or "–",
            )
        if store.load_methodology(group.connection, message.methodology_id) is not None:
            raise DomainError(
                "ALREADY_EXISTS",
                field="methodology.methodology_id",
                what="methodology",
                id=message.methodology_id,
            )
        message.publish_date.CopyFrom(wire_date(group.legal_date))
        store.insert_methodology(
            group.connection,
            MethodologyRow(
                message,
                request.SerializeToString(deterministic=True),
                ask.by.party,
                pack.identity.pack_id,
                pack.identity.version,
            ),
        )
        group.journal.append(
            journal.METHODOLOGY_PUBLISHED,
            message.methodology_id,
            applied=journal.Applied.of(verdict),
            details={
                "by": ask.by.party,
                "kind": KINDS[message.kind].value,
                "unit_class": message.unit_class,
                "title": message.title,
            },
        )
        return registers_pb2.PublishMethodologyResponse(methodology=message)

    # -- projects

    def submit_project(
        self, ask: Ask, request: registers_pb2.SubmitProjectRequest
    ) -> registers_pb2.SubmitProjectResponse:
        """Submit a project: the claim is declared at the bridge, and its verdict decides whether it goes on."""
        if request.validate_only:
            return self._validate_project(ask, request)
        return registers_pb2.SubmitProjectResponse.FromString(self._steps.run(StepKind.SUBMIT_PROJECT, ask))

    def _validate_project(
        self, ask: Ask, request: registers_pb2.SubmitProjectRequest
    ) -> registers_pb2.SubmitProjectResponse:
        project, claim = self._submit(lambda group: self._submission.prepare(group, ask.by, request))
        verdict = self._claims.check(claim)
        if is_barred(verdict):
            rules = self._submit(lambda group: self._submission.judge(group, ask.by, project, verdict))
            raise refusal_of_verdict(verdict, rules)
        project.state = HELD if needs_a_person(verdict) else SUBMITTED
        return registers_pb2.SubmitProjectResponse(project=project, verdict=verdict)

    def assess_project(
        self, ask: Ask, request: registers_pb2.AssessProjectRequest
    ) -> registers_pb2.AssessProjectResponse:
        """Record the technical assessment; one that is not passed ends the project and lets its claim go."""
        kept = self._submit(lambda group: once(group, ask, lambda: _assess(group, ask, request)))
        return registers_pb2.AssessProjectResponse.FromString(kept)

    def open_notice(self, ask: Ask) -> registers_pb2.OpenProjectNoticeResponse:
        """Open the public notice; its last day is computed once."""
        return registers_pb2.OpenProjectNoticeResponse.FromString(self._steps.run(StepKind.OPEN_NOTICE, ask))

    def publish_project(self, ask: Ask) -> registers_pb2.PublishProjectResponse:
        """Publish a project after its notice; its claim is registered."""
        return registers_pb2.PublishProjectResponse.FromString(self._steps.run(StepKind.PUBLISH_PROJECT, ask))

    def withdraw_project(
        self, ask: Ask, request: registers_pb2.WithdrawProjectRequest
    ) -> registers_pb2.WithdrawProjectResponse:
        """Withdraw a project before it is published; a live claim is released at the bridge."""

        def local(group: Group) -> bytes | None:
            known = group.find_answer(ask.request)
            if known is not None:
                return decode_outcome(known)
            row = store.load_project(group.connection, request.project_id)
            if row is None or row.project.state != HELD:
                return None
            return once(group, ask, lambda: _withdraw_held(group, ask, request, row))

        kept = self._submit(local)
        if kept is None:  # its claim is live: the bridge must let it go
            kept = self._steps.run(StepKind.WITHDRAW_PROJECT, ask)
        return registers_pb2.WithdrawProjectResponse.FromString(kept)


def _clean_methodology(given: registers_pb2.Methodology) -> registers_pb2.Methodology:
    """Give what a caller may say of a methodology; the day of publication is the node's."""
    return registers_pb2.Methodology(
        methodology_id=require_id(given.methodology_id, "methodology.methodology_id"),
        kind=require_enum(given.kind, "methodology.kind"),  # type: ignore[arg-type]
        unit_class=optional_text(given.unit_class, "methodology.unit_class", length_max=8),
        title=require_text(given.title, "methodology.title"),
        quantification=require_text(given.quantification, "methodology.quantification", length_max=64),
        document=optional_text(given.document, "methodology.document"),
        invented=given.invented,
    )


def clean_documents(
    given: Any,  # noqa: ANN401 - a repeated field
    field: str,
) -> list[registers_pb2.ProjectDocument]:
    """Check the documents of a file: kind and name, a digest of 32 bytes if one is given."""
    if len(given) > DOCUMENTS_MAX:
        raise DomainError("BATCH_TOO_LARGE", field=field, limit=DOCUMENTS_MAX, count=len(given))
    for position, document in enumerate(given):
        at = f"{field}[{position}]"
        require_text(document.kind, f"{at}.kind", length_max=64)
        optional_text(document.name, f"{at}.name")
        optional_text(document.body, f"{at}.body")
        if document.digest and len(document.digest) != DIGEST_BYTES:
            raise DomainError(
                "FIELD_INVALID", field=f"{at}.digest", detail=f"{DIGEST_BYTES} bytes are wanted"
            )
    return list(given)


def _clean_project(given: registers_pb2.Project) -> registers_pb2.Project:
    """Give what an applicant may say of a project; everything else is the node's."""
    parse_wire_period(given.crediting_period, "project.crediting_period")
    require_enum(given.attribute, "project.attribute")
    if not given.asset.references:
        raise DomainError("FIELD_MISSING", field="project.asset.references")
    require_count(given.asset.references, "project.asset.references", limit=REFERENCES_MAX)
    for position, reference in enumerate(given.asset.references):
        require_text(reference.scheme, f"project.asset.references[{position}].scheme", length_max=32)
        require_text(reference.value, f"project.asset.references[{position}].value", length_max=128)
    if given.asset.capacity_kw < 0:
        raise DomainError(
            "FIELD_INVALID", field="project.asset.capacity_kw", detail=str(given.asset.capacity_kw)
        )
    project = registers_pb2.Project(
        project_id=require_id(given.project_id, "project.project_id"),
        title=require_text(given.title, "project.title"),
        owner_account_id=require_text(given.owner_account_id, "project.owner_account_id", length_max=32),
        methodology_id=require_text(given.methodology_id, "project.methodology_id", length_max=64),
        asset=given.asset,
        attribute=given.attribute,
        crediting_period=given.crediting_period,
        no_duplicate_commitment=given.no_duplicate_commitment,
        gec_freeze_consent=given.gec_freeze_consent,
        documents=clean_documents(given.documents, "project.documents"),
        invented=given.invented,
    )
    if given.HasField("grid_connection_date"):
        project.grid_connection_date.CopyFrom(given.grid_connection_date)
    return project


def change(
    group: Group,
    row: ProjectRow,
    state: int,
    verdict: Verdict | None,
    by: str,
    *,
    receipt: Receipt | None = None,
    reason: str = "",
) -> registers_pb2.Project:
    """Put a project into its next state, with the receipt behind it and a line in the journal."""
    project = row.project
    project.state = state  # type: ignore[assignment]  # numbers of the enumeration
    project.state_reason = reason
    pack = group.pack.identity
    project.rule_pack_id, project.rule_pack_version = pack.pack_id, pack.version
    if receipt is not None:
        if project.HasField("claim_receipt"):
            project.later_claim_receipts.append(receipt.envelope)
        else:
            project.claim_receipt.CopyFrom(receipt.envelope)
    group.journal.append(
        journal.PROJECT_CHANGED,
        project.project_id,
        (journal.Effect(project.owner_account_id),),
        applied=journal.Applied.of(verdict) if verdict is not None else None,
        message_hash=receipt.receipt_hash if receipt is not None else b"",
        details={"state": state_name(state), "by": by, "reason": reason, "claim_id": project.claim_id},
    )
    return project


class _Submission:
    """Submit a project: checked, declared at the bridge, then entered as the verdict says."""

    def prepare(
        self, group: Group, by: By, request: registers_pb2.SubmitProjectRequest
    ) -> tuple[registers_pb2.Project, claims_pb2.Claim]:
        """Check everything but the claim; gives the project and its claim."""
        project = _clean_project(request.project)
        project_id = project.project_id
        if store.load_project(group.connection, project_id) is not None:
            raise DomainError("ALREADY_EXISTS", field="project.project_id", what="project", id=project_id)
        account = require_owner(group, project.owner_account_id, "project.owner_account_id")
        row = ProjectRow(project, 0, by.party)
        group.pack.require(acts.SubmitProject(**project_facts(group, row, by)))
        claim = project_claim(group.context.region_code, group.pack, project, account)
        project.claim_id = claim.claim_id
        return project, claim

    def judge(
        self, group: Group, by: By, project: registers_pb2.Project, verdict: claims_pb2.Verdict
    ) -> Verdict:
        """Ask the rules with what the claim check found."""
        answer = claim_answer(verdict, project.claim_id, group.legal_date)
        row = ProjectRow(project, 0, by.party)
        return group.pack.evaluate(acts.SubmitProject(**project_facts(group, row, by), claim=answer))

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check the file and sign the declaration."""
        request = registers_pb2.SubmitProjectRequest.FromString(ask.body)
        project, claim = self.prepare(group, ask.by, request)
        statement = sign_statement(group.context, claims_pb2.DeclareStatement(claim=claim))
        return Begun(project.project_id, statement, project.SerializeToString())

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Enter the project: SUBMITTED, HELD_FOR_REVIEW, or REJECTED with the reason."""
        project = registers_pb2.Project.FromString(step.command)
        by = By(step.caller, step.role)
        verdict = receipt.message.verdict
        rules = self.judge(group, by, project, verdict)
        row = ProjectRow(project, 0, step.caller)
        if is_barred(verdict):
            refusal = refusal_of_verdict(verdict, rules)
            change(group, row, REJECTED, rules, step.caller, receipt=receipt, reason=str(refusal))
            store.insert_project(group.connection, row)
            return refusal
        held = needs_a_person(verdict)
        reason = str(refusal_of_verdict(verdict, rules)) if held else ""
        change(group, row, HELD if held else SUBMITTED, rules, step.caller, receipt=receipt, reason=reason)
        store.insert_project(group.connection, row)
        return registers_pb2.SubmitProjectResponse(project=project, verdict=verdict).SerializeToString()

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The bridge took no claim: there is no project."""
        del group, step, refusal


def _assess(
    group: Group, ask: Ask, request: registers_pb2.AssessProjectRequest
) -> registers_pb2.AssessProjectResponse:
    row = require_project(group, request.project_id)
    opinion = optional_text(request.opinion, "opinion", length_max=OPINION_LENGTH_MAX)
    if len(request.assessors) > ASSESSORS_MAX:
        raise DomainError(
            "BATCH_TOO_LARGE", field="assessors", limit=ASSESSORS_MAX, count=len(request.assessors)
        )
    require_state(row, SUBMITTED)
    project = row.project
    project.assessment.CopyFrom(
        registers_pb2.TechnicalAssessment(
            passed=request.passed,
            assess_date=wire_date(group.legal_date),
            assessors=list(request.assessors) or [ask.by.party],
            opinion=opinion,
        )
    )
    assessment = assessment_of(project.assessment)
    verdict = group.pack.require(
        acts.AssessProject(
            **project_facts(group, row, ask.by),
            submitted_by=row.submitted_by,
            assessment=assessment,  # type: ignore[arg-type]  # it was made above
        )
    )
    state = ASSESSED if request.passed else REJECTED
    change(group, row, state, verdict, ask.by.party, reason="" if request.passed else opinion)
    store.update_project(group.connection, row)
    if not request.passed:
        release_later(
            group, project.claim_id, claims_pb2.CLAIM_STATUS_REJECTED, opinion or "assessment not passed"
        )
    return registers_pb2.AssessProjectResponse(project=project)


def move_statement(group: Group, row: ProjectRow, status: int, reason: str = "") -> Any:  # noqa: ANN401 - an Envelope
    """Sign the statement that moves the project's claim on."""
    newest = (
        row.project.later_claim_receipts[-1]
        if row.project.later_claim_receipts
        else row.project.claim_receipt
    )
    receipt = claims_pb2.ClaimReceipt.FromString(newest.payload)
    return sign_statement(
        group.context,
        claims_pb2.ClaimStatement(
            claim_id=row.project.claim_id,
            status=status,  # type: ignore[arg-type]  # numbers of the enumeration
            reason=reason,
            receipt_log_index=receipt.log_index,
        ),
    )


class _NoticeOpening:
    """Open the public notice, once the bridge agrees that the claim goes into it."""

    def __init__(self, calendar: Callable[[], Calendar]) -> None:
        self._calendar = calendar

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check that a notice is open to the project, and that its last day can be computed."""
        request = registers_pb2.OpenProjectNoticeRequest.FromString(ask.body)
        row = require_project(group, request.project_id)
        require_state(row, ASSESSED)
        self._verdict(group, row, ask.by)
        statement = move_statement(group, row, claims_pb2.CLAIM_STATUS_NOTICE)
        return Begun(row.project.project_id, statement, ask.body)

    def _verdict(
        self, group: Group, row: ProjectRow, by: By, claim: acts.ClaimAnswer = CLEARED
    ) -> tuple[Verdict, acts.Notice]:
        rule = group.pack.notice_rule("project")
        if rule is None:
            raise DomainError(
                "STATE_NOT_ALLOWED",
                what="项目 project",
                id=row.project.project_id,
                state="本地规则不设公示 the rules here order no notice",
                needed=state_name(PUBLISHED),
            )
        notice = rule.open(group.legal_date, self._calendar(), group.pack.parameters.on(group.legal_date))
        verdict = group.pack.require(
            acts.OpenNotice(
                **act_facts(group, by),
                submitted_by=row.submitted_by,
                object_kind="project",
                object_id=row.project.project_id,
                assessment=assessment_of(row.project.assessment),
                notice=notice,
                claim=claim,
            )
        )
        return verdict, notice

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Open it today; what the bridge's newest verdict leaves to a person holds the project."""
        request = registers_pb2.OpenProjectNoticeRequest.FromString(step.command)
        row = require_project(group, request.project_id)
        by = By(step.caller, step.role)
        answer = claim_answer(receipt.message.verdict, row.project.claim_id, group.legal_date)
        try:
            verdict, notice = self._verdict(group, row, by, answer)
        except DomainError as refusal:
            change(group, row, HELD, None, step.caller, receipt=receipt, reason=str(refusal))
            store.update_project(group.connection, row)
            return refusal
        project = row.project
        project.notice_first_day.CopyFrom(wire_date(notice.first_day))
        project.notice_last_day.CopyFrom(wire_date(notice.last_day))
        project.notice_working_days = notice.working_days
        project.notice_first_day_counted = notice.first_day_counted
        change(group, row, NOTICE, verdict, step.caller, receipt=receipt)
        store.update_project(group.connection, row)
        return registers_pb2.OpenProjectNoticeResponse(project=project).SerializeToString()

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The project stays as it was assessed."""
        del group, step, refusal


class _Publication:
    """Publish a project, once the bridge has registered its claim."""

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check notice and assessment."""
        request = registers_pb2.PublishProjectRequest.FromString(ask.body)
        row = require_project(group, request.project_id)
        require_state(row, NOTICE if group.pack.notice_rule("project") is not None else ASSESSED)
        self._verdict(group, row, ask.by)
        statement = move_statement(group, row, claims_pb2.CLAIM_STATUS_REGISTERED)
        return Begun(row.project.project_id, statement, ask.body)

    def _verdict(self, group: Group, row: ProjectRow, by: By) -> Verdict:
        return group.pack.require(
            acts.PublishProject(
                **project_facts(group, row, by),
                submitted_by=row.submitted_by,
                assessment=assessment_of(row.project.assessment),
                notice=notice_of(row.project),
                reviewer_id=by.party,
                claim=CLEARED,
            )
        )

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Enter it into the public list."""
        request = registers_pb2.PublishProjectRequest.FromString(step.command)
        row = require_project(group, request.project_id)
        verdict = self._verdict(group, row, By(step.caller, step.role))
        row.project.publish_date.CopyFrom(wire_date(group.legal_date))
        change(group, row, PUBLISHED, verdict, step.caller, receipt=receipt)
        store.update_project(group.connection, row)
        return registers_pb2.PublishProjectResponse(project=row.project).SerializeToString()

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The project stays in its notice."""
        del group, step, refusal


class _Withdrawal:
    """Withdraw a project whose claim is live."""

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check that it is not published yet, and that the applicant asks."""
        request = registers_pb2.WithdrawProjectRequest.FromString(ask.body)
        row = require_project(group, request.project_id)
        reason = _require_withdrawal(row, ask.by, request)
        require_state(row, SUBMITTED, ASSESSED, NOTICE)
        statement = move_statement(group, row, claims_pb2.CLAIM_STATUS_WITHDRAWN, reason)
        return Begun(row.project.project_id, statement, ask.body)

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Note that it is withdrawn."""
        request = registers_pb2.WithdrawProjectRequest.FromString(step.command)
        row = require_project(group, request.project_id)
        change(group, row, WITHDRAWN, None, step.caller, receipt=receipt, reason=request.reason)
        store.update_project(group.connection, row)
        return registers_pb2.WithdrawProjectResponse(project=row.project).SerializeToString()

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """It stays as it is."""
        del group, step, refusal


def _require_withdrawal(row: ProjectRow, by: By, request: registers_pb2.WithdrawProjectRequest) -> str:
    reason = require_text(request.reason, "reason", length_max=OPINION_LENGTH_MAX)
    if by.party != row.submitted_by:
        raise DomainError("ROLE_NOT_PERMITTED", role=by.role, action="WithdrawProject", body=row.submitted_by)
    return reason


def _withdraw_held(
    group: Group, ask: Ask, request: registers_pb2.WithdrawProjectRequest, row: ProjectRow
) -> registers_pb2.WithdrawProjectResponse:
    """Withdraw a project that waits for a person; a claim that may have stayed live is let go."""
    reason = _require_withdrawal(row, ask.by, request)
    change(group, row, WITHDRAWN, None, ask.by.party, reason=reason)
    store.update_project(group.connection, row)
    if row.project.later_claim_receipts:
        release_later(group, row.project.claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, reason)
    return registers_pb2.WithdrawProjectResponse(project=row.project)
