"""What tells two transfers of one person from two of strangers: nothing on the wire, on both databases.

PROTOCOL section 4: an organisation has one pseudonym, a person a fresh one for each transfer. What the bridge
may keep is a part of what is sent to it, so that everything it was sent is looked through; what the other
region keeps is read from its tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By, Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.storage import accounts as kinds
from tanqiao_region.storage.tables import metadata
from tests.contract.region.fake_bridge import LOCK, FakeBridge, Seen
from tests.contract.region.harness import CENTRE, SERIES, Node, block, request
from tests.contract.region.test_transfers import Pair

PLATFORM = By("holder/310000/sh.scene_body/greenride", "sh.scene_body")
TEN = Selection(quantity_kg=10)
TRANSFERS = 3
FIRST, SECOND = "user-reference-0001", "user-reference-0002"
SHORTEST_TELLING = 8
"""A value of fewer bytes names nobody."""
SHARED = {"network_id", "sender", "audience", "source", "destination", "purpose", "rules_digest", "series_id"}
"""What stands in every message of one region to another for one purpose, whoever sends."""


def open_user(node: Node, operator: str, reference: str) -> str:
    order = OpenOrder(
        request(CENTRE),
        CENTRE,
        kinds.KIND_PERSON,
        operator_account_id=operator,
        operator_reference=reference,
    )
    account_id: str = node.orders.open_accounts([order])[0].account_id
    return account_id


def values_of(message: Message) -> Iterator[tuple[str, bytes]]:
    """Give every value of a message that might name somebody, with the field that it stands in."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from values_of(one)
            elif isinstance(one, str | bytes):
                yield field.name, one.encode() if isinstance(one, str) else one


def telling(lock: Seen) -> set[bytes]:
    """Give the values of a lock and of what travelled beside it that not every lock has."""
    openings = messages_pb2.Openings.FromString(lock.companion)
    found = [*values_of(lock.message), *values_of(openings)]
    return {value for name, value in found if name not in SHARED and len(value) >= SHORTEST_TELLING}


def openings_of(lock: Seen) -> Any:
    return messages_pb2.Openings.FromString(lock.companion)


def everything_of(node: Node) -> list[bytes]:
    """Give every value of every table of a node as bytes."""
    with node.region.database.reading() as connection:
        values = [
            value
            for table in metadata.sorted_tables
            for row in connection.execute(sa.select(table))
            for value in row
        ]
    return [value.encode() if isinstance(value, str) else bytes(value) for value in values if is_text(value)]


def is_text(value: object) -> bool:
    return isinstance(value, str | bytes | memoryview)


def test_every_transfer_of_a_person_has_a_fresh_pseudonym_and_nothing_links_two_of_them(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    operator = shanghai.open_account("platform", kinds.KIND_DATA_OPERATOR, holder_party=PLATFORM.party)
    user = open_user(shanghai, operator.account_id, FIRST)
    stranger = open_user(shanghai, operator.account_id, SECOND)
    shanghai.give(user, block(0, 100))
    shanghai.give(stranger, block(100, 200))
    buyer = shenzhen.open_account("buyer").account_id
    # An address of its own for each: what the buyer shows is the buyer's to link.
    for holder in (*[user] * TRANSFERS, stranger):
        shanghai.transfer(holder, shenzhen.address(buyer), TEN, by=PLATFORM)
    bridge.wait_until(lambda: len(bridge.finals) == 2 * (TRANSFERS + 1))

    locks = bridge.seen_of(LOCK)
    pseudonyms = [openings_of(lock).owner_pseudonym for lock in locks]
    assert len(set(pseudonyms)) == len(locks) == TRANSFERS + 1
    assert {len(one) for one in pseudonyms} == {16}
    # Two locks of one person have no more in common than two of strangers: nothing.
    for number, lock in enumerate(locks):
        for other in locks[number + 1 :]:
            assert telling(lock) & telling(other) == set()
    # Neither the account nor what an organisation would be known by leaves the region, in any message.
    stable = shanghai.context.secrets.pseudonym
    known = [
        value
        for account_id, name in ((user, FIRST), (stranger, SECOND))
        for value in (
            account_id.encode(),
            stable(account_id),
            stable(account_id).hex().encode(),
            name.encode(),
        )
    ]
    sent = [part for seen in bridge.seen for part in (seen.payload, seen.companion)]
    assert [value for value in known for part in sent if value in part] == []
    # The other region keeps each pseudonym with its own transfer, and nothing that two of them share.
    kept = everything_of(shenzhen)
    assert [value for value in known for part in kept if value in part] == []
    for lock, pseudonym in zip(locks, pseudonyms, strict=True):
        holding = [part for part in kept if pseudonym in part]
        assert holding, "its openings are kept: without them nobody could be asked about this one transfer"
        others = [one for one in pseudonyms if one != pseudonym]
        assert not any(other in part for other in others for part in holding)
        assert lock.message.header.transfer_id in kept
    # At home the account is found again, and by nothing that was sent.
    assert shanghai.held(user) == [(10 * TRANSFERS, 100, 1)]


def test_an_organisation_is_known_by_one_pseudonym_where_a_person_is_not(
    pair: Pair, bridge: FakeBridge
) -> None:
    shanghai, shenzhen = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    firm = shanghai.open_account("firm").account_id
    shanghai.give(firm, block(0, 100))
    buyer = shenzhen.open_account("buyer").account_id
    for _ in range(2):
        shanghai.transfer(firm, shenzhen.address(buyer), TEN)
    bridge.wait_until(lambda: len(bridge.seen_of(LOCK)) == 2)
    first, second = bridge.seen_of(LOCK)
    # The same look through the same values finds it: so it would find a person's.
    assert telling(first) & telling(second) == {shanghai.context.secrets.pseudonym(firm)}
