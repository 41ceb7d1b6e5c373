"""Personal data are deleted on demand; nothing that is digested or signed changes, on both databases."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.rpc.validation import wire_date
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.fsck import check_database
from tanqiao_region.storage import accounts as kinds
from tanqiao_region.storage.accounts import AccountRow
from tanqiao_region.storage.tables import account, beneficiary_data, journal, metadata, person_data
from tests.contract.region.conftest import MakeNode
from tests.contract.region.harness import CENTRE, HOLDER, OPENERS, SHENZHEN, Node, block, request
from tests.contract.region.test_beneficiaries import PERSON, PLATFORM
from tests.contract.region.test_rule_parameters import publish

REFERENCE = "user-4711-of-the-platform"
PLATFORM_OPERATOR = OPENERS[SHENZHEN]
NEXT_DAY = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)


def user_of(node: Node, platform_party: str = PLATFORM.party) -> str:
    """Open the account of a platform's user."""
    platform = node.open_account("虚构平台 invented", kinds.KIND_DATA_OPERATOR, holder_party=platform_party)
    by = OPENERS[node.party]
    order = OpenOrder(
        request(by),
        by,
        kinds.KIND_PERSON,
        operator_account_id=platform.account_id,
        operator_reference=REFERENCE,
    )
    opened: AccountRow = node.orders.open_accounts([order])[0]
    return opened.account_id


def rows_of(node: Node, table: sa.Table) -> int:
    with node.region.database.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_person_is_forgotten_and_the_ledger_stays(node: Node, network: Any) -> None:
    user = user_of(node)
    node.give(user, block(0, 100))
    used = node.retire(user, Selection(quantity_kg=100), by=PLATFORM, beneficiary_name=PERSON)
    assert not isinstance(used, DomainError), used
    with pytest.raises(DomainError, match="STATE_NOT_ALLOWED"):
        node.orders.delete_personal_data(request(CENTRE), CENTRE, user)

    def close(group: Any) -> None:  # what a bridge that has decided the use would let the office do
        group.connection.execute(sa.update(account).where(account.c.account_id == user).values(state=2))

    node.run(close)
    assert (rows_of(node, person_data), rows_of(node, beneficiary_data)) == (1, 1)
    before = rows_of(node, journal)
    written = [bytes(row.entry) for row in entries(node)]
    asked = request(CENTRE)
    with pytest.raises(DomainError, match="ROLE_NOT_PERMITTED"):
        node.orders.delete_personal_data(request(HOLDER), HOLDER, user)
    assert node.orders.delete_personal_data(asked, CENTRE, user) == 1
    assert node.orders.delete_personal_data(asked, CENTRE, user) == 1
    assert (rows_of(node, person_data), rows_of(node, beneficiary_data)) == (0, 0)
    assert [bytes(row.entry) for row in entries(node)][:before] == written
    assert rows_of(node, journal) == before + 1
    everything = whole(node)
    assert REFERENCE not in everything
    assert PERSON.encode("unicode_escape").decode() not in everything
    report = check_database(node.region.database, network.network.federation)
    # The node gives units without the issuance that a real one rests them on.
    assert [finding for finding in report.findings if "journal" not in finding] == []
    view, _ = node.queries.retirement(used.transfer_id, CENTRE)
    assert view.beneficiary_name == ""


def test_while_the_law_demands_the_data_they_are_kept(make_node: MakeNode) -> None:
    node = make_node(SHENZHEN)
    publish(node, key="sz.personal_data_retention_days", value_json="30")
    user = user_of(node, "holder/440300/sz.data_operator/greenride")
    node.orders.close_account(request(PLATFORM_OPERATOR), PLATFORM_OPERATOR, user)
    with pytest.raises(DomainError, match="RETENTION_REQUIRED") as refused:
        node.orders.delete_personal_data(request(PLATFORM_OPERATOR), PLATFORM_OPERATOR, user)
    assert refused.value.metadata["until"] == "2026-04-01"
    publish(
        node,
        key="sz.personal_data_retention_days",
        value_json="0",
        start_date=wire_date(date(2026, 3, 3)),
    )
    node.context.clock.advance_to(NEXT_DAY)
    assert node.orders.delete_personal_data(request(PLATFORM_OPERATOR), PLATFORM_OPERATOR, user) == 0
    firm = node.open_account().account_id
    with pytest.raises(DomainError, match="ACCOUNT_KIND_NOT_ALLOWED"):
        node.orders.delete_personal_data(request(PLATFORM_OPERATOR), PLATFORM_OPERATOR, firm)


def entries(node: Node) -> list[Any]:
    with node.region.database.reading() as connection:
        return list(connection.execute(sa.select(journal).order_by(journal.c.journal_index)))


def whole(node: Node) -> str:
    with node.region.database.reading() as connection:
        rows = [
            tuple(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))
        ]
    return repr(rows).encode("unicode_escape").decode()
