from __future__ import annotations

import pytest

from tanqiao_bridge.application.claim_aliases import united
from tanqiao_bridge.domain.claim_cases import body_of, decided_by_two_bodies

BRIDGE = "authority/bridge"
SHANGHAI = "authority/310000"
SHENZHEN = "authority/440300"


@pytest.mark.parametrize(
    ("regions", "outside", "silent", "body"),
    [
        (["region/310000"], False, (), SHANGHAI),
        (["region/310000", "region/310000"], False, (), SHANGHAI),
        (["region/310000", "region/440300"], False, (), BRIDGE),
        (["region/310000", ""], True, (), BRIDGE),
        (["gateway/ccer"], False, (), BRIDGE),
        ([], False, (), BRIDGE),
        (["region/310000"], False, ("gec", "ccer"), "gateway/ccer"),
    ],
)
def test_a_case_stands_in_one_queue(
    regions: list[str], outside: bool, silent: tuple[str, ...], body: str
) -> None:
    assert body_of(regions, meets_outside=outside, silent=silent) == body


@pytest.mark.parametrize(
    ("body", "signers", "decided"),
    [
        (SHANGHAI, (SHANGHAI, BRIDGE), True),
        (SHANGHAI, (SHANGHAI, SHENZHEN), True),
        (SHANGHAI, (SHANGHAI, SHANGHAI), False),
        (SHANGHAI, (BRIDGE, SHENZHEN), False),
        (BRIDGE, (BRIDGE, SHENZHEN), True),
        ("gateway/ccer", (BRIDGE, SHENZHEN), True),
        ("gateway/ccer", (SHANGHAI, SHENZHEN), False),
    ],
)
def test_approvers_of_two_bodies_sign_and_one_is_of_the_body_that_decides(
    body: str, signers: tuple[str, ...], decided: bool
) -> None:
    assert decided_by_two_bodies(body, signers) is decided


def test_classes_are_the_closure_of_the_latest_decisions() -> None:
    pairs = [("a", "b", 1), ("b", "c", 1), ("d", "e", 2), ("c", "x", 1)]
    assert united(pairs, ["a", "b", "c", "d", "e"]) == [["a", "b", "c"], ["d"], ["e"]]
    assert united([("a", "b", 2), ("b", "c", 1)], ["a", "b", "c"]) == [["a"], ["b", "c"]]
