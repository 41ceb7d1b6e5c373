"""The register of projects (RULES section 6): what an office decides, and what the bridge has to agree to.

A project goes SUBMITTED → ASSESSED → NOTICE → PUBLISHED; where the rules of the region order no notice, it is
published from ASSESSED. SUBMITTED, NOTICE, PUBLISHED and WITHDRAWN stand on a receipt of the bridge
(`claim_steps`): the claim is declared before anybody is told of the project. The rule pack decides every
step; the machine below only keeps order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import ACCOUNT_ID_LENGTH_MAX
from tanqiao.kernel.working_days import Calendar
from tanqiao.rpc.validation import (
    parse_wire_period,
    require_count,
    require_enum,
    require_text,
    wire_date,
)
from tanqiao_region.application.access import require_acting_for
from tanqiao_region.application.claim_messages import fresh_claim_id, project_claim
from tanqiao_region.application.claim_steps import (
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
from tanqiao_region.application.held_projects import (
    has_live_claim,
    is_declarable_again,
    require_declarable_again,
    waits_in_notice,
)
from tanqiao_region.application.project_acts import (
    assess_decision,
    assessment_act,
    is_scene,
    joint_of,
    note_assessment,
    notice_kind,
    publication,
    require_assessment,
    require_decision,
    require_register,
    submission,
)
from tanqiao_region.application.project_changes import change
from tanqiao_region.application.project_steps import reviews
from tanqiao_region.application.register_checks import (
    ASSESSED,
    HELD,
    NOTICE,
    OPINION_LENGTH_MAX,
    PUBLISHED,
    REFERENCES_MAX,
    REJECTED,
    REVIEWED,
    SUBMITTED,
    WITHDRAWABLE,
    WITHDRAWN,
    act_facts,
    clean_documents,
    once,
    require_event,
    require_id,
    require_owner,
    require_project,
    require_state,
    state_name,
)
from tanqiao_region.application.register_facts import (
    CLEARED,
    assessment_of,
    claim_answer,
    is_barred,
    needs_a_person,
    refusal_of_verdict,
)
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.registers import ProjectRow, StepRow


class Registers:
    """Projects.

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

    def submit_project(
        self, ask: Ask, request: registers_pb2.SubmitProjectRequest
    ) -> registers_pb2.SubmitProjectResponse:
        """Submit a project: its claim is declared at the bridge, whose verdict decides whether it goes on.

        One that is held and whose claim does not stand may be submitted again: it is declared anew.
        """
        if request.validate_only:
            return self._validate_project(ask, request)
        return registers_pb2.SubmitProjectResponse.FromString(self._steps.run(StepKind.SUBMIT_PROJECT, ask))

    def _validate_project(
        self, ask: Ask, request: registers_pb2.SubmitProjectRequest
    ) -> registers_pb2.SubmitProjectResponse:
        project, claim = self._submit(lambda group: self._submission.prepare(group, ask.by, request))
        verdict = self._claims.check(self._steps.leaving(claim))
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
            row = store.load_project(group.connection, require_id(request.project_id, "project_id"))
            if row is None or row.project.state != HELD:
                return None
            return once(group, ask, lambda: _withdraw_held(group, ask, request, row))

        kept = self._submit(local)
        if kept is None:  # its claim is live: the bridge must let it go
            kept = self._steps.run(StepKind.WITHDRAW_PROJECT, ask)
        return registers_pb2.WithdrawProjectResponse.FromString(kept)


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
        owner_account_id=require_text(
            given.owner_account_id, "project.owner_account_id", length_max=ACCOUNT_ID_LENGTH_MAX
        ),
        methodology_id=require_text(given.methodology_id, "project.methodology_id", length_max=64),
        asset=given.asset,
        attribute=given.attribute,
        crediting_period=given.crediting_period,
        no_duplicate_commitment=given.no_duplicate_commitment,
        gec_freeze_consent=given.gec_freeze_consent,
        documents=clean_documents(given.documents, "project.documents"),
        invented=given.invented,
        origin=given.origin or registers_pb2.PROJECT_ORIGIN_PROJECT,
    )
    if given.HasField("grid_connection_date"):
        project.grid_connection_date.CopyFrom(given.grid_connection_date)
    return project


class _Submission:
    """Submit a project: checked, declared at the bridge, then entered as the verdict says."""

    def prepare(
        self, group: Group, by: By, request: registers_pb2.SubmitProjectRequest
    ) -> tuple[registers_pb2.Project, claims_pb2.Claim]:
        """Check everything but the claim; gives the project and its claim."""
        project = _clean_project(request.project)
        project_id = project.project_id
        known = store.load_project(group.connection, project_id)
        if known is not None:
            require_declarable_again(known, project, by)
        require_register(group.pack, project)
        account = require_owner(group, project.owner_account_id, "project.owner_account_id")
        row = ProjectRow(project, 0, by.party)
        act = submission(group, row, by)
        group.pack.require(act)
        require_acting_for(group, by, act.act(), account)
        claim = project_claim(group.context.region_code, group.pack, project, account)
        claim.claim_id = fresh_claim_id(claim.claim_id, store.spent_claims(group.connection, project_id))
        project.claim_id = claim.claim_id
        return project, claim

    def judge(
        self, group: Group, by: By, project: registers_pb2.Project, verdict: claims_pb2.Verdict
    ) -> Verdict:
        """Ask the rules with what the claim check found."""
        answer = claim_answer(verdict, project.claim_id, group.legal_date)
        row = ProjectRow(project, 0, by.party)
        return group.pack.evaluate(submission(group, row, by, claim=answer))

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
        known = store.load_project(group.connection, project.project_id)
        if known is not None and not is_declarable_again(known):
            return self._overtaken(group, project, receipt)
        row = ProjectRow(project, 0, step.caller)
        if known is not None:
            project.history.extend(known.project.history)
        enter = store.insert_project if known is None else store.update_project
        if is_scene(project) and (is_barred(verdict) or needs_a_person(verdict)):
            # The machine of scenes has no state in which a file waits: it is handed in again.
            if receipt.message.status == claims_pb2.CLAIM_STATUS_DECLARED:
                release_later(group, project.claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, "not cleared")
            return refusal_of_verdict(verdict, rules)
        if is_barred(verdict):
            refusal = refusal_of_verdict(verdict, rules)
            change(group, row, REJECTED, rules, step.caller, receipt=receipt, reason=str(refusal))
            enter(group.connection, row)
            return refusal
        held = needs_a_person(verdict)
        reason = str(refusal_of_verdict(verdict, rules)) if held else ""
        change(group, row, HELD if held else SUBMITTED, rules, step.caller, receipt=receipt, reason=reason)
        enter(group.connection, row)
        return registers_pb2.SubmitProjectResponse(project=project, verdict=verdict).SerializeToString()

    @staticmethod
    def _overtaken(group: Group, project: registers_pb2.Project, receipt: Receipt) -> DomainError:
        """Let the new claim go: a resolution has meanwhile let the project's first one stand."""
        if receipt.message.status == claims_pb2.CLAIM_STATUS_DECLARED:
            release_later(group, project.claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, "overtaken")
        return DomainError(
            "ALREADY_EXISTS", field="project.project_id", what="project", id=project.project_id
        )

    def abandon(self, group: Group, step: StepRow, refusal: DomainError) -> None:
        """The bridge took no claim: there is no project."""
        del group, step, refusal


def _assess(
    group: Group, ask: Ask, request: registers_pb2.AssessProjectRequest
) -> registers_pb2.AssessProjectResponse:
    require_assessment(request)
    row = require_project(group, request.project_id)
    require_event(group, row, "assess", without_a_machine=SUBMITTED)
    project = row.project
    joint = joint_of(group, row, assess_decision(request))
    note_assessment(group, ask.by, project, request)
    opinion = request.opinion
    act = assessment_act(group, row, ask.by, joint)
    verdict = require_decision(group.pack, act)
    state = ASSESSED if request.passed else REJECTED
    change(group, row, state, verdict, ask.by.party, reason="" if request.passed else opinion, act=act)
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
        if not waits_in_notice(row):
            require_state(row, ASSESSED)
        self._verdict(group, row, ask.by)
        statement = move_statement(group, row, claims_pb2.CLAIM_STATUS_NOTICE)
        return Begun(row.project.project_id, statement, ask.body)

    def _verdict(
        self, group: Group, row: ProjectRow, by: By, claim: acts.ClaimAnswer = CLEARED
    ) -> tuple[Verdict, acts.Notice]:
        kind = notice_kind(row.project)
        rule = group.pack.notice_rule(kind)
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
                object_kind=kind,
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
            held = REJECTED if is_scene(row.project) else HELD
            change(group, row, held, None, step.caller, receipt=receipt, reason=str(refusal))
            if is_scene(row.project):
                release_later(group, row.project.claim_id, claims_pb2.CLAIM_STATUS_REJECTED, refusal.symbol)
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


def _require_publishable(group: Group, row: ProjectRow) -> None:
    if group.pack.notice_rule(notice_kind(row.project)) is not None:
        require_state(row, NOTICE)
    elif reviews(group, row):
        require_state(row, ASSESSED, REVIEWED)
    else:
        require_state(row, ASSESSED)


class _Publication:
    """Publish a project, once the bridge has registered its claim."""

    def begin(self, group: Group, ask: Ask) -> Begun:
        """Check notice and assessment."""
        request = registers_pb2.PublishProjectRequest.FromString(ask.body)
        row = require_project(group, request.project_id)
        _require_publishable(group, row)
        require_decision(group.pack, publication(group, row, ask.by))
        statement = move_statement(group, row, claims_pb2.CLAIM_STATUS_REGISTERED)
        return Begun(row.project.project_id, statement, ask.body)

    def finish(self, group: Group, step: StepRow, receipt: Receipt) -> Outcome:
        """Enter it into the public list."""
        request = registers_pb2.PublishProjectRequest.FromString(step.command)
        row = require_project(group, request.project_id)
        act = publication(group, row, By(step.caller, step.role), begun=True)
        verdict = require_decision(group.pack, act)
        row.project.publish_date.CopyFrom(wire_date(group.legal_date))
        if row.project.state == ASSESSED and reviews(group, row):
            # Who publishes what the experts assessed has reviewed it: both states stand in the history.
            change(group, row, REVIEWED, verdict, step.caller)
        change(group, row, PUBLISHED, verdict, step.caller, receipt=receipt, act=act)
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
        require_state(row, *WITHDRAWABLE)
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
    if has_live_claim(row):
        release_later(group, row.project.claim_id, claims_pb2.CLAIM_STATUS_WITHDRAWN, reason)
    return registers_pb2.WithdrawProjectResponse(project=row.project)
