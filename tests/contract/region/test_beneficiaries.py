"""For whom units are used: a person's name stands nowhere in plain, and goes when its row goes."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.signing.commitments import commitment
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.storage import accounts as kinds
from tanqiao_region.storage.tables import beneficiary_data, metadata
from tests.contract.region.harness import CENTRE, HOLDER, USCC, Node, block, request

PLATFORM = By("holder/310000/sh.scene_body/greenride", "sh.scene_body")
READER = By("reader/national", "")
PERSON = "张三丰"
FIRM = "虚构绿行公司 invented"
ONE = Selection(quantity_kg=1)


@pytest.fixture
def accounts(node: Node) -> tuple[str, str]:
    """A firm's account and that of a platform's user, both with units."""
    firm = node.open_account(FIRM).account_id
    platform = node.open_account("platform", kinds.KIND_DATA_OPERATOR, holder_party=PLATFORM.party)
    order = OpenOrder(
        request(CENTRE),
        CENTRE,
        kinds.KIND_PERSON,
        operator_account_id=platform.account_id,
        operator_reference="u-1",
    )
    user = node.orders.open_accounts([order])[0].account_id
    node.give(firm, block(0, 100))
    node.give(user, block(100, 200))
    return firm, user


def everything(node: Node) -> bytes:
    with node.region.database.reading() as connection:
        return repr(
            [tuple(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
        ).encode("unicode_escape")


def used(node: Node, account_id: str, by: By, **fields: Any) -> bytes:
    answer = node.retire(account_id, ONE, by=by, **fields)
    assert not isinstance(answer, DomainError), answer
    return bytes(answer.transfer_id)


def test_a_name_that_may_be_a_persons_is_sealed_and_an_organisations_is_not(
    node: Node, accounts: tuple[str, str]
) -> None:
    firm, user = accounts
    sealed = {
        used(node, user, PLATFORM, beneficiary_name=PERSON): PLATFORM,
        used(node, firm, HOLDER, beneficiary_name=PERSON): HOLDER,
    }
    plain = {
        used(node, firm, HOLDER, beneficiary_name=FIRM): FIRM,
        used(node, firm, HOLDER, beneficiary_name="某公司", beneficiary_uscc=USCC): "某公司",
        used(node, firm, HOLDER): FIRM,
    }
    stored = everything(node)
    for text in (PERSON.encode("unicode_escape"), repr(PERSON.encode()).encode()[2:-1]):
        assert text not in stored
    assert FIRM.encode("unicode_escape") in stored
    for transfer_id, by in sealed.items():
        view, seen = node.queries.retirement(transfer_id, by)
        assert (view.beneficiary_name, seen) == (PERSON, True)
        payload = view.use.promise.payload
        assert commitment(PERSON.encode(), view.beneficiary_salt) in payload
        hidden, seen = node.queries.retirement(transfer_id, READER)
        assert (hidden.beneficiary_name, hidden.beneficiary_salt, seen) == ("", b"", False)
    for transfer_id, name in plain.items():
        assert node.queries.retirement(transfer_id, HOLDER)[0].beneficiary_name == name
    listed, _, _ = node.queries.retirements(account_id=user, by=PLATFORM, after=b"", limit=10)
    assert [view.beneficiary_name for view in listed] == [PERSON]


def test_without_the_row_nobody_can_say_for_whom_it_was(node: Node, accounts: tuple[str, str]) -> None:
    _, user = accounts
    transfer_id = used(node, user, PLATFORM, beneficiary_name=PERSON)
    node.run(lambda group: group.connection.execute(beneficiary_data.delete()))
    view, _ = node.queries.retirement(transfer_id, PLATFORM)
    assert (view.beneficiary_name, view.beneficiary_salt) == ("", b"")
    assert view.use.promise.payload
