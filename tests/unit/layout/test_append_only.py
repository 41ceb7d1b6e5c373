"""Rule 5: what is a ledger, a log or evidence is append-only, by name and by a guard in the schema."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from types import ModuleType

import pytest
import sqlalchemy as sa

from tanqiao.db.guards import Guard, append_only
from tanqiao.db.migrations import Schema

SERVICES_WITH_A_LEDGER = ("tanqiao_region", "tanqiao_bridge")
# A table with one of these words in its name records what happened; such a record is never changed.
WORDS_OF_RECORDS = re.compile(r"(?:^|_)(journal|log|leaf|decision|evidence|signature|receipt|order)(?:_|$)")


def faults_of_schema(tables: Iterable[str], named: Sequence[str], guards: Iterable[Guard]) -> list[str]:
    """Return what is wrong with the append-only tables of a schema, one sentence per fault."""
    existing = set(tables)
    # Guards of equal name have equal texts; comparing names alone would accept a guard of another kind.
    present = {(guard.name, guard.table) for guard in guards}
    wanted = {name: (append_only(name).name, name) for name in named}
    records = {name for name in existing if WORDS_OF_RECORDS.search(name)}
    return [
        *(f"{name} is named append-only and does not exist" for name in sorted(set(named) - existing)),
        *(f"{name} is a record and not named append-only" for name in sorted(records - set(named))),
        *(f"{name} has no guard" for name, guard in sorted(wanted.items()) if guard not in present),
    ]


def modules_of(package: str) -> Iterable[ModuleType]:
    """Import the package's storage and everything in it."""
    storage = importlib.import_module(f"{package}.storage")
    yield storage
    for found in pkgutil.walk_packages(storage.__path__, f"{storage.__name__}."):
        yield importlib.import_module(found.name)


def schema_of(package: str) -> Schema:
    """Return the one schema that the service's storage defines."""
    schemas = {
        id(value): value
        for module in modules_of(package)
        for value in vars(module).values()
        if isinstance(value, Schema)
    }
    assert len(schemas) == 1, f"{package}.storage defines {len(schemas)} schemas"
    return next(iter(schemas.values()))


@pytest.mark.parametrize("package", SERVICES_WITH_A_LEDGER)
def test_records_are_append_only_and_guarded(package: str) -> None:
    tables = importlib.import_module(f"{package}.storage.tables")
    schema = schema_of(package)
    assert faults_of_schema(schema.metadata.tables, tables.APPEND_ONLY, schema.guards) == []


def test_a_missing_guard_a_forgotten_record_and_a_wrong_name_are_seen() -> None:
    metadata = sa.MetaData()
    for name in ("journal", "decision", "holding"):
        sa.Table(name, metadata, sa.Column("number", sa.BigInteger, primary_key=True))
    assert faults_of_schema(metadata.tables, ["journal", "leaf"], [append_only("leaf")]) == [
        "leaf is named append-only and does not exist",
        "decision is a record and not named append-only",
        "journal has no guard",
    ]
    whole = [append_only("journal"), append_only("decision")]
    assert faults_of_schema(metadata.tables, ["journal", "decision"], whole) == []
