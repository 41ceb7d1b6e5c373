"""Verbs about units beside their moves are run from a shell, on a federation of processes.

Clawback, mandates to trade, mandates and consents of users, the reserve with its proof, public lists as of an
index; of certificates what a federation without units of Shenzhen's own can be asked.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import COMMAND_SECONDS_MAX, CommandLine
from tests.e2e.test_readme import ROOT, _blocks
from tests.e2e.test_recovery_page import run

pytestmark = [pytest.mark.processes, pytest.mark.long, pytest.mark.timeout(900)]
RESOURCE = {
    "entry_id": "R-SHELL-1",
    "title": "虚构小水电 invented hydro",
    "resource_kind": "ccer",
    "asset": {
        "references": [{"scheme": "gec_filing_code", "value": "HY0100530100077"}],
        "kind": "hydro",
        "name": "虚构小水电 invented",
        "region_code": "532500",
    },
    "potential_kg_per_year": "12000000",
    "project_type": "renewable_power",
    "potential_method": "满发小时数估算 full-load hours",
    "potential_date": {"year": 2026, "month": 1, "day": 1},
    "invented": True,
}


@dataclass(frozen=True)
class Furnished:
    """What the README's commands have left: an issuance of Shanghai, five tonnes of it in Shenzhen."""

    seller: str
    buyer: str
    issuance: str


@pytest.fixture(scope="module")
def furnished(running: CommandLine) -> Furnished:
    """The README's commands up to its transfer, run in one shell."""
    script = "\n".join(_blocks()[1:6]).replace("docs/examples", f"{ROOT}/docs/examples")
    issue = "tanqiao issue --region shanghai README-1 --period 2026-01 --audit-date 2026-03-09"
    assert issue in script
    script = script.replace(issue, f"ISSUANCE=$({issue} --field issuance_id)")
    said = run(running, f'{script}\necho "$SELLER $BUYER $ISSUANCE"', COMMAND_SECONDS_MAX)
    return Furnished(*said.splitlines()[-1].split())


def approved(tanqiao: CommandLine, file: str) -> None:
    """Both approvers of Shanghai's authority sign."""
    for approver in ("approver-1", "approver-2"):
        key = tanqiao.home / "authorities" / "310000" / approver / "approver-1.key"
        assert tanqiao("approve", file, "--key", str(key), "--yes").code == 0


def set_by_two(tanqiao: CommandLine, body: str, *command: str) -> None:
    """Publish a parameter that two officers of a body have signed."""
    assert tanqiao("parameter", "set", *command, "--prepare", "parameter.json").code == 0
    for officer in ("officer-1", "officer-2"):
        key = tanqiao.home / "operators" / body / officer / "body-1.key"
        assert tanqiao("approve", "parameter.json", "--key", str(key), "--yes").code == 0
    assert tanqiao("parameter", "set", *command, "--approval", "parameter.json").code == 0


def wait_settled(tanqiao: CommandLine, clawback_id: str, outstanding_kg: int) -> dict[str, Any]:
    """Ask until the bridge has decided; each asking is a process of its own."""
    for _ in range(60):
        shown: dict[str, Any] = tanqiao.ok("clawback", "show", "--region", "shanghai", clawback_id)
        if int(shown.get("outstanding_kg", 0)) == outstanding_kg:
            return shown
    pytest.fail(f"{outstanding_kg} kg are not what is left: {shown}")


def test_a_clawback_from_the_order_to_its_end(running: CommandLine, furnished: Furnished) -> None:
    tanqiao = running
    at = ("--region", "shanghai")
    issuance = tanqiao.ok("disclosure", "export", *at, "issuances", "--out", "issuances.csv")
    assert issuance["rows"] == 1
    (row,) = csv.DictReader((tanqiao.cwd / "issuances.csv").read_text(encoding="utf-8").splitlines())
    series_id = row["serials"].partition("[")[0]
    order = (
        "clawback",
        "prepare",
        "order.json",
        *at,
        "--issuance",
        furnished.issuance,
        "--document",
        "case 7",
    )
    wrong = ("--block", f"{series_id}[0,7000)", "--reason", "the meter was read twice")
    assert tanqiao(*order, *wrong).code == 0
    code, refusal = tanqiao.refused("clawback", "submit", *at, "order.json")
    assert (code, refusal["reason"]) == (1, "SIGNATURE_MISSING")
    approved(tanqiao, "order.json")
    code, refusal = tanqiao.refused("clawback", "submit", *at, "order.json")
    assert (code, refusal["reason"]) == (1, "PARAMETER_NOT_SET"), "five tonnes are with Shenzhen"
    term = ("sh.clawback_term_working_days", "10", "--from", "2026-03-10", "--document", "虚构 1")
    set_by_two(tanqiao, "310000/sh.bureau", *at, *term)
    kept = ("decision", "list", *at, "sh.clawback_term_working_days", "--out", "signed.json")
    assert len(tanqiao.ok(*kept)["decisions"]) == 1
    checked = tanqiao("decision", "check", "signed.json")
    assert (checked.code, "sh.bureau" in checked.out) == (0, True), checked.out
    made = tanqiao.ok("clawback", "submit", *at, "order.json")
    clawback_id = made["clawback_id"]
    assert (made["state"], made["quantity_kg"]) == ("OPEN", "7000")
    wait_settled(tanqiao, clawback_id, 5_000)
    assert tanqiao("clawback", "replace", *at, clawback_id, "--kg", "5000").code == 0
    wait_settled(tanqiao, clawback_id, 0)
    done = tanqiao.ok("clawback", "settle", *at, clawback_id)
    assert (done["state"], done["cancelled_kg"], done["replaced_kg"]) == ("COMPLETED", "2000", "5000")
    listed = tanqiao.ok("clawback", "list", *at)["clawbacks"]
    assert [one["clawback_id"] for one in listed] == [clawback_id]
    steps = tanqiao.ok("clawback", "history", *at, clawback_id)["steps"]
    assert [one["event"] for one in steps] == ["decide", "replace", "complete"]
    assert tanqiao("conservation").code == 0
    # The list as it was before all this.
    before = ("--as-of", str(issuance["as_of_index"]), "--out", "then.csv")
    tanqiao.ok("disclosure", "export", *at, "issuances", *before)
    assert (tanqiao.cwd / "then.csv").read_text() == (tanqiao.cwd / "issuances.csv").read_text()
    code, refusal = tanqiao.refused("disclosure", "export", *at, "issuances", "--as-of", "999999")
    assert (code, refusal["reason"]) == (1, "JOURNAL_INDEX_AHEAD")


def test_a_mandate_to_trade_is_given_listed_and_ended(running: CommandLine, furnished: Furnished) -> None:
    tanqiao = running
    opened = ("accounts", "open", "--region", "shanghai", "--kind", "enterprise", "--holder", "agent")
    named = ("--name", "虚构代理 invented", "--uscc", "91999900999999031P", "--invented")
    agent = tanqiao.ok(*opened, *named)["account_id"]
    at = ("--region", "shanghai", "--account", furnished.seller)
    given = tanqiao.ok("trading-mandate", "give", *at, "--agent", agent, "--period", "2026-04-01..2026-07-01")
    again = ("trading-mandate", "give", *at, "--agent", agent, "--period", "2026-05")
    assert tanqiao.refused(*again)[1]["reason"] == "ALREADY_EXISTS"
    listed = tanqiao.ok("trading-mandate", "list", *at)["mandates"]
    assert [one["mandate_id"] for one in listed] == [given["mandate_id"]]
    ended = tanqiao.ok("trading-mandate", "end", *at, given["mandate_id"])
    assert "end_date" in ended
    assert (
        tanqiao.refused("trading-mandate", "end", *at, given["mandate_id"])[1]["reason"]
        == "STATE_NOT_ALLOWED"
    )


def test_users_mandates_and_consents_are_recorded_and_withdrawn(running: CommandLine) -> None:
    tanqiao = running
    opened = ("accounts", "open", "--region", "shenzhen", "--kind", "data_operator", "--invented")
    holder = ("--holder", "holder/440300/sz.data_operator/platform")
    named = ("--name", "虚构平台 invented", "--uscc", "91999900999999031P")
    operator = tanqiao.ok(*opened, *holder, *named)["account_id"]
    text = tanqiao.cwd / "agreement.txt"
    text.write_text("虚构授权书 invented", encoding="utf-8")
    at = ("--region", "440300")
    what = ("--account", operator, "--user", "U-17", "--text-version", "1.0", "--from", "2026-01-01")
    for kind in ("mandate", "consent"):
        given = tanqiao.ok("consent", "give", *at, *what, "--kind", kind, "--text-file", str(text))
        assert given["recorded_count"] == 1
    listed = tanqiao.ok("consent", "list", *at, "--account", operator, "--user", "U-17")["consents"]
    assert len(listed) == 2
    many = tanqiao.cwd / "many.json"
    kept = ("kind", "recipient_account_id", "user_token", "text_version", "text_digest", "start_date")
    rows = [{name: one[name] for name in kept} for one in listed]
    many.write_text(json.dumps({"consents": rows}), encoding="utf-8")
    recorded = tanqiao.ok("consent", "record", *at, str(many))
    assert (recorded.get("recorded_count", 0), recorded["unchanged_count"]) == (0, 2)
    withdrawn = tanqiao.ok("consent", "withdraw", *at, listed[0]["consent_id"])
    assert withdrawn["state"] == "CONSENT_STATE_WITHDRAWN"


@pytest.mark.usefixtures("furnished")
def test_an_entry_of_the_reserve_is_proven_offline(running: CommandLine) -> None:
    """The README's commands brought the lists that a claim check asks: without them nobody answers."""
    tanqiao = running
    at = ("--region", "yunnan")
    opened = ("accounts", "open", *at, "--kind", "enterprise", "--holder", "developer", "--invented")
    named = ("--name", "虚构开发 invented", "--uscc", "91999900999999031P")
    owner = tanqiao.ok(*opened, *named)["account_id"]
    entry = tanqiao.cwd / "entry.json"
    entry.write_text(json.dumps(RESOURCE | {"owner_account_id": owner}), encoding="utf-8")
    assert tanqiao("reserve", "enter", *at, str(entry)).code == 0
    assert tanqiao("reserve", "develop", *at, "R-SHELL-1").code == 0
    proof = tanqiao.cwd / "entry.tanqiao-proof"
    made = tanqiao.ok("reserve", "prove", *at, "R-SHELL-1", "--out", str(proof))
    assert made["number"] == "R-SHELL-1.P1"
    tanqiao.ok("prove", "policy", "--out", "reserve.policy")
    policy = ("--policy", "reserve.policy")
    verified = tanqiao("verify", str(proof), *policy)
    assert (verified.code, "PROVEN" in verified.out) == (0, True), verified.out
    changed = proof.read_bytes().replace(b"R-SHELL-1.P1", b"R-SHELL-1.P2")
    proof.write_bytes(changed)
    assert tanqiao("verify", str(proof), *policy).code == 1


def test_a_certificate_is_asked_for_and_refused_over_units_of_another_region(
    running: CommandLine, furnished: Furnished
) -> None:
    tanqiao, at = running, ("--region", "shenzhen")
    used = ("--account", furnished.buyer, "--kg", "1000", "--purpose", "voluntary", "--for", "虚构 invented")
    retired = tanqiao.ok("retire", *at, *used)["retirement_id"]
    asked = ("certificate", "request", *at, retired, "--name-beneficiary")
    for key, value in (("recogniser", "sz.bureau"), ("standard", "虚构标准 invented")):
        code, refusal = tanqiao.refused(*asked)
        assert (code, refusal["reason"]) == (1, "PARAMETER_NOT_SET")
        dated = ("--from", "2026-03-10", "--document", "虚构 1")
        named = (f"sz.certificate.{key}", json.dumps(value, ensure_ascii=False))
        set_by_two(tanqiao, "440300/sz.bureau", *at, *named, *dated)
    code, refusal = tanqiao.refused(*asked)
    assert (code, refusal["reason"]) == (1, "FOREIGN_UNIT_STAYS_FOREIGN")
    assert not tanqiao.ok("certificate", "list", *at).get("certificates")
    number = "440300-CN-2026-00000001"
    for verb in (
        ("show", *at, number),
        ("history", *at, number),
        ("step", *at, number, "recognise"),
        ("file", *at, number, "--out", "none.tanqiao-proof"),
    ):
        assert tanqiao.refused("certificate", *verb)[1]["reason"] == "NOT_FOUND", verb
