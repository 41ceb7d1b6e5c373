"""Records: dataclasses whose fields nobody sets again, at the cost of a plain one.

A frozen dataclass sets each of its fields through ``object.__setattr__``, which takes five times as long as a
plain assignment; a transfer makes some fifty facts, records and effects on its way. Here the type checker
alone keeps the promise (`dataclass_transform` with frozen fields): it sees every line of the code, and what
it forbids needs no look at runtime. Elsewhere ``@dataclass(frozen=True, slots=True)`` is as good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

Made = TypeVar("Made")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Made]) -> type[Made]:
    """Make a dataclass with slots, compared and hashed by its fields, which are set once."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, order_default=True, field_specifiers=(field,))
def ordered_record(cls: type[Made]) -> type[Made]:
    """Make a record that is also ordered by its fields."""
    return dataclass(slots=True, unsafe_hash=True, order=True)(cls)
