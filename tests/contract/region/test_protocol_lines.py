"""Single lines of the protocol at a region that no other test looks at: docs/protocol-read.md names them."""

from __future__ import annotations

import pytest

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.region.v1 import journal_pb2
from tanqiao.signing.payload_types import payload_type_of
from tanqiao_region.application import journal
from tanqiao_region.application.commands import Selection
from tanqiao_region.application.issue_offers import series_message
from tanqiao_region.server import sync_client
from tests.contract.region.conftest import MakeNode
from tests.contract.region.fake_bridge import LOCK, FakeBridge
from tests.contract.region.harness import CENTRE, SERIES, SHANGHAI
from tests.contract.region.test_transfers import Pair, ready_to_send

pytestmark = pytest.mark.long


def test_an_organisation_keeps_its_pseudonym_and_no_salt_comes_twice(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    bridge.series[SERIES.series_id] = series_message(SERIES)
    holder, _, address = ready_to_send(pair)
    for _ in range(3):
        shanghai.transfer(holder, address, Selection(quantity_kg=10))
    bridge.wait_until(lambda: len(bridge.seen_of(LOCK)) == 3)
    openings = [messages_pb2.Openings.FromString(one.companion) for one in bridge.seen_of(LOCK)]
    assert {one.owner_pseudonym for one in openings} == {shanghai.context.secrets.pseudonym(holder)}
    assert len({one.owner_salt for one in openings} | {one.receiving_address_salt for one in openings}) == 6
    assert len({one.message.owner_commitment for one in bridge.seen_of(LOCK)}) == 3


def test_a_notice_of_a_use_away_from_home_stands_once_in_the_journal(pair: Pair, bridge: FakeBridge) -> None:
    shanghai, _ = pair
    notice = messages_pb2.HomeNotice(
        header=bridge.header((SHANGHAI,), source="region/440300", transfer_id=b"u" * 16),
        from_region="region/440300",
        use_kind=messages_pb2.USE_KIND_RETIRE,
        purpose="voluntary",
        log_index=7,
        decision_hash=b"d" * 32,
    )
    notice.blocks.add(series_id=SERIES.series_id, start_serial=3, end_serial=9)
    bridge.number(SHANGHAI, [(payload_type_of(notice), notice.SerializeToString())])
    bridge.wait_until(lambda: bridge.peer(SHANGHAI).acknowledged == 1)
    # A bridge that did not hear the acknowledgement sends it again on the next session.
    bridge.peer(SHANGHAI).acknowledged = 0
    bridge.cut(SHANGHAI)
    bridge.wait_until(lambda: len(bridge.peer(SHANGHAI).hellos) == 2)
    part = shanghai.queries.journal(
        from_index=1, limit=100, account_ids=[], kinds=[journal.HOME_NOTICE], by=CENTRE
    )
    (entry,) = part.rows
    details = journal_pb2.JournalEntry.FromString(entry.entry).details
    assert details["use"] == "RETIRE"
    assert details["from_region"] == "region/440300"
    assert details["purpose"] == "voluntary"
    assert "[3,9)" in details["blocks"].replace(" ", "")


def test_a_bridge_without_a_version_in_common_is_not_believed(
    make_node: MakeNode, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_client, "BACKOFF_SECONDS_MAX", 0.2)
    assert bridge.server is not None
    bridge.message_versions = [7]
    node = make_node(SHANGHAI, bridge.server.address)
    node.region.start()
    bridge.wait_until(lambda: len(bridge.peer(SHANGHAI).hellos) >= 3)
    assert not node.region.sync.connected
    bridge.message_versions = [1, 7]
    hellos = len(bridge.peer(SHANGHAI).hellos)
    bridge.wait_until(lambda: len(bridge.peer(SHANGHAI).hellos) > hellos)
    holder = node.open_account("holder").account_id
    assert holder
