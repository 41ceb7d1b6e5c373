"""A node of a region for tests: built like in production, on a database of the test, on a test clock."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tanqiao.api.bridge.v1 import messages_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.db.engine import open_engine
from tanqiao.db.guards import install, remove
from tanqiao.db.streams import ClientRequest
from tanqiao.kernel.errors import DomainError
from tanqiao.kernel.units import UnitBlock
from tanqiao.protocol.locations import LocationRow
from tanqiao.protocol.types import Kind
from tanqiao.rpc.protocol_facts import date_message
from tanqiao.signing.provision import build_recognition_record
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.application import journal
from tanqiao_region.application.accounts import OpenOrder
from tanqiao_region.application.commands import By, LocalOrder, Selection, TransferOrder, UseOrder
from tanqiao_region.application.group import Group
from tanqiao_region.application.records import take_record
from tanqiao_region.bootstrap import Region, build
from tanqiao_region.settings import Settings
from tanqiao_region.storage.accounts import KIND_ENTERPRISE, AccountRow
from tanqiao_region.storage.holdings import SeriesRow, insert_series, load_series, write_difference
from tanqiao_region.storage.schema import GUARDS
from tests.contract.region_registers.approvals import cancellation

SHANGHAI, SHENZHEN, YUNNAN = "region/310000", "region/440300", "region/530000"
PACKS = {SHANGHAI: "sh_draft", SHENZHEN: "sz_draft", YUNNAN: "yn_draft"}
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
USCC = "91310000MA1FL0007C"
EXCHANGE = By("operator/310000/sh.exchange", "sh.exchange")
CENTRE = By("operator/310000/sh.centre", "sh.centre")
HOLDER = By("operator/310000/sh.holder", "sh.holder")
SERIES = SeriesRow(
    "310000:SHCER:PV-1:2026:1",
    "310000",
    "SHCER",
    "PV-1",
    2026,
    1,
    "SHCER01010012024I",
    "I",
)

_numbers = itertools.count(1)


def request(by: By = EXCHANGE, body: object = None) -> ClientRequest:
    """A new request; with a body given, one whose hash is that of the body."""
    number = next(_numbers)
    return ClientRequest(by.party, f"r{number}", repr(body or number).encode().ljust(32)[:32])


def settings_of(
    network: NetworkOfTest, party: str, url: str, owner_url: str, bridge_address: str
) -> Settings:
    """Settings of a node of the network on a database."""
    directory = network.network.node(party)
    return Settings(
        network_id=network.network_id,
        region_code=party.removeprefix("region/"),
        listen="127.0.0.1:0",
        database_url=url,
        owner_database_url=owner_url if owner_url != url else "",
        bridge_address=bridge_address,
        tls_directory=directory / "tls",
        keys_directory=directory / "keys",
        federation_file=directory / "federation.json",
        rule_pack=PACKS.get(party, ""),
        test_clock_start=START,
    )


def spoil(node: Node, statement: Any) -> None:
    """Change what cannot be changed, as somebody can who owns the database and takes the guards away."""
    guards = [guard for guard in GUARDS if guard.table == statement.table.name]
    is_file = node.under_test.owner_url == node.under_test.url
    database = node.region.database if is_file else open_engine(node.under_test.owner_url, role="writer")
    with database.writing() as connection:
        remove(connection, guards)
        connection.execute(statement)
        install(connection, guards)
        connection.commit()
    if not is_file:
        database.close()


@dataclass
class Node:
    """A node under test."""

    region: Region
    party: str
    accounts: dict[str, AccountRow] = field(default_factory=dict)
    stopped: bool = False
    under_test: Any = None
    network: Any = None

    @property
    def context(self) -> Any:
        return self.region.context

    @property
    def orders(self) -> Any:
        return self.region.orders

    @property
    def queries(self) -> Any:
        return self.region.queries

    def run(self, work: Any) -> Any:
        return self.orders.run(work)

    def open_account(
        self, name: str = "虚构公司 invented", kind: int = KIND_ENTERPRISE, **fields: Any
    ) -> AccountRow:
        """Open an account by an office that may."""
        by = fields.pop("by", OPENERS[self.party])
        fields.setdefault("holder_party", HOLDERS[self.party].party)
        order = OpenOrder(
            request=request(by), by=by, kind=kind, display_name=name, uscc=fields.pop("uscc", USCC), **fields
        )
        answer = self.orders.open_accounts([order])[0]
        if isinstance(answer, DomainError):
            raise answer
        return answer  # type: ignore[no-any-return]

    def address(self, account_id: str) -> str:
        """Make a receiving address."""
        by = OPENERS[self.party]
        return self.orders.create_address(request(by), by, account_id)  # type: ignore[no-any-return]

    def give(self, account_id: str, *blocks: UnitBlock, series: SeriesRow = SERIES) -> None:
        """Put units into an account as if they had been issued: with their entry in the journal."""

        def work(group: Group) -> None:
            if not load_series(group.connection, [series.series_id]):
                insert_series(group.connection, [series])
            write_difference(
                group.connection,
                [],
                [LocationRow(b.series_id, b.start, b.end, (account_id, 1, b"")) for b in blocks],
            )
            group.journal.append(
                journal.UNITS_ISSUED, secrets.token_hex(16), (journal.Effect(account_id, added=blocks),)
            )

        self.run(work)

    def recognise(self, network: NetworkOfTest, **fields: Any) -> None:
        """Put an agreement in force here, as if the bridge had announced it."""
        envelope = agreement(network, **fields)

        def work(group: Group) -> None:
            take_record(
                group, messages_pb2.RecordNotice(record=envelope, log_index=max(0, group.applied_log_index))
            )

        self.run(work)

    def held(self, account_id: str) -> list[tuple[int, int, int]]:
        """(start, end, state) of an account's units of any state that is not final."""
        rows, _ = self.queries.holdings(
            account_id=account_id, series_id="", by=OPENERS[self.party], after=None, limit=1000
        )
        return [(row.start, row.end, row.place[1]) for row in rows]

    def transfer(self, from_id: str, to_address: str, selection: Selection, **fields: Any) -> Any:
        """Lock units for Shenzhen."""
        by = fields.pop("by", HOLDER)
        order = TransferOrder(
            request=fields.pop("request", None) or request(by),
            by=by,
            from_account_id=from_id,
            destination=fields.pop("destination", SHENZHEN),
            receiving_address=to_address,
            selection=selection,
            **fields,
        )
        return self.orders.create_transfers([order])[0]

    def move(self, from_id: str, to_id: str, selection: Selection, **fields: Any) -> Any:
        """Move units inside the region."""
        by = fields.pop("by", EXCHANGE)
        order = LocalOrder(
            request=fields.pop("request", None) or request(by),
            by=by,
            from_account_id=from_id,
            to_account_id=to_id,
            selection=selection,
            **fields,
        )
        return self.orders.transfer_locally([order])[0]

    def retire(self, account_id: str, selection: Selection, **fields: Any) -> Any:
        """Retire units; `hands`: officers who approve a cancellation, if not two of the caller's body."""
        by = fields.pop("by", HOLDER)
        kind = fields.pop("kind", Kind.RETIRE)
        hands = fields.pop("hands", ((by.party, 1), (by.party, 2)))
        if kind is Kind.CANCEL and "cancellation" not in fields:
            told = {
                "reason": fields.get("purpose_text", ""),
                "document_reference": fields.get("document_reference", ""),
            }
            fields["cancellation"] = cancellation(self.network, account_id, selection, hands, **told)
        order = UseOrder(
            request=fields.pop("request", None) or request(by),
            by=by,
            kind=kind,
            account_id=account_id,
            selection=selection,
            purpose=fields.pop("purpose", "event_neutrality"),
            **fields,
        )
        return self.orders.create_uses([order])[0]


OPENERS = {
    SHANGHAI: CENTRE,
    SHENZHEN: By("operator/440300/sz.platform_operator", "sz.platform_operator"),
    YUNNAN: By("operator/530000/yn.epd", "yn.epd"),
}
HOLDERS = {
    SHANGHAI: HOLDER,
    SHENZHEN: By("operator/440300/sz.holder", "sz.holder"),
    YUNNAN: By("operator/530000/yn.holder", "yn.holder"),
}
"""Who acts for the accounts that the tests open, unless a test says otherwise."""


def block(start: int, end: int, series_id: str = SERIES.series_id) -> UnitBlock:
    return UnitBlock(series_id, start, end)


def agreement(network: NetworkOfTest, **fields: Any) -> Any:
    """An agreement Shanghai → Shenzhen, signed by both roots."""
    values: dict[str, Any] = {
        "agreement_id": "A-1",
        "from_region": SHANGHAI,
        "to_region": SHENZHEN,
        "programmes": ["SHCER"],
        "unit_classes": ["I"],
        "purposes": ["event_neutrality"],
        "period": values_pb2.Period(
            start_date=date_message("2026-01-01"), end_date=date_message("2027-01-01")
        ),
        "document": "test",
        **fields,
    }
    record = messages_pb2.RecognitionRecord(**values)
    roots = [
        network.network.root(f"authority/{party.removeprefix('region/')}")
        for party in (record.from_region, record.to_region)
    ]
    return build_recognition_record(network.network_id, record, roots)


def build_node(
    network: NetworkOfTest, party: str, urls: tuple[str, str], bridge_address: str = "127.0.0.1:1"
) -> Node:
    """Build a node; nothing is served and nobody dialled until it is started."""
    return Node(build(settings_of(network, party, *urls, bridge_address)), party, network=network)
