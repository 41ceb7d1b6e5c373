"""`tanqiao disclosure`: the public lists of a region, to look at and to export."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Final

import click

from tanqiao.api.region.v1 import disclosure_pb2
from tanqiao.cli.acting import acting, client_for
from tanqiao.cli.output import message_fields
from tanqiao.cli.session import Session
from tanqiao.cli.verb import Verb
from tanqiao.client import RegionClient
from tanqiao.kernel.errors import DomainError

PAGE_SIZE: Final = 500
ROWS_MAX: Final = 1_000_000
NOT_KEPT_YET: Final = (
    "本节点尚未建立“{slug}”的登记册，空表不说明任何情况。"
    "No register is kept for {slug} yet: that it is empty says nothing."
)


@click.group()
def disclosure() -> None:
    """Public lists of a region: those of its rule pack, with the article behind each."""


@disclosure.command("list", cls=Verb)
@acting
@click.pass_obj
def list_disclosures(session: Session, region_name: str, role: str | None) -> None:
    """List what the region publishes."""
    client = client_for(session, region_name, "read", role)
    answer = client.disclosure.ListDisclosures(disclosure_pb2.ListDisclosuresRequest())
    session.output.rows(
        ("列表 list", "名称 title", "条款 article", "法定 by law", "建册 kept"),
        [
            (
                one.slug,
                f"{one.title_zh} {one.title_en}",
                one.article_zh,
                "是 yes" if one.ordered_by_law else "–",
                "尚未 not yet" if one.not_kept_yet else "是 yes",
            )
            for one in answer.disclosures
        ],
        json_value=message_fields(answer),
    )


@disclosure.command("export", cls=Verb)
@acting
@click.argument("slug")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="Form of the file.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [default: print]"
)
@click.option(
    "--as-of", "as_of_index", type=click.IntRange(min=1), help="Index of the journal. [default: now]"
)
@click.pass_obj
def export(
    session: Session,
    region_name: str,
    role: str | None,
    slug: str,
    form: str,
    out: Path | None,
    as_of_index: int | None,
) -> None:
    """Export a whole list as it stands, or stood, at one index of the journal."""
    client = client_for(session, region_name, "read", role)
    head, rows = _whole(client, slug, as_of_index or 0)
    text = _as_csv(head, rows) if form == "csv" else _as_json(head, rows)
    if head.disclosure.not_kept_yet:
        click.echo(NOT_KEPT_YET.format(slug=slug), err=True)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8", newline="")
    session.output.answer({"file": str(out), "rows": len(rows), "as_of_index": head.as_of_index})


def _whole(
    client: RegionClient, slug: str, as_of_index: int
) -> tuple[disclosure_pb2.ReadDisclosureResponse, list[list[str]]]:
    """Read every page at one index of the journal: that of the first page, whatever is written meanwhile."""

    def page(index: int, token: str) -> disclosure_pb2.ReadDisclosureResponse:
        return client.disclosure.ReadDisclosure(
            disclosure_pb2.ReadDisclosureRequest(
                slug=slug, page_size=PAGE_SIZE, page_token=token, as_of_index=index
            )
        )

    head = last = page(as_of_index, "")
    rows = [list(row.values) for row in head.rows]
    while last.next_page_token:
        if len(rows) >= ROWS_MAX:
            raise DomainError("BATCH_TOO_LARGE", field="rows", limit=ROWS_MAX, count=len(rows))
        last = page(head.as_of_index, last.next_page_token)
        rows += [list(row.values) for row in last.rows]
    return head, rows


def _as_csv(head: disclosure_pb2.ReadDisclosureResponse, rows: list[list[str]]) -> str:
    """Give a table whose last column says at which index of the journal it stands."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*head.disclosure.fields, "as_of_index"])
    writer.writerows([*(_plain(value) for value in row), head.as_of_index] for row in rows)
    return buffer.getvalue()


def _plain(value: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t") else value


def _as_json(head: disclosure_pb2.ReadDisclosureResponse, rows: list[list[str]]) -> str:
    fields = list(head.disclosure.fields)
    document = {
        "list": head.disclosure.slug,
        "title": f"{head.disclosure.title_zh} / {head.disclosure.title_en}",
        "article_zh": head.disclosure.article_zh,
        "article_en": head.disclosure.article_en,
        "not_kept_yet": head.disclosure.not_kept_yet,
        "as_of_index": head.as_of_index,
        "as_of_time": head.as_of_time.ToJsonString(),
        "rows": [dict(zip(fields, row, strict=True)) for row in rows],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
