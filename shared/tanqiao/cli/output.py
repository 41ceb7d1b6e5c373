"""What the caller sees: tables or JSON; refusals as reason, sentences in both languages, and article."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tanqiao.kernel.errors import DomainError

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_FAULT: Final = 4
EXIT_INTERRUPTED: Final = 130

EXIT_CODES: Final = """\b
Exit codes / 退出码:
  0  done 完成
  1  refused by a rule, or a check found something 被规则拒绝，或检查发现问题
  2  usage or bad input 用法或输入有误
  3  not reachable or busy 无法连接或繁忙
  4  a fault of ours 程序内部错误
  130  stopped by Ctrl-C 被 Ctrl-C 中断"""

_SHAPE_FAMILY: Final = 2
_SYSTEM_FAMILY: Final = 9
_UNREACHABLE: Final = frozenset(
    {
        "PEER_UNREACHABLE",
        "DATABASE_UNAVAILABLE",
        "BUSY",
        "DEADLINE_EXCEEDED",
        "SERVER_STOPPING",
        "REGION_RECOVERING",
    }
)
HINTS: Final = {
    "DIRECTORY_MISSING": "tanqiao up  建立并启动一个联邦 / makes and starts a federation",
    "PEER_UNREACHABLE": "tanqiao status · tanqiao up · tanqiao logs NODE",
    "PORT_TAKEN": "tanqiao up --home DIRECTORY --ports free",
    "KEY_FILE_PERMISSIONS": "chmod 600 FILE",
}
"""What to do next, for refusals that a person at this machine can settle."""
_FAULTS: Final = frozenset({"INTERNAL", "CALL_CANCELLED"})
_RULES_OF_THE_SYSTEM: Final = frozenset({"NOT_FOUND", "ALREADY_EXISTS", "CONCURRENT_CHANGE"})


def exit_code(refusal: DomainError) -> int:
    """Give the exit code of a refusal."""
    if refusal.symbol in _UNREACHABLE:
        return EXIT_UNREACHABLE
    if refusal.symbol in _FAULTS:
        return EXIT_FAULT
    if refusal.symbol in _RULES_OF_THE_SYSTEM:
        return EXIT_REFUSED
    return EXIT_USAGE if refusal.reason.family in (_SHAPE_FAMILY, _SYSTEM_FAMILY) else EXIT_REFUSED


def refusal_fields(refusal: DomainError) -> dict[str, Any]:
    """Give a refusal as a JSON object."""
    return {
        "reason": refusal.symbol,
        "reason_number": refusal.reason.number,
        "sentence_zh": refusal.sentence("zh"),
        "sentence_en": refusal.sentence("en"),
        "article": refusal.article or "",
        "article_zh": cited_articles(refusal)[0],
        "article_en": cited_articles(refusal)[1],
        "retry": refusal.reason.retry.value,
        "metadata": refusal.metadata,
    }


def cited_articles(refusal: DomainError) -> tuple[str, str]:
    """Give the article that decides in Chinese and in English; both empty where none does."""
    zh = refusal.metadata.get("article_zh", "")
    en = refusal.metadata.get("article_en", "")
    if zh or en or not refusal.article:
        return zh, en
    first, separator, second = refusal.article.partition(" / ")
    return (first, second) if separator else (refusal.article, refusal.article)


def message_fields(message: Message) -> dict[str, Any]:
    """Give a message in protobuf's JSON form, with the names of the .proto files and every plain field."""
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


class Output:
    """One command's output: `--json` gives one JSON document on standard output and nothing else there.

    Args:
        as_json: whether a program reads it.
        field: dotted path of the one value that is wanted of the document; implies JSON.
        file: where it goes.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        field: str | None = None,
        file: Any = None,  # noqa: ANN401 - any text stream
    ) -> None:
        self.as_json = as_json or field is not None
        self._field = field
        self.console = Console(file=file or sys.stdout, highlight=False, soft_wrap=True)
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line for people; silent with `--json`."""
        if not self.as_json:
            self.console.print(Text(text, style=style or ""))

    def step(self, text: str) -> None:
        """Print a line about progress, on standard error, so that it never mixes with an answer."""
        if not self.as_json:
            self._errors.print(Text(text, style="dim"))

    def value(self, value: object) -> None:
        """Print a JSON document, or the one value of it that is wanted."""
        if self._field is not None:
            self.console.print(str(_at(value, self._field)), markup=False, soft_wrap=True)
            return
        self.console.print(json.dumps(value, ensure_ascii=False, indent=2), markup=False, soft_wrap=True)

    def answer(self, fields: Mapping[str, object], *, json_value: object | None = None) -> None:
        """Print facts, one a line; or the JSON value."""
        if self.as_json:
            self.value(dict(fields) if json_value is None else json_value)
            return
        table = Table.grid(padding=(0, 2))
        for name, value in fields.items():
            table.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))
        self.console.print(table)

    def message(self, message: Message, fields: Mapping[str, object] | None = None) -> None:
        """Print a message: the chosen facts for people, all of it with `--json`."""
        shown = message_fields(message)
        self.answer(fields if fields is not None else _flat(shown), json_value=shown)

    def rows(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str | None = None,
        json_value: object | None = None,
    ) -> None:
        """Print a table, or the JSON value (default: one object a row)."""
        rows = [tuple(row) for row in rows]
        if self.as_json:
            self.value(
                [dict(zip(columns, map(str, row), strict=True)) for row in rows]
                if json_value is None
                else json_value
            )
            return
        table = Table(title=title, title_justify="left", header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(item if isinstance(item, Text) else Text(str(item)) for item in row))
        self.console.print(table)

    def refused(self, refusal: DomainError) -> None:
        """Print a refusal: the reason, a sentence in both languages, the article that decides."""
        if self.as_json and self._field is None:
            self.value({"error": refusal_fields(refusal)})
            return
        article_zh, article_en = cited_articles(refusal)
        self._errors.print(Text(f"✗ {refusal.symbol} ({refusal.reason.number})", style="bold red"))
        self._errors.print(Text(f"  {refusal.sentence('zh')}{f'（{article_zh}）' if article_zh else ''}"))
        self._errors.print(Text(f"  {refusal.sentence('en')}{f' ({article_en})' if article_en else ''}"))
        if refusal.unsaid:
            self._errors.print(Text(f"  · {refusal.unsaid}", style="dim"))
        if refusal.symbol in HINTS:
            self._errors.print(Text(f"  → {HINTS[refusal.symbol]}", style="dim"))

    def fault(self, text: str) -> None:
        """Print what went wrong inside this program."""
        if self.as_json and self._field is None:
            self.value({"error": {"reason": "INTERNAL", "sentence_en": text}})
        self._errors.print(Text(f"✗ {text}", style="bold red"))


def _at(value: object, path: str) -> object:
    """Give the value at a dotted path; NOT_FOUND where there is none."""
    for name in path.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise DomainError("NOT_FOUND", what="field", id=path)
    return value


def _flat(fields: Mapping[str, object]) -> dict[str, object]:
    """Give nested fields as dotted names, without what is empty and without signed bytes."""
    flat: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            if "payload" in value:
                continue
            flat |= {f"{name}.{inner}": item for inner, item in _flat(value).items()}
        elif value not in ("", [], "0", 0, None):
            flat[name] = value
    return flat
