"""The commands of docs/freezes-and-corrections.md freeze the traffic of two regions, and lift it again."""

from __future__ import annotations

import base64

import pytest

from tests.e2e.conftest import CommandLine
from tests.e2e.test_recovery_page import blocks, run

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(300)]
PAIR = ("--scope", "pair", "--authority", "shanghai", "--region", "shanghai", "--other-region", "shenzhen")


def _frozen(tanqiao: CommandLine, *arguments: str) -> list[str]:
    freezes = tanqiao.ok("freeze", "list", *arguments).get("freezes", [])
    return [base64.b64decode(one["order_id"]).hex() for one in freezes]


def test_two_approvers_freeze_a_pair_and_lift_it(tanqiao: CommandLine) -> None:
    (freeze,) = blocks("freezes-and-corrections.md")
    tanqiao.ok("up")
    said = run(tanqiao, freeze)
    assert "two locks under one id" in said
    (order_id,) = _frozen(tanqiao)
    assert order_id in said
    assert _frozen(tanqiao, "--at", "shanghai") == [order_id]
    assert "authority/310000" in tanqiao("freeze", "show", order_id).out

    lift = ("freeze", "prepare", "lift.json", *PAIR, "--lift", "--reason", "settled", "--document", "2026-8")
    assert tanqiao(*lift).code == 0
    for approver, refused in (("approver-1", "SIGNATURE_MISSING"), ("approver-2", "APPROVERS_MISSING")):
        code, refusal = tanqiao.refused("freeze", "submit", "lift.json")
        assert (code, refusal["reason"]) == (1, refused), refusal
        key = tanqiao.home / "authorities" / "310000" / approver / "approver-1.key"
        assert tanqiao("approve", "lift.json", "--key", str(key), "--yes").code == 0
    assert tanqiao("freeze", "submit", "lift.json").code == 0
    assert _frozen(tanqiao) == []
    assert tanqiao("freeze", "show", "nobody").code == 2
