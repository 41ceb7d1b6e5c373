"""Metered activity of projects: recorded once, kept as evidence; the same data again change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

import sqlalchemy as sa

from tanqiao.api.region.v1 import registers_pb2
from tanqiao.kernel.errors import Bilingual, DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import parse_wire_period, require_count
from tanqiao_region.application import journal
from tanqiao_region.application.access import require_acting_for
from tanqiao_region.application.activity_checks import (
    Bounds,
    checked_row,
    digest_of,
    recorded_or_clash,
    within_one_another,
)
from tanqiao_region.application.claim_steps import Ask, Submit
from tanqiao_region.application.commands import By
from tanqiao_region.application.consents import MeteredRecord, UserRecord, standing_of
from tanqiao_region.application.group import Group
from tanqiao_region.application.project_acts import authorisation_of, is_scene, source_of
from tanqiao_region.application.register_checks import (
    ASSESSED,
    CONNECTED,
    ENDED,
    HELD,
    NOTICE,
    PUBLISHED,
    SUBMITTED,
    SUSPENDED,
    act_facts,
    once,
    require_owner,
    require_project,
    require_state,
)
from tanqiao_region.application.register_facts import participant_of
from tanqiao_region.domain.quantification.distributed_pv import DistributedPv
from tanqiao_region.domain.quantification.travel import Travel
from tanqiao_region.domain.rules import facts as acts
from tanqiao_region.domain.rules.verdicts import Verdict
from tanqiao_region.storage import issuance as store
from tanqiao_region.storage import registers as register_store
from tanqiao_region.storage.issuance import ActivityRow
from tanqiao_region.storage.registers import ProjectRow

RECORDS_PER_CALL_MAX: Final = 1000
OPEN_STATES: Final = (SUBMITTED, ASSESSED, NOTICE, PUBLISHED, HELD)
"""States in which data are taken: the first issuance may be asked for together with the project (SH-15b)."""
FED_STATES: Final = (CONNECTED, SUSPENDED, ENDED)
"""States of a scene whose feed was connected."""
EVIDENCE: Final = frozenset({"data_batch_digest", "submitter_signature"})
"""What every batch brings: its digest, and a submitter who proved to be itself on the line."""


def bounds_of(row: ProjectRow, today: date) -> Bounds:
    """Give what rows of a project are held against."""
    project = row.project
    return Bounds(
        parse_wire_period(project.crediting_period), project.claim_id, today, project.asset.capacity_kw
    )


def require_kind_of_records(group: Group, row: ProjectRow, plug_in: str) -> None:
    """Refuse records that the methodology does not compute with.

    Args:
        group: the transaction.
        row: the project.
        plug_in: what computes with such records.
    """
    methodology = register_store.load_methodology(group.connection, row.project.methodology_id)
    computes = methodology.quantification if methodology is not None else ""
    if (computes == Travel.name) == (plug_in == Travel.name):
        return
    detail = Bilingual(
        f"方法学{row.project.methodology_id}以{computes}计算", f"{row.project.methodology_id}: {computes}"
    )
    raise DomainError("FIELD_INVALID", field="records", detail=detail)


def ask_rules(
    group: Group,
    by: By,
    row: ProjectRow,
    period: Period,
    plug_in: str = DistributedPv.name,
    records: Iterable[Sequence[UserRecord]] = (),
) -> Verdict:
    """Ask whether this submitter may hand in data of this kind, project and period, of these users.

    Args:
        group: the transaction.
        by: who hands in.
        row: the project.
        period: from the first to the last day.
        plug_in: what computes with such records.
        records: those that are new, in pieces: what is recorded asks for no consent, and changes nothing.
    """
    if not is_scene(row.project):
        require_state(row, *OPEN_STATES)
    account = require_owner(group, row.project.owner_account_id, "project_id")
    region = group.context.region_code
    require_kind_of_records(group, row, plug_in)
    users = standing_of(group, account, row.project.project_id, records)
    verdict = group.pack.require(
        acts.SubmitActivityData(
            **act_facts(group, by),
            source=source_of(row.project),
            source_id=row.project.project_id,
            submitter=participant_of(account, row.project, region, group.legal_date),
            period_start=period.start,
            period_end=period.end,
            lines_outside_mandate=users.outside_mandate,
            lines_without_consent=users.without_consent,
            lines_withdrawn=users.withdrawn,
            feed_validated=not is_scene(row.project) or row.project.state in FED_STATES,
            authorisation=authorisation_of(row.project, period.start, period.end),
            evidence=EVIDENCE,
        )
    )
    if is_scene(row.project):
        require_state(row, CONNECTED)
    require_acting_for(group, by, acts.SubmitActivityData.act(), account)
    return verdict


def hull_of(rows: Sequence[ActivityRow]) -> Period:
    """Give the period from the first to the last day of the rows."""
    return Period(
        date.fromisoformat(min(row.start_date for row in rows)),
        date.fromisoformat(max(row.end_date for row in rows)),
    )


def record_batch(
    group: Group, by: By, row: ProjectRow, verdict: Verdict, *, digest: bytes, row_count: int
) -> int:
    """Note a batch in the journal and in the evidence; its id, under which its rows are then inserted."""
    project_id = row.project.project_id
    batch_id = group.journal.append(
        journal.ACTIVITY_RECORDED,
        project_id,
        (journal.Effect(row.project.owner_account_id),),
        applied=journal.Applied.of(verdict),
        details={"by": by.party, "rows": str(row_count), "digest": digest.hex()},
    )
    store.insert_batch(
        group.connection,
        batch_id=batch_id,
        project_id=project_id,
        digest=digest,
        row_count=row_count,
        submitted_by=by.party,
        recorded_at=group.now,
    )
    return batch_id


class Activity:
    """Activity handed in by calls.

    Args:
        submit: the node's writer.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit

    def submit_activity(
        self, ask: Ask, request: registers_pb2.SubmitActivityRequest
    ) -> registers_pb2.SubmitActivityResponse:
        """Record rows, all or none."""
        kept = self._submit(lambda group: once(group, ask, lambda: _submit_activity(group, ask.by, request)))
        return registers_pb2.SubmitActivityResponse.FromString(kept)


def _submit_activity(
    group: Group, by: By, request: registers_pb2.SubmitActivityRequest
) -> registers_pb2.SubmitActivityResponse:
    row = require_project(group, request.project_id)
    require_count(request.records, "records", limit=RECORDS_PER_CALL_MAX)
    bounds = bounds_of(row, group.legal_date)
    rows = []
    for position, record in enumerate(request.records):
        at = f"records[{position}]."
        period = parse_wire_period(record.period, f"{at}period")
        rows.append(
            checked_row(bounds, period, record.on_grid_wh, record.self_use_wh, record.meter, prefix=at)
        )
    within_one_another(rows)
    new = (unrecorded(group.connection, row.project.project_id, piece) for piece in (rows,))
    verdict = ask_rules(group, by, row, hull_of(rows), records=new)
    fresh = fresh_rows(group, row.project.project_id, rows)
    if fresh:
        batch_id = record_batch(
            group, by, row, verdict, digest=digest_of(sorted(fresh)), row_count=len(fresh)
        )
        store.insert_activity(
            group.connection, row.project.project_id, fresh, batch_id=batch_id, recorded_at=group.now
        )
    return registers_pb2.SubmitActivityResponse(
        accepted_count=len(rows), unchanged_count=len(rows) - len(fresh)
    )


def unrecorded(
    connection: sa.Connection, project_id: str, rows: Sequence[ActivityRow]
) -> list[MeteredRecord]:
    """Give what of these rows is not recorded just so, as records of users; each meter names one."""
    beside = store.activity_beside(connection, project_id, rows)
    recorded = {one for known in beside.values() for one in known}
    return [MeteredRecord(row.meter, row.start_date, row.end_date) for row in rows if row not in recorded]


def fresh_rows(group: Group, project_id: str, rows: Sequence[ActivityRow]) -> list[ActivityRow]:
    """Give the rows that are not recorded yet; one that contradicts the record is refused."""
    beside = {
        meter: sorted(recorded, key=lambda one: one.start_date)
        for meter, recorded in store.activity_beside(group.connection, project_id, rows).items()
    }
    fresh = []
    for position, row in enumerate(rows):
        try:
            if recorded_or_clash(row, beside.get(row.meter, [])) is None:
                fresh.append(row)
        except DomainError as refusal:
            refusal.field = f"records[{position}].period"
            raise
    return fresh
