"""What the bridge knows of a list without asking its gateway: for how long, and what ends it (虚构)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import grpc
import pytest

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import values_pb2
from tanqiao.api.gateway.v1 import registry_pb2
from tanqiao.claims.key_filter import DIGEST_BYTES, FORM_BYTES, KEY_FORM, bits_of, place_of, version_of
from tanqiao_bridge.remote.known_lists import (
    ASKED_AGAIN_SECONDS,
    KNOWN_SECONDS_MAX,
    NOT_FETCHED_AGAIN_SECONDS,
    KnownLists,
)
from tests.contract.bridge.case_office import decide
from tests.contract.bridge.claims_office import (
    ALLOW,
    APPLIED,
    BLOCK,
    HOLD,
    PROJECT,
    Office,
    in_shenzhen,
    lists,
    office,
)
from tests.contract.bridge.lists import ccer_project

__all__ = ["lists", "office"]

Part = registry_pb2.ReadKeyFilterResponse
MARCH_1 = date(2026, 3, 1)
HELD = place_of("asset:vcs:1")
ABSENT = place_of("asset:vcs:2")
ELSEWHERE = "99310000000000799"
FIRST = version_of(b"1" * DIGEST_BYTES)
SECOND = version_of(b"2" * DIGEST_BYTES)
_numbers = itertools.count(1)


class Silent(grpc.RpcError):
    """Nobody answers."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


class Parts:
    """A stream of a filter that can be cancelled."""

    def __init__(self, parts: Iterable[Part | Exception]) -> None:
        self._parts = iter(parts)
        self.is_cancelled = False

    def __iter__(self) -> Iterator[Part]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class FakeGateway:
    """One list, as the two calls show it."""

    version: bytes = FIRST
    parts: list[Part | Exception] = field(default_factory=list)
    is_silent: bool = False
    statuses: int = 0
    fetches: list[Parts] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.serve(FIRST)

    def serve(self, version: bytes, *keys: str) -> None:
        """Put a list in force."""
        bits = bits_of(keys or ["asset:vcs:1"], 1)
        half = len(bits) // 2
        self.version = version
        self.parts = [
            Part(list_version=version, size_bytes=len(bits), bits=part) for part in (bits[:half], bits[half:])
        ]

    def GetRegistryStatus(self, _: object, timeout: float) -> registry_pb2.GetRegistryStatusResponse:
        del timeout
        self.statuses += 1
        if self.is_silent:
            raise Silent
        return registry_pb2.GetRegistryStatusResponse(
            import_id="1" if self.version else "",
            as_of_date=values_pb2.Date(year=2026, month=3, day=1),
            list_version=self.version,
        )

    def ReadKeyFilter(self, _: object, timeout: float) -> Parts:
        del timeout
        self.fetches.append(Parts(self.parts))
        return self.fetches[-1]


class AtOnce(Executor):
    """Runs what it is given before it returns."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        work(*arguments, **named)
        return Future()


@dataclass
class Watched:
    """A gateway, what is known of it, and the clock."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    now: float = 1_000.0

    def __post_init__(self) -> None:
        self.lists = KnownLists({"vcs": self.gateway}, AtOnce(), lambda: self.now)  # type: ignore[dict-item] # a fake

    def asked_beside(self) -> None:
        """Let the question that the next check sets off be answered."""
        self.lists.current("vcs")


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_first_check_asks_the_gateway_and_those_after_it_need_not(watched: Watched) -> None:
    assert watched.lists.current("vcs") is None
    known = watched.lists.current("vcs")
    assert known is not None
    assert known.as_of == MARCH_1
    assert known.keys.may_hold(HELD)
    assert not known.keys.may_hold(ABSENT)
    assert (watched.gateway.statuses, len(watched.gateway.fetches)) == (1, 1)


def test_knowledge_counts_from_the_question_and_not_beyond_its_age(watched: Watched) -> None:
    watched.asked_beside()
    asked_at = watched.now
    watched.now = asked_at + ASKED_AGAIN_SECONDS - 0.01
    assert watched.lists.current("vcs") is not None
    assert watched.gateway.statuses == 1
    watched.gateway.is_silent = True
    watched.now = asked_at + ASKED_AGAIN_SECONDS
    watched.lists.current("vcs")  # it asks beside the check, and finds nobody
    assert watched.gateway.statuses == 2
    assert watched.lists.current("vcs") is None
    # An answer that came is worth nothing once it is too old.
    watched.gateway.is_silent = False
    watched.asked_beside()
    watched.now += KNOWN_SECONDS_MAX
    assert watched.lists.current("vcs") is None


def test_another_list_is_another_filter_and_the_same_one_is_not_fetched_again(watched: Watched) -> None:
    watched.asked_beside()
    watched.now += ASKED_AGAIN_SECONDS
    watched.asked_beside()
    assert len(watched.gateway.fetches) == 1
    watched.gateway.serve(SECOND, "asset:vcs:2")
    watched.now += ASKED_AGAIN_SECONDS
    watched.asked_beside()
    known = watched.lists.current("vcs")
    assert known is not None
    assert known.keys.may_hold(ABSENT)
    assert len(watched.gateway.fetches) == 2


def test_a_gateway_without_a_list_is_asked_each_time(watched: Watched) -> None:
    watched.gateway.version = b""
    watched.asked_beside()
    assert watched.lists.current("vcs") is None
    assert not watched.gateway.fetches


@pytest.mark.parametrize(
    "form", [b"", (KEY_FORM + 1).to_bytes(FORM_BYTES, "big"), (KEY_FORM - 1).to_bytes(FORM_BYTES, "big")]
)
def test_keys_of_another_form_are_not_trusted_and_their_filter_is_not_fetched(
    watched: Watched, form: bytes
) -> None:
    watched.gateway.serve(form + b"1" * DIGEST_BYTES)  # without a number: a gateway from before there was one
    watched.asked_beside()
    assert watched.lists.current("vcs") is None
    assert not watched.gateway.fetches
    # Its software is brought up to date, and goes back again.
    watched.gateway.serve(FIRST)
    watched.now += ASKED_AGAIN_SECONDS
    watched.asked_beside()
    assert watched.lists.current("vcs") is not None
    watched.gateway.serve(form + b"1" * DIGEST_BYTES)
    watched.now += ASKED_AGAIN_SECONDS
    watched.asked_beside()
    assert watched.lists.current("vcs") is None
    assert len(watched.gateway.fetches) == 1


def test_what_was_found_silent_by_a_check_is_not_known_any_more(watched: Watched) -> None:
    watched.asked_beside()
    watched.gateway.is_silent = True
    watched.lists.forget("vcs")
    assert watched.lists.current("vcs") is None


SIZE = 128
BROKEN: dict[str, list[Part | Exception]] = {
    "no_filter": [Part(list_version=FIRST)],
    "nothing": [],
    "half": [Part(list_version=FIRST, size_bytes=SIZE, bits=bytes(SIZE // 2))],
    "too_much": [Part(list_version=FIRST, size_bytes=SIZE, bits=bytes(SIZE + 1))],
    "no_power_of_two": [Part(list_version=FIRST, size_bytes=SIZE + 1, bits=bytes(SIZE + 1))],
    "too_large": [Part(list_version=FIRST, size_bytes=1 << 40, bits=bytes(SIZE))],
    "of_another_list": [Part(list_version=SECOND, size_bytes=SIZE, bits=bytes(SIZE))],
    "of_two_lists": [
        Part(list_version=FIRST, size_bytes=SIZE, bits=bytes(SIZE // 2)),
        Part(list_version=SECOND, size_bytes=SIZE, bits=bytes(SIZE // 2)),
    ],
    "cut": [Part(list_version=FIRST, size_bytes=SIZE, bits=bytes(SIZE)), Silent()],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_filter_that_is_not_whole_is_none_and_is_fetched_again_later(watched: Watched, name: str) -> None:
    watched.gateway.parts = BROKEN[name]
    watched.asked_beside()
    assert watched.lists.current("vcs") is None
    assert len(watched.gateway.fetches) == 1
    watched.gateway.serve(FIRST)
    watched.now += NOT_FETCHED_AGAIN_SECONDS
    watched.asked_beside()
    assert watched.lists.current("vcs") is not None


# -- with real gateways -------------------------------------------------------------------------------------


def stand_still(office: Office) -> None:
    """Let the bridge know both lists, and its clock of that knowledge stand still."""
    gateways = office.running.bridge.gateways
    gateways._known = KnownLists(gateways._stubs, AtOnce(), lambda: 0.0)
    assert [gateways._known.current(name) for name in gateways.names] == [None, None]
    assert all(gateways._known.current(name) for name in gateways.names)


def checked(office: Office, **changes: Any) -> Any:
    return office.check(in_shenzhen(f"440300:project:{next(_numbers)}", kind=PROJECT, **changes))


def test_what_no_known_list_holds_needs_no_gateway_and_what_one_may_hold_does(office: Office) -> None:
    stand_still(office)
    asked = checked(office)
    assert asked.verdict == ALLOW
    assert [(one.registry, one.answered, one.as_of_date.day) for one in asked.registries] == [
        ("ccer", True, 28),
        ("gec", True, 28),
    ]
    assert checked(office, filing_code=APPLIED).verdict == BLOCK
    office.lists["ccer"].gateway.server.stop(0)
    assert checked(office).verdict == ALLOW, "the list was known a moment ago"
    # The plant in CCER's notice is asked about, its registry is silent, and is not known from then on.
    silent = checked(office, filing_code=APPLIED)
    assert silent.verdict == HOLD
    assert {one.registry: one.answered for one in silent.registries} == {"ccer": False, "gec": True}
    assert checked(office).verdict == HOLD


def test_a_gateway_that_forms_keys_otherwise_is_asked_about_each_claim(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tanqiao_gateway.application.key_filters.version_of", lambda digest: bytes(4) + digest
    )
    gateways = office.running.bridge.gateways
    gateways._known = KnownLists(gateways._stubs, AtOnce(), lambda: 0.0)
    for _ in range(2):
        assert [gateways._known.current(name) for name in gateways.names] == [None, None]
        assert checked(office).verdict == ALLOW
    office.lists["ccer"].gateway.server.stop(0)
    assert checked(office).verdict == HOLD, "nothing was known of the list"


def test_of_a_batch_only_what_a_list_may_hold_is_asked_about(office: Office) -> None:
    stand_still(office)
    claims = [
        in_shenzhen(f"440300:batch:{number}", kind=PROJECT, filing_code=code)
        for number, code in enumerate((ELSEWHERE, APPLIED, ELSEWHERE))
    ]
    response = office.stub(claims[0].region).BatchCheckClaims(
        claims_pb2.BatchCheckClaimsRequest(claims=claims), timeout=60
    )
    assert [one.verdict for one in response.verdicts] == [ALLOW, BLOCK, ALLOW]
    assert response.verdicts[1].colliding_claims[0].claim_id == "ccer:CCER-77"


def test_a_list_is_asked_under_every_reference_that_means_the_asset(office: Office) -> None:
    stand_still(office)
    assert checked(office, filing_code=ELSEWHERE).verdict == ALLOW
    decide(office.running, ("gec_filing_code", ELSEWHERE), ("gec_filing_code", APPLIED))
    assert checked(office, filing_code=ELSEWHERE).verdict == BLOCK


def test_of_what_a_newer_list_answers_nothing_is_known_from_the_list_before(office: Office) -> None:
    stand_still(office)
    office.lists["ccer"].load(
        [ccer_project("CCER-77", APPLIED), ccer_project("CCER-79", ELSEWHERE)], date(2026, 3, 1)
    )
    claims = [
        in_shenzhen(f"440300:newer:{number}", kind=PROJECT, filing_code=code)
        for number, code in enumerate((ELSEWHERE, APPLIED))
    ]
    response = office.stub(claims[0].region).BatchCheckClaims(
        claims_pb2.BatchCheckClaimsRequest(claims=claims), timeout=60
    )
    assert [one.verdict for one in response.verdicts] == [BLOCK, BLOCK]
    as_of = {one.registry: one.as_of_date.month for one in response.verdicts[0].registries}
    assert as_of == {"ccer": 3, "gec": 2}
