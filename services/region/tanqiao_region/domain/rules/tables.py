"""Reading a table of data field by field, so that a slip in a file cannot turn into a default."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import TypeVar

from tanqiao.kernel.invariants import InvariantBroken, require

Choice = TypeVar("Choice", bound=Enum)


class Table:
    """A table with its path, which every message names; `finish` demands that nothing was left unread.

    Raises:
        InvariantBroken: a field is missing, of the wrong type, or not known.
    """

    def __init__(self, content: Mapping[str, object], path: str) -> None:
        self._content = content
        self._path = path
        self._read: set[str] = set()

    def names(self) -> tuple[str, ...]:
        """Give the names of its fields."""
        return tuple(self._content)

    def has(self, name: str) -> bool:
        """Whether the field is there."""
        return name in self._content

    def value(self, name: str) -> object:
        """Give a field of any type."""
        self._read.add(name)
        require(name in self._content, f"{self._path}: {name} is missing")
        return self._content[name]

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text."""
        if default is not None and name not in self._content:
            self._read.add(name)
            return default
        value = self.value(name)
        if not isinstance(value, str):
            raise InvariantBroken(f"{self._path}.{name}: a text is wanted")
        return value

    def choice(self, name: str, choices: type[Choice]) -> Choice:
        """Give a member of an enumeration by its value."""
        text = self.text(name)
        found = next((member for member in choices if member.value == text), None)
        if found is None:
            raise InvariantBroken(f"{self._path}.{name}: {text} is no {choices.__name__}")
        return found

    def integer(self, name: str) -> int:
        """Give a whole number."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvariantBroken(f"{self._path}.{name}: a whole number is wanted")
        return value

    def flag(self, name: str) -> bool:
        """Give yes or no; absent is no."""
        if name not in self._content:
            return False
        value = self.value(name)
        if not isinstance(value, bool):
            raise InvariantBroken(f"{self._path}.{name}: true or false is wanted")
        return value

    def day(self, name: str) -> date | None:
        """Give a date, or None if it is absent."""
        if name not in self._content:
            return None
        value = self.value(name)
        if not isinstance(value, date):
            raise InvariantBroken(f"{self._path}.{name}: a date is wanted")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Give a list of texts; absent is empty."""
        if name not in self._content:
            return ()
        value = self.value(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvariantBroken(f"{self._path}.{name}: a list of texts is wanted")
        return tuple(value)

    def table(self, name: str) -> Table:
        """Give a table; absent is empty."""
        value = self._content.get(name, {})
        self._read.add(name)
        if not isinstance(value, Mapping):
            raise InvariantBroken(f"{self._path}.{name}: a table is wanted")
        return Table(value, f"{self._path}.{name}")

    def tables(self, name: str) -> tuple[Table, ...]:
        """Give a list of tables; absent is empty."""
        value = self._content.get(name, [])
        self._read.add(name)
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise InvariantBroken(f"{self._path}.{name}: a list of tables is wanted")
        return tuple(Table(item, f"{self._path}.{name}[{index}]") for index, item in enumerate(value))

    def finish(self) -> None:
        """Demand that every field was read."""
        unread = sorted(set(self._content) - self._read)
        require(not unread, f"{self._path}: unknown field {', '.join(unread)}")
