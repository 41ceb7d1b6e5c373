"""Articles of a text as a reader cites them, in Chinese and in English.

An article label is written as RULES writes it: ``12``, ``20¶1`` (paragraph 1), ``31(1)`` (item 1) or
``31(3)(4)`` (items 3 and 4). A label of another form, such as a task of a plan, is shown as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Numbering = Literal["article", "task"]

_LABEL: Final = re.compile(
    r"(?P<number>[1-9][0-9]{0,2})(?:¶(?P<paragraph>[1-9]))?(?P<items>(?:\([0-9]{1,2}\))*)"
)
_ITEM: Final = re.compile(r"\(([0-9]{1,2})\)")
_DIGITS_ZH: Final = "零一二三四五六七八九"
_TEN: Final = 10
_HUNDRED: Final = 100


@dataclass(frozen=True, slots=True)
class ArticleText:
    """One citation: the Chinese form and the English form of the same place in a text."""

    zh: str
    en: str


def number_zh(number: int) -> str:
    """Write 1 to 999 in Chinese numerals as statutes do: 12 is 十二, 20 is 二十, 104 is 一百零四."""
    if number < _TEN:
        return _DIGITS_ZH[number]
    if number < _HUNDRED:
        tens, ones = divmod(number, _TEN)
        head = "" if tens == 1 else _DIGITS_ZH[tens]
        return f"{head}十{_DIGITS_ZH[ones] if ones else ''}"
    hundreds, rest = divmod(number, _HUNDRED)
    if rest == 0:
        return f"{_DIGITS_ZH[hundreds]}百"
    tens, ones = divmod(rest, _TEN)
    if tens == 0:
        return f"{_DIGITS_ZH[hundreds]}百零{_DIGITS_ZH[ones]}"
    return f"{_DIGITS_ZH[hundreds]}百{_DIGITS_ZH[tens]}十{_DIGITS_ZH[ones] if ones else ''}"


def cite(label: str, *, title_zh: str, title_en: str, numbering: Numbering = "article") -> ArticleText:
    """Cite the article, or in a plan the task, of the label in the text of these titles."""
    if numbering == "task":
        return ArticleText(f"《{title_zh}》任务{label}", f"{title_en}, task {label}")
    match = _LABEL.fullmatch(label)
    if match is None:
        return ArticleText(f"《{title_zh}》{label}", f"{title_en}, {label}")
    zh = f"《{title_zh}》第{number_zh(int(match['number']))}条"
    en = f"{title_en}, Art. {match['number']}"
    if match["paragraph"]:
        zh += f"第{number_zh(int(match['paragraph']))}款"
        en += f" para. {match['paragraph']}"
    items = [int(item) for item in _ITEM.findall(match["items"])]
    if items:
        zh += "第" + "、".join(f"（{number_zh(item)}）" for item in items) + "项"
        en += " " + "".join(f"({item})" for item in items)
    return ArticleText(zh, en)
