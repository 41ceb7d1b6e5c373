"""A bridge that is rebuilt from mirrors, and what of its tables has to be as it was."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.db.engine import Database
from tanqiao.db.signatures import envelope_from, load_signatures
from tanqiao.signing.payload_types import payload_type_of
from tanqiao.signing.provision import recovery_key_file
from tanqiao.testing.network import SHANGHAI, SHENZHEN, YUNNAN, NetworkOfTest
from tanqiao.witnessing.mirror_file import write_mirror
from tanqiao_bridge.rebuild import Rebuilt, RootKeys, rebuild_from_mirrors
from tanqiao_bridge.settings import Settings
from tanqiao_bridge.storage import tables
from tanqiao_bridge.storage.claim_tables import (
    alias_decision,
    alias_root,
    case_claim,
    case_event,
    claim_token,
)
from tests.contract.witness.harness import WitnessMaker

BIT_FOR_BIT: Final = (
    tables.log_leaf,
    tables.key_record,
    tables.agreement,
    tables.agreement_use,
    tables.series,
    tables.location,
    tables.issue,
    tables.decision,
    tables.decision_block,
    tables.message,
    tables.freeze_order,
    tables.frozen,
    tables.correction,
    tables.correction_block,
    tables.claim,
    tables.claim_key,
    tables.claim_receipt,
    claim_token,
    tables.registry_order,
    tables.conflict_case,
    tables.reconciliation,
    case_claim,
    case_event,
    alias_decision,
    alias_root,
)
"""Tables whose rows are the same after a rebuild; numbers that a database gives by itself are left out."""
_NUMBERS: Final = frozenset({"signature_id", "item_index", "frozen_id"})
_FINALS: Final = frozenset(map(payload_type_of, (messages_pb2.SourceFinal, messages_pb2.DestFinal)))
"""Receipts of regions have no leaf: the regions send them again."""


def rows_of(database: Database, size: int) -> dict[str, list[str]]:
    """Give the rows of every table that is to be the same, those up to a size of the log."""
    found: dict[str, list[str]] = {}
    with database.reading() as connection:
        for table in BIT_FOR_BIT:
            names = [column.name for column in table.columns if column.name not in _NUMBERS]
            statement = sa.select(*(table.c[name] for name in names))
            if "log_index" in names and table is not case_event:
                statement = statement.where(table.c.log_index < size)
            if table is tables.message:
                statement = statement.where(table.c.payload_type.not_in(_FINALS))
                statement = statement.where(table.c.payload_type.not_like("%epoch-record%"))
            rows = [tuple(map(_plain, row)) for row in connection.execute(statement)]
            found[table.name] = sorted(map(repr, rows))
        found["envelopes"] = sorted(_envelopes(connection))
    return found


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def _envelopes(connection: sa.Connection) -> Iterable[str]:
    """Every kept message as the envelope that it came in."""
    columns = tables.message.c
    rows = connection.execute(
        sa.select(columns.payload_type, columns.payload, columns.signature_id, columns.item_index)
    ).all()
    signatures = load_signatures(connection, tables.signature, [row.signature_id for row in rows])
    for row in rows:
        if row.payload_type not in _FINALS and "epoch-record" not in row.payload_type:
            envelope = envelope_from(signatures[row.signature_id], bytes(row.payload), row.item_index)
            yield envelope.SerializeToString(deterministic=True).hex()


def root_keys(network: NetworkOfTest) -> RootKeys:
    """Give what the authority brings along."""
    home = network.network.home
    return RootKeys(home / "authorities" / "bridge" / "root", recovery_key_file(home))


def rebuild(network: NetworkOfTest, settings: Settings, *mirrors: Path) -> Rebuilt:
    """Rebuild into the empty database of the settings."""
    return rebuild_from_mirrors(settings, mirrors, root_keys(network))


class Mirroring:
    """Witnesses of the three regions, each with its database; what they have as files."""

    def __init__(self, witnesses: WitnessMaker, folder: Path) -> None:
        self._witnesses = witnesses
        self._folder = folder
        self.databases = {party: witnesses.claimed_database(party) for party in (SHANGHAI, SHENZHEN, YUNNAN)}

    def follow(self, *parties: str) -> int:
        """Let them replay and cosign what there is, twice: then they have met its quorum; its size."""
        size = self._witnesses.sealed()
        for _ in range(2):
            for party in parties or tuple(self.databases):
                self._witnesses.make(party, database=self.databases[party]).step()
        return size

    def file(self, party: str, name: str = "") -> Path:
        """Write the mirror of a witness."""
        path = self._folder / f"{party[-6:]}{name}.mirror"
        write_mirror(self.databases[party], path)
        return path
