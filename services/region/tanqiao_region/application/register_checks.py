"""What every command of a register checks in the same way, and the facts that every act on a project has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.region.v1 import dossiers_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import (
    optional_text,
    require_text,
)
from tanqiao_region.application.claim_steps import (
    ACCEPTED,
    Ask,
    decode_outcome,
)
from tanqiao_region.application.commands import By
from tanqiao_region.application.group import Group
from tanqiao_region.application.register_facts import (
    date_or_none,
    document_kinds,
    methodology_version,
    participant_of,
    reports_of,
)
from tanqiao_region.application.rules import actor_of
from tanqiao_region.domain.rules.facts import Report, Subject, SubjectType, ThirdParty
from tanqiao_region.domain.rules.lifecycles import Lifecycle
from tanqiao_region.domain.rules.pack import RulePack
from tanqiao_region.storage import dossiers
from tanqiao_region.storage import registers as store
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR, AccountRow
from tanqiao_region.storage.registers import ProjectRow

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
VERIFIER_APPOINTED: Final = registers_pb2.PROJECT_STATE_VERIFIER_APPOINTED
VERIFIED: Final = registers_pb2.PROJECT_STATE_VERIFIED
REVIEWED: Final = registers_pb2.PROJECT_STATE_REVIEWED
OBJECTED: Final = registers_pb2.PROJECT_STATE_OBJECTED
DATA_VALIDATED: Final = registers_pb2.PROJECT_STATE_DATA_VALIDATED
CONNECTED: Final = registers_pb2.PROJECT_STATE_CONNECTED
SUSPENDED: Final = registers_pb2.PROJECT_STATE_SUSPENDED
ENDED: Final = registers_pb2.PROJECT_STATE_ENDED
WITHDRAWABLE: Final = (SUBMITTED, VERIFIER_APPOINTED, VERIFIED, ASSESSED, REVIEWED, NOTICE, OBJECTED)
"""States in which the claim is live and the applicant may still go."""
MACHINE_STATES: Final = {"EXPERT_ASSESSED": "ASSESSED"}
"""States of a machine that have another name on the wire."""
THIRD_PARTIES_MAX: Final = 1000


def state_name(state: int) -> str:
    """Give a project's state in a sentence: ``NOTICE``."""
    return registers_pb2.ProjectState.Name(state).removeprefix("PROJECT_STATE_")  # type: ignore[arg-type]


def require_id(value: str, field: str) -> str:
    """Give an id of letters, digits, ``. _ -``, at most 48; else FIELD_MISSING or FIELD_INVALID."""
    if not value:
        raise DomainError("FIELD_MISSING", field=field)
    if ID_TEXT.fullmatch(value) is None:
        raise DomainError("FIELD_INVALID", field=field, detail=value[:48])
    return value


def once(group: Group, ask: Ask, decide: Callable[[], Message]) -> bytes:
    """Decide a command of one transaction and keep its response, which the same request gets again."""
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


def machine_of(pack: RulePack, account: AccountRow, origin: int = 0) -> Lifecycle | None:
    """Give the machine of a project: one for all, or the one of its owner's track; None without any.

    A reduction scene has its own.
    """
    if origin == registers_pb2.PROJECT_ORIGIN_REDUCTION_SCENE:
        return pack.data.lifecycles.get("reduction_scene")
    track = "project_of_small_enterprise"
    if account.kind == KIND_DATA_OPERATOR:
        track = "project_of_operator"
    machines = pack.data.lifecycles
    return machines.get("project") or machines.get(track)


def require_event(group: Group, row: ProjectRow, event: str, *, without_a_machine: int | None = None) -> None:
    """Refuse a step that is not open to the project by the machine of its pack.

    Args:
        group: the transaction.
        row: the project.
        event: an event of the machine.
        without_a_machine: state in which the step is open under a pack that has no machine for projects.
    """
    account = require_owner(group, row.project.owner_account_id, "project.owner_account_id")
    machine = machine_of(group.pack, account, row.project.origin)
    if machine is None:
        require_state(row, *(() if without_a_machine is None else (without_a_machine,)))
        return
    edges = [edge.state for edge in machine.transitions if edge.event == event]
    names = [MACHINE_STATES.get(state, state) for state in edges]
    require_state(row, *(registers_pb2.ProjectState.Value(f"PROJECT_STATE_{name}") for name in names))


def third_party(group: Group, body: str) -> ThirdParty:
    """Give a third party as the list of the region shows it; a region without a list takes its word."""
    listed = dossiers.list_dossiers(
        group.connection, dossiers_pb2.DOSSIER_KIND_THIRD_PARTY, (), after="", limit=THIRD_PARTIES_MAX
    )
    found = next((one.message for one in listed if body in (one.message.title, one.message.dossier_id)), None)
    if found is None:
        return ThirdParty(body=body, qualified=not listed)
    since = date_or_none(found.state_date) if found.state == "SUSPENDED" else None
    return ThirdParty(body=body, suspended_from=since)


def reports_on_file(
    group: Group, project: registers_pb2.Project, documents: Iterable[registers_pb2.ProjectDocument]
) -> tuple[Report, ...]:
    """Give the third parties' reports in a file: as the list shows each body, and who appointed it."""
    verifier = project.verifier
    return tuple(
        replace(
            report,
            third_party=third_party(group, report.third_party.body),
            appointed_by_role=verifier.appointed_by_role if report.third_party.body == verifier.body else "",
        )
        for report in reports_of(documents)
    )


def with_registration(group: Group, subject: Subject) -> Subject:
    """Give a data-platform operator with what its dossier says of its registration, where it has one."""
    if subject.subject_type is not SubjectType.DATA_OPERATOR:
        return subject
    found = dossiers.dossier_of_account(
        group.connection, dossiers_pb2.DOSSIER_KIND_DATA_OPERATOR, subject.subject_id
    )
    if found is None:
        return subject
    suspended = date_or_none(found.state_date) if found.state == "SUSPENDED" else None
    return replace(subject, registered_from=date_or_none(found.publish_date), suspended_from=suspended)


def require_owner(group: Group, account_id: str, field: str) -> AccountRow:
    """Give an open account."""
    account = group.load_accounts([account_id]).get(account_id)
    if account is None:
        raise DomainError("ACCOUNT_UNKNOWN", field=field, account_id=account_id[:32])
    if not account.is_open:
        raise DomainError("ACCOUNT_CLOSED", field=field, account_id=account_id)
    return account


def project_facts(group: Group, row: ProjectRow, by: By, *, new: bool = False) -> dict[str, Any]:
    """Give what every act on a project looks at; `new` while it is being submitted."""
    project = row.project
    account = require_owner(group, project.owner_account_id, "project.owner_account_id")
    region = group.context.region_code
    methodology = store.load_methodology(group.connection, project.methodology_id)
    version = methodology_version(group.pack, methodology, for_a_new_project=new)
    if version is None:
        raise DomainError("METHODOLOGY_NOT_PUBLISHED", number=project.methodology_id)
    return {
        **act_facts(group, by),
        "project_id": project.project_id,
        "participant": with_registration(group, participant_of(account, project, region, group.legal_date)),
        "methodology": version,
        "documents": document_kinds(project.documents),
        "reports": reports_on_file(group, project, project.documents),
        "capacity_w": project.asset.capacity_kw * 1000 if project.asset.capacity_kw else None,
    }


def act_facts(group: Group, by: By) -> dict[str, Any]:
    """Give what every act has: its day, its node, who acts."""
    region = group.context.region_code
    return {"on": group.legal_date, "node_region": region, "object_region": region, "actor": actor_of(by)}


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
