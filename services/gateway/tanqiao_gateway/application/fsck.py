"""fsck of a gateway.

Guards, and that every import holds the rows it says, each under the keys of its content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import coordination_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.keys import Strength, asset_key, asset_ref, strength_of
from tanqiao.db.engine import Database, open_engine
from tanqiao.db.guards import missing
from tanqiao_gateway.settings import Settings
from tanqiao_gateway.storage import orders, records
from tanqiao_gateway.storage.tables import (
    GUARDS,
    certificate_effect,
    list_import,
    record,
    record_key,
    registry_order,
)

FINDINGS_MAX: Final = 100
ROWS_PER_PAGE: Final = 5_000
CARRIED_OUT: Final = (
    coordination_pb2.REGISTRY_ORDER_STATE_CONFIRMED,
    coordination_pb2.REGISTRY_ORDER_STATE_PART_CONFIRMED,
)


@dataclass(slots=True)
class Report:
    """What was looked at, and what is wrong; bounded."""

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def note(self, finding: str) -> None:
        """Add a finding within the bound."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)

    def as_json(self) -> str:
        """Give the report as one JSON object."""
        return json.dumps({"clean": self.clean, "checked": self.checked, "findings": self.findings})

    def as_text(self) -> str:
        """Give the report for a person."""
        counted = ", ".join(f"{count} {name}" for name, count in self.checked.items())
        return "\n".join([f"checked: {counted}", *self.findings, "clean" if self.clean else "NOT CLEAN"])


def check(settings: Settings) -> Report:
    """Check the database of the settings; it may be served meanwhile."""
    database = open_engine(settings.database_url, role="reader")
    try:
        return check_database(database)
    finally:
        database.close()


def check_database(database: Database) -> Report:
    """Check everything in one snapshot."""
    report = Report()
    with database.reading() as connection:
        for name in missing(connection, GUARDS):
            report.note(f"guard {name} is missing")
        imports = connection.execute(sa.select(list_import.c.import_number, list_import.c.row_count)).all()
        report.checked["imports"] = len(imports)
        report.checked["records"] = 0
        for row in imports:
            count = records.count_records(connection, row.import_number)
            report.checked["records"] += count
            if count != row.row_count:
                report.note(f"import {row.import_number} holds {count} rows and says {row.row_count}")
            _check_keys(connection, row.import_number, report)
        _check_effects(connection, report)
    return report


def _check_effects(connection: sa.Connection, report: Report) -> None:
    """No more is released or cancelled than was frozen; every effect is of a confirmed order."""
    keys = connection.execute(sa.select(certificate_effect.c.asset_key).distinct()).scalars().all()
    report.checked["orders"] = connection.execute(
        sa.select(sa.func.count()).select_from(registry_order)
    ).scalar_one()
    for lot, held in orders.held_of(connection, keys).items():
        for one in held:
            if min(one.frozen_mwh, one.cancelled_mwh, one.unfrozen_mwh) < 0:
                report.note(f"certificates of {lot} for {one.claim_id}: less than nothing is held")
    unconfirmed = connection.execute(
        sa.select(registry_order.c.order_id)
        .join(certificate_effect, certificate_effect.c.order_id == registry_order.c.order_id)
        .where(sa.func.coalesce(registry_order.c.decision, 0).not_in(CARRIED_OUT))
        .distinct()
    )
    for order_id in unconfirmed.scalars():
        report.note(f"order {bytes(order_id).hex()} was carried out and not confirmed")


def _check_keys(connection: sa.Connection, import_number: int, report: Report) -> None:
    stored: dict[int, set[str]] = {}
    for row in connection.execute(
        sa.select(record_key.c.row_number, record_key.c.asset_key).where(
            record_key.c.import_number == import_number
        )
    ):
        stored.setdefault(row.row_number, set()).add(row.asset_key)
    rows = connection.execution_options(yield_per=ROWS_PER_PAGE).execute(
        sa.select(record.c.row_number, record.c.content).where(record.c.import_number == import_number)
    )
    for row in rows:
        message = registry_pb2.RegistryRecord.FromString(bytes(row.content))
        keys = {
            asset_key(asset_ref(reference.scheme, reference.value))
            for reference in message.asset_references
            if strength_of(reference.scheme) >= Strength.OTHER_REGISTRY
        }
        if keys != stored.get(row.row_number, set()):
            report.note(
                f"import {import_number}, row {row.row_number}: its keys are not those of its content"
            )
