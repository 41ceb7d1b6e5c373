"""From plain data to facts: case files and replayed journal entries are written as tables.

Every field is checked against its type; an unknown field or a missing one breaks an invariant and names its
path, so that a slip in a case file cannot turn into a default.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import date
from enum import Enum
from typing import Union, cast, get_args, get_origin, get_type_hints

from tanqiao.kernel.invariants import InvariantBroken, require
from tanqiao_region.domain.rules.facts import ACTS_BY_NAME, Facts


def decode_facts(act: str, table: Mapping[str, object]) -> Facts:
    """Build the facts of the named act from a table.

    Raises:
        InvariantBroken: the act or a field is unknown, a field is missing or of the wrong type.
    """
    kind = ACTS_BY_NAME.get(act)
    if kind is None:
        raise InvariantBroken(f"there is no act {act}")
    return cast("Facts", _dataclass(kind, table, act))


def encode_facts(facts: Facts) -> dict[str, object]:
    """Give the table that `decode_facts` reads back into equal facts; dates are ISO text."""
    plain = _plain(facts)
    require(isinstance(plain, dict), "facts are a table")
    return cast("dict[str, object]", plain)


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Lay a table over another: tables are merged, everything else is replaced; "absent" removes a key."""
    merged: dict[str, object] = dict(base)
    for key, value in over.items():
        held = merged.get(key)
        if value == "absent":
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(held, Mapping):
            merged[key] = merge(held, value)
        else:
            merged[key] = value
    return merged


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            entry.name: _plain(getattr(value, entry.name))
            for entry in dataclasses.fields(value)
            if getattr(value, entry.name) is not None
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _dataclass(kind: type[object], table: Mapping[str, object], path: str) -> object:
    hints = get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(fields))
    require(not unknown, f"{path}: unknown field {', '.join(unknown)}")
    values: dict[str, object] = {}
    for name, entry in fields.items():
        if name in table:
            values[name] = _value(hints[name], table[name], f"{path}.{name}")
        else:
            required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
            if required and _optional(hints[name]):
                values[name] = None
                continue
            require(not required, f"{path}: the field {name} is missing")
    return kind(**values)


def _optional(annotation: object) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


def _value(annotation: object, value: object, path: str) -> object:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [choice for choice in get_args(annotation) if choice is not type(None)]
        require(len(inner) == 1, f"{path}: cannot decode {annotation}")
        return _value(inner[0], value, path)
    if origin is tuple:
        item = get_args(annotation)[0]
        return tuple(
            _value(item, entry, f"{path}[{index}]") for index, entry in enumerate(_list(value, path))
        )
    if origin is frozenset:
        item = get_args(annotation)[0]
        return frozenset(_value(item, entry, path) for entry in _list(value, path))
    if isinstance(annotation, type):
        return _scalar(annotation, value, path)
    raise InvariantBroken(f"{path}: cannot decode {annotation}")


def _scalar(annotation: type[object], value: object, path: str) -> object:
    if dataclasses.is_dataclass(annotation):
        if not isinstance(value, Mapping):
            raise InvariantBroken(f"{path}: a table is wanted")
        return _dataclass(annotation, value, path)
    if issubclass(annotation, Enum):
        return annotation(value)
    if annotation is date:
        return value if isinstance(value, date) else date.fromisoformat(str(value))
    exact = isinstance(value, annotation) and isinstance(value, bool) == (annotation is bool)
    require(exact, f"{path}: {value!r} is no {annotation.__name__}")
    return value


def _list(value: object, path: str) -> list[object] | tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise InvariantBroken(f"{path}: a list is wanted")
    return value
