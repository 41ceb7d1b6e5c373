"""`docs/reasons.md` for people and `docs/reasons.csv` for programs: the whole catalogue of reasons."""

from __future__ import annotations

import csv
import io
import re
from functools import cache
from pathlib import Path
from typing import Final

from scripts.documents.markdown import code, page, paragraph, table
from tanqiao.kernel.reasons import CATALOGUE, FAMILY_NAMES, Reason

COLUMNS: Final = ("number", "symbol", "severity", "retry", "grpc_status", "zh", "en", "article")
SOURCE: Final = "`tanqiao.kernel.reasons`"
ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = ("shared/tanqiao", "services")
GIVEN: Final = re.compile(r"\x22([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\x22")
RETRY_MEANINGS: Final = {
    "never": "The same request will never be accepted.",
    "same-bytes": "Send the same bytes again.",
    "after-fix": "Correct what the sentence names, then send a new request.",
    "wait": "The same request may be accepted later.",
}


def render_page() -> str:
    """Give the page: one table for each family, in the order of the numbers."""
    introduction = paragraph(
        "Every refusal of every part carries one of these reasons. A number or a symbol, once published,",
        "is never given to another reason. Names in braces are filled in from the refusal's metadata, which",
        "travel beside the sentence. How a refusal looks on the wire:",
        "[errors](api-from-another-language.md#errors).",
        "The same table for programs: [reasons.csv](reasons.csv).",
    )
    classes = [
        "The retry class says what a caller may do:",
        "",
        *table(("class", "meaning"), [(code(name), text) for name, text in RETRY_MEANINGS.items()]),
    ]
    later = [
        "## Published, not given yet",
        "",
        *paragraph(
            "No part of this release gives these; they keep their numbers for what is to come.",
            "Every other one is provoked by a test on a line, or the test",
            "`test_every_reason_that_is_given_is_provoked_over_the_wire_or_it_is_said_why_not` says why not.",
        ),
        "",
        *paragraph(*(f"{code(symbol)}," for symbol in not_given_yet())),
    ]
    families = [_family(number) for number in FAMILY_NAMES]
    return page("Reasons 原因代码", SOURCE, introduction, classes, *families, later)


@cache
def not_given_yet() -> tuple[str, ...]:
    """Give the reasons that no program and no rule pack names, in order."""
    named: set[str] = set()
    for folder in PROGRAMS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".toml"} and "reasons" not in path.parts and "api" not in path.parts:
                named.update(GIVEN.findall(path.read_text(encoding="utf-8")))
    return tuple(symbol for symbol in CATALOGUE if symbol not in named)


def _family(number: int) -> list[str]:
    reasons = [reason for reason in CATALOGUE.values() if reason.family == number]
    headings = ("number", "symbol", "severity", "retry", "gRPC status", "中文", "English", "article")
    return [f"## {number} {FAMILY_NAMES[number]}", "", *table(headings, map(_row, reasons))]


def _row(reason: Reason) -> tuple[str, ...]:
    return (
        str(reason.number),
        code(reason.symbol),
        reason.severity,
        reason.retry.value,
        reason.grpc_status,
        reason.zh,
        reason.en,
        reason.article or "",
    )


def render_data() -> str:
    """Give the catalogue as CSV with a heading: UTF-8, quoted where needed, one line feed after each row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(reason.as_row() for reason in CATALOGUE.values())
    return text.getvalue()
