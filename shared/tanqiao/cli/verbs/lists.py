"""`tanqiao lists`: how old the lists of outside registries are, what changed in them, and taking one back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import click

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.cli.local.members import GATEWAYS
from tanqiao.cli.output import message_fields
from tanqiao.cli.parse import date_text
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.cli.verbs.gateways import OPERATOR

REGISTRIES: Final = tuple(gateway.name for gateway in GATEWAYS)
SHANGHAI_OFFSET: Final = timedelta(hours=8)
PAGE_SIZE: Final = 200
CHANGES_SHOWN_MAX: Final = 1_000


@click.group()
def lists() -> None:
    """The lists of outside registries: age, changes, and taking an import back."""


@lists.command("show", cls=Verb)
@click.pass_obj
def show(session: Session) -> None:
    """Show which list each gateway answers from, and how old it is."""
    rows = []
    for name in REGISTRIES:
        status = session.gateway(name).registry.GetRegistryStatus(registry_pb2.GetRegistryStatusRequest())
        rows.append(
            (
                name.upper(),
                date_text(status.as_of_date) if status.import_id else "–",
                _age_days(status),
                status.record_count,
                status.import_id or "–",
                status.source,
            )
        )
    columns = ("名单 list", "截至 as of", "天 days old", "行 records", "导入 import", "来源 source")
    session.output.rows(columns, rows)


def _age_days(status: registry_pb2.GetRegistryStatusResponse) -> int | str:
    """Give the days between the list's day and the gateway's own; a dash without a list."""
    if not status.import_id:
        return "–"
    today = (datetime.fromtimestamp(status.time.seconds, UTC) + SHANGHAI_OFFSET).date()
    day = status.as_of_date
    return (today - date(day.year, day.month, day.day)).days


@lists.command("imports", cls=Verb)
@click.argument("registry", type=click.Choice(REGISTRIES))
@click.pass_obj
def imports(session: Session, registry: str) -> None:
    """Show the imports of a registry, newest first; those that were taken back among them."""
    answer = session.gateway(registry).registry.ListImports(
        registry_pb2.ListImportsRequest(page_size=PAGE_SIZE)
    )
    session.output.rows(
        ("导入 import", "截至 as of", "行 rows", "文件 file", "撤销 undone"),
        [
            (one.import_id, date_text(one.as_of_date), one.row_count, one.file_name, one.undo_reason)
            for one in answer.imports
        ],
    )


@lists.command("changes", cls=Verb)
@click.argument("registry", type=click.Choice(REGISTRIES))
@click.option("--from", "from_import", default="", help="An import; empty: the one before.")
@click.option("--to", "to_import", default="", help="An import; empty: the list in force.")
@click.pass_obj
def changes(session: Session, registry: str, from_import: str, to_import: str) -> None:
    """Show what appeared, vanished or changed between two imports."""
    client = session.gateway(registry).registry
    found: list[registry_pb2.RecordChange] = []
    token = ""
    while len(found) < CHANGES_SHOWN_MAX:
        answer = client.ListChanges(
            registry_pb2.ListChangesRequest(
                from_import_id=from_import, to_import_id=to_import, page_size=PAGE_SIZE, page_token=token
            )
        )
        found.extend(answer.changes)
        token = answer.next_page_token
        if not token:
            break
    session.output.rows(
        ("变化 change", "编号 reference", "名称 title", "字段 fields"),
        [
            (
                registry_pb2.RecordChangeKind.Name(one.kind).rpartition("KIND_")[2],
                one.reference,
                one.after.title or one.before.title,
                ", ".join(one.changed_fields),
            )
            for one in found
        ],
    )


@lists.command("undo", cls=Verb)
@click.argument("registry", type=click.Choice(REGISTRIES))
@click.argument("import_id")
@click.option("--reason", required=True, help="Why it is taken back; it stays beside the import.")
@click.pass_obj
def undo(session: Session, registry: str, import_id: str, reason: str) -> None:
    """Take an import back as one step; the claims that it concerned are judged again."""
    answer = session.gateway(registry, role=OPERATOR).registry.UndoImport(
        registry_pb2.UndoImportRequest(request_id=new_request_id(), import_id=import_id, reason=reason)
    )
    session.output.message(answer, message_fields(answer.current))
