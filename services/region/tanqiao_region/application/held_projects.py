"""Projects that wait for a person (HELD_FOR_REVIEW), and their ways on.

- A case is resolved: the bridge tells (`claim_notices`), and the project goes on or ends by itself.
- Its claim does not stand (held when it was declared, or its lease ran out): the applicant submits the file
  again, under the same project id; it is declared anew, under a new claim id, and judged on what is so then.
- Its claim stands in its notice at the bridge and the region's rules wait for something, such as a freeze at
  another registry: the notice is opened again; the bridge judges the claim once more.
- It is withdrawn.
"""

from __future__ import annotations

from typing import Final

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao_region.application.commands import By
from tanqiao_region.application.register_checks import HELD
from tanqiao_region.storage.registers import ProjectRow

LIVE: Final = (
    claims_pb2.CLAIM_STATUS_DECLARED,
    claims_pb2.CLAIM_STATUS_NOTICE,
    claims_pb2.CLAIM_STATUS_REGISTERED,
)


def _status(row: ProjectRow) -> int:
    """Give where the claim stands; of a file of an earlier release the newest receipt says it."""
    project = row.project
    if project.claim_status:
        return int(project.claim_status)
    newest = project.later_claim_receipts[-1] if project.later_claim_receipts else project.claim_receipt
    return int(claims_pb2.ClaimReceipt.FromString(newest.payload).status)


def has_live_claim(row: ProjectRow) -> bool:
    """Whether the bridge holds the project's claim as live, as far as is known here."""
    return _status(row) in LIVE


def waits_in_notice(row: ProjectRow) -> bool:
    """Whether the project is held while its claim stands in its notice at the bridge."""
    return row.project.state == HELD and _status(row) == claims_pb2.CLAIM_STATUS_NOTICE


def is_declarable_again(row: ProjectRow) -> bool:
    """Whether the project is held and its claim stands no more."""
    return row.project.state == HELD and not has_live_claim(row)


def require_declarable_again(row: ProjectRow, project: registers_pb2.Project, by: By) -> None:
    """Refuse a file that may not take the place of the one that stands there.

    Raises:
        DomainError: ALREADY_EXISTS, ROLE_NOT_PERMITTED, FIELD_INVALID.
    """
    if not is_declarable_again(row):
        raise DomainError("ALREADY_EXISTS", field="project.project_id", what="project", id=project.project_id)
    if by.party != row.submitted_by:
        raise DomainError("ROLE_NOT_PERMITTED", role=by.role, action="SubmitProject", body=row.submitted_by)
    for field, given, stands in (
        ("project.owner_account_id", project.owner_account_id, row.project.owner_account_id),
        ("project.methodology_id", project.methodology_id, row.project.methodology_id),
        ("project.origin", project.origin, row.project.origin),
    ):
        if given != stands:
            raise DomainError("FIELD_INVALID", field=field, detail=f"{stands} before")
