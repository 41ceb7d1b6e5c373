from __future__ import annotations

import threading

import pytest

from tanqiao.kernel.errors import DomainError, InvariantBroken
from tanqiao.rpc.caller import Caller, current_caller, enter_call, leave_call, require_permitted
from tanqiao.signing.parties import parse_party

METHOD = "/tanqiao.api.region.v1.LedgerService/TransferUnits"
TABLE = {METHOD: ("operator/310000/*", "bridge")}


@pytest.mark.parametrize("party", ["operator/310000/sh.centre", "bridge"])
def test_a_party_of_the_table_may_call(party: str) -> None:
    caller = require_permitted(parse_party(party), METHOD, TABLE)
    assert caller == Caller.of(parse_party(party), METHOD)


@pytest.mark.parametrize(
    ("party", "method"),
    [
        ("operator/440300/sz.registry", METHOD),
        ("region/310000", METHOD),
        ("authority/310000", METHOD),
        ("bridge", METHOD + "s"),
        ("bridge", METHOD.lower()),
        ("bridge", ""),
    ],
)
def test_any_other_party_or_method_is_refused(party: str, method: str) -> None:
    with pytest.raises(DomainError) as refusal:
        require_permitted(parse_party(party), method, TABLE)
    assert refusal.value.symbol == "CALLER_NOT_PERMITTED"
    assert refusal.value.metadata == {"caller": party, "method": method}


def test_a_caller_is_there_during_its_call_only() -> None:
    outer = Caller.of(parse_party("bridge"), METHOD)
    inner = Caller.of(parse_party("region/310000"), METHOD)
    with pytest.raises(InvariantBroken):
        current_caller()
    first = enter_call(outer)
    second = enter_call(inner)
    assert current_caller() is inner
    leave_call(second)
    assert current_caller() is outer
    leave_call(first)
    with pytest.raises(InvariantBroken):
        current_caller()


def test_a_caller_of_one_thread_is_not_that_of_another() -> None:
    token = enter_call(Caller.of(parse_party("bridge"), METHOD))
    seen: list[str] = []

    def look() -> None:
        try:
            current_caller()
        except InvariantBroken:
            seen.append("nobody")

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    leave_call(token)
    assert seen == ["nobody"]
