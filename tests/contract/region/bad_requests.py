"""Bad requests to the accounts, ledger, transfers, uses and reads of a region node: data for a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from tanqiao.api.bridge.v1.messages_pb2 import FREEZE_SCOPE_BLOCK, FREEZE_SCOPE_REGION
from tanqiao.api.common.v1 import values_pb2
from tests.contract.region.served import (
    REGION,
)
from tests.contract.region.world import (
    ELSEWHERE,
    HELD_KG,
    ID_UNKNOWN,
    World,
    local_freeze,
    units,
)

BIG: Final = 2**63 - 1


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


BAD_HOLDERS: Final = (
    ("a holder of another region", "holder/440300/sz.holder/acme"),
    ("a holder who is no party", "acme"),
    ("a holder without a name", "holder/310000/sh.holder"),
    ("a reader as holder", "reader/national"),
)


def accounts() -> Iterator[Case]:
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
    for name, party in BAD_HOLDERS:
        yield Case(opening, name, "FIELD_INVALID", put(holder_party=party))
        yield Case(ACCOUNT + "SetAccountHolder", name, "FIELD_INVALID", put(holder_party=party))
    yield Case(opening, "an over-long holder", "TEXT_TOO_LONG", put(holder_party="h" * 129))
    yield Case(
        opening,
        "a person with a holder",
        "FIELD_INVALID",
        put(**person, operator_reference="u-9", holder_party="holder/310000/sh.person/me"),
    )
    naming = ACCOUNT + "SetAccountHolder"
    yield Case(naming, "an over-long holder", "TEXT_TOO_LONG", put(holder_party="h" * 129))
    yield Case(naming, "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.holder")
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
    for name in ("GetAccount", "GetBalance", "CloseAccount", "CreateReceivingAddress", "SetAccountHolder"):
        yield Case(ACCOUNT + name, "no account", "FIELD_MISSING", put(account_id=""))
        yield Case(ACCOUNT + name, "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16))
        yield Case(ACCOUNT + name, "an over-long account", "TEXT_TOO_LONG", put(account_id="A" * 33))
    forget = ACCOUNT + "DeletePersonalData"
    yield Case(forget, "no account", "FIELD_MISSING", put(account_id=""))
    yield Case(forget, "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16))
    yield Case(forget, "an organisation", "ACCOUNT_KIND_NOT_ALLOWED", put())
    yield Case(forget, "the wrong role", "ROLE_NOT_PERMITTED", put(), role="sh.holder")
    for name in ("CloseAccount", "CreateReceivingAddress"):
        yield Case(ACCOUNT + name, "a closed account", "ACCOUNT_CLOSED", put(account_id=lambda w: w.closed))
    yield Case(ACCOUNT + "CloseAccount", "locked units", "ACCOUNT_HAS_LOCKED_UNITS", same)
    yield Case(ACCOUNT + "CloseAccount", "the wrong role", "ROLE_NOT_PERMITTED", same, role="sh.holder")
    yield Case(ACCOUNT + "ListAccounts", "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(ACCOUNT + "ListHoldings", "an over-long account", "TEXT_TOO_LONG", put(account_id="A" * 33))
    yield Case(
        ACCOUNT + "ListHoldings", "an unknown account", "ACCOUNT_UNKNOWN", put(account_id="A" + "2" * 16)
    )


def ledger() -> Iterator[Case]:
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


def uses() -> Iterator[Case]:
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
    yield Case(cancel, "nobody's approval", "REASON_REQUIRED", put(approval=None), article=True)
    yield Case(cancel, "an approval of other bytes", "SIGNATURE_INVALID", put(approval__payload=b"\x0a\x00"))
    yield Case(
        cancel, "an approval by an unknown key", "KEY_UNKNOWN", put(approval__signatures__key_id=bytes(16))
    )
    yield Case(cancel, "an approval of another reason", "DECISION_DIFFERS", put(reason="另一理由"))
    yield Case(RETIREMENT + "GetRetirement", "no id", "FIELD_INVALID", put(retirement_id=""))
    yield Case(RETIREMENT + "GetRetirement", "an unknown id", "NOT_FOUND", put(retirement_id=ID_UNKNOWN))
    yield Case(RETIREMENT + "ListRetirements", "a negative page", "FIELD_INVALID", put(page_size=-1))


def reads() -> Iterator[Case]:
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
    totals = f"{REGION}NodeService/ListSeriesTotals"
    yield Case(totals, "a negative page", "FIELD_INVALID", put(page_size=-1))
    for name in ("ListMethodologies", "ListProjects"):
        yield Case(REGISTER + name, "a negative page", "FIELD_INVALID", put(page_size=-1))
    yield Case(REGISTER + "GetProject", "no id", "FIELD_MISSING", put(project_id=""))
    yield Case(REGISTER + "GetProject", "an unknown id", "NOT_FOUND", put(project_id="PV-NOBODY"))
    yield Case(REGISTER + "GetProject", "an over-long id", "TEXT_TOO_LONG", put(project_id="P" * 65))


LOCAL_ORDERS = f"{REGION}LocalOrderService/"


def local_orders() -> Iterator[Case]:
    submit = LOCAL_ORDERS + "SubmitLocalFreeze"

    def order(**fields: Any) -> Callable[[World, Any], Any]:
        return lambda world, _request: local_freeze(world, **fields)

    yield Case(submit, "no order", "FIELD_MISSING", put(order=None))
    yield Case(submit, "one approver", "APPROVERS_MISSING", order(signers=(0,)))
    yield Case(submit, "the same key twice", "MESSAGE_MALFORMED", order(signers=(1, 1)))
    yield Case(submit, "no signature", "SIGNATURE_MISSING", order(signers=()))
    yield Case(submit, "no order id", "FIELD_MISSING", order(order_id=b""))
    yield Case(submit, "no document", "FIELD_MISSING", order(document=""))
    yield Case(submit, "no account", "FIELD_MISSING", order(account_id=""))
    yield Case(submit, "an unknown account", "ACCOUNT_UNKNOWN", order(account_id="A" + "X" * 16))
    yield Case(submit, "a scope of the bridge", "FIELD_INVALID", order(scope=FREEZE_SCOPE_REGION))
    yield Case(submit, "nothing frozen to lift", "NOT_FROZEN", order(account_id="", unfreeze=True, **_BLOCKS))
    yield Case(LOCAL_ORDERS + "ListLocalFreezes", "a negative page", "FIELD_INVALID", put(page_size=-1))


_BLOCKS: Final[dict[str, Any]] = {
    "scope": FREEZE_SCOPE_BLOCK,
    "blocks": [values_pb2.UnitBlock(series_id="310000:X:Y:2026:1", start_serial=1, end_serial=2)],
}
