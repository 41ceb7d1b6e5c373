"""Strict reading of JSON values: every refusal names the path and the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Final, TypeVar

from tanqiao.claims.moments import Interval, parse_day, parse_microsecond, parse_second
from tanqiao.kernel.errors import DomainError

_NUMBER_MAX: Final = 10**15
"""Greatest quantity and greatest measure (capacity, distance, depth) that is read."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""What JSON can escape and UTF-8 cannot write."""

_Word = TypeVar("_Word", bound=StrEnum)


def invalid(path: str, reason: str) -> DomainError:
    """Make the refusal of one value."""
    return DomainError("FIELD_INVALID", field=path, detail=reason)


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON object at a path of its document; each method reads one key.

    A key whose name ends in no ``or_none`` must be there and of its type.
    """

    value: Mapping[str, object]
    path: str

    @staticmethod
    def of(value: object, path: str) -> Node:
        """Take an object, or refuse."""
        if not isinstance(value, Mapping):
            raise invalid(path, "an object is expected")
        return Node(value, path)

    def path_of(self, key: str) -> str:
        """Give the path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def _required(self, key: str) -> object:
        value = self.value.get(key)
        if value is None:
            raise invalid(self.path_of(key), "is missing")
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.value.get(key) is not None

    def node(self, key: str) -> Node:
        """Read an object."""
        return Node.of(self._required(key), self.path_of(key))

    def node_or_none(self, key: str) -> Node | None:
        """Read an object, null or nothing."""
        return self.node(key) if self.has(key) else None

    def nodes(self, key: str) -> list[Node]:
        """Read a list of objects; nothing and null are the empty list."""
        return [Node.of(item, f"{self.path_of(key)}[{index}]") for index, item in enumerate(self._list(key))]

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts; nothing and null are the empty list."""
        items = self._list(key)
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise invalid(f"{self.path_of(key)}[{index}]", "a text is expected")
        return tuple(item for item in items if isinstance(item, str))

    def _list(self, key: str) -> list[object]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid(self.path_of(key), "a list is expected")
        return value

    def text(self, key: str) -> str:
        """Read a text that is not empty."""
        value = self._required(key)
        if not isinstance(value, str) or not value.strip():
            raise invalid(self.path_of(key), "a text is expected")
        if not value.isascii() and _SURROGATE.search(value) is not None:
            raise invalid(self.path_of(key), "a text of Unicode characters is expected, not a lone surrogate")
        return value

    def text_or_none(self, key: str) -> str | None:
        """Read a text, null or nothing."""
        return self.text(key) if self.has(key) else None

    def word(self, key: str, words: type[_Word]) -> _Word:
        """Read one of the words of an enumeration; an unknown one is refused, not guessed."""
        value = self._required(key)
        if isinstance(value, str):
            for word in words:
                if word.value == value:
                    return word
        known = ", ".join(words)
        raise invalid(self.path_of(key), f"one of {known} is expected")

    def boolean(self, key: str) -> bool:
        """Read true or false."""
        value = self._required(key)
        if not isinstance(value, bool):
            raise invalid(self.path_of(key), "true or false is expected")
        return value

    def boolean_or_none(self, key: str) -> bool | None:
        """Read true, false, null or nothing."""
        return self.boolean(key) if self.has(key) else None

    def integer(self, key: str, minimum: int = 0) -> int:
        """Read a whole number not below the minimum; 5.0 and "5" are none."""
        value = self._required(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise invalid(self.path_of(key), f"a whole number of at least {minimum} is expected")
        if value > _NUMBER_MAX:
            raise invalid(self.path_of(key), f"a whole number of at most {_NUMBER_MAX} is expected")
        return value

    def integer_or_none(self, key: str) -> int | None:
        """Read a whole number, null or nothing."""
        return self.integer(key) if self.has(key) else None

    def scaled_or_none(self, key: str, scale: int) -> int | None:
        """Read a measure that may have a fraction, times the scale, rounded up to a whole number."""
        if not self.has(key):
            return None
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise invalid(self.path_of(key), "a number is expected")
        finite = isinstance(value, int) or math.isfinite(value)  # a great int is no float
        if not finite or value < 0:
            raise invalid(self.path_of(key), "a number that is not negative is expected")
        if value > _NUMBER_MAX:
            raise invalid(self.path_of(key), f"a number of at most {_NUMBER_MAX} is expected")
        return int((Decimal(str(value)) * scale).to_integral_value(ROUND_CEILING))

    def day(self, key: str) -> date:
        """Read a legal date YYYY-MM-DD."""
        try:
            return parse_day(self.text(key))
        except ValueError as error:
            raise invalid(self.path_of(key), "a date YYYY-MM-DD is expected") from error

    def first_day_or_none(self, key: str) -> date | None:
        """Read a date, a month or a year (also as a number) as its first day; null and nothing are None."""
        if not self.has(key):
            return None
        text = str(self._required(key))
        try:
            return parse_day(text + "-01-01"[len(text) - len("2026") :])
        except ValueError as error:
            raise invalid(self.path_of(key), "a date, a month or a year is expected") from error

    def microsecond_or_none(self, key: str) -> int | None:
        """Read a moment, null or nothing."""
        if not self.has(key):
            return None
        try:
            return parse_microsecond(self.text(key))
        except ValueError as error:
            raise invalid(self.path_of(key), _MOMENT_EXPECTED) from error

    def interval(self, start_key: str = "from", end_key: str = "to") -> Interval:
        """Read the half-open interval of two keys."""
        bounds: list[int] = []
        for key in (start_key, end_key):
            try:
                bounds.append(parse_second(self.text(key)))
            except ValueError as error:
                raise invalid(self.path_of(key), _MOMENT_EXPECTED) from error
        if bounds[0] >= bounds[1]:
            raise invalid(self.path_of(end_key), f"must be after {start_key}")
        return Interval(bounds[0], bounds[1])


_MOMENT_EXPECTED = "a date, or a date-time with an offset or Z, is expected"
