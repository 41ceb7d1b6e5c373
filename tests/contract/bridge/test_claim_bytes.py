"""Verdicts, receipts and leaves of claims are what protobuf, or the log's library, makes of the same fields;
and what is read lazily of a claim is what the engine was always given."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tanqiao.api.bridge.v1 import claims_pb2
from tanqiao.api.common.v1 import envelope_pb2
from tanqiao.claims.engine import judge
from tanqiao.claims.keys import lock_keys
from tanqiao.claims.model import Action, ClaimFacts, Registry, RegistryAnswers, VerdictKind
from tanqiao.signing.forms import Sender, place
from tanqiao.tlog.leaf import make_leaf
from tanqiao_bridge.application.claim_facts import read_claim, with_index
from tanqiao_bridge.application.claim_forms import Made, claim_leaf, receipt_payload
from tanqiao_bridge.application.judging import Index, judge_claim, registries_of, verdict_message
from tanqiao_bridge.application.registry_answers import Answers, RegistryAnswer
from tanqiao_bridge.application.verdicts import Verdicts
from tests.contract.bridge.harness import claim_of

SHANGHAI, SHENZHEN = "region/310000", "region/440300"
MESSAGE_ID, DIGEST, ANSWERED, RECEIPT = b"m" * 16, b"d" * 32, b"a" * 32, b"r" * 32
DAY = date(2026, 3, 1)
CONTEXT: Any = SimpleNamespace(
    network_id="test-forms",
    signer=SimpleNamespace(owner="bridge", key_epoch=3),
    random_bytes=lambda count: (MESSAGE_ID * (count // 16 + 1))[:count],
    header=lambda audience: envelope_pb2.Header(
        network_id="test-forms", sender="bridge", audience=audience, message_id=MESSAGE_ID, key_epoch=3
    ),
)


def answers(*silent: str, count: int = 1) -> Answers:
    heard = {
        name: RegistryAnswer(name, answered=True, as_of=DAY, records=((),) * count)
        for name in ("ccer", "gec")
    }
    return Answers({**heard, **{name: RegistryAnswer(name, answered=False) for name in silent}})


def variants() -> list[claims_pb2.Claim]:
    """Give claims that differ in all that an engine's claim is made of."""
    plain = [claim_of("310000:project:1"), claim_of("440300:项目:2", region=SHENZHEN, project_id="")]
    found = []
    for number, one in enumerate(plain):
        found.append(one)
        other = claims_pb2.Claim()
        other.CopyFrom(one)
        other.asset.references.add(scheme=" GEC ", value=" 9931-0000 000000702 ")
        other.asset.references.add(scheme="name", value="虚构")
        other.asset.ets_covered = number == 0
        other.part.share_ppm = 500_000
        other.subject_uscc, other.subject_name = "91110000600037341L", "虚构"
        other.no_duplicate_commitment = False
        other.supersedes.append("310000:project:0")
        found.append(other)
    return found


@pytest.mark.parametrize("claim", variants(), ids=lambda claim: claim.claim_id)
@pytest.mark.parametrize("silent", [(), ("gec",), ("ccer", "gec")])
def test_a_claim_that_meets_nothing_is_judged_as_the_engine_judges_it(
    claim: claims_pb2.Claim, silent: tuple[str, ...]
) -> None:
    read = read_claim(claim, action=Action.DECLARE)
    said = answers(*silent)
    found = judge_claim(read, Index(), said, 0, decided_on=DAY, declared_index=7)
    heard = RegistryAnswers(frozenset(Registry) - {Registry(name) for name in silent})
    facts = ClaimFacts(
        with_index(read, 7).claim, (), {read.claim_id: read.asset}, DAY, registry_answers=heard
    )
    assert found.verdict == judge(facts)
    assert read.locks == lock_keys(read.claim, {read.claim_id: read.asset})
    assert {key for key in read.locks if not key.startswith("subject:")} == set(read.keys)
    made = Verdicts.of(CONTEXT, 41, said, 2)
    expected = verdict_message(
        CONTEXT.header((SHENZHEN,)), read, found, as_of_index=41, registries=registries_of(said)
    )
    assert made.payload(SHENZHEN, read, found) == expected.SerializeToString()
    assert made.message(SHENZHEN, read, found) == expected


def test_all_verdicts_of_a_batch_are_of_the_key_that_signed_as_it_began() -> None:
    read, said = read_claim(claim_of("310000:project:1"), action=Action.DECLARE), answers()
    found = judge_claim(read, Index(), said, 0, decided_on=DAY, declared_index=7)
    stopped = replace(found, verdict=replace(found.verdict, verdict=VerdictKind.HOLD))
    node: Any = SimpleNamespace(**vars(CONTEXT))
    batch = Verdicts.of(node, 41, said, 2)
    node.signer = SimpleNamespace(owner="bridge", key_epoch=4)
    node.header = lambda audience: envelope_pb2.Header(audience=audience, key_epoch=4)
    payloads = [batch.payload(SHENZHEN, read, one) for one in (found, stopped)]
    verdicts = [claims_pb2.Verdict.FromString(payload) for payload in payloads]
    assert [one.verdict for one in verdicts] == [
        claims_pb2.VERDICT_KIND_ALLOW,
        claims_pb2.VERDICT_KIND_HOLD,
    ]
    assert [one.header.key_epoch for one in verdicts] == [3, 3]
    assert Verdicts.of(node, 41, said, 1).message(SHENZHEN, read, stopped).header.key_epoch == 4


def test_a_claim_that_was_made_keeps_what_was_made_of_it() -> None:
    read = read_claim(claim_of("310000:project:1"), action=Action.ISSUE)
    changed = replace(read, made_claim=replace(read.claim, quantity_kg=7))
    assert (with_index(changed, 5).claim.quantity_kg, with_index(changed, 5).claim.declared_microsecond) == (
        7,
        5,
    )
    assert with_index(read_claim(read.message, action=Action.ISSUE), 5).claim.declared_microsecond == 5


@pytest.mark.parametrize("verdict", [None, b"", claims_pb2.Verdict(article="SZ-22")])
@pytest.mark.parametrize("reason", ["", "its lease ran out"])
@pytest.mark.parametrize(
    "claim_id", ["7", "ab", "%b1", "桥", "1234567", "12345678", "310000:project:1", "440300:项目:%d:%b"]
)
def test_a_receipt_and_its_leaf(verdict: Any, reason: str, claim_id: str) -> None:
    payload = verdict.SerializeToString() if isinstance(verdict, claims_pb2.Verdict) else verdict
    for log_index, status in ((0, 2), (127, 4), (1 << 40, 11)):
        made = Made(
            claim_id,
            SHANGHAI,
            ANSWERED,
            b"k" * 16,
            status,
            DIGEST,
            payload,
            log_index=log_index,
            receipt_hash=RECEIPT,
            bridge_reason=reason,
        )
        expected = claims_pb2.ClaimReceipt(
            header=envelope_pb2.Header(
                network_id="test-forms",
                sender="bridge",
                audience=[SHANGHAI],
                message_id=MESSAGE_ID,
                prev_hash=ANSWERED,
                key_epoch=3,
            ),
            claim_id=claim_id,
            status=status,  # type: ignore[arg-type]
            verdict=None if payload is None else claims_pb2.Verdict.FromString(payload),
            log_index=log_index,
            receipt_time=Timestamp(seconds=1_700_000_000),
            claim_digest=DIGEST,
            bridge_reason=reason,
        )
        written = receipt_payload(Sender.of(CONTEXT), MESSAGE_ID, made, 1_700_000_000)
        assert written == expected.SerializeToString()
        # A key's id may have the bytes of a short place in it by chance.
        chance = place(7, len(claim_id.encode()))[:7].ljust(16, b"k")
        for signers in ((b"k" * 16, b"b" * 16), (b"b" * 16,), (chance,)):
            leaf = make_leaf(
                "claim",
                message_hashes=[ANSWERED, RECEIPT],
                signer_key_ids=signers,
                public={
                    "claim_digest": DIGEST,
                    "claim_id": claim_id.encode(),
                    "region": SHANGHAI.encode(),
                    "status": claims_pb2.ClaimStatus.Name(status).encode(),  # type: ignore[arg-type]
                },
            )
            assert claim_leaf(made, signers) == leaf.encode()
