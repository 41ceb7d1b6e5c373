"""Values of parameters that the competent body has published; append-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from tanqiao.db.bulk import insert_rows
from tanqiao_region.storage.tables import metadata

rule_parameter = Table(
    "rule_parameter",
    metadata,
    Column("parameter_key", String(128), primary_key=True),
    Column("start_date", String(10), primary_key=True),
    Column("end_date", String(10), nullable=False),
    Column("value_json", Text, nullable=False),
    Column("document_reference", Text, nullable=False),
    Column("author", String(128), nullable=False),
    Column("second_approver", String(128), nullable=False),
    Column("journal_index", BigInteger, nullable=False),
    Index("uq_rule_parameter_journal_index", "journal_index", unique=True),
)
"""One value of a parameter, in force from `start_date` on, before `end_date` (empty: open)."""


class ParameterRow(NamedTuple):
    """A published value as stored."""

    key: str
    start_date: str
    end_date: str
    value_json: str
    document_reference: str
    author: str
    second_approver: str
    journal_index: int


def insert_parameter(connection: sa.Connection, row: ParameterRow) -> None:
    """Keep a published value for ever."""
    insert_rows(connection, rule_parameter, [row])


def load_parameters(connection: sa.Connection) -> Sequence[ParameterRow]:
    """Give every published value in the order of the journal."""
    rows = connection.execute(sa.select(rule_parameter).order_by(rule_parameter.c.journal_index))
    return [ParameterRow(*row) for row in rows]
