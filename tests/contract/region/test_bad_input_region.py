"""Bad input at a region node, over the wire: every method, every kind of fault, on both databases.

Each refusal has a reason of the catalogue and a sentence in Chinese and English, and leaves every table of the
node as it was. The cases are data; `test_every_method_has_a_refusing_case` demands one for each method of the table of
callers.
"""



from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import clock_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2, registers_pb2
from tanqiao.rpc.gate import REQUEST_BYTES_MAX
from tanqiao.testing.databases import DATABASE_KINDS, DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.server.callers import callers
from tests.contract.region.conftest import _migrated
from tests.contract.region.harness import SERIES, SHANGHAI, YUNNAN, build_node
from tests.contract.region.served import (
    CLOCK,
    REGION,
    Refused,
    Served,
    counts_of,
    full_network,
    method_facts,
)
from tests.contract.region.world import (
    ELSEWHERE,
    GOOD,
    HELD_KG,
    ID_UNKNOWN,
    JANUARY,
    METHODOLOGY,
    PROJECT,
    World,
    furnish,
    import_parts,
    period,
    units,
)
from tests.contract.region_registers.claim_bridge import ClaimBridge
from tests.contract.region_registers.office import month

METHODS: Final = sorted(callers("310000"))
BIG: Final = 2**63 - 1


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> NetworkOfTest:
    """A network in which every role has its operator."""
    return full_network(tmp_path_factory.mktemp("full-network"))


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def world(
    request: pytest.FixtureRequest, network: NetworkOfTest, database_maker: DatabaseMaker
) -> Iterator[World]:
    """Shanghai and Yunnan on the line of a bridge that keeps every lock waiting."""
    assert request.param in DATABASE_KINDS
    with ExitStack() as stack:
        bridge = ClaimBridge(network)
        bridge.on_lock = bridge.hold
        bridge.on_use = bridge.hold
        address = bridge.start()
        stack.callback(bridge.stop)
        served = []
        for party in (SHANGHAI, YUNNAN):
            made = database_maker.make(request.param, _migrated, "region")
            stack.callback(database_maker.drop, made)
            node = build_node(network, party, (made.url, made.owner_url), address)
            stack.callback(node.region.stop)
            one = Served(network, node)
            stack.callback(one.close)
            served.append(one)
            node.recognise(network)
            node.region.start()
        bridge.wait_until(lambda: all(bridge.peer(party).frames is not None for party in (SHANGHAI, YUNNAN)))
        world = World(*served)
        furnish(world)
        yield world


@dataclass(frozen=True)
class Case:
    """One way to be refused.

    Args:
        method: full name.
        name: what is wrong, in words.
        symbol: reason expected.
        spoil: changes the good request, or gives another one.
        role: who calls, if not the one whose business it is.
        article: whether an article decides.
        at_item: the refusal is the item's, inside a batch that is answered.
    """

    method: str
    name: str
    symbol: str
    spoil: Callable[[World, Any], Any]
    role: str = ""
    article: bool = False
    at_item: bool = False

    def __str__(self) -> str:
        """Give the test's id."""
        return f"{self.method.rpartition('.')[2]}: {self.name}".replace(" ", "_")


def put(**fields: Any) -> Callable[[World, Any], Any]:
    """Set fields of the request; a callable is asked with the world."""

    def spoil(world: World, request: Any) -> Any:
        for path, value in fields.items():
            target = request
            *parents, last = path.split("__")
            for name in parents:
                target = getattr(target, name)
                if not isinstance(target, Message):
                    target = target[0]
            given = value(world) if callable(value) else value
            if given is None:
                target.ClearField(last)
            elif isinstance(given, Message):
                getattr(target, last).CopyFrom(given)
            elif isinstance(given, list):
                target.ClearField(last)
                getattr(target, last).extend(given)
            else:
                setattr(target, last, given)
        return request

    return spoil


def many(count: int) -> Callable[[World, Any], Any]:
    """Repeat the first item of a batch."""

    def spoil(_world: World, request: Any) -> Any:
        first = request.requests[0]
        request.ClearField("requests")
        request.requests.extend([first] * count)
        return request

    return spoil


def none(_world: World, request: Any) -> Any:
    """Send a batch without items."""
    request.ClearField("requests")
    return request


def same(_world: World, request: Any) -> Any:
    """Send the good request."""
    return request


ACCOUNT = f"{REGION}AccountService/"
LEDGER = f"{REGION}LedgerService/"
TRANSFER = f"{REGION}TransferService/"
RETIREMENT = f"{REGION}RetirementService/"
JOURNAL = f"{REGION}JournalService/"
REGISTER = f"{REGION}RegisterService/"
ISSUANCE = f"{REGION}IssuanceService/"
RESERVE = f"{REGION}ReserveService/"

UNITS_CASES: Final = (
    ("no units", "QUANTITY_NOT_POSITIVE", {"units": None}),
    ("zero kilograms", "QUANTITY_NOT_POSITIVE", {"units": units(0)}),
    ("negative kilograms", "QUANTITY_NOT_POSITIVE", {"units": units(-5)}),
    ("the least integer", "QUANTITY_NOT_POSITIVE", {"units": units(-(2**63))}),
    ("more than there is", "UNITS_INSUFFICIENT", {"units": units(HELD_KG + 1)}),
    ("the greatest integer", "UNITS_INSUFFICIENT", {"units": units(BIG)}),
    ("a reversed range", "RANGE_REVERSED", {"units": units(0, (10, 5))}),
    ("an empty range", "RANGE_REVERSED", {"units": units(0, (10, 10))}),
    ("overlapping ranges", "RANGE_OVERLAP", {"units": units(0, (500_000, 500_010), (500_009, 500_020))}),
    ("the same range twice", "RANGE_OVERLAP", {"units": units(0, (500_000, 500_010), (500_000, 500_010))}),
    ("negative serials", "FIELD_INVALID", {"units": units(0, (-5, 5))}),
    ("locked units", "UNIT_LOCKED", {"units": units(0, (0, 10))}),
    ("units that are not held", "NOT_HELD", {"units": units(0, (HELD_KG, HELD_KG + 10))}),
    ("ranges and another quantity", "FIELD_INVALID", {"units": units(7, (500_000, 500_010))}),
    (
        "another series than that of the ranges",
        "SERIES_MISMATCH",
        {"units": units(0, (500_000, 500_010), series_id="310000:SHCER:PV-2:2026:1")},
    ),
    ("a range without a series", "FIELD_MISSING", {"units": lambda _: _without_series()}),
    (
        "a series that nobody has",
        "UNITS_INSUFFICIENT",
        {"units": units(5, series_id="310000:SHCER:X:2026:1")},
    ),
    ("an over-long series", "TEXT_TOO_LONG", {"units": units(5, series_id="x" * 161)}),
    ("too many ranges", "BATCH_TOO_LARGE", {"units": lambda _: _many_ranges(1001)}),
)


def _without_series() -> Any:
    made = units(0, (5, 10))
    made.blocks[0].series_id = ""
    return made


def _many_ranges(count: int) -> Any:
    return units(0, *((500_000 + 2 * at, 500_001 + 2 * at) for at in range(count)))


def _bad_check(address: str) -> str:
    return address[:-1] + ("0" if address[-1] != "0" else "1")


def _swapped(address: str) -> str:
    """Exchange two neighbours that differ: the slip that check characters are for."""
    at = next(at for at in range(10, len(address) - 4) if address[at] != address[at + 1])
    return address[:at] + address[at + 1] + address[at] + address[at + 2 :]


def _table() -> Iterator[Case]:
    yield from _accounts()
    yield from _ledger()
    yield from _uses()
    yield from _reads()
    yield from _registers()
    yield from _issuances()
    yield from _imports()
    yield from _reserve_and_clock()


def _accounts() -> Iterator[Case]:
    opening = f"{ACCOUNT}OpenAccount"
    yield Case(opening, "no kind", "FIELD_MISSING", put(kind=0))
    yield Case(opening, "suspense by hand", "ACCOUNT_KIND_NOT_ALLOWED", put(kind=9))
    yield Case(opening, "no name", "FIELD_MISSING", put(display_name=" \t"))
    yield Case(opening, "an over-long name", "TEXT_TOO_LONG", put(display_name="名" * 201))
    yield Case(opening, "control characters in the name", "FIELD_INVALID", put(display_name="a\x00b"))
    yield Case(opening, "no credit code", "FIELD_MISSING", put(uscc=""))
    yield Case(opening, "a wrong check digit", "IDENTITY_CODE_INVALID", put(uscc="91310000MA1FL0007D"))
    yield Case(opening, "an over-long credit code", "TEXT_TOO_LONG", put(uscc="9" * 19))
    yield Case(opening, "an operator for an organisation", "FIELD_INVALID", put(operator_account_id="A1"))
    yield Case(opening, "a buyer without a seat", "FIELD_MISSING", put(kind=7, uscc="", seat=""))
    yield Case(opening, "an over-long seat", "TEXT_TOO_LONG", put(seat="x" * 17))
    yield Case(
        opening,
        "a person without an operator",
        "INDIVIDUAL_NEEDS_OPERATOR",
        put(kind=5, display_name="", uscc="", operator_reference="u-1"),
    )
    yield Case(
        opening,
        "a person through an account that is no operator",
        "INDIVIDUAL_NEEDS_OPERATOR",
        put(
            kind=5, display_name="", uscc="", operator_reference="u-1", operator_account_id=lambda w: w.giver
        ),
    )
    person: dict[str, Any] = {
        "kind": 5,
        "display_name": "",
        "uscc": "",
        "operator_account_id": lambda w: w.person_operator,
    }
    yield Case(opening, "a person without a reference", "FIELD_MISSING", put(**person))
    yield Case(
        opening,
        "an identity number as reference",
        "FIELD_INVALID",
        put(**person, operator_reference="11010519491231002X"),
    )
    yield Case(opening, "a person with a name", "FIELD_INVALID", put(**{**person, "display_name": "张三"}))
    yield Case(
        opening,
        "a role that does not open accounts",
        "ROLE_NOT_PERMITTED",
        same,
        role="sh.holder",
        article=True,
    )
    batch = f"{ACCOUNT}BatchOpenAccounts"
    yield Case(batch, "no items", "BATCH_EMPTY", none)
    yield Case(batch, "too many items", "BATCH_TOO_LARGE", many(1001))
    yield Case(batch, "an item without a kind", "FIELD_MISSING", put(requests__kind=0), at_item=True)
    yield Case(
        batch, "an item without an id", "REQUEST_ID_INVALID", put(requests__request_id=""), at_item=True
    )
    yield Case(
        batch,
        "a wrong check digit",
        "IDENTITY_CODE_INVALID",
        put(requests__uscc="91310000MA1FL0007D"),
        at_item=True,
    )
    for name in ("GetAccount", "GetBalance", "CloseAccount", "CreateReceivingAddress"):
        yield Case(ACCOUNT + name, "no account", "FIELD_MISSING", put(account_id=""))
        yield Case(ACCOUNT + name, "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16))
        yield Case(ACCOUNT + name, "an over-long account", "TEXT_TOO_LONG", put(account_id="A" * 33))
    for name in ("CloseAccount", "CreateReceivingAddress"):
        yield Case(ACCOUNT + name, "a closed account", "ACCOUNT_CLOSED", put(account_id=lambda w: w.closed))
    yield Case(ACCOUNT + "CloseAccount", "locked units", "ACCOUNT_HAS_LOCKED_UNITS", same)
    yield Case(ACCOUNT + "CloseAccount", "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.holder")
    yield Case(ACCOUNT + "ListAccounts", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(ACCOUNT + "ListHoldings", "an over-long account", "TEXT_TOO_LONG", put(account_id="A" * 33))
    yield Case(
        ACCOUNT + "ListHoldings", "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16)
    )


def _ledger() -> Iterator[Case]:
    for method in (LEDGER + "TransferUnits", TRANSFER + "CreateTransfer"):
        for name, symbol, fields in UNITS_CASES:
            yield Case(method, name, symbol, put(**fields))
        yield Case(method, "no giver", "FIELD_MISSING", put(from_account_id=""))
        yield Case(method, "an unknown giver", "ACCOUNT_UNKNOWN", put(from_account_id="A" + "2" * 16))
        yield Case(method, "an over-long giver", "TEXT_TOO_LONG", put(from_account_id="A" * 33))
        yield Case(method, "a closed giver", "ACCOUNT_CLOSED", put(from_account_id=lambda w: w.closed))
        yield Case(
            method,
            "a role without the right",
            "ROLE_NOT_PERMITTED",
            same,
            role="sh.district_bureau",
            article=True,
        )
    move = LEDGER + "TransferUnits"
    yield Case(move, "no taker", "FIELD_MISSING", put(to_account_id=""))
    yield Case(move, "an unknown taker", "ACCOUNT_UNKNOWN", put(to_account_id="A" + "2" * 16))
    yield Case(move, "a closed taker", "ACCOUNT_CLOSED", put(to_account_id=lambda w: w.closed))
    yield Case(move, "to itself", "FIELD_INVALID", put(to_account_id=lambda w: w.giver))
    yield Case(move, "an over-long reference", "TEXT_TOO_LONG", put(settlement_reference="x" * 201))
    yield Case(move, "a trade by a holder", "ROLE_NOT_PERMITTED", same, role="sh.holder", article=True)
    batch = LEDGER + "BatchTransferUnits"
    yield Case(batch, "no items", "BATCH_EMPTY", none)
    yield Case(batch, "too many items", "BATCH_TOO_LARGE", many(5001))
    yield Case(
        batch, "a reversed range", "RANGE_REVERSED", put(requests__units=units(0, (10, 5))), at_item=True
    )
    yield Case(batch, "nothing to give", "UNITS_INSUFFICIENT", put(requests__units=units(BIG)), at_item=True)
    yield Case(
        batch, "an item without an id", "REQUEST_ID_INVALID", put(requests__request_id=""), at_item=True
    )
    create = TRANSFER + "CreateTransfer"
    yield Case(create, "no destination", "FIELD_MISSING", put(destination_region_code=""))
    yield Case(create, "a code that is no region", "REGION_UNKNOWN", put(destination_region_code="999999"))
    yield Case(create, "the own region", "DESTINATION_IS_SOURCE", put(destination_region_code="310000"))
    yield Case(create, "no address", "FIELD_MISSING", put(receiving_address=""))
    yield Case(
        create, "a wrong check character", "ADDRESS_INVALID", put(receiving_address=_bad_check(ELSEWHERE))
    )
    yield Case(create, "two letters exchanged", "ADDRESS_INVALID", put(receiving_address=_swapped(ELSEWHERE)))
    yield Case(
        create, "an address of lower case", "ADDRESS_INVALID", put(receiving_address=ELSEWHERE.lower())
    )
    yield Case(create, "a letter too few", "ADDRESS_INVALID", put(receiving_address=ELSEWHERE[:-1]))
    yield Case(create, "an over-long address", "TEXT_TOO_LONG", put(receiving_address="T" * 65))
    yield Case(
        create, "an address of another region", "ADDRESS_INVALID", put(destination_region_code="530000")
    )
    yield Case(create, "an over-long purpose", "TEXT_TOO_LONG", put(purpose="p" * 49))
    yield Case(create, "a negative wait", "FIELD_INVALID", put(wait_ms=-1))
    yield Case(create, "a wait without end", "FIELD_INVALID", put(wait_ms=30_001))
    batch = TRANSFER + "BatchCreateTransfers"
    yield Case(batch, "no items", "BATCH_EMPTY", none)
    yield Case(batch, "too many items", "BATCH_TOO_LARGE", many(5001))
    yield Case(batch, "a negative wait", "FIELD_INVALID", put(wait_ms=-1))
    yield Case(
        batch,
        "a wrong check character",
        "ADDRESS_INVALID",
        put(requests__receiving_address=_bad_check(ELSEWHERE)),
        at_item=True,
    )
    yield Case(
        batch,
        "overlapping ranges",
        "RANGE_OVERLAP",
        put(requests__units=units(0, (1, 9), (5, 12))),
        at_item=True,
    )
    for name in ("WithdrawTransfer", "GetTransfer", "WatchTransfer"):
        yield Case(TRANSFER + name, "no id", "FIELD_INVALID", put(transfer_id=""))
        yield Case(TRANSFER + name, "half an id", "FIELD_INVALID", put(transfer_id="ab" * 8))
        yield Case(TRANSFER + name, "an id of capitals", "FIELD_INVALID", put(transfer_id="AB" * 16))
        yield Case(TRANSFER + name, "an unknown id", "TRANSFER_UNKNOWN", put(transfer_id=ID_UNKNOWN))
    yield Case(
        TRANSFER + "WithdrawTransfer", "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau"
    )
    yield Case(
        TRANSFER + "WithdrawTransfer",
        "a use",
        "WITHDRAW_NOT_POSSIBLE",
        put(transfer_id=lambda w: w.retirement_id),
    )
    yield Case(TRANSFER + "ListTransfers", "a negative page", "FIELD_INVALID", put(page_size=-1))


def _uses() -> Iterator[Case]:
    retire, cancel = RETIREMENT + "RetireUnits", RETIREMENT + "CancelUnits"
    for method in (retire, cancel):
        for name, symbol, fields in UNITS_CASES:
            yield Case(method, name, symbol, put(**fields))
        yield Case(method, "no account", "FIELD_MISSING", put(account_id=""))
        yield Case(method, "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16))
        yield Case(method, "a closed account", "ACCOUNT_CLOSED", put(account_id=lambda w: w.closed))
        yield Case(method, "a wait without end", "FIELD_INVALID", put(wait_ms=30_001))
        yield Case(method, "an over-long document", "TEXT_TOO_LONG", put(document_reference="x" * 401))
        yield Case(
            method,
            "a role without the right",
            "ROLE_NOT_PERMITTED",
            same,
            role="sh.district_bureau",
            article=True,
        )
    yield Case(retire, "no purpose", "FIELD_MISSING", put(purpose=""))
    yield Case(retire, "an over-long purpose", "TEXT_TOO_LONG", put(purpose="p" * 49))
    yield Case(retire, "a purpose that nobody knows", "PURPOSE_NOT_PROVIDED", put(purpose="fun"))
    yield Case(retire, "an over-long text", "TEXT_TOO_LONG", put(purpose_text="字" * 401))
    yield Case(retire, "an over-long beneficiary", "TEXT_TOO_LONG", put(beneficiary__name="名" * 201))
    yield Case(  # the sample of GB 11643; the code of a beneficiary is shown to everybody
        retire,
        "a resident's number as a credit code",
        "IDENTITY_CODE_INVALID",
        put(beneficiary__uscc="11010519491231002X"),
    )
    yield Case(retire, "a digest of 31 bytes", "FIELD_INVALID", put(document_digest=b"x" * 31))
    yield Case(retire, "a year that is none", "FIELD_INVALID", put(compliance_year=26))
    yield Case(retire, "a negative year", "FIELD_INVALID", put(compliance_year=-2026))
    yield Case(cancel, "an over-long reason", "TEXT_TOO_LONG", put(reason="字" * 401))
    yield Case(RETIREMENT + "GetRetirement", "no id", "FIELD_INVALID", put(retirement_id=""))
    yield Case(RETIREMENT + "GetRetirement", "an unknown id", "NOT_FOUND", put(retirement_id=ID_UNKNOWN))
    yield Case(RETIREMENT + "ListRetirements", "a negative page", "FIELD_INVALID", put(page_size=-1))


def _reads() -> Iterator[Case]:
    for name in ("WatchJournal", "ListJournal"):
        yield Case(JOURNAL + name, "a negative index", "FIELD_INVALID", put(from_index=-1))
        yield Case(JOURNAL + name, "a kind that is none", "FIELD_MISSING", put(filter__kinds=[0]))
        yield Case(
            JOURNAL + name,
            "too many accounts",
            "BATCH_TOO_LARGE",
            put(filter__account_ids=[f"A{at}" for at in range(1001)]),
        )
    yield Case(JOURNAL + "ListJournal", "a negative page", "FIELD_INVALID", put(page_size=-1))
    for name in ("ListMethodologies", "ListProjects"):
        yield Case(REGISTER + name, "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(REGISTER + "GetProject", "no id", "FIELD_MISSING", put(project_id=""))
    yield Case(REGISTER + "GetProject", "an unknown id", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(REGISTER + "GetProject", "an over-long id", "TEXT_TOO_LONG", put(project_id="P" * 65))


def _registers() -> Iterator[Case]:
    publish = REGISTER + "PublishMethodology"
    yield Case(publish, "no methodology", "FIELD_MISSING", put(methodology=None))
    yield Case(publish, "no id", "FIELD_MISSING", put(methodology__methodology_id=""))
    yield Case(publish, "an id of other letters", "FIELD_INVALID", put(methodology__methodology_id="a:b"))
    yield Case(publish, "an id of no pattern", "FIELD_INVALID", put(methodology__methodology_id="X1"))
    yield Case(publish, "no kind", "FIELD_MISSING", put(methodology__kind=0))
    yield Case(publish, "no title", "FIELD_MISSING", put(methodology__title=""))
    yield Case(publish, "an over-long title", "TEXT_TOO_LONG", put(methodology__title="题" * 257))
    yield Case(publish, "published before", "ALREADY_EXISTS", put(methodology__methodology_id=METHODOLOGY))
    yield Case(
        publish, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.project_applicant", article=True
    )
    yield Case(
        publish,
        "too many documents",
        "BATCH_TOO_LARGE",
        put(documents=[registers_pb2.ProjectDocument(kind="k") for _ in range(65)]),
    )
    submit = REGISTER + "SubmitProject"
    yield Case(submit, "no project", "FIELD_MISSING", put(project=None))
    yield Case(submit, "no id", "FIELD_MISSING", put(project__project_id=""))
    yield Case(submit, "an id of other letters", "FIELD_INVALID", put(project__project_id="a b"))
    yield Case(submit, "the id of another project", "ALREADY_EXISTS", put(project__project_id=PROJECT))
    yield Case(submit, "no title", "FIELD_MISSING", put(project__title=""))
    yield Case(submit, "an over-long title", "TEXT_TOO_LONG", put(project__title="题" * 257))
    yield Case(submit, "no owner", "FIELD_MISSING", put(project__owner_account_id=""))
    yield Case(submit, "an unknown owner", "ACCOUNT_UNKNOWN", put(project__owner_account_id="A" + "2" * 16))
    yield Case(submit, "a closed owner", "ACCOUNT_CLOSED", put(project__owner_account_id=lambda w: w.closed))
    yield Case(submit, "no methodology", "FIELD_MISSING", put(project__methodology_id=""))
    yield Case(
        submit, "an unknown methodology", "METHODOLOGY_NOT_PUBLISHED", put(project__methodology_id="SHCER0X")
    )
    yield Case(submit, "no period", "FIELD_MISSING", put(project__crediting_period=None))
    yield Case(
        submit,
        "a reversed period",
        "RANGE_REVERSED",
        put(project__crediting_period=period((2026, 2, 1), (2026, 1, 1))),
    )
    yield Case(
        submit,
        "a day that is none",
        "FIELD_INVALID",
        put(project__crediting_period=period((2026, 2, 30), (2027, 1, 1))),
    )
    yield Case(submit, "no attribute", "FIELD_MISSING", put(project__attribute=0))
    yield Case(submit, "no asset", "FIELD_MISSING", put(project__asset=None))
    yield Case(submit, "a negative capacity", "FIELD_INVALID", put(project__asset__capacity_kw=-1))
    yield Case(
        submit,
        "a plant above the limit",
        "ASSESSMENT_NOT_PASSED",
        put(project__asset__capacity_kw=1_000_000),
        article=True,
    )
    yield Case(
        submit,
        "a digest of 5 bytes",
        "FIELD_INVALID",
        put(project__documents=[registers_pb2.ProjectDocument(kind="application_form", digest=b"short")]),
    )
    yield Case(
        submit,
        "too many documents",
        "BATCH_TOO_LARGE",
        put(project__documents=[registers_pb2.ProjectDocument(kind="k") for _ in range(65)]),
    )
    yield Case(submit, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    for name in ("AssessProject", "OpenProjectNotice", "PublishProject", "WithdrawProject"):
        yield Case(REGISTER + name, "no project", "FIELD_MISSING", put(project_id=""))
        yield Case(REGISTER + name, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
        yield Case(REGISTER + name, "an id of other letters", "FIELD_INVALID", put(project_id="a\x00b"))
        yield Case(REGISTER + name, "a project past this step", "STATE_NOT_ALLOWED", same)
    yield Case(REGISTER + "AssessProject", "an over-long opinion", "TEXT_TOO_LONG", put(opinion="字" * 2001))


def _issuances() -> Iterator[Case]:
    submit = ISSUANCE + "SubmitActivity"
    yield Case(submit, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(submit, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(submit, "no records", "BATCH_EMPTY", put(records=[]))
    yield Case(
        submit, "too many records", "BATCH_TOO_LARGE", put(records=[month("2025-01") for _ in range(1001)])
    )
    yield Case(submit, "no period", "FIELD_MISSING", put(records__period=None))
    yield Case(
        submit, "a reversed period", "RANGE_REVERSED", put(records__period=period((2026, 2, 1), (2026, 1, 1)))
    )
    yield Case(submit, "negative energy", "FIELD_INVALID", put(records__on_grid_wh=-1))
    yield Case(submit, "more energy than the plant has", "FIELD_INVALID", put(records__on_grid_wh=BIG))
    yield Case(submit, "an over-long meter", "TEXT_TOO_LONG", put(records__meter="M" * 65))
    yield Case(
        submit,
        "a period before the crediting period",
        "PERIOD_OUTSIDE_CLAIM",
        put(records__period=period((2020, 1, 1), (2020, 2, 1))),
    )
    yield Case(
        submit,
        "a month that is not over",
        "DATE_NOT_ALLOWED",
        put(records__period=period((2027, 1, 1), (2027, 2, 1))),
    )
    yield Case(
        submit,
        "two records of one day",
        "DUPLICATE_KEY",
        put(records=[month("2025-05", 1), month("2025-05", 2)]),
    )
    yield Case(
        submit,
        "records that overlap",
        "RANGE_OVERLAP",
        put(records=[month("2025-05", 1), month("2025-05-15/2025-06-15", 2)]),
    )
    yield Case(submit, "other data for a recorded month", "DUPLICATE_KEY", put(records=[month("2026-01", 1)]))
    yield Case(submit, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    quantify = ISSUANCE + "QuantifyProject"
    yield Case(quantify, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(quantify, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(quantify, "no period", "FIELD_MISSING", put(period=None))
    yield Case(
        quantify, "a reversed period", "RANGE_REVERSED", put(period=period((2026, 2, 1), (2026, 1, 1)))
    )
    yield Case(
        quantify, "a month without data", "METERING_MISSING", put(period=period((2025, 7, 1), (2025, 8, 1)))
    )
    issue = ISSUANCE + "IssueUnits"
    yield Case(issue, "no project", "FIELD_MISSING", put(project_id=""))
    yield Case(issue, "an unknown project", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(issue, "no period", "FIELD_MISSING", put(period=None))
    yield Case(issue, "a reversed period", "RANGE_REVERSED", put(period=period((2026, 2, 1), (2026, 1, 1))))
    yield Case(
        issue, "a month without data", "METERING_MISSING", put(period=period((2025, 7, 1), (2025, 8, 1)))
    )
    yield Case(
        issue, "a period that cuts a month", "FIELD_INVALID", put(period=period((2026, 1, 10), (2026, 2, 1)))
    )
    yield Case(issue, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)
    yield Case(issue, "no audit", "AUDIT_NOT_PASSED", put(audit=None), article=True)
    yield Case(ISSUANCE + "GetIssuance", "no id", "FIELD_MISSING", put(issuance_id=""))
    yield Case(ISSUANCE + "GetIssuance", "an unknown id", "NOT_FOUND", same)
    yield Case(ISSUANCE + "GetIssuance", "an over-long id", "TEXT_TOO_LONG", put(issuance_id="a" * 65))
    yield Case(ISSUANCE + "ListIssuances", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(ISSUANCE + "ListIssuances", "an over-long project", "TEXT_TOO_LONG", put(project_id="P" * 65))


GOOD_ROW: Final = b"period,on_grid_wh,meter\n2025-03,1000,M-9\n"


def send(data: bytes, **start: Any) -> Callable[[World, Any], Any]:
    """Send a file instead."""
    return lambda _world, _request: import_parts(data, **start)


def _imports() -> Iterator[Case]:
    method = ISSUANCE + "ImportActivity"
    yield Case(method, "nothing", "FIELD_MISSING", lambda _w, _r: [])
    yield Case(method, "bytes before the start", "FIELD_MISSING", lambda _w, parts: parts[1:])
    yield Case(method, "two starts", "FIELD_MISSING", lambda _w, parts: [parts[0], *parts])
    yield Case(method, "no request id", "REQUEST_ID_INVALID", send(GOOD_ROW, request_id=""))
    yield Case(method, "no project", "FIELD_MISSING", send(GOOD_ROW, project_id=""))
    yield Case(method, "an unknown project", "NOT_FOUND", send(GOOD_ROW, project_id="PV-NOBODY"))
    yield Case(method, "no format", "FORMAT_UNKNOWN", send(GOOD_ROW, kind=0))
    yield Case(method, "no bytes", "FILE_EMPTY", send(b""))
    yield Case(method, "a header alone", "FILE_EMPTY", send(b"period,on_grid_wh\n"))
    yield Case(method, "a column in another unit", "FIELD_INVALID", send(b"period,on_grid_kwh\n2025-03,1\n"))
    yield Case(method, "a column that is missing", "COLUMN_MISSING", send(b"period,meter\n2025-03,M\n"))
    yield Case(
        method, "GBK", "FILE_NOT_UTF8", send("period,on_grid_wh,meter\n2025-03,1,电表\n".encode("gbk"))
    )
    yield Case(
        method,
        "a chunk above the bound",
        "MESSAGE_TOO_LARGE",
        lambda _w, parts: [parts[0], registers_pb2.ImportActivityRequest(chunk=b"x" * (256 * 1024 + 1))],
    )
    yield Case(method, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.district_bureau", article=True)


def _reserve_and_clock() -> Iterator[Case]:
    enter = RESERVE + "EnterResource"
    yield Case(enter, "no resource", "FIELD_MISSING", put(resource=None))
    yield Case(enter, "no id", "FIELD_MISSING", put(resource__entry_id=""))
    yield Case(enter, "an id of other letters", "FIELD_INVALID", put(resource__entry_id="a/b"))
    yield Case(enter, "no title", "FIELD_MISSING", put(resource__title=""))
    yield Case(enter, "an over-long title", "TEXT_TOO_LONG", put(resource__title="题" * 257))
    yield Case(enter, "a kind that is none", "FIELD_INVALID", put(resource__resource_kind="gold"))
    yield Case(enter, "a negative potential", "FIELD_INVALID", put(resource__potential_kg_per_year=-1))
    yield Case(enter, "a boundless potential", "FIELD_INVALID", put(resource__potential_kg_per_year=BIG))
    yield Case(enter, "no asset", "BATCH_EMPTY", put(resource__asset=None))
    yield Case(enter, "an unknown owner", "ACCOUNT_UNKNOWN", put(resource__owner_account_id="A" + "2" * 16))
    yield Case(enter, "the wrong role", "ROLE_NOT_PERMITTED", same, role="yn.holder", article=True)
    yield Case(RESERVE + "ListResources", "a negative page", "FIELD_INVALID", put(page_size=-1))
    advance = f"{CLOCK}ClockService/AdvanceTestClock"
    yield Case(advance, "no moment", "FIELD_MISSING", put(to_time=None))
    yield Case(advance, "a moment in the past", "CLOCK_SET_BACK", same)
    yield Case(advance, "before every year", "FIELD_INVALID", put(to_time=Timestamp(seconds=-(2**62))))
    yield Case(advance, "beyond every year", "FIELD_INVALID", put(to_time=Timestamp(seconds=BIG)))
    yield Case(
        advance, "nanoseconds that are none", "FIELD_INVALID", put(to_time=Timestamp(seconds=1, nanos=-5))
    )


CASES: Final = tuple(_table())


def refused_by(case: Case, world: World) -> Refused | values_pb2.Refusal:
    """Try a case; give the refusal of the call or of the batch's item."""
    role, make = GOOD[case.method]
    answer = world.at(case.method).call(case.method, case.spoil(world, make(world)), case.role or role)
    if not case.at_item:
        assert isinstance(answer, Refused), f"accepted: {answer}"
        return answer.require_whole()
    assert not isinstance(answer, Refused), answer
    return answer.statuses[0].refusal  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_wrong_is_refused_with_its_reason_in_both_languages_and_changes_nothing(
    case: Case, world: World
) -> None:
    before = world.digest()
    refusal = refused_by(case, world)
    if isinstance(refusal, values_pb2.Refusal):
        assert refusal.reason == case.symbol
        assert refusal.sentence_zh
        assert refusal.sentence_en
        article = refusal.article
    else:
        assert refusal.symbol == case.symbol, refusal.sentences
        article = refusal.info.metadata.get("article", "")
    assert bool(article) or not case.article
    assert world.digest() == before


def test_every_method_has_a_refusing_case() -> None:
    """A method that takes nothing can only be called with what it does not know: see the tests over `METHODS`."""
    assert set(GOOD) == set(METHODS)
    takes_nothing = {method for method in METHODS if not method_facts(method).request_class.DESCRIPTOR.fields}
    pages_alone = {REGISTER + "ListMethodologies"}
    assert {case.method for case in CASES} >= set(METHODS) - takes_nothing - pages_alone


# -- every method, the same fault ------------------------------------------------------------------------------


def as_bytes(request: Any) -> list[bytes]:
    """Give what goes over the wire."""
    parts = request if isinstance(request, list) else [request]
    return [part.SerializeToString() for part in parts]


def send_bytes(world: World, method: str, parts: list[bytes], role: str = "") -> Any:
    """Send bytes as they are."""
    body: Any = parts if method_facts(method).streams_in else parts[0]
    return world.at(method).call(method, body, role or GOOD[method][0])


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_field_is_refused_and_changes_nothing(method: str, world: World) -> None:
    before = world.digest()
    parts = as_bytes(GOOD[method][1](world))
    refusal = send_bytes(world, method, [parts[0] + b"\xc2\xbb\x07\x01x", *parts[1:]])
    assert refusal.require_whole().symbol == "UNKNOWN_FIELD"
    assert world.digest() == before


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0b" * 200], ids=["noise", "cut", "groups"]
)
def test_what_is_no_message_is_refused_and_changes_nothing(method: str, data: bytes, world: World) -> None:
    before = world.digest()
    refusal = send_bytes(world, method, [data])
    assert refusal.require_whole().symbol in {"MESSAGE_MALFORMED", "UNKNOWN_FIELD"}
    assert world.digest() == before


@pytest.mark.parametrize("method", METHODS)
def test_a_request_beyond_the_bound_is_refused_and_changes_nothing(method: str, world: World) -> None:
    before = world.digest()
    refusal = send_bytes(world, method, [b"\x00" * (REQUEST_BYTES_MAX + 1)])
    assert refusal.require_whole().symbol == "MESSAGE_TOO_LARGE"
    assert world.digest() == before


@pytest.mark.parametrize("method", METHODS)
def test_a_party_that_the_table_does_not_name_is_refused_and_changes_nothing(
    method: str, world: World
) -> None:
    permitted = callers("310000")[method]
    outsiders = [
        party
        for party in (
            "operator/440300/sz.bureau",
            "region/440300",
            "gateway/gec",
            "reader/national",
            "bridge",
        )
        if not ("*" in permitted or any(party.startswith(one.rstrip("*")) for one in permitted))
    ]
    if "ReserveService" in method or not outsiders:
        outsiders = ["operator/440300/sz.bureau"] if method == RESERVE + "EnterResource" else []
    before = world.digest()
    for party in outsiders:
        refusal = world.at(method).call(method, GOOD[method][1](world), party)
        assert isinstance(refusal, Refused), f"{party} was let in"
        assert refusal.require_whole().symbol == "CALLER_NOT_PERMITTED", party
    assert world.digest() == before


MUTATING: Final = [
    method
    for method in METHODS
    if "request_id" in method_facts(method).request_class.DESCRIPTOR.fields_by_name
]


@pytest.mark.parametrize("method", MUTATING)
@pytest.mark.parametrize("request_id", ["", "x" * 65, "a b", "标识", "a\x00"], ids=repr)
def test_a_request_id_that_is_none_is_refused_and_changes_nothing(
    method: str, request_id: str, world: World
) -> None:
    before = world.digest()
    request = GOOD[method][1](world)
    request.request_id = request_id
    refusal = world.at(method).call(method, request, GOOD[method][0])
    assert refusal.require_whole().symbol == "REQUEST_ID_INVALID"
    assert world.digest() == before


PAGED: Final = [
    method
    for method in METHODS
    if "page_token" in method_facts(method).request_class.DESCRIPTOR.fields_by_name
]


def tokens_of(request: Any) -> list[str]:
    """Tokens that no node has given: noise, a cut one, one of another query, and forged positions."""
    forged = []
    selecting = [
        getattr(request, one.name)
        for one in request.DESCRIPTOR.fields
        if one.name not in {"page_size", "page_token"}
    ]
    query = hashlib.sha256(repr(tuple(selecting)).encode()).digest()[:8]
    for position in (
        b"x",
        b"\n",
        b"in\n\nzz",
        b"out\n\nabc",
        b"a\n-",
        b":",
        b"x:y",
        b"9" * 40 + b":y",
        b"\x00",
    ):
        forged.append(base64.urlsafe_b64encode(query + position).decode().rstrip("="))
    other = base64.urlsafe_b64encode(b"12345678" + b"position").decode().rstrip("=")
    return ["!", "====", "标", "A" * 600, other, *forged]


@pytest.mark.parametrize("method", PAGED)
def test_a_page_token_that_was_not_given_out_is_refused_and_never_a_fault_of_ours(
    method: str, world: World
) -> None:
    role, make = GOOD[method]
    shape = make(world)
    for token in tokens_of(shape):
        request = make(world)
        request.page_token = token
        answer = world.at(method).call(method, request, role)
        if isinstance(answer, Refused):
            assert answer.require_whole().symbol == "PAGE_TOKEN_INVALID", (token, answer.sentences)
        else:  # a forged position of the right shape is a position
            assert len(token) < 600, token


# -- every field of every method, hostile values ------------------------------------------------------------

HOSTILE_TEXT: Final = (
    "\x00",
    "a\x00b",
    "'; DROP TABLE account; --",
    "\u202e\U0001f600",
    "x" * 100_000,
    "\n",
    "%s%n{0}",
)
HOSTILE_NUMBERS: Final = (-(2**31), -1, 0, 2**31 - 1)
HOSTILE_LONG: Final = (-(2**63), -1, 0, 2**63 - 1)
HOSTILE_BYTES: Final = (b"\x00", b"\xff" * 33, b"")
KINDS: Final[dict[int, tuple[Any, ...]]] = {
    FieldDescriptor.TYPE_STRING: HOSTILE_TEXT,
    FieldDescriptor.TYPE_INT32: HOSTILE_NUMBERS,
    FieldDescriptor.TYPE_INT64: HOSTILE_LONG,
    FieldDescriptor.TYPE_BYTES: HOSTILE_BYTES,
}
UNHARMED: Final = {f"{CLOCK}ClockService/AdvanceTestClock", f"{JOURNAL}WatchJournal"}
"""The clock cannot be turned back for the other cases; a watcher is tried by ListJournal's fields."""
DEPTH_MAX: Final = 4


def paths_of(message: Message, depth: int = 0) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Give the path of every field of a request that is there or could be."""
    for one in message.DESCRIPTOR.fields:
        if one.type in KINDS or one.type == FieldDescriptor.TYPE_ENUM:
            yield (one.name,), one
        elif one.message_type is not None and depth < DEPTH_MAX:
            if one.is_repeated:
                inner: Any = getattr(message, one.name)
                if len(inner) == 0:
                    continue
                inner = inner[0]
            else:
                inner = getattr(message, one.name)
            for path, found in paths_of(inner, depth + 1):
                yield (one.name, *path), found


def set_at(message: Any, path: tuple[str, ...], value: Any) -> None:
    """Set the field at a path; the first item of what is repeated."""
    *parents, last = path
    for name in parents:
        message = getattr(message, name)
        if not isinstance(message, Message):
            message = message[0]
    if isinstance(value, Message):
        getattr(message, last).CopyFrom(value)
    elif message.DESCRIPTOR.fields_by_name[last].is_repeated:
        message.ClearField(last)
        getattr(message, last).append(value)
    else:
        setattr(message, last, value)


def hostile_requests(method: str, world: World) -> Iterator[tuple[str, Any]]:
    """Give the good request of a method with one hostile value in it, for every field and value."""
    shape = GOOD[method][1](world)
    first = shape[0] if isinstance(shape, list) else shape
    for path, descriptor in list(paths_of(first)):
        values = (99, -1) if descriptor.type == FieldDescriptor.TYPE_ENUM else KINDS[descriptor.type]
        for value in values:
            request = GOOD[method][1](world)
            set_at(request[0] if isinstance(request, list) else request, path, value)
            yield f"{'.'.join(path)} = {value!r:.40}", request


@pytest.mark.parametrize("method", sorted(set(METHODS) - UNHARMED))
def test_no_value_of_any_field_is_a_fault_of_ours_and_what_is_refused_changes_nothing(
    method: str, world: World
) -> None:
    role = GOOD[method][0]

    def counts() -> tuple[int, ...]:
        return counts_of(world.at(method).node.region.database)

    before, counted, accepted = world.digest(), counts(), False
    faults = []
    for name, request in hostile_requests(method, world):
        answer = world.at(method).call(method, request, role)
        if isinstance(answer, Refused):
            if answer.symbol == "INTERNAL":
                faults.append(name)
                continue
            answer.require_whole()
            assert counts() == counted, name
        else:
            accepted = True
            for status in getattr(answer, "statuses", ()):
                if status.refusal.reason == "INTERNAL":
                    faults.append(name)
            counted = counts()
    assert not faults, faults
    # Row by row where nothing was accepted; beside what was accepted, rows were counted after every refusal.
    assert accepted or world.digest() == before


@pytest.mark.parametrize("method", METHODS)
def test_an_enum_value_of_a_later_version_is_refused(method: str, world: World) -> None:
    role, make = GOOD[method]
    shape = make(world)
    first = shape[0] if isinstance(shape, list) else shape
    enums = [path for path, one in paths_of(first) if one.type == FieldDescriptor.TYPE_ENUM]
    before = world.digest()
    for path in enums:
        request = make(world)
        set_at(request[0] if isinstance(request, list) else request, path, 99)
        refusal = world.at(method).call(method, request, role)
        assert isinstance(refusal, Refused), path
        assert refusal.require_whole().symbol == "ENUM_UNKNOWN", path
    assert world.digest() == before


# -- the same request again, and another under its id -----------------------------------------------------------

OTHER_BODY: Final[dict[str, Callable[[World, Any], Any]]] = {
    ACCOUNT + "OpenAccount": put(display_name="虚构另一户 invented other"),
    ACCOUNT + "CreateReceivingAddress": put(account_id=lambda w: w.taker),
    LEDGER + "TransferUnits": put(settlement_reference="T-2"),
    TRANSFER + "CreateTransfer": put(purpose="voluntary"),
    RETIREMENT + "RetireUnits": put(purpose_text="虚构另一场 another"),
    REGISTER + "PublishMethodology": put(methodology__title="另一题 another"),
    REGISTER + "SubmitProject": put(project__title="另一题 another"),
    ISSUANCE + "SubmitActivity": put(records__on_grid_wh=1001),
    RESERVE + "EnterResource": put(resource__title="另一题 another"),
}
"""Methods whose good request is accepted here, with a change that makes it another request."""


@pytest.mark.parametrize("method", sorted(OTHER_BODY))
def test_the_same_request_gets_the_first_answer_and_another_body_is_refused(
    method: str, world: World
) -> None:
    role, make = GOOD[method]
    served = world.at(method)
    request = make(world)
    # Other tests of this module may have used up what the good request asks for: take a place of its own.
    if hasattr(request, "units"):
        at = 900_000 + 10 * sorted(OTHER_BODY).index(method)
        request.units.CopyFrom(units(0, (at, at + 1)))
    if method == REGISTER + "PublishMethodology":
        request.methodology.methodology_id = "SHCER01980012026I"
    if method == REGISTER + "SubmitProject":
        request.project.project_id = "PV-INVENTED-3"
        request.project.asset.references[0].value = "PV0100310115003"
    if method == RESERVE + "EnterResource":
        request.resource.entry_id = "R-BAD-2"
        request.resource.asset.references[0].value = "HY0100530100002"
    if method == ISSUANCE + "SubmitActivity":
        request.records[0].meter = "M-REPEATED"
    first = served.call(method, request, role)
    assert not isinstance(first, Refused), first
    before = world.digest()
    assert served.call(method, request, role) == first
    other = OTHER_BODY[method](world, type(request).FromString(request.SerializeToString()))
    refusal = served.call(method, other, role)
    assert isinstance(refusal, Refused)
    assert refusal.require_whole().symbol == "REQUEST_ID_REUSED"
    assert world.digest() == before


def test_an_id_used_for_one_method_is_not_free_for_another(world: World) -> None:
    opened = GOOD[ACCOUNT + "OpenAccount"][1](world)
    assert not isinstance(world.shanghai.call(ACCOUNT + "OpenAccount", opened, "sh.centre"), Refused)
    before = world.digest()
    address = accounts_pb2.CreateReceivingAddressRequest(request_id=opened.request_id, account_id=world.taker)
    refusal = world.shanghai.call(ACCOUNT + "CreateReceivingAddress", address, "sh.centre")
    assert refusal.require_whole().symbol == "REQUEST_ID_REUSED"
    assert world.digest() == before


def test_a_batch_refuses_its_bad_items_alone_and_says_which(world: World) -> None:
    good = GOOD[LEDGER + "TransferUnits"][1](world)
    good.units.CopyFrom(units(0, (950_000, 950_001)))
    bad = ledger_pb2.TransferUnitsRequest()
    request = ledger_pb2.BatchTransferUnitsRequest(requests=[bad, good, bad])
    answer = world.shanghai.call(LEDGER + "BatchTransferUnits", request, "sh.exchange")
    assert [status.code == 0 for status in answer.statuses] == [False, True, False]
    assert answer.statuses[0].refusal.reason == "REQUEST_ID_INVALID"
    assert answer.responses[1].blocks[0].series_id == SERIES.series_id


def test_the_clock_never_goes_back_by_a_call(world: World) -> None:
    method = f"{CLOCK}ClockService/GetClock"
    now = world.shanghai.call(method, clock_pb2.GetClockRequest(), "sh.centre").time
    back = clock_pb2.AdvanceTestClockRequest(to_time=Timestamp(seconds=now.seconds - 1))
    refusal = world.shanghai.call(f"{CLOCK}ClockService/AdvanceTestClock", back, "sh.centre")
    assert refusal.require_whole().symbol == "CLOCK_SET_BACK"
    assert world.shanghai.call(method, clock_pb2.GetClockRequest(), "sh.centre").time.seconds >= now.seconds


__all__ = ["JANUARY"]
