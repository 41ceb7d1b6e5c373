"""The one family of refusals that leaves a domain function.

A refusal names a reason of the catalogue (PROTOCOL section 9); its sentence in Chinese and English is
filled from the metadata. The rpc layer turns it into one ErrorInfo and the client turns it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeGuard, runtime_checkable

from tanqiao.kernel.invariants import InvariantBroken, require
from tanqiao.kernel.reasons import CATALOGUE, Reason, Retry

if TYPE_CHECKING:  # units stand on refusals; the other way round only the type is known
    from tanqiao.kernel.units import UnitBlock

__all__ = [
    "Bilingual",
    "DomainError",
    "InvariantBroken",
    "Language",
    "Reason",
    "Retry",
    "fill_sentence",
    "require",
]

Language = Literal["zh", "en"]

_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LIST_SEPARATOR: Final = ", "


@dataclass(frozen=True, slots=True)
class Bilingual:
    """A value of the metadata that reads differently in Chinese and in English.

    Given as ``detail=Bilingual(zh, en)`` it is kept as ``detail`` (English), ``detail_zh`` and ``detail_en``.
    """

    zh: str
    en: str

    def __str__(self) -> str:
        return self.en


def fill_sentence(template: str, values: Mapping[str, str], language: Language) -> str:
    """Fill the ``{placeholders}`` of a catalogue sentence; a missing one is shown as its own name.

    A value whose name ends in the language, ``detail_zh`` for ``{detail}``, is preferred. `str.format` is not
    used: it would follow attributes of the values and raise on what is missing.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        return values.get(f"{name}_{language}", values.get(name, name))

    return _PLACEHOLDER.sub(value_of, template)


class DomainError(Exception):
    """A refusal with a reason of the catalogue.

    Args:
        symbol: symbol of the reason; one that the catalogue does not know breaks an invariant.
        field: path of the request field that is at fault, if one is.
        article: article that decides, where the rule in force gives one; else the catalogue's.
        metadata: values of the sentence's placeholders and further facts. They are kept as text, lists
            joined; the blocks among them are kept in `blocks` too. Nothing personal may be given, for the
            metadata travel and are logged.
    """

    def __init__(
        self, symbol: str, /, *, field: str | None = None, article: str | None = None, **metadata: object
    ) -> None:
        require(symbol in CATALOGUE, f"the reason catalogue does not know {symbol}")
        super().__init__(symbol)
        self.reason: Reason = CATALOGUE[symbol]
        self.field = field
        self.article = article if article is not None else self.reason.article
        self.metadata: dict[str, str] = {}
        self.blocks: tuple[UnitBlock, ...] = tuple(_blocks_in(metadata.values()))
        for key, value in metadata.items():
            self.metadata[key] = _text(value)
            if isinstance(value, Bilingual):
                self.metadata |= {f"{key}_zh": value.zh, f"{key}_en": value.en}

    @property
    def symbol(self) -> str:
        """Symbol of the reason."""
        return self.reason.symbol

    def sentence(self, language: Language) -> str:
        """Give the catalogue's sentence in the language, filled; never raises for a missing value."""
        template = self.reason.zh if language == "zh" else self.reason.en
        return fill_sentence(template, self._values(), language)

    def sentence_with_article(self, language: Language) -> str:
        """Give the sentence followed by the article that decides, when there is one (RULES section 14)."""
        sentence = self.sentence(language)
        if self.article is None:
            return sentence
        if language == "zh":
            return f"{sentence}（{self.metadata.get('article_zh', self.article)}）"
        return f"{sentence} ({self.article})"

    @property
    def unsaid(self) -> str:
        """What the system below said, where the sentence does not carry it: for the operator; else empty."""
        detail = self.metadata.get("detail", "")
        return "" if detail in self.sentence("en") else detail

    def _values(self) -> Mapping[str, str]:
        if self.field is None or "field" in self.metadata:
            return MappingProxyType(self.metadata)
        return MappingProxyType({**self.metadata, "field": self.field})

    def __str__(self) -> str:
        return f"{self.reason.symbol}: {self.sentence_with_article('en')}"

    def __repr__(self) -> str:
        return f"DomainError({self.reason.symbol!r}, field={self.field!r}, metadata={self.metadata!r})"


@runtime_checkable
class _BlockShape(Protocol):
    series_id: str
    start: int
    end: int
    quantity_kg: int


def _is_block(value: object) -> TypeGuard[UnitBlock]:
    return isinstance(value, _BlockShape)


def _blocks_in(values: Iterable[object]) -> Iterator[UnitBlock]:
    for value in values:
        if _is_block(value):
            yield value
        elif isinstance(value, list | tuple):
            yield from _blocks_in(value)


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return _LIST_SEPARATOR.join(_text(item) for item in value)
    if isinstance(value, set | frozenset):
        return _LIST_SEPARATOR.join(sorted(_text(item) for item in value))
    return str(value)
