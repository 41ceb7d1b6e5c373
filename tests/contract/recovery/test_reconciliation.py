"""Reconciliation of real nodes at a cut of the log, without stopping anybody (PROTOCOL section 7)."""

from __future__ import annotations

import threading
from typing import Any, Final

import pytest
import sqlalchemy as sa

from tanqiao.api.bridge.v1 import reconcile_pb2, reconcile_pb2_grpc
from tanqiao.db.engine import open_engine
from tanqiao.signing.pae import message_hash
from tanqiao.tlog.leaf import decode_leaf
from tanqiao_bridge.storage import log
from tanqiao_bridge.storage.tables import conflict_case, frozen, location
from tanqiao_region.storage.tables import holding
from tests.contract.recovery.old_copies import OldCopies
from tests.contract.region.harness import SHANGHAI, SHENZHEN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WAIT_SECONDS: Final = 60.0
CLEAN: Final = reconcile_pb2.RECONCILE_STATE_CLEAN
MISMATCH: Final = reconcile_pb2.RECONCILE_STATE_MISMATCH
FULL: Final = reconcile_pb2.RECONCILE_DEPTH_FULL
LIGHT: Final = reconcile_pb2.RECONCILE_DEPTH_LIGHT


def reconcile(copies: OldCopies, depth: Any = FULL) -> dict[str, Any]:
    """Ask both regions to reconcile, and wait for the results."""
    stub = reconcile_pb2_grpc.ReconcileServiceStub(copies.market.channel("bridge", "reader/national"))
    request = reconcile_pb2.ListReconciliationsRequest()
    before = {one.run_id for one in stub.ListReconciliations(request, timeout=60).reconciliations}
    asked = stub.StartReconciliation(reconcile_pb2.StartReconciliationRequest(depth=depth), timeout=60)
    assert set(asked.asked_regions) == {SHANGHAI, SHENZHEN}
    found: dict[str, Any] = {}

    def ended() -> bool:
        for one in stub.ListReconciliations(request, timeout=60).reconciliations:
            if one.run_id not in before and one.state != reconcile_pb2.RECONCILE_STATE_RUNNING:
                found[one.region] = one
        return set(found) == {SHANGHAI, SHENZHEN}

    copies.market.wait(ended, "both regions are reconciled", WAIT_SECONDS)
    return found


def edit(copies: OldCopies, party: str, statement: sa.Update | sa.Insert | sa.Delete) -> None:
    """Change a row of a node as nobody may: beside the node, with the owner's role."""
    settings = copies.three.running[party].settings
    engine = sa.create_engine(settings.owner_database_url or settings.database_url)
    with engine.begin() as connection:
        assert connection.execute(statement).rowcount == 1
    engine.dispose()


def rows(copies: OldCopies, party: str, statement: Any) -> list[Any]:
    settings = copies.three.running[party].settings
    database = open_engine(settings.database_url, role="reader")
    try:
        with database.reading() as connection:
            return list(connection.execute(statement))
    finally:
        database.close()


def orders(copies: OldCopies, first: int, count: int) -> list[str]:
    return [copies.market.send(number) for number in range(first, first + count)]


def test_books_under_load_are_the_same_at_every_cut(old_copies: OldCopies) -> None:
    copies = old_copies
    sent: list[str] = []
    sender = threading.Thread(target=lambda: sent.extend(orders(copies, 0, 30)))
    sender.start()
    results = [reconcile(copies, depth) for depth in (FULL, LIGHT, FULL)]
    sender.join()
    assert {one.state for found in results for one in found.values()} == {CLEAN}
    copies.market.wait_ended(sent, WAIT_SECONDS)
    last = reconcile(copies)[SHANGHAI]
    assert last.state == CLEAN
    assert last.block_count > 0
    with copies.three.running["bridge"].database.reading() as connection:
        leaf = decode_leaf(log.read_leaves(connection, last.log_index, 1)[0].leaf)
    assert leaf.kind == "reconciliation"
    assert leaf.value("state") == b"clean"
    assert leaf.message_hashes[-1] == message_hash(last.result.payload_type, last.result.payload)


def test_a_row_that_somebody_altered_is_named_frozen_and_settled_when_it_is_mended(
    old_copies: OldCopies,
) -> None:
    copies = old_copies
    copies.market.wait_ended(orders(copies, 0, 3), WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    series = copies.market.series_id
    # Shanghai says of some held units that they are cancelled; one row is cut for it.
    held = next(
        row for row in rows(copies, SHANGHAI, sa.select(holding).where(holding.c.state == 1)) if row.series_id
    )
    key = (holding.c.series_id == held.series_id) & (holding.c.start_serial == held.start_serial)
    edit(copies, SHANGHAI, sa.update(holding).where(key).values(state=5, transfer_id=b"\x01" * 16))

    found = reconcile(copies)
    assert found[SHENZHEN].state == CLEAN
    assert found[SHANGHAI].state == MISMATCH
    (bad,) = found[SHANGHAI].bad_blocks
    assert (bad.block.series_id, bad.block.start_serial, bad.block.end_serial) == (
        series,
        held.start_serial,
        held.end_serial,
    )
    assert (bad.bridge_state, bad.region_state) == ("HELD", "CANCELLED")
    assert bad.log_indexes, "the leaves that moved the block are named"
    blocked = [
        (row.series_id, row.start_serial, row.end_serial) for row in rows(copies, "bridge", sa.select(frozen))
    ]
    assert blocked == [(series, held.start_serial, held.end_serial)]
    cases = sa.select(conflict_case.c.state).where(conflict_case.c.kind == "reconciliation")
    assert [row.state for row in rows(copies, "bridge", cases)] == ["open"]

    edit(copies, SHANGHAI, sa.update(holding).where(key).values(state=1, transfer_id=b""))
    assert reconcile(copies)[SHANGHAI].state == CLEAN
    # Mended, and still frozen: only approvers lift that.
    assert len(rows(copies, "bridge", sa.select(frozen))) == 1
    assert [row.state for row in rows(copies, "bridge", cases)] == ["settled"]


def test_a_location_that_somebody_altered_is_found_by_the_roots(old_copies: OldCopies) -> None:
    copies = old_copies
    copies.market.wait_ended(orders(copies, 0, 2), WAIT_SECONDS)
    copies.market.conserved(WAIT_SECONDS)
    moved = rows(copies, "bridge", sa.select(location).where(location.c.region == SHENZHEN))[0]
    key = (location.c.series_id == moved.series_id) & (location.c.start_serial == moved.start_serial)
    edit(copies, "bridge", sa.update(location).where(key).values(region=SHANGHAI))

    found = reconcile(copies, LIGHT)
    named = {
        (region, one.block.start_serial, one.block.end_serial, one.bridge_state, one.region_state)
        for region, run in found.items()
        for one in run.bad_blocks
    }
    assert named == {
        (SHANGHAI, moved.start_serial, moved.end_serial, "HELD", ""),
        (SHENZHEN, moved.start_serial, moved.end_serial, "", "HELD"),
    }
