"""Accounts: who may have one, what is kept of persons, addresses."""

from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa

from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.ids import parse_address
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By
from tanqiao_region.application.secrets import NodeSecrets
from tanqiao_region.storage import accounts as kinds
from tanqiao_region.storage.tables import metadata
from tests.contract.region.conftest import MakeNode, stop
from tests.contract.region.harness import (
    CENTRE,
    EXCHANGE,
    SHANGHAI,
    SHENZHEN,
    USCC,
    YUNNAN,
    Node,
    block,
    request,
)

REFERENCE = "user-0817"


def open_one(node: Node, **fields: object) -> object:
    values: dict[str, object] = {
        "request": request(CENTRE),
        "by": CENTRE,
        "kind": kinds.KIND_ENTERPRISE,
        "display_name": "虚构公司 invented",
        "uscc": USCC,
        **fields,
    }
    return node.orders.open_accounts([OpenOrder(**values)])[0]  # type: ignore[arg-type]


def open_person(node: Node, operator: str, reference: str = REFERENCE, **fields: object) -> object:
    values = {"display_name": "", "uscc": "", "kind": kinds.KIND_PERSON, **fields}
    return open_one(node, operator_account_id=operator, operator_reference=reference, **values)


def symbol(answer: object) -> tuple[str, str | None]:
    assert isinstance(answer, DomainError), answer
    return answer.symbol, answer.field


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"display_name": ""}, ("FIELD_MISSING", "display_name")),
        ({"uscc": ""}, ("FIELD_MISSING", "uscc")),
        ({"uscc": "91310000MA1FL0008C"}, ("IDENTITY_CODE_INVALID", None)),
        ({"kind": kinds.KIND_SUSPENSE}, ("ACCOUNT_KIND_NOT_ALLOWED", "kind")),
        ({"kind": kinds.KIND_EXTERNAL_BUYER, "uscc": ""}, ("FIELD_MISSING", "seat")),
        ({"operator_reference": "x"}, ("FIELD_INVALID", "operator_reference")),
        ({"operator_account_id": "Ax"}, ("FIELD_INVALID", "operator_account_id")),
        ({"by": By("operator/310000/sh.holder", "sh.holder")}, ("ROLE_NOT_PERMITTED", None)),
    ],
)
def test_organisations_are_opened_with_name_and_code_by_an_office(
    node: Node, fields: dict[str, object], expected: tuple[str, str | None]
) -> None:
    assert symbol(open_one(node, **fields)) == expected
    assert node.queries.status().journal_size == 0


def test_a_buyer_from_elsewhere_needs_no_chinese_code(node: Node) -> None:
    opened = open_one(node, kind=kinds.KIND_EXTERNAL_BUYER, uscc="", seat="FR")
    assert isinstance(opened, kinds.AccountRow)
    assert opened.seat == "FR"


def test_persons_come_through_a_registered_operator_alone(node: Node) -> None:
    assert symbol(open_person(node, "Anobody"))[0] == "INDIVIDUAL_NEEDS_OPERATOR"
    enterprise = node.open_account("no operator")
    assert symbol(open_person(node, enterprise.account_id))[0] == "INDIVIDUAL_NEEDS_OPERATOR"
    operator = node.open_account("operator", kinds.KIND_DATA_OPERATOR)
    assert symbol(open_person(node, operator.account_id, "")) == ("FIELD_MISSING", "operator_reference")
    named = open_person(node, operator.account_id, display_name="somebody")
    assert symbol(named) == ("FIELD_INVALID", "display_name")
    identity = open_person(node, operator.account_id, "11010519491231002X")
    assert symbol(identity) == ("FIELD_INVALID", "operator_reference")
    opened = open_person(node, operator.account_id)
    assert isinstance(opened, kinds.AccountRow)
    assert (opened.display_name, opened.uscc) == ("", "")
    assert symbol(open_person(node, operator.account_id))[0] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("party", "opener", "stranger", "article"),
    [
        (SHENZHEN, "sz.platform_operator", "", "第二十条"),
        (SHANGHAI, "sh.centre", "sh.scene_body", "节点政策"),
        (SHANGHAI, "sh.exchange", "sh.bureau", "节点政策"),
        (YUNNAN, "yn.epd", "yn.developer", "节点政策"),
    ],
)
def test_a_persons_account_is_opened_by_whom_the_text_names_and_through_an_operator(
    make_node: MakeNode, party: str, opener: str, stranger: str, article: str
) -> None:
    node = make_node(party)
    code = node.context.region_code
    keeper = By(f"operator/{code}/{opener}", opener)
    operator = node.open_account("虚构平台 invented", kinds.KIND_DATA_OPERATOR).account_id
    alone = open_person(node, "", by=keeper)
    assert symbol(alone) == ("INDIVIDUAL_NEEDS_OPERATOR", "operator_account_id")
    assert isinstance(alone, DomainError)
    assert article in alone.sentence_with_article("zh")
    assert "虚构平台 invented" in alone.sentence("en")
    if stranger:
        for who in (operator, ""):
            refused = open_person(node, who, by=By(f"operator/{code}/{stranger}", stranger))
            assert symbol(refused)[0] == "ROLE_NOT_PERMITTED"
            assert isinstance(refused, DomainError)
            assert refused.article
    opened = open_person(node, operator, by=keeper)
    assert isinstance(opened, kinds.AccountRow)
    assert (opened.display_name, opened.operator_account_id) == ("", operator)


def test_a_persons_data_are_sealed_and_shown_to_their_operator_alone(node: Node) -> None:
    operator = node.open_account("operator", kinds.KIND_DATA_OPERATOR)
    opened = open_person(node, operator.account_id)
    assert isinstance(opened, kinds.AccountRow)
    assert node.queries.account(opened.account_id, CENTRE).reference == REFERENCE
    with pytest.raises(DomainError) as refusal:
        node.queries.account(opened.account_id, EXCHANGE)
    assert refusal.value.symbol == "ACCOUNT_UNKNOWN"
    with pytest.raises(DomainError):
        node.queries.balance(opened.account_id, EXCHANGE)
    listed = node.queries.accounts(kind=0, operator_account_id="", by=EXCHANGE, after="", limit=100)
    assert [view.account.account_id for view in listed] == [operator.account_id]
    with node.region.database.reading() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                assert REFERENCE.encode() not in repr(tuple(row)).encode(), table.name


def test_without_the_row_the_key_is_gone_and_another_secret_reads_nothing() -> None:
    drawn = iter(range(1, 100))
    secrets = NodeSecrets(b"s" * 32, lambda count: bytes([next(drawn)]) * count)
    sealed = secrets.seal("A1", "Aop", REFERENCE)
    assert secrets.reveal("A1", sealed.sealed, sealed.wrapped_key) == REFERENCE
    for other, account in ((NodeSecrets(b"t" * 32, lambda count: b"x" * count), "A1"), (secrets, "A2")):
        with pytest.raises(DomainError) as refusal:
            other.reveal(account, sealed.sealed, sealed.wrapped_key)
        assert refusal.value.symbol == "KEY_FILE_INVALID"


def test_the_same_request_opens_one_account(node: Node) -> None:
    same = request(CENTRE)
    first, second = open_one(node, request=same), open_one(node, request=same)
    assert first == second
    changed = dataclasses.replace(same, body_hash=b"other".ljust(32))
    assert symbol(open_one(node, request=changed))[0] == "REQUEST_ID_REUSED"
    orders = [
        OpenOrder(one, CENTRE, kinds.KIND_ENTERPRISE, "twice in one batch", USCC)
        for one in [request(CENTRE)] * 2
    ]
    one, two = node.orders.open_accounts(orders)
    assert one == two


def test_in_a_batch_each_order_stands_alone(node: Node) -> None:
    orders = [
        OpenOrder(request(CENTRE), CENTRE, kinds.KIND_ENTERPRISE, name, USCC) for name in ("a", "", "c")
    ]
    first, second, third = node.orders.open_accounts(orders)
    assert symbol(second) == ("FIELD_MISSING", "display_name")
    assert {first.display_name, third.display_name} == {"a", "c"}


def test_an_operator_and_its_user_can_come_in_one_batch(node: Node) -> None:
    operator = node.open_account("operator", kinds.KIND_DATA_OPERATOR)
    orders = [
        OpenOrder(
            request(CENTRE),
            CENTRE,
            kinds.KIND_PERSON,
            operator_account_id=operator.account_id,
            operator_reference=f"u{number % 3}",
        )
        for number in range(4)
    ]
    answers = node.orders.open_accounts(orders)
    assert [isinstance(one, DomainError) for one in answers] == [False, False, False, True]


def test_a_list_of_all_holdings_leaves_out_persons_of_others(node: Node) -> None:
    operator = node.open_account("operator", kinds.KIND_DATA_OPERATOR)
    person = open_person(node, operator.account_id)
    assert isinstance(person, kinds.AccountRow)
    node.give(person.account_id, block(0, 10))
    node.give(operator.account_id, block(10, 20))

    def seen(by: By) -> list[int]:
        rows, _ = node.queries.holdings(account_id="", series_id="", by=by, after=None, limit=10)
        return [row.start for row in rows]

    assert seen(CENTRE) == [0, 10]
    assert seen(EXCHANGE) == [10]


def test_an_address_has_check_characters_and_the_regions_code(node: Node) -> None:
    account = node.open_account("a")
    address = node.address(account.account_id)
    assert parse_address(address).region == "310000"
    assert node.address(account.account_id) != address
    same = request(CENTRE)
    again = [node.orders.create_address(same, CENTRE, account.account_id) for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(DomainError) as refusal:
        node.orders.create_address(request(CENTRE), CENTRE, "Anobody")
    assert refusal.value.symbol == "ACCOUNT_UNKNOWN"
    node.orders.close_account(request(CENTRE), CENTRE, account.account_id)
    with pytest.raises(DomainError) as refusal:
        node.orders.create_address(request(CENTRE), CENTRE, account.account_id)
    assert refusal.value.symbol == "ACCOUNT_CLOSED"


def test_a_database_opens_under_its_own_secret_alone(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node()
    stop(node)
    monkeypatch.setattr("tanqiao_region.bootstrap.open_secret", lambda _directory: b"z" * 32)
    with pytest.raises(DomainError) as refusal:
        make_node(database=node.under_test)
    assert refusal.value.symbol == "KEY_FILE_INVALID"
