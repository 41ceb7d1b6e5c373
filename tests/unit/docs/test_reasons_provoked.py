"""Every reason that a part can give is provoked over the wire by some test, or it is said here why it is not.

A reason that no part of this release gives is published for what is to come; `docs/reasons.md` lists it.
"""

from __future__ import annotations

import re
from functools import cache

from scripts.documents.reasons_page import not_given_yet
from tanqiao.kernel.reasons import CATALOGUE
from tests.unit.layout.modules import ROOT

WIRE = ("tests/contract", "tests/e2e", "tests/crash", "tests/fuzz")
ELSEWHERE = ("tests/unit", "tests/rules", "tests/golden", "tests/simulation", "services/region")
WORD = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b")

RULE_CASE = (
    "a rule of a pack gives it, for an act that no call of this release offers or that is tested with "
    "another of its reasons; the case files of the pack provoke it, and verdicts reach the wire by one path"
)
START = "a program gives it when it starts, as one line and an exit code: nobody is on the line yet"
OFFLINE = "a tool gives it that reads files: there is no line"
UNOPENED = "nothing opens a blocking case yet: the check stands for cases that people will open"
CLIENT = "the client gives it itself, about a peer whose answer it does not know"

DISBELIEF = "a region gives it itself, about an answer of the bridge whose proof does not hold"

NOT_OVER_THE_WIRE: dict[str, str] = {
    "EVALUATION_PROOF_INVALID": DISBELIEF,
    "QUORUM_NOT_REACHED": OFFLINE,
    "FILE_TOO_LARGE": OFFLINE,
    "JOURNAL_MISMATCH": OFFLINE,
    "WRITER_ALREADY_RUNNING": START,
    "MIGRATION_PENDING": START,
    "LEASE_LOST": "a process gives it to itself: another one serves its node now",
    "RULES_DIGEST_MISMATCH": START,
    "PARAMETER_INVALID": START,
    "PEER_REFUSED": CLIENT,
    "PROOF_INVALID": CLIENT,
    "APPROVERS_MISSING": "its check is tested alone, as no call of this release takes an order of approvers",
    "CASE_BLOCKING": UNOPENED,
    "SECOND_SIGNATURE_MISSING": RULE_CASE,
    "OPERATOR_NOT_REGISTERED": RULE_CASE,
    "DECLARATION_MISSING": RULE_CASE,
    "MANDATE_NOT_IN_FORCE": RULE_CASE,
    "CONSENT_MISSING": RULE_CASE,
    "RIGHTS_PROVIDER_ONLY": RULE_CASE,
    "TRADING_SUBJECT_NOT_QUALIFIED": RULE_CASE,
    "OFFSET_CAP_REACHED": RULE_CASE,
    "MUST_CONSUME_UNIT": RULE_CASE,
    "FOREIGN_UNIT_STAYS_FOREIGN": RULE_CASE,
    "EXPERIENCE_VALUE_NOT_CONVERTIBLE": RULE_CASE,
    "EVIDENCE_CHAIN_BROKEN": RULE_CASE,
    "CERTIFICATE_UNITS_NOT_RETIRED": RULE_CASE,
    "CERTIFICATE_UNITS_ALREADY_USED": RULE_CASE,
    "METHODOLOGY_NOT_SHENZHEN": RULE_CASE,
    "METHODOLOGY_KIND_MISMATCH": RULE_CASE,
    "EXPERT_CONFLICT": RULE_CASE,
    "VERIFIER_NOT_APPOINTED_BY_BUREAU": RULE_CASE,
    "VERIFIER_NOT_QUALIFIED": RULE_CASE,
    "VERIFIER_SUSPENDED": RULE_CASE,
    "SCENE_NOT_AUTHORISED": RULE_CASE,
    "SCENE_DATA_NOT_VALIDATED": RULE_CASE,
    "COMPUTATION_DIFFERS": RULE_CASE,
    "BEHAVIOUR_SCENE_ISSUES_NO_UNITS": RULE_CASE,
    "POINTS_RATE_NOT_PUBLISHED": RULE_CASE,
    "OFFSET_NOTICE_NOT_PUBLISHED": RULE_CASE,
    "OFFSET_SCOPE_EXCLUDED": RULE_CASE,
    "CLASS_II_NOT_FOR_COMPLIANCE": RULE_CASE,
    "PURPOSE_DETAIL_MISSING": RULE_CASE,
}


@cache
def _words_in(*folders: str) -> frozenset[str]:
    found: set[str] = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".toml", ".json"} and path.name != "test_reasons_provoked.py":
                found.update(WORD.findall(path.read_text(encoding="utf-8")))
    return frozenset(found)


def test_every_reason_that_is_given_is_provoked_over_the_wire_or_it_is_said_why_not() -> None:
    given = set(CATALOGUE) - set(not_given_yet())
    silent = sorted(given - _words_in(*WIRE) - set(NOT_OVER_THE_WIRE))
    assert silent == [], "no test on a line names these, and nothing says why"


def test_what_is_not_provoked_over_the_wire_is_provoked_elsewhere_and_is_given() -> None:
    for symbol, why in NOT_OVER_THE_WIRE.items():
        assert symbol in CATALOGUE, symbol
        assert why
        assert symbol not in not_given_yet(), f"{symbol} is not given by any part: no reason is needed"
        if why != UNOPENED:
            assert symbol in _words_in(*ELSEWHERE, *WIRE), f"nothing provokes {symbol}"
