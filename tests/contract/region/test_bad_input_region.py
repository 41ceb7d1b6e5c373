"""Bad input at a region node, over the wire: every method, every kind of fault, on both databases.

Each refusal has a reason of the catalogue and a sentence in Chinese and English, and leaves every table of
the node as it was. The cases are data; `test_every_method_has_a_refusing_case` demands one for each method
of the table of callers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.common.v1 import clock_pb2, values_pb2
from tanqiao.api.region.v1 import accounts_pb2, ledger_pb2
from tanqiao.rpc.gate import REQUEST_BYTES_MAX
from tanqiao.testing.databases import DATABASE_KINDS, DatabaseMaker
from tanqiao.testing.network import NetworkOfTest
from tanqiao_region.server.callers import callers
from tests.contract.refusing import Refusals, refusals
from tests.contract.region import (
    bad_dossier_requests,
    bad_mandate_requests,
    bad_register_requests,
    bad_requests,
    bad_scene_requests,
    unit_bad_requests,
)
from tests.contract.region.bad_requests import (
    ACCOUNT,
    ISSUANCE,
    JOURNAL,
    LEDGER,
    REGISTER,
    RESERVE,
    RETIREMENT,
    TRANSFER,
    Case,
    put,
)
from tests.contract.region.conftest import _migrated
from tests.contract.region.dossier_requests import DOSSIER
from tests.contract.region.harness import SERIES, SHANGHAI, YUNNAN, build_node
from tests.contract.region.served import (
    CLOCK,
    Refused,
    Served,
    counts_of,
    full_network,
    method_facts,
)
from tests.contract.region.world import (
    GOOD,
    JANUARY,
    World,
    furnish,
    units,
)
from tests.contract.region_registers.claim_bridge import ClaimBridge

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
        shanghai, yunnan = served
        world = World(shanghai, yunnan)
        furnish(world)
        yield world


def _table() -> Iterator[Case]:
    yield from bad_requests.accounts()
    yield from bad_requests.ledger()
    yield from bad_requests.uses()
    yield from bad_requests.reads()
    yield from bad_requests.local_orders()
    yield from unit_bad_requests.encumbrances()
    yield from unit_bad_requests.certificates()
    yield from unit_bad_requests.consents()
    yield from unit_bad_requests.clawbacks()
    yield from unit_bad_requests.parameters()
    yield from unit_bad_requests.disclosure()
    yield from bad_register_requests.registers()
    yield from bad_dossier_requests.dossiers()
    yield from bad_scene_requests.scenes()
    yield from bad_scene_requests.trips()
    yield from bad_scene_requests.experience()
    yield from bad_mandate_requests.mandates()
    yield from bad_register_requests.issuances()
    yield from bad_register_requests.imports()
    yield from bad_register_requests.reserve_and_clock()


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


def row(world: World) -> AbstractContextManager[Refusals]:
    """Give a row of refusals at both nodes."""
    return refusals(world.digest, world.shanghai.node.region.database.dialect)


@pytest.mark.parametrize("method", sorted({case.method for case in CASES}))
def test_what_is_wrong_is_refused_with_its_reason_in_both_languages_and_changes_nothing(
    method: str, world: World
) -> None:
    with row(world) as refused:
        for case in CASES:
            if case.method == method:
                with refused.of(case):
                    require_refused(case, world)


def require_refused(case: Case, world: World) -> None:
    """Demand the reason of a case, its sentences and its article."""
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


def test_every_method_has_a_refusing_case() -> None:
    """A method that takes nothing can only be called with what it does not know.

    See the tests over `METHODS`.
    """
    assert set(GOOD) == set(METHODS)
    takes_nothing = {method for method in METHODS if not method_facts(method).request_class.DESCRIPTOR.fields}
    pages_alone = {REGISTER + "ListMethodologies", DOSSIER + "ListExperts"}
    assert {case.method for case in CASES} >= set(METHODS) - takes_nothing - pages_alone


# -- every method, the same fault
# ------------------------------------------------------------------------------


def as_bytes(request: Any) -> list[bytes]:
    """Give what goes over the wire."""
    parts = request if isinstance(request, list) else [request]
    return [part.SerializeToString() for part in parts]


def send_bytes(world: World, method: str, parts: list[bytes], role: str = "") -> Any:
    """Send bytes as they are."""
    body: Any = parts if method_facts(method).streams_in else parts[0]
    return world.at(method).call(method, body, role or GOOD[method][0])


UNREADABLE: Final = {
    "an unknown field": (b"\xc2\xbb\x07\x01x", {"UNKNOWN_FIELD"}),
    "noise": (b"\xff\xff\xff", {"MESSAGE_MALFORMED", "UNKNOWN_FIELD"}),
    "cut": (b"\x0a\x7f", {"MESSAGE_MALFORMED", "UNKNOWN_FIELD"}),
    "groups": (b"\x0b" * 200, {"MESSAGE_MALFORMED", "UNKNOWN_FIELD"}),
    "beyond the bound": (b"\x00" * (REQUEST_BYTES_MAX + 1), {"MESSAGE_TOO_LARGE"}),
}
"""What is sent and how it may be refused; an unknown field stands behind a good request, others alone."""


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_read_or_comes_from_an_outsider_is_refused_and_changes_nothing(
    method: str, world: World
) -> None:
    """Nothing of this reaches a database: the request beyond the bound, the dearest, is sent on SQLite."""
    with row(world) as refused:
        for name, (data, symbols) in UNREADABLE.items():
            if name == "beyond the bound" and world.shanghai.node.region.database.dialect != "sqlite":
                continue
            good = as_bytes(GOOD[method][1](world)) if name == "an unknown field" else [b""]
            with refused.of(name):
                refusal = send_bytes(world, method, [good[0] + data, *good[1:]])
                assert refusal.require_whole().symbol in symbols
        for party in outsiders(method):
            with refused.of(party):
                refusal = world.at(method).call(method, GOOD[method][1](world), party)
                assert isinstance(refusal, Refused), "was let in"
                assert refusal.require_whole().symbol == "CALLER_NOT_PERMITTED"


def outsiders(method: str) -> list[str]:
    """Give parties that the table of callers does not name for a method."""
    permitted = callers("310000")[method]
    found = [
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
    if "ReserveService" in method or not found:
        return ["operator/440300/sz.bureau"] if method == RESERVE + "EnterResource" else []
    return found


MUTATING: Final = [
    method
    for method in METHODS
    if "request_id" in method_facts(method).request_class.DESCRIPTOR.fields_by_name
]


@pytest.mark.parametrize("method", MUTATING)
def test_a_request_id_that_is_none_is_refused_and_changes_nothing(method: str, world: World) -> None:
    with row(world) as refused:
        for request_id in ("", "x" * 65, "a b", "标识", "a\x00"):
            with refused.of(repr(request_id)):
                request = GOOD[method][1](world)
                request.request_id = request_id
                refusal = world.at(method).call(method, request, GOOD[method][0])
                assert refusal.require_whole().symbol == "REQUEST_ID_INVALID"


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
        forged.append(base64.urlsafe_b64encode(query + position).decode().rstrip("="))  # noqa: PERF401 - plain
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


def paths_of(message: Message, depth: int = 0) -> Iterator[tuple[tuple[str, ...], Any]]:
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
                    faults.append(name)  # noqa: PERF401 - beside other work
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
    if not enums:
        return
    with row(world) as refused:
        for path in enums:
            with refused.of(".".join(path)):
                request = make(world)
                set_at(request[0] if isinstance(request, list) else request, path, 99)
                refusal = world.at(method).call(method, request, role)
                assert isinstance(refusal, Refused)
                assert refusal.require_whole().symbol == "ENUM_UNKNOWN"


# -- the same request again, and another under its id
# -----------------------------------------------------------

OTHER_BODY: Final[dict[str, Callable[[World, Any], Any]]] = {
    ACCOUNT + "OpenAccount": put(display_name="虚构另一户 invented other"),
    ACCOUNT + "CreateReceivingAddress": put(account_id=lambda w: w.taker),
    LEDGER + "TransferUnits": put(settlement_reference="T-2"),
    TRANSFER + "CreateTransfer": put(purpose="voluntary"),
    RETIREMENT + "RetireUnits": put(purpose_text="虚构另一场 another"),
    REGISTER + "PublishMethodology": put(methodology__title="另一题 another"),
    REGISTER + "SubmitProject": put(project__title="另一题 another"),
    DOSSIER + "OpenDossier": put(dossier__title="另一题 another"),
    DOSSIER + "KeepExpert": put(expert__name="另一位 another"),
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
