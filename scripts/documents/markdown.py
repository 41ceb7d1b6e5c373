"""Small pieces of Markdown: cells that cannot break a table, tables, the line that says what made a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

LINE_LENGTH_MAX: Final = 110
MADE_BY: Final = "Made by `make docs` from {source}; do not edit."


class UndocumentedError(Exception):
    """Something that a page must explain has no words: each item names one such thing."""

    def __init__(self, items: Sequence[str]) -> None:
        super().__init__("\n".join(items))
        self.items = tuple(items)


def cell(text: str) -> str:
    """Give the text as one cell: on one line, its bars escaped."""
    return " ".join(text.split()).replace("|", r"\|")


def paragraph(*parts: str) -> list[str]:
    """Give the parts as the lines of one paragraph."""
    return textwrap.wrap(" ".join(parts), LINE_LENGTH_MAX, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    """Give the text so that no reader of Markdown takes a part of it for a tag."""
    return text.replace("<", r"\<")


def code(text: str) -> str:
    """Give the text as code."""
    return f"`{text}`"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give the lines of a table."""
    return [
        f"| {' | '.join(headings)} |",
        f"|{'|'.join('---' for _ in headings)}|",
        *(f"| {' | '.join(cell(text) for text in row)} |" for row in rows),
    ]


def page(title: str, source: str, *parts: Iterable[str]) -> str:
    """Give a whole page: title, origin, parts with an empty line between them."""
    lines = [f"# {title}", "", MADE_BY.format(source=source)]
    for part in parts:
        lines += ["", *part]
    return "\n".join(lines) + "\n"
