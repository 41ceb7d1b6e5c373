"""A node's durable state, changed by transactions that can be cut at their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Observer = Callable[[str, dict[tuple[str, object], Any], "Disk"], None]

_MISSING: Final = object()


class Disk:
    """Tables of a node; what is here survives a crash. The observer sees each commit before it is merged."""

    __slots__ = ("observer", "owner", "tables")

    def __init__(self, owner: str, observer: Observer) -> None:
        self.owner = owner
        self.observer = observer
        self.tables: dict[str, dict[object, Any]] = {}

    def table(self, name: str) -> dict[object, Any]:
        """Give a table, read only outside of a commit."""
        found = self.tables.get(name)
        if found is None:
            found = self.tables[name] = {}
        return found


class Transaction:
    """Writes that become durable together, or not at all."""

    __slots__ = ("_disk", "writes")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.writes: dict[tuple[str, object], Any] = {}

    def get(self, table: str, key: object) -> Any:  # noqa: ANN401 - each table has its own type of value
        """Read a value as this transaction sees it; None if there is none."""
        written = self.writes.get((table, key), _MISSING)
        if written is not _MISSING:
            return written
        return self._disk.table(table).get(key)

    def put(self, table: str, key: object, value: object) -> None:
        """Write a value; None deletes."""
        self.writes[table, key] = value

    def commit(self) -> None:
        """Make all writes durable."""
        if not self.writes:
            return
        self._disk.observer(self._disk.owner, self.writes, self._disk)
        for (name, key), value in self.writes.items():
            if value is None:
                self._disk.table(name).pop(key, None)
            else:
                self._disk.table(name)[key] = value
