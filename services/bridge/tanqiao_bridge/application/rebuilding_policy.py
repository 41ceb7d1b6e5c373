"""Keys, regions, series, agreements with their counters, freezes and corrections, rebuilt from leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.db.bulk import insert_rows
from tanqiao.kernel.clock import legal_date
from tanqiao.protocol.types import OpenTransfer
from tanqiao.rpc.protocol_facts import blocks_of
from tanqiao.signing.directory import KeyRole
from tanqiao.signing.witness_groups import change_of_leaf
from tanqiao.tlog.leaf import Leaf
from tanqiao_bridge.application.deciding import check_agreement
from tanqiao_bridge.application.directory_records import check_recognition
from tanqiao_bridge.application.freezes import replayed
from tanqiao_bridge.storage import orders, policy, witness_groups
from tanqiao_bridge.storage.decisions import DecisionRow
from tanqiao_bridge.storage.tables import agreement, agreement_use, key_record, region, series


@dataclass(slots=True)
class RebuiltPolicy:
    """Writes the directory and what decisions are checked against.

    Args:
        connection: of the rebuild.
    """

    connection: sa.Connection
    _regions: set[str] = field(default_factory=set)
    _series: dict[str, policy.SeriesRow] = field(default_factory=dict)
    _agreements: dict[tuple[str, str], list[policy.AgreementRow]] = field(default_factory=dict)
    _used_kg: dict[str, int] = field(default_factory=dict)

    def key(
        self, log_index: int, leaf: Leaf, envelope: envelope_pb2.Envelope | None, recorded_at: int
    ) -> None:
        """Write a key as its leaf states it, in place of what an earlier leaf said of it."""
        values = {name: leaf.value(name).decode() for name in _KEY_FACTS}
        key_id, role = leaf.value("key_id"), KeyRole[values["role"]]
        self.connection.execute(sa.delete(key_record).where(key_record.c.key_id == key_id))
        row = {
            "key_id": key_id,
            "owner": values["owner"],
            "role": int(role),
            "suite": int(values["suite"]),
            "public_key": leaf.value("public_key"),
            "key_epoch": int(values["epoch"]),
            "valid_from_index": int(values["valid_from_index"]),
            "valid_to_index": int(values["valid_to_index"]),
            "revoked": values["revoked"] == "1",
            "envelope": b"" if envelope is None else envelope.SerializeToString(),
            "log_index": log_index,
        }
        self.connection.execute(sa.insert(key_record).values(**row))
        owner = values["owner"]
        if owner.startswith("region/") and role is KeyRole.MESSAGE and owner not in self._regions:
            self._regions.add(owner)
            insert_rows(self.connection, region, [(owner, owner.removeprefix("region/"), 0, 0, recorded_at)])

    def register_series(self, stated: messages_pb2.Issue, party: str, log_index: int) -> None:
        """Register the series of an accepted Issue if it is new."""
        one = stated.series
        if one.series_id in self._series:
            return
        row = policy.SeriesRow(
            one.series_id,
            party,
            one.programme,
            one.source_id,
            one.vintage_year,
            one.batch_number,
            one.methodology_id,
            one.unit_class,
        )
        self._series[one.series_id] = row
        values = {name: getattr(row, name) for name in policy.SeriesRow.__dataclass_fields__}
        self.connection.execute(sa.insert(series).values(**values, log_index=log_index))

    def agreement(self, log_index: int, envelope: envelope_pb2.Envelope) -> None:
        """Write an agreement as both roots signed it."""
        record = messages_pb2.RecognitionRecord.FromString(envelope.payload)
        period = check_recognition(record, frozenset(self._regions))
        row = policy.AgreementRow(
            record.agreement_id,
            record.from_region,
            record.to_region,
            frozenset(record.programmes),
            frozenset(record.unit_classes),
            frozenset(record.purposes),
            record.quantity_cap_kg,
            period.start.isoformat(),
            period.end.isoformat(),
            0,
        )
        self.connection.execute(
            sa.insert(agreement).values(
                agreement_id=row.agreement_id,
                from_region=row.from_region,
                to_region=row.to_region,
                programmes=json.dumps(list(record.programmes)),
                unit_classes=json.dumps(list(record.unit_classes)),
                purposes=json.dumps(list(record.purposes)),
                quantity_cap_kg=row.quantity_cap_kg,
                start_date=row.start_date,
                end_date=row.end_date,
                document=record.document,
                envelope=envelope.SerializeToString(),
                log_index=log_index,
            )
        )
        self.connection.execute(sa.insert(agreement_use).values(agreement_id=row.agreement_id, used_kg=0))
        self._agreements.setdefault((row.from_region, row.to_region), []).append(row)

    def count_use(self, row: DecisionRow) -> None:
        """Move the counter of the agreement under which a transfer was committed: the same check finds it."""
        transfer = OpenTransfer(
            row.key, row.kind, row.lock_hash, row.destination, row.blocks, 0, row.legal_date, row.purpose
        )
        _, agreement_id = check_agreement(self._agreements, self._series, self._used_kg, transfer)
        if agreement_id:
            moved_kg = sum(block.quantity_kg for block in row.blocks)
            self._used_kg[agreement_id] = self._used_kg.get(agreement_id, 0) + moved_kg

    def freeze(self, log_index: int, ordered_by: str, envelope: envelope_pb2.Envelope) -> None:
        """Write a freeze or its lifting as it was signed."""
        order = messages_pb2.Freeze.FromString(envelope.payload)
        orders.insert_order(
            self.connection,
            orders.OrderRow(
                order.order_id,
                int(order.scope),
                order.unfreeze,
                order.reason,
                envelope.payload,
                envelope.SerializeToString(),
                log_index,
                ordered_by,
            ),
        )

    def correction(
        self, log_index: int, envelope: envelope_pb2.Envelope, recorded_at: int
    ) -> messages_pb2.Correction:
        """Write a correction as its approvers signed it."""
        made = messages_pb2.Correction.FromString(envelope.payload)
        orders.insert_correction(
            self.connection,
            orders.CorrectionRow(
                made.correction_id,
                made.from_region,
                made.to_region,
                envelope.payload,
                envelope.SerializeToString(),
                log_index,
                legal_date(datetime.fromtimestamp(recorded_at, UTC)).isoformat(),
                recorded_at,
            ),
            blocks_of(made.blocks),
        )
        return made

    def witness_group(
        self, log_index: int, leaf: Leaf, envelope: envelope_pb2.Envelope, handover: bytes
    ) -> None:
        """Write a change of the group of witnesses as its leaf states it."""
        witness_groups.insert_change(
            self.connection,
            witness_groups.StoredChange(
                change_of_leaf(leaf, log_index),
                leaf.value("change_id"),
                envelope.SerializeToString(),
                handover,
            ),
        )

    def finish(self) -> None:
        """Write the counters of agreements, and what is frozen after all orders."""
        policy.add_agreement_use(self.connection, self._used_kg)
        orders.insert_frozen(self.connection, replayed(orders.all_orders(self.connection)))


_KEY_FACTS = ("epoch", "owner", "revoked", "role", "suite", "valid_from_index", "valid_to_index")
