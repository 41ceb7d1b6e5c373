"""Certificates of a list with what orders have done since: every MWh has one state, and none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao_gateway.application.holdings import Record, lot_of, overlay
from tanqiao_gateway.storage.orders import Held

MONTH = values_pb2.Period(
    start_date=values_pb2.Date(year=2026, month=1, day=1),
    end_date=values_pb2.Date(year=2026, month=2, day=1),
)
QUANTITIES = st.integers(min_value=0, max_value=60)


def record(quantity: int, state: str = "ISSUED") -> Record:
    return registry_pb2.RegistryRecord(
        reference="R",
        asset_references=[claims_pb2.AssetReference(scheme="gec_filing_code", value="99310000000000001")],
        period=MONTH,
        activity_quantity=quantity,
        certificate_state=state,
        tradable=True,
    )


def stand(rows: dict[int, Record], *held: Held) -> list[tuple[str, int, str]]:
    lot = lot_of(rows[1])
    assert lot is not None
    parts = overlay(rows, {lot: held})
    return [
        (part.certificate_state, part.activity_quantity, part.frozen_for)
        for number in rows
        for part in parts[number]
    ]


def test_what_is_frozen_for_the_next_project_is_not_hidden_by_what_was_released_before() -> None:
    old, new = Held("ccer:a", unfrozen_mwh=100), Held("ccer:b", frozen_mwh=100)
    assert stand({1: record(100)}, old, new) == [("FROZEN", 100, "ccer:b")]


def test_a_list_that_shows_what_was_carried_out_is_counted_once() -> None:
    rows = {1: record(30, "CANCELLED"), 2: record(20, "FROZEN"), 3: record(50)}
    assert stand(rows, Held("ccer:a", frozen_mwh=45, cancelled_mwh=30)) == [
        ("CANCELLED", 30, "ccer:a"),
        ("FROZEN", 20, "ccer:a"),
        ("FROZEN", 25, "ccer:a"),
        ("ISSUED", 25, ""),
    ]


def test_sold_certificates_are_never_touched() -> None:
    rows = {1: record(40, "TRANSFERRED"), 2: record(10)}
    assert stand(rows, Held("ccer:a", frozen_mwh=50)) == [("TRANSFERRED", 40, ""), ("FROZEN", 10, "ccer:a")]


@given(st.lists(QUANTITIES, min_size=1, max_size=4), QUANTITIES, QUANTITIES, QUANTITIES)
def test_no_certificate_is_lost_or_made(rows: list[int], frozen: int, cancelled: int, unfrozen: int) -> None:
    held = Held("ccer:a", frozen_mwh=frozen, cancelled_mwh=cancelled, unfrozen_mwh=unfrozen)
    found = stand({number: record(quantity) for number, quantity in enumerate(rows, 1)}, held)
    assert sum(quantity for _, quantity, _ in found) == sum(rows)
    stopped = sum(quantity for state, quantity, _ in found if state in ("FROZEN", "CANCELLED"))
    assert stopped == min(sum(rows), frozen + cancelled)
