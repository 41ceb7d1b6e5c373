"""The witnesses of a running federation are replaced from a shell, as docs/witnesses.md says."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(600)]
GROUP = ("region/530000", "region/440300", "region/310000")
AUTHORITIES = ("bridge", "310000", "440300", "530000")
WAIT_SECONDS = 200


def submitted(tanqiao: CommandLine, file: str) -> Any:
    """Bring a change; witnesses that have just started say what they read with their first cosignature."""
    end = time.monotonic() + WAIT_SECONDS
    while True:
        answer = tanqiao("witnesses", "submit", file, "--json")
        waits = answer.code and answer.json["error"]["reason"] == "LEAF_KIND_NOT_ANNOUNCED"
        if not waits or time.monotonic() > end:
            assert answer.code == 0, answer.out
            return answer.json
        time.sleep(0.5)


def test_approvers_of_every_authority_replace_the_group(tanqiao: CommandLine) -> None:
    tanqiao.ok("up")
    assert tanqiao("prove", "policy", "--out", "old.policy").code == 0
    named = [part for party in GROUP for part in ("--witness", party)]
    why = ("--authority", "bridge", "--reason", "invented", "--document", "2026-9")
    assert tanqiao("witnesses", "prepare", "change.json", *named, *why).code == 0
    for number, authority in enumerate(AUTHORITIES):
        for approver in ("approver-1", "approver-2"):
            reason = tanqiao.refused("witnesses", "submit", "change.json")[1]["reason"]
            assert reason == (
                "APPROVERS_MISSING" if number or approver == "approver-2" else "SIGNATURE_MISSING"
            )
            key = tanqiao.home / "authorities" / authority / approver
            assert tanqiao("approve", "change.json", "--key", str(key), "--yes").code == 0
    answer = submitted(tanqiao, "change.json")
    index = int(answer["log_index"])
    assert int(answer["from_size"]) == index + 2
    end = time.monotonic() + WAIT_SECONDS
    while not tanqiao.ok("witnesses", "list")["changes"][0].get("checkpoint"):
        assert time.monotonic() < end, "the group before does not cosign the change"
        time.sleep(0.5)
    # Behind it the log goes on, and the policy of now says from which size the new group counts.
    tanqiao.ok("keys", "rotate", "bridge", "--role", "checkpoint")
    assert tanqiao("prove", "policy", "--out", "federation.policy").code == 0
    assert f"\nfrom {index + 2}\n" in (tanqiao.cwd / "federation.policy").read_text()
    # One file leads from the old policy to it.
    assert tanqiao("prove", "handover", "--out", "change.tanqiao-proof").code == 0
    verify = ("verify", "change.tanqiao-proof", "--policy", "old.policy", "--policy-out", "next.policy")
    assert tanqiao(*verify).code == 0
    assert f"\nfrom {index + 2}\n" in (tanqiao.cwd / "next.policy").read_text()
