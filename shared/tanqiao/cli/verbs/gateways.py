"""`tanqiao import`: an official list of an outside registry into its gateway."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import click

from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.cli.output import EXIT_REFUSED
from tanqiao.cli.parse import to_date
from tanqiao.cli.session import Session, new_request_id
from tanqiao.cli.verb import Verb
from tanqiao.client import GatewayClient
from tanqiao.kernel.errors import DomainError

CHUNK_BYTES: Final = 256 * 1024
OPERATOR: Final = "operator/310000/sh.centre"
"""Imports lists into the gateways of the local federation; on a test network any operator may."""
ROWS_SHOWN_MAX: Final = 20


@click.command("import", cls=Verb)
@click.argument("registry", type=click.Choice(["ccer", "gec"]))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--source", required=True, help="Where the list comes from, in words.")
@click.option("--as-of", required=True, help="Day for which the list speaks: 2026-03-01")
@click.option("--mapping", default="", help="Column mapping; empty: the gateway's own layout.")
@click.option("--validate-only", is_flag=True, help="Check every row and import nothing.")
@click.pass_obj
def import_list(
    session: Session,
    registry: str,
    file: Path,
    source: str,
    as_of: str,
    mapping: str,
    validate_only: bool,
) -> None:
    """Import FILE (CSV, JSON or XLSX) into the gateway of REGISTRY: all of it, or nothing.

    Every bad row is named with its line, column and reason; the exit code is then 1.
    """
    from tanqiao.kernel.periods import parse_date

    client = session.gateway(registry, role=OPERATOR)
    answer = upload_list(
        client,
        file,
        source=source,
        as_of=parse_date(as_of),
        mapping=mapping,
        validate_only=validate_only,
    )
    one = answer.list_import
    session.output.message(
        answer,
        {
            "导入 import": one.import_id or "–",
            "行 rows": one.row_count,
            "接受 accepted": one.accepted_count,
            "拒绝 rejected": one.rejected_count,
            "已提交 committed": "✓" if answer.committed else "✗",
        },
    )
    for row in answer.errors[:ROWS_SHOWN_MAX]:
        session.output.say(
            f"  行 line {row.line_number} {row.column}: {row.refusal.reason} "
            f"{row.refusal.sentence_zh} / {row.refusal.sentence_en}",
            "red",
        )
    if not (answer.committed or validate_only) or answer.errors:
        raise click.exceptions.Exit(EXIT_REFUSED)


def upload_list(
    client: GatewayClient,
    file: Path,
    *,
    source: str,
    as_of: date,
    mapping: str = "",
    validate_only: bool = False,
    request_id: str | None = None,
) -> registry_pb2.ImportListResponse:
    """Send a file to a gateway.

    Raises:
        DomainError: FILE_MISSING, FORMAT_UNKNOWN, or what the gateway refuses.
    """
    formats = {
        ".csv": registry_pb2.LIST_FORMAT_CSV,
        ".json": registry_pb2.LIST_FORMAT_JSON,
        ".xlsx": registry_pb2.LIST_FORMAT_XLSX,
    }
    if file.suffix.lower() not in formats:
        raise DomainError("FORMAT_UNKNOWN", file=file.name, supported=sorted(formats))
    if not file.is_file():
        raise DomainError("FILE_MISSING", file=file)
    start = registry_pb2.ImportListRequest.Start(
        request_id=request_id or new_request_id(),
        format=formats[file.suffix.lower()],
        source=source,
        as_of_date=to_date(as_of),
        file_name=file.name,
        mapping=mapping,
        validate_only=validate_only,
    )

    def parts() -> Iterator[registry_pb2.ImportListRequest]:
        yield registry_pb2.ImportListRequest(start=start)
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                yield registry_pb2.ImportListRequest(chunk=chunk)

    return client.registry.ImportList(parts())
