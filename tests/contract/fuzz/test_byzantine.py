"""Messages that no honest party sends, at the real programs (PROTOCOL section 10.5): a short campaign.

`make fuzz` runs the long one. Each world is told a few hundred messages; what is proven of one is that a code
came back, that no unit, claim, decision or transfer changed, and that the server's log holds no fault.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tanqiao.db.engine import open_engine
from tanqiao.db.migrations import migrate
from tanqiao_bridge.storage.decisions import SOURCE_SIDE
from tanqiao_bridge.storage.schema import SCHEMA
from tanqiao_bridge.storage.tables import claim_lock, location, metadata, node_state, series
from tests.fuzz.campaign import NAMES, run_world
from tests.fuzz.oracle import Ledger, bridge_rules

MESSAGES = 250
SEED = 11


@pytest.mark.parametrize("name", NAMES)
def test_a_liar_gets_codes_and_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where a failure would be kept
    result = run_world(name, SEED, MESSAGES, check_every=MESSAGES)
    assert result.coverage.total >= MESSAGES
    assert len(result.coverage.codes) >= 5
    assert "INTERNAL" not in result.coverage.codes


def test_the_comparison_sees_a_changed_place_and_not_what_a_liar_may_leave(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bridge.db'}"
    with open_engine(url, role="writer") as database:
        migrate(database, SCHEMA)
        ledger = Ledger(database, metadata, bridge_rules(["region/310000"], SOURCE_SIDE))
        with database.writing() as connection:
            connection.execute(sa.insert(claim_lock).values(_filled(claim_lock)))
            connection.commit()
        assert ledger.changes() == []
        with database.writing() as connection:
            connection.execute(sa.insert(series).values(_filled(series)))
            connection.execute(sa.insert(location).values(_filled(location) | {"end_serial": 9}))
            connection.commit()
        assert [found.partition(":")[0] for found in ledger.changes()] == ["series", "location"]
        with database.writing() as connection:
            connection.execute(sa.insert(node_state).values(_filled(node_state)))
            connection.commit()
        assert [found.partition(":")[0] for found in ledger.changes()] == ["node_state"]


def _filled(table: sa.Table) -> dict[str, object]:
    values: dict[str, object] = {}
    for column in table.columns:
        kind = column.type.python_type
        values[column.name] = 1 if kind is int else kind()
    return values
