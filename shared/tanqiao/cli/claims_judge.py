"""`tanqiao claims judge FILE`: judge the cases of a file (schema ``tanqiao-verdict-cases/1``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NoReturn

import click

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Largest file that is read."""

EXIT_OTHER_VERDICT: Final = 1
EXIT_UNREADABLE: Final = 2


@click.command("judge")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def judge_command(file: Path, as_json: bool) -> None:
    """Judge each case of FILE and print its verdict, level, colliding claims and article.

    Exits with 1 where a case carries another expected verdict, with 2 where the file or a case of it
    cannot be read.
    """
    from tanqiao.claims.case_report import differences, expects_another_verdict, line, summary
    from tanqiao.claims.cases import judge_document
    from tanqiao.kernel.errors import DomainError
    from tanqiao.matching.polygons import overlap_area_m2

    document = _read(file)
    try:
        results = judge_document(document, overlap_area_m2)
    except DomainError as error:
        _stop(f"{file}: {error.field}: {error.metadata.get('detail', error.symbol)}")
    for result in results:
        fields = summary(result)
        if fields is None:
            detail = "" if result.error is None else result.error.metadata.get("detail", result.error.symbol)
            field = result.case_id if result.error is None else result.error.field
            click.echo(f"{file}: {result.case_id}: {field}: {detail}", err=True)
            continue
        click.echo(json.dumps(fields, ensure_ascii=False) if as_json else line(result))
        for key, (expected, found) in differences(result).items():
            click.echo(f"{result.case_id}: {key}: expected {expected!r}, found {found!r}", err=True)
    if any(result.error is not None for result in results):
        raise click.exceptions.Exit(EXIT_UNREADABLE)
    if any(expects_another_verdict(result) for result in results):
        raise click.exceptions.Exit(EXIT_OTHER_VERDICT)


def _read(file: Path) -> object:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            _stop(f"{file}: larger than {FILE_BYTES_MAX} bytes")
        document: object = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        _stop(f"{file}: {error.strerror or 'cannot be read'}")
    except UnicodeDecodeError:
        _stop(f"{file}: is not UTF-8")
    except (ValueError, RecursionError) as error:
        _stop(f"{file}: is not JSON: {error}")
    return document


def _stop(message: str) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(EXIT_UNREADABLE)
