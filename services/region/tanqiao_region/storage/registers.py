"""Registers: methodologies, projects, reserve entries, and commands that wait for the bridge's receipt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.region.v1 import registers_pb2, reserve_pb2
from tanqiao.db.bulk import insert_rows, rows_by_key, update_by_key
from tanqiao_region.storage import versions
from tanqiao_region.storage.tables import claim_step, methodology, project, resource, resource_asset

OPEN: Final = 1
DONE: Final = 2
REFUSED: Final = 3
OPEN_STEPS_MAX: Final = 1000
"""Most open steps that one round takes up again."""


@dataclass(frozen=True, slots=True)
class MethodologyRow:
    """A published methodology: as it is shown, and the request that it was decided on."""

    methodology: registers_pb2.Methodology
    content: bytes
    published_by: str
    rule_pack_id: str
    rule_pack_version: str


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project as it stands: the message that is shown, and what only the node knows."""

    project: registers_pb2.Project
    carried_g: int
    submitted_by: str


@dataclass(frozen=True, slots=True)
class StepRow:
    """A command between its two transactions (see `tables.claim_step`)."""

    step_id: str
    kind: int
    subject_id: str
    caller: str
    role: str
    request_id: str
    body_hash: bytes
    command: bytes
    envelope: bytes
    state: int
    receipt: bytes
    created_at: int
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """A reserve entry and the keys of its asset."""

    resource: reserve_pb2.CarbonResource
    claim_id: str
    asset_keys: tuple[str, ...]
    entered_at: int
    entered_by: str


def iso_text(day: values_pb2.Date) -> str:
    """Give a date of a message as ISO text; empty where it is not set."""
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}" if day.year else ""


def set_iso_date(target: values_pb2.Date, text: str) -> None:
    """Set a date of a message from ISO text; nothing for an empty one."""
    if text:
        target.year, target.month, target.day = (int(part) for part in text.split("-"))


# -- methodologies


def insert_methodology(connection: sa.Connection, row: MethodologyRow) -> None:
    """Publish a methodology; kind and class stay for ever."""
    message = row.methodology
    insert_rows(
        connection,
        methodology,
        [
            (
                message.methodology_id,
                int(message.kind),
                message.unit_class,
                message.title,
                message.quantification,
                iso_text(message.publish_date),
                message.document,
                message.invented,
                row.content,
                row.published_by,
                row.rule_pack_id,
                row.rule_pack_version,
                "",
                "",
            )
        ],
    )
    _keep_methodology(connection, message)


def _keep_methodology(connection: sa.Connection, message: registers_pb2.Methodology) -> None:
    content = message.SerializeToString(deterministic=True)
    versions.keep_version(connection, versions.METHODOLOGY, message.methodology_id, content)


def end_methodology(
    connection: sa.Connection, methodology_id: str, day: str, *, running_projects_keep_it: bool
) -> None:
    """Note from which day on, ISO, a methodology is no longer in use, or only by projects that have it."""
    column = "supersede_date" if running_projects_keep_it else "stop_date"
    update_by_key(connection, methodology, ("methodology_id",), (column,), [(methodology_id, day)])
    ended = load_methodology(connection, methodology_id)
    if ended is not None:
        _keep_methodology(connection, ended)


def load_methodology(connection: sa.Connection, methodology_id: str) -> registers_pb2.Methodology | None:
    """Give a published methodology, or None."""
    found = connection.execute(
        sa.select(methodology).where(methodology.c.methodology_id == methodology_id)
    ).first()
    return None if found is None else methodology_message(found)


def list_methodologies(
    connection: sa.Connection, *, after: str, limit: int
) -> list[registers_pb2.Methodology]:
    """Give a page of methodologies in the order of their numbers."""
    columns = methodology.c
    rows = connection.execute(
        sa.select(methodology)
        .where(columns.methodology_id > after)
        .order_by(columns.methodology_id)
        .limit(limit)
    )
    return [methodology_message(row) for row in rows]


def methodology_message(row: sa.Row[tuple[object, ...]]) -> registers_pb2.Methodology:
    """Give a row of the table as it is shown."""
    message = registers_pb2.Methodology(
        methodology_id=row.methodology_id,
        kind=row.kind,
        unit_class=row.unit_class,
        title=row.title,
        quantification=row.quantification,
        document=row.document,
        invented=bool(row.invented),
    )
    set_iso_date(message.publish_date, row.publish_date)
    set_iso_date(message.stop_date, row.stop_date)
    set_iso_date(message.supersede_date, row.supersede_date)
    return message


# -- projects

_PROJECT: Final = (
    "project_id",
    "title",
    "owner_account_id",
    "methodology_id",
    "state",
    "content",
    "claim_id",
    "claim_receipt",
    "notice_first_day",
    "notice_last_day",
    "publish_date",
    "carried_g",
    "submitted_by",
    "rule_pack_id",
    "rule_pack_version",
)


def insert_project(connection: sa.Connection, row: ProjectRow) -> None:
    """Put a project into the register."""
    insert_rows(connection, project, [_project_values(row)], _PROJECT)
    _keep_project(connection, row.project)


def _keep_project(connection: sa.Connection, message: registers_pb2.Project) -> None:
    content = message.SerializeToString(deterministic=True)
    versions.keep_version(connection, versions.PROJECT, message.project_id, content)


def update_project(connection: sa.Connection, row: ProjectRow) -> None:
    """Write a project as it stands now; its column of the claim keeps the first one."""
    values = dict(zip(_PROJECT, _project_values(row), strict=True))
    fixed = ("project_id", "owner_account_id", "methodology_id", "claim_id", "submitted_by")
    names = tuple(name for name in _PROJECT if name not in fixed)
    update_by_key(
        connection,
        project,
        ("project_id",),
        names,
        [(values["project_id"], *(values[name] for name in names))],
    )
    _keep_project(connection, row.project)


def set_carried(connection: sa.Connection, project_id: str, carried_g: int) -> None:
    """Note the remainder, in grams, that the next period takes over."""
    update_by_key(connection, project, ("project_id",), ("carried_g",), [(project_id, carried_g)])


def _project_values(row: ProjectRow) -> tuple[object, ...]:
    message = row.project
    return (
        message.project_id,
        message.title,
        message.owner_account_id,
        message.methodology_id,
        int(message.state),
        message.SerializeToString(deterministic=True),
        message.claim_id,
        message.claim_receipt.SerializeToString(deterministic=True),
        iso_text(message.notice_first_day),
        iso_text(message.notice_last_day),
        iso_text(message.publish_date),
        row.carried_g,
        row.submitted_by,
        message.rule_pack_id,
        message.rule_pack_version,
    )


def load_project(connection: sa.Connection, project_id: str) -> ProjectRow | None:
    """Give a project, or None."""
    rows = rows_by_key(
        connection, project, ("project_id",), [(project_id,)], ("content", "carried_g", "submitted_by")
    )
    for content, carried_g, submitted_by in rows:
        return ProjectRow(registers_pb2.Project.FromString(bytes(content)), carried_g, submitted_by)
    return None


def project_of_claim(connection: sa.Connection, claim_id: str) -> ProjectRow | None:
    """Give the project whose claim this is now, or None; ids are made by `project_claim`."""
    _, _, rest = claim_id.partition(":project:")
    row = load_project(connection, rest.partition(":")[0]) if rest else None
    return row if row is not None and row.project.claim_id == claim_id else None


def list_projects(
    connection: sa.Connection, *, state: int, after: str, limit: int
) -> list[registers_pb2.Project]:
    """Give a page of projects in the order of their ids, of one state or of any (0)."""
    columns = project.c
    statement = (
        sa.select(columns.content).where(columns.project_id > after).order_by(columns.project_id).limit(limit)
    )
    if state:
        statement = statement.where(columns.state == state)
    return [registers_pb2.Project.FromString(bytes(row.content)) for row in connection.execute(statement)]


# -- commands that wait for the bridge


def insert_step(connection: sa.Connection, row: StepRow) -> None:
    """Keep a command with its signed statement before the statement is sent (PROTOCOL R1)."""
    insert_rows(
        connection,
        claim_step,
        [tuple(getattr(row, name) for name in StepRow.__dataclass_fields__)],
        tuple(StepRow.__dataclass_fields__),
    )


def end_step(connection: sa.Connection, step_id: str, *, state: int, receipt: bytes, ended_at: int) -> None:
    """Note how a command ended."""
    update_by_key(
        connection,
        claim_step,
        ("step_id",),
        ("state", "receipt", "ended_at"),
        [(step_id, state, receipt, ended_at)],
    )


def load_step(connection: sa.Connection, step_id: str) -> StepRow | None:
    """Give a command by the id of its step."""
    return _first_step(connection, claim_step.c.step_id == step_id)


def open_step_of_request(connection: sa.Connection, caller: str, request_id: str) -> StepRow | None:
    """Give the command that a caller's request began and that has not ended, if there is one."""
    columns = claim_step.c
    return _first_step(
        connection, columns.caller == caller, columns.request_id == request_id, columns.state == OPEN
    )


def open_step_of(connection: sa.Connection, subject_id: str) -> StepRow | None:
    """Give the command that is under way about this subject, if one is."""
    return _first_step(connection, claim_step.c.subject_id == subject_id, claim_step.c.state == OPEN)


def spent_claims(connection: sa.Connection, subject_id: str) -> int:
    """Count the steps about this subject that the bridge has answered: an id behind them is new to it."""
    columns = claim_step.c
    statement = sa.select(sa.func.count()).where(
        columns.subject_id == subject_id, columns.state != OPEN, sa.func.length(columns.receipt) > 0
    )
    return int(connection.execute(statement).scalar_one())


def open_steps(connection: sa.Connection) -> list[StepRow]:
    """Give the commands under way, oldest first, at most `OPEN_STEPS_MAX`."""
    rows = connection.execute(
        sa.select(claim_step)
        .where(claim_step.c.state == OPEN)
        .order_by(claim_step.c.created_at, claim_step.c.step_id)
        .limit(OPEN_STEPS_MAX)
    )
    return [_step(row) for row in rows]


def _first_step(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> StepRow | None:
    row = connection.execute(sa.select(claim_step).where(*conditions).limit(1)).first()
    return None if row is None else _step(row)


def _step(row: sa.Row[tuple[object, ...]]) -> StepRow:
    return StepRow(
        row.step_id,
        row.kind,
        row.subject_id,
        row.caller,
        row.role,
        row.request_id,
        bytes(row.body_hash),
        bytes(row.command),
        bytes(row.envelope),
        row.state,
        bytes(row.receipt),
        row.created_at,
        row.ended_at,
    )


# -- reserve


def insert_resource(connection: sa.Connection, row: ResourceRow) -> None:
    """Enter a carbon resource."""
    insert_rows(
        connection,
        resource,
        [
            (
                row.resource.entry_id,
                row.resource.SerializeToString(deterministic=True),
                row.claim_id,
                row.resource.low_income_area,
                row.entered_at,
                row.entered_by,
            )
        ],
        ("entry_id", "content", "claim_id", "low_income_area", "entered_at", "entered_by"),
    )
    insert_rows(connection, resource_asset, [(key, row.resource.entry_id) for key in row.asset_keys])


def load_resource(connection: sa.Connection, entry_id: str) -> reserve_pb2.CarbonResource | None:
    """Give an entry, or None."""
    rows = rows_by_key(connection, resource, ("entry_id",), [(entry_id,)], ("content",))
    return reserve_pb2.CarbonResource.FromString(bytes(rows[0][0])) if rows else None


def entries_with_asset(connection: sa.Connection, asset_keys: Iterable[str]) -> tuple[str, ...]:
    """Give the numbers of entries that carry one of the keys."""
    wanted = [(key,) for key in dict.fromkeys(asset_keys)]
    rows = rows_by_key(connection, resource_asset, ("asset_key",), wanted, ("entry_id",))
    return tuple(sorted({row[0] for row in rows}))


def list_resources(
    connection: sa.Connection, *, after: tuple[bool, str] | None, limit: int
) -> Sequence[reserve_pb2.CarbonResource]:
    """Give a page of entries: those of low-income areas first (YN-15), each group in the order of numbers."""
    columns = resource.c
    statement = (
        sa.select(columns.content).order_by(columns.low_income_area.desc(), columns.entry_id).limit(limit)
    )
    if after is not None:
        low_income, entry_id = after
        behind = sa.and_(columns.low_income_area.is_(low_income), columns.entry_id > entry_id)
        if low_income:
            behind = sa.or_(behind, columns.low_income_area.is_(False))
        statement = statement.where(behind)
    rows = connection.execute(statement)
    return [reserve_pb2.CarbonResource.FromString(bytes(row.content)) for row in rows]
