"""A mapping says how the columns of a list become a record: data, read once, checked when it is read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal, get_args

from tanqiao.kernel.errors import DomainError

Kind = Literal[
    "text",
    "integer",
    "decimal",
    "date",
    "last_day",
    "month",
    "month_end",
    "flag",
    "value",
    "uscc",
    "filing_code",
    "certificate_code",
    "degrees",
]
KINDS: Final = get_args(Kind)
"""How a cell is read. ``last_day``: a date that belongs to the period, so that the day after it is its end;
``month`` and ``month_end``: first day of a month and of the next one; ``degrees``: of a position."""
FIELDS: Final = frozenset(
    {
        "reference",
        "title",
        "subject_name",
        "subject_uscc",
        "object",
        "status",
        "attribute",
        "grain",
        "period_start",
        "period_end",
        "activity_quantity",
        "activity_unit",
        "quantity_kg",
        "certificate_state",
        "tradable",
        "self_use",
        "methodology_id",
        "province_code",
        "asset_kind",
        "invented",
        "first_sequence",
        "last_sequence",
        "first_code",
        "last_code",
        "latitude",
        "longitude",
    }
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Where a field comes from and how its text is read."""

    column: str
    kind: Kind
    required: bool = False
    decimals: int = 0
    values: Mapping[str, str | bool] = field(default_factory=dict)
    otherwise: str | None = None
    """Of a value that the table does not name; None: the row is rejected."""


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """A column that holds a reference to the asset."""

    scheme: str
    column: str


@dataclass(frozen=True, slots=True)
class ListMapping:
    """How one kind of list is read.

    Args:
        name: of the mapping.
        programme, attribute, object: what a record is unless a field says otherwise.
        records: key of the array in a JSON object; empty: the document is the array.
        fields: by field of the record.
        references: columns that name the asset.
        constants: fields that every record of the list has.
        key_columns: columns that name a row together; empty: the column of ``reference`` alone.
    """

    name: str
    programme: str
    attribute: str
    object: str
    records: str
    fields: Mapping[str, FieldRule]
    references: tuple[ReferenceRule, ...]
    constants: Mapping[str, Any]
    key_columns: tuple[str, ...] = ()

    @property
    def required_columns(self) -> frozenset[str]:
        """Columns without which a file is refused as a whole."""
        return frozenset(self.key_columns).union(
            rule.column for rule in self.fields.values() if rule.required
        )


@lru_cache(maxsize=64)
def load_mapping(name: str) -> ListMapping:
    """Give a shipped mapping by name.

    Raises:
        DomainError: FIELD_INVALID for a name that is not there.
    """
    file = resources.files("tanqiao_gateway.importers.mappings").joinpath(f"{name}.toml")
    if _NAME.fullmatch(name) is None or not file.is_file():
        raise DomainError("FIELD_INVALID", field="mapping", detail=name[:64])
    return read_mapping(name, tomllib.loads(file.read_text(encoding="utf-8")))


def read_mapping(name: str, data: Mapping[str, Any]) -> ListMapping:
    """Read a mapping's data strictly.

    Raises:
        DomainError: FIELD_INVALID that names what is wrong in it.
    """
    values: Mapping[str, Mapping[str, str | bool]] = data.get("values", {})
    fields = {}
    for field_name, rule in data.get("fields", {}).items():
        if field_name not in FIELDS or rule.get("kind") not in KINDS:
            raise DomainError("FIELD_INVALID", field="mapping", detail=f"{name}: {field_name}")
        named = rule.get("values", "")
        if (rule["kind"] == "value") != bool(named) or (named and named not in values):
            raise DomainError("FIELD_INVALID", field="mapping", detail=f"{name}: values of {field_name}")
        fields[field_name] = FieldRule(
            rule["column"],
            rule["kind"],
            rule.get("required", False),
            rule.get("decimals", 0),
            values.get(named, {}),
            rule.get("otherwise"),
        )
    constants = data.get("constants", {})
    unknown = sorted(set(constants) - FIELDS)
    if unknown or "reference" not in fields:
        raise DomainError("FIELD_INVALID", field="mapping", detail=f"{name}: {unknown or 'reference'}")
    return ListMapping(
        name,
        data["programme"],
        data["attribute"],
        data["object"],
        data.get("records", ""),
        fields,
        tuple(ReferenceRule(one["scheme"], one["column"]) for one in data.get("references", ())),
        constants,
        tuple(data.get("key_columns", ())),
    )
