"""The conformance kit: a right region passes every requirement, and for each there is one that fails it.

The wrong regions are `LaterRegion` with one fault, named as the requirement that must find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tanqiao.signing.provision import Network
from tanqiao.testing.conformance.checks import all_requirements
from tanqiao.testing.conformance.requirements import REQUIREMENTS, Outcome, Verdict, run
from tanqiao.testing.conformance.subject import Subject, build_kit, provision
from tests.contract.conformance.scripted_later import LaterRegion

SUBJECT = Subject(
    region_code="440300",
    partner_code="310000",
    api="",
    holder_role="sz.holder",
    opener_role="sz.platform_operator",
    account_id="",
    purpose="voluntary",
    programme="SHCER",
    unit_class="I",
    legal_date="2026-03-02",
)
SIDE_BY_SIDE = 12
PATIENCE_SECONDS = 0.5
WRONG_PATIENCE_SECONDS = 1.5
"""So long a wrong region has to do what it should not: among eleven others, on a machine that is busy."""
WRONG_WAIT_SECONDS = 2.0
RIGHT_WAIT_SECONDS = 60.0

WRONG: dict[str, str] = {
    "hello": "its Hello names no version that anybody knows",
    "session-grows": "it dials again with the same session number",
    "hello-received": "it forgets what it received",
    "acknowledges": "it never acknowledges",
    "numbers-dense": "it leaves gaps between its numbers",
    "numbered-again": "it never sends a number twice",
    "numbered-once": "a number that comes again takes effect again",
    "numbered-gap": "it takes a number behind a gap",
    "nack": "it says nothing to what it cannot accept",
    "nack-goes-on": "it leaves the line after a Nack",
    "nack-ends": "it answers a Nack with a Nack",
    "offers-again": "an offer that was sent once is not offered again",
    "offers-again-use": "a use that was sent once is not offered again",
    "answers-again": "a Ready that was sent once is not offered again",
    "busy": "BUSY is not heard",
    "need-prepare": "it keeps the Prepare that the bridge forgot",
    "burst": "it drops what comes at once",
    "signature": "it does not check signatures",
    "key-unknown": "it takes any key",
    "key-of-another": "it takes any party's key for the bridge's",
    "payload-exact": "it reads other bytes than were signed",
    "unknown-field": "it passes over fields that it does not know",
    "unknown-enum": "it guesses what a value means",
    "malformed": "it is silent about bytes that are no message",
    "sender": "it does not compare the sender with the key",
    "epoch": "it does not look at the key's epoch",
    "network": "it takes messages of another network",
    "audience": "it takes messages for others",
    "type": "it is silent about a type that may not come",
    "embedded-lock": "it believes the bridge for the source",
    "batch-items": "one bad item takes the rest of the batch with it",
    "all-signed": "it names another network in what it signs",
    "lock-content": "the quantity is not that of the blocks",
    "lock-once": "it locks the same units twice",
    "ready-content": "the Ready names a day of its own",
    "refuse-reasons": "a Refuse without reasons",
    "refuse-all": "it names the first failure alone",
    "source-commit": "it releases on COMMIT",
    "source-abort": "it extinguishes on ABORT",
    "destination-commit": "it drops on COMMIT",
    "destination-abort": "it credits on ABORT",
    "refused-abort": "no receipt for the ABORT of what it refused",
    "use-content": "a use without a purpose",
    "use-commit": "it returns what was used",
    "use-abort": "it uses up what was refused",
    "use-no-withdraw": "it lets a use be withdrawn",
    "withdraw-content": "the Withdraw names no lock",
    "withdraw-behind": "the Withdraw comes before its lock",
    "home-notice": "it refuses what concerns its own series",
    "record": "it believes a record with one signature",
    "issue-receipt": "it takes a receipt for what it never sent",
    "r1-restart": "it forgets its promises in a restart",
    "r2-source-waits": "the source releases by its own clock",
    "r2-destination-waits": "the destination drops by its own clock",
    "r3-withdraw-waits": "it releases when the holder asks",
    "r4-stored-answer": "it answers the same Prepare anew",
    "r4-prepare-again": "it answers a Prepare made again anew",
    "r4-two-locks": "it promises twice under one id",
    "r5-refused-stays": "it forgets what it refused",
    "r6-state-first": "it tells the end before it has ended",
    "r7-credit-when-closed": "it drops what it promised when the account has closed",
    "r7-locked-account": "it closes an account with locked units",
    "r9-source-lock": "the source acts on another lock's decision",
    "r9-source-zero": "the source acts on a COMMIT without a Ready",
    "r9-ready": "the destination acts on another Ready's COMMIT",
    "r9-ready-lock": "the destination acts on another lock's decision",
    "r9-commit-unheard": "it credits what was never prepared",
    "r9-abort-unheard": "it forgets an ABORT that came before its Prepare",
    "one-decision-source": "the source lets a second decision win",
    "one-decision-destination": "the destination lets a second decision win",
    "outcome-unknown": "it releases when the bridge knows nothing of the transfer",
    "freeze": "it locks what is frozen",
    "freeze-delivered": "it refuses a COMMIT because of a freeze",
    "freeze-approvers": "it takes a freeze with one signature",
    "freeze-once": "it takes two orders under one id",
    "correction": "it goes on holding what a correction took",
    "correction-approvers": "it takes a correction that lacks signatures",
    "record-once": "it takes two agreements under one id",
    "key-record": "it does not take the records of keys",
    "key-record-root": "it believes any root for any key",
    "key-revoked": "it goes on with a key that was revoked",
    "key-revoked-stays": "it lets a revoked key come back",
    "finality-pending": "what it credits is final at once",
    "finality-quorum": "it does not count the witnesses",
    "finality-leaf": "it does not read the leaf that is proven",
    "finality-bundle": "what it credits stays pending for ever",
    "epoch-record": "it follows any new epoch",
    "epoch-report": "it reports nothing to a bridge that was restored",
    "epoch-older-void": "it acts on what an older epoch signed beyond the index",
    "epoch-adopted": "it passes over what a new epoch adopts",
    "reconcile-asked": "it states nothing",
    "restored": "it goes on as if it had forgotten nothing",
    "epoch-stale": "it follows a bridge back to an older epoch",
}
"""Requirement → what the wrong region does: `LaterRegion` with the requirement as its fault."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return provision(tmp_path_factory.mktemp("conformance"), SUBJECT, datetime.now(UTC))


def tried(
    network: Network, fault: str, names: Sequence[str], wait_seconds: float, patience_seconds: float
) -> Sequence[Outcome]:
    """Try a scripted region on requirements."""
    region = LaterRegion(network, SUBJECT.party, "127.0.0.1:1", fault)
    kit = build_kit(network, SUBJECT, region)
    region.bridge_address = kit.line.start("127.0.0.1:0")
    kit.wait_seconds, kit.patience_seconds = wait_seconds, patience_seconds
    region.start()
    try:
        return run(kit, [REQUIREMENTS[name] for name in names])
    finally:
        kit.line.stop()
        region.stop()


def test_a_right_region_meets_every_requirement(network: Network) -> None:
    outcomes = tried(
        network, "", [one.name for one in all_requirements()], RIGHT_WAIT_SECONDS, PATIENCE_SECONDS
    )
    assert {one.requirement.name: one.reason for one in outcomes if one.verdict is not Verdict.PASSED} == {}


@pytest.fixture(scope="module")
def wrong_outcomes(network: Network) -> dict[str, Outcome]:
    """Try every wrong region; they mostly wait for what never comes, so many are tried side by side."""

    def one(name: str) -> Outcome:
        before = ["lock-content"] if name == "all-signed" else []  # it looks back over what came before
        return tried(network, name, [*before, name], WRONG_WAIT_SECONDS, WRONG_PATIENCE_SECONDS)[-1]

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(WRONG, pool.map(one, WRONG), strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_region_fails_with_the_reason(wrong_outcomes: dict[str, Outcome], name: str) -> None:
    outcome = wrong_outcomes[name]
    assert outcome.verdict is Verdict.FAILED, f"not found: {WRONG[name]}"
    assert outcome.reason
    assert outcome.requirement.article


def test_every_requirement_has_a_wrong_region() -> None:
    assert set(WRONG) == {one.name for one in all_requirements()}
    assert all(one.article.startswith(("§", "R", "I")) and one.demand for one in all_requirements())
