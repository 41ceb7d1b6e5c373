"""No record without the user's mandate and consent, none after a withdrawal; what was issued stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.api.region.v1 import consents_pb2, registers_pb2
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.periods import Period
from tanqiao.rpc.validation import wire_date, wire_period
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application.consent_fsck import check_consents
from tanqiao_region.storage.accounts import KIND_DATA_OPERATOR, KIND_PERSON
from tanqiao_region.storage.consent_tables import consent
from tanqiao_region.storage.tables import account
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import OPENERS, SHANGHAI, SHENZHEN, request
from tests.contract.region.served import full_network
from tests.contract.region.world import import_parts
from tests.contract.region_registers import scene_office
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import PROJECT, month
from tests.contract.region_registers.operator_office import (
    CONSENT,
    MANDATE,
    ROLE,
    give,
    given,
    hand_in,
    meter,
    metered_project,
    record,
    travel_project,
    withdraw,
)
from tests.contract.region_registers.scene_office import trip
from tests.contract.region_registers.wire import Wire

PLATFORM = "sz.platform_operator"
FEBRUARY = wire_period(Period(date(2026, 2, 1), date(2026, 3, 1)))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture
def serve(network: NetworkOfTest, make_node: MakeNode, bridge: ClaimBridge) -> Iterator[Any]:
    """Serves a region's node on the line of a bridge that answers claims and issues."""
    wires: list[Wire] = []

    def make(party: str) -> Wire:
        assert bridge.server is not None
        node = make_node(party, bridge.server.address)
        node.region.start()
        bridge.wait_until(lambda: bridge.peer(party).frames is not None)
        wires.append(Wire(network, node))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


def refused(symbol: str, *trips: Any, wire: Wire, article: str, shown: str = "") -> None:
    with pytest.raises(DomainError) as caught:
        hand_in(wire, *trips)
    assert caught.value.symbol == symbol, caught.value
    told = caught.value.metadata
    assert article in told["article_zh"], told
    assert shown in caught.value.sentence("zh")


def findings(wire: Wire) -> list[str]:
    found: list[str] = []
    with wire.node.region.database.reading() as connection:
        check_consents(connection, found.append)
    return found


def journey(number: int, token: str, day: int = 2) -> Any:
    return trip(number, date(2026, 2, day), 50_000, user_token=token, person_count=10)


def test_SZ_20c_SZ_20d_records_need_a_mandate_for_their_day_and_a_consent_that_stands(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = travel_project(wire)
    refused("MANDATE_NOT_IN_FORCE", journey(1, "U-1"), wire=wire, article="二十", shown="O-1")
    late = given(owner, "U-1", MANDATE, date(2026, 2, 5))
    recorded = record(wire, late, given(owner, "U-2", MANDATE))
    assert (recorded.recorded_count, len(recorded.consent_ids)) == (2, 2)
    assert record(wire, late).unchanged_count == 1
    refused(
        "MANDATE_NOT_IN_FORCE", journey(1, "U-1"), journey(2, "U-2"), wire=wire, article="二十", shown="O-1"
    )
    refused("CONSENT_MISSING", journey(2, "U-2"), journey(3, "U-1", 6), wire=wire, article="二十", shown="2")
    record(wire, given(owner, "U-1"), given(owner, "U-2", project_id=PROJECT))
    assert hand_in(wire, journey(2, "U-2"), journey(3, "U-1", 6)).accepted_count == 2
    record(wire, given(owner, "U-3", MANDATE), given(owner, "U-3", project_id="OTHER-1"))
    refused("CONSENT_MISSING", journey(4, "U-3"), wire=wire, article="二十", shown="1")
    assert findings(wire) == []


def test_a_withdrawal_stops_intake_and_use_and_takes_nothing_back(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = travel_project(wire)
    ids = give(wire, owner, "U-0", "U-1").consent_ids
    hand_in(wire, *(journey(number, f"U-{number % 2}", 2 + number) for number in range(12)))
    quantified = wire.role("sz.bureau").issuance.QuantifyProject(
        registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=FEBRUARY)
    )
    taken_back = withdraw(wire, ids[3], PLATFORM)
    assert taken_back.state == consents_pb2.CONSENT_STATE_WITHDRAWN
    assert taken_back.withdraw_journal_index > taken_back.journal_index
    with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
        withdraw(wire, ids[3])
    refused("CONSENT_MISSING", journey(20, "U-1", 20), wire=wire, article="二十", shown="1")
    assert hand_in(wire, journey(1, "U-1", 3)).unchanged_count == 1
    after = wire.role("sz.bureau").issuance.QuantifyProject(
        registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=FEBRUARY)
    )
    assert (after.activity_quantity * 2, quantified.activity_quantity) == (quantified.activity_quantity,) * 2
    assert any("6" in line and "撤回" in line for line in after.working)
    assert withdraw(wire, ids[0]).kind == MANDATE
    assert hand_in(wire, journey(21, "U-0", 27)).accepted_count == 1
    scene_office.turn_to(wire, date(2026, 3, 4))
    later = trip(22, date(2026, 3, 3), 50_000, user_token="U-0")
    refused("MANDATE_NOT_IN_FORCE", later, wire=wire, article="二十", shown="O-22")
    give(wire, owner, "U-0", "U-1")
    assert hand_in(wire, journey(20, "U-1", 20)).accepted_count == 1
    shown = wire.role(PLATFORM).consents.ListConsents(
        consents_pb2.ListConsentsRequest(recipient_account_id=owner, user_token="U-1", page_size=1)
    )
    rest = wire.role(PLATFORM).consents.ListConsents(
        consents_pb2.ListConsentsRequest(
            recipient_account_id=owner, user_token="U-1", page_size=9, page_token=shown.next_page_token
        )
    )
    states = [one.state for one in (*shown.consents, *rest.consents)]
    assert sorted(states) == [1, 1, 2]
    assert findings(wire) == []


def test_a_consent_that_has_run_out_can_be_given_again(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = travel_project(wire)
    over = wire_date(date(2026, 2, 10))
    record(wire, given(owner, "U-1", MANDATE), given(owner, "U-1", CONSENT, end_date=over))
    refused("CONSENT_MISSING", journey(1, "U-1"), wire=wire, article="二十", shown="1")
    with pytest.raises(DomainError, match="ALREADY_EXISTS"):
        record(wire, given(owner, "U-1", MANDATE, date(2026, 2, 1)))
    record(wire, given(owner, "U-1"))
    assert hand_in(wire, journey(1, "U-1")).accepted_count == 1
    assert findings(wire) == []


def test_in_Shanghai_a_withdrawal_alone_counts_and_the_others_go_on(serve: Any) -> None:
    wire = serve(SHANGHAI)
    owner = wire.node.open_account().account_id
    scene_office.connected(wire, owner)
    day = date(2026, 3, 3)
    scene_office.hand_in(wire, trip(1, day), trip(2, day))
    recorded = record(wire, given(owner, "U-1", project_id=scene_office.SCENE), role=scene_office.BODY)
    scene_office.hand_in(wire, trip(8, day))
    withdraw(wire, recorded.consent_ids[0], scene_office.CENTRE)
    with pytest.raises(DomainError) as caught:
        scene_office.hand_in(wire, trip(15, day), trip(9, day))
    assert (caught.value.symbol, caught.value.metadata["n"]) == ("CONSENT_MISSING", "1")
    assert "个人信息保护法" in caught.value.metadata["article_zh"]
    assert scene_office.hand_in(wire, trip(9, day)).accepted_count == 1
    assert findings(wire) == []


def test_a_person_who_is_forgotten_has_withdrawn_and_is_no_longer_named(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = travel_project(wire)
    node, by = wire.node, OPENERS[SHENZHEN]
    person = node.open_account(
        "", KIND_PERSON, uscc="", holder_party="", operator_account_id=owner, operator_reference="user-1"
    ).account_id
    give(wire, owner, "U-1", account_id=person)
    with pytest.raises(DomainError, match="ACCOUNT_UNKNOWN"):
        give(wire, owner, "U-2", account_id=owner)
    hand_in(wire, journey(1, "U-1"))
    node.orders.close_account(request(by), by, person)
    node.orders.delete_personal_data(request(by), by, person)
    refused("CONSENT_MISSING", journey(2, "U-1", 20), wire=wire, article="二十")
    with node.region.database.reading() as connection:
        rows = connection.execute(sa.select(consent.c.account_id, consent.c.state)).all()
        assert connection.execute(
            sa.select(sa.func.count()).select_from(account).where(account.c.account_id == person)
        ).scalar_one()
    assert [tuple(row) for row in rows] == [("", 2), ("", 2)]
    assert findings(wire) == []


def test_nothing_of_a_consent_names_anybody_in_the_journal(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = wire.node.open_account(kind=KIND_DATA_OPERATOR).account_id
    give(wire, owner, "U-SECRET")
    with wire.node.region.database.reading() as connection:
        entries = connection.execute(sa.text("SELECT entry FROM journal")).all()
        outbox = connection.execute(sa.text("SELECT payload FROM outbox")).all()
    assert not any(b"U-SECRET" in bytes(row[0]) for row in (*entries, *outbox))
    with pytest.raises(DomainError, match="FIELD_INVALID"):
        give(wire, owner, "11010519491231002X")
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        give(wire, owner, "U-1", role="sz.bureau")


def refused_meter(symbol: str, *records: Any, wire: Wire, shown: str, role: str = ROLE) -> None:
    with pytest.raises(DomainError) as caught:
        meter(wire, *records, role=role)
    assert caught.value.symbol == symbol, caught.value
    assert "二十" in caught.value.metadata["article_zh"]
    assert shown in caught.value.sentence("zh")


def test_SZ_20c_SZ_20d_metered_activity_needs_what_the_meters_user_gave(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = metered_project(wire)
    january, february = month("2026-01", 50_000, meter="U-1"), month("2026-02", 60_000, meter="U-1")
    refused_meter("MANDATE_NOT_IN_FORCE", january, wire=wire, shown="U-1 2026-01-01/2026-02-01")
    record(wire, given(owner, "U-1", MANDATE, date(2026, 1, 15)))
    refused_meter("MANDATE_NOT_IN_FORCE", january, wire=wire, shown="U-1 2026-01-01/2026-02-01")
    refused_meter("CONSENT_MISSING", february, wire=wire, shown="1")
    (consent_id,) = record(wire, given(owner, "U-1")).consent_ids
    assert meter(wire, february).accepted_count == 1
    give(wire, owner, "U-2", end_date=wire_date(date(2026, 2, 28)))
    refused_meter(
        "MANDATE_NOT_IN_FORCE", month("2026-02", 1, meter="U-2"), wire=wire, shown="U-2 2026-02-01/2026-03-01"
    )
    withdraw(wire, consent_id)
    assert meter(wire, february).unchanged_count == 1, "what is recorded asks for no consent"
    refused_meter("CONSENT_MISSING", month("2026-01-20/2026-01-25", 1, meter="U-1"), wire=wire, shown="1")
    with pytest.raises(DomainError, match="METERING_MISSING"):
        wire.role("sz.bureau").issuance.QuantifyProject(
            registers_pb2.QuantifyProjectRequest(project_id=PROJECT, period=FEBRUARY)
        )
    assert findings(wire) == []


def test_SZ_20c_a_file_of_metered_activity_is_refused_for_the_user_who_gave_nothing(serve: Any) -> None:
    wire = serve(SHENZHEN)
    owner = metered_project(wire)
    give(wire, owner, "U-1")
    rows = "period,on_grid_wh,meter\n2026-01,1000,U-1\n2026-02,1000,U-1\n2026-02,1000,U-9\n"

    def hand_in_file(text: str, *, preview: bool = False) -> Any:
        parts = import_parts(text.encode(), validate_only=preview)
        return wire.role(ROLE).issuance.ImportActivity(iter(parts))

    for preview in (True, False):
        with pytest.raises(DomainError) as caught:
            hand_in_file(rows, preview=preview)
        assert caught.value.symbol == "MANDATE_NOT_IN_FORCE"
        assert "U-9 2026-02-01/2026-03-01" in caught.value.sentence("en")
        assert caught.value.metadata["article_en"]
    fine = hand_in_file(rows.rsplit("2026-02", 1)[0])
    assert (fine.committed, fine.accepted_count) == (True, 2)
