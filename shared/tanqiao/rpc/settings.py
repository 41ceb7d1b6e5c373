"""Reading a node's `config.toml`: strict, with the environment above the file, paths relative to it.

A setting that the program does not know is refused: a slip of the pen in a name must not go unnoticed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tanqiao.kernel.errors import DomainError

FILE_BYTES_MAX: Final = 1 << 20
SQLITE_PREFIX: Final = "sqlite:///"


class SettingsFile:
    """One file's values, each asked for once by name."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values
        self._asked: set[str] = set()

    @staticmethod
    def load(path: Path, environment: Mapping[str, str]) -> SettingsFile:
        """Read the file; a variable of `environment` (variable → setting) that is set replaces its value.

        Raises:
            DomainError: FILE_MISSING, FILE_TOO_LARGE, SETTING_INVALID where it is not TOML.
        """
        try:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise DomainError("FILE_TOO_LARGE", file=path, size=path.stat().st_size, limit=FILE_BYTES_MAX)
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DomainError("FILE_MISSING", file=path) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DomainError("SETTING_INVALID", setting=path.name, detail=f"{path}: {error}") from error
        for variable, setting in environment.items():
            if os.environ.get(variable):
                values[setting] = os.environ[variable]
        return SettingsFile(path, values)

    def text(self, name: str, *, default: str | None = None) -> str:
        """Give a text; required unless there is a default."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self._invalid(name, "a text is wanted")
        return value

    def integer(self, name: str, *, default: int | None = None) -> int:
        """Give a positive integer."""
        value = self._value(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self._invalid(name, "a positive number is wanted")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self._invalid(name, "true or false is wanted")
        return value

    def path(self, name: str, *, default: str | None = None) -> Path:
        """Give a path; a relative one stands relative to the file."""
        return self._path.parent / self.text(name, default=default)

    def database_url(self, name: str, *, default: str | None = None) -> str:
        """Give a database address; the file of a relative SQLite path stands relative to the file."""
        value = self.text(name, default=default)
        if value.startswith(SQLITE_PREFIX):
            return SQLITE_PREFIX + str((self._path.parent / value.removeprefix(SQLITE_PREFIX)).absolute())
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Give a table of texts; empty if it is not there."""
        value = self._value(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._invalid(name, "a table of texts is wanted")
        return value

    def moment(self, name: str) -> datetime | None:
        """Give a moment with its offset, or None if it is not set."""
        value = self._value(name, "")
        if value == "":
            return None
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise self._invalid(name, "an ISO 8601 moment is wanted") from None
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise self._invalid(name, "a moment with its offset is wanted")
        return value.astimezone(UTC)

    def require_all_known(self) -> None:
        """Refuse settings that nobody asked for."""
        unknown = sorted(set(self._values) - self._asked)
        if unknown:
            raise self._invalid(unknown[0], "no such setting")

    def _value(self, name: str, default: object) -> Any:  # noqa: ANN401 - TOML gives any type
        self._asked.add(name)
        value = self._values.get(name, default)
        if value is None:
            raise self._invalid(name, "it is missing")
        return value

    def _invalid(self, name: str, detail: str) -> DomainError:
        return DomainError("SETTING_INVALID", setting=name, detail=f"{self._path}: {name}: {detail}")
